use serde_json::{Value, json};

use super::super::testing::{Bench, Keys, WS, exchange, refused};
use crate::platform::testing::Reply;

const OTHER: &str = "5f0c1d2e-0000-4000-8000-00000000000b";

fn reply(status: u16, body: Value) -> Reply {
    Reply::json(status, &body.to_string())
}

#[tokio::test]
async fn each_tool_sends_its_request() {
    let ws = format!("/workspaces/{WS}");
    let upper = WS.to_uppercase();
    for (tool, arguments, line, body) in [
        (
            "get_workspace",
            json!({ "workspace_id": upper }),
            format!("GET {ws}"),
            None,
        ),
        (
            "get_workspace",
            json!({ "workspace_id": WS, "include_removed": true }),
            format!("GET {ws}?include_removed=true"),
            None,
        ),
        (
            "update_workspace",
            json!({ "workspace_id": WS, "name": "n", "role": "r", "tier": 2, "parent_id": OTHER, "x": 1, "y": 2.5 }),
            format!("PATCH {ws}"),
            Some(json!({ "name": "n", "role": "r", "tier": 2, "parent_id": OTHER, "x": 1.0, "y": 2.5 })),
        ),
        (
            "update_workspace",
            json!({ "workspace_id": WS, "parent_id": null }),
            format!("PATCH {ws}"),
            Some(json!({ "parent_id": null })),
        ),
        (
            "restart_workspace",
            json!({ "workspace_id": WS }),
            format!("POST {ws}/restart"),
            Some(json!({})),
        ),
        (
            "pause_workspace",
            json!({ "workspace_id": WS }),
            format!("POST {ws}/pause"),
            Some(json!({})),
        ),
        (
            "pause_workspace",
            json!({ "workspace_id": WS, "cascade": true }),
            format!("POST {ws}/pause?cascade=true"),
            Some(json!({})),
        ),
        (
            "resume_workspace",
            json!({ "workspace_id": WS, "cascade": false }),
            format!("POST {ws}/resume"),
            Some(json!({})),
        ),
        (
            "delete_workspace",
            json!({ "workspace_id": WS }),
            format!("DELETE {ws}"),
            None,
        ),
        (
            "deprovision_workspace",
            json!({ "workspace_id": WS }),
            format!("DELETE {ws}"),
            None,
        ),
    ] {
        let answer = json!({ "status": "fine" });
        let seen = exchange(tool, arguments, 200, answer.clone()).await;
        assert_eq!(
            (&seen.line, &seen.body, &seen.result),
            (&line, &body, &answer),
            "{tool}"
        );
        let agent = seen.seen.header("user-agent").unwrap();
        assert_eq!(agent, concat!("molecule-mcp/", env!("CARGO_PKG_VERSION")));
    }
}

#[tokio::test]
async fn each_credential_goes_where_it_belongs() {
    for (tool, arguments, bearer) in [
        ("list_workspaces", json!({}), "api-key"),
        ("get_workspace", json!({ "workspace_id": WS }), ""),
        ("restart_workspace", json!({ "workspace_id": WS }), "api-key"),
        (
            "update_workspace",
            json!({ "workspace_id": WS, "name": "n" }),
            "api-key",
        ),
        ("delete_workspace", json!({ "workspace_id": WS }), "api-key"),
        ("deprovision_workspace", json!({ "workspace_id": WS }), "org-key"),
    ] {
        let answer = if tool == "list_workspaces" {
            json!([])
        } else {
            json!({})
        };
        assert_eq!(exchange(tool, arguments, 200, answer).await.bearer, bearer, "{tool}");
    }
}

