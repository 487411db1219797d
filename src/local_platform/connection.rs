//! Connections that can be spoiled from inside: cut, for faults that close without an answer and for a stop that waits for
//! nobody; slowed down to a byte at a time; or swallowed whole.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::hole::{Hole, Trace};

/// The listening socket. Cancelling `stop` cuts every connection it accepted.
pub(crate) struct CuttableListener {
    pub(crate) tcp: TcpListener,
    pub(crate) stop: CancellationToken,
    pub(crate) hole: Arc<Hole>,
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        loop {
            match self.tcp.accept().await {
                Ok((tcp, address)) => {
                    // Without it small events wait for the acknowledgement of the one before.
                    let _ = tcp.set_nodelay(true);
                    let token = self.stop.child_token();
                    let stream = CuttableStream {
                        tcp,
                        waiting: Box::pin(token.clone().cancelled_owned()),
                        cut: Cut {
                            token,
                            drip_ms: Arc::default(),
                        },
                        resting: None,
                        trace: self.hole.trace(),
                    };
                    return (stream, address);
                }
                Err(error) => {
                    tracing::warn!(%error, "the embedded platform could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// One accepted connection.
pub(crate) struct CuttableStream {
    tcp: TcpStream,
    cut: Cut,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Between two bytes.
    resting: Option<Pin<Box<Sleep>>>,
    trace: Trace,
}

impl CuttableStream {
    /// Whether bytes pass. Polled, not only looked at, so that an idle connection wakes up when it is cut.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.as_mut().poll(cx).is_ready() {
            Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
        } else if self.trace.is_swallowed() {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// How much of `buf` may be written now.
    fn poll_allowance(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?;
        if let Some(rest) = &mut self.resting {
            ready!(rest.as_mut().poll(cx));
            self.resting = None;
        }
        Poll::Ready(Ok(if self.cut.drips() { 1 } else { usize::MAX }))
    }

    fn rest(&mut self) {
        let pause = self.cut.drip_ms.load(Ordering::Relaxed);
        self.resting = (pause > 0).then(|| Box::pin(tokio::time::sleep(Duration::from_millis(pause))));
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let most = ready!(self.poll_allowance(cx))?.min(buf.len());
        let written = ready!(Pin::new(&mut self.tcp).poll_write(cx, &buf[..most]))?;
        self.rest();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.cut.drips() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return self.poll_write(cx, first.map_or(&[], |buf| buf));
        }
        ready!(self.poll_open(cx))?;
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}

/// The handle a request has on the connection it came over.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    token: CancellationToken,
    drip_ms: Arc<AtomicU64>,
}

impl Cut {
    /// Closes the connection; nothing more is read or written.
    pub(crate) fn now(&self) {
        self.token.cancel();
    }

    /// Whether it is closed already.
    pub(crate) fn happened(&self) -> bool {
        self.token.is_cancelled()
    }

    /// From now on the connection rests after each byte that it sends.
    pub(crate) fn drip(&self, rest: Duration) {
        let rest = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX).max(1);
        self.drip_ms.store(rest, Ordering::Relaxed);
    }

    fn drips(&self) -> bool {
        self.drip_ms.load(Ordering::Relaxed) > 0
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}
