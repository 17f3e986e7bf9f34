// What is configured, and what is not: the plan of each upstream, and the hosts that
// none names.
import { ago } from "./alerts.js";
import { count, el, keyed, text } from "./dom.js";

const shownHosts = 50;

// The parts of a plan, in the order in which a call meets them.
const parts = [["url", "goes to"], ["preset", "preset"], ["hosts", "hosts"], ["captured", "https by proxy"], ["egress", "by way of"],
  ["chain", "chain"], ["credential", "credential"], ["connections", "connections"], ["timeout", "time"], ["quotas", "quota"],
  ["answers", "answers"], ["retry", "retries"], ["repeats", "repeats"], ["pauses", "pauses"], ["hedge", "second request"],
  ["stale_if_error", "old answers"], ["circuit", "circuit"]];

export async function showPlan(root) {
  const response = await fetch("/api/plan", { signal: AbortSignal.timeout(5000) });
  if (!response.ok) return;
  const plans = await response.json();
  root.replaceChildren(...plans.map((plan) => {
    const facts = el("dl", "facts");
    for (const [name, label] of parts) {
      const value = plan[name];
      if (!value || value.length === 0) continue;
      const lines = Array.isArray(value) ? (name === "chain" ? [value.join(" → ")] : value) : [value];
      facts.append(el("dt", "", label), el("dd", "", ...lines.map((line) => el("div", "", line))));
    }
    return el("details", "plan", el("summary", "", el("strong", "", plan.upstream), " ", el("span", "mono faint", plan.match || "")), facts);
  }));
  if (!plans.length) root.append(el("p", "faint", "No upstream is configured."));
}

export function showHosts(section, capture, now) {
  const hosts = (capture && capture.observed) || [];
  section.hidden = !hosts.length;
  text(section.querySelector(".count"), count(hosts.length + ((capture && capture.others) || 0)));
  const rows = hosts.slice(0, shownHosts).map((host) => ({ ...host, id: host.scheme + "://" + host.host }));
  keyed(section.querySelector("tbody"), rows, (host) => host.id,
    (host) => el("tr", "", el("td", "mono", host.id), el("td", "num"), el("td", "num"), el("td", "num")),
    (row, host) => {
      text(row.children[1], count(host.calls));
      text(row.children[2], ago(host.first, now));
      text(row.children[3], ago(host.last, now));
    });
  const more = hosts.length - rows.length;
  text(section.querySelector(".more"), more > 0 ? "And " + count(more) + " more." : "");
}

// reloadText says what was read last.
export function reloadText(state, now) {
  const file = state.config || "the built-in configuration";
  if (!state.reload) return `${file}, read at the start (${ago(state.started, now)})`;
  return `${file}, ${state.reload.error ? "refused" : "read"} ${ago(state.reload.time, now)}`;
}
