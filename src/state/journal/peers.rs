//! Who the peers are that write: what the platform told with a message or when it was asked, kept beside the messages, so
//! that every process and every way of showing a message says the same.
//!
//! Nothing waits for it: a message is shown without a name until one is known. Age is counted in the time of the
//! messages, so that no clock of this computer matters: a peer that falls silent is not asked about any more.

use rusqlite::{OptionalExtension as _, params};

use super::Journal;
use super::error::JournalError;
use super::file_row::seal;
use super::ledger::Ledger;
use crate::state::message::Message;
use crate::types::{PeerId, Timestamp, label};

/// How long what is known of a peer is good, and how long one that could not be asked about is left alone (daemon-behaviour
/// 7.4).
const GOOD_MICROS: i64 = 300 * 1_000_000;

/// How many peers are remembered of one workspace; those that wrote last.
const AT_MOST: i64 = 1024;

/// What a peer is called, in words that others chose: made fit to be shown when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    name: Option<String>,
    role: Option<String>,
}

impl Introduction {
    /// Of a name and a role as they come; see [`label`].
    #[must_use]
    pub fn new(name: Option<&str>, role: Option<&str>) -> Self {
        Self {
            name: name.and_then(label),
            role: role.and_then(label),
        }
    }

    fn of(message: &Message) -> Option<Self> {
        let told = Self::new(message.peer_name.as_deref(), message.peer_role.as_deref());
        (told != Self::default()).then_some(told)
    }
}

impl Journal {
    /// Peers of whom nobody knows yet who they are, or no longer; those who wrote first come first.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn strangers(&self, limit: u32) -> Result<Vec<PeerId>, JournalError> {
        self.read(move |ledger| ledger.strangers(limit)).await
    }

    /// Keeps what was learned of strangers. `None`: it could not be learned, and what was known before stays.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub async fn introduce(&self, learned: Vec<(PeerId, Option<Introduction>)>) -> Result<(), JournalError> {
        self.write(move |ledger| {
            learned
                .iter()
                .try_for_each(|(peer, told)| ledger.introduce(peer, told.as_ref()))
        })
        .await
    }
}

/// A row of the peer table.
struct Known {
    told: Introduction,
    asked: Timestamp,
}

