//! What was sent, shown, acknowledged and done to whom. Everything the verdict is made from, kept outside the daemons.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use super::now_ms;

/// Who wrote a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The person or the peer, over HTTP.
    Sender,
    /// Put into the platform's log as it is.
    Row,
    /// A daemon's delegation.
    Task,
    /// A daemon's answer to a peer.
    Reply,
    /// A daemon's answer to the person.
    Notice,
}

/// How a life of a daemon ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Killed,
    Closed,
    Crashed,
    /// Did not begin, because its disk took nothing.
    Refused,
}

/// One life of a daemon in its slot. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub struct Life {
    pub slot: usize,
    /// Which of the slot's credentials it has.
    pub turn: usize,
    pub workspace: usize,
    pub begun: i64,
    pub ready: Option<i64>,
    /// When its end began; of a crash the last moment it was known to live.
    pub ended: Option<(End, i64)>,
    /// When the last call was made that it answered. The answer may have been read long after its death.
    pub known_alive: i64,
    pub stops: Vec<(i64, Option<i64>)>,
}

impl Life {
    pub fn was_stopped_between(&self, from: i64, to: i64) -> bool {
        self.stops
            .iter()
            .any(|(begun, ended)| *begun <= to && ended.is_none_or(|ended| ended >= from))
    }

    /// Ready, alive and running all the time.
    pub fn stands_by(&self, from: i64, to: i64) -> bool {
        self.ready.is_some_and(|ready| ready <= from) && self.lives_at(to) && !self.was_stopped_between(from, to)
    }

    pub fn lives_at(&self, at: i64) -> bool {
        self.begun <= at && self.ended.is_none_or(|(_, ended)| ended > at)
    }
}

/// One message as `wait_for_message` handed it out.
#[derive(Clone, Copy, Debug)]
pub struct Show {
    pub life: usize,
    /// When the call was made.
    pub begun: i64,
    /// When its answer came.
    pub answered: i64,
    pub delivery: u64,
}

/// The first acknowledgement of a message that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    /// When that answer was received.
    pub at: i64,
    /// Who asked for it.
    pub life: usize,
    /// Which delivery it was of.
    pub delivery: u64,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub origin: Origin,
    /// The workspace it is for.
    pub to: usize,
    /// The platform said that it took it.
    pub taken: bool,
    pub shows: Vec<Show>,
    /// Returned by the call that had delegated, and not by a wait.
    pub returned: u32,
    pub acknowledged: Option<Acknowledgement>,
    /// What the tool said that sent it.
    pub handle: Option<String>,
}

impl Message {
    /// One that nobody was shown.
    pub fn to(origin: Origin, to: usize) -> Self {
        Self {
            origin,
            to,
            taken: false,
            shows: Vec::new(),
            returned: 0,
            acknowledged: None,
            handle: None,
        }
    }
}

/// The clocks of a workspace's daemons jumped, and count this much more sleep than before.
#[derive(Clone, Copy, Debug)]
pub struct Sleep {
    pub workspace: usize,
    pub at: i64,
    pub millis: i64,
}

#[derive(Default)]
pub struct Book {
    pub lives: Vec<Life>,
    pub messages: HashMap<String, Message>,
    pub violations: Vec<String>,
    /// Tool failures, by tool and code.
    pub failures: BTreeMap<String, u64>,
    pub crashes: BTreeMap<String, u64>,
    /// Messages of the daemon itself.
    pub notes: u64,
    pub stops: u64,
    /// Every jump of a clock, in order.
    pub jumps: Vec<Sleep>,
    pub full_disks: u64,
    pub refusing_disks: u64,
    /// How long a daemon took to end after its client went away, in milliseconds.
    pub exits: Vec<i64>,
    next: u64,
}

#[derive(Default)]
pub struct Ledger(Mutex<Book>);

