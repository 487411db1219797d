//! What a workspace may spend. Nothing is ever spent here.

use serde_json::{Map, Value, json};

use super::agents::known;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::server::Level;

const KIND: &str = "budget";
const PERIODS: [&str; 4] = ["hourly", "daily", "weekly", "monthly"];

/// The limits and what is left of them.
pub(crate) fn show(call: &Call) -> Outcome {
    known(call, &call.id, "workspace not found")?;
    let limits = call
        .site
        .store
        .resource(KIND, "", &call.id)?
        .unwrap_or_else(|| json!({}));
    let monthly = limits["monthly"].clone();
    let mut told = json!({ "budget_limit": monthly, "monthly_spend": 0, "budget_remaining": monthly });
    if call.site.level == Level::C {
        told["periods"] = PERIODS
            .iter()
            .map(|period| {
                let limit = &limits[*period];
                (
                    (*period).to_owned(),
                    json!({ "limit": limit, "spend": 0, "remaining": limit }),
                )
            })
            .collect::<Map<_, _>>()
            .into();
    }
    Ok(Answer::ok(&told))
}

/// Replaces the limits as a whole. Before level C there is one, for a month.
pub(crate) fn set(call: &Call) -> Outcome {
    known(call, &call.id, "workspace not found")?;
    let sent: Map<String, Value> = call.json("invalid request body")?;
    let by_period = sent.get("budget_limits").filter(|_| call.site.level == Level::C);
    let limits = match (by_period, sent.get("budget_limit")) {
        (Some(Value::Object(limits)), _) => limits.clone(),
        (Some(_), _) => return Err(Answer::error(400, "budget_limits must be an object of period→int|null")),
        (None, Some(monthly)) => Map::from_iter([("monthly".to_owned(), monthly.clone())]),
        (None, None) => return Err(Answer::error(400, "budget_limit field is required")),
    };
    for (period, limit) in &limits {
        if !PERIODS.contains(&period.as_str()) {
            return Err(Answer::error(400, &format!("unknown budget period: {period}")));
        }
        if !limit.is_null() && limit.as_u64().is_none() {
            return Err(Answer::error(
                400,
                &format!("budget limit for {period} must be >= 0 (USD cents)"),
            ));
        }
    }
    call.site
        .store
        .put_resource(KIND, "", &call.id, &Value::Object(limits))?;
    show(call)
}
