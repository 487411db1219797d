//! Matching replies with delegations: by id and sender, within a day; and the guess for daemons that send no id.

use rusqlite::params;
use serde_json::Value;

use super::error::JournalError;
use super::inbox::{LOCAL, OUTCOME};
use super::ledger::Ledger;
use super::outbox_row::OutboxRow;
use super::receive::DAY_MICROS;
use super::row::COLUMNS;
use crate::state::message::{Answers, Kind, Message};
use crate::state::outbox::{Progress, Work};

/// How far the platform's clock may be behind ours before a message counts as written before a delegation.
const CLOCK_TOLERANCE_MICROS: i64 = 5_000_000;

/// The messages that name a delegation by the platform's id (2) or ours (3). Several look-ups: for an OR of two columns
/// SQLite reads every message.
const NAMING: &str = "n IN (SELECT n FROM message WHERE scope = ?1 AND delegation_id = ?2
    UNION SELECT n FROM message WHERE scope = ?1 AND in_reply_to IN (?2, ?3))";

/// What a message says about a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Answered,
    Failed,
    /// The platform's record says only that the task was queued for a polling peer.
    Delivered,
}

/// What a message says about the delegations that it names; `None`: nothing.
fn verdict(message: &Message) -> Option<Verdict> {
    match message.kind {
        // Written here from the row of the outbox itself.
        Kind::DelegationResult if message.activity_id.as_str().starts_with(LOCAL) => None,
        Kind::DelegationResult => Some(match message.status.as_deref() {
            None | Some("completed") if is_queued_envelope(&message.text) => Verdict::Delivered,
            None | Some("completed") => Verdict::Answered,
            Some("pending" | "dispatched" | "queued") => Verdict::Delivered,
            // `error`, and whatever else a platform calls it: an answer is never called anything but good.
            Some(_) => Verdict::Failed,
        }),
        // A peer's own task can carry the id of a delegation, too: only a reply says so, or expects none.
        Kind::PeerAgent => {
            let is_reply = message.in_reply_to.is_some()
                || (message.delegation_id.is_some() && message.reply_expected == Some(false));
            is_reply.then_some(Verdict::Answered)
        }
        _ => None,
    }
}

/// Whether a text is the platform's note that something was queued, standing where an answer should be.
fn is_queued_envelope(text: &str) -> bool {
    if !text.trim_start().starts_with('{') {
        return false;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(fields)) => {
            fields.get("status").and_then(Value::as_str) == Some("queued")
                || fields.get("queued") == Some(&Value::Bool(true))
        }
        _ => false,
    }
}

/// A message from a peer that names neither what it answers nor a delegation.
fn is_plain(message: &Message) -> bool {
    message.kind == Kind::PeerAgent && message.delegation_id.is_none() && message.in_reply_to.is_none()
}

