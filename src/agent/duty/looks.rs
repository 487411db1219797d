//! Work on files, done together: what a process does in each round for all its workspaces costs one wake of one thread.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// The looks at locks and records, and the writing of records, of all workspaces of a process. Clones share the thread.
///
/// A look runs on a thread for blocking work, since a disk that hangs must not hold up anything else; those that are wanted
/// meanwhile follow on the same thread.
#[derive(Clone, Default)]
pub struct Looks(Arc<Mutex<Queue>>);

type Look = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    waiting: Vec<Look>,
    has_thread: bool,
}

impl Looks {
    /// Takes one look.
    ///
    /// # Errors
    /// Those of the look, and when it panics.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        look: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = oneshot::channel();
        self.add(Box::new(move || drop(tell.send(look()))));
        told.await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
    }

    fn add(&self, look: Look) {
        let mut queue = self.lock();
        queue.waiting.push(look);
        if !std::mem::replace(&mut queue.has_thread, true) {
            let looks = self.clone();
            drop(spawn_blocking(move || looks.work()));
        }
    }

    /// Takes the looks that wait, until there are none.
    fn work(&self) {
        loop {
            let mut queue = self.lock();
            let batch = std::mem::take(&mut queue.waiting);
            queue.has_thread = !batch.is_empty();
            drop(queue);
            if batch.is_empty() {
                return;
            }
            for look in batch {
                // Whoever waits for it is told by the end of its channel.
                let _ = catch_unwind(AssertUnwindSafe(look));
            }
        }
    }

    // No look runs while it is held.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Looks")
    }
}

/// How long until a process has lived a whole number of these periods: all that look once in each do so at the same moments, and
/// are woken together.
pub(super) fn until_next_round(lived: Duration, every: Duration) -> Duration {
    let into = lived.as_nanos() % every.as_nanos().max(1);
    every - Duration::from_nanos(u64::try_from(into).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[tokio::test]
    async fn looks_wanted_while_one_is_taken_follow_on_its_thread_in_their_order() {
        let looks = Looks::default();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let first = looks.take(move || {
            may_go_on.recv().map_err(io::Error::other)?;
            Ok(thread::current().id())
        });
        let later = (0..20).map(|_| looks.take(|| Ok(thread::current().id())));
        let all = futures_util::future::join_all(later);
        let begin = async { go_on.send(()).map_err(io::Error::other) };
        let (first, later, begun) = tokio::join!(first, all, begin);
        begun.unwrap();
        let first = first.unwrap();
        assert!(later.into_iter().all(|thread| thread.unwrap() == first));
    }

    #[tokio::test]
    async fn a_look_that_fails_or_panics_is_told_and_the_next_is_taken() {
        let looks = Looks::default();
        let failed = looks.take(|| Err::<(), _>(io::ErrorKind::NotFound.into())).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        let panicked = looks.take(|| -> io::Result<()> { panic!("a bug") }).await;
        assert_eq!(panicked.unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(looks.take(|| Ok(7)).await.unwrap(), 7);
    }

    #[test]
    fn rounds_are_whole_periods_of_a_life() {
        let until =
            |millis, every| until_next_round(Duration::from_millis(millis), Duration::from_millis(every)).as_millis();
        let expected = [
            (0, 1000, 1000),
            (1, 1000, 999),
            (999, 1000, 1),
            (1000, 1000, 1000),
            (61_400, 1000, 600),
            (31_000, 15_000, 14_000),
            (7, 0, 0),
        ];
        for (lived, every, left) in expected {
            assert_eq!(until(lived, every), left, "{lived} {every}");
        }
    }
}
