//! The tables, their versions, and the check that a file really has them.
//!
//! States are words, not numbers: no flipped bit turns one of them into another, so a damaged state never passes for an
//! acknowledgement or for a message that is still to be shown.

use rusqlite::{Connection, TransactionBehavior};

use super::error::JournalError;

/// `application_id` of our files: "MoJr".
const APPLICATION_ID: i64 = 0x4d6f_4a72;

/// One script for each schema version, oldest first. Never change one that was released; add the next.
const STEPS: &[&str] = &[FIRST];

/// The newest schema this program knows.
pub(super) const KNOWN: i64 = STEPS.len() as i64;

const FIRST: &str = "
-- The schema version once more: a flipped bit in the file's header must not pass for a newer program's file.
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE scope (
    id INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    workspace TEXT NOT NULL,
    cursor TEXT,
    last_poll INTEGER,
    crc INTEGER NOT NULL,
    UNIQUE (origin, workspace)
);

CREATE TABLE message (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    scope INTEGER NOT NULL,
    activity_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('held', 'new', 'leased', 'done', 'aside', 'recovered', 'damaged')),
    kind TEXT NOT NULL,
    peer_id TEXT NOT NULL,
    message_id TEXT,
    digest TEXT,
    delegation_id TEXT,
    in_reply_to TEXT,
    body TEXT NOT NULL,
    crc INTEGER NOT NULL,
    maybe_reply_to TEXT,
    delivery_count INTEGER NOT NULL DEFAULT 0,
    expired_leases INTEGER NOT NULL DEFAULT 0,
    lease_session TEXT,
    lease_boot TEXT,
    lease_until INTEGER,
    done_at INTEGER,
    UNIQUE (scope, activity_id)
);
CREATE INDEX message_by_state ON message (scope, state, at, n);
CREATE INDEX message_by_message_id ON message (scope, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX message_by_delegation ON message (scope, delegation_id) WHERE delegation_id IS NOT NULL;
CREATE INDEX message_by_reply ON message (scope, in_reply_to) WHERE in_reply_to IS NOT NULL;
CREATE INDEX message_done ON message (done_at) WHERE done_at IS NOT NULL;

-- Rows that repeat a message under another id: known, but not stored again.
CREATE TABLE alias (
    scope INTEGER NOT NULL,
    activity_id TEXT NOT NULL,
    original TEXT NOT NULL,
    seen INTEGER NOT NULL,
    PRIMARY KEY (scope, activity_id)
) WITHOUT ROWID;

CREATE TABLE announced (
    scope INTEGER NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;

CREATE TABLE outbox (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    scope INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    work TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    progress TEXT NOT NULL
        CHECK (progress IN ('pending', 'accepted', 'delivered', 'answered', 'failed', 'delivered_unconfirmed', 'unknown', 'damaged')),
    created INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    delegation_id TEXT,
    answer TEXT,
    answer_activity TEXT,
    detail TEXT,
    replies_to TEXT,
    request_id TEXT,
    awaited_by TEXT,
    crc INTEGER NOT NULL
);
CREATE INDEX outbox_by_progress ON outbox (scope, progress, n);
CREATE INDEX outbox_by_target ON outbox (scope, kind, target, n);
CREATE INDEX outbox_by_fingerprint ON outbox (scope, fingerprint, n);
CREATE INDEX outbox_by_delegation ON outbox (scope, delegation_id) WHERE delegation_id IS NOT NULL;
CREATE INDEX outbox_awaited ON outbox (scope) WHERE awaited_by IS NOT NULL;
CREATE INDEX outbox_updated ON outbox (updated);
";

/// What a file is, as far as its header and its table list tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No tables at all.
    Empty,
    /// Ours, of this version.
    Version(i64),
}

/// Reads the version of a file.
///
/// # Errors
/// `Newer` for a newer program's file, `Damaged` when the version cannot be right.
pub(super) fn standing(conn: &Connection) -> Result<Standing, JournalError> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Standing::Empty);
    }
    let written: i64 = conn.query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| row.get(0))?;
    let application: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if version < 1 || written != version || application != APPLICATION_ID {
        return Err(JournalError::Damaged(
            "its version is not what it was written with".to_owned(),
        ));
    }
    if version > KNOWN {
        return Err(JournalError::Newer {
            found: version,
            known: KNOWN,
        });
    }
    Ok(Standing::Version(version))
}

