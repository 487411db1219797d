//! The workspaces of one process: a bundle of parts for each, side by side. What they share is the open journal, and the
//! connections of those at one platform.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::GRACE;
use crate::agent::away;
use crate::agent::duty::{Duties, Looks};
use crate::agent::envelope::{Row, read_row};
use crate::agent::outbox::Outbox;
use crate::agent::stream::Stream;
use crate::agent::supervisor::{Ended, Supervisor};
use crate::cli::bench;
use crate::config::{Config, Membership};
use crate::platform::client::{Client, Settings};
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{Duty, HealthBoard, Role, Trouble};
use crate::state::journal::{Journal, JournalError, Settings as JournalSettings};
use crate::state::message::Message;
use crate::state::naming::Naming;
use crate::state::overview::Overview;
use crate::state::record::{HealthFile, Holder, SILENT_AFTER};
use crate::state::spool::Spool;
use crate::tools::attachments::Attaching;
use crate::tools::context::Context;
use crate::tools::desk::Ops;
use crate::tools::workspaces::Workspaces;
use crate::types::{Timestamp, WorkspaceId};

/// How often the token's file is looked at.
const LOOK_AT_TOKEN: Duration = Duration::from_secs(20);
/// How often the journal is looked at when nothing wakes this process.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a message is kept back for its files.
const WAIT_FOR_FILES: Duration = Duration::from_secs(10);

/// Workspaces begin this far apart: each looks at a dozen files, and hundreds at once would take hundreds of threads.
const APART: Duration = Duration::from_millis(2);

/// One workspace, before its journal is open.
pub(in crate::cli) struct Bundle {
    pub(in crate::cli) own: Membership,
    pub(in crate::cli) api: WorkspaceApi,
    pub(in crate::cli) health: HealthBoard,
    /// Cancelled when this one stops and others go on.
    stopped: CancellationToken,
}

/// All that the settings name. Those at one platform share its connections.
pub(in crate::cli) fn bundles(config: &Config) -> Vec<Bundle> {
    let mut clients: HashMap<(String, Option<String>), Client> = HashMap::new();
    let bundle = |own: &Membership| {
        let known = clients.entry((own.platform.to_string(), own.org_id.clone()));
        let client = match known {
            std::collections::hash_map::Entry::Occupied(known) => known.get().for_another(),
            std::collections::hash_map::Entry::Vacant(free) => free
                .insert(Client::new(Settings {
                    base: own.platform.clone(),
                    org_id: own.org_id.clone(),
                    org_slug: None,
                    route: config.route.clone(),
                }))
                .clone(),
        };
        Bundle {
            api: WorkspaceApi::new(client, own.workspace.clone(), own.token.clone()),
            own: own.clone(),
            health: HealthBoard::default(),
            stopped: CancellationToken::new(),
        }
    };
    config.memberships.iter().map(bundle).collect()
}

/// Opens the journal, hands the tools what they work with, and does the rest of what workspaces do.
pub(in crate::cli) async fn live(
    config: Config,
    bundles: Vec<Bundle>,
    ready: oneshot::Sender<Workspaces>,
    started: Instant,
    stop: CancellationToken,
) -> Ended {
    let journals = match stop.run_until_cancelled(open(&config)).await {
        Some(Ok(journals)) => journals,
        Some(Err(error)) => return unusable(&config, &bundles, &error),
        None => return Ended::Fine,
    };
    // A client that has gone already wants none.
    let _ = ready.send(workspaces(&config, &bundles, &journals));
    let config = Arc::new(config);
    let looks = Looks::default();
    let mut running = JoinSet::new();
    let mut refusals = Refusals::among(
        bundles
            .iter()
            .map(|bundle| (bundle.health.clone(), bundle.stopped.clone())),
    );
    for client in platforms(&bundles) {
        let away = away::watch(client, config.timing, stop.clone());
        running.spawn(async move {
            away.await;
            (None, Ended::Fine)
        });
    }
    for (index, (bundle, journal)) in bundles.into_iter().zip(journals).enumerate() {
        let living = bundle.live(Arc::clone(&config), journal, started, looks.clone(), stop.child_token());
        let (stop, later) = (stop.clone(), APART * u32::try_from(index).unwrap_or(0));
        running.spawn(async move {
            let ended = match stop.run_until_cancelled(sleep(later)).await {
                Some(()) => living.await,
                None => Ended::Fine,
            };
            (Some(index), ended)
        });
    }
    let mut outcome = Ended::Fine;
    while let Some(ended) = running.join_next().await {
        let (index, ended) = ended.unwrap_or_else(|_| (None, bug()));
        outcome = match (index, ended) {
            (Some(index), Ended::Refused(why)) => match refusals.add(index, why, &config) {
                Some(all) => all,
                None => continue,
            },
            (_, ended) => ended,
        };
        break;
    }
    stop.cancel();
    let rest = async {
        while let Some(ended) = running.join_next().await {
            let (_, ended) = ended.unwrap_or_else(|_| (None, bug()));
            if matches!(outcome, Ended::Fine) && !matches!(ended, Ended::Refused(_)) {
                outcome = ended;
            }
        }
    };
    let _ = timeout(GRACE, rest).await;
    outcome
}

