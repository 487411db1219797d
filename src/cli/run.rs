//! `molecule-mcp run`: where configuration, background duties and tools meet.

use std::io::IsTerminal;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::options::{Outcome, exit};
use super::{bench, limits, logging, manage};
use crate::agent::supervisor::{Ended, Supervisor};
use crate::config::shown::Mode;
use crate::config::{self, Config, Problem, Switch};
use crate::mcp::instructions;
use crate::mcp::server::{self, End, InboxNews, Offer};
use crate::mcp::transport;
use crate::tools::agent::Opening;
use crate::tools::catalogue::Catalogue;
use crate::tools::workspaces::Workspaces;

pub(super) mod bundle;

/// Clients kill a server about 2 s after closing its stdin, so everything ends within this.
pub(super) const GRACE: Duration = Duration::from_millis(1400);

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
    limits::allow_open_files(config.memberships.len());
    let bundles = bundle::bundles(&config);
    let (ready, workspaces) = oneshot::channel::<Workspaces>();
    let workspaces = workspaces.map(Result::ok).boxed().shared();
    let opening = Opening {
        workspaces: workspaces.clone().boxed(),
        healths: bundles.iter().map(|bundle| bundle.health.clone()).collect(),
    };
    let apis = bundles.iter().map(|bundle| bundle.api.clone());
    let bench = bench::of_workspaces(&config, apis.collect(), opening);
    let toolset = match catalogue.finish(&config.shown, config.access.api_key.is_some(), bench) {
        Ok(toolset) => toolset,
        Err(duplicate) => return Ended::Failed(duplicate.to_string()),
    };
    let instructions = match toolset.has("wait_for_message") {
        true => instructions::text(config.poll_hint_secs, config.inbox, config.memberships.len()),
        false => manage::INSTRUCTIONS.to_owned(),
    };
    // News are for an agent that can look at them and acknowledge.
    let has_inbox = config.inbox == Switch::On && ["inbox_peek", "inbox_pop"].iter().all(|tool| toolset.has(tool));
    let offer = Offer {
        toolset,
        instructions,
        protocol: config.protocol,
        inbox: has_inbox.then(|| InboxNews {
            inboxes: workspaces.map(|all| all.map(|all| all.inboxes().clone())).boxed(),
            host: config.host,
            senders: config.senders.clone(),
            timing: config.timing,
        }),
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

/// Every tool that this configuration shows, of a workspace that does nothing else.
///
/// # Panics
/// When there is no journal to work with.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) async fn every_tool(config: &Config) -> crate::mcp::toolset::Toolset {
    let bundles = bundle::bundles(config);
    let journals = bundle::open(config).await.expect("a journal");
    let workspaces = bundle::workspaces(config, &bundles, &journals);
    let opening = Opening {
        workspaces: std::future::ready(Some(workspaces)).boxed(),
        healths: bundles.iter().map(|bundle| bundle.health.clone()).collect(),
    };
    let apis = bundles.iter().map(|bundle| bundle.api.clone());
    let bench = bench::of_workspaces(config, apis.collect(), opening);
    Catalogue::new()
        .finish(&config.shown, true, bench)
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
