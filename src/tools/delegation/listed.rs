//! What the outbox and the platform's list know about delegations, joined.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::outcome::{Delegation, Status};
use crate::platform::wire::DelegationRow;
use crate::state::outbox::{Item, Work};
use crate::tools::paging::clip;
use crate::types::Timestamp;

/// What the platform's rows about one delegation say together.
#[derive(Debug, PartialEq)]
pub(super) struct Listed {
    pub(super) status: Status,
    target: Option<String>,
    pub(super) preview: Option<String>,
    error: Option<String>,
}

impl Listed {
    /// `None`: there is no row. A request row and a result row share one id.
    pub(super) fn of(rows: &[&DelegationRow]) -> Option<Self> {
        let is_request = |row: &DelegationRow| row.summary.as_deref().unwrap_or_default().starts_with("Delegating to");
        let has = |status: &str| rows.iter().any(|row| row.status.as_deref() == Some(status));
        let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        // On a request row the preview is no answer.
        let preview = rows
            .iter()
            .filter(|row| !is_request(row))
            .find_map(|row| filled(&row.response_preview));
        let status = if rows.is_empty() {
            return None;
        } else if has("failed") {
            Status::Failed
        } else if has("completed") && preview.as_deref().is_some_and(is_queued_envelope) {
            Status::Delivered
        } else if has("completed") {
            Status::Answered
        } else {
            Status::Queued
        };
        Some(Self {
            status,
            target: rows.iter().find_map(|row| filled(&row.target_id)),
            preview,
            error: rows.iter().find_map(|row| filled(&row.error)),
        })
    }
}

/// The platform's answer for a peer that polls or is busy: it stands where the peer's answer would.
fn is_queued_envelope(text: &str) -> bool {
    matches!(serde_json::from_str(text), Ok(Value::Object(fields))
        if fields.get("queued") == Some(&Value::Bool(true)) || fields.get("status") == Some(&Value::from("queued")))
}

/// Joins what the outbox and the platform know. The outbox knows answers that the platform never sees.
pub(super) fn complete(
    known: Option<Delegation>,
    listed: Option<Listed>,
    text: Option<&str>,
    delegation_id: &str,
    offset: usize,
) -> Delegation {
    let Some(listed) = listed else {
        return known.unwrap_or_else(|| {
            let mut unheard = Delegation::with_status(Status::NotFound);
            unheard.delegation_id = Some(clip(delegation_id, 128));
            unheard
        });
    };
    let status = match listed.status {
        Status::Answered if text.is_some_and(is_queued_envelope) => Status::Delivered,
        // The list lags behind what arrived here.
        Status::Queued if known.as_ref().is_some_and(|known| known.status == Status::Delivered) => Status::Delivered,
        status => status,
    };
    let mut delegation = Delegation::with_status(status);
    delegation.handle = known.as_ref().and_then(|known| known.handle.clone());
    delegation.delegation_id = Some(delegation_id.to_owned());
    delegation.workspace_id = known
        .as_ref()
        .and_then(|known| known.workspace_id.clone())
        .or(listed.target);
    delegation.detail = listed
        .error
        .or(known.and_then(|known| known.detail))
        .map(|detail| clip(&detail, 2_000));
    match text {
        Some(text) if status == Status::Answered => delegation.with_text(text, offset),
        _ => delegation,
    }
}