#[tokio::test]
async fn a_list_is_a_page_and_every_item_fits() {
    let rows: Vec<Value> = (0..3)
        .map(|n| json!({ "id": n, "agent_card": "x".repeat(40_000) }))
        .collect();
    let seen = exchange("list_workspaces", json!({}), 200, json!(rows)).await;
    assert_eq!(seen.line, "GET /workspaces");
    assert_eq!(seen.result["workspaces"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&seen.result["count"], &seen.result["next_offset"]),
        (&json!(3), &json!(1))
    );
    let arguments = json!({ "limit": 2, "offset": 1, "fields": ["id"] });
    let seen = exchange("list_workspaces", arguments, 200, json!(rows)).await;
    assert_eq!(
        seen.result,
        json!({ "workspaces": [{ "id": 1 }, { "id": 2 }], "count": 3 })
    );
    let seen = exchange("list_workspaces", json!({}), 200, json!({ "rows": [] })).await;
    assert_eq!(seen.result["error"], "PLATFORM_ERROR");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_before_anything_is_sent() {
    for (tool, arguments) in [
        ("get_workspace", json!({ "workspace_id": "../../admin x" })),
        ("get_workspace", json!({})),
        ("update_workspace", json!({ "workspace_id": WS })),
        ("update_workspace", json!({ "workspace_id": WS, "tier": 5 })),
        ("update_workspace", json!({ "workspace_id": WS, "x": 1 })),
        (
            "update_workspace",
            json!({ "workspace_id": WS, "name": "a", "purge": true }),
        ),
        ("create_workspace", json!({ "name": " " })),
        ("create_workspace", json!({ "name": "a", "tier": 0 })),
        ("create_workspace", json!({ "name": "a", "workspace_access": "all" })),
        ("restart_workspace", json!({ "workspace_id": ".." })),
        (
            "delete_workspace",
            json!({ "workspace_id": format!("{WS}?purge=true&x=") }),
        ),
    ] {
        assert_eq!(
            refused(tool, arguments.clone()).await,
            "INVALID_ARGUMENT",
            "{tool} {arguments}"
        );
    }
}

#[tokio::test]
async fn a_created_workspace_keeps_its_token_out_of_the_conversation() {
    let token = "tok-one-time";
    let answer = json!({ "id": WS, "external": true, "status": "awaiting_agent", "connection": {
        "workspace_id": WS, "auth_token": token, "curl_register_template": format!("curl -H 'Bearer {token}'") } });
    let bench = Bench::new(vec![reply(201, answer.clone())], Keys::All).await;
    let made = bench
        .call("create_workspace", json!({ "name": "a", "runtime": "external" }))
        .await;
    assert!(!made.to_string().contains(token), "{made}");
    let path = made["connection"]["auth_token_file"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), token);
    let sent = bench.platform.seen()[0].json();
    assert_eq!(
        (&sent["name"], &sent["runtime"], &sent["tier"]),
        (&json!("a"), &json!("external"), &json!(1))
    );
    let (x, y) = (
        sent["canvas"]["x"].as_u64().unwrap(),
        sent["canvas"]["y"].as_u64().unwrap(),
    );
    assert!((100..500).contains(&x) && (100..400).contains(&y));
    assert_eq!((sent.as_object().unwrap().len(), &sent["external"]), (5, &json!(true)));
    let shown = bench
        .call("create_workspace", json!({ "name": "a", "reveal": true }))
        .await;
    assert_eq!(shown, answer);
}

#[tokio::test]
async fn a_workspace_that_the_platform_runs_is_created_with_its_model() {
    let arguments = json!({ "name": "a", "runtime": "codex", "model": "m-1" });
    let seen = exchange("create_workspace", arguments, 201, json!({ "id": WS })).await;
    let sent = seen.body.unwrap();
    assert_eq!((&sent["model"], sent.get("external")), (&json!("m-1"), None));
}

/// The requests that deleting leads to, and the result.
async fn deletion(arguments: Value, replies: Vec<Reply>) -> (Vec<String>, Value, Vec<Option<String>>) {
    let bench = Bench::new(replies, Keys::All).await;
    let result = bench.call("delete_workspace", arguments).await;
    let names = bench
        .platform
        .seen()
        .iter()
        .map(|seen| seen.header("x-confirm-name").map(str::to_owned))
        .collect();
    (bench.lines(), result, names)
}

fn wants_children() -> Reply {
    let children = json!([{ "id": OTHER, "name": "child" }]);
    reply(
        409,
        json!({ "status": "confirmation_required", "message": "m", "children": children, "children_count": 1 }),
    )
}

fn wants_name() -> Reply {
    let body =
        json!({ "error": "destructive_action_requires_confirmation", "workspace_name": "alpha", "child_count": 1 });
    reply(400, body)
}

#[tokio::test]
async fn a_team_is_deleted_only_when_that_was_said() {
    let gone = || reply(200, json!({ "status": "removed", "cascade_deleted": 1 }));
    let plain = format!("DELETE /workspaces/{WS}");
    let all = format!("{plain}?confirm=true");

    let (lines, result, _) = deletion(json!({ "workspace_id": WS }), vec![wants_children(), gone()]).await;
    assert_eq!(lines, [plain.as_str()]);
    assert_eq!(
        (&result["error"], &result["children"]),
        (&json!("CONFIRMATION_REQUIRED"), &json!(["child"]))
    );

    let (lines, result, _) = deletion(json!({ "workspace_id": WS }), vec![wants_name(), gone()]).await;
    assert_eq!(lines, [plain.as_str()]);
    assert_eq!(
        (&result["error"], &result["workspace_name"]),
        (&json!("CONFIRMATION_REQUIRED"), &json!("alpha"))
    );

    let sure = json!({ "workspace_id": WS, "confirm": true });
    let (lines, result, names) = deletion(sure, vec![wants_name(), wants_children(), gone()]).await;
    assert_eq!(lines, [plain.as_str(), plain.as_str(), all.as_str()]);
    assert_eq!(names, [None, Some("alpha".to_owned()), Some("alpha".to_owned())]);
    assert_eq!(result, json!({ "status": "removed", "cascade_deleted": 1 }));
}

