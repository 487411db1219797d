//! Random lives of messages among sessions that come and go, beside a model that fits on a page.

use std::time::Duration;

use proptest::prelude::*;

use crate::state::journal::fixture::{Folder, LEASE, batch, end, id, message};
use crate::state::journal::{Journal, Popped};
use crate::state::message::State;
use crate::types::ActivityId;

const SESSIONS: usize = 3;
/// Leases that may run out.
const LIMIT: u32 = 5;

#[derive(Clone, Debug)]
enum Step {
    Arrive,
    Lease(usize),
    /// By a session, of one of the messages.
    Pop(usize, prop::sample::Index),
    GiveBack(usize, prop::sample::Index),
    Requeue(prop::sample::Index),
    /// Seconds.
    Pass(u64),
    Reboot,
    /// A session ends, and another takes its place.
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0..SESSIONS;
    let any = any::<prop::sample::Index>;
    prop_oneof![
        3 => Just(Step::Arrive),
        8 => session.clone().prop_map(Step::Lease),
        4 => (session.clone(), any()).prop_map(|(session, which)| Step::Pop(session, which)),
        2 => (session.clone(), any()).prop_map(|(session, which)| Step::GiveBack(session, which)),
        1 => any().prop_map(Step::Requeue),
        4 => prop_oneof![Just(1), Just(300), Just(600)].prop_map(Step::Pass),
        1 => Just(Step::Reboot),
        1 => session.prop_map(Step::Restart),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New,
    /// Until so many seconds since the start, to a session as counted by all that there were.
    Leased {
        until: u64,
        to: usize,
    },
    Done,
    Aside,
}

#[derive(Clone, Debug)]
struct Known {
    /// A note of the daemon itself has one only once it was shown.
    name: Option<ActivityId>,
    at: u64,
    place: Place,
    shown: u32,
    ran_out: u32,
    is_note: bool,
}

/// What the journal should hold, in order of arrival.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    messages: Vec<Known>,
}

impl Model {
    fn arrive(&mut self, name: Option<ActivityId>) {
        self.messages.push(Known {
            at: self.now,
            place: Place::New,
            shown: 0,
            ran_out: 0,
            is_note: name.is_none(),
            name,
        });
    }

    fn pass(&mut self, secs: u64) {
        self.now += secs;
        let mut notes = 0;
        for known in &mut self.messages {
            if matches!(known.place, Place::Leased { until, .. } if until <= self.now) {
                known.ran_out += 1;
                known.place = if known.ran_out >= LIMIT {
                    Place::Aside
                } else {
                    Place::New
                };
                notes += usize::from(known.place == Place::Aside && !known.is_note);
            }
        }
        (0..notes).for_each(|_| self.arrive(None));
    }

    /// The leases of a session, or all of them, were never given.
    fn void(&mut self, session: Option<usize>) {
        for known in &mut self.messages {
            if matches!(known.place, Place::Leased { to, .. } if session.is_none_or(|session| session == to)) {
                known.place = Place::New;
            }
        }
    }

    /// Indexes of what is offered or shown, oldest first.
    fn open(&self) -> Vec<usize> {
        let is_open = |at: &usize| matches!(self.messages[*at].place, Place::New | Place::Leased { .. });
        let mut open: Vec<usize> = (0..self.messages.len()).filter(is_open).collect();
        open.sort_by_key(|at| (self.messages[*at].at, *at));
        open
    }

    fn lease(&mut self, to: usize) -> Option<&mut Known> {
        let next = self
            .open()
            .into_iter()
            .find(|at| self.messages[*at].place == Place::New)?;
        let until = self.now + LEASE.as_secs();
        let known = &mut self.messages[next];
        known.place = Place::Leased { until, to };
        known.shown += 1;
        Some(known)
    }

    fn pop(known: &mut Known, by: usize) -> Popped {
        match known.place {
            Place::Done => Popped::AlreadyDone,
            Place::Leased { to, .. } if to != by => Popped::LeasedElsewhere,
            _ => {
                known.place = Place::Done;
                Popped::Removed
            }
        }
    }
}

/// Both of them, and how many sessions there were so far.
struct Pair {
    folder: Folder,
    sessions: Vec<(usize, Journal)>,
    begun: usize,
    model: Model,
}

impl Pair {
    async fn begin() -> Self {
        let mut pair = Self {
            folder: Folder::new(),
            sessions: Vec::new(),
            begun: 0,
            model: Model::default(),
        };
        for _ in 0..SESSIONS {
            let session = pair.session().await;
            pair.sessions.push(session);
        }
        pair
    }

