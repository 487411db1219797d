//! A state folder that is not as it should be: one clear error at the start, or a trouble that is told and passes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use molecule_mcp::cli::demo::client::McpChild;
use rustix::io::Errno;
use serde_json::json;
use tokio::process::Command;

use super::ailing::{AilingDisk, Order};
use super::{is_told, say_all, settle, texts};
use crate::start_up::run_to_end;
use crate::support::{Workspace, World, drain, file, inbox_is_empty, next_message, pop, start, until};

/// The process ends with code 2 before it sends anything, and says all of this.
pub(super) async fn is_refused(world: &World, command: Command, parts: &[&str]) {
    let before = world.log().await.len();
    let (code, lines, complaints) = run_to_end(command).await;
    assert_eq!(code, 2, "{parts:?}: {complaints}");
    assert!(lines.is_empty(), "{lines:?}");
    for part in parts {
        assert!(complaints.contains(part), "{part} is missing in {complaints}");
    }
    let sent = world.log().await.split_off(before);
    assert!(sent.is_empty(), "{parts:?}: {sent:?}");
}

/// The command without the right to ignore permissions, which root has. `None`, and said: it cannot be taken away here.
fn without_privileges(command: Command) -> Option<Command> {
    let probe = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(probe.path(), Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(probe.path()).is_err() {
        return Some(command);
    }
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        println!("skipped: this user may ignore permissions, and there is no setpriv to give that up");
        return None;
    }
    let mut confined = Command::new(setpriv);
    confined
        .env_clear()
        .args(["--inh-caps=-all", "--bounding-set=-all"])
        .arg(command.as_std().get_program());
    for (name, value) in command.as_std().get_envs() {
        if let Some(value) = value {
            confined.env(name, value);
        }
    }
    Some(confined)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The file in the folder whose name begins and ends so.
fn named(folder: &Path, begin: &str, end: &str) -> std::path::PathBuf {
    let mut found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    found
        .find(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(begin) && name.ends_with(end)
        })
        .unwrap_or_else(|| panic!("there is no {begin}*{end}"))
}

pub(super) async fn used_folder(world: &World, name: &str) -> Workspace {
    let workspace = world.workspace(name).await;
    let daemon = world.online(&workspace).await;
    settle(world, &workspace, &daemon, "before").await;
    assert_eq!(daemon.close().await.unwrap().0.code(), Some(0));
    workspace
}

