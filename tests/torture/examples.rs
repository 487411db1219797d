//! What the verdict must say about books that were written by hand. Tried before each run: a driver that excuses too much finds
//! nothing, and nobody would see it.

use super::ledger::{Acknowledgement, Book, End, Ledger, Message, Origin, Show, Sleep};
use super::polls::Told;
use super::{shows, twice};

const LEASE: i64 = 6000;

/// Judges every example.
///
/// # Panics
/// When the verdict is another one.
pub fn check() {
    a_wait_that_took_what_its_own_session_acknowledges_too_late_is_not_after();
    what_is_handed_out_after_its_acknowledgement_is_found();
    what_is_read_late_is_not_after();
    a_lease_that_holds_is_found();
    only_what_was_taken_up_late_may_arrive_twice();
}

/// Two lives of one workspace, begun at 0.
fn book() -> Book {
    let ledger = Ledger::default();
    for slot in 0..2 {
        ledger.begins(slot, 0, 0);
    }
    let mut book = std::mem::take(&mut *ledger.book());
    for life in &mut book.lives {
        life.begun = 0;
    }
    book
}

fn show(life: usize, delivery: u64, begun: i64, answered: i64) -> Show {
    Show {
        life,
        begun,
        answered,
        delivery,
    }
}

/// Shown as told, and its first delivery acknowledged by life 0.
fn message(acknowledged: i64, shows: &[Show]) -> Message {
    Message {
        shows: shows.to_vec(),
        acknowledged: Some(Acknowledgement {
            at: acknowledged,
            life: 0,
            delivery: 1,
        }),
        ..Message::to(Origin::Sender, 0)
    }
}

fn is_shown_after(book: &Book, acknowledged: i64, shows: &[Show]) -> bool {
    !shows::judge(book, &message(acknowledged, shows), LEASE)
        .again
        .is_empty()
}

fn a_wait_that_took_what_its_own_session_acknowledges_too_late_is_not_after() {
    let first = show(0, 1, 1000, 1010);
    // The lease ran out at 7010; a wait that had begun took the message, and its answer was read after the other one.
    assert!(!is_shown_after(&book(), 7020, &[first, show(0, 2, 6500, 7029)]));
    let mut slept = book();
    let jump = Sleep {
        workspace: 0,
        at: 2000,
        millis: 4000,
    };
    slept.jumps.push(jump);
    assert!(!is_shown_after(&slept, 3100, &[first, show(0, 2, 2500, 3110)]));
}

fn what_is_handed_out_after_its_acknowledgement_is_found() {
    let first = show(0, 1, 1000, 1010);
    for (acknowledged, again) in [
        // The call began when the answer was there: however late the acknowledgement was.
        (7020, show(0, 2, 7021, 7030)),
        (2000, show(0, 2, 9000, 9010)),
        (2000, show(1, 2, 9000, 9010)),
        // Under way, but the lease held.
        (2000, show(0, 2, 1500, 2010)),
        // Under way in another process, whose own lease would have kept it from being acknowledged.
        (7020, show(1, 2, 6500, 7029)),
    ] {
        assert!(is_shown_after(&book(), acknowledged, &[first, again]), "{again:?}");
    }
}

fn what_is_read_late_is_not_after() {
    let first = show(0, 1, 1000, 1010);
    let other = show(1, 2, 6500, 7029);
    let mut dead = book();
    dead.lives[1].ended = Some((End::Killed, 7015));
    assert!(!is_shown_after(&dead, 7020, &[first, other]));
    dead.lives[1].ended = Some((End::Killed, 7025));
    assert!(is_shown_after(&dead, 7020, &[first, other]));
    let mut still = book();
    still.lives[1].stops.push((6600, Some(7028)));
    assert!(!is_shown_after(&still, 7020, &[first, other]));
    // The one that is acknowledged, by the second call of its session before the first one's answer was read.
    assert!(!is_shown_after(&book(), 2000, &[show(0, 1, 1000, 2010)]));
}

fn a_lease_that_holds_is_found() {
    let first = show(0, 1, 1000, 1010);
    let is_early = |book: &Book, second| {
        let message = message(99_000, &[first, second]);
        shows::judge(book, &message, LEASE).early.is_some()
    };
    assert!(is_early(&book(), show(1, 2, 3000, 6999)));
    assert!(!is_early(&book(), show(1, 2, 3000, 7000)));
    let mut dead = book();
    dead.lives[0].ended = Some((End::Killed, 2999));
    assert!(!is_early(&dead, show(1, 2, 3000, 3010)));
}

fn only_what_was_taken_up_late_may_arrive_twice() {
    let mut book = book();
    let asked = Told {
        at: 1000,
        slot: 0,
        turn: 0,
    };
    let late = |book: &Book, stored| twice::was_taken_up_late(&book.lives, &asked, stored, 1500);
    // Nobody died: it is to be found.
    assert!(!late(&book, 1010) && !late(&book, 90_000));
    book.lives[0].ended = Some((End::Killed, 1005));
    assert!(!late(&book, 1010) && !late(&book, 2505));
    assert!(late(&book, 2506));
}
