//! What a workspace remembers on the platform: facts with a scope.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Request;
use super::error::CallError;
use super::retry;
use super::workspace::{LOOK_UP_AGAIN, WorkspaceApi, parsed};

/// Who may read a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This workspace.
    Local,
    /// Its parent and siblings, or its children.
    Team,
    /// The whole organization; only its root may write so.
    Global,
}

impl Scope {
    /// The platform's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "LOCAL",
            Self::Team => "TEAM",
            Self::Global => "GLOBAL",
        }
    }

    /// The scope that a word names, in any case.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Local, Self::Team, Self::Global]
            .into_iter()
            .find(|scope| scope.as_str().eq_ignore_ascii_case(word.trim()))
    }
}

/// A memory that was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Names it, if the platform says how.
    pub id: Option<String>,
}

/// One memory. Its content may be another workspace's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Memory {
    /// Names it.
    #[serde(default)]
    pub id: Option<String>,
    /// What is remembered.
    pub content: String,
    /// `LOCAL`, `TEAM` or `GLOBAL`.
    #[serde(default)]
    pub scope: Option<String>,
    /// A label of the writer's; absent where a memory plugin answers instead of the old table.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Database text or RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
}

impl WorkspaceApi {
    /// `POST /workspaces/:id/memories`. Not repeated by itself: two calls are two memories.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn commit_memory(&self, content: &str, scope: Scope) -> Result<Stored, CallError> {
        let path = ["workspaces", self.workspace().as_str(), "memories"];
        let body = json!({ "content": content, "scope": scope.as_str(), "workspace_id": self.workspace() });
        let answer = self.post(&path, body).await?;
        let said: Map<String, Value> = parsed("a JSON object", &answer.body)?;
        Ok(Stored {
            id: said.get("id").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// `GET /workspaces/:id/memories`: at most 50, the platform's best first. An empty `query` asks for the newest; no
    /// scope asks for all.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn memories(&self, query: &str, scope: Option<Scope>) -> Result<Vec<Memory>, CallError> {
        let path = ["workspaces", self.workspace().as_str(), "memories"];
        let mut asked = vec![("workspace_id", self.workspace().to_string())];
        if !query.is_empty() {
            asked.push(("q", query.to_owned()));
        }
        asked.extend(scope.map(|scope| ("scope", scope.as_str().to_owned())));
        let request = Request {
            query: asked,
            ..self.request(Method::GET, &path)
        };
        let mut found: Vec<Memory> = self.list(request).await?;
        // Where a plugin keeps the memories, this route ignores both the query and the scope.
        if !query.is_empty() && found.iter().any(|memory| memory.namespace.is_none()) {
            found = self.searched(query).await?;
        }
        if let Some(scope) = scope {
            found.retain(|memory| memory.scope.as_deref().is_none_or(|found| found == scope.as_str()));
        }
        Ok(found)
    }

    /// `GET /workspaces/:id/v2/memories`, in the shape of the older route.
    async fn searched(&self, query: &str) -> Result<Vec<Memory>, CallError> {
        #[derive(Deserialize)]
        struct Found {
            memories: Vec<Value>,
        }
        let path = ["workspaces", self.workspace().as_str(), "v2", "memories"];
        let request = Request {
            query: vec![("q", query.to_owned()), ("limit", "50".to_owned())],
            limit: super::workspace::MAX_LIST,
            ..self.request(Method::GET, &path)
        };
        let answer = retry::idempotent(LOOK_UP_AGAIN, || self.deliver(request.clone())).await?;
        let found: Found = parsed("an object with memories", &answer.body)?;
        let memories = found.memories.into_iter().filter_map(|row| {
            let mut memory: Memory = serde_json::from_value(row).ok()?;
            memory.scope = memory.namespace.as_deref().and_then(scope_of).map(str::to_owned);
            Some(memory)
        });
        Ok(memories.collect())
    }
}

/// The scope that a namespace of the plugin stands for; `None` for one of its owner's making.
fn scope_of(namespace: &str) -> Option<&'static str> {
    match namespace.split_once(':')?.0 {
        "workspace" => Some(Scope::Local.as_str()),
        "team" => Some(Scope::Team.as_str()),
        "org" => Some(Scope::Global.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, Responder, SELF};
    use super::*;

    async fn answering(bodies: &[Value]) -> Responder {
        Responder::start(bodies.iter().map(|body| Reply::json(200, &body.to_string())).collect()).await
    }

    #[tokio::test]
    async fn a_memory_is_stored_with_its_scope_and_its_workspace() {
        let responder = Responder::start(vec![Reply::json(201, r#"{"id":"m-1","scope":"TEAM"}"#)]).await;
        let stored = responder.api().commit_memory("a fact", Scope::Team).await.unwrap();
        assert_eq!(stored.id.as_deref(), Some("m-1"));
        let seen = responder.seen();
        assert_eq!(
            seen[0].request_line(),
            format!("POST /workspaces/{SELF}/memories HTTP/1.1")
        );
        assert_eq!(
            seen[0].json(),
            json!({ "content": "a fact", "scope": "TEAM", "workspace_id": SELF })
        );
    }

    #[tokio::test]
    async fn memories_are_asked_for_by_words_and_scope() {
        let row = json!({ "id": "m", "content": "c", "scope": "LOCAL", "namespace": "general" });
        let responder = answering(&[json!([row, 7])]).await;
        let api = responder.api();
        assert_eq!(api.memories("blue door", Some(Scope::Local)).await.unwrap().len(), 1);
        assert_eq!(api.memories("", None).await.unwrap().len(), 1);
        let lines: Vec<_> = responder
            .seen()
            .iter()
            .map(|seen| seen.request_line().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                format!("GET /workspaces/{SELF}/memories?workspace_id={SELF}&q=blue+door&scope=LOCAL HTTP/1.1"),
                format!("GET /workspaces/{SELF}/memories?workspace_id={SELF} HTTP/1.1")
            ]
        );
    }

    #[tokio::test]
    async fn a_platform_that_ignores_the_query_is_asked_by_the_route_that_does_not() {
        let everything =
            json!([{ "id": "a", "content": "x", "scope": "LOCAL" }, { "id": "b", "content": "y", "scope": "TEAM" }]);
        let searched = json!({ "memories": [
            { "id": "b", "content": "y", "namespace": "team:r" }, { "id": "c", "content": "z", "namespace": "workspace:w" },
            { "id": "d", "content": "o", "namespace": "org:r" }, { "id": "e", "content": "own", "namespace": "custom" }, null
        ] });
        let responder = answering(&[everything.clone(), searched]).await;
        let found = responder.api().memories("y", Some(Scope::Team)).await.unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|memory| (memory.id.as_deref(), memory.scope.as_deref()))
            .collect();
        assert_eq!(shown, [(Some("b"), Some("TEAM")), (Some("e"), None)]);
        assert!(
            responder.seen()[1]
                .request_line()
                .contains("/v2/memories?q=y&limit=50 ")
        );

        let responder = answering(&[everything]).await;
        let team = responder.api().memories("", Some(Scope::Team)).await.unwrap();
        assert_eq!(team.len(), 1, "{team:?}");
    }
}
