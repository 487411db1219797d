// What agents ask of the person: approvals and tasks, to be answered for good or asked back.

import { busy, button, el, empty, field, note, replace, since, soon } from "./dom.js";
import { chip, nameOf } from "./row.js";
import { platform } from "./session.js";
import { fill, nodes, plain } from "./text.js";
import { listen, world } from "./world.js";

export const title = "Requests";

/** Shows what is open and returns how to leave it. */
export function open(main) {
  const summary = el("p", { class: "summary", role: "status" });
  const list = el("ul", { class: "sheet asks" });
  const place = el("div");
  const cards = new Map();
  const drafts = new Map();
  let looks = 0;
  let found;

  function draw() {
    if (!found) return;
    const mine = found.filter((one) => one.answers.length).length;
    const text = found.length ? `${mine} for you${found.length > mine ? ` · ${found.length - mine} between agents` : ""}` : "";
    if (summary.textContent !== text) summary.textContent = text;
    if (found.length === 0) {
      const calls = world.level === "C" ? [el("code", {}, "create_request"), " and ", el("code", {}, "create_approval")] : [el("code", {}, "create_approval")];
      const how = el("span", {}, "Agents ask with ", ...calls, ". What they ask for waits here until you answer.");
      place.replaceChildren(empty("Nothing is asked of you", how));
      return;
    }
    if (place.firstChild !== list) place.replaceChildren(list);
    // Those that wait for the person first, of each the newest.
    const order = (one) => [one.answers.length ? 0 : 1, -one.at];
    found.sort((one, other) => order(one)[0] - order(other)[0] || order(one)[1] - order(other)[1]);
    replace(list, found.map(card));
  }

  /** A card is made anew only when something in it is new; what is being written stays. */
  function card(one) {
    const facts = JSON.stringify([one, nameOf(one.from), nameOf(one.to)]);
    const known = cards.get(one.key);
    if (known?.facts !== facts) cards.set(one.key, { facts, node: el("li", {}, cardOf(one, drafts, look)) });
    return cards.get(one.key).node;
  }

  async function look() {
    const turn = (looks += 1);
    try {
      const all = await asked();
      // A later look may have been faster.
      if (turn !== looks) return;
      found = all;
      draw();
    } catch (error) {
      note(error.message, "bad");
    }
  }
  const lookSoon = soon(look);
  const redraw = soon(draw);

  main.append(el("div", { class: "bar" }, el("h1", {}, title), summary), place);
  look();
  return listen((event) => {
    if (event.waiting !== undefined || event.again) lookSoon();
    // Of a workspace only its name is shown, and every beat leads here.
    if (event.workspace) redraw();
  });
}

/** Everything that is open, the approvals of old platforms and the requests of newer ones in one shape. */
async function asked() {
  const approvals = (await platform("approvals/pending")).map((one) => ({
    key: `approval-${one.id}`,
    kind: "Approval",
    from: one.workspace_id,
    to: null,
    title: one.action,
    detail: one.reason,
    at: Date.parse(one.created_at),
    talk: [],
    path: `workspaces/${one.workspace_id}/approvals/${one.id}/decide`,
    answers: [["Approve", { decision: "approved" }], ["Deny", { decision: "denied" }]],
  }));
  const requests = world.level === "C" ? await platform("requests/pending") : [];
  return [...approvals, ...(await Promise.all(requests.map(requestOf)))];
}

async function requestOf(one) {
  const forYou = one.recipient_type === "user";
  const yes = one.kind === "approval" ? ["Approve", { action: "approved" }] : ["Done", { action: "done" }];
  const talk = one.status === "info_requested" ? (await platform(`requests/${one.id}`)).messages : [];
  return {
    key: `request-${one.id}`,
    kind: one.kind === "approval" ? "Approval" : "Task",
    from: one.requester_id,
    to: forYou ? null : one.recipient_id,
    title: one.title,
    detail: one.detail,
    at: Date.parse(one.created_at),
    talk: talk.map((said) => ({ by: said.author_type === "user" ? null : said.author_id, text: said.body })),
    path: `requests/${one.id}/respond`,
    back: forYou ? `requests/${one.id}/messages` : undefined,
    answers: forYou ? [yes, ["Reject", { action: "rejected" }]] : [],
  };
}

function cardOf(one, drafts, look) {
  const name = plain(one.title, 80) || "(no title)";
  const send = async (path, json) => {
    try {
      await platform(path, { method: "POST", json });
    } finally {
      // It may have been answered elsewhere.
      await look();
    }
  };
  const answers = one.answers.map(([label, json], place) =>
    button(label, () => send(one.path, json), { class: place ? "danger" : "primary", "data-key": `${one.key}-${place}`, "aria-label": `${label}: ${name}` }),
  );
  const talk = one.talk.map((said) => el("li", {}, el("strong", { dir: "auto" }, nameOf(said.by)), el("div", { class: "text", dir: "auto" }, nodes(said.text))));
  return el(
    "article",
    { class: "panel", "data-ask": one.key, "aria-label": name },
    el("header", {}, el("h2", { dir: "auto" }, plain(one.title, 300)), chip([one.kind, one.answers.length ? "wait" : "idle"])),
    el(
      "p",
      { class: "meta" },
      el("a", { href: `#/chat/${one.from}`, dir: "auto" }, nameOf(one.from)),
      one.to ? el("span", { dir: "auto" }, `asks ${nameOf(one.to)}`) : null,
      since(one.at),
    ),
    one.detail ? long(one.detail) : null,
    talk.length ? el("ul", { class: "thread", "aria-label": "What was said about it" }, talk) : null,
    answers.length ? el("div", { class: "actions" }, answers) : null,
    one.back ? askBack(one, name, drafts, send) : null,
  );
}

function long(text) {
  const shown = el("div", { class: "text", dir: "auto" });
  const more = el("button", { type: "button", class: "more" });
  fill(shown, text, more);
  return el("div", {}, shown, more);
}

function askBack(one, name, drafts, send) {
  const text = el("textarea", { rows: "1", dir: "auto", "data-key": `${one.key}-text`, value: drafts.get(one.key) ?? "" });
  text.addEventListener("input", () => drafts.set(one.key, text.value));
  const go = el("button", { type: "submit", "data-key": `${one.key}-ask`, "aria-label": `Ask back: ${name}` }, "Ask back");
  const form = el("form", { class: "back-form" }, field("Or ask for more first", text), go);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = text.value;
    if (!body.trim()) return;
    busy(go, async () => {
      drafts.delete(one.key);
      try {
        await send(one.back, { body, author_type: "user" });
      } catch (error) {
        // What was not sent is not lost.
        drafts.set(one.key, body);
        throw new Error(`Not sent: ${error.message}`);
      }
    });
  });
  return form;
}
