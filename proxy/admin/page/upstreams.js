// The upper half: what each upstream would let through now.
import { post, twice } from "./act.js";
import { makeChart, updateChart } from "./chart.js";
import { cls, count, el, keyed, millis, svg, text, titled } from "./dom.js";

const samples = 60; // of the past, one a second
const shownQuotas = 5;
const shownCircuits = 4;
const shownConnections = 5;

const history = new Map(); // upstream, quota → {values, top}

export function showUpstreams(root, upstreams, traffic, now) {
  const seen = new Set();
  for (const up of upstreams) {
    for (const quota of up.quotas || []) seen.add(remember(up.name, quota));
  }
  for (const key of history.keys()) if (!seen.has(key)) history.delete(key);
  keyed(root, upstreams, (up) => up.name, makeUpstream, (node, up) => {
    updateUpstream(node, up, now);
    updateTraffic(node, traffic[up.name]);
  });
}

// updateTraffic shows what the calls of the last minutes came to.
function updateTraffic(node, traffic) {
  const block = node.querySelector(".traffic");
  block.hidden = !traffic;
  if (!traffic) return;
  const [chart, rate, failed, times] = block.children;
  updateChart(chart, traffic.course);
  const { calls, seconds } = traffic;
  text(rate, count(calls / Math.max(seconds, 1)) + " /s");
  text(failed, traffic.failed ? (100 * traffic.failed / calls).toFixed(1) + " % failed" : "");
  text(times, calls ? `p50 ${millis(traffic.p50_ms)} · p95 ${millis(traffic.p95_ms)} · p99 ${millis(traffic.p99_ms)}` : "quiet");
  times.title = calls ? `Of ${count(calls)} calls in ${Math.round(seconds)} s half took no longer than ${millis(traffic.p50_ms)}, ` +
    `95 % than ${millis(traffic.p95_ms)}, 99 % than ${millis(traffic.p99_ms)}; ${count(traffic.attempts)} requests were sent` : "No call in the last minute";
}

function quotaKey(upstream, quota) {
  return upstream + "\n" + quota.key + "\n" + nameOf(quota) + "\n" + quota.limit;
}

// nameOf is what the quotas of many hosts or credentials have in common: the limit that
// they have, or the bucket that the provider's answers tell of.
function nameOf(quota) {
  return quota.bucket || quota.limit;
}

// level is how full a quota is, and the most that it can be: calls or units that may be
// spent, or else calls under way.
function level(quota) {
  if (quota.learned) return [quota.learned.remaining, quota.learned.limit || 1];
  if (quota.room > 0) return [quota.tokens, quota.room];
  return [quota.active, quota.slots || 1];
}

function remember(upstream, quota) {
  const key = quotaKey(upstream, quota);
  const past = history.get(key) || { values: [], top: 1 };
  const [value, top] = level(quota);
  past.values.push(value);
  if (past.values.length > samples) past.values.shift();
  past.top = Math.max(past.top, top, value);
  history.set(key, past);
  return key;
}

function makeUpstream(up) {
  const node = el("article", "upstream",
    el("div", "up-head",
      el("span", "dot"),
      el("h3", "", up.name),
      el("span", "state"),
      el("span", "grow"),
      titled(el("span", "budget faint"), "Retries that may be spent at once"),
      makeActions(up.name)),
    el("div", "up-url mono faint"),
    el("div", "traffic", makeChart(), titled(el("span", "num"), "Calls a second, in the last minute"), el("span", "num failing"), el("span", "num faint")),
    el("div", "credentials"),
    el("div", "quotas"),
    el("div", "circuits"));
  return node;
}

// makeActions are what can be done about an upstream.
function makeActions(name) {
  const said = el("span", "said faint");
  said.setAttribute("role", "status");
  const say = (words, bad) => {
    text(said, words);
    cls(said, "bad", bad);
  };
  const open = el("button", "", "Open its circuits for 30 min");
  const close = el("button", "", "Close its circuits");
  for (const button of [open, close]) button.type = "button";
  open.title = "No call is sent to the provider meanwhile; callers get 503 at once";
  close.title = "Calls are sent again, whatever opened the circuits";
  twice(open, () => post("/api/circuit/open", { upstream: name, for: "30m" }, say));
  twice(close, () => post("/api/circuit/close", { upstream: name }, say));
  const summary = el("summary", "", "⋯");
  summary.setAttribute("aria-label", "What can be done about " + name);
  const menu = el("details", "actions", summary, el("div", "menu", open, close, said));
  menu.addEventListener("toggle", () => { if (menu.open) say(""); });
  menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; summary.focus(); event.stopPropagation(); } });
  menu.addEventListener("focusout", (event) => { if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false; });
  return menu;
}

