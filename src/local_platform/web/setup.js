// Making workspaces, and everything that can be done to one.

import { busy, button, el, empty, field, note, replace, select, since, soon, sure } from "./dom.js";
import { connect, fresh } from "./outfit.js";
import { nameOf, status } from "./row.js";
import { ask, headerText, platform } from "./session.js";
import { plain } from "./text.js";
import { listen, load, present, world } from "./world.js";

export const title = "Set-up";

/** Shows one workspace, or the form for a new one. */
export function open(main, chosen) {
  const list = el("ul");
  const make = el("a", { class: "button", href: "#/setup/new" }, "New workspace");
  const side = el("nav", { class: "side", "aria-label": "Workspaces" }, make, list);
  const place = el("section", { class: "sheet" });
  const split = el("div", { class: `split ${chosen ? "chosen" : ""}` }, side, place);
  main.append(el("div", { class: "bar" }, el("h1", {}, title)), split);

  function draw() {
    const links = present().map((one) => {
      const facts = { href: `#/setup/${one.id}`, "data-key": one.id, "aria-current": one.id === chosen ? "true" : undefined };
      return el("li", {}, el("a", facts, el("span", { dir: "auto" }, nameOf(one.id)), status(one)));
    });
    replace(list, links);
  }
  const redraw = soon(draw);
  draw();

  let leave = () => {};
  if (chosen && chosen !== "new" && world.workspaces.has(chosen)) leave = sheet(place, chosen);
  else if (chosen === "new" || !present().length) place.append(creation());
  else place.append(empty("Choose a workspace", "Connect a client to it, mint or revoke tokens, pause or delete it. Or make another one.", el("a", { class: "button primary", href: "#/setup/new" }, "New workspace")));
  const deaf = listen((event) => {
    if (event.workspace || event.purged || event.again) redraw();
  });
  return () => {
    deaf();
    leave();
  };
}

function creation() {
  const name = el("input", { type: "text", required: true, maxlength: "255", autocomplete: "off", placeholder: "Reviewer" });
  const role = el("input", { type: "text", maxlength: "1000", autocomplete: "off", placeholder: "Reviews what others wrote" });
  const parent = select([["", "Nobody: a peer of the other roots"], ...present().map((one) => [one.id, nameOf(one.id)])], "");
  const go = el("button", { type: "submit", class: "primary" }, "Make the workspace");
  const form = el(
    "form",
    { class: "panel" },
    el("h2", {}, "New workspace"),
    el("p", { class: "faint" }, "A seat for one coding agent. Agents reach their siblings, and whoever is above or below them."),
    field("Name", name),
    field("Role", role),
    field("Below", parent),
    el("p", { class: "actions" }, go),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(go, async () => {
      const json = { name: name.value.trim(), role: role.value.trim(), parent_id: parent.value, external: true, delivery_mode: "poll" };
      const made = await platform("workspaces", { method: "POST", json });
      fresh.set(made.id, made.connection.auth_token);
      // The stream may tell of it later than the answer does.
      await load();
      location.hash = `#/setup/${made.id}`;
    });
  });
  setTimeout(() => name.focus());
  return form;
}

