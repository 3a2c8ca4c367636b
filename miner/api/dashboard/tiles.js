// The few numbers that an owner looks at first.

import * as tell from "./format.js";
import { element, find, keyed, mark, put } from "./nodes.js";

const known = (value, words) => value === null || value === undefined ? tell.DASH : words(value);

function tiles({ hashrate, shares, power, efficiency, luck, job, pool, jobs, faults, light }) {
  const answered = shares.accepted + shares.not_accepted;
  return [
    {
      title: "Hashrate", value: tell.rate(hashrate.ten_seconds), wide: true,
      about: [`60 s: ${tell.rate(hashrate.minute)}`, `15 min: ${tell.rate(hashrate.quarter_hour)}`],
      hint: "nonces really tried, over the last 10 seconds",
    },
    {
      title: "Accepted", value: tell.count(shares.accepted),
      about: [
        answered ? `${tell.ratio(shares.accepted / answered)} of ${tell.count(answered)} shares` : "no share yet",
        `${tell.count(shares.rejected)} rejected · ${tell.count(shares.stale)} stale`,
        `${tell.count(shares.invalid)} invalid · ${tell.count(shares.lost)} lost`,
        `${tell.count(shares.hardware)} hardware · ${tell.plural(faults, "fault")}`,
      ],
      hint: Object.entries(shares.outcomes ?? {}).map(([name, n]) => `${name}: ${n}`).join(", "),
    },
    {
      title: "Power", value: tell.watts(power), about: [efficiency === null ? `${tell.DASH} kH/W` : tell.efficiency(efficiency)],
      hint: "of all devices that tell it; kH/W only where each of them does",
    },
    {
      title: "Luck", value: tell.ratio(luck.ratio), about: [tell.luck(luck)],
      warn: luck.plausible === false,
      hint: "shares found for those that as many hashes bring; 95 of 100 runs end in what is called normal",
    },
    {
      title: "Effort", value: tell.ratio(luck.effort),
      about: ["work since the last share; 100 % is what one costs"],
    },
    {
      title: "Job", broad: true, value: known(job?.height, tell.count),
      about: job
        ? [`epoch ${tell.count(job.epoch)}`, `period ${tell.count(job.period)}`, `difficulty ${tell.difficulty(job.difficulty)}`, light]
        : ["there is no job", pool ? "" : "no pool is connected", light],
      hint: `height of the block that is searched for; ${tell.plural(jobs, "job")} came so far`,
    },
  ];
}

export function showTiles(status) {
  keyed(find("#tiles"), tiles(status), (tile) => tile.title, (tile) => {
    const made = element("article", `tile ${tile.wide ? "wide" : tile.broad ? "broad" : ""}`.trim());
    made.append(element("h2", "", tile.title), element("p", "value"), element("div", "about"));
    return made;
  }, (node, tile) => {
    const [, value, about] = node.children;
    put(value, tile.value);
    node.title = tile.hint ?? "";
    mark(node, "warn", String(Boolean(tile.warn)));
    keyed(about, tile.about.filter(Boolean).map((text, index) => [index, text]), ([index]) => index, () => element("p"), (line, [, text]) => put(line, text));
  });
}
