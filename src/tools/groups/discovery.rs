//! Who may reach whom, what happened to the structure, and the part of the canvas that is looked at.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post, Put};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Management, NO_PLATFORM, Ops, Told};
use crate::types::WorkspaceId;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .plain::<CheckAccess>()
        .plain::<ListEvents>()
        .plain::<GetCanvasViewport>()
        .plain::<SetCanvasViewport>()
        .add::<DiscoverWorkspace>();
    tools.management.plain::<ListOrgEvents>();
}

/// Find out at which address a workspace takes messages, as another workspace sees it. Messages are better sent with the
/// tools for that.
#[derive(Deserialize, JsonSchema)]
struct DiscoverWorkspace {
    /// The workspace to find.
    workspace_id: WorkspaceId,
    /// The workspace that looks; left out: your own.
    caller_id: Option<WorkspaceId>,
}

impl Tool<Ops> for DiscoverWorkspace {
    const NAME: &'static str = "discover_workspace";
    const EFFECT: Effect = Effect::READ;
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        let caller = self.caller_id.or_else(|| desk.home().cloned());
        let caller = caller.ok_or_else(|| ToolError::argument("caller_id", "is required: the workspace that looks"))?;
        let path = ["registry".into(), "discover".into(), (&self.workspace_id).into()];
        let order = Order::admin(Get, path).opened_by(&caller).sent_by(&caller);
        let sent = desk.errand(Self::NAME, call).send(&order).await;
        let reply = sent.map_err(|error| match error.fact("status").and_then(Value::as_u64) {
            Some(401) => error.advising(
                "the platform wants the token of caller_id itself; from June 2026 on the tenant's key is enough",
            ),
            Some(503) => error.advising("its agent is not there now, as status in body says: look with get_workspace"),
            Some(403) => error.advising("these two may not talk: they are neither siblings nor parent and child"),
            _ => error,
        })?;
        reply.object(NO_PLATFORM).map(Told)
    }
}

/// Ask whether one workspace may send messages to another.
#[derive(Deserialize, JsonSchema)]
struct CheckAccess {
    /// Who would send.
    caller_id: WorkspaceId,
    /// Who would receive.
    target_id: WorkspaceId,
}

impl Plain<Ops> for CheckAccess {
    const NAME: &'static str = "check_access";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::open(Post, ["registry".into(), "check-access".into()]).asking();
        let body = json!({ "caller_id": self.caller_id, "target_id": self.target_id });
        Ok(order.body(body).into())
    }
}

/// List the latest events of the tenant's structure, up to 100, newest first: workspaces made, removed, online, approvals
/// and more.
#[derive(Deserialize, JsonSchema)]
struct ListEvents {
    /// Only of this workspace.
    workspace_id: Option<WorkspaceId>,
}

impl Plain<Ops> for ListEvents {
    const NAME: &'static str = "list_events";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("events");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(events(self.workspace_id))
    }
}

/// List the latest events of the tenant's structure, up to 100, newest first: workspaces made, removed, online, approvals
/// and more.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct ListOrgEvents(ListEvents);

impl Plain<Management> for ListOrgEvents {
    const NAME: &'static str = "list_org_events";
    const EFFECT: Effect = <ListEvents as Plain<Ops>>::EFFECT;
    const ANSWER: Answer = <ListEvents as Plain<Ops>>::ANSWER;
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(events(self.0.workspace_id))
    }
}

fn events(of: Option<WorkspaceId>) -> Plan {
    match of {
        None => Order::admin(Get, ["events".into()]),
        Some(id) => Order::admin(Get, ["events".into(), (&id).into()]),
    }
    .into()
}

/// Tell which part of the canvas is shown to the person: x, y and zoom.
#[derive(Deserialize, JsonSchema)]
struct GetCanvasViewport {}

impl Plain<Ops> for GetCanvasViewport {
    const NAME: &'static str = "get_canvas_viewport";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::open(Get, ["canvas".into(), "viewport".into()]).into())
    }
}

