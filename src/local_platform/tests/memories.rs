//! Memories at each level, and the MCP endpoint.

use super::*;

#[tokio::test]
async fn memories_are_kept_by_scope_and_found_by_words() {
    let world = World::new().await;
    let alpha = world.join("alpha").await;
    let child = world.create("child", Some(&alpha)).await;
    let path = |guest: &Guest| format!("/workspaces/{}/memories", guest.id);
    let commit = async |guest: &Guest, content: &str, scope: &str| {
        let body = json!({ "content": content, "scope": scope });
        world.call("POST", &path(guest), Some(&guest.token), body).await
    };
    let made = commit(&alpha, "the door is blue", "LOCAL").await;
    assert_eq!(
        (made.status, &made.body["scope"], &made.body["namespace"]),
        (201, &json!("LOCAL"), &json!("general"))
    );
    commit(&alpha, "the team meets at ten", "TEAM").await;
    commit(&alpha, "hello world", "GLOBAL").await;
    commit(&child, "x", "GLOBAL")
        .await
        .refused(403, "only root workspaces can write GLOBAL memories");
    commit(&alpha, "x", "local")
        .await
        .refused(400, "scope must be LOCAL, TEAM, or GLOBAL");
    commit(&alpha, "", "LOCAL").await.refused(400, "invalid request body");

    let found = async |guest: &Guest, query: &str| {
        let path = format!("{}?{query}", path(guest));
        let rows = world.call("GET", &path, Some(&guest.token), Value::Null).await.body;
        let contents = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["content"].as_str().unwrap().to_owned());
        contents.collect::<Vec<_>>()
    };
    assert_eq!(found(&alpha, "q=DOOR").await, ["the door is blue"]);
    assert_eq!(found(&alpha, "").await.len(), 3);
    assert_eq!(found(&child, "").await, Vec::<String>::new());
    assert_eq!(found(&child, "scope=TEAM").await, ["the team meets at ten"]);
    let global = found(&child, "scope=GLOBAL").await;
    assert!(
        global[0].starts_with("[MEMORY id=") && global[0].ends_with("]: hello world"),
        "{global:?}"
    );
}

#[tokio::test]
async fn level_c_has_no_memory_without_its_plugin() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    for (method, route, body) in [
        ("POST", "memories", json!({ "content": "x", "scope": "LOCAL" })),
        ("GET", "memories", Value::Null),
        ("GET", "v2/memories", Value::Null),
        ("GET", "v2/namespaces", Value::Null),
    ] {
        let path = format!("/workspaces/{}/{route}", guest.id);
        let refused = world.call(method, &path, Some(&guest.token), body).await;
        refused.refused(503, "memory plugin is not configured (set MEMORY_PLUGIN_URL)");
    }
}

#[tokio::test]
async fn the_mcp_endpoint_lists_its_tools_and_tells_no_reason() {
    for (level, count) in [(Level::A, 8), (Level::B, 14), (Level::C, 18)] {
        let world = World::at(level).await;
        let guest = world.create("alpha", None).await;
        let path = format!("/workspaces/{}/mcp", guest.id);
        let ask = async |method: &str| {
            let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": { "name": "search_memory" } });
            world.call("POST", &path, Some(&guest.token), body).await
        };
        let listed = ask("tools/list").await;
        assert_eq!(listed.body["result"]["tools"].as_array().unwrap().len(), count);
        ask("tools/call").await.is(
            200,
            &json!({ "jsonrpc": "2.0", "id": 7, "error": { "code": -32000, "message": "tool call failed" } }),
        );
        assert_eq!(ask("nothing").await.body["error"]["code"], -32601);
    }
}

#[tokio::test]
async fn an_approval_is_decided_once() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}/approvals", guest.id);
    let call = async |method: &str, path: &str, body: Value| world.call(method, path, Some(&guest.token), body).await;
    let made = call("POST", &path, json!({ "action": "deploy", "reason": "it is green" })).await;
    assert_eq!((made.status, &made.body["status"]), (201, &json!("pending")));
    call("POST", &path, json!({}))
        .await
        .refused(400, "invalid request body");
    let decide = format!("{path}/{}/decide", made.body["approval_id"].as_str().unwrap());
    call("POST", &decide, json!({ "decision": "yes" }))
        .await
        .refused(400, "decision must be 'approved' or 'denied'");
    assert_eq!(call("POST", &decide, json!({ "decision": "denied" })).await.status, 200);
    call("POST", &decide, json!({ "decision": "approved" }))
        .await
        .refused(404, "approval not found or already decided");
    let rows = call("GET", &path, Value::Null).await.body;
    assert_eq!(
        (&rows[0]["action"], &rows[0]["status"], &rows[0]["decided_by"]),
        (&json!("deploy"), &json!("denied"), &json!("human"))
    );
}
