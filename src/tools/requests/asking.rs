//! Asking: of the person, or of another workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{REQUESTS, about_one, closed, no_requests, opened};
use crate::config::shown::Sets;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::error::CallError;
use crate::platform::order::Order;
use crate::platform::order::Verb::Post;
use crate::platform::requests::{Asked, NewRequest, Wish};
use crate::state::request::Side;
use crate::tools::context::Context;
use crate::tools::delegation::refuse_missing;
use crate::tools::paging::check_text;
use crate::tools::supported::unless_supported;
use crate::tools::workspaces::Workspaces;
use crate::types::{PeerId, RequestId, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools
        .add::<CreateRequest>()
        .add_to::<CreateApproval>(Sets::AGENT | Sets::OPS)
        .add::<CancelRequest>();
}

/// Ask the person or another workspace to do something (kind task) or to allow something (kind approval), without
/// waiting: go on working, the answer arrives in the inbox, and check_requests tells how it stands.
#[derive(Deserialize, JsonSchema)]
struct CreateRequest {
    /// What is asked for.
    kind: Kind,
    /// What is asked, in one line.
    title: String,
    /// Everything the other side needs to know to answer.
    detail: Option<String>,
    /// Higher is more urgent.
    priority: Option<i64>,
    /// Who is asked: user (the person; also when left out) or agent.
    recipient_type: Option<RecipientType>,
    /// The workspace that is asked, with recipient_type agent. For the person leave it out.
    recipient_id: Option<String>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Task,
    Approval,
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RecipientType {
    #[default]
    User,
    Agent,
}

/// A request that was made.
#[derive(Debug, Serialize, JsonSchema)]
struct Requested {
    /// Names it.
    request_id: String,
    /// "pending".
    status: &'static str,
    /// What to do now.
    next_step: &'static str,
}

impl Tool<Workspaces> for CreateRequest {
    const NAME: &'static str = "create_request";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Requested;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<Requested, ToolError> {
        let context = all.one("workspace_id", self.workspace_id.as_ref())?;
        ask(context, call, self.checked(&context.own)?).await
    }
}

impl CreateRequest {
    fn checked(self, own: &WorkspaceId) -> Result<NewRequest, ToolError> {
        check_text("title", &self.title)?;
        let detail = self.detail.unwrap_or_default();
        if !detail.is_empty() {
            check_text("detail", &detail)?;
        }
        let id = self.recipient_id.filter(|id| !id.trim().is_empty());
        let asked = match (self.recipient_type.unwrap_or_default(), id) {
            (RecipientType::User, id) => Asked::Person(id),
            (RecipientType::Agent, None) => {
                return Err(ToolError::argument(
                    "recipient_id",
                    "is required with recipient_type agent",
                ));
            }
            (RecipientType::Agent, Some(id)) => {
                let id =
                    PeerId::parse(&id).map_err(|refused| ToolError::argument("recipient_id", refused.to_string()))?;
                if id.as_str() == own.as_str() {
                    return Err(ToolError::argument("recipient_id", "is this workspace itself"));
                }
                Asked::Agent(id)
            }
        };
        Ok(NewRequest {
            wish: match self.kind {
                Kind::Task => Wish::Task,
                Kind::Approval => Wish::Approval,
            },
            asked,
            title: self.title,
            detail,
            priority: self.priority,
        })
    }
}

/// Ask the person to allow something, without waiting: go on with what needs no permission; the answer arrives in the
/// inbox. The same as create_request with kind approval.
#[derive(Deserialize, JsonSchema)]
struct CreateApproval {
    /// What is to be allowed.
    action: String,
    /// Why it is needed.
    reason: Option<String>,
    /// Which workspace asks; left out: yours. For another only with MOLECULE_API_KEY.
    workspace_id: Option<WorkspaceId>,
}

impl Tool<Workspaces> for CreateApproval {
    const NAME: &'static str = "create_approval";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Requested;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<Requested, ToolError> {
        let context = all.acting_as("workspace_id", None, self.workspace_id.as_ref())?;
        check_text("action", &self.action)?;
        let detail = self.reason.unwrap_or_default();
        if !detail.is_empty() {
            check_text("reason", &detail)?;
        }
        if let Some(other) = context.other(self.workspace_id.as_ref()) {
            return ask_for(context, call, other, &self.action, &detail).await;
        }
        let new = NewRequest {
            wish: Wish::Approval,
            asked: Asked::Person(None),
            title: self.action,
            detail,
            priority: None,
        };
        ask(context, call, new).await
    }
}

