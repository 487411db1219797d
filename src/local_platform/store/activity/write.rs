//! Writing activity rows.

use rusqlite::{Result, params};
use uuid::Uuid;

use super::{ActivityRow, MessageIds, NewActivity, PeerInfo, Written, raw};
use crate::local_platform::clock;
use crate::local_platform::store::Store;

impl Store {
    /// Writes a row.
    pub(crate) fn insert_activity(&self, new: NewActivity, ids: MessageIds) -> Result<Written> {
        let bodies = [&new.request_body, &new.response_body, &new.tool_trace].map(|body| {
            body.as_ref()
                .map(|body| serde_json::to_string(body).expect("values serialise"))
        });
        let texts = [&new.method, &new.summary, &new.error_detail];
        if bodies.iter().flatten().any(|body| holds_nul_escape(body))
            || texts.into_iter().flatten().any(|t| t.contains('\0'))
        {
            return Ok(Written::Refused);
        }
        let [request_body, response_body, tool_trace] = bodies;
        let id = new.id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let created_at = new.created_at.unwrap_or_else(clock::now);
        let db = self.lock();
        let known = match (ids, &new.message_id) {
            (MessageIds::Unique, Some(message)) => db
                .prepare_cached("SELECT 1 FROM activity WHERE workspace_id = ? AND message_id = ? LIMIT 1")?
                .exists(params![new.workspace_id, message])?,
            _ => false,
        };
        let mut insert = db.prepare_cached(
            "INSERT INTO activity (id, workspace_id, activity_type, source_id, target_id, method, summary, request_body,
             response_body, tool_trace, duration_ms, status, error_detail, created_at, message_id, delegation_id,
             idempotency_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let columns = params![
            id,
            new.workspace_id,
            new.activity_type,
            new.source_id,
            new.target_id,
            new.method,
            new.summary,
            request_body,
            response_body,
            tool_trace,
            new.duration_ms,
            new.status,
            new.error_detail,
            created_at,
            new.message_id,
            new.delegation_id,
            new.idempotency_key
        ];
        if !known {
            insert.execute(columns)?;
        }
        let seq = db.last_insert_rowid();
        drop(insert);
        drop(db);
        if !known {
            self.changes.row(seq);
        }
        let row = ActivityRow {
            id: Some(id),
            workspace_id: new.workspace_id,
            activity_type: new.activity_type,
            source_id: new.source_id,
            target_id: new.target_id,
            method: new.method,
            summary: new.summary,
            request_body: request_body.and_then(raw),
            response_body: response_body.and_then(raw),
            tool_trace: tool_trace.and_then(raw),
            duration_ms: new.duration_ms,
            status: new.status.unwrap_or_default(),
            error_detail: new.error_detail,
            created_at: clock::text(created_at),
            seq: Some(seq),
            message_id: new.message_id,
            peer: PeerInfo::default(),
        };
        Ok(if known {
            Written::Collapsed(row)
        } else {
            Written::Stored(row)
        })
    }
}

/// Whether serialised JSON holds U+0000, which the real platform's database refuses. An escaped backslash before
/// `u0000` is not one.
fn holds_nul_escape(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(at, _)| {
        json.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|&&byte| byte == b'\\')
            .count()
            % 2
            == 0
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{row, store};
    use super::*;

    #[test]
    fn a_nul_character_is_never_stored() {
        for (text, stored) in [("a\0b", false), ("a\\u0000b", true), ("a\\\0", false), ("plain", true)] {
            let new = NewActivity {
                request_body: Some(json!({ "text": text })),
                ..row("a", 1)
            };
            let written = store(&[]).insert_activity(new, MessageIds::MayRepeat).unwrap();
            assert_eq!(matches!(written, Written::Stored(_)), stored, "{text:?}");
        }
    }

    #[test]
    fn a_message_id_may_repeat_or_not_as_told() {
        let store = store(&[]);
        let write = |id: &str, ids| {
            let new = NewActivity {
                message_id: Some("m".to_owned()),
                ..row(id, 1)
            };
            store.insert_activity(new, ids).unwrap()
        };
        assert!(matches!(write("a", MessageIds::Unique), Written::Stored(_)));
        assert!(matches!(write("b", MessageIds::Unique), Written::Collapsed(_)));
        assert!(store.place_of("w", "b").unwrap().is_none());
        assert!(matches!(write("c", MessageIds::MayRepeat), Written::Stored(_)));
    }
}
