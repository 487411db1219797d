//! Schedules: prompts that the platform gives a workspace's agent at set times. The mode `self` shows these tools alone,
//! for an agent that plans its own work.
//!
//! Platforms up to June 2026 name a schedule by a UUID, later ones by its name, blanks included.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Groups;
use super::agents::say;
use super::workspaces::given;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Delete, Get, Patch, Post};
use crate::tools::desk::Ops;
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::types::{KeyName, WorkspaceId};

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .plain::<ListSchedules>()
        .plain::<CreateSchedule>()
        .plain::<UpdateSchedule>()
        .plain::<DeleteSchedule>()
        .add::<RunSchedule>()
        .plain::<GetScheduleHistory>();
}

/// What to do about a 400: platforms may say nothing of use about a wrong time.
const WRONG_TIME: &str = "unless detail says otherwise: cron_expr takes five fields, minute, hour, day of month, month and day of week, such as \
     */15 9-17 * * 1-5; timezone a name such as Europe/Berlin";

/// What to do about a 422: later platforms run schedules by calling the agent.
const NOT_CALLED: &str = "this platform keeps schedules only for agents that it can call; for one that polls, let \
     something else start it at those times";

/// The plan of a route below the schedules of a workspace.
fn plan(order: Order) -> Plan {
    Plan::from(order).advising(422, NOT_CALLED)
}

/// List a workspace's schedules: id, name, times, prompt, whether enabled, last and next run.
#[derive(Deserialize, JsonSchema)]
struct ListSchedules {
    /// Left out: this server's own workspace.
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ListSchedules {
    const NAME: &'static str = "list_schedules";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("schedules");
    const AT_HOME: bool = true;
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(plan(Order::workspace(Get, &self.workspace_id, ["schedules".into()])))
    }
}

/// Give a workspace's agent a prompt at set times from now on.
#[derive(Deserialize, JsonSchema)]
struct CreateSchedule {
    /// Left out: this server's own workspace.
    workspace_id: WorkspaceId,
    /// What to call it.
    name: String,
    /// When: minute, hour, day of month, month, day of week; such as 0 9 * * 1-5.
    cron_expr: String,
    /// What the agent is told each time.
    prompt: String,
    /// Where the times are meant, such as Europe/Berlin; left out: UTC.
    timezone: Option<String>,
    /// False: kept, but not run yet.
    enabled: Option<bool>,
}

impl Plain<Ops> for CreateSchedule {
    const NAME: &'static str = "create_schedule";
    const EFFECT: Effect = Effect::WRITE;
    const AT_HOME: bool = true;
    fn plan(self) -> Result<Plan, ToolError> {
        let asked = Change {
            name: Some(self.name),
            cron_expr: Some(self.cron_expr),
            prompt: Some(self.prompt),
            timezone: self.timezone,
            enabled: self.enabled,
        };
        let order = Order::workspace(Post, &self.workspace_id, ["schedules".into()]);
        Ok(plan(order.body(asked.body()?)).advising(400, WRONG_TIME))
    }
}

/// Change a schedule's name, times, prompt or zone, or switch it on or off. What is left out stays as it is.
#[derive(Deserialize, JsonSchema)]
struct UpdateSchedule {
    /// Left out: this server's own workspace.
    workspace_id: WorkspaceId,
    /// The schedule, as list_schedules shows it.
    schedule_id: KeyName,
    /// What to call it.
    name: Option<String>,
    /// When: minute, hour, day of month, month, day of week; such as 0 9 * * 1-5.
    cron_expr: Option<String>,
    /// What the agent is told each time.
    prompt: Option<String>,
    /// Where the times are meant, such as Europe/Berlin.
    timezone: Option<String>,
    /// False: kept, but no longer run.
    enabled: Option<bool>,
}

