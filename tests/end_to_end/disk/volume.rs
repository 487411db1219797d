//! Small file systems of a test's own, so that a disk can be full or fail without harm to any other.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A mounted file system; unmounted when dropped.
pub struct Volume {
    path: PathBuf,
    /// The file that holds an ext4 file system, and where the kernel lets us report an error of it.
    image: Option<(PathBuf, PathBuf)>,
}

impl Volume {
    /// A file system in memory of so many KiB over an empty folder. `None`, and said: this system or user cannot mount.
    pub fn in_memory(path: &Path, kib: u32) -> Option<Self> {
        let options = format!("size={kib}k,mode=0700");
        if !run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", text(path)]) {
            println!("skipped: a file system in memory cannot be mounted here");
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            image: None,
        })
    }

    /// An ext4 file system over an empty folder that can be made to fail. `None`, and said: this system or user cannot.
    pub fn that_can_fail(path: &Path, image: &Path) -> Option<Self> {
        File::create(image).unwrap().set_len(16 << 20).unwrap();
        let made = run("mkfs.ext4", &["-q", "-O", "^has_journal", text(image)])
            && run("mount", &["-o", "loop,errors=remount-ro", text(image), text(path)]);
        let device = fs::read_to_string("/proc/mounts").ok().and_then(|mounts| {
            let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(text(path)))?;
            Some(line.split(' ').next()?.trim_start_matches("/dev/").to_owned())
        });
        let fail = PathBuf::from(format!("/sys/fs/ext4/{}/trigger_fs_error", device.unwrap_or_default()));
        let volume = Self {
            path: path.to_owned(),
            image: Some((image.to_owned(), fail.clone())),
        };
        if !made || !fail.exists() {
            println!("skipped: an ext4 file system cannot be mounted and made to fail here");
            return None;
        }
        Some(volume)
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let path = self.path.join("filler");
        let mut filler = OpenOptions::new().create(true).append(true).open(path).unwrap();
        for size in [1 << 16, 4096, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
        filler.flush().unwrap();
    }

    /// Gives the space back.
    pub fn empty(&self) {
        fs::remove_file(self.path.join("filler")).unwrap();
    }

    /// Makes every write fail from now on, also through files that are open, as a failing disk does.
    pub fn fail(&self) {
        let (_, trigger) = self.image.as_ref().expect("an ext4 volume");
        fs::write(trigger, "1").unwrap();
    }

    /// Mounts it anew, writable, once nobody has a file of it open.
    pub fn mend(&self) {
        let (image, _) = self.image.as_ref().expect("an ext4 volume");
        assert!(run("umount", &[text(&self.path)]), "a file is still open");
        // Answers 1 for what it has corrected.
        run("e2fsck", &["-fp", text(image)]);
        assert!(run("mount", &["-o", "loop", text(image), text(&self.path)]));
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, because a daemon that was just killed may not be gone yet.
        run("umount", &["-l", text(&self.path)]);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder has a plain name")
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
