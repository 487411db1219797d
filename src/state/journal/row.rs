//! How a message is stored: its JSON under a checksum, beside the columns that are searched.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::leases::{Lease, Standing};
use super::ledger::Ledger;
use crate::state::message::{Entry, Message, State};

/// The columns that [`Ledger::stored`] reads, in its order.
pub(super) const COLUMNS: &str =
    "n, activity_id, body, crc, state, delivery_count, maybe_reply_to, lease_session, lease_boot, lease_until";

/// A row of the message table.
pub(super) struct Stored {
    pub(super) n: i64,
    /// The column as it is; a damaged row's may be anything.
    pub(super) activity_id: String,
    /// `None` when the text does not match its checksum, or the row makes no sense.
    pub(super) entry: Option<Entry>,
}

/// The checksum of a message: over its id and its JSON.
pub(super) fn seal(activity_id: &str, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(activity_id.as_bytes());
    hasher.update(&[0]);
    hasher.update(body);
    hasher.finalize()
}

/// The state that a word names; `None` for damaged rows.
pub(super) fn state_of(word: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.as_str() == word)
}

impl Ledger<'_> {
    /// Reads one row that was selected with [`COLUMNS`]. Nothing in it is trusted before the checksum was compared, and a
    /// damaged column is no error: it must not stop the rows behind it.
    pub(super) fn stored(&self, row: &Row<'_>) -> rusqlite::Result<Stored> {
        let activity_id = text(row.get_ref(1)?).unwrap_or_default().to_owned();
        let message = bytes(row.get_ref(2)?)
            .filter(|body| row.get_ref(3) == Ok(ValueRef::Integer(seal(&activity_id, body).into())))
            .and_then(|body| serde_json::from_slice::<Message>(body).ok())
            .filter(|message| message.activity_id.as_str() == activity_id);
        let message = match message {
            Some(mut message) => {
                self.localise(&mut message)?;
                self.name_sender(&mut message)?;
                Some(message)
            }
            None => None,
        };
        let session: Option<String> = row.get(7).ok().flatten();
        let state = text(row.get_ref(4)?).and_then(state_of);
        let lease = (state == Some(State::Leased)).then(|| {
            self.judge(&Lease {
                session: session.clone(),
                boot: row.get(8).ok().flatten(),
                until_micros: row.get(9).ok().flatten(),
            })
        });
        let delivery_count: u32 = row.get(5).unwrap_or(0);
        let maybe_reply_to: Option<String> = row.get(6).ok().flatten();
        let entry = message.zip(state).map(|(message, state)| Entry {
            answers: self.answers(&message, maybe_reply_to.as_deref()),
            message,
            // A lease that no longer holds is shown as what the next wait will make of it.
            state: match lease {
                Some(Standing::Void | Standing::RanOut) => State::New,
                _ => state,
            },
            delivery_count,
            mine: lease == Some(Standing::Holds) && session.as_deref() == Some(self.sessions.id()),
            maybe_reply_to,
            arrival: self.arrival.cloned(),
        });
        Ok(Stored {
            n: row.get(0)?,
            activity_id,
            entry,
        })
    }
}

fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes),
        _ => None,
    }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok())
}