function updateUpstream(node, up, now) {
  const quotas = [...(up.quotas || [])].sort((a, b) => urgency(b, now) - urgency(a, now) || a.key.localeCompare(b.key));
  const circuits = [...(up.circuits || [])].sort((a, b) => rank(b) - rank(a) || a.key.localeCompare(b.key));
  const bad = circuits.filter((c) => c.state !== "closed" || c.share);
  const gated = quotas.some((q) => left(q.gate, now) > 0);
  const waiting = quotas.reduce((sum, q) => sum + q.waiting, 0);

  const dead = (up.credentials || []).some((c) => c.state === "dead");
  const worst = dead ? "dead" : bad.length ? (bad[0].share ? "coming-back" : bad[0].state) : gated ? "gated" : waiting ? "pacing" : "clear";
  node.dataset.state = worst;
  text(node.querySelector(".state"), {
    dead: "credential dead", open: "circuit open", "half-open": "probing", "coming-back": "coming back", gated: "held by the provider", pacing: "pacing", clear: "",
  }[worst]);
  const url = node.querySelector(".up-url");
  text(url, up.url.replace(/^https:\/\//, ""));
  url.title = up.url + (up.hosts && up.hosts.length ? "\nhosts: " + up.hosts.join(", ") : "") + (up.listen ? "\nlisten: " + up.listen : "");
  text(node.querySelector(".budget"), up.retry_budget === undefined ? "" : "retries " + count(Math.floor(up.retry_budget)));

  keyed(node.querySelector(".quotas"), lines(up, quotas), (line) => line.id, makeLine, (row, line) => updateLine(row, line, now));
  keyed(node.querySelector(".credentials"), credentials(up), (c) => c.name, makeCredential, (row, c) => updateCredential(row, c, now));
  keyed(node.querySelector(".circuits"), circuitLines(bad), (line) => line.id,
    (line) => (line.more ? el("div", "more faint") : makeCircuit()),
    (row, line) => (line.more ? text(row, line.more + " more circuits") : updateCircuit(row, line.circuit, now)));
}

// lines lays the quotas of an upstream out: one line for a limit with a single
// quota, a heading and a line each for a limit that many hosts or credentials have.
function lines(up, quotas) {
  if (!quotas.length) return [{ id: "none", kind: "none" }];
  const limits = new Map(); // limit or bucket → its quotas
  for (const q of quotas) limits.set(nameOf(q), [...(limits.get(nameOf(q)) || []), q]);
  const list = [];
  for (const [limit, own] of [...limits].sort((a, b) => a[0].localeCompare(b[0]))) {
    const past = (q) => history.get(quotaKey(up.name, q));
    if (own.length === 1) {
      list.push({ id: "one\n" + limit, kind: "one", name: limit, q: own[0], past: past(own[0]) });
      continue;
    }
    list.push({ id: "head\n" + limit, kind: "head", name: limit, n: own.length });
    const shared = sharedEnd(own.map((q) => q.key));
    const shown = own.length > shownQuotas + 1 ? own.slice(0, shownQuotas) : own;
    for (const q of shown) list.push({ id: "key\n" + limit + "\n" + q.key, kind: "key", name: q.key.slice(0, q.key.length - shared), q, past: past(q) });
    if (shown.length < own.length) list.push({ id: "more\n" + limit, kind: "more", n: own.length - shown.length });
  }
  return list;
}

// sharedEnd is the length of what all keys end with, cut at a dot: the hosts of a
// wildcard differ only in front of it.
function sharedEnd(keys) {
  let end = keys[0];
  for (const key of keys) while (!key.endsWith(end)) end = end.slice(1);
  const dot = end.indexOf(".");
  return dot < 0 || keys.includes(end) ? 0 : end.length - dot;
}

function circuitLines(circuits) {
  const shown = circuits.length > shownCircuits + 1 ? circuits.slice(0, shownCircuits) : circuits;
  const list = shown.map((circuit) => ({ id: circuit.key, circuit }));
  if (shown.length < circuits.length) list.push({ id: "\nmore", more: circuits.length - shown.length });
  return list;
}

// credentials are the upstream's own, a line that sums its connections up, and those
// connections that are in trouble.
function credentials(up) {
  const all = up.connections;
  if (!all) return up.credentials || [];
  const states = Object.entries(all.states).sort().map(([state, n]) => count(n) + " " + state).join(", ");
  const bad = (all.first || []).filter((c) => c.error || c.not_kept).slice(0, shownConnections);
  return [
    ...(up.credentials || []),
    { name: "\nconnections", sum: count(all.configured + all.used) + " connections: " + states },
    ...bad.map((c) => ({ ...c, name: "\n" + c.name, connection: c.name })),
  ];
}

function left(until, now) {
  return until ? Math.max(0, Date.parse(until) - now) : 0;
}

// seconds writes a countdown; figures that change faster than the page say nothing.
function seconds(ms) {
  return ms < 60000 ? Math.ceil(ms / 1000) + " s" : millis(ms);
}

function urgency(q, now) {
  return (left(q.gate, now) > 0 ? 1e6 : 0) + q.waiting * 100 + q.active + 10 * Math.round(10 * (q.utilization || 0));
}

function rank(c) {
  return { open: 2, "half-open": 1 }[c.state] || 0;
}

function makeLine(line) {
  switch (line.kind) {
    case "none": return el("div", "more faint", "no limit of its own");
    case "more": return el("div", "more faint");
    case "head": return el("div", "q-head", el("span", "mono"), el("span", "faint"));
  }
  const spark = svg("svg", { class: "spark", viewBox: `0 0 ${samples - 1} 20`, preserveAspectRatio: "none", "aria-hidden": "true" });
  spark.append(svg("polygon", { class: "fill" }), svg("polyline", { class: "line" }));
  return el("div", "quota " + line.kind, el("span", "q-name mono"), spark, el("span", "q-tokens num"), el("span", "q-load num"));
}

function updateLine(row, line, now) {
  switch (line.kind) {
    case "none": return;
    case "more": text(row, line.n + " more, all calmer"); return;
    case "head": text(row.children[0], line.name); text(row.children[1], "for each of " + line.n); return;
  }
  const q = line.q;
  const [name, spark, tokens, load] = row.children;
  text(name, line.name);
  name.title = q.key + (q.bucket ? "\n" + q.bucket + ": learned from its answers" : "");
  const single = line.kind === "one"; // the others have no room for all of it
  text(tokens, free(q, single));
  tokens.title = free(q, true) + (q.utilization === undefined ? "" : ", " + Math.round(100 * q.utilization) + " % used") +
    (q.learned && q.learned.each ? ", a call needs " + count(Math.ceil(q.learned.each)) : "");
  const wait = left(q.gate, now);
  const facts = [wait > 0 ? "held for " + seconds(wait) : "", waiting(q), wait > 0 ? "" : back(q, now)].filter(Boolean);
  if (!facts.length) facts.push(q.active ? count(q.active) + " under way" : "idle");
  load.title = facts.join(", ");
  text(load, single || wait > 0 ? load.title : facts[0]);
  cls(row, "gated", wait > 0);
  cls(row, "waiting", q.waiting > 0);
  cls(row, "learned", q.bucket);

  const { values, top } = line.past;
  const from = samples - values.length;
  const points = values.map((v, i) => `${from + i},${(19 - 18 * Math.min(1, v / top)).toFixed(1)}`).join(" ");
  spark.children[1].setAttribute("points", points);
  spark.children[0].setAttribute("points", `${from},20 ${points} ${samples - 1},20`);
}

// free is what may be spent: of a bucket in the provider's units, else calls. whole says
// of how much, too.
function free(q, whole) {
  const known = q.learned;
  if (known) return count(Math.floor(known.remaining)) + (whole && known.limit ? " of " + count(known.limit) : "") + unit(known) + " left";
  return q.room > 0 ? count(Math.floor(q.tokens)) + " free" : "";
}

// unit names what a bucket counts, if that is not calls.
function unit(known) {
  return known.unit && known.unit !== "requests" ? " " + known.unit : "";
}

// waiting tells of the classes where not all that wait are in the normal one.
function waiting(q) {
  if (!q.waiting) return "";
  const classes = ["high", "normal", "low"].filter((name) => q.line[name]).map((name) => count(q.line[name]) + " " + name);
  return count(q.waiting) + " waiting" + (q.line.normal === q.waiting ? "" : " (" + classes.join(", ") + ")");
}

// back counts down to when a bucket is full again. One that rolls has no such time.
function back(q, now) {
  const wait = q.learned && q.learned.shape !== "rolling" ? left(q.learned.reset, now) : 0;
  return wait > 0 ? (q.learned.shape === "bucket" ? "full in " : "back in ") + seconds(wait) : "";
}

function makeCredential() {
  return el("div", "circuit", el("span", "dot"), el("span", "c-state"), el("span", "q-key mono faint"));
}

// updateCredential shows a credential that is fetched: red when it is lost, yellow
// while the token endpoint does not give another.
function updateCredential(row, c, now) {
  row.dataset.state = { dead: "open", failing: "half-open" }[c.state] || "closed";
  if (c.sum) {
    text(row.children[1], c.sum);
    text(row.children[2], "");
    return;
  }
  const lives = c.usable && c.expires ? " for " + seconds(left(c.expires, now)) : "";
  text(row.children[1], (c.connection ? "connection " + c.connection + " " : "credential ") + c.state + lives);
  text(row.children[2], c.error || c.not_kept || c.name);
}

function makeCircuit() {
  return el("div", "circuit", el("span", "dot"), el("span", "c-state"), el("span", "c-until num"), el("span", "q-key mono faint"));
}

function updateCircuit(row, c, now) {
  row.dataset.state = c.share ? "half-open" : c.state; // it keeps some calls back still
  text(row.children[1], c.cause === "operator" && c.state === "open" ? "opened by an operator" : "circuit " + c.state);
  text(row.children[2], nextOf(c, left(c.until, now)));
  text(row.children[3], c.key === "*" ? "all" : c.key);
}

// nextOf is what a circuit that keeps calls back does next.
function nextOf(c, wait) {
  if (c.share) return Math.round(100 * c.share) + "% of the calls pass";
  if (c.held) return "until one closes it";
  if (c.state === "half-open") return "probing";
  return wait > 0 ? "probe in " + seconds(wait) : "probe with the next call";
}