impl Ledger<'_> {
    /// Names the sender of a message that came without a name.
    pub(super) fn name_sender(&self, message: &mut Message) -> rusqlite::Result<()> {
        if message.peer_name.is_some() || message.peer_role.is_some() {
            return Ok(());
        }
        if let Some(peer) = message.peer()
            && let Some(known) = self.peer(&peer)?
        {
            message.peer_name = known.told.name;
            message.peer_role = known.told.role;
        }
        Ok(())
    }

    /// Learns from a message who its sender is, or notes that this is to be asked.
    pub(super) fn meet(&self, message: &Message) -> Result<(), JournalError> {
        let Some(peer) = message.peer() else { return Ok(()) };
        let told = Introduction::of(message);
        let known = self.peer(&peer)?;
        let good = |known: &Known| message.at < known.asked.plus_micros(GOOD_MICROS);
        let due = told.is_none();
        match known {
            Some(known) if good(&known) && told.as_ref().is_none_or(|told| *told == known.told) => Ok(()),
            known => {
                let before = known.map(|known| known.told);
                self.save_peer(&peer, &told.or(before).unwrap_or_default(), message.at, due)
            }
        }
    }

    fn strangers(&self, limit: u32) -> Result<Vec<PeerId>, JournalError> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT id FROM peer WHERE scope = ?1 AND due = 1 ORDER BY asked LIMIT ?2")?;
        let ids = statement
            .query_map(params![self.scope, limit], |row| row.get::<_, String>(0))?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(ids.iter().filter_map(|id| PeerId::parse(id).ok()).collect())
    }

    fn introduce(&self, peer: &PeerId, told: Option<&Introduction>) -> Result<(), JournalError> {
        match (told, self.peer(peer)?) {
            (Some(told), Some(known)) => self.save_peer(peer, told, known.asked, false),
            _ => {
                self.conn
                    .prepare_cached("UPDATE peer SET due = 0 WHERE scope = ?1 AND id = ?2")?
                    .execute(params![self.scope, peer.as_str()])?;
                Ok(())
            }
        }
    }

    /// A row that does not match its checksum is as good as none.
    fn peer(&self, peer: &PeerId) -> rusqlite::Result<Option<Known>> {
        let row = self
            .conn
            .prepare_cached("SELECT name, role, asked, crc FROM peer WHERE scope = ?1 AND id = ?2")?
            .query_row(params![self.scope, peer.as_str()], |row| {
                let told = Introduction {
                    name: row.get(0).unwrap_or_default(),
                    role: row.get(1).unwrap_or_default(),
                };
                let sound = row.get::<_, i64>(3) == Ok(seal_of(peer, &told).into());
                Ok(row.get(2).ok().filter(|_| sound).map(|asked| Known {
                    told,
                    asked: Timestamp(asked),
                }))
            })
            .optional()?;
        Ok(row.flatten())
    }

    fn save_peer(&self, peer: &PeerId, told: &Introduction, asked: Timestamp, due: bool) -> Result<(), JournalError> {
        self.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO peer (scope, id, name, role, asked, due, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                self.scope,
                peer.as_str(),
                told.name,
                told.role,
                asked.0,
                due,
                seal_of(peer, told),
            ])?;
        self.conn
            .prepare_cached(
                "DELETE FROM peer WHERE scope = ?1 AND id IN
                    (SELECT id FROM peer WHERE scope = ?1 ORDER BY asked DESC LIMIT -1 OFFSET ?2)",
            )?
            .execute(params![self.scope, AT_MOST])?;
        Ok(())
    }
}

