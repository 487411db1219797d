//! Platform, journal, clock and the reader between them.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::cases::Case;
use super::platform::{Platform, Sent};
use super::store::Store;
use super::{Dice, EPOCH, Level, MICROS};
use crate::agent::envelope::Row;
use crate::agent::inbox::reader::{Failure, Next, Note, Page, Plan, ReadFailure, Reader, Start};
use crate::config::Timing;
use crate::state::journal::Cursor;
use crate::types::{ActivityId, Timestamp};

/// How long a row may wait to be offered while the platform is well, and beside one that cannot be fetched.
const PROMPT: i64 = 60 * MICROS;
const BESIDE: i64 = 120 * MICROS;

pub(super) struct World {
    case: Case,
    dice: Dice,
    pub(super) platform: Platform,
    pub(super) store: Store,
    reader: Reader,
    /// Microseconds since the beginning.
    pub(super) now: i64,
    pub(super) requests: u64,
    /// Instants at which rows become visible, as far as nobody was told yet.
    hints: BTreeMap<i64, u32>,
    /// Failures in a row, for the pauses.
    failures: u32,
    /// What was offered by journals that were lost.
    seen: HashSet<ActivityId>,
    /// From when to when something was said to be unfetchable.
    told: Vec<(Timestamp, Timestamp)>,
    /// Above which instant rows were read when it was said that older ones may be missing (level A).
    gap: Option<Timestamp>,
    /// Nothing goes wrong by chance, from the beginning.
    is_calm: bool,
}

impl World {
    pub(super) fn new(case: Case) -> Self {
        let mut dice = Dice(case.seed);
        let platform = Platform::new(&case, &mut dice);
        let mut hints = BTreeMap::new();
        for row in platform.rows.iter().filter(|row| row.is_ours()) {
            *hints.entry(row.visible).or_default() += 1;
        }
        let mut reader = Reader::new(Start::default(), Timing::REAL, Duration::ZERO);
        reader.stream_live(case.live);
        Self {
            is_calm: case.is_calm(),
            case,
            dice,
            platform,
            store: Store::default(),
            reader,
            now: 0,
            requests: 0,
            hints,
            failures: 0,
            seen: HashSet::new(),
            told: Vec::new(),
            gap: None,
        }
    }

    /// From now on nothing goes wrong by chance.
    pub(super) fn calm_down(&mut self) {
        (self.case.failures, self.case.restarts) = (0, 0);
        self.platform.calm_down();
    }

    /// When the platform is well for good.
    pub(super) fn well_from(&self) -> i64 {
        let ends = self.case.ill.iter().map(|(from, secs)| i64::from(from + secs) * MICROS);
        ends.max().unwrap_or(0)
    }

