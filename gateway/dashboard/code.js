// Python in a sandbox: run it, see what it writes while it writes it, and what became of it.

import { display } from "./displays.js";
import { find, make } from "./dom.js";
import { makeEditor } from "./editor.js";
import { EXAMPLES } from "./examples.js";
import { bytes, duration } from "./format.js";
import { call, events, get } from "./session.js";

const MOST_SHOWN = 200000; // characters of output; the rest is in the answer, not on the page

let editor = null;
let running = null;
let shown = 0;

let limited = false;

export function start() {
  editor = makeEditor(find("editor"), toggle);
  find("code-run").onclick = toggle;
  find("code-options").onsubmit = (event) => event.preventDefault();
  const choice = find("code-example");
  choice.replaceChildren(...EXAMPLES.map(({ name }) => make("option", { value: name, textContent: name })));
  choice.onchange = () => choose(choice.value);
  choose(EXAMPLES[0].name);
}

/** Take what is known of the executor; its limits are asked for once it is there. */
export function noteState({ executor }) {
  if (limited || executor.reachable !== true) return;
  limited = true;
  showLimits().catch(() => (limited = false));
}

function choose(name) {
  const example = EXAMPLES.find((one) => one.name === name);
  editor.set(example.code);
  const image = find("code-image");
  image.value = [...image.options].some((option) => option.value === example.image) ? example.image : "";
}

async function showLimits() {
  const { defaults, maxima, images } = await get("/execute/limits");
  const names = Object.keys(images ?? {});
  find("code-image").replaceChildren(...names.map((name) => make("option", { value: name, textContent: `${name}, Python ${images[name].python}` })));
  if (defaults?.image) find("code-image").value = defaults.image;
  const bound = (id, name) => {
    if (defaults?.[name] !== undefined) find(id).placeholder = String(defaults[name]);
    if (maxima?.[name] !== undefined) find(id).max = String(maxima[name]);
  };
  bound("code-timeout", "timeout_seconds");
  bound("code-memory", "memory_mb");
  if (maxima) find("code-limits").textContent = `At most ${maxima.timeout_seconds} s, ${maxima.memory_mb} MB, ${maxima.cpus} CPUs, ${maxima.processes} processes; no network.`;
}

function toggle() {
  if (running) running.abort();
  else run();
}

async function run() {
  const body = { code: editor.text(), stream: true };
  if (find("code-image").value) body.image = find("code-image").value;
  if (find("code-timeout").value) body.timeout_seconds = Number(find("code-timeout").value);
  if (find("code-memory").value) body.memory_mb = Number(find("code-memory").value);
  running = new AbortController();
  find("code-run").textContent = "Stop";
  find("output").replaceChildren();
  tell("", "running …");
  shown = 0;
  try {
    const answer = await call("/execute", { method: "POST", body: JSON.stringify(body), signal: running.signal });
    let done = false;
    for await (const { event, data } of events(answer)) {
      done = take(event, JSON.parse(data)) || done;
    }
    if (!done) tell("bad", "The stream ended without a verdict.");
  } catch (error) {
    tell(error.name === "AbortError" ? "warn" : "bad", error.name === "AbortError" ? "stopped: the run was killed with its container" : error.message);
  } finally {
    running = null;
    find("code-run").textContent = "Run";
  }
}

/** Take one event of the stream; true for the last one. */
function take(event, data) {
  switch (event) {
    case "stdout":
    case "stderr":
      write(event, data.text);
      break;
    case "display":
      put(display(data.mime, data.data));
      break;
    case "file":
      put(make("p", { class: "muted" }, `file ${data.path}, ${bytes(data.size)}`));
      break;
    case "done":
      finish(data);
      return true;
    case "error":
      tell("bad", data.message ?? "The run failed.");
      return true;
  }
  return false;
}

function write(kind, text) {
  if (shown >= MOST_SHOWN) return;
  const kept = text.slice(0, MOST_SHOWN - shown);
  shown += kept.length;
  const last = find("output").lastElementChild;
  const place = last?.classList.contains(kind) ? last : put(make("pre", { class: kind }));
  place.append(kept);
  if (shown >= MOST_SHOWN) put(make("p", { class: "muted" }, "Further output is not shown here."));
  scroll();
}

function put(element) {
  find("output").append(element);
  scroll();
  return element;
}

function scroll() {
  const output = find("output");
  output.scrollTop = output.scrollHeight;
}

function finish(answer) {
  if (showsResult(answer)) put(make("pre", { class: "result" }, answer.result_repr));
  const error = answer.error;
  if (error) put(make("pre", { class: "stderr" }, [error.traceback ?? `${error.type}: ${error.message}`, error.hint].filter(Boolean).join("\n")));
  const used = answer.usage ?? {};
  const policy = answer.policy ?? {};
  const facts = [
    used.wall_ms == null ? null : `${duration(used.wall_ms)} of ${policy.timeout_seconds ?? "?"} s`,
    used.memory_peak_mb == null ? null : `${used.memory_peak_mb} of ${policy.memory_mb ?? "?"} MB`,
    used.cpu_ms == null ? null : `CPU ${duration(used.cpu_ms)}`,
    answer.sandbox ? `Python ${answer.sandbox.python}, ${answer.sandbox.warm ? "warm" : "cold"} sandbox` : null,
    policy.network === "none" ? "no network" : null,
  ].filter(Boolean);
  tell(answer.success ? "good" : "bad", answer.status, facts.join(" · "));
}

/** As in a notebook: the result is shown unless `;` holds it back, or a table of it is shown already. */
function showsResult({ status, result_repr: result, output }) {
  const heldBack = output !== undefined && !output.endsWith(result);
  return status === "ok" && result != null && !heldBack && find("output").querySelector("iframe") === null;
}

function tell(tone, verdict, facts = "") {
  find("outcome").replaceChildren(make("span", { class: `state ${tone}` }, verdict), ` ${facts}`);
}