/// Brings a file up to the newest schema, in one transaction.
///
/// # Errors
/// When nothing was changed.
pub(super) fn migrate(conn: &mut Connection) -> Result<(), JournalError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let from = match standing(&tx)? {
        Standing::Empty => 0,
        Standing::Version(version) => version,
    };
    for (version, step) in (1..).zip(STEPS).filter(|(version, _)| *version > from) {
        tx.execute_batch(step)?;
        tx.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('schema', ?1)",
            [version],
        )?;
        tx.pragma_update(None, "user_version", version)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    tx.commit()?;
    Ok(())
}

/// Compares the tables and indexes of a migrated file with what the steps make of an empty one.
///
/// # Errors
/// `Damaged` when they differ.
pub(super) fn compare(conn: &Connection) -> Result<(), JournalError> {
    let reference = Connection::open_in_memory()?;
    for step in STEPS {
        reference.execute_batch(step)?;
    }
    if definitions(conn)? == definitions(&reference)? {
        Ok(())
    } else {
        Err(JournalError::Damaged(
            "its tables are not what this program makes".to_owned(),
        ))
    }
}

fn definitions(conn: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    // `sqlite_stat` tables would only come from another tool's ANALYZE, and do no harm.
    conn.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY name")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn).unwrap();
        conn
    }

    #[test]
    fn an_empty_file_becomes_the_newest_version_and_stays_so() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(standing(&conn).unwrap(), Standing::Empty);
        migrate(&mut conn).unwrap();
        assert_eq!(standing(&conn).unwrap(), Standing::Version(KNOWN));
        migrate(&mut conn).unwrap();
        compare(&conn).unwrap();
    }

    #[test]
    fn a_newer_file_is_refused_and_a_mere_bit_flip_is_damage() {
        let conn = migrated();
        conn.pragma_update(None, "user_version", KNOWN + 1).unwrap();
        assert!(matches!(standing(&conn), Err(JournalError::Damaged(_))));
        conn.execute("UPDATE meta SET value = ?1", [KNOWN + 1]).unwrap();
        let Err(JournalError::Newer { found, known }) = standing(&conn) else {
            panic!("a newer schema must be refused")
        };
        assert_eq!((found, known), (KNOWN + 1, KNOWN));
    }

    #[test]
    fn tables_that_differ_are_damage() {
        for change in [
            "DROP INDEX message_by_state",
            "ALTER TABLE outbox RENAME COLUMN detail TO detaim",
            "CREATE TABLE extra (x)",
        ] {
            let conn = migrated();
            conn.execute_batch(change).unwrap();
            assert!(matches!(compare(&conn), Err(JournalError::Damaged(_))), "{change}");
        }
    }

    #[test]
    fn another_programs_database_is_not_taken_over() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE theirs (x)").unwrap();
        assert!(matches!(standing(&conn), Err(JournalError::Damaged(_))));
    }

    #[test]
    fn no_flipped_bit_turns_one_word_into_another() {
        use crate::state::message::State;
        use crate::state::outbox::Progress;
        let states: Vec<&str> = State::ALL.iter().map(|s| s.as_str()).chain(["damaged"]).collect();
        let steps: Vec<&str> = Progress::ALL.iter().map(|p| p.as_str()).chain(["damaged"]).collect();
        for words in [states, steps] {
            for (i, a) in words.iter().enumerate() {
                assert!(FIRST.contains(&format!("'{a}'")), "{a} is missing in the schema");
                for b in &words[i + 1..] {
                    let bits: u32 = a.bytes().zip(b.bytes()).map(|(x, y)| (x ^ y).count_ones()).sum();
                    assert!(a.len() != b.len() || bits > 1, "{a} {b}");
                }
            }
        }
    }
}
