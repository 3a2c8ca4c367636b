// Entry point: passes live data to the parts of the page.

import { Control } from "./control.js";
import { showDevices } from "./devices.js";
import { Events } from "./events.js";
import { dateTime, duration, rate } from "./format.js";
import { Live } from "./live.js";
import { element, find, setText, updateChildren } from "./nodes.js";
import { Plots } from "./plots.js";
import { showPools } from "./pools.js";
import { showTiles } from "./tiles.js";

const START_TOLERANCE = 5; // seconds by which the reported start of one run may vary
const LINKS = { live: "live", polling: "polling every few seconds", lost: "not reachable" };

let shown = null; // the newest status
const control = new Control(() => shown && showDevices(shown.devices, shown.at, control));
const events = new Events();
const plots = new Plots();

function showHead(status) {
  const { rig, version, algorithm, coin, uptime, ready, hashrate, pool } = status;
  const title = rig || "progpow-miner";
  setText(find("#rig"), title);
  document.title = `${rate(hashrate.ten_seconds)} – ${title}`;
  const account = pool?.account && `for ${pool.account}`;
  const about = [algorithm, coin, account, `progpow-miner ${version ?? ""}`, `up ${duration(uptime)}`];
  setText(find("#about"), about.filter(Boolean).join(" · "));
  const pill = find("#ready");
  pill.hidden = false;
  const reasons = [...new Set([...status.reasons, ...status.degraded])];
  pill.dataset.mood = reasons.length ? "warn" : "good";
  setText(pill, !ready ? "not ready" : reasons.length ? `${status.devices_present} of ${status.devices_expected} devices` : "ready");
  find("#reasons").hidden = !reasons.length;
  updateChildren(find("#reasons"), reasons, (text) => text, () => element("li", "text"), setText);
}

const live = new Live({
  status(status) {
    const restarted = shown && Math.abs(status.started_at - shown.started_at) > START_TOLERANCE;
    shown = status;
    if (restarted) {
      events.clear();
      plots.restart();
      live.restart();
    }
    showHead(status);
    showTiles(status);
    showDevices(status.devices, status.at, control);
    showPools(status);
    plots.show(status);
  },
  entries: (entries) => events.add(entries),
}, (link) => {
  document.body.dataset.link = link;
  setText(find("#link"), LINKS[link]);
  const alarm = find("#alarm");
  alarm.hidden = link !== "lost";
  if (link === "lost") document.title = `not reachable – ${find("#rig").textContent}`;
  setText(alarm, link !== "lost" ? "" : shown
    ? `The miner cannot be reached; showing its values of ${dateTime(shown.at)}.`
    : "The miner cannot be reached. Retrying.");
});
live.start();
control.check();
