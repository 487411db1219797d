//! What waits for a person: listed and decided. Newer platforms keep what agents ask for among the requests, and what the
//! platform itself holds back among the approvals, so both are looked at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Ops, Shared, Told};
use crate::types::{ResourceId, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.shared.plain::<ListPendingApprovals>();
    tools.ops.plain::<GetWorkspaceApprovals>();
    tools.ops.add::<DecideApproval>();
}

/// List what waits for a person's approval, of all workspaces, newest first. On platforms before June 2026 looking denies
/// what has waited for more than ten minutes.
#[derive(Deserialize, JsonSchema)]
struct ListPendingApprovals {}

impl Plain<Shared> for ListPendingApprovals {
    const NAME: &'static str = "list_pending_approvals";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    const ANSWER: Answer = Answer::List("approvals");
    fn plan(self) -> Result<Plan, ToolError> {
        let approvals = Order::admin(Get, ["approvals".into(), "pending".into()]);
        let requests = Order::admin(Get, ["requests".into(), "pending".into()]).query("kind", Some("approval"));
        Ok(Plan::from(approvals).and(requests, as_approval))
    }
}

/// List what a workspace asked to be approved, decided or not.
#[derive(Deserialize, JsonSchema)]
struct GetWorkspaceApprovals {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for GetWorkspaceApprovals {
    const NAME: &'static str = "get_workspace_approvals";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("approvals");
    fn plan(self) -> Result<Plan, ToolError> {
        let approvals = Order::workspace(Get, &self.workspace_id, ["approvals".into()]);
        let requests = Order::workspace(Get, &self.workspace_id, ["requests".into()]);
        Ok(Plan::from(approvals).and(requests, as_approval))
    }
}

/// A request for an approval in the shape of an approval; `None` for other requests.
fn as_approval(request: Value) -> Option<Value> {
    if request["kind"] != "approval" {
        return None;
    }
    let renamed = [
        ("id", "id"),
        ("workspace_id", "requester_id"),
        ("action", "title"),
        ("reason", "detail"),
        ("status", "status"),
        ("decided_by", "responder_id"),
        ("decided_at", "responded_at"),
        ("created_at", "created_at"),
    ];
    let mut fields: Map<_, _> = renamed
        .map(|(ours, theirs)| (ours.to_owned(), request[theirs].clone()))
        .into_iter()
        .collect();
    if let Some(name) = request.get("workspace_name") {
        fields.insert("workspace_name".to_owned(), name.clone());
    }
    Some(Value::Object(fields))
}

/// Approve or deny what waits, in the person's name. Only do so when the person said it.
#[derive(Deserialize, JsonSchema)]
struct DecideApproval {
    /// The workspace that asked.
    workspace_id: WorkspaceId,
    /// Id of what waits.
    approval_id: ResourceId,
    /// What the person said.
    decision: Decision,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approved,
    Denied,
}

impl Tool<Ops> for DecideApproval {
    const NAME: &'static str = "decide_approval";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        let errand = desk.errand(Self::NAME, call);
        let path = ["approvals".into(), (&self.approval_id).into(), "decide".into()];
        let approval = Order::workspace(Post, &self.workspace_id, path)
            .body(json!({ "decision": self.decision, "decided_by": "mcp-client" }));
        let refusal = match errand.send(&approval).await {
            Ok(reply) => return Ok(Told(reply.fields("decided"))),
            Err(refusal) if refusal.fact("status") != Some(&json!(404)) => return Err(refusal),
            Err(refusal) => refusal
                .advising("it is decided already, or not of this workspace: list_pending_approvals shows what waits"),
        };
        // It may be one of the requests, which only the tenant's keys answer in the person's name.
        let action = match self.decision {
            Decision::Approved => "approved",
            Decision::Denied => "rejected",
        };
        let request = Order::admin(Post, ["requests".into(), (&self.approval_id).into(), "respond".into()])
            .body(json!({ "action": action, "responder_type": "user", "responder_id": "mcp-client" }));
        if errand.has_door(&request).is_err() {
            return Err(refusal);
        }
        let reply = errand.send(&request).await.map_err(|second| {
            // Neither knows it; the first says so in the words of approvals.
            match second.fact("status") == Some(&json!(404)) {
                true => refusal,
                false => second,
            }
        })?;
        let mut decided = reply.fields("decided");
        decided.insert("status".to_owned(), json!(self.decision));
        decided.insert("approval_id".to_owned(), json!(self.approval_id));
        Ok(Told(decided))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::{Value, json};

