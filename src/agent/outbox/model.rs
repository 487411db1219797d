//! What is decided about a piece of work, against a platform that knows the truth: whatever becomes of attempts, look-ups and
//! processes, nothing is told that is not so, the person is told once, and there is an end.

use std::time::Duration;

use proptest::prelude::*;

use super::decide::{self, Answer, Arrival, Found, Moment, Unready, Verdict};
use super::stand_in::{delegate, interrupted, item, notify, rejected, reply, throttled, unreachable};
use crate::platform::error::CallError;
use crate::platform::wire::{A2aAnswer, Delegated};
use crate::state::outbox::{Item, Progress, Work};

const WINDOW: Duration = Duration::from_secs(600);
const SETTLING: Duration = Duration::from_secs(2);
/// What nobody waits for any more takes effect within this time or not at all.
const AT_WORK: Duration = Duration::from_secs(30);
/// How long the pause before a step is late.
const TAKES: Duration = Duration::from_millis(50);

/// What becomes of one attempt, or of one look-up.
#[derive(Clone, Debug)]
enum Fate {
    /// It works, and the answer comes.
    Well,
    /// It works, and no answer comes, or one that cannot be read.
    Lost(Kind),
    /// No answer comes, and it takes effect so many seconds later.
    Late(u64),
    /// It does not work, and that cannot be told from the answer.
    Vain(Kind),
    /// It does not work, and the answer says so.
    Refused(Kind),
    /// It is not made: something before it fails.
    Unready,
    /// The process dies, and the attempt takes effect so many seconds later, or not at all.
    Dies { late: Option<u64> },
}

/// Which of several answers of the same meaning.
type Kind = u8;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        2 => Just(Fate::Well),
        3 => any::<Kind>().prop_map(Fate::Lost),
        2 => late().prop_map(Fate::Late),
        3 => any::<Kind>().prop_map(Fate::Vain),
        4 => any::<Kind>().prop_map(Fate::Refused),
        2 => Just(Fate::Unready),
        2 => prop::option::of(late()).prop_map(|late| Fate::Dies { late }),
    ]
}

/// At once, soon, or as late as can be.
fn late() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0u64), 0..5u64, 0..=AT_WORK.as_secs()]
}

/// An answer that leaves open whether the request took effect.
fn unclear(kind: Kind) -> CallError {
    match kind % 5 {
        0 => interrupted(),
        1 => rejected(500),
        2 => rejected(502),
        3 => CallError::TooLarge { limit: 9 },
        _ => CallError::Malformed {
            detail: "no id".to_owned(),
        },
    }
}

/// An answer to a request that had no effect, whatever was sent before.
fn passing(kind: Kind) -> CallError {
    match kind % 3 {
        0 => unreachable(),
        _ => throttled(u64::from(kind % 7)),
    }
}

/// The platform, and what happened to one piece of work.
struct World {
    work: Work,
    /// How many messages there are of it. A delegation has a key, so there is one at most; a peer knows a message by its id.
    effects: u32,
    /// When attempts take effect that nobody waits for any more.
    under_way: Vec<Duration>,
    /// Until when one may.
    at_work_until: Duration,
    age: Duration,
    attempts: u32,
    earlier: Arrival,
    last_attempt: Duration,
}

impl World {
    fn item(&self) -> Item {
        Item {
            attempts: self.attempts,
            ..item("1", self.work.clone())
        }
    }

    fn moment(&self, pause: u64) -> Moment {
        Moment {
            age: self.age,
            pause: Duration::from_secs(pause),
            window: WINDOW,
            settling: SETTLING,
            at_work: self.at_work_until.saturating_sub(self.age),
        }
    }

    fn passes(&mut self, time: Duration) {
        self.age += time;
        let (due, under_way): (Vec<_>, Vec<_>) = self.under_way.iter().partition(|at| **at <= self.age);
        self.under_way = under_way;
        due.iter().for_each(|_| self.take_effect());
    }

    /// No answer comes any more.
    fn takes_effect_later(&mut self, late: u64) {
        self.under_way.push(self.age + Duration::from_secs(late));
        self.passes(Duration::ZERO);
    }

    fn take_effect(&mut self) {
        self.effects = match self.work {
            Work::NotifyUser { .. } => self.effects + 1,
            Work::Delegate { .. } | Work::ReplyToPeer { .. } => 1,
        };
    }

    fn answer(&self) -> Answer {
        match self.work {
            Work::Delegate { .. } => Answer::Delegated(Delegated {
                delegation_id: "d-1".to_owned(),
                idempotent_hit: false,
            }),
            Work::ReplyToPeer { .. } => Answer::Peer(A2aAnswer::QueuedForPoll),
            Work::NotifyUser { .. } => Answer::Told,
        }
    }

