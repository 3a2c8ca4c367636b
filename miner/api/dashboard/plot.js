// A plot of lines over time: axes, a legend, and a read-out that follows pointer and keys.

import { minutes, time } from "./format.js";
import { element, setText } from "./nodes.js";
import { timeTicks, valueTicks } from "./scale.js";

const HEIGHT = 220;
const EDGE = { left: 46, right: 12, top: 24, bottom: 24 };

function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

export class Plot {
  #box; #title; #empty; #format;
  #chart = svg("svg", { role: "img", height: HEIGHT });
  #legend = element("ul", "legend");
  #readout = element("div", "readout");
  #summary = element("p", "summary");
  #cursor = svg("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom });
  #at = null;
  #shown = null;
  #width = 0;

  /** `format(value)` returns a value with its unit; `empty` is shown without values. */
  constructor(box, title, format, empty) {
    [this.#box, this.#title, this.#format, this.#empty] = [box, title, format, empty];
    const frame = element("div", "frame");
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", `${title} over time; the arrow keys read its values`);
    this.#readout.setAttribute("aria-live", "polite");
    this.#readout.hidden = true;
    frame.append(this.#chart, this.#readout);
    box.append(this.#legend, frame, this.#summary);
    for (const kind of ["pointermove", "pointerdown"]) frame.addEventListener(kind, (event) => this.#onPointer(event));
    frame.addEventListener("pointerleave", () => this.#showReadout(null));
    frame.addEventListener("blur", () => this.#showReadout(null));
    frame.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#resize()).observe(frame);
  }

  /** Show `lines` ({name, classes, points: [[at, value or null]]}) from `from` to `to`.
   * Points more than `gap` seconds apart are not joined; `unit` is {factor, text}; with `grounded`
   * the axis starts at 0; a `bare` plot has no legend. Passing false hides the plot. */
  show(shown) {
    this.#box.hidden = !shown;
    this.#shown = shown || null;
    this.#draw();
  }

  #resize() {
    const width = Math.floor(this.#chart.parentElement.clientWidth);
    if (width === this.#width || width === 0) return;
    this.#width = width;
    this.#draw();
  }

  #x(at) {
    const { from, to } = this.#shown;
    return EDGE.left + (at - from) / (to - from) * (this.#width - EDGE.left - EDGE.right);
  }

  #draw() {
    if (!this.#shown || !this.#width) return;
    const { lines, from, to, gap, unit, grounded } = this.#shown;
    this.#chart.setAttribute("viewBox", `0 0 ${this.#width} ${HEIGHT}`);
    this.#chart.setAttribute("width", this.#width);
    const values = lines.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value !== null);
    this.#describe(lines, values);
    if (!values.length) {
      this.#chart.replaceChildren(svg("text", { x: this.#width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, this.#empty));
      return;
    }
    const low = Math.min(...values), high = Math.max(...values);
    const room = grounded ? 0 : Math.max((high - low) * 0.1, 2);
    const ticks = valueTicks(grounded ? 0 : (low - room) / unit.factor, (high + room) / unit.factor || 1);
    const bottom = ticks[0], span = ticks.at(-1) - bottom;
    const y = (value) => HEIGHT - EDGE.bottom - (value - bottom) / span * (HEIGHT - EDGE.top - EDGE.bottom);
    const parts = [svg("text", { x: EDGE.left, y: 12, class: "unit", "text-anchor": "end" }, unit.text)];
    for (const tick of ticks) {
      const height = y(tick);
      parts.push(
        svg("line", { class: "grid", x1: EDGE.left, x2: this.#width - EDGE.right, y1: height, y2: height }),
        svg("text", { x: EDGE.left - 8, y: height + 4, "text-anchor": "end" }, String(+tick.toPrecision(6))),
      );
    }
    for (const at of timeTicks(from, to, Math.max(2, Math.floor(this.#width / 90)))) {
      const x = this.#x(at);
      parts.push(svg("line", { class: "tick", x1: x, x2: x, y1: HEIGHT - EDGE.bottom, y2: HEIGHT - EDGE.bottom + 4 }));
      if (x < this.#width - 18) parts.push(svg("text", { x, y: HEIGHT - 6, "text-anchor": "middle" }, minutes(at)));
    }
    for (const { classes, points } of lines) {
      let path = "", before = null;
      for (const [index, [at, value]] of points.entries()) {
        if (value !== null && at >= from) {
          const joined = before !== null && at - before <= gap;
          // The newest value alone would be a dot that moves with the right edge.
          if (!joined && index === points.length - 1) break;
          const spot = `${this.#x(at).toFixed(1)} ${y(value / unit.factor).toFixed(1)}`;
          path += joined ? `L${spot}` : `M${spot}h0`;
          before = at;
        } else before = null;
      }
      parts.push(svg("path", { class: `line ${classes}`, d: path }));
    }
    this.#chart.replaceChildren(...parts, this.#cursor);
    this.#showReadout(this.#at === null ? null : this.#nearest(this.#x(this.#at)));
  }

  #describe(lines, values) {
    this.#legend.replaceChildren(...(this.#shown.bare ? [] : lines).map(({ name, classes }) => {
      const item = element("li");
      item.append(element("span", `swatch ${classes}`), element("span", "text", name));
      return item;
    }));
    const first = lines[0]?.points.map(([, value]) => value).filter((value) => value !== null) ?? [];
    const format = this.#format;
    const text = !values.length ? this.#empty
      : lines[0].total && first.length
        ? `${this.#title}: now ${format(first.at(-1))}, from ${format(Math.min(...first))} to ${format(Math.max(...first))}.`
        : `${this.#title}: from ${format(Math.min(...values))} to ${format(Math.max(...values))}.`;
    // Without values the chart itself shows the text.
    setText(this.#summary, values.length ? text : "");
    this.#chart.setAttribute("aria-label", text);
  }

  #sampleTimes() {
    const { lines, from } = this.#shown;
    return [...new Set(lines.flatMap(({ points }) => points.map(([at]) => at)))].filter((at) => at >= from).sort((a, b) => a - b);
  }

  #nearest(x) {
    let best = null;
    for (const at of this.#sampleTimes()) {
      if (best === null || Math.abs(this.#x(at) - x) < Math.abs(this.#x(best) - x)) best = at;
    }
    return best;
  }

  #onPointer(event) {
    if (!this.#shown) return;
    this.#showReadout(this.#nearest(event.clientX - this.#chart.getBoundingClientRect().left));
  }

  #onKey(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") this.#showReadout(null);
    if (move === undefined || !this.#shown) return;
    event.preventDefault();
    const all = this.#sampleTimes();
    if (!all.length) return;
    const here = this.#at === null ? all.length : all.findIndex((at) => at >= this.#at);
    this.#showReadout(all[Math.min(all.length - 1, Math.max(0, here + move))]);
  }

  #showReadout(at) {
    this.#at = at;
    const rows = at === null || !this.#shown ? [] : this.#shown.lines.flatMap(({ name, classes, points }) => {
      const value = points.find((point) => point[0] === at)?.[1] ?? null;
      return value === null ? [] : [[name, classes, this.#format(value)]];
    });
    this.#readout.hidden = !rows.length;
    this.#readout.classList.toggle("many", rows.length > 8);
    this.#cursor.classList.toggle("on", rows.length > 0);
    if (!rows.length) return;
    const x = this.#x(at);
    this.#cursor.setAttribute("x1", x);
    this.#cursor.setAttribute("x2", x);
    this.#readout.replaceChildren(element("p", "", time(at)), ...rows.map(([name, classes, value]) => {
      const line = element("p");
      line.append(element("span", `swatch ${classes}`), element("span", "text", name), element("b", "", value));
      return line;
    }));
    const left = x > this.#width / 2;
    this.#readout.style.left = left ? "auto" : `${x + 10}px`;
    this.#readout.style.right = left ? `${this.#width - x + 10}px` : "auto";
  }
}
