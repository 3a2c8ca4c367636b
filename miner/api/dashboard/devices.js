// The table of devices.

import * as tell from "./format.js";
import { element, find, head, keyed, mark, put, row } from "./nodes.js";

/** How the device in place `index` is drawn: eight colours, then the same with other dashes. */
export const look = (index) => `series-${index % 8} dash-${Math.floor(index / 8) % 3}`;

const CALM = { searching: "good", ready: "good", building: "busy", starting: "busy", waiting: "idle", exhausted: "idle", paused: "warn" };

function name(cell, device, { index }) {
  if (!cell.firstChild) {
    const title = element("p", "title");
    title.append(element("span", "swatch"), element("b", "text"));
    cell.append(title, element("p", "text minor"), element("p", "text minor"));
  }
  const [title, model, place] = cell.children;
  title.firstChild.className = `swatch ${look(index)}`;
  put(title.lastChild, device.name);
  put(model, device.model);
  put(place, device.pci ? `PCI ${device.pci}` : device.backend);
}

function state(cell, device, { now }) {
  if (!cell.firstChild) {
    cell.append(element("p", "state text"), element("progress"), element("p", "text minor"), element("p", "text minor fault"));
    cell.children[1].max = 1;
  }
  const [doing, bar, share, fault] = cell.children;
  mark(doing, "mood", CALM[device.state] ?? "bad");
  const told = device.doing || device.state;
  put(doing, device.paused && !told.includes(device.paused) ? `${told}: ${device.paused}` : told);
  const building = device.state === "building" && device.progress !== null;
  bar.hidden = !building;
  if (building) {
    bar.value = device.progress;
    bar.setAttribute("aria-label", `dataset of ${device.name}`);
  }
  put(share, device.last_share_at === null ? "no share accepted yet" : `last share ${tell.ago(device.last_share_at, now)}`);
  put(fault, device.last_fault ? `last fault: ${device.last_fault}` : "");
}

function action(cell, device, { control }) {
  if (!cell.firstChild) cell.append(element("button"));
  const button = cell.firstChild;
  const verb = device.paused === null || device.paused === false ? "pause" : "resume";
  cell.hidden = !control.unlocked || device.parked;
  button.type = "button";
  put(button, verb === "pause" ? "Pause" : "Resume");
  button.setAttribute("aria-label", `${button.textContent} ${device.name}`);
  button.onclick = () => control.send(verb, device.name);
}

/** A cell of one text. */
const plain = (words) => (cell, device) => put(cell, words(device));

/** A cell of a text with a smaller one below. */
const pair = (words, less) => (cell, device) => {
  if (!cell.firstChild) cell.append(element("p"), element("p", "minor"));
  put(cell.firstChild, words(device));
  put(cell.lastChild, less(device));
};

const COLUMNS = [
  { title: "Device", name: "span", write: name },
  { title: "State", name: "span wide", write: state },
  {
    title: "Hashrate", name: "twice", number: true, about: "over 10 s, and over 15 min below",
    write: pair((d) => tell.rate(d.hashrate.ten_seconds), (d) => `${tell.rate(d.hashrate.quarter_hour)} (15 min)`),
  },
  {
    title: "A / R / F", number: true, about: "shares accepted, shares not accepted, faults",
    write: plain((d) => `${tell.count(d.shares.accepted)} / ${tell.count(d.shares.not_accepted)} / ${tell.count(d.faults)}`),
  },
  { title: "Core", number: true, about: "temperature of the core", write: plain((d) => tell.celsius(d.reading.temperature)) },
  { title: "Memory", number: true, about: "temperature of the memory", write: plain((d) => tell.celsius(d.reading.memory_temperature)) },
  { title: "Fan", number: true, write: plain((d) => tell.percent(d.reading.fan)) },
  {
    title: "Power", number: true, about: "and the limit that is set below",
    write: pair((d) => tell.watts(d.reading.power), (d) => d.reading.power_limit === null ? "" : `of ${tell.watts(d.reading.power_limit)}`),
  },
  { title: "kH/W", number: true, about: "thousand hashes per joule", write: plain((d) => tell.efficiency(d.efficiency).replace(" kH/W", "")) },
  { title: "Luck", number: true, about: "shares found for those expected", write: (cell, d) => {
    put(cell, tell.ratio(d.luck.ratio));
    cell.title = tell.luck(d.luck);
    mark(cell, "warn", String(d.luck.plausible === false));
  } },
  { title: "", name: "action", write: action },
];

export function showDevices(devices, now, control) {
  const table = find("#devices table");
  if (!table.tHead.rows[0].cells.length) head(table, COLUMNS);
  table.tHead.rows[0].lastChild.hidden = !control.unlocked;
  const items = devices.map((device, index) => ({ device, index }));
  keyed(table.tBodies[0], items, ({ device }) => device.name, () => row(COLUMNS), (line, { device, index }) => {
    COLUMNS.forEach(({ write }, place) => write(line.cells[place], device, { index, now, control }));
  });
}
