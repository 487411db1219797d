//! `inbox tail`: messages as they arrive.

use std::collections::HashSet;
use std::io::Write as _;

use tokio_util::sync::CancellationToken;

use super::view;
use crate::cli::options::Outcome;
use crate::state::journal::{Inboxes, JournalError};
use crate::state::message::{Entry, State};
use crate::types::ActivityId;

/// How many of the newest messages are looked through for what has not been seen; twice as many each time that all are new.
const PAGE: u32 = 64;

/// Prints the newest `lines` and then each further one until `stop`, or until nobody reads any more.
pub(super) async fn follow(
    inboxes: &Inboxes,
    lines: u32,
    json: bool,
    stop: &CancellationToken,
) -> Result<Outcome, JournalError> {
    // Subscribed before the first look: what comes in between wakes us.
    let mut changes = inboxes.changes();
    let newest = visible(inboxes.list(None, PAGE.max(lines), 0).await?);
    let mut seen: HashSet<ActivityId> = newest.iter().map(id).collect();
    let begin = newest.iter().take(lines as usize).rev();
    let mut goes_on = print(begin, json);
    while goes_on {
        let woken = stop.run_until_cancelled(changes.changed()).await;
        if !matches!(woken, Some(Ok(()))) {
            break;
        }
        let (fresh, newest) = unseen(inboxes, &seen).await?;
        goes_on = print(fresh.iter().rev(), json);
        seen.extend(newest);
    }
    Ok(Outcome::fine(""))
}

fn id(entry: &Entry) -> ActivityId {
    entry.message.activity_id.clone()
}

/// What an unfinished recovery keeps back is shown when that is done.
fn visible(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.retain(|entry| entry.state != State::Held);
    entries
}

/// The messages that were not seen, newest first, and the ids of all that were looked at.
async fn unseen(inboxes: &Inboxes, seen: &HashSet<ActivityId>) -> Result<(Vec<Entry>, Vec<ActivityId>), JournalError> {
    let mut limit = PAGE;
    loop {
        let newest = visible(inboxes.list(None, limit, 0).await?);
        let is_whole =
            newest.len() < limit as usize || newest.iter().any(|entry| seen.contains(&entry.message.activity_id));
        if is_whole || limit >= 1 << 20 {
            let ids = newest.iter().map(id).collect();
            let fresh = newest
                .into_iter()
                .filter(|entry| !seen.contains(&entry.message.activity_id));
            return Ok((fresh.collect(), ids));
        }
        limit *= 2;
    }
}

/// Whether anybody still reads.
fn print<'a>(entries: impl Iterator<Item = &'a Entry>, json: bool) -> bool {
    let text: String = entries
        .map(|entry| match json {
            true => format!("{}\n", view::json(entry)),
            false => view::line(entry),
        })
        .collect();
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