async fn ask(context: &Context, call: &Call, new: NewRequest) -> Result<Requested, ToolError> {
    if let Asked::Agent(peer) = &new.asked {
        // The platform does not look whether there is such a workspace.
        let existence = tokio::select! {
            existence = context.api.existence_of(peer) => existence,
            () = call.ended() => return Err(context.ended()),
        };
        refuse_missing(&existence?)?;
    }
    match context.api.create_request(&new).await {
        Ok(request_id) => {
            opened(context, &request_id).await;
            Ok(Requested {
                request_id,
                status: "pending",
                next_step: "go on with other work: the answer arrives in the inbox; check_requests tells how it stands",
            })
        }
        Err(error) if error.lacks_route() => ask_as_of_old(context, new).await,
        Err(error) => Err(unmade(error)),
    }
}

/// Older platforms know approvals by the person, and nothing else.
async fn ask_as_of_old(context: &Context, new: NewRequest) -> Result<Requested, ToolError> {
    if new.wish != Wish::Approval || !matches!(new.asked, Asked::Person(_)) {
        return Err(no_requests());
    }
    match context.api.create_approval(&new.title, &new.detail).await {
        Ok(request_id) => Ok(Requested {
            request_id,
            status: "pending",
            next_step: "this platform tells nobody when it is decided: look with check_requests. It counts as denied after \
                        ten minutes once somebody looks at the list of approvals",
        }),
        Err(error) => Err(unmade(error)),
    }
}

/// Asks in the name of another workspace, as it would itself.
async fn ask_for(
    context: &Context,
    call: &Call,
    other: &WorkspaceId,
    action: &str,
    reason: &str,
) -> Result<Requested, ToolError> {
    let errand = context.desk.errand(CreateApproval::NAME, call);
    let newer = Order::workspace(Post, other, ["requests".into()]).body(json!({ "kind": "approval",
        "recipient_type": "user", "recipient_id": "", "title": action, "detail": reason }));
    let made = match errand.send(&newer).await {
        Err(error) if error.code() == "NOT_SUPPORTED_BY_PLATFORM" => {
            let body = json!({ "action": action, "reason": reason });
            errand
                .send(&Order::workspace(Post, other, ["approvals".into()]).body(body))
                .await
        }
        settled => settled,
    }?;
    let id = ["request_id", "approval_id"]
        .iter()
        .find_map(|key| made.body[key].as_str());
    let id = id.ok_or_else(|| {
        ToolError::failed(
            "PLATFORM_ERROR",
            "the platform accepted the request and did not say which one it is",
            "look with get_workspace_approvals before asking again",
        )
    })?;
    Ok(Requested {
        request_id: id.to_owned(),
        status: "pending",
        next_step: "it is decided on the canvas, or with decide_approval; get_workspace_approvals tells how it stands",
    })
}

/// Asking twice is two requests, so what may have been made must be looked for.
fn unmade(error: CallError) -> ToolError {
    if !error.outcome_is_unknown() {
        return unless_supported(REQUESTS, error);
    }
    ToolError::failed(
        "UNKNOWN",
        format!("it could not be found out whether the request was made: {error}"),
        "look with check_requests before asking again",
    )
}

/// Take back a request that you made and that is not answered yet.
#[derive(Deserialize, JsonSchema)]
struct CancelRequest {
    /// The request, as create_request or check_requests names it.
    request_id: RequestId,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Serialize, JsonSchema)]
struct Cancelled {
    /// The request.
    request_id: RequestId,
    /// "cancelled".
    status: &'static str,
}

