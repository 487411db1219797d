//! The tables, their versions, and the check that a file really has them.
//!
//! States are words, not numbers: no flipped bit turns one of them into another, so a damaged state never passes for an
//! acknowledgement or for a message that is still to be shown.

use std::collections::HashMap;
use std::sync::OnceLock;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::error::JournalError;
use crate::types::Timestamp;

mod files;
mod fourth;
mod requests;
mod reservations;
mod second;
mod third;

/// `application_id` of our files: "MoJr".
const APPLICATION_ID: i64 = 0x4d6f_4a72;

/// One script for each schema version, oldest first. Never change one that was released; add the next.
const STEPS: &[&str] = &[
    FIRST,
    files::STEP,
    GUESSED_REPLIES,
    reservations::STEP,
    second::SCRIPT,
    requests::STEP,
    third::STEP,
    fourth::STEP,
];

/// How long after a damaged file was replaced its messages are looked for.
const LOOKED_FOR_MICROS: i64 = 7 * 24 * 60 * 60 * 1_000_000;

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
    -- The damaged file whose messages are still to be looked for, if there is one.
    lost TEXT,
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

/// Without it, each plain message of a peer was compared with all messages there are, for each open delegation.
const GUESSED_REPLIES: &str = "
CREATE INDEX message_by_guess ON message (scope, maybe_reply_to) WHERE maybe_reply_to IS NOT NULL;
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
    standing_for(KNOWN, conn)
}

/// For a program that knows this version and those before it.
fn standing_for(known: i64, conn: &Connection) -> Result<Standing, JournalError> {
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
    if version > known {
        return Err(JournalError::Newer { found: version, known });
    }
    Ok(Standing::Version(version))
}

/// Whether the schema is still one that this program knows: a newer program may have migrated the file meanwhile.
///
/// # Errors
/// `Newer` then.
pub(super) fn still_known(conn: &Connection) -> Result<(), JournalError> {
    let found: i64 = conn
        .prepare_cached("PRAGMA user_version")?
        .query_row([], |row| row.get(0))?;
    if found > KNOWN {
        return Err(JournalError::Newer { found, known: KNOWN });
    }
    Ok(())
}

/// Brings a file up to the newest schema, in one transaction. A new one remembers the name of the damaged file it replaces.
///
/// # Errors
/// When nothing was changed.
pub(super) fn migrate(conn: &mut Connection, lost: Option<&str>) -> Result<(), JournalError> {
    migrate_by(STEPS, conn, lost)
}

fn migrate_by(steps: &[&str], conn: &mut Connection, lost: Option<&str>) -> Result<(), JournalError> {
    let known = steps.len() as i64;
    // A process that begins must not have to wait for those that write.
    let snapshot = conn.unchecked_transaction()?;
    if standing_for(known, &snapshot)? == Standing::Version(known) {
        return Ok(());
    }
    drop(snapshot);
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let from = match standing_for(known, &tx)? {
        Standing::Empty => 0,
        Standing::Version(version) => version,
    };
    for (version, step) in (1..).zip(steps).filter(|(version, _)| *version > from) {
        tx.execute_batch(step)?;
        tx.execute(
            "INSERT OR REPLACE INTO meta (name, value) VALUES ('schema', ?1)",
            [version],
        )?;
        tx.pragma_update(None, "user_version", version)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if from == 0
        && let Some(lost) = lost
    {
        tx.execute(
            "INSERT INTO meta (name, value) VALUES ('lost:' || ?1, ?2)",
            params![lost, Timestamp::now().0],
        )?;
    }
    tx.commit()?;
    Ok(())
}

/// Writes down that a commit was tried, and when: the least that can be committed.
///
/// # Errors
/// See [`JournalError`].
pub(super) fn note_trial(conn: &Connection, now: Timestamp) -> Result<(), JournalError> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('tried', ?1)")?
        .execute([now.0])?;
    Ok(())
}

/// The name of the damaged file that this one replaced less than seven days ago: older messages are not looked for.
///
/// # Errors
/// See [`JournalError`].
pub(super) fn lost(conn: &Connection) -> Result<Option<String>, JournalError> {
    Ok(conn
        .query_row(
            "SELECT substr(name, 6) FROM meta WHERE name GLOB 'lost:*' AND value > ?1",
            [Timestamp::now().plus_micros(-LOOKED_FOR_MICROS).0],
            |row| row.get(0),
        )
        .optional()?)
}

/// Compares the tables and indexes of a migrated file with what the steps make of an empty one. What a person or another
/// tool has added to the file does no harm.
///
/// # Errors
/// `Damaged` when one of ours is missing or differs.
pub(super) fn compare(conn: &Connection) -> Result<(), JournalError> {
    let found = definitions(conn)?;
    match reference()?
        .iter()
        .filter(|(name, _)| !second::is_inner_part(name))
        .find(|(name, sql)| found.get(*name) != Some(*sql))
    {
        None => Ok(()),
        Some((name, _)) => Err(JournalError::Damaged(format!(
            "its {name} is missing or not what this program makes"
        ))),
    }
}

/// What the steps make of an empty file. Made once: that takes longer than all else that opening a small file does.
fn reference() -> rusqlite::Result<&'static HashMap<String, String>> {
    static REFERENCE: OnceLock<HashMap<String, String>> = OnceLock::new();
    if let Some(made) = REFERENCE.get() {
        return Ok(made);
    }
    let reference = Connection::open_in_memory()?;
    for step in STEPS {
        reference.execute_batch(step)?;
    }
    let made = definitions(&reference)?;
    Ok(REFERENCE.get_or_init(|| made))
}

