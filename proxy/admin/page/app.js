// Asks for the state once a second and shows it; asks nobody while nobody looks.
import { closeDetails, move, showCalls } from "./calls.js";
import { cls, count, text } from "./dom.js";
import { showUpstreams } from "./upstreams.js";

const $ = (id) => document.getElementById(id);
const list = $("list"), filter = $("filter"), pause = $("pause");
const period = 1000;

let calls = [];
let listen = "";
let skew = 0; // how far the server's clock is ahead of ours, ms
let failures = 0;

async function ask(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(path + " answered " + response.status);
  const version = response.headers.get("Outrider-Version");
  if (version) text($("version"), version);
  // Date has whole seconds: less than two of difference mean nothing.
  const ahead = Date.parse(response.headers.get("Date")) - Date.now();
  skew = Math.abs(ahead) > 2000 ? ahead : 0;
  return response.json();
}

async function refresh() {
  try {
    const [status, latest] = await Promise.all([ask("/api/status"), ask("/api/calls")]);
    failures = 0;
    const state = Array.isArray(status) ? { upstreams: status } : status || {};
    const upstreams = state.upstreams || [];
    listen = (state.listen && state.listen[""]) || "";
    showUpstreams($("upstreams"), upstreams, Date.now() + skew);
    $("no-upstreams").hidden = upstreams.length > 0;
    showTotals(upstreams, state.capture || {});
    notice(warnings(state, latest || []).join("\n\n"));
    link(state.ready === false ? "draining" : "live");
    if (pause.getAttribute("aria-pressed") === "false") {
      calls = latest || [];
      render();
    }
  } catch (error) {
    failures++;
    link(failures > 1 ? "no answer" : "waiting");
  }
}

async function loop() {
  for (;;) {
    if (!document.hidden) await refresh();
    await new Promise((done) => setTimeout(done, period));
  }
}

function render() {
  const shown = showCalls(list, calls, filter.value);
  text($("shown"), filter.value.trim() ? `${shown} of ${calls.length}` : calls.length ? `latest ${calls.length}` : "");
  const empty = $("no-calls");
  empty.hidden = shown > 0;
  text(empty, calls.length ? "No call matches the filter."
    : "No calls yet. " + (listen ? `Use http://${listen}/NAME/ as base URL, or set HTTP_PROXY=http://${listen}.` : "Point an application here and watch."));
}

// alertText says of an alert what is wrong, what to do, and which calls to look at.
function alertText(alert) {
  const lines = [`${alert.title} (since ${new Date(alert.since).toLocaleString()})`, alert.detail];
  if (alert.action) lines.push("→ " + alert.action);
  const met = [];
  if (alert.calls) met.push(`${count(alert.calls)} ${alert.calls === 1 ? "call" : "calls"}`);
  if (alert.trace) met.push(`such as trace ${alert.trace}`);
  if (met.length) lines.push(met.join(", "));
  return lines.join("\n");
}

// warnings are what somebody has to do something about.
function warnings(state, latest) {
  const found = [];
  const refused = state.reload && state.reload.error;
  if (refused) found.push("The configuration on disk was refused; the one before still applies.\n" + refused);
  const alerts = (state.alerts || []).filter((alert) => alert.rule !== "reload-refused"); // which is above, whole
  for (const alert of alerts.slice(0, 10)) found.push(alertText(alert));
  const more = alerts.length - 10;
  if (more > 0) found.push(`And ${more} more alerts: outrider alerts`);
  for (const target of state.notified || []) if (target.failing) found.push(`Alerts do not reach ${target.target || "a notification URL"}, since ${new Date(target.failing).toLocaleString()}\n${target.error}`);
  const closed = latest.filter((call) => call.problem === "interception-failed");
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

filter.addEventListener("input", render);
pause.addEventListener("click", () => setPaused(pause.getAttribute("aria-pressed") === "false"));
$("theme").addEventListener("click", () => setTheme(themes[(themes.indexOf($("theme").textContent) + 1) % themes.length]));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === filter;
  if (event.key === "Escape") {
    if (typing) { filter.value = ""; render(); filter.blur(); } else closeDetails(list);
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
loop();
