// The tables of pools and of the best shares.

import * as format from "./format.js";
import { element, find, setData, setText, tableHead, tableRow, updateChildren } from "./nodes.js";

const MOOD = { connected: "good", connecting: "busy", lost: "bad" };

function showLabel(cell, pool) {
  if (!cell.firstChild) cell.append(element("b", "text"), element("p", "text"), element("p", "minor"), element("p", "caution"));
  const [name, account, active, unverified] = cell.children;
  setText(name, pool.label);
  setText(account, pool.account ? `for ${pool.account}` : "");
  setText(active, pool.active ? "in use" : "");
  setText(unverified, pool.unverified ? "its TLS certificate is not checked" : "");
}

function showState(cell, pool, now) {
  if (!cell.firstChild) cell.append(element("p", "state text"), element("p", "text minor"));
  setData(cell.firstChild, "mood", MOOD[pool.state] ?? "bad");
  setText(cell.firstChild, pool.state);
  const since = pool.connected_at === null ? "" : `for ${format.duration(now - pool.connected_at)}`;
  setText(cell.lastChild, pool.state === "connected" ? since : pool.reason || "");
}

const POOLS = [
  { title: "Pool", name: "span", write: showLabel },
  { title: "State", name: "span wide", write: showState },
  { title: "Latency", number: true, about: "of the newest share; below, the average", write: (cell, pool) => {
    if (!cell.firstChild) cell.append(element("p"), element("p", "minor"));
    setText(cell.firstChild, format.latency(pool.latency));
    setText(cell.lastChild, pool.mean_latency === null ? "" : `mean ${format.latency(pool.mean_latency)}`);
  } },
  { title: "Logins / losses", number: true, write: (cell, pool) => setText(cell, `${format.count(pool.logins)} / ${format.count(pool.losses)}`) },
  { title: "Accepted", number: true, write: (cell, { shares }) => {
    setText(cell, `${format.count(shares.accepted)} of ${format.count(shares.accepted + shares.not_accepted)}`);
  } },
  { title: "Last share", number: true, write: (cell, pool, now) => setText(cell, format.ago(pool.last_share_at, now)) },
];

const BEST = [
  { title: "Difficulty", number: true, write: (cell, share) => setText(cell, format.difficulty(share.difficulty)) },
  { title: "Device", write: (cell, share) => setText(cell, share.device) },
  { title: "Height", number: true, write: (cell, share) => setText(cell, format.count(share.height)) },
  { title: "Time", number: true, write: (cell, share) => setText(cell, format.date(share.at)) },
];

function fill(table, columns, items, keyOf, now) {
  if (!table.tHead.rows[0].cells.length) tableHead(table, columns);
  updateChildren(table.tBodies[0], items, keyOf, () => tableRow(columns), (line, item) => {
    columns.forEach(({ write }, place) => write(line.cells[place], item, now));
  });
}

export function showPools({ pools, notice, at }) {
  find("#notice").hidden = !notice;
  setText(find("#notice"), notice ? `Message from the pool: ${notice}` : "");
  find("#pools").hidden = !pools.length;
  const inUseFirst = [...pools].sort((a, b) => b.active - a.active);
  fill(find("#pools table"), POOLS, inUseFirst, (pool) => pool.label, at);
}

export function showBest({ best, at }) {
  find("#best").hidden = !best.length;
  const numbered = best.map((share, index) => ({ ...share, index }));
  fill(find("#best table"), BEST, numbered, (share) => share.index, at);
}
