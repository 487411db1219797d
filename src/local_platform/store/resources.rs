//! Plain resources: JSON objects by kind and owner, so that a new kind is a line in the route table and not a table here.

use rusqlite::{Result, params};
use serde_json::Value;

use super::{Store, decode};

impl Store {
    /// One resource of an owner (a workspace id, or empty for the tenant).
    pub(crate) fn resource(&self, kind: &str, owner: &str, id: &str) -> Result<Option<Value>> {
        self.get(kind, &key(owner, id))
    }

    /// Writes a resource; one that exists keeps its place in the order.
    pub(crate) fn put_resource(&self, kind: &str, owner: &str, id: &str, body: &Value) -> Result<()> {
        self.put(kind, &key(owner, id), body)
    }

    /// Removes a resource; whether there was one.
    pub(crate) fn delete_resource(&self, kind: &str, owner: &str, id: &str) -> Result<bool> {
        let deleted = self
            .lock()
            .prepare_cached("DELETE FROM documents WHERE kind = ? AND id = ?")?
            .execute([kind, &key(owner, id)])?;
        Ok(deleted > 0)
    }

    /// All resources of a kind and owner, in the order they were made.
    pub(crate) fn resources(&self, kind: &str, owner: &str) -> Result<Vec<Value>> {
        let db = self.lock();
        let mut query = db.prepare_cached(
            "SELECT body FROM documents WHERE kind = ?1 AND substr(id, 1, length(?2)) = ?2 ORDER BY seq",
        )?;
        let rows = query.query_map(params![kind, key(owner, "")], |row| row.get::<_, String>(0))?;
        rows.map(|body| decode(&body?)).collect()
    }
}

fn key(owner: &str, id: &str) -> String {
    format!("{owner}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_are_kept_by_kind_and_owner() {
        let store = Store::open(None).unwrap();
        for (owner, id) in [("a", "x"), ("a", "y"), ("ab", "x"), ("", "x")] {
            store
                .put_resource("k", owner, id, &json!({ "id": id, "of": owner }))
                .unwrap();
        }
        store
            .put_resource("k", "a", "x", &json!({ "id": "x", "of": "again" }))
            .unwrap();
        let of = |owner| -> Vec<String> {
            let rows = store.resources("k", owner).unwrap();
            rows.iter().map(|row| row["of"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            (of("a"), of("ab"), of("")),
            (vec!["again".into(), "a".into()], vec!["ab".into()], vec!["".into()])
        );
        assert!(store.delete_resource("k", "a", "x").unwrap());
        assert!(!store.delete_resource("k", "a", "x").unwrap());
        assert!(store.resource("k", "a", "x").unwrap().is_none());
    }
}
