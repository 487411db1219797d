//! The test-facing routes; [`crate::local_platform`] describes them from outside.

use std::sync::PoisonError;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::table;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::faults::Fault;
use crate::local_platform::recording::{self, Announce, Late};
use crate::local_platform::site::Testing;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::workspaces::Workspace;

const COLUMNS: [&str; 15] = [
    "id",
    "activity_type",
    "source_id",
    "target_id",
    "method",
    "summary",
    "request_body",
    "response_body",
    "tool_trace",
    "duration_ms",
    "status",
    "error_detail",
    "created_at",
    "announce",
    "visible_after_ms",
];

pub(crate) fn add_fault(call: &Call) -> Outcome {
    let rule: Fault = decoded(call)?;
    let (number, rules) = testing(call)?.faults.add(rule);
    Ok(Answer::ok(&json!({ "number": number, "rules": rules })))
}

pub(crate) fn list_faults(call: &Call) -> Outcome {
    let routes = table::names(call.site.level);
    Ok(Answer::ok(
        &json!({ "rules": testing(call)?.faults.list(), "routes": routes }),
    ))
}

pub(crate) fn remove_fault(call: &Call) -> Outcome {
    let number = call.second.parse().ok();
    if number.is_some_and(|number| testing(call).is_ok_and(|testing| testing.faults.remove(number))) {
        Ok(Answer::ok(&json!({ "rules": testing(call)?.faults.list().len() })))
    } else {
        Err(Answer::error(404, "no such rule"))
    }
}

pub(crate) fn clear_faults(call: &Call) -> Outcome {
    let testing = testing(call)?;
    testing.faults.clear();
    *testing.late.lock().unwrap_or_else(PoisonError::into_inner) = None;
    Ok(Answer::ok(&json!({ "rules": 0 })))
}

pub(crate) fn insert_rows(call: &Call) -> Outcome {
    let rows = match decoded(call)? {
        Value::Array(rows) => rows,
        row => vec![row],
    };
    let mut ids = Vec::with_capacity(rows.len());
    for row in &rows {
        let new = verbatim(&call.id, row)?;
        ids.push(new.id.clone());
        let announce = if row["announce"] == false {
            Announce::No
        } else {
            Announce::Yes
        };
        match row["visible_after_ms"].as_u64() {
            Some(delay) => recording::later(&call.site, new, announce, Duration::from_millis(delay)),
            None => drop(recording::row(&call.site, new, announce)),
        }
    }
    Ok(Answer::ok(&json!({ "ids": ids })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LateMode {
    max_ms: u64,
    #[serde(default)]
    seed: u64,
}

pub(crate) fn set_late(call: &Call) -> Outcome {
    let mode: LateMode = decoded(call)?;
    let late = (mode.max_ms > 0).then(|| Late::new(Duration::from_millis(mode.max_ms), mode.seed));
    *testing(call)?.late.lock().unwrap_or_else(PoisonError::into_inner) = late;
    Ok(Answer::ok(&json!({ "max_ms": mode.max_ms, "seed": mode.seed })))
}

pub(crate) fn set_limits(call: &Call) -> Outcome {
    let sent: Value = decoded(call)?;
    let limit = sent["rate_limit"].as_u64().and_then(|limit| u32::try_from(limit).ok());
    let limit = limit.ok_or_else(|| Answer::error(400, "rate_limit must be a count of requests per 60 s"))?;
    call.site.limiter.set(limit);
    Ok(Answer::ok(&json!({ "rate_limit": limit })))
}

/// As a platform that runs agents resumes a workspace that it does not run.
pub(crate) fn fail_to_set_up(call: &Call) -> Outcome {
    let failed = |workspace: &mut Workspace| "failed".clone_into(&mut workspace.status);
    let changed = call.site.store.change_workspace(&call.id, failed)?;
    changed.ok_or_else(|| Answer::error(404, "workspace not found"))?;
    let told = json!({ "workspace_id": call.id });
    call.site.record(&call.id, "WORKSPACE_PROVISIONING", &told);
    call.site.record(&call.id, "WORKSPACE_PROVISION_FAILED", &told);
    Ok(Answer::ok(&json!({ "status": "failed" })))
}

pub(crate) fn log(call: &Call) -> Outcome {
    let after = call.query("after").and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Answer::ok(&testing(call)?.log.after(after)))
}

pub(crate) fn workspaces(call: &Call) -> Outcome {
    let now = clock::now();
    let all = call.site.store.workspaces()?;
    let rows: Vec<Value> = all
        .iter()
        .map(|one| {
            json!({
                "id": one.id, "name": one.name, "status": one.status, "delivery_mode": one.delivery_mode,
                "parent_id": one.parent_id, "active_tasks": one.active_tasks, "current_task": one.current_task,
                "agent_card": one.agent_card, "acked_seq": one.acked_seq,
                "last_beat_ms_ago": one.last_beat.map(|beat| (now - beat) / 1000),
            })
        })
        .collect();
    Ok(Answer::ok(&rows))
}

/// A row exactly as given; what is absent gets the default of an ordinary message.
fn verbatim(workspace: &str, row: &Value) -> Result<NewActivity, Answer> {
    let known = row
        .as_object()
        .is_some_and(|row| row.keys().all(|key| COLUMNS.contains(&key.as_str())));
    if !known {
        return Err(Answer::error(
            400,
            &format!("a row is an object of: {}", COLUMNS.join(", ")),
        ));
    }
    let text = |key: &str, default: Option<&str>| match row.get(key) {
        None => default.map(str::to_owned),
        Some(given) => given.as_str().map(str::to_owned),
    };
    let body = |key: &str| row.get(key).filter(|body| !body.is_null()).cloned();
    let created_at = match row.get("created_at").and_then(Value::as_str) {
        Some(at) => Some(clock::parse(at).ok_or_else(|| Answer::error(400, "created_at must be RFC 3339"))?),
        None => Some(clock::now()),
    };
    Ok(NewActivity {
        id: Some(text("id", None).unwrap_or_else(|| Uuid::new_v4().to_string())),
        workspace_id: workspace.to_owned(),
        activity_type: text("activity_type", Some("a2a_receive")).unwrap_or_default(),
        source_id: text("source_id", None),
        target_id: text("target_id", Some(workspace)),
        method: text("method", Some("message/send")),
        summary: text("summary", None),
        request_body: body("request_body"),
        response_body: body("response_body"),
        tool_trace: body("tool_trace"),
        duration_ms: row["duration_ms"].as_i64(),
        status: text("status", Some("ok")),
        error_detail: text("error_detail", None),
        created_at,
        ..NewActivity::default()
    })
}

fn decoded<T: serde::de::DeserializeOwned>(call: &Call) -> Result<T, Answer> {
    // Not the lenient decoding of the platform's own routes: a mistyped rule must not pass for no rule.
    serde_json::from_slice(&call.body).map_err(|error| Answer::error(400, &error.to_string()))
}

fn testing(call: &Call) -> Result<&Testing, Answer> {
    call.site.testing.as_ref().ok_or_else(Answer::no_route)
}
