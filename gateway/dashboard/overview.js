// Is all well, what is being asked, what does it cost, what failed and why.

import { Charts } from "./charts.js";
import { fill, find, make } from "./dom.js";
import { age, count, duration, moment, percent, tokens } from "./format.js";
import { call } from "./session.js";

const MOST_FAILURES = 8;
const MOST_REMEMBERED = 100;
const MOST_EVENTS = 8;
const MOST_MODELS = 6;
const SUCCESS = new Set(["start", "provider_up", "executor_up"]);

let charts = null;
let stats = null;
let state = null;
let failures = [];
let happened = [];
let openCall = () => {};

/** Take over the section; `show` opens a call in the detail view. */
export function start(show) {
  openCall = show;
  charts = new Charts();
  find("scope").onchange = draw;
  setInterval(drawAges, 1000);
  showTiles(null, null);
  drawFailures();
  drawEvents();
}

export const redraw = () => charts.redraw();

export function showStats(told) {
  stats = told;
  find("overview").dataset.ready = "";
  listScopes();
  draw();
}

export function showState(told) {
  state = told;
  drawVerdict();
  drawExecutor();
  if (stats) drawProviders();
}

/** Show calls and events that are known already, newest first. */
export function showHistory(calls, events) {
  failures = calls.slice(0, MOST_REMEMBERED);
  happened = events.slice(0, MOST_EVENTS);
  drawFailures();
  drawEvents();
}

export function noteCall(call) {
  if (!hasFailed(call)) return;
  failures = [call, ...failures].slice(0, MOST_REMEMBERED);
  drawFailures();
}

export function noteEvent(event) {
  happened = [event, ...happened].slice(0, MOST_EVENTS);
  drawEvents();
}

export const hasFailed = (call) => (call.error !== null || call.status >= 400) && call.status !== 499;

function listScopes() {
  const scope = find("scope");
  const wanted = [
    ["", "Everything"],
    ...stats.providers.map((row) => [JSON.stringify([row.provider]), row.provider ?? "unknown"]),
    ...stats.models.map((row) => [JSON.stringify([row.provider, row.model]), `${row.provider}: ${row.model}`]),
  ];
  const listed = [...scope.options].map((option) => option.value);
  if (JSON.stringify(listed) === JSON.stringify(wanted.map(([value]) => value))) return;
  const chosen = scope.value;
  scope.replaceChildren(...wanted.map(([value, text]) => make("option", { value, textContent: text })));
  scope.value = wanted.some(([value]) => value === chosen) ? chosen : "";
}

function chosenRow() {
  if (find("scope").value === "") return stats.calls;
  const [provider, model] = JSON.parse(find("scope").value);
  const rows = model === undefined ? stats.providers : stats.models;
  return rows.find((row) => row.provider === provider && (model === undefined || row.model === model)) ?? stats.calls;
}

function draw() {
  if (!stats) return;
  const row = chosenRow();
  showTiles(row.total, stats.executions.total);
  charts.draw(stats.time, stats.bucket_seconds, row.series);
  drawProviders();
}

function showTiles(total, runs) {
  const tile = (name, value, detail, tone = "") =>
    make("div", { class: `tile ${tone}` }, make("span", { class: "name" }, name), make("strong", {}, value), make("span", { class: "detail" }, detail));
  const minutes = stats ? stats.window_seconds / 60 : 1;
  find("tiles").replaceChildren(
    tile("Requests", count(total?.calls), total ? `${count(total.calls / minutes)} per minute` : ""),
    tile("Error rate", percent(total?.error_rate), total ? `${count(total.errors)} failed, ${count(total.cancelled)} left` : "", total?.errors ? "bad" : ""),
    tile("Latency", duration(total?.latency_p50_ms), `p95 ${duration(total?.latency_p95_ms)}`),
    tile("First token", duration(total?.ttft_p50_ms), `p95 ${duration(total?.ttft_p95_ms)}`),
    tile("Tokens", total ? count((total.prompt_tokens ?? 0) + (total.completion_tokens ?? 0)) : count(null), total ? `${tokens(total)} in / out` : ""),
    tile("Code runs", count(runs?.calls), runs ? `${count(runs.errors)} refused, p50 ${duration(runs.latency_p50_ms)}` : ""),
  );
}

