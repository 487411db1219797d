// The session with the platform: its token, and every request of the page.

const KEY = "molecule-page-token";

/** The platform's refusal of a request. */
export class Refused extends Error {
  constructor(status, body) {
    const error = body && typeof body === "object" ? body.error : body;
    const hint = body && typeof body === "object" && typeof body.hint === "string" ? ` (${body.hint})` : "";
    super(`${typeof error === "string" && error ? error : `answered ${status}`}${hint}`);
    this.status = status;
    this.body = body;
  }
}

let token = "";

/** Takes the token out of the address, else the one this tab was given before; whether there is one. */
export function begin() {
  const given = /^#token=([\w-]+)$/.exec(location.hash);
  if (given) {
    token = given[1];
    remember(token);
    // What stays in the address would stay in the history, and on a screen that is shared.
    history.replaceState(null, "", "#/board");
  } else {
    token = recall();
  }
  return token !== "";
}

/** Forgets a token that opens nothing any more. */
export function end() {
  token = "";
  remember("");
}

function remember(text) {
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // Without storage the session lasts until the page is reloaded.
  }
}

function recall() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

let over = () => {};

/** Says what to do when the platform no longer knows the token. */
export function whenOver(action) {
  over = action;
}

/** Asks and returns the response itself. `json` is sent as such; `body` and `headers` as they are. */
export async function request(path, { method = "GET", json, body, headers = {}, signal } = {}) {
  const all = { ...headers, Authorization: `Bearer ${token}` };
  if (json !== undefined) {
    all["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  const options = { method, headers: all, body, signal, credentials: "omit", cache: "no-store", redirect: "error" };
  const response = await fetch(`api/${path}`, options);
  if (response.ok) return response;
  const text = await response.text();
  let answer = text;
  try {
    answer = JSON.parse(text);
  } catch {
    // Not every refusal is JSON.
  }
  if (response.status === 401 && !path.startsWith("platform/")) over();
  throw new Refused(response.status, answer);
}

/** Asks what only the page may ask, and returns the JSON that comes. */
export async function ask(path, options) {
  return (await request(path, options)).json();
}

/** Calls a route of the platform as the person. */
export async function platform(path, options) {
  const text = await (await request(`platform/${path}`, options)).text();
  return text ? JSON.parse(text) : null;
}

/** Text as a header carries it: the bytes of its UTF-8. */
export function headerText(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
