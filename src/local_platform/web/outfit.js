// How programs on this computer join a workspace.

import { button, copier, el, note } from "./dom.js";
import { ask, platform } from "./session.js";

/** Tokens of workspaces that were just made, until they are in their state folders. */
export const fresh = new Map();

/** The panel of one workspace. `changed` is called when it has minted a token. */
export function connect(id, changed) {
  const place = el("div");
  const node = el("section", { class: "panel" }, el("h3", {}, "Connect a client"), place);

  async function keep(token) {
    draw(await ask(`outfit/${id}`, { method: "PUT", json: { token } }));
  }

  async function mint() {
    const { auth_token: token } = await platform(`workspaces/${id}/tokens`, { method: "POST" });
    await keep(token);
    await changed();
  }

  function draw(outfit) {
    const folder = el("p", {}, "State folder: ", el("code", {}, outfit.folder));
    if (!outfit.has_token) {
      const text = "There is no token in it yet. Clients are told only where the folder is, so that their configuration never holds a token.";
      place.replaceChildren(folder, el("p", { class: "faint" }, text), el("p", { class: "actions" }, button("Mint a token into the folder", mint, { class: "primary" })));
      return;
    }
    const text = el("pre", { class: "code", tabindex: "0", "aria-label": "Configuration" });
    const tabs = outfit.configurations.map(({ client, text: what }) => {
      const tab = el("button", { type: "button", role: "tab", "aria-selected": "false", tabindex: "-1" }, client);
      tab.addEventListener("click", () => choose(tab, what));
      return tab;
    });
    function choose(tab, what) {
      for (const other of tabs) {
        other.setAttribute("aria-selected", String(other === tab));
        other.tabIndex = other === tab ? 0 : -1;
      }
      text.textContent = what;
    }
    const row = el("div", { class: "tabs", role: "tablist", "aria-label": "Clients" }, tabs);
    row.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
    place.replaceChildren(folder, row, text, el("p", { class: "actions" }, copier(() => text.textContent, "Copy the configuration")));
    tabs[0]?.click();
  }

  async function begin() {
    const token = fresh.get(id);
    if (token) {
      await keep(token);
      fresh.delete(id);
    } else {
      draw(await ask(`outfit/${id}`));
    }
  }
  begin().catch((error) => {
    note(error.message, "bad");
    place.replaceChildren(el("p", { class: "faint" }, "The state folder could not be read or made."));
  });
  return { node, keep };
}
