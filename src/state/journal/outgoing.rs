//! The outbox: work is written down before its first attempt and owned by the session that wrote it.

use rusqlite::params;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::JournalError;
use super::inbox::OUTCOME;
use super::ledger::Ledger;
use super::outbox_row::OutboxRow;
use super::receive::DAY_MICROS;
use super::shape::Popped;
use crate::state::message::{Kind, Message, State};
use crate::state::outbox::{Change, Enqueued, Item, Progress, Work};
use crate::types::{ActivityId, Timestamp};

/// The same delegation within this time is the same request, unless it failed.
const FRESH_MICROS: i64 = 120_000_000;
/// How far the platform's clock may be behind ours.
const CLOCK_SLACK_MICROS: i64 = 60_000_000;
/// How long after it was written down a message to the person may still be sent.
const SENDING_MICROS: i64 = 600_000_000;

/// Kind, target and text of a piece of work.
fn parts(work: &Work) -> (&'static str, &str, &str) {
    match work {
        Work::Delegate { target, task } => ("delegate", target.as_str(), task),
        Work::ReplyToPeer { target, text, .. } => ("reply", target.as_str(), text),
        Work::NotifyUser { text, .. } => ("notify", "", text),
    }
}

/// Equal for the same text with the same files to the same target by the same route.
fn fingerprint(work: &Work) -> String {
    let (kind, target, text) = parts(work);
    let files = work.parcel().into_iter().flat_map(|parcel| &parcel.files);
    let files: String = files.map(|file| format!("{}\n{}\n", file.name, file.digest)).collect();
    let digest = Sha256::digest(format!("{kind}\n{target}\n{files}{text}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a row's progress becomes; `None`: the change comes too late, and nothing of it but an id is kept.
fn advance(current: Progress, wanted: Progress) -> Option<Progress> {
    let rank = |progress| match progress {
        Progress::Pending => 0,
        Progress::Accepted => 1,
        Progress::Delivered => 2,
        _ => 3,
    };
    let allowed = if current.is_final() {
        current == Progress::Unknown && matches!(wanted, Progress::Answered | Progress::Failed)
    } else {
        rank(wanted) >= rank(current)
    };
    allowed.then_some(wanted)
}

/// Asked for every plain message of a peer that comes in. Of several none is the one that is answered, so two are enough.
const OUTSTANDING_WITH: &str = "kind = 'delegate' AND target = ?2 AND progress IN ('pending', 'accepted', 'delivered')
    AND +delegation_id IS NOT NULL AND created > ?3
    AND NOT EXISTS (SELECT 1 FROM message WHERE message.scope = outbox.scope
        AND message.done_at >= outbox.created AND message.maybe_reply_to = outbox.delegation_id)
    ORDER BY n LIMIT 2";

impl Ledger<'_> {
    /// Writes work down, unless it is a repetition.
    pub(super) fn enqueue(
        &self,
        work: Work,
        replies_to: Option<ActivityId>,
        request_id: Option<String>,
    ) -> Result<Enqueued, JournalError> {
        let fingerprint = fingerprint(&work);
        let same = self.rows("fingerprint = ?2 ORDER BY n DESC", params![self.scope, fingerprint])?;
        let repeats = |row: &OutboxRow| match (&request_id, &work) {
            (Some(wanted), _) => row.item.request_id.as_ref() == Some(wanted) && row.item.replies_to == replies_to,
            (None, Work::Delegate { .. }) => match row.item.progress {
                Progress::Failed => false,
                Progress::Answered => self.is_within(FRESH_MICROS, row.item.created),
                // It may be under way even when nobody can tell.
                _ => self.is_within(DAY_MICROS, row.item.created),
            },
            (None, _) => {
                replies_to.is_some()
                    && row.item.replies_to == replies_to
                    && !matches!(row.item.progress, Progress::Failed | Progress::Unknown)
            }
        };
        if let Some(existing) = same.sound.into_iter().find(repeats) {
            return Ok(Enqueued::Existing(existing.item));
        }
        let row = OutboxRow {
            n: 0,
            work: serde_json::to_string(&work).map_err(std::io::Error::from)?,
            session: self.sessions.id().to_owned(),
            awaited_by: None,
            item: Item {
                id: Uuid::new_v4().to_string(),
                work,
                progress: Progress::Pending,
                created: self.wall,
                attempts: 0,
                delegation_id: None,
                answer: None,
                answer_activity: None,
                detail: None,
                replies_to,
                request_id,
            },
        };
        let (kind, target, _) = parts(&row.item.work);
        self.conn
            .prepare_cached(
                "INSERT INTO outbox (scope, id, session, kind, target, work, fingerprint, progress, created, updated,
                    replies_to, request_id, crc)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                self.scope,
                row.item.id,
                row.session,
                kind,
                target,
                row.work,
                fingerprint,
                row.item.progress.as_str(),
                row.item.created.0,
                row.item.replies_to.as_ref().map(ActivityId::as_str),
                row.item.request_id,
                row.seal(),
            ])?;
        Ok(Enqueued::New(row.item))
    }

    /// A clock that was set back leaves rows in the future: those are not fresh for ever.
    fn is_within(&self, micros: i64, created: Timestamp) -> bool {
        self.wall.0.abs_diff(created.0) < micros.unsigned_abs()
    }

    /// From when on to count the echoes of a message to the person, and how many of them belong to other messages with
    /// the same text. An echo does not say whose it is, so the span reaches back over every message whose echo may lie
    /// in it.
    pub(super) fn echoes_of_others(&self, id: &str) -> Result<(Timestamp, usize), JournalError> {
        let Some(row) = self.item_row(id)? else {
            return Ok((self.wall, 0));
        };
        let same = self.rows(
            "fingerprint = ?2 ORDER BY created DESC",
            params![self.scope, fingerprint(&row.item.work)],
        )?;
        let has_echo = |other: &&OutboxRow| match other.item.progress {
            Progress::Failed => false,
            // Of two that are open at once the older one takes the first echo.
            Progress::Pending => other.item.attempts > 0 && other.n < row.n,
            _ => other.n != row.n,
        };
        let mut since = row.item.created;
        let mut others = 0;
        for other in same.sound.iter().filter(has_echo) {
            let latest_echo = other.item.created.plus_micros(SENDING_MICROS + CLOCK_SLACK_MICROS);
            if latest_echo < since.plus_micros(-CLOCK_SLACK_MICROS) {
                break;
            }
            since = since.min(other.item.created);
            others += 1;
        }
        Ok((since.plus_micros(-CLOCK_SLACK_MICROS), others))
    }

    /// Whether [`Self::claim_pending`] would find anything. Only reads.
    pub(super) fn has_pending(&self) -> Result<bool, JournalError> {
        Ok(self
            .conn
            .prepare_cached("SELECT 1 FROM outbox WHERE scope = ?1 AND progress = 'pending' LIMIT 1")?
            .exists([self.scope])?)
    }

    /// This session's pending rows, oldest first; with `orphans` those of ended sessions become this session's.
    pub(super) fn claim_pending(&self, orphans: bool) -> Result<Vec<Item>, JournalError> {
        let found = self.rows("progress = 'pending' ORDER BY n", params![self.scope])?;
        for (n, id) in found.damaged {
            self.give_up_damaged(n, &id)?;
        }
        let mut claimed = Vec::new();
        for row in found.sound {
            if row.session != self.sessions.id() {
                if !orphans || self.sessions.is_alive(&row.session) {
                    continue;
                }
                self.conn
                    .prepare_cached("UPDATE outbox SET session = ?2 WHERE n = ?1")?
                    .execute(params![row.n, self.sessions.id()])?;
            }
            claimed.push(row.item);
        }
        Ok(claimed)
    }

    /// What may have been altered is not sent; said once.
    pub(super) fn give_up_damaged(&self, n: i64, id: &str) -> Result<(), JournalError> {
        tracing::error!(id, "an outgoing message does not match its checksum and is not sent");
        self.conn
            .prepare_cached("UPDATE outbox SET progress = 'damaged' WHERE n = ?1")?
            .execute([n])?;
        let text = format!(
            "An outgoing delegation or reply ({id}) was damaged on this computer's disk. It is not sent any more, and \
             what became of it before is no longer known here. Check the disk, and repeat what is missing."
        );
        self.announce(&text, &format!("damaged-outgoing:{n}"))?;
        Ok(())
    }

    /// Counts an attempt.
    pub(super) fn begin_attempt(&self, id: &str) -> Result<(), JournalError> {
        self.conn
            .prepare_cached("UPDATE outbox SET attempts = attempts + 1, updated = ?3 WHERE scope = ?1 AND id = ?2")?
            .execute(params![self.scope, id, self.wall.0])?;
        Ok(())
    }

    /// Applies a change, as far as it does not come too late.
    pub(super) fn record(&self, id: &str, change: Change) -> Result<(), JournalError> {
        let Some(mut row) = self.sound_row(id)? else {
            return Ok(());
        };
        let learnt_id = row.item.delegation_id.is_none() && change.delegation_id.is_some();
        if learnt_id {
            row.item.delegation_id = change.delegation_id;
        }
        let wanted = change.progress.unwrap_or(row.item.progress);
        let in_time = if row.item.progress == wanted {
            !row.item.progress.is_final()
        } else {
            advance(row.item.progress, wanted).is_some()
        };
        if in_time {
            row.item.progress = wanted;
            row.item.answer = change.answer.or(row.item.answer);
            row.item.detail = change.detail.or(row.item.detail);
            if row.item.answer_activity.is_none() && matches!(row.item.work, Work::Delegate { .. }) {
                row.item.answer_activity = self.announce_outcome(&row.item)?;
            }
        }
        self.save(&row)?;
        if in_time
            && change.settle_reply
            && let Some(message) = &row.item.replies_to
        {
            self.acknowledge(message, &[&row.session])?;
        }
        if learnt_id {
            self.look_back(&row.item.id)?;
        }
        Ok(())
    }

    /// Puts the end of a delegation that no message told of into the inbox; `None`: it has not ended. A call that waits for
    /// it returns it itself and acknowledges the message.
    fn announce_outcome(&self, item: &Item) -> Result<Option<ActivityId>, JournalError> {
        let (text, status) = match item.progress {
            Progress::Answered => (&item.answer, None),
            Progress::Failed => (&item.detail, Some("error")),
            Progress::Unknown => (&item.detail, Some("unknown")),
            _ => return Ok(None),
        };
        let (Work::Delegate { target, .. }, Ok(id)) = (&item.work, ActivityId::parse(&format!("{OUTCOME}{}", item.id)))
        else {
            return Ok(None);
        };
        let message = Message {
            activity_id: id.clone(),
            kind: Kind::DelegationResult,
            peer_id: target.to_string(),
            text: text.clone().unwrap_or_default(),
            delegation_id: item.delegation_id.clone(),
            status: status.map(str::to_owned),
            ..self.own_message()
        };
        self.insert(&message, State::New, None)?;
        Ok(Some(id))
    }

    pub(super) fn outbox_item(&self, id: &str) -> Result<Option<Item>, JournalError> {
        Ok(self.sound_row(id)?.map(|row| row.item))
    }

    /// Delegations that the platform knows and that may still be answered.
    pub(super) fn outstanding(&self) -> Result<Vec<Item>, JournalError> {
        let found = self.rows(
            // The plus keeps SQLite from reading every delegation there ever was instead of the open ones.
            "progress IN ('pending', 'accepted', 'delivered') AND kind = 'delegate' AND +delegation_id IS NOT NULL
                AND created > ?2 ORDER BY n",
            params![self.scope, self.wall.plus_micros(-DAY_MICROS).0],
        )?;
        Ok(found.sound.into_iter().map(|row| row.item).collect())
    }

    /// The first two of them with one peer, but for those whose probable answer was acknowledged: older daemons never say
    /// that they answer, and what was handled must not keep the next answer from being recognised.
    pub(super) fn outstanding_with(&self, target: &str) -> Result<Vec<OutboxRow>, JournalError> {
        let found = self.rows(
            OUTSTANDING_WITH,
            params![self.scope, target, self.wall.plus_micros(-DAY_MICROS).0],
        )?;
        Ok(found.sound)
    }

    pub(super) fn recent_delegations(&self, limit: u32) -> Result<Vec<Item>, JournalError> {
        let found = self.rows("kind = 'delegate' ORDER BY n DESC LIMIT ?2", params![self.scope, limit])?;
        Ok(found.sound.into_iter().map(|row| row.item).collect())
    }

    /// Acknowledges a message that was returned as an item's answer; no other message.
    pub(super) fn settle_answer(&self, id: &str, message: &ActivityId) -> Result<Popped, JournalError> {
        let Some(row) = self.item_row(id)? else {
            return Ok(Popped::Unknown);
        };
        let may_answer = || -> Result<bool, JournalError> {
            let delegation = self.find(message)?.and_then(|entry| entry.maybe_reply_to);
            Ok(delegation.is_some() && delegation == row.item.delegation_id)
        };
        if row.item.answer_activity.as_ref() == Some(message) || may_answer()? {
            self.pop(message)
        } else {
            Ok(Popped::Unknown)
        }
    }

    /// Claims the answer of an item for calls of this session, unless another living session waits for it already.
    pub(super) fn await_answer(&self, id: &str) -> Result<(), JournalError> {
        // The call may have ended before this was written.
        if !self.awaited.contains(id) {
            return Ok(());
        }
        let Some(row) = self.item_row(id)? else { return Ok(()) };
        let taken = row
            .awaited_by
            .is_some_and(|session| session != self.sessions.id() && self.sessions.is_alive(&session));
        if !taken {
            self.conn
                .prepare_cached("UPDATE outbox SET awaited_by = ?2 WHERE n = ?1")?
                .execute(params![row.n, self.sessions.id()])?;
        }
        Ok(())
    }

    /// Drops the claim once no call of this process waits any more.
    pub(super) fn answer_not_awaited(&self, id: &str) -> Result<(), JournalError> {
        if !self.awaited.contains(id) {
            self.conn
                .prepare_cached("UPDATE outbox SET awaited_by = NULL WHERE scope = ?1 AND id = ?2 AND awaited_by = ?3")?
                .execute(params![self.scope, id, self.sessions.id()])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::OUTSTANDING_WITH;
    use crate::state::journal::schema::testing::reads_everything;

    #[test]
    fn what_a_peer_may_be_answering_is_found_without_reading_every_message() {
        assert!(!reads_everything(&format!(
            "SELECT * FROM outbox WHERE scope = ?1 AND progress <> 'damaged' AND {OUTSTANDING_WITH}"
        )));
    }
}
