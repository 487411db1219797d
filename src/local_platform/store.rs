//! Everything the platform remembers, in one SQLite database behind one lock: in memory, or a file.
//!
//! Plain resources are JSON documents by kind and id; only what is searched (activity rows, tokens) has columns.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension as _, Result, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) mod activity;
pub(crate) mod changes;
pub(crate) mod delegations;
pub(crate) mod fetches;
pub(crate) mod queue;
pub(crate) mod resources;
pub(crate) mod tokens;
pub(crate) mod uploads;
pub(crate) mod workspaces;

/// The one store.
pub(crate) struct Store {
    connection: Mutex<Connection>,
    changes: changes::Changes,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, id));
CREATE TABLE IF NOT EXISTS tokens (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, workspace_id TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
    prefix TEXT NOT NULL, kind TEXT NOT NULL, created_at INTEGER NOT NULL, last_used_at INTEGER, revoked_at INTEGER);
CREATE INDEX IF NOT EXISTS tokens_of_workspace ON tokens (workspace_id);
CREATE TABLE IF NOT EXISTS activity (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, workspace_id TEXT NOT NULL, activity_type TEXT NOT NULL,
    source_id TEXT, target_id TEXT, method TEXT, summary TEXT, request_body TEXT, response_body TEXT, tool_trace TEXT,
    duration_ms INTEGER, status TEXT, error_detail TEXT, created_at INTEGER NOT NULL, message_id TEXT,
    delegation_id TEXT, idempotency_key TEXT);
CREATE INDEX IF NOT EXISTS activity_in_time ON activity (workspace_id, created_at, seq);
CREATE INDEX IF NOT EXISTS activity_by_id ON activity (id);
CREATE INDEX IF NOT EXISTS activity_by_message ON activity (workspace_id, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS activity_by_delegation ON activity (workspace_id, delegation_id)
    WHERE delegation_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS activity_by_key ON activity (workspace_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, workspace_id TEXT NOT NULL, name TEXT NOT NULL, mime_type TEXT NOT NULL, content BLOB NOT NULL,
    acked_at INTEGER, expires_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fetches (seq INTEGER PRIMARY KEY, fetched_at INTEGER NOT NULL);
";

impl Store {
    /// Opens `folder/platform.db`, or a database in memory.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self> {
        let connection = match folder {
            Some(folder) => {
                let path = folder.join("platform.db");
                make_private(&path).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
                Connection::open(path)?
            }
            None => Connection::open_in_memory()?,
        };
        // A power cut may cost the last moments; this is a platform for one machine, and each write stays cheap.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")?;
        connection.execute_batch(SCHEMA)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self {
            connection: Mutex::new(connection),
            changes: changes::Changes::default(),
        })
    }

    /// One document.
    pub(crate) fn get<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<T>> {
        get(&self.lock(), kind, id)
    }

    /// Writes a document; one that exists keeps its place in the order.
    pub(crate) fn put(&self, kind: &str, id: &str, document: &impl Serialize) -> Result<()> {
        put(&self.lock(), kind, id, document)?;
        self.changes.document(kind, id);
        Ok(())
    }

    /// Changes a document in place and returns what `change` returned; `None` when there is no such document.
    pub(crate) fn change<T, R>(&self, kind: &str, id: &str, change: impl FnOnce(&mut T) -> R) -> Result<Option<R>>
    where
        T: DeserializeOwned + Serialize,
    {
        let db = self.lock();
        let Some(mut document) = get::<T>(&db, kind, id)? else {
            return Ok(None);
        };
        let outcome = change(&mut document);
        put(&db, kind, id, &document)?;
        drop(db);
        self.changes.document(kind, id);
        Ok(Some(outcome))
    }

    /// Removes a document.
    pub(crate) fn delete(&self, kind: &str, id: &str) -> Result<()> {
        self.lock()
            .prepare_cached("DELETE FROM documents WHERE kind = ? AND id = ?")?
            .execute([kind, id])?;
        self.changes.document(kind, id);
        Ok(())
    }

    /// All documents of a kind, in the order they were made.
    pub(crate) fn list<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>> {
        let db = self.lock();
        let mut query = db.prepare_cached("SELECT body FROM documents WHERE kind = ? ORDER BY seq")?;
        let rows = query.query_map([kind], |row| row.get::<_, String>(0))?;
        rows.map(|body| decode(&body?)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates the database 0600: it holds secrets. SQLite's companion files take over its mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn get<T: DeserializeOwned>(db: &Connection, kind: &str, id: &str) -> Result<Option<T>> {
    let mut query = db.prepare_cached("SELECT body FROM documents WHERE kind = ? AND id = ?")?;
    let body: Option<String> = query.query_row([kind, id], |row| row.get(0)).optional()?;
    body.map(|body| decode(&body)).transpose()
}

fn put(db: &Connection, kind: &str, id: &str, document: &impl Serialize) -> Result<()> {
    let body = serde_json::to_string(document).expect("documents have text keys");
    db.prepare_cached(
        "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
    )?
    .execute(params![kind, id, body])?;
    Ok(())
}

fn decode<T: DeserializeOwned>(body: &str) -> Result<T> {
    serde_json::from_str(body)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn documents_keep_their_place_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = Store::open(Some(folder.path())).unwrap();
            store.put("thing", "a", &json!({ "n": 1 })).unwrap();
            store.put("thing", "b", &json!({ "n": 2 })).unwrap();
            let before = store
                .change("thing", "a", |thing: &mut Value| thing["n"].take())
                .unwrap();
            assert_eq!(before, Some(json!(1)));
            assert_eq!(store.change("thing", "c", |_: &mut Value| ()).unwrap(), None);
        }
        let store = Store::open(Some(folder.path())).unwrap();
        assert_eq!(
            store.list::<Value>("thing").unwrap(),
            [json!({ "n": null }), json!({ "n": 2 })]
        );
        store.delete("thing", "a").unwrap();
        assert_eq!(store.get::<Value>("thing", "a").unwrap(), None);
    }
}
