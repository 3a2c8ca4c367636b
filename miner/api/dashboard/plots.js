// Hashrate and temperature over time: the miner's history, and now.

import { look } from "./devices.js";
import { celsius, prefix, rate } from "./format.js";
import { ask } from "./live.js";
import { find } from "./nodes.js";
import { Plot } from "./plot.js";

const WINDOW = { 10: 3600, 300: 86400 }; // seconds shown, by seconds between samples
const SHORTEST = 600; // seconds shown of a miner that has just begun
const FEW = 3; // devices that share a plot with their sum
const RENEWAL = 30; // seconds after which the history is asked for again

const told = ({ points }) => points.some(([, value]) => value !== null);

function rateUnit(...lines) {
  const [factor, letter] = prefix(Math.max(...lines.flatMap(({ points }) => points.map(([, value]) => value ?? 0))));
  return { factor, text: `${letter}H/s` };
}

export class Plots {
  #hashrate = new Plot(find("#hashrate-plot"), "Hashrate", rate, "No hashrate is known yet.");
  #temperature = new Plot(find("#temperature-plot"), "Temperature", celsius, "No device tells its temperature.");
  #each = new Plot(find("#hashrate-each"), "Hashrate of each device", rate, "No hashrate is known yet.");
  #memory = new Plot(find("#temperature-memory"), "Temperature of the memory", celsius, "No device tells it.");
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

  /** Go on to a newer status. */
  show(status) {
    this.#status = status;
    this.#renew();
    this.#draw();
  }

  /** Ask for the whole history with the next status. */
  restart() {
    this.#renewed = { 10: -Infinity, 300: -Infinity };
  }

  async #renew() {
    const step = this.#step, now = performance.now() / 1000;
    if (now - this.#renewed[step] < RENEWAL) return;
    this.#renewed[step] = now;
    try {
      this.#samples[step] = (await ask(`history?step=${step}`)).samples;
      this.#draw();
    } catch {
      // Whether the miner can be reached is told elsewhere.
    }
  }

  #draw() {
    if (!this.#status) return;
    const { at, started_at: begun, devices, hashrate } = this.#status;
    const step = this.#step, window = step === 10 ? "ten_seconds" : "minute";
    const now = {
      at, hashrate: hashrate[window],
      devices: devices.map(({ name, hashrate: own, reading }) => ({ ...reading, name, hashrate: own[window] })),
    };
    const samples = [...this.#samples[step].filter((sample) => sample.at < at), now];
    const from = at - Math.min(WINDOW[step], Math.max(SHORTEST, at - begun));
    const line = (name, shown, pick) => ({ name, look: shown, points: samples.map((sample) => [sample.at, pick(sample) ?? null]) });
    const of = (name, key) => (sample) => sample.devices.find((device) => device.name === name)?.[key];
    const names = devices.map((device) => device.name);
    const rates = names.map((name, index) => line(name, look(index), of(name, "hashrate")));
    const total = { ...line("Total", "total", (sample) => sample.hashrate), total: true };
    const common = { from, to: at, gap: step * 2.5 };
    const core = names.map((name, index) => line(name, look(index), of(name, "temperature")));
    const memory = names.map((name, index) => line(`${name} memory`, `${look(index)} memory`, of(name, "memory_temperature")));
    const warm = { ...common, unit: { factor: 1, text: "°C" } };
    // More than a few lines in one picture are read by nobody.
    const apart = names.length > FEW;
    this.#hashrate.show({ ...common, lines: apart ? [total] : [total, ...(names.length > 1 ? rates : [])], unit: rateUnit(total), grounded: true });
    this.#each.show(apart && { ...common, lines: rates, unit: rateUnit(...rates), grounded: true });
    const heat = apart ? core : core.flatMap((one, index) => [one, memory[index]]);
    this.#temperature.show({ ...warm, lines: heat.filter(told) });
    this.#memory.show(apart && memory.some(told) && { ...warm, lines: memory.filter(told), bare: true });
  }
}
