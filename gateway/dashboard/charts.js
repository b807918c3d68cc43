// Charts over the window, drawn by uPlot in the colours of the page.

import uPlot from "/static/vendor/uplot.js";
import { find } from "./dom.js";
import { count, duration } from "./format.js";

const probe = document.body.appendChild(document.createElement("span"));
probe.hidden = true;

/** What a colour of the stylesheet (`--accent`) is in the theme of the moment. */
function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const faint = (name, share) => colour(name).replace(/rgba?\(([^)]+?)\)/, (_, parts) => `rgb(${parts} / ${share})`).replace(/,/g, "");

/** The places of values without neighbours, which no line would show. */
function alone(chart, place) {
  const values = chart.data[place];
  return [...values.keys()].filter((at) => values[at] != null && values[at - 1] == null && values[at + 1] == null);
}

const line = (label, name, extra = {}) => ({
  label, stroke: () => colour(name), width: 2, spanGaps: false, points: { show: true, size: 6, width: 0, fill: () => colour(name), filter: alone }, ...extra,
});
const bars = (label, name) => line(label, name, {
  fill: () => faint(name, 0.75), width: 0, paths: uPlot.paths.bars({ size: [0.75, 40], radius: 0.2 }), points: { show: false },
});
const area = (label, name) => line(label, name, { fill: () => faint(name, 0.14) });

const KINDS = {
  requests: { series: [bars("Requests", "--accent"), bars("Errors", "--bad")], show: count },
  latency: { series: [area("p50", "--accent"), line("p95", "--second")], show: duration },
  ttft: { series: [area("p50", "--accent"), line("p95", "--second")], show: duration },
  tokens: { series: [area("In", "--accent"), line("Out", "--second")], show: count },
};

export class Charts {
  #charts = {};
  #drawn = {};

  constructor() {
    for (const [kind, { series, show }] of Object.entries(KINDS)) {
      const place = find(`chart-${kind}`);
      this.#charts[kind] = new uPlot(options(place, series, show), [[], [], []], place);
      this.#drawn[kind] = place;
      new ResizeObserver(() => this.#fit(kind, place)).observe(place);
    }
  }

  #fit(kind, place) {
    if (place.clientWidth) this.#charts[kind].setSize({ width: place.clientWidth, height: 180 });
  }

  /** Draw a chart of `/api/stats`; `time` is where its steps begin, `step` their width in seconds. */
  draw(time, step, series) {
    const perMinute = (values) => values.map((value) => (value == null ? null : (value * 60) / step));
    const rows = {
      requests: [perMinute(series.calls), perMinute(series.errors)],
      latency: [series.latency_p50_ms, series.latency_p95_ms],
      ttft: [series.ttft_p50_ms, series.ttft_p95_ms],
      tokens: [perMinute(series.prompt_tokens), perMinute(series.completion_tokens)],
    };
    for (const [kind, values] of Object.entries(rows)) {
      this.#charts[kind].setData([time, ...values]);
      const known = values[0].filter((value) => value != null);
      const { show } = KINDS[kind];
      const told = known.length ? `latest ${show(known.at(-1))}, highest ${show(Math.max(...known))}` : "nothing yet";
      this.#drawn[kind].setAttribute("role", "img");
      this.#drawn[kind].setAttribute("aria-label", `${KINDS[kind].series[0].label}: ${told}`);
    }
  }

  /** Draw all again, after the theme has changed. */
  redraw() {
    for (const chart of Object.values(this.#charts)) chart.redraw(false, true);
  }
}

function options(place, series, show) {
  const axis = { stroke: () => colour("--muted"), font: "11px system-ui, sans-serif", grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: Math.max(place.clientWidth, 280),
    height: 180,
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    legend: { live: true, markers: { width: 0, fill: (_chart, place) => colour(place === 1 ? "--accent" : _chart.series[place].label === "Errors" ? "--bad" : "--second") } },
    scales: { y: { range: (_chart, _low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    series: [{ value: (_chart, at) => (at == null ? "" : new Date(at * 1000).toLocaleTimeString([], { hour12: false })) }, ...series.map((one) => ({ ...one, value: (_chart, value) => show(value) }))],
    axes: [{ ...axis, space: 60, size: 30, values: clocks }, { ...axis, size: 56, values: (_chart, ticks) => ticks.map((tick) => show(tick)) }],
  };
}

function clocks(_chart, ticks, _axis, _space, step) {
  const format = step >= 86400 ? { month: "short", day: "numeric" } : step >= 60 ? { hour: "2-digit", minute: "2-digit" } : { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return ticks.map((tick) => new Date(tick * 1000).toLocaleString([], { ...format, hour12: false }));
}
