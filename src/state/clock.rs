//! Clocks that survive what processes do not: time since boot (sleep included) and the boot it belongs to.
//!
//! [`Clock`] is the one seam through which the journal reads time, so that tests need no waiting.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::types::Timestamp;

/// How far two guesses at the time of one boot may lie apart where the system does not name its boots.
#[cfg(any(test, not(target_os = "linux")))]
const GUESS_TOLERANCE_SECS: i64 = 300;

/// A moment of one boot, comparable between processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootInstant {
    /// Names the boot: the kernel's boot id, or `~` and the guessed boot time in Unix seconds.
    pub boot: String,
    /// Time since it, sleep included.
    pub since: Duration,
}

impl BootInstant {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let since = since_boot();
        Self {
            boot: boot_name(since),
            since,
        }
    }

    /// Whether `boot`, written down earlier, names the boot of this instant.
    ///
    /// Guessed boot times count as the same when they lie within five minutes: the wall clock is adjusted now and then.
    #[must_use]
    pub fn is_of_boot(&self, boot: &str) -> bool {
        if self.boot == boot {
            return true;
        }
        #[cfg(any(test, not(target_os = "linux")))]
        {
            let guess = |name: &str| name.strip_prefix('~').and_then(|secs| secs.parse::<i64>().ok());
            if let (Some(ours), Some(theirs)) = (guess(&self.boot), guess(boot)) {
                return ours.abs_diff(theirs) <= GUESS_TOLERANCE_SECS.unsigned_abs();
            }
        }
        false
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    duration_of(rustix::time::ClockId::Boottime)
}

/// On the BSD family and macOS the monotonic clock goes on during sleep.
#[cfg(all(unix, not(target_os = "linux")))]
fn since_boot() -> Duration {
    duration_of(rustix::time::ClockId::Monotonic)
}

#[cfg(unix)]
fn duration_of(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// Without a clock that counts from boot, the wall clock stands in: every process sees the same one.
#[cfg(not(unix))]
fn since_boot() -> Duration {
    Duration::from_micros(u64::try_from(Timestamp::now().0).unwrap_or(0))
}

/// The kernel names each boot; where that file is missing the boot time is guessed, as on other systems.
#[cfg(target_os = "linux")]
fn boot_name(since: Duration) -> String {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    })
    .clone()
    .unwrap_or_else(|| guessed_boot(since))
}

#[cfg(not(target_os = "linux"))]
fn boot_name(since: Duration) -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| guessed_boot(since)).clone()
}

fn guessed_boot(since: Duration) -> String {
    let since = i64::try_from(since.as_secs()).unwrap_or(0);
    format!("~{}", Timestamp::now().0 / 1_000_000 - since)
}

/// Where the time comes from.
pub trait TimeSource: Send + Sync {
    /// Time since boot, for leases.
    fn boot(&self) -> BootInstant;
    /// The wall clock, for what is kept longer than one boot.
    fn wall(&self) -> Timestamp;
}

/// The system's own clocks.
struct SystemTime;

impl TimeSource for SystemTime {
    fn boot(&self) -> BootInstant {
        BootInstant::now()
    }
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Both clocks. Clones share their source.
#[derive(Clone)]
pub struct Clock(Arc<dyn TimeSource>);

impl Clock {
    /// The system's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(SystemTime))
    }

    /// Clocks from elsewhere.
    #[must_use]
    pub fn from_source(source: Arc<dyn TimeSource>) -> Self {
        Self(source)
    }

    /// The moment of this boot.
    #[must_use]
    pub fn boot(&self) -> BootInstant {
        self.0.boot()
    }

    /// The wall-clock time.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.0.wall()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A clock that stands still until a test moves it.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct ManualTime(std::sync::Mutex<(BootInstant, Timestamp)>);

#[cfg(test)]
impl ManualTime {
    pub(crate) fn starting_at(wall: Timestamp) -> Arc<Self> {
        let boot = BootInstant {
            boot: "boot-1".to_owned(),
            since: Duration::from_secs(1000),
        };
        Arc::new(Self(std::sync::Mutex::new((boot, wall))))
    }

    pub(crate) fn clock(self: &Arc<Self>) -> Clock {
        Clock::from_source(self.clone())
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        now.0.since += by;
        now.1 = now.1.plus_micros(i64::try_from(by.as_micros()).unwrap());
    }

    pub(crate) fn reboot(&self) {
        let mut now = self.0.lock().unwrap();
        now.0.boot.push('+');
        now.0.since = Duration::from_secs(1);
    }
}

#[cfg(test)]
impl TimeSource for ManualTime {
    fn boot(&self) -> BootInstant {
        self.0.lock().unwrap().0.clone()
    }
    fn wall(&self) -> Timestamp {
        self.0.lock().unwrap().1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_moves_on_within_one_boot() {
        let first = BootInstant::now();
        let second = BootInstant::now();
        assert!(!first.boot.is_empty());
        assert!(second.is_of_boot(&first.boot));
        assert!(second.since >= first.since);
    }

    #[test]
    fn boots_are_told_apart_and_guesses_tolerate_a_clock_adjustment() {
        let at = |boot: &str| BootInstant {
            boot: boot.to_owned(),
            since: Duration::ZERO,
        };
        for (ours, theirs, same) in [
            ("abc", "abc", true),
            ("abc", "abd", false),
            ("~1000", "~1300", true),
            ("~1000", "~1301", false),
            ("~1000", "abc", false),
            ("~1000", "~x", false),
            ("abc", "", false),
        ] {
            assert_eq!(at(ours).is_of_boot(theirs), same, "{ours} {theirs}");
        }
    }
}
