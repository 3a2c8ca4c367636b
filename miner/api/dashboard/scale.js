// Round values for the ticks of axes.

const FACTORS = [1, 2, 2.5, 5, 10];
const SPANS = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** About `wanted` round values whose range contains `low` and `high`. */
export function valueTicks(low, high, wanted = 4) {
  const rough = Math.max(high - low, 1e-9) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * FACTORS.find((factor) => factor * power >= rough * 0.999);
  const found = [];
  const first = Math.floor(low / step + 1e-9), last = Math.ceil(high / step - 1e-9);
  for (let index = first; index <= Math.max(last, first + 1); index++) found.push(index * step);
  return found;
}

/** At most `most` round times of day between two UNIX times. */
export function timeTicks(from, to, most) {
  const step = SPANS.find((span) => (to - from) / span <= most) ?? 86400;
  const shift = new Date(to * 1000).getTimezoneOffset() * 60;
  const found = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step) found.push(at);
  return found;
}
