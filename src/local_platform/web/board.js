// Every workspace as a card in its hierarchy.

import { el, empty, replace, since, soon } from "./dom.js";
import { chip, status } from "./row.js";
import { plain } from "./text.js";
import { listen, world } from "./world.js";

export const title = "Board";

/** Shows the board and returns how to leave it. */
export function open(main) {
  const summary = el("p", { class: "summary", role: "status" });
  const removed = el("input", { type: "checkbox", id: "removed" });
  const toggle = el("label", { class: "check", htmlFor: "removed" }, removed, el("span", {}));
  const tree = el("ul", { class: "tree" });
  const place = el("div");
  const cards = new Map();

  function draw() {
    const all = [...world.workspaces.values()];
    const gone = all.filter((one) => one.status === "removed");
    const shown = removed.checked ? all : all.filter((one) => one.status !== "removed");
    replaceText(summary, counts(all));
    toggle.hidden = gone.length === 0;
    replaceText(toggle.lastChild, `Show removed (${gone.length})`);
    if (shown.length === 0) {
      const make = el("a", { class: "button primary", href: "#/setup/new" }, "Make a workspace");
      place.replaceChildren(
        empty("No workspace yet", "A workspace is a seat for one coding agent. Make one, paste its configuration into the agent's client, and it comes online here.", make),
      );
      return;
    }
    if (place.firstChild !== tree) place.replaceChildren(tree);
    const below = new Map();
    const ids = new Set(shown.map((one) => one.id));
    for (const one of shown) {
      const parent = ids.has(one.parent_id) && one.parent_id !== one.id ? one.parent_id : null;
      below.set(parent, [...(below.get(parent) ?? []), one]);
    }
    const placed = new Set();
    const items = (parent) =>
      (below.get(parent) ?? []).filter((one) => !placed.has(one.id) && placed.add(one.id)).map((one) => {
        const children = items(one.id);
        const branch = children.length ? el("ul", { class: "branch", "aria-label": `Below ${plain(one.name, 60)}` }, children) : null;
        return el("li", { class: branch ? "family" : "" }, card(one), branch);
      });
    // Those in a loop are below nobody, and must not vanish.
    const roots = [...items(null), ...shown.filter((one) => !placed.has(one.id)).map((one) => el("li", {}, card(one)))];
    replace(tree, roots);
  }

  /** A card is made anew only when something in it other than its age is new. */
  function card(one) {
    const { last_beat: beat, uptime_seconds: uptime, ...rest } = one;
    const facts = JSON.stringify([rest, beat === null]);
    const known = cards.get(one.id);
    if (known?.facts !== facts) cards.set(one.id, { facts, node: cardOf(one) });
    const { node } = cards.get(one.id);
    const age = node.querySelector("time[data-beat]");
    if (age && age.dataset.at !== String(beat)) age.replaceWith(beatOf(one));
    return node;
  }

  const redraw = soon(draw);
  removed.addEventListener("change", draw);
  main.append(el("div", { class: "bar" }, el("h1", {}, title), summary, toggle), place);
  draw();
  return listen((event) => {
    if (event.workspace || event.purged || event.again) redraw();
  });
}

function replaceText(place, text) {
  // A status that is set again would be read out again.
  if (place.textContent !== text) place.textContent = text;
}

function counts(all) {
  const count = (state) => all.filter((one) => one.status === state).length;
  const total = all.length - count("removed");
  const parts = [`${total} workspace${total === 1 ? "" : "s"}`];
  for (const [state, words] of [["online", "online"], ["degraded", "degraded"], ["awaiting_agent", "awaiting an agent"], ["offline", "offline"], ["paused", "paused"]]) {
    if (count(state)) parts.push(`${count(state)} ${words}`);
  }
  return total ? parts.join(" · ") : "";
}

function beatOf(one) {
  if (one.last_beat === null) return el("span", { class: "faint" }, "no beat yet");
  const time = since(one.last_beat, "beat ");
  time.dataset.beat = "";
  return time;
}

function cardOf(one) {
  const agent = one.agent_card && typeof one.agent_card === "object" ? one.agent_card : {};
  const skills = (Array.isArray(agent.skills) ? agent.skills : []).map((skill) => plain(typeof skill === "string" ? skill : (skill?.name ?? skill?.id), 40)).filter(Boolean);
  const name = plain(one.name, 80) || "(no name)";
  const agentName = plain(agent.name, 80);
  const description = plain(agent.description, 300) || plain(one.role, 300);
  const removed = one.status === "removed";
  const tasks = one.active_tasks > 0 || one.current_task;
  return el(
    "article",
    { class: `card ${one.status}`, "data-id": one.id, "aria-label": name },
    el("header", {}, el("h2", { dir: "auto" }, name), status(one)),
    el(
      "p",
      { class: "meta" },
      agentName ? el("span", { dir: "auto" }, agentName === name ? "agent of the same name" : agentName) : el("span", { class: "faint" }, "no agent yet"),
      removed ? since(one.removed_at ?? Date.now(), "removed ") : beatOf(one),
      one.runtime === "external" ? null : el("span", {}, plain(one.runtime, 30)),
      one.delivery_mode === "poll" ? null : el("span", {}, plain(one.delivery_mode, 10)),
    ),
    description ? el("p", { class: "about", dir: "auto" }, description) : null,
    skills.length ? el("ul", { class: "skills", "aria-label": "Skills" }, skills.slice(0, 12).map((skill) => el("li", {}, skill))) : null,
    tasks
      ? el("p", { class: "tasks" }, chip([`${one.active_tasks} active task${one.active_tasks === 1 ? "" : "s"}`, "work"]), el("span", { dir: "auto" }, plain(one.current_task, 200)))
      : null,
    one.error ? el("p", { class: "tasks" }, chip(["Error", "bad"]), el("span", { dir: "auto" }, plain(one.error, 200))) : null,
    el(
      "footer",
      {},
      removed ? null : el("a", { href: `#/chat/${one.id}`, "data-key": `chat-${one.id}`, "aria-label": `Chat with ${name}` }, "Chat"),
      el("a", { href: `#/traffic/${one.id}`, "data-key": `traffic-${one.id}`, "aria-label": `Traffic of ${name}` }, "Traffic"),
      removed ? null : el("a", { href: `#/setup/${one.id}`, "data-key": `setup-${one.id}`, "aria-label": `Set up ${name}` }, "Set up"),
    ),
  );
}
