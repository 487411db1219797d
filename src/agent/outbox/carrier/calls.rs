//! What a row asks of the platform: the attempt and what has to come before it, and what became of one.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Age, Carrier, name};
use crate::agent::outbox::decide::{Answer, Arrival, Found, Unready};
use crate::agent::outbox::ports::{Book, Platform};
use crate::agent::outbox::{body, uploading};
use crate::platform::error::CallError;
use crate::platform::lookups::Echo;
use crate::platform::wire::Attached;
use crate::state::journal::JournalError;
use crate::state::outbox::{Item, Work};
use crate::types::Timestamp;

/// How long a peer may take to answer a reply.
const PEER_PATIENCE: Duration = Duration::from_secs(30);
/// How far the platform's clock may be behind ours, when a delegation is looked for.
const CLOCK_SLACK_MICROS: i64 = 60_000_000;

impl<P: Platform, B: Book> Carrier<P, B> {
    /// Does what comes before an attempt and takes no effect by itself, up to writing the attempt down.
    pub(super) async fn ready(&self, item: &Item, arrival: Arrival) -> Result<Vec<Attached>, Unready> {
        if arrival == Arrival::Never {
            self.see_target(item).await?;
        }
        let files = uploading::bring(&self.platform, &self.book, &self.spool, item).await?;
        self.book.begin_attempt(&item.id).await.map_err(|error| {
            tracing::warn!(id = item.id, %error, "an attempt could not be written down, so it is not made");
            Unready::from(error)
        })?;
        Ok(files)
    }

    pub(super) async fn attempt(&self, item: &Item, files: &[Attached]) -> Result<Answer, CallError> {
        let outcome = match &item.work {
            Work::Delegate { target, task } => self
                .platform
                .delegate(target, &body::safe(task), &item.id)
                .await
                .map(Answer::Delegated),
            Work::NotifyUser { text, .. } => {
                let told = self.platform.notify(&body::safe(text), files).await;
                told.map(|()| Answer::Told)
            }
            Work::ReplyToPeer {
                target,
                text,
                in_reply_to,
                delegation_id,
                context_id,
            } => {
                let reply = body::Reply {
                    id: &item.id,
                    text,
                    in_reply_to,
                    delegation_id: delegation_id.as_deref(),
                    context_id: context_id.as_deref(),
                };
                let patience = self.timing.of(PEER_PATIENCE);
                let begun = Instant::now();
                match timeout(patience, self.platform.a2a(target, &reply.envelope())).await {
                    Ok(Ok(answer)) => Ok(Answer::Peer(answer)),
                    // The client's own deadline is as long and may fire a moment earlier.
                    Ok(Err(CallError::Interrupted { .. })) if begun.elapsed() + patience / 15 >= patience => {
                        Ok(Answer::Silence)
                    }
                    Ok(Err(error)) => Err(error),
                    Err(_) => Ok(Answer::Silence),
                }
            }
        };
        if !matches!(outcome, Ok(Answer::Silence)) {
            self.gate.learn(outcome.as_ref().err());
        }
        if let Err(error) = &outcome {
            tracing::info!(
                id = item.id,
                work = name(&item.work),
                code = error.code(),
                "an attempt failed"
            );
        }
        outcome
    }

    /// The platform takes work for a workspace that is gone and answers as if all were well.
    async fn see_target(&self, item: &Item) -> Result<(), Unready> {
        let Work::Delegate { target, .. } = &item.work else {
            return Ok(());
        };
        let looked = self.platform.is_gone(target).await;
        self.gate.learn(looked.as_ref().err());
        match looked {
            Ok(true) => Err(Unready::Final(
                "the platform knows no such workspace, or no longer: nothing was sent; list_peers shows whom you can \
                 delegate to"
                    .to_owned(),
            )),
            Err(error) if error.is_transient() => Err(Unready::from(error)),
            // A platform that does not answer this question may still take work.
            Ok(false) | Err(_) => Ok(()),
        }
    }

    pub(super) async fn look_up(&self, item: &Item, clock: &Age) -> Result<Found, CallError> {
        match &item.work {
            Work::NotifyUser { parcel: Some(_), .. } => {
                let uri = self.book.upload_of(&item.id, 0).await.map_err(unreadable)?;
                // It was known when the message went; without it nothing can be said about the message.
                let uri = uri.ok_or_else(|| CallError::Interrupted {
                    detail: "the address of its first file is not known any more".to_owned(),
                })?;
                let since = item.created.plus_micros(-CLOCK_SLACK_MICROS);
                let since = self
                    .made_by_their_clock(clock)
                    .map_or(since, |theirs| theirs.min(since));
                Ok(Found::yes(self.platform.echoes(Echo::File(&uri), since).await? > 0))
            }
            Work::NotifyUser { text, parcel: None } => {
                let text = body::safe(text);
                let (since, others) = self.book.echoes_of_others(&item.id).await.map_err(unreadable)?;
                if self.platform.echoes(Echo::Text(&text), since).await? > others {
                    return Ok(Found::Yes);
                }
                let since = self.made_by_their_clock(clock).filter(|theirs| *theirs < since);
                let echoes = match since {
                    Some(since) => self.platform.echoes(Echo::Text(&text), since).await?,
                    None => 0,
                };
                Ok(Found::yes(echoes > others))
            }
            Work::ReplyToPeer { target, .. } => Ok(Found::yes(self.platform.is_pushed_to(target).await?)),
            Work::Delegate { target, task } => {
                let since = item.created.plus_micros(-CLOCK_SLACK_MICROS);
                let since = self
                    .made_by_their_clock(clock)
                    .map_or(since, |theirs| since.min(theirs));
                let sent = self.platform.sent_delegations(target, &body::safe(task), since).await?;
                for id in sent {
                    if !self.book.has_delegation(&id).await.map_err(unreadable)? {
                        return Ok(Found::Delegation(id));
                    }
                }
                Ok(Found::No)
            }
        }
    }

    /// The earliest moment, by the platform's clock, at which the row can have been written down, whatever our own clock
    /// said: one that was ahead would hide what the platform stored, and it would be sent again.
    fn made_by_their_clock(&self, clock: &Age) -> Option<Timestamp> {
        let age = i64::try_from(clock.now().as_micros()).ok()?;
        Some(self.platform.time()?.plus_micros(-age - CLOCK_SLACK_MICROS))
    }
}

/// A look-up that the journal kept from being judged is made again, like one that the platform did not answer.
fn unreadable(error: JournalError) -> CallError {
    CallError::Interrupted {
        detail: error.to_string(),
    }
}
