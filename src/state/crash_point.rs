//! Places where a debug build can be told to die, so that tests can kill it at its worst moments.
//!
//! `MOLECULE_TEST_CRASH_AT=<point>:<n>` ends the process at the n-th pass of a point, as SIGKILL would: nothing is
//! flushed, nothing is dropped; `<point>:<n>:<ms>` does so a moment later, in the middle of what follows. A release build has none of this and never looks at the variable.

/// Passes a point that is named by the work under way and the step just done.
#[inline]
pub fn pass(work: &str, step: &str) {
    #[cfg(debug_assertions)]
    armed::pass(work, step);
    #[cfg(not(debug_assertions))]
    let _ = (work, step);
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::Duration;

    /// Which pass of which point is the last one.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Fate {
        pub(super) work: String,
        pub(super) step: String,
        pub(super) nth: u32,
        pub(super) later: Duration,
    }

    pub(super) fn pass(work: &str, step: &str) {
        static FATE: OnceLock<Option<Fate>> = OnceLock::new();
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let fate = FATE.get_or_init(|| parsed(&std::env::var("MOLECULE_TEST_CRASH_AT").ok()?));
        if let Some(fate) = fate
            && (fate.work.as_str(), fate.step.as_str()) == (work, step)
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == fate.nth
        {
            if fate.later.is_zero() {
                std::process::abort();
            }
            thread::spawn(|| {
                thread::sleep(fate.later);
                std::process::abort();
            });
        }
    }

    /// `work:step:n`, or `work:step:n:ms`.
    pub(super) fn parsed(text: &str) -> Option<Fate> {
        let mut parts = text.split(':');
        let (work, step) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let nth = parts.next()?.parse().ok()?;
        let later = Duration::from_millis(parts.next().map_or(Some(0), |ms| ms.parse().ok())?);
        Some(Fate { work, step, nth, later })
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::time::Duration;

    use super::armed::{Fate, parsed};

    #[test]
    fn only_a_point_with_a_count_is_a_fate() {
        let fate = |later_ms| Fate {
            work: "read".to_owned(),
            step: "committed".to_owned(),
            nth: 3,
            later: Duration::from_millis(later_ms),
        };
        assert_eq!(parsed("read:committed:3"), Some(fate(0)));
        assert_eq!(parsed("read:committed:3:50"), Some(fate(50)));
        for odd in [
            "",
            "read",
            "read:3",
            "read:committed",
            "read:committed:soon",
            "read:committed:3:soon",
        ] {
            assert_eq!(parsed(odd), None, "{odd}");
        }
    }
}
