//! One test per row of the contract's state table, and what it adds to them.

use serde_json::{Value, json};

use super::super::testing::{Bench, Keys, WS};
use crate::platform::testing::Reply;

fn reply(status: u16, body: Value) -> Reply {
    Reply::json(status, &body.to_string())
}

fn templates() -> Reply {
    reply(
        200,
        json!([
            { "id": "claude-code-default", "runtime": "claude-code" },
            { "id": "codex", "runtime": "codex" },
        ]),
    )
}

fn made() -> Reply {
    reply(201, json!({ "id": WS, "status": "provisioning" }))
}

fn row(runtime: &str) -> Reply {
    reply(200, json!({ "id": WS, "runtime": runtime, "status": "provisioning" }))
}

async fn provision(arguments: Value, replies: Vec<Reply>) -> (Value, Bench) {
    let bench = Bench::new(replies, Keys::All).await;
    let result = bench.call("provision_workspace", arguments).await;
    (result, bench)
}

fn codex() -> Value {
    json!({ "name": "n", "runtime": "codex" })
}

/// The facts of a failure that must be there, by name.
fn assert_facts(result: &Value, facts: &Value) {
    for (name, value) in facts.as_object().unwrap() {
        assert_eq!(&result[name], value, "{name} in {result}");
    }
}

const ALL_READ: [&str; 3] = [
    "GET /templates",
    "POST /workspaces",
    "GET /workspaces/5f0c1d2e-0000-4000-8000-00000000000a",
];

#[tokio::test]
async fn row_1_an_unknown_runtime_is_refused_without_any_request() {
    for runtime in ["gpt", "Codex", "../codex"] {
        let (result, bench) = provision(json!({ "name": "n", "runtime": runtime }), vec![templates()]).await;
        let facts = json!({ "error": "UNSUPPORTED_RUNTIME", "requested_runtime": runtime, "provisioned": false,
            "role_config_applied": false });
        assert_facts(&result, &facts);
        assert!(bench.lines().is_empty());
    }
}

#[tokio::test]
async fn arguments_that_contradict_each_other_are_refused_without_any_request() {
    for arguments in [
        json!({ "name": "n" }),
        json!({ "name": "n", "runtime": " ", "template": "" }),
        json!({ "name": "", "runtime": "codex" }),
        json!({ "name": "n", "runtime": "codex", "tier": 9 }),
        json!({ "name": "n", "runtime": "codex", "model": "a", "role_config": { "model": "b" } }),
        json!({ "name": "n", "runtime": "codex", "role_config": { "modle": "b" } }),
    ] {
        let (result, bench) = provision(arguments.clone(), vec![templates()]).await;
        assert_eq!(result["error"], "INVALID_ARGUMENT", "{arguments}");
        assert!(bench.lines().is_empty());
    }
}

#[tokio::test]
async fn row_2_a_template_that_does_not_fit_is_refused_before_anything_is_created() {
    for (runtime, template) in [
        (Some("codex"), Some("nope")),
        (Some("codex"), Some("claude-code-default")),
        (Some("crewai"), None),
        (None, Some("nope")),
    ] {
        let arguments = json!({ "name": "n", "runtime": runtime, "template": template });
        let (result, bench) = provision(arguments, vec![templates()]).await;
        let supported = json!(["claude-code-default", "codex"]);
        assert_facts(
            &result,
            &json!({ "error": "UNSUPPORTED_TEMPLATE", "supported_templates": supported, "provisioned": false }),
        );
        assert_eq!(
            (
                result["requested_runtime"].as_str(),
                result["requested_template"].as_str()
            ),
            (runtime, template)
        );
        assert_eq!(bench.lines(), ["GET /templates"]);
    }
    let arguments = json!({ "name": "n", "runtime": "external", "template": "codex" });
    let (result, bench) = provision(arguments, vec![templates()]).await;
    assert_eq!(result["error"], "UNSUPPORTED_TEMPLATE");
    assert!(bench.lines().is_empty());
}

