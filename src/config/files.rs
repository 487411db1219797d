//! Files that go out and come in: which may leave, where received ones are kept, and how much of them.

use std::path::{Path, PathBuf};

use super::dirs::{Places, StateDir, usable_folder};
use super::problem::Problem;
use super::reader::Reader;

const ATTACH_ROOTS: &str = "MOLECULE_ATTACH_ROOTS";
pub(super) const UPLOAD_DIR: &str = "MOLECULE_CHAT_UPLOAD_DIR";
const UPLOAD_QUOTA: &str = "MOLECULE_UPLOAD_QUOTA_MB";

/// The folder that a platform mounts for the agent's work in the containers it manages.
pub const WORKSPACE: &str = "/workspace";
/// Received files, in that folder and in the state folder.
const IN_WORKSPACE: &str = ".molecule/chat-uploads";
const IN_STATE: &str = "uploads";

/// What is configured about files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Where attachments may come from.
    pub roots: AttachRoots,
    /// Where received files are kept; made when the first one comes.
    pub uploads: PathBuf,
    /// Whether `MOLECULE_CHAT_UPLOAD_DIR` names that folder.
    pub(super) is_named: bool,
    /// How many bytes of them.
    pub quota: u64,
}

/// The folders whose files may be attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachRoots {
    /// The working directory. `None` where it is the root of the file system or above the user's home folder, as some
    /// clients start their servers: it would allow everything.
    pub current: Option<PathBuf>,
    /// `MOLECULE_ATTACH_ROOTS`.
    pub listed: Vec<PathBuf>,
}

/// Reads the settings of files. Changes nothing on disk.
pub(super) fn read(reader: &mut Reader<'_>, places: &Places, folder: Option<&StateDir>) -> Files {
    Files {
        roots: AttachRoots {
            current: places
                .current
                .clone()
                .filter(|current| !holds_everything(current, places)),
            listed: listed(reader),
        },
        uploads: uploads(reader, places, folder),
        is_named: reader.is_set(UPLOAD_DIR),
        quota: u64::from(reader.whole(UPLOAD_QUOTA)) * 1024 * 1024,
    }
}

fn holds_everything(current: &Path, places: &Places) -> bool {
    let above_home = |home: &PathBuf| home.starts_with(current) && home != current;
    current.parent().is_none() || places.home.as_ref().is_some_and(above_home)
}

fn listed(reader: &mut Reader<'_>) -> Vec<PathBuf> {
    let Some(value) = reader.value(ATTACH_ROOTS) else {
        return Vec::new();
    };
    let roots: Vec<_> = std::env::split_paths(&value)
        .filter(|root| !root.as_os_str().is_empty())
        .collect();
    if roots.iter().any(|root| root.is_relative()) {
        let rule = "must be absolute paths, separated as in PATH";
        reader.problem(Problem::wrong(
            ATTACH_ROOTS,
            rule,
            "write each from the root on; ~ means nothing here",
        ));
        return Vec::new();
    }
    if roots.iter().any(|root| !root.is_dir()) {
        reader.warn(format!("{ATTACH_ROOTS} names a folder that is not there."));
    }
    roots
}

fn uploads(reader: &mut Reader<'_>, places: &Places, folder: Option<&StateDir>) -> PathBuf {
    if let Some(named) = reader.value(UPLOAD_DIR) {
        let path = PathBuf::from(named);
        if path.is_relative() {
            let rule = "must be an absolute path";
            reader.problem(Problem::wrong(
                UPLOAD_DIR,
                rule,
                "write it from the root on; ~ means nothing here",
            ));
        } else if let Err(problem) = usable_folder(&path, UPLOAD_DIR) {
            reader.problem(problem);
        }
        return path;
    }
    let below_workspace = places.workspace.join(IN_WORKSPACE);
    match folder {
        Some(folder) if folder.is_managed() && is_writable(&places.workspace) => below_workspace,
        Some(folder) => folder.path().join(IN_STATE),
        None => below_workspace,
    }
}