function sheet(place, id) {
  const head = el("header", {});
  const life = el("div", { class: "actions" });
  const tokens = el("div");
  const outfit = world.outfit ? connect(id, () => list()) : null;

  let drawn;

  function draw() {
    const one = world.workspaces.get(id);
    const facts = JSON.stringify([one?.name, one?.status]);
    // Every beat leads here; a control that is made anew would lose the focus.
    if (facts === drawn) return;
    drawn = facts;
    if (!one || one.status === "removed") {
      place.replaceChildren(empty("This workspace was removed", "Its tokens open nothing any more. What it said is still in the traffic.", el("a", { class: "button", href: `#/traffic/${id}` }, "Show its traffic")));
      return;
    }
    head.replaceChildren(el("a", { class: "back", href: "#/setup" }, "‹ All"), el("h2", { dir: "auto" }, nameOf(id)), status(one), el("a", { class: "end", href: `#/chat/${id}` }, "Chat"));
    const paused = one.status === "paused";
    life.replaceChildren(button(paused ? "Resume" : "Pause", paused ? resume : pause, { "data-key": "life" }), button("Delete", remove, { class: "danger" }));
  }

  async function pause() {
    const below = present().filter((one) => one.parent_id === id);
    const text = `${nameOf(id)}${below.length ? ` and everyone below it (${below.map((one) => nameOf(one.id)).join(", ")})` : ""} stays connected, and its beats no longer bring it online.`;
    if (await sure("Pause this workspace?", text, "Pause")) await platform(`workspaces/${id}/pause?cascade=true`, { method: "POST" });
  }

  async function resume() {
    await ask(`resume/${id}`, { method: "POST" });
    note("Resumed: it comes online with its agent's next beat");
  }

  async function remove() {
    const one = world.workspaces.get(id);
    const below = present().filter((other) => other.parent_id === id);
    const names = below.map((other) => el("li", { dir: "auto" }, nameOf(other.id)));
    const more = below.length ? el("div", {}, el("p", {}, "These are below it and go with it, and so does whoever is below them:"), el("ul", {}, names)) : "";
    const text = "It is removed and all its tokens are revoked. This cannot be taken back. Its state folder stays on this computer.";
    if (!(await sure(`Delete ${nameOf(id)}?`, text, "Delete", { more }))) return;
    await platform(`workspaces/${id}?confirm=true`, { method: "DELETE", headers: { "X-Confirm-Name": headerText(one.name) } });
    note(`${nameOf(id)} was deleted`);
    location.hash = "#/setup";
  }

  const shown = el("div", { class: "once", role: "status", hidden: true });

  async function list() {
    const { tokens: all } = await platform(`workspaces/${id}/tokens?limit=200`);
    if (!all.length) {
      tokens.replaceChildren(el("p", { class: "faint" }, "No token is live: no agent can join until you mint one."));
      return;
    }
    const rows = all.map((one) =>
      el(
        "tr",
        {},
        el("td", {}, el("code", {}, `${plain(one.prefix, 12)}…`)),
        el("td", {}, since(Date.parse(one.created_at))),
        el("td", {}, one.last_used_at ? since(Date.parse(one.last_used_at)) : "never"),
        el("td", {}, button("Revoke", () => revoke(one), { class: "quiet", "aria-label": `Revoke token ${plain(one.prefix, 12)}` })),
      ),
    );
    const heads = ["Token", "Made", "Used", ""].map((text) => el("th", { scope: "col" }, text || el("span", { class: "hidden" }, "Action")));
    tokens.replaceChildren(el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)));
  }

  async function mint() {
    const { auth_token: token } = await platform(`workspaces/${id}/tokens`, { method: "POST" });
    const once = el("input", { type: "text", readonly: true, value: token, spellcheck: "false" });
    once.addEventListener("focus", () => once.select());
    const done = button("Done", () => (shown.hidden = true));
    const copy = button("Copy", () => navigator.clipboard.writeText(token).then(() => note("Copied")));
    const keep = outfit ? button("Keep in the state folder", () => outfit.keep(token).then(() => note("The daemons of this folder use this token from now on"))) : "";
    shown.replaceChildren(el("p", {}, "This token is shown once. Whoever has it acts as this workspace."), field("New token", once), el("div", { class: "actions" }, copy, keep, done));
    shown.hidden = false;
    once.focus();
    await list();
  }

  async function revoke(one) {
    const text = `Whoever uses ${plain(one.prefix, 12)}… is refused from then on. A daemon of this workspace reports that until it finds another token.`;
    if (!(await sure("Revoke this token?", text, "Revoke"))) return;
    await platform(`workspaces/${id}/tokens/${encodeURIComponent(one.id)}`, { method: "DELETE" });
    await list();
  }

  const one = world.workspaces.get(id);
  const facts = el("dl", { class: "facts" });
  for (const [term, value] of [["Id", id], ["Role", plain(one.role)], ["Below", one.parent_id ? nameOf(one.parent_id) : ""], ["Runtime", `${plain(one.runtime)}, ${one.delivery_mode}`]]) {
    if (value) facts.append(el("dt", {}, term), el("dd", { dir: "auto" }, value));
  }
  place.append(
    head,
    facts,
    outfit?.node ?? "",
    el("section", { class: "panel" }, el("h3", {}, "Tokens"), shown, tokens, el("p", { class: "actions" }, button("Mint a token", mint))),
    el("section", { class: "panel" }, el("h3", {}, "Life"), el("p", { class: "faint" }, "Pausing keeps an agent from coming online. Deleting is for good."), life),
  );
  draw();
  list().catch((error) => note(error.message, "bad"));
  return listen((event) => {
    if (event.again || event.workspace?.id === id || event.purged === id) draw();
  });
}
