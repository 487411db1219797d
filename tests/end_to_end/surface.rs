//! The tools as a client sees them: schemas, and results that fit them.

use std::collections::{BTreeMap, BTreeSet};

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use serde_json::{Value, json};

use super::support::{World, next_message};

/// Calls of one daemon, each result held against the output schema of its tool.
struct Checking<'a> {
    daemon: &'a McpChild,
    schemas: BTreeMap<String, Value>,
    tried: BTreeSet<String>,
}

impl<'a> Checking<'a> {
    async fn new(daemon: &'a McpChild) -> Self {
        let listed = daemon.request("tools/list", json!({})).await.unwrap();
        let tools = listed["result"]["tools"].as_array().unwrap().clone();
        let schemas = tools.into_iter().map(|tool| {
            let name = tool["name"].as_str().unwrap().to_owned();
            (name, tool["outputSchema"].clone())
        });
        Self {
            daemon,
            schemas: schemas.collect(),
            tried: BTreeSet::new(),
        }
    }

    fn check(&mut self, tool: &str, answer: &Value) -> Value {
        let result = &answer["result"];
        let structured = &result["structuredContent"];
        let validator = jsonschema::validator_for(&self.schemas[tool]).unwrap();
        let complaints: Vec<String> = validator
            .iter_errors(structured)
            .map(|error| error.to_string())
            .collect();
        assert!(complaints.is_empty(), "{tool}: {complaints:?} in {structured}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(&text, structured, "{tool}");
        self.tried.insert(tool.to_owned());
        text
    }

    async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let asked = json!({ "name": tool, "arguments": arguments });
        let answer = self.daemon.request("tools/call", asked).await.unwrap();
        self.check(tool, &answer)
    }

    fn left(&self) -> Vec<&str> {
        let names = self.schemas.keys().filter(|name| !self.tried.contains(*name));
        names.map(String::as_str).collect()
    }
}

/// Every tool once with success and, where it can be had, once with a failure.
#[tokio::test]
async fn every_result_fits_the_output_schema_of_its_tool_and_repeats_it_as_text() {
    let world = World::new().await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let mut checking = Checking::new(&ada).await;
    world.say(&a, "hello").await;
    let message = next_message(&ada).await;
    world.say(&a, "and another").await;
    let id = message["activity_id"].clone();
    let calls = [
        ("list_peers", json!({})),
        ("provision_workspace", json!({ "name": "x", "runtime": "external" })),
        ("provision_workspace", json!({ "name": "x", "runtime": "nope" })),
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
        checking.call(tool, arguments).await;
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
    checking.check("delegate_task", &delegated.await.unwrap());
    // What this platform does not have is said, and said in the same shape.
    let request = json!({ "request_id": "00000000-0000-4000-8000-000000000000" });
    for (tool, arguments) in [
        ("broadcast_message", json!({ "message": "x" })),
        ("create_request", json!({ "kind": "task", "title": "x" })),
        ("list_inbox", json!({})),
        ("get_request", request.clone()),
        ("cancel_request", request),
    ] {
        let refused = checking.call(tool, arguments).await;
        assert_eq!(refused["error"], "NOT_SUPPORTED_BY_PLATFORM", "{tool} {refused}");
    }
    // Approvals are older than requests; the embedded platform's own MCP endpoint lets every memory tool fail.
    for (tool, arguments, fails) in [
        ("create_approval", json!({ "action": "deploy" }), false),
        ("check_requests", json!({}), false),
        ("commit_memory_v2", json!({ "content": "x" }), true),
        ("commit_summary", json!({ "content": "x" }), true),
        ("search_memory", json!({}), true),
        ("forget_memory", json!({ "memory_id": "x" }), true),
        ("list_readable_namespaces", json!({}), true),
        ("list_writable_namespaces", json!({}), true),
    ] {
        let answer = checking.call(tool, arguments).await;
        assert_eq!(answer["error"].is_string(), fails, "{tool} {answer}");
    }
    assert_eq!(
        checking.left(),
        ["add_request_message", "respond_request"],
        "the test below tries these"
    );
}

#[tokio::test]
async fn results_about_requests_fit_their_schemas() {
    let world = World::at(Level::C).await;
    let (a, b) = (world.workspace("a").await, world.workspace("b").await);
    let (ada, bob) = (world.online(&a).await, world.online(&b).await);
    let (mut asker, mut asked) = (Checking::new(&ada).await, Checking::new(&bob).await);
    let task = |title: &str| json!({ "kind": "task", "title": title, "recipient_type": "agent", "recipient_id": b.id });
    let mut ids = Vec::new();
    for title in ["one", "two"] {
        ids.push(asker.call("create_request", task(title)).await["request_id"].clone());
    }
    asker.call("create_approval", json!({ "action": "deploy" })).await;
    let listed = asked.call("list_inbox", json!({})).await;
    assert_eq!(listed["requests"].as_array().unwrap().len(), 2, "{listed}");
    let (one, two) = (json!({ "request_id": ids[0] }), json!({ "request_id": ids[1] }));
    let question = json!({ "request_id": ids[0], "body": "how?" });
    asked.call("add_request_message", question).await;
    let done = json!({ "request_id": ids[0], "action": "done", "message": "so" });
    let responded = asked.call("respond_request", done).await;
    assert_eq!(responded["status"], "done", "{responded}");
    let shown = asker.call("get_request", one).await;
    assert_eq!(shown["messages"].as_array().unwrap().len(), 2, "{shown}");
    let withdrawn = asker.call("cancel_request", two).await;
    assert_eq!(withdrawn["status"], "cancelled", "{withdrawn}");
    let checked = asker.call("check_requests", json!({})).await;
    assert_eq!(checked["requests"].as_array().unwrap().len(), 3, "{checked}");
    let refused = asker.call("broadcast_message", json!({ "message": "x" })).await;
    assert_eq!(refused["error"], "BROADCAST_DISABLED", "{refused}");
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
        ("broadcast_message", &["message", "workspace_id"]),
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
