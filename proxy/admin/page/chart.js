// The last ten minutes of an upstream's calls, a bar for each ten seconds.
import { count, svg } from "./dom.js";

export function makeChart() {
  const chart = svg("svg", { class: "chart", viewBox: "0 0 60 24", preserveAspectRatio: "none", role: "img" });
  chart.append(svg("title", {}), svg("path", { class: "all" }), svg("path", { class: "throttled" }), svg("path", { class: "failed" }));
  return chart;
}

export function updateChart(chart, course) {
  const { calls, failed, throttled } = course;
  const top = Math.max(1, ...calls, ...throttled);
  const [title, all, slowed, bad] = chart.children;
  all.setAttribute("d", bars(calls, top));
  slowed.setAttribute("d", bars(throttled, top));
  bad.setAttribute("d", bars(failed, top));
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  title.textContent = `In ten minutes ${count(sum(calls))} calls, ${count(sum(failed))} failed, ${count(sum(throttled))} answers of 429; at most ${count(top)} in ten seconds`;
}

function bars(values, top) {
  return values.map((v, i) => (v ? `M${i + 0.1} 24V${(24 - Math.max(1, 23 * v / top)).toFixed(1)}h.8V24z` : "")).join("");
}
