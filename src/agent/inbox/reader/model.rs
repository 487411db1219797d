//! The reader against a model platform that stamps rows before it shows them, ties, repeats, forgets, fails and ignores.
//!
//! The model keeps the platform's promises and no more: a row is shown at most ten seconds after its stamp.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::state::journal::{Batch, Cursor};
use crate::state::message::Kind;

const MICROS: i64 = 1_000_000;
/// Wall clock at the beginning of every run.
const EPOCH: i64 = 1_800_000_000 * MICROS;

/// How a platform compares and what it ignores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// Ignores cursors and windows.
    A,
    /// Compares times only.
    B,
    /// Compares (time, sequence number).
    C,
}

#[derive(Clone, Debug)]
struct Case {
    level: Level,
    seed: u64,
    /// (milliseconds since the one before, rows, how late each may become visible in ms, whether they share a stamp)
    bursts: Vec<(u32, u32, u32, bool)>,
    /// Per mille of reads, commits and hints that go wrong.
    failures: u64,
    /// Per mille of reads from a row that are answered 410.
    gone: u64,
    lost_hints: u64,
    /// Per mille of steps after which the process dies.
    restarts: u64,
    ignores_limit: bool,
    /// Pages of more rows than this are too large.
    bulky: Option<usize>,
    repeats: bool,
    live: bool,
    /// Per mille of rows that do not say their time.
    untimed: u64,
    /// Which row (of so many as there are, cyclically) cannot be fetched, and whether because of its size.
    poison: Option<(usize, bool)>,
    /// Per mille of restarts at which the journal is lost and only the cursor file remains.
    damage: u64,
}

struct Sent {
    id: ActivityId,
    at: Timestamp,
    seq: i64,
    visible: i64,
    tie: u64,
}

/// A small generator, so that one number from proptest decides everything.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    fn per_mille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }
}

fn id(n: u64) -> ActivityId {
    ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012x}")).unwrap()
}

/// The row as it was read: with its own time, or with that of a row beside it.
fn row(sent: &Sent, level: Level, timed: bool, at: Timestamp) -> Row {
    let message = Box::new(Message {
        activity_id: sent.id.clone(),
        kind: Kind::CanvasUser,
        peer_id: String::new(),
        text: "x".to_owned(),
        method: String::new(),
        created_at: String::new(),
        at,
        seq: (level == Level::C).then_some(sent.seq),
        message_id: None,
        delegation_id: None,
        in_reply_to: None,
        context_id: None,
        reply_expected: None,
        peer_name: None,
        peer_role: None,
        agent_card_url: None,
        attachments: Vec::new(),
        digest: None,
        status: None,
        request: None,
        shortened: false,
    });
    Row::Message { message, timed }
}

/// The journal as far as receiving needs it: keyed by id, durable across restarts.
#[derive(Default)]
struct Store {
    offered: HashSet<ActivityId>,
    held: HashSet<ActivityId>,
    recovered: HashSet<ActivityId>,
    /// It began anew and has not listed yet what lies before.
    replaced: bool,
    cursor: Option<Cursor>,
    polled: Option<Timestamp>,
}

impl Store {
    fn holds(&self, id: &ActivityId) -> bool {
        [&self.offered, &self.held, &self.recovered]
            .iter()
            .any(|place| place.contains(id))
    }

    /// Whether an agent can see it.
    fn shows(&self, id: &ActivityId) -> bool {
        self.offered.contains(id) || self.recovered.contains(id)
    }

    fn commit(&mut self, batch: Batch) {
        for message in batch.messages {
            if self.holds(&message.activity_id) {
                continue;
            }
            let place = match (batch.recovered, batch.hold) {
                (true, _) => &mut self.recovered,
                (false, true) => &mut self.held,
                (false, false) => &mut self.offered,
            };
            place.insert(message.activity_id);
        }
        if batch.release {
            self.offered.extend(self.held.drain());
        }
        if batch.forget_cursor {
            self.cursor = None;
        }
        self.cursor = batch.cursor.or(self.cursor.take());
        self.polled = batch.polled.or(self.polled);
    }
}

