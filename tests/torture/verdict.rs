//! The oracle: compares what was sent with what was shown, sent and polled, and says what must not have happened.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use reqwest::Method;

use super::figures;
use super::journal::{self, Sent};
use super::ledger::{Book, Life, Message, Origin, Show};
use super::polls::{Duty, Poll};
use super::report::{self, Sum};
use super::world::World;

/// How long requests of a dead process may still lie in a socket, on a loaded machine.
const IN_FLIGHT_MS: i64 = 10_000;

/// Checks everything, prints the figures and returns what is wrong.
pub async fn judge(world: &World, polls: &[Poll], drained: bool, took: Duration, sum: &mut Sum) -> Vec<String> {
    let outbox = journal::outbox(world);
    let states = journal::states(world);
    let arrived = arrived(world).await;
    let book = world.ledger.book();
    let mut wrong = book.violations.clone();
    if !drained {
        wrong.push(format!(
            "{} things were still open when patience ended",
            journal::pending(world)
        ));
    }
    for workspace in 0..world.workspaces.len() {
        if !journal::is_sound(world, workspace) {
            wrong.push(format!("the journal of workspace {workspace} is damaged"));
        }
    }
    let must_be_seen = must_be_seen(&book, &outbox);
    let kept: HashSet<&str> = outbox.iter().filter_map(|sent| sent.answer.as_deref()).collect();
    let mut tally = Tally::default();
    for (text, message) in &book.messages {
        let states = states.get(&(message.to, text.clone()));
        tally.message(
            text,
            message,
            must_be_seen.contains(text.as_str()),
            kept.contains(text.as_str()),
            states,
        );
        tally.shows(&book, text, message, world.plan.lease());
    }
    tally.work(&book, &outbox, &arrived);
    for workspace in 0..world.workspaces.len() {
        for duty in [Duty::Beat, Duty::Read] {
            tally.pollers(&book.lives, polls, workspace, duty);
        }
    }
    wrong.append(&mut tally.wrong);
    report::print(world, &book, polls, &outbox, &tally, took, sum);
    wrong
}

/// What the platform took for an agent: every text that a sender, or a daemon on behalf of its agent, was told so of.
fn must_be_seen<'a>(book: &'a Book, outbox: &'a [Sent]) -> HashSet<&'a str> {
    let taken = book
        .messages
        .iter()
        .filter(|(_, message)| message.taken)
        .map(|(text, _)| text.as_str());
    let accepted = outbox
        .iter()
        .filter(|sent| sent.kind != "notify" && matches!(sent.progress.as_str(), "accepted" | "delivered" | "answered"))
        .map(|sent| sent.text.as_str());
    taken.chain(accepted).collect()
}

/// The identities under which a text lies in the platform's log: message ids, or row ids of what the person was told.
type Arrived = HashMap<String, HashSet<String>>;

async fn arrived(world: &World) -> Arrived {
    let mut arrived = Arrived::new();
    for workspace in &world.workspaces {
        let mut known = HashSet::new();
        let mut before = String::new();
        loop {
            let path = format!(
                "/workspaces/{}/activity?type=a2a_receive&limit=500{before}",
                workspace.id
            );
            let page = world.ok(Method::GET, &path, Some(&workspace.token), None).await;
            let rows = page.as_array().cloned().unwrap_or_default();
            let fresh = rows.iter().filter(|row| known.insert(row["id"].to_string())).count();
            for row in &rows {
                let (text, id) = if row["method"] == "notify" {
                    (&row["response_body"]["result"], &row["id"])
                } else {
                    let message = &row["request_body"]["params"]["message"];
                    (&message["parts"][0]["text"], &message["messageId"])
                };
                if let (Some(text), Some(id)) = (text.as_str(), id.as_str()) {
                    arrived.entry(text.to_owned()).or_default().insert(id.to_owned());
                }
            }
            let Some(oldest) = rows.last().filter(|_| fresh > 0) else {
                break;
            };
            // The comparison is strict, and a page may end among rows of one instant.
            let oldest = chrono::DateTime::parse_from_rfc3339(oldest["created_at"].as_str().unwrap()).unwrap();
            let oldest = (oldest.to_utc() + chrono::TimeDelta::microseconds(1))
                .to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
            before = format!("&before_ts={oldest}");
        }
    }
    arrived
}

#[derive(Default)]
pub struct Tally {
    wrong: Vec<String>,
    pub lost: usize,
    pub shown: usize,
    pub acknowledged: usize,
    pub again_after_acknowledgement: usize,
    /// Shown again, because the session ended that had it.
    pub after_an_end: usize,
    /// Shown again, because its lease ran out or was given back.
    pub after_a_lease: usize,
    pub returned_unseen: usize,
    pub aside: usize,
    pub twice_told: usize,
}

impl Tally {
    fn message(&mut self, text: &str, message: &Message, must_be_seen: bool, kept: bool, states: Option<&Vec<String>>) {
        let aside = states.is_some_and(|states| states.iter().any(|state| state == "aside"));
        self.aside += usize::from(aside);
        if states.is_some_and(|states| states.len() > 1) {
            self.wrong
                .push(format!("stored more than once: {text:?} {states:?} {message:?}"));
        }
        if !message.shows.is_empty() || message.returned > 0 {
            self.shown += 1;
        } else if must_be_seen && kept {
            // Its daemon died between the commit and the answer of the call; the outbox has the text.
            self.returned_unseen += 1;
        } else if must_be_seen {
            self.lost += 1;
            self.wrong.push(format!(
                "never shown: {text:?}, in the journal as {states:?}: {message:?}"
            ));
        }
    }

