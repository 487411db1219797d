//! Hearing broadcasts: how far back to read, what of it is new, and when the text of a long one is waited for. Pure.
//!
//! Rows are asked for by time and not from a row: a row can appear behind one that was read, and the first may never come. So
//! the instant up to which broadcasts were heard always lies a minute back, and what is read twice is known by its id.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::broadcasts::Kept;
use crate::agent::stream::Broadcast;
use crate::state::journal::News;
use crate::types::{ActivityId, Timestamp};

/// How long after its stamp a row may appear: the platform's time limit for an insert, twice.
const SETTLING: Duration = Duration::from_secs(60);
/// How far back a workspace begins that never heard any.
const FIRST: Duration = Duration::from_secs(600);
/// The most that the platform looks back.
const FURTHEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// What a request may be under way.
const ON_THE_WAY: Duration = Duration::from_secs(30);
/// How much is read again after a restart at most, so that an idle workspace writes nothing in between.
const UNSAVED: Duration = Duration::from_secs(600);
/// The event of a broadcast follows its row within milliseconds; it is waited for this long.
pub(super) const WAIT_FOR_TEXT: Duration = Duration::from_secs(2);
/// The age of a row whose event may still come.
const YOUNG: Duration = Duration::from_secs(10);

/// What a read brought.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) rows: Vec<Kept>,
    /// The platform's time when it answered.
    pub(super) at: Timestamp,
}

/// Where hearing stands.
#[derive(Debug)]
pub(super) struct Hearing {
    /// Everything before is in the journal.
    until: Option<Timestamp>,
    /// The same as the journal has it.
    saved: Option<Timestamp>,
    /// What of these becomes so by the commit under way.
    next: Option<Timestamp>,
    is_saving: bool,
    /// Rows whose text is waited for, and since when.
    waiting: HashMap<ActivityId, Duration>,
    /// Texts that were found for rows that are not committed yet.
    texts: HashMap<ActivityId, String>,
}

impl Hearing {
    /// Goes on where the journal says.
    pub(super) fn from(saved: Option<Timestamp>) -> Self {
        Self {
            until: saved,
            saved,
            next: None,
            is_saving: false,
            waiting: HashMap::new(),
            texts: HashMap::new(),
        }
    }

    /// How many seconds back to ask.
    pub(super) fn window(&self, now: Timestamp) -> u64 {
        let back = self.until.map_or(FIRST, |until| until.until(now) + ON_THE_WAY);
        back.min(FURTHEST).as_secs()
    }

    /// What of a read is to be committed now. `live`: the stream tells everything; `take` finds what it told. One whose text
    /// is on its way is left for the next read.
    pub(super) fn judge(
        &mut self,
        now: Duration,
        heard: Heard,
        known: &HashSet<ActivityId>,
        live: bool,
        mut take: impl FnMut(&Kept) -> Option<Broadcast>,
    ) -> News {
        let mut news = News::default();
        let mut waiting = HashMap::new();
        let mut rows = heard.rows;
        rows.sort_by_key(|row| row.message.at);
        for row in rows {
            let id = row.message.activity_id.clone();
            if known.contains(&id) {
                continue;
            }
            if !self.texts.contains_key(&id)
                && let Some(told) = take(&row)
            {
                self.texts.insert(id.clone(), told.message);
            }
            let mut message = row.message;
            if let Some(text) = self.texts.get(&id) {
                message.text.clone_from(text);
                message.shortened = false;
            }
            let since = *self.waiting.get(&id).unwrap_or(&now);
            if message.shortened && live && message.at.until(heard.at) < YOUNG && now < since + WAIT_FOR_TEXT {
                waiting.insert(id, since);
            } else {
                news.messages.push(message);
            }
        }
        self.waiting = waiting;
        let settled = heard.at.plus_micros(-micros(SETTLING));
        let next = self.until.map_or(settled, |until| until.max(settled));
        self.next = Some(next);
        self.is_saving = !news.messages.is_empty() || self.saved.is_none_or(|saved| saved.until(next) >= UNSAVED);
        news.heard = self.is_saving.then_some(next);
        news
    }

