//! Answering what is asked of this workspace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{about_one, closed};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::error::CallError;
use crate::platform::requests::RequestRow;
use crate::state::request::Side;
use crate::tools::context::Context;
use crate::tools::paging::check_text;
use crate::tools::workspaces::Workspaces;
use crate::types::{RequestId, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<RespondRequest>().add::<AddRequestMessage>();
}

/// Answer a request for good: a task is done or rejected, an approval approved or rejected. Its message in the inbox is
/// acknowledged by that. To ask something back first, use add_request_message.
#[derive(Deserialize, JsonSchema)]
struct RespondRequest {
    /// The request, as list_inbox names it.
    request_id: RequestId,
    /// The answer.
    action: Action,
    /// A word about it, for the asker to read below the request.
    message: Option<String>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Done,
    Rejected,
    Approved,
}

impl Action {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Approved => "approved",
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Responded {
    /// The request.
    request_id: RequestId,
    /// The answer that counts.
    status: &'static str,
    /// Why the message was not added, when it was not; the answer counts all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_error: Option<String>,
}

impl Tool<Workspaces> for RespondRequest {
    const NAME: &'static str = "respond_request";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    type Output = Responded;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Responded, ToolError> {
        let given = self.workspace_id.as_ref();
        let context = all
            .about_request("workspace_id", given, &self.request_id, Some(Side::Theirs))
            .await?;
        let message = self.message.filter(|message| !message.trim().is_empty());
        if let Some(message) = &message {
            check_text("message", message)?;
        }
        let status = self.action.as_str();
        if let Err(error) = context.api.respond_request(&self.request_id, status).await {
            settled_all_the_same(context, &self.request_id, status, error).await?;
        }
        closed(context, &self.request_id).await;
        let message_error = match message {
            Some(message) => context
                .api
                .add_request_message(&self.request_id, &message)
                .await
                .err()
                .map(|error| error.to_string()),
            None => None,
        };
        Ok(Responded {
            request_id: self.request_id,
            status,
            message_error,
        })
    }
}

/// Whether the request has this answer of ours in spite of the failure: the platform's own answer was lost, or this is a
/// repetition.
///
/// # Errors
/// When it does not have it.
async fn settled_all_the_same(
    context: &Context,
    id: &RequestId,
    status: &str,
    error: CallError,
) -> Result<(), ToolError> {
    let is_gone = matches!(error, CallError::Rejected { status: 404, .. }) && !error.lacks_route();
    if !is_gone && !error.outcome_is_unknown() {
        return Err(about_one(error));
    }
    let Ok(thread) = context.api.request_thread(id).await else {
        return Err(about_one(error));
    };
    let row = thread.request;
    let is_ours = |row: &RequestRow| {
        row.responder_id
            .as_deref()
            .is_some_and(|id| id.eq_ignore_ascii_case(context.own.as_str()))
    };
    match row.is_open() {
        false if row.status == status && is_ours(&row) => Ok(()),
        false => {
            closed(context, id).await;
            Err(ToolError::failed(
                "ALREADY_ANSWERED",
                format!("the request is {} already", row.status),
                "nothing was changed; get_request shows what was answered",
            )
            .with("status", row.status))
        }
        // It is still open, so the attempt changed nothing.
        true => Err(about_one(error)),
    }
}

/// Write something below a request of yours or to you, for the other side to read. What its receiver writes asks its
/// asker for more, and the request stays open. Acknowledge its message with inbox_pop then: what the other side replies
/// arrives as a new one.
#[derive(Deserialize, JsonSchema)]
struct AddRequestMessage {
    /// The request.
    request_id: RequestId,
    /// What to say.
    body: String,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Serialize, JsonSchema)]
struct Added {
    /// The request.
    request_id: RequestId,
    /// "created".
    status: &'static str,
}

