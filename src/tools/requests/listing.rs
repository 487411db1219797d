//! Looking at requests, of both sides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::{NoteView, RequestView};
use super::{REQUESTS, about_one};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::platform::requests::RequestRow;
use crate::tools::paging::{LIST_LIMIT, part};
use crate::tools::supported::unless_supported;
use crate::tools::workspaces::Workspaces;
use crate::types::{RequestId, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<ListInbox>().add::<CheckRequests>().add::<GetRequest>();
}

/// The requests that other workspaces or the person ask of you, newest first. Answer one with respond_request. Open ones
/// are also offered by wait_for_message, as kind request.
#[derive(Deserialize, JsonSchema)]
struct ListInbox {
    /// Only those that stand so: pending, info_requested, done, rejected, approved or cancelled.
    status: Option<String>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
    /// Skip so many: next_offset of the result before.
    offset: Option<u32>,
    /// At most so many.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
}

/// How the requests stand that you made, newest first. Answers also arrive in the inbox.
#[derive(Deserialize, JsonSchema)]
struct CheckRequests {
    /// Only those that stand so: pending, info_requested, done, rejected, approved or cancelled.
    status: Option<String>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
    /// Skip so many: next_offset of the result before.
    offset: Option<u32>,
    /// At most so many.
    #[schemars(range(min = 1))]
    limit: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct Requests {
    /// Newest first.
    requests: Vec<RequestView>,
    /// How many there are; the platform gives 50 at most.
    count: usize,
    /// There are more: call again with this offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
}

impl Requests {
    fn of(rows: &[RequestRow], offset: Option<u32>, limit: Option<u32>) -> Self {
        /// Longest detail in a list, in bytes of JSON.
        const DETAIL: usize = 2_000;
        let views = rows.iter().map(|row| RequestView::of(row, DETAIL));
        let (requests, next_offset) = part(views, offset, limit, LIST_LIMIT);
        Self {
            requests,
            count: rows.len(),
            next_offset,
        }
    }
}

const STATUS: [&str; 6] = ["pending", "info_requested", "done", "rejected", "approved", "cancelled"];

fn checked(status: Option<&str>) -> Result<Option<&'static str>, ToolError> {
    match status.map(str::trim) {
        None | Some("") => Ok(None),
        Some(word) => STATUS
            .into_iter()
            .find(|known| *known == word)
            .map(Some)
            .ok_or_else(|| ToolError::argument("status", format!("must be one of: {}", STATUS.join(", ")))),
    }
}

impl Tool<Workspaces> for ListInbox {
    const NAME: &'static str = "list_inbox";
    const EFFECT: Effect = Effect::READ;
    type Output = Requests;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Requests, ToolError> {
        let context = all.one("workspace_id", self.workspace_id.as_ref())?;
        let rows = context.api.request_inbox(checked(self.status.as_deref())?).await;
        let rows = rows.map_err(|error| unless_supported(REQUESTS, error))?;
        Ok(Requests::of(&rows, self.offset, self.limit))
    }
}

impl Tool<Workspaces> for CheckRequests {
    const NAME: &'static str = "check_requests";
    const EFFECT: Effect = Effect::READ;
    type Output = Requests;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Requests, ToolError> {
        let context = all.one("workspace_id", self.workspace_id.as_ref())?;
        let status = checked(self.status.as_deref())?;
        let rows = match context.api.own_requests(status).await {
            // Older platforms know approvals, and call a rejected one denied.
            Err(error) if error.lacks_route() => {
                let mut rows = context.api.own_approvals().await;
                if let Ok(rows) = &mut rows {
                    for row in rows.iter_mut().filter(|row| row.status == "denied") {
                        "rejected".clone_into(&mut row.status);
                    }
                    rows.retain(|row| status.is_none_or(|status| row.status == status));
                }
                rows
            }
            rows => rows,
        };
        let rows = rows.map_err(|error| unless_supported(REQUESTS, error))?;
        Ok(Requests::of(&rows, self.offset, self.limit))
    }
}

/// One request, with everything that was written about it.
#[derive(Deserialize, JsonSchema)]
struct GetRequest {
    /// The request, as list_inbox or check_requests names it.
    request_id: RequestId,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
    /// Skip so many messages: next_offset of the result before.
    offset: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
struct Thread {
    /// The request.
    request: RequestView,
    /// What was written about it, oldest first.
    messages: Vec<NoteView>,
    /// There are more messages: call again with this offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<usize>,
}

impl Tool<Workspaces> for GetRequest {
    const NAME: &'static str = "get_request";
    const EFFECT: Effect = Effect::READ;
    type Output = Thread;

