// The table of devices.

import * as format from "./format.js";
import { element, find, setData, setText, tableHead, tableRow, updateChildren } from "./nodes.js";

/** CSS classes of a device's lines: eight colours, then the same with other dashes. */
export const lineClasses = (index) => `series-${index % 8} dash-${Math.floor(index / 8) % 3}`;

const MOOD = { searching: "good", ready: "good", building: "busy", starting: "busy", waiting: "idle", exhausted: "idle", paused: "warn" };

function showName(cell, device, { index }) {
  if (!cell.firstChild) {
    const title = element("p", "title");
    title.append(element("span", "swatch"), element("b", "text"));
    cell.append(title, element("p", "text minor"), element("p", "text minor"));
  }
  const [title, model, place] = cell.children;
  title.firstChild.className = `swatch ${lineClasses(index)}`;
  setText(title.lastChild, device.name);
  setText(model, device.model);
  setText(place, device.pci ? `PCI ${device.pci}` : device.backend);
}

function showState(cell, device, { now }) {
  if (!cell.firstChild) {
    cell.append(element("p", "state text"), element("progress"), element("p", "text minor"), element("p", "text minor fault"));
    cell.children[1].max = 1;
  }
  const [doing, bar, share, fault] = cell.children;
  setData(doing, "mood", MOOD[device.state] ?? "bad");
  const text = device.doing || device.state;
  setText(doing, device.paused && !text.includes(device.paused) ? `${text}: ${device.paused}` : text);
  const building = device.state === "building" && device.progress !== null;
  bar.hidden = !building;
  if (building) {
    bar.value = device.progress;
    bar.setAttribute("aria-label", `dataset of ${device.name}`);
  }
  setText(share, device.last_share_at === null ? "no share accepted yet" : `last share ${format.ago(device.last_share_at, now)}`);
  setText(fault, device.last_fault ? `last fault: ${device.last_fault}` : "");
}

function showAction(cell, device, { control }) {
  if (!cell.firstChild) cell.append(element("button"));
  const button = cell.firstChild;
  const verb = device.paused === null || device.paused === false ? "pause" : "resume";
  cell.hidden = !control.hasToken || device.parked;
  button.type = "button";
  setText(button, verb === "pause" ? "Pause" : "Resume");
  button.setAttribute("aria-label", `${button.textContent} ${device.name}`);
  button.onclick = () => control.send(verb, device.name);
}

/** Writes a cell with one text. */
const plain = (text) => (cell, device) => setText(cell, text(device));

/** Writes a cell with a text and a smaller one below. */
const pair = (text, smaller) => (cell, device) => {
  if (!cell.firstChild) cell.append(element("p"), element("p", "minor"));
  setText(cell.firstChild, text(device));
  setText(cell.lastChild, smaller(device));
};

const COLUMNS = [
  { title: "Device", name: "span", write: showName },
  { title: "State", name: "span wide", write: showState },
  {
    title: "Hashrate", name: "twice", number: true, about: "over 10 s; below, over 15 min",
    write: pair((d) => format.rate(d.hashrate.ten_seconds), (d) => `${format.rate(d.hashrate.quarter_hour)} (15 min)`),
  },
  {
    title: "A / R / F", number: true, about: "accepted shares, other shares, faults",
    write: plain((d) => `${format.count(d.shares.accepted)} / ${format.count(d.shares.not_accepted)} / ${format.count(d.faults)}`),
  },
  { title: "Core", number: true, about: "core temperature", write: plain((d) => format.celsius(d.reading.temperature)) },
  { title: "Memory", number: true, about: "memory temperature", write: plain((d) => format.celsius(d.reading.memory_temperature)) },
  { title: "Fan", number: true, write: plain((d) => format.percent(d.reading.fan)) },
  {
    title: "Power", number: true, about: "power drawn; below, the limit",
    write: pair((d) => format.watts(d.reading.power), (d) => d.reading.power_limit === null ? "" : `of ${format.watts(d.reading.power_limit)}`),
  },
  { title: "kH/W", number: true, about: "thousand hashes per joule", write: plain((d) => format.efficiency(d.efficiency).replace(" kH/W", "")) },
  { title: "Luck", number: true, about: "shares found relative to shares expected", write: (cell, d) => {
    setText(cell, format.ratio(d.luck.ratio));
    cell.title = format.luck(d.luck);
    setData(cell, "warn", String(d.luck.plausible === false));
  } },
  { title: "", name: "action", write: showAction },
];

export function showDevices(devices, now, control) {
  const table = find("#devices table");
  if (!table.tHead.rows[0].cells.length) tableHead(table, COLUMNS);
  table.tHead.rows[0].lastChild.hidden = !control.hasToken;
  const items = devices.map((device, index) => ({ device, index }));
  updateChildren(table.tBodies[0], items, ({ device }) => device.name, () => tableRow(COLUMNS), (line, { device, index }) => {
    COLUMNS.forEach(({ write }, place) => write(line.cells[place], device, { index, now, control }));
  });
}
