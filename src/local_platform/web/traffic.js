// Everything that goes between workspaces, as it happens.

import { button, el, empty, field, note, select, soon } from "./dom.js";
import { about, chip, course, details, nameOf, stateOf } from "./row.js";
import { ask } from "./session.js";
import { bytes, clock, day, plain } from "./text.js";
import { listen, world } from "./world.js";

export const title = "Traffic";

const PAGE = 60;
// Older ones are a click away; a page that is left open must not grow for ever.
const MOST = 600;
const SORTS = [["", "Everything"], ["message", "Messages between agents"], ["delegation", "Delegations"], ["chat", "With you"], ["log", "Agents' own logs"]];

/** Shows the list, of one workspace if one is chosen. */
export function open(main, chosen) {
  const rows = new Map();
  const lines = new Map();
  let isAtStart = false;
  let asked = 0;
  // What the stream told while an answer was on its way, which may be older.
  let heard = null;

  const who = select([["", "All workspaces"]], "");
  const sort = select(SORTS, "");
  const words = el("input", { type: "search", placeholder: "Text in the message" });
  const filters = el("form", { class: "filters", role: "search" }, field("Workspace", who), field("Kind", sort), field("Holding", words, { class: "field wide" }));
  const list = el("ol", { class: "traffic" });
  const earlier = button("Show earlier", () => load(Math.min(...rows.keys())), { class: "more", hidden: true });
  const nothing = el("div");
  main.append(el("div", { class: "bar" }, el("h1", {}, title)), filters, nothing, list, earlier);

  function drawNames() {
    const all = [...world.workspaces.values()].map((one) => [one.id, `${nameOf(one.id)}${one.status === "removed" ? " (removed)" : ""}`]);
    const value = who.value || chosen;
    who.replaceChildren(...[["", "All workspaces"], ...all].map(([key, text]) => el("option", { value: key }, text)));
    who.value = all.some(([key]) => key === value) ? value : "";
  }

  const filtered = () => who.value || sort.value || words.value;

  function draw() {
    const newest = [...rows.values()].filter((row) => !onlyWaits(row)).sort((one, other) => other.seq - one.seq);
    if (newest.length > MOST) {
      newest.splice(MOST).forEach((row) => rows.delete(row.seq) && lines.delete(row.seq));
      isAtStart = false;
    }
    const children = [];
    let today = "";
    for (const row of newest) {
      if (day(row.created_at) !== today) children.push(el("li", { class: "day" }, (today = day(row.created_at))));
      const names = [row.workspace_id, row.source_id, row.target_id].map(nameOf).join("\n");
      const known = lines.get(row.seq);
      if (known?.row !== row || known.names !== names) lines.set(row.seq, { row, names, node: line(row) });
      children.push(lines.get(row.seq).node);
    }
    update(list, children);
    earlier.hidden = isAtStart || newest.length === 0;
    if (newest.length) nothing.replaceChildren();
    else if (filtered()) nothing.replaceChildren(empty("Nothing matches", "No row fits these filters.", button("Clear the filters", clear)));
    else nothing.replaceChildren(empty("No traffic yet", "Messages and delegations between agents appear here as they happen. Write to an agent to see the first.", el("a", { class: "button", href: "#/chat" }, "Open the chat")));
  }
  const redraw = soon(draw);

  function clear() {
    [who.value, sort.value, words.value] = ["", "", ""];
    return restart();
  }

  async function load(before) {
    const mine = (asked += 1);
    heard = [];
    const query = new URLSearchParams({ about: who.value, sort: sort.value, holding: words.value, limit: PAGE, before: before ?? "" });
    const found = (await ask(`rows?${query}`)).rows;
    // Another question was asked meanwhile.
    if (mine !== asked) return;
    if (before === undefined) rows.clear();
    isAtStart = found.length < PAGE;
    for (const row of [...found, ...(heard ?? [])]) rows.set(row.seq, row);
    heard = null;
    draw();
  }
  const restart = () => load().catch((error) => note(error.message, "bad"));

  function fits(row) {
    if (who.value && ![row.workspace_id, row.source_id, row.target_id].includes(who.value)) return false;
    const { kind, isLog } = about(row);
    const sorts = { message: kind === "Message", delegation: row.type === "delegation", chat: kind === "To you" || kind === "From you", log: Boolean(isLog) };
    return !sort.value || sorts[sort.value];
  }

  drawNames();
  let typing;
  filters.addEventListener("submit", (event) => event.preventDefault());
  for (const kind of ["input", "change"]) {
    filters.addEventListener(kind, () => {
      clearTimeout(typing);
      typing = setTimeout(restart, 150);
    });
  }
  restart();
  const deaf = listen((event) => {
    if (event.again) {
      drawNames();
      restart();
    }
    if (event.workspace || event.purged) drawNames();
    if (!event.row || !fits(event.row)) return;
    if (rows.has(event.row.seq)) {
      rows.set(event.row.seq, event.row);
      heard?.push(event.row);
      redraw();
    } else if (words.value) {
      // Only the platform knows whether a body that is not all here holds the words.
      clearTimeout(typing);
      typing = setTimeout(restart, 300);
    } else {
      rows.set(event.row.seq, event.row);
      heard?.push(event.row);
      redraw();
    }
  });
  return () => {
    deaf();
    clearTimeout(typing);
  };
}

/** Whether a row says no more than that a task waits for its target, which the row of the delegation says too. */
const onlyWaits = (row) => row.method === "delegate_result" && row.state === "queued";

/** Makes `place` hold these children, touching only what is new: a focused line keeps the focus. */
function update(place, children) {
  const wanted = new Set(children);
  for (const child of [...place.children]) if (!wanted.has(child)) child.remove();
  let next = place.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else place.insertBefore(child, next);
  }
}

function line(row) {
  const { kind, from, to, isLog } = about(row);
  const names = [el("bdi", {}, nameOf(from))];
  if (!isLog || to) names.push(el("span", { class: "arrow", "aria-label": "to" }, "→"), el("bdi", {}, nameOf(to)));
  const said = plain(row.text, 240) || row.files.map((file) => plain(file?.name, 80)).filter(Boolean).join(", ") || plain(row.reply, 240) || plain(row.summary, 240);
  return el(
    "li",
    { "data-seq": row.seq },
    el(
      "button",
      { type: "button", onclick: () => details(row.seq).catch((error) => note(error.message, "bad")) },
      el("time", { datetime: row.created_at }, clock(row.created_at)),
      el("span", { class: `kind is-${kind.toLowerCase().replaceAll(" ", "-")}` }, kind),
      el("span", { class: "way" }, names),
      el("span", { class: "said", dir: "auto" }, said || "no text"),
      el("span", { class: "size" }, row.bytes > 10_000 ? bytes(row.bytes) : ""),
      row.method === "delegate" ? course(row) : chip(stateOf(row)),
    ),
  );
}
