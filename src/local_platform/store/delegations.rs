//! Delegations are activity rows: one for the request, whose status moves, and one for the result.

use rusqlite::{OptionalExtension as _, Result, Row as SqlRow, params};
use serde_json::{Value, json};

use super::Store;
use crate::local_platform::clock;

/// The method of request rows.
pub(crate) const REQUEST: &str = "delegate";
/// The method of result rows.
pub(crate) const RESULT: &str = "delegate_result";
const LISTED: u32 = 50;

/// What is known of a delegation under some idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) delegation_id: String,
    pub(crate) target_id: String,
    pub(crate) status: String,
}

impl Store {
    /// The delegation of `sender` under `key`.
    pub(crate) fn delegation_by_key(&self, sender: &str, key: &str) -> Result<Option<Keyed>> {
        self.lock()
            .prepare_cached(
                "SELECT delegation_id, target_id, status FROM activity
                 WHERE workspace_id = ? AND idempotency_key = ? AND activity_type = 'delegation' LIMIT 1",
            )?
            .query_row([sender, key], |row| {
                Ok(Keyed {
                    delegation_id: row.get(0)?,
                    target_id: row.get(1)?,
                    status: row.get(2)?,
                })
            })
            .optional()
    }

    /// Frees `key` by deleting its request row.
    pub(crate) fn free_key(&self, sender: &str, key: &str) -> Result<()> {
        self.lock()
            .prepare_cached("DELETE FROM activity WHERE workspace_id = ? AND idempotency_key = ?")?
            .execute([sender, key])?;
        Ok(())
    }

    /// Moves the request row of a delegation; whether there is one.
    pub(crate) fn move_delegation(&self, sender: &str, id: &str, status: &str, error: Option<&str>) -> Result<bool> {
        let db = self.lock();
        let mut update = db.prepare_cached(
            "UPDATE activity SET status = ?, error_detail = ?
             WHERE workspace_id = ? AND delegation_id = ? AND method = 'delegate' RETURNING seq",
        )?;
        let moved = update.query_map(params![status, error, sender, id], |row| row.get(0))?;
        let moved: Vec<i64> = moved.collect::<Result<_>>()?;
        moved.iter().for_each(|seq| self.changes.row(*seq));
        Ok(!moved.is_empty())
    }

    /// The target named by the request row of a delegation.
    pub(crate) fn delegation_target(&self, sender: &str, id: &str) -> Result<Option<String>> {
        self.lock()
            .prepare_cached(
                "SELECT target_id FROM activity WHERE workspace_id = ? AND delegation_id = ? AND method = 'delegate' LIMIT 1",
            )?
            .query_row([sender, id], |row| row.get(0))
            .optional()
    }

    /// The list of `GET /workspaces/:id/delegations`: both kinds of rows, newest first, at most 50.
    pub(crate) fn delegations(&self, sender: &str) -> Result<Vec<Value>> {
        let db = self.lock();
        let mut query = db.prepare_cached(
            "SELECT id, source_id, target_id, summary, status, created_at, delegation_id, error_detail, response_body
             FROM activity WHERE workspace_id = ? AND activity_type = 'delegation' AND status IS NOT NULL
             AND method IN ('delegate', 'delegate_result') ORDER BY created_at DESC, seq DESC LIMIT ?",
        )?;
        query.query_map(params![sender, LISTED], listed)?.collect()
    }
}

fn listed(row: &SqlRow<'_>) -> Result<Value> {
    let text = |index| row.get::<_, Option<String>>(index).map(Option::unwrap_or_default);
    let mut listed = json!({
        "id": text(0)?, "type": "delegation", "source_id": text(1)?, "target_id": text(2)?, "summary": text(3)?,
        "status": text(4)?, "created_at": clock::text(row.get(5)?),
    });
    let response: Value = serde_json::from_str(&text(8)?).unwrap_or_default();
    let preview = response["text"].as_str().map(preview);
    for (key, value) in [
        ("delegation_id", row.get(6)?),
        ("error", row.get(7)?),
        ("response_preview", preview),
    ] {
        if let Some(value) = value.filter(|value: &String| !value.is_empty()) {
            listed[key] = Value::String(value);
        }
    }
    Ok(listed)
}

/// `text` in at most 300 bytes; what is cut ends in an ellipsis, which counts.
pub(crate) fn preview(text: &str) -> String {
    const BYTES: usize = 300;
    if text.len() <= BYTES {
        return text.to_owned();
    }
    let mut end = BYTES - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_hold_300_bytes_with_the_ellipsis_and_never_split_a_character() {
        assert_eq!(preview(&"a".repeat(300)), "a".repeat(300));
        assert_eq!(preview(&"a".repeat(301)), format!("{}…", "a".repeat(297)));
        assert_eq!(preview(&"é".repeat(200)), format!("{}…", "é".repeat(148)));
    }
}
