// The table of pools.

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

const number = (title, text) => ({ title, number: true, write: (cell, pool, now) => setText(cell, text(pool, now)) });

const COLUMNS = [
  { title: "Pool", name: "span", write: showLabel },
  { title: "State", name: "span wide", write: showState },
  number("Latency (mean)", ({ latency, mean_latency: mean }) => format.latency(latency) + (mean === null ? "" : ` (${format.latency(mean)})`)),
  number("Logins / losses", ({ logins, losses }) => `${format.count(logins)} / ${format.count(losses)}`),
  number("Accepted", ({ shares }) => format.countOf(shares)),
  number("Last share", ({ last_share_at: at }, now) => format.ago(at, now)),
];

export function showPools({ pools, notice, at }) {
  find("#notice").hidden = !notice;
  setText(find("#notice"), notice ? `Message from the pool: ${notice}` : "");
  find("#pools").hidden = !pools.length;
  const table = find("#pools table");
  if (!table.tHead.rows[0].cells.length) tableHead(table, COLUMNS);
  const inUseFirst = [...pools].sort((a, b) => b.active - a.active);
  updateChildren(table.tBodies[0], inUseFirst, (pool) => pool.label, () => tableRow(COLUMNS), (line, pool) => {
    COLUMNS.forEach(({ write }, place) => write(line.cells[place], pool, at));
  });
}
