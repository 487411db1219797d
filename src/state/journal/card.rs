//! The agent card that was last set, under a checksum.

use rusqlite::{OptionalExtension as _, params};
use serde_json::Value;

use super::Journal;
use super::error::JournalError;
use super::ledger::Ledger;
use super::row::seal;
use crate::state::agent_card::LastCard;

impl Journal {
    /// The card that an agent of this workspace set last; `None`: none did.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn last_card(&self) -> Result<Option<LastCard>, JournalError> {
        self.read(|ledger| ledger.last_card()).await
    }

    /// Keeps a card that the platform took.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn keep_card(&self, card: LastCard) -> Result<(), JournalError> {
        self.write(move |ledger| ledger.keep_card(&card)).await
    }
}

impl Ledger<'_> {
    fn last_card(&self) -> Result<Option<LastCard>, JournalError> {
        let row: Option<(String, String, i64)> = self
            .conn
            .prepare_cached("SELECT card, configured, crc FROM card WHERE scope = ?1")?
            .query_row([self.scope], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((card, configured, crc)) = row else {
            return Ok(None);
        };
        let damaged = || JournalError::Damaged("the agent card does not match its checksum".to_owned());
        if i64::from(seal(&card, configured.as_bytes())) != crc {
            return Err(damaged());
        }
        match (serde_json::from_str(&card), serde_json::from_str(&configured)) {
            (Ok(Value::Object(card)), Ok(configured)) => Ok(Some(LastCard { card, configured })),
            _ => Err(damaged()),
        }
    }

    fn keep_card(&self, last: &LastCard) -> Result<(), JournalError> {
        let card = Value::Object(last.card.clone()).to_string();
        let configured = last.configured.to_string();
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO card (scope, card, configured, crc) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                self.scope,
                card,
                configured,
                seal(&card, configured.as_bytes())
            ])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::Folder;
    use super::*;

    #[tokio::test]
    async fn a_card_is_kept_for_its_workspace_and_a_changed_one_is_damage() {
        let folder = Folder::new();
        let journal = folder.open().await;
        assert_eq!(journal.last_card().await.unwrap(), None);
        let last = |name: &str| LastCard {
            card: json!({ "name": name, "skills": [] }).as_object().unwrap().clone(),
            configured: json!({ "name": "m" }),
        };
        journal.keep_card(last("first")).await.unwrap();
        journal.keep_card(last("second")).await.unwrap();
        let other = folder.open_for("v").await;
        assert_eq!(other.last_card().await.unwrap(), None);
        drop(journal);
        let journal = folder.open().await;
        assert_eq!(journal.last_card().await.unwrap(), Some(last("second")));
        {
            let store = journal.inner.store();
            let change = "UPDATE card SET card = replace(card, 'second', 'secomd')";
            store.connection().execute_batch(change).unwrap();
        }
        assert!(matches!(journal.last_card().await, Err(JournalError::Damaged(_))));
    }
}