#[tokio::test]
async fn what_stands_in_a_files_place_is_named_at_the_start() {
    let world = World::new().await;
    let workspace = used_folder(&world, "alpha").await;
    for name in ["molecule.db", "molecule.db.lock", "molecule.db-wal", "sessions"] {
        let path = workspace.folder.join(name);
        let aside = workspace.folder.join("aside");
        let was_there = fs::rename(&path, &aside).is_ok();
        match name {
            "sessions" => fs::write(&path, "").unwrap(),
            _ => fs::create_dir(&path).unwrap(),
        }
        is_refused(&world, world.command(&workspace), &[path.to_str().unwrap(), "Remedy"]).await;
        match name {
            "sessions" => fs::remove_file(&path).unwrap(),
            _ => fs::remove_dir(&path).unwrap(),
        }
        if was_there {
            fs::rename(&aside, &path).unwrap();
        }
    }
    // Nothing was harmed.
    let daemon = world.online(&workspace).await;
    world.say(&workspace, "after").await;
    assert_eq!(drain(&daemon, 1).await, ["after"]);
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn what_stands_in_a_lesser_files_place_is_told_and_stops_no_message() {
    let world = World::new().await;
    for (begin, end, code) in [
        ("wake", "", None),
        ("reading-", ".json", None),
        ("presence-", ".json", None),
        (".mcp_inbox_cursor", "", Some("CURSOR_FILE_UNWRITTEN")),
        ("duty-", ".lock", Some("STATE_DIR_UNUSABLE")),
    ] {
        let workspace = used_folder(&world, begin.trim_matches(['.', '-'])).await;
        let path = match begin {
            ".mcp_inbox_cursor" => workspace.folder.join(begin),
            _ => named(&workspace.folder, begin, end),
        };
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let daemon = start(world.command(&workspace)).await;
        if code == Some("STATE_DIR_UNUSABLE") {
            until("the trouble is told", || has_trouble(&daemon, code)).await;
            fs::remove_dir(&path).unwrap();
        }
        world.say(&workspace, "still").await;
        let message = next_message(&daemon).await;
        assert_eq!(message["text"], "still", "{begin}");
        pop(&daemon, &message).await;
        if code == Some("CURSOR_FILE_UNWRITTEN") {
            until("the trouble is told", || has_trouble(&daemon, code)).await;
            fs::remove_dir(&path).unwrap();
            until("the cursor is exported", || async {
                message["activity_id"] == file(&workspace.folder, begin).as_str()
            })
            .await;
        }
        until("all is well", || has_trouble(&daemon, None)).await;
        assert_eq!(daemon.close().await.unwrap().0.code(), Some(0), "{begin}");
    }
}

/// Whether the inbox tells of this trouble, or of none.
pub(super) async fn has_trouble(daemon: &McpChild, code: Option<&str>) -> bool {
    let answer = daemon.call("inbox_peek", json!({})).await.unwrap();
    match code {
        None => answer["health"].as_array().is_none_or(Vec::is_empty),
        Some(code) => answer["health"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|trouble| trouble["code"] == code),
    }
}

#[tokio::test]
async fn files_and_folders_of_another_user_are_named_at_the_start() {
    let world = World::new().await;
    let workspace = used_folder(&world, "alpha").await;
    for (name, mode, parts) in [
        (
            "molecule.db",
            0o000,
            &[
                "molecule.db: Permission denied",
                "belongs to user",
                "let this user write",
            ][..],
        ),
        (
            "molecule.db",
            0o400,
            &[
                "molecule.db: Permission denied",
                "belongs to user",
                "let this user write",
            ],
        ),
        (
            "molecule.db.lock",
            0o000,
            &["molecule.db.lock: Permission denied", "let this user write"],
        ),
        (
            "sessions",
            0o500,
            &["sessions/", "Permission denied", "let this user write"],
        ),
        ("", 0o500, &["CONFIGS_DIR", "cannot be written by this user"]),
    ] {
        let Some(command) = without_privileges(world.command(&workspace)) else {
            return;
        };
        let path = workspace.folder.join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        set_mode(&path, mode);
        is_refused(&world, command, parts).await;
        fs::set_permissions(&path, before).unwrap();
    }
    let daemon = world.online(&workspace).await;
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_folder_that_is_closed_for_a_while_costs_time_and_no_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(command) = without_privileges(world.command(&workspace)) else {
        return;
    };
    let daemon = start(command).await;
    let cursor = settle(&world, &workspace, &daemon, "before").await;
    set_mode(&workspace.folder, 0o000);
    let sent = texts(3);
    say_all(&world, &workspace, &sent).await;
    until("the trouble is told", || is_told(&daemon)).await;
    let beats = world.requests("heartbeat").await.len();
    until("beats go on", || async {
        world.requests("heartbeat").await.len() >= beats + 4
    })
    .await;
    set_mode(&workspace.folder, 0o700);
    assert_eq!(file(&workspace.folder, ".mcp_inbox_cursor"), cursor);
    assert_eq!(drain(&daemon, 3).await, sent);
    until("all is well", || has_trouble(&daemon, None)).await;
}

#[tokio::test]
async fn a_start_on_a_disk_that_takes_nothing_is_one_clear_error() {
    let world = World::new().await;
    for workspace in [used_folder(&world, "used").await, world.workspace("new").await] {
        let Some(disk) = AilingDisk::of(&workspace.folder) else {
            return;
        };
        for (errno, parts) in [
            (Errno::NOSPC, ["full", "free space"]),
            (Errno::IO, ["Input/output", "check the disk"]),
        ] {
            disk.obey(&[Order::Fail("write", errno.raw_os_error())]);
            is_refused(&world, disk.under(world.command(&workspace)), &parts).await;
        }
        disk.heal();
        let daemon = start(disk.under(world.command(&workspace))).await;
        world.say(&workspace, "after").await;
        assert_eq!(drain(&daemon, 1).await, ["after"]);
        assert!(inbox_is_empty(&daemon).await);
    }
}
