//! The tools as a client sees them: schemas, and results that fit them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::{World, next_message};

/// Every tool once with success and, where it can be had, once with a failure; each result against its output schema.
#[tokio::test]
async fn every_result_fits_the_output_schema_of_its_tool_and_repeats_it_as_text() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let listed = ada.request("tools/list", json!({})).await.unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap().clone();
    let schemas: BTreeMap<&str, &Value> = tools
        .iter()
        .map(|tool| (tool["name"].as_str().unwrap(), &tool["outputSchema"]))
        .collect();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut check = |tool: &str, answer: &Value| {
        let result = &answer["result"];
        let structured = &result["structuredContent"];
        let validator = jsonschema::validator_for(schemas[tool]).unwrap();
        let complaints: Vec<String> = validator
            .iter_errors(structured)
            .map(|error| error.to_string())
            .collect();
        assert!(complaints.is_empty(), "{tool}: {complaints:?} in {structured}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(&text, structured, "{tool}");
        *seen.entry(tool.to_owned()).or_default() += 1;
    };

    world.say(&a, "hello").await;
    let message = next_message(&ada).await;
    world.say(&a, "and another").await;
    let id = message["activity_id"].clone();
    let calls = [
        ("list_peers", json!({})),
        ("get_workspace_info", json!({})),
        ("inbox_peek", json!({})),
        ("inbox_peek", json!({ "activity_id": id })),
        ("inbox_peek", json!({ "activity_id": "none" })),
        ("reply_to_message", json!({ "activity_id": id, "text": "hi" })),
        ("reply_to_message", json!({ "activity_id": "none", "text": "hi" })),
        ("inbox_pop", json!({ "activity_id": id })),
        ("wait_for_message", json!({})),
        ("wait_for_message", json!({ "timeout_secs": 0 })),
        ("send_message_to_user", json!({ "message": "done" })),
        ("send_message_to_user", json!({ "message": "" })),
        ("delegate_task_async", json!({ "workspace_id": b.id, "task": "x" })),
        ("delegate_task_async", json!({ "workspace_id": a.id, "task": "x" })),
        ("check_task_status", json!({ "workspace_id": b.id, "task_id": "" })),
        (
            "check_task_status",
            json!({ "workspace_id": b.id, "task_id": "unknown" }),
        ),
        ("chat_history", json!({ "peer_id": b.id })),
        ("chat_history", json!({ "peer_id": "user", "offline": true })),
        ("chat_history", json!({ "query": "hello" })),
        ("chat_history", json!({ "peer_id": "nobody" })),
        ("commit_memory", json!({ "content": "the door is blue" })),
        ("commit_memory", json!({ "content": "" })),
        ("recall_memory", json!({ "query": "door" })),
        ("get_runtime_identity", json!({})),
        ("update_agent_card", json!({ "card": { "name": "Ada", "skills": [] } })),
        ("update_agent_card", json!({ "card": {} })),
    ];
    for (tool, arguments) in calls {
        let answer = ada
            .request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
            .unwrap();
        check(tool, &answer);
    }
    let (_, delegated) = ada.begin(
        "tools/call",
        json!({ "name": "delegate_task", "arguments": { "workspace_id": b.id, "task": "y" } }),
    );
    for _ in 0..2 {
        let task = next_message(&bob).await;
        bob.call(
            "reply_to_message",
            json!({ "activity_id": task["activity_id"], "text": "z" }),
        )
        .await
        .unwrap();
    }
    check("delegate_task", &delegated.await.unwrap());
    let names: Vec<&str> = schemas.keys().copied().collect();
    assert_eq!(
        seen.keys().map(String::as_str).collect::<Vec<_>>(),
        names,
        "every tool was tried"
    );
}

#[tokio::test]
async fn the_old_names_and_arguments_are_all_there() {
    let world = World::new().await;
    let workspace = world.workspace("a").await;
    let daemon = world.daemon(&workspace).await;
    let listed = daemon.request("tools/list", json!({})).await.unwrap();
    let tools = listed["result"]["tools"].as_array().unwrap().clone();
    let arguments = |name: &str| -> Vec<String> {
        let tool = tools
            .iter()
            .find(|tool| tool["name"] == name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        tool["inputSchema"]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let old: &[(&str, &[&str])] = &[
        ("delegate_task", &["workspace_id", "task", "source_workspace_id"]),
        ("delegate_task_async", &["workspace_id", "task", "source_workspace_id"]),
        ("check_task_status", &["workspace_id", "task_id", "source_workspace_id"]),
        ("list_peers", &["source_workspace_id"]),
        ("get_workspace_info", &["source_workspace_id"]),
        ("send_message_to_user", &["message", "attachments", "workspace_id"]),
        ("wait_for_message", &["timeout_secs"]),
        ("inbox_peek", &["limit"]),
        ("inbox_pop", &["activity_id"]),
        (
            "chat_history",
            &["peer_id", "limit", "before_ts", "source_workspace_id"],
        ),
        ("commit_memory", &["content", "scope", "source_workspace_id"]),
        ("recall_memory", &["query", "scope", "source_workspace_id"]),
        ("get_runtime_identity", &[]),
        ("update_agent_card", &["card"]),
    ];
    for (name, expected) in old {
        let offered = arguments(name);
        for argument in *expected {
            assert!(
                offered.iter().any(|offered| offered == argument),
                "{name} lost {argument}: {offered:?}"
            );
        }
    }
    assert!(listed["result"]["nextCursor"].is_null(), "one page");
    for tool in &tools {
        assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{tool}");
    }
}
