//! Activity rows as the page lists them: who told whom what, in which state, with a limited part of the text.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Result;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::local_platform::call::{Answer, Outcome};
use crate::local_platform::routes::delegation::text_of;
use crate::local_platform::site::Site;
use crate::local_platform::store::activity::look::{Course, Seen, View};
use crate::local_platform::store::delegations::{REQUEST, RESULT};

/// How much of a text a list shows; the row itself has all of it.
const SHOWN_BYTES: usize = 8 * 1024;

/// The rows of a view.
pub(super) fn list(site: &Site, view: &View) -> Outcome {
    let seen = site.store.look(view)?;
    let rows = seen.iter().map(|seen| listed(site, seen)).collect::<Result<Vec<_>>>()?;
    Ok(Answer::ok(&json!({ "rows": rows })))
}

/// One row with everything that is kept of it.
pub(super) fn whole(site: &Site, seq: &str) -> Outcome {
    let seen = seq
        .parse()
        .ok()
        .map(|seq| site.store.look_at(seq))
        .transpose()?
        .flatten();
    let seen = seen.ok_or_else(|| Answer::error(404, "row not found"))?;
    let mut row = listed(site, &seen)?;
    row["text"] = json!(text(&seen).0);
    if let Some(reply) = reply(&seen) {
        row["reply"] = json!(reply);
    }
    row["envelope"] = serde_json::to_value(&seen.row).unwrap_or_default();
    Ok(Answer::ok(&row))
}

/// These rows, and the delegations whose state they change, oldest first.
pub(super) fn changed(site: &Site, seqs: HashSet<i64>) -> Result<Vec<Value>> {
    let mut all: BTreeSet<i64> = seqs.iter().copied().collect();
    for seen in seqs.into_iter().filter_map(|seq| site.store.look_at(seq).transpose()) {
        let seen = seen?;
        let answered = metadata(&body(seen.row.request_body.as_deref()), "delegation_id");
        for id in [seen.delegation_id, seen.message_id, answered].into_iter().flatten() {
            all.extend(site.store.delegation_row(&id)?);
        }
    }
    let rows = all.into_iter().filter_map(|seq| site.store.look_at(seq).transpose());
    rows.map(|seen| listed(site, &seen?)).collect()
}

fn listed(site: &Site, seen: &Seen) -> Result<Value> {
    let row = &seen.row;
    let request = body(row.request_body.as_deref());
    let (text, files) = text(seen);
    let size = |body: &Option<Box<RawValue>>| body.as_deref().map_or(0, |body| body.get().len());
    let mut listed = json!({
        "seq": row.seq, "id": row.id, "workspace_id": row.workspace_id, "type": row.activity_type,
        "source_id": row.source_id, "target_id": row.target_id, "method": row.method, "summary": cut(row.summary.as_deref().unwrap_or_default()),
        "status": row.status, "error": row.error_detail.as_deref().map(cut), "created_at": row.created_at,
        "duration_ms": row.duration_ms, "bytes": size(&row.request_body) + size(&row.response_body),
        "text": cut(&text), "text_bytes": text.len(), "files": files,
        "message_id": seen.message_id, "delegation_id": seen.delegation_id.clone().or_else(|| metadata(&request, "delegation_id")),
        "fetched_at": seen.fetched_at.map(|at| at / 1000),
    });
    if let Some(reply) = reply(seen) {
        listed["reply"] = json!(cut(&reply));
        listed["reply_bytes"] = json!(reply.len());
    }
    if row.method.as_deref() == Some(RESULT) && only_waits(&text) {
        listed["state"] = json!("queued");
    }
    if row.method.as_deref() == Some(REQUEST)
        && let (Some(target), Some(id)) = (&row.target_id, &seen.delegation_id)
    {
        let course = site.store.course(&row.workspace_id, target, id)?;
        listed["state"] = json!(state(&row.status, &course));
        listed["answer"] = json!(course.answer);
    }
    Ok(listed)
}

/// How far a delegation has come. A polled target's record says `completed` as soon as the task waits for it.
fn state<'a>(recorded: &'a str, course: &Course) -> &'a str {
    let waits = course.result.as_deref().is_some_and(only_waits);
    match recorded {
        "completed" if course.answer.is_some() || !waits => "completed",
        "completed" | "queued" | "dispatched" if course.fetched_at.is_some() => "fetched",
        "completed" => "queued",
        other => other,
    }
}

/// Whether a result says no more than that the task waits for a polled target.
fn only_waits(result: &str) -> bool {
    let result: Value = serde_json::from_str(result).unwrap_or_default();
    result["status"] == "queued" && result["delivery_mode"] == "poll"
}

/// The words of a row, and the files that go with them.
fn text(seen: &Seen) -> (String, Value) {
    let row = &seen.row;
    let (request, response) = (body(row.request_body.as_deref()), body(row.response_body.as_deref()));
    let own = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match row.method.as_deref() {
        Some("notify") => (own(&response["result"]), files(&response["parts"])),
        Some("chat_upload_receive") => (String::new(), json!([request])),
        Some(RESULT) => (own(&response["text"]), json!([])),
        Some(REQUEST) => (own(&request["task"]), json!([])),
        _ => {
            let parts = &request["params"]["message"]["parts"];
            let texts: Vec<&str> = parts
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|part| part["text"].as_str())
                .collect();
            (texts.join("\n"), files(parts))
        }
    }
}

fn files(parts: &Value) -> Value {
    let parts = parts.as_array().into_iter().flatten();
    parts
        .filter(|part| part["file"].is_object())
        .map(|part| part["file"].clone())
        .collect()
}

/// What a pushed workspace answered a message at once.
fn reply(seen: &Seen) -> Option<String> {
    let is_message = seen.row.activity_type == "a2a_receive" && seen.row.method.as_deref() != Some("notify");
    let answer = seen.row.response_body.as_deref().filter(|_| is_message)?;
    Some(text_of(answer.get().as_bytes()))
}

fn metadata(request: &Value, key: &str) -> Option<String> {
    request["params"]["message"]["metadata"][key]
        .as_str()
        .map(str::to_owned)
}

fn body(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// The beginning of a text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(SHOWN_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delegation_to_a_polled_target_is_complete_when_it_answers() {
        let queued = Some(r#"{"status":"queued","delivery_mode":"poll","method":"message/send"}"#.to_owned());
        let course = |fetched_at, answer| Course {
            fetched_at,
            result: queued.clone(),
            answer,
        };
        for (recorded, course, expected) in [
            ("pending", Course::default(), "pending"),
            ("dispatched", Course::default(), "dispatched"),
            ("queued", Course::default(), "queued"),
            ("completed", course(None, None), "queued"),
            ("completed", course(Some(1), None), "fetched"),
            ("completed", course(Some(1), Some(1)), "completed"),
            (
                "completed",
                Course {
                    result: Some("done".to_owned()),
                    ..Course::default()
                },
                "completed",
            ),
            ("failed", course(Some(1), None), "failed"),
        ] {
            assert_eq!(state(recorded, &course), expected, "{recorded} {course:?}");
        }
    }

    #[test]
    fn what_is_cut_ends_between_letters() {
        let text = "é".repeat(SHOWN_BYTES);
        assert_eq!(cut(&text).len(), SHOWN_BYTES);
        assert_eq!(cut(&text[..5 * 2]), &text[..10]);
        assert_eq!(cut(&format!("a{text}")).len(), SHOWN_BYTES - 1);
    }
}
