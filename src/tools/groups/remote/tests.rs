use super::*;
use crate::platform::testing::Reply;
use crate::tools::groups::testing::{Bench, Keys, WS, exchange, refused};

#[tokio::test]
async fn only_remote_agents_are_listed() {
    let rows = json!([
        { "id": "a", "name": "n", "status": "online", "url": "", "runtime": "external", "uptime_seconds": 5, "tier": 2,
          "agent_card": {} },
        { "id": "b", "runtime": "claude-code" },
        { "id": "c", "runtime": "kimi-cli", "last_heartbeat_at": "2026-06-28T00:00:00Z" },
        { "id": "d", "runtime": null },
    ]);
    let seen = exchange("list_remote_agents", json!({ "limit": 1 }), 200, rows).await;
    assert_eq!(
        (seen.line.as_str(), seen.bearer.as_str()),
        ("GET /workspaces", "api-key")
    );
    let first = json!({ "id": "a", "name": "n", "status": "online", "url": "", "runtime": "external",
        "uptime_seconds": 5, "tier": 2 });
    assert_eq!(seen.result, json!({ "agents": [first], "count": 2, "next_offset": 1 }));
}

#[tokio::test]
async fn the_state_of_each_level_is_understood() {
    let line = format!("GET /workspaces/{WS}?include_removed=true");
    for (status, row, expected) in [
        (
            200,
            json!({ "status": "paused", "runtime": "external" }),
            ("paused", true, false),
        ),
        (
            200,
            json!({ "status": "removed", "runtime": "external" }),
            ("removed", false, true),
        ),
        (
            410,
            json!({ "error": "workspace removed", "id": WS }),
            ("removed", false, true),
        ),
        (
            200,
            json!({ "status": "online", "last_heartbeat_at": "t" }),
            ("online", false, false),
        ),
    ] {
        let seen = exchange(
            "get_remote_agent_state",
            json!({ "workspace_id": WS }),
            status,
            row.clone(),
        )
        .await;
        assert_eq!((seen.line.as_str(), seen.bearer.as_str()), (line.as_str(), ""));
        let (status, paused, deleted) = expected;
        assert_eq!(
            seen.result,
            json!({ "workspace_id": WS, "status": status, "paused": paused, "deleted": deleted,
                "runtime": row["runtime"], "last_heartbeat_at": row["last_heartbeat_at"] })
        );
    }
    let unknown = json!({ "error": "workspace not found" });
    let seen = exchange("get_remote_agent_state", json!({ "workspace_id": WS }), 404, unknown).await;
    assert_eq!(seen.result["error"], "HTTP 404");
}

#[tokio::test]
async fn the_command_is_ours_and_names_the_address() {
    let row = json!({ "name": "far", "status": "awaiting_agent", "runtime": "external" });
    let bench = Bench::new(vec![Reply::json(200, &row.to_string())], Keys::All).await;
    let here = bench.call(
        "get_remote_agent_setup_command",
        json!({ "workspace_id": WS, "platform_url_override": " " }),
    );
    let here = here.await;
    let base = bench.platform.base.to_string();
    assert_eq!(
        (&here["platform_url"], &here["workspace_name"]),
        (&json!(base), &json!("far"))
    );
    assert!(here["warnings"][0].as_str().unwrap().contains("platform_url_override"));
    let command = here["setup_command"].as_str().unwrap();
    assert!(
        command.contains(&format!("molecule-mcp init --url '{base}' --id {WS}")),
        "{command}"
    );
    for (given, warned) in [
        ("https://t.example/", false),
        ("http://t.example", true),
        ("http://0.0.0.0:8080", true),
    ] {
        let arguments = json!({ "workspace_id": WS, "platform_url_override": given });
        let there = bench.call("get_remote_agent_setup_command", arguments).await;
        assert_eq!(there["platform_url"], given.trim_end_matches('/'));
        assert_eq!(there.get("warnings").is_some(), warned, "{given}");
    }
    let local = Reply::json(200, &json!({ "runtime": "codex" }).to_string());
    let bench = Bench::new(vec![local], Keys::All).await;
    let told = bench
        .call("get_remote_agent_setup_command", json!({ "workspace_id": WS }))
        .await;
    assert_eq!(
        (&told["error"], &told["actual_runtime"]),
        (&json!("NOT_EXTERNAL"), &json!("codex"))
    );
    let arguments = json!({ "workspace_id": WS, "platform_url_override": "ftp://x" });
    assert_eq!(
        refused("get_remote_agent_setup_command", arguments).await,
        "INVALID_ARGUMENT"
    );
}

#[test]
fn freshness_is_concluded_from_what_there_is() {
    let id = WorkspaceId::parse(WS).unwrap();
    let now = Timestamp::parse("2026-06-28T00:02:00Z").unwrap();
    for (row, silent, fresh, basis) in [
        (
            json!({ "status": "online", "last_heartbeat_at": "2026-06-28T00:00:30.9Z" }),
            Some(89),
            true,
            "heartbeat",
        ),
        (
            json!({ "status": "online", "last_heartbeat_at": "2026-06-28T00:00:29Z" }),
            Some(91),
            false,
            "heartbeat",
        ),
        // A clock that is behind the platform's.
        (
            json!({ "status": "online", "last_heartbeat_at": "2026-06-28T00:03:00Z" }),
            Some(0),
            true,
            "heartbeat",
        ),
        (
            json!({ "status": "removed", "last_heartbeat_at": "2026-06-28T00:02:00Z" }),
            Some(0),
            false,
            "heartbeat",
        ),
        (json!({ "status": "online" }), None, true, "status"),
        (
            json!({ "status": "offline", "last_heartbeat_at": "yesterday" }),
            None,
            false,
            "status",
        ),
        (json!({}), None, false, "status"),
    ] {
        let told = Freshness::of(&row, id.clone(), 90, now);
        assert_eq!(
            (told.seconds_since_heartbeat, told.fresh, told.basis),
            (silent, fresh, basis),
            "{row}"
        );
    }
}

#[tokio::test]
async fn freshness_is_asked_with_one_request() {
    let arguments = json!({ "workspace_id": WS, "threshold_seconds": 5 });
    let row = json!({ "status": "online", "runtime": "external", "last_heartbeat_at": "2026-01-01T00:00:00Z" });
    let seen = exchange("check_remote_agent_freshness", arguments, 200, row).await;
    assert_eq!(seen.line, format!("GET /workspaces/{WS}?include_removed=true"));
    assert_eq!(
        (&seen.result["fresh"], &seen.result["threshold_seconds"]),
        (&json!(false), &json!(5))
    );
    let arguments = json!({ "workspace_id": WS, "threshold_seconds": -1 });
    assert_eq!(
        refused("check_remote_agent_freshness", arguments).await,
        "INVALID_ARGUMENT"
    );
}
