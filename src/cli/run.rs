//! `molecule-mcp run`: where configuration, background duties and tools meet.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::logging;
use super::options::{Outcome, exit};
use crate::agent::duty::Duties;
use crate::agent::envelope::{Row, read_row};
use crate::agent::outbox::Outbox;
use crate::agent::stream::Stream;
use crate::agent::supervisor::{Ended, Supervisor};
use crate::config::{self, Config};
use crate::mcp::instructions;
use crate::mcp::server::{self, End};
use crate::mcp::transport;
use crate::platform::client::{Client, Settings};
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::HealthBoard;
use crate::state::journal::{Journal, JournalError, Settings as JournalSettings};
use crate::state::message::Message;
use crate::state::record::HealthFile;
use crate::tools;
use crate::tools::context::Context;
use crate::types::{Timestamp, WorkspaceId};

/// Clients kill a server about 2 s after closing its stdin, so everything ends within this.
const GRACE: Duration = Duration::from_millis(1400);

/// How often the token's file is looked at.
const LOOK_AT_TOKEN: Duration = Duration::from_secs(20);
/// How often the journal is looked at when nothing wakes this process.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Joins the workspace and serves MCP until the client goes away or `stop` is cancelled.
pub async fn perform(stop: CancellationToken) -> Outcome {
    let started = Instant::now();
    let config = match Config::read(|name| std::env::var_os(name)) {
        Ok(config) => config,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    logging::to_stderr(config.verbose);
    if std::io::stdin().is_terminal() {
        warn!("speaking MCP on standard input and output, as an MCP client expects; for a person there is --help");
    }
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let settings = JournalSettings {
        look_every: config.timing.of(LOOK_EVERY),
        ..JournalSettings::with_lease(config.timing.of(config.lease))
    };
    let origin = config.platform.to_string();
    let journal = match Journal::open_with(&config.state_dir, &origin, &config.workspace, settings).await {
        Ok(journal) => journal,
        Err(error) => return Outcome::failed(exit::CONFIGURATION, unusable(&config, &error)),
    };
    match serve(config, journal, started, stop).await {
        Ended::Fine => Outcome::fine(""),
        Ended::Refused(text) => Outcome::failed(exit::REFUSED, format!("molecule-mcp: {text}\n")),
        Ended::Failed(text) => Outcome::failed(exit::INTERNAL, format!("molecule-mcp: {text}\n")),
    }
}

/// Starts the tasks of the process and waits for them.
async fn serve(config: Config, journal: Journal, started: Instant, stop: CancellationToken) -> Ended {
    let settings = Settings {
        base: config.platform.clone(),
        org_id: config.org_id.clone(),
        ca_file: config.ca_file.clone(),
    };
    let api = WorkspaceApi::new(Client::new(settings), config.workspace.clone(), config.token.clone());
    let health = HealthBoard::default();
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
        timing: config.timing,
        card: config.card.clone(),
        identity: config.identity.clone(),
        read_row: message_of_row,
    };
    let mut tasks = Supervisor::new(stop.clone());
    let toolset = match tools::agent::toolset(context) {
        Ok(toolset) => toolset,
        Err(duplicate) => return Ended::Failed(duplicate.to_string()),
    };
    let instructions = instructions::text(config.poll_hint_secs, config.inbox);
    let protocol = config.protocol;
    let token = stop.clone();
    tasks.spawn("mcp", async move {
        let (input, output) = transport::stdio();
        match server::serve(toolset, instructions, protocol, input, output, token).await {
            End::Closed | End::Stopped => Ended::Fine,
            End::Broken => {
                warn!("the client closed standard output; ending");
                Ended::Fine
            }
        }
    });
    let outbox = Outbox {
        api: api.clone(),
        journal: journal.clone(),
        holder: is_holder,
        stream: Some(stream.clone()),
        timing: config.timing,
    };
    let token = stop.clone();
    tasks.spawn("outbox", async move {
        outbox.run(token).await;
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
    tasks.spawn("duties", duties.run(stop.clone()));
    tasks.run(GRACE).await
}

/// What a row says when it is a message; one without a readable time is as old as can be.
fn message_of_row(raw: &RawValue, own: &WorkspaceId) -> Option<Message> {
    match read_row(raw, own, Timestamp(0)) {
        Row::Message { message, .. } => Some(*message),
        Row::Skip(_) | Row::Garbage => None,
    }
}

fn unusable(config: &Config, error: &JournalError) -> String {
    format!(
        "molecule-mcp: {error}\n  folder: {}\n  Nothing was started or sent. Use a CONFIGS_DIR on a local file system that \
         this user may write.\n",
        config.state_dir.display()
    )
}
