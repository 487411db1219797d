//! Workspace tokens. Only hashes are kept.

use rusqlite::{OptionalExtension as _, Result, params};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Store;
use super::workspaces::Workspace;
use crate::local_platform::{clock, credentials};

/// Where a token came from. Level C's registry gate asks only for instance tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Create, register and rotate.
    Instance,
    /// The Tokens tab.
    Api,
}

impl Store {
    /// Mints a token and returns its only plain copy.
    pub(crate) fn mint_token(&self, workspace: &str, kind: TokenKind) -> Result<String> {
        let token = credentials::fresh();
        let kind = match kind {
            TokenKind::Instance => "instance",
            TokenKind::Api => "api",
        };
        self.lock()
            .prepare_cached(
                "INSERT INTO tokens (id, workspace_id, hash, prefix, kind, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                Uuid::new_v4().to_string(),
                workspace,
                credentials::digest(&token),
                &token[..8],
                kind,
                clock::now()
            ])?;
        Ok(token)
    }

    /// How many tokens of a workspace are not revoked. A removed workspace's count too: that is the real platform's
    /// quirk, and what makes its beats answer 401 after a later register.
    pub(crate) fn live_tokens(&self, workspace: &str, kind: Option<TokenKind>) -> Result<u32> {
        self.lock()
            .prepare_cached(
                "SELECT count(*) FROM tokens WHERE workspace_id = ?1 AND revoked_at IS NULL AND (NOT ?2 OR kind = 'instance')",
            )?
            .query_row(params![workspace, kind == Some(TokenKind::Instance)], |row| row.get(0))
    }

    /// The workspace a live token belongs to; a removed workspace's tokens open nothing.
    pub(crate) fn owner_of(&self, token: &str) -> Result<Option<String>> {
        let hash = credentials::digest(token);
        let owner: Option<String> = self
            .lock()
            .prepare_cached(
                "UPDATE tokens SET last_used_at = ? WHERE hash = ? AND revoked_at IS NULL RETURNING workspace_id",
            )?
            .query_row(params![clock::now(), hash], |row| row.get(0))
            .optional()?;
        let Some(owner) = owner else { return Ok(None) };
        let removed = self
            .workspace(&owner)?
            .is_none_or(|workspace: Workspace| workspace.is_removed());
        Ok((!removed).then_some(owner))
    }

    /// Revokes all tokens of a workspace.
    pub(crate) fn revoke_tokens(&self, workspace: &str) -> Result<()> {
        self.lock()
            .prepare_cached("UPDATE tokens SET revoked_at = ? WHERE workspace_id = ? AND revoked_at IS NULL")?
            .execute(params![clock::now(), workspace])?;
        Ok(())
    }

    /// Revokes one token; whether there was one to revoke.
    pub(crate) fn revoke_token(&self, workspace: &str, id: &str) -> Result<bool> {
        let changed = self
            .lock()
            .prepare_cached(
                "UPDATE tokens SET revoked_at = ? WHERE workspace_id = ? AND id = ? AND revoked_at IS NULL",
            )?
            .execute(params![clock::now(), workspace, id])?;
        Ok(changed > 0)
    }

    /// One page of the live tokens, newest first.
    pub(crate) fn list_tokens(&self, workspace: &str, limit: u32, offset: u32) -> Result<Vec<Value>> {
        let db = self.lock();
        let mut query = db.prepare_cached(
            "SELECT id, prefix, created_at, last_used_at FROM tokens WHERE workspace_id = ? AND revoked_at IS NULL
             ORDER BY seq DESC LIMIT ? OFFSET ?",
        )?;
        let rows = query.query_map(params![workspace, limit, offset], |row| {
            let used: Option<i64> = row.get(3)?;
            Ok(json!({
                "id": row.get::<_, String>(0)?, "prefix": row.get::<_, String>(1)?,
                "created_at": clock::text(row.get(2)?), "last_used_at": used.map(clock::text),
            }))
        })?;
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_workspaces_token_lives_but_opens_nothing() {
        let store = Store::open(None).unwrap();
        store.put_workspace(&Workspace::new("w".into(), "w".into())).unwrap();
        let token = store.mint_token("w", TokenKind::Api).unwrap();
        assert_eq!(store.owner_of(&token).unwrap().as_deref(), Some("w"));
        assert_eq!(store.owner_of("wrong").unwrap(), None);
        assert_eq!(store.live_tokens("w", None).unwrap(), 1);
        assert_eq!(store.live_tokens("w", Some(TokenKind::Instance)).unwrap(), 0);
        store.change_workspace("w", |ws| ws.status = "removed".into()).unwrap();
        assert_eq!(store.owner_of(&token).unwrap(), None);
        assert_eq!(store.live_tokens("w", None).unwrap(), 1);
    }

    #[test]
    fn tokens_are_listed_newest_first_and_revoked_once() {
        let store = Store::open(None).unwrap();
        store.put_workspace(&Workspace::new("w".into(), "w".into())).unwrap();
        let first = store.mint_token("w", TokenKind::Instance).unwrap();
        let second = store.mint_token("w", TokenKind::Instance).unwrap();
        let listed = store.list_tokens("w", 50, 0).unwrap();
        assert_eq!(
            (&listed[0]["prefix"], &listed[1]["prefix"]),
            (&json!(second[..8]), &json!(first[..8]))
        );
        let id = listed[0]["id"].as_str().unwrap();
        assert!(store.revoke_token("w", id).unwrap());
        assert!(!store.revoke_token("w", id).unwrap());
        assert_eq!(store.owner_of(&second).unwrap(), None);
        assert!(store.owner_of(&first).unwrap().is_some());
    }
}
