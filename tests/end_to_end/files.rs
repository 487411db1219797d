//! Files of the chat: out to the person, in from the person, across kills and failures.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use serde_json::{Value, json};
use tokio::process::Command;

use super::support::{Workspace, World, inbox_is_empty, next_message, pop, start, until};

const MIB: usize = 1024 * 1024;

/// A working directory with a file.
fn desk(workspace: &Workspace) -> PathBuf {
    let desk = workspace.folder.join("desk");
    fs::create_dir_all(&desk).unwrap();
    fs::write(desk.join("plan.csv"), "a,b\n1,2\n").unwrap();
    desk
}

/// The command whose daemon works in that directory. The state is beside it, not above it.
fn at_desk(world: &World, workspace: &Workspace) -> Command {
    let mut command = world.command(workspace);
    let state = workspace.folder.join("state");
    fs::create_dir_all(&state).unwrap();
    command.env("CONFIGS_DIR", state).current_dir(desk(workspace));
    command
}

/// The same daemon, told to die at a point of its work.
fn doomed(world: &World, workspace: &Workspace, point: &str) -> Command {
    let mut command = at_desk(world, workspace);
    command.env("MOLECULE_TEST_CRASH_AT", format!("{point}:1"));
    command
}

fn plan(workspace: &Workspace) -> String {
    desk(workspace).join("plan.csv").display().to_string()
}

/// The path behind an address that the agent was given.
fn local(uri: &Value) -> PathBuf {
    let uri = uri.as_str().unwrap();
    PathBuf::from(
        uri.strip_prefix("file://")
            .unwrap_or_else(|| panic!("not local: {uri}")),
    )
}

