// The page: shows what live.js hands on.
import { post, twice } from "./act.js";
import { showAlerts } from "./alerts.js";
import { closeDetails, move, showCalls } from "./calls.js";
import { cls, count, el, text } from "./dom.js";
import { follow } from "./live.js";
import { closeLetters, showOutbox } from "./outbox.js";
import { reloadText, showHosts, showPlan } from "./setup.js";
import { showUpstreams } from "./upstreams.js";

const $ = (id) => document.getElementById(id);
const list = $("list"), filter = $("filter"), pause = $("pause"), plan = $("plan");
const most = 500; // calls that are shown
const frame = 200; // ms between two looks of the list: nobody reads faster

let state = {};
let calls = []; // the newest first
let lost = 0;
let skew = 0; // how far the server's clock is ahead of ours, ms
let due = 0;

const setFilter = follow({
  status: showState,
  latest(found, ahead, more) {
    skew = ahead;
    const newer = (call) => found.length && call.number > found[0].number && call.time > found[0].time;
    calls = merge(found, more ? calls.filter(newer) : []);
    lost = 0;
    render();
  },
  calls(found, missed) {
    calls = merge(calls, found);
    lost += missed;
    soon();
  },
  link,
  refused(why) {
    text($("refused"), why);
    filter.setAttribute("aria-invalid", "true");
  },
});

// merge puts together what came by two ways, and drops the oldest.
function merge(some, others) {
  const all = new Map();
  for (const call of [...some, ...others]) all.set(call.number, call);
  return [...all.values()].sort((a, b) => b.number - a.number).slice(0, most);
}

function showState(next) {
  const restarted = state.started && state.started !== next.started; // it counts its calls from one again
  const reread = JSON.stringify([state.reload, state.started]) !== JSON.stringify([next.reload, next.started]);
  state = next;
  if (restarted) calls = [];
  const now = Date.now() + skew;
  const upstreams = state.upstreams || [];
  text($("version"), state.version || "");
  showUpstreams($("upstreams"), upstreams, state.traffic || {}, now);
  $("no-upstreams").hidden = upstreams.length > 0;
  showTotals(upstreams, state.capture || {});
  showAlerts($("alerts"), (state.alerts || []).filter((alert) => alert.rule !== "reload-refused"), now, traceLink); // which warnings have, whole
  showOutbox($("outbox"), state.outbox, now, traceLink);
  showHosts($("hosts"), state.capture, now);
  text($("read"), reloadText(state, now));
  text($("warnings"), (state.warnings || []).join("\n"));
  $("warnings").hidden = !(state.warnings || []).length;
  notice(warnings().join("\n\n"));
  if (reread && plan.open) showPlan($("plans"));
  if (state.ready === false) link("draining");
}

// soon shows the list in a moment: a thousand calls a second are shown five times.
function soon() {
  if (!due) due = setTimeout(render, frame);
}

function render() {
  clearTimeout(due);
  due = 0;
  if (pause.getAttribute("aria-pressed") === "true") return;
  showCalls(list, calls, traceLink);
  text($("shown"), (calls.length ? `latest ${count(calls.length)}` : "") + (lost ? `, and ${count(lost)} too many to show` : ""));
  const empty = $("no-calls");
  const at = (state.listen && state.listen[""]) || "";
  empty.hidden = calls.length > 0;
  text(empty, filter.value.trim() ? "No call matches the filter."
    : "No calls yet. " + (at ? `Use http://${at}/NAME/ as base URL, or set HTTP_PROXY=http://${at}.` : "Point an application here and watch."));
}

