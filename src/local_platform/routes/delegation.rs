//! Delegations: accepted at once, carried out in the background, told by events and rows.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::a2a;
use crate::local_platform::call::{Answer, Call, Outcome, Payload, uuid};
use crate::local_platform::recording::{self, Announce};
use crate::local_platform::server::Level;
use crate::local_platform::site::Site;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::delegations::{REQUEST, RESULT, preview};

/// The pause before the one retry of a target that was away.
const RETRY_AFTER: Duration = Duration::from_secs(8);

#[derive(Deserialize)]
struct Delegate {
    target_id: String,
    task: String,
    idempotency_key: Option<String>,
}

/// Accepts a task. Whether the target exists and may be reached is found out later.
pub(crate) fn delegate(call: &Call) -> Outcome {
    let sent: Delegate = call.json("invalid delegation request")?;
    if sent.target_id.is_empty() || sent.task.is_empty() {
        return Err(Answer::error(400, "invalid delegation request"));
    }
    let target = uuid(&sent.target_id).ok_or_else(|| Answer::error(400, "target_id must be a valid UUID"))?;
    if target == call.id {
        return Err(self_delegation(call.site.level));
    }
    let key = sent.idempotency_key.filter(|key| !key.is_empty());
    let one_at_a_time = call.site.delegating.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(key) = &key
        && let Some(known) = call.site.store.delegation_by_key(&call.id, key)?
    {
        if known.status != "failed" {
            return Ok(Answer::ok(
                &json!({ "delegation_id": known.delegation_id, "status": known.status,
                "target_id": known.target_id, "idempotent_hit": true }),
            ));
        }
        call.site.store.free_key(&call.id, key)?;
    }
    let id = Uuid::new_v4().to_string();
    let row = NewActivity {
        activity_type: "delegation".to_owned(),
        workspace_id: call.id.clone(),
        source_id: Some(call.id.clone()),
        target_id: Some(target.clone()),
        method: Some(REQUEST.to_owned()),
        summary: Some(format!("Delegating to {target}")),
        request_body: Some(json!({ "task": sent.task, "delegation_id": id })),
        status: Some("pending".to_owned()),
        delegation_id: Some(id.clone()),
        idempotency_key: key,
        ..NewActivity::default()
    };
    let tracked = recording::row(&call.site, row, Announce::No).is_some();
    drop(one_at_a_time);
    let told = json!({ "delegation_id": id, "target_id": target, "task_preview": preview(&sent.task) });
    call.site.hub.send(&call.id, "DELEGATION_SENT", told);
    call.site.spawn(carry_out(
        call.site.clone(),
        call.id.clone(),
        target.clone(),
        id.clone(),
        sent.task,
    ));
    let mut answer = json!({ "delegation_id": id, "status": "delegated", "target_id": target });
    if !tracked {
        answer["warning"] = json!("delegation dispatched but status tracking unavailable");
    }
    Ok(Answer::json(202, &answer))
}

/// The sender's delegations.
pub(crate) fn list(call: &Call) -> Outcome {
    let mut rows = json!(call.site.store.delegations(&call.id)?);
    if call.site.level == Level::C {
        for row in rows.as_array_mut().into_iter().flatten() {
            row["direction"] = json!("sent");
        }
    }
    Ok(Answer::ok(&rows))
}

#[derive(Deserialize)]
struct Record {
    target_id: String,
    task: String,
    delegation_id: String,
}

/// A workspace writes down what its agent delegated by itself.
pub(crate) fn record(call: &Call) -> Outcome {
    let sent: Record = call.json("invalid request body")?;
    if [&sent.target_id, &sent.task, &sent.delegation_id]
        .iter()
        .any(|text| text.is_empty())
    {
        return Err(Answer::error(400, "invalid request body"));
    }
    let target = uuid(&sent.target_id).ok_or_else(|| Answer::error(400, "target_id must be a valid UUID"))?;
    let row = NewActivity {
        activity_type: "delegation".to_owned(),
        workspace_id: call.id.clone(),
        source_id: Some(call.id.clone()),
        target_id: Some(target.clone()),
        method: Some(REQUEST.to_owned()),
        summary: Some(sent.task.clone()),
        request_body: Some(json!({ "task": sent.task, "delegation_id": sent.delegation_id })),
        response_body: Some(json!({ "delegation_id": sent.delegation_id })),
        status: Some("dispatched".to_owned()),
        delegation_id: Some(sent.delegation_id.clone()),
        ..NewActivity::default()
    };
    recording::row(&call.site, row, Announce::No);
    let told = json!({ "delegation_id": sent.delegation_id, "target_id": target, "task_preview": preview(&sent.task) });
    call.site.hub.send(&call.id, "DELEGATION_SENT", told);
    Ok(Answer::json(
        202,
        &json!({ "delegation_id": sent.delegation_id, "status": "recorded" }),
    ))
}

#[derive(Deserialize)]
struct Update {
    status: String,
    error: Option<String>,
    response_preview: Option<String>,
}

/// A workspace reports the end of a delegation in its own log. The target calling this tells the sender nothing.
pub(crate) fn update(call: &Call) -> Outcome {
    let sent: Update = call.json("invalid request body")?;
    match sent.status.as_str() {
        "completed" => {
            complete(
                &call.site,
                &call.id,
                &call.second,
                None,
                &sent.response_preview.unwrap_or_default(),
            );
        }
        "failed" => {
            let error = sent.error.unwrap_or_default();
            call.site
                .store
                .move_delegation(&call.id, &call.second, "failed", Some(&error))?;
            let told = json!({ "delegation_id": call.second, "error": error });
            call.site.hub.send(&call.id, "DELEGATION_FAILED", told);
        }
        _ => return Err(Answer::error(400, "status must be 'completed' or 'failed'")),
    }
    Ok(Answer::ok(
        &json!({ "status": sent.status, "delegation_id": call.second }),
    ))
}

