// The letters that are kept: how many wait, and what is to become of those that are dead.
import { post, twice } from "./act.js";
import { ago } from "./alerts.js";
import { bytes, cls, count, el, keyed, millis, text, titled } from "./dom.js";

const $ = (id) => document.getElementById(id);
const page = 50; // letters that are asked for at a time

let letters = [];
let next = ""; // after which there are more; "": there are none
let shown = ""; // how the outbox stood when the letters were asked for
let asked = 0; // only the answer to the latest question counts
let now = 0;
let traceLink = () => null;

// showOutbox shows how the outbox stands; standing is missing where there is none.
export function showOutbox(section, standing, at, link) {
  now = at;
  traceLink = link;
  section.hidden = !standing;
  if (!standing) return;
  text($("outbox-used"), standing.away ? "" : `${bytes(standing.size)} of ${bytes(standing.max_size)}`);
  const refusing = standing.refusing ? "Letters are refused: " + standing.refusing : "";
  text($("outbox-away"), standing.away ? "It takes and sends nothing: " + standing.away : refusing);
  const upstreams = standing.upstreams || [];
  $("outbox-upstreams").hidden = !upstreams.length;
  keyed($("outbox-upstreams").tBodies[0], upstreams, (up) => up.upstream, makeUpstream, updateUpstream);
  options($("letters-upstream"), upstreams.map((up) => up.upstream));
  options($("letters-reason"), [...new Set(upstreams.flatMap((up) => Object.keys(up.reasons || {})))].sort());
  const stands = JSON.stringify(upstreams.map((up) => [up.upstream, up.waiting, up.sending, up.dead, up.delivered, up.cancelled]));
  if ($("letters").open && stands !== shown) {
    shown = stands;
    look();
  }
}

function makeUpstream(up) {
  return el("tr", "", el("td", "", up.upstream), ...Array.from({ length: 6 }, () => el("td", "num")));
}

function updateUpstream(row, up) {
  const reasons = Object.entries(up.reasons || {}).map(([reason, n]) => `${count(n)} ${reason}`).join(", ");
  [count(up.waiting), up.waiting && up.oldest ? ago(up.oldest, now) : "", count(up.dead), count(up.delivered),
    up.per_minute ? count(up.per_minute) : "", up.eta_seconds ? millis(1000 * up.eta_seconds) : ""].forEach((value, i) => text(row.children[i + 1], value));
  titled(row.children[3], reasons);
  cls(row.children[3], "dead", up.dead);
}

// options has a choice offer these, beside that of all, and keeps what is chosen.
function options(select, values) {
  const there = [...select.options].slice(1).map((option) => option.value);
  if (JSON.stringify(there) === JSON.stringify(values)) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...values.map((value) => Object.assign(el("option", "", value), { value })));
  select.value = values.includes(chosen) ? chosen : "";
}

// filter is what is chosen.
function filter() {
  const chosen = {};
  for (const name of ["state", "upstream", "reason"]) {
    const value = $("letters-" + name).value;
    if (value && !(name === "reason" && chosen.state !== "dead")) chosen[name] = value;
  }
  return chosen;
}

// look asks for the letters that are chosen: as many as are listed, or one more page.
async function look(more) {
  const mine = ++asked;
  const query = new URLSearchParams(filter());
  query.set("limit", more ? page : Math.max(page, Math.min(letters.length, 500)));
  if (more) query.set("after", next);
  $("letters-reason").hidden = $("letters-state").value !== "dead";
  $("letters-retry").hidden = !["dead", "waiting"].includes($("letters-state").value);
  try {
    const response = await fetch("/api/outbox/letters?" + query, { signal: AbortSignal.timeout(30000) });
    const found = await response.json();
    if (mine !== asked) return;
    if (!response.ok) throw new Error(found.detail);
    letters = more ? letters.concat(found.letters) : found.letters;
    next = found.next || "";
    text($("no-letters"), "No such letters.");
  } catch (error) {
    if (mine !== asked) return;
    letters = [];
    next = "";
    text($("no-letters"), error.message);
  }
  keyed($("letters-list"), letters, (letter) => letter.id, makeLetter, updateLetter);
  $("no-letters").hidden = letters.length > 0;
  $("letters-more").hidden = !next;
}

function makeLetter(letter) {
  const row = el("button", "row", el("span", "l-state"), el("span", "l-call", el("span", "c-method", letter.method || ""), " ",
    el("span", "mono", target(letter))), el("span", "c-up", lane(letter)), el("span", "num faint"), el("span", "num"));
  row.type = "button";
  row.setAttribute("aria-expanded", "false");
  const item = el("li", "letter call", row);
  row.addEventListener("click", () => toggle(item, row, letter.id));
  return item;
}