#[tokio::test]
async fn the_fixed_list_stands_in_for_one_that_cannot_be_read() {
    for unreadable in [
        reply(403, json!({ "error": "no" })),
        reply(500, json!({})),
        reply(200, json!({ "rows": [] })),
    ] {
        let (result, bench) = provision(codex(), vec![unreadable.clone(), made(), row("codex")]).await;
        assert_eq!(
            (&result["ok"], &result["template"]),
            (&json!(true), &json!("codex")),
            "{result}"
        );
        assert_eq!(bench.lines(), ALL_READ);
        let arguments = json!({ "name": "n", "runtime": "deepagents" });
        let (result, bench) = provision(arguments, vec![unreadable, made()]).await;
        assert_eq!(result["error"], "UNSUPPORTED_TEMPLATE");
        assert_eq!(bench.lines(), ["GET /templates"]);
    }
}

#[tokio::test]
async fn row_3_a_refused_creation_is_a_failure_with_its_cause() {
    for (status, body, cause) in [
        (422, json!({ "error": "e", "code": "RUNTIME_UNSUPPORTED" }), "HTTP 422"),
        (500, json!({ "error": "failed to create workspace" }), "HTTP 500"),
        (401, json!({ "error": "no" }), "AUTH_ERROR"),
    ] {
        let (result, bench) = provision(codex(), vec![templates(), reply(status, body.clone())]).await;
        let facts = json!({ "error": "PROVISION_FAILED", "requested_runtime": "codex", "provisioned": false,
            "role_config_applied": false, "status": status });
        assert_facts(&result, &facts);
        assert_eq!(
            (&result["cause"]["error"], &result["code"]),
            (&json!(cause), &body["code"])
        );
        assert_eq!(bench.lines(), ALL_READ[..2]);
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_creation_is_not_called_a_failure_and_not_repeated() {
    for lost in [
        Reply::raw("HTTP/1.1 201 X\r\ncontent-length: 99\r\n\r\n{"),
        reply(524, json!({})),
    ] {
        let (result, bench) = provision(codex(), vec![templates(), lost]).await;
        assert_facts(
            &result,
            &json!({ "error": "PROVISION_UNVERIFIED", "workspace_exists": "unknown", "provisioned": false }),
        );
        assert_eq!(bench.lines(), ALL_READ[..2]);
    }
}

#[tokio::test]
async fn a_creation_that_waits_for_approval_is_not_done() {
    let waits = reply(
        202,
        json!({ "status": "pending_approval", "approval_id": "a", "action": "x", "reason": "y" }),
    );
    let (result, _) = provision(codex(), vec![templates(), waits]).await;
    assert_facts(
        &result,
        &json!({ "error": "PENDING_APPROVAL", "approval_id": "a", "provisioned": false }),
    );
}

#[tokio::test]
async fn row_4_an_answer_without_an_id_is_a_failure() {
    for answer in [
        reply(201, json!({ "status": "x" })),
        reply(201, json!({ "id": 7 })),
        reply(201, json!({ "id": "../x" })),
        reply(201, json!([])),
        Reply::new(201, &[], "made it"),
    ] {
        let (result, bench) = provision(codex(), vec![templates(), answer]).await;
        assert_facts(
            &result,
            &json!({ "error": "PROVISION_FAILED", "provisioned": false, "workspace_exists": "unknown" }),
        );
        assert!(!result["create_response"].is_null());
        assert_eq!(bench.lines(), ALL_READ[..2]);
    }
}

#[tokio::test]
async fn row_5_a_runtime_that_cannot_be_read_back_is_unverified() {
    for (answer, reads) in [
        (reply(403, json!({ "error": "no" })), 1),
        (reply(200, json!({ "id": WS })), 1),
        (reply(200, json!({ "id": WS, "runtime": 7 })), 1),
        (reply(500, json!({})), 3),
    ] {
        for runtime in ["codex", "external"] {
            let arguments = json!({ "name": "n", "runtime": runtime });
            let mut replies = vec![made(), answer.clone()];
            if runtime == "codex" {
                replies.insert(0, templates());
            }
            let (result, bench) = provision(arguments, replies).await;
            let facts = json!({ "error": "PROVISION_UNVERIFIED", "workspace_id": WS, "workspace_exists": true,
                "provisioned": false, "role_config_applied": false, "requested_runtime": runtime });
            assert_facts(&result, &facts);
            assert!(!result["read_error"].is_null());
            let looks = bench
                .lines()
                .iter()
                .filter(|line| line.starts_with("GET /workspaces/"))
                .count();
            assert_eq!(looks, reads, "{:?}", bench.lines());
        }
    }
}

#[tokio::test]
async fn row_5_a_late_row_is_waited_for() {
    let late = reply(404, json!({ "error": "workspace not found" }));
    let (result, _) = provision(codex(), vec![templates(), made(), late, row("codex")]).await;
    assert_eq!(result["ok"], true);
}

#[tokio::test]
async fn row_6_another_runtime_is_a_mismatch_and_nothing_is_deleted() {
    let (result, bench) = provision(codex(), vec![templates(), made(), row("langgraph")]).await;
    let facts = json!({ "error": "RUNTIME_MISMATCH", "workspace_id": WS, "requested_runtime": "codex",
        "resolved_runtime": "langgraph", "provisioned": false, "workspace_exists": true, "role_config_applied": false });
    assert_facts(&result, &facts);
    assert_eq!(bench.lines(), ALL_READ);
}

#[tokio::test]
async fn row_6b_own_compute_may_be_called_anything_and_keeps_its_connection() {
    let token = "tok-one-time";
    let connection = json!({ "workspace_id": WS, "auth_token": token, "python_snippet": format!("t='{token}'") });
    let made = || {
        reply(
            201,
            json!({ "id": WS, "status": "awaiting_agent", "connection": connection }),
        )
    };
    for runtime in ["external", "kimi", "kimi-cli"] {
        let (result, bench) = provision(
            json!({ "name": "n", "runtime": runtime }),
            vec![made(), row("whatever")],
        )
        .await;
        let facts = json!({ "ok": true, "provisioned": true, "resolved_runtime": "whatever", "template": null,
            "status": "awaiting_agent", "role_config_applied": false });
        assert_facts(&result, &facts);
        assert!(result.as_object().unwrap().contains_key("template"));
        assert!(!result.to_string().contains(token), "{result}");
        let file = result["connection"]["auth_token_file"].as_str().unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap(), token);
        assert_eq!(bench.lines(), ALL_READ[1..]);
        let sent = bench.platform.seen()[0].json();
        assert_eq!((sent.get("template"), &sent["external"]), (None, &json!(true)));
    }
    let arguments = json!({ "name": "n", "runtime": "external", "reveal": true });
    let (result, _) = provision(arguments, vec![made(), row("external")]).await;
    assert_eq!(result["connection"], connection);
    // A failure afterwards does not lose it.
    let (result, _) = provision(
        json!({ "name": "n", "runtime": "external" }),
        vec![made(), reply(403, json!({}))],
    )
    .await;
    assert!(result["connection"]["auth_token_file"].is_string(), "{result}");
}

#[tokio::test]
async fn rows_7_and_12_without_a_role_nothing_is_applied() {
    for role in [json!(null), json!({}), json!({ "model": "", "config_yaml": " " })] {
        let arguments = json!({ "name": "n", "runtime": "codex", "role_config": role });
        let (result, bench) = provision(arguments, vec![templates(), made(), row("codex")]).await;
        let expected = json!({ "ok": true, "provisioned": true, "role_config_applied": false, "workspace_id": WS,
            "requested_runtime": "codex", "resolved_runtime": "codex", "template": "codex", "status": "provisioning",
            "verification": "row" });
        assert_eq!(result, expected);
        assert_eq!(bench.lines(), ALL_READ);
    }
}

fn with_role() -> Value {
    json!({ "name": "n", "runtime": "claude-code", "template": "claude-code", "tier": 3, "role": "r",
        "workspace_dir": "/srv", "workspace_access": "read_only",
        "role_config": { "model": "m-1", "config_yaml": "a: 1\n" } })
}

#[tokio::test]
async fn row_11_the_order_is_fixed_and_the_model_is_read_back() {
    let fine = || reply(200, json!({ "status": "saved" }));
    let model = reply(200, json!({ "model": "m-1", "source": "workspace_secrets" }));
    let (result, bench) = provision(
        with_role(),
        vec![templates(), made(), row("claude-code"), fine(), fine(), model],
    )
    .await;
    let expected = json!({ "ok": true, "provisioned": true, "role_config_applied": true, "workspace_id": WS,
        "requested_runtime": "claude-code", "resolved_runtime": "claude-code", "template": "claude-code-default",
        "applied": { "config_yaml": "written", "model": "m-1" }, "status": "provisioning", "verification": "row" });
    assert_eq!(result, expected);
    let ws = format!("/workspaces/{WS}");
    let rest = [
        format!("PUT {ws}/files/config.yaml"),
        format!("PUT {ws}/model"),
        format!("GET {ws}/model"),
    ];
    let lines = bench.lines();
    assert_eq!(lines[..3], ALL_READ);
    assert_eq!(lines[3..], rest);
    let seen = bench.platform.seen();
    let mut body = seen[1].json();
    assert!(body.as_object_mut().unwrap().remove("canvas").is_some());
    let sent = json!({ "name": "n", "runtime": "claude-code", "template": "claude-code-default", "tier": 3, "role": "r",
        "workspace_dir": "/srv", "workspace_access": "read_only", "model": "m-1" });
    assert_eq!(body, sent);
    assert_eq!(seen[3].json(), json!({ "content": "a: 1\n" }));
    assert_eq!(seen[4].json(), json!({ "model": "m-1" }));
    let recorded: Vec<_> = bench
        .records()
        .into_iter()
        .map(|record| (record.tool, record.target))
        .collect();
    assert_eq!(recorded.len(), 3);
    assert!(recorded.iter().all(|(tool, _)| tool == "provision_workspace"));
    assert!(!format!("{recorded:?}").contains("m-1"));
}

#[tokio::test]
async fn the_argument_model_is_the_roles_model() {
    let arguments = json!({ "name": "n", "template": "codex", "model": "m" });
    let model = reply(200, json!({ "model": "m" }));
    let saved = reply(200, json!({ "status": "saved" }));
    let (result, bench) = provision(arguments, vec![templates(), made(), row("codex"), saved, model]).await;
    assert_facts(
        &result,
        &json!({ "requested_runtime": "codex", "role_config_applied": true, "applied": { "model": "m" } }),
    );
    assert_eq!(bench.platform.seen()[1].json()["model"], "m");
}

#[tokio::test]
async fn rows_8_and_9_a_role_that_cannot_be_written_says_how_far_it_came() {
    let refused = || reply(422, json!({ "error": "no", "code": "UNREGISTERED_MODEL_FOR_RUNTIME" }));
    let fine = reply(200, json!({ "status": "saved" }));
    let start = || vec![templates(), made(), row("claude-code")];
    for (phase, answers, applied) in [
        ("config.yaml", vec![refused()], json!({})),
        ("model", vec![fine, refused()], json!({ "config_yaml": "written" })),
    ] {
        let (result, _) = provision(with_role(), [start(), answers].concat()).await;
        let facts = json!({ "error": "ROLE_CONFIG_FAILED", "phase": phase, "workspace_id": WS, "applied": applied,
            "requested_runtime": "claude-code", "resolved_runtime": "claude-code", "provisioned": true,
            "role_config_applied": false, "code": "UNREGISTERED_MODEL_FOR_RUNTIME" });
        assert_facts(&result, &facts);
        assert_eq!(result["cause"]["error"], "HTTP 422");
    }
}

#[tokio::test]
async fn row_10_another_model_in_effect_is_a_mismatch() {
    for (answer, effective) in [
        (reply(200, json!({ "model": "m-2" })), json!("m-2")),
        (reply(200, json!({ "model": "" })), json!("")),
        (reply(500, json!({})), json!(null)),
    ] {
        let fine = || reply(200, json!({ "status": "saved" }));
        let replies = vec![templates(), made(), row("claude-code"), fine(), fine(), answer];
        let (result, _) = provision(with_role(), replies).await;
        let facts = json!({ "error": "ROLE_CONFIG_MODEL_MISMATCH", "requested_model": "m-1", "effective_model": effective,
            "workspace_id": WS, "resolved_runtime": "claude-code", "provisioned": true, "role_config_applied": false });
        assert_facts(&result, &facts);
        assert!(result.as_object().unwrap().contains_key("effective_model"));
    }
}

#[tokio::test]
async fn waiting_ends_when_the_agent_is_there_or_cannot_be() {
    let arguments = || json!({ "name": "n", "runtime": "codex", "wait_until_online": true, "wait_secs": 900 });
    let state = |status: &str, card: Value| {
        reply(
            200,
            json!({ "id": WS, "runtime": "codex", "status": status, "agent_card": card, "last_sample_error": "why" }),
        )
    };
    let start = || vec![templates(), made(), row("codex")];
    for (last, facts) in [
        (
            state("online", json!(null)),
            json!({ "ok": true, "status": "online", "verification": "row" }),
        ),
        (
            state("online", json!({ "runtime": "codex" })),
            json!({ "ok": true, "status": "online", "verification": "agent" }),
        ),
        (
            state("online", json!({ "runtime": "langgraph" })),
            json!({ "error": "RUNTIME_MISMATCH", "resolved_runtime": "langgraph", "verification": "agent" }),
        ),
        (
            state("failed", json!(null)),
            json!({ "error": "NOT_ONLINE", "status": "failed", "last_sample_error": "why", "workspace_exists": true }),
        ),
    ] {
        let waiting = [state("provisioning", json!(null)), last];
        let (result, _) = provision(arguments(), [start(), waiting.to_vec()].concat()).await;
        assert_facts(&result, &facts);
    }
    let short = json!({ "name": "n", "runtime": "codex", "wait_until_online": true, "wait_secs": 1 });
    let (result, _) = provision(short, [start(), vec![state("provisioning", json!(null))]].concat()).await;
    assert_facts(&result, &json!({ "error": "NOT_ONLINE", "status": "provisioning" }));
}

#[tokio::test]
async fn a_failure_is_taken_back_only_when_that_was_wanted() {
    let arguments = json!({ "name": "n", "runtime": "codex", "rollback_on_failure": true });
    let wrong = || vec![templates(), made(), row("langgraph")];
    let gone = reply(200, json!({ "status": "removed", "cascade_deleted": 0 }));
    let (result, bench) = provision(arguments.clone(), [wrong(), vec![gone]].concat()).await;
    assert_facts(
        &result,
        &json!({ "error": "RUNTIME_MISMATCH", "rolled_back": true, "workspace_exists": false }),
    );
    assert_eq!(bench.lines()[3], format!("DELETE /workspaces/{WS}"));
    // Whatever it was before, nothing of it is there now.
    let mut waiting = arguments.clone();
    waiting["wait_until_online"] = json!(true);
    waiting["model"] = json!("m-1");
    let model = || reply(200, json!({ "model": "m-1", "source": "workspace_secrets" }));
    let failed = reply(200, json!({ "runtime": "codex", "status": "failed" }));
    let gone = reply(200, json!({ "status": "removed" }));
    let replies = vec![templates(), made(), row("codex"), model(), model(), failed, gone];
    let (result, _) = provision(waiting, replies).await;
    assert_facts(
        &result,
        &json!({ "error": "NOT_ONLINE", "rolled_back": true, "provisioned": false, "role_config_applied": false }),
    );
    let stays = reply(403, json!({ "error": "no" }));
    let (result, _) = provision(arguments, [wrong(), vec![stays]].concat()).await;
    assert_facts(
        &result,
        &json!({ "error": "RUNTIME_MISMATCH", "rolled_back": false, "workspace_exists": true }),
    );
    assert_eq!(result["rollback_error"]["error"], "AUTH_ERROR");
}