impl Plain<Ops> for UpdateSchedule {
    const NAME: &'static str = "update_schedule";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    const AT_HOME: bool = true;
    fn plan(self) -> Result<Plan, ToolError> {
        let asked = Change {
            name: self.name,
            cron_expr: self.cron_expr,
            prompt: self.prompt,
            timezone: self.timezone,
            enabled: self.enabled,
        };
        let body = asked.body()?;
        if body == json!({}) {
            return Err(ToolError::argument("name", "or another change is required"));
        }
        let path = ["schedules".into(), (&self.schedule_id).into()];
        let order = Order::workspace(Patch, &self.workspace_id, path);
        Ok(plan(order.body(body)).advising(400, WRONG_TIME))
    }
}

/// What a schedule can be told to be.
struct Change {
    name: Option<String>,
    cron_expr: Option<String>,
    prompt: Option<String>,
    timezone: Option<String>,
    enabled: Option<bool>,
}

impl Change {
    fn body(self) -> Result<Value, ToolError> {
        let texts = [
            ("name", self.name),
            ("cron_expr", self.cron_expr),
            ("prompt", self.prompt),
            ("timezone", self.timezone),
        ];
        if let Some((name, _)) = texts
            .iter()
            .find(|(_, text)| text.as_ref().is_some_and(|text| text.trim().is_empty()))
        {
            return Err(ToolError::argument(*name, "must not be empty"));
        }
        let mut body = given(texts.map(|(name, text)| (name, text.map(Value::from))));
        body.extend(given([("enabled", self.enabled.map(Value::from))]));
        Ok(Value::Object(body))
    }
}

/// Remove a schedule for good. To only stop it for a while, use update_schedule with enabled: false.
#[derive(Deserialize, JsonSchema)]
struct DeleteSchedule {
    /// Left out: this server's own workspace.
    workspace_id: WorkspaceId,
    /// The schedule, as list_schedules shows it.
    schedule_id: KeyName,
}

impl Plain<Ops> for DeleteSchedule {
    const NAME: &'static str = "delete_schedule";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    const AT_HOME: bool = true;
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["schedules".into(), (&self.schedule_id).into()];
        Ok(plan(Order::workspace(Delete, &self.workspace_id, path)))
    }
}

/// The last runs of a schedule, up to 20: when, how long, how they ended.
#[derive(Deserialize, JsonSchema)]
struct GetScheduleHistory {
    /// Left out: this server's own workspace.
    workspace_id: WorkspaceId,
    /// The schedule, as list_schedules shows it.
    schedule_id: KeyName,
}

impl Plain<Ops> for GetScheduleHistory {
    const NAME: &'static str = "get_schedule_history";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("runs");
    const AT_HOME: bool = true;
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["schedules".into(), (&self.schedule_id).into(), "history".into()];
        Ok(plan(Order::workspace(Get, &self.workspace_id, path)))
    }
}

/// Run a schedule now: its prompt goes to the workspace's agent at once, and the result is what the agent made of it. Its
/// times stay as they are.
#[derive(Deserialize, JsonSchema)]
struct RunSchedule {
    /// Left out: this server's own workspace.
    workspace_id: Option<WorkspaceId>,
    /// The schedule, as list_schedules shows it.
    schedule_id: KeyName,
}

/// `status` fired and `workspace_id`, as ever. `fired_by`: `platform`, which tells the agent by itself, or `client`, that is
/// this call, and then `outcome` is what became of the prompt.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
struct Ran(Map<String, Value>);