// target is what a letter calls. The path of a callback may be a secret, and is not told.
function target(letter) {
  if (letter.damaged) return "cannot be read";
  return letter.upstream === "outbox" ? "callback to " + letter.host : letter.path;
}

function lane(letter) {
  return letter.connection ? letter.upstream + "/" + letter.connection : letter.upstream;
}

function updateLetter(item, letter) {
  item.dataset.state = letter.state;
  const [state, , , age, attempts] = item.firstElementChild.children;
  text(state, letter.state === "dead" ? "dead: " + letter.reason : letter.state);
  text(age, ago(letter.created, now));
  text(attempts, count(letter.attempts) + (letter.attempts === 1 ? " attempt" : " attempts"));
}

async function toggle(item, row, id) {
  const open = row.getAttribute("aria-expanded") !== "true";
  row.setAttribute("aria-expanded", String(open));
  if (!open) {
    item.querySelector(".detail")?.remove();
    return;
  }
  const detail = await makeDetail(id);
  if (row.getAttribute("aria-expanded") === "true" && !item.querySelector(".detail")) item.append(detail);
}

// ask gives what is at an address below that of a letter; null: there is nothing.
async function ask(path) {
  const response = await fetch("/api/outbox/letters/" + path, { signal: AbortSignal.timeout(30000) });
  return response.ok ? response.json() : null;
}

async function makeDetail(id) {
  let letter = null, answer = null;
  try {
    [letter, answer] = await Promise.all([ask(encodeURIComponent(id)), ask(encodeURIComponent(id) + "/response")]);
  } catch { /* it is shown as what it is: nothing */ }
  if (!letter) return el("div", "detail", el("p", "bad", "It is not there any more, or the outbox does not answer."));
  const facts = el("dl", "facts");
  const fact = (name, value) => {
    if (value) facts.append(el("dt", "", name), el("dd", "", value));
  };
  fact("letter", el("span", "mono", letter.id));
  fact("why", letter.detail);
  fact("held by", letter.held_by && `letter ${letter.held_by.id} (dead: ${letter.held_by.reason})`);
  fact("accepted", new Date(letter.created).toLocaleString());
  fact("trace", letter.trace_id && (traceLink(letter.trace_id, letter.trace_id) || el("span", "mono", letter.trace_id)));
  fact("first sent", letter.departed && new Date(letter.departed).toLocaleString());
  fact("next attempt", letter.due && new Date(letter.due).toLocaleString());
  fact("ended", letter.ended && new Date(letter.ended).toLocaleString());
  fact("order key", letter.order_key);
  fact("callback", letter.callback);
  fact("body", bytes(letter.size));
  let before = 0;
  for (const attempt of letter.history || []) {
    if (attempt.number <= before) fact("again", "dead, and sent again by hand");
    fact("attempt " + attempt.number, attemptLine(attempt));
    before = attempt.number;
  }
  const detail = el("div", "detail", facts);
  if (answer) {
    detail.append(el("p", "", `The last answer: ${answer.status}` + (answer.truncated ? ", of which the end is not kept" : "")));
    if (answer.body) detail.append(el("pre", "", answer.body));
  }
  detail.append(acts(letter));
  return detail;
}

function attemptLine(attempt) {
  if (attempt.damaged) return "cannot be read";
  const end = [attempt.status, attempt.error].filter(Boolean).join(" ");
  return `${new Date(attempt.started).toLocaleString()}: ${end} after ${millis(1000 * attempt.seconds)}`;
}

// acts are what can be done about a letter.
function acts(letter) {
  const said = el("span", "faint");
  said.setAttribute("role", "status");
  const act = (label, what, title) => {
    const button = titled(el("button", "", label), title);
    button.type = "button";
    twice(button, () => post("/api/outbox/" + what, { id: letter.id, state: letter.state }, (words, bad) => {
      text(said, words);
      cls(said, "bad", bad);
      look();
    }));
    return button;
  };
  const all = el("div", "letter-acts");
  if (letter.state === "dead" || letter.state === "waiting") all.append(act("send it again", "retry", "Have it sent now, as it is"));
  if (letter.state !== "sending") all.append(act("drop it", "drop", "Forget it: it is not sent any more, and cannot be had back"));
  all.append(said);
  return all;
}

// closeLetters closes what is open of the letters.
export function closeLetters() {
  for (const row of $("letters-list").querySelectorAll('.row[aria-expanded="true"]')) row.click();
}

for (const name of ["state", "upstream", "reason"]) $("letters-" + name).addEventListener("change", () => {
  letters = [];
  look();
});
$("letters").addEventListener("toggle", () => { if ($("letters").open) look(); });
$("letters-more").addEventListener("click", () => look(true));
twice($("letters-retry"), () => {
  const chosen = filter();
  post("/api/outbox/retry", chosen, (words, bad) => {
    text($("letters-said"), words);
    cls($("letters-said"), "bad", bad);
    look();
  });
});