    async fn call(self, all: &Workspaces, _: &Call) -> Result<Thread, ToolError> {
        /// Longest detail of a single request, in bytes of JSON.
        const DETAIL: usize = 24_000;
        /// Room for its messages.
        const MESSAGES: usize = 28_000;
        let given = self.workspace_id.as_ref();
        let context = all.about_request("workspace_id", given, &self.request_id, None).await?;
        let thread = context.api.request_thread(&self.request_id).await.map_err(about_one)?;
        let views = thread.messages.iter().map(NoteView::of);
        let (messages, next_offset) = part(views, self.offset, None, MESSAGES);
        Ok(Thread {
            request: RequestView::of(&thread.request, DETAIL),
            messages,
            next_offset,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::mcp::answer::RESULT_LIMIT;
    use crate::tools::testing::{OWN, PEER, Reply, World};
    use serde_json::{Value, json};

    const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";

    fn row(detail: &str) -> Value {
        json!({ "id": ID, "kind": "task", "requester_type": "agent", "requester_id": PEER, "org_id": "o",
            "recipient_type": "user", "recipient_id": "", "title": "count", "detail": detail, "status": "done",
            "responder_type": "user", "responder_id": "human", "priority": 2, "created_at": "2026-05-01T10:00:00Z",
            "updated_at": "2026-05-01T10:00:00Z", "responded_at": "2026-05-01T11:00:00Z" })
    }

    #[tokio::test]
    async fn both_sides_are_listed_by_status() {
        let world = World::saying(200, &json!([row("all")])).await;
        let shown = json!({ "request_id": ID, "kind": "task", "title": "count", "detail": "all", "from": PEER, "to": "user",
            "status": "done", "answered_by": "user", "priority": 2, "created_at": "2026-05-01T10:00:00Z",
            "responded_at": "2026-05-01T11:00:00Z" });
        let listed = world
            .call("list_inbox", json!({ "status": "pending", "limit": 1 }))
            .await;
        assert_eq!(listed.body, json!({ "requests": [shown], "count": 1 }));
        assert_eq!(
            world.call("check_requests", json!({})).await.body["requests"],
            json!([shown])
        );
        let lines: Vec<String> = world.asked().into_iter().map(|(line, _)| line).collect();
        assert_eq!(
            lines,
            [
                format!("GET /workspaces/{OWN}/requests/inbox?status=pending"),
                format!("GET /workspaces/{OWN}/requests")
            ]
        );
    }

    #[tokio::test]
    async fn a_request_comes_with_its_messages() {
        let notes: Vec<Value> = (0..40)
            .map(|n| json!({ "author_type": "agent", "author_id": PEER, "body": format!("{n} {}", "é".repeat(9_000)), "created_at": "t" }))
            .collect();
        let world = World::saying(200, &json!({ "request": row(&"d".repeat(99_000)), "messages": notes })).await;
        let first = world.call("get_request", json!({ "request_id": ID })).await;
        assert!(!first.failed && first.body.to_string().len() < RESULT_LIMIT);
        assert_eq!(first.body["request"]["text_truncated"], true);
        let (mut seen, mut offset) = (0, Some(0));
        while let Some(at) = offset {
            let part = world
                .call("get_request", json!({ "request_id": ID, "offset": at }))
                .await;
            seen += part.body["messages"].as_array().unwrap().len();
            offset = part.body["next_offset"].as_u64();
        }
        assert_eq!(seen, 40);
        assert_eq!(world.asked()[0].0, format!("GET /workspaces/{OWN}/requests/{ID}"));
    }

    #[tokio::test]
    async fn an_older_platform_shows_its_approvals_as_requests() {
        let approvals = json!([
            { "id": "a-1", "action": "deploy", "reason": null, "status": "denied", "decided_by": "human",
              "decided_at": "t2", "created_at": "t1" },
            { "id": "a-2", "action": "wait", "status": "pending", "created_at": "t1" },
        ]);
        let world = World::answering(vec![
            Reply::new(404, &[], "404 page not found"),
            Reply::json(200, &approvals.to_string()),
        ])
        .await;
        let found = world.call("check_requests", json!({ "status": "rejected" })).await;
        assert_eq!(found.body["count"], 1);
        assert_eq!(
            (
                &found.body["requests"][0]["title"],
                &found.body["requests"][0]["status"]
            ),
            (&json!("deploy"), &json!("rejected"))
        );
        assert_eq!(world.asked()[1].0, format!("GET /workspaces/{OWN}/approvals"));
        let world = World::answering(vec![Reply::new(404, &[], "404 page not found")]).await;
        for (tool, arguments) in [
            ("list_inbox", json!({})),
            ("check_requests", json!({})),
            ("get_request", json!({ "request_id": ID })),
        ] {
            assert_eq!(
                world.call(tool, arguments).await.code(),
                "NOT_SUPPORTED_BY_PLATFORM",
                "{tool}"
            );
        }
    }

    #[tokio::test]
    async fn bad_arguments_cause_no_request_and_strangers_are_told() {
        let world = World::saying(200, &json!([])).await;
        for (tool, arguments) in [
            ("list_inbox", json!({ "status": "open" })),
            ("check_requests", json!({ "status": "open" })),
            ("check_requests", json!({ "workspace_id": PEER })),
            ("get_request", json!({})),
            ("get_request", json!({ "request_id": "7" })),
        ] {
            assert_eq!(
                world.call(tool, arguments.clone()).await.code(),
                "INVALID_ARGUMENT",
                "{tool} {arguments}"
            );
        }
        assert!(world.asked().is_empty());
        for (status, error, code) in [
            (403, "not a participant", "NOT_YOURS"),
            (404, "request not found", "NOT_FOUND"),
        ] {
            let world = World::saying(status, &json!({ "error": error })).await;
            assert_eq!(
                world.call("get_request", json!({ "request_id": ID })).await.code(),
                code
            );
        }
    }
}
