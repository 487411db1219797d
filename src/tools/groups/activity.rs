//! What workspaces do and tell: delegations, the activity log, words to the person, traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Groups;
use super::workspaces::given;
use crate::mcp::answer::ToolError;
use crate::mcp::toolset::Effect;
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::tools::desk::Ops;
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::types::{ResourceId, WorkspaceId};

mod delegate;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .plain::<CheckDelegations>()
        .plain::<RecordDelegation>()
        .plain::<UpdateDelegationStatus>()
        .plain::<ReportActivity>()
        .plain::<ListActivity>()
        .plain::<NotifyUser>()
        .plain::<ListTraces>()
        .add::<delegate::AsyncDelegate>();
}

/// List a workspace's latest delegations, up to 50: to whom, what, how it stands. One delegation may be two rows, the
/// request and its result.
#[derive(Deserialize, JsonSchema)]
struct CheckDelegations {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for CheckDelegations {
    const NAME: &'static str = "check_delegations";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("delegations");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Get, &self.workspace_id, ["delegations".into()]).into())
    }
}

/// Write down a delegation that an agent made by itself, so that it shows in the workspace's list. Nothing is sent to the
/// target.
#[derive(Deserialize, JsonSchema)]
struct RecordDelegation {
    /// Who delegated.
    workspace_id: WorkspaceId,
    /// To whom.
    target_id: WorkspaceId,
    /// What is to be done.
    task: String,
    /// Id by which update_delegation_status finds it again.
    delegation_id: ResourceId,
}

impl Plain<Ops> for RecordDelegation {
    const NAME: &'static str = "record_delegation";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        delegate::check(&self.target_id, &self.task)?;
        let order = Order::workspace(Post, &self.workspace_id, ["delegations".into(), "record".into()]);
        let body = json!({ "target_id": self.target_id, "task": self.task, "delegation_id": self.delegation_id });
        Ok(order.body(body).into())
    }
}

/// Write down how a delegation ended, in the delegating workspace's list. Platforms also take ids that they do not know.
#[derive(Deserialize, JsonSchema)]
struct UpdateDelegationStatus {
    /// Who delegated.
    workspace_id: WorkspaceId,
    delegation_id: ResourceId,
    /// How it ended.
    status: DelegationEnd,
    /// With failed: why.
    error: Option<String>,
    /// With completed: the start of the answer.
    response_preview: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DelegationEnd {
    Completed,
    Failed,
}

impl Plain<Ops> for UpdateDelegationStatus {
    const NAME: &'static str = "update_delegation_status";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["delegations".into(), (&self.delegation_id).into(), "update".into()];
        let body = given([
            ("status", Some(json!(self.status))),
            ("error", self.error.map(Value::from)),
            ("response_preview", self.response_preview.map(Value::from)),
        ]);
        let order = Order::workspace(Post, &self.workspace_id, path);
        Ok(order.body(Value::Object(body)).into())
    }
}

/// Add a row to a workspace's activity log.
#[derive(Deserialize, JsonSchema)]
struct ReportActivity {
    workspace_id: WorkspaceId,
    /// What kind of thing happened.
    activity_type: Reported,
    /// Which operation, such as message/send.
    method: Option<String>,
    /// One line about it.
    summary: Option<String>,
    /// ok or error.
    status: Option<String>,
    /// With an error: what went wrong.
    error_detail: Option<String>,
    /// The workspace that it was about.
    target_id: Option<WorkspaceId>,
    /// What was asked, any JSON.
    #[schemars(with = "Option<Map<String, Value>>")]
    request_body: Option<Value>,
    /// What was answered, any JSON.
    #[schemars(with = "Option<Map<String, Value>>")]
    response_body: Option<Value>,
    /// How long it took, in milliseconds.
    duration_ms: Option<u64>,
}

/// The kinds that platforms let a workspace report. The aliases are what the server that was replaced told its callers to
/// use, and no platform ever took.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reported {
    A2aSend,
    A2aReceive,
    #[serde(alias = "task_complete")]
    TaskUpdate,
    #[serde(alias = "tool_call")]
    AgentLog,
    SkillPromotion,
    MemoryWrite,
    Error,
}

impl Plain<Ops> for ReportActivity {
    const NAME: &'static str = "report_activity";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        let body = given([
            ("activity_type", Some(json!(self.activity_type))),
            ("method", self.method.map(Value::from)),
            ("summary", self.summary.map(Value::from)),
            ("status", self.status.map(Value::from)),
            ("error_detail", self.error_detail.map(Value::from)),
            ("target_id", self.target_id.map(|id| json!(id))),
            ("request_body", self.request_body),
            ("response_body", self.response_body),
            ("duration_ms", self.duration_ms.map(Value::from)),
        ]);
        let order = Order::workspace(Post, &self.workspace_id, ["activity".into()]);
        Ok(order.body(Value::Object(body)).into())
    }
}

