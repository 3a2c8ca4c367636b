// The list of journal entries, newest first.

import { dateTime, time } from "./format.js";
import { element, find, updateChildren } from "./nodes.js";

const MAX_ENTRIES = 500;
const SEVERITY = { debug: 0, info: 1, warning: 2, error: 3 };

export class Events {
  #list = find("#events");
  #level = find("#level");
  #entries = new Map();

  constructor() {
    this.#level.addEventListener("change", () => this.#show());
  }

  add(entries) {
    for (const entry of entries) this.#entries.set(entry.number, entry);
    const numbers = [...this.#entries.keys()].sort((a, b) => a - b);
    for (const old of numbers.slice(0, -MAX_ENTRIES)) this.#entries.delete(old);
    this.#show();
  }

  clear() {
    this.#entries.clear();
    this.#show();
  }

  #show() {
    const minimum = SEVERITY[this.#level.value];
    const shown = [...this.#entries.values()].filter(({ level }) => (SEVERITY[level] ?? 3) >= minimum).sort((a, b) => b.number - a.number);
    updateChildren(this.#list, shown, ({ number }) => number, ({ at, level, topic, text }) => {
      const line = element("li", `entry ${level in SEVERITY ? level : "error"}`);
      const when = element("time", "", time(at));
      when.dateTime = new Date(at * 1000).toISOString();
      when.title = dateTime(at);
      const label = level === "warning" || level === "error" ? [element("strong", "level", level)] : [];
      line.append(when, ...label, element("span", "topic text", topic), element("span", "text", text));
      return line;
    }, () => {});
  }
}
