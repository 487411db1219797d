//! Memories of a workspace that a call names, this one or another: for another it takes `MOLECULE_API_KEY`.

use serde_json::{Value, json};

use super::scope_named;
use crate::mcp::answer::ToolError;
use crate::platform::memories::Scope;
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::tools::desk::Errand;
use crate::types::WorkspaceId;

/// Stores a fact; the memory's id, if the platform says one.
///
/// # Errors
/// When it was not stored, or when that is not known.
pub(super) async fn commit(
    errand: &Errand<'_>,
    workspace: &WorkspaceId,
    content: &str,
    scope: Scope,
) -> Result<Option<String>, ToolError> {
    let body = json!({ "content": content, "scope": scope.as_str() });
    let order = Order::workspace(Post, workspace, ["memories".into()]).body(body);
    let stored = errand.send(&order).await?.body;
    Ok(stored["id"].as_str().map(str::to_owned))
}

/// The memories with these words, 50 at most.
///
/// # Errors
/// When the platform does not say, or knows no memories.
pub(super) async fn search(
    errand: &Errand<'_>,
    workspace: &WorkspaceId,
    query: &str,
    scope: Option<&str>,
) -> Result<Vec<Value>, ToolError> {
    let scope = scope_named(scope)?;
    let query = Some(query.trim()).filter(|query| !query.is_empty());
    let order = Order::workspace(Get, workspace, ["memories".into()]);
    let order = order.query("q", query).query("scope", scope.map(Scope::as_str));
    let mut found = rows(errand.send(&order).await?.body)?;
    // Where a plugin keeps the memories, this route ignores the words, and its rows have no namespace.
    if query.is_some() && found.iter().any(|memory| memory["namespace"].is_null()) {
        let order = Order::workspace(Get, workspace, ["v2".into(), "memories".into()]);
        let order = order.query("q", query).rows(50);
        found = rows(errand.send(&order).await?.body["memories"].take())?;
    }
    if let Some(scope) = scope {
        found.retain(|memory| memory["scope"].as_str().is_none_or(|found| found == scope.as_str()));
    }
    Ok(found)
}

fn rows(body: Value) -> Result<Vec<Value>, ToolError> {
    match body {
        Value::Array(rows) => Ok(rows),
        Value::Null => Ok(Vec::new()),
        _ => Err(ToolError::failed(
            "PLATFORM_ERROR",
            "the platform's answer is not an array",
            "the address may name something else than a platform",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::tools::testing::{OWN, PEER, Reply, World};
    use serde_json::json;

    #[tokio::test]
    async fn a_fact_of_another_workspace_takes_the_key_and_is_recorded() {
        let reply = || Reply::json(201, r#"{"id":"m-1","scope":"TEAM","namespace":"general"}"#);
        let world = World::answering(vec![reply()]).await.with_key();
        let arguments =
            json!({ "workspace_id": PEER, "content": "token=abcdefgh12345678abcdefgh12345678", "scope": "TEAM" });
        let stored = world.call("commit_memory", arguments.clone()).await;
        assert_eq!(
            stored.body,
            json!({ "success": true, "id": "m-1", "scope": "TEAM", "redacted": 1 })
        );
        let (line, body) = world.asked_once();
        assert_eq!(line, format!("POST /workspaces/{PEER}/memories"));
        assert_eq!(body, json!({ "content": "token=[REDACTED:VALUE]", "scope": "TEAM" }));
        assert_eq!(world.bearers(), ["api-key"]);
        assert_eq!(world.records().len(), 1);

        let without = World::answering(vec![reply()]).await;
        let refused = without.call("commit_memory", arguments).await;
        assert_eq!(refused.code(), "AUTH_ERROR");
        assert!(refused.body["hint"].as_str().unwrap().contains("MOLECULE_API_KEY"));
        assert!(without.asked().is_empty());

        let own = World::answering(vec![reply()]).await.with_key();
        own.call("commit_memory", json!({ "workspace_id": OWN, "content": "x" }))
            .await;
        assert_ne!(own.bearers(), ["api-key"]);
    }

    #[tokio::test]
    async fn memories_of_a_named_workspace_are_searched_by_words_and_scope() {
        let row = json!({ "id": "m", "content": "c", "scope": "TEAM", "namespace": "general" });
        let world = World::saying(200, &json!([row, row])).await.with_key();
        let arguments = json!({ "workspace_id": PEER, "query": "a b", "scope": "TEAM", "limit": 1 });
        let found = world.call("search_memory", arguments).await;
        assert_eq!(found.body, json!({ "memories": [row], "count": 2, "next_offset": 1 }));
        assert_eq!(
            world.asked_once().0,
            format!("GET /workspaces/{PEER}/memories?q=a+b&scope=TEAM")
        );
        assert_eq!(world.bearers(), ["api-key"]);

        let all = World::saying(200, &json!([])).await;
        let found = all
            .call(
                "search_memory",
                json!({ "workspace_id": OWN, "query": "", "scope": "" }),
            )
            .await;
        assert_eq!(found.body, json!({ "memories": [], "count": 0 }));
        assert_eq!(all.asked_once().0, format!("GET /workspaces/{OWN}/memories"));
    }

    #[tokio::test]
    async fn a_platform_that_ignores_the_words_is_asked_by_the_route_that_does_not() {
        let everything = json!([{ "id": "a", "content": "x", "scope": "LOCAL" }]).to_string();
        let searched = json!({ "memories": [{ "id": "b", "content": "y", "namespace": "team:r" }] }).to_string();
        let world = World::answering(vec![Reply::json(200, &everything), Reply::json(200, &searched)]).await;
        let found = world
            .call("search_memory", json!({ "workspace_id": OWN, "query": "y" }))
            .await;
        assert_eq!(found.body["memories"][0]["id"], "b");
        assert_eq!(
            world.asked()[1].0,
            format!("GET /workspaces/{OWN}/v2/memories?q=y&limit=50")
        );
    }

    #[tokio::test]
    async fn what_belongs_to_one_memory_is_refused_by_the_other() {
        let world = World::saying(200, &json!([])).await.with_key();
        for arguments in [
            json!({ "workspace_id": PEER, "query": "x", "namespaces": ["team:x"] }),
            json!({ "scope": "LOCAL", "kinds": ["fact"] }),
            json!({ "query": "x", "offset": 3 }),
            json!({ "workspace_id": PEER, "scope": "WORLD" }),
            json!({ "workspace_id": "../x" }),
        ] {
            let refused = world.call("search_memory", arguments.clone()).await;
            assert_eq!(refused.code(), "INVALID_ARGUMENT", "{arguments}");
        }
        assert!(world.asked().is_empty());
    }
}
