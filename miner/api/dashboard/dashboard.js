// Joins what the miner says with what the page shows.

import { Control } from "./control.js";
import { showDevices } from "./devices.js";
import { Events } from "./events.js";
import { duration, moment, rate } from "./format.js";
import { Live } from "./live.js";
import { element, find, keyed, put } from "./nodes.js";
import { Plots } from "./plots.js";
import { showBest, showPools } from "./pools.js";
import { showTiles } from "./tiles.js";

const RESTARTED = 5; // seconds by which the start of the same run may seem to move
const LINKS = { live: "live", polling: "asking every few seconds", lost: "not reachable" };

let shown = null;
const control = new Control(() => shown && showDevices(shown.devices, shown.at, control));
const events = new Events();
const plots = new Plots();

function head({ rig, version, algorithm, coin, uptime, ready, reasons, hashrate }) {
  const title = rig || "progpow-miner";
  put(find("#rig"), title);
  document.title = `${rate(hashrate.ten_seconds)} – ${title}`;
  const what = [algorithm, coin].filter(Boolean).join(" · ");
  put(find("#about"), [what, `progpow-miner ${version ?? ""}`, `up ${duration(uptime)}`].filter(Boolean).join(" · "));
  const pill = find("#ready");
  pill.hidden = false;
  pill.dataset.mood = ready ? "good" : "warn";
  put(pill, ready ? "ready" : "not ready");
  find("#reasons").hidden = ready || !reasons.length;
  const numbered = (ready ? [] : reasons).map((text, index) => ({ text, index }));
  keyed(find("#reasons"), numbered, ({ index }) => index, () => element("li", "text"), (line, { text }) => put(line, text));
}

const live = new Live({
  status(status) {
    const anew = shown && Math.abs(status.started_at - shown.started_at) > RESTARTED;
    shown = status;
    if (anew) {
      events.clear();
      plots.restart();
      live.restart();
    }
    head(status);
    showTiles(status);
    showDevices(status.devices, status.at, control);
    showPools(status);
    showBest(status);
    plots.show(status);
  },
  entries: (entries) => events.add(entries),
}, (link) => {
  document.body.dataset.link = link;
  put(find("#link"), LINKS[link]);
  const alarm = find("#alarm");
  alarm.hidden = link !== "lost";
  if (link === "lost") document.title = `not reachable – ${find("#rig").textContent}`;
  put(alarm, link !== "lost" ? "" : shown
    ? `The miner cannot be reached; these are its numbers of ${moment(shown.at)}.`
    : "The miner cannot be reached. This page goes on asking.");
});
live.start();
