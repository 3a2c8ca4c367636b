// The most important values, as tiles.

import * as format from "./format.js";
import { element, find, updateChildren, setData, setText } from "./nodes.js";

function tiles({ uptime, hashrate, shares, power, efficiency, luck, job, pool, jobs, faults, light }) {
  const answered = shares.accepted + shares.not_accepted;
  return [
    {
      title: "Hashrate", value: format.rate(hashrate.ten_seconds), wide: true,
      about: [`60 s: ${format.rate(hashrate.minute)}`, `15 min: ${format.rate(hashrate.quarter_hour)}`],
      hint: "nonces hashed per second, over the last 10 seconds",
    },
    {
      title: "Accepted", value: format.count(shares.accepted),
      about: [
        answered ? `${format.ratio(shares.accepted / answered)} of ${format.count(answered)} · ${format.perMinute(shares.accepted, uptime)}` : "no share yet",
        [
          ...["rejected", "stale", "invalid", "lost"].map((name) => shares[name] && `${format.count(shares[name])} ${name}`),
          shares.hardware && format.plural(shares.hardware, "hardware error"), faults && format.plural(faults, "fault"),
        ].filter(Boolean).join(" · "),
      ],
    },
    power !== null && {
      title: "Power", value: format.watts(power), about: [efficiency === null ? "" : format.efficiency(efficiency)],
      hint: "sum of the devices with a power sensor; kH/W only if all have one",
    },
    {
      title: "Luck", value: format.ratio(luck.ratio), about: [format.luck(luck)],
      warn: luck.plausible === false,
      hint: "shares found relative to the average for as many hashes; 95 % of all runs are in the normal range",
    },
    {
      title: "Effort", value: format.ratio(luck.effort),
      about: ["of the average work for a share"], hint: "work since the last share",
    },
    {
      title: "Job", broad: true, value: format.count(job?.height),
      about: job
        ? [job.other_algorithm && `waiting: this block is for ${job.other_algorithm}`, `epoch ${format.count(job.epoch)}`, `period ${format.count(job.period)}`, `difficulty ${format.difficulty(job.difficulty)}`, light]
        : ["no job", pool ? "" : "not connected to a pool", light],
      hint: `height of the block being mined; ${format.plural(jobs, "job")} received`,
    },
  ];
}

export function showTiles(status) {
  updateChildren(find("#tiles"), tiles(status).filter(Boolean), (tile) => tile.title, (tile) => {
    const made = element("article", `tile ${tile.wide ? "wide" : tile.broad ? "broad" : ""}`.trim());
    made.append(element("h2", "", tile.title), element("p", "value"), element("div", "about"));
    return made;
  }, (node, tile) => {
    const [, value, about] = node.children;
    setText(value, tile.value);
    node.title = tile.hint ?? "";
    setData(node, "warn", String(Boolean(tile.warn)));
    updateChildren(about, tile.about.filter(Boolean).map((text, index) => [index, text]), ([index]) => index, () => element("p"), (line, [, text]) => setText(line, text));
  });
}
