//! Looks at files, taken together: what a process looks at each second for its workspaces costs one wake of one thread.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// What all workspaces of a process look at. Clones share the thread.
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

/// How long until the next whole second of a process's life: where all that look each second do so at once.
pub(super) fn until_next_round(lived: Duration) -> Duration {
    super::TRY_AGAIN - Duration::from_nanos(lived.subsec_nanos().into())
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
    fn rounds_are_whole_seconds() {
        let until = |millis| until_next_round(Duration::from_millis(millis)).as_millis();
        assert_eq!(
            [0, 1, 250, 999, 1000, 61_400].map(until),
            [1000, 999, 750, 1, 1000, 600]
        );
    }
}