struct World {
    case: Case,
    dice: Dice,
    rows: Vec<Sent>,
    /// Instants at which rows become visible, as far as nobody was told yet.
    hints: BTreeMap<i64, u32>,
    store: Store,
    /// What was offered by journals that were lost.
    seen: HashSet<ActivityId>,
    poison: Option<ActivityId>,
    reader: Reader,
    now: i64,
    requests: u64,
}

impl World {
    fn new(case: Case) -> Self {
        let mut dice = Dice(case.seed);
        let mut rows = Vec::new();
        let mut hints = BTreeMap::new();
        let mut at = 0;
        for &(gap, count, late, tied) in &case.bursts {
            at += i64::from(gap) * 1000;
            for _ in 0..count {
                let apart = case.poison.is_some() || case.untimed > 0;
                at += if tied && !apart {
                    0
                } else {
                    // Beside a row that cannot be fetched or does not say its time, not all rows of one time can be had.
                    i64::from(apart) + i64::try_from(dice.below(3000)).unwrap()
                };
                let late = i64::try_from(dice.below(u64::from(late) + 1)).unwrap() * 1000;
                *hints.entry(at + late).or_default() += 1;
                rows.push(Sent {
                    id: id(dice.roll() >> 16),
                    at: Timestamp(EPOCH + at),
                    seq: 0,
                    visible: at + late,
                    tie: dice.roll(),
                });
            }
        }
        // Level C numbers rows as they are stored.
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&n| rows[n].visible);
        for (seq, n) in order.into_iter().enumerate() {
            rows[n].seq = i64::try_from(seq).unwrap() + 1;
        }
        let poison = case
            .poison
            .filter(|_| !rows.is_empty())
            .map(|(n, _)| rows[n % rows.len()].id.clone());
        // Older than any first window: never ours.
        for n in 0..20 {
            let at = -(700 + n) * MICROS;
            rows.push(Sent {
                id: id(u64::try_from(n).unwrap()),
                at: Timestamp(EPOCH + at),
                seq: 0,
                visible: at,
                tie: 999,
            });
        }
        let reader = Reader::new(Start::default(), Timing::REAL, Duration::ZERO);
        let mut world = Self {
            case,
            dice,
            rows,
            hints,
            store: Store::default(),
            seen: HashSet::new(),
            poison,
            reader,
            now: 0,
            requests: 0,
        };
        world.reader.stream_live(world.case.live);
        world
    }

    fn clock(&self) -> (Duration, Timestamp) {
        let now = Duration::from_micros(u64::try_from(self.now).unwrap());
        (now, Timestamp(EPOCH + self.now))
    }

    fn pass(&mut self, micros: i64) {
        let until = self.now + micros.max(1);
        while let Some((&at, &count)) = self.hints.first_key_value() {
            if at > until {
                break;
            }
            self.hints.remove(&at);
            for _ in 0..count {
                if self.case.live && !self.dice.per_mille(self.case.lost_hints) {
                    self.reader.hint();
                }
            }
        }
        self.now = until;
    }

    /// Time goes on to the next hint or for `wait`, whichever is first.
    fn sleep(&mut self, wait: Duration) {
        let wait = i64::try_from(wait.as_micros()).unwrap();
        let next = self.hints.first_key_value().map(|(&at, _)| at - self.now);
        self.pass(next.filter(|next| *next > 0).map_or(wait, |next| wait.min(next)));
    }

    fn answer(&mut self, plan: &Plan) -> Result<Page, ReadFailure> {
        let pause = Duration::from_millis(self.dice.below(3000));
        let fail = |failure| Err(ReadFailure { failure, pause });
        if self.dice.per_mille(self.case.failures) {
            // Small pages on which no row says its time cannot be followed by another.
            return fail(if self.case.untimed == 0 && self.dice.per_mille(300) {
                Failure::Unreadable
            } else {
                Failure::Other
            });
        }
        let level = self.case.level;
        let visible = |row: &&Sent| row.visible <= self.now;
        let mut rows: Vec<&Sent> = self.rows.iter().filter(visible).collect();
        let mut ascending = false;
        if level != Level::A {
            if let Some(since) = &plan.since {
                let cursor = rows.iter().find(|row| row.id == *since).map(|row| (row.at, row.seq));
                let Some((at, seq)) = cursor else {
                    return fail(Failure::Gone);
                };
                if self.dice.per_mille(self.case.gone) {
                    return fail(Failure::Gone);
                }
                ascending = true;
                rows.retain(|row| match level {
                    Level::C => (row.at, row.seq) > (at, seq),
                    _ => row.at > at,
                });
            }
            if let Some(secs) = plan.since_secs {
                let edge = EPOCH + self.now - i64::try_from(secs).unwrap() * MICROS;
                rows.retain(|row| row.at.0 >= edge);
            }
            if let Some(before) = plan.before {
                rows.retain(|row| row.at < before);
            }
        }
        // Rows of one time come in no particular order, another one each time at level B.
        let salt = if level == Level::C { 0 } else { self.dice.roll() };
        let tie = |row: &Sent| match level {
            Level::C => u64::try_from(row.seq).unwrap(),
            _ => row.tie.wrapping_mul(salt | 1),
        };
        rows.sort_by_key(|row| (row.at, tie(row)));
        if !ascending {
            rows.reverse();
        }
        let limit = if self.case.ignores_limit {
            100
        } else {
            usize::try_from(plan.limit).unwrap()
        };
        rows.truncate(limit);
        if self.case.bulky.is_some_and(|most| rows.len() > most) {
            return fail(Failure::TooLarge);
        }
        if rows.iter().any(|row| Some(&row.id) == self.poison.as_ref()) {
            let certain = self.case.poison.is_some_and(|(_, certain)| certain);
            return fail(if certain {
                Failure::TooLarge
            } else {
                Failure::Unreadable
            });
        }
        let timed = |sent: &Sent| sent.tie % 1000 >= self.case.untimed;
        let date = Timestamp((EPOCH + self.now) / MICROS * MICROS);
        let first = rows.iter().find(|sent| ascending && timed(sent));
        let mut beside = first.map_or(date, |sent| sent.at);
        let mut page: Vec<Row> = Vec::new();
        for sent in rows {
            if timed(sent) {
                beside = sent.at;
            }
            page.push(row(sent, level, timed(sent), beside));
        }
        if self.case.repeats && !page.is_empty() {
            let twice = page[page.len() / 2].clone();
            page.insert(page.len() / 2, twice);
            page.push(Row::Garbage);
        }
        let known = if plan.compare {
            self.reader.unknown(&page)
        } else {
            Vec::new()
        };
        Ok(Page {
            rows: page,
            date: Some(date),
            known: known.into_iter().filter(|id| self.store.holds(id)).collect(),
        })
    }

    fn turn(&mut self) -> Option<Plan> {
        let (now, wall) = self.clock();
        let plan = match self.reader.next(now, wall) {
            Next::Wait(wait) => {
                self.sleep(wait);
                return None;
            }
            Next::Ask(plan) => plan,
        };
        self.requests += 1;
        let there = i64::try_from(self.dice.below(20_000)).unwrap();
        self.pass(there);
        let result = self.answer(&plan);
        let back = i64::try_from(self.dice.below(20_000)).unwrap();
        self.pass(back);
        let (now, wall) = self.clock();
        let step = self.reader.answer(now, wall, result);
        if let Some(batch) = step.batch {
            if self.dice.per_mille(self.case.failures) {
                self.reader.not_committed();
                self.pass(500_000);
                return Some(plan);
            }
            let moved = batch.cursor.clone();
            self.store.commit(batch);
            if let Some(cursor) = moved {
                self.check_cursor(&cursor);
            }
        }
        if self.dice.per_mille(self.case.restarts) {
            self.restart();
        } else {
            self.store.replaced &= !step.listed;
            self.reader.committed();
        }
        Some(plan)
    }

    /// A saved cursor stands for everything before it: nothing at or below it may still be missing or still appear.
    fn check_cursor(&self, cursor: &Cursor) {
        for row in &self.rows {
            let passed = match self.case.level {
                Level::C => (row.at, row.seq) <= (cursor.at, cursor.seq.unwrap_or(0)),
                _ => row.at <= cursor.at,
            };
            let ours = row.at.0 >= EPOCH;
            assert!(
                !passed || !ours || self.is_accounted_for(&row.id),
                "the cursor at {} passed {row_at} (visible {:+} ms from now)",
                cursor.at.0 - EPOCH,
                (row.visible - self.now) / 1000,
                row_at = row.at.0 - EPOCH,
            );
        }
    }

    /// Offered or listed, or offered by a journal that was lost and whose rest is still to be listed, or out of reach.
    fn is_accounted_for(&self, id: &ActivityId) -> bool {
        let to_be_listed = self.store.replaced && self.seen.contains(id);
        self.store.shows(id) || to_be_listed || self.poison.as_ref() == Some(id)
    }

    fn restart(&mut self) {
        let (now, _) = self.clock();
        let mut imported = None;
        if self.store.cursor.is_some() && self.dice.per_mille(self.case.damage) {
            let lost = std::mem::take(&mut self.store);
            imported = lost.cursor.map(|cursor| cursor.id);
            self.seen.extend(lost.offered);
            self.seen.extend(lost.recovered);
            self.store.replaced = true;
            // The cursor file is as old as that.
            self.store.polled = lost.polled;
        }
        let start = Start {
            cursor: self.store.cursor.clone(),
            imported,
            last_poll: self.store.polled,
            takeover: self.dice.per_mille(500),
            replaced: self.store.replaced,
        };
        self.reader = Reader::new(start, Timing::REAL, now);
        self.reader.stream_live(self.case.live);
    }

    fn run_until(&mut self, end: i64) -> Vec<Plan> {
        let mut plans = Vec::new();
        while self.now < end {
            plans.extend(self.turn());
        }
        plans
    }
}