impl Ledger {
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }

    pub fn violation(&self, what: String) {
        self.book().violations.push(what);
    }

    pub fn failed(&self, what: String) {
        *self.book().failures.entry(what).or_default() += 1;
    }

    pub fn jumps(&self, sleep: Sleep) {
        self.book().jumps.push(sleep);
    }

    // ---- lives ----

    pub fn begins(&self, slot: usize, turn: usize, workspace: usize) -> usize {
        let mut book = self.book();
        let now = now_ms();
        book.lives.push(Life {
            slot,
            turn,
            workspace,
            begun: now,
            ready: None,
            ended: None,
            known_alive: now,
            stops: Vec::new(),
        });
        book.lives.len() - 1
    }

    pub fn ready(&self, life: usize) {
        self.book().lives[life].ready = Some(now_ms());
    }

    /// It answered a call that was made at `asked`.
    pub fn alive(&self, life: usize, asked: i64) {
        let mut book = self.book();
        let known = &mut book.lives[life].known_alive;
        *known = asked.max(*known);
    }

    pub fn ends(&self, life: usize, end: End) {
        self.book().lives[life].ended.get_or_insert((end, now_ms()));
    }

    pub fn crashed(&self, life: usize, point: String) {
        let mut book = self.book();
        let point = point.split(':').take(2).collect::<Vec<_>>().join(":");
        *book.crashes.entry(point).or_default() += 1;
        let last = book.lives[life].known_alive;
        book.lives[life].ended = Some((End::Crashed, last));
    }

    /// It ended by itself before it did anything, and said why.
    pub fn refused(&self, life: usize) {
        let mut book = self.book();
        let begun = book.lives[life].begun;
        book.lives[life].ended = Some((End::Refused, begun));
    }

    pub fn end_of(&self, life: usize) -> Option<End> {
        self.book().lives[life].ended.map(|(end, _)| end)
    }

    pub fn stopped(&self, life: usize) {
        let mut book = self.book();
        book.stops += 1;
        book.lives[life].stops.push((now_ms(), None));
    }

    pub fn continued(&self, life: usize) {
        if let Some((_, ended)) = self.book().lives[life].stops.last_mut() {
            *ended = Some(now_ms());
        }
    }

    // ---- messages ----

    /// Invents a text that nobody else sends.
    pub fn writes(&self, origin: Origin, to: usize) -> String {
        let mut book = self.book();
        book.next += 1;
        let text = format!("{origin:?} {} for {to}", book.next);
        book.messages.insert(text.clone(), Message::to(origin, to));
        text
    }

    pub fn taken(&self, text: &str) {
        if let Some(message) = self.book().messages.get_mut(text) {
            message.taken = true;
        }
    }

    /// What a sending tool answered.
    pub fn answered(&self, text: &str, answer: &Value) {
        if let Some(message) = self.book().messages.get_mut(text) {
            message.handle = answer["handle"].as_str().map(str::to_owned);
        }
    }

    pub fn shown(&self, workspace: usize, text: &str, kind: &str, show: Show) {
        let mut book = self.book();
        // What became of a delegation whose call gave up is told by the daemon itself when the peer said nothing.
        let outcomes = [
            "it is not known whether this arrived",
            "it was never sent",
            "could not be sent within 10 minutes",
        ];
        let untold = kind == "delegation_result" && outcomes.iter().any(|outcome| text.starts_with(outcome));
        if kind == "system" || untold {
            book.notes += 1;
            return;
        }
        let known = book.messages.get_mut(text).filter(|message| message.to == workspace);
        match known {
            Some(message) => message.shows.push(show),
            None => book.violations.push(format!(
                "workspace {workspace} was shown a text that nobody sent it: {text:?}"
            )),
        }
    }

    /// A delegation's call returned this answer.
    pub fn returned(&self, workspace: usize, text: &str) {
        let mut book = self.book();
        match book.messages.get_mut(text).filter(|message| message.to == workspace) {
            Some(message) => message.returned += 1,
            None => book.violations.push(format!(
                "a delegation of workspace {workspace} returned what nobody sent: {text:?}"
            )),
        }
    }

    /// The answer came that it is.
    pub fn acknowledged(&self, text: &str, life: usize, delivery: u64) {
        let acknowledgement = Acknowledgement {
            at: now_ms(),
            life,
            delivery,
        };
        if let Some(message) = self.book().messages.get_mut(text) {
            message.acknowledged.get_or_insert(acknowledgement);
        }
    }

    /// Messages that the platform took and no agent was shown.
    pub fn outstanding(&self) -> usize {
        let book = self.book();
        let unseen = book
            .messages
            .values()
            .filter(|message| message.taken && message.shows.is_empty());
        unseen.filter(|message| message.returned == 0).count()
    }
}
