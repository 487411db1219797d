//! Handing a task from one workspace to another without waiting.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::tools::desk::{Errand, Ops, Told};
use crate::types::WorkspaceId;

/// Hand a task from one workspace to another and return at once with a delegation_id; check_delegations of the first tells
/// how it goes. The second may be away: it gets the task when it is back.
#[derive(Deserialize, JsonSchema)]
pub(super) struct AsyncDelegate {
    /// Who delegates.
    workspace_id: WorkspaceId,
    /// Who is to do it.
    target_id: WorkspaceId,
    /// What is to be done.
    task: String,
    /// With a key used before, the delegation of then is returned and nothing is sent. Left out: a new one.
    idempotency_key: Option<String>,
}

impl Tool<Ops> for AsyncDelegate {
    const NAME: &'static str = "async_delegate";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        check(&self.target_id, &self.task)?;
        if self.target_id == self.workspace_id {
            return Err(ToolError::argument(
                "target_id",
                "must be another workspace than workspace_id",
            ));
        }
        if self
            .idempotency_key
            .as_ref()
            .is_some_and(|key| !(1..=128).contains(&key.len()))
        {
            return Err(ToolError::argument("idempotency_key", "must be 1 to 128 bytes long"));
        }
        let key = self.idempotency_key.unwrap_or_else(|| Uuid::new_v4().to_string());
        let order = Order::workspace(Post, &self.workspace_id, ["delegate".into()])
            .body(json!({ "target_id": self.target_id, "task": self.task, "idempotency_key": key }));
        let errand = desk.errand(Self::NAME, call);
        errand.has_door(&order)?;
        refuse_missing(&errand, &self.target_id).await?;
        let sent = errand.send(&order).await.map_err(|error| {
            let is_unknown = error.fact("outcome").is_some();
            let error = error.with("idempotency_key", key.as_str());
            match is_unknown {
                true => error.advising("call again with this idempotency_key: it is then delegated once and not twice"),
                false => error,
            }
        })?;
        match sent.body {
            Value::Object(mut fields) if fields.get("delegation_id").is_some_and(Value::is_string) => {
                fields.insert("idempotency_key".to_owned(), json!(key));
                Ok(Told(fields))
            }
            _ => Err(ToolError::failed(
                "PLATFORM_ERROR",
                "the platform's answer names no delegation",
                "look with check_delegations, or call again with this idempotency_key",
            )
            .with("idempotency_key", key)),
        }
    }
}

/// What the platform demands of every delegation.
pub(super) fn check(target: &WorkspaceId, task: &str) -> Result<(), ToolError> {
    if !target.is_uuid() {
        return Err(ToolError::argument("target_id", "must be a UUID"));
    }
    if task.trim().is_empty() {
        return Err(ToolError::argument("task", "must not be empty"));
    }
    Ok(())
}

/// The platform accepts a task for a workspace that does not exist, and nobody would ever read it. Not knowing is no reason
/// to refuse.
async fn refuse_missing(errand: &Errand<'_>, target: &WorkspaceId) -> Result<(), ToolError> {
    let hint = "nothing was delegated; list_workspaces shows which workspaces there are";
    let order = Order::open(Get, ["workspaces".into(), target.into()]);
    let (code, told) = match errand.send(&order).await {
        Ok(reply) if reply.body["status"] == "removed" => ("TARGET_REMOVED", "this workspace was deleted"),
        Ok(_) => return Ok(()),
        Err(error) => match error.fact("status").and_then(Value::as_u64) {
            Some(410) => ("TARGET_REMOVED", "this workspace was deleted"),
            Some(404)
                if error
                    .fact("body")
                    .is_some_and(|body| body["error"] == "workspace not found") =>
            {
                ("TARGET_UNKNOWN", "the platform knows no such workspace")
            }
            _ => return Ok(()),
        },
    };
    Err(ToolError::failed(code, told, hint))
}

#[cfg(test)]
mod tests {
    use crate::platform::testing::Reply;
    use crate::tools::groups::testing::{Bench, Keys, WS, refused};
    use serde_json::{Value, json};

    const TARGET: &str = "5f0c1d2e-0000-4000-8000-00000000000b";

    fn known() -> Reply {
        Reply::json(200, &json!({ "id": TARGET, "status": "offline" }).to_string())
    }

    fn arguments() -> Value {
        json!({ "workspace_id": WS, "target_id": TARGET, "task": "count" })
    }

    #[tokio::test]
    async fn a_task_goes_out_under_a_key() {
        let accepted = json!({ "delegation_id": "d-1", "status": "delegated", "target_id": TARGET });
        let bench = Bench::new(vec![known(), Reply::json(202, &accepted.to_string())], Keys::All).await;
        let done = bench.call("async_delegate", arguments()).await;
        assert_eq!(
            bench.lines(),
            [
                format!("GET /workspaces/{TARGET}"),
                format!("POST /workspaces/{WS}/delegate")
            ]
        );
        let sent = bench.platform.seen()[1].json();
        assert_eq!((&sent["target_id"], &sent["task"]), (&json!(TARGET), &json!("count")));
        assert_eq!(
            (&done["delegation_id"], &done["idempotency_key"]),
            (&json!("d-1"), &sent["idempotency_key"])
        );
        assert!(sent["idempotency_key"].as_str().unwrap().len() == 36);

        let mut given = arguments();
        given["idempotency_key"] = json!("mine");
        bench.call("async_delegate", given).await;
        assert_eq!(bench.platform.seen()[3].json()["idempotency_key"], "mine");
    }

    #[tokio::test]
    async fn an_unknown_outcome_can_be_asked_for_again_with_its_key() {
        let bench = Bench::new(
            vec![known(), Reply::raw("HTTP/1.1 202 X\r\ncontent-length: 9\r\n\r\n{")],
            Keys::All,
        )
        .await;
        let failed = bench.call("async_delegate", arguments()).await;
        assert_eq!(
            (&failed["error"], &failed["outcome"]),
            (&json!("PLATFORM_UNREACHABLE"), &json!("unknown"))
        );
        let sent = bench.platform.seen()[1].json();
        assert_eq!(failed["idempotency_key"], sent["idempotency_key"]);
    }

    #[tokio::test]
    async fn nothing_is_delegated_to_nobody() {
        for (reply, code) in [
            (Reply::json(404, r#"{"error":"workspace not found"}"#), "TARGET_UNKNOWN"),
            (Reply::json(410, r#"{"error":"workspace removed"}"#), "TARGET_REMOVED"),
            (Reply::json(200, r#"{"status":"removed"}"#), "TARGET_REMOVED"),
        ] {
            let bench = Bench::new(vec![reply], Keys::All).await;
            assert_eq!(bench.call("async_delegate", arguments()).await["error"], code);
            assert_eq!(bench.lines().len(), 1, "{code}");
        }
    }

    #[tokio::test]
    async fn bad_arguments_send_nothing() {
        for (argument, value) in [
            ("target_id", json!("beta")),
            ("target_id", json!(WS)),
            ("task", json!(" ")),
            ("idempotency_key", json!("x".repeat(129))),
        ] {
            let mut given = arguments();
            given[argument] = value;
            assert_eq!(refused("async_delegate", given).await, "INVALID_ARGUMENT", "{argument}");
        }
    }
}
