// A chat with any model, streamed, over the same path that applications use.

import { find, make } from "./dom.js";
import { count, duration } from "./format.js";
import { call, events, get } from "./session.js";

let messages = [];
let running = null;

export async function start(defaultModel) {
  find("chat-form").onsubmit = (event) => {
    event.preventDefault();
    if (running) running.abort();
    else send();
  };
  find("chat-text").onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!running) send();
  };
  find("chat-new").onclick = () => {
    running?.abort();
    messages = [];
    find("talk").replaceChildren();
  };
  const first = defaultModel ?? "";
  find("chat-model").value = first;
  await listModels(first).catch(() => {});
}

async function listModels(first) {
  const { data } = await get("/v1/models");
  find("chat-models").replaceChildren(...data.map((model) => make("option", { value: model.id })));
  const field = find("chat-model");
  const begun = field.value;
  const untouched = begun === first || begun.endsWith(":"); // what somebody has typed meanwhile stays
  if (!untouched || data.some((model) => model.id === begun)) return;
  field.value = (data.find((model) => model.id.startsWith(begun)) ?? data[0])?.id ?? begun;
}

async function send() {
  const text = find("chat-text").value.trim();
  if (!text) return;
  find("chat-text").value = "";
  messages.push({ role: "user", content: text });
  say("user", text);
  const answer = say("assistant", "");
  const began = performance.now();
  running = new AbortController();
  find("chat-send").textContent = "Stop";
  const told = { text: "", first: null, usage: null, reason: null };
  try {
    await stream(told, answer, began, running.signal);
    answer.end(summary(told, performance.now() - began));
  } catch (error) {
    if (error.name === "AbortError") answer.end("stopped");
    else answer.fail(error.message);
  } finally {
    running = null;
    find("chat-send").textContent = "Send";
  }
  if (told.text) messages.push({ role: "assistant", content: told.text });
  else messages.pop();
}

async function stream(told, answer, began, signal) {
  const system = find("chat-system").value.trim();
  const body = {
    model: find("chat-model").value.trim(),
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    stream: true,
    stream_options: { include_usage: true },
  };
  const reply = await call("/v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal });
  for await (const { data } of events(reply)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Error(chunk.error.message ?? "The stream ended with an error.");
    if (chunk.usage) told.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) continue;
    told.reason = choice.finish_reason ?? told.reason;
    if (choice.delta?.reasoning_content) answer.think(choice.delta.reasoning_content);
    if (choice.delta?.content) {
      told.first ??= performance.now() - began;
      told.text += choice.delta.content;
      answer.add(choice.delta.content);
    }
  }
  throw new Error("The stream ended before the answer did.");
}

function summary({ first, usage, reason }, total) {
  const parts = [first === null ? null : `first token ${duration(first)}`, `${duration(total)} in all`];
  if (usage) parts.push(`${count(usage.prompt_tokens)} in, ${count(usage.completion_tokens)} out`);
  if (reason && reason !== "stop") parts.push(`ended with ${reason}`);
  return parts.filter(Boolean).join(" · ");
}

/** Put a turn into the conversation; gives what an answer grows by. */
function say(role, text) {
  const talk = find("talk");
  talk.querySelector(".empty")?.remove();
  const said = make("div", { class: "said" });
  const foot = make("p", { class: "muted foot" });
  const turn = make("article", { class: `turn ${role}` }, make("h3", { class: "unseen" }, role === "user" ? "You" : "Model"), said, foot);
  said.append(text);
  talk.append(turn);
  talk.scrollTop = talk.scrollHeight;
  let thoughts = null;
  const grow = (place, more) => {
    const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 40;
    place.append(more);
    if (atEnd) talk.scrollTop = talk.scrollHeight;
  };
  return {
    add: (more) => grow(said, more),
    think: (more) => {
      if (!thoughts) {
        thoughts = make("div", { class: "said" });
        said.before(make("details", { class: "thoughts" }, make("summary", {}, "Reasoning"), thoughts));
      }
      grow(thoughts, more);
    },
    end: (line) => (foot.textContent = line),
    fail: (line) => {
      foot.textContent = line;
      foot.className = "bad foot";
    },
  };
}
