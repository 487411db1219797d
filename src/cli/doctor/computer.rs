//! The program itself, and whether clients find it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Finding, Findings};

const CHECK: &str = "PATH";

pub(super) fn check(findings: &mut Findings, var: &dyn Fn(&str) -> Option<OsString>) {
    let running = std::env::current_exe().ok();
    let place = running
        .as_ref()
        .map_or("an unknown place".to_owned(), |path| path.display().to_string());
    findings.add(Finding::ok(
        "program",
        format!("molecule-mcp {} at {place}", env!("CARGO_PKG_VERSION")),
    ));
    let found = first_on(var("PATH"));
    findings.add(on_path(running.as_deref(), found.as_deref()));
}

/// The program that a client starts that names it without a path.
fn first_on(path: Option<OsString>) -> Option<PathBuf> {
    let name = format!("molecule-mcp{}", std::env::consts::EXE_SUFFIX);
    let folders = path.iter().flat_map(std::env::split_paths);
    folders.map(|folder| folder.join(&name)).find(|file| file.is_file())
}

fn on_path(running: Option<&Path>, found: Option<&Path>) -> Finding {
    let same =
        |one: &Path, other: &Path| matches!((one.canonicalize(), other.canonicalize()), (Ok(a), Ok(b)) if a == b);
    match (running, found) {
        (_, None) => Finding::warn(
            CHECK,
            "`molecule-mcp` is not on the PATH, so a client that names it without its path cannot start it",
            "name it with its whole path in the client's configuration, or put its folder on the PATH",
        ),
        (Some(running), Some(found)) if !same(running, found) => Finding::warn(
            CHECK,
            format!(
                "the PATH leads to another one: {}; a client that names it without its path starts that one",
                found.display()
            ),
            "name the one you want with its whole path in the client's configuration, or remove the other one",
        ),
        (_, Some(found)) => Finding::ok(
            CHECK,
            format!(
                "{} (programs with windows often have a shorter PATH: name it with its whole path there)",
                found.display()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Verdict;
    use super::*;

    #[test]
    fn clients_find_this_one_another_one_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = |folder: &str| {
            let path = dir
                .path()
                .join(folder)
                .join(format!("molecule-mcp{}", std::env::consts::EXE_SUFFIX));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let (one, two) = (file("one"), file("two"));
        let path = |folders: &[&str]| {
            let folders = folders.iter().map(|folder| dir.path().join(folder));
            Some(std::env::join_paths(folders).unwrap())
        };
        for (path, verdict) in [
            (path(&["none", "one", "two"]), Verdict::Ok),
            (path(&["two", "one"]), Verdict::Warn),
            (path(&["none"]), Verdict::Warn),
            (None, Verdict::Warn),
        ] {
            let found = first_on(path.clone());
            assert_eq!(on_path(Some(&one), found.as_deref()).verdict, verdict, "{path:?}");
        }
        assert!(on_path(Some(&one), Some(&two)).what.contains("another one"));
    }
}
