//! The activity log: reading it by page, writing to the own one, and acknowledging (level C).

use serde::Deserialize;
use serde_json::{Value, json};

use super::peer_info;
use crate::local_platform::auth;
use crate::local_platform::call::{Answer, Call, Outcome, uuid};
use crate::local_platform::clock;
use crate::local_platform::recording::{self, Announce};
use crate::local_platform::server::Level;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::activity::read::{Page, Place};

const DEFAULT_LIMIT: u32 = 100;
const LARGEST_LIMIT: u32 = 500;
const LONGEST_WINDOW_SECS: i64 = 2_592_000;
const REPORTED: [&str; 7] = [
    "a2a_send",
    "a2a_receive",
    "task_update",
    "agent_log",
    "skill_promotion",
    "memory_write",
    "error",
];

/// One page. Newest first without a cursor, oldest first after one.
pub(crate) fn read(call: &Call) -> Outcome {
    let level = call.site.level;
    let page = page(call)?;
    let mut rows = call.site.store.read_activity(&call.id, &page)?;
    if !rows.is_empty() && auth::is_own(call)? {
        call.site.store.note_fetched(&rows)?;
    }
    if level < Level::C {
        rows.iter_mut().for_each(|row| row.seq = None);
    } else if call
        .query("include")
        .is_some_and(|parts| parts.split(',').any(|part| part.trim() == "peer_info"))
    {
        peer_info::add(call, &mut rows)?;
    }
    Ok(Answer::ok(&rows))
}

fn page(call: &Call) -> Result<Page, Answer> {
    let limit = call
        .query("limit")
        .and_then(|text| text.parse().ok())
        .filter(|limit| *limit > 0);
    let mut page = Page {
        activity_type: call.query("type").map(str::to_owned),
        limit: limit.unwrap_or(DEFAULT_LIMIT).min(LARGEST_LIMIT),
        ..Page::default()
    };
    page.without_source = match call.query("source") {
        None => None,
        Some("canvas") => Some(true),
        Some("agent") => Some(false),
        Some(_) => return Err(Answer::error(400, "source must be 'canvas' or 'agent'")),
    };
    // Level A knows none of the parameters below and ignores them.
    if call.site.level == Level::A {
        return Ok(page);
    }
    if let Some(seconds) = call.query("since_secs") {
        let seconds = seconds.parse::<i64>().ok().filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or_else(|| Answer::error(400, "since_secs must be a positive integer"))?;
        page.not_before = Some(clock::now() - seconds.min(LONGEST_WINDOW_SECS) * clock::SECOND);
    }
    if let Some(peer) = call.query("peer_id") {
        page.peer = Some(uuid(peer).ok_or_else(|| Answer::error(400, "peer_id must be a UUID"))?);
    }
    if let Some(before) = call.query("before_ts") {
        let refusal = "before_ts must be an RFC3339 timestamp (e.g. 2026-05-01T00:00:00Z)";
        page.before = Some(clock::parse(before).ok_or_else(|| Answer::error(400, refusal))?);
    }
    if let Some(cursor) = call.query("since_id") {
        page.after = Some(place(call, cursor)?);
    }
    Ok(page)
}

fn place(call: &Call, cursor: &str) -> Result<Place, Answer> {
    let id = uuid(cursor).ok_or_else(|| Answer::error(500, "cursor lookup failed"))?;
    let place = call.site.store.place_of(&call.id, &id)?.ok_or_else(|| {
        Answer::error(
            410,
            "since_id cursor not found (row may have been pruned or belongs to a different workspace); omit since_id to reset",
        )
    })?;
    // Level B compares the time alone, so rows of the cursor's own instant are skipped.
    Ok(if call.site.level < Level::C {
        Place { seq: None, ..place }
    } else {
        place
    })
}

#[derive(Deserialize)]
struct Report {
    activity_type: String,
    method: Option<String>,
    summary: Option<String>,
    target_id: Option<String>,
    source_id: Option<String>,
    status: Option<String>,
    error_detail: Option<String>,
    duration_ms: Option<i64>,
    request_body: Option<Value>,
    response_body: Option<Value>,
    metadata: Option<Value>,
}

/// A workspace writes to its own log. 200 even when the row could not be stored.
pub(crate) fn report(call: &Call) -> Outcome {
    let sent: Report = call.json("invalid request body")?;
    if !REPORTED.contains(&sent.activity_type.as_str()) {
        let refusal = format!("invalid activity_type, must be one of: {}", REPORTED.join(", "));
        return Err(Answer::error(400, &refusal));
    }
    if sent
        .source_id
        .as_deref()
        .is_some_and(|source| !source.is_empty() && source.to_lowercase() != call.id)
    {
        return Err(Answer::error(403, "source_id must match authenticated workspace"));
    }
    let target = sent.target_id.filter(|target| !target.is_empty());
    let target_is_storable = target.as_deref().is_none_or(|target| uuid(target).is_some());
    let known = call.site.store.workspace(&call.id)?.is_some();
    if target_is_storable && known {
        let row = NewActivity {
            workspace_id: call.id.clone(),
            activity_type: sent.activity_type,
            source_id: Some(call.id.clone()),
            target_id: target.as_deref().and_then(uuid),
            method: sent.method,
            summary: sent.summary,
            request_body: sent.request_body.or(sent.metadata),
            response_body: sent.response_body,
            duration_ms: sent.duration_ms,
            status: Some(
                sent.status
                    .filter(|status| !status.is_empty())
                    .unwrap_or_else(|| "ok".to_owned()),
            ),
            error_detail: sent.error_detail,
            ..NewActivity::default()
        };
        recording::row(&call.site, row, Announce::Yes);
    }
    Ok(Answer::ok(&json!({ "status": "logged" })))
}

/// Level C: everything up to a sequence number was received. The answer is the greatest number so far.
pub(crate) fn acknowledge(call: &Call) -> Outcome {
    let sent: Value = call.json("acked_seq is required")?;
    let seq = sent["acked_seq"]
        .as_i64()
        .ok_or_else(|| Answer::error(400, "acked_seq is required"))?;
    if seq < 0 {
        return Err(Answer::error(400, "acked_seq must be >= 0"));
    }
    let greatest = call.site.store.change_workspace(&call.id, |workspace| {
        workspace.acked_seq = workspace.acked_seq.max(seq);
        workspace.acked_seq
    })?;
    Ok(Answer::ok(&json!({ "last_acked_seq": greatest.unwrap_or(seq) })))
}
