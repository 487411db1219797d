//! The model platform: its rows, and what it answers to a request for a page of them.

use super::cases::{Case, Poison};
use super::{Dice, EPOCH, Level, MICROS};
use crate::agent::envelope::Row;
use crate::agent::inbox::reader::{Failure, Page, Plan};
use crate::state::message::{Kind, Message};
use crate::types::{ActivityId, Timestamp};

/// Rows that a platform shows that ignores how many it is asked for.
const SHOWN: usize = 100;

pub(super) struct Platform {
    level: Level,
    /// By time, and in the order in which rows of one time are sent.
    pub(super) rows: Vec<Sent>,
    gone: u64,
    ignores_limit: bool,
    bulky: Option<usize>,
    repeats: bool,
    shuffles: bool,
    untimed: u64,
}

pub(super) struct Sent {
    pub(super) id: ActivityId,
    pub(super) at: Timestamp,
    pub(super) seq: i64,
    /// When it is shown, in microseconds since the beginning.
    pub(super) visible: i64,
    tie: u64,
    pub(super) poison: Option<Poison>,
}

impl Sent {
    /// Whether it was sent after the first start.
    pub(super) fn is_ours(&self) -> bool {
        self.at.0 >= EPOCH
    }

    pub(super) fn fails(&self, now: i64) -> bool {
        let heals = |after: u32| now >= self.visible + i64::from(after) * MICROS;
        self.poison.is_some_and(|poison| !poison.heals.is_some_and(heals))
    }
}

fn id(n: u64) -> ActivityId {
    ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012x}")).unwrap()
}

impl Platform {
    pub(super) fn new(case: &Case, dice: &mut Dice) -> Self {
        let mut rows = Vec::new();
        let mut at = 0;
        for &(gap, count, late, tied) in &case.bursts {
            at += i64::from(gap) * 1000;
            for _ in 0..count {
                at += if tied {
                    0
                } else {
                    i64::try_from(dice.below(3000)).unwrap()
                };
                rows.push(Sent {
                    id: id(dice.roll() >> 16),
                    at: Timestamp(EPOCH + at),
                    seq: 0,
                    visible: at + i64::try_from(dice.below(u64::from(late) + 1)).unwrap() * 1000,
                    tie: dice.roll(),
                    poison: None,
                });
            }
        }
        for poison in &case.poison {
            let count = rows.len();
            if let Some(row) = rows.get_mut(poison.row % count.max(1)) {
                row.poison = Some(*poison);
            }
        }
        // Older than any first window: never ours.
        rows.extend((0..20).map(|n| Sent {
            id: id(u64::try_from(n).unwrap()),
            at: Timestamp(EPOCH - (700 + n) * MICROS),
            seq: 0,
            visible: -(700 + n) * MICROS,
            tie: 999,
            poison: None,
        }));
        // Level C numbers rows as they are stored.
        rows.sort_by_key(|row| row.visible);
        for (seq, row) in (1..).zip(&mut rows) {
            row.seq = seq;
        }
        rows.sort_by_key(|row| match case.level {
            Level::C => (row.at, row.seq.unsigned_abs()),
            Level::A | Level::B => (row.at, row.tie),
        });
        Self {
            level: case.level,
            rows,
            gone: case.gone,
            ignores_limit: case.ignores_limit,
            bulky: case.bulky,
            repeats: case.repeats,
            shuffles: case.shuffles && case.level != Level::C,
            untimed: case.untimed,
        }
    }

    /// From now on it forgets no row.
    pub(super) fn calm_down(&mut self) {
        self.gone = 0;
    }

    /// The answer to a plan `now`, in microseconds since the beginning.
    pub(super) fn answer(&self, plan: &Plan, now: i64, dice: &mut Dice) -> Result<Page, Failure> {
        let knows = self.level != Level::A;
        let since = plan.since.as_ref().filter(|_| knows);
        let rows = self.page(plan, now, dice)?;
        if self.bulky.is_some_and(|most| rows.len() > most) {
            return Err(Failure::TooLarge);
        }
        for row in &rows {
            if let Some(poison) = row.poison.filter(|_| row.fails(now)) {
                return Err(if poison.certain {
                    Failure::TooLarge
                } else {
                    Failure::Unreadable
                });
            }
        }
        let date = Timestamp((EPOCH + now) / MICROS * MICROS);
        let timed = |sent: &Sent| sent.tie % 1000 >= self.untimed;
        let first = rows.iter().find(|sent| since.is_some() && timed(sent));
        let mut beside = first.map_or(date, |sent| sent.at);
        let mut page: Vec<Row> = Vec::new();
        for sent in rows {
            if timed(sent) {
                beside = sent.at;
            }
            page.push(row(sent, self.level, timed(sent), beside));
        }
        if self.repeats && !page.is_empty() {
            let twice = page[page.len() / 2].clone();
            page.insert(page.len() / 2, twice);
            page.push(Row::Garbage);
        }
        Ok(Page {
            rows: page,
            date: Some(date),
            ..Page::default()
        })
    }

    fn page(&self, plan: &Plan, now: i64, dice: &mut Dice) -> Result<Vec<&Sent>, Failure> {
        let limit = if self.ignores_limit {
            SHOWN
        } else {
            usize::try_from(plan.limit).unwrap()
        };
        let visible = |row: &&Sent| row.visible <= now;
        if self.level == Level::A {
            return Ok(self.pick(self.rows.iter().rev().filter(visible), limit, dice));
        }
        let Some(since) = &plan.since else {
            let edge = plan
                .since_secs
                .map(|secs| EPOCH + now - i64::try_from(secs).unwrap() * MICROS);
            let end = plan.before.map_or(self.rows.len(), |before| {
                self.rows.partition_point(|row| row.at < before)
            });
            let start = edge
                .map_or(0, |edge| self.rows.partition_point(|row| row.at.0 < edge))
                .min(end);
            return Ok(self.pick(self.rows[start..end].iter().rev().filter(visible), limit, dice));
        };
        let cursor = self.rows.iter().find(|row| row.id == *since).filter(visible);
        let Some(cursor) = cursor.filter(|_| !dice.per_mille(self.gone)) else {
            return Err(Failure::Gone);
        };
        let start = self.rows.partition_point(|row| match self.level {
            Level::C => (row.at, row.seq) <= (cursor.at, cursor.seq),
            _ => row.at <= cursor.at,
        });
        Ok(self.pick(self.rows[start..].iter().filter(visible), limit, dice))
    }

    fn pick<'a>(&self, rows: impl Iterator<Item = &'a Sent>, limit: usize, dice: &mut Dice) -> Vec<&'a Sent> {
        if !self.shuffles {
            return rows.take(limit).collect();
        }
        let mut picked: Vec<&Sent> = Vec::new();
        for row in rows {
            if picked.len() >= limit && picked.last().is_some_and(|last| last.at != row.at) {
                break;
            }
            picked.push(row);
        }
        let salt = dice.roll() | 1;
        for tied in picked.chunk_by_mut(|one, other| one.at == other.at) {
            tied.sort_by_key(|row| row.tie.wrapping_mul(salt));
        }
        picked.truncate(limit);
        picked
    }
}

/// The row as it was read: with its own time, or with that of a row beside it.
fn row(sent: &Sent, level: Level, timed: bool, at: Timestamp) -> Row {
    let message = Box::new(Message {
        text: "x".to_owned(),
        created_at: String::new(),
        seq: (level == Level::C).then_some(sent.seq),
        ..Message::bare(sent.id.clone(), Kind::CanvasUser, at)
    });
    Row::Message { message, timed }
}
