// Other people's words. Nothing here makes markup: whatever comes in leaves as text nodes.

// Controls, marks that turn the direction of what follows, and characters that cannot be seen. Line breaks, tabs and the
// joiners that scripts and emoji need are left.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

const code = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

/** Text in one line for names and attributes, with hidden characters spelled out, and no longer than `most`. */
export function plain(text, most = 200) {
  const whole = typeof text === "string" ? text : "";
  const letters = whole.length > most ? `${whole.slice(0, most)}…` : whole;
  return letters.replace(/[\r\n\t]+/g, " ").replace(HIDDEN, (character) => `⟨${code(character)}⟩`);
}

/** Text as nodes, hidden characters shown as marks. */
export function nodes(text) {
  const found = document.createDocumentFragment();
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (match.index > from) found.append(text.slice(from, match.index));
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = code(match[0]);
    found.append(mark);
    from = match.index + match[0].length;
  }
  found.append(text.slice(from));
  return found;
}

const STEP = 64 * 1024;

/** Fills `place` with a long text piece by piece: a browser lays out megabytes of it slowly. */
export function fill(place, text, more) {
  let shown = 0;
  const next = () => {
    let end = Math.min(shown + STEP, text.length);
    // Not between the halves of a character.
    if (end < text.length && (text.charCodeAt(end) & 0xfc00) === 0xdc00) end += 1;
    place.append(nodes(text.slice(shown, end)));
    shown = end;
    more.hidden = shown >= text.length;
    more.textContent = `Show more, ${bytes(text.length - shown)} left`;
  };
  more.onclick = next;
  next();
}

/** A size for people. */
export function bytes(count) {
  if (!Number.isFinite(count)) return "";
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  let size = count;
  while (Math.round(size) >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit > 0 && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** How long ago, in one unit. */
export function ago(at, now = Date.now()) {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const MINUTE = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

/** The time of a day. */
export const clock = (at) => CLOCK.format(new Date(at));

/** The time of a day without its seconds. */
export const minute = (at) => MINUTE.format(new Date(at));

/** A day; today is called so. */
export function day(at) {
  const text = DAY.format(new Date(at));
  return text === DAY.format(new Date()) ? "Today" : text;
}