#[tokio::test]
async fn a_name_that_is_given_must_be_the_right_one() {
    let row = || reply(200, json!({ "id": WS, "name": "alpha" }));
    let gone = || reply(200, json!({ "status": "removed", "cascade_deleted": 0 }));
    let look = format!("GET /workspaces/{WS}");
    let named = |name: &str| json!({ "workspace_id": WS, "confirm_name": name });
    let (lines, result, _) = deletion(named("beta"), vec![row(), gone()]).await;
    assert_eq!(
        (lines, &result["error"]),
        (vec![look.clone()], &json!("CONFIRMATION_REQUIRED"))
    );
    let (lines, result, names) = deletion(named("alpha"), vec![row(), gone()]).await;
    assert_eq!(lines, [look, format!("DELETE /workspaces/{WS}")]);
    assert_eq!(
        (names[1].as_deref(), &result["status"]),
        (Some("alpha"), &json!("removed"))
    );
}

#[tokio::test]
async fn a_failed_deletion_is_read_back_before_anything_is_said() {
    let failed = || {
        reply(
            500,
            json!({ "error": "stop failed", "removed_count": 2, "stop_failures": ["x"] }),
        )
    };
    let arguments = || json!({ "workspace_id": WS });
    for (answer, expected) in [
        (reply(410, json!({ "error": "workspace removed", "id": WS })), "removed"),
        (reply(200, json!({ "id": WS, "status": "removed" })), "removed"),
        (reply(404, json!({ "error": "workspace not found" })), "removed"),
        (reply(200, json!({ "id": WS, "status": "online" })), "not removed"),
        (reply(500, json!({ "error": "query failed" })), "unknown"),
    ] {
        let (lines, result, _) = deletion(arguments(), vec![failed(), answer]).await;
        assert_eq!(
            lines,
            [format!("DELETE /workspaces/{WS}"), format!("GET /workspaces/{WS}")]
        );
        if expected == "removed" {
            assert_eq!(
                (&result["status"], &result["removed_count"]),
                (&json!("removed"), &json!(2)),
                "{result}"
            );
            assert!(result["platform_said"].as_str().unwrap().contains("stop failed"));
        } else {
            assert_eq!(
                (&result["error"], &result["outcome"]),
                (&json!("HTTP 500"), &json!(expected)),
                "{result}"
            );
        }
    }
}

#[tokio::test]
async fn a_workspace_that_was_removed_before_is_removed() {
    let gone = || reply(410, json!({ "error": "workspace removed", "id": WS }));
    let (_, result, _) = deletion(json!({ "workspace_id": WS }), vec![gone(), gone()]).await;
    assert_eq!(
        (&result["status"], &result["note"]),
        (&json!("removed"), &json!("it had been removed before"))
    );
}

#[tokio::test]
async fn the_record_tells_that_a_failed_deletion_took_effect() {
    let replies = vec![
        reply(500, json!({ "error": "stop failed" })),
        reply(410, json!({ "error": "workspace removed" })),
    ];
    let bench = Bench::new(replies, Keys::All).await;
    bench.call("delete_workspace", json!({ "workspace_id": WS })).await;
    let records = bench.records();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.target.as_str(), record.outcome.as_str()))
        .collect();
    let target = format!("DELETE /workspaces/{WS}");
    assert_eq!(told, [(target.as_str(), "HTTP 500"), (target.as_str(), "REMOVED")]);
}

