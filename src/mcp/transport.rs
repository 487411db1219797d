//! The stdio transport: newline-delimited JSON-RPC with the guarantees that the library leaves to its user.
//!
//! * A client that does not read its answers is not listened to either, so memory stays bounded.
//! * Every line gets what it deserves: a request an answer, nonsense an error, and a line of any length is survived.
//! * Nothing a client sends before the session is open can end it.
//! * A reader or writer that is gone ends the session, and the end is known by its cause.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion, RequestId,
};
use rmcp::service::TxJsonRpcMessage;
use rmcp::transport::Transport;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use lines::{Line, Lines};

mod lines;

/// Longest line that is read as a message, in bytes. A longer one is refused and skipped without being kept.
pub const LINE_LIMIT: usize = 8 * 1024 * 1024;

/// Reading pauses while this many outgoing lines have not reached the client.
const UNFINISHED_LIMIT: usize = 64;
/// How long a client that has closed its side may take nothing of them before it counts as gone.
const LAST_PATIENCE: Duration = Duration::from_millis(500);

const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;

/// The ends a session can come to. Clones share them.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Cancelled by whichever end comes first, or by the program's stop: from then on nothing is read and no wait goes on.
    pub closing: CancellationToken,
    /// The client closed its side.
    pub eof: CancellationToken,
    /// An answer could not be written: the client no longer listens.
    pub broken: CancellationToken,
}

impl Ends {
    /// A session that also closes when `stop` is cancelled.
    #[must_use]
    pub fn of(stop: &CancellationToken) -> Self {
        Self {
            closing: stop.child_token(),
            eof: CancellationToken::new(),
            broken: CancellationToken::new(),
        }
    }
}

/// The program's standard streams. Where both are pipes on Linux no thread is parked in a read, so an exit need not wait.
///
/// # Panics
/// Outside of a runtime.
#[must_use]
pub fn stdio() -> (
    impl AsyncRead + Send + Unpin + 'static,
    impl AsyncWrite + Send + Unpin + 'static,
) {
    rmcp::transport::stdio_pipes()
}

/// One line on its way out, and who waits to hear that it left.
struct Outgoing {
    line: Vec<u8>,
    written: Option<oneshot::Sender<io::Result<()>>>,
}

/// The reading side, handed to the library, and the queue to the writing side.
pub struct Guard<R> {
    lines: Lines<R>,
    outgoing: Option<mpsc::UnboundedSender<Outgoing>>,
    unfinished: watch::Sender<usize>,
    ends: Ends,
    supported: Cow<'static, [ProtocolVersion]>,
    /// The library takes anything but a request for a failed start until its session is open.
    open: bool,
    in_flight: HashSet<RequestId>,
}

/// The writing side. It lives apart from the session, because an answer must leave whole even when the task that
/// asked for it is dropped.
pub struct Writer<W> {
    output: W,
    queue: mpsc::UnboundedReceiver<Outgoing>,
    unfinished: watch::Sender<usize>,
    ends: Ends,
}

/// The two sides of a transport for a server that speaks the `supported` revisions.
pub fn pair<R, W>(input: R, output: W, supported: Cow<'static, [ProtocolVersion]>, ends: Ends) -> (Guard<R>, Writer<W>)
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin,
{
    let (sender, queue) = mpsc::unbounded_channel();
    let unfinished = watch::Sender::new(0);
    let guard = Guard {
        lines: Lines::new(input, LINE_LIMIT),
        outgoing: Some(sender),
        unfinished: unfinished.clone(),
        ends: ends.clone(),
        supported,
        open: false,
        in_flight: HashSet::new(),
    };
    let writer = Writer {
        output,
        queue,
        unfinished,
        ends,
    };
    (guard, writer)
}

impl<R: AsyncRead + Send + Unpin> Transport<RoleServer> for Guard<R> {
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        match &item {
            JsonRpcMessage::Response(response) => {
                self.in_flight.remove(&response.id);
            }
            JsonRpcMessage::Error(error) => {
                if let Some(id) = &error.id {
                    self.in_flight.remove(id);
                }
            }
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => {}
        }
        // Queued at once and not when the future is first polled, so that lines leave in the order they were sent.
        let (written, outcome) = oneshot::channel();
        let queued = serde_json::to_vec(&item)
            .map_err(io::Error::from)
            .and_then(|line| self.queue(line, Some(written)));
        async move {
            queued?;
            outcome.await.unwrap_or_else(|_| Err(gone()))
        }
    }

    /// Cancel-safe: a line is either still in the buffer or already dealt with.
    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            tokio::select! {
                biased;
                () = self.ends.closing.cancelled() => return None,
                () = room(self.unfinished.subscribe()) => {}
                () = hung_up(&mut self.lines, self.unfinished.subscribe()) => {
                    tracing::warn!("the client closed its side and does not read; ending the session");
                    self.ends.eof.cancel();
                    self.ends.closing.cancel();
                    return None;
                }
            }
            let line = tokio::select! {
                biased;
                () = self.ends.closing.cancelled() => return None,
                line = self.lines.next() => line,
            };
            match line {
                Line::End => {
                    self.ends.eof.cancel();
                    self.ends.closing.cancel();
                    return None;
                }
                Line::TooLong { id } => {
                    tracing::warn!(limit = LINE_LIMIT, "refused a message that is too long");
                    let what = format!("the message is longer than {LINE_LIMIT} bytes");
                    self.refuse(id, INVALID_REQUEST, &what);
                }
                Line::Whole(bytes) => match read(&bytes) {
                    Ok(Some(message)) => {
                        if let Some(message) = self.admit(message) {
                            return Some(message);
                        }
                    }
                    Ok(None) => {}
                    Err(Unreadable { id, code, what }) => self.refuse(id, code, what),
                },
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.outgoing = None;
        Ok(())
    }
}

