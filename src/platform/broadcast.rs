//! Telling every workspace of the organization at once.

use serde_json::{Map, Value, json};

use super::error::CallError;
use super::workspace::{WorkspaceApi, parsed};

impl WorkspaceApi {
    /// `POST /workspaces/:id/broadcast` (level C): how many workspaces it reached. Not repeated by itself.
    ///
    /// # Errors
    /// See [`CallError`]; 403 `broadcast_disabled` until an admin allows it.
    pub async fn broadcast(&self, message: &str) -> Result<u64, CallError> {
        let path = ["workspaces", self.workspace().as_str(), "broadcast"];
        let answer = self.post(&path, json!({ "message": message })).await?;
        let said: Map<String, Value> = parsed("a JSON object", &answer.body)?;
        said.get("delivered")
            .and_then(Value::as_u64)
            .ok_or_else(|| CallError::Malformed {
                detail: "expected how many workspaces were reached, got no number".to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, Responder, SELF};
    use super::*;

    #[tokio::test]
    async fn a_broadcast_counts_only_when_the_platform_says_how_many_it_reached() {
        for (status, body, expected) in [
            (200, r#"{"status":"sent","delivered":3}"#, Some(3)),
            (200, r#"{"status":"sent","delivered":0}"#, Some(0)),
            (200, r#"{"status":"sent"}"#, None),
            (200, "<html>", None),
            (403, r#"{"error":"broadcast_disabled","hint":"x"}"#, None),
            (404, "404 page not found", None),
        ] {
            let responder = Responder::start(vec![Reply::json(status, body)]).await;
            assert_eq!(responder.api().broadcast("hi\0").await.ok(), expected, "{body}");
            let seen = responder.seen();
            assert_eq!(seen.len(), 1);
            assert_eq!(
                seen[0].request_line(),
                format!("POST /workspaces/{SELF}/broadcast HTTP/1.1")
            );
            assert_eq!(seen[0].json(), json!({ "message": "hi\u{fffd}" }));
        }
    }
}
