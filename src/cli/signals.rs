//! Signals: the first one asks everything to end, the second one ends the process at once.

use tokio_util::sync::CancellationToken;

/// Cancels `stop` on SIGTERM or SIGINT. The signal after that exits with 128 + its number, without waiting for anything.
pub fn stop_on_signals(stop: &CancellationToken) {
    let stop = stop.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        stop.cancel();
        let number = wait_for_signal().await;
        std::process::exit(128 + number);
    });
}

/// For a command that sits in a question to a person: the first signal ends the process. The moment in between lets a hidden
/// question show the terminal's echo again.
pub fn exit_when_stopped(stop: CancellationToken) {
    tokio::spawn(async move {
        stop.cancelled().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        std::process::exit(130);
    });
}

/// Has a write beyond the allowed size of files (`ulimit -f`) fail like one on a full disk, instead of ending the process.
pub fn survive_file_size_limit() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let beyond = rustix::process::Signal::XFSZ.as_raw();
        // Once caught it stays so, whether or not anybody listens.
        if let Err(error) = signal(SignalKind::from_raw(beyond)) {
            tracing::debug!(%error, "the signal of the file size limit cannot be caught");
        }
    }
}

#[cfg(unix)]
async fn wait_for_signal() -> i32 {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() -> i32 {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    2
}
