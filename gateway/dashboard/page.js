// The page: which section is shown, what the feed tells to whom, the theme, and signing in and out.

import * as chat from "./chat.js";
import * as code from "./code.js";
import * as connect from "./connect.js";
import { find } from "./dom.js";
import { Feed } from "./feed.js";
import * as log from "./log.js";
import * as overview from "./overview.js";
import { askForCredential, forget, get, hasCredential } from "./session.js";

const SECTIONS = ["overview", "log", "playground", "connect"];
const THEMES = ["auto", "light", "dark"];
let ready = false; // a credential is there, where one is wanted

const HEARD = {
  stats: overview.showStats,
  state(told) {
    overview.showState(told);
    code.noteState(told);
  },
  server_event: overview.noteEvent,
  call(told) {
    overview.noteCall(told);
    log.noteCall(told);
  },
  skipped() {},
  connected: () => showLive("good", "live"),
  broken(error) {
    showLive("bad", "not connected");
    if (error.status === 403) refuse(error);
  },
};

function showLive(tone, text) {
  find("live").dataset.state = tone;
  find("live-text").textContent = text;
}

function refuse(error) {
  find("notice").textContent = `${error.message} The playground works without it.`;
  find("notice").hidden = false;
}

function showSection() {
  const wanted = location.hash.slice(2);
  const chosen = SECTIONS.includes(wanted) ? wanted : "overview";
  for (const name of SECTIONS) find(name).hidden = name !== chosen;
  for (const link of document.querySelectorAll(".top nav a")) {
    if (link.hash === `#/${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${chosen[0].toUpperCase()}${chosen.slice(1)} · Sandgate`;
  if (chosen === "log" && ready) log.load();
  if (chosen === "connect") connect.redrawSnippet();
}

function startTheme() {
  const button = find("theme");
  const show = () => (button.textContent = `Theme: ${document.documentElement.dataset.theme ?? "auto"}`);
  button.onclick = () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("sandgate-theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("sandgate-theme", next);
    }
    show();
    overview.redraw();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", overview.redraw);
  show();
}

async function startData() {
  const health = await get("/healthz");
  if (health.auth.enabled && !hasCredential()) await askForCredential();
  find("sign-out").hidden = !health.auth.enabled;
  ready = true;
  showSection();
  const feed = new Feed((event, data) => HEARD[event]?.(data));
  feed.follow(find("window").value);
  find("window").onchange = () => feed.follow(find("window").value);
  await Promise.all([
    loadConfiguration(),
    get("/api/logs/api-calls?status=error&limit=100").then(async ({ calls }) => overview.showHistory(calls, (await get("/api/logs/server-events?limit=8")).events)).catch(() => {}),
    chat.start(find("chat-model").value),
  ]);
  connect.redrawSnippet();
}

async function loadConfiguration() {
  try {
    const told = await get("/api/config");
    connect.showConfiguration(told);
    log.listProviders(told.providers.map((provider) => provider.name));
    if (!find("chat-model").value) find("chat-model").value = `${told.default_provider}:`;
  } catch (error) {
    refuse(error);
  }
}

overview.start(log.show);
log.start();
connect.start();
code.start();
startTheme();
find("sign-out").onclick = () => {
  forget();
  location.reload();
};
find("view").onsubmit = (event) => event.preventDefault();
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#/")) showSection();
});
showSection();
startData().catch((error) => refuse(error));
