//! `inbox` and `call`: looking and acting beside a daemon, from a shell.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use super::start_up::run_to_end;
use super::support::{PATIENCE, Workspace, World, inbox_is_empty, next_message, signal, until};

fn with(world: &World, workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = world.command(workspace);
    command.args(arguments);
    command
}

async fn json_of(command: Command) -> (i32, Value) {
    let (code, lines, complaint) = run_to_end(command).await;
    let text = lines.join("\n");
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{complaint}"));
    (code, value)
}

#[tokio::test]
async fn an_inbox_is_listed_shown_searched_and_popped_beside_a_daemon_and_without_one() {
    let world = World::new().await;
    let own = world.workspace("own").await;
    let (code, _, complaint) = run_to_end(with(&world, &own, &["inbox", "list"])).await;
    assert_eq!(code, 1);
    assert!(complaint.contains("there is no inbox in"), "{complaint}");
    assert!(!own.folder.join("molecule.db").exists(), "looking makes nothing");

    let daemon = world.online(&own).await;
    world.say(&own, "the harbour is open\nsecond line").await;
    world.say(&own, "another matter").await;
    until("both are in the journal", || async {
        let (_, list) = json_of(with(&world, &own, &["inbox", "list", "--json"])).await;
        list["messages"].as_array().unwrap().len() == 2
    })
    .await;
    let (_, list) = json_of(with(&world, &own, &["inbox", "list", "--json"])).await;
    assert_eq!(list["counts"]["new"], 2);
    let id = |index: usize| list["messages"][index]["activity_id"].as_str().unwrap().to_owned();
    let (_, lines, _) = run_to_end(with(&world, &own, &["inbox", "list"])).await;
    assert!(
        lines[0].starts_with(&id(0)) && lines[0].contains("the person: the harbour is open…"),
        "{lines:?}"
    );
    let (_, lines, _) = run_to_end(with(&world, &own, &["inbox", "show", &id(0)])).await;
    assert!(
        lines.join("\n").contains("the harbour is open\nsecond line"),
        "{lines:?}"
    );
    let (code, found) = json_of(with(&world, &own, &["inbox", "search", "harb", "--json"])).await;
    assert_eq!((code, found.as_array().unwrap().len()), (0, 1));
    assert_eq!(found[0]["message"]["activity_id"], id(0));
    let (code, _, _) = run_to_end(with(&world, &own, &["inbox", "search", "nonsense"])).await;
    assert_eq!(code, 1);

    // What an agent works on is not taken from it.
    let taken = next_message(&daemon).await;
    assert_eq!(taken["activity_id"], id(0));
    let (code, lines, _) = run_to_end(with(&world, &own, &["inbox", "pop", &id(0), &id(1)])).await;
    assert_eq!(code, 1);
    assert!(
        lines[0].contains("an agent is working on it") && lines[1].ends_with(" acknowledged"),
        "{lines:?}"
    );
    let (code, _, complaint) = run_to_end(with(&world, &own, &["inbox", "show", "no-such-message"])).await;
    assert_eq!(code, 1, "{complaint}");

    drop(daemon);
    until("the lease has ended with its session", || async {
        let (code, _, _) = run_to_end(with(&world, &own, &["inbox", "pop", &id(0)])).await;
        code == 0
    })
    .await;
    let (_, list) = json_of(with(&world, &own, &["inbox", "list", "--state", "done", "--json"])).await;
    assert_eq!(list["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_set_aside_is_offered_again_on_demand() {
    let world = World::new().await;
    let own = world.workspace("own").await;
    let mut command = world.command(&own);
    // A lease of 10 s lasts 200 ms at this speed.
    command.env("MOLECULE_LEASE_SECS", "10");
    let daemon = super::support::start(command).await;
    world.say(&own, "nobody answers this").await;
    let id = next_message(&daemon).await["activity_id"].as_str().unwrap().to_owned();
    until("it is set aside", || async {
        let _ = daemon.call("wait_for_message", json!({ "timeout_secs": 1 })).await;
        let (_, list) = json_of(with(&world, &own, &["inbox", "list", "--state", "aside", "--json"])).await;
        list["messages"]
            .as_array()
            .unwrap()
            .iter()
            .any(|message| message["activity_id"] == id.as_str())
    })
    .await;
    let (code, lines, _) = run_to_end(with(&world, &own, &["inbox", "requeue", &id])).await;
    assert_eq!(code, 0, "{lines:?}");
    let (code, lines, _) = run_to_end(with(&world, &own, &["inbox", "requeue", &id])).await;
    assert_eq!(code, 1);
    assert!(lines[0].contains("neither set aside nor recovered"), "{lines:?}");
}

#[tokio::test]
async fn tail_follows_and_ends_on_interrupt() {
    let world = World::new().await;
    let own = world.workspace("own").await;
    let _daemon = world.online(&own).await;
    world.say(&own, "before").await;
    until("it is in the journal", || async {
        let (_, list) = json_of(with(&world, &own, &["inbox", "list", "--json"])).await;
        list["counts"]["new"] == 1
    })
    .await;
    let mut command = with(&world, &own, &["inbox", "tail", "--json"]);
    let mut tail = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .expect("a line comes");
        let line: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
        line["text"].as_str().unwrap().to_owned()
    };
    assert_eq!(next().await, "before");
    world.say(&own, "after").await;
    assert_eq!(next().await, "after");
    signal(tail.id().unwrap(), "INT");
    let ended = tokio::time::timeout(PATIENCE, tail.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[tokio::test]
async fn a_tool_is_called_as_over_mcp_and_its_error_is_an_exit_code() {
    let world = World::new().await;
    let own = world.workspace("own").await;
    let peer = world.workspace("peer").await;
    let (code, info) = json_of(with(&world, &own, &["call", "get_workspace_info"])).await;
    assert_eq!((code, &info["id"]), (0, &json!(own.id)), "{info}");
    let (code, refused) = json_of(with(&world, &own, &["call", "inbox_pop", "{}"])).await;
    assert_eq!((code, &refused["error"]), (1, &json!("INVALID_ARGUMENT")));
    // Neither registered nor polled.
    assert_eq!(world.requests_with(&own.token, "register").await.len(), 0);

    // What it writes is sent before it ends.
    let mut command = with(&world, &own, &["call", "send_message_to_user", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(br#"{"message": "hello from a shell"}"#).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert_eq!(world.told(&own).await, ["hello from a shell"]);
    let task = json!({ "workspace_id": peer.id, "task": "look" }).to_string();
    let (code, _) = json_of(with(&world, &own, &["call", "delegate_task_async", &task])).await;
    assert_eq!(code, 0);
    let receiver = world.online(&peer).await;
    assert_eq!(next_message(&receiver).await["text"], "look");

    for (arguments, part) in [
        (&["call", "inbox_peak"][..], "did you mean inbox_peek?"),
        (&["call", "inbox_peek", "[]"], "must be a JSON object"),
        (
            &["call", "list_workspaces"],
            "is not among the tools that this configuration shows",
        ),
    ] {
        let (code, _, complaint) = run_to_end(with(&world, &own, arguments)).await;
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(part), "{complaint}");
    }
}

#[tokio::test]
async fn a_destructive_tool_without_a_terminal_wants_confirmation() {
    let world = World::new().await;
    let (own, other) = (world.workspace("own").await, world.workspace("other").await);
    let child = json!({
        "name": "below", "parent_id": other.id, "runtime": "external", "external": true, "delivery_mode": "poll",
    });
    world
        .ok(reqwest::Method::POST, "/workspaces", Some(world.admin()), Some(child))
        .await;
    let call = |arguments: Value| {
        let mut command = with(&world, &own, &["call", "delete_workspace", &arguments.to_string()]);
        command.env("MOLECULE_API_KEY", world.admin());
        command
    };
    let (code, refused) = json_of(call(json!({ "workspace_id": other.id }))).await;
    assert_eq!(
        (code, &refused["error"]),
        (1, &json!("CONFIRMATION_REQUIRED")),
        "{refused}"
    );
    assert_ne!(world.status(&other).await, "removed");
    let (code, done) = json_of(call(json!({ "workspace_id": other.id, "confirm": true }))).await;
    assert_eq!((code, &done["status"]), (0, &json!("removed")), "{done}");
}

#[tokio::test]
async fn a_message_that_a_call_was_shown_is_offered_again_when_it_ends() {
    let world = World::new().await;
    let own = world.workspace("own").await;
    let daemon = world.online(&own).await;
    world.say(&own, "hello").await;
    let (code, shown) = json_of(with(
        &world,
        &own,
        &["call", "wait_for_message", "{\"timeout_secs\": 60}"],
    ))
    .await;
    assert_eq!((code, &shown["text"]), (0, &json!("hello")));
    let (_, beside) = json_of(with(&world, &own, &["call", "inbox_peek"])).await;
    assert!(beside["health"].is_null(), "{beside}");
    let again = next_message(&daemon).await;
    assert_eq!(again["activity_id"], shown["activity_id"]);
    let pop = json!({ "activity_id": again["activity_id"] });
    assert_eq!(daemon.call("inbox_pop", pop).await.unwrap()["removed"], true);
    assert!(inbox_is_empty(&daemon).await);
    drop(daemon);
    until("it is told that nobody receives", || async {
        let (_, alone) = json_of(with(&world, &own, &["call", "inbox_peek"])).await;
        alone["health"][0]["code"] == "NOT_RUNNING"
    })
    .await;
}
