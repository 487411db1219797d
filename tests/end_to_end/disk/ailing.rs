//! A disk that refuses, fails or is slow at a test's bidding, without privileges: a small library between a daemon and libc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// Calls of one kind on files of the folder, and what becomes of them.
#[derive(Clone, Copy)]
pub enum Order {
    /// They fail with this errno.
    Fail(&'static str, i32),
    /// The same, only on files whose names end so.
    FailFor(&'static str, i32, &'static str),
    /// They take so long.
    Delay(&'static str, Duration),
    /// They claim success and do nothing.
    Pretend(&'static str),
}

/// The disk of one state folder.
pub struct AilingDisk {
    folder: PathBuf,
    library: &'static Path,
    orders: PathBuf,
}

impl AilingDisk {
    /// A healthy one. `None`, and said: this system cannot put a library before libc.
    pub fn of(folder: &Path) -> Option<Self> {
        let Some(library) = library() else {
            println!("skipped: calls of a program to its disk cannot be intercepted here (needs Linux, glibc and cc)");
            return None;
        };
        let disk = Self {
            folder: folder.to_owned(),
            library,
            orders: folder.with_extension("orders"),
        };
        disk.heal();
        Some(disk)
    }

    /// Has the daemon that this command starts use the disk.
    pub fn under(&self, mut command: tokio::process::Command) -> tokio::process::Command {
        command
            .env("LD_PRELOAD", self.library)
            .env("AILING_FOLDER", &self.folder)
            .env("AILING_ORDERS", &self.orders);
        command
    }

    /// From now on.
    pub fn obey(&self, orders: &[Order]) {
        let mut text = String::new();
        for order in orders {
            let line = match order {
                Order::Fail(kind, errno) => format!("{kind} {errno} 0"),
                Order::FailFor(kind, errno, suffix) => format!("{kind} {errno} 0 {suffix}"),
                Order::Delay(kind, pause) => format!("{kind} 0 {}", pause.as_millis()),
                Order::Pretend(kind) => format!("{kind} -1 0"),
            };
            text.push_str(&line);
            text.push('\n');
        }
        // Whole or not at all: it is read at every call.
        let draft = self.orders.with_extension("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, &self.orders).unwrap();
    }

    /// Healthy again.
    pub fn heal(&self) {
        self.obey(&[]);
    }
}

/// The library, compiled once for each run of the tests.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = LIBRARY.get_or_init(|| {
        if !cfg!(all(target_os = "linux", target_env = "gnu")) {
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let draft = folder.join(format!("ailing-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/disk/ailing.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&draft, &source])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let library = folder.join("ailing.so");
        (compiled && fs::rename(&draft, &library).is_ok()).then_some(library)
    });
    made.as_deref()
}