impl Tool<Ops> for RunSchedule {
    const NAME: &'static str = "run_schedule";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Ran;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Ran, ToolError> {
        let errand = desk.errand(Self::NAME, call);
        let workspace_id = match self.workspace_id {
            Some(id) => id,
            None => errand.home()?.clone(),
        };
        let path = ["schedules".into(), (&self.schedule_id).into(), "run".into()];
        let sent = errand.send(&Order::workspace(Post, &workspace_id, path)).await;
        let reply = sent.map_err(|error| match error.code() {
            "HTTP 422" => error.advising(NOT_CALLED),
            _ => error,
        })?;
        // Platforms up to June 2026 only hand the prompt over. Later ones run it, and must not be helped.
        let prompt = reply.body["prompt"].as_str().filter(|prompt| !prompt.is_empty());
        let outcome = match prompt.filter(|_| reply.body["fired_by"] != "daemon") {
            None => None,
            Some(prompt) => Some(say(&errand, &workspace_id, prompt).await.map_err(|error| {
                error.with(
                    "step",
                    "the platform handed the prompt over; sending it to the agent failed",
                )
            })?),
        };
        Ok(Ran(given([
            ("status", Some(json!("fired"))),
            ("workspace_id", Some(json!(workspace_id))),
            (
                "fired_by",
                Some(json!(if outcome.is_some() { "client" } else { "platform" })),
            ),
            ("outcome", outcome.map(|said| json!(said))),
        ])))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, WS, exchange, refused};
    use super::*;
    use crate::platform::testing::{Reply, SELF};

    const ID: &str = "5f0c1d2e-0000-4000-8000-0000000000aa";

    #[tokio::test]
    async fn each_tool_sends_its_request() {
        let whole = json!({ "name": "n", "cron_expr": "0 9 * * 1-5", "prompt": "p", "timezone": "Asia/Tokyo", "enabled": false });
        let least = json!({ "name": "n", "cron_expr": "0 9 * * *", "prompt": "p" });
        let part = json!({ "enabled": true, "prompt": "q" });
        let one = format!("schedules/{ID}");
        for (tool, arguments, verb, rest, body) in [
            ("create_schedule", whole.clone(), "POST", "schedules", Some(&whole)),
            ("create_schedule", least.clone(), "POST", "schedules", Some(&least)),
            ("update_schedule", part.clone(), "PATCH", one.as_str(), Some(&part)),
            ("delete_schedule", json!({}), "DELETE", one.as_str(), None),
        ] {
            let mut arguments = arguments;
            arguments["workspace_id"] = json!(WS);
            if rest != "schedules" {
                arguments["schedule_id"] = json!(ID);
            }
            let seen = exchange(tool, arguments, 200, json!({ "status": "done" })).await;
            assert_eq!(seen.line, format!("{verb} /workspaces/{WS}/{rest}"), "{tool}");
            assert_eq!(
                (seen.body.as_ref(), &seen.result),
                (body, &json!({ "status": "done" })),
                "{tool}"
            );
        }
        for (tool, rest, key) in [
            ("list_schedules", "schedules".to_owned(), "schedules"),
            ("get_schedule_history", format!("{one}/history"), "runs"),
        ] {
            let mut arguments = json!({ "workspace_id": WS, "limit": 1 });
            if key == "runs" {
                arguments["schedule_id"] = json!(ID);
            }
            let seen = exchange(tool, arguments, 200, json!([{ "id": 1 }, { "id": 2 }])).await;
            assert_eq!(seen.line, format!("GET /workspaces/{WS}/{rest}"));
            assert_eq!(seen.result, json!({ key: [{ "id": 1 }], "count": 2, "next_offset": 1 }));
        }
    }

    #[tokio::test]
    async fn what_the_platform_would_refuse_sends_nothing() {
        for (tool, more) in [
            ("create_schedule", json!({ "name": "n", "prompt": "p" })),
            (
                "create_schedule",
                json!({ "name": "n", "cron_expr": " ", "prompt": "p" }),
            ),
            ("update_schedule", json!({ "schedule_id": ID })),
            ("update_schedule", json!({ "schedule_id": ID, "timezone": "" })),
            ("delete_schedule", json!({ "schedule_id": "../x" })),
            ("run_schedule", json!({})),
        ] {
            let mut arguments = more;
            arguments["workspace_id"] = json!(WS);
            assert_eq!(
                refused(tool, arguments.clone()).await,
                "INVALID_ARGUMENT",
                "{tool} {arguments}"
            );
        }
    }

    #[tokio::test]
    async fn a_wrong_time_is_explained() {
        let arguments = json!({ "workspace_id": WS, "name": "n", "cron_expr": "at noon", "prompt": "p" });
        let seen = exchange(
            "create_schedule",
            arguments,
            400,
            json!({ "error": "invalid request body" }),
        )
        .await;
        assert!(
            seen.result["hint"].as_str().unwrap().contains("five fields"),
            "{}",
            seen.result
        );
    }

    #[tokio::test]
    async fn an_agent_that_cannot_be_called_has_no_schedules_on_later_platforms() {
        let refusal = json!({ "error": "workspace has no callback URL", "detail": "not push" });
        for tool in ["list_schedules", "run_schedule", "get_schedule_history"] {
            let mut arguments = json!({ "workspace_id": WS });
            if tool != "list_schedules" {
                arguments["schedule_id"] = json!(ID);
            }
            let seen = exchange(tool, arguments, 422, refusal.clone()).await;
            assert_eq!(seen.result["error"], "HTTP 422");
            assert!(
                seen.result["hint"].as_str().unwrap().contains("polls"),
                "{}",
                seen.result
            );
        }
    }

    #[tokio::test]
    async fn the_own_workspace_is_meant_when_none_is_named_and_another_must_be() {
        let bench = Bench::at_home(vec![Reply::json(200, r#"{"status":"fired","fired_by":"daemon"}"#)]).await;
        for (tool, more) in [
            ("list_schedules", json!({})),
            (
                "create_schedule",
                json!({ "name": "n", "cron_expr": "* * * * *", "prompt": "p" }),
            ),
            ("update_schedule", json!({ "schedule_id": ID, "enabled": true })),
            ("delete_schedule", json!({ "schedule_id": ID, "workspace_id": "" })),
            ("run_schedule", json!({ "schedule_id": ID, "workspace_id": null })),
            ("get_schedule_history", json!({ "schedule_id": ID })),
        ] {
            bench.call(tool, more.clone()).await;
            let last = bench.lines().pop().unwrap();
            assert!(
                last.contains(&format!("/workspaces/{SELF}/schedules")),
                "{tool} sent {last}"
            );
            assert_eq!(refused(tool, more).await, "INVALID_ARGUMENT", "{tool}");
        }
        assert_eq!(bench.lines().len(), 6);
    }

    #[tokio::test]
    async fn a_schedule_that_is_run_reaches_the_agent_exactly_once() {
        let prompt = r#"{"status":"fired","workspace_id":"x","prompt":"do it"}"#;
        let queued = r#"{"status":"queued","delivery_mode":"poll"}"#;
        let arguments = json!({ "workspace_id": WS, "schedule_id": ID });
        let run = format!("POST /workspaces/{WS}/schedules/{ID}/run");

        let bench = Bench::new(vec![Reply::json(200, prompt), Reply::json(200, queued)], Keys::All).await;
        let ran = bench.call("run_schedule", arguments.clone()).await;
        assert_eq!(bench.lines(), [run.clone(), format!("POST /workspaces/{WS}/a2a")]);
        assert_eq!(bench.bodies()[1]["params"]["message"]["parts"][0]["text"], "do it");
        assert_eq!(
            (&ran["status"], &ran["fired_by"], &ran["outcome"]["state"]),
            (&json!("fired"), &json!("client"), &json!("queued"))
        );

        let by_itself = r#"{"status":"fired","workspace_id":"x","fired_by":"daemon"}"#;
        let bench = Bench::new(vec![Reply::json(200, by_itself)], Keys::All).await;
        let ran = bench.call("run_schedule", arguments.clone()).await;
        assert_eq!((bench.lines(), &ran["fired_by"]), (vec![run], &json!("platform")));

        let none = Reply::json(404, r#"{"error":"schedule not found"}"#);
        let bench = Bench::new(vec![none], Keys::All).await;
        assert_eq!(bench.call("run_schedule", arguments.clone()).await["error"], "HTTP 404");
        assert_eq!(bench.lines().len(), 1);

        let over = Reply::json(402, r#"{"error":"workspace budget limit exceeded"}"#);
        let bench = Bench::new(vec![Reply::json(200, prompt), over], Keys::All).await;
        let failed = bench.call("run_schedule", arguments).await;
        assert_eq!(failed["error"], "HTTP 402");
        assert!(failed["step"].as_str().unwrap().contains("handed the prompt over"));
    }
}
