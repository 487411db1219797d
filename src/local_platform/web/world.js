// What the page knows, kept up to date by the event stream.

import { ask, request } from "./session.js";

/** Everything that views show besides rows. `waiting` is how much is asked of the person; `live` is `connecting`, `live` or `lost`. */
export const world = { level: "", faults: false, outfit: false, waiting: 0, workspaces: new Map(), live: "connecting" };

const listeners = new Set();

/** Calls `hear` with every event: `workspace`, `purged`, `row`, `waiting`, `again` (look at everything anew) or `live`. */
export function listen(hear) {
  listeners.add(hear);
  return () => listeners.delete(hear);
}

function tell(event) {
  for (const hear of [...listeners]) hear(event);
}

/** Follows the platform until the session is over. */
export async function follow(signal) {
  let pause = 500;
  while (!signal.aborted) {
    try {
      const stream = await request("events", { signal });
      // Read after the stream was opened, so that nothing falls between the two.
      await load();
      become("live");
      tell({ again: true });
      pause = 500;
      await read(stream.body);
    } catch {
      // The pause below comes either way.
    }
    if (signal.aborted) return;
    become("lost");
    await new Promise((wake) => setTimeout(wake, pause));
    pause = Math.min(pause * 2, 5000);
  }
}

/** Reads everything that views show besides rows. */
export async function load() {
  const board = await ask("board");
  world.level = board.level;
  world.faults = board.faults;
  world.outfit = board.outfit;
  world.waiting = board.waiting;
  world.workspaces = new Map(board.workspaces.map((workspace) => [workspace.id, workspace]));
}

async function read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let unread = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (unread + value).split("\n\n");
    unread = blocks.pop();
    for (const block of blocks) {
      if (block.startsWith("data: ")) await took(JSON.parse(block.slice(6)));
    }
  }
}

async function took(event) {
  if (event.again) await load();
  if (event.workspace) world.workspaces.set(event.workspace.id, event.workspace);
  if (event.waiting !== undefined) world.waiting = event.waiting;
  if (event.purged) world.workspaces.delete(event.purged);
  tell(event);
}

function become(live) {
  if (world.live === live) return;
  world.live = live;
  tell({ live });
}

/** Workspaces that are not removed, by name. */
export function present() {
  const all = [...world.workspaces.values()].filter((workspace) => workspace.status !== "removed");
  return all.sort((one, other) => String(one.name).localeCompare(String(other.name)));
}
