// The person and one agent.

import { busy, button, el, empty, note, replace, soon } from "./dom.js";
import { chip, details, moment, nameOf, status, textOf } from "./row.js";
import { ask, platform, request } from "./session.js";
import { bytes, clock, day, minute, plain } from "./text.js";
import { listen, present, world } from "./world.js";

export const title = "Chat";

const PAGE = 50;
const LARGEST = 1_000_000;

/** Shows the conversation with one workspace, or the list of those there are. */
export function open(main, chosen) {
  const list = el("ul");
  const side = el("nav", { class: "side", "aria-label": "Conversations" }, list);
  const place = el("section", { class: "talk" });
  const split = el("div", { class: `split ${chosen ? "chosen" : ""}` }, side, place);
  main.append(el("div", { class: "bar" }, el("h1", {}, title)), split);

  function draw() {
    const links = present().map((one) => {
      const facts = { href: `#/chat/${one.id}`, "data-key": one.id, "aria-current": one.id === chosen ? "true" : undefined };
      return el("li", {}, el("a", facts, el("span", { dir: "auto" }, nameOf(one.id)), status(one)));
    });
    replace(list, links);
  }
  const redraw = soon(draw);
  draw();

  let leave = () => {};
  if (!present().length) {
    const make = el("a", { class: "button primary", href: "#/setup/new" }, "Make a workspace");
    split.replaceChildren(empty("Nobody to talk to", "Make a workspace and connect an agent to it; then write to it here.", make));
  } else if (chosen && world.workspaces.has(chosen)) {
    leave = converse(place, chosen);
  } else {
    place.append(empty("Choose a workspace", "The conversation with its agent opens here, with everything that was said before."));
  }
  const deaf = listen((event) => {
    if (event.workspace || event.purged || event.again) redraw();
  });
  return () => {
    deaf();
    leave();
  };
}

