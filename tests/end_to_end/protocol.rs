//! The wire: bad input, ends of all kinds, and that stdout carries nothing but protocol.

use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::support::{PATIENCE, World, signal, start, until};

/// Far above the promised times, far below a hang.
const EXIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn bad_lines_are_answered_and_the_session_goes_on() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = start(world.command(&workspace)).await;
    let before = daemon.lines().len();
    let bad: [Vec<u8>; 7] = [
        b"this is not json\n".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\n".to_vec(),
        b"[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}]\n".to_vec(),
        b"42\n".to_vec(),
        b"\xff\xfe\n".to_vec(),
        b"\n\r\n".to_vec(),
        b"{\"jsonrpc\":\"1.0\",\"id\":9,\"method\":\"ping\"}\n".to_vec(),
    ];
    for line in bad {
        daemon.send_raw(line);
    }
    let answer = daemon.request("no/such/method", json!({})).await.unwrap();
    assert_eq!(answer["error"]["code"], json!(-32601));
    let unknown = daemon
        .request("tools/call", json!({ "name": "no_such_tool", "arguments": {} }))
        .await
        .unwrap();
    assert!(
        unknown["error"]["code"].is_number() || unknown["result"]["isError"] == json!(true),
        "{unknown}"
    );
    let pong = daemon.request("ping", json!({})).await.unwrap();
    assert!(pong["result"].is_object(), "{pong}");
    for line in &daemon.lines()[before..] {
        let value: Value = serde_json::from_str(line).expect("every line of stdout is JSON");
        assert_eq!(value["jsonrpc"], "2.0", "{line}");
    }
}

#[tokio::test]
async fn a_ten_megabyte_line_does_not_end_the_session() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = start(world.command(&workspace)).await;
    let mut line = format!(
        r#"{{"jsonrpc":"2.0","id":900,"method":"ping","params":{{"x":"{}"#,
        "x".repeat(10_000_000)
    );
    line.push_str("\"}}\n");
    daemon.send_raw(line.into_bytes());
    let pong = daemon.request("ping", json!({})).await.unwrap();
    assert!(pong["result"].is_object());
}

#[tokio::test]
async fn refused_arguments_name_the_argument_and_send_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let cases = [
        ("delegate_task", json!({ "task": "x" }), "workspace_id"),
        ("delegate_task", json!({ "workspace_id": workspace.id }), "task"),
        ("inbox_pop", json!({}), "activity_id"),
        ("reply_to_message", json!({ "activity_id": "nope" }), "text"),
        ("send_message_to_user", json!({}), "message"),
        (
            "send_message_to_user",
            json!({ "message": "x", "attachments": ["/etc/passwd"] }),
            "attachments",
        ),
    ];
    for (tool, arguments, named) in cases {
        let failure = daemon.call(tool, arguments).await.unwrap_err();
        assert!(failure.contains(named), "{tool}: {failure}");
    }
    for route in ["delegate", "notify", "a2a"] {
        assert!(world.requests(route).await.is_empty(), "{route}");
    }
}

#[tokio::test]
async fn the_end_of_input_ends_the_process_even_with_a_wait_open() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let _ = daemon.begin(
        "tools/call",
        json!({ "name": "wait_for_message", "arguments": { "timeout_secs": 300 } }),
    );
    daemon.request("ping", json!({})).await.unwrap();
    let (status, complaints) = timeout(EXIT, daemon.close()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0), "{complaints}");
}

#[tokio::test]
async fn sigterm_ends_the_process_although_stdin_stays_open() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut daemon = world.online(&workspace).await;
    signal(daemon.id().unwrap(), "TERM");
    let (status, complaints) = timeout(EXIT, daemon.wait()).await.expect("it ends").unwrap();
    assert_eq!(status.code(), Some(0), "{complaints}");
}

#[tokio::test]
async fn sigterm_works_before_initialize_and_while_the_platform_hangs() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    for route in ["get_workspace", "register", "heartbeat", "activity"] {
        world.fault(json!({ "route": route, "delay_ms": 60_000 })).await;
    }
    let mut child = McpChild::spawn(world.command(&workspace)).unwrap();
    // Before its handlers are in place the signal's default action ends it just as well.
    signal(child.id().unwrap(), "TERM");
    let begun = Instant::now();
    timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
    assert!(begun.elapsed() < EXIT);
}

#[tokio::test]
async fn a_client_that_closes_its_end_of_stdout_ends_the_process() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    let initialize = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } } });
    tokio::io::AsyncWriteExt::write_all(&mut stdin, format!("{initialize}\n").as_bytes())
        .await
        .unwrap();
    timeout(EXIT, child.wait()).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn no_token_ever_appears_in_any_output() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command.env("MOLECULE_MCP_VERBOSE", "1").env("MOLECULE_LOG", "trace");
    let daemon = start(command).await;
    until("it is online", || async { world.status(&workspace).await == "online" }).await;
    world.say(&workspace, "a private text").await;
    let message = super::support::next_message(&daemon).await;
    daemon
        .call(
            "reply_to_message",
            json!({ "activity_id": message["activity_id"], "text": "ok" }),
        )
        .await
        .unwrap();
    for tool in ["list_peers", "get_workspace_info", "check_task_status", "inbox_peek"] {
        let _ = daemon
            .call(tool, json!({ "workspace_id": workspace.id, "task_id": "" }))
            .await;
    }
    let lines = daemon.lines().join("\n");
    let (_, complaints) = daemon.close().await.unwrap();
    assert!(!complaints.is_empty(), "the log was switched on");
    let secret = super::support::file(&workspace.folder, ".platform_inbound_secret");
    for output in [&lines, &complaints] {
        assert!(!output.contains(&workspace.token));
        assert!(!output.contains(&secret));
    }
    assert!(!complaints.contains("a private text"), "message text is not for logs");
}
