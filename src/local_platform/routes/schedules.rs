//! Schedules: kept, and handed out when asked to run. Nothing here runs one when its time has come. Level C has them in the
//! workspace's own runtime, which it reaches by a url only.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::agents::known;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::server::Level;

mod cron;

const KIND: &str = "schedule";
const TEXTS: [&str; 4] = ["name", "cron_expr", "timezone", "prompt"];

/// All, in the order they were made.
pub(crate) fn list(call: &Call) -> Outcome {
    kept_here(call)?;
    Ok(Answer::ok(&call.site.store.resources(KIND, &call.id)?))
}

/// Makes one.
pub(crate) fn create(call: &Call) -> Outcome {
    kept_here(call)?;
    let sent: Map<String, Value> = call.json("cron_expr and prompt are required")?;
    let text = |name: &str| sent.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(cron), Some(prompt)) = (text("cron_expr"), text("prompt")) else {
        return Err(Answer::error(400, "cron_expr and prompt are required"));
    };
    known(call, &call.id, "failed to create schedule").map_err(|refusal| Answer { status: 500, ..refusal })?;
    let zone = text("timezone").unwrap_or("UTC");
    let (id, now) = (Uuid::new_v4().to_string(), clock::now());
    let next = next_run(cron, zone, now)?;
    let schedule = json!({ "id": id, "workspace_id": call.id, "name": text("name").unwrap_or_default(),
        "cron_expr": cron, "timezone": zone, "prompt": prompt.replace('\r', ""),
        "enabled": sent.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        "last_run_at": null, "next_run_at": next, "run_count": 0, "last_status": "", "last_error": "",
        "source": "runtime", "created_at": clock::text(now), "updated_at": clock::text(now) });
    call.site.store.put_resource(KIND, &call.id, &id, &schedule)?;
    Ok(Answer::json(
        201,
        &json!({ "id": id, "status": "created", "next_run_at": next }),
    ))
}

/// Changes what was sent of one.
pub(crate) fn update(call: &Call) -> Outcome {
    kept_here(call)?;
    let sent: Map<String, Value> = call.json("invalid JSON")?;
    let mut schedule = found(call)?;
    for name in TEXTS {
        if let Some(text) = sent.get(name).and_then(Value::as_str) {
            schedule[name] = json!(text);
        }
    }
    if let Some(enabled) = sent.get("enabled").and_then(Value::as_bool) {
        schedule["enabled"] = json!(enabled);
    }
    let now = clock::now();
    let text = |name: &str| schedule[name].as_str().unwrap_or_default();
    let next = next_run(text("cron_expr"), text("timezone"), now)?;
    schedule["next_run_at"] = json!(next);
    schedule["updated_at"] = json!(clock::text(now));
    call.site.store.put_resource(KIND, &call.id, &call.second, &schedule)?;
    Ok(Answer::ok(&json!({ "status": "updated" })))
}

/// Removes one.
pub(crate) fn delete(call: &Call) -> Outcome {
    kept_here(call)?;
    match call.site.store.delete_resource(KIND, &call.id, &call.second)? {
        true => Ok(Answer::ok(&json!({ "status": "deleted" }))),
        false => Err(not_found()),
    }
}

/// Runs nothing, here as there: who asks is given the prompt, to send it.
pub(crate) fn run(call: &Call) -> Outcome {
    kept_here(call)?;
    let schedule = found(call)?;
    Ok(Answer::ok(
        &json!({ "status": "fired", "workspace_id": call.id, "prompt": schedule["prompt"] }),
    ))
}

/// Nothing has run.
pub(crate) fn history(call: &Call) -> Outcome {
    kept_here(call)?;
    Ok(Answer::ok(&json!([])))
}

fn found(call: &Call) -> Result<Value, Answer> {
    let held = call.site.store.resource(KIND, &call.id, &call.second)?;
    held.ok_or_else(not_found)
}

fn not_found() -> Answer {
    Answer::error(404, "schedule not found")
}

/// Level C asks the workspace's runtime. One that polls has no url; at a url here an agent answers, and no runtime.
fn kept_here(call: &Call) -> Result<(), Answer> {
    if call.site.level < Level::C {
        return Ok(());
    }
    let workspace = known(call, &call.id, "workspace not found")?;
    if workspace.url.is_some() {
        return Err(Answer::error(502, "schedule backend unreachable"));
    }
    Err(Answer::json(
        422,
        &json!({ "error": "workspace has no callback URL — schedules requires push-mode + a public URL",
            "detail": "This workspace registered without a publicly-reachable URL (delivery_mode is not 'push')." }),
    ))
}

/// The next time, counted in UTC whatever the zone: nobody waits for it here.
fn next_run(cron: &str, zone: &str, now: clock::Micros) -> Result<String, Answer> {
    const AREAS: [&str; 11] = [
        "Africa",
        "America",
        "Antarctica",
        "Arctic",
        "Asia",
        "Atlantic",
        "Australia",
        "Etc",
        "Europe",
        "Indian",
        "Pacific",
    ];
    let area = zone.split_once('/').map_or(zone, |(area, _)| area);
    if zone != "UTC" && !(zone.contains('/') && AREAS.contains(&area)) {
        return Err(Answer::error(400, &format!("invalid timezone: {zone}")));
    }
    let times = cron::Times::parse(cron).ok_or_else(|| Answer::error(400, "invalid request body"))?;
    let next = times
        .after(now)
        .ok_or_else(|| Answer::error(400, "invalid request body"))?;
    // Whole seconds are printed without a fraction.
    Ok(clock::text(next).replace(".000Z", "Z"))
}
