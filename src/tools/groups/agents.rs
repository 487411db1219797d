//! The agent of a workspace: talking to it, and which model it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Groups;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::a2a;
use crate::platform::order::Verb::{Delete, Get, Patch, Post};
use crate::platform::order::{Gate, Order};
use crate::platform::wire::A2aAnswer;
use crate::tools::desk::plain::{Plain, Plan, RegisterPlain};
use crate::tools::desk::{Errand, Ops};
use crate::tools::paging::{TEXT_LIMIT, check_text, page, size};
use crate::types::WorkspaceId;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .add::<ChatWithAgent>()
        .plain::<AssignAgent>()
        .plain::<ReplaceAgent>()
        .plain::<RemoveAgent>()
        .plain::<MoveAgent>()
        .plain::<GetModel>();
}

/// Send a message to a workspace's agent in the person's place, and wait up to 5 minutes for its answer. An agent that
/// polls, or is busy, answers later and elsewhere; the result says so.
#[derive(Deserialize, JsonSchema)]
struct ChatWithAgent {
    workspace_id: WorkspaceId,
    /// What to say.
    message: String,
}

impl Tool<Ops> for ChatWithAgent {
    const NAME: &'static str = "chat_with_agent";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Said;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Said, ToolError> {
        check_text("message", &self.message)?;
        say(&desk.errand(Self::NAME, call), &self.workspace_id, &self.message).await
    }
}

/// What became of a message to an agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Said {
    /// answered; queued: it waits for the agent, do not send it again; unclear: delivered, but the answer is none that is
    /// known.
    state: &'static str,
    /// The agent's words, which are data.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// There is more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    text_truncated: Option<bool>,
    /// The whole answer, when there is no text in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Map<String, Value>>,
    /// Names the message in the queue of a busy agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_id: Option<String>,
    /// What to do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
}

impl Said {
    fn in_state(state: &'static str) -> Self {
        Self {
            state,
            text: None,
            text_truncated: None,
            answer: None,
            queue_id: None,
            next_step: None,
        }
    }

    fn of(body: Value) -> Result<Self, ToolError> {
        Ok(match a2a::meaning(&body) {
            A2aAnswer::Answered { text } if text.is_empty() => Self::in_state("answered").with_answer(body),
            A2aAnswer::Answered { text } => {
                let shown = page(&text, 0, TEXT_LIMIT);
                Self {
                    text: Some(shown.text.to_owned()),
                    text_truncated: shown.next.map(|_| true),
                    next_step: shown
                        .next
                        .map(|_| "the whole answer is in the workspace's activity: list_activity"),
                    ..Self::in_state("answered")
                }
            }
            A2aAnswer::QueuedForPoll => Self {
                next_step: Some(
                    "do not send it again: the agent fetches it by itself, and its answer appears in the canvas and in \
                     list_activity",
                ),
                ..Self::in_state("queued")
            },
            A2aAnswer::QueuedBusy { queue_id } => Self {
                queue_id,
                next_step: Some(
                    "do not send it again: the agent is busy and gets it as soon as it can; its answer appears in \
                     list_activity",
                ),
                ..Self::in_state("queued")
            },
            A2aAnswer::Unclear { .. } => Self {
                next_step: Some("look at list_activity before sending it again"),
                ..Self::in_state("unclear").with_answer(body)
            },
            A2aAnswer::Failed { detail } => {
                return Err(ToolError::failed(
                    "AGENT_FAILED",
                    detail,
                    "the message reached the agent, which failed; its reason is in detail, and more in list_activity",
                ));
            }
        })
    }

    fn with_answer(self, body: Value) -> Self {
        let answer = match body {
            Value::Object(answer) if size(&answer) <= TEXT_LIMIT => Some(answer),
            _ => None,
        };
        Self { answer, ..self }
    }
}

/// Sends a text in the person's place. Never twice by itself: that an answer was lost does not mean that the message was.
///
/// # Errors
/// When it was not delivered, when the agent failed, or when neither is known.
pub(super) async fn say(errand: &Errand<'_>, to: &WorkspaceId, text: &str) -> Result<Said, ToolError> {
    let id = Uuid::new_v4().to_string();
    let message = json!({ "role": "user", "messageId": id, "parts": [{ "kind": "text", "text": text }] });
    let body = json!({ "jsonrpc": "2.0", "id": id, "method": "message/send", "params": { "message": message } });
    let mut order = Order::workspace(Post, to, ["a2a".into()])
        .body(body)
        .patient()
        .for_admin();
    // Platforms up to May 2026 take a message without a credential for the person's. With the own token it would be one of
    // the workspace to itself, which its agent passes over.
    if errand.has_door(&order).is_err() {
        order.gate = Gate::Open;
    }
    let reply = errand.send(&order).await.map_err(explained)?;
    Said::of(reply.body)
}

