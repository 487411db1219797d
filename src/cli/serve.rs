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
use super::run::{self, Doors, bundle};
use crate::agent::supervisor::{Ended, Supervisor};
use crate::config::shown::Mode;
use crate::config::{self, Config, Problem};
use crate::types::Secret;
use hangup::Hangups;
use http::Front;
use mcp::Entrance;
use vitals::Vitals;

mod hangup;
mod http;
mod manager;
mod mcp;
mod metrics;
mod vitals;

/// Arguments of `serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeArgs {
    /// Answer /healthz (alive?), /readyz (do messages arrive?) and /metrics at this loopback address; MOLECULE_HTTP otherwise
    #[arg(long, value_name = "ADDR:PORT", value_parser = |text: &str| config::loopback(text))]
    pub http: Option<SocketAddr>,
    /// Serve MCP there, too, under /mcp, to clients that show the token in the file http.token of the state folder
    #[arg(long)]
    pub mcp: bool,
    /// End with 0 where starting again is no use: launchd starts whatever ends otherwise, and cannot tell exit codes apart
    #[arg(long, hide = true)]
    pub launchd: bool,
}

/// Serves until `stop`.
pub async fn perform(args: ServeArgs, environment: Environment, stop: CancellationToken) -> Outcome {
    let is_told_apart = !args.launchd;
    let ended = serve(args, environment, stop).await;
    match ended.code {
        exit::CONFIGURATION | exit::REFUSED if !is_told_apart => Outcome {
            code: exit::FINE,
            complaint: ended.complaint
                + "launchd does not start it again; once this is mended: molecule-mcp service start\n",
            ..ended
        },
        _ => ended,
    }
}

async fn serve(args: ServeArgs, environment: Environment, stop: CancellationToken) -> Outcome {
    let started = Instant::now();
    logging::start(&config::log(|name| environment.get(name)), Audience::Service);
    let settings = match Settings::read(&args, &environment) {
        Ok(settings) => settings,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    let config = &settings.config;
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
    let entrance = settings.token.is_some().then(Entrance::default);
    if let Some(listener) = listener {
        let front = Front {
            vitals: vitals.clone(),
            entrance: entrance.clone(),
        };
        tasks.spawn("http", http::serve(listener, front, stop.clone()));
    }
    let house = House {
        args,
        environment,
        vitals,
        entrance,
        started,
    };
    tasks.spawn("workspaces", house.rounds(settings, hangups, stop));
    run::outcome(tasks.run(run::GRACE).await)
}

/// What is read at the start, and again with each hangup.
struct Settings {
    config: Config,
    /// What clients of MCP over HTTP show; `None`: it is not served.
    token: Option<Secret>,
}

impl Settings {
    fn read(args: &ServeArgs, environment: &Environment) -> Result<Self, Vec<Problem>> {
        let mut config = Config::read(|name| environment.get(name))?;
        // Where a service is started is no client's working directory.
        config.files.roots.current = None;
        if config.shown.mode != Mode::Workspace {
            let what = "must be default here: there is no workspace to serve in other modes";
            return Err(vec![Problem::wrong("MOLECULE_MCP_MODE", what, "leave it out")]);
        }
        if !args.mcp && !config.http_mcp {
            return Ok(Self { config, token: None });
        }
        if args.http.or(config.http).is_none() {
            let remedy = "set it, or give --http, to say where MCP is served";
            return Err(vec![Problem::missing("MOLECULE_HTTP", remedy)]);
        }
        let (config, _) = run::checked(config)?;
        let token = mcp::token(&config).map_err(|problem| vec![problem])?;
        Ok(Self {
            config,
            token: Some(token),
        })
    }
}

/// What stays from one configuration to the next.
struct House {
    args: ServeArgs,
    environment: Environment,
    vitals: Vitals,
    entrance: Option<Entrance>,
    started: Instant,
}

impl House {
    /// Lives as the workspaces, from one hangup to the next with another configuration.
    async fn rounds(self, mut settings: Settings, mut hangups: Hangups, stop: CancellationToken) -> Ended {
        loop {
            let Settings { config, token } = settings;
            let round = stop.child_token();
            let clients = token.as_ref().map_or(0, |_| http::CONNECTIONS_OF_CLIENTS);
            limits::allow_open_files(config.memberships.len(), clients);
            let bundles = bundle::bundles(&config);
            let healths = bundles.iter().map(|bundle| bundle.health.clone());
            self.vitals.begin(&config, healths.collect());
            let (ready, workspaces) = oneshot::channel();
            let mut hall = None;
            if let (Some(entrance), Some(token)) = (&self.entrance, token) {
                let inside = mcp::hall(&config, Doors::of(&bundles), run::opened(workspaces), round.clone());
                entrance.open(token, inside.clone());
                hall = Some(inside);
            }
            let mut life = pin!(bundle::live(config, bundles, ready, self.started, round.clone()));
            let next = tokio::select! {
                ended = &mut life => Err(ended),
                next = self.reloaded(&mut hangups) => Ok(next),
            };
            round.cancel();
            let emptied = async {
                if let Some(hall) = hall {
                    hall.emptied().await;
                }
            };
            settings = match next {
                Ok(next) => match tokio::join!(life, emptied).0 {
                    Ended::Fine => next,
                    ended => return ended,
                },
                Err(ended) => {
                    emptied.await;
                    return ended;
                }
            };
            info!("the configuration was read again");
        }
    }

    /// Waits for a hangup that finds a sound configuration. A broken one is told, and the old one stays.
    async fn reloaded(&self, hangups: &mut Hangups) -> Settings {
        loop {
            hangups.next().await;
            manager::reloading();
            match Settings::read(&self.args, &self.environment) {
                Ok(settings) => return settings,
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
}