/// Set which part of the canvas is shown to the person. There is one setting for all.
#[derive(Deserialize, JsonSchema)]
struct SetCanvasViewport {
    /// Left edge.
    x: f64,
    /// Upper edge.
    y: f64,
    /// 1 is full size.
    zoom: f64,
}

impl Plain<Ops> for SetCanvasViewport {
    const NAME: &'static str = "set_canvas_viewport";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        if self.zoom <= 0.0 {
            return Err(ToolError::argument("zoom", "must be more than 0"));
        }
        let order = Order::admin(Put, ["canvas".into(), "viewport".into()]).for_members();
        Ok(order
            .body(json!({ "x": self.x, "y": self.y, "zoom": self.zoom }))
            .into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{WS, exchange, refused};
    use serde_json::json;

    const CALLER: &str = "5f0c1d2e-0000-4000-8000-00000000000b";

    #[tokio::test]
    async fn each_tool_sends_its_request() {
        for (tool, arguments, line, body, bearer) in [
            (
                "check_access",
                json!({ "caller_id": CALLER, "target_id": WS }),
                "POST /registry/check-access".to_owned(),
                Some(json!({ "caller_id": CALLER, "target_id": WS })),
                "",
            ),
            (
                "get_canvas_viewport",
                json!({}),
                "GET /canvas/viewport".to_owned(),
                None,
                "",
            ),
            (
                "set_canvas_viewport",
                json!({ "x": -1.5, "y": 2, "zoom": 0.5 }),
                "PUT /canvas/viewport".to_owned(),
                Some(json!({ "x": -1.5, "y": 2.0, "zoom": 0.5 })),
                "api-key",
            ),
            (
                "discover_workspace",
                json!({ "workspace_id": WS, "caller_id": CALLER }),
                format!("GET /registry/discover/{WS}"),
                None,
                "api-key",
            ),
        ] {
            let seen = exchange(tool, arguments, 200, json!({ "allowed": true })).await;
            assert_eq!(
                (seen.line, seen.body, seen.bearer.as_str()),
                (line, body, bearer),
                "{tool}"
            );
            assert_eq!(seen.result, json!({ "allowed": true }), "{tool}");
            let caller = (tool == "discover_workspace").then_some(CALLER);
            assert_eq!(seen.seen.header("x-workspace-id"), caller, "{tool}");
        }
    }

    #[tokio::test]
    async fn events_are_a_page_of_all_or_of_one_workspace() {
        let rows = json!([{ "id": "e", "event_type": "WORKSPACE_ONLINE" }]);
        for (tool, bearer) in [("list_events", "api-key"), ("list_org_events", "org-key")] {
            for (arguments, line) in [
                (json!({}), "GET /events".to_owned()),
                (json!({ "workspace_id": "" }), "GET /events".to_owned()),
                (json!({ "workspace_id": WS }), format!("GET /events/{WS}")),
            ] {
                let seen = exchange(tool, arguments, 200, rows.clone()).await;
                assert_eq!((seen.line, seen.bearer.as_str()), (line, bearer), "{tool}");
                assert_eq!(seen.result, json!({ "events": rows, "count": 1 }));
            }
        }
    }

    #[tokio::test]
    async fn who_may_not_look_is_told_why() {
        for (status, word) in [(401, "June 2026"), (403, "siblings")] {
            let arguments = json!({ "workspace_id": WS, "caller_id": CALLER });
            let seen = exchange("discover_workspace", arguments, status, json!({ "error": "no" })).await;
            assert_eq!(seen.result["error"], "AUTH_ERROR");
            assert!(seen.result["hint"].as_str().unwrap().contains(word), "{}", seen.result);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_is_not_sent() {
        for (tool, arguments) in [
            ("discover_workspace", json!({ "workspace_id": WS })),
            ("check_access", json!({ "caller_id": WS })),
            ("set_canvas_viewport", json!({ "x": 0, "y": 0 })),
            ("set_canvas_viewport", json!({ "x": 0, "y": 0, "zoom": 0 })),
        ] {
            assert_eq!(refused(tool, arguments).await, "INVALID_ARGUMENT", "{tool}");
        }
    }
}
