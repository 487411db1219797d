//! What the platform's list says about one delegation. Rows are matched by their delegation id and by nothing else.

use serde_json::Value;

use crate::platform::wire::DelegationRow;

/// The platform cuts a preview to 300 bytes, at level B with an ellipsis of three bytes in them.
const WHOLE_PREVIEW: usize = 296;

/// What is known about a delegation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Not in the list, which holds only the newest rows.
    Absent,
    /// On its way.
    Open,
    /// It reached the peer and there is no answer yet.
    Delivered(Wait),
    /// Finished; the text must be fetched. The preview, if the list has one.
    Finished(Option<String>),
    /// Failed, with the platform's reason.
    Failed(String),
}

/// Who an answer is waited from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The platform, which delivers to a busy peer later and then changes its record.
    Platform,
    /// A polling peer, whose answer comes as a message: the record never changes again.
    Peer,
}

/// Reads the rows of one delegation: the request's, the result's, and whatever else shares its id.
pub(super) fn judge(delegation_id: &str, rows: &[DelegationRow]) -> Finding {
    rows.iter()
        .filter(|row| row.delegation_id.as_deref() == Some(delegation_id))
        .map(judge_row)
        .max_by_key(weight)
        .unwrap_or(Finding::Absent)
}

/// A text outweighs the queued envelope before it, and the envelope the bare word `completed` on the request row.
fn weight(finding: &Finding) -> u8 {
    match finding {
        Finding::Absent => 0,
        Finding::Open => 1,
        Finding::Finished(None) => 2,
        Finding::Delivered(Wait::Platform) => 3,
        Finding::Delivered(Wait::Peer) => 4,
        Finding::Failed(_) => 5,
        Finding::Finished(Some(_)) => 6,
    }
}

fn judge_row(row: &DelegationRow) -> Finding {
    let preview = row
        .response_preview
        .as_deref()
        .filter(|text| !text.is_empty() && !is_request(row));
    match row.status.as_deref() {
        Some("failed") => Finding::Failed(reason(row)),
        Some("queued") => Finding::Delivered(Wait::Platform),
        Some("completed") => match preview {
            Some(text) => {
                queued_envelope(text).map_or_else(|| Finding::Finished(Some(text.to_owned())), Finding::Delivered)
            }
            None => Finding::Finished(None),
        },
        _ => Finding::Open,
    }
}

/// The request's own row; level C previews its request there, not an answer.
fn is_request(row: &DelegationRow) -> bool {
    row.summary
        .as_deref()
        .is_some_and(|summary| summary.starts_with("Delegating to"))
}

fn reason(row: &DelegationRow) -> String {
    [&row.error, &row.response_preview]
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty())
        .map_or_else(|| "the platform gives no reason".to_owned(), Clone::clone)
}

/// Whether a "result" is only the platform's note that the task was queued, and then for whom.
pub(super) fn queued_envelope(text: &str) -> Option<Wait> {
    let Ok(Value::Object(note)) = serde_json::from_str(text) else {
        return None;
    };
    let says = |key: &str, word: &str| note.get(key).and_then(Value::as_str) == Some(word);
    let has = |key: &str| note.contains_key(key);
    let busy = note.get("queued") == Some(&Value::Bool(true)) && (has("queue_id") || has("status"));
    if busy {
        return Some(Wait::Platform);
    }
    let noted = says("status", "queued") && (has("delivery_mode") || has("method"));
    noted.then(|| {
        if says("delivery_mode", "poll") {
            Wait::Peer
        } else {
            Wait::Platform
        }
    })
}

/// Whether a preview may be cut.
pub(super) fn may_be_cut(preview: &str) -> bool {
    preview.len() > WHOLE_PREVIEW
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const POLL: &str = r#"{"delivery_mode":"poll","method":"message/send","status":"queued"}"#;
    const BUSY: &str = r#"{"message":"busy","queue_depth":1,"queue_id":"q","queued":true}"#;

    fn rows(rows: Value) -> Vec<DelegationRow> {
        serde_json::from_value(rows).unwrap()
    }

    #[test]
    fn envelopes_are_told_from_answers() {
        for (text, expected) in [
            (POLL, Some(Wait::Peer)),
            (BUSY, Some(Wait::Platform)),
            (
                r#"{"status":"queued","delivery_mode":"push-async","method":"m"}"#,
                Some(Wait::Platform),
            ),
            (
                r#"{"status":"queued","method":"m","queued":true,"queue_id":"q"}"#,
                Some(Wait::Platform),
            ),
            (r#"{"status":"queued","delivery_mode":"poll"}"#, Some(Wait::Peer)),
            (r#"{"status":"queued","method":"m"}"#, Some(Wait::Platform)),
            (r#"{"status":"queued"}"#, None),
            (r#"{"status":"done","method":"m"}"#, None),
            (r#"{"queued":false,"queue_id":"q"}"#, None),
            ("the build is queued", None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(queued_envelope(text), expected, "{text}");
        }
    }

    #[test]
    fn rows_of_every_level_are_read() {
        let request = |status: &str| json!({"delegation_id": "d", "summary": "Delegating to x", "status": status});
        let result = |preview: &str| json!({"delegation_id": "d", "summary": "Delegation completed", "status": "completed", "response_preview": preview});
        let request_with_preview = json!({"delegation_id": "d", "summary": "Delegating to x", "status": "completed", "response_preview": "{\"delegation_id\":\"d\"}"});
        let finished = |text: &str| Finding::Finished(Some(text.to_owned()));
        for (list, expected) in [
            (json!([]), Finding::Absent),
            (
                json!([{"delegation_id": "other", "status": "completed", "response_preview": "x"}, {"status": "failed"}]),
                Finding::Absent,
            ),
            (json!([request("pending")]), Finding::Open),
            (json!([request("dispatched")]), Finding::Open),
            (json!([{"delegation_id": "d"}]), Finding::Open),
            (json!([request("queued")]), Finding::Delivered(Wait::Platform)),
            (json!([request("completed")]), Finding::Finished(None)),
            (json!([request_with_preview]), Finding::Finished(None)),
            (
                json!([result(POLL), request("completed")]),
                Finding::Delivered(Wait::Peer),
            ),
            (
                json!([result(BUSY), request("queued")]),
                Finding::Delivered(Wait::Platform),
            ),
            (
                json!([result("17 crates"), request("completed")]),
                finished("17 crates"),
            ),
            (
                json!([result("17 crates"), result(BUSY), request("completed")]),
                finished("17 crates"),
            ),
            (
                json!([{"delegation_id": "d", "summary": "Delegating to x", "status": "failed", "error": "access denied"}]),
                Finding::Failed("access denied".to_owned()),
            ),
            (
                json!([request("failed")]),
                Finding::Failed("the platform gives no reason".to_owned()),
            ),
            (
                json!([{"_ledger": true, "delegation_id": "d", "status": "completed", "direction": "sent"}]),
                Finding::Finished(None),
            ),
        ] {
            assert_eq!(judge("d", &rows(list.clone())), expected, "{list}");
        }
    }

    #[test]
    fn only_a_preview_of_full_length_may_be_cut() {
        assert!(!may_be_cut(&"x".repeat(296)));
        assert!(may_be_cut(&format!("{}…", "x".repeat(297))));
    }
}