    /// What was judged is committed; answers when to read again, if some of it waits.
    pub(super) fn committed(&mut self) -> Option<Duration> {
        self.until = self.next.take().or(self.until);
        if std::mem::take(&mut self.is_saving) {
            self.saved = self.until;
        }
        self.texts.clear();
        self.waiting.values().min().map(|since| *since + WAIT_FOR_TEXT)
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::broadcasts::testing::{row, told};
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn time(secs: i64) -> Timestamp {
        Timestamp::parse("2026-05-01T10:00:00Z")
            .unwrap()
            .plus_micros(secs * 1_000_000)
    }

    fn heard(at: i64, rows: &[(&str, i64, &str)]) -> Heard {
        let rows = rows.iter().map(|(id, at, text)| row(id, &time(*at).to_rfc3339(), text));
        Heard {
            rows: rows.collect(),
            at: time(at),
        }
    }

    /// The messages, the instant to be saved, and when to read again after the commit.
    fn take(
        hearing: &mut Hearing,
        now: Duration,
        heard: Heard,
        known: &[&str],
        told: &mut Vec<Broadcast>,
    ) -> (Vec<(String, bool)>, Option<Timestamp>, Option<Duration>) {
        let known = known.iter().map(|id| ActivityId::parse(id).unwrap()).collect();
        let news = hearing.judge(now, heard, &known, true, |row| {
            let at = told.iter().position(|told| row.is(told))?;
            Some(told.remove(at))
        });
        let shown = news
            .messages
            .into_iter()
            .map(|message| (message.text, message.shortened));
        (shown.collect(), news.heard, hearing.committed())
    }

    fn short(text: &str) -> (String, bool) {
        (text.to_owned(), false)
    }

    #[test]
    fn the_first_read_goes_ten_minutes_back_and_each_later_one_as_far_as_needed() {
        let mut hearing = Hearing::from(None);
        assert_eq!(hearing.window(time(0)), 600);
        assert_eq!(
            take(&mut hearing, S, heard(0, &[]), &[], &mut vec![]).1,
            Some(time(-60))
        );
        assert_eq!(hearing.window(time(60)), 60 + 60 + 30);
        // Nothing is written while nothing comes, and then now and then.
        for at in (60..600).step_by(60) {
            assert_eq!(take(&mut hearing, S, heard(at, &[]), &[], &mut vec![]).1, None);
        }
        assert_eq!(
            take(&mut hearing, S, heard(600, &[]), &[], &mut vec![]).1,
            Some(time(540))
        );
        let away = Hearing::from(Some(time(0)));
        assert_eq!(away.window(time(3 * 86400)), 3 * 86400 + 30);
        assert_eq!(away.window(time(90 * 86400)), 30 * 86400);
        // A clock that went back takes nothing back.
        assert_eq!(
            take(&mut hearing, S, heard(0, &[("a", 0, "x")]), &[], &mut vec![]).1,
            Some(time(540))
        );
    }

    #[test]
    fn what_is_not_committed_is_read_again_with_its_text() {
        let long = "x".repeat(200);
        let mut hearing = Hearing::from(Some(time(-60)));
        let mut stream = vec![told(&long)];
        let rows = [("b", 0, long.as_str()), ("a", -1, "short")];
        for _ in 0..2 {
            let news = hearing.judge(S, heard(0, &rows), &HashSet::new(), true, |row| {
                stream.pop_if(|told| row.is(told))
            });
            assert_eq!(news.messages.len(), 2);
            assert_eq!((news.messages[1].text.len(), news.messages[1].shortened), (200, false));
            assert_eq!(hearing.window(time(0)), 60 + 30, "nothing moved yet");
        }
        assert_eq!(hearing.committed(), None);
        let again = take(&mut hearing, S, heard(1, &rows), &["a", "b"], &mut stream);
        assert_eq!(again, (Vec::new(), None, None));
    }

    #[test]
    fn the_text_of_a_long_one_is_waited_for_a_moment_and_holds_up_no_other() {
        let (long, cut) = ("y".repeat(200), format!("{}…", "y".repeat(120)));
        let mut hearing = Hearing::from(Some(time(-60)));
        let rows = [("b", 0, long.as_str()), ("a", 0, "short")];
        let mut nothing = Vec::new();
        let first = take(&mut hearing, 10 * S, heard(0, &rows), &[], &mut nothing);
        assert_eq!((first.0, first.2), (vec![short("short")], Some(10 * S + WAIT_FOR_TEXT)));
        let again = take(&mut hearing, 11 * S, heard(1, &rows), &["a"], &mut nothing);
        assert_eq!((again.0, again.2), (vec![], Some(10 * S + WAIT_FOR_TEXT)));
        let mut came = hearing.judge(11 * S, heard(1, &rows[..1]), &HashSet::new(), true, |_| {
            Some(told(&long))
        });
        assert_eq!(came.messages.pop().map(|message| message.text), Some(long.clone()));
        hearing.texts.clear();
        hearing.waiting = [(ActivityId::parse("b").unwrap(), 10 * S)].into();
        let never = take(&mut hearing, 12 * S, heard(2, &rows), &["a"], &mut nothing);
        assert_eq!((never.0, never.2), (vec![(cut.clone(), true)], None));
        // Nobody will tell the text of one that was sent before we listened.
        let old = take(&mut hearing, 13 * S, heard(50, &[("c", 0, &long)]), &[], &mut nothing);
        assert_eq!(old.0, [(cut, true)]);
    }
}
