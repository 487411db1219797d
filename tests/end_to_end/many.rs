//! Several workspaces in one process: who acts, who is told what, and what becomes of the others when one is refused.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Options;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::start_up::run_to_end;
use super::support::{Workspace, World, bare_command, drain, file, next_message, pop, signal, start, until};

/// The command that starts one daemon for all of these; each is an entry of the list, with its platform if it has its own.
fn command(world: &World, workspaces: &[(&Workspace, Option<&World>)], folder: &PathBuf, speed: u32) -> Command {
    let entry = |(workspace, platform): &(&Workspace, Option<&World>)| {
        let mut entry = json!({ "id": workspace.id, "token": workspace.token });
        if let Some(platform) = platform {
            entry["platform_url"] = platform.url().into();
        }
        entry
    };
    let list: Vec<Value> = workspaces.iter().map(entry).collect();
    std::fs::create_dir_all(folder).unwrap();
    let mut command = bare_command();
    command
        .env("PLATFORM_URL", world.url())
        .env("MOLECULE_WORKSPACES", Value::from(list).to_string())
        .env("CONFIGS_DIR", folder)
        .env("MOLECULE_TEST_SPEED", speed.to_string());
    command
}

fn all_here<'a>(workspaces: &[&'a Workspace]) -> Vec<(&'a Workspace, Option<&'a World>)> {
    workspaces.iter().map(|workspace| (*workspace, None)).collect()
}

async fn daemon(world: &World, workspaces: &[&Workspace]) -> McpChild {
    let folder = workspaces[0].folder.join("many");
    start(command(world, &all_here(workspaces), &folder, super::support::SPEED)).await
}

async fn online(world: &World, workspaces: &[&Workspace]) {
    for workspace in workspaces {
        until("the workspace is online", || async {
            world.status(workspace).await == "online"
        })
        .await;
    }
}

/// Calls a tool that must fail, and returns its code.
async fn refused(daemon: &McpChild, tool: &str, arguments: Value) -> String {
    let answer = daemon
        .request("tools/call", json!({ "name": tool, "arguments": arguments }))
        .await
        .unwrap();
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    result["structuredContent"]["error"].as_str().unwrap().to_owned()
}

/// Whether any request speaks of this id: in its path, as its sender, or in its body.
async fn is_spoken_of(world: &World, id: &str) -> bool {
    world.log().await.iter().any(|entry| entry.to_string().contains(id))
}

