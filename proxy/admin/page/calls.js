// The lower half: the latest calls, each with where its time went.
import { bytes, count, el, keyed, millis, titled } from "./dom.js";

const key = (call) => call.number + " " + call.trace_id;

// showCalls lists calls. One that is listed has ended, so its row is made once and never
// changes.
export function showCalls(list, calls, traceLink) {
  keyed(list, calls, key, (call) => makeCall(call, traceLink));
}

// tone is how much attention a call deserves.
function tone(call) {
  if (call.class === "client-gone") return "gone";
  if (call.problem || call.status >= 500 || !call.status || (call.quiet && call.class === "fault")) return "bad";
  if (call.status >= 400 || call.stale || call.quiet) return "warn";
  return "good";
}

function clock(time) {
  const t = new Date(time);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}.${String(t.getMilliseconds()).padStart(3, "0")}`;
}

function makeCall(call, traceLink) {
  const row = el("button", "row",
    titled(el("span", "c-time num faint", clock(call.time)), call.time),
    el("span", "c-status num", call.status && call.class !== "client-gone" ? String(call.status) : "gone"),
    el("span", "c-call", el("span", "c-method", call.method || "?"), " ",
      el("span", "mono", call.form === "connect" ? call.host : call.path || "/")),
    el("span", "c-up", call.upstream || (call.form === "connect" ? "tunnel" : call.host)),
    el("span", "c-attempts num", call.attempts === 1 ? "" : call.attempts > 1 ? call.attempts + "×" : "–"),
    el("span", "c-waited num", call.waited_ms >= 1 ? millis(call.waited_ms) : ""),
    el("span", "c-took num", millis(call.duration_ms)),
    waterfall(call));
  row.type = "button";
  row.setAttribute("aria-expanded", "false");
  const item = el("li", "call " + tone(call), row);
  row.addEventListener("click", () => toggle(item, row, call, traceLink));
  return item;
}

function toggle(item, row, call, traceLink) {
  const open = row.getAttribute("aria-expanded") !== "true";
  row.setAttribute("aria-expanded", String(open));
  if (open) item.append(makeDetail(call, traceLink));
  else item.lastElementChild.remove();
}

// segments are the parts of a call in time order.
function segments(call) {
  const parts = [];
  const waits = { turn: "waits for its turn: ", token: "waits for a token: ", backoff: "backs off after " };
  for (const wait of call.waits || []) {
    parts.push({ kind: wait.kind === "backoff" ? "backoff" : "turn", start: wait.start_ms, length: wait.duration_ms,
      label: waits[wait.kind] + wait.reason });
  }
  let number = 0;
  for (const t of call.tries || []) {
    if (t.sent) number++;
    const failed = t.error || t.status >= 500 || t.status === 429 || t.status === 401;
    const label = (t.sent ? "attempt " + number : "not sent") + ": " + [t.status, t.error, t.lost && "lost, another was answered first"].filter(Boolean).join(", ") +
      (t.sent ? (t.reused ? ", kept connection" : ", new connection") : "");
    const head = t.headers_ms === undefined ? t.duration_ms : t.headers_ms;
    parts.push({ kind: (t.sent ? "head" : "unsent") + (failed ? " bad" : ""), start: t.start_ms, length: t.duration_ms, head, label });
  }
  if (call.form === "connect" && !parts.length && call.status === 200) {
    parts.push({ kind: "tunnel", start: 0, length: call.duration_ms, label: "tunnel, passed through untouched" });
  }
  return parts.sort((a, b) => a.start - b.start);
}

function percent(node, part, total) {
  const left = Math.min(100, 100 * part.start / total);
  node.style.left = left + "%";
  node.style.width = Math.max(0, Math.min(100 - left, 100 * part.length / total)) + "%";
}

function bars(call, part, total) {
  const main = el("i", "seg " + part.kind);
  if (!(part.head < part.length)) {
    percent(main, part, total);
    return [main];
  }
  const body = el("i", "seg body");
  percent(main, { start: part.start, length: part.head }, total);
  percent(body, { start: part.start + part.head, length: part.length - part.head }, total);
  return [main, body];
}

function waterfall(call) {
  const total = call.duration_ms || 1;
  const parts = segments(call);
  const track = el("span", "track", ...parts.flatMap((part) => bars(call, part, total)));
  return titled(track, parts.map((p) => p.label + ", " + millis(p.length)).join("\n"));
}

function makeDetail(call, traceLink) {
  const total = call.duration_ms || 1;
  const copy = el("button", "copy mono", call.trace_id);
  copy.type = "button";
  copy.title = "Copy the trace id";
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(call.trace_id).catch(() => {});
    copy.classList.add("copied");
    setTimeout(() => copy.classList.remove("copied"), 900);
  });
  const facts = el("dl", "facts");
  const fact = (name, value) => {
    if (value !== "" && value !== undefined && value !== null) facts.append(el("dt", "", name), el("dd", "", value));
  };
  fact("trace", el("span", "", copy, " ", traceLink(call.trace_id, "open")));
  fact("host", call.host);
  fact("path", el("span", "mono", call.path || "/"));
  fact("rule", call.rule);
  fact("connection", call.connection);
  fact("came in by", { "base-url": "base URL", forward: "HTTP proxy", connect: "CONNECT tunnel" }[call.form] || call.form);
  fact("class", call.class);
  fact("problem", call.problem);
  fact("old answer, for", call.stale);
  fact("quiet failure", call.quiet);
  fact("error", call.error);
  fact("bytes", bytes(call.request_bytes || 0) + " up, " + bytes(call.response_bytes || 0) + " down");

  const steps = el("ol", "steps");
  for (const part of segments(call)) {
    const track = el("span", "track", ...bars(call, part, total));
    steps.append(el("li", "", el("span", "num faint", "+" + millis(part.start)), el("span", "step", part.label),
      el("span", "num", millis(part.length)), track));
  }
  if (!steps.children.length) steps.append(el("li", "faint", "Nothing was sent."));
  const hidden = Math.max(0, (call.attempts || 0) - (call.tries || []).filter((t) => t.sent).length);
  if (hidden) steps.append(el("li", "faint", count(hidden) + " more attempts"));
  return el("div", "detail", facts, steps);
}

// move gives the focus to the next row (by 1) or the one before (by -1).
export function move(list, by) {
  const rows = [...list.querySelectorAll(".row")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement.closest?.(".call")?.querySelector(".row"));
  rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))].focus();
}

// closeDetails closes what is open, and reports whether anything was.
export function closeDetails(list) {
  const open = list.querySelectorAll('.row[aria-expanded="true"]');
  for (const row of open) row.click();
  return open.length > 0;
}
