//! The way of one row: attempts, look-ups and pauses until its outcome is in the journal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::body;
use super::decide::{self, Answer, Arrival, Found, Moment, Unready, Verdict};
use super::gate::Gate;
use super::ports::{Book, Platform};
use super::uploading;
use crate::config::Timing;
use crate::platform::error::CallError;
use crate::platform::lookups::Echo;
use crate::platform::retry::{Backoff, LONGEST_PAUSE};
use crate::platform::wire::Attached;
use crate::state::crash_point;
use crate::state::journal::JournalError;
use crate::state::outbox::{Change, Item, Work};
use crate::state::spool::Spool;
use crate::types::Timestamp;

/// How many calls of a kind are under way at once.
const ABREAST: usize = 16;
/// Nothing is repeated once it is this old.
const WINDOW: Duration = Duration::from_secs(600);
/// How long a peer may take to answer a reply.
const PEER_PATIENCE: Duration = Duration::from_secs(30);
/// The echo row of a message to the person may become visible this late.
const SETTLING: Duration = Duration::from_secs(2);
/// How far the platform's clock may be behind ours, when a delegation is looked for.
const CLOCK_SLACK_MICROS: i64 = 60_000_000;

/// Carries one row at a time from its first attempt to its recorded outcome.
pub(super) struct Carrier<P, B> {
    platform: P,
    book: B,
    spool: Spool,
    timing: Timing,
    gate: Gate,
    quick: Semaphore,
    /// Replies and messages with files have their own: each may hold its place for as long as a peer is silent, or a line slow.
    slow: Semaphore,
}

impl<P: Platform, B: Book> Carrier<P, B> {
    pub(super) fn new(platform: P, book: B, spool: Spool, timing: Timing) -> Self {
        let (quick, slow) = (Semaphore::new(ABREAST), Semaphore::new(ABREAST));
        Self {
            platform,
            book,
            spool,
            timing,
            gate: Gate::new(timing),
            quick,
            slow,
        }
    }

    /// Ends early, with the row still pending, when stopped between calls.
    pub(super) async fn carry(self: Arc<Self>, item: Item, stop: CancellationToken) {
        let clock = Age::of(&item);
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(self.timing.of(second), self.timing.of(LONGEST_PAUSE));
        let mut arrival = if item.attempts == 0 {
            Arrival::Never
        } else {
            Arrival::Maybe
        };
        let moment = |pause| Moment {
            age: clock.now(),
            pause,
            window: self.timing.of(WINDOW),
            settling: self.timing.of(SETTLING),
        };
        let mut verdict = decide::first(&item, &moment(Duration::ZERO));
        loop {
            verdict = match verdict {
                Verdict::Record(change) => {
                    self.record(&item, change).await;
                    return crash_point::pass(name(&item.work), "recorded");
                }
                Verdict::Attempt { after } => {
                    if !rest(after, &stop).await {
                        return;
                    }
                    let _turn = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        turn = self.gate.enter() => turn,
                    };
                    let is_slow = matches!(item.work, Work::ReplyToPeer { .. }) || item.work.parcel().is_some();
                    let permits = if is_slow { &self.slow } else { &self.quick };
                    let permit = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        permit = permits.acquire() => permit,
                    };
                    match self.ready(&item, arrival).await {
                        Ok(files) => {
                            crash_point::pass(name(&item.work), "begun");
                            let outcome = self.attempt(&item, &files).await;
                            crash_point::pass(name(&item.work), "sent");
                            drop(permit);
                            let pause = pause_after(&outcome, &mut backoff);
                            let verdict = decide::after_attempt(&item.work, &outcome, arrival, &moment(pause));
                            arrival = arrival.max(left_by(&item.work, &outcome));
                            verdict
                        }
                        Err(unready) => {
                            drop(permit);
                            let pause = match &unready {
                                Unready::Passing { error: Some(error), .. } => backoff.after(error),
                                _ => backoff.next_delay(),
                            };
                            decide::unready(&item.work, &unready, arrival, &moment(pause))
                        }
                    }
                }
                Verdict::LookUp { after } => {
                    if !rest(after, &stop).await {
                        return;
                    }
                    let _turn = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        turn = self.gate.enter() => turn,
                    };
                    let found = self.look_up(&item, &clock).await;
                    self.gate.learn(found.as_ref().err());
                    let pause = pause_after(&found, &mut backoff);
                    decide::after_look_up(&item.work, &found, &moment(pause))
                }
            };
        }
    }

    async fn attempt(&self, item: &Item, files: &[Attached]) -> Result<Answer, CallError> {
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

    /// Does what comes before an attempt and takes no effect by itself, up to writing the attempt down.
    async fn ready(&self, item: &Item, arrival: Arrival) -> Result<Vec<Attached>, Unready> {
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

    async fn look_up(&self, item: &Item, clock: &Age) -> Result<Found, CallError> {
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

    /// An answer that arrived is kept in hand until the journal takes it.
    async fn record(&self, item: &Item, change: Change) {
        let mut trouble = journal_backoff(self.timing);
        while let Err(error) = self.book.record(&item.id, change.clone()).await {
            tracing::warn!(id = item.id, %error, "an outcome could not be written down yet");
            sleep(trouble.next_delay()).await;
        }
        if let Some(parcel) = item.work.parcel() {
            self.spool.discard(parcel);
        }
        tracing::info!(id = item.id, work = name(&item.work), progress = ?change.progress, "settled");
    }
}

/// A look-up that the journal kept from being judged is made again, like one that the platform did not answer.
fn unreadable(error: JournalError) -> CallError {
    CallError::Interrupted {
        detail: error.to_string(),
    }
}

/// Delays after the journal refused.
pub(super) fn journal_backoff(timing: Timing) -> Backoff {
    Backoff::new(
        timing.of(Duration::from_millis(200)),
        timing.of(Duration::from_secs(10)),
    )
}

fn pause_after<T>(outcome: &Result<T, CallError>, backoff: &mut Backoff) -> Duration {
    match outcome {
        Ok(_) => backoff.next_delay(),
        Err(error) => backoff.after(error),
    }
}

/// What an attempt leaves behind for the decisions after it.
fn left_by(work: &Work, outcome: &Result<Answer, CallError>) -> Arrival {
    match outcome {
        Ok(_) => Arrival::Maybe,
        Err(error) => decide::arrival(work, error),
    }
}

/// For the log, which never shows a text.
fn name(work: &Work) -> &'static str {
    match work {
        Work::Delegate { .. } => "delegate",
        Work::ReplyToPeer { .. } => "reply",
        Work::NotifyUser { .. } => "notify",
    }
}

/// `false` when stopped.
async fn rest(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = sleep(pause) => true,
    }
}

