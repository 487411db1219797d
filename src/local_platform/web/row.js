// One activity row: what it is, who it is between, in which state, and all of it in a dialog.

import { ask } from "./session.js";
import { copier, dialog, el, note } from "./dom.js";
import { bytes, clock, day, fill, plain } from "./text.js";
import { world } from "./world.js";

const STATUS = {
  online: ["Online", "ok"],
  degraded: ["Degraded", "wait"],
  awaiting_agent: ["Awaiting agent", "wait"],
  provisioning: ["Waiting", "wait"],
  paused: ["Paused", "idle"],
  hibernated: ["Hibernated", "idle"],
  offline: ["Offline", "bad"],
  failed: ["Failed", "bad"],
  removed: ["Removed", "idle"],
};

const COURSE = {
  pending: ["Pending", "wait", 0],
  dispatched: ["Dispatched", "wait", 0],
  queued: ["Queued", "wait", 1],
  fetched: ["Fetched", "work", 2],
  completed: ["Completed", "ok", 3],
  failed: ["Failed", "bad", 0],
};

/** A state as words with a colour; never a colour alone. */
export function chip([label, kind]) {
  return el("span", { class: `state ${kind}` }, label);
}

/** The state of a workspace. */
export function status(workspace) {
  return chip(STATUS[workspace.status] ?? [plain(workspace.status, 30), "idle"]);
}

/** The name of a workspace, or of the person. */
export function nameOf(id) {
  if (!id) return "You";
  const known = world.workspaces.get(id);
  return known ? plain(known.name, 60) || "(no name)" : id.slice(0, 8);
}

/** When a row was written, to be compared: the platform leaves trailing zeros out. */
export const moment = (row) => row.created_at.replace("Z", "").padEnd(26, "0");

/** Whether a row is a message and not what an agent told the person. */
const isMessage = (row) => row.type === "a2a_receive" && row.method !== "notify";

/** What a row is, and between whom. */
export function about(row) {
  if (row.type === "delegation") {
    const result = row.method === "delegate_result";
    const [from, to] = result ? [row.target_id, row.workspace_id] : [row.workspace_id, row.target_id];
    return { kind: result ? "Result" : "Delegation", from, to, bothWorkspaces: true };
  }
  if (row.method === "notify" && row.type === "a2a_receive") {
    return { kind: "To you", from: row.workspace_id, to: null };
  }
  if (row.method === "chat_upload_receive") return { kind: "File", from: row.source_id, to: row.workspace_id };
  if (row.type === "a2a_receive") {
    return { kind: row.source_id ? "Message" : "From you", from: row.source_id, to: row.workspace_id };
  }
  return { kind: plain(row.type, 24).replaceAll("_", " "), from: row.workspace_id, to: row.target_id, isLog: true };
}

/** The state of a row, as words and a colour. */
export function stateOf(row) {
  if (row.state) return COURSE[row.state] ?? [plain(row.state, 30), "idle"];
  if (row.status === "error" || row.status === "failed") return ["Failed", "bad"];
  if (row.method === "notify" && row.type === "a2a_receive") return ["Told", "ok"];
  if (row.type === "delegation") return COURSE[row.status] ?? [plain(row.status, 30), "idle"];
  if (row.reply !== undefined) return ["Answered", "ok"];
  if (isMessage(row)) return row.fetched_at ? ["Fetched", "work"] : ["Waiting", "wait"];
  return [plain(row.status, 30), row.status === "ok" ? "ok" : "idle"];
}

/** The way of a delegation from queued to completed. */
export function course(row) {
  const [label, kind, reached] = stateOf(row);
  const steps = ["Queued", "Fetched", "Completed"].map((step, index) => {
    return el("li", { class: index < reached ? "done" : "" }, el("span", { class: "hidden" }, step));
  });
  return el("span", { class: "course" }, el("ol", { class: `steps ${kind}`, "aria-hidden": "true" }, steps), chip([label, kind]));
}

/** Text of a row in which hidden characters can be seen, with a way to the rest when the list held only a part. */
export function textOf(row, text, size, whole) {
  const place = el("div", { class: "text", dir: "auto" });
  const more = el("button", { type: "button", class: "more" });
  fill(place, text, more);
  if (size > new TextEncoder().encode(text).length) {
    more.hidden = false;
    more.textContent = `Show all ${bytes(size)}`;
    more.onclick = async () => {
      try {
        const all = whole(await ask(`rows/${row.seq}`));
        place.replaceChildren();
        fill(place, all, more);
      } catch (error) {
        note(error.message, "bad");
      }
    };
  }
  return [place, more];
}

/** Shows everything that is kept of a row. */
export async function details(seq) {
  const row = await ask(`rows/${seq}`);
  const { kind, from, to, isLog } = about(row);
  const facts = [
    ["From", nameOf(from)],
    isLog && !to ? null : ["To", nameOf(to)],
    ["State", row.error ? `${stateOf(row)[0]}: ${plain(row.error, 400)}` : stateOf(row)[0]],
    ["Written", `${day(row.created_at)}, ${clock(row.created_at)}`],
    row.fetched_at ? ["Fetched", clock(row.fetched_at)] : null,
    row.duration_ms ? ["Took", `${row.duration_ms} ms`] : null,
    ["Size", bytes(row.bytes)],
    row.message_id ? ["Message id", plain(row.message_id)] : null,
    row.delegation_id ? ["Delegation id", plain(row.delegation_id)] : null,
    ["Row", plain(row.id)],
  ];
  const list = el("dl", { class: "facts" });
  for (const [term, value] of facts.filter(Boolean)) list.append(el("dt", {}, term), el("dd", {}, value));
  const envelope = JSON.stringify(row.envelope, null, 2);
  const raw = el("pre", { class: "code", tabindex: "0", "aria-label": "Envelope" });
  const more = el("button", { type: "button", class: "more" });
  fill(raw, envelope, more);
  const words = el("div", { class: "text boxed", dir: "auto", tabindex: "0", "aria-label": "Text" });
  const further = el("button", { type: "button", class: "more" });
  fill(words, row.text, further);
  dialog(
    kind,
    list,
    row.text ? el("h3", {}, "Text") : "",
    row.text ? words : "",
    row.text ? further : "",
    el("h3", {}, "Envelope", copier(() => envelope)),
    raw,
    more,
  );
}
