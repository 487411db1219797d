// Making elements. Text always becomes text nodes; there is no way from a string to markup.

import { ago, plain } from "./text.js";

/** An element. In `facts`, `class`, `on…` handlers and properties such as `value` are set as such, the rest as attributes. */
export function el(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (["value", "checked", "disabled", "hidden", "htmlFor", "multiple", "selected"].includes(name)) made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A button that does something and says so while it takes time. */
export function button(label, action, facts = {}) {
  const made = el("button", { type: "button", ...facts }, label);
  made.addEventListener("click", () => busy(made, action));
  return made;
}

/** Runs `action`, keeping `control` from being used again meanwhile, and tells when it fails. */
export async function busy(control, action) {
  if (control.getAttribute("aria-busy") === "true") return;
  control.setAttribute("aria-busy", "true");
  try {
    await action();
  } catch (error) {
    note(error.message || "the platform did not answer", "bad");
  } finally {
    control.removeAttribute("aria-busy");
  }
}

let fields = 0;

/** A control with its label. */
export function field(label, control, facts = {}) {
  control.id = control.id || `field-${(fields += 1)}`;
  return el("div", { class: "field", ...facts }, el("label", { htmlFor: control.id }, label), control);
}

/** A list to choose from; `choices` are pairs of value and text. */
export function select(choices, value, facts = {}) {
  const made = el("select", facts, choices.map(([key, text]) => el("option", { value: key }, text)));
  made.value = value;
  return made;
}

/** How long ago something was; kept up to date by [`tick`]. */
export function since(at, before = "", after = " ago") {
  const made = el("time", { datetime: new Date(at).toISOString(), "data-at": at, "data-before": before, "data-after": after });
  age(made);
  return made;
}

function age(time) {
  time.textContent = `${time.dataset.before}${ago(Number(time.dataset.at))}${time.dataset.after}`;
}

/** Makes all ages that are shown right. */
export function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) age(time);
}

/** Puts new children into `place`. The element with the focus gets it back, known by its `data-key`. */
export function replace(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...children.flat().filter(Boolean));
  if (key) [...place.querySelectorAll("[data-key]")].find((found) => found.dataset.key === key)?.focus();
}

/** Calls `action` once before the next frame, however often it is asked for. */
export function soon(action) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    // Not the next frame itself: a tab in the background has none.
    setTimeout(() => {
      waits = false;
      action();
    }, 16);
  };
}

/** A passing word to the person. */
export function note(text, kind = "") {
  const made = el("p", { class: `note ${kind}` }, plain(text, 400));
  document.getElementById("notes").append(made);
  setTimeout(() => made.remove(), kind === "bad" ? 9000 : 4000);
}

/** Where there is nothing yet, and what to do about it. */
export function empty(title, text, ...actions) {
  return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, text), actions.length ? el("p", {}, actions) : null);
}

/** Opens the dialog and returns a promise of how it was closed. */
export function dialog(title, ...content) {
  const place = document.getElementById("dialog");
  const close = el("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => place.close("") }, "✕");
  place.replaceChildren(el("header", {}, el("h2", { id: "dialog-title" }, title), close), ...content);
  place.returnValue = "";
  place.showModal();
  return new Promise((closed) => place.addEventListener("close", () => closed(place.returnValue), { once: true }));
}

/** Asks before something is destroyed. */
export async function sure(title, text, action, facts = {}) {
  const place = document.getElementById("dialog");
  const yes = el("button", { type: "button", class: "danger", "data-key": "yes", onclick: () => place.close("yes") }, action);
  const no = el("button", { type: "button", onclick: () => place.close("") }, "Cancel");
  const answer = dialog(title, el("p", {}, text), facts.more ?? "", el("footer", {}, no, yes));
  no.focus();
  return (await answer) === "yes";
}

/** Copies text, and says so on the button. */
export function copier(text, label = "Copy", facts = {}) {
  const made = button(
    label,
    async () => {
      await navigator.clipboard.writeText(text());
      made.textContent = "Copied";
      setTimeout(() => (made.textContent = label), 1500);
    },
    facts,
  );
  return made;
}
