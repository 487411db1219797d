//! Conversation, building and watching with the real binary, against the embedded platform at its levels.

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::{Level, Options};
use serde_json::{Value, json};

use super::support::{World, bare_command, start};

/// The structured failure of a call.
async fn failure(daemon: &McpChild, tool: &str, arguments: Value) -> Value {
    let call = json!({ "name": tool, "arguments": arguments });
    let answer = daemon.request("tools/call", call).await.unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    answer["result"]["structuredContent"].clone()
}

/// The result of a call.
async fn result(daemon: &McpChild, tool: &str, arguments: Value) -> Value {
    daemon.call(tool, arguments).await.unwrap()
}

/// A server that may manage.
async fn manager(world: &World, folder: &std::path::Path) -> McpChild {
    let mut command = bare_command();
    command
        .env("MOLECULE_MCP_MODE", "management")
        .env("MOLECULE_API_URL", world.url())
        .env("CONFIGS_DIR", folder)
        .env("MOLECULE_ORG_API_KEY", world.admin());
    start(command).await
}

/// What the TypeScript server was started with.
#[tokio::test]
async fn a_key_without_a_workspace_operates_workspaces_and_is_none() {
    let world = World::new().await;
    let other = world.workspace("other").await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = bare_command();
    command
        .env("MOLECULE_API_URL", world.url())
        .env("MOLECULE_API_KEY", world.admin())
        .env("CONFIGS_DIR", folder.path());
    let server = start(command).await;
    let listed = server.request("tools/list", json!({})).await.unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap();
    let has = |name: &str| tools.iter().any(|tool| tool["name"] == name);
    assert!(has("list_peers") && has("set_secret") && !has("inbox_pop") && !has("set_org_secret"));

    let workspaces = result(&server, "list_workspaces", json!({ "fields": ["id"] })).await;
    assert_eq!(workspaces["workspaces"], json!([{ "id": other.id }]));
    let fact = json!({ "workspace_id": other.id, "content": "the key is token=abcdef0123456789abcdef" });
    let kept = result(&server, "commit_memory", fact).await;
    assert_eq!((&kept["scope"], &kept["redacted"]), (&json!("LOCAL"), &json!(1)));
    let found = json!({ "workspace_id": other.id, "query": "key" });
    let found = result(&server, "search_memory", found).await;
    assert_eq!(found["memories"].as_array().map(Vec::len), Some(1), "{found}");
    let missing = failure(&server, "list_peers", json!({})).await;
    assert_eq!(missing["error"], "INVALID_ARGUMENT");

    let log = world.log().await;
    let is_a_workspace = |entry: &&Value| {
        ["register", "heartbeat", "events"]
            .iter()
            .any(|route| entry["route"] == *route)
    };
    assert_eq!(log.iter().find(is_a_workspace), None);
    assert!(
        server.complaints().contains("receives no messages"),
        "{}",
        server.complaints()
    );
}

