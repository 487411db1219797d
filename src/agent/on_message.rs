//! Runs the operator's command when messages arrive, for clients into which nothing can be pushed. A hint, never a delivery.
//!
//! One run at a time and at most one a second; what arrives meanwhile comes with the next run. Each message is told once,
//! whichever process reads: the journal notes how far the telling went, after the run. Only when this process ends while
//! the command runs are its messages told once more.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::{OnMessage, Senders, Timing};
use crate::platform::retry::Backoff;
use crate::state::journal::{Arrivals, Journal, JournalError};
use crate::state::message::{Entry, Message};
use crate::types::WorkspaceId;

mod running;

/// Between the beginnings of two runs.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest run: long enough for an agent that is started to work through its inbox.
const LIMIT: Duration = Duration::from_secs(600);
/// Messages told in one run at most.
const MESSAGES: usize = 100;
/// Bytes of text told in one run, unless one message has more.
const BYTES: usize = 1024 * 1024;
/// Before the next look at a message whose files are still fetched.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The duty of one workspace; only the one who reads does it.
#[derive(Debug)]
pub struct Telling {
    /// What arrived, and what was told.
    pub journal: Journal,
    /// What to run.
    pub command: OnMessage,
    /// Whose messages are told.
    pub senders: Senders,
    /// The workspace, which the command is told.
    pub own: WorkspaceId,
    /// The intervals.
    pub timing: Timing,
}

impl Telling {
    /// Runs the command until `stop`; a run that is under way then is killed.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.go_on()).await;
    }

    async fn go_on(self) {
        let mut changes = self.journal.changes();
        let second = Duration::from_secs(1);
        let mut trouble = Backoff::new(self.timing.of(second), self.timing.of(second * 60));
        let mut not_before = Instant::now();
        let mut failures = 0_u32;
        loop {
            changes.borrow_and_update();
            let arrivals = match self.look().await {
                Ok(arrivals) => arrivals,
                Err(error) => {
                    debug!(%error, "what arrived could not be read");
                    sleep(trouble.next_delay()).await;
                    continue;
                }
            };
            trouble.reset();
            if !arrivals.entries.is_empty() {
                if Instant::now() < not_before {
                    // What else arrives until then is told with it.
                    sleep_until(not_before).await;
                    continue;
                }
                not_before = Instant::now() + self.timing.of(PAUSE);
                self.tell(&arrivals.entries, &mut failures).await;
            }
            match arrivals.place {
                Some(place) => self.note(place, &mut trouble).await,
                None => {
                    let wait = if arrivals.awaits_files {
                        LOOK_AGAIN
                    } else {
                        Duration::MAX
                    };
                    let _ = timeout(self.timing.of(wait), changes.changed()).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<Arrivals, JournalError> {
        let senders = self.senders.clone();
        let wanted = move |message: &Message| message.is_from_one_of(&senders);
        self.journal.arrivals(MESSAGES, BYTES, wanted).await
    }

    /// A command that fails is not run again for the same messages: they wait in the inbox whatever it does.
    async fn tell(&self, entries: &[Entry], failures: &mut u32) {
        let lines: Vec<u8> = entries.iter().flat_map(|entry| line(entry, &self.own)).collect();
        match running::run(&self.command, lines, self.timing.of(LIMIT)).await {
            Ok(()) => {
                if *failures > 0 {
                    info!("the command of MOLECULE_ON_MESSAGE works again");
                }
                *failures = 0;
            }
            Err(why) => {
                *failures += 1;
                // The first of a row, and then ever more rarely.
                if failures.is_power_of_two() {
                    warn!(
                        failures,
                        "the command of MOLECULE_ON_MESSAGE failed: {why}; the messages wait in the inbox"
                    );
                }
            }
        }
    }

    /// Nothing else is told before this is kept, or it would be told again and again.
    async fn note(&self, place: i64, trouble: &mut Backoff) {
        while let Err(error) = self.journal.told_up_to(place).await {
            debug!(%error, "what was told could not be noted");
            sleep(trouble.next_delay()).await;
        }
        trouble.reset();
    }
}

/// A message as the command reads it: one line of JSON, with the keys of the inbox.
fn line(entry: &Entry, own: &WorkspaceId) -> Vec<u8> {
    let mut shown = serde_json::to_value(&entry.message).unwrap_or_default();
    if let Value::Object(fields) = &mut shown {
        // What only the journal needs.
        for inner in ["at", "seq", "digest", "message_id", "context_id"] {
            fields.remove(inner);
        }
        fields.insert("arrival_workspace_id".to_owned(), own.as_str().into());
        if let Some(delegation) = &entry.maybe_reply_to {
            fields.insert("maybe_reply_to".to_owned(), delegation.as_str().into());
        }
        if let Some(answers) = &entry.answers {
            fields.insert("answers".to_owned(), serde_json::json!(answers));
        }
    }
    format!("{shown}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::message::State;

    #[test]
    fn a_message_is_one_line_with_the_keys_of_the_inbox_and_its_exact_text() {
        let message = json!({
            "activity_id": "a", "kind": "peer_agent", "peer_id": "p", "text": "two\nlines \"é\"", "method": "message/send",
            "created_at": "2026-05-01T10:00:00Z", "peer_name": "Ada", "attachments": [{ "name": "f" }],
        });
        let mut stored = message.clone();
        stored["at"] = 7.into();
        stored["seq"] = 3.into();
        stored["digest"] = "d".into();
        stored["message_id"] = "m".into();
        let entry = Entry {
            message: serde_json::from_value(stored).unwrap(),
            state: State::New,
            delivery_count: 0,
            mine: false,
            maybe_reply_to: Some("d-1".to_owned()),
            arrival: None,
            answers: None,
        };
        let told = line(&entry, &WorkspaceId::parse("w").unwrap());
        assert_eq!(told.iter().filter(|byte| **byte == b'\n').count(), 1);
        let mut expected = message;
        expected["arrival_workspace_id"] = "w".into();
        expected["maybe_reply_to"] = "d-1".into();
        assert_eq!(serde_json::from_slice::<Value>(&told).unwrap(), expected);
    }
}