fn definitions(conn: &Connection) -> rusqlite::Result<HashMap<String, String>> {
    conn.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// How SQLite means to answer a query.
    pub(in crate::state::journal) fn plan(query: &str) -> Vec<String> {
        let mut conn = Connection::open_in_memory().unwrap();
        super::super::open::plan_once(&conn).unwrap();
        migrate(&mut conn, None).unwrap();
        let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let unbound = plan.parameter_count();
        let nothing = vec![rusqlite::types::Null; unbound];
        let steps = plan
            .query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3))
            .unwrap();
        steps.map(Result::unwrap).collect()
    }

    /// Whether it means to read all rows of a workspace: of a table or of an index.
    pub(in crate::state::journal) fn reads_everything(query: &str) -> bool {
        let steps = plan(query);
        assert!(!steps.is_empty());
        let whole = |step: &String| step.starts_with("SCAN") || step.ends_with("(scope=?)");
        println!("{steps:#?}");
        steps.iter().any(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated() -> Connection {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, None).unwrap();
        conn
    }

    #[test]
    fn an_empty_file_becomes_the_newest_version_and_stays_so() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(standing(&conn).unwrap(), Standing::Empty);
        migrate(&mut conn, Some("first")).unwrap();
        assert_eq!(standing(&conn).unwrap(), Standing::Version(KNOWN));
        migrate(&mut conn, Some("second")).unwrap();
        assert_eq!(lost(&conn).unwrap().as_deref(), Some("first"), "what it was made after");
        compare(&conn).unwrap();
    }

    #[test]
    fn a_file_of_an_older_version_keeps_its_rows() {
        let mut conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(FIRST).unwrap();
        conn.execute_batch("INSERT INTO meta VALUES ('schema', 1); INSERT INTO alias VALUES (1, 'a', 'b', 2);")
            .unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
        conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        assert_eq!(standing(&conn).unwrap(), Standing::Version(1));
        migrate(&mut conn, None).unwrap();
        assert_eq!(standing(&conn).unwrap(), Standing::Version(KNOWN));
        compare(&conn).unwrap();
        let kept: i64 = conn
            .query_row("SELECT count(*) FROM alias", [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, 1);
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

    /// The newest schema and two that may follow it.
    fn steps_to_come() -> Vec<&'static str> {
        let further = [
            "ALTER TABLE message ADD COLUMN colour TEXT; UPDATE message SET colour = 'red';",
            "CREATE INDEX message_by_colour ON message (scope, colour);",
        ];
        STEPS.iter().copied().chain(further).collect()
    }

    fn with_a_message() -> Connection {
        let conn = migrated();
        conn.execute_batch(
            "INSERT INTO message (scope, activity_id, at, state, kind, peer_id, body, crc)
             VALUES (1, 'a', 7, 'new', 'peer_agent', 'p', '{}', 0)",
        )
        .unwrap();
        conn
    }

    fn version(conn: &Connection) -> i64 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_later_version_is_reached_step_by_step_and_keeps_what_there_is() {
        let steps = steps_to_come();
        for from in [STEPS.len(), STEPS.len() + 1] {
            let mut conn = with_a_message();
            migrate_by(&steps[..from], &mut conn, None).unwrap();
            migrate_by(&steps, &mut conn, None).unwrap();
            assert_eq!(version(&conn), KNOWN + 2);
            let kept = conn.query_row("SELECT activity_id, state, colour FROM message", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            });
            assert_eq!(kept.unwrap(), ("a".to_owned(), "new".to_owned(), "red".to_owned()));
            // This program, which knows less, now leaves it alone.
            let refused = |outcome| matches!(outcome, Err(JournalError::Newer { found, .. }) if found == KNOWN + 2);
            assert!(refused(migrate(&mut conn, None)));
            assert!(refused(still_known(&conn)));
        }
    }

    #[test]
    fn a_migration_that_fails_half_way_leaves_the_version_that_was() {
        let mut steps = steps_to_come();
        steps.push("UPDATE message SET state = 'gone'");
        let mut conn = with_a_message();
        assert!(migrate_by(&steps, &mut conn, None).is_err());
        assert_eq!(version(&conn), KNOWN);
        assert_eq!(standing(&conn).unwrap(), Standing::Version(KNOWN));
        compare(&conn).unwrap();
        still_known(&conn).unwrap();
    }

    #[test]
    fn tables_that_differ_are_damage() {
        for change in [
            "DROP INDEX message_by_state",
            "ALTER TABLE outbox RENAME COLUMN detail TO detaim",
            "ALTER TABLE alias RENAME TO aliaz",
        ] {
            let conn = migrated();
            conn.execute_batch(change).unwrap();
            assert!(matches!(compare(&conn), Err(JournalError::Damaged(_))), "{change}");
        }
    }

    #[test]
    fn what_somebody_added_is_no_damage() {
        let conn = migrated();
        conn.execute_batch(
            "CREATE TABLE extra (x); CREATE INDEX mine ON message (at); ANALYZE;
             CREATE VIEW waiting AS SELECT * FROM message WHERE state = 'new';",
        )
        .unwrap();
        compare(&conn).unwrap();
    }

    #[test]
    fn a_damaged_file_is_looked_for_during_seven_days() {
        let conn = migrated();
        assert_eq!(lost(&conn).unwrap(), None);
        for (days, expected) in [(6, Some("it")), (8, None)] {
            let at = Timestamp::now().plus_micros(-days * 24 * 3600 * 1_000_000);
            conn.execute("INSERT OR REPLACE INTO meta VALUES ('lost:it', ?1)", [at.0])
                .unwrap();
            assert_eq!(lost(&conn).unwrap().as_deref(), expected, "{days}");
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