#[tokio::test]
async fn workspaces_talk_and_are_watched_from_outside() {
    let world = World::new().await;
    let (own, other) = (world.workspace("own").await, world.workspace("other").await);
    let mut command = world.command(&own);
    command.env("MOLECULE_API_KEY", world.admin());
    let daemon = start(command).await;

    let task = json!({ "workspace_id": other.id, "target_id": own.id, "task": "count" });
    let delegated = result(&daemon, "async_delegate", task.clone()).await;
    let mut again = task;
    again["idempotency_key"] = delegated["idempotency_key"].clone();
    let repeated = result(&daemon, "async_delegate", again).await;
    assert_eq!(repeated["delegation_id"], delegated["delegation_id"]);
    let listed = result(&daemon, "check_delegations", json!({ "workspace_id": other.id })).await;
    assert!(
        listed["delegations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["delegation_id"] == delegated["delegation_id"])
    );
    let nobody =
        json!({ "workspace_id": own.id, "target_id": "5f0c1d2e-0000-4000-8000-00000000dead", "task": "count" });
    assert_eq!(
        failure(&daemon, "async_delegate", nobody).await["error"],
        "TARGET_UNKNOWN"
    );

    let note = json!({ "workspace_id": other.id, "message": "hello", "type": "info" });
    assert_eq!(result(&daemon, "notify_user", note).await["status"], "sent");
    let report = json!({ "workspace_id": other.id, "activity_type": "tool_call", "summary": "ran a tool" });
    result(&daemon, "report_activity", report).await;
    let logged = json!({ "workspace_id": other.id, "type": "agent_log", "fields": ["summary"] });
    let logged = result(&daemon, "list_activity", logged).await;
    assert_eq!(logged["activity"], json!([{ "summary": "ran a tool" }]));
    assert_eq!(
        result(&daemon, "list_traces", json!({ "workspace_id": own.id })).await["count"],
        0
    );

    let pair = json!({ "caller_id": own.id, "target_id": other.id });
    assert_eq!(result(&daemon, "check_access", pair).await, json!({ "allowed": true }));
    assert_eq!(result(&daemon, "list_peers", json!({})).await["count"], 1);
    // The token of another workspace is what this level wants, and nobody here has it.
    let refused = failure(&daemon, "list_peers", json!({ "workspace_id": other.id })).await;
    assert_eq!(refused["error"], "AUTH_ERROR");
    let events = result(&daemon, "list_events", json!({ "workspace_id": other.id })).await;
    assert!(events["events"].is_array());
    result(&daemon, "set_canvas_viewport", json!({ "x": 1, "y": 2, "zoom": 0.5 })).await;
    assert_eq!(result(&daemon, "get_canvas_viewport", json!({})).await["zoom"], 0.5);

    let remote = result(&daemon, "list_remote_agents", json!({})).await;
    assert_eq!(remote["count"], 2);
    let setup = result(
        &daemon,
        "get_remote_agent_setup_command",
        json!({ "workspace_id": other.id }),
    )
    .await;
    assert!(
        setup["setup_command"]
            .as_str()
            .unwrap()
            .contains(&format!("--id {}", other.id))
    );
    assert!(setup["warnings"][0].as_str().unwrap().contains("platform_url_override"));
    let fresh = result(
        &daemon,
        "check_remote_agent_freshness",
        json!({ "workspace_id": other.id }),
    )
    .await;
    assert_eq!(
        (&fresh["fresh"], &fresh["basis"]),
        (&json!(false), &json!("status")),
        "{fresh}"
    );

    let config = json!({ "bot_token": "123456:abcdef", "chat_id": "-1" }).to_string();
    let channel = json!({ "workspace_id": other.id, "channel_type": "telegram", "config": config });
    let channel = result(&daemon, "add_channel", channel).await["id"].clone();
    let shown = result(&daemon, "list_channels", json!({ "workspace_id": other.id })).await;
    assert_eq!(
        shown["channels"][0]["config"],
        json!({ "bot_token": "(not shown)", "chat_id": "-1" })
    );
    let message = json!({ "workspace_id": other.id, "channel_id": channel, "text": "hello" });
    assert_eq!(
        failure(&daemon, "send_channel_message", message).await["error"],
        "HTTP 500"
    );
    let gone = json!({ "workspace_id": other.id, "channel_id": channel });
    assert_eq!(result(&daemon, "remove_channel", gone).await["status"], "deleted");
    let bot = json!({ "type": "telegram", "config": { "bot_token": "123456:abcdef" } });
    let told = failure(&daemon, "discover_channel_chats", bot).await;
    assert!(
        told["detail"].as_str().unwrap().contains("Cannot reach Telegram"),
        "{told}"
    );
}

#[tokio::test]
async fn what_waits_for_a_person_is_found_and_decided_wherever_it_is() {
    let world = World::with(Options {
        level: Level::C,
        approval_gate: true,
        ..Options::default()
    })
    .await;
    let (own, other) = (world.workspace("own").await, world.workspace("other").await);
    let mut command = world.command(&own);
    command.env("MOLECULE_API_KEY", world.admin());
    let daemon = start(command).await;
    let secret = json!({ "key": "K", "value": "v-123456" });
    let held = failure(&daemon, "set_global_secret", secret.clone()).await;
    assert_eq!(held["error"], "PENDING_APPROVAL");
    let asked = json!({ "workspace_id": other.id, "action": "deploy", "reason": "it is green" });
    let asked = result(&daemon, "create_approval", asked).await["request_id"].clone();

    let waiting = result(&daemon, "list_pending_approvals", json!({})).await;
    let rows = waiting["approvals"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{waiting}");
    for id in [&held["approval_id"], &asked] {
        let row = rows.iter().find(|row| row["id"] == *id).unwrap();
        let decision = json!({ "workspace_id": row["workspace_id"], "approval_id": id, "decision": "approved" });
        let decided = result(&daemon, "decide_approval", decision.clone()).await;
        assert_eq!((&decided["status"], &decided["approval_id"]), (&json!("approved"), id));
        assert_eq!(failure(&daemon, "decide_approval", decision).await["error"], "HTTP 404");
    }
    assert_eq!(result(&daemon, "set_global_secret", secret).await["status"], "saved");
    let all = result(&daemon, "get_workspace_approvals", json!({ "workspace_id": other.id })).await;
    assert_eq!(
        (&all["count"], &all["approvals"][0]["action"]),
        (&json!(1), &json!("deploy"))
    );
    // From this level on the tenant's key sees whom another workspace may talk to.
    let peers = result(&daemon, "list_peers", json!({ "workspace_id": other.id })).await;
    assert!(peers["peers"].is_array());
}

#[tokio::test]
async fn an_organization_is_built_exported_and_built_again() {
    let world = World::at(Level::C).await;
    let folder = tempfile::tempdir().unwrap();
    let server = manager(&world, folder.path()).await;
    assert_eq!(
        result(&server, "list_org_templates", json!({})).await["templates"][0]["dir"],
        "pair"
    );
    let missing = failure(&server, "create_org_from_template", json!({ "dir": "pair" })).await;
    assert_eq!(
        (&missing["error"], &missing["body"]["missing_env"]),
        (&json!("HTTP 412"), &json!(["PAIR_KEY"]))
    );
    result(
        &server,
        "set_org_secret",
        json!({ "key": "PAIR_KEY", "value": "v-123456" }),
    )
    .await;
    let built = result(&server, "create_org_from_template", json!({ "dir": "pair" })).await;
    assert_eq!(built["count"], 2);
    let reconcile = json!({ "dir": "pair", "mode": "reconcile" });
    assert_eq!(
        failure(&server, "create_org_from_template", reconcile).await["error"],
        "CONFIRMATION_REQUIRED"
    );
    let half = json!({ "template": { "name": "half", "workspaces": [{ "name": "one" }, {}] } });
    let half = failure(&server, "create_org_from_template", half).await;
    assert_eq!(
        (&half["error"], &half["result"]["count"]),
        (&json!("PARTIALLY_DONE"), &json!(1))
    );

    let lead = &built["workspaces"][0]["id"];
    let exported = result(
        &server,
        "export_bundle",
        json!({ "workspace_id": lead, "to_file": true }),
    )
    .await;
    let copy = result(
        &server,
        "import_bundle",
        json!({ "bundle_file": exported["bundle_file"] }),
    )
    .await;
    assert_eq!(copy["children"][0]["name"], "Helper");
    let broken = json!({ "bundle": { "name": "b", "sub_workspaces": [{ "name": "" }] } });
    assert_eq!(
        failure(&server, "import_bundle", broken).await["error"],
        "PARTIALLY_DONE"
    );
    let template = json!({ "name": "Mine", "files": { "config.yaml": "name: mine" } });
    assert_eq!(result(&server, "import_template", template).await["id"], "mine");
    let templates = result(&server, "list_templates", json!({ "fields": ["id"] })).await;
    assert!(
        templates["templates"]
            .as_array()
            .unwrap()
            .contains(&json!({ "id": "mine" }))
    );

    let both = json!({ "workspace_id": lead, "budget_limits": { "hourly": 5, "monthly": 900 } });
    result(&server, "set_workspace_budget", both).await;
    let one = json!({ "workspace_id": lead, "budget_limit": 100 });
    let budget = result(&server, "set_workspace_budget", one).await;
    assert_eq!(
        (
            &budget["periods"]["hourly"]["limit"],
            &budget["periods"]["monthly"]["limit"]
        ),
        (&json!(5), &json!(100))
    );
    let mode = json!({ "workspace_id": lead, "mode": "byok" });
    assert_eq!(
        failure(&server, "set_llm_billing_mode", mode).await["error"],
        "NOT_SUPPORTED_BY_PLATFORM"
    );
    assert!(
        result(&server, "list_org_events", json!({})).await["count"]
            .as_u64()
            .unwrap()
            > 0
    );
    for (tool, arguments) in [("list_orgs", json!({})), ("get_org", json!({ "slug": "a" }))] {
        assert_eq!(
            failure(&server, tool, arguments).await["error"],
            "CP_TIER_NOT_CONFIGURED"
        );
    }
}

#[tokio::test]
async fn the_control_plane_sees_its_own_tokens_and_no_other() {
    let world = World::new().await;
    let workspace = world.workspace("own").await;
    let mut command = world.command(&workspace);
    command
        .env("MOLECULE_MCP_TOOLSETS", "control")
        .env("MOLECULE_CP_URL", world.url())
        .env("CP_ADMIN_API_TOKEN", "cp-token-123")
        .env("MOLECULE_API_KEY", world.admin());
    let daemon = start(command).await;
    // The embedded platform is no control plane, and says so.
    let status = json!({ "workspace_id": workspace.id });
    let told = failure(&daemon, "get_workspace_migration_status", status).await;
    assert_eq!(told["error"], "NOT_SUPPORTED_BY_PLATFORM");
    let promotion = failure(&daemon, "promote_to_production", json!({})).await;
    assert_eq!(promotion["error"], "CP_PROMOTE_NOT_CONFIGURED");
    let moved = json!({ "workspace_id": workspace.id, "from": "aws", "to": "gcp" });
    assert_eq!(
        failure(&daemon, "migrate_workspace_provider", moved).await["error"],
        "CONFIRMATION_REQUIRED"
    );
}