function drawVerdict() {
  const { health, executor } = state;
  const away = Object.entries(health.providers).filter(([, one]) => one.configured && one.reachable === false).map(([name]) => name);
  const problems = [];
  if (away.length) problems.push(`${away.join(", ")} ${away.length > 1 ? "are" : "is"} not reachable`);
  if (executor.reachable === false) problems.push("the executor is not reachable, so no code can run");
  else if (executor.status === "unhealthy") problems.push(`the executor cannot run code: ${executor.message}`);
  find("verdict").textContent = problems.length ? "Something needs attention" : "All is well";
  find("overview-title").dataset.state = problems.length ? "bad" : "good";
  const configured = Object.entries(health.providers).filter(([, one]) => one.configured).map(([name]) => name);
  const serving = configured.length ? `Serving ${configured.join(", ")}` : "No provider is configured: the stub answers";
  find("verdict-detail").textContent = problems.length ? sentence(problems.join("; ")) : `${serving}. Version ${health.version}, auth ${health.auth.enabled ? "on" : "off"}.`;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

function drawProviders() {
  const known = state?.health.providers ?? {};
  const seen = new Set(stats.providers.map((row) => row.provider));
  const quiet = Object.keys(known).filter((name) => known[name].configured && !seen.has(name));
  const rows = [
    ...stats.providers.flatMap((row) => [
      providerRow(row.provider ?? "unknown", known[row.provider], row.total),
      ...modelRows(row.provider),
    ]),
    ...quiet.map((name) => providerRow(name, known[name], null)),
  ];
  const body = find("providers").tBodies[0];
  if (!rows.length) rows.push(make("tr", {}, make("td", { colSpan: 8, class: "empty" }, "No provider has been asked in this window.")));
  body.replaceChildren(...rows);
}

/** The models of a provider that were asked most. */
function modelRows(provider) {
  const rows = stats.models.filter((row) => row.provider === provider).sort((one, other) => other.total.calls - one.total.calls);
  const shown = rows.slice(0, MOST_MODELS).map((row) => figuresRow(row.model ?? "unknown", null, row.total, "model"));
  const left = rows.length - shown.length;
  return left > 0 ? [...shown, make("tr", { class: "model" }, make("td", { colSpan: 8, class: "muted" }, `and ${left} more, in “Show” above`))] : shown;
}

function providerRow(name, condition, total) {
  const [tone, text] =
    condition === undefined || condition.reachable === null ? ["", "not tried"]
    : condition.resting_seconds > 0 ? ["bad", "resting"]
    : condition.reachable ? ["good", "reachable"] : ["bad", "unreachable"];
  return figuresRow(name, make("span", { class: `state ${tone}` }, text), total, "provider");
}

function figuresRow(name, condition, total, kind) {
  return make("tr", { class: kind },
    make("th", { scope: "row" }, make("span", { class: "clip", title: name }, name)),
    make("td", {}, condition ?? ""),
    make("td", {}, count(total?.calls)),
    make("td", { class: total?.errors ? "bad" : "" }, total ? percent(total.error_rate) : "–"),
    make("td", {}, duration(total?.latency_p50_ms)),
    make("td", {}, duration(total?.latency_p95_ms)),
    make("td", {}, duration(total?.ttft_p50_ms)),
    make("td", {}, total ? tokens(total) : "–"));
}

function drawExecutor() {
  const { executor } = state;
  const place = find("executor");
  if (executor.reachable !== true) {
    place.replaceChildren(make("p", {}, make("span", { class: "state bad" }, executor.reachable === false ? "unreachable" : "not heard of")), make("p", { class: "muted" }, executor.message ?? ""));
    return;
  }
  const pool = Object.entries(executor.pool ?? {}).filter(([, one]) => typeof one === "object");
  const running = executor.executions ?? [];
  const failed = Object.entries(executor.controls ?? {}).filter(([, told]) => told !== "passed");
  fill(place,
    make("p", {}, make("span", { class: `state ${executor.status === "unhealthy" ? "bad" : "good"}` }, executor.status ?? "reachable"),
      executor.engine?.runtime ? make("span", { class: "muted" }, ` runtime ${executor.engine.runtime}`) : null),
    executor.message ? make("p", { class: "bad" }, executor.message) : null,
    make("dl", { class: "pairs" }, ...pool.flatMap(([image, one]) => [
      make("dt", {}, `Ready sandboxes, ${image}`),
      make("dd", { "data-ready": image }, `${one.ready} of ${one.target}`),
    ])),
    failed.length ? make("p", { class: "muted" }, `Controls: ${failed.map(([name, told]) => `${name} ${told}`).join(", ")}`) : null,
    make("h3", {}, `Running now: ${running.length}`),
    make("ul", { class: "running" }, ...running.map(runningRow)),
  );
}

function runningRow(run) {
  const stop = make("button", { type: "button", class: "quiet" }, "Cancel");
  stop.onclick = async () => {
    stop.disabled = true;
    await call(`/executions/${encodeURIComponent(run.id)}`, { method: "DELETE" }).catch((error) => (stop.textContent = error.message));
  };
  const began = typeof run.started_at === "number" ? run.started_at : Date.parse(run.started_at) / 1000;
  return make("li", {},
    make("span", {}, make("code", {}, run.id), ` ${run.user ?? ""} ${run.image ?? ""} `, make("span", { class: "muted", "data-since": String(began || "") }, "")), stop);
}

function drawAges() {
  for (const place of document.querySelectorAll("[data-since]")) {
    if (place.dataset.since) place.textContent = age(Date.now() / 1000 - Number(place.dataset.since));
  }
}

/** Failures that are alike, told once, by the newest of them. */
function alike() {
  const groups = new Map();
  for (const call of failures) {
    const likeness = JSON.stringify([call.status, call.error, call.provider, call.model, call.path]);
    if (groups.has(likeness)) groups.get(likeness).times += 1;
    else groups.set(likeness, { call, times: 1 });
  }
  return [...groups.values()].slice(0, MOST_FAILURES);
}

function drawFailures() {
  const rows = alike().map(({ call, times }) => {
    const whom = call.kind === "execution" ? "code" : `${call.provider ?? "?"}: ${call.model ?? "?"}`;
    const open = make("button", { type: "button", class: "row-button" },
      make("span", { class: "state bad" }, String(call.status)),
      make("span", { class: "why" }, call.error ?? call.finish_reason ?? "no reason given"),
      make("span", { class: "muted clip" }, `${moment(call.time)}${times > 1 ? ` · ${times} times` : ""} · ${call.path} · ${whom}`));
    open.onclick = () => openCall(call.id);
    return make("li", {}, open);
  });
  find("failures").replaceChildren(...(rows.length ? rows : [make("li", { class: "empty" }, "Nothing has failed.")]));
}

function drawEvents() {
  const rows = happened.map((event) =>
    make("li", {}, make("span", { class: `dot ${SUCCESS.has(event.kind) ? "good" : event.kind === "stop" ? "" : "bad"}` }), make("span", {}, event.message), make("time", { class: "muted" }, moment(event.time))));
  find("events").replaceChildren(...(rows.length ? rows : [make("li", { class: "empty" }, "Nothing to tell.")]));
}