function converse(place, id) {
  const rows = new Map();
  const pending = new Map();
  const bubbles = new Map();
  let isAtStart = false;
  let drawn;
  // What the stream told while an answer was on its way, which may be older.
  let heard = null;

  const back = el("a", { class: "back", href: "#/chat" }, "‹ All");
  const head = el("header", {});
  const log = el("div", { class: "log", role: "log", "aria-label": "Conversation", tabindex: "0" });
  const earlier = button("Show earlier messages", loadEarlier, { class: "more", hidden: true });
  const { form, focus } = composer(id, send);
  place.append(head, log, form);

  function drawHead() {
    const one = world.workspaces.get(id);
    const facts = JSON.stringify([one?.name, one?.status, one?.active_tasks]);
    // Every beat leads here; a link that is made anew would lose the focus.
    if (!one || facts === drawn) return;
    drawn = facts;
    const working = one.active_tasks > 0 ? chip([`working on ${one.active_tasks}`, "work"]) : null;
    head.replaceChildren(back, el("h2", { dir: "auto" }, nameOf(id)), status(one), working ?? "", el("a", { class: "end", href: `#/setup/${id}` }, "Set up"));
  }

  /** Puts a row in its place by the time it was written at. */
  function draw() {
    const near = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    const ordered = [...rows.values()].sort((one, other) => (moment(one) < moment(other) ? -1 : moment(one) > moment(other) ? 1 : one.seq - other.seq));
    const lastWord = ordered.filter((row) => row.method === "notify").at(-1);
    const children = [];
    let today = "";
    for (const row of ordered) {
      if (day(row.created_at) !== today) children.push(el("p", { class: "day" }, (today = day(row.created_at))));
      const answered = row.method !== "notify" && (row.reply !== undefined || Boolean(row.fetched_at && lastWord && moment(lastWord) > moment(row)));
      const known = bubbles.get(row.seq);
      if (known?.row !== row || known.answered !== answered) bubbles.set(row.seq, { row, answered, nodes: bubble(row, answered) });
      children.push(...bubbles.get(row.seq).nodes);
    }
    children.push(...[...pending.values()].map((waiting) => waiting.node));
    earlier.hidden = isAtStart || rows.size === 0;
    if (children.length === 0) {
      const awaited = world.workspaces.get(id)?.last_beat === null;
      const text = awaited ? "No agent has connected yet. What you write waits for it." : "Write the first message below. The agent gets it the next time it looks.";
      const connect = awaited ? [el("a", { class: "button", href: `#/setup/${id}` }, "Connect an agent")] : [];
      children.push(empty("Nothing said yet", text, ...connect));
    }
    log.replaceChildren(earlier, ...children);
    if (near) log.scrollTop = log.scrollHeight;
  }
  const redraw = soon(draw);

  function take(found) {
    for (const row of found) {
      rows.set(row.seq, row);
      pending.delete(row.message_id);
    }
  }

  async function load(before) {
    heard = [];
    const query = new URLSearchParams({ about: id, sort: "chat", limit: PAGE, before: before ?? "" });
    const found = (await ask(`rows?${query}`)).rows;
    if (found.length < PAGE) isAtStart = true;
    take([...found, ...(heard ?? [])]);
    heard = null;
  }

  async function loadLatest() {
    try {
      await load();
      draw();
      log.scrollTop = log.scrollHeight;
    } catch (error) {
      note(error.message, "bad");
    }
  }

  async function loadEarlier() {
    const height = log.scrollHeight;
    await load(Math.min(...rows.keys()));
    draw();
    log.scrollTop += log.scrollHeight - height;
  }

  async function send(text, files) {
    const messageId = crypto.randomUUID();
    const state = el("span", { class: "state wait" }, files.length ? "Uploading" : "Sending");
    const names = files.map((file) => el("span", { class: "file" }, plain(file.name, 80)));
    const node = el("div", { class: "bubble mine" }, el("div", { class: "text", dir: "auto" }, text), names, el("footer", {}, state));
    pending.set(messageId, { node });
    log.scrollTop = log.scrollHeight;
    redraw();
    try {
      const parts = text ? [{ kind: "text", text }] : [];
      if (files.length) {
        const body = new FormData();
        for (const file of files) body.append("files", file, file.name);
        const taken = await platform(`workspaces/${id}/chat/uploads`, { method: "POST", body });
        for (const { uri, name, mimeType, size } of taken.files) parts.push({ kind: "file", file: { uri, name, mimeType, size } });
      }
      const message = { role: "user", messageId, parts };
      const json = { jsonrpc: "2.0", id: messageId, method: "message/send", params: { message } };
      await platform(`workspaces/${id}/a2a`, { method: "POST", json });
      state.textContent = "Sent";
    } catch (error) {
      pending.delete(messageId);
      redraw();
      throw error;
    }
  }

  drawHead();
  draw();
  loadLatest().then(focus);
  return listen((event) => {
    if (event.row && concerns(event.row, id)) {
      take([event.row]);
      heard?.push(event.row);
      redraw();
    }
    if (event.workspace?.id === id) drawHead();
    if (event.again) loadLatest();
  });
}

/** Whether a row is part of the conversation of the person with this workspace. */
function concerns(row, id) {
  return row.workspace_id === id && row.type === "a2a_receive" && !row.source_id && row.method !== "chat_upload_receive";
}

