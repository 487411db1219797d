//! Pushing messages into the conversation of a client that takes them: a hint, never a delivery.
//!
//! A client may drop what is pushed without a word (a channel needs a flag, a plan, a policy). So a message stays in the
//! inbox as it was, is hinted again with growing pauses while nobody touches it, and is kept from other sessions only for a
//! minute, and only while this client has shown that hints reach somebody.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::service::Peer;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::channel;
use crate::config::{Host, Senders, Timing};
use crate::state::journal::{Inboxes, JournalError};
use crate::state::message::{Entry, Message, State};
use crate::types::ActivityId;

/// Waiting calls come first: a message that one of them takes needs no hint.
const SETTLE: Duration = Duration::from_millis(250);
/// How long a hinted message is kept from other sessions.
const RESERVED: Duration = Duration::from_secs(60);
/// When a message that nobody touched is hinted again; twice as long each time.
const AGAIN: Duration = Duration::from_secs(60);
/// At most this long.
const AGAIN_AT_MOST: Duration = Duration::from_secs(1800);
/// Hinted messages that are not acknowledged yet: more would flood the conversation.
const OUTSTANDING: usize = 10;
/// Hints in a row that nobody reacted to, after which nothing is kept from others any more.
const UNHEARD: u32 = 3;
/// When the journal could not be asked.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// A message that was hinted and is not acknowledged yet.
struct Hint {
    times: u32,
    next: Instant,
}

/// Hints about the inboxes of one session.
pub(super) struct Push<'a> {
    pub(super) inboxes: &'a Inboxes,
    /// What the environment says of the client; the name it gives itself wins.
    pub(super) host: Option<Host>,
    /// Whose messages are pushed; those of others are only kept.
    pub(super) senders: Senders,
    pub(super) timing: Timing,
}

impl Push<'_> {
    /// Pushes from when the client is ready, for as long as it is polled.
    pub(super) async fn run(self, mut ready: watch::Receiver<Option<Peer<RoleServer>>>) {
        let peer = match ready.wait_for(Option::is_some).await {
            Ok(peer) => peer.clone(),
            Err(_) => None,
        };
        let Some(peer) = peer else { return };
        // A session without `initialize` is of a revision that has no place for such notifications.
        let Some(client) = peer.peer_info() else { return };
        let Some(host) = Host::named(&client.client_info.name).or(self.host) else {
            return;
        };
        let send = |entry: &Entry| {
            let (peer, note) = (peer.clone(), channel::notification(host, entry));
            async move { peer.send_notification(note).await.is_ok() }
        };
        self.hint(send).await;
    }

    /// `send` answers whether the notification left.
    async fn hint<F: Future<Output = bool>>(&self, send: impl Fn(&Entry) -> F) {
        let mut changes = self.inboxes.changes();
        let mut hints = Hints::default();
        loop {
            sleep(self.timing.of(SETTLE)).await;
            changes.borrow_and_update();
            let next = match self.look(&mut hints, &send).await {
                Ok(true) => hints.next(),
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "the inbox could not be looked at for messages to push");
                    Some(Instant::now() + self.timing.of(TRY_AGAIN))
                }
            };
            let mut due = pin!(async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            });
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = &mut due => {}
            }
        }
    }

    /// Hints at what is new and what is due. `false`: the client is gone.
    async fn look<F: Future<Output = bool>>(
        &self,
        hints: &mut Hints,
        send: &impl Fn(&Entry) -> F,
    ) -> Result<bool, JournalError> {
        hints.compare(&self.inboxes.still_open(hints.ids()).await?);
        for id in hints.due() {
            if let Some(entry) = self.inboxes.find(&id).await?
                && entry.state == State::New
            {
                if !send(&entry).await {
                    return Ok(false);
                }
                hints.sent(id, self.timing);
            }
        }
        while hints.open.len() < OUTSTANDING {
            let period = hints.are_heard().then(|| self.timing.of(RESERVED));
            let known = hints.open.keys().cloned().collect::<HashSet<_>>();
            let senders = self.senders.clone();
            let wanted = move |message: &Message| message.is_from_one_of(&senders);
            let Some(entry) = self.inboxes.reserve_next(period, known, wanted).await? else {
                break;
            };
            if !send(&entry).await {
                return Ok(false);
            }
            hints.sent(entry.message.activity_id, self.timing);
        }
        Ok(true)
    }
}

/// The hints given and how they went.
#[derive(Default)]
struct Hints {
    open: HashMap<ActivityId, Hint>,
    /// Repeated hints since anybody reacted to one.
    unheard: u32,
}

impl Hints {
    fn ids(&self) -> Vec<ActivityId> {
        self.open.keys().cloned().collect()
    }

    /// Forgets what was acknowledged; `open` says what was not, and whether it waits. Any reaction counts as hearing.
    fn compare(&mut self, open: &[(ActivityId, bool)]) {
        let still: HashMap<_, _> = open.iter().map(|(id, waits)| (id, *waits)).collect();
        let before = self.open.len();
        self.open.retain(|id, _| still.contains_key(id));
        if self.open.len() < before || still.values().any(|waits| !waits) {
            self.unheard = 0;
        }
    }

    fn due(&self) -> Vec<ActivityId> {
        let now = Instant::now();
        let due = self.open.iter().filter(|(_, hint)| hint.next <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    fn next(&self) -> Option<Instant> {
        // One that is being worked on stays due: it is looked at again after a change only.
        let now = Instant::now();
        self.open
            .values()
            .map(|hint| hint.next)
            .filter(|next| *next > now)
            .min()
    }

    fn sent(&mut self, id: ActivityId, timing: Timing) {
        let hint = self.open.entry(id).or_insert(Hint {
            times: 0,
            next: Instant::now(),
        });
        if hint.times > 0 {
            self.unheard += 1;
        }
        hint.next = Instant::now() + timing.of((AGAIN * 2_u32.pow(hint.times.min(10))).min(AGAIN_AT_MOST));
        hint.times += 1;
    }

    fn are_heard(&self) -> bool {
        self.unheard < UNHEARD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ActivityId {
        ActivityId::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_comes_again_with_growing_pauses() {
        let mut hints = Hints::default();
        let start = Instant::now();
        let mut pauses = Vec::new();
        hints.sent(id("a"), Timing::REAL);
        for _ in 0..8 {
            let next = hints.next().unwrap();
            pauses.push((next - Instant::now()).as_secs());
            tokio::time::advance(next - Instant::now()).await;
            assert_eq!(hints.due(), [id("a")]);
            hints.sent(id("a"), Timing::REAL);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1800, 1800, 1800]);
        assert!(start.elapsed() > Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn hints_that_nobody_reacts_to_keep_nothing_from_others_any_more() {
        let mut hints = Hints::default();
        for name in ["a", "b", "c", "d"] {
            hints.sent(id(name), Timing::REAL);
        }
        assert!(hints.are_heard(), "first hints are no reason to doubt");
        for name in ["a", "b", "c"] {
            hints.sent(id(name), Timing::REAL);
        }
        assert!(!hints.are_heard());
        let waiting = ["a", "b", "c", "d"].map(|name| (id(name), true));
        hints.compare(&waiting);
        assert!(!hints.are_heard());
        hints.compare(&waiting[1..]);
        assert!(hints.are_heard(), "one was acknowledged");
        assert_eq!(hints.ids().len(), 3);
    }
}