#[tokio::test]
async fn two_workspaces_of_one_process_talk_to_each_other_and_to_a_third() {
    let world = World::new().await;
    let (alpha, beta, gamma) = (
        world.workspace("alpha").await,
        world.workspace("beta").await,
        world.workspace("gamma").await,
    );
    let many = daemon(&world, &[&alpha, &beta]).await;
    let third = world.online(&gamma).await;
    online(&world, &[&alpha, &beta]).await;

    // From one to the other: each acts under its own id with its own token.
    let task = json!({ "source_workspace_id": alpha.id, "workspace_id": beta.id, "task": "paint it" });
    let given = many.call("delegate_task_async", task).await.unwrap();
    let order = next_message(&many).await;
    assert_eq!(order["text"], "paint it");
    assert_eq!(
        (&order["peer_id"], &order["arrival_workspace_id"]),
        (&json!(alpha.id), &json!(beta.id))
    );
    let reply = json!({ "activity_id": order["activity_id"], "text": "painted" });
    assert_eq!(
        many.call("reply_to_message", reply).await.unwrap()["acknowledged"],
        true
    );
    let sent = world.requests_with(&beta.token, "a2a").await;
    assert!(!sent.is_empty() && sent.iter().all(|entry| entry["x_workspace_id"] == json!(beta.id)));
    assert!(world.requests_with(&alpha.token, "a2a").await.is_empty());
    let asked = json!({ "task_id": given["delegation_id"] });
    until("the delegation is answered, whoever asks for it", || async {
        many.call("check_task_status", asked.clone()).await.unwrap()["status"] == "answered"
    })
    .await;
    let answer = next_message(&many).await;
    assert_eq!(
        (&answer["text"], &answer["arrival_workspace_id"]),
        (&json!("painted"), &json!(alpha.id))
    );
    pop(&many, &answer).await;
    // As a thread it is shown by the one that gave it, although both have a part in it.
    let thread = json!({ "delegation_id": given["delegation_id"] });
    let thread = many.call("chat_history", thread).await.unwrap();
    assert_eq!(thread["delegation"]["status"], "answered", "{thread}");

    // Both know the third, so there is a choice to make.
    let peers = many.call("list_peers", json!({})).await.unwrap();
    let seen = peers["peers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|peer| peer["id"] == json!(gamma.id));
    let via: HashSet<&str> = seen.unwrap()["via"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(via, HashSet::from([alpha.id.as_str(), beta.id.as_str()]));
    let task = json!({ "workspace_id": gamma.id, "task": "dig" });
    assert_eq!(refused(&many, "delegate_task", task).await, "WORKSPACE_NEEDED");
    let task = json!({ "source_workspace_id": beta.id, "workspace_id": gamma.id, "task": "dig" });
    let dug = many.call("delegate_task_async", task).await.unwrap();
    let order = next_message(&third).await;
    assert_eq!((&order["text"], &order["peer_id"]), (&json!("dig"), &json!(beta.id)));
    assert_eq!(order["arrival_workspace_id"], Value::Null, "it has one workspace only");
    let reply = json!({ "activity_id": order["activity_id"], "text": "dug" });
    third.call("reply_to_message", reply).await.unwrap();
    let answer = next_message(&many).await;
    assert_eq!(
        (&answer["text"], &answer["arrival_workspace_id"]),
        (&json!("dug"), &json!(beta.id))
    );
    pop(&many, &answer).await;
    assert_eq!(dug["status"], "delegated");

    // The person, at each of them.
    world.say(&alpha, "to alpha").await;
    world.say(&beta, "to beta").await;
    for _ in 0..2 {
        let message = next_message(&many).await;
        let text = format!("at {}", message["arrival_workspace_id"].as_str().unwrap());
        let reply = json!({ "activity_id": message["activity_id"], "text": text });
        many.call("reply_to_message", reply).await.unwrap();
    }
    assert_eq!(world.told(&alpha).await, [format!("at {}", alpha.id)]);
    assert_eq!(world.told(&beta).await, [format!("at {}", beta.id)]);
    assert_eq!(
        refused(&many, "send_message_to_user", json!({ "message": "whom?" })).await,
        "WORKSPACE_NEEDED"
    );
    let said = json!({ "message": "you", "workspace_id": alpha.id });
    many.call("send_message_to_user", said).await.unwrap();
    assert_eq!(world.told(&alpha).await[1], "you");

    // Files that other programs read carry the full id.
    let folder = alpha.folder.join("many");
    for workspace in [&alpha, &beta] {
        let name = format!(".platform_inbound_secret_{}", workspace.id);
        until("its own secret is kept", || async { !file(&folder, &name).is_empty() }).await;
        let name = format!(".mcp_inbox_cursor_{}", workspace.id);
        until("its own cursor is exported", || async {
            !file(&folder, &name).is_empty()
        })
        .await;
    }
    assert!(!folder.join(".mcp_inbox_cursor").exists() && !folder.join(".platform_inbound_secret").exists());
}

#[tokio::test]
async fn the_workspace_that_knows_a_peer_is_the_one_that_writes_to_it() {
    let (here, there) = (World::new().await, World::new().await);
    let (alpha, beta) = (here.workspace("alpha").await, there.workspace("beta").await);
    let peer = there.workspace("peer").await;
    let _peer = there.online(&peer).await;
    let list = [(&alpha, None), (&beta, Some(&there))];
    let many = start(command(&here, &list, &alpha.folder.join("many"), super::support::SPEED)).await;
    online(&here, &[&alpha]).await;
    online(&there, &[&beta]).await;

    let task = json!({ "workspace_id": peer.id, "task": "swim" });
    assert_eq!(refused(&many, "delegate_task", task.clone()).await, "WORKSPACE_NEEDED");
    let peers = many.call("list_peers", json!({})).await.unwrap();
    assert_eq!(peers["peers"][0]["via"], json!([beta.id]), "{peers}");
    many.call("delegate_task_async", task).await.unwrap();
    assert_eq!(there.requests_with(&beta.token, "delegate").await.len(), 1);
    assert!(!is_spoken_of(&here, &peer.id).await);

    // What arrives at one platform is answered there, and no token ever reaches the other.
    there.say(&beta, "hello").await;
    let message = next_message(&many).await;
    assert_eq!(message["arrival_workspace_id"], json!(beta.id));
    let reply = json!({ "activity_id": message["activity_id"], "text": "hi" });
    many.call("reply_to_message", reply).await.unwrap();
    assert_eq!(there.told(&beta).await, ["hi"]);
    for (world, own, other) in [(&here, &alpha, &beta), (&there, &beta, &alpha)] {
        assert!(!world.requests_with(&own.token, "heartbeat").await.is_empty());
        for route in [
            "heartbeat",
            "register",
            "activity",
            "events",
            "notify",
            "delegate",
            "peers",
        ] {
            assert!(world.requests_with(&other.token, route).await.is_empty(), "{route}");
        }
    }
}

#[tokio::test]
async fn a_workspace_that_is_not_served_is_refused_before_anything_is_asked() {
    let world = World::new().await;
    let (alpha, beta, other) = (
        world.workspace("alpha").await,
        world.workspace("beta").await,
        world.workspace("other").await,
    );
    let many = daemon(&world, &[&alpha, &beta]).await;
    online(&world, &[&alpha, &beta]).await;
    let stranger = "99999999-0000-4000-8000-000000000009";
    let with = |mut arguments: Value, name: &str| {
        arguments[name] = stranger.into();
        arguments
    };
    for (tool, argument, arguments) in [
        (
            "delegate_task",
            "source_workspace_id",
            json!({ "workspace_id": other.id, "task": "x" }),
        ),
        (
            "delegate_task_async",
            "source_workspace_id",
            json!({ "workspace_id": other.id, "task": "x" }),
        ),
        ("check_task_status", "source_workspace_id", json!({})),
        ("list_peers", "source_workspace_id", json!({})),
        ("get_workspace_info", "source_workspace_id", json!({})),
        ("chat_history", "source_workspace_id", json!({ "peer_id": other.id })),
        ("commit_memory", "source_workspace_id", json!({ "content": "x" })),
        ("recall_memory", "source_workspace_id", json!({})),
        ("search_memory", "source_workspace_id", json!({})),
        (
            "update_agent_card",
            "source_workspace_id",
            json!({ "card": { "name": "x" } }),
        ),
        ("send_message_to_user", "workspace_id", json!({ "message": "x" })),
        ("broadcast_message", "workspace_id", json!({ "message": "x" })),
        ("create_approval", "workspace_id", json!({ "action": "x" })),
        ("list_inbox", "workspace_id", json!({})),
    ] {
        let code = refused(&many, tool, with(arguments.clone(), argument)).await;
        let expected = match tool {
            // With a key of the tenant it could ask for any workspace.
            "create_approval" => "AUTH_ERROR",
            _ => "WORKSPACE_NEEDED",
        };
        assert_eq!(code, expected, "{tool}");
        if tool != "list_peers" && tool != "check_task_status" {
            assert_eq!(
                refused(&many, tool, arguments).await,
                "WORKSPACE_NEEDED",
                "{tool} without it"
            );
        }
    }
    assert!(!is_spoken_of(&world, stranger).await);
    for route in [
        "delegate",
        "peers",
        "notify",
        "broadcast",
        "commit_memory",
        "memories",
        "update_card",
        "bridge",
        "create_approval",
        "request_inbox",
    ] {
        assert!(world.requests(route).await.is_empty(), "{route}");
    }
    let own = json!({ "source_workspace_id": beta.id });
    let told = many.call("get_workspace_info", own).await.unwrap();
    assert_eq!(told["id"], json!(beta.id));
    let identity = many.call("get_runtime_identity", json!({})).await.unwrap();
    assert_eq!(identity["workspace_ids"], json!([alpha.id, beta.id]));
}

#[tokio::test]
async fn one_refused_token_stops_its_workspace_alone_and_all_refused_end_the_process() {
    let world = World::new().await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let wrong = Workspace {
        token: "tok-of-nobody-0123456789".to_owned(),
        ..alpha.clone()
    };
    let many = daemon(&world, &[&wrong, &beta]).await;
    online(&world, &[&beta]).await;
    until("it is said in the log", || async {
        many.complaints().contains("the other 1 go on")
    })
    .await;
    world.say(&beta, "still there?").await;
    let message = next_message(&many).await;
    assert_eq!(message["text"], "still there?");
    pop(&many, &message).await;

    let before = world.requests_with(&wrong.token, "register").await.len();
    let info = json!({ "source_workspace_id": alpha.id });
    assert_eq!(
        refused(
            &many,
            "commit_memory",
            json!({ "content": "x", "source_workspace_id": alpha.id })
        )
        .await,
        "AUTH_ERROR"
    );
    assert_eq!(refused(&many, "list_peers", info).await, "AUTH_ERROR");
    let inbox = many.call("inbox_peek", json!({})).await.unwrap();
    let trouble = &inbox["health"][0];
    assert_eq!(trouble["code"], "AUTH_ERROR", "{inbox}");
    assert!(trouble["what"].as_str().unwrap().contains(&alpha.id), "{inbox}");
    let peers = many.call("list_peers", json!({})).await.unwrap();
    assert!(peers["peers"].is_array());
    assert_eq!(world.requests_with(&wrong.token, "register").await.len(), before);
    for route in ["heartbeat", "activity", "events", "peers", "memories"] {
        assert!(world.requests_with(&wrong.token, route).await.is_empty(), "{route}");
    }
    assert!(many.close().await.unwrap().0.success());

    let neither = Workspace {
        token: "tok-of-nobody-9876543210".to_owned(),
        ..beta.clone()
    };
    let mut many = daemon(&world, &[&wrong, &neither]).await;
    let (status, complaint) = many.wait().await.unwrap();
    assert_eq!(status.code(), Some(3), "{complaint}");
    for id in [&alpha.id, &beta.id] {
        assert!(complaint.contains(id.as_str()), "{complaint}");
    }
}

#[tokio::test]
async fn when_the_process_is_killed_another_one_takes_over_all_of_its_workspaces() {
    let world = World::new().await;
    let workspaces = [
        world.workspace("alpha").await,
        world.workspace("beta").await,
        world.workspace("gamma").await,
    ];
    let all: Vec<&Workspace> = workspaces.iter().collect();
    let mut first = daemon(&world, &all).await;
    online(&world, &all).await;
    let second = daemon(&world, &all).await;
    world.say(&workspaces[1], "to be lost").await;
    let shown = next_message(&first).await;
    first.kill().await.unwrap();
    for workspace in &workspaces {
        let beats = world.requests_with(&workspace.token, "heartbeat").await.len();
        until("the other one beats for it", || async {
            world.requests_with(&workspace.token, "heartbeat").await.len() > beats
        })
        .await;
        world.say(workspace, &format!("to {}", workspace.id)).await;
    }
    let mut texts = drain(&second, 4).await;
    texts.sort();
    let mut expected: Vec<String> = workspaces
        .iter()
        .map(|workspace| format!("to {}", workspace.id))
        .collect();
    expected.push("to be lost".to_owned());
    expected.sort();
    assert_eq!(texts, expected, "{shown} was not acknowledged");
}

#[tokio::test]
async fn the_command_for_arrivals_is_told_of_every_workspace_and_which_one_it_is() {
    let world = World::new().await;
    let workspaces = [world.workspace("alpha").await, world.workspace("beta").await];
    let all: Vec<&Workspace> = workspaces.iter().collect();
    let folder = workspaces[0].folder.join("many");
    let mut command = command(&world, &all_here(&all), &folder, super::support::SPEED);
    let notes = folder.join("told");
    let script = format!("/bin/sh -c 'cat >>\"$0\"' '{}'", notes.display());
    command.env("MOLECULE_ON_MESSAGE", script);
    let daemon = start(command).await;
    online(&world, &all).await;
    let mut expected = Vec::new();
    for round in 0..3 {
        for workspace in &workspaces {
            let text = format!("{round} to {}", workspace.id);
            world.say(workspace, &text).await;
            expected.push((workspace.id.clone(), text));
        }
    }
    let told = || {
        let text = std::fs::read_to_string(&notes).unwrap_or_default();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let pair = |line: Value| {
            Some((
                line["arrival_workspace_id"].as_str()?.to_owned(),
                line["text"].as_str()?.to_owned(),
            ))
        };
        lines.filter_map(pair).collect::<Vec<_>>()
    };
    until("all are told", || async { told().len() >= expected.len() }).await;
    let mut told = told();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(
        drain(&daemon, expected.len()).await.len(),
        expected.len(),
        "a hint acknowledges nothing"
    );
}

/// Two hundred workspaces of one organization share one bucket of 600 requests a minute. Clocks run four times as fast, and so
/// does the platform's: a busy computer can keep that up.
#[tokio::test]
async fn two_hundred_workspaces_stay_below_the_limit_that_they_share() {
    const COUNT: usize = 200;
    const SPEED: u32 = 4;
    let world = World::with(Options {
        speed: SPEED,
        ..Options::default()
    })
    .await;
    let mut workspaces = Vec::new();
    for n in 0..COUNT {
        workspaces.push(world.workspace(&format!("w{n}")).await);
    }
    let all: Vec<&Workspace> = workspaces.iter().collect();
    let limit = json!({ "rate_limit": 600 });
    world.ok(Method::POST, "/_local/limits", None, Some(limit)).await;
    let mut command = command(&world, &all_here(&all), &workspaces[0].folder.join("many"), SPEED);
    command.env("MOLECULE_ORG_ID", "org-of-many");
    let many = start(command).await;
    let how_many_are_online = || async {
        let (_, rows) = world.ask(Method::GET, "/workspaces", Some(world.admin()), None).await;
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.iter().filter(|row| row["status"] == "online").count()
    };
    let deadline = Instant::now() + 4 * super::support::PATIENCE;
    while how_many_are_online().await < COUNT {
        assert!(Instant::now() < deadline, "{} are online", how_many_are_online().await);
        sleep(Duration::from_millis(300)).await;
    }
    // A whole window more of nothing but beats and looking.
    sleep(Duration::from_secs(60) / SPEED).await;
    let last = &workspaces[COUNT - 1];
    world.say(last, "to the last of them").await;
    let message = many
        .call("wait_for_message", json!({ "timeout_secs": 300 }))
        .await
        .unwrap();
    assert_eq!(
        (&message["text"], &message["arrival_workspace_id"]),
        (&json!("to the last of them"), &json!(last.id))
    );
    let log = world.log().await;
    let ours = log.iter().filter(|entry| {
        entry["user_agent"]
            .as_str()
            .is_some_and(|agent| agent.starts_with("molecule-mcp/"))
            && entry["path"] != "/_local/log"
    });
    let refused: Vec<_> = ours.clone().filter(|entry| entry["status"] == 429).collect();
    // Looking at what is left and starting a request are not one step, and what a tool asks for is not held back.
    let all = ours.count();
    assert!(
        refused.len() * 100 < all,
        "{} of {all}: {:?}",
        refused.len(),
        refused.first()
    );
    assert_eq!(how_many_are_online().await, COUNT);
    if let Some(resident) = many.id().and_then(resident_kib) {
        println!("{COUNT} workspaces in one process: {resident} KiB resident");
    }
}

#[tokio::test]
async fn a_service_serves_all_of_them_and_who_looks_is_told_of_each() {
    let world = World::new().await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let both = [&alpha, &beta];
    let folder = alpha.folder.join("many");
    let with = |args: &[&str]| {
        let mut command = command(&world, &all_here(&both), &folder, super::support::SPEED);
        command.args(args).env("HOME", &alpha.folder).current_dir(&alpha.folder);
        command
    };
    let json_of = |args: &'static [&'static str]| {
        let command = with(args);
        async {
            let (_, lines, complaints) = run_to_end(command).await;
            let report: Value = serde_json::from_str(&lines.join("\n")).unwrap_or_else(|_| panic!("{complaints}"));
            report
        }
    };
    let mut serve = with(&["serve"]);
    let mut service = serve.kill_on_drop(true).stdin(Stdio::null()).spawn().unwrap();
    online(&world, &both).await;
    until("status tells that both are online", || async {
        let report = json_of(&["status", "--json"]).await;
        let all = report["workspaces"].as_array().unwrap();
        report["receiving"] == true && all.len() == 2 && all.iter().all(|one| one["state"] == "online")
    })
    .await;
    assert_eq!(run_to_end(with(&["healthcheck", "--ready"])).await.0, 0);
    let report = json_of(&["doctor", "--json"]).await;
    for workspace in both {
        let findings = report["findings"].as_array().unwrap().iter();
        let access: Vec<_> = findings
            .filter(|finding| finding["check"] == "access" && finding.to_string().contains(&workspace.id))
            .map(|finding| &finding["verdict"])
            .collect();
        assert_eq!(access, ["OK"], "{report:#}");
    }
    signal(service.id().unwrap(), "TERM");
    assert_eq!(service.wait().await.unwrap().code(), Some(0));
    let (code, _, complaints) = run_to_end(with(&["healthcheck"])).await;
    assert_eq!(code, 1);
    assert!(both.iter().all(|one| complaints.contains(&one.id)), "{complaints}");
}

/// The resident memory of a process in KiB, where the system tells.
fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}