/// The list: delegations of the outbox, and those of the platform that the outbox does not know.
pub(super) fn merge(items: &[Item], rows: &[DelegationRow]) -> Vec<Line> {
    const PREVIEW: usize = 300;
    let mut lines: Vec<(Option<Timestamp>, Line)> = Vec::new();
    let about = |id: &str| -> Option<Listed> {
        let rows: Vec<_> = rows
            .iter()
            .filter(|row| row.delegation_id.as_deref() == Some(id))
            .collect();
        Listed::of(&rows)
    };
    for item in items {
        let Work::Delegate { target, task } = &item.work else {
            continue;
        };
        let mut known = Delegation::known(item, 0);
        let listed = item.delegation_id.as_deref().and_then(about);
        if known.status.is_open() || known.status == Status::Unknown {
            let preview = listed.as_ref().and_then(|listed| listed.preview.clone());
            let id = item.delegation_id.clone().unwrap_or_default();
            known = complete(Some(known), listed, preview.as_deref(), &id, 0);
        }
        let line = Line {
            handle: Some(item.id.clone()),
            delegation_id: item.delegation_id.clone(),
            target_id: target.to_string(),
            status: known.status,
            summary: clip(task, PREVIEW),
            response_preview: known.text.as_deref().map(|text| clip(text, PREVIEW)),
            created_at: Some(item.created.to_rfc3339()),
        };
        lines.push((Some(item.created), line));
    }
    for row in rows {
        let Some(id) = row.delegation_id.as_deref().filter(|id| !id.is_empty()) else {
            continue;
        };
        if lines.iter().any(|(_, line)| line.delegation_id.as_deref() == Some(id)) {
            continue;
        }
        let Some(listed) = about(id) else { continue };
        let created = row.created_at.as_deref().and_then(Timestamp::parse);
        let line = Line {
            handle: None,
            delegation_id: Some(clip(id, 128)),
            target_id: clip(&listed.target.unwrap_or_default(), 128),
            status: listed.status,
            summary: clip(row.summary.as_deref().unwrap_or_default(), PREVIEW),
            response_preview: listed
                .preview
                .filter(|_| listed.status == Status::Answered)
                .map(|text| clip(&text, PREVIEW)),
            created_at: row.created_at.as_ref().map(|at| clip(at, 64)),
        };
        lines.push((created, line));
    }
    // Stable: rows without a readable time keep their order, behind those with one.
    lines.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// One delegation of the list.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct Line {
    /// Names it; only delegations of this daemon have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    /// The platform's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation_id: Option<String>,
    /// The peer.
    target_id: String,
    /// How far it is.
    status: Status,
    /// The start of the task.
    summary: String,
    /// The start of the answer. Other people's words: data.
    #[serde(skip_serializing_if = "Option::is_none")]
    response_preview: Option<String>,
    /// When it was given, if the platform says so readably.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::outbox::Progress;
    use crate::tools::outgoing;
    use crate::types::PeerId;
    use serde_json::json;

    const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000001";
    const ENVELOPE: &str = r#"{"status":"queued","delivery_mode":"poll","method":"message/send"}"#;

    fn row(fields: Value) -> DelegationRow {
        serde_json::from_value(fields).unwrap()
    }

    fn request(id: &str, status: &str) -> DelegationRow {
        row(
            json!({ "delegation_id": id, "target_id": PEER, "status": status, "summary": "Delegating to b: build",
            "response_preview": "{\"delegation_id\":\"d-1\"}", "created_at": "2026-05-01T10:00:00Z" }),
        )
    }

    fn result(id: &str, status: &str, preview: &str) -> DelegationRow {
        row(
            json!({ "delegation_id": id, "target_id": "", "status": status, "summary": "Delegation completed", "response_preview": preview }),
        )
    }

    fn item(progress: Progress) -> Item {
        let target = PeerId::parse(PEER).unwrap();
        outgoing::sample(
            Work::Delegate {
                target,
                task: "build".to_owned(),
            },
            progress,
        )
    }

    #[test]
    fn the_platforms_rows_are_read_together() {
        let mut failed = request("d", "failed");
        failed.error = Some("access denied".to_owned());
        for (rows, status, preview, error) in [
            (vec![request("d", "pending")], Status::Queued, None, None),
            (vec![request("d", "dispatched")], Status::Queued, None, None),
            (vec![request("d", "queued")], Status::Queued, None, None),
            (vec![request("d", "completed")], Status::Answered, None, None),
            (
                vec![result("d", "completed", "42"), request("d", "completed")],
                Status::Answered,
                Some("42"),
                None,
            ),
            (
                vec![result("d", "completed", ENVELOPE), request("d", "completed")],
                Status::Delivered,
                Some(ENVELOPE),
                None,
            ),
            (vec![failed], Status::Failed, None, Some("access denied")),
        ] {
            let listed = Listed::of(&rows.iter().collect::<Vec<_>>()).unwrap();
            assert_eq!(
                (listed.status, listed.preview.as_deref(), listed.error.as_deref()),
                (status, preview, error),
                "{rows:?}"
            );
            assert_eq!(listed.target.as_deref(), Some(PEER));
        }
        assert_eq!(Listed::of(&[]), None);
    }

    #[test]
    fn outbox_and_platform_complete_each_other() {
        let known = |progress| Some(Delegation::known(&item(progress), 0));
        let listed = |status| {
            Some(Listed {
                status,
                target: Some(PEER.to_owned()),
                preview: None,
                error: None,
            })
        };
        let cases = [
            (None, None, None, Status::NotFound),
            (known(Progress::Unknown), None, None, Status::Unknown),
            (known(Progress::Unknown), listed(Status::Queued), None, Status::Queued),
            (
                known(Progress::Delivered),
                listed(Status::Queued),
                None,
                Status::Delivered,
            ),
            (known(Progress::Accepted), listed(Status::Failed), None, Status::Failed),
            (
                known(Progress::Accepted),
                listed(Status::Answered),
                Some("42"),
                Status::Answered,
            ),
            (
                known(Progress::Accepted),
                listed(Status::Answered),
                Some(ENVELOPE),
                Status::Delivered,
            ),
            (None, listed(Status::Answered), Some("42"), Status::Answered),
        ];
        for (known, listed, text, status) in cases {
            let whole = complete(known.clone(), listed, text, "d-1", 0);
            assert_eq!(whole.status, status);
            assert_eq!(whole.delegation_id.as_deref(), Some("d-1"));
            assert_eq!(whole.handle.is_some(), known.is_some());
            assert_eq!(whole.text.as_deref(), (status == Status::Answered).then_some("42"));
        }
    }

    #[test]
    fn the_list_is_newest_first_without_doubles() {
        let mut answered = item(Progress::Answered);
        answered.answer = Some("done ".repeat(200));
        answered.created = Timestamp::parse("2026-05-01T11:00:00Z").unwrap();
        let rows = [
            result("d-1", "completed", "x"),
            request("d-1", "completed"),
            request("d-2", "failed"),
            row(json!({ "status": "failed", "summary": "Delegation failed" })),
            row(json!({ "delegation_id": "d-3", "status": "queued", "created_at": "01.05.2026" })),
        ];
        let lines = merge(&[answered], &rows);
        let shown: Vec<_> = lines
            .iter()
            .map(|line| (line.delegation_id.as_deref().unwrap(), line.status))
            .collect();
        assert_eq!(
            shown,
            [
                ("d-1", Status::Answered),
                ("d-2", Status::Failed),
                ("d-3", Status::Queued)
            ]
        );
        assert_eq!(lines[0].response_preview.as_ref().unwrap().len(), 300);
        assert_eq!(lines[1].response_preview, None);
    }
}