    /// One attempt. `None`: the process died in it.
    fn attempt(&mut self, fate: &Fate, moment: &Moment) -> Option<Verdict> {
        if let Fate::Unready = fate {
            let why = Unready::Passing {
                why: "the journal is busy".to_owned(),
                error: None,
            };
            return Some(decide::unready(&self.work, &why, self.earlier, moment));
        }
        self.attempts += 1;
        self.last_attempt = self.age;
        let outcome = match fate {
            Fate::Well => {
                self.take_effect();
                Ok(self.answer())
            }
            Fate::Lost(kind) => {
                self.take_effect();
                Err(unclear(*kind))
            }
            Fate::Late(late) => {
                self.takes_effect_later(*late);
                Err(interrupted())
            }
            Fate::Vain(kind) => Err(unclear(*kind)),
            Fate::Refused(kind) => Err(passing(*kind)),
            Fate::Dies { late } => {
                late.iter().for_each(|late| self.takes_effect_later(*late));
                return None;
            }
            Fate::Unready => unreachable!("told above"),
        };
        let verdict = decide::after_attempt(&self.work, &outcome, self.earlier, moment);
        if let Err(CallError::Interrupted { .. }) = &outcome {
            self.at_work_until = self.age + AT_WORK;
        }
        if let Err(error) = &outcome {
            self.earlier = self.earlier.max(decide::arrival(&self.work, error));
        }
        Some(verdict)
    }

    /// A look into the log, which tells the truth if it tells anything.
    fn look_up(&self, fate: &Fate, moment: &Moment) -> Option<Verdict> {
        let found = match (fate, &self.work) {
            (Fate::Dies { .. }, _) => return None,
            (Fate::Refused(kind), _) => Err(passing(*kind)),
            (Fate::Vain(kind), _) => Err(unclear(*kind)),
            (_, Work::Delegate { .. }) if self.effects > 0 => Ok(Found::Delegation("d-1".to_owned())),
            (_, Work::NotifyUser { .. }) => Ok(Found::yes(self.effects > 0)),
            _ => Ok(Found::No),
        };
        Some(decide::after_look_up(&self.work, &found, moment))
    }
}

fn play(work: Work, fates: Vec<Fate>, pauses: &[u64]) -> Result<(), TestCaseError> {
    let mut world = World {
        work,
        effects: 0,
        under_way: Vec::new(),
        at_work_until: Duration::ZERO,
        age: Duration::ZERO,
        attempts: 0,
        earlier: Arrival::Never,
        last_attempt: Duration::ZERO,
    };
    let mut pauses = pauses.iter().copied().cycle();
    // When nothing more is decided by chance, nothing works any more.
    let mut fates = fates.into_iter().chain(std::iter::repeat(Fate::Refused(0)));
    let mut verdict = decide::first(&world.item(), &world.moment(0));
    for _ in 0..2000 {
        let moment = |world: &World, pause| world.moment(pause);
        let next = match verdict {
            Verdict::Record(ref change) => {
                world.passes(AT_WORK);
                let told = change.progress.unwrap();
                let fits = match told {
                    Progress::Accepted | Progress::DeliveredUnconfirmed => world.effects > 0,
                    Progress::Failed => world.effects == 0,
                    Progress::Unknown => world.attempts > 0,
                    _ => false,
                };
                prop_assert!(fits, "told as {told:?} with {} effects", world.effects);
                prop_assert!(world.effects <= 1, "{} times", world.effects);
                prop_assert!(world.last_attempt < WINDOW + TAKES, "sent at {:?}", world.last_attempt);
                return Ok(());
            }
            Verdict::Attempt { after } | Verdict::LookUp { after } => {
                world.passes(after + TAKES);
                let fate = fates.next().unwrap();
                // The pauses of the real one grow to half a minute.
                let moment = moment(&world, 1 + pauses.next().unwrap_or(1));
                if matches!(verdict, Verdict::Attempt { .. }) {
                    world.attempt(&fate, &moment)
                } else {
                    world.look_up(&fate, &moment)
                }
            }
        };
        verdict = match next {
            Some(verdict) => verdict,
            // Another process takes it up, and knows what is written down.
            None => {
                world.passes(Duration::from_secs(1));
                world.earlier = if world.attempts > 0 {
                    world.at_work_until = world.age + AT_WORK;
                    Arrival::Maybe
                } else {
                    Arrival::Never
                };
                decide::first(&world.item(), &world.moment(0))
            }
        };
    }
    Err(TestCaseError::fail("there is no end"))
}

proptest! {
    #[test]
    fn what_is_told_of_outgoing_work_is_so_and_it_goes_out_once(
        work in prop_oneof![Just(delegate("t")), Just(reply("t")), Just(notify("t"))],
        fates in prop::collection::vec(fate(), 0..40),
        pauses in prop::collection::vec(0..40u64, 1..6),
    ) {
        play(work, fates, &pauses)?;
    }
}
