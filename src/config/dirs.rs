//! The state folder: which one, made safely, checked before anything is sent.
//!
//! Choosing and checking change nothing on disk; only making does, so that a configuration with any other
//! problem leaves no trace.

use std::path::{Path, PathBuf};

use super::problem::Problem;
use usable::{Obstacle, Owner, create, find, guard, probe};

mod usable;

/// The variable that names the folder.
pub(crate) const CONFIGS_DIR: &str = "CONFIGS_DIR";
/// The folder that a platform mounts into the containers it manages.
pub(crate) const MANAGED: &str = "/configs";
/// The folder in the user's home when nothing else applies.
pub(crate) const FALLBACK: &str = ".molecule-workspace";

/// Where this computer keeps things; tests bring their own.
#[derive(Clone, Debug)]
pub struct Places {
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// `/configs`.
    pub managed: PathBuf,
    /// `/workspace`.
    pub workspace: PathBuf,
    /// The working directory, when it can be told.
    pub current: Option<PathBuf>,
}

impl Places {
    /// Those of this computer and user.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            home: dirs::home_dir(),
            managed: PathBuf::from(MANAGED),
            workspace: PathBuf::from(super::files::WORKSPACE),
            current: std::env::current_dir().ok(),
        }
    }

    /// Whether this folder is the one used when `CONFIGS_DIR` is not set.
    #[must_use]
    pub fn finds(&self, dir: &Path) -> bool {
        StateDir::choose(None, self).is_ok_and(|chosen| chosen.path == dir)
    }
}

/// A state folder that was chosen and, as far as possible without changing anything, found usable.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    setting: &'static str,
    /// Only the fallback folder is ours to tighten; a named one is used as it is.
    tighten: bool,
    managed: bool,
    /// Who files made in it belong to; `None` while it does not exist.
    owner: Option<Owner>,
    warnings: Vec<String>,
}

impl StateDir {
    /// `named` (from `CONFIGS_DIR`), else the managed folder if it exists and is writable, else the one in the home folder.
    pub(crate) fn choose(named: Option<&str>, places: &Places) -> Result<Self, Problem> {
        let mut warnings = Vec::new();
        if let Some(named) = named {
            let path = std::path::absolute(named).map_err(|error| unusable(CONFIGS_DIR, &Obstacle::from(error)))?;
            if Path::new(named).is_relative() {
                warnings.push(format!(
                    "{CONFIGS_DIR} is not an absolute path: it is taken from the working directory, and a leading ~ \
                     means nothing here."
                ));
            }
            return Self::checked(path, CONFIGS_DIR, false, places, warnings);
        }
        if places.managed.is_dir() {
            if let Ok(owner) = probe(&places.managed) {
                return Ok(Self {
                    path: places.managed.clone(),
                    setting: MANAGED,
                    tighten: false,
                    managed: true,
                    owner: Some(owner),
                    warnings,
                });
            }
            warnings.push(format!(
                "{MANAGED} exists but is not writable by this user; ~/{FALLBACK} is used instead."
            ));
        }
        let Some(home) = &places.home else {
            return Err(Problem::wrong(
                CONFIGS_DIR,
                "is not set, and this user has no home folder to keep the state in",
                "set it to a folder that this program may write to",
            ));
        };
        Self::checked(home.join(FALLBACK), "~/.molecule-workspace", true, places, warnings)
    }

    /// The same folder for somebody who only looks: whether it can be used, or exists, does not matter.
    pub(crate) fn locate(named: Option<&str>, places: &Places) -> Option<PathBuf> {
        if let Some(named) = named {
            return std::path::absolute(named).ok();
        }
        if places.managed.is_dir() && probe(&places.managed).is_ok() {
            return Some(places.managed.clone());
        }
        places.home.as_ref().map(|home| home.join(FALLBACK))
    }

    fn checked(
        path: PathBuf,
        setting: &'static str,
        tighten: bool,
        places: &Places,
        warnings: Vec<String>,
    ) -> Result<Self, Problem> {
        let owner = find(&path).map_err(|obstacle| unusable(setting, &obstacle))?;
        Ok(Self {
            managed: path == places.managed,
            path,
            setting,
            tighten,
            owner,
            warnings,
        })
    }

