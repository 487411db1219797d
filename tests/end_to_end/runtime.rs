//! What belongs to the runtime of workspaces, with the real binary: agents, files, memory, plugins, schedules.

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use serde_json::{Value, json};

use super::management::{failure, manager};
use super::support::{Workspace, World, next_message, start};

/// A daemon of `workspace` that also operates others.
async fn operator(world: &World, workspace: &Workspace) -> McpChild {
    let mut command = world.command(workspace);
    command.env("MOLECULE_API_KEY", world.admin());
    start(command).await
}

async fn call(daemon: &McpChild, tool: &str, workspace: &Workspace, more: Value) -> Value {
    let mut arguments = more;
    arguments["workspace_id"] = json!(workspace.id);
    daemon.call(tool, arguments).await.unwrap()
}

#[tokio::test]
async fn an_agent_is_given_moved_and_talked_to() {
    let world = World::new().await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = operator(&world, &alpha).await;
    let peer = world.online(&beta).await;
    call(&daemon, "assign_agent", &beta, json!({ "model": "m-1" })).await;
    let replaced = call(&daemon, "replace_agent", &beta, json!({ "model": "m-2" })).await;
    assert_eq!(replaced["old_model"], "m-1");
    let moved = call(&daemon, "move_agent", &beta, json!({ "target_workspace_id": alpha.id })).await;
    assert_eq!(moved["to_workspace"], json!(alpha.id));
    let gone = failure(&daemon, "remove_agent", json!({ "workspace_id": beta.id })).await;
    assert_eq!(gone["error"], "HTTP 404");
    assert_eq!(
        call(&daemon, "remove_agent", &alpha, json!({})).await["status"],
        "removed"
    );
    assert_eq!(call(&daemon, "get_model", &alpha, json!({})).await["source"], "default");

    let said = call(
        &daemon,
        "chat_with_agent",
        &beta,
        json!({ "message": "are you there?" }),
    )
    .await;
    assert_eq!(said["state"], "queued");
    let message = next_message(&peer).await;
    assert_eq!(
        (&message["text"], &message["kind"]),
        (&json!("are you there?"), &json!("canvas_user"))
    );
}

#[tokio::test]
async fn files_are_written_listed_and_read_and_what_cannot_be_deleted_is_said() {
    let world = World::new().await;
    let alpha = world.workspace("alpha").await;
    let daemon = operator(&world, &alpha).await;
    let text = "line\n".repeat(20_000);
    call(
        &daemon,
        "write_file",
        &alpha,
        json!({ "path": "notes/long one.md", "content": text }),
    )
    .await;
    let many = json!({ "files": { "a.md": "a", "notes/b.md": "b" } });
    assert_eq!(call(&daemon, "replace_all_files", &alpha, many).await["files"], 2);
    let listed = call(&daemon, "list_files", &alpha, json!({ "path": "notes" })).await;
    assert_eq!(
        (&listed["count"], &listed["files"][1]["size"]),
        (&json!(2), &json!(text.len()))
    );
    let (mut whole, mut offset) = (String::new(), Some(0));
    while let Some(at) = offset {
        let part = call(
            &daemon,
            "read_file",
            &alpha,
            json!({ "path": "notes/long one.md", "offset": at }),
        )
        .await;
        whole.push_str(part["content"].as_str().unwrap());
        offset = part["next_offset"].as_u64();
    }
    assert_eq!(whole, text);
    let kept = failure(
        &daemon,
        "delete_file",
        json!({ "workspace_id": alpha.id, "path": "a.md" }),
    )
    .await;
    assert_eq!(kept["error"], "NOT_SUPPORTED_BY_PLATFORM");
    let config = json!({ "config": { "model": "m", "tools": ["a"] } });
    call(&daemon, "update_config", &alpha, config.clone()).await;
    assert_eq!(
        call(&daemon, "get_config", &alpha, json!({})).await["data"],
        config["config"]
    );
}

#[tokio::test]
async fn memories_of_another_workspace_are_stored_found_and_removed_with_the_key_alone() {
    let world = World::new().await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    let daemon = operator(&world, &alpha).await;
    let stored = call(
        &daemon,
        "commit_memory",
        &beta,
        json!({ "content": "the door is blue" }),
    )
    .await;
    let id = stored["id"].clone();
    let found = call(&daemon, "search_memory", &beta, json!({ "query": "door" })).await;
    assert_eq!((&found["count"], &found["memories"][0]["id"]), (&json!(1), &id));
    let found = call(&daemon, "session_search", &beta, json!({ "q": "BLUE" })).await;
    assert_eq!(found["results"][0]["kind"], "memory");
    let own = daemon.call("recall_memory", json!({})).await.unwrap();
    assert_eq!(own["count"], 0, "it is the other's memory: {own}");
    call(&daemon, "delete_memory", &beta, json!({ "memory_id": id })).await;
    let again = failure(
        &daemon,
        "delete_memory",
        json!({ "workspace_id": beta.id, "memory_id": id }),
    )
    .await;
    assert_eq!(again["error"], "HTTP 404");
    let gone = failure(&daemon, "get_shared_context", json!({ "workspace_id": beta.id })).await;
    assert_eq!(gone["error"], "NOT_SUPPORTED_BY_PLATFORM");

    let set = json!({ "key": "k 1", "value": "v", "if_match_version": 0 });
    assert_eq!(call(&daemon, "memory_set", &beta, set.clone()).await["version"], 1);
    let mut again = set;
    again["workspace_id"] = json!(beta.id);
    let clash = failure(&daemon, "memory_set", again).await;
    assert_eq!(
        (&clash["error"], &clash["body"]["current_version"]),
        (&json!("HTTP 409"), &json!(1))
    );
    assert_eq!(
        call(&daemon, "memory_get", &beta, json!({ "key": "k 1" })).await["value"],
        "v"
    );
    call(&daemon, "memory_delete_kv", &beta, json!({ "key": "k 1" })).await;
    assert_eq!(call(&daemon, "memory_list", &beta, json!({})).await["count"], 0);

    // Without the key another workspace is out of reach, and nothing is sent.
    let plain = world.daemon(&alpha).await;
    let before = world.requests("commit_memory").await.len();
    let refused = failure(
        &plain,
        "commit_memory",
        json!({ "workspace_id": beta.id, "content": "x" }),
    )
    .await;
    assert_eq!(refused["error"], "AUTH_ERROR");
    assert_eq!(world.requests("commit_memory").await.len(), before);
}

