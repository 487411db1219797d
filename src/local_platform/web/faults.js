// Making the platform misbehave, route by route.

import { button, el, empty, field, note, select } from "./dom.js";
import { nameOf } from "./row.js";
import { platform } from "./session.js";
import { plain } from "./text.js";
import { listen, present } from "./world.js";

export const title = "Faults";

const refused = (status, error, headers) => ({ status, body: { error }, ...(headers ? { headers } : {}) });
const FAULTS = [
  ["Slow", "answers after 3 s", { delay_ms: 3000 }],
  ["500", "Internal error", refused(500, "query failed")],
  ["503", "Unavailable", refused(503, "temporarily unavailable")],
  ["401", "Unauthorized", refused(401, "invalid workspace auth token")],
  ["410", "Gone", refused(410, "since_id cursor not found (row may have been pruned)")],
  ["429", "Too many requests, again in 2 s", refused(429, "rate limit exceeded", { "Retry-After": "2" })],
  ["Cut", "closes the connection without an answer", { drop: true }],
];
// What a daemon asks of itself; any other route is in the list below the table.
const USUAL = ["heartbeat", "register", "activity", "events", "a2a", "delegate", "notify", "chat_upload", "pending_content"];
const PARTS = ["delay_ms", "status", "drop"];

/** Shows which faults are on, and switches them. */
export function open(main) {
  const who = select([["", "All workspaces"], ...present().map((one) => [one.id, nameOf(one.id)])], "");
  const extra = select([["", "Choose a route"]], "");
  const off = button("Switch all off", () => change("_local/faults", { method: "DELETE" }), { class: "danger" });
  const body = el("tbody");
  const others = el("div");
  const added = new Set();
  let rules = [];

  async function load() {
    const found = await platform("_local/faults");
    rules = found.rules;
    const names = found.routes.filter((name) => !USUAL.includes(name) && !added.has(name));
    extra.replaceChildren(...[["", "Choose a route"], ["*", "* (every route)"], ...names.map((name) => [name, name])].map(([key, text]) => el("option", { value: key }, text)));
    draw();
  }

  async function change(path, options) {
    await platform(path, options);
    await load();
  }

  /** The rule that a switch stands for, if it is on. */
  const ruleOf = (route, fault) => rules.find((rule) => rule.route === route && (rule.workspace ?? "") === who.value && isOf(rule, fault));

  function draw() {
    const focused = document.activeElement?.dataset?.key;
    const seen = new Set();
    const routes = [...USUAL, ...added, ...rules.map((rule) => rule.route)].filter((route, index, all) => all.indexOf(route) === index);
    const rows = routes.map((route) => {
      const switches = FAULTS.map(([label, what, fault]) => {
        const rule = ruleOf(route, fault);
        if (rule) seen.add(rule.number);
        const turn = () => (rule ? change(`_local/faults/${rule.number}`, { method: "DELETE" }) : change("_local/faults", { method: "POST", json: { route, ...(who.value ? { workspace: who.value } : {}), ...fault } }));
        return el("td", {}, button(rule ? `${label} on` : label, turn, { class: "switch", "aria-pressed": String(Boolean(rule)), "aria-label": `${label} on ${route}`, title: what, "data-key": `${route}-${label}` }));
      });
      return el("tr", {}, el("th", { scope: "row" }, el("code", {}, plain(route, 80))), switches);
    });
    body.replaceChildren(...rows);
    if (focused) [...body.querySelectorAll("[data-key]")].find((found) => found.dataset.key === focused)?.focus();
    off.hidden = rules.length === 0;
    const rest = rules.filter((rule) => !seen.has(rule.number));
    others.replaceChildren(
      rest.length ? el("h2", {}, "Other rules in force") : "",
      el("ul", { class: "rules" }, rest.map((rule) => el("li", {}, el("code", {}, plain(described(rule), 300)), button("Off", () => change(`_local/faults/${rule.number}`, { method: "DELETE" }), { "aria-label": `Switch off rule ${rule.number}` })))),
    );
  }

  who.addEventListener("change", draw);
  extra.addEventListener("change", () => {
    if (extra.value) added.add(extra.value);
    load().catch((error) => note(error.message, "bad"));
  });
  const heads = ["Route", ...FAULTS.map(([label]) => label)].map((text) => el("th", { scope: "col" }, text));
  main.append(
    el("div", { class: "bar" }, el("h1", {}, title), el("p", { class: "summary" }, "How agents fare when the platform does not. This page itself is spared."), off),
    el("div", { class: "filters" }, field("For", who), field("More routes", extra)),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Faults by route" }, el("table", { class: "matrix" }, el("thead", {}, el("tr", {}, heads)), body)),
    others,
  );
  load().catch((error) => main.append(empty("No faults here", error.message)));
  return listen((event) => {
    if (event.again) load().catch((error) => note(error.message, "bad"));
  });
}

function isOf(rule, fault) {
  return !rule.times && PARTS.every((part) => (rule[part] || 0) === (fault[part] || 0)) && !rule.silent && !rule.after && rule.drip_ms === null && rule.truncate === null && rule.oversize_bytes === null && rule.raw_body === null;
}

/** A rule without what it leaves as it is. */
function described(rule) {
  const said = Object.entries(rule).filter(([key, value]) => key !== "number" && value !== null && value !== false && value !== 0 && Object.keys(Object(value)).length + (typeof value === "object" ? 0 : 1) > 0);
  return said.map(([key, value]) => `${key} ${typeof value === "string" && key !== "workspace" ? value : key === "workspace" ? nameOf(value) : JSON.stringify(value)}`).join(", ");
}
