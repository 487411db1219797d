//! What a workspace may spend. Newer platforms have four periods and replace them all at once, so what is not to change is
//! read first and sent along.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Nullable, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Patch};
use crate::tools::desk::{Management, Told};
use crate::types::WorkspaceId;

/// Limit what a workspace may spend, in US cents per hour, day, week or month. What is left out stays as it is; null: no
/// limit; 0: nothing at all.
#[derive(Deserialize, JsonSchema)]
pub(super) struct SetWorkspaceBudget {
    workspace_id: WorkspaceId,
    /// Limits by period. Platforms before June 2026 know monthly alone.
    budget_limits: Option<Limits>,
    /// The monthly limit, unless budget_limits has one.
    #[serde(default)]
    budget_limit: Nullable<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct Limits {
    /// US cents within an hour.
    #[serde(default)]
    hourly: Nullable<u64>,
    /// US cents within a day.
    #[serde(default)]
    daily: Nullable<u64>,
    /// US cents within a week.
    #[serde(default)]
    weekly: Nullable<u64>,
    /// US cents within a month.
    #[serde(default)]
    monthly: Nullable<u64>,
}

impl Tool<Management> for SetWorkspaceBudget {
    const NAME: &'static str = "set_workspace_budget";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        let changes = changes(self.budget_limits, self.budget_limit);
        if changes.is_empty() {
            return Err(ToolError::argument("budget_limits", "or `budget_limit` is required"));
        }
        let errand = desk.errand(Self::NAME, call);
        let present = errand
            .send(&Order::workspace(Get, &self.workspace_id, ["budget".into()]))
            .await?
            .body;
        let body = merged(&present, &changes)?;
        let order = Order::workspace(Patch, &self.workspace_id, ["budget".into()]).for_admin();
        let reply = errand.send(&order.body(body)).await?;
        Ok(Told(reply.fields("updated")))
    }
}

/// The periods that are to change, with their new limits.
fn changes(limits: Option<Limits>, monthly: Nullable<u64>) -> Map<String, Value> {
    let by_period = limits.map(|limits| {
        [
            ("hourly", limits.hourly),
            ("daily", limits.daily),
            ("weekly", limits.weekly),
            ("monthly", limits.monthly),
        ]
    });
    // The more precise one comes last, and wins.
    let all = [("monthly", monthly)]
        .into_iter()
        .chain(by_period.into_iter().flatten());
    all.filter_map(|(period, limit)| Some((period.to_owned(), json!(limit.given()?))))
        .collect()
}

/// What has to be sent, given what is there.
fn merged(present: &Value, changes: &Map<String, Value>) -> Result<Value, ToolError> {
    let Some(periods) = present["periods"].as_object() else {
        return match (changes.get("monthly"), changes.len()) {
            (Some(limit), 1) => Ok(json!({ "budget_limit": limit })),
            _ => Err(ToolError::failed(
                "NOT_SUPPORTED_BY_PLATFORM",
                "this platform knows a monthly limit alone; nothing was changed",
                "call again with budget_limit alone",
            )),
        };
    };
    let mut limits: Map<String, Value> = periods
        .iter()
        .map(|(period, there)| (period.clone(), there["limit"].clone()))
        .collect();
    limits.extend(changes.clone());
    Ok(json!({ "budget_limits": limits }))
}

#[cfg(test)]
mod tests {
    use crate::platform::testing::Reply;
    use crate::tools::groups::testing::{Bench, Keys, WS, refused};
    use serde_json::{Value, json};

    /// What is sent for these arguments to a platform with this budget.
    async fn sent(present: &Value, arguments: Value) -> (Vec<String>, Option<Value>, Value) {
        let mut arguments = arguments;
        arguments["workspace_id"] = json!(WS);
        let replies = vec![
            Reply::json(200, &present.to_string()),
            Reply::json(200, r#"{"budget_limit":1}"#),
        ];
        let bench = Bench::new(replies, Keys::All).await;
        let result = bench.call("set_workspace_budget", arguments).await;
        let body = bench.platform.seen().get(1).map(crate::platform::testing::Seen::json);
        (bench.lines(), body, result)
    }

    #[tokio::test]
    async fn periods_that_are_not_mentioned_stay() {
        let present = json!({ "budget_limit": 900, "periods": {
            "hourly": { "limit": 5, "spend": 1, "remaining": 4 }, "daily": { "limit": null, "spend": 0 },
            "weekly": { "limit": 70, "spend": 0 }, "monthly": { "limit": 900, "spend": 0 } } });
        for (arguments, hourly, daily, weekly, monthly) in [
            (
                json!({ "budget_limits": { "daily": 20 } }),
                json!(5),
                json!(20),
                json!(70),
                json!(900),
            ),
            (
                json!({ "budget_limits": { "hourly": null, "weekly": 0 } }),
                json!(null),
                json!(null),
                json!(0),
                json!(900),
            ),
            (
                json!({ "budget_limit": 1000 }),
                json!(5),
                json!(null),
                json!(70),
                json!(1000),
            ),
            (
                json!({ "budget_limit": null }),
                json!(5),
                json!(null),
                json!(70),
                json!(null),
            ),
            (
                json!({ "budget_limit": 1, "budget_limits": { "monthly": 2 } }),
                json!(5),
                json!(null),
                json!(70),
                json!(2),
            ),
        ] {
            let (lines, body, result) = sent(&present, arguments.clone()).await;
            assert_eq!(
                lines,
                [
                    format!("GET /workspaces/{WS}/budget"),
                    format!("PATCH /workspaces/{WS}/budget")
                ]
            );
            let limits = json!({ "hourly": hourly, "daily": daily, "weekly": weekly, "monthly": monthly });
            assert_eq!(body, Some(json!({ "budget_limits": limits })), "{arguments}");
            assert_eq!(result, json!({ "budget_limit": 1 }));
        }
    }

    #[tokio::test]
    async fn an_older_platform_takes_a_monthly_limit_and_nothing_is_changed_by_another() {
        let present = json!({ "budget_limit": null, "monthly_spend": 3, "budget_remaining": null });
        for (arguments, limit) in [
            (json!({ "budget_limit": 100 }), json!(100)),
            (json!({ "budget_limit": null }), json!(null)),
            (json!({ "budget_limits": { "monthly": 7 } }), json!(7)),
        ] {
            let (_, body, _) = sent(&present, arguments).await;
            assert_eq!(body, Some(json!({ "budget_limit": limit })));
        }
        let (lines, _, result) = sent(&present, json!({ "budget_limits": { "hourly": 7, "monthly": 8 } })).await;
        assert_eq!(
            (lines.len(), &result["error"]),
            (1, &json!("NOT_SUPPORTED_BY_PLATFORM"))
        );
    }

    #[tokio::test]
    async fn bad_limits_send_nothing() {
        for arguments in [
            json!({}),
            json!({ "budget_limits": {} }),
            json!({ "budget_limit": -1 }),
            json!({ "budget_limits": { "daily": 1.5 } }),
            json!({ "budget_limits": { "yearly": 1 } }),
        ] {
            let mut arguments = arguments;
            arguments["workspace_id"] = json!(WS);
            assert_eq!(
                refused("set_workspace_budget", arguments.clone()).await,
                "INVALID_ARGUMENT",
                "{arguments}"
            );
        }
    }
}