/// Opens the journal and hands the tools what they work with, beside a daemon that may run: nobody registers, beats or polls
/// here. What the tools write is sent, until `stop`.
pub(in crate::cli) async fn visit(
    config: Config,
    bundles: Vec<Bundle>,
    ready: oneshot::Sender<Workspaces>,
    stop: CancellationToken,
) -> Ended {
    look_around(&config, &bundles).await;
    let journals = match stop.run_until_cancelled(open(&config)).await {
        Some(Ok(journals)) => journals,
        Some(Err(error)) => return unusable(&config, &bundles, &error),
        None => return Ended::Fine,
    };
    let _ = ready.send(workspaces(&config, &bundles, &journals));
    let (_never, is_holder) = watch::channel(false);
    let mut sending = JoinSet::new();
    for (bundle, journal) in bundles.iter().zip(journals) {
        sending.spawn(
            bundle
                .outbox(&config, journal, is_holder.clone(), None)
                .run(stop.clone()),
        );
    }
    stop.cancelled().await;
    let _ = timeout(GRACE, async { while sending.join_next().await.is_some() {} }).await;
    Ended::Fine
}

/// Whether a daemon receives for each workspace, so that the tools tell the same as `status`.
async fn look_around(config: &Config, bundles: &[Bundle]) {
    let (folder, names, patience) = (config.state_dir.clone(), config.names(), config.timing.of(SILENT_AFTER));
    let looked = tokio::task::spawn_blocking(move || Overview::of(&folder, &names, patience));
    let Ok(overview) = looked.await else { return };
    for (bundle, standing) in bundles.iter().zip(&overview.workspaces) {
        bundle.health.update(|health| match standing.reading.held {
            true => (health.presence, health.reading) = (Role::Follower, Role::Follower),
            false => health.read_trouble = standing.troubles().into_iter().next(),
        });
    }
}

/// What tools work with.
pub(in crate::cli) fn workspaces(config: &Config, bundles: &[Bundle], journals: &[Journal]) -> Workspaces {
    let apis = bundles.iter().map(|bundle| bundle.api.clone());
    let desk = Arc::new(bench::ops(config, apis.collect()));
    let contexts = bundles.iter().zip(journals);
    let contexts = contexts.map(|(bundle, journal)| bundle.context(config, journal, &desk));
    Workspaces::of(contexts.collect())
}

fn bug() -> Ended {
    Ended::Failed("the task of a workspace panicked; this is a bug".to_owned())
}

/// One client for each platform.
fn platforms(bundles: &[Bundle]) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    for bundle in bundles {
        let client = bundle.api.client();
        if !clients.iter().any(|other| other.is_of(client)) {
            clients.push(client.clone());
        }
    }
    clients
}

impl Bundle {
    fn record(&self, config: &Config) -> HealthFile {
        record(config, &self.own)
    }

    fn context(&self, config: &Config, journal: &Journal, desk: &Arc<Ops>) -> Context {
        Context {
            api: self.api.clone(),
            journal: journal.clone(),
            health: self.health.clone(),
            holder: self.record(config),
            own: self.own.workspace.clone(),
            inbox: config.inbox,
            delegation_timeout: config.delegation_timeout,
            attaching: Attaching {
                roots: config.files.roots.clone(),
                never: never_attached(config),
                spool: Spool::new(&config.state_dir),
            },
            timing: config.timing,
            card: self.own.card.clone(),
            identity: config.identity.clone(),
            roles: config.roles.clone(),
            read_row: message_of_row,
            desk: Arc::clone(desk),
            stopped: self.stopped.clone(),
        }
    }

    fn outbox(
        &self,
        config: &Config,
        journal: Journal,
        holder: watch::Receiver<bool>,
        stream: Option<Stream>,
    ) -> Outbox {
        Outbox {
            api: self.api.clone(),
            journal,
            spool: Spool::new(&config.state_dir),
            holder,
            stream,
            timing: config.timing,
        }
    }

