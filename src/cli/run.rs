//! `molecule-mcp run`: where configuration, background duties and tools meet.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::options::{Outcome, exit};
use super::{bench, logging, manage};
use crate::agent::away;
use crate::agent::duty::Duties;
use crate::agent::envelope::{Row, read_row};
use crate::agent::outbox::Outbox;
use crate::agent::stream::Stream;
use crate::agent::supervisor::{Ended, Supervisor};
use crate::config::shown::Mode;
use crate::config::{self, Config, Problem, Switch};
use crate::mcp::instructions;
use crate::mcp::server::{self, End, InboxNews, Offer};
use crate::mcp::transport;
use crate::platform::client::{Client, Settings};
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::{HealthBoard, Trouble};
use crate::state::journal::{Journal, JournalError, Settings as JournalSettings};
use crate::state::message::Message;
use crate::state::record::HealthFile;
use crate::state::spool::Spool;
use crate::tools::agent::Opening;
use crate::tools::attachments::Attaching;
use crate::tools::catalogue::Catalogue;
use crate::tools::context::Context;
use crate::types::{Timestamp, WorkspaceId};

/// Clients kill a server about 2 s after closing its stdin, so everything ends within this.
pub(super) const GRACE: Duration = Duration::from_millis(1400);

/// How often the token's file is looked at.
const LOOK_AT_TOKEN: Duration = Duration::from_secs(20);
/// How often the journal is looked at when nothing wakes this process.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a message is kept back for its files.
const WAIT_FOR_FILES: Duration = Duration::from_secs(10);