    pub(super) fn run_until(&mut self, end: i64) -> Vec<Plan> {
        let mut plans = Vec::new();
        while self.now < end {
            plans.extend(self.turn());
        }
        plans
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

    fn is_ill(&self) -> bool {
        let now = self.now / MICROS;
        let lasts = |(from, secs): &(u32, u32)| (i64::from(*from)..i64::from(from + secs)).contains(&now);
        self.case.ill.iter().any(lasts)
    }

    fn answer(&mut self, plan: &Plan) -> Result<Page, ReadFailure> {
        let answer = if self.is_ill() || self.dice.per_mille(self.case.failures) {
            Err(if self.dice.per_mille(self.case.broken) {
                Failure::Unreadable
            } else {
                Failure::Other
            })
        } else {
            self.platform.answer(plan, self.now, &mut self.dice)
        };
        match answer {
            Ok(mut page) => {
                self.failures = 0;
                if plan.compare {
                    let unknown = self.reader.unknown(&page.rows).into_iter();
                    page.known = unknown.filter(|id| self.store.holds(id)).collect();
                }
                Ok(page)
            }
            Err(failure) => {
                let most = Duration::from_secs(60).min(Duration::from_secs(1) * 2u32.pow(self.failures.min(6)));
                self.failures += 1;
                let pause = Duration::from_micros(self.dice.below(u64::try_from(most.as_micros()).unwrap()));
                Err(ReadFailure { failure, pause })
            }
        }
    }

    pub(super) fn turn(&mut self) -> Option<Plan> {
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
        let heads = result.iter().flat_map(|page| &page.rows).filter_map(Row::head);
        let oldest = heads.map(|head| head.at).min();
        let step = self.reader.answer(now, wall, result);
        for note in &step.notes {
            match note {
                Note::Unfetchable { at, until } => self.told.push((*at, *until)),
                Note::Gap => {
                    assert!(!self.case.poison.is_empty(), "rows are said to be missing that are not");
                    self.gap = self.gap.max(oldest);
                }
                _ => {}
            }
        }
        if let Some(batch) = step.batch {
            if self.dice.per_mille(self.case.failures) {
                self.pass(500_000);
                return Some(plan);
            }
            let moved = batch.cursor.clone();
            self.store.commit(batch, self.now);
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

    fn restart(&mut self) {
        let (now, _) = self.clock();
        let mut imported = None;
        if self.store.cursor.is_some() && self.dice.per_mille(self.case.damage) {
            let lost = std::mem::take(&mut self.store);
            imported = lost.cursor.map(|cursor| cursor.id);
            self.seen.extend(lost.offered.into_keys());
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

    /// A saved cursor stands for everything before it: nothing at or below it may still be missing or still appear.
    fn check_cursor(&self, cursor: &Cursor) {
        for row in &self.platform.rows {
            let passed = match self.case.level {
                Level::C => (row.at, row.seq) <= (cursor.at, cursor.seq.unwrap_or(0)),
                _ => row.at <= cursor.at,
            };
            // Offered by a journal that was lost, it is still to be listed.
            let to_be_listed = self.store.replaced && self.seen.contains(&row.id);
            assert!(
                !passed || !row.is_ours() || self.is_accounted_for(row) || to_be_listed,
                "the cursor at {} passed {row_at} (visible {:+} ms from now)",
                cursor.at.0 - EPOCH,
                (row.visible - self.now) / 1000,
                row_at = row.at.0 - EPOCH,
            );
        }
    }

    /// Whether a row is where the agent sees it, or cannot be had and that was said.
    fn is_accounted_for(&self, row: &Sent) -> bool {
        if self.store.shows(&row.id) {
            return true;
        }
        if self.case.level == Level::A {
            let was_offered = self.seen.contains(&row.id);
            return was_offered || self.gap > Some(row.at) || self.poison().any(|poison| row.at <= poison.at);
        }
        self.was_told_of(row) && (row.poison.is_some() || self.is_hidden(row))
    }

    fn was_told_of(&self, row: &Sent) -> bool {
        self.told.iter().any(|(at, until)| (at..until).contains(&&row.at))
    }

    fn poison(&self) -> impl DoubleEndedIterator<Item = &Sent> {
        self.platform.rows.iter().filter(|row| row.poison.is_some())
    }

    /// Whether a row stands between two that cannot be fetched.
    fn is_hidden(&self, row: &Sent) -> bool {
        let (oldest, newest) = (self.poison().next(), self.poison().next_back());
        let between = oldest.zip(newest).filter(|(oldest, newest)| oldest.id != newest.id);
        between.is_some_and(|(oldest, newest)| (oldest.at..=newest.at).contains(&row.at))
    }

    /// At the end nothing is missing, nothing foreign was offered, nothing is held back.
    pub(super) fn check_deliveries(&self) {
        let ours = || self.platform.rows.iter().filter(|row| row.is_ours());
        let missing: Vec<i64> = ours()
            .filter(|row| !self.is_accounted_for(row))
            .map(|row| row.at.0 - EPOCH)
            .collect();
        assert!(
            missing.is_empty(),
            "{} of {} missing: {missing:?}",
            missing.len(),
            ours().count()
        );
        let foreign = self.platform.rows.iter().filter(|row| !row.is_ours());
        let taken = foreign.filter(|row| self.store.offered.contains_key(&row.id)).count();
        assert_eq!(taken, 0, "rows from before the first start were offered");
        let newest = self.platform.rows.last();
        let nothing_comes = self.case.level == Level::A && newest.is_some_and(|row| row.fails(self.now));
        assert!(self.store.held.is_empty() || nothing_comes);
        let unlistable = self.case.level == Level::A && !self.case.poison.is_empty();
        assert!(
            !self.store.replaced || unlistable,
            "what lies before a new journal was never listed"
        );
        let was_shown = |row: &Sent| self.seen.contains(&row.id) || self.was_told_of(row);
        let unseen = ours().filter(|row| self.store.recovered.contains(&row.id) && !was_shown(row));
        assert_eq!(
            unseen.count(),
            0,
            "a message that nobody was shown was listed instead of offered"
        );
        let can_be_had = |row: &&Sent| !row.fails(self.now) && !self.is_hidden(row);
        let newest = ours().filter(can_be_had).map(|row| row.at).max();
        for row in ours().filter(|row| row.poison.is_some() && newest > Some(row.at) && self.case.level != Level::A) {
            let cursor = self.store.cursor.as_ref().map(|cursor| cursor.at);
            assert!(
                cursor > Some(row.at),
                "the cursor waits for ever at {}",
                row.at.0 - EPOCH
            );
        }
    }

    /// Once all is still, there is a row to read on from after a restart.
    pub(super) fn check_rest(&self) {
        let has_come = self.platform.rows.iter().any(Sent::is_ours);
        if self.case.poison.is_empty() && self.case.untimed == 0 && has_come {
            assert!(self.store.cursor.is_some());
        }
    }

    /// While the platform is well, nobody waits for long.
    pub(super) fn check_delays(&self) {
        if !self.is_calm || self.case.level == Level::A {
            return;
        }
        let most = if self.case.poison.is_empty() { PROMPT } else { BESIDE };
        let rows = self.platform.rows.iter();
        for row in rows.filter(|row| row.poison.is_none() && !self.is_hidden(row)) {
            if let Some(offered) = self.store.offered.get(&row.id) {
                let waited = offered - row.visible;
                assert!(waited <= most, "{} waited for {} s", row.at.0 - EPOCH, waited / MICROS);
            }
        }
    }
}
