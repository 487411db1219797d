//! The oracle: compares what was sent with what was shown, sent and polled, and says what must not have happened.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::journal::{self, Sent};
use super::ledger::{Book, Life, Message, Origin};
use super::polls::{Duty, Poll, Requests, Told};
use super::report::{self, Sum};
use super::world::World;
use super::{figures, shows, twice};

/// How long requests of a dead process may still lie in a socket, on a loaded machine.
const IN_FLIGHT_MS: i64 = 10_000;

/// Checks everything, prints the figures and returns what is wrong.
pub async fn judge(world: &World, requests: &Requests, drained: bool, took: Duration, sum: &mut Sum) -> Vec<String> {
    let polls = &requests.polls;
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
        tally.shows(&book, text, message, millis(world.plan.lease()));
    }
    tally.work(&book, &outbox, &arrived);
    tally.identities(
        &book,
        &outbox,
        &arrived,
        &requests.told,
        millis(world.plan.scaled(twice::LOOKED_FOR)),
    );
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

/// The identities under which a text lies in the platform's log: message ids, or row ids of what the person was told. Each
/// with the time of its row, in milliseconds since 1970.
type Arrived = HashMap<String, HashMap<String, i64>>;

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
            let time = |row: &Value| {
                let time = chrono::DateTime::parse_from_rfc3339(row["created_at"].as_str().unwrap());
                time.unwrap().to_utc()
            };
            for row in &rows {
                let (text, id) = if row["method"] == "notify" {
                    (&row["response_body"]["result"], &row["id"])
                } else {
                    let message = &row["request_body"]["params"]["message"];
                    (&message["parts"][0]["text"], &message["messageId"])
                };
                if let (Some(text), Some(id)) = (text.as_str(), id.as_str()) {
                    let identities = arrived.entry(text.to_owned()).or_default();
                    identities.insert(id.to_owned(), time(row).timestamp_millis());
                }
            }
            let Some(oldest) = rows.last().filter(|_| fresh > 0) else {
                break;
            };
            // The comparison is strict, and a page may end among rows of one instant.
            let oldest = (time(oldest) + chrono::TimeDelta::microseconds(1))
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
    /// Arrived under several identities.
    pub twice: usize,
    /// Of these, because the platform took the first request up when its sender was long dead.
    pub taken_up_late: usize,
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
    fn shows(&mut self, book: &Book, text: &str, message: &Message, lease: i64) {
        let judged = shows::judge(book, message, lease);
        self.acknowledged += usize::from(message.acknowledged.is_some());
        self.again_after_acknowledgement += judged.again.len();
        self.after_an_end += judged.after_an_end;
        self.after_a_lease += judged.after_a_lease;
        if let Some(show) = judged.again.first() {
            let (message, told) = (evidence(message), &book.lives[show.life]);
            self.wrong.push(format!(
                "shown again after its acknowledgement: {text:?} {show:?} {message:?} {told:?}"
            ));
        }
        if let Some(why) = judged.early {
            let told = message.shows.first().map(|show| &book.lives[show.life]);
            let message = evidence(message);
            self.wrong.push(format!(
                "shown again while its lease held ({why}): {text:?} {message:?}, first by {told:?}"
            ));
        }
    }

    /// Delegations and replies: settled, and never gone without a word.
    fn work(&mut self, book: &Book, outbox: &[Sent], arrived: &Arrived) {
        let nowhere = HashMap::new();
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
                && let (Some(id), Some(there)) = (&sent.delegation_id, there.keys().next())
                && id != there
            {
                self.wrong.push(format!(
                    "arrived under an id that the sender does not know: {sent:?} {there}"
                ));
            }
        }
    }

    /// Everything has one identity, but for what the person is told: the platform may take that up when nobody looks for it any
    /// more.
    fn identities(
        &mut self,
        book: &Book,
        outbox: &[Sent],
        arrived: &Arrived,
        told: &HashMap<String, Told>,
        limit: i64,
    ) {
        for sent in outbox {
            let Some(there) = arrived.get(&sent.text).filter(|there| there.len() > 1) else {
                continue;
            };
            self.twice += 1;
            let asked = told.get(&sent.text).filter(|_| sent.kind == "notify");
            let first = there.values().min().copied();
            let late = asked
                .zip(first)
                .is_some_and(|(asked, first)| twice::was_taken_up_late(&book.lives, asked, first, limit));
            if late {
                self.taken_up_late += 1;
            } else {
                self.wrong.push(format!(
                    "arrived under {} identities: {sent:?} {there:?}, first asked for by {asked:?}",
                    there.len()
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
