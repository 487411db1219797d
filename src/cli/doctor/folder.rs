//! The state folder: whether it takes what a daemon writes, and who else may read it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::{Finding, Findings};
use crate::state::obstacle::{self, Obstacle};

const CHECK: &str = "state folder";

pub(super) fn check(findings: &mut Findings, folder: &Path) {
    let shown = folder.display();
    match fs::metadata(folder) {
        Ok(entry) if entry.is_dir() => {}
        Ok(_) => {
            let what = format!("{shown} is not a folder");
            findings.add(Finding::fail(
                CHECK,
                what,
                "move it away, or set CONFIGS_DIR to another folder",
            ));
            return;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            findings.add(Finding::ok(
                CHECK,
                format!("{shown} does not exist yet; the first start makes it"),
            ));
            return;
        }
        Err(error) => {
            findings.add(Finding::fail(
                CHECK,
                format!("{shown}: {error}"),
                Obstacle::of(&error).remedy(),
            ));
            return;
        }
    }
    match obstacle::try_out(folder) {
        Ok(()) => findings.add(Finding::ok(CHECK, format!("{shown} takes files"))),
        Err(error) => findings.add(Finding::fail(
            CHECK,
            format!("{shown} takes nothing: {error}; the platform keeps messages meanwhile"),
            Obstacle::of(&error).remedy(),
        )),
    }
    let open = open_to_others(folder);
    if open.is_empty() {
        findings.add(Finding::ok("file modes", "folder and files are for this user alone"));
    } else {
        findings.add(Finding::warn(
            "file modes",
            format!("other users of this computer may read or write: {}", open.join(", ")),
            format!("chmod 700 {shown}, and chmod 600 the files in it"),
        ));
    }
}

/// What of it has a mode beyond its owner's: the folder as `.`, and the files in it. A closed folder closes all that is in it.
#[cfg(unix)]
fn open_to_others(folder: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let is_open = |path: &Path| {
        let entry = fs::symlink_metadata(path).ok().filter(|entry| !entry.is_symlink());
        entry.is_some_and(|entry| entry.permissions().mode() & 0o077 != 0)
    };
    if !is_open(folder) {
        return Vec::new();
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut open: Vec<_> = entries
        .filter(|entry| is_open(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    open.sort();
    open.insert(0, ".".to_owned());
    open
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::findings::Verdict;
    use super::*;

    fn verdicts(folder: &Path) -> Vec<Verdict> {
        let mut findings = Findings::default();
        check(&mut findings, folder);
        findings.verdicts().into_iter().map(|(_, verdict)| verdict).collect()
    }

    #[test]
    fn a_folder_open_to_others_is_warned_about_with_what_lies_open_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (name, mode) in [("a", 0o600), ("b", 0o644), ("c", 0o660)] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            set(&path, mode);
        }
        set(dir.path(), 0o700);
        assert_eq!(
            verdicts(dir.path()),
            [Verdict::Ok; 2],
            "nobody else gets as far as the files"
        );
        set(dir.path(), 0o755);
        assert_eq!(verdicts(dir.path()), [Verdict::Ok, Verdict::Warn]);
        assert_eq!(open_to_others(dir.path()), [".", "b", "c"]);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            3,
            "trying it out leaves nothing behind"
        );
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_fine_and_a_file_in_its_place_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(verdicts(&dir.path().join("new")), [Verdict::Ok]);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(verdicts(&dir.path().join("file")), [Verdict::Fail]);
        assert_eq!(verdicts(&dir.path().join("file/below")), [Verdict::Fail]);
    }
}
