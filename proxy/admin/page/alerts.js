// What somebody has to do something about.
import { count, el, keyed, text, titled } from "./dom.js";

const shown = 10;

export function showAlerts(root, alerts, now, traceLink) {
  const list = alerts.slice(0, shown).map((alert) => ({ ...alert, id: alert.rule + "\n" + alert.subject + "\n" + alert.since }));
  if (alerts.length > shown) list.push({ id: "more", more: alerts.length - shown });
  root.hidden = !list.length;
  keyed(root, list, (alert) => alert.id, (alert) => (alert.more ? el("li", "faint") : makeAlert(alert, traceLink)),
    (node, alert) => (alert.more ? text(node, count(alert.more) + " more: /api/status") : updateAlert(node, alert, now)));
}

function makeAlert(alert, traceLink) {
  const item = el("li", "alert " + alert.severity, el("span", "dot"), el("strong"),
    titled(el("span", "since num faint"), new Date(alert.since).toLocaleString()), el("p"));
  if (alert.action) item.append(el("p", "action", alert.action));
  const link = alert.trace && traceLink(alert.trace, "an example");
  if (link) item.append(link);
  return item;
}

function updateAlert(node, alert, now) {
  text(node.children[1], alert.title);
  text(node.children[2], ago(alert.since, now) + (alert.count > 1 ? ", " + count(alert.count) + " times" : ""));
  text(node.children[3], alert.detail);
}

// ago is how long something has been so, in the largest unit that fits.
export function ago(since, now) {
  const minutes = Math.floor((now - Date.parse(since)) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return minutes + " min ago";
  if (minutes < 48 * 60) return Math.floor(minutes / 60) + " h ago";
  return Math.floor(minutes / 60 / 24) + " days ago";
}