fn is_writable(folder: &Path) -> bool {
    folder.is_dir() && usable_folder(folder, WORKSPACE).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::ffi::OsString;
    use std::fs;

    use super::*;

    struct Computer {
        root: tempfile::TempDir,
        places: Places,
        env: HashMap<&'static str, OsString>,
    }

    impl Computer {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for folder in ["home/work", "configs", "state"] {
                fs::create_dir_all(root.path().join(folder)).unwrap();
            }
            let at = |name: &str| root.path().join(name);
            let places = Places {
                home: Some(at("home")),
                managed: at("configs"),
                workspace: at("workspace"),
                current: Some(at("home/work")),
            };
            let env = HashMap::new();
            Self { root, places, env }
        }

        fn at(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        /// What is read with this state folder, and the settings that are wrong.
        fn read(&self, state: &str) -> (Files, Vec<String>) {
            let var = |name: &str| self.env.get(name).cloned();
            let mut reader = Reader::new(&var);
            let folder = StateDir::choose(self.at(state).to_str(), &self.places).unwrap();
            let files = read(&mut reader, &self.places, Some(&folder));
            let wrong = reader.problems.into_iter().map(|problem| problem.setting).collect();
            (files, wrong)
        }
    }

    #[test]
    fn received_files_are_kept_in_the_state_folder_the_workspace_or_where_it_is_said() {
        let mut computer = Computer::new();
        assert_eq!(computer.read("state").0.uploads, computer.at("state/uploads"));
        assert_eq!(computer.read("configs").0.uploads, computer.at("configs/uploads"));
        fs::create_dir(computer.at("workspace")).unwrap();
        let in_workspace = computer.at("workspace/.molecule/chat-uploads");
        assert_eq!(computer.read("configs").0.uploads, in_workspace);
        assert_eq!(computer.read("state").0.uploads, computer.at("state/uploads"));
        computer.env.insert(UPLOAD_DIR, computer.at("mine").into());
        assert_eq!(
            computer.read("configs"),
            (
                Files {
                    uploads: computer.at("mine"),
                    ..computer.read("configs").0
                },
                vec![]
            )
        );
        fs::write(computer.at("file"), "").unwrap();
        for bad in ["uploads".into(), computer.at("file").into_os_string()] {
            computer.env.insert(UPLOAD_DIR, bad);
            assert_eq!(computer.read("state").1, [UPLOAD_DIR]);
        }
    }

    #[test]
    fn the_working_directory_is_a_root_unless_it_holds_everything() {
        let mut computer = Computer::new();
        for (current, counts) in [
            (computer.at("home/work"), true),
            (computer.at("home"), true),
            (computer.root.path().to_owned(), false),
            (PathBuf::from("/"), false),
        ] {
            computer.places.current = Some(current.clone());
            assert_eq!(computer.read("state").0.roots.current.is_some(), counts, "{current:?}");
        }
    }

    #[test]
    fn further_roots_are_absolute_paths() {
        let mut computer = Computer::new();
        let (one, two) = (computer.at("one"), computer.at("two"));
        computer
            .env
            .insert(ATTACH_ROOTS, std::env::join_paths([&one, &two]).unwrap());
        assert_eq!(computer.read("state").0.roots.listed, [one, two]);
        computer.env.insert(ATTACH_ROOTS, "~/x".into());
        let (files, wrong) = computer.read("state");
        assert_eq!((files.roots.listed.len(), wrong), (0, vec![ATTACH_ROOTS.to_owned()]));
    }

    #[test]
    fn the_quota_is_in_megabytes() {
        let mut computer = Computer::new();
        assert_eq!(computer.read("state").0.quota, 1024 * 1024 * 1024);
        computer.env.insert(UPLOAD_QUOTA, "1".into());
        assert_eq!(computer.read("state").0.quota, 1024 * 1024);
        computer.env.insert(UPLOAD_QUOTA, "0".into());
        assert_eq!(computer.read("state").1, [UPLOAD_QUOTA]);
    }
}
