// The table of devices.

import * as format from "./format.js";
import { element, find, setData, setText, tableHead, tableRow, updateChildren } from "./nodes.js";

/** CSS classes of a device's lines: eight colours, then the same with other dashes. */
export const lineClasses = (index) => `series-${index % 8} dash-${Math.floor(index / 8) % 3}`;

const MOOD = { searching: "good", ready: "good", building: "busy", starting: "busy", waiting: "idle", exhausted: "idle", paused: "warn" };

const mood = (device) => MOOD[device.state] ?? "bad";

function showName(cell, device, { index }) {
  if (!cell.firstChild) {
    cell.append(element("span", "swatch"), element("b", "text"), element("span", "text minor model"), element("span", "text minor pci"));
  }
  const [swatch, name, model, place] = cell.children;
  swatch.className = `swatch ${lineClasses(index)}`;
  setText(name, device.name);
  setText(model, device.model?.replace(/^(NVIDIA|AMD) /, ""));
  setText(place, device.pci?.replace(/^0000:/, "") || device.backend);
}

function showState(cell, device) {
  if (!cell.firstChild) {
    cell.append(element("p", "state text"), element("progress"), element("p", "text fault"));
    cell.children[1].max = 1;
  }
  const [doing, bar, fault] = cell.children;
  setData(doing, "mood", mood(device));
  const text = device.doing || device.state;
  setText(doing, device.paused && !text.includes(device.paused) ? `${text}: ${device.paused}` : text);
  const building = device.state === "building" && device.progress !== null;
  bar.hidden = !building;
  if (building) {
    bar.value = device.progress;
    bar.setAttribute("aria-label", `dataset of ${device.name}`);
  }
  setText(fault, device.last_fault ? `last fault: ${device.last_fault}` : "");
}

function showAction(cell, device, { control }) {
  if (!cell.firstChild) cell.append(element("button"));
  const button = cell.firstChild;
  const verb = device.paused === null || device.paused === false ? "pause" : "resume";
  button.hidden = device.parked;
  button.type = "button";
  setText(button, verb === "pause" ? "Pause" : "Resume");
  button.setAttribute("aria-label", `${button.textContent} ${device.name}`);
  button.onclick = () => control.send(verb, device.name);
}

/** A column of numbers, left out if `value` is null for every device; `note` returns [whether the
 * number is coloured, the text that the pointer shows]. */
const column = (title, name, value, text, note) => ({
  title, name, number: true, known: (device) => value(device) !== null,
  write(cell, device, { now }) {
    setText(cell, text(value(device), now));
    if (!note) return;
    const [warn, hint] = note(device);
    setData(cell, "warn", String(warn));
    cell.title = hint ?? "";
  },
});

// "lesser" columns need a wide screen or the button for all values.
const COLUMNS = [
  { title: "Device", name: "span who", write: showName },
  { title: "State", name: "span doing", write: showState },
  column("Hashrate", "rate", (d) => d.hashrate.ten_seconds, format.rate),
  column("15 min", "lesser", (d) => d.hashrate.quarter_hour, format.rate),
  column("Accepted", "extra", (d) => d.shares, format.countOf),
  column("Faults", "extra", (d) => d.faults, format.count, (d) => [d.faults > 0, d.last_fault]),
  column("Last share", "lesser", (d) => d.last_share_at, format.ago),
  column("Core", "core", (d) => d.reading.temperature, format.celsius),
  column("Memory", "extra", (d) => d.reading.memory_temperature, format.celsius),
  column("Fan", "extra", (d) => d.reading.fan, format.percent),
  column("Power", "power", (d) => d.reading.power, format.watts),
  column("kH/W", "lesser", (d) => d.efficiency, (value) => format.efficiency(value).replace(" kH/W", "")),
  column("Luck", "lesser", (d) => d.luck.ratio, format.ratio, ({ luck }) => [luck.plausible === false, format.luck(luck)]),
  { title: "", name: "action", write: showAction },
];

find("#all").addEventListener("click", ({ target }) => {
  target.setAttribute("aria-pressed", String(find("#devices").classList.toggle("all")));
});

export function showDevices(devices, now, control) {
  const table = find("#devices table");
  if (!table.tHead.rows[0].cells.length) tableHead(table, COLUMNS);
  const unused = COLUMNS.map(({ name, known }) => name === "action" ? !control.hasToken : known && !devices.some(known));
  const hide = (row) => unused.forEach((one, place) => { row.cells[place].hidden = one; });
  hide(table.tHead.rows[0]);
  const items = devices.map((device, index) => ({ device, index }));
  updateChildren(table.tBodies[0], items, ({ device }) => device.name, () => tableRow(COLUMNS), (line, { device, index }) => {
    setData(line, "mood", mood(device));
    hide(line);
    COLUMNS.forEach(({ write }, place) => write(line.cells[place], device, { index, now, control }));
  });
}
