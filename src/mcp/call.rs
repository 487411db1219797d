//! What a running tool knows about the call it serves: who waits for it, and whether anyone still does.

use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};
use tokio_util::sync::CancellationToken;

/// One call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    cancelled: CancellationToken,
    closing: CancellationToken,
    progress: Option<(Peer<RoleServer>, ProgressToken)>,
}

impl Call {
    /// A call of a client. `cancelled`: the client no longer wants it; `closing`: the session ends.
    #[must_use]
    pub fn new(
        cancelled: CancellationToken,
        closing: CancellationToken,
        progress: Option<(Peer<RoleServer>, ProgressToken)>,
    ) -> Self {
        Self {
            cancelled,
            closing,
            progress,
        }
    }

    /// A call that no client made; it ends early only when `stop` is cancelled.
    #[must_use]
    pub fn without_client(stop: CancellationToken) -> Self {
        Self::new(CancellationToken::new(), stop, None)
    }

    /// Resolves when waiting any longer is pointless: the client cancelled the call, or the session ends.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.cancelled.cancelled() => {}
            () = self.closing.cancelled() => {}
        }
    }

    /// Whether [`Self::ended`] would resolve now: an answer may no longer reach anyone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.cancelled.is_cancelled() || self.closing.is_cancelled()
    }

    /// Whether the client itself cancelled the call, so that no answer will be sent.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Whether the client asked for progress, and so knows that this call lives.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        self.progress.is_some()
    }

    /// Tells the client how far the call is, in seconds of `total`. Nothing happens when it did not ask.
    pub async fn progress(&self, seconds: f64, total: f64, message: &str) {
        let Some((peer, token)) = &self.progress else { return };
        let note = ProgressNotificationParam::new(token.clone(), seconds)
            .with_total(total)
            .with_message(message);
        // The library leaves this hanging when the session ends just now.
        tokio::select! {
            _ = peer.notify_progress(note) => {}
            () = self.ended() => {}
        }
    }
}
