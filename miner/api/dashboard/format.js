// Formats numbers for people; an unknown value is a dash, never 0.

export const DASH = "–";

const unknown = (value) => value === null || value === undefined || Number.isNaN(value);
const PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** The power of 1000 for `value`, as [factor, prefix]. */
export function siPrefix(value) {
  let index = 0;
  for (let rest = Math.abs(value); rest >= 999.995 && index < PREFIXES.length - 1; rest /= 1000) index++;
  return [1000 ** index, PREFIXES[index]];
}

function scaled(value, unit) {
  if (unknown(value)) return DASH;
  const [factor, letter] = siPrefix(value);
  return `${(value / factor).toFixed(letter ? 2 : 0)} ${letter}${unit}`;
}

/** H/s. */
export const rate = (value) => scaled(value, "H/s");

/** Average number of hashes for a share. */
export const difficulty = (value) => scaled(value, "H");

export const count = (value) => unknown(value) ? DASH : Math.round(value).toLocaleString("en").replaceAll(",", " ");

/** Accepted of all shares with an outcome. */
export const countOf = ({ accepted, not_accepted: others }) => `${count(accepted)} of ${count(accepted + others)}`;

/** Mean of `n` events in `seconds`. */
export const perMinute = (n, seconds) => `${seconds ? (n * 60 / seconds).toFixed(n * 60 >= 10 * seconds ? 0 : 2) : DASH}/min`;

/** Hashes per joule, shown as kH/s per watt. */
export const efficiency = (value) => unknown(value) ? DASH : `${(value / 1000).toFixed(value >= 10000 ? 0 : 2)} kH/W`;

export const watts = (value) => unknown(value) ? DASH : `${count(value)} W`;

export const celsius = (value) => unknown(value) ? DASH : `${Math.round(value)} °C`;

/** 0 to 100. */
export const percent = (value) => unknown(value) ? DASH : `${Math.round(value)}%`;

/** 0 to 1 and more. */
export const ratio = (value) => percent(unknown(value) ? null : value * 100);

/** Seconds of a round trip. */
export function latency(value) {
  if (unknown(value)) return DASH;
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

/** Seconds, in the `most` largest units. */
export function duration(value, most = 2) {
  if (unknown(value)) return DASH;
  const whole = Math.max(0, Math.round(value));
  const parts = [
    [Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + most).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(" ");
}

export const ago = (at, now) => unknown(at) ? DASH : `${duration(now - at, 1)} ago`;

const pattern = (options) => new Intl.DateTimeFormat("en-GB", { hourCycle: "h23", ...options });
const SECONDS = pattern({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTES = pattern({ hour: "2-digit", minute: "2-digit" });
const DAY = pattern({ day: "numeric", month: "short" });

/** UNIX seconds, as local time. */
export const time = (at) => SECONDS.format(at * 1000);
export const minutes = (at) => MINUTES.format(at * 1000);
export const dateTime = (at) => `${DAY.format(at * 1000)}, ${time(at)}`;

/** Shares found, expected, and the range in which 95 % of all runs end. */
export function luck({ found, expected, band }) {
  if (unknown(expected)) return DASH;
  if (expected === 0) return "too early to expect shares";
  return `${count(found)} found, ${expected < 100 ? expected.toFixed(1) : count(expected)} expected (${count(band.low)} to ${count(band.high)} is normal)`;
}

export const plural = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;
