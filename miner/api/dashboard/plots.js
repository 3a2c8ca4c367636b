// The plots of hashrate and temperature: the miner's history and its current values.

import { lineClasses } from "./devices.js";
import { celsius, rate, siPrefix } from "./format.js";
import { fetchJson } from "./live.js";
import { find } from "./nodes.js";
import { Plot } from "./plot.js";

const WINDOW = { 10: 3600, 300: 86400 }; // seconds shown, by seconds between samples
const MIN_WINDOW = 600; // seconds shown of a miner that has just started
const MAX_TOGETHER = 3; // devices that share a plot with their sum
const RENEWAL = 30; // seconds between two requests of the history

const hasValues = ({ points }) => points.some(([, value]) => value !== null);

function rateUnit(...lines) {
  const [factor, letter] = siPrefix(Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0))));
  return { factor, text: `${letter}H/s` };
}

export class Plots {
  #hashrate = new Plot(find("#hashrate-plot"), "Hashrate", rate, "No hashrate yet.");
  #temperature = new Plot(find("#temperature-plot"), "Temperature", celsius, "No device reports its temperature.");
  #each = new Plot(find("#hashrate-each"), "Hashrate of each device", rate, "No hashrate yet.");
  #memory = new Plot(find("#temperature-memory"), "Memory temperature", celsius, "No device reports it.");
  #step = 10;
  #samples = { 10: [], 300: [] };
  #renewed = { 10: -Infinity, 300: -Infinity };
  #status = null;

  constructor() {
    for (const button of document.querySelectorAll("[data-step]")) {
      button.addEventListener("click", () => {
        this.#step = Number(button.dataset.step);
        for (const other of document.querySelectorAll("[data-step]")) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        this.#renew();
        this.#draw();
      });
    }
  }

  /** Show a new status. */
  show(status) {
    this.#status = status;
    this.#extend();
    this.#renew();
    this.#draw();
  }

  /** Forget the samples of an earlier run. */
  restart() {
    this.#samples = { 10: [], 300: [] };
    this.#renewed = { 10: -Infinity, 300: -Infinity };
  }

  /** Add a sample every 10 s, as the miner does: until the next request the line has no gap. */
  #extend() {
    const samples = this.#samples[10], now = this.#sample("ten_seconds");
    if (!samples.length || now.at - samples.at(-1).at >= 10) samples.push(now);
    while (samples[0].at < now.at - WINDOW[10]) samples.shift();
  }

  /** The newest status in the form of a sample. */
  #sample(window) {
    const { at, hashrate, devices } = this.#status;
    const own = devices.map(({ name, hashrate: rates, reading }) => ({ ...reading, name, hashrate: rates[window] }));
    return { at, hashrate: hashrate[window], devices: own };
  }

  async #renew() {
    const step = this.#step, now = performance.now() / 1000;
    if (now - this.#renewed[step] < RENEWAL) return;
    this.#renewed[step] = now;
    try {
      this.#samples[step] = (await fetchJson(`history?step=${step}`)).samples;
      this.#draw();
    } catch {
      // The page's head shows whether the miner can be reached.
    }
  }

  #draw() {
    if (!this.#status) return;
    const { at, started_at: begun, devices } = this.#status;
    const step = this.#step, now = this.#sample(step === 10 ? "ten_seconds" : "minute");
    const samples = [...this.#samples[step].filter((sample) => sample.at < at), now];
    const from = at - Math.min(WINDOW[step], Math.max(MIN_WINDOW, at - begun));
    const line = (name, classes, pick) => ({ name, classes, points: samples.map((sample) => [sample.at, pick(sample) ?? null]) });
    const of = (name, key) => (sample) => sample.devices.find((device) => device.name === name)?.[key];
    const names = devices.map((device) => device.name);
    const rates = names.map((name, index) => line(name, lineClasses(index), of(name, "hashrate")));
    const total = { ...line("Total", "total", (sample) => sample.hashrate), total: true };
    const common = { from, to: at, gap: step * 2.5 };
    const core = names.map((name, index) => line(name, lineClasses(index), of(name, "temperature")));
    const memory = names.map((name, index) => line(`${name} memory`, `${lineClasses(index)} memory`, of(name, "memory_temperature")));
    const warm = { ...common, unit: { factor: 1, text: "°C" } };
    // Too many lines in one plot are unreadable.
    const apart = names.length > MAX_TOGETHER;
    this.#hashrate.show({ ...common, lines: apart ? [total] : [total, ...(names.length > 1 ? rates : [])], unit: rateUnit(total), grounded: true });
    this.#each.show(apart && { ...common, lines: rates, unit: rateUnit(...rates), grounded: true });
    find("#temperature").hidden = ![...core, ...memory].some(hasValues);
    const heat = apart ? core : core.flatMap((one, index) => [one, memory[index]]);
    this.#temperature.show({ ...warm, lines: heat.filter(hasValues) });
    this.#memory.show(apart && memory.some(hasValues) && { ...warm, lines: memory.filter(hasValues), bare: true });
  }
}