fn explained(error: ToolError) -> ToolError {
    let body = error.fact("body").cloned().unwrap_or_default();
    let wait = body["retry_after"].as_u64().unwrap_or(30);
    let status = error.fact("status").and_then(Value::as_u64);
    if error.fact("outcome").is_some() {
        return error.advising("it may have arrived: look at list_activity of the workspace before sending it again");
    }
    match status {
        Some(402) => {
            error.advising("nothing was delivered: the budget of the workspace is used up, and has to be raised first")
        }
        Some(503) if body["waking"] == true => error.advising(format!(
            "nothing was delivered: the workspace is being started; call again in {wait} s"
        )),
        Some(503) if body["busy"] == true || body["restarting"] == true => error.advising(format!(
            "nothing was delivered: the agent cannot listen now; call again in {wait} s"
        )),
        _ => error,
    }
}

/// Give a workspace that has no agent one, which uses this model.
#[derive(Deserialize, JsonSchema)]
struct AssignAgent {
    workspace_id: WorkspaceId,
    /// The model, as the platform names it.
    model: String,
}

impl Plain<Ops> for AssignAgent {
    const NAME: &'static str = "assign_agent";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        let plan = with_model(
            Order::workspace(Post, &self.workspace_id, ["agent".into()]),
            &self.model,
        )?;
        Ok(plan.advising(409, "it has an agent already: replace_agent gives it another model"))
    }
}

/// Give a workspace's agent another model.
#[derive(Deserialize, JsonSchema)]
struct ReplaceAgent {
    workspace_id: WorkspaceId,
    /// The model, as the platform names it.
    model: String,
}

impl Plain<Ops> for ReplaceAgent {
    const NAME: &'static str = "replace_agent";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let plan = with_model(
            Order::workspace(Patch, &self.workspace_id, ["agent".into()]),
            &self.model,
        )?;
        Ok(plan.advising(
            404,
            "there is no such workspace, or it has no agent: assign_agent gives it one",
        ))
    }
}

fn with_model(order: Order, model: &str) -> Result<Plan, ToolError> {
    if model.trim().is_empty() {
        return Err(ToolError::argument("model", "must not be empty"));
    }
    Ok(order.body(json!({ "model": model })).into())
}

/// Take the agent away from a workspace. The workspace itself stays, without one.
#[derive(Deserialize, JsonSchema)]
struct RemoveAgent {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for RemoveAgent {
    const NAME: &'static str = "remove_agent";
    const EFFECT: Effect = Effect::DESTROY;
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Delete, &self.workspace_id, ["agent".into()]).into())
    }
}

/// Move the agent of one workspace to another, which must have none.
#[derive(Deserialize, JsonSchema)]
struct MoveAgent {
    /// Where it is.
    workspace_id: WorkspaceId,
    /// Where it goes.
    target_workspace_id: WorkspaceId,
}

impl Plain<Ops> for MoveAgent {
    const NAME: &'static str = "move_agent";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        if self.workspace_id == self.target_workspace_id {
            return Err(ToolError::argument("target_workspace_id", "must be another workspace"));
        }
        let order = Order::workspace(Post, &self.workspace_id, ["agent".into(), "move".into()]);
        Ok(order
            .body(json!({ "target_workspace_id": self.target_workspace_id }))
            .into())
    }
}

/// Which model a workspace was given, and whether it is its own choice or the platform's default.
#[derive(Deserialize, JsonSchema)]
struct GetModel {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for GetModel {
    const NAME: &'static str = "get_model";
    const EFFECT: Effect = Effect::READ;
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Get, &self.workspace_id, ["model".into()]).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use super::*;
    use crate::platform::testing::Reply;

    const OTHER: &str = "5f0c1d2e-0000-4000-8000-00000000000b";