#[tokio::test]
async fn without_a_key_nothing_is_sent() {
    let bench = Bench::new(vec![reply(200, json!({}))], Keys::None).await;
    for (tool, arguments, code, part) in [
        ("list_workspaces", json!({}), "AUTH_ERROR", "MOLECULE_API_KEY"),
        (
            "set_secret",
            json!({ "workspace_id": WS, "key": "K", "value": "v" }),
            "AUTH_ERROR",
            "MOLECULE_API_KEY",
        ),
        (
            "delete_workspace",
            json!({ "workspace_id": WS, "confirm": true }),
            "AUTH_ERROR",
            "MOLECULE_API_KEY",
        ),
        (
            "provision_workspace",
            json!({ "name": "a", "runtime": "external" }),
            "AUTH_ERROR",
            "MOLECULE_API_KEY",
        ),
        (
            "deprovision_workspace",
            json!({ "workspace_id": WS }),
            "AUTH_ERROR",
            "MOLECULE_ORG_API_KEY",
        ),
        ("mint_org_token", json!({}), "AUTH_ERROR", "MOLECULE_ORG_API_KEY"),
    ] {
        let result = bench.call(tool, arguments).await;
        assert_eq!(result["error"], code, "{tool}");
        assert!(result["detail"].as_str().unwrap().contains(part), "{tool}: {result}");
    }
    assert!(bench.lines().is_empty() && bench.records().is_empty());
}

#[tokio::test]
async fn failures_have_one_envelope_and_stable_codes() {
    let tool = "restart_workspace";
    let arguments = || json!({ "workspace_id": WS });
    for (status, body, code, facts) in [
        (
            401,
            json!({ "error": "invalid" }),
            "AUTH_ERROR",
            json!({ "status": 401 }),
        ),
        (403, json!({ "error": "no" }), "AUTH_ERROR", json!({ "status": 403 })),
        (
            422,
            json!({ "error": "e", "code": "MODEL_REQUIRED" }),
            "HTTP 422",
            json!({ "status": 422, "code": "MODEL_REQUIRED", "body": { "error": "e", "code": "MODEL_REQUIRED" } }),
        ),
        (
            409,
            json!({ "error": "parent paused" }),
            "HTTP 409",
            json!({ "body": { "error": "parent paused" } }),
        ),
        (
            503,
            json!({ "error": "provisioner not available" }),
            "HTTP 503",
            json!({ "status": 503 }),
        ),
        (
            202,
            json!({ "status": "pending_approval", "approval_id": "a1", "action": "x", "reason": "r" }),
            "PENDING_APPROVAL",
            json!({ "status": "pending_approval", "approval_id": "a1", "action": "x", "reason": "r" }),
        ),
    ] {
        let result = exchange(tool, arguments(), status, body).await.result;
        assert_eq!(result["error"], code);
        assert!(result["detail"].is_string() && result["hint"].is_string());
        for (name, value) in facts.as_object().unwrap() {
            assert_eq!(&result[name], value, "{code} {name}");
        }
    }
    let page = Bench::new(
        vec![Reply::new(200, &[("content-type", "text/html")], "<html>")],
        Keys::All,
    )
    .await;
    assert_eq!(page.call(tool, arguments()).await["error"], "PLATFORM_ERROR");
    let cut = Bench::new(
        vec![Reply::raw("HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{")],
        Keys::All,
    )
    .await;
    let result = cut.call(tool, arguments()).await;
    assert_eq!(
        (&result["error"], &result["outcome"]),
        (&json!("PLATFORM_UNREACHABLE"), &json!("unknown"))
    );
    assert_eq!(cut.records()[0].outcome, "PLATFORM_UNREACHABLE");
}

#[tokio::test]
async fn a_short_wait_is_taken_once_and_a_long_one_is_told() {
    let throttled = |secs: &str| Reply::new(429, &[("retry-after", secs)], "{}");
    let arguments = || json!({ "workspace_id": WS });
    for (replies, sent, code) in [
        (vec![throttled("5"), reply(200, json!({ "status": "ok" }))], 2, None),
        (vec![throttled("5"), throttled("5")], 2, Some("RATE_LIMITED")),
        (vec![throttled("300")], 1, Some("RATE_LIMITED")),
    ] {
        let bench = Bench::new(replies, Keys::All).await;
        let result = bench.call("restart_workspace", arguments()).await;
        assert_eq!(
            (bench.lines().len(), result["error"].as_str()),
            (sent, code),
            "{result}"
        );
        assert_eq!(bench.records().len(), 1);
    }
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_not_made() {
    let bench = Bench::new(vec![reply(200, json!({}))], Keys::All).await;
    std::fs::create_dir(bench.folder().join("audit.jsonl")).unwrap();
    let result = bench.call("pause_workspace", json!({ "workspace_id": WS })).await;
    assert_eq!(result["error"], "STATE_UNAVAILABLE");
    assert!(bench.lines().is_empty());
    assert_eq!(
        bench.call("get_workspace", json!({ "workspace_id": WS })).await,
        json!({})
    );
}
