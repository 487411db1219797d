//! The row of one platform origin and workspace: saved cursor, time of the last good poll, and whether messages of a damaged
//! file are still to be looked for, under a checksum.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::JournalError;
use super::schema;
use super::shape::Cursor;
use crate::types::{ActivityId, Timestamp, WorkspaceId};

/// The row as it is stored; the cursor is a JSON array of id, microseconds and sequence number.
struct ScopeRow {
    origin: String,
    workspace: String,
    cursor: Option<String>,
    last_poll: Option<i64>,
    lost: Option<String>,
}

/// The columns that [`ScopeRow::read`] reads, in its order.
const COLUMNS: &str = "origin, workspace, cursor, last_poll, lost, crc";

impl ScopeRow {
    fn seal(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for part in [
            Some(&self.origin),
            Some(&self.workspace),
            self.cursor.as_ref(),
            self.lost.as_ref(),
        ] {
            hasher.update(part.map_or("-", |part| part.as_str()).as_bytes());
            hasher.update(&[0]);
        }
        hasher.update(&self.last_poll.unwrap_or(i64::MIN).to_le_bytes());
        hasher.finalize()
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<(Self, i64)> {
        let found = Self {
            origin: row.get(0)?,
            workspace: row.get(1)?,
            cursor: row.get(2)?,
            last_poll: row.get(3)?,
            lost: row.get(4)?,
        };
        Ok((found, row.get(5)?))
    }
}

fn damaged() -> JournalError {
    JournalError::Damaged("the saved cursor does not match its checksum".to_owned())
}

/// Checks every row: one flipped bit in a workspace's name would hide all its messages.
pub(super) fn check_all(conn: &Connection) -> Result<(), JournalError> {
    let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM scope"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (found, crc) = ScopeRow::read(row)?;
        if i64::from(found.seal()) != crc {
            return Err(damaged());
        }
    }
    Ok(())
}

/// The id of the row, if it is there.
pub(super) fn find(conn: &Connection, origin: &str, workspace: &WorkspaceId) -> Result<Option<i64>, JournalError> {
    Ok(conn
        .query_row(
            "SELECT id FROM scope WHERE origin = ?1 AND workspace = ?2",
            params![origin, workspace.as_str()],
            |row| row.get(0),
        )
        .optional()?)
}

/// The id of the row, made if need be: in a file that replaced a damaged one, with the note that its messages are to be
/// looked for.
pub(super) fn find_or_make(conn: &Connection, origin: &str, workspace: &WorkspaceId) -> Result<i64, JournalError> {
    if let Some(id) = find(conn, origin, workspace)? {
        return Ok(id);
    }
    let row = ScopeRow {
        origin: origin.to_owned(),
        workspace: workspace.as_str().to_owned(),
        cursor: None,
        last_poll: None,
        lost: schema::lost(conn)?,
    };
    conn.execute(
        "INSERT OR IGNORE INTO scope (origin, workspace, lost, crc) VALUES (?1, ?2, ?3, ?4)",
        params![row.origin, row.workspace, row.lost, row.seal()],
    )?;
    find(conn, origin, workspace)?.ok_or_else(damaged)
}

fn load(conn: &Connection, scope: i64) -> Result<ScopeRow, JournalError> {
    let (row, crc) = conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM scope WHERE id = ?1"))?
        .query_row([scope], ScopeRow::read)
        .optional()?
        .ok_or_else(damaged)?;
    if i64::from(row.seal()) == crc {
        Ok(row)
    } else {
        Err(damaged())
    }
}

/// The saved cursor and the last good poll.
pub(super) fn progress(conn: &Connection, scope: i64) -> Result<(Option<Cursor>, Option<Timestamp>), JournalError> {
    let row = load(conn, scope)?;
    let cursor = match row.cursor {
        None => None,
        Some(text) => {
            let (id, at, seq): (ActivityId, i64, Option<i64>) = serde_json::from_str(&text).map_err(|_| damaged())?;
            let at = Timestamp(at);
            Some(Cursor { id, at, seq })
        }
    };
    Ok((cursor, row.last_poll.map(Timestamp)))
}

