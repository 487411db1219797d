//! What the daemons' journals hold, read from outside and without writing.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::world::World;

/// One row of an outbox.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: String,
    /// `delegate`, `reply` or `notify`.
    pub kind: String,
    pub text: String,
    pub progress: String,
    pub attempts: u32,
    pub delegation_id: Option<String>,
    pub answer: Option<String>,
    pub detail: Option<String>,
}

fn open(world: &World, workspace: usize) -> Option<Connection> {
    let path = world.workspaces[workspace].folder.join("molecule.db");
    let journal = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    journal.busy_timeout(Duration::from_secs(10)).ok()?;
    // What killed daemons left in the write-ahead file is for their successors to find.
    journal
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .ok()?;
    Some(journal)
}

/// How much is not settled yet: messages not acknowledged, work without an outcome.
pub fn pending(world: &World) -> usize {
    const OPEN: &str = "SELECT (SELECT count(*) FROM message WHERE state IN ('held', 'new', 'leased'))
        + (SELECT count(*) FROM outbox WHERE progress = 'pending')";
    let count = |workspace| {
        let count = open(world, workspace)?.query_row(OPEN, [], |row| row.get::<_, u32>(0));
        count.ok().map(|count| count as usize)
    };
    // A journal that cannot be read now is not settled.
    (0..world.workspaces.len())
        .map(|workspace| count(workspace).unwrap_or(1))
        .sum()
}

/// How many messages of a workspace are not acknowledged; none when that cannot be told now.
pub fn backlog(world: &World, workspace: usize) -> u32 {
    const OPEN: &str = "SELECT count(*) FROM message WHERE state IN ('held', 'new')";
    open(world, workspace)
        .and_then(|journal| journal.query_row(OPEN, [], |row| row.get(0)).ok())
        .unwrap_or(0)
}

pub fn outbox(world: &World) -> Vec<Sent> {
    let mut all = Vec::new();
    for workspace in 0..world.workspaces.len() {
        let journal = open(world, workspace).expect("the journal opens");
        let mut statement = journal
            .prepare("SELECT id, kind, work, progress, attempts, delegation_id, answer, detail FROM outbox ORDER BY n")
            .unwrap();
        let rows = statement.query_map([], |row| {
            let work: Value = serde_json::from_str(&row.get::<_, String>(2)?).unwrap_or_default();
            let text = work["task"].as_str().or(work["text"].as_str()).unwrap_or_default();
            Ok(Sent {
                id: row.get(0)?,
                kind: row.get(1)?,
                text: text.to_owned(),
                progress: row.get(3)?,
                attempts: row.get(4)?,
                delegation_id: row.get(5)?,
                answer: row.get(6)?,
                detail: row.get(7)?,
            })
        });
        all.extend(rows.unwrap().map(Result::unwrap));
    }
    all
}

/// The state of every message, by workspace and text.
pub fn states(world: &World) -> HashMap<(usize, String), Vec<String>> {
    let mut states: HashMap<_, Vec<String>> = HashMap::new();
    for workspace in 0..world.workspaces.len() {
        let journal = open(world, workspace).expect("the journal opens");
        let mut statement = journal.prepare("SELECT body, state FROM message").unwrap();
        let rows = statement.query_map([], |row| {
            let body: Value = serde_json::from_str(&row.get::<_, String>(0)?).unwrap_or_default();
            let state: String = row.get(1)?;
            Ok((body["text"].as_str().unwrap_or_default().to_owned(), state))
        });
        for (text, state) in rows.unwrap().map(Result::unwrap) {
            states.entry((workspace, text)).or_default().push(state);
        }
    }
    states
}

/// Whether SQLite finds nothing wrong.
pub fn is_sound(world: &World, workspace: usize) -> bool {
    let journal = open(world, workspace).expect("the journal opens");
    let answer = journal.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    answer.is_ok_and(|answer| answer == "ok")
}
