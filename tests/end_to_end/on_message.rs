//! The command that is run when messages arrive.

use std::path::{Path, PathBuf};

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};

use super::support::{Workspace, World, drain, file, inbox_is_empty, next_message, pop, start, until};

/// A daemon that runs a script when messages arrive; `$0` is the file given.
async fn with_script(world: &World, workspace: &Workspace, script: &str, notes: &Path) -> McpChild {
    let mut command = world.command(workspace);
    command
        .env(
            "MOLECULE_ON_MESSAGE",
            format!("/bin/sh -c '{script}' '{}'", notes.display()),
        )
        .env("MOLECULE_MCP_VERBOSE", "1")
        .env("SEEN", "yes");
    start(command).await
}

fn notes(workspace: &Workspace) -> PathBuf {
    workspace.folder.parent().unwrap().join("notes")
}

/// The messages that the command was told of, in order, whatever else it wrote down.
fn told(notes: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(notes).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn texts(notes: &Path) -> Vec<String> {
    let text = |message: Value| message["text"].as_str().unwrap().to_owned();
    told(notes).into_iter().map(text).collect()
}

#[tokio::test]
async fn every_arrival_is_told_once_in_as_few_runs_as_it_takes_and_acknowledges_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let notes = notes(&workspace);
    world.say(&workspace, "before the start").await;
    let script = "(echo run; env; cat) >>\"$0\"; echo on stdout; until [ -e \"$0.go\" ]; do sleep 0.05; done";
    let mut daemon = with_script(&world, &workspace, script, &notes).await;
    until("what waited is told", || async {
        texts(&notes) == ["before the start"]
    })
    .await;
    let mut expected = vec!["before the start".to_owned()];
    for n in 0..30 {
        expected.push(format!("m{n} \"é\"\n"));
        world.say(&workspace, &expected[n + 1]).await;
    }
    until("all have come", || async {
        daemon.call("inbox_peek", json!({})).await.unwrap()["counts"]["new"] == 31
    })
    .await;
    assert_eq!(texts(&notes), expected[..1], "one run at a time");
    std::fs::write(workspace.folder.parent().unwrap().join("notes.go"), "").unwrap();
    until("all are told", || async { texts(&notes).len() >= expected.len() }).await;
    assert_eq!(texts(&notes), expected);
    let written = std::fs::read_to_string(&notes).unwrap();
    let runs = written.lines().filter(|line| *line == "run").count();
    assert_eq!(runs, 2);
    assert!(written.contains("SEEN=yes") && written.contains("WORKSPACE_ID="));
    assert!(!written.contains(&workspace.token) && !written.contains("MOLECULE_ON_MESSAGE"));
    assert!(
        daemon.complaints().contains("says: on stdout"),
        "{}",
        daemon.complaints()
    );
    assert!(daemon.lines().iter().all(|line| line.starts_with('{')));
    let peeked = daemon.call("inbox_peek", json!({ "limit": 50 })).await.unwrap();
    assert_eq!(peeked["counts"]["new"], 31);
    assert_eq!(peeked["messages"][0]["delivery_count"], 0);
    assert_eq!(told(&notes)[0]["arrival_workspace_id"], json!(workspace.id));

    // Another process takes over, and knows what was told.
    let other = with_script(&world, &workspace, script, &notes).await;
    daemon.kill().await.unwrap();
    world.say(&workspace, "after").await;
    expected.push("after".to_owned());
    until("the new one is told", || async {
        texts(&notes).last() == expected.last()
    })
    .await;
    let mut all = texts(&notes);
    // The run of the last one may have been under way when its process died.
    all.dedup();
    assert_eq!(all, expected);
    assert_eq!(drain(&other, expected.len()).await, expected);
}

#[tokio::test]
async fn a_command_that_fails_is_told_of_and_not_run_again_for_the_same_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let notes = notes(&workspace);
    let script = "cat >>\"$0\"; echo no way >&2; exit 3";
    let daemon = with_script(&world, &workspace, script, &notes).await;
    world.say(&workspace, "first").await;
    until("its failure is told", || async {
        daemon.complaints().contains("exit status: 3")
    })
    .await;
    assert!(daemon.complaints().contains("no way"));
    world.say(&workspace, "second").await;
    until("the next one is told", || async { texts(&notes).len() >= 2 }).await;
    assert_eq!(texts(&notes), ["first", "second"]);
    assert_eq!(drain(&daemon, 2).await, ["first", "second"]);
}

#[tokio::test]
async fn a_command_ends_with_the_process_and_its_message_is_told_again() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let notes = notes(&workspace);
    let pid = workspace.folder.join("pid");
    let script = format!(
        "cat >>\"$0\"; echo $$ >{0}.new; mv {0}.new {0}; exec sleep 600",
        pid.display()
    );
    let daemon = with_script(&world, &workspace, &script, &notes).await;
    world.say(&workspace, "hello").await;
    until("it runs", || async { pid.exists() }).await;
    let running = file(&workspace.folder, "pid").trim().to_owned();
    daemon.close().await.unwrap();
    let lives = || {
        let ps = std::process::Command::new("ps")
            .args(["-o", "stat=", "-p", &running])
            .output();
        let stat = String::from_utf8(ps.unwrap().stdout).unwrap();
        !stat.trim().is_empty() && !stat.starts_with('Z')
    };
    until("it is gone", || async { !lives() }).await;

    let daemon = with_script(&world, &workspace, "cat >>\"$0\"", &notes).await;
    until("it is told again", || async { texts(&notes) == ["hello", "hello"] }).await;
    pop(&daemon, &next_message(&daemon).await).await;
    assert!(inbox_is_empty(&daemon).await);
}
