//! When a message may be shown again: not after its acknowledgement, and not while the lease of an earlier show holds.

use super::ledger::{Acknowledgement, Book, Message, Show};

/// What the shows of one message come to.
#[derive(Debug, Default)]
pub struct Judged {
    /// After the acknowledgement.
    pub again: Vec<Show>,
    /// While the lease of the show before held, and why.
    pub early: Option<String>,
    /// Shown again, because the session ended that had it.
    pub after_an_end: usize,
    /// Shown again, because its lease ran out or was given back.
    pub after_a_lease: usize,
}

/// Judges the shows of a message under leases of so many milliseconds.
pub fn judge(book: &Book, message: &Message, lease: i64) -> Judged {
    let lives = &book.lives;
    let mut shows = message.shows.clone();
    // Not as their answers were read: of two processes either may be read late.
    shows.sort_by_key(|show| (show.delivery, show.answered));
    let mut judged = Judged::default();
    if let Some(acknowledged) = &message.acknowledged {
        let again = |show: &&Show| comes_after(book, &shows, show, acknowledged, lease);
        judged.again = shows.iter().filter(again).copied().collect();
    }
    for pair in shows.windows(2) {
        if lives[pair[0].life].lives_at(pair[1].answered) {
            judged.after_a_lease += 1;
        } else {
            judged.after_an_end += 1;
        }
        let why = || too_early(book, &pair[0], &pair[1], lease);
        judged.early = judged.early.or_else(why);
    }
    judged
}

/// Whether a message was handed out after its acknowledgement, which holds from when its answer was received.
fn comes_after(book: &Book, shows: &[Show], show: &Show, acknowledged: &Acknowledgement, lease: i64) -> bool {
    let at = acknowledged.at;
    if show.begun > at {
        return true;
    }
    if show.answered <= at || show.delivery <= acknowledged.delivery {
        return false;
    }
    // A later delivery, whose call was under way when that answer came. It may be the older of the two all the same:
    // its process was dead already, or stood still, so that its answer was read late; or its own lease was over;
    let life = &book.lives[show.life];
    let was_late =
        !life.lives_at(at) || life.was_stopped_between(show.begun, show.answered) || is_over(book, show, at, lease);
    // or two calls of one session were under way at once, and the wait took what the other one acknowledged too late.
    let took_over = show.life == acknowledged.life
        && shows
            .iter()
            .filter(|earlier| earlier.delivery == acknowledged.delivery && earlier.life == acknowledged.life)
            .any(|earlier| is_over(book, earlier, at, lease));
    !was_late && !took_over
}

/// Whether the lease of a show can have ended by then. It began after the call.
fn is_over(book: &Book, show: &Show, at: i64, lease: i64) -> bool {
    show.begun + lease_over(book, show, at, lease) <= at
}

/// Why the first show's lease cannot have ended before the second; `None` when it can.
fn too_early(book: &Book, first: &Show, second: &Show, lease: i64) -> Option<String> {
    let life = &book.lives[first.life];
    if life.ended.is_some_and(|(_, ended)| ended <= second.answered) {
        return None;
    }
    // The lease began after the call, and the second one before its answer, however slow the machine is.
    let early = first.begun + lease_over(book, first, second.answered, lease) - second.answered;
    (early > 0).then(|| format!("{early} ms early"))
}

/// How long the lease of a show lasts that may have begun with its call: less by what its process believes to have slept
/// until `to`.
fn lease_over(book: &Book, show: &Show, to: i64, lease: i64) -> i64 {
    let workspace = book.lives[show.life].workspace;
    // A jump is noted before it is made.
    let since = show.begun - 2000;
    let slept: i64 = book
        .jumps
        .iter()
        .filter(|sleep| sleep.workspace == workspace && (since..=to).contains(&sleep.at))
        .map(|sleep| sleep.millis)
        .sum();
    lease - slept
}
