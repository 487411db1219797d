//! Clocks that survive what processes do not: time since boot (sleep included) and the boot it belongs to.

use std::time::Duration;

/// A moment of one boot, comparable between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootInstant {
    /// Names the boot.
    pub boot: String,
    /// Time since it, sleep included.
    pub since: Duration,
}

impl BootInstant {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        todo!()
    }
}
