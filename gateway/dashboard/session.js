// The way to the gateway: every request carries the credential of this tab, if there is one.

import { find } from "./dom.js";

const KEPT = "sandgate-credential";
let asking = null;

export class Refused extends Error {
  constructor(status, body) {
    const inner = body?.error;
    super(body?.message ?? (typeof inner === "string" ? inner : inner?.message) ?? `The gateway answered ${status}.`);
    this.status = status;
    this.code = body?.code ?? inner?.code;
  }
}

export const hasCredential = () => sessionStorage.getItem(KEPT) !== null;

export function forget() {
  sessionStorage.removeItem(KEPT);
}

/** Ask for a credential; one dialog at a time, however many requests wait for it. */
export function askForCredential(complaint = "") {
  asking ??= new Promise((resolve) => {
    const dialog = find("sign-in");
    find("sign-in-error").textContent = complaint;
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    find("sign-in-form").onsubmit = () => {
      sessionStorage.setItem(KEPT, find("credential").value.trim());
      find("credential").value = "";
      find("sign-out").hidden = false;
      asking = null;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

/** Fetch a path of the gateway; asks for a credential and tries again on 401. Throws Refused for any other error. */
export async function call(path, options = {}) {
  const headers = { ...options.headers };
  const credential = sessionStorage.getItem(KEPT);
  if (credential !== null) headers.authorization = `Bearer ${credential}`;
  if (options.body !== undefined) headers["content-type"] = "application/json";
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => null);
  if (answer.status === 401) {
    await askForCredential(credential === null ? "" : "The gateway does not know this one, or it has expired.");
    return call(path, options);
  }
  throw new Refused(answer.status, body);
}

export const get = async (path, signal) => (await call(path, { signal })).json();

/** Server-sent events of an answer (WHATWG HTML, "Server-sent events"): `{event, data}` as they come. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const told = { event: "message", data: "" };
        const data = [];
        for (const line of block.split(/\r?\n/)) {
          const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
          if (field === "event") told.event = text;
          if (field === "data") data.push(text);
        }
        told.data = data.join("\n");
        if (data.length) yield told;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
