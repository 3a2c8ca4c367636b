// The most important values, as tiles.

import * as format from "./format.js";
import { element, find, updateChildren, setData, setText } from "./nodes.js";

function tiles({ uptime, hashrate, shares, power, efficiency, luck, best, job, faults, light }) {
  const answered = shares.accepted + shares.not_accepted;
  return [
    {
      title: "Hashrate", value: format.rate(hashrate.ten_seconds), wide: true,
      about: [`60 s: ${format.rate(hashrate.minute)}`, `15 min: ${format.rate(hashrate.quarter_hour)}`],
    },
    {
      title: "Accepted", value: format.count(shares.accepted),
      about: [
        answered ? `${format.ratio(shares.accepted / answered)} of ${format.count(answered)} · ${format.perMinute(shares.accepted, uptime)}` : "no share yet",
        [
          ...["rejected", "stale", "invalid", "lost"].map((name) => shares[name] && `${format.count(shares[name])} ${name}`),
          shares.hardware && format.plural(shares.hardware, "hardware error"), faults && format.plural(faults, "fault"),
        ].filter(Boolean).join(" · "),
        best.length && `best ${format.difficulty(best[0].difficulty)}`,
      ],
    },
    power !== null && {
      title: "Power", value: format.watts(power), about: [efficiency !== null && format.efficiency(efficiency)],
    },
    {
      title: "Luck", value: format.ratio(luck.ratio),
      about: [format.luck(luck), `effort ${format.ratio(luck.effort)}`],
      warn: luck.plausible === false,
    },
    {
      title: "Job", value: format.count(job?.height),
      about: job
        ? [job.wait_reason, `epoch ${format.count(job.epoch)}`, `period ${format.count(job.period)}`, `difficulty ${format.difficulty(job.difficulty)}`, light]
        : ["no job", light],
    },
  ];
}

export function showTiles(status) {
  updateChildren(find("#tiles"), tiles(status).filter(Boolean), (tile) => tile.title, (tile) => {
    const made = element("article", tile.wide ? "tile wide" : "tile");
    made.append(element("h2", "", tile.title), element("p", "value"), element("div", "about"));
    return made;
  }, (node, tile) => {
    const [, value, about] = node.children;
    setText(value, tile.value);
    setData(node, "warn", String(Boolean(tile.warn)));
    updateChildren(about, tile.about.filter(Boolean).map((text, index) => [index, text]), ([index]) => index, () => element("p"), (line, [, text]) => setText(line, text));
  });
}
