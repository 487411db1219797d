//! What a run was like, in print.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::figures::{self, Times};
use super::journal::Sent;
use super::ledger::{Book, End};
use super::polls::Poll;
use super::verdict::Tally;
use super::world::World;

/// The normal time between two beats.
const BEAT: Duration = Duration::from_secs(20);

/// What several storms came to together.
#[derive(Debug, Default)]
pub struct Sum {
    storms: u64,
    took: Duration,
    kills: usize,
    crashes: u64,
    stops: u64,
    taken: usize,
    shown: usize,
    acknowledged: usize,
    lost: usize,
    again_after_acknowledgement: usize,
    twice: usize,
    taken_up_late: usize,
    takeovers: Vec<i64>,
    beats_late: Vec<i64>,
    exits: Vec<i64>,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (takeovers, exits) = (Times::of(self.takeovers.clone()), Times::of(self.exits.clone()));
        writeln!(
            f,
            "torture: {} storms in {} s: {} killed, {} crashed, {} stopped",
            self.storms,
            self.took.as_secs(),
            self.kills,
            self.crashes,
            self.stops
        )?;
        writeln!(
            f,
            "  messages: {} taken by the platform, {} texts shown, {} acknowledged, {} lost, {} shown after acknowledgement, {} \
             arrived twice ({} taken up when their sender was long dead)",
            self.taken,
            self.shown,
            self.acknowledged,
            self.lost,
            self.again_after_acknowledgement,
            self.twice,
            self.taken_up_late
        )?;
        writeln!(f, "  takeover {takeovers}; ends after the client went away {exits}")?;
        let late = Times::of(self.beats_late.clone());
        write!(
            f,
            "  beats late by {late}; the largest gap at real speed is {} ms",
            gap(&late)
        )
    }
}

/// The longest time between two beats at real speed, in milliseconds, of how late they were at any.
fn gap(late: &Times) -> i64 {
    i64::try_from(BEAT.as_millis()).unwrap() + late.most()
}

/// Prints the figures, and adds them to those of the storms before.
pub fn print(
    world: &World,
    book: &Book,
    polls: &[Poll],
    outbox: &[Sent],
    tally: &Tally,
    took: Duration,
    sum: &mut Sum,
) {
    let kills = figures::ends(book, End::Killed);
    let crashes: u64 = book.crashes.values().sum();
    let taken = book.messages.values().filter(|message| message.taken).count();
    println!(
        "torture: {} s at level {:?}, {} times real speed",
        took.as_secs(),
        world.level,
        world.plan.speed
    );
    println!(
        "  lives {}: {kills} killed, {crashes} crashed, {} closed, {} refused their disk; {} stops",
        book.lives.len(),
        figures::ends(book, End::Closed),
        figures::ends(book, End::Refused),
        book.stops
    );
    println!("  crashes: {:?}", book.crashes);
    println!(
        "  disks: {} times full, {} times refusing all writes; {} jumps of clocks",
        book.full_disks,
        book.refusing_disks,
        book.jumps.len()
    );
    println!(
        "  messages: {taken} taken by the platform, {} texts shown, {} acknowledged, {} lost, {} shown after acknowledgement",
        tally.shown, tally.acknowledged, tally.lost, tally.again_after_acknowledgement
    );
    println!(
        "  shown again: {} because their session ended, {} because their lease did; {} set aside, {} answers kept for a \
         caller that died, {} notes",
        tally.after_an_end, tally.after_a_lease, tally.aside, tally.returned_unseen, book.notes
    );
    println!(
        "  ends after the client went away: {}; aim 1500 ms",
        Times::of(book.exits.clone())
    );
    let mut work: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for sent in outbox {
        *work.entry((&sent.kind, &sent.progress)).or_default() += 1;
    }
    println!(
        "  work: {work:?}, {} arrived twice, {} of them taken up when their sender was long dead",
        tally.twice, tally.taken_up_late
    );
    println!(
        "  attempts for one piece of work: {} at most",
        outbox.iter().map(|sent| sent.attempts).max().unwrap_or(0)
    );
    println!("  tool failures: {:?}", book.failures);
    let interval = world.plan.scaled(BEAT);
    for workspace in 0..world.workspaces.len() {
        let takeovers: Times = figures::takeovers(&book.lives, polls, workspace);
        let gaps = figures::beat_gaps(&book.lives, polls, workspace, interval);
        println!("  workspace {workspace}: takeover {takeovers}; aim 2000 ms");
        println!(
            "  workspace {workspace}: beats late by {gaps}; so the largest gap at real speed is {} ms; aim 25000 ms",
            gap(&gaps)
        );
        sum.takeovers.extend(takeovers.all());
        sum.beats_late.extend(gaps.all());
    }
    println!("  {} polls and beats", polls.len());
    sum.storms += 1;
    sum.took += took;
    sum.kills += kills;
    sum.crashes += crashes;
    sum.stops += book.stops;
    sum.taken += taken;
    sum.shown += tally.shown;
    sum.acknowledged += tally.acknowledged;
    sum.lost += tally.lost;
    sum.again_after_acknowledgement += tally.again_after_acknowledgement;
    sum.twice += tally.twice;
    sum.taken_up_late += tally.taken_up_late;
    sum.exits.extend(&book.exits);
}