fn received(workspace: &Workspace) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(workspace.folder.join("state/uploads")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The first attachment of a message as the agent is shown it now.
async fn attachment(daemon: &McpChild, message: &Value) -> Value {
    let peek = json!({ "activity_id": message["activity_id"] });
    daemon.call("inbox_peek", peek).await.unwrap()["messages"][0]["attachments"][0].clone()
}

/// The same, once the file is here.
async fn file_of(daemon: &McpChild, message: &Value) -> Value {
    until("the file is here", || async {
        attachment(daemon, message).await.get("status").is_none()
    })
    .await;
    attachment(daemon, message).await
}

async fn acknowledged(world: &World, file: &Value) -> bool {
    // At this level a file that was acknowledged is gone.
    world.open(file["uri"].as_str().unwrap()).await == Err(404)
}

#[tokio::test]
async fn the_agent_answers_with_a_file_and_the_person_opens_it() {
    for level in [Level::B, Level::C] {
        let world = World::at(level).await;
        let workspace = world.workspace("alpha").await;
        let daemon = start(at_desk(&world, &workspace)).await;
        world.say(&workspace, "the plan, please").await;
        let message = next_message(&daemon).await;
        let reply = json!({ "activity_id": message["activity_id"], "text": "here", "attachments": [plan(&workspace)] });
        let sent = daemon.call("reply_to_message", reply).await.unwrap();
        assert_eq!(
            (&sent["status"], &sent["attachments"], &sent["acknowledged"]),
            (&json!("accepted"), &json!(1), &json!(true)),
            "{sent}"
        );
        let named = json!({ "uri": format!("file://{}", plan(&workspace)), "name": "The plan.csv" });
        let more = json!({ "message": "again", "attachments": [named, plan(&workspace)] });
        daemon.call("send_message_to_user", more).await.unwrap();
        let echoes = world.echoes(&workspace).await;
        let files = |n: usize| echoes[n]["parts"].as_array().unwrap().clone();
        assert_eq!((files(0).len(), files(1).len()), (1, 2));
        let names: Vec<_> = echoes
            .iter()
            .flat_map(|echo| echo["parts"].as_array().unwrap())
            .map(|part| part["file"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["plan.csv", "The plan.csv", "plan.csv"]);
        for file in files(0).iter().chain(&files(1)) {
            let file = &file["file"];
            assert_eq!((&file["mimeType"], &file["size"]), (&json!("text/csv"), &json!(8)));
            let content = world.open(file["uri"].as_str().unwrap()).await.unwrap();
            assert_eq!(content, b"a,b\n1,2\n");
        }
        // The platform announces our own files to us: nobody is told, and they stay for the person.
        world.say(&workspace, "thanks").await;
        let thanks = next_message(&daemon).await;
        assert_eq!(thanks["text"], "thanks");
        pop(&daemon, &thanks).await;
        assert!(inbox_is_empty(&daemon).await);
        assert!(world.requests("pending_ack").await.is_empty());
        assert!(received(&workspace).is_empty());
        let spool = workspace.folder.join("state/outgoing");
        until("no copy is left", || async {
            fs::read_dir(&spool).unwrap().count() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn nothing_is_sent_when_one_file_may_not_leave() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = start(at_desk(&world, &workspace)).await;
    let desk = desk(&workspace);
    let outside = workspace.folder.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    symlink(outside.join("secret"), desk.join("link")).unwrap();
    symlink(&outside, desk.join("folder")).unwrap();
    fs::write(desk.join(".env"), "KEY=1").unwrap();
    fs::write(desk.join("empty"), "").unwrap();
    let large = fs::File::create(desk.join("large")).unwrap();
    large.set_len(25 * MIB as u64 + 1).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(desk.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    let at = |name: &str| desk.join(name).display().to_string();
    let state = workspace.folder.join("state/molecule.db").display().to_string();
    for (bad, said) in [
        (at("link"), "outside"),
        (at("folder/secret"), "outside"),
        (at("../outside/secret"), "outside"),
        ("/etc/passwd".to_owned(), "MOLECULE_ATTACH_ROOTS"),
        (state, "credentials"),
        (at(".env"), "begins with a dot"),
        (desk.display().to_string(), "not a regular file"),
        (at("pipe"), "not a regular file"),
        (at("large"), "25 MB"),
        (at("empty"), "empty"),
        (at("missing"), "cannot be read"),
        ("plan.csv".to_owned(), "absolute"),
    ] {
        let call = json!({ "message": "x", "attachments": [plan(&workspace), bad] });
        let refused = daemon.call("send_message_to_user", call).await.unwrap_err();
        assert!(refused.contains("ATTACHMENT_REFUSED"), "{bad}: {refused}");
        assert!(
            refused.contains(said) && refused.contains("attachments[1]"),
            "{bad}: {refused}"
        );
    }
    let none = json!({ "message": "x", "attachments": vec![plan(&workspace); 11] });
    assert!(daemon.call("send_message_to_user", none).await.is_err());
    assert!(world.requests("chat_upload").await.is_empty());
    assert!(world.requests("notify").await.is_empty());
    let copies = fs::read_dir(workspace.folder.join("state/outgoing")).map_or(0, Iterator::count);
    assert_eq!(copies, 0);
}

#[tokio::test]
async fn a_folder_that_the_user_names_is_a_root_as_well() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let share = workspace.folder.join("share");
    fs::create_dir(&share).unwrap();
    fs::write(share.join("x.txt"), "x").unwrap();
    let mut command = at_desk(&world, &workspace);
    command.env("MOLECULE_ATTACH_ROOTS", format!("/nowhere:{}", share.display()));
    let daemon = start(command).await;
    let call = json!({ "message": "x", "attachments": [share.join("x.txt")] });
    daemon.call("send_message_to_user", call).await.unwrap();
    assert_eq!(world.echoes(&workspace).await[0]["parts"][0]["file"]["name"], "x.txt");
}

#[tokio::test]
async fn a_message_with_a_file_survives_a_kill_at_every_step_and_goes_once() {
    for point in [
        "upload:begun",
        "upload:sent",
        "upload:recorded",
        "notify:begun",
        "notify:sent",
        "notify:recorded",
    ] {
        let world = World::new().await;
        let workspace = world.workspace("alpha").await;
        let mut dying = start(doomed(&world, &workspace, point)).await;
        let call = json!({ "message": "here", "attachments": [plan(&workspace)] });
        let _ = dying.call("send_message_to_user", call).await;
        dying.wait().await.unwrap();
        // What is sent is what was attached, whatever became of it.
        fs::write(plan(&workspace), "changed").unwrap();
        let daemon = start(at_desk(&world, &workspace)).await;
        until("the person has it", || async {
            !world.echoes(&workspace).await.is_empty()
        })
        .await;
        world.say(&workspace, "done?").await;
        let next = next_message(&daemon).await;
        assert_eq!(next["text"], "done?", "{point}");
        pop(&daemon, &next).await;
        assert!(inbox_is_empty(&daemon).await, "{point}");
        let echoes = world.echoes(&workspace).await;
        assert_eq!(echoes.len(), 1, "{point}");
        let uri = echoes[0]["parts"][0]["file"]["uri"].as_str().unwrap();
        assert_eq!(world.open(uri).await.unwrap(), b"a,b\n1,2\n", "{point}");
    }
}

#[tokio::test]
async fn lost_answers_neither_repeat_a_message_nor_show_its_files_to_the_agent() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = start(at_desk(&world, &workspace)).await;
    for route in ["chat_upload", "notify"] {
        world
            .fault(json!({ "route": route, "times": 1, "drop": true, "after": true }))
            .await;
    }
    let call = json!({ "message": "here", "attachments": [plan(&workspace)] });
    let sent = daemon.call("send_message_to_user", call).await.unwrap();
    assert_eq!(sent["status"], "accepted", "{sent}");
    assert_eq!(world.told(&workspace).await, ["here"]);
    world.say(&workspace, "done?").await;
    let next = next_message(&daemon).await;
    assert_eq!(next["text"], "done?");
    pop(&daemon, &next).await;
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_file_the_platform_refuses_is_told_and_nothing_is_sent() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = start(at_desk(&world, &workspace)).await;
    world
        .fault(json!({ "route": "chat_upload", "status": 413, "body": { "error": "file exceeds per-file cap" } }))
        .await;
    let call = json!({ "message": "here", "attachments": [plan(&workspace)] });
    let failed = daemon.call("send_message_to_user", call).await.unwrap_err();
    assert!(
        failed.contains("SEND_FAILED") && failed.contains("per-file cap"),
        "{failed}"
    );
    assert!(world.requests("notify").await.is_empty());
}

#[tokio::test]
async fn the_person_sends_a_file_and_the_agent_opens_it() {
    for level in [Level::B, Level::C] {
        let world = World::at(level).await;
        let workspace = world.workspace("alpha").await;
        let daemon = start(at_desk(&world, &workspace)).await;
        let files = world
            .upload(
                &workspace,
                &[
                    ("../my plan.pdf", "application/pdf", b"%PDF-1"),
                    ("b.txt", "text/plain", b"bee"),
                ],
            )
            .await;
        world.say_with(&workspace, "read both", &files).await;
        let message = next_message(&daemon).await;
        assert_eq!(
            (&message["kind"], &message["text"]),
            (&json!("canvas_user"), &json!("read both"))
        );
        until("both files are here", || async {
            let peek = json!({ "activity_id": message["activity_id"] });
            let shown = daemon.call("inbox_peek", peek).await.unwrap();
            let files = shown["messages"][0]["attachments"].as_array().unwrap().clone();
            files
                .iter()
                .all(|file| file["uri"].as_str().unwrap().starts_with("file://"))
        })
        .await;
        let file = attachment(&daemon, &message).await;
        assert_eq!(
            (&file["name"], &file["mime_type"], &file["size"]),
            (&json!("my_plan.pdf"), &json!("application/pdf"), &json!(6))
        );
        let path = local(&file["uri"]);
        assert_eq!(fs::read(&path).unwrap(), b"%PDF-1");
        let name = path.file_name().unwrap().to_str().unwrap();
        let (digits, rest) = name.split_once('-').unwrap();
        assert!(digits.len() == 32 && rest == "my_plan.pdf", "{name}");
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        until("the platform knows it", || async {
            world.requests("pending_ack").await.len() == 2
        })
        .await;
        pop(&daemon, &message).await;
        assert!(inbox_is_empty(&daemon).await, "the files are told with their message");
    }
}

#[tokio::test]
async fn a_file_alone_is_a_message_of_its_own() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = start(at_desk(&world, &workspace)).await;
    let files = world.upload(&workspace, &[("p.png", "image/png", b"\x89PNG")]).await;
    let message = next_message(&daemon).await;
    assert_eq!((&message["kind"], &message["peer_id"]), (&json!("upload"), &json!("")));
    let file = file_of(&daemon, &message).await;
    assert_eq!(
        (&file["kind"], fs::read(local(&file["uri"])).unwrap().as_slice()),
        (&json!("image"), &b"\x89PNG"[..])
    );
    until("it is acknowledged", || acknowledged(&world, &files[0])).await;
}

#[tokio::test]
async fn a_kill_between_download_and_acknowledgement_costs_nothing() {
    for point in ["file:staged", "file:recorded", "file:acknowledged"] {
        let world = World::new().await;
        let workspace = world.workspace("alpha").await;
        let files = world.upload(&workspace, &[("b.txt", "text/plain", b"bee")]).await;
        world.say_with(&workspace, "read it", &files).await;
        // It may die before it answers anything.
        let mut dying = McpChild::spawn(doomed(&world, &workspace, point)).unwrap();
        let _ = dying.initialize().await;
        dying.wait().await.unwrap();
        assert_eq!(received(&workspace).len(), 1, "{point}");
        assert_eq!(
            acknowledged(&world, &files[0]).await,
            point == "file:acknowledged",
            "{point}"
        );
        let daemon = start(at_desk(&world, &workspace)).await;
        let message = next_message(&daemon).await;
        assert_eq!(message["text"], "read it", "{point}");
        let file = file_of(&daemon, &message).await;
        let path = local(&file["uri"]);
        assert_eq!(fs::read(&path).unwrap(), b"bee", "{point}");
        until("it is acknowledged", || acknowledged(&world, &files[0])).await;
        pop(&daemon, &message).await;
        assert!(inbox_is_empty(&daemon).await, "{point}");
        assert_eq!(received(&workspace), [path], "{point}: it was kept once");
        let asked = world.requests("pending_content").await;
        let by_daemons = asked.iter().filter(|entry| entry["user_agent"].is_string());
        assert_eq!(by_daemons.count(), 1, "{point}: it was fetched once");
    }
}

#[tokio::test]
async fn a_failing_download_hides_no_message_and_finishes_later() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.fault(json!({ "route": "pending_content", "status": 500 })).await;
    let daemon = start(at_desk(&world, &workspace)).await;
    let files = world.upload(&workspace, &[("b.txt", "text/plain", b"bee")]).await;
    world.say_with(&workspace, "read it", &files).await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], "read it");
    let shown = &message["attachments"][0];
    assert_eq!(
        (&shown["uri"], &shown["status"]),
        (&files[0]["uri"], &json!("fetching"))
    );
    // Cut short, then whole.
    world.no_faults().await;
    world
        .fault(json!({ "route": "pending_content", "times": 2, "truncate": 1 }))
        .await;
    let file = file_of(&daemon, &message).await;
    let path = local(&file["uri"]);
    assert_eq!(fs::read(&path).unwrap(), b"bee");
    assert_eq!(received(&workspace), [path]);
    until("it is acknowledged", || acknowledged(&world, &files[0])).await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_said_to_be_and_hides_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let files = world.upload(&workspace, &[("b.txt", "text/plain", b"bee")]).await;
    let uri = files[0]["uri"].as_str().unwrap();
    let id = uri.rsplit('/').next().unwrap();
    let path = format!("/workspaces/{}/pending-uploads/{id}/ack", workspace.id);
    world
        .ok(reqwest::Method::POST, &path, Some(&workspace.token), None)
        .await;
    world.say_with(&workspace, "read it", &files).await;
    let daemon = start(at_desk(&world, &workspace)).await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], "read it");
    until("it is said", || async {
        attachment(&daemon, &message).await["status"] == "gone"
    })
    .await;
    pop(&daemon, &message).await;
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn the_quota_is_kept_by_files_of_handled_messages_and_blocks_no_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = at_desk(&world, &workspace);
    command.env("MOLECULE_UPLOAD_QUOTA_MB", "1");
    let daemon = start(command).await;
    let half = vec![b'x'; 600 * 1024];
    let first = world.upload(&workspace, &[("1.txt", "text/plain", &half)]).await;
    world.say_with(&workspace, "first", &first).await;
    let first = next_message(&daemon).await;
    let file = file_of(&daemon, &first).await;
    let path = local(&file["uri"]);
    // No room while the first message is not handled.
    let second = world.upload(&workspace, &[("2.txt", "text/plain", &half)]).await;
    world.say_with(&workspace, "second", &second).await;
    let second = next_message(&daemon).await;
    assert_eq!(
        (&second["text"], &second["attachments"][0]["status"]),
        (&json!("second"), &json!("fetching"))
    );
    assert!(path.exists());
    pop(&daemon, &first).await;
    file_of(&daemon, &second).await;
    assert!(!path.exists());
    assert_eq!(attachment(&daemon, &first).await["status"], "dropped");
    assert_eq!(received(&workspace).len(), 1);
}

#[tokio::test]
async fn a_named_folder_takes_the_files() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let folder = workspace.folder.join("some/where");
    let mut command = at_desk(&world, &workspace);
    command.env("MOLECULE_CHAT_UPLOAD_DIR", &folder);
    let daemon = start(command).await;
    world.upload(&workspace, &[("b.txt", "text/plain", b"bee")]).await;
    let message = next_message(&daemon).await;
    let file = file_of(&daemon, &message).await;
    assert_eq!(local(&file["uri"]).parent().unwrap(), folder);
}
