// The tables of pools and of the best shares.

import * as tell from "./format.js";
import { element, find, head, keyed, mark, put, row } from "./nodes.js";

const MOOD = { connected: "good", connecting: "busy", lost: "bad" };

function label(cell, pool) {
  if (!cell.firstChild) cell.append(element("b", "text"), element("p", "minor"), element("p", "caution"));
  const [name, active, unverified] = cell.children;
  put(name, pool.label);
  put(active, pool.active ? "in use" : "");
  put(unverified, pool.unverified ? "its TLS certificate is not checked" : "");
}

function state(cell, pool, now) {
  if (!cell.firstChild) cell.append(element("p", "state text"), element("p", "text minor"));
  mark(cell.firstChild, "mood", MOOD[pool.state] ?? "bad");
  put(cell.firstChild, pool.state);
  const since = pool.connected_at === null ? "" : `for ${tell.duration(now - pool.connected_at)}`;
  put(cell.lastChild, pool.state === "connected" ? since : pool.reason || "");
}

const POOLS = [
  { title: "Pool", name: "span", write: label },
  { title: "State", name: "span wide", write: state },
  { title: "Latency", number: true, about: "of the newest share, and on average", write: (cell, pool) => {
    if (!cell.firstChild) cell.append(element("p"), element("p", "minor"));
    put(cell.firstChild, tell.latency(pool.latency));
    put(cell.lastChild, pool.mean_latency === null ? "" : `mean ${tell.latency(pool.mean_latency)}`);
  } },
  { title: "Logins / losses", number: true, write: (cell, pool) => put(cell, `${tell.count(pool.logins)} / ${tell.count(pool.losses)}`) },
  { title: "Accepted", number: true, write: (cell, { shares }) => {
    put(cell, `${tell.count(shares.accepted)} of ${tell.count(shares.accepted + shares.not_accepted)}`);
  } },
  { title: "Last share", number: true, write: (cell, pool, now) => put(cell, tell.ago(pool.last_share_at, now)) },
];

const BEST = [
  { title: "Difficulty", number: true, write: (cell, share) => put(cell, tell.difficulty(share.difficulty)) },
  { title: "Device", write: (cell, share) => put(cell, share.device) },
  { title: "Height", number: true, write: (cell, share) => put(cell, tell.count(share.height)) },
  { title: "Time", number: true, write: (cell, share) => put(cell, tell.date(share.at)) },
];

function fill(table, columns, items, keyOf, now) {
  if (!table.tHead.rows[0].cells.length) head(table, columns);
  keyed(table.tBodies[0], items, keyOf, () => row(columns), (line, item) => {
    columns.forEach(({ write }, place) => write(line.cells[place], item, now));
  });
}

export function showPools({ pools, notice, at }) {
  find("#notice").hidden = !notice;
  put(find("#notice"), notice ? `The pool says: ${notice}` : "");
  const inUseFirst = [...pools].sort((a, b) => b.active - a.active);
  fill(find("#pools table"), POOLS, inUseFirst, (pool) => pool.label, at);
}

export function showBest({ best, at }) {
  const numbered = best.map((share, index) => ({ ...share, index }));
  fill(find("#best table"), BEST, numbered, (share) => share.index, at);
}