/// How old a row is. A wall clock that is set back must not lengthen the time in which a message is repeated.
struct Age {
    created: Timestamp,
    when_claimed: Duration,
    claimed: Instant,
}

impl Age {
    fn of(item: &Item) -> Self {
        Self {
            created: item.created,
            when_claimed: item.created.until(Timestamp::now()),
            claimed: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.created
            .until(Timestamp::now())
            .max(self.when_claimed + self.claimed.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{
        self, Desk, Post, interrupted, journal_error, nowhere, refused, rejected, unreachable, with_files,
    };
    use super::*;
    use crate::state::outbox::Progress;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Carries the only row of `desk` until it is settled, and tells how long that took.
    async fn carry(post: &Post, desk: &Desk) -> Duration {
        let carrier = Carrier::new(post.clone(), desk.clone(), nowhere(), Timing::REAL);
        let begun = Instant::now();
        let [item] = desk.items().try_into().unwrap();
        Arc::new(carrier).carry(item, CancellationToken::new()).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_delegation_is_repeated_under_the_same_key_until_it_is_taken() {
        let post = Post::default();
        post.next([Err(unreachable()), Err(interrupted()), Err(rejected(500))]);
        let desk = Desk::holding([stand_in::item("key-1", stand_in::delegate("t"))]);
        carry(&post, &desk).await;
        let calls = post.calls();
        assert_eq!(
            calls,
            [
                "delegate key-1 t",
                "delegate key-1 t",
                "sent t",
                "delegate key-1 t",
                "sent t",
                "delegate key-1 t"
            ]
        );
        let item = desk.item("key-1");
        assert_eq!((item.progress, item.attempts), (Progress::Accepted, 4));
        assert_eq!(item.delegation_id.as_deref(), Some("d-key-1"));
    }

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_without_an_outcome_end_as_unknown_or_failed() {
        for (error, expected) in [(unreachable(), Progress::Failed), (interrupted(), Progress::Unknown)] {
            let post = Post::default();
            post.next((0..9999).map(|_| Err(error.clone())));
            let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
            let took = carry(&post, &desk).await;
            assert_eq!(desk.item("1").progress, expected);
            // A last look-up may follow the last attempt.
            assert!(took <= 11 * MINUTE, "{took:?}");
            assert!(post.calls().len() > 5);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_at_once() {
        let post = Post::default();
        post.next([Err(refused())]);
        let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
        carry(&post, &desk).await;
        assert_eq!((desk.item("1").progress, post.calls().len()), (Progress::Failed, 1));
        assert!(desk.item("1").detail.unwrap().contains("403"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_to_the_person_is_looked_up_before_it_is_sent_again() {
        for (stored, expected) in [
            (true, vec!["notify t", "echo t"]),
            (false, vec!["notify t", "echo t", "notify t"]),
        ] {
            let post = Post::default();
            post.next([Err(interrupted())]);
            post.store_echo(stored);
            let desk = Desk::holding([stand_in::item("1", stand_in::notify("t"))]);
            carry(&post, &desk).await;
            assert_eq!(post.calls(), expected);
            assert_eq!(desk.item("1").progress, Progress::Accepted);
            assert!(desk.was_settled("1"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_with_a_file_is_looked_up_by_it_and_its_copy_goes_when_it_is_settled() {
        let (_home, spool, item) = with_files(1);
        let copy = spool.path(item.work.parcel().unwrap(), 0);
        for (echo, attempts) in [(true, 1), (false, 2)] {
            let (post, desk) = (Post::default(), Desk::holding([item.clone()]));
            post.next([Err(unreachable()), Ok(()), Err(interrupted())]);
            post.store_echo(echo);
            desk.others_have_echoes(9);
            let carrier = Carrier::new(post.clone(), desk.clone(), spool.clone(), Timing::REAL);
            Arc::new(carrier).carry(item.clone(), CancellationToken::new()).await;
            let mut expected = vec![
                "upload 0-0.txt",
                "upload 1-0.txt",
                "notify t with at:1-0.txt",
                "echo at:1-0.txt",
            ];
            expected.extend(vec!["notify t with at:1-0.txt"; attempts - 1]);
            assert_eq!(post.calls(), expected);
            assert_eq!(
                (desk.item("1").progress, desk.item("1").attempts),
                (Progress::Accepted, attempts as u32)
            );
            assert!(!copy.exists());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_ahead_does_not_make_the_person_be_told_twice() {
        let right = Timestamp::now();
        let post = Post::default();
        post.next([Err(interrupted())]);
        post.store_echo_at(right);
        let mut item = stand_in::item("1", stand_in::notify("t"));
        item.created = right.plus_micros(3_600_000_000);
        let desk = Desk::holding([item]);
        carry(&post, &desk).await;
        assert_eq!(post.calls(), ["notify t", "echo t", "echo t"]);
        assert_eq!(desk.item("1").progress, Progress::Accepted);
    }

    #[tokio::test(start_paused = true)]
    async fn an_echo_confirms_one_message_only() {
        let post = Post::default();
        post.next([Err(rejected(500))]);
        post.store_echo(true);
        let desk = Desk::holding([stand_in::item("1", stand_in::notify("t"))]);
        desk.others_have_echoes(1);
        carry(&post, &desk).await;
        assert_eq!(post.calls(), ["notify t", "echo t", "notify t"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_delegation_that_took_effect_unseen_is_not_sent_again() {
        let post = Post::default();
        post.next([Err(interrupted())]);
        post.show_sent(["d-known", "d-lost"]);
        let known = stand_in::accepted("0", "d-known");
        let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t")), known]);
        let carrier = Arc::new(Carrier::new(post.clone(), desk.clone(), nowhere(), Timing::REAL));
        carrier.carry(desk.item("1"), CancellationToken::new()).await;
        assert_eq!(post.calls(), ["delegate 1 t", "sent t"]);
        assert_eq!(desk.item("1").delegation_id.as_deref(), Some("d-lost"));
        assert_eq!(desk.item("1").progress, Progress::Accepted);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_delegated_to_a_target_that_is_gone() {
        let post = Post::default();
        post.lose_target();
        let desk = Desk::holding([stand_in::item("1", stand_in::delegate("t"))]);
        carry(&post, &desk).await;
        assert!(post.calls().is_empty());
        assert_eq!(desk.item("1").progress, Progress::Failed);
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_peer_that_is_called_can_be_silent() {
        let post = Post::default();
        post.stay_silent(1);
        post.call_peers(true);
        let desk = Desk::holding([stand_in::item("1", stand_in::reply("t"))]);
        let took = carry(&post, &desk).await;
        assert_eq!(desk.item("1").progress, Progress::DeliveredUnconfirmed);
        assert!(desk.was_settled("1") && took >= Duration::from_secs(30));

        let post = Post::default();
        post.stay_silent(1);
        post.call_peers(false);
        let desk = Desk::holding([stand_in::item("1", stand_in::reply("t"))]);
        carry(&post, &desk).await;
        assert_eq!(desk.item("1").progress, Progress::Accepted);
        let sent: Vec<_> = post
            .calls()
            .into_iter()
            .filter(|call| call.starts_with("a2a"))
            .collect();
        assert!(sent.len() == 2 && sent[0] == sent[1], "{sent:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_in_hand_until_the_journal_takes_it() {
        let (post, desk) = (
            Post::default(),
            Desk::holding([stand_in::item("1", stand_in::delegate("t"))]),
        );
        desk.refuse_records(5);
        carry(&post, &desk).await;
        assert_eq!((desk.item("1").progress, post.calls().len()), (Progress::Accepted, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_that_could_not_be_written_down_first() {
        let (post, desk) = (
            Post::default(),
            Desk::holding([stand_in::item("1", stand_in::delegate("t"))]),
        );
        desk.refuse_attempts(9999);
        carry(&post, &desk).await;
        assert!(post.calls().is_empty());
        let item = desk.item("1");
        assert_eq!(item.progress, Progress::Failed);
        assert!(item.detail.unwrap().contains(&journal_error().to_string()));
    }
}
