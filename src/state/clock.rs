//! Time: the one place where this program asks what time it is.
//!
//! | clock | for |
//! |---|---|
//! | [`Timestamp::now`], the wall clock | what outlives a boot, and what people read; it jumps in both directions |
//! | [`BootInstant::now`], since boot, sleep included | leases, and how long the platform has not heard from us |
//! | [`BootInstant::awake`], since boot, sleep not included | whether another process makes progress |
//! | tokio's `Instant`, since any moment, sleep not included | timers; unit tests pause it |
//!
//! [`Clock`] hands the first two to the journal, so that its tests need no waiting. Debug builds can be made to believe in
//! jumps, see `jumps`.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::Utc;
use serde::{Deserialize, Serialize};

use crate::types::Timestamp;

/// How far two guesses at the time of one boot may lie apart where the system does not name its boots.
#[cfg(any(test, not(target_os = "linux")))]
const GUESS_TOLERANCE_SECS: i64 = 300;

impl Timestamp {
    /// Now, by the wall clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros()).plus_micros(jumps::now().wall_micros)
    }
}

/// A moment of one boot, comparable between processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootInstant {
    /// Names the boot: the kernel's boot id, or `~` and the guessed boot time in Unix seconds.
    pub boot: String,
    /// Time since it.
    pub since: Duration,
}

impl BootInstant {
    /// Now, by a clock that counts the time the computer sleeps.
    #[must_use]
    pub fn now() -> Self {
        let since = since_boot();
        Self {
            boot: boot_name(since),
            since: since + jumps::now().asleep,
        }
    }

    /// Now, by a clock that stands still while the computer sleeps. Not comparable with [`Self::now`].
    #[must_use]
    pub fn awake() -> Self {
        Self {
            boot: boot_name(since_boot()),
            since: awake_since_boot(),
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
    awake_since_boot()
}

#[cfg(unix)]
fn awake_since_boot() -> Duration {
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

#[cfg(not(unix))]
fn awake_since_boot() -> Duration {
    since_boot()
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

/// How long ago a file was changed, by the clock its file system writes down, which no test moves. `None`: nobody knows.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "compared with the file system's own clock")]
pub fn age_of(file: &std::fs::Metadata) -> Option<Duration> {
    let changed = file.modified().ok()?;
    Some(std::time::SystemTime::now().duration_since(changed).unwrap_or_default())
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

/// Jumps that a test makes this process see. A release build has none of this and never looks at the variable.
///
/// `MOLECULE_TEST_CLOCK` names a file of two whole numbers of seconds: how far the wall clock has jumped (negative: back),
/// and how long the computer has slept. It is read at every look at a clock, so processes that share it jump together.
mod jumps {
    use std::time::Duration;

    /// All that has happened to the clocks so far.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Jumps {
        pub(super) wall_micros: i64,
        pub(super) asleep: Duration,
    }

    #[cfg(not(debug_assertions))]
    pub(super) fn now() -> Jumps {
        Jumps::default()
    }

    #[cfg(debug_assertions)]
    pub(super) fn now() -> Jumps {
        use std::sync::OnceLock;
        static FILE: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
        let file = FILE.get_or_init(|| std::env::var_os("MOLECULE_TEST_CLOCK"));
        file.as_ref()
            .and_then(|file| parsed(&std::fs::read_to_string(file).ok()?))
            .unwrap_or_default()
    }

    #[cfg(debug_assertions)]
    pub(super) fn parsed(text: &str) -> Option<Jumps> {
        let (wall, asleep) = text.trim().split_once(' ')?;
        Some(Jumps {
            wall_micros: wall.parse::<i64>().ok()?.checked_mul(1_000_000)?,
            asleep: Duration::from_secs(asleep.parse().ok()?),
        })
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
    fn the_clock_that_stands_still_in_sleep_is_never_ahead() {
        let (awake, now) = (BootInstant::awake(), BootInstant::now());
        assert!(awake.since <= now.since, "{awake:?} {now:?}");
        assert!(BootInstant::awake().since >= awake.since);
        assert!(now.is_of_boot(&awake.boot));
    }

    #[cfg(debug_assertions)]
    #[test]
    fn jumps_are_two_numbers_of_seconds() {
        let jumps = |wall_micros, secs| {
            let asleep = Duration::from_secs(secs);
            Some(jumps::Jumps { wall_micros, asleep })
        };
        assert_eq!(jumps::parsed("-3600 60\n"), jumps(-3_600_000_000, 60));
        assert_eq!(jumps::parsed("0 0"), jumps(0, 0));
        for odd in ["", "1", "1 -1", "x 1", "1 x", "9223372036854775807 0"] {
            assert_eq!(jumps::parsed(odd), None, "{odd}");
        }
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