fn verify(case: Case) {
    let mut world = World::new(case);
    let last = world.rows.iter().map(|row| row.visible).max().unwrap_or(0);
    world.run_until(last + MICROS);
    let case = &mut world.case;
    (case.failures, case.gone, case.restarts) = (0, 0, 0);
    let patience = if case.poison.is_some_and(|(_, certain)| !certain) {
        2500
    } else {
        200
    };
    world.run_until(last + patience * MICROS);
    let missing: Vec<i64> = world
        .rows
        .iter()
        .filter(|row| row.at.0 >= EPOCH && !world.store.shows(&row.id) && world.poison.as_ref() != Some(&row.id))
        .map(|row| row.at.0 - EPOCH)
        .collect();
    assert!(
        missing.is_empty(),
        "{} of {} missing: {missing:?}",
        missing.len(),
        world.rows.len()
    );
    let foreign = world.rows.iter().filter(|row| row.at.0 < EPOCH);
    let taken = foreign.filter(|row| world.store.offered.contains(&row.id)).count();
    assert_eq!(taken, 0, "rows from before the first start were delivered");
    assert!(world.store.held.is_empty());
    assert!(!world.store.replaced, "what lies before a new journal was never listed");
    let unseen = world
        .rows
        .iter()
        .filter(|row| row.at.0 >= EPOCH && world.store.recovered.contains(&row.id) && !world.seen.contains(&row.id));
    assert_eq!(
        unseen.count(),
        0,
        "a message that nobody was shown was listed instead of offered"
    );
    if world.case.untimed == 0 && world.case.poison.is_none() && world.case.bursts.iter().any(|burst| burst.1 > 0) {
        assert!(world.store.cursor.is_some());
    }
    if let Some(newest) = world.rows.iter().max_by_key(|row| row.at)
        && let Some(poison) = world.rows.iter().find(|row| Some(&row.id) == world.poison.as_ref())
        && poison.at < newest.at
    {
        let cursor = world.store.cursor.as_ref().unwrap();
        assert!(cursor.at > poison.at, "the cursor waits for ever");
    }

    // All is still: a timer read every 30 s (5 s without a stream) and a comparison every 10 min.
    world.run_until(world.now + 650 * MICROS);
    let before = world.requests;
    let still = world.run_until(world.now + 1200 * MICROS).len();
    let every = if world.case.live { 30 } else { 5 };
    // The newest row that cannot be fetched is met at every read; when it may be had again, only the pauses between reads count.
    let each = match world.case.poison {
        None => 3,
        Some((_, true)) => 12,
        Some((_, false)) => 1000,
    };
    assert!(
        still <= 1200 * each / every + 8,
        "{still} requests in 20 idle minutes, {before} before"
    );
}