/// Joins the workspace and serves MCP until the client goes away or `stop` is cancelled.
pub async fn perform(stop: CancellationToken) -> Outcome {
    let started = Instant::now();
    let var = |name: &str| std::env::var_os(name);
    if Mode::of(var) == Mode::Management {
        return manage::perform(stop).await;
    }
    let (config, catalogue) = match Config::read(var).and_then(checked) {
        Ok(both) => both,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    greet(config.verbose, &config.warnings);
    outcome(serve(config, catalogue, started, stop).await)
}

/// What every server says when it starts: warnings, and a word to a person who started it by hand.
pub(super) fn greet(verbose: bool, warnings: &[String]) {
    logging::to_stderr(verbose);
    if std::io::stdin().is_terminal() {
        warn!("speaking MCP on standard input and output, as an MCP client expects; for a person there is --help");
    }
    for warning in warnings {
        warn!("{warning}");
    }
}

/// How a server's end becomes the program's.
pub(super) fn outcome(ended: Ended) -> Outcome {
    let complaint = |text| format!("molecule-mcp: {text}\n");
    match ended {
        Ended::Fine => Outcome::fine(""),
        Ended::Unusable(text) => Outcome::failed(exit::CONFIGURATION, complaint(text)),
        Ended::Refused(text) => Outcome::failed(exit::REFUSED, complaint(text)),
        Ended::Failed(text) => Outcome::failed(exit::INTERNAL, complaint(text)),
    }
}

/// The tools there are, when the configuration names no others.
fn checked(config: Config) -> Result<(Config, Catalogue), Vec<Problem>> {
    let catalogue = Catalogue::new();
    catalogue.check(&config.shown).map_err(|problem| vec![problem])?;
    Ok((config, catalogue))
}

/// Starts the tasks of the process and waits for them. MCP comes first: opening the journal reads it whole, and a client
/// that has just started the process does not wait for that.
async fn serve(config: Config, catalogue: Catalogue, started: Instant, stop: CancellationToken) -> Ended {
    let settings = Settings {
        base: config.platform.clone(),
        org_id: config.org_id.clone(),
        org_slug: None,
        ca_file: config.ca_file.clone(),
    };
    let api = WorkspaceApi::new(Client::new(settings), config.workspace.clone(), config.token.clone());
    let health = HealthBoard::default();
    let (ready, context) = oneshot::channel::<Context>();
    let context = context.map(Result::ok).boxed().shared();
    let opening = Opening {
        context: context.clone().boxed(),
        health: health.clone(),
    };
    let bench = bench::of_workspace(&config, &api, opening);
    let toolset = match catalogue.finish(&config.shown, config.access.api_key.is_some(), bench) {
        Ok(toolset) => toolset,
        Err(duplicate) => return Ended::Failed(duplicate.to_string()),
    };
    let instructions = match toolset.has("wait_for_message") {
        true => instructions::text(config.poll_hint_secs, config.inbox),
        false => manage::INSTRUCTIONS.to_owned(),
    };
    // News are for an agent that can look at them and acknowledge.
    let has_inbox = config.inbox == Switch::On && ["inbox_peek", "inbox_pop"].iter().all(|tool| toolset.has(tool));
    let offer = Offer {
        toolset,
        instructions,
        protocol: config.protocol,
        inbox: has_inbox.then(|| InboxNews {
            journal: context.map(|context| context.map(|it| it.journal)).boxed(),
            host: config.host,
            timing: config.timing,
        }),
    };
    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn("mcp", serve_client(offer, stop.clone()));
    // In the mode `self` the agent of this workspace is present already: a second one that registers or polls would be in
    // its way.
    if config.shown.mode != Mode::Own {
        tasks.spawn("workspace", live(config, api, health, ready, started, stop));
    }
    tasks.run(GRACE).await
}

/// Opens the journal, hands the tools what they work with, and does the rest of what a workspace does.
async fn live(
    config: Config,
    api: WorkspaceApi,
    health: HealthBoard,
    ready: oneshot::Sender<Context>,
    started: Instant,
    stop: CancellationToken,
) -> Ended {
    let journal = match stop.run_until_cancelled(open(&config)).await {
        Some(Ok(journal)) => journal,
        Some(Err(error)) => return unusable(&config, &health, &error),
        None => return Ended::Fine,
    };
    let record = HealthFile::new(&config.state_dir, &config.platform.to_string(), &config.workspace);
    let stream = Stream::new();
    let (holder, is_holder) = watch::channel(false);

    let context = Context {
        api: api.clone(),
        journal: journal.clone(),
        health: health.clone(),
        holder: record.clone(),
        own: config.workspace.clone(),
        inbox: config.inbox,
        delegation_timeout: config.delegation_timeout,
        attaching: Attaching {
            roots: config.files.roots.clone(),
            never: never_attached(&config),
            spool: Spool::new(&config.state_dir),
        },
        timing: config.timing,
        card: config.card.clone(),
        identity: config.identity.clone(),
        read_row: message_of_row,
        desk: Arc::new(bench::ops(&config, &api)),
    };
    // A client that has gone already wants none.
    let _ = ready.send(context);
    let mut tasks = Supervisor::new(stop.clone());
    let outbox = Outbox {
        api: api.clone(),
        journal: journal.clone(),
        spool: Spool::new(&config.state_dir),
        holder: is_holder,
        stream: Some(stream.clone()),
        timing: config.timing,
    };
    let token = stop.clone();
    tasks.spawn("outbox", async move {
        outbox.run(token).await;
        Ended::Fine
    });
    let away = away::watch(api.client().clone(), config.timing, stop.clone());
    tasks.spawn("away", async move {
        away.await;
        Ended::Fine
    });
    let keep_fresh = config.token.clone().keep_fresh(config.timing.of(LOOK_AT_TOKEN));
    let token = stop.clone();
    tasks.spawn("token", async move {
        token.run_until_cancelled(keep_fresh).await;
        token.cancelled().await;
        Ended::Fine
    });
    let duties = Duties {
        config,
        api,
        journal,
        health,
        record,
        stream,
        holder,
        started,
    };
    tasks.spawn("duties", duties.run(stop));
    tasks.run(GRACE).await
}

/// Serves MCP on standard input and output until the client goes away.
pub(super) async fn serve_client(offer: Offer, stop: CancellationToken) -> Ended {
    info!("serving {} tools on standard input and output", offer.toolset.count());
    let (input, output) = transport::stdio();
    match server::serve(offer, input, output, stop).await {
        End::Closed | End::Stopped => Ended::Fine,
        End::Broken => {
            warn!("the client closed standard output; ending");
            Ended::Fine
        }
    }
}

/// What holds credentials.
fn never_attached(config: &Config) -> Vec<PathBuf> {
    let mut never = config.token.files();
    never.push(config.state_dir.clone());
    never
}

/// What a row says when it is a message; one without a readable time is as old as can be.
fn message_of_row(raw: &RawValue, own: &WorkspaceId) -> Option<Message> {
    match read_row(raw, own, Timestamp(0)) {
        Row::Message { message, .. } => Some(*message),
        Row::Skip(_) | Row::Garbage => None,
    }
}

async fn open(config: &Config) -> Result<Journal, JournalError> {
    let settings = JournalSettings {
        look_every: config.timing.of(LOOK_EVERY),
        wait_for_files: config.timing.of(WAIT_FOR_FILES),
        ..JournalSettings::with_lease(config.timing.of(config.lease))
    };
    let origin = config.platform.to_string();
    Journal::open_with(&config.state_dir, &origin, &config.workspace, settings).await
}

/// The end of a process whose journal cannot be used. Calls that wait for it are told the same as the person.
fn unusable(config: &Config, health: &HealthBoard, error: &JournalError) -> Ended {
    let (what, remedy) = (error.to_string(), error.remedy());
    let folder = config.state_dir.display();
    let text = format!("{what}\n  folder: {folder}\n  Remedy: {remedy}.\n  Nothing was started or sent.");
    health.update(|health| {
        health.journal_trouble = Some(Trouble {
            code: "STATE_DIR_UNUSABLE".to_owned(),
            what,
            remedy: remedy.to_owned(),
        });
    });
    Ended::Unusable(text)
}