// traceLink leads to where a trace can be looked at, if that is configured.
function traceLink(id, label) {
  if (!state.trace_url) return null;
  const link = el("a", "", label);
  link.href = state.trace_url.replace("{trace_id}", encodeURIComponent(id));
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

// warnings are what somebody has to do something about, and is no alert.
function warnings() {
  const found = [];
  const refused = state.reload && state.reload.error;
  if (refused) found.push("The configuration on disk was refused; the one before still applies.\n" + refused);
  for (const target of state.notified || []) if (target.failing) found.push(`Alerts do not reach ${target.target || "a notification URL"}, since ${new Date(target.failing).toLocaleString()}\n${target.error}`);
  const closed = calls.filter((call) => call.problem === "interception-failed");
  if (closed.length) found.push(`Of the latest calls, ${closed.length} could not be opened, and did not get through. The last: ${closed[0].host}\n${closed[0].error}`);
  return found;
}

function showTotals(upstreams, capture) {
  let waiting = 0, underWay = 0, open = 0;
  for (const up of upstreams) {
    for (const quota of up.quotas || []) {
      waiting += quota.waiting;
      if (!quota.bucket) underWay += quota.active; // a call that counts to a bucket is in the quota of its limit, too
    }
    for (const circuit of up.circuits || []) if (circuit.state === "open" && circuit.key !== "*") open++; // "*" stands for all
  }
  const parts = [count(upstreams.length) + (upstreams.length === 1 ? " upstream" : " upstreams"), count(underWay) + " under way", count(waiting) + " waiting"];
  if (open) parts.push(count(open) + (open === 1 ? " circuit open" : " circuits open"));
  if (capture.tunnels) parts.push(count(capture.tunnels) + " by CONNECT");
  if (capture.observed) parts.push(count(capture.observed.length) + (capture.observed.length === 1 ? " host observed" : " hosts observed"));
  text($("totals"), parts.join(" · "));
}

function link(state) {
  const node = $("link");
  text(node, state);
  cls(node, "live", state === "live");
  cls(node, "lost", state === "no answer");
}

function notice(message) {
  const node = $("notice");
  node.hidden = !message;
  text(node, message);
}

function setPaused(on) {
  pause.setAttribute("aria-pressed", String(on));
  text(pause, on ? "paused" : "pause");
}

const themes = ["auto", "dark", "light"];

function setTheme(name) {
  const theme = themes.includes(name) ? name : "auto";
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  text($("theme"), theme);
  try { localStorage.setItem("theme", theme); } catch { /* private windows have no storage */ }
}

function storedTheme() {
  try { return localStorage.getItem("theme"); } catch { return "auto"; }
}

let typed = 0;

function useFilter() {
  clearTimeout(typed);
  text($("refused"), "");
  filter.removeAttribute("aria-invalid");
  setFilter(filter.value.trim());
}

filter.addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(useFilter, 200);
});
pause.addEventListener("click", () => {
  setPaused(pause.getAttribute("aria-pressed") === "false");
  render();
});
plan.addEventListener("toggle", () => { if (plan.open) showPlan($("plans")); });
twice($("reload"), () => post("/reload", {}, (words, bad) => {
  text($("reloaded"), words);
  cls($("reloaded"), "bad", bad);
}));
$("theme").addEventListener("click", () => setTheme(themes[(themes.indexOf($("theme").textContent) + 1) % themes.length]));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === filter;
  if (event.target.tagName === "SELECT") return; // which has keys of its own
  if (event.key === "Escape") {
    if (typing) { filter.value = ""; useFilter(); filter.blur(); } else if (!closeDetails(list)) closeLetters();
    return;
  }
  if (typing) {
    if (event.key === "ArrowDown" || event.key === "Enter") { event.preventDefault(); move(list, 1); }
    return;
  }
  const act = { "/": () => filter.focus(), j: () => move(list, 1), k: () => move(list, -1),
    ArrowDown: inList(1), ArrowUp: inList(-1), p: () => pause.click() }[event.key];
  if (act) { event.preventDefault(); act(); }
});

// Arrow keys scroll the page unless a call has the focus.
function inList(by) {
  return list.contains(document.activeElement) ? () => move(list, by) : undefined;
}

setTheme(storedTheme());
setPaused(false);
