// The log as a table: filtered by the gateway, grown live at its head, a page at a time at its foot.

import { find, make } from "./dom.js";
import { duration, moment, tokens } from "./format.js";
import { call, get } from "./session.js";
import { hasFailed } from "./overview.js";

const PAGE = 100;
const MOST_LIVE = 300;
const SEARCHED = ["request_id", "path", "provider", "model", "user", "error", "finish_reason"];

let following = null;
let asked = 0;
let fresh = [];
const seen = new Set();

export function start() {
  const form = find("filters");
  let typing;
  form.oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(load, 250);
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    load();
  };
  form.onreset = () => setTimeout(load);
  find("calls-more").onclick = () => load(following);
  find("log-clear").onclick = clear;
  find("detail-close").onclick = () => find("detail").close();
}

export function listProviders(names) {
  const select = find("filters").elements.provider;
  select.replaceChildren(make("option", { value: "", textContent: "All" }), ...names.map((name) => make("option", { value: name, textContent: name })));
}

function filters() {
  return Object.fromEntries([...new FormData(find("filters"))].filter(([, value]) => value !== ""));
}

/** Load the newest page, or with `before` the one after it. */
export async function load(before = null) {
  const turn = ++asked;
  const query = new URLSearchParams({ ...filters(), limit: PAGE });
  if (typeof before === "number") query.set("before", before);
  const page = await get(`/api/logs/api-calls?${query}`).catch((error) => ({ calls: [], next: null, error }));
  if (turn !== asked) return;
  const rows = page.calls.map(row);
  const body = find("calls").tBodies[0];
  if (typeof before === "number") body.append(...rows);
  else {
    fresh = [];
    body.replaceChildren(...rows);
  }
  following = page.next;
  find("calls-more").hidden = following === null;
  tellEmpty(page.error?.message);
  page.calls.forEach(noteModel);
}

function tellEmpty(complaint) {
  const empty = find("calls-empty");
  const none = find("calls").tBodies[0].rows.length === 0;
  const filtered = Object.keys(filters()).length > 0;
  empty.textContent = complaint ?? (filtered ? "No call matches these filters." : "Nothing here yet. Calls appear as they are made.");
  empty.hidden = !none;
}

/** Take a call from the live feed; rows are written once a frame, however many come. */
export function noteCall(call) {
  noteModel(call);
  if (find("log").hidden || !find("log-live").checked || !matches(call, filters())) return;
  fresh.push(call);
  if (fresh.length > MOST_LIVE) fresh.shift();
  if (fresh.length === 1) requestAnimationFrame(writeFresh);
}

function writeFresh() {
  const body = find("calls").tBodies[0];
  const known = Number(body.rows[0]?.dataset.id ?? 0);
  body.prepend(...fresh.filter((call) => call.id > known).reverse().map(row));
  fresh = [];
  while (body.rows.length > MOST_LIVE + PAGE) {
    following = Number(body.rows[body.rows.length - 2].dataset.id);
    body.deleteRow(-1);
    find("calls-more").hidden = false;
  }
  tellEmpty();
}

function matches(call, wanted) {
  const { q, status, ...exact } = wanted;
  if (Object.entries(exact).some(([name, value]) => call[name] !== value)) return false;
  if (status === "ok" || status === "error") {
    if (hasFailed(call) !== (status === "error")) return false;
  } else if (status && !(status.endsWith("xx") ? Math.floor(call.status / 100) === Number(status[0]) : call.status === Number(status))) return false;
  return !q || SEARCHED.some((name) => call[name]?.toLowerCase().includes(q.toLowerCase()));
}

function noteModel(call) {
  if (!call.model || seen.has(call.model) || seen.size > 500) return;
  seen.add(call.model);
  find("models-seen").append(make("option", { value: call.model }));
}

function row(entry) {
  const open = make("button", { type: "button", class: "link", "aria-label": `Details of the call at ${moment(entry.time)}` }, moment(entry.time));
  open.onclick = () => show(entry.id);
  const tone = entry.status === 499 ? "warn" : hasFailed(entry) ? "bad" : entry.partial ? "warn" : "good";
  const what = entry.kind === "execution" ? `code${entry.finish_reason ? `: ${entry.finish_reason}` : ""}` : `${entry.provider ?? "?"}: ${entry.model ?? "?"}`;
  return make("tr", { "data-id": String(entry.id) },
    make("td", {}, open),
    make("td", {}, make("span", { class: `state ${tone}` }, entry.status === 499 ? "left" : String(entry.status)), entry.partial ? make("span", { class: "muted" }, " partial") : null),
    make("td", { class: "what" }, make("strong", { class: "clip", title: what }, what), make("span", { class: "muted" }, ` ${entry.method} ${entry.path}${entry.stream ? " · stream" : ""}`)),
    make("td", {}, duration(entry.duration_ms)),
    make("td", {}, duration(entry.ttft_ms)),
    make("td", {}, tokens(entry)),
    make("td", {}, entry.user ?? ""),
    make("td", { class: "error" }, entry.error ?? ""));
}

/** Open one call in the detail view. */
export async function show(id) {
  const dialog = find("detail");
  const body = find("detail-body");
  body.replaceChildren(make("p", { class: "muted" }, "Loading …"));
  if (!dialog.open) dialog.showModal();
  try {
    body.replaceChildren(...detail(await get(`/api/logs/api-calls/${id}`)));
  } catch (error) {
    body.replaceChildren(make("p", { class: "bad" }, error.message));
  }
}

function detail(entry) {
  find("detail-title").textContent = `${entry.method} ${entry.path}`;
  const pairs = [
    ["Status", String(entry.status)], ["When", new Date(entry.time * 1000).toLocaleString()], ["Request id", entry.request_id],
    ["Provider", entry.provider], ["Model", entry.model], ["User", entry.user], ["Stream", entry.stream ? "yes" : "no"],
    ["Tokens in", entry.prompt_tokens], ["of these cached", entry.cached_tokens], ["Tokens out", entry.completion_tokens],
    ["Ended with", entry.finish_reason], ["Cut short", entry.partial ? "yes" : null],
  ].filter(([, value]) => value !== null && value !== undefined);
  return [
    timing(entry),
    entry.error ? make("pre", { class: "problem" }, entry.error) : null,
    make("dl", { class: "pairs" }, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))])),
    ...kept("Request", entry.request_body), ...kept("Response", entry.response_body),
    entry.request_body || entry.response_body ? null : make("p", { class: "muted" }, "Bodies are not kept; LOG_BODIES=true keeps them."),
  ].filter((part) => part !== null);
}

function timing(entry) {
  const bar = make("div", { class: "timing", role: "img", "aria-label": `${duration(entry.duration_ms)} in all` }, make("span", { class: "first" }), make("span", { class: "rest" }));
  const share = entry.ttft_ms === null ? 0 : Math.min(1, entry.ttft_ms / Math.max(entry.duration_ms, 0.001));
  bar.children[0].style.flexGrow = String(share);
  bar.children[1].style.flexGrow = String(1 - share);
  const first = entry.ttft_ms === null ? "" : `${duration(entry.ttft_ms)} to the first token, `;
  return make("div", {}, bar, make("p", { class: "muted" }, `${first}${duration(entry.duration_ms)} in all`));
}

function kept(name, text) {
  if (!text) return [];
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch { /* not JSON, or cut: shown as it is */ }
  return [make("h3", {}, name), make("pre", { tabIndex: 0 }, shown)];
}

async function clear() {
  if (!confirm("Delete all calls and server events of all workers?")) return;
  await call("/api/logs", { method: "DELETE" });
  await load();
}
