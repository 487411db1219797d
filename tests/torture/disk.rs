//! A disk in trouble: no space left, or every write refused.
//!
//! Space runs out for real when the state folder is a file system in memory of its own, which is then shrunk to what is
//! used. Refusals come from the limit on file sizes, set from outside on every process of the workspace; that one needs
//! no rights and works on Linux. Other systems are spared it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::random::Random;
use super::world::World;

/// What a file system in memory may hold when it is not made full.
const SIZE: &str = "8g";

/// What became of the disk of one workspace.
#[derive(Debug, Default)]
pub struct Disk {
    /// A file system in memory, mounted here.
    mounted: Option<PathBuf>,
    refusing: AtomicBool,
    full: AtomicBool,
    troubles: AtomicUsize,
}

impl Disk {
    /// A file system in memory over this folder.
    ///
    /// # Panics
    /// When none can be mounted.
    pub fn in_memory(folder: &Path) -> Self {
        let made = run(Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={SIZE},mode=0700"))
            .arg("tmpfs")
            .arg(folder));
        assert!(
            made,
            "a file system in memory cannot be mounted here: leave --memory out"
        );
        Self {
            mounted: Some(folder.to_owned()),
            refusing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            troubles: AtomicUsize::new(0),
        }
    }

    /// Whether writes are refused, to processes that begin now as well.
    pub fn refuses(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// How often nothing could be written, and whether it is so now.
    pub fn troubles(&self) -> (usize, bool) {
        let now = self.refuses() || self.full.load(Ordering::Relaxed);
        (self.troubles.load(Ordering::Relaxed), now)
    }

    /// No byte more. Another attempt when a daemon wrote in the middle of the first.
    fn fill(&self) {
        let Some(folder) = &self.mounted else { return };
        self.full.store(true, Ordering::Relaxed);
        for _ in 0..20 {
            let now = rustix::fs::statvfs(folder).expect("a mounted file system");
            let used = (now.f_blocks - now.f_bfree) * now.f_frsize;
            if resize(folder, &used.to_string()) {
                return;
            }
        }
    }

    fn empty(&self) {
        if let Some(folder) = &self.mounted {
            assert!(resize(folder, SIZE), "the file system in memory cannot grow again");
        }
        self.full.store(false, Ordering::Relaxed);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(folder) = &self.mounted {
            // Lazily: a daemon that was just killed may not be gone yet.
            run(Command::new("umount").arg("-l").arg(folder));
        }
    }
}

fn resize(folder: &Path, size: &str) -> bool {
    run(Command::new("mount")
        .arg("-o")
        .arg(format!("remount,size={size}"))
        .arg(folder))
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Troubles one disk after the other.
pub async fn trouble(world: Arc<World>) {
    if world.plan.disk <= 0.0 {
        return;
    }
    let mut random = Random::of(world.seed, 3);
    loop {
        let pause = Duration::from_secs_f64(world.plan.disk).mul_f64(random.below(2000) as f64 / 1000.0);
        if world.storm.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        let number = usize::try_from(random.below(world.workspaces.len() as u64)).unwrap();
        let disk = &world.workspaces[number].disk;
        let lasts = random.millis(50, 3000);
        disk.troubles.fetch_add(1, Ordering::Relaxed);
        let full = random.percent(50) && disk.mounted.is_some();
        if full {
            disk.fill();
            world.ledger.book().full_disks += 1;
        } else {
            if !cfg!(target_os = "linux") {
                continue;
            }
            disk.refusing.store(true, Ordering::Relaxed);
            world.limit_writes(number);
            world.ledger.book().refusing_disks += 1;
        }
        world.storm.run_until_cancelled(sleep(lasts)).await;
        disk.refusing.store(false, Ordering::Relaxed);
        world.limit_writes(number);
        disk.empty();
    }
}
