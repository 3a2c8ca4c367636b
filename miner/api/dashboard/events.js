// The list of what happened, newest first.

import { moment, time } from "./format.js";
import { element, find, keyed } from "./nodes.js";

const KEPT = 500;
const WEIGHT = { debug: 0, info: 1, warning: 2, error: 3 };

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
    for (const old of numbers.slice(0, -KEPT)) this.#entries.delete(old);
    this.#show();
  }

  clear() {
    this.#entries.clear();
    this.#show();
  }

  #show() {
    const least = WEIGHT[this.#level.value];
    const shown = [...this.#entries.values()].filter(({ level }) => (WEIGHT[level] ?? 3) >= least).sort((a, b) => b.number - a.number);
    keyed(this.#list, shown, ({ number }) => number, ({ at, level, topic, text }) => {
      const line = element("li", `entry ${level in WEIGHT ? level : "error"}`);
      const when = element("time", "", time(at));
      when.dateTime = new Date(at * 1000).toISOString();
      when.title = moment(at);
      const grave = level === "warning" || level === "error" ? [element("strong", "level", level)] : [];
      line.append(when, ...grave, element("span", "topic text", topic), element("span", "text", text));
      return line;
    }, () => {});
  }
}
