//! `molecule-mcp run`: where configuration, background duties and tools meet.

use std::io::IsTerminal;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::logging::{self, Audience};
use super::options::{Environment, Outcome, exit};
use super::{bench, limits, manage};
use crate::agent::supervisor::{Ended, Supervisor};
use crate::config::shown::Mode;
use crate::config::{self, Config, Problem, Switch};
use crate::mcp::instructions;
use crate::mcp::server::{self, End, InboxNews, Offer};
use crate::mcp::toolset::{Duplicate, Toolset};
use crate::mcp::transport;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::HealthBoard;
use crate::tools::agent::Opening;
use crate::tools::catalogue::Catalogue;
use crate::tools::workspaces::Workspaces;

use bundle::Bundle;

pub(super) mod bundle;

/// Clients kill a server about 2 s after closing its stdin, so everything ends within this.
pub(super) const GRACE: Duration = Duration::from_millis(1400);

/// Joins the workspace and serves MCP until the client goes away or `stop` is cancelled.
pub async fn perform(environment: Environment, stop: CancellationToken) -> Outcome {
    let started = Instant::now();
    let var = |name: &str| environment.get(name);
    logging::start(&config::log(var), Audience::Client);
    if !Mode::of(var).has_workspace() {
        return manage::perform(&environment, stop).await;
    }
    let (config, catalogue) = match Config::read(var).and_then(checked) {
        Ok(both) => both,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    greet(&config.warnings);
    outcome(serve(config, catalogue, started, stop).await)
}

/// What every server says when it starts: warnings, and a word to a person who started it by hand.
pub(super) fn greet(warnings: &[String]) {
    if std::io::stdin().is_terminal() {
        warn!("speaking MCP on standard input and output, as an MCP client expects; for a person there is --help");
    }
    for warning in warnings {
        warn!("{warning}");
    }
    #[cfg(debug_assertions)]
    logging::panic_on_demand();
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
pub(super) fn checked(config: Config) -> Result<(Config, Catalogue), Vec<Problem>> {
    let catalogue = Catalogue::new();
    catalogue.check(&config.shown).map_err(|problem| vec![problem])?;
    Ok((config, catalogue))
}

/// Starts the tasks of the process and waits for them. MCP comes first: opening the journal reads it whole, and a client
/// that has just started the process does not wait for that.
async fn serve(config: Config, catalogue: Catalogue, started: Instant, stop: CancellationToken) -> Ended {
    limits::allow_open_files(config.memberships.len(), 0);
    let bundles = bundle::bundles(&config);
    let (ready, workspaces) = oneshot::channel();
    let offer = match offer(&config, catalogue, &Doors::of(&bundles), opened(workspaces)) {
        Ok(offer) => offer,
        Err(duplicate) => return Ended::Failed(duplicate.to_string()),
    };
    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn("mcp", serve_client(offer, stop.clone()));
    // In the mode `self` the agent of this workspace is present already: a second one that registers or polls would be in
    // its way.
    if config.shown.mode != Mode::Own {
        tasks.spawn("workspaces", bundle::live(config, bundles, ready, started, stop));
    }
    tasks.run(GRACE).await
}

/// Workspaces whose journal is being opened; `None`: it never will be.
pub(super) type Opened = Shared<BoxFuture<'static, Option<Workspaces>>>;

/// They come by this channel.
pub(super) fn opened(channel: oneshot::Receiver<Workspaces>) -> Opened {
    channel.map(Result::ok).boxed().shared()
}

/// What tools use of the workspaces before their journal is open.
#[derive(Clone)]
pub(super) struct Doors {
    apis: Vec<WorkspaceApi>,
    healths: Vec<HealthBoard>,
}

impl Doors {
    pub(super) fn of(bundles: &[Bundle]) -> Self {
        Self {
            apis: bundles.iter().map(|bundle| bundle.api.clone()).collect(),
            healths: bundles.iter().map(|bundle| bundle.health.clone()).collect(),
        }
    }
}

/// The tools that the configuration shows. Those that need them wait for the workspaces to be opened.
///
/// # Errors
/// When two tools have the same name.
pub(super) fn toolset(
    config: &Config,
    catalogue: Catalogue,
    doors: &Doors,
    workspaces: Opened,
) -> Result<Toolset, Duplicate> {
    let opening = Opening {
        workspaces: workspaces.boxed(),
        healths: doors.healths.clone(),
    };
    let bench = bench::of_workspaces(config, doors.apis.clone(), opening);
    catalogue.finish(&config.shown, config.access.api_key.is_some(), bench)
}

/// What a client is served.
///
/// # Errors
/// When two tools have the same name.
pub(super) fn offer(
    config: &Config,
    catalogue: Catalogue,
    doors: &Doors,
    workspaces: Opened,
) -> Result<Offer, Duplicate> {
    let toolset = toolset(config, catalogue, doors, workspaces.clone())?;
    let instructions = match toolset.has("wait_for_message") {
        true => instructions::text(config.poll_hint_secs, config.inbox, config.memberships.len()),
        false => manage::INSTRUCTIONS.to_owned(),
    };
    // News are for an agent that can look at them and acknowledge.
    let has_inbox = config.inbox == Switch::On && ["inbox_peek", "inbox_pop"].iter().all(|tool| toolset.has(tool));
    Ok(Offer {
        toolset,
        instructions,
        protocol: config.protocol,
        inbox: has_inbox.then(|| InboxNews {
            inboxes: workspaces.map(|all| all.map(|all| all.inboxes().clone())).boxed(),
            host: config.host,
            senders: config.senders.clone(),
            timing: config.timing,
        }),
    })
}

/// Every tool that this configuration shows, of a workspace that does nothing else.
///
/// # Panics
/// When there is no journal to work with.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn every_tool(config: &Config) -> Toolset {
    let bundles = bundle::bundles(config);
    let journals = bundle::open(config).await.expect("a journal");
    let workspaces = bundle::workspaces(config, &bundles, &journals);
    toolset(
        config,
        Catalogue::new(),
        &Doors::of(&bundles),
        std::future::ready(Some(workspaces)).boxed().shared(),
    )
    .expect("no tool is there twice")
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