fn cases() -> impl Strategy<Value = Case> {
    let level = prop_oneof![Just(Level::B), Just(Level::C), Just(Level::A)];
    let burst = (
        prop_oneof![0..50u32, 0..3000u32, 0..60_000u32],
        prop_oneof![1..4u32, 1..60u32, 1..240u32],
        prop_oneof![Just(0u32), 0..200u32, 0..10_000u32],
        any::<bool>(),
    );
    let faults = (0..150u64, 0..60u64, 0..1000u64, 0..60u64);
    let oddities = (
        any::<bool>(),
        prop_oneof![Just(None), (50..400usize).prop_map(Some)],
        any::<bool>(),
        any::<bool>(),
        prop_oneof![2 => Just(0u64), 1 => 0..600u64],
        prop_oneof![2 => Just(None), 1 => any::<(usize, bool)>().prop_map(Some)],
        prop_oneof![1 => Just(0u64), 1 => 0..1000u64],
    );
    (
        level,
        any::<u64>(),
        prop::collection::vec(burst, 0..14),
        faults,
        oddities,
    )
        .prop_map(
            |(
                level,
                seed,
                mut bursts,
                (failures, mut gone, lost_hints, mut restarts),
                (ignores_limit, bulky, repeats, live, untimed, poison, damage),
            )| {
                let a = level == Level::A;
                if a {
                    // Level A shows 500 rows and no more: what does not fit between two reads is out of reach.
                    for burst in &mut bursts {
                        *burst = (burst.0 + 20_000, burst.1.min(60), burst.2, burst.3);
                    }
                }
                // A tie of more rows than a page holds cannot be read to its end at level B.
                let most = if bulky.is_some() { 40 } else { 90 };
                // A platform without cursors or limits shows the row whatever is asked for. One that may only be ill is told from
                // one that is only while something newer can be read.
                let poison = poison.filter(|_| !a && !ignores_limit);
                let certain = poison.is_none_or(|(_, certain)| certain);
                if !certain {
                    (gone, restarts) = (0, 0);
                }
                for burst in &mut bursts {
                    if burst.3 {
                        burst.1 = burst.1.min(most);
                        burst.0 = burst.0.max(1);
                    }
                }
                Case {
                    level,
                    seed,
                    bursts,
                    failures,
                    gone: if a { 0 } else { gone },
                    lost_hints,
                    restarts: if a { restarts.min(5) } else { restarts },
                    ignores_limit: ignores_limit && !a,
                    // Nothing could be read from a platform whose pages are too large whatever was asked for.
                    bulky: bulky.filter(|_| !a && !ignores_limit && poison.is_none() && untimed == 0),
                    repeats,
                    live,
                    // Without a time no row can be the cursor, so that nothing gets past the one that cannot be fetched.
                    untimed: if poison.is_some() { 0 } else { untimed },
                    poison,
                    damage,
                }
            },
        )
}

