// Starts the page: session, stream, and the view that the address names.

import * as board from "./board.js";
import * as chat from "./chat.js";
import * as faults from "./faults.js";
import * as requests from "./requests.js";
import * as setup from "./setup.js";
import * as traffic from "./traffic.js";
import { el, empty, replace, tick } from "./dom.js";
import { begin, end, whenOver } from "./session.js";
import { follow, listen, world } from "./world.js";

const VIEWS = { board, chat, requests, traffic, setup, faults };
const main = document.getElementById("main");
const following = new AbortController();
let close = () => {};
let where = null;

function show() {
  if (location.hash === "#main") {
    main.focus();
    return;
  }
  const [, name = "", argument = ""] = location.hash.split("/");
  const view = VIEWS[name] && (name !== "faults" || world.faults) ? name : "board";
  where = view;
  navigation();
  close();
  main.replaceChildren();
  document.title = `${VIEWS[view].title}, Molecule embedded platform`;
  close = VIEWS[view].open(main, decodeURIComponent(argument)) ?? (() => {});
}

function navigation() {
  const links = Object.entries(VIEWS)
    .filter(([name]) => name !== "faults" || world.faults)
    .map(([name, { title }]) => {
      const facts = { href: `#/${name}`, "data-key": name, "aria-current": name === where ? "page" : undefined };
      const count = name === "requests" && world.waiting ? el("span", { class: "count", "aria-label": `${world.waiting} for you` }, world.waiting) : null;
      return el("a", facts, title, count);
    });
  replace(document.getElementById("views"), links);
}

const LIVE = { connecting: "Connecting", live: "Live", lost: "Not connected, trying again" };

function head() {
  const live = document.getElementById("live");
  live.textContent = LIVE[world.live];
  live.className = `live ${world.live}`;
  document.getElementById("where").textContent = `embedded platform, level ${world.level || "?"}, ${location.host}`;
}

function isOver() {
  end();
  following.abort();
  close();
  close = () => {};
  removeEventListener("hashchange", show);
  document.getElementById("views").replaceChildren();
  const live = document.getElementById("live");
  live.textContent = "No session";
  live.className = "live lost";
  const command = el("code", {}, "molecule-mcp platform");
  const text = el("span", {}, "Open the address that ", command, " printed when it started. It is good until that platform stops, and for this tab.");
  main.replaceChildren(empty("This page has no session", text));
}

whenOver(isOver);
if (begin()) {
  const first = listen((event) => {
    if (!event.again) return;
    first();
    addEventListener("hashchange", show);
    show();
  });
  listen((event) => {
    if (event.live || event.again) head();
    if (event.waiting !== undefined || event.again) navigation();
  });
  setInterval(tick, 1000);
  follow(following.signal);
} else {
  isOver();
}
// A new address in a tab that is open already.
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#token=")) location.reload();
});