#[tokio::test]
async fn plugins_are_asked_about_and_an_organization_says_which_it_allows() {
    let world = World::new().await;
    let alpha = world.workspace("alpha").await;
    let daemon = operator(&world, &alpha).await;
    assert_eq!(
        daemon.call("list_plugin_registry", json!({})).await.unwrap()["count"],
        0
    );
    assert_eq!(
        daemon.call("check_plugin_updates", json!({})).await.unwrap()["count"],
        0
    );
    let made = daemon
        .call("create_workspace", json!({ "name": "inside", "runtime": "codex" }))
        .await
        .unwrap();
    let install = json!({ "workspace_id": made["id"], "source": "local://x" });
    let stopped = failure(&daemon, "install_plugin", install.clone()).await;
    assert_eq!(stopped["error"], "HTTP 503");

    let folder = tempfile::tempdir().unwrap();
    let mut command = manager(world.url(), Some(world.admin()), folder.path());
    command.env("MOLECULE_ORG_ID", made["id"].as_str().unwrap());
    let manager = start(command).await;
    let allow = json!({ "plugins": ["y"], "enabled_by": "me" });
    manager.call("set_org_plugin_allowlist", allow).await.unwrap();
    let shown = manager.call("get_org_plugin_allowlist", json!({})).await.unwrap();
    assert_eq!((&shown["count"], &shown["allow_all"]), (&json!(1), &json!(false)));
    let refused = failure(&daemon, "install_plugin", install).await;
    assert!(
        refused["hint"].as_str().unwrap().contains("set_org_plugin_allowlist"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_agent_plans_its_own_work_with_nothing_but_its_token() {
    let world = World::new().await;
    let alpha = world.workspace("alpha").await;
    let mut command = world.command(&alpha);
    command.env("MOLECULE_MCP_MODE", "self");
    let server = start(command).await;
    let wanted = json!({ "name": "n", "cron_expr": "0 9 * * 1-5", "prompt": "water the plants" });
    let made = server.call("create_schedule", wanted).await.unwrap();
    let one = json!({ "schedule_id": made["id"] });
    let mut off = one.clone();
    off["enabled"] = json!(false);
    server.call("update_schedule", off).await.unwrap();
    let listed = server.call("list_schedules", json!({})).await.unwrap();
    assert_eq!(
        (&listed["count"], &listed["schedules"][0]["enabled"]),
        (&json!(1), &json!(false))
    );
    let ran = server.call("run_schedule", one.clone()).await.unwrap();
    assert_eq!(
        (&ran["fired_by"], &ran["outcome"]["state"]),
        (&json!("client"), &json!("queued"))
    );
    assert_eq!(
        server.call("get_schedule_history", one.clone()).await.unwrap()["count"],
        0
    );
    server.call("delete_schedule", one.clone()).await.unwrap();
    assert_eq!(failure(&server, "delete_schedule", one).await["error"], "HTTP 404");
    server.close().await.unwrap();
    let agent = world.daemon(&alpha).await;
    let message = next_message(&agent).await;
    assert_eq!(
        (&message["text"], &message["kind"]),
        (&json!("water the plants"), &json!("canvas_user"))
    );
}

#[tokio::test]
async fn at_level_c_what_is_gone_or_elsewhere_is_named() {
    let world = World::at(Level::C).await;
    let alpha = world.workspace("alpha").await;
    let daemon = operator(&world, &alpha).await;
    for (tool, more, code) in [
        ("get_shared_context", json!({}), "NOT_SUPPORTED_BY_PLATFORM"),
        (
            "delete_memory",
            json!({ "memory_id": "m" }),
            "NOT_SUPPORTED_BY_PLATFORM",
        ),
        ("search_memory", json!({ "query": "x" }), "NOT_SUPPORTED_BY_PLATFORM"),
        ("list_schedules", json!({}), "HTTP 422"),
        ("uninstall_plugin", json!({ "name": "x" }), "HTTP 422"),
    ] {
        let mut arguments = more;
        arguments["workspace_id"] = json!(alpha.id);
        let told = failure(&daemon, tool, arguments).await;
        assert_eq!(told["error"], code, "{tool}: {told}");
    }
    // There the person is who has the platform's own credential.
    let beta = world.workspace("beta").await;
    let said = call(&daemon, "chat_with_agent", &beta, json!({ "message": "hi" })).await;
    assert_eq!(said["state"], "queued");
    let peer = world.online(&beta).await;
    let message = next_message(&peer).await;
    assert_eq!(
        (&message["text"], &message["kind"]),
        (&json!("hi"), &json!("canvas_user"))
    );
}