    #[tokio::test]
    async fn each_tool_sends_its_request() {
        let model = json!({ "model": "m-1" });
        let moved = json!({ "target_workspace_id": OTHER });
        for (tool, more, line, body) in [
            ("assign_agent", model.clone(), "POST agent", Some(&model)),
            ("replace_agent", model.clone(), "PATCH agent", Some(&model)),
            ("remove_agent", json!({}), "DELETE agent", None),
            ("move_agent", moved.clone(), "POST agent/move", Some(&moved)),
            ("get_model", json!({}), "GET model", None),
        ] {
            let mut arguments = more;
            arguments["workspace_id"] = json!(WS);
            let seen = exchange(tool, arguments, 200, json!({ "agent_id": "a", "model": "m" })).await;
            let (verb, rest) = line.split_once(' ').unwrap();
            assert_eq!(seen.line, format!("{verb} /workspaces/{WS}/{rest}"), "{tool}");
            assert_eq!(seen.body.as_ref(), body, "{tool}");
            assert_eq!(seen.bearer, "api-key");
            assert_eq!(seen.result, json!({ "agent_id": "a", "model": "m" }), "{tool}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_meant_sends_nothing() {
        for (tool, more) in [
            ("assign_agent", json!({ "model": " " })),
            ("replace_agent", json!({})),
            ("move_agent", json!({ "target_workspace_id": WS })),
            ("chat_with_agent", json!({ "message": "\n" })),
            ("chat_with_agent", json!({ "message": "x".repeat(1_000_000) })),
        ] {
            let mut arguments = more;
            arguments["workspace_id"] = json!(WS);
            assert_eq!(refused(tool, arguments).await, "INVALID_ARGUMENT", "{tool}");
        }
    }

    async fn chat(status: u16, answer: Value) -> super::super::testing::Exchange {
        exchange(
            "chat_with_agent",
            json!({ "workspace_id": WS, "message": "hi" }),
            status,
            answer,
        )
        .await
    }

    #[tokio::test]
    async fn a_message_is_the_persons_and_its_answer_is_the_result() {
        let parts = json!([{ "kind": "text", "text": "a" }, { "kind": "data" }, { "kind": "text", "text": "b" }]);
        let seen = chat(200, json!({ "result": { "parts": parts } })).await;
        assert_eq!(seen.line, format!("POST /workspaces/{WS}/a2a"));
        assert_eq!(
            (seen.bearer.as_str(), seen.seen.header("x-workspace-id")),
            ("api-key", None)
        );
        let body = seen.body.unwrap();
        let message = &body["params"]["message"];
        assert_eq!(
            (&body["method"], &message["role"]),
            (&json!("message/send"), &json!("user"))
        );
        assert_eq!(message["parts"], json!([{ "kind": "text", "text": "hi" }]));
        assert!(Uuid::parse_str(message["messageId"].as_str().unwrap()).is_ok());
        assert_eq!(seen.result, json!({ "state": "answered", "text": "ab" }));

        let long = chat(
            200,
            json!({ "result": { "parts": [{ "kind": "text", "text": "é".repeat(40_000) }] } }),
        )
        .await;
        assert_eq!(long.result["text_truncated"], true);
        let silent = json!({ "result": { "status": { "state": "working" } } });
        assert_eq!(
            chat(200, silent.clone()).await.result,
            json!({ "state": "answered", "answer": silent })
        );
    }

    #[tokio::test]
    async fn a_message_that_waits_is_not_an_answer() {
        for (status, answer, said, queue) in [
            (
                200,
                json!({ "status": "queued", "delivery_mode": "poll" }),
                "queued",
                None,
            ),
            (202, json!({ "queued": true, "queue_id": "q-1" }), "queued", Some("q-1")),
            (200, json!({ "what": "ever" }), "unclear", None),
        ] {
            let seen = chat(status, answer).await;
            assert_eq!(
                (&seen.result["state"], seen.result["queue_id"].as_str()),
                (&json!(said), queue)
            );
            assert!(
                seen.result["next_step"].as_str().unwrap().contains("send"),
                "{}",
                seen.result
            );
        }
    }

    #[tokio::test]
    async fn every_failure_says_whether_the_message_arrived() {
        for (status, answer, code, part) in [
            (
                200,
                json!({ "error": { "code": -1, "message": "no model" } }),
                "AGENT_FAILED",
                "reached the agent",
            ),
            (
                402,
                json!({ "error": "workspace budget limit exceeded" }),
                "HTTP 402",
                "budget",
            ),
            (
                503,
                json!({ "error": "x", "waking": true, "retry_after": 15 }),
                "HTTP 503",
                "in 15 s",
            ),
            (
                503,
                json!({ "error": "x", "busy": true, "retry_after": 30 }),
                "HTTP 503",
                "in 30 s",
            ),
        ] {
            let seen = chat(status, answer).await;
            assert_eq!(seen.result["error"], code);
            assert!(seen.result["hint"].as_str().unwrap().contains(part), "{}", seen.result);
        }
        let anyone = Bench::new(vec![Reply::json(200, r#"{"status":"queued"}"#)], Keys::None).await;
        let said = anyone
            .call("chat_with_agent", json!({ "workspace_id": WS, "message": "hi" }))
            .await;
        assert_eq!((&said["state"], anyone.lines().len()), (&json!("queued"), 1));
        let bench = Bench::new(vec![Reply::raw("")], Keys::All).await;
        let lost = bench
            .call("chat_with_agent", json!({ "workspace_id": WS, "message": "hi" }))
            .await;
        assert_eq!(
            (&lost["error"], &lost["outcome"]),
            (&json!("PLATFORM_UNREACHABLE"), &json!("unknown"))
        );
        assert_eq!(bench.lines().len(), 1, "a message is not sent twice by itself");
    }
}