    /// Its absolute path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is exactly the folder that the platform manages, where the token file is the newest truth.
    pub(crate) fn is_managed(&self) -> bool {
        self.managed
    }

    /// Makes the folder (0700, with its parents) or, if it is the fallback folder and ours, tightens it to 0700.
    /// Returns what is worth a warning.
    pub(crate) fn make(mut self) -> Result<Vec<String>, Problem> {
        match self.owner {
            None => {
                create(&self.path)
                    .and_then(|()| probe(&self.path))
                    .map_err(|error| unusable(self.setting, &Obstacle::from(error)))?;
            }
            Some(owner) => {
                if let Some(warning) = guard(&self.path, self.setting, owner, self.tighten) {
                    self.warnings.push(warning);
                }
            }
        }
        Ok(self.warnings)
    }
}

/// Whether a folder that a setting names can be written to, or made.
pub(super) fn usable_folder(path: &Path, setting: &str) -> Result<(), Problem> {
    find(path).map(drop).map_err(|obstacle| unusable(setting, &obstacle))
}

/// Makes such a folder.
pub(super) fn make_folder(path: &Path, setting: &str) -> Result<(), Problem> {
    create(path).map_err(|error| unusable(setting, &Obstacle::from(error)))
}

fn unusable(setting: &str, obstacle: &Obstacle) -> Problem {
    let what = match obstacle {
        Obstacle::NotAFolder => "is not a folder, or a part of its path is not".to_owned(),
        Obstacle::LinkToNothing => "is a symbolic link to a folder that does not exist".to_owned(),
        Obstacle::Refused => "cannot be written by this user".to_owned(),
        Obstacle::ReadOnly => "is on a file system that is read-only".to_owned(),
        Obstacle::Full => "is on a disk that is full".to_owned(),
        Obstacle::Other(kind) => format!("cannot be made or written ({kind})"),
    };
    let remedy = if matches!(setting, CONFIGS_DIR | super::files::UPLOAD_DIR) {
        "name a folder that this program may make and write to"
    } else {
        "mend it, or set CONFIGS_DIR to a folder that this program may make and write to"
    };
    Problem::wrong(setting, what, remedy)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::io::{self, ErrorKind};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct Computer {
        root: tempfile::TempDir,
        places: Places,
    }

    impl Computer {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("home")).unwrap();
            let places = Places {
                home: Some(root.path().join("home")),
                managed: root.path().join("configs"),
                workspace: root.path().join("workspace"),
                current: None,
            };
            Self { root, places }
        }
        fn at(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }
        fn choose(&self, named: Option<&Path>) -> Result<StateDir, Problem> {
            StateDir::choose(named.map(|path| path.to_str().unwrap()), &self.places)
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_named_folder_wins_over_the_managed_one_and_that_over_the_home_folder() {
        let computer = Computer::new();
        let home = computer.choose(None).unwrap();
        assert_eq!(home.path(), computer.at("home/.molecule-workspace"));
        assert!(!home.is_managed());
        fs::create_dir(computer.at("configs")).unwrap();
        let managed = computer.choose(None).unwrap();
        assert_eq!(managed.path(), computer.at("configs"));
        assert!(managed.is_managed());
        let named = computer.choose(Some(&computer.at("mine"))).unwrap();
        assert_eq!(named.path(), computer.at("mine"));
        assert!(!named.is_managed());
    }

    #[test]
    fn the_managed_folder_is_recognised_when_it_is_named() {
        let computer = Computer::new();
        fs::create_dir(computer.at("configs")).unwrap();
        assert!(computer.choose(Some(&computer.at("configs/"))).unwrap().is_managed());
        assert!(!computer.choose(Some(&computer.at("configs/x"))).unwrap().is_managed());
    }

    #[test]
    fn a_managed_path_that_is_no_folder_is_passed_over() {
        let computer = Computer::new();
        fs::write(computer.at("configs"), "").unwrap();
        let chosen = computer.choose(None).unwrap();
        assert_eq!(chosen.path(), computer.at("home/.molecule-workspace"));
    }

    #[test]
    fn checking_makes_nothing_and_making_makes_it_with_its_parents_for_the_owner_only() {
        let computer = Computer::new();
        let wanted = computer.at("a/b/c");
        let chosen = computer.choose(Some(&wanted)).unwrap();
        assert!(!computer.at("a").exists());
        assert_eq!(chosen.make().unwrap(), Vec::<String>::new());
        for made in ["a", "a/b", "a/b/c"] {
            assert_eq!(mode(&computer.at(made)), 0o700, "{made}");
        }
        assert_eq!(fs::read_dir(&wanted).unwrap().count(), 0);
    }

    #[test]
    fn an_open_fallback_folder_is_tightened_and_a_named_one_is_not() {
        let computer = Computer::new();
        let fallback = computer.at("home/.molecule-workspace");
        fs::create_dir(&fallback).unwrap();
        set_mode(&fallback, 0o755);
        computer.choose(None).unwrap().make().unwrap();
        assert_eq!(mode(&fallback), 0o700);

        let named = computer.at("named");
        fs::create_dir(&named).unwrap();
        for (wide, warned) in [(0o755, false), (0o777, true)] {
            set_mode(&named, wide);
            let warnings = computer.choose(Some(&named)).unwrap().make().unwrap();
            assert_eq!(mode(&named), wide);
            assert_eq!(!warnings.is_empty(), warned, "{wide:o}");
        }
    }

    #[test]
    fn a_folder_of_another_user_is_warned_about() {
        let computer = Computer::new();
        let us = probe(computer.root.path()).unwrap();
        assert_eq!(guard(computer.root.path(), CONFIGS_DIR, us, false), None);
        for tighten in [false, true] {
            let warning = guard(computer.root.path(), CONFIGS_DIR, us + 1, tighten).unwrap();
            assert!(warning.contains(&format!("runs as user {}", us + 1)), "{warning}");
        }
    }

    #[test]
    fn a_link_to_a_folder_is_a_folder() {
        let computer = Computer::new();
        fs::create_dir(computer.at("real")).unwrap();
        symlink(computer.at("real"), computer.at("link")).unwrap();
        computer.choose(Some(&computer.at("link"))).unwrap().make().unwrap();
    }

    #[test]
    fn each_unusable_folder_is_named_without_its_path() {
        let computer = Computer::new();
        fs::write(computer.at("file"), "").unwrap();
        symlink(computer.at("nowhere"), computer.at("dangling")).unwrap();
        for (path, expected) in [
            ("file", "is not a folder"),
            ("file/below", "is not"),
            ("dangling", "symbolic link"),
        ] {
            let problem = computer.choose(Some(&computer.at(path))).unwrap_err();
            assert_eq!(problem.setting, CONFIGS_DIR);
            assert!(problem.what.contains(expected), "{path}: {problem:?}");
            assert!(!format!("{problem:?}").contains(path), "{problem:?}");
        }
        let mut homeless = computer.places.clone();
        homeless.home = None;
        assert!(StateDir::choose(None, &homeless).unwrap_err().what.contains("no home"));
    }

    #[test]
    fn each_reason_of_the_system_has_its_own_sentence() {
        let mut seen = std::collections::HashSet::new();
        for kind in [
            ErrorKind::NotADirectory,
            ErrorKind::PermissionDenied,
            ErrorKind::ReadOnlyFilesystem,
            ErrorKind::StorageFull,
            ErrorKind::TimedOut,
        ] {
            assert!(seen.insert(unusable(CONFIGS_DIR, &Obstacle::from(io::Error::from(kind))).what));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_in_which_no_file_can_be_made_is_refused_even_to_root() {
        let computer = Computer::new();
        assert!(computer.choose(Some(Path::new("/proc"))).is_err());
        assert!(computer.choose(Some(Path::new("/proc/molecule/state"))).is_err());
        let managed = Places {
            managed: PathBuf::from("/proc"),
            ..computer.places.clone()
        };
        let chosen = StateDir::choose(None, &managed).unwrap();
        assert_eq!(chosen.path(), computer.at("home/.molecule-workspace"));
        assert!(chosen.make().unwrap()[0].contains("not writable"));
    }

    #[test]
    fn a_path_that_is_not_absolute_is_made_so_with_a_warning() {
        let computer = Computer::new();
        let chosen = StateDir::choose(Some("~/state"), &computer.places).unwrap();
        assert!(chosen.path().is_absolute());
        assert!(chosen.warnings[0].contains("absolute"));
    }
}