/// Few enough for every run of all tests; `PROPTEST_CASES` asks for more.
fn wanted_cases() -> u32 {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: wanted_cases(), max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_row_that_becomes_visible_is_delivered_and_the_cursor_passes_none(case in cases()) {
        verify(case);
    }
}

/// Sixteen senders, 3,200 messages, rows late by up to 91 ms and out of order, as measured at level C.
#[test]
fn a_burst_from_sixteen_senders_is_complete_within_seconds() {
    for level in [Level::B, Level::C] {
        let mut world = World::new(Case {
            level,
            seed: 42,
            bursts: vec![(1000, 3200, 91, false)],
            failures: 0,
            gone: 0,
            lost_hints: 100,
            restarts: 0,
            ignores_limit: false,
            bulky: None,
            repeats: false,
            live: true,
            untimed: 0,
            poison: None,
            damage: 0,
        });
        let last = world.rows.iter().map(|row| row.visible).max().unwrap();
        let mut complete = None;
        while world.now < last + 60 * MICROS {
            world.turn();
            if complete.is_none() && world.store.offered.len() == 3200 {
                complete = Some((world.now, world.requests));
            }
        }
        let (when, requests) = complete.expect("all were delivered");
        assert!(
            when - last < 1_500_000,
            "complete {} ms after the last",
            (when - last) / 1000
        );
        assert!(requests < 260, "{requests}");
    }
}