/// Changes the cursor (`Some(None)` forgets it) and the time of the last good poll, where given.
pub(super) fn set_progress(
    conn: &Connection,
    scope: i64,
    cursor: Option<Option<&Cursor>>,
    polled: Option<Timestamp>,
) -> Result<(), JournalError> {
    let mut row = load(conn, scope)?;
    if let Some(cursor) = cursor {
        row.cursor = cursor.map(|cursor| serde_json::json!([cursor.id, cursor.at.0, cursor.seq]).to_string());
    }
    if let Some(polled) = polled {
        row.last_poll = Some(polled.0);
    }
    save(conn, scope, &row)
}

fn save(conn: &Connection, scope: i64, row: &ScopeRow) -> Result<(), JournalError> {
    conn.prepare_cached("UPDATE scope SET cursor = ?2, last_poll = ?3, lost = ?4, crc = ?5 WHERE id = ?1")?
        .execute(params![scope, row.cursor, row.last_poll, row.lost, row.seal()])?;
    Ok(())
}

/// The name of the damaged file whose messages are still to be looked for.
pub(super) fn lost(conn: &Connection, scope: i64) -> Result<Option<String>, JournalError> {
    Ok(load(conn, scope)?.lost)
}

/// They were looked for.
pub(super) fn looked_for(conn: &Connection, scope: i64) -> Result<(), JournalError> {
    let mut row = load(conn, scope)?;
    if row.lost.take().is_some() {
        save(conn, scope, &row)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_scope() -> (Connection, i64) {
        let mut conn = Connection::open_in_memory().unwrap();
        schema::migrate(&mut conn, Some("damaged")).unwrap();
        let workspace = WorkspaceId::parse("w").unwrap();
        let scope = find_or_make(&conn, "http://o", &workspace).unwrap();
        assert_eq!(find_or_make(&conn, "http://o", &workspace).unwrap(), scope);
        assert_ne!(find_or_make(&conn, "http://p", &workspace).unwrap(), scope);
        (conn, scope)
    }

    #[test]
    fn cursor_and_poll_time_are_kept_apart() {
        let (conn, scope) = with_scope();
        assert_eq!(progress(&conn, scope).unwrap(), (None, None));
        let cursor = Cursor {
            id: ActivityId::parse("a-1").unwrap(),
            at: Timestamp(7),
            seq: Some(3),
        };
        set_progress(&conn, scope, Some(Some(&cursor)), None).unwrap();
        set_progress(&conn, scope, None, Some(Timestamp(9))).unwrap();
        assert_eq!(progress(&conn, scope).unwrap(), (Some(cursor), Some(Timestamp(9))));
        set_progress(&conn, scope, Some(None), None).unwrap();
        assert_eq!(progress(&conn, scope).unwrap(), (None, Some(Timestamp(9))));
        check_all(&conn).unwrap();
    }

    #[test]
    fn what_was_lost_is_remembered_by_each_workspace_until_it_was_looked_for() {
        let (conn, scope) = with_scope();
        let other = find_or_make(&conn, "http://o", &WorkspaceId::parse("v").unwrap()).unwrap();
        set_progress(&conn, scope, None, Some(Timestamp(9))).unwrap();
        for _ in 0..2 {
            looked_for(&conn, other).unwrap();
            assert_eq!(lost(&conn, scope).unwrap().as_deref(), Some("damaged"));
            assert_eq!(lost(&conn, other).unwrap(), None);
        }
        check_all(&conn).unwrap();
    }

    #[test]
    fn a_changed_row_is_damage() {
        for change in [
            "UPDATE scope SET workspace = 'v'",
            "UPDATE scope SET cursor = '[\"b\",7,null]'",
            "UPDATE scope SET last_poll = 8",
            "UPDATE scope SET last_poll = NULL",
            "UPDATE scope SET lost = NULL",
        ] {
            let (conn, scope) = with_scope();
            set_progress(&conn, scope, None, Some(Timestamp(9))).unwrap();
            conn.execute_batch(&format!("{change} WHERE id = {scope}")).unwrap();
            assert!(matches!(check_all(&conn), Err(JournalError::Damaged(_))), "{change}");
            assert!(
                matches!(progress(&conn, scope), Err(JournalError::Damaged(_))),
                "{change}"
            );
        }
    }
}
