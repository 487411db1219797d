//! Waking other processes: a touched file, watched by each of them. Only a hint; a look every second backs it up.
//!
//! Each process also keeps the file open, and Linux tells when one closes it. So the end of a session wakes the others, too,
//! however it ends.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::state::lock::open_private;

/// How long after a process let go of the file its lock is free, too: the kernel gives up both, in no certain order.
const LOCK_IS_FREE: Duration = Duration::from_millis(50);

/// Calls as they arrive in this process.
#[derive(Default)]
pub(super) struct Calls {
    arrived: Notify,
    /// A process has let go of the file.
    ended: AtomicBool,
}

impl Calls {
    /// Waits for a call, at most so long, and says how long to wait for the next one: as long as that, or just until the lock
    /// of a process that has ended is certainly free.
    pub(super) async fn next(&self, wait: Duration, at_most: Duration) -> Duration {
        let _ = timeout(wait, self.arrived.notified()).await;
        if self.ended.swap(false, Ordering::Relaxed) {
            at_most.min(LOCK_IS_FREE)
        } else {
            at_most
        }
    }

    /// Lets [`Self::next`] come back.
    pub(super) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Reads and opens are events, too, but of no interest.
    fn take(&self, event: EventKind) {
        match event {
            EventKind::Modify(_) | EventKind::Any => self.wake(),
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.ended.store(true, Ordering::Relaxed);
                self.wake();
            }
            _ => {}
        }
    }
}

/// The file `wake` and the watch on it.
pub(super) struct Wake {
    file: Option<File>,
    /// Ends its thread when dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Wake {
    /// Watches `<dir>/wake`: each touch is a call, ours included, and so is its closing by a process.
    ///
    /// A system that cannot watch files (too many watches, a network file system) costs up to a second, nothing else.
    pub(super) fn new(dir: &Path, calls: &Arc<Calls>) -> Self {
        let path = dir.join("wake");
        let file = open_private(&path);
        if let Err(error) = &file {
            tracing::warn!(%error, "other processes cannot be woken by a file; they look once a second");
        }
        Self {
            file: file.ok(),
            // The fuzzer has no other processes, and does the same again with the same bytes: no thread of its own may call.
            _watcher: if cfg!(feature = "fuzzing") {
                None
            } else {
                watch(&path, calls)
            },
        }
    }

    /// Touches the file. The same byte is written again: a full disk does not matter.
    pub(super) fn touch(&self) {
        let touched = |mut file: &File| -> io::Result<()> {
            file.rewind()?;
            file.write_all(b".")
        };
        if let Some(Err(error)) = self.file.as_ref().map(touched) {
            tracing::debug!(%error, "the wake file could not be touched");
        }
    }
}

fn watch(path: &Path, calls: &Arc<Calls>) -> Option<RecommendedWatcher> {
    let calls = calls.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if let Ok(event) = event {
            calls.take(event.kind);
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(path, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    if let Err(error) = &watcher {
        tracing::debug!(%error, "the wake file is not watched; looking once a second");
    }
    watcher.ok()
}

impl Drop for Wake {
    /// The session has ended. Where closing a file is no event, this is.
    fn drop(&mut self) {
        self.touch();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Far more than a call takes.
    const LONG: Duration = Duration::from_secs(20);

    async fn is_called(calls: &Calls) {
        let begun = Instant::now();
        calls.next(LONG, LONG).await;
        assert!(begun.elapsed() < LONG);
    }

    #[tokio::test]
    async fn a_touch_wakes_every_watcher() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Arc::new(Calls::default()), Arc::new(Calls::default()));
        let first = Wake::new(dir.path(), &ours);
        let _second = Wake::new(dir.path(), &theirs);
        for _ in 0..3 {
            first.touch();
            for calls in [&ours, &theirs] {
                is_called(calls).await;
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_process_that_dies_wakes_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let calls = Arc::new(Calls::default());
        let _watching = Wake::new(dir.path(), &calls);
        let file = File::options().write(true).open(dir.path().join("wake")).unwrap();
        let mut dies = std::process::Command::new("sleep")
            .arg("600")
            .stdin(file)
            .spawn()
            .unwrap();
        // Our own handle, of which the child has a copy, is closed by now, and the call that this makes is over.
        while timeout(Duration::from_millis(500), calls.arrived.notified())
            .await
            .is_ok()
        {}
        dies.kill().unwrap();
        dies.wait().unwrap();
        is_called(&calls).await;
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_end_of_a_process_there_is_a_second_look_and_then_quiet() {
        let calls = Calls::default();
        let begun = Instant::now();
        let (mut wait, mut took) = (LONG, Vec::new());
        calls.take(EventKind::Access(AccessKind::Close(AccessMode::Write)));
        calls.take(EventKind::Access(AccessKind::Open(AccessMode::Any)));
        for _ in 0..3 {
            wait = calls.next(wait, LONG).await;
            took.push(begun.elapsed().as_millis());
        }
        assert_eq!(took, [0, 50, 50 + LONG.as_millis()]);
    }

    #[test]
    fn without_its_folder_nothing_breaks() {
        let wake = Wake::new(Path::new("/nonexistent/folder"), &Arc::default());
        wake.touch();
    }
}