    fn absent() -> Reply {
        Reply::new(404, &[], "404 page not found")
    }

    fn rows(rows: &Value) -> Reply {
        Reply::json(200, &rows.to_string())
    }

    #[tokio::test]
    async fn both_kinds_of_what_waits_are_one_list() {
        let approval = json!({ "id": "a", "workspace_id": WS, "workspace_name": "n", "action": "x", "reason": null,
            "status": "pending", "created_at": "2026-08-01T00:00:00Z" });
        let request = json!({ "id": "r", "kind": "approval", "requester_id": WS, "title": "deploy", "detail": "green",
            "status": "pending", "created_at": "2026-08-01T00:00:00Z", "responder_id": null, "priority": 1 });
        let task = json!({ "id": "t", "kind": "task", "title": "count" });
        for (tool, arguments, lines) in [
            (
                "list_pending_approvals",
                json!({}),
                [
                    "GET /approvals/pending".to_owned(),
                    "GET /requests/pending?kind=approval".to_owned(),
                ],
            ),
            (
                "get_workspace_approvals",
                json!({ "workspace_id": WS }),
                [
                    format!("GET /workspaces/{WS}/approvals"),
                    format!("GET /workspaces/{WS}/requests"),
                ],
            ),
        ] {
            let replies = vec![rows(&json!([approval])), rows(&json!([request, task]))];
            let bench = Bench::new(replies, Keys::All).await;
            let listed = bench.call(tool, arguments.clone()).await;
            assert_eq!(bench.lines(), lines);
            assert_eq!(listed["count"], 2);
            assert_eq!(listed["approvals"][0], approval);
            assert_eq!(
                listed["approvals"][1],
                json!({ "id": "r", "workspace_id": WS, "action": "deploy", "reason": "green", "status": "pending",
                    "decided_by": null, "decided_at": null, "created_at": "2026-08-01T00:00:00Z" })
            );
            let older = Bench::new(vec![rows(&json!([approval])), absent()], Keys::All).await;
            let listed = older.call(tool, arguments.clone()).await;
            assert_eq!(listed, json!({ "approvals": [approval], "count": 1 }));
            // A half of the list is not the list.
            let failing = vec![
                rows(&json!([approval])),
                Reply::json(500, r#"{"error":"query failed"}"#),
            ];
            let failed = Bench::new(failing, Keys::All).await.call(tool, arguments).await;
            assert_eq!(failed["error"], "HTTP 500");
        }
    }

    #[tokio::test]
    async fn an_approval_is_decided_where_it_is() {
        let arguments = json!({ "workspace_id": WS, "approval_id": "a-1", "decision": "denied" });
        let answer = json!({ "status": "denied", "approval_id": "a-1" });
        let seen = exchange("decide_approval", arguments.clone(), 200, answer.clone()).await;
        assert_eq!(seen.line, format!("POST /workspaces/{WS}/approvals/a-1/decide"));
        assert_eq!(
            seen.body,
            Some(json!({ "decision": "denied", "decided_by": "mcp-client" }))
        );
        assert_eq!(seen.result, answer);

        let unknown = || Reply::json(404, r#"{"error":"approval not found or already decided"}"#);
        let responded = Reply::json(200, r#"{"status":"rejected","request_id":"a-1"}"#);
        let bench = Bench::new(vec![unknown(), responded], Keys::All).await;
        let decided = bench.call("decide_approval", arguments.clone()).await;
        assert_eq!(bench.lines()[1], "POST /requests/a-1/respond");
        assert_eq!(
            bench.platform.seen()[1].json(),
            json!({ "action": "rejected", "responder_type": "user", "responder_id": "mcp-client" })
        );
        assert_eq!(
            (&decided["status"], &decided["approval_id"]),
            (&json!("denied"), &json!("a-1"))
        );

        for second in [
            absent(),
            Reply::json(404, r#"{"error":"request not found or already resolved"}"#),
        ] {
            let bench = Bench::new(vec![unknown(), second], Keys::All).await;
            let told = bench.call("decide_approval", arguments.clone()).await;
            assert_eq!(told["error"], "HTTP 404");
            assert!(
                told["detail"].as_str().unwrap().contains("approval not found"),
                "{told}"
            );
        }
    }

    #[tokio::test]
    async fn other_decisions_are_refused() {
        for decision in ["maybe", "rejected", ""] {
            let arguments = json!({ "workspace_id": WS, "approval_id": "a-1", "decision": decision });
            assert_eq!(refused("decide_approval", arguments).await, "INVALID_ARGUMENT");
        }
    }
}