impl Tool<Workspaces> for CancelRequest {
    const NAME: &'static str = "cancel_request";
    const EFFECT: Effect = Effect::DESTROY;
    type Output = Cancelled;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Cancelled, ToolError> {
        let given = self.workspace_id.as_ref();
        let context = all
            .about_request("workspace_id", given, &self.request_id, Some(Side::Ours))
            .await?;
        context.api.cancel_request(&self.request_id).await.map_err(about_one)?;
        closed(context, &self.request_id).await;
        Ok(Cancelled {
            request_id: self.request_id,
            status: "cancelled",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::state::request::Side;
    use crate::tools::testing::{OWN, PEER, Reply, World};
    use crate::types::RequestId;
    use serde_json::{Value, json};

    const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";

    fn made() -> Reply {
        Reply::json(201, &json!({ "request_id": ID, "status": "pending" }).to_string())
    }

    fn absent() -> Reply {
        Reply::new(404, &[], "404 page not found")
    }

    #[tokio::test]
    async fn the_person_is_asked_unless_a_workspace_is_named() {
        for (tool, arguments, body) in [
            (
                "create_request",
                json!({ "kind": "task", "title": "look", "priority": 3 }),
                json!({ "kind": "task", "recipient_type": "user", "recipient_id": "", "title": "look", "detail": "",
                    "priority": 3 }),
            ),
            (
                "create_request",
                json!({ "kind": "approval", "title": "may I?", "detail": "now", "recipient_type": "user" }),
                json!({ "kind": "approval", "recipient_type": "user", "recipient_id": "", "title": "may I?",
                    "detail": "now" }),
            ),
            (
                "create_approval",
                json!({ "action": "deploy", "reason": "it is green" }),
                json!({ "kind": "approval", "recipient_type": "user", "recipient_id": "", "title": "deploy",
                    "detail": "it is green" }),
            ),
        ] {
            let world = World::answering(vec![made()]).await;
            let requested = world.call(tool, arguments).await;
            assert_eq!(
                (&requested.body["request_id"], &requested.body["status"]),
                (&json!(ID), &json!("pending"))
            );
            assert_eq!(world.asked_once(), (format!("POST /workspaces/{OWN}/requests"), body));
        }
    }

    #[tokio::test]
    async fn a_workspace_is_looked_up_before_it_is_asked() {
        let arguments = json!({ "kind": "task", "title": "count", "recipient_type": "agent", "recipient_id": PEER });
        let known = Reply::json(200, &json!({ "id": PEER, "status": "online" }).to_string());
        let world = World::answering(vec![known, made()]).await;
        assert!(!world.call("create_request", arguments.clone()).await.failed);
        let asked = world.asked();
        assert_eq!(asked[0].0, format!("GET /workspaces/{PEER}"));
        assert_eq!(
            (&asked[1].1["recipient_type"], &asked[1].1["recipient_id"]),
            (&json!("agent"), &json!(PEER))
        );
        let world = World::saying(404, &json!({ "error": "workspace not found" })).await;
        assert_eq!(world.call("create_request", arguments).await.code(), "TARGET_UNKNOWN");
        assert_eq!(world.asked().len(), 1, "nothing was asked of it");
    }

    #[tokio::test]
    async fn an_older_platform_takes_approvals_and_nothing_else() {
        let approval = Reply::json(201, &json!({ "approval_id": ID, "status": "pending" }).to_string());
        let world = World::answering(vec![absent(), approval]).await;
        let requested = world.call("create_approval", json!({ "action": "deploy" })).await;
        assert_eq!(requested.body["request_id"], ID);
        assert!(requested.body["next_step"].as_str().unwrap().contains("check_requests"));
        assert_eq!(
            world.asked()[1],
            (
                format!("POST /workspaces/{OWN}/approvals"),
                json!({ "action": "deploy", "reason": "" })
            )
        );
        let world = World::answering(vec![absent()]).await;
        let refused = world
            .call("create_request", json!({ "kind": "task", "title": "x" }))
            .await;
        assert_eq!(refused.code(), "NOT_SUPPORTED_BY_PLATFORM");
        assert_eq!(world.asked().len(), 1);
    }

    #[tokio::test]
    async fn for_another_workspace_the_key_asks() {
        let arguments = json!({ "action": "deploy", "reason": "it is green", "workspace_id": PEER });
        let newer = World::answering(vec![made()]).await.with_key();
        let requested = newer.call("create_approval", arguments.clone()).await;
        assert_eq!(requested.body["request_id"], ID);
        let body = json!({ "kind": "approval", "recipient_type": "user", "recipient_id": "", "title": "deploy",
            "detail": "it is green" });
        assert_eq!(newer.asked_once(), (format!("POST /workspaces/{PEER}/requests"), body));
        assert_eq!(newer.bearers(), ["api-key"]);

        let approval = Reply::json(201, &json!({ "approval_id": ID, "status": "pending" }).to_string());
        let older = World::answering(vec![absent(), approval]).await.with_key();
        assert_eq!(older.call("create_approval", arguments).await.body["request_id"], ID);
        let body = json!({ "action": "deploy", "reason": "it is green" });
        assert_eq!(older.asked()[1], (format!("POST /workspaces/{PEER}/approvals"), body));
    }

    #[tokio::test]
    async fn bad_arguments_cause_no_request() {
        let world = World::answering(vec![made()]).await;
        let request = |change: Value| {
            let mut arguments = json!({ "kind": "task", "title": "x" });
            for (key, value) in change.as_object().unwrap() {
                arguments[key] = value.clone();
            }
            arguments
        };
        for (tool, arguments) in [
            ("create_request", json!({ "title": "x" })),
            ("create_request", request(json!({ "kind": "wish" }))),
            ("create_request", request(json!({ "title": " " }))),
            ("create_request", request(json!({ "recipient_type": "agent" }))),
            (
                "create_request",
                request(json!({ "recipient_type": "agent", "recipient_id": "../x" })),
            ),
            (
                "create_request",
                request(json!({ "recipient_type": "agent", "recipient_id": OWN })),
            ),
            ("create_request", request(json!({ "workspace_id": PEER }))),
            ("create_request", request(json!({ "priority": 1.5 }))),
            ("create_approval", json!({})),
            ("create_approval", json!({ "action": "" })),
            ("cancel_request", json!({ "request_id": ".." })),
            ("cancel_request", json!({})),
        ] {
            let refused = world.call(tool, arguments.clone()).await;
            assert_eq!(refused.code(), "INVALID_ARGUMENT", "{tool} {arguments}");
        }
        assert!(world.asked().is_empty());
    }

    #[tokio::test]
    async fn a_request_that_may_have_been_made_is_not_made_again_by_itself() {
        let cut = Reply::raw("HTTP/1.1 201 Created\r\ncontent-length: 90\r\n\r\n{");
        let world = World::answering(vec![cut]).await;
        let unknown = world.call("create_approval", json!({ "action": "deploy" })).await;
        assert_eq!(unknown.code(), "UNKNOWN");
        assert!(unknown.body["hint"].as_str().unwrap().contains("check_requests"));
        assert_eq!(world.asked().len(), 1);
    }

    #[tokio::test]
    async fn a_request_of_ours_is_waited_for_until_it_is_withdrawn() {
        let cancelled = Reply::json(200, &json!({ "status": "cancelled", "request_id": ID }).to_string());
        let world = World::answering(vec![made(), cancelled]).await;
        let open = async || world.context.journal.open_requests().await.unwrap();
        world
            .call("create_request", json!({ "kind": "task", "title": "x" }))
            .await;
        assert_eq!(open().await, [(RequestId::parse(ID).unwrap(), Side::Ours)]);
        world.call("cancel_request", json!({ "request_id": ID })).await;
        assert!(open().await.is_empty());
    }

    #[tokio::test]
    async fn a_request_is_withdrawn_by_its_asker_only() {
        let world = World::saying(200, &json!({ "status": "cancelled", "request_id": ID })).await;
        let cancelled = world
            .call("cancel_request", json!({ "request_id": ID.to_uppercase() }))
            .await;
        assert_eq!(cancelled.body, json!({ "request_id": ID, "status": "cancelled" }));
        assert_eq!(
            world.asked_once(),
            (format!("POST /workspaces/{OWN}/requests/{ID}/cancel"), json!({}))
        );
        for (status, error, code) in [
            (403, "not the requester", "NOT_YOURS"),
            (404, "request not found or already resolved", "NOT_FOUND"),
        ] {
            let world = World::saying(status, &json!({ "error": error })).await;
            assert_eq!(
                world.call("cancel_request", json!({ "request_id": ID })).await.code(),
                code
            );
        }
        let world = World::answering(vec![absent()]).await;
        let refused = world.call("cancel_request", json!({ "request_id": ID })).await;
        assert_eq!(refused.code(), "NOT_SUPPORTED_BY_PLATFORM");
    }
}
