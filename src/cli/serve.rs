//! `molecule-mcp serve`: the daemon without an MCP client, for service managers and containers.
//!
//! It takes part in the same election as every other process of its state folder and does the same duties; what differs is
//! what ends it (a signal, never standard input), and that it says how it goes: to systemd, and over HTTP on loopback.

use std::net::SocketAddr;
use std::pin::pin;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::limits;
use super::logging::{self, Audience};
use super::options::{Environment, Outcome, exit};
use super::run::{self, bundle};
use crate::agent::supervisor::{Ended, Supervisor};
use crate::config::shown::Mode;
use crate::config::{self, Config, Problem};
use hangup::Hangups;
use vitals::Vitals;

mod hangup;
mod http;
mod manager;
mod metrics;
mod vitals;

/// Arguments of `serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Answer /healthz (alive?), /readyz (do messages arrive?) and /metrics at this loopback address; MOLECULE_HTTP otherwise
    #[arg(long, value_name = "ADDR:PORT", value_parser = |text: &str| config::loopback(text))]
    pub http: Option<SocketAddr>,
}

/// Serves until `stop`.
pub async fn perform(args: ServeArgs, environment: Environment, stop: CancellationToken) -> Outcome {
    let started = Instant::now();
    logging::start(&config::log(|name| environment.get(name)), Audience::Service);
    let config = match configuration(&environment) {
        Ok(config) => config,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let listener = match args.http.or(config.http) {
        Some(address) => match http::bind(address).await {
            Ok(listener) => Some(listener),
            Err(why) => return Outcome::failed(exit::CONFIGURATION, format!("molecule-mcp: {why}\n")),
        },
        None => None,
    };
    let hangups = Hangups::listen();
    let vitals = Vitals::default();
    let mut tasks = Supervisor::new(stop.clone());
    tasks.spawn("service manager", manager::keep_told(vitals.clone(), stop.clone()));
    if let Some(listener) = listener {
        tasks.spawn("http", http::serve(listener, vitals.clone(), stop.clone()));
    }
    tasks.spawn(
        "workspaces",
        rounds(config, environment, vitals, hangups, started, stop),
    );
    run::outcome(tasks.run(run::GRACE).await)
}

fn configuration(environment: &Environment) -> Result<Config, Vec<Problem>> {
    let config = Config::read(|name| environment.get(name))?;
    if config.shown.mode == Mode::Workspace {
        return Ok(config);
    }
    let what = "must be default here: there is no workspace to serve in other modes";
    Err(vec![Problem::wrong("MOLECULE_MCP_MODE", what, "leave it out")])
}

/// Lives as the workspaces, from one hangup to the next with another configuration.
async fn rounds(
    mut config: Config,
    environment: Environment,
    vitals: Vitals,
    mut hangups: Hangups,
    started: Instant,
    stop: CancellationToken,
) -> Ended {
    loop {
        let round = stop.child_token();
        limits::allow_open_files(config.memberships.len());
        let bundles = bundle::bundles(&config);
        let healths = bundles.iter().map(|bundle| bundle.health.clone());
        vitals.begin(&config, healths.collect());
        // Nobody here calls a tool.
        let (ready, _workspaces) = oneshot::channel();
        let mut life = pin!(bundle::live(config, bundles, ready, started, round.clone()));
        let next = tokio::select! {
            ended = &mut life => return ended,
            next = reloaded(&environment, &mut hangups) => next,
        };
        round.cancel();
        match life.await {
            Ended::Fine => config = next,
            ended => return ended,
        }
        info!("the configuration was read again");
    }
}

/// Waits for a hangup that finds a sound configuration. A broken one is told, and the old one stays.
async fn reloaded(environment: &Environment, hangups: &mut Hangups) -> Config {
    loop {
        hangups.next().await;
        manager::reloading();
        match configuration(environment) {
            Ok(config) => return config,
            Err(problems) => {
                for Problem {
                    setting, what, remedy, ..
                } in problems
                {
                    error!("{setting} {what}: {remedy}; the configuration from before stays in force");
                }
                manager::reloaded();
            }
        }
    }
}
