//! All workspaces of this process, as their tools see them: which of them acts when a tool is called.
//!
//! Whatever acts, acts with its own token and under its own id. Where there is a choice, the caller makes it: a message under
//! the wrong name cannot be taken back, so nothing is guessed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::context::{self, Context};
use super::peers::Seen;
use super::sources::Sources;
use crate::config::{Permission, Switch};
use crate::mcp::answer::ToolError;
use crate::platform::wire::Peer;
use crate::state::health::{HealthBoard, Trouble};
use crate::state::journal::{Inboxes, Journal, JournalError};
use crate::state::message::Entry;
use crate::state::request::Side;
use crate::types::{PeerId, RequestId, WorkspaceId};

/// The workspaces of one process, at least one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workspaces {
    all: Arc<[Context]>,
    inboxes: Inboxes,
    sources: Arc<Mutex<Sources>>,
    seen: Arc<Mutex<Option<(Instant, Seen)>>>,
}

/// How long a list of peers may be paged through.
const PAGED: Duration = Duration::from_secs(300);

impl Workspaces {
    /// The most ids in one sentence.
    const NAMED: usize = 20;

    /// Those with these journals, which were opened together.
    ///
    /// # Panics
    /// Without any.
    #[must_use]
    pub fn of(all: Vec<Context>) -> Self {
        let journals = all.iter().map(|context| context.journal.clone()).collect();
        Self {
            all: all.into(),
            inboxes: Inboxes::of(journals),
            sources: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Refuses a tool that the agent's roles do not grant; they are those of the whole process.
    ///
    /// # Errors
    /// Then.
    pub(super) fn check_role(&self, tool: &str, needed: Permission) -> Result<(), ToolError> {
        self.first().check_role(tool, needed)
    }

    /// Their inboxes, as one.
    #[must_use]
    pub fn inboxes(&self) -> &Inboxes {
        &self.inboxes
    }

    /// The same, for another client that this process serves beside others: what it is shown is leased to it alone.
    ///
    /// # Errors
    /// When its session cannot be begun.
    pub async fn for_another_session(&self) -> Result<Self, JournalError> {
        let journals: Vec<_> = self.all.iter().map(|context| context.journal.clone()).collect();
        let journals = Journal::for_another_session(&journals).await?;
        let seated = self.all.iter().zip(journals).map(|(context, journal)| Context {
            journal,
            ..context.clone()
        });
        Ok(Self::of(seated.collect()))
    }

    /// All of them, in the order of the settings.
    #[must_use]
    pub fn all(&self) -> &[Context] {
        &self.all
    }

    /// The first, for what is the same for all.
    pub(super) fn first(&self) -> &Context {
        &self.all[0]
    }

    /// The only one there is.
    pub(super) fn only(&self) -> Option<&Context> {
        match &*self.all {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The workspace that acts: the one that `argument` names, or the only one.
    ///
    /// # Errors
    /// When it is none of this process's, when it is not named although there are several, or when it was stopped. Nothing
    /// was sent then.
    pub(super) fn one(&self, argument: &str, given: Option<&WorkspaceId>) -> Result<&Context, ToolError> {
        let found = match given {
            None => self
                .only()
                .ok_or_else(|| self.unclear(argument, "must be given", self.all.iter())),
            Some(given) => self.all.iter().find(|context| context.own == *given).ok_or_else(|| {
                self.only().map_or_else(
                    || self.unclear(argument, "names none of them", self.all.iter()),
                    |_| ToolError::argument(argument, "must be this daemon's own workspace, or be left out"),
                )
            }),
        };
        found?.running()
    }

    /// The same for what is done to a workspace that need not be ours: where none is named to act, ours acts for itself, and for
    /// any other the first stands in, whose token goes nowhere but to its own routes.
    ///
    /// # Errors
    /// As for [`Self::one`].
    pub(super) fn acting(
        &self,
        source: Option<&WorkspaceId>,
        target: Option<&WorkspaceId>,
    ) -> Result<&Context, ToolError> {
        self.acting_as("source_workspace_id", source, target)
    }

    /// The same where the argument has this name.
    ///
    /// # Errors
    /// As for [`Self::one`].
    pub(super) fn acting_as(
        &self,
        argument: &str,
        source: Option<&WorkspaceId>,
        target: Option<&WorkspaceId>,
    ) -> Result<&Context, ToolError> {
        match (source, target) {
            (None, Some(target)) => match self.all.iter().find(|context| context.own == *target) {
                Some(own) => own.running(),
                None => Ok(self.first()),
            },
            _ => self.one(argument, source),
        }
    }

    /// The same for what goes to a peer: where it is not named, the workspace that knows the peer acts, if it is one only.
    ///
    /// # Errors
    /// As for [`Self::one`].
    pub(super) async fn to_peer(
        &self,
        argument: &str,
        given: Option<&WorkspaceId>,
        peer: &PeerId,
    ) -> Result<&Context, ToolError> {
        if given.is_some() || self.all.len() == 1 {
            return self.one(argument, given);
        }
        let mut knowing = lock(&self.sources).of(peer);
        if knowing.is_empty() {
            knowing = self.inboxes.heard_from(peer).await?;
        }
        match &*knowing {
            [] => Err(ToolError::failed(
                "WORKSPACE_NEEDED",
                format!(
                    "this daemon serves several workspaces, and it is not known which of them can reach {peer}; nothing was sent"
                ),
                format!("call list_peers, which tells by via, or give {argument}"),
            )),
            knowing => self.one_of(argument, "must be given, because several know this peer", knowing),
        }
    }

    /// The same for what is about a request: where it is not named, the workspace at which the request is open acts, on this
    /// side if one is named.
    ///
    /// # Errors
    /// As for [`Self::one`].
    pub(super) async fn about_request(
        &self,
        argument: &str,
        given: Option<&WorkspaceId>,
        id: &RequestId,
        side: Option<Side>,
    ) -> Result<&Context, ToolError> {
        if given.is_some() || self.all.len() == 1 {
            return self.one(argument, given);
        }
        match &*self.inboxes.with_request(id, side).await? {
            [] => self.one(argument, None),
            open => self.one_of(argument, "must be given, because it is open at several", open),
        }
    }

    fn one_of(&self, argument: &str, rule: &str, among: &[usize]) -> Result<&Context, ToolError> {
        match among {
            [one] => self.all[*one].running(),
            several => Err(self.unclear(argument, rule, several.iter().map(|index| &self.all[*index]))),
        }
    }

    /// The workspace at which a message arrived, which answers it, too.
    ///
    /// # Errors
    /// When it was stopped.
    pub(super) fn at_arrival(&self, entry: &Entry) -> Result<&Context, ToolError> {
        let arrival = entry.arrival.as_ref();
        let found = arrival.and_then(|arrival| self.all.iter().find(|context| context.own == *arrival));
        found.unwrap_or(self.first()).running()
    }

    /// The workspace that wrote something into its outbox, by its handle or the delegation's id.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) async fn sender_of(&self, id: &str) -> Result<Option<&Context>, ToolError> {
        let found = self.inboxes.sender_of(id).await?;
        Ok(found.map(|index| &self.all[index]))
    }

    /// The workspace that has a delegation in its record: the one that gave it, else one that received it.
    ///
    /// # Errors
    /// As for [`Self::one`], but for a workspace that was stopped: its record can be read all the same.
    pub(super) async fn with_thread(
        &self,
        argument: &str,
        given: Option<&WorkspaceId>,
        id: &str,
    ) -> Result<&Context, ToolError> {
        if given.is_some() {
            return self.one(argument, given);
        }
        if let Some(only) = self.only() {
            return Ok(only);
        }
        if let Some(sender) = self.sender_of(id).await? {
            return Ok(sender);
        }
        let holder = self.inboxes.with_thread(id).await?;
        Ok(holder.map_or(self.first(), |index| &self.all[index]))
    }

    /// The platform listed these peers for a workspace.
    pub(super) fn learn_peers(&self, context: &Context, peers: &[Peer]) {
        if let Some(index) = self.all.iter().position(|other| other.own == context.own) {
            let ids = peers.iter().map(|peer| peer.id.as_str());
            lock(&self.sources).learn(index, ids);
        }
    }

    /// Peers of all that did not fit into one result, as they were last listed.
    pub(super) fn seen_before(&self) -> Option<Seen> {
        let seen = lock(&self.seen).clone();
        seen.filter(|(when, _)| when.elapsed() < PAGED).map(|(_, seen)| seen)
    }

    pub(super) fn keep_seen(&self, seen: Option<Seen>) {
        *lock(&self.seen) = seen.map(|seen| (Instant::now(), seen));
    }

    /// Whether messages are received at all: a switch of the whole process.
    pub(super) fn inbox(&self) -> Switch {
        self.first().inbox
    }

    /// Why messages may be missed or late right now, and where. Empty: they are not.
    pub(super) async fn deafness(&self) -> Vec<Trouble> {
        if self.all.len() == 1 || self.inbox() == Switch::Off {
            return self.first().deafness().await;
        }
        let each = futures_util::future::join_all(self.all.iter().map(Context::deafness)).await;
        let workspaces = self.all.iter().map(|context| &context.own);
        together(workspaces.zip(each).collect())
    }

    /// The error of a call that ends with the session.
    pub(super) fn ended(&self) -> ToolError {
        let healths: Vec<_> = self.all.iter().map(|context| context.health.clone()).collect();
        farewell(&healths)
    }

    fn unclear<'a>(&self, argument: &str, rule: &str, among: impl Iterator<Item = &'a Context>) -> ToolError {
        let among = named(among.map(|context| &context.own));
        ToolError::failed(
            "WORKSPACE_NEEDED",
            format!(
                "this daemon serves {} workspaces, and {argument} {rule}; nothing was sent",
                self.all.len()
            ),
            format!(
                "give one of these as {argument}: {among}; arrival_workspace_id of a message tells where it arrived"
            ),
        )
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error of a call that ends with the session: the remedy, when it ends because all workspaces are in trouble.
pub(super) fn farewell(healths: &[HealthBoard]) -> ToolError {
    let mut errors = healths.iter().map(context::farewell);
    let first = errors.next().unwrap_or(ToolError::Ended);
    if errors.any(|error| matches!(error, ToolError::Ended)) {
        ToolError::Ended
    } else {
        first
    }
}

/// Ids for a sentence, not all of very many.
fn named<'a>(ids: impl Iterator<Item = &'a WorkspaceId>) -> String {
    let ids: Vec<&str> = ids.map(WorkspaceId::as_str).collect();
    let shown = ids.len().min(Workspaces::NAMED);
    let text = ids[..shown].join(", ");
    match ids.len() - shown {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Troubles of several workspaces, one of each kind: all of them have most of them together.
fn together(each: Vec<(&WorkspaceId, Vec<Trouble>)>) -> Vec<Trouble> {
    let mut kinds: Vec<(Trouble, Vec<&WorkspaceId>)> = Vec::new();
    let mut by_code = HashMap::new();
    for (workspace, troubles) in each {
        for trouble in troubles {
            let index = *by_code.entry(trouble.code.clone()).or_insert(kinds.len());
            match kinds.get_mut(index) {
                Some((_, workspaces)) => workspaces.push(workspace),
                None => kinds.push((trouble, vec![workspace])),
            }
        }
    }
    let told = |(trouble, workspaces): (Trouble, Vec<&WorkspaceId>)| Trouble {
        what: format!("workspace {}: {}", named(workspaces.into_iter()), trouble.what),
        ..trouble
    };
    kinds.into_iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<WorkspaceId> {
        (0..count)
            .map(|n| WorkspaceId::parse(&format!("w{n}")).unwrap())
            .collect()
    }

    fn trouble(code: &str) -> Trouble {
        Trouble {
            code: code.to_owned(),
            what: format!("{code} happened"),
            remedy: "wait".to_owned(),
        }
    }

    #[test]
    fn a_trouble_that_many_have_is_told_once_and_says_who_has_it() {
        let ids = ids(25);
        let mut each: Vec<_> = ids.iter().map(|id| (id, vec![trouble("UNREACHABLE")])).collect();
        each[1].1.insert(0, trouble("REFUSED"));
        each[2].1.clear();
        let told = together(each);
        let codes: Vec<_> = told.iter().map(|trouble| trouble.code.as_str()).collect();
        assert_eq!(codes, ["UNREACHABLE", "REFUSED"]);
        assert_eq!(told[1].what, "workspace w1: REFUSED happened");
        let all = &told[0].what;
        assert!(
            all.starts_with("workspace w0, w1, w3, ") && all.ends_with("w20 and 4 more: UNREACHABLE happened"),
            "{all}"
        );
    }

    #[test]
    fn the_end_is_explained_by_a_trouble_only_when_all_have_one() {
        let healths = [(); 2].map(|()| HealthBoard::default());
        let refuse = |health: &HealthBoard| health.update(|health| health.register_trouble = Some(trouble("REFUSED")));
        assert!(matches!(farewell(&healths), ToolError::Ended));
        refuse(&healths[0]);
        assert!(matches!(farewell(&healths), ToolError::Ended));
        assert_eq!(farewell(&healths[..1]).code(), "REFUSED");
        refuse(&healths[1]);
        assert_eq!(farewell(&healths).code(), "REFUSED");
    }
}
