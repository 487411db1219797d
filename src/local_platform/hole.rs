//! A way that swallows everything: connections come up, nothing is read, nothing is answered, and nothing ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Even: the way is open. Connections belong to the time in which they were accepted, and do not outlive it.
#[derive(Debug, Default)]
pub(crate) struct Hole(AtomicU64);

/// What one connection knows of it.
pub(crate) struct Trace {
    hole: Arc<Hole>,
    born: u64,
}

impl Hole {
    /// From now on everything is swallowed.
    pub(crate) fn open(&self) {
        self.0.fetch_or(1, Ordering::Relaxed);
    }

    /// New connections work again. Those from before stay swallowed, as after a router has forgotten them.
    pub(crate) fn close(&self) {
        if self.is_open() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// For a connection that was just accepted.
    pub(crate) fn trace(self: &Arc<Self>) -> Trace {
        Trace {
            born: self.0.load(Ordering::Relaxed),
            hole: Arc::clone(self),
        }
    }

    fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) % 2 == 1
    }
}

impl Trace {
    /// Whether nothing passes over this connection.
    pub(crate) fn is_swallowed(&self) -> bool {
        self.hole.is_open() || self.hole.0.load(Ordering::Relaxed) != self.born
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_from_before_and_within_stay_swallowed_and_later_ones_work() {
        let hole = Arc::new(Hole::default());
        hole.close();
        let before = hole.trace();
        assert!(!before.is_swallowed());
        for _ in 0..2 {
            hole.open();
            hole.open();
            let within = hole.trace();
            assert!(before.is_swallowed() && within.is_swallowed());
            hole.close();
            hole.close();
            let after = hole.trace();
            assert!(before.is_swallowed() && within.is_swallowed() && !after.is_swallowed());
        }
    }
}