impl Ledger<'_> {
    /// Settles the delegation that a message answers, if there is one.
    pub(super) fn settle_with(&self, message: &Message) -> Result<(), JournalError> {
        let Some(verdict) = verdict(message) else { return Ok(()) };
        for id in [&message.delegation_id, &message.in_reply_to].into_iter().flatten() {
            let Some(mut row) = self.item_row(id)? else { continue };
            if !self.is_about(&row, message) {
                continue;
            }
            let open = !row.item.progress.is_final();
            match verdict {
                Verdict::Answered if open || row.item.progress == Progress::Unknown => {
                    row.item.progress = Progress::Answered;
                    row.item.answer = Some(message.text.clone());
                    row.item.answer_activity = Some(message.activity_id.clone());
                    row.item.detail = None;
                }
                Verdict::Failed if open || row.item.progress == Progress::Unknown => {
                    row.item.progress = Progress::Failed;
                    row.item.detail = Some(message.text.clone());
                    row.item.answer_activity = Some(message.activity_id.clone());
                }
                Verdict::Delivered if open => row.item.progress = Progress::Delivered,
                _ => return Ok(()),
            }
            return self.save(&row);
        }
        Ok(())
    }

    /// The delegation of ours that a message speaks of: as an answer or a word about its end, or, when it names none, perhaps.
    pub(super) fn answers(&self, message: &Message, maybe: Option<&str>) -> Option<Answers> {
        // Longest part of a task that is shown with its answer, in characters.
        const TASK: usize = 250;
        let named = [&message.delegation_id, &message.in_reply_to].into_iter().flatten();
        let told_here = message.activity_id.as_str().strip_prefix(OUTCOME);
        let named = named.map(String::as_str).chain(told_here);
        let certain = named.filter_map(|id| self.item_row(id).ok().flatten()).find(|row| {
            row.item.answer_activity.as_ref() == Some(&message.activity_id)
                || (verdict(message).is_some() && self.is_about(row, message))
        });
        let is_certain = certain.is_some();
        let item = certain.or_else(|| self.item_row(maybe?).ok().flatten())?.item;
        let Work::Delegate { task, .. } = item.work else {
            return None;
        };
        Some(Answers {
            handle: item.id,
            delegation_id: item.delegation_id,
            task: task.chars().take(TASK).collect(),
            certain: is_certain,
        })
    }

    /// Whether this is the platform's record of an outcome that the inbox has told already, or tells with another message.
    pub(super) fn repeats_outcome(&self, message: &Message) -> Result<bool, JournalError> {
        if message.kind != Kind::DelegationResult {
            return Ok(false);
        }
        for id in [&message.delegation_id, &message.in_reply_to].into_iter().flatten() {
            let Some(row) = self.item_row(id)? else { continue };
            if row.item.answer_activity.is_none() || !self.is_about(&row, message) {
                return Ok(false);
            }
            return Ok(match (verdict(message), row.item.progress) {
                // A text that differs is more than was told, the whole of a preview for one.
                (Some(Verdict::Answered), Progress::Answered) => row.item.answer.as_ref() == Some(&message.text),
                (Some(Verdict::Failed), Progress::Failed) | (Some(Verdict::Delivered), Progress::Answered) => true,
                _ => false,
            });
        }
        Ok(false)
    }

    /// Whether the delegation went to the message's sender (or the message is the platform's own record of it), and the
    /// message came within a day of it.
    fn is_about(&self, row: &OutboxRow, message: &Message) -> bool {
        let Work::Delegate { target, .. } = &row.item.work else {
            return false;
        };
        let from_target =
            message.kind == Kind::DelegationResult || message.peer_id.eq_ignore_ascii_case(target.as_str());
        from_target && message.at <= row.item.created.plus_micros(DAY_MICROS)
    }

    /// The delegation that a plain message may answer: the only one outstanding with its sender, made before it.
    pub(super) fn may_answer(&self, message: &Message) -> Result<Option<String>, JournalError> {
        if !is_plain(message) {
            return Ok(None);
        }
        let outstanding = self.outstanding_with(&message.peer_id.to_ascii_lowercase())?;
        let [only] = outstanding.as_slice() else {
            return Ok(None);
        };
        let before = only.item.created.plus_micros(-CLOCK_TOLERANCE_MICROS) <= message.at;
        Ok(only.item.delegation_id.clone().filter(|_| before))
    }

    /// Looks through messages that were committed before the platform's id of a delegation was known to us: an answer can
    /// overtake the answer to the request that asked for it.
    pub(super) fn look_back(&self, id: &str) -> Result<(), JournalError> {
        let Some(row) = self.item_row(id)? else { return Ok(()) };
        let (Work::Delegate { target, .. }, Some(delegation)) = (&row.item.work, &row.item.delegation_id) else {
            return Ok(());
        };
        let since = row.item.created.plus_micros(-CLOCK_TOLERANCE_MICROS).0;
        let messages = {
            let mut statement = self.conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM message WHERE {NAMING} AND state NOT IN ('damaged', 'recovered') ORDER BY at, n"
            ))?;
            let rows = statement.query_map(params![self.scope, delegation, id], |row| self.stored(row))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()?
        };
        for entry in messages.into_iter().filter_map(|stored| stored.entry) {
            self.settle_with(&entry.message)?;
        }
        if let [only] = self.outstanding_with(target.as_str())?.as_slice()
            && only.item.id == row.item.id
        {
            self.conn
                .prepare_cached(
                    "UPDATE message SET maybe_reply_to = ?2 WHERE scope = ?1 AND state IN ('held', 'new', 'leased')
                        AND kind = 'peer_agent' AND lower(peer_id) = ?3 AND delegation_id IS NULL
                        AND in_reply_to IS NULL AND maybe_reply_to IS NULL AND at >= ?4",
                )?
                .execute(params![self.scope, delegation, target.as_str(), since])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::journal::fixture::message;
    use crate::state::journal::schema::testing::reads_everything;

    #[test]
    fn what_names_a_delegation_is_found_without_reading_every_message() {
        let query = format!("SELECT * FROM message WHERE {NAMING} AND state <> 'damaged' ORDER BY at, n");
        assert!(!reads_everything(&query));
    }

    #[test]
    fn only_a_reply_or_the_platforms_record_says_anything_about_a_delegation() {
        let base = |kind: Kind| {
            let mut message = message("m", 0);
            message.kind = kind;
            message
        };
        let peer = |in_reply_to: Option<&str>, delegation: Option<&str>, reply_expected: Option<bool>| {
            let mut message = base(Kind::PeerAgent);
            message.in_reply_to = in_reply_to.map(str::to_owned);
            message.delegation_id = delegation.map(str::to_owned);
            message.reply_expected = reply_expected;
            verdict(&message)
        };
        assert_eq!(peer(None, None, None), None);
        assert_eq!(peer(None, None, Some(false)), None);
        assert_eq!(peer(None, Some("d"), None), None, "a delegated task is no reply");
        assert_eq!(peer(None, Some("d"), Some(true)), None);
        assert_eq!(peer(None, Some("d"), Some(false)), Some(Verdict::Answered));
        assert_eq!(peer(Some("d"), None, None), Some(Verdict::Answered));
        for (text, status, expected) in [
            ("done", None, Verdict::Answered),
            ("", None, Verdict::Answered),
            (
                "{\"status\":\"queued\",\"delivery_mode\":\"poll\"}",
                None,
                Verdict::Delivered,
            ),
            ("{\"queued\":true,\"queue_id\":\"q\"}", None, Verdict::Delivered),
            ("{\"status\":\"done\"}", None, Verdict::Answered),
            ("{\"status\":\"queued\"", None, Verdict::Answered),
            ("the word queued", None, Verdict::Answered),
            ("boom", Some("error"), Verdict::Failed),
            ("", Some("timeout"), Verdict::Failed),
            ("boom", Some("failed"), Verdict::Failed),
            ("{\"queued\":true}", Some("failed"), Verdict::Failed),
            ("done", Some("completed"), Verdict::Answered),
            ("{\"queued\":true}", Some("completed"), Verdict::Delivered),
            ("", Some("dispatched"), Verdict::Delivered),
        ] {
            let mut message = base(Kind::DelegationResult);
            message.text = text.to_owned();
            message.status = status.map(str::to_owned);
            assert_eq!(verdict(&message), Some(expected), "{text}");
        }
        for kind in [
            Kind::CanvasUser,
            Kind::System,
            Kind::Upload,
            Kind::Broadcast,
            Kind::Request,
        ] {
            let mut message = base(kind);
            message.in_reply_to = Some("d".to_owned());
            assert_eq!(verdict(&message), None, "{kind:?}");
        }
    }
}