impl Tool<Workspaces> for AddRequestMessage {
    const NAME: &'static str = "add_request_message";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Added;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Added, ToolError> {
        let given = self.workspace_id.as_ref();
        let context = all.about_request("workspace_id", given, &self.request_id, None).await?;
        check_text("body", &self.body)?;
        let added = context.api.add_request_message(&self.request_id, &self.body).await;
        added.map_err(|error| match error.outcome_is_unknown() {
            true => ToolError::failed(
                "UNKNOWN",
                format!("it could not be found out whether the message was added: {error}"),
                "look with get_request before writing it again",
            ),
            false => about_one(error),
        })?;
        Ok(Added {
            request_id: self.request_id,
            status: "created",
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::state::journal::News;
    use crate::state::message::State;
    use crate::state::request::Side;
    use crate::tools::message::sample_request;
    use crate::tools::testing::{OWN, PEER, Reply, World};
    use crate::types::RequestId;
    use serde_json::{Value, json};

    const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";

    fn done() -> Reply {
        Reply::json(200, &json!({ "status": "done", "request_id": ID }).to_string())
    }

    fn thread(status: &str, responder: Value) -> Reply {
        let request =
            json!({ "id": ID, "kind": "task", "status": status, "responder_type": "agent", "responder_id": responder });
        Reply::json(200, &json!({ "request": request, "messages": [] }).to_string())
    }

    fn gone() -> Reply {
        Reply::json(404, r#"{"error":"request not found or already resolved"}"#)
    }

    fn cut() -> Reply {
        Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{")
    }

    async fn respond(replies: Vec<Reply>, arguments: Value) -> (World, crate::tools::testing::Answered) {
        let world = World::answering(replies).await;
        let answered = world.call("respond_request", arguments).await;
        (world, answered)
    }

    #[tokio::test]
    async fn a_request_is_answered_and_a_word_added() {
        let arguments = json!({ "request_id": ID, "action": "done", "message": "seventeen" });
        let (world, answered) = respond(vec![done()], arguments).await;
        assert_eq!(answered.body, json!({ "request_id": ID, "status": "done" }));
        let path = |rest: &str| format!("POST /workspaces/{OWN}/requests/{ID}/{rest}");
        assert_eq!(
            world.asked(),
            [
                (
                    path("respond"),
                    json!({ "action": "done", "responder_type": "agent", "responder_id": OWN })
                ),
                (
                    path("messages"),
                    json!({ "body": "seventeen", "author_type": "agent", "author_id": OWN })
                ),
            ]
        );
        let refused = Reply::json(500, r#"{"error":"failed to add message"}"#);
        let arguments = json!({ "request_id": ID, "action": "done", "message": "seventeen" });
        let (_, answered) = respond(vec![done(), refused], arguments).await;
        assert!(!answered.failed);
        assert!(
            answered.body["message_error"]
                .as_str()
                .unwrap()
                .contains("failed to add message")
        );
    }

    #[tokio::test]
    async fn what_the_inbox_holds_of_a_request_is_handled_once_it_is_answered_by_whomever() {
        let gone = || vec![gone(), thread("rejected", json!(PEER))];
        for (replies, failed) in [(vec![done()], false), (gone(), true)] {
            let world = World::answering(replies).await;
            let id = RequestId::parse(ID).unwrap();
            let question = sample_request(ID);
            let activity = question.activity_id.clone();
            let news = News {
                messages: vec![question],
                opened: vec![(id, Side::Theirs)],
                ..News::default()
            };
            world.context.journal.take_news(news).await.unwrap();
            let answered = world
                .call("respond_request", json!({ "request_id": ID, "action": "done" }))
                .await;
            assert_eq!(answered.failed, failed);
            let entry = world.context.journal.find(&activity).await.unwrap().unwrap();
            assert_eq!(entry.state, State::Done);
            assert!(world.context.journal.open_requests().await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn an_answer_that_was_lost_or_repeated_is_found_out() {
        let arguments = || json!({ "request_id": ID, "action": "done" });
        for (replies, code) in [
            (vec![cut(), thread("done", json!(OWN))], ""),
            (vec![gone(), thread("done", json!(OWN))], ""),
            (vec![gone(), thread("done", json!(PEER))], "ALREADY_ANSWERED"),
            (vec![gone(), thread("cancelled", Value::Null)], "ALREADY_ANSWERED"),
            (vec![gone(), gone()], "NOT_FOUND"),
            (vec![cut(), thread("pending", Value::Null)], "PLATFORM_UNREACHABLE"),
            (vec![Reply::json(403, r#"{"error":"not the recipient"}"#)], "NOT_YOURS"),
            (
                vec![Reply::json(
                    400,
                    r#"{"error":"request: invalid action for this request kind"}"#,
                )],
                "INVALID_ARGUMENT",
            ),
            (
                vec![Reply::new(404, &[], "404 page not found")],
                "NOT_SUPPORTED_BY_PLATFORM",
            ),
        ] {
            let asked = replies.len();
            let (world, answered) = respond(replies, arguments()).await;
            assert_eq!(answered.code(), code, "{}", answered.body);
            assert_eq!(world.asked().len(), asked);
        }
    }

    #[tokio::test]
    async fn a_message_is_added_below_a_request() {
        let world = World::saying(
            201,
            &json!({ "status": "created", "request_id": ID, "message_id": "m" }),
        )
        .await;
        let added = world
            .call(
                "add_request_message",
                json!({ "request_id": ID, "body": "which ones?" }),
            )
            .await;
        assert_eq!(added.body, json!({ "request_id": ID, "status": "created" }));
        assert_eq!(
            world.asked_once(),
            (
                format!("POST /workspaces/{OWN}/requests/{ID}/messages"),
                json!({ "body": "which ones?", "author_type": "agent", "author_id": OWN })
            )
        );
        let world = World::answering(vec![cut()]).await;
        let unknown = world
            .call("add_request_message", json!({ "request_id": ID, "body": "x" }))
            .await;
        assert_eq!((unknown.code(), world.asked().len()), ("UNKNOWN", 1));
    }

    #[tokio::test]
    async fn bad_arguments_cause_no_request() {
        let world = World::answering(vec![done()]).await;
        for (tool, arguments) in [
            ("respond_request", json!({ "request_id": ID })),
            ("respond_request", json!({ "request_id": ID, "action": "maybe" })),
            ("respond_request", json!({ "request_id": "x", "action": "done" })),
            (
                "respond_request",
                json!({ "request_id": ID, "action": "done", "workspace_id": PEER }),
            ),
            (
                "respond_request",
                json!({ "request_id": ID, "action": "done", "message": "x".repeat(1_000_000) }),
            ),
            ("add_request_message", json!({ "request_id": ID, "body": " " })),
            ("add_request_message", json!({ "body": "x" })),
        ] {
            let refused = world.call(tool, arguments).await;
            assert_eq!(refused.code(), "INVALID_ARGUMENT", "{tool} {}", refused.body);
        }
        assert!(world.asked().is_empty());
    }
}
