// Where to point an application, what to write in it, and how the gateway is set up.

import { copy, find, make } from "./dom.js";
import { SNIPPETS } from "./snippets.js";

let configuration = null;

export function start() {
  find("snippet-task").replaceChildren(...Object.entries(SNIPPETS).map(([name, { label }]) => make("option", { value: name, textContent: label })));
  find("snippet-task").onchange = find("snippet-language").onchange = drawSnippet;
  find("snippet-copy").onclick = () => copy(find("snippet").textContent, find("snippet-copy"));
}

export function showConfiguration(told) {
  configuration = told;
  drawBases();
  drawSnippet();
  const { base_url, version, ...sections } = told;
  find("configuration").replaceChildren(...describe(sections));
}

function drawBases() {
  const { base_url: base, api_prefix: prefix, auth } = configuration;
  const rows = [
    ["Sandgate and Anthropic clients", base],
    ["OpenAI clients", `${base}/v1`],
    ["Ollama clients", prefix === "/api" ? base : `${base}${prefix}`],
    ["Run code", `${base}/execute`],
  ];
  const pairs = rows.map(([name, url]) => [name, url, url]);
  for (const key of auth.keys) pairs.push([`Access key “${key.name}”`, `${key.key.slice(0, 3)}…${key.key.slice(-4)}`, key.key]);
  find("bases").replaceChildren(...pairs.flatMap(([name, shown, copied]) => {
    const button = make("button", { type: "button", class: "quiet", "aria-label": `Copy: ${name}` }, "Copy");
    button.onclick = () => copy(copied, button);
    return [make("dt", {}, name), make("dd", { class: "copyable" }, make("code", {}, shown), button)];
  }));
}

function drawSnippet() {
  if (!configuration) return;
  const write = SNIPPETS[find("snippet-task").value][find("snippet-language").value];
  const model = find("chat-model").value || `${configuration.default_provider}:model`;
  find("snippet").textContent = write({ base: configuration.base_url, model, auth: configuration.auth.enabled });
}

export const redrawSnippet = drawSnippet;

/** One block for each group of settings: single values together first, then each object and list by itself. */
function describe(sections) {
  const single = Object.entries(sections).filter(([, value]) => typeof value !== "object" || value === null);
  const grouped = Object.entries(sections).filter(([, value]) => typeof value === "object" && value !== null);
  return [block("general", Object.fromEntries(single)), ...grouped.map(([name, value]) => block(name, value))];
}

function block(name, value) {
  const title = make("summary", {}, name.replaceAll("_", " "));
  if (name === "providers") return make("details", { class: "group", open: true }, title, providers(value));
  if (name === "auth") value = { ...value, keys: value.keys.map((key) => key.name) };
  return make("details", { class: "group", open: name === "general" }, title, pairs(value));
}

function providers(rows) {
  const columns = ["name", "kind", "base_url", "configured", "api_key", "key_source", "timeout_seconds", "retries"];
  const cell = (value) => (value === null ? "–" : value === true ? "yes" : value === false ? "no" : String(value));
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Providers" },
    make("table", { class: "figures left" },
      make("thead", {}, make("tr", {}, ...columns.map((name) => make("th", { scope: "col" }, name.replaceAll("_", " "))))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...columns.map((name) => make("td", {}, cell(row[name]))))))));
}

function pairs(value) {
  const entries = Array.isArray(value) ? value.map((one, place) => [String(place + 1), one]) : Object.entries(value);
  if (!entries.length) return make("p", { class: "muted" }, "none");
  return make("dl", { class: "pairs" }, ...entries.flatMap(([name, one]) => [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, write(one))]));
}

function write(value) {
  if (value === null || value === "") return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.length ? value.map((one) => (typeof one === "object" ? JSON.stringify(one) : String(one))).join(", ") : "none";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