/// Waits until so little is unfinished that more may be asked for.
async fn room(mut unfinished: watch::Receiver<usize>) {
    // The sender lives as long as the transport that waits.
    let _ = unfinished.wait_for(|count| *count < UNFINISHED_LIMIT).await;
}

/// Waits until the client has closed its side, and then until it has taken nothing for a while.
async fn hung_up<R: AsyncRead + Unpin>(lines: &mut Lines<R>, mut unfinished: watch::Receiver<usize>) {
    lines.end().await;
    unfinished.mark_unchanged();
    while timeout(LAST_PATIENCE, unfinished.changed()).await.is_ok() {}
}

impl<R> Guard<R> {
    /// The same with another limit than [`LINE_LIMIT`].
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn with_limit(mut self, limit: usize) -> Self {
        self.lines.limit = limit;
        self
    }

    /// Lets a message through to the library, or deals with it here.
    fn admit(&mut self, message: ClientJsonRpcMessage) -> Option<ClientJsonRpcMessage> {
        match &message {
            JsonRpcMessage::Request(request) => {
                if !self.in_flight.insert(request.id.clone()) {
                    // Without the id, because the client would take this for the answer to its first request.
                    self.refuse(None, INVALID_REQUEST, "a request with the same id is still in progress");
                    return None;
                }
                self.open = self.open || opens_session(&request.request, &self.supported);
            }
            _ if !self.open => return None,
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // The library answers nothing to a cancelled request, so its id becomes free here.
                    self.in_flight.remove(id);
                }
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => {}
        }
        Some(message)
    }

    fn refuse(&self, id: Option<Value>, code: i32, what: &str) {
        let line = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": what } });
        // A failure means that the writer is gone, which `broken` already tells.
        let _ = self.queue(line.to_string().into_bytes(), None);
    }

    fn queue(&self, mut line: Vec<u8>, written: Option<oneshot::Sender<io::Result<()>>>) -> io::Result<()> {
        line.push(b'\n');
        let outgoing = self.outgoing.as_ref().ok_or_else(gone)?;
        self.unfinished.send_modify(|count| *count += 1);
        outgoing.send(Outgoing { line, written }).map_err(|_| gone())
    }
}

impl<W: AsyncWrite + Send + Unpin> Writer<W> {
    /// Writes until the session has dropped its side and all is out, or until a write fails.
    pub async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, UNFINISHED_LIMIT).await > 0 {
            let mut left = batch.len();
            let outcome = self.write(&batch, &mut left).await;
            self.unfinished.send_modify(|count| *count = count.saturating_sub(left));
            for sent in batch.drain(..) {
                if let Some(written) = sent.written {
                    let outcome = match &outcome {
                        Ok(()) => Ok(()),
                        Err(error) => Err(error.kind().into()),
                    };
                    let _ = written.send(outcome);
                }
            }
            if let Err(error) = outcome {
                tracing::warn!(%error, "the client no longer reads; ending the session");
                self.ends.broken.cancel();
                self.ends.closing.cancel();
                return;
            }
        }
    }

    /// Counts down what is left with each line that the client takes.
    async fn write(&mut self, batch: &[Outgoing], left: &mut usize) -> io::Result<()> {
        for outgoing in batch {
            self.output.write_all(&outgoing.line).await?;
            *left -= 1;
            self.unfinished.send_modify(|count| *count = count.saturating_sub(1));
        }
        self.output.flush().await
    }
}

fn gone() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// Whether the library opens its session with this request: `initialize`, or a modern request that is complete.
fn opens_session(request: &ClientRequest, supported: &[ProtocolVersion]) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::PingRequest(_) | ClientRequest::DiscoverRequest(_) => false,
        modern => {
            let meta = modern.get_meta();
            meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
                && meta
                    .protocol_version()
                    .is_some_and(|version| supported.contains(&version))
        }
    }
}

/// Why a line is no message, as the client is told.
#[derive(Debug, PartialEq)]
pub(super) struct Unreadable {
    pub(super) id: Option<Value>,
    pub(super) code: i32,
    pub(super) what: &'static str,
}

/// Reads one line. `None`: there is nothing in it that wants an answer.
pub(super) fn read(line: &[u8]) -> Result<Option<ClientJsonRpcMessage>, Unreadable> {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    if let Ok(message) = serde_json::from_slice(line) {
        return Ok(Some(message));
    }
    let refused = |id, code, what| Err(Unreadable { id, code, what });
    match serde_json::from_slice::<Value>(line) {
        Err(_) => refused(None, PARSE_ERROR, "the line is not JSON in UTF-8"),
        Ok(Value::Array(_)) => refused(
            None,
            INVALID_REQUEST,
            "batches are not supported; send one message per line",
        ),
        Ok(Value::Object(fields))
            if !fields.contains_key("method") && ["result", "error"].iter().any(|key| fields.contains_key(*key)) =>
        {
            // An answer to an answer could go back and forth for ever.
            Ok(None)
        }
        Ok(value) => refused(
            usable_id(value.get("id")),
            INVALID_REQUEST,
            "the line is not a JSON-RPC 2.0 request",
        ),
    }
}

/// The id of a request that can be answered under it: a string or an integer.
fn usable_id(id: Option<&Value>) -> Option<Value> {
    id.filter(|id| id.is_string() || id.is_i64()).cloned()
}

#[cfg(test)]
mod tests;
