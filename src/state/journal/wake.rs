//! Waking other processes: a touched file, watched by each of them. Only a hint; a look every second backs it up.
//!
//! Each process also keeps the file open, and Linux tells when one closes it. So the end of a session wakes the others, too,
//! however it ends.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use crate::state::lock::open_private;

/// The file `wake` and the watch on it.
pub(super) struct Wake {
    file: Option<File>,
    /// Ends its thread when dropped.
    _watcher: Option<RecommendedWatcher>,
}

impl Wake {
    /// Watches `<dir>/wake` and notifies `woken` after each touch, ours included, and when a process lets go of it.
    ///
    /// A system that cannot watch files (too many watches, a network file system) costs up to a second, nothing else.
    pub(super) fn new(dir: &Path, woken: &Arc<Notify>) -> Self {
        let path = dir.join("wake");
        let file = open_private(&path);
        if let Err(error) = &file {
            tracing::warn!(%error, "other processes cannot be woken by a file; they look once a second");
        }
        let woken = woken.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| is_call(event.kind)) {
                woken.notify_one();
            }
        })
        .and_then(|mut watcher| {
            watcher.watch(&path, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::debug!(%error, "the wake file is not watched; looking once a second");
        }
        Self {
            file: file.ok(),
            _watcher: watcher.ok(),
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

impl Drop for Wake {
    /// The session has ended. Where closing a file is no event, this is.
    fn drop(&mut self) {
        self.touch();
    }
}

/// Reads and opens are events, too, but of no interest.
fn is_call(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Modify(_) | EventKind::Any | EventKind::Access(AccessKind::Close(AccessMode::Write))
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_touch_wakes_every_watcher() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, theirs) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let first = Wake::new(dir.path(), &ours);
        let _second = Wake::new(dir.path(), &theirs);
        for _ in 0..3 {
            first.touch();
            for woken in [&ours, &theirs] {
                tokio::time::timeout(Duration::from_secs(10), woken.notified())
                    .await
                    .unwrap();
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_process_that_dies_wakes_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let woken = Arc::new(Notify::new());
        let _watching = Wake::new(dir.path(), &woken);
        let dies = std::process::Command::new("sleep")
            .arg("600")
            .stdin(File::options().write(true).open(dir.path().join("wake")).unwrap())
            .spawn();
        let mut dies = dies.unwrap();
        // Our own handle, which the child inherited a copy of, was closed by now.
        let quiet = async {
            let pause = Duration::from_millis(300);
            while tokio::time::timeout(pause, woken.notified()).await.is_ok() {}
        };
        quiet.await;
        dies.kill().unwrap();
        dies.wait().unwrap();
        let called = tokio::time::timeout(Duration::from_secs(10), woken.notified());
        called.await.unwrap();
    }

    #[test]
    fn without_its_folder_nothing_breaks() {
        let wake = Wake::new(Path::new("/nonexistent/folder"), &Arc::new(Notify::new()));
        wake.touch();
    }
}