fn seal_of(peer: &PeerId, told: &Introduction) -> u32 {
    seal([Some(peer.as_str()), told.name.as_deref(), told.role.as_deref()])
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Folder, PEER, batch, message, peer};
    use super::*;
    use crate::state::message::Kind;

    fn names(message: &Message) -> (Option<&str>, Option<&str>) {
        (message.peer_name.as_deref(), message.peer_role.as_deref())
    }

    async fn commit(journal: &Journal, messages: impl IntoIterator<Item = Message>) {
        journal.commit(batch(messages)).await.unwrap();
    }

    async fn strangers(journal: &Journal) -> Vec<PeerId> {
        journal.strangers(10).await.unwrap()
    }

    #[tokio::test]
    async fn a_stranger_is_asked_about_once_and_then_named_in_every_process() {
        let folder = Folder::new();
        let (journal, other) = (folder.open().await, folder.open().await);
        commit(&journal, [message("a", 0), message("b", 1)]).await;
        assert_eq!(strangers(&journal).await, [peer()]);
        assert_eq!(
            names(&journal.lease_next().await.unwrap().unwrap().message),
            (None, None)
        );
        let told = Introduction::new(Some("Ada\u{1b}[31m <x>"), Some("ops\n"));
        journal.introduce(vec![(peer(), Some(told))]).await.unwrap();
        assert!(strangers(&journal).await.is_empty());
        for entry in other.peek(10).await.unwrap() {
            assert_eq!(names(&entry.message), (Some("Ada31m x"), Some("ops")));
        }
        commit(&journal, [message("c", 299)]).await;
        assert!(strangers(&journal).await.is_empty());
        commit(&journal, [message("d", 300)]).await;
        assert_eq!(strangers(&journal).await, [peer()]);
        let last = other.list(None, 1, 0).await.unwrap();
        assert_eq!(
            names(&last[0].message).0,
            Some("Ada31m x"),
            "known until it is known better"
        );
    }

    #[tokio::test]
    async fn one_who_could_not_be_asked_about_is_left_alone_for_as_long() {
        let folder = Folder::new();
        let journal = folder.open().await;
        commit(&journal, [message("a", 0)]).await;
        journal.introduce(vec![(peer(), None)]).await.unwrap();
        assert!(strangers(&journal).await.is_empty());
        commit(&journal, [message("b", 299)]).await;
        assert!(strangers(&journal).await.is_empty());
        commit(&journal, [message("c", 301)]).await;
        assert_eq!(strangers(&journal).await, [peer()]);
    }

    #[tokio::test]
    async fn what_the_platform_tells_with_a_message_comes_first_and_is_remembered() {
        let folder = Folder::new();
        let journal = folder.open().await;
        let mut introduced = message("a", 0);
        introduced.peer_name = Some("Ada".to_owned());
        commit(&journal, [introduced.clone(), message("b", 1)]).await;
        assert!(strangers(&journal).await.is_empty());
        let shown = journal.peek(10).await.unwrap();
        assert_eq!(names(&shown[1].message), (Some("Ada"), None));
        introduced.activity_id = crate::types::ActivityId::parse("c").unwrap();
        introduced.peer_name = Some("Grace".to_owned());
        commit(&journal, [introduced]).await;
        let shown = journal.peek(10).await.unwrap();
        let seen: Vec<_> = shown.iter().map(|entry| names(&entry.message).0.unwrap()).collect();
        assert_eq!(
            seen,
            ["Ada", "Grace", "Grace"],
            "each as it was told, and the rest as told last"
        );
    }

    #[tokio::test]
    async fn nobody_is_asked_who_the_person_or_the_platform_is() {
        let folder = Folder::new();
        let journal = folder.open().await;
        let of = |kind: Kind, peer_id: &str| Message {
            kind,
            peer_id: peer_id.to_owned(),
            ..message(&format!("{}-{}", kind.as_str(), peer_id.len()), 0)
        };
        for kind in Kind::ALL {
            commit(&journal, [of(kind, ""), of(kind, "no-uuid")]).await;
        }
        commit(&journal, [of(Kind::DelegationResult, PEER), of(Kind::System, PEER)]).await;
        assert!(strangers(&journal).await.is_empty());
        commit(&journal, [of(Kind::Broadcast, &PEER.to_ascii_uppercase())]).await;
        assert_eq!(strangers(&journal).await, [peer()]);
    }

    #[tokio::test]
    async fn a_crowd_is_forgotten_but_for_those_who_wrote_last_and_a_damaged_name_is_not_shown() {
        let folder = Folder::in_memory();
        let journal = folder.open().await;
        let nth = |n: i64| format!("5f0c1d2e-0000-4000-8000-{n:012}");
        let crowd = (1..=AT_MOST + 5).map(|n| Message {
            peer_id: nth(n),
            peer_name: Some(format!("peer {n}")),
            ..message(&format!("m-{n}"), n)
        });
        commit(&journal, crowd).await;
        let count = |journal: &Journal| {
            let store = journal.inner.store();
            let count = store
                .connection()
                .query_row("SELECT count(*), min(asked) FROM peer", [], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
                });
            count.unwrap()
        };
        let (left, oldest) = count(&journal);
        assert_eq!((left, oldest), (AT_MOST, message("x", 6).at.0));

        let unnamed = Message {
            peer_id: nth(10),
            ..message("last", 2000)
        };
        {
            let store = journal.inner.store();
            let change = "UPDATE peer SET name = 'the person' WHERE name = 'peer 10'";
            store.connection().execute_batch(change).unwrap();
        }
        commit(&journal, [unnamed]).await;
        let last = journal.list(None, 1, 0).await.unwrap();
        assert_eq!(names(&last[0].message), (None, None));
        assert_eq!(strangers(&journal).await.len(), 1, "and it is asked for anew");
    }
}
