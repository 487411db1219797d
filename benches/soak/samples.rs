//! What a leak would show in, read once a minute while all is well.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::cast::{Cast, NAMES};
use super::ledger::Ledger;
use super::process;

/// One process at one time.
#[derive(Clone, Copy, Debug)]
struct Reading {
    resident: f64,
    private: f64,
    descriptors: f64,
    threads: f64,
    cpu: Duration,
}

/// The state folder at one time, in bytes.
#[derive(Clone, Copy, Debug)]
struct Folder {
    journal: u64,
    ahead: u64,
    rest: u64,
    messages: usize,
}

/// A quantity, how to read it, and how much of it is noise.
type Quantity = (&'static str, fn(&Reading) -> f64, f64);

const QUANTITIES: [Quantity; 4] = [
    ("resident MiB", |reading| reading.resident, 2.0),
    ("private MiB", |reading| reading.private, 2.0),
    ("descriptors", |reading| reading.descriptors, 3.0),
    ("threads", |reading| reading.threads, 3.0),
];

#[derive(Default)]
pub struct Samples {
    at: Vec<Duration>,
    /// By process, in the order of [`NAMES`].
    readings: [Vec<Reading>; NAMES.len()],
    folders: Vec<Folder>,
    back: BTreeMap<&'static str, Vec<Duration>>,
}

impl Samples {
    /// What the lines of [`Self::take`] show.
    pub const HEAD: &'static str = "minute | for each process: private MiB, descriptors, threads | journal, write-ahead log, other files in KiB | messages";

    pub fn take(&mut self, at: Duration, cast: &Cast, ledger: &Ledger) {
        self.at.push(at);
        let mut line = format!("{:6.1}", at.as_secs_f64() / 60.0);
        for (series, player) in self.readings.iter_mut().zip(&cast.daemons) {
            let reading = Reading::of(player.pid);
            line += &format!(
                " | {:5.1} {:3} {:3}",
                reading.private, reading.descriptors, reading.threads
            );
            series.push(reading);
        }
        let folder = Folder::of(&cast.workspaces[0].folder, ledger.count());
        println!(
            "{line} | {:6} {:5} {:6} | {}",
            folder.journal / 1024,
            folder.ahead / 1024,
            folder.rest / 1024,
            folder.messages
        );
        self.folders.push(folder);
    }

    /// How long after the end of a fault a new message was shown.
    pub fn came_back(&mut self, after: &'static str, took: Duration) {
        println!(
            "       {after}: a message was shown {:.2} s after it",
            took.as_secs_f64()
        );
        self.back.entry(after).or_default().push(took);
    }

    pub fn report(&self, wrong: &mut Vec<String>) {
        println!("| process | what | medians of the quarters | most | an hour, second half |");
        println!("|---|---|---|---|---|");
        for (name, series) in NAMES.iter().zip(&self.readings) {
            for (what, value, noise) in QUANTITIES {
                let values: Vec<f64> = series.iter().map(value).collect();
                let medians: Vec<String> = quarters(&values).iter().map(|part| digits(median(part))).collect();
                println!(
                    "| {name} | {what} | {} | {} | {:+.2} |",
                    medians.join(", "),
                    digits(most(&values)),
                    self.slope(&values)
                );
                if grows(&values, noise) {
                    wrong.push(format!("{name}: {what} grows"));
                }
            }
            if let (Some(first), Some(last)) = (series.first(), series.last()) {
                let spent =
                    (last.cpu - first.cpu).as_secs_f64() / (self.at[self.at.len() - 1] - self.at[0]).as_secs_f64();
                println!("| {name} | CPU, % of a core | {} | | |", digits(spent * 100.0));
            }
        }
        if let (Some(first), Some(last)) = (self.folders.first(), self.folders.last()) {
            let grown = |size: fn(&Folder) -> u64| size(last).saturating_sub(size(first));
            let messages = (last.messages - first.messages).max(1) as u64;
            println!(
                "state folder: journal from {} to {} KiB, {} bytes for each message said to both workspaces; write-ahead log at most {} KiB; \
                 other files from {} to {} KiB",
                first.journal / 1024,
                last.journal / 1024,
                grown(|folder| folder.journal) / messages,
                self.folders.iter().map(|folder| folder.ahead).max().unwrap_or(0) / 1024,
                first.rest / 1024,
                last.rest / 1024,
            );
        }
        println!("| fault | times | a message was shown after it, median and longest, s |");
        println!("|---|---|---|");
        for (fault, took) in &self.back {
            let took: Vec<f64> = took.iter().map(Duration::as_secs_f64).collect();
            println!(
                "| {fault} | {} | {}, {} |",
                took.len(),
                digits(median(&took)),
                digits(most(&took))
            );
        }
    }

    /// The least squares' line through the second half, by the hour.
    #[allow(clippy::cast_precision_loss)]
    fn slope(&self, values: &[f64]) -> f64 {
        let half = values.len() / 2;
        let points: Vec<(f64, f64)> = self.at[half..]
            .iter()
            .map(|at| at.as_secs_f64() / 3600.0)
            .zip(values[half..].iter().copied())
            .collect();
        let count = points.len() as f64;
        let (x, y) = points
            .iter()
            .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (x, y) = (x / count, y / count);
        let (over, under) = points.iter().fold((0.0, 0.0), |sum, point| {
            let off = point.0 - x;
            (off.mul_add(point.1 - y, sum.0), off.mul_add(off, sum.1))
        });
        if under == 0.0 { 0.0 } else { over / under }
    }
}

impl Reading {
    #[allow(clippy::cast_precision_loss)]
    fn of(pid: u32) -> Self {
        let memory = process::memory(pid);
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        Self {
            resident: memory.resident,
            private: memory.private,
            descriptors: descriptors as f64,
            threads: process::threads(pid) as f64,
            cpu: process::cpu(pid),
        }
    }
}

impl Folder {
    fn of(folder: &Path, messages: usize) -> Self {
        let size = |name: &str| fs::metadata(folder.join(name)).map_or(0, |file| file.len());
        let (journal, ahead) = (size("molecule.db"), size("molecule.db-wal"));
        Self {
            journal,
            ahead,
            rest: all(folder) - journal - ahead,
            messages,
        }
    }
}

/// The bytes of all files below a folder.
fn all(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => all(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

fn quarters(values: &[f64]) -> Vec<&[f64]> {
    values.chunks(values.len().div_ceil(4).max(1)).collect()
}

/// Everything in the last quarter lies above everything in the second, by more than noise. Nothing is said of less than half an
/// hour: until then what is filled once still fills.
fn grows(values: &[f64], noise: f64) -> bool {
    const ENOUGH: usize = 30;
    let quarters = quarters(values);
    values.len() >= ENOUGH && quarters.len() == 4 && least(quarters[3]) > most(quarters[1]) + noise
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn digits(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