/// Read a workspace's activity log, newest first, up to 500 rows: messages, delegations, tasks, errors. With since_id the
/// rows after that one, oldest first.
#[derive(Deserialize, JsonSchema)]
struct ListActivity {
    workspace_id: WorkspaceId,
    /// Only this kind.
    r#type: Option<Listed>,
    /// Only what came from the person on the canvas, or from agents.
    source: Option<Source>,
    /// Only to or from this workspace.
    peer_id: Option<WorkspaceId>,
    /// Only rows after the one with this id; platforms of April 2026 ignore it.
    since_id: Option<ResourceId>,
    /// Only rows before this time (RFC 3339); platforms of April 2026 ignore it.
    before_ts: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Listed {
    A2aReceive,
    A2aSend,
    TaskUpdate,
    AgentLog,
    Error,
    Delegation,
    CronRun,
    MemoryWrite,
    SkillPromotion,
    BroadcastReceive,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Source {
    Canvas,
    Agent,
}

impl Plain<Ops> for ListActivity {
    const NAME: &'static str = "list_activity";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("activity");
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::workspace(Get, &self.workspace_id, ["activity".into()])
            .query("type", self.r#type.map(word))
            .query("source", self.source.map(word))
            .query("peer_id", self.peer_id)
            .query("since_id", self.since_id)
            .query("before_ts", self.before_ts)
            .rows(500);
        Ok(Plan::from(order).advising(
            410,
            "the platform knows no row of this since_id any more: leave it out, or page back with before_ts",
        ))
    }
}

/// The word that stands for a choice.
fn word(choice: impl Serialize) -> String {
    json!(choice).as_str().unwrap_or_default().to_owned()
}

/// Say something to the person, in the canvas chat of a workspace and in its name.
#[derive(Deserialize, JsonSchema)]
struct NotifyUser {
    /// The workspace that speaks.
    workspace_id: WorkspaceId,
    /// What to say.
    message: String,
    /// Without effect; older callers send it.
    #[expect(dead_code, reason = "platforms never had a use for it")]
    r#type: Option<String>,
}

impl Plain<Ops> for NotifyUser {
    const NAME: &'static str = "notify_user";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        if self.message.trim().is_empty() {
            return Err(ToolError::argument("message", "must not be empty"));
        }
        let order = Order::workspace(Post, &self.workspace_id, ["notify".into()]);
        Ok(order.body(json!({ "message": self.message })).into())
    }
}

/// List the latest traces of a workspace's model calls. The list is also empty where the platform has no tracing service, or
/// cannot reach it.
#[derive(Deserialize, JsonSchema)]
struct ListTraces {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ListTraces {
    const NAME: &'static str = "list_traces";
    const EFFECT: Effect = Effect::READ;
    // The tracing service's own answer is an object; without the service the platform answers an array.
    const ANSWER: Answer = Answer::ListWithin("data");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::workspace(Get, &self.workspace_id, ["traces".into()]).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::{Value, json};

    const TARGET: &str = "5f0c1d2e-0000-4000-8000-00000000000b";

    #[tokio::test]
    async fn each_writing_tool_sends_its_request() {
        let ws = format!("POST /workspaces/{WS}");
        for (tool, arguments, line, body) in [
            (
                "record_delegation",
                json!({ "target_id": TARGET, "task": "t", "delegation_id": "d-1" }),
                format!("{ws}/delegations/record"),
                json!({ "target_id": TARGET, "task": "t", "delegation_id": "d-1" }),
            ),
            (
                "update_delegation_status",
                json!({ "delegation_id": "d-1", "status": "failed", "error": "e" }),
                format!("{ws}/delegations/d-1/update"),
                json!({ "status": "failed", "error": "e" }),
            ),
            (
                "update_delegation_status",
                json!({ "delegation_id": "d-1", "status": "completed", "response_preview": "r" }),
                format!("{ws}/delegations/d-1/update"),
                json!({ "status": "completed", "response_preview": "r" }),
            ),
            (
                "report_activity",
                json!({ "activity_type": "a2a_send", "method": "m", "summary": "s", "status": "ok",
                    "error_detail": "e", "target_id": TARGET, "request_body": { "a": 1 }, "response_body": "any",
                    "duration_ms": 7 }),
                format!("{ws}/activity"),
                json!({ "activity_type": "a2a_send", "method": "m", "summary": "s", "status": "ok",
                    "error_detail": "e", "target_id": TARGET, "request_body": { "a": 1 }, "response_body": "any",
                    "duration_ms": 7 }),
            ),
            (
                "notify_user",
                json!({ "type": "info", "message": "hello" }),
                format!("{ws}/notify"),
                json!({ "message": "hello" }),
            ),
        ] {
            let mut arguments = arguments;
            arguments["workspace_id"] = json!(WS);
            let seen = exchange(tool, arguments, 200, json!({ "status": "done" })).await;
            assert_eq!((seen.line, seen.body), (line, Some(body)), "{tool}");
            assert_eq!(
                (seen.bearer.as_str(), seen.result),
                ("api-key", json!({ "status": "done" }))
            );
        }
    }

