//! The facts of `status`, as `--json` prints them. Fields may be added; what is there keeps its name and meaning.

use serde::{Serialize, Serializer};

use crate::config::looking::Looking;
use crate::state::health::{Past, Trouble};
use crate::state::overview::{Overview, Post, Standing, State};
use crate::types::Timestamp;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Of the program that looks; a daemon may be of another one.
    pub(super) version: &'static str,
    pub(super) state_dir: String,
    /// Whether every workspace receives; false when there is none.
    pub(super) receiving: bool,
    pub(super) workspaces: Vec<Workspace>,
    /// What is wrong with the folder as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) journal_trouble: Option<Trouble>,
    /// What a daemon started from this very environment would lack. Beside a client that passes the daemon its variables
    /// that is nothing to worry about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) configuration: Vec<String>,
}

/// One workspace. Times are RFC 3339 in UTC; null: never, or not known.
#[derive(Debug, Serialize)]
pub(super) struct Workspace {
    pub(super) workspace: String,
    pub(super) platform: String,
    pub(super) state: State,
    pub(super) receiving: bool,
    /// Whether heartbeats are accepted, so that others see it as online.
    pub(super) visible: bool,
    /// Since when it has (or has not) been receiving.
    #[serde(serialize_with = "time")]
    pub(super) since: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    pub(super) registered: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    pub(super) last_beat: Option<Timestamp>,
    #[serde(serialize_with = "time")]
    pub(super) last_read: Option<Timestamp>,
    pub(super) stream_live: bool,
    pub(super) inbox: Inbox,
    /// Replies and tasks that the platform has not taken yet.
    pub(super) outgoing: u64,
    pub(super) processes: usize,
    pub(super) presence: Option<Holder>,
    pub(super) reading: Option<Holder>,
    /// Where the token comes from: that of the process that runs, else that of a process that would be started now.
    pub(super) token_source: Option<String>,
    pub(super) tool_sets: Vec<String>,
    pub(super) troubles: Vec<Trouble>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) past_trouble: Option<PastTrouble>,
}

#[derive(Debug, Serialize)]
pub(super) struct Inbox {
    pub(super) new: u64,
    pub(super) leased: u64,
    pub(super) aside: u64,
    pub(super) held: u64,
    pub(super) recovered: u64,
    pub(super) damaged: u64,
    #[serde(serialize_with = "time")]
    pub(super) oldest: Option<Timestamp>,
}

/// The process that does a duty.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) version: String,
    #[serde(serialize_with = "time")]
    pub(super) started: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub(super) struct PastTrouble {
    #[serde(flatten)]
    pub(super) trouble: Trouble,
    #[serde(serialize_with = "time")]
    pub(super) over: Option<Timestamp>,
}

impl Report {
    pub(super) fn of(looking: &Looking, overview: &Overview) -> Self {
        let workspaces: Vec<_> = overview
            .workspaces
            .iter()
            .map(|one| Workspace::of(one, looking))
            .collect();
        let configuration = match &looking.config {
            Ok(_) => Vec::new(),
            Err(problems) => problems
                .iter()
                .map(|it| format!("{} {}", it.setting, it.what))
                .collect(),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            state_dir: looking.state_dir.display().to_string(),
            receiving: !workspaces.is_empty() && workspaces.iter().all(|one| one.receiving),
            workspaces,
            journal_trouble: overview.journal_trouble.clone(),
            configuration,
        }
    }
}

impl Workspace {
    fn of(standing: &Standing, looking: &Looking) -> Self {
        let (health, counts) = (standing.health(), standing.counts());
        let config = looking.config.as_ref().ok();
        let own = config.and_then(|config| {
            let mut all = config.memberships.iter();
            all.find(|own| own.workspace == standing.workspace)
        });
        let runs = [&standing.reading, &standing.presence]
            .into_iter()
            .find(|post| post.held);
        let holder = runs.and_then(|post| post.told.as_ref()).map(|told| &told.holder);
        Self {
            workspace: standing.workspace.to_string(),
            platform: standing.origin.clone(),
            state: standing.state(),
            receiving: standing.can_receive(),
            visible: standing.is_visible(),
            since: health.since.filter(|_| standing.reading.held),
            registered: health.registered,
            last_beat: standing.last_beat(),
            last_read: standing.last_read(),
            stream_live: health.stream_live,
            inbox: Inbox {
                new: counts.new,
                leased: counts.leased,
                aside: counts.aside,
                held: counts.held,
                recovered: counts.recovered,
                damaged: counts.damaged,
                oldest: counts.oldest,
            },
            outgoing: standing.journal.as_ref().map_or(0, |journal| journal.outgoing),
            processes: standing.processes,
            presence: Holder::of(&standing.presence),
            reading: Holder::of(&standing.reading),
            token_source: match (holder, own) {
                (Some(holder), _) => Some(holder.token_source.clone()),
                (None, Some(own)) => Some(own.token.describe()),
                (None, None) => None,
            },
            tool_sets: match (holder, config) {
                (Some(holder), _) => holder.tool_sets.clone(),
                (None, Some(config)) => config.shown.words(config.access.api_key.is_some()),
                (None, None) => Vec::new(),
            },
            troubles: standing.troubles(),
            past_trouble: health.past.map(|Past { trouble, over }| PastTrouble {
                trouble,
                over: Some(over),
            }),
        }
    }
}

impl Holder {
    fn of(post: &Post) -> Option<Self> {
        let told = post.told.as_ref().filter(|_| post.held)?;
        Some(Self {
            pid: told.holder.pid,
            version: told.holder.version.clone(),
            started: told.holder.started,
        })
    }
}

fn time<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(Timestamp::to_rfc3339).serialize(serializer)
}