    async fn session(&mut self) -> (usize, Journal) {
        self.begun += 1;
        // Never by itself: the steps decide when it looks.
        let journal = self.folder.try_open("w", Duration::from_secs(3600)).await.unwrap();
        (self.begun, journal)
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Arrive => {
                let name = format!("m-{}", self.model.messages.len());
                let arrived = message(&name, i64::try_from(self.model.now).unwrap());
                self.sessions[0].1.commit(batch([arrived])).await.unwrap();
                self.model.arrive(Some(id(&name)));
            }
            Step::Lease(at) => {
                let (session, journal) = &self.sessions[at];
                let leased = journal.lease_next().await.unwrap();
                let expected = self.model.lease(*session);
                assert_eq!(leased.is_some(), expected.is_some());
                if let (Some(leased), Some(expected)) = (leased, expected) {
                    let name = leased.message.activity_id;
                    assert_eq!(name.as_str().starts_with("local:"), expected.is_note);
                    assert_eq!(expected.name.get_or_insert_with(|| name.clone()), &name);
                    assert_eq!(leased.delivery_count, expected.shown);
                }
            }
            Step::Pop(at, which) => {
                let (session, journal) = self.sessions[at].clone();
                if let Some((name, known)) = self.named(which) {
                    let expected = Model::pop(known, session);
                    assert_eq!(journal.pop(&name).await.unwrap(), expected, "{name}");
                }
            }
            Step::GiveBack(at, which) => {
                let (session, journal) = self.sessions[at].clone();
                if let Some((name, known)) = self.named(which) {
                    if matches!(known.place, Place::Leased { to, .. } if to == session) {
                        known.place = Place::New;
                        known.shown -= 1;
                    }
                    journal.give_back(&name).await.unwrap();
                }
            }
            Step::Requeue(which) => {
                let journal = self.sessions[0].1.clone();
                if let Some((name, known)) = self.named(which) {
                    let is_aside = known.place == Place::Aside;
                    if is_aside {
                        (known.place, known.ran_out) = (Place::New, 0);
                    }
                    assert_eq!(journal.requeue(&name).await.unwrap(), is_aside, "{name}");
                }
            }
            Step::Pass(secs) => {
                self.folder.time.advance(Duration::from_secs(secs));
                self.model.pass(secs);
            }
            Step::Reboot => {
                self.folder.time.reboot();
                self.model.void(None);
            }
            Step::Restart(at) => {
                let (ended, journal) = self.sessions.remove(at);
                end(journal).await;
                self.model.void(Some(ended));
                let session = self.session().await;
                self.sessions.insert(at, session);
            }
        }
        self.compare().await;
    }

    /// One of the messages that have been seen, by its name.
    fn named(&mut self, which: prop::sample::Index) -> Option<(ActivityId, &mut Known)> {
        let known = self.model.messages.iter_mut();
        let mut named: Vec<_> = known.filter(|known| known.name.is_some()).collect();
        let known = (!named.is_empty()).then(|| named.swap_remove(which.index(named.len())))?;
        Some((known.name.clone()?, known))
    }

    /// Each session sees what the model holds.
    async fn compare(&self) {
        let free = |ledger: &crate::state::journal::ledger::Ledger<'_>| ledger.free_overdue();
        self.sessions[0].1.inner.write(free).unwrap();
        for (session, journal) in &self.sessions {
            let open = self.model.open();
            let seen = journal.peek(1000).await.unwrap();
            assert_eq!(seen.len(), open.len());
            for (entry, at) in seen.iter().zip(open) {
                let known = &self.model.messages[at];
                if let Some(name) = &known.name {
                    assert_eq!(&entry.message.activity_id, name);
                }
                let (state, mine) = match known.place {
                    Place::Leased { to, .. } => (State::Leased, to == *session),
                    _ => (State::New, false),
                };
                assert_eq!(
                    (entry.state, entry.mine, entry.delivery_count),
                    (state, mine, known.shown)
                );
            }
        }
        let aside = self.model.messages.iter().filter(|known| known.place == Place::Aside);
        assert_eq!(self.sessions[0].1.counts().await.unwrap().aside, aside.count() as u64);
    }
}

/// A quick look by default; `PROPTEST_CASES` asks for more.
fn wanted_cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(16)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: wanted_cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_message_belongs_to_one_session_until_it_is_done_or_set_aside(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::begin().await;
            for step in steps {
                pair.take(step).await;
            }
        });
    }
}