/** The nodes of one row: what was said, and what a pushed agent answered at once. */
function bubble(row, answered) {
  const mine = row.method !== "notify";
  const state = mine && chip(row.status === "error" ? [`Failed: ${plain(row.error, 120)}`, "bad"] : answered ? ["Answered", "ok"] : row.fetched_at ? ["Fetched", "work"] : ["Sent", "wait"]);
  const open = el("button", { type: "button", class: "quiet", "aria-label": `Details of the message of ${clock(row.created_at)}`, title: clock(row.created_at), onclick: () => details(row.seq).catch((error) => note(error.message, "bad")) }, minute(row.created_at));
  const files = (Array.isArray(row.files) ? row.files : []).map((file) => fileChip(file));
  const said = el(
    "div",
    { class: `bubble ${mine ? "mine" : "theirs"}`, "data-seq": row.seq },
    row.text ? textOf(row, row.text, row.text_bytes, (whole) => whole.text) : null,
    files.length ? el("div", { class: "files" }, files) : null,
    el("footer", {}, open, state),
  );
  if (row.reply === undefined || row.reply === "") return [said];
  return [said, el("div", { class: "bubble theirs" }, textOf(row, row.reply, row.reply_bytes, (whole) => whole.reply))];
}

/** A file with a way to save it. It is never opened here: it may be a page that would run. */
function fileChip(file) {
  const name = plain(file?.name, 100) || "file";
  const address = /^platform-pending:([0-9a-f-]+)\/([0-9a-f-]+)$/i.exec(file?.uri ?? "");
  const size = Number.isFinite(file?.size) ? el("small", {}, bytes(file.size)) : "";
  if (!address) return el("span", { class: "file", title: plain(file?.uri, 200) }, name, " ", size);
  return button(
    ["⤓ ", name, " ", size],
    async () => {
      let response;
      try {
        response = await request(`platform/workspaces/${address[1]}/pending-uploads/${address[2]}/content`);
      } catch (error) {
        throw error.status === 404 ? new Error("The platform keeps a file for 24 hours, and only until the agent has it") : error;
      }
      const blob = new Blob([await response.blob()], { type: "application/octet-stream" });
      const link = el("a", { href: URL.createObjectURL(blob), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    },
    { class: "file", "aria-label": `Save ${name}` },
  );
}

function composer(id, send) {
  const name = nameOf(id);
  const text = el("textarea", { id: "say", rows: "2", placeholder: `Write to ${name}`, "aria-label": `Message to ${name}`, dir: "auto" });
  const picker = el("input", { type: "file", id: "attach", class: "hidden", multiple: true });
  const attach = el("label", { class: "button", htmlFor: "attach" }, "Attach");
  const chosen = el("div", { class: "files", "aria-label": "Files to send" });
  const go = el("button", { type: "submit", class: "primary" }, "Send");
  let files = [];

  function draw() {
    const chips = files.map((file, index) =>
      el("span", { class: "file" }, plain(file.name, 60), " ", el("small", {}, bytes(file.size)), " ", el("button", { type: "button", class: "quiet", "aria-label": `Do not send ${plain(file.name, 60)}`, onclick: () => drop(index) }, "✕")),
    );
    chosen.replaceChildren(...chips);
  }
  function drop(index) {
    files.splice(index, 1);
    draw();
    text.focus();
  }
  function add(more) {
    files.push(...more);
    draw();
  }
  picker.addEventListener("change", () => {
    add(picker.files);
    picker.value = "";
    text.focus();
  });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  text.addEventListener("paste", (event) => add(event.clipboardData.files));
  const form = el("form", { class: "composer" }, text, chosen, el("div", { class: "actions" }, picker, attach, el("span", { class: "faint" }, "Enter sends, Shift+Enter starts a line"), go));
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    add(event.dataTransfer.files);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [words, with_] = [text.value, files];
    if (!words.trim() && !with_.length) return;
    if (new TextEncoder().encode(words).length > LARGEST) {
      note(`A message holds at most ${bytes(LARGEST)}; send it as a file`, "bad");
      return;
    }
    text.value = "";
    files = [];
    draw();
    busy(go, async () => {
      try {
        await send(words, with_);
      } catch (error) {
        // What was not sent is not lost.
        text.value = text.value ? `${words}\n${text.value}` : words;
        files = [...with_, ...files];
        draw();
        throw new Error(`Not sent: ${error.message}`);
      }
    });
  });
  return { form, focus: () => matchMedia("(min-width: 700px)").matches && text.focus({ preventScroll: true }) };
}