    /// No show after the acknowledgement, and no second show while the first one's lease held.
    fn shows(&mut self, book: &Book, text: &str, message: &Message, lease: Duration) {
        let lives = &book.lives;
        let lease = i64::try_from(lease.as_millis()).unwrap();
        let mut shows = message.shows.clone();
        // Not as their answers were read: of two processes either may be read late.
        shows.sort_by_key(|show| (show.delivery, show.answered));
        if let Some(acknowledged) = message.acknowledged {
            self.acknowledged += 1;
            let mut again = None;
            for show in &shows {
                let life = &lives[show.life];
                // Leased before, and read late by its client: by one whose process was dead already or stood still, or
                // whose lease could be over by then.
                let on_its_way = show.delivery <= message.settled
                    || !life.lives_at(acknowledged)
                    || life.was_stopped_between(show.begun, show.answered)
                    || show.begun + lease_over(book, show, acknowledged, lease) <= acknowledged;
                if show.begun > acknowledged || (show.answered > acknowledged && !on_its_way) {
                    self.again_after_acknowledgement += 1;
                    again.get_or_insert(*show);
                }
            }
            if let Some(show) = again {
                let (message, told) = (evidence(message), &lives[show.life]);
                self.wrong.push(format!(
                    "shown again after its acknowledgement: {text:?} {show:?} {message:?} {told:?}"
                ));
            }
        }
        let mut early = None;
        for pair in shows.windows(2) {
            if lives[pair[0].life].lives_at(pair[1].answered) {
                self.after_a_lease += 1;
            } else {
                self.after_an_end += 1;
            }
            early = early.or_else(|| too_early(book, &pair[0], &pair[1], lease));
        }
        if let Some(why) = early {
            let told = shows.first().map(|show| &lives[show.life]);
            let message = evidence(message);
            self.wrong.push(format!(
                "shown again while its lease held ({why}): {text:?} {message:?}, first by {told:?}"
            ));
        }
    }

    /// Delegations and replies: settled, under one identity, and never gone without a word.
    fn work(&mut self, book: &Book, outbox: &[Sent], arrived: &Arrived) {
        let nowhere = HashSet::new();
        let ids: HashSet<&str> = outbox.iter().map(|sent| sent.id.as_str()).collect();
        for (text, message) in &book.messages {
            if let Some(handle) = &message.handle
                && !ids.contains(handle.as_str())
            {
                self.wrong.push(format!(
                    "{text:?} was answered with the handle {handle}, which the outbox does not know"
                ));
            }
        }
        for sent in outbox {
            let there = arrived.get(&sent.text).unwrap_or(&nowhere);
            let Some(message) = book.messages.get(&sent.text) else {
                self.wrong.push(format!("the outbox holds what nobody sent: {sent:?}"));
                continue;
            };
            let taken = matches!(sent.progress.as_str(), "accepted" | "delivered" | "answered");
            let told = sent.detail.as_deref().is_some_and(|detail| !detail.is_empty());
            if there.len() > 1 {
                self.twice_told += 1;
                self.wrong
                    .push(format!("arrived under {} identities: {sent:?} {there:?}", there.len()));
            }
            if taken && there.is_empty() {
                self.wrong.push(format!("was accepted and did not arrive: {sent:?}"));
            }
            if !taken && (!told || sent.progress == "pending") {
                self.wrong.push(format!("has no outcome: {sent:?}"));
            }
            if sent.progress == "failed" && !there.is_empty() {
                self.wrong
                    .push(format!("was reported as failed and arrived: {sent:?} {there:?}"));
            }
            if message.origin == Origin::Task
                && let (Some(id), Some(there)) = (&sent.delegation_id, there.iter().next())
                && id != there
            {
                self.wrong.push(format!(
                    "arrived under an id that the sender does not know: {sent:?} {there}"
                ));
            }
        }
    }

    /// A process does a duty only after its predecessor's end. The one exception: whoever keeps the workspace present may
    /// take the reading from a process that only reads.
    fn pollers(&mut self, lives: &[Life], polls: &[Poll], workspace: usize, duty: Duty) {
        let ours = |duty| {
            polls
                .iter()
                .filter(move |poll| poll.workspace == workspace && poll.duty == duty)
        };
        let beats: Vec<&Poll> = ours(Duty::Beat).collect();
        let mut holder: Option<usize> = None;
        for poll in ours(duty) {
            let Some(life) = figures::life_of(lives, poll) else {
                self.wrong.push(format!("a request of nobody: {poll:?}"));
                continue;
            };
            let Some(before) = holder.replace(life).filter(|before| *before != life) else {
                continue;
            };
            if !lives[before].lives_at(poll.at) {
                continue;
            }
            let late = lives[life]
                .ended
                .is_some_and(|(_, ended)| (ended..ended + IN_FLIGHT_MS).contains(&poll.at));
            if late {
                // Of a dead process, and read by the platform only now.
                holder = Some(before);
            } else if duty == Duty::Beat || !beats_around(lives, &beats, life, poll.at) {
                let (was, is) = (&lives[before], &lives[life]);
                self.wrong.push(format!(
                    "two pollers: life {before} lives, and life {life} polls: {poll:?} {was:?} {is:?}"
                ));
            }
        }
    }
}

/// Whether the last beat before that moment, or the first after it, is of that life.
fn beats_around(lives: &[Life], beats: &[&Poll], life: usize, at: i64) -> bool {
    let next = beats.partition_point(|beat| beat.at <= at);
    let around = [next.checked_sub(1), Some(next)];
    around
        .into_iter()
        .flatten()
        .filter_map(|n| beats.get(n))
        .any(|beat| figures::life_of(lives, beat) == Some(life))
}

/// A message that was shown over and over is told of in few words.
fn evidence(message: &Message) -> Message {
    let mut told = message.clone();
    told.shows.truncate(8);
    told
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