async fn carry_out(site: Arc<Site>, sender: String, target: String, id: String, task: String) {
    step(&site, &sender, &target, &id, "dispatched");
    let tag = if site.level == Level::C { "kind" } else { "type" };
    let envelope = json!({
        "jsonrpc": "2.0", "id": Uuid::new_v4().to_string(), "method": "message/send",
        "params": { "message": { "role": "user", "messageId": id, "metadata": { "delegation_id": id },
            "parts": [{ tag: "text", "text": task }] } },
    });
    let mut answer = try_once(&site, &sender, &target, envelope.clone()).await;
    if answer.status == 502 || (answer.status == 503 && answer.value()["restarting"] == true) {
        tokio::time::sleep(site.pace(RETRY_AFTER)).await;
        answer = try_once(&site, &sender, &target, envelope).await;
    }
    let body = answer.value();
    match answer.status {
        202 => step(&site, &sender, &target, &id, "queued"),
        200..300 => {
            let Payload::Json(bytes) = &answer.payload else { return };
            complete(&site, &sender, &id, Some(&target), &text_of(bytes));
        }
        status => {
            let error = body["error"]
                .as_str()
                .map_or_else(|| format!("status {status}"), str::to_owned);
            fail(&site, &sender, &target, &id, &error);
        }
    }
}

async fn try_once(site: &Arc<Site>, sender: &str, target: &str, envelope: Value) -> Answer {
    if let Err(refusal) = a2a::check_reach(site, Some(sender), target) {
        return refusal;
    }
    a2a::deliver(site, Some(sender), target, envelope)
        .await
        .unwrap_or_else(|refusal| refusal)
}

fn step(site: &Site, sender: &str, target: &str, id: &str, status: &str) {
    note(site.store.move_delegation(sender, id, status, None));
    let told = json!({ "delegation_id": id, "target_id": target, "status": status });
    site.hub.send(sender, "DELEGATION_STATUS", told);
}

/// Ends a delegation well: the request row moves, a result row with the whole text is written, the stream is told.
pub(crate) fn complete(site: &Site, sender: &str, id: &str, target: Option<&str>, text: &str) {
    note(site.store.move_delegation(sender, id, "completed", None));
    let row = NewActivity {
        summary: Some(format!("Delegation completed ({})", preview(text))),
        response_body: Some(json!({ "text": text, "delegation_id": id })),
        status: Some("completed".to_owned()),
        delegation_id: Some(id.to_owned()),
        ..result_row(sender, target)
    };
    recording::row(site, row, Announce::No);
    let target = target
        .map(str::to_owned)
        .or_else(|| note(site.store.delegation_target(sender, id)).flatten());
    let told = json!({ "delegation_id": id, "target_id": target, "response_preview": preview(text) });
    site.hub.send(sender, "DELEGATION_COMPLETE", told);
}

fn fail(site: &Site, sender: &str, target: &str, id: &str, error: &str) {
    note(site.store.move_delegation(sender, id, "failed", Some(error)));
    let row = NewActivity {
        summary: Some("Delegation failed".to_owned()),
        status: Some("failed".to_owned()),
        error_detail: Some(error.to_owned()),
        // Only level C names the delegation on a failure.
        delegation_id: (site.level == Level::C).then(|| id.to_owned()),
        ..result_row(sender, Some(target))
    };
    recording::row(site, row, Announce::No);
    site.hub.send(
        sender,
        "DELEGATION_FAILED",
        json!({ "delegation_id": id, "target_id": target, "error": error }),
    );
}

fn result_row(sender: &str, target: Option<&str>) -> NewActivity {
    NewActivity {
        activity_type: "delegation".to_owned(),
        workspace_id: sender.to_owned(),
        source_id: Some(sender.to_owned()),
        target_id: target.map(str::to_owned),
        method: Some(RESULT.to_owned()),
        ..NewActivity::default()
    }
}

/// The text of an agent's answer; without text parts the answer itself, which for a poll target is the queued
/// envelope.
pub(crate) fn text_of(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let result = &answer["result"];
    let places = [
        &result["parts"],
        &result["message"]["parts"],
        &result["artifacts"][0]["parts"],
    ];
    let text: String = places
        .iter()
        .find_map(|parts| parts.as_array())
        .into_iter()
        .flatten()
        .filter_map(|part| part["text"].as_str())
        .collect();
    if text.is_empty() {
        String::from_utf8_lossy(body).into_owned()
    } else {
        text
    }
}

fn self_delegation(level: Level) -> Answer {
    let error = "self-delegation not permitted";
    if level < Level::C {
        return Answer::error(400, error);
    }
    Answer::json(
        400,
        &json!({ "error": error, "reason": "target_id is the sender", "hint": "name another workspace" }),
    )
}

fn note<T>(outcome: rusqlite::Result<T>) -> Option<T> {
    outcome
        .inspect_err(|error| tracing::error!(%error, "the embedded platform could not track a delegation"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_answer_is_its_parts_or_the_answer_itself() {
        for (body, text) in [
            (
                r#"{"result":{"parts":[{"kind":"text","text":"a"},{"type":"text","text":"b"}]}}"#,
                "ab",
            ),
            (r#"{"result":{"artifacts":[{"parts":[{"text":"c"}]}]}}"#, "c"),
            (
                r#"{"delivery_mode":"poll","status":"queued"}"#,
                r#"{"delivery_mode":"poll","status":"queued"}"#,
            ),
            ("not json", "not json"),
        ] {
            assert_eq!(text_of(body.as_bytes()), text);
        }
    }
}