    /// Does what one workspace does until `stop`, or until it is refused.
    async fn live(
        self,
        config: Arc<Config>,
        journal: Journal,
        started: Instant,
        looks: Looks,
        stop: CancellationToken,
    ) -> Ended {
        let record = self.record(&config);
        let stream = Stream::new();
        let (holder, is_holder) = watch::channel(false);
        let mut tasks = Supervisor::new(stop.clone());
        let outbox = self.outbox(&config, journal.clone(), is_holder, Some(stream.clone()));
        let token = stop.clone();
        tasks.spawn("outbox", async move {
            outbox.run(token).await;
            Ended::Fine
        });
        if self.own.token.can_change() {
            let keep_fresh = self.own.token.clone().keep_fresh(config.timing.of(LOOK_AT_TOKEN));
            let token = stop.clone();
            tasks.spawn("token", async move {
                token.run_until_cancelled(keep_fresh).await;
                token.cancelled().await;
                Ended::Fine
            });
        }
        let duties = Duties {
            naming: Naming::for_workspaces(config.memberships.len()),
            config,
            own: self.own,
            api: self.api,
            journal,
            health: self.health,
            record,
            stream,
            holder,
            started,
            looks,
        };
        tasks.spawn("duties", duties.run(stop));
        tasks.run(GRACE).await
    }
}

/// Where this process tells how a workspace goes.
fn record(config: &Config, own: &Membership) -> HealthFile {
    let tool_sets = config.shown.words(config.access.api_key.is_some());
    let holder = Holder::this_process(own.token.describe(), tool_sets);
    HealthFile::new(&config.state_dir, &own.platform.to_string(), &own.workspace).signed(holder)
}

/// Workspaces that the platform refused at the start. One of several stops alone.
struct Refusals {
    all: Vec<(HealthBoard, CancellationToken)>,
    reasons: Vec<String>,
}

impl Refusals {
    fn among(all: impl Iterator<Item = (HealthBoard, CancellationToken)>) -> Self {
        Self {
            all: all.collect(),
            reasons: Vec::new(),
        }
    }

    /// The end of the process when no workspace is left; else it is said everywhere that this one was stopped.
    fn add(&mut self, index: usize, why: String, config: &Config) -> Option<Ended> {
        self.reasons.push(why.clone());
        let left = self.all.len() - self.reasons.len();
        if left == 0 {
            return Some(Ended::Refused(self.reasons.join("\n")));
        }
        let (health, stopped) = &self.all[index];
        let own = &config.memberships[index];
        error!("{why}");
        error!(
            "workspace {} is stopped; the other {left} go on. After mending it start this process again",
            own.workspace
        );
        stopped.cancel();
        // Nobody keeps this record fresh any more, but it says why. Whoever takes the duties writes it anew.
        let record = record(config, own);
        let health = health.now();
        tokio::task::spawn_blocking(move || {
            for duty in [Duty::Presence, Duty::Reading] {
                let _ = record.write(duty, &health.part(duty));
            }
        });
        None
    }
}

/// What holds credentials.
fn never_attached(config: &Config) -> Vec<PathBuf> {
    let files = config.memberships.iter().flat_map(|own| own.token.files());
    let keys = config.access.key_files.iter().cloned();
    files.chain(keys).chain([config.state_dir.clone()]).collect()
}

/// What a row says when it is a message; one without a readable time is as old as can be.
fn message_of_row(raw: &RawValue, own: &WorkspaceId) -> Option<Message> {
    match read_row(raw, own, Timestamp(0)) {
        Row::Message { message, .. } => Some(*message),
        Row::Skip(_) | Row::Garbage => None,
    }
}

pub(in crate::cli) async fn open(config: &Config) -> Result<Vec<Journal>, JournalError> {
    let settings = JournalSettings {
        look_every: config.timing.of(LOOK_EVERY),
        wait_for_files: config.timing.of(WAIT_FOR_FILES),
        ..JournalSettings::with_lease(config.timing.of(config.lease))
    };
    let whose = config.memberships.iter();
    let whose = whose.map(|own| (own.platform.to_string(), own.workspace.clone()));
    Journal::open_all(&config.state_dir, whose.collect(), settings).await
}

/// The end of a process whose journal cannot be used. Calls that wait for it are told the same as the person.
fn unusable(config: &Config, bundles: &[Bundle], error: &JournalError) -> Ended {
    let (what, remedy) = (error.to_string(), error.remedy());
    let folder = config.state_dir.display();
    let text = format!("{what}\n  folder: {folder}\n  Remedy: {remedy}.\n  Nothing was started or sent.");
    for bundle in bundles {
        bundle.health.update(|health| {
            health.journal_trouble = Some(Trouble {
                code: "STATE_DIR_UNUSABLE".to_owned(),
                what: what.clone(),
                remedy: remedy.to_owned(),
            });
        });
    }
    Ended::Unusable(text)
}