    #[tokio::test]
    async fn words_that_platforms_never_took_are_reported_as_what_they_mean() {
        for (given, sent) in [("tool_call", "agent_log"), ("task_complete", "task_update")] {
            let arguments = json!({ "workspace_id": WS, "activity_type": given });
            let seen = exchange("report_activity", arguments, 200, json!({ "status": "logged" })).await;
            assert_eq!(seen.body, Some(json!({ "activity_type": sent })));
        }
    }

    #[tokio::test]
    async fn each_list_sends_its_request_and_is_a_page() {
        let rows = json!([{ "id": 1, "x": 1 }, { "id": 2, "x": 2 }]);
        let all = json!({ "type": "cron_run", "source": "canvas", "peer_id": TARGET, "since_id": "r-1",
            "before_ts": "2026-05-01T00:00:00Z" });
        for (tool, arguments, path, key) in [
            ("check_delegations", json!({}), "delegations".to_owned(), "delegations"),
            ("list_activity", json!({}), "activity?limit=500".to_owned(), "activity"),
            (
                "list_activity",
                all,
                format!(
                    "activity?type=cron_run&source=canvas&peer_id={TARGET}&since_id=r-1&\
                     before_ts=2026-05-01T00%3A00%3A00Z&limit=500"
                ),
                "activity",
            ),
            ("list_traces", json!({}), "traces".to_owned(), "data"),
        ] {
            let mut arguments = arguments;
            for (name, value) in [
                ("workspace_id", json!(WS)),
                ("limit", json!(1)),
                ("fields", json!(["id"])),
            ] {
                arguments[name] = value;
            }
            let seen = exchange(tool, arguments, 200, rows.clone()).await;
            assert_eq!(seen.line, format!("GET /workspaces/{WS}/{path}"), "{tool}");
            let page = json!({ key: [{ "id": 1 }], "count": 2, "next_offset": 1 });
            assert_eq!(seen.result, page, "{tool}");
        }
        let traces = json!({ "data": [{ "id": "t" }], "meta": { "page": 1 } });
        let seen = exchange("list_traces", json!({ "workspace_id": WS }), 200, traces).await;
        assert_eq!(seen.result, json!({ "data": [{ "id": "t" }], "count": 1 }));
    }

    #[tokio::test]
    async fn a_log_that_is_too_large_is_read_in_a_smaller_part_which_is_said() {
        let large = || Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 90000000\r\n\r\n");
        let row = json!({ "id": "r" });
        let rows = |count: usize| Reply::json(200, &json!(vec![&row; count]).to_string());
        for (replies, asked, count, cut_at) in [
            (vec![large(), large(), rows(5)], vec![500, 50, 5], 5, json!(5)),
            (vec![large(), rows(7)], vec![500, 50], 7, json!(null)),
            (vec![rows(500)], vec![500], 500, json!(500)),
        ] {
            let bench = Bench::new(replies, Keys::All).await;
            let told = bench
                .call("list_activity", json!({ "workspace_id": WS, "limit": 2 }))
                .await;
            let lines = asked
                .iter()
                .map(|rows| format!("GET /workspaces/{WS}/activity?limit={rows}"));
            assert_eq!(bench.lines(), lines.collect::<Vec<_>>());
            assert_eq!((&told["count"], &told["cut_at"]), (&json!(count), &cut_at));
        }
        let bench = Bench::new(vec![large()], Keys::All).await;
        let told = bench.call("list_activity", json!({ "workspace_id": WS })).await;
        assert_eq!((bench.lines().len(), &told["error"]), (4, &json!("PLATFORM_ERROR")));
        assert!(told["hint"].as_str().unwrap().contains("ask for less"), "{told}");
    }

    #[tokio::test]
    async fn what_the_platform_would_refuse_is_not_sent() {
        for (tool, arguments) in [
            ("notify_user", json!({ "type": "hello" })),
            ("notify_user", json!({ "message": " " })),
            ("report_activity", json!({ "activity_type": "thought" })),
            (
                "report_activity",
                json!({ "activity_type": "error", "duration_ms": 1.5 }),
            ),
            ("list_activity", json!({ "type": "everything" })),
            ("list_activity", json!({ "limit": 501 })),
            (
                "update_delegation_status",
                json!({ "delegation_id": "d", "status": "pending" }),
            ),
            (
                "record_delegation",
                json!({ "target_id": "beta", "task": "t", "delegation_id": "d" }),
            ),
            (
                "record_delegation",
                json!({ "target_id": TARGET, "task": "", "delegation_id": "d" }),
            ),
        ] {
            let mut arguments: Value = arguments;
            arguments["workspace_id"] = json!(WS);
            assert_eq!(
                refused(tool, arguments.clone()).await,
                "INVALID_ARGUMENT",
                "{tool} {arguments}"
            );
        }
    }
}
