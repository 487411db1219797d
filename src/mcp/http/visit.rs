//! One client's session: what of it is open, and when it counts as gone.

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use rmcp::model::RequestId;
use rmcp::transport::streamable_http_server::session::SessionId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{CALLS, Hall};
use crate::config::Timing;

/// How long a client may be silent that has nothing open: as long as a message is leased.
const SILENT: Duration = Duration::from_secs(600);
/// The same where the last thing open broke off. On one computer a connection breaks when its program ends.
const BROKEN_OFF: Duration = Duration::from_secs(60);

/// What is known of a client.
pub(super) struct Visit {
    /// Cancelled when the session ends: no wait goes on from then on.
    pub(super) closing: CancellationToken,
    /// Cancelled when even streams that are not read to their end have to go.
    pub(super) cut: CancellationToken,
    /// Cancelled when nothing is left of the session.
    pub(super) over: CancellationToken,
    presence: watch::Sender<Presence>,
    /// The calls that are not answered yet.
    calls: watch::Sender<HashSet<RequestId>>,
    /// How often it came back for what it had missed.
    returns: AtomicU64,
}

#[derive(Clone, Copy)]
struct Presence {
    /// Requests whose answers have not left whole.
    open: usize,
    /// When that changed last.
    since: Instant,
    broke_off: bool,
}

impl Visit {
    /// A client that has just come.
    pub(super) fn new(closing: CancellationToken) -> Self {
        Self {
            closing,
            cut: CancellationToken::new(),
            over: CancellationToken::new(),
            presence: watch::Sender::new(Presence {
                open: 0,
                since: Instant::now(),
                broke_off: false,
            }),
            calls: watch::Sender::default(),
            returns: AtomicU64::new(0),
        }
    }

    /// A call begins.
    ///
    /// # Errors
    /// Why it must not.
    pub(super) fn begin(&self, call: &RequestId) -> Result<(), &'static str> {
        let mut outcome = Ok(());
        self.calls.send_if_modified(|calls| {
            if calls.len() >= CALLS {
                outcome = Err("too many calls are in progress");
                return false;
            }
            if !calls.insert(call.clone()) {
                outcome = Err("a request with the same id is still in progress");
            }
            outcome.is_ok()
        });
        outcome
    }

    /// A call was answered, or needs no answer any more.
    pub(super) fn finished(&self, call: &RequestId) {
        self.calls.send_if_modified(|calls| calls.remove(call));
    }

    /// Waits until no call is in progress.
    pub(super) async fn all_answered(&self) {
        // The sender lives as long as this.
        let _ = self.calls.subscribe().wait_for(HashSet::is_empty).await;
    }

    /// It asks for what it has missed.
    pub(super) fn came_back(&self) {
        self.returns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn times_come_back(&self) -> u64 {
        self.returns.load(Ordering::Relaxed)
    }

    /// Waits until nothing has been open for so long that the client counts as gone.
    pub(super) async fn abandoned(&self, timing: Timing) {
        let mut presence = self.presence.subscribe();
        loop {
            let now = *presence.borrow_and_update();
            let patience = timing.of(if now.broke_off { BROKEN_OFF } else { SILENT });
            tokio::select! {
                _ = presence.changed() => {}
                () = sleep_until(now.since + patience), if now.open == 0 => return,
            }
        }
    }

    /// Since when nothing has been open, if that is so.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let now = *self.presence.borrow();
        (now.open == 0).then_some(now.since)
    }

    fn came(&self) {
        self.presence.send_modify(|now| {
            now.open += 1;
            now.broke_off = false;
        });
    }

    fn left(&self, broke_off: bool) {
        self.presence.send_modify(|now| {
            now.open = now.open.saturating_sub(1);
            now.since = Instant::now();
            now.broke_off = broke_off;
        });
    }
}

/// One request, from when it came until its answer has left.
pub(super) struct Departure {
    hall: Hall,
    id: SessionId,
    visit: Arc<Visit>,
    call: Option<RequestId>,
    is_whole: bool,
}

impl Departure {
    /// It came, with this call if it is one.
    pub(super) fn new(hall: &Hall, id: SessionId, visit: Arc<Visit>, call: Option<RequestId>) -> Self {
        visit.came();
        Self {
            hall: hall.clone(),
            id,
            visit,
            call,
            is_whole: false,
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.visit.left(!self.is_whole);
        let Some(call) = self.call.take() else { return };
        if self.is_whole {
            self.visit.finished(&call);
        } else {
            self.hall.missed(self.id.clone(), Arc::clone(&self.visit), call);
        }
    }
}

/// The body of an answer, which knows whether it left whole.
pub(super) struct Exchange {
    body: BoxBody<Bytes, Infallible>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    departure: Departure,
}

impl Exchange {
    pub(super) fn new(body: BoxBody<Bytes, Infallible>, departure: Departure) -> Self {
        Self {
            body,
            cut: Box::pin(departure.visit.cut.clone().cancelled_owned()),
            departure,
        }
    }
}

impl Body for Exchange {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if frame.is_pending() && self.cut.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        match frame {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(frame)),
            Poll::Ready(None) | Poll::Pending => {
                self.departure.is_whole = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Exchange {
    /// A body whose length is known is not asked for its end.
    fn drop(&mut self) {
        self.departure.is_whole |= self.body.is_end_stream();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long after the last thing that happened the client counts as gone; `None`: it does not.
    async fn patience(visit: &Visit) -> Option<Duration> {
        let begun = Instant::now();
        let gone = tokio::time::timeout(Duration::from_secs(86_400), visit.abandoned(Timing::REAL));
        gone.await.ok().map(|()| begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_gone_when_nothing_of_it_has_been_open_for_a_while() {
        let visit = Visit::new(CancellationToken::new());
        assert_eq!(patience(&visit).await, Some(SILENT));
        visit.came();
        visit.came();
        assert_eq!(patience(&visit).await, None, "a stream may be silent for ever");
        visit.left(true);
        assert_eq!(patience(&visit).await, None, "another one is open");
        visit.left(true);
        assert_eq!(patience(&visit).await, Some(BROKEN_OFF));
        visit.came();
        visit.left(false);
        assert_eq!(patience(&visit).await, Some(SILENT), "it has come back");
    }

    #[tokio::test]
    async fn calls_have_ids_of_their_own_and_a_limit() {
        let visit = Visit::new(CancellationToken::new());
        let id = |number| RequestId::Number(number);
        visit.all_answered().await;
        for number in 0..i64::try_from(CALLS).unwrap() {
            visit.begin(&id(number)).unwrap();
        }
        assert!(visit.begin(&id(1000)).is_err());
        visit.finished(&id(0));
        assert!(visit.begin(&id(1)).is_err(), "it is in progress");
        visit.begin(&id(0)).unwrap();
    }
}
