//! What the system says of a process.

use std::time::Duration;

/// Bytes as mebibytes.
#[allow(clippy::cast_precision_loss)]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Memory of a process in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident, what it shares with others included.
    pub resident: f64,
    /// Resident and its own: what would be free without it.
    pub private: f64,
}

pub fn memory(pid: u32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kib = |name: &str| field(&text, name).unwrap_or(0);
    Memory {
        resident: mib(kib("Rss:") * 1024),
        private: mib((kib("Private_Clean:") + kib("Private_Dirty:")) * 1024),
    }
}

/// The most that was ever resident, in MiB.
pub fn peak(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    mib(field(&text, "VmHWM:").unwrap() * 1024)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The time that a process has run so far, with that of its threads that have ended, exact to two hundredths of a second.
pub fn cpu(pid: u32) -> Duration {
    // The kernel's USER_HZ, which is 100 on every common architecture.
    const TICK: Duration = Duration::from_millis(10);
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before the last parenthesis may hold anything. The 12th and 13th field after it: user and system time.
    let (_, rest) = text.rsplit_once(')').unwrap();
    let ticks = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap());
    TICK * ticks.sum::<u32>()
}

pub fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}
