//! The embedded platform: one process that behaves like the real platform, for one machine and for every test.
//!
//! It answers the routes a workspace needs, with the status codes, bodies, orders of checks and quirks of the real
//! one at the chosen [`Level`]. It states its JSON shapes itself and shares no type with the client in
//! [`crate::platform`]: a misreading there must not find its twin here.
//!
//! A person looks at it through a page in a browser, whose files are in `web/`, and what only they may ask in `page.rs`.
//!
//! # Fault injection
//! Only with [`Options::faults`]; without it every path below answers 404 like any unknown route. No credential is
//! asked for, and these requests count towards no limit and appear in no log.
//!
//! * `POST /_local/faults` adds a rule. `route` is a route name of the table in `routes/table.rs` (`register`,
//!   `heartbeat`, `activity`, `a2a`, `delegate`, `notify`, `chat_upload`, `pending_content`, `events`, ...) or `*`;
//!   `workspace` narrows it to one id; `times` ends it after so many requests; the newest rule wins. What it does: `status` with optional `body` (a
//!   JSON string is sent as plain text) and `headers`; `raw_body` (text sent verbatim as JSON, status 200 unless
//!   given); `drop: true` (the connection closes without an answer); `silent: true` (no answer ever comes, and nothing
//!   else over this connection); `drip_ms: n` (this and every later answer over the connection leaves byte by byte, n ms
//!   apart, its head too); `truncate: n` (the head promises the whole
//!   answer, n bytes follow, then the connection breaks); `oversize_bytes: n` (the real answer padded with blanks to
//!   n bytes). `delay_ms` goes with any of them or stands alone. `after: true` does the request's work first, for
//!   outcomes the client cannot know. Answers `{"number": n, "rules": n}`: its own number, and how many there are.
//! * `GET /_local/faults` the rules in force, oldest first, with their numbers, and the names of all routes.
//! * `DELETE /_local/faults/{number}` removes one rule; `DELETE /_local/faults` removes all rules and the late mode.
//! * `POST /_local/rows/{workspace}` takes one activity row or an array, stored verbatim: every column of a row,
//!   `id` and `created_at` included (repeats and equal times are fine). Defaults: `a2a_receive`, `message/send`,
//!   `target_id` the workspace, status `ok`, now. `visible_after_ms` delays one row; `announce: false` keeps its
//!   event back. Answers `{"ids": [...]}`.
//! * `POST /_local/set-up/{workspace}` the platform sets the workspace up itself and fails, as when an external one is resumed at
//!   level B: it is `failed` from then on, and two events say so.
//! * `POST /_local/late` `{"max_ms", "seed"}`: each message row from then on keeps the time of its sending and
//!   becomes visible only 0 to `max_ms` later, in an order fixed by the seed. `max_ms` 0 ends it.
//! * `POST /_local/limits` `{"rate_limit"}` sets requests per 60 s and empties all buckets.
//! * `GET /_local/log?after=n` the requests answered or broken off since number n: `seq`, `time_ms`, `method`,
//!   `path`, `query`, `route`, `status` (null: no answer), `workspace`, `bearer` (8 hex digits of its SHA-256),
//!   `user_agent`, `x_workspace_id`, `origin`, and for register, heartbeat and notify (up to 4 KiB) the JSON `body`.
//! * `GET /_local/workspaces` every workspace, removed ones too, with its status and the age of its last beat.

mod admin;
mod auth;
mod call;
mod clock;
mod connection;
mod credentials;
mod events;
mod faults;
mod hole;
mod liveness;
mod origin;
mod page;
mod pipeline;
mod rate_limit;
mod recording;
mod request_log;
mod routes;
mod server;
mod site;
mod store;
mod tenant;
#[cfg(test)]
mod tests;

pub use admin::{Created, NotCreated, create_workspace};
pub use page::{Configuration, Outfit, Outfitted};
pub use server::{Level, LocalPlatform, Options};
