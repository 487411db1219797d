//! The platform's own MCP endpoint: tools that it offers and this program does not.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Class, Request};
use super::error::{CallError, MAX_DETAIL, clip};
use super::workspace::{MAX_LIST, WorkspaceApi, parsed};
use reqwest::Method;

/// What a forwarded call came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Bridged {
    /// The text of the tool's result.
    Answered(String),
    /// The platform has no such tool, or its backend was left out.
    Unsupported,
    /// The tool failed there. The platform keeps the reason in its own log.
    Failed {
        /// What it does say.
        detail: String,
    },
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
}

impl WorkspaceApi {
    /// `POST /workspaces/:id/mcp`, `tools/call`. Not repeated by itself. When the tool fails, it is found out whether the
    /// platform has it at all.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn bridged(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Bridged, CallError> {
        let said = match self
            .rpc("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
        {
            Err(error) if error.lacks_route() => return Ok(Bridged::Unsupported),
            said => said?,
        };
        if let Some(result) = said.result.as_ref().filter(|result| !result.is_null()) {
            let text = text_of(result);
            return Ok(if result["isError"] == true {
                Bridged::Failed {
                    detail: clip(&text, MAX_DETAIL),
                }
            } else {
                Bridged::Answered(text)
            });
        }
        if self.lacks_tool(tool).await? || self.lacks_memory().await {
            return Ok(Bridged::Unsupported);
        }
        let error = said.error.unwrap_or_default();
        Ok(Bridged::Failed {
            detail: clip(error["message"].as_str().unwrap_or("no reason given"), MAX_DETAIL),
        })
    }

    async fn lacks_tool(&self, tool: &str) -> Result<bool, CallError> {
        let listed = self.rpc("tools/list", json!({})).await?.result.unwrap_or_default();
        let tools = listed["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(!tools.iter().any(|known| known["name"] == tool))
    }

    /// A server without a memory plugin lists the memory tools all the same; this route says the truth.
    async fn lacks_memory(&self) -> bool {
        let path = ["workspaces", self.workspace().as_str(), "v2", "namespaces"];
        let asked = self.deliver(self.request(Method::GET, &path)).await;
        matches!(asked, Err(CallError::Rejected { status: 503, .. }))
    }

    async fn rpc(&self, method: &str, params: Value) -> Result<Said, CallError> {
        let path = ["workspaces", self.workspace().as_str(), "mcp"];
        let request = Request {
            body: Some(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })),
            class: Class::Long,
            limit: MAX_LIST,
            ..self.request(Method::POST, &path)
        };
        parsed("a JSON-RPC answer", &self.deliver(request).await?.body)
    }
}

/// The text parts of a result.
fn text_of(result: &Value) -> String {
    let content = result["content"].as_array();
    content
        .into_iter()
        .flatten()
        .filter_map(|part| part["text"].as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, Responder, SELF};
    use super::*;

    fn rpc(body: Value) -> Reply {
        Reply::json(200, &body.to_string())
    }

    fn failed() -> Reply {
        rpc(json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32000, "message": "tool call failed" } }))
    }

    fn listing(names: &[&str]) -> Reply {
        let tools: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        rpc(json!({ "result": { "tools": tools } }))
    }

    async fn call(replies: Vec<Reply>) -> (Bridged, Responder) {
        let responder = Responder::start(replies).await;
        let mut arguments = Map::new();
        arguments.insert("query".to_owned(), json!("x"));
        let bridged = responder.api().bridged("search_memory", &arguments).await.unwrap();
        (bridged, responder)
    }

    #[tokio::test]
    async fn a_call_is_forwarded_and_its_text_returned() {
        let answer = json!({ "result": { "content": [{ "type": "text", "text": "{\"a\"" }, { "type": "text", "text": ":1}" }] } });
        let (bridged, responder) = call(vec![rpc(answer)]).await;
        assert_eq!(bridged, Bridged::Answered("{\"a\":1}".to_owned()));
        let seen = responder.seen();
        assert_eq!(seen[0].request_line(), format!("POST /workspaces/{SELF}/mcp HTTP/1.1"));
        assert_eq!(
            seen[0].json(),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
                "params": { "name": "search_memory", "arguments": { "query": "x" } } })
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_from_a_tool_that_is_not_there() {
        let no_plugin = Reply::json(
            503,
            r#"{"error":"memory plugin is not configured (set MEMORY_PLUGIN_URL)"}"#,
        );
        let namespaces = Reply::json(200, r#"{"readable":[],"writable":[]}"#);
        let refused = rpc(json!({ "result": { "isError": true, "content": [{ "type": "text", "text": "no" }] } }));
        let failed_as = |detail: &str| Bridged::Failed {
            detail: detail.to_owned(),
        };
        for (replies, expected) in [
            (vec![Reply::new(404, &[], "404 page not found")], Bridged::Unsupported),
            (vec![failed(), listing(&["commit_memory"])], Bridged::Unsupported),
            (
                vec![failed(), listing(&["search_memory"]), no_plugin],
                Bridged::Unsupported,
            ),
            (
                vec![failed(), listing(&["search_memory"]), namespaces],
                failed_as("tool call failed"),
            ),
            (vec![refused], failed_as("no")),
        ] {
            let asked = replies.len();
            let (bridged, responder) = call(replies).await;
            assert_eq!(bridged, expected);
            assert_eq!(responder.seen().len(), asked);
        }
    }
}
