//! What a new workspace really is: its row, and later its agent.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Made, doubtful};
use crate::mcp::answer::ToolError;
use crate::platform::order::Order;
use crate::platform::order::Verb::Get;
use crate::tools::desk::Errand;

/// How often the row is read until it is given up.
const ATTEMPTS: usize = 3;
/// The pause between two looks at the row.
const PAUSE: Duration = Duration::from_secs(1);
/// The pause between two looks at the status.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// The runtime that the platform gave the workspace.
///
/// # Errors
/// It cannot be read, or is another than asked for. Nothing is deleted here.
pub(super) async fn runtime(errand: &Errand<'_>, made: &Made) -> Result<String, ToolError> {
    let mut read = row(errand, made).await;
    for _ in 1..ATTEMPTS {
        if !read.as_ref().is_err_and(is_passing) {
            break;
        }
        tokio::time::sleep(errand.common().timing.of(PAUSE)).await;
        read = row(errand, made).await;
    }
    let hint = "the workspace exists and may cost money: look at it with get_workspace, then use or delete it";
    let resolved = match read {
        Ok(row) => row["runtime"].as_str().map(str::to_owned).ok_or(None),
        Err(error) => Err(Some(error)),
    };
    let resolved = resolved.map_err(|error| {
        let what = "the workspace was created, and its runtime could not be read back";
        doubtful("PROVISION_UNVERIFIED", what, hint, made).with(
            "read_error",
            error.map_or(json!("the row has no runtime"), |error| error.to_json()),
        )
    })?;
    if made.settled.own_compute || resolved == made.settled.runtime {
        return Ok(resolved);
    }
    Err(mismatch(&resolved, made))
}

fn mismatch(resolved: &str, made: &Made) -> ToolError {
    let wanted = &made.settled.runtime;
    doubtful(
        "RUNTIME_MISMATCH",
        format!("the workspace runs {resolved} instead of {wanted}"),
        "delete it (it was not deleted), and tell whoever runs the platform that the template is missing",
        made,
    )
    .with("resolved_runtime", resolved)
}

async fn row(errand: &Errand<'_>, made: &Made) -> Result<Value, ToolError> {
    let order = Order::open(Get, ["workspaces".into(), (&made.id).into()]);
    errand.send(&order).await.map(|reply| reply.body)
}

/// A new row may be a moment late, and platforms have bad moments.
fn is_passing(error: &ToolError) -> bool {
    match error.fact("status").and_then(Value::as_u64) {
        Some(status) => status == 404 || status == 429 || status >= 500,
        None => error.code() == "PLATFORM_UNREACHABLE",
    }
}

/// Waits until the agent is online. What is then known beyond the row.
///
/// # Errors
/// It failed, took too long, or reports another runtime.
pub(super) async fn online(
    errand: &Errand<'_>,
    made: &Made,
    secs: u16,
    role_applied: bool,
) -> Result<Map<String, Value>, ToolError> {
    let timing = errand.common().timing;
    let (begun, total) = (tokio::time::Instant::now(), timing.of(Duration::from_secs(secs.into())));
    let not_online = |what: String, row: &Value| {
        let hint = "the workspace exists: look at it with get_workspace, later or now, and use or delete it";
        doubtful("NOT_ONLINE", what, hint, made)
            .with("status", row["status"].clone())
            .with("last_sample_error", row["last_sample_error"].clone())
            .with("provisioned", true)
            .with("role_config_applied", role_applied)
    };
    loop {
        // A look that fails is no news; the next one may not.
        let row = row(errand, made).await.unwrap_or_default();
        let status = row["status"].as_str().unwrap_or("unknown");
        match status {
            "online" => {
                let reported = row["agent_card"]["runtime"].as_str();
                if let Some(reported) = reported.filter(|reported| *reported != made.settled.runtime)
                    && !made.settled.own_compute
                {
                    return Err(mismatch(reported, made).with("verification", "agent"));
                }
                let verification = if reported.is_some() { "agent" } else { "row" };
                let seen = [("status", json!("online")), ("verification", json!(verification))];
                return Ok(Map::from_iter(seen.map(|(name, value)| (name.to_owned(), value))));
            }
            "failed" | "removed" => return Err(not_online(format!("the workspace is {status}"), &row)),
            _ => {}
        }
        let passed = begun.elapsed();
        if passed >= total {
            return Err(not_online(
                format!("the workspace is still {status} after {secs} s"),
                &row,
            ));
        }
        let call = errand.call();
        let note = format!("waiting for the workspace to be online; it is {status}");
        call.progress(passed.as_secs_f64(), total.as_secs_f64(), &note).await;
        tokio::select! {
            () = tokio::time::sleep(timing.of(LOOK_EVERY)) => {}
            () = call.ended() => return Err(not_online("the wait was ended".to_owned(), &row)),
        }
    }
}
