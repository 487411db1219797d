//! `molecule-mcp inbox`: what people and peers sent, straight from the journal, whether or not a daemon runs.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::options::{Outcome, exit};
use crate::config;
use crate::config::looking::Looking;
use crate::state::history::Ask;
use crate::state::journal::{Inboxes, Journal, JournalError, Popped, Settings, glimpse};
use crate::state::message::State;
use crate::types::{ActivityId, WorkspaceId};

mod tail;
mod view;

/// How long a lease would last; none is taken here.
const LEASE: std::time::Duration = std::time::Duration::from_secs(600);

/// Arguments of `inbox`.
#[derive(Clone, Debug, clap::Args)]
pub struct InboxArgs {
    /// What to do
    #[command(subcommand)]
    pub what: What,
    /// As JSON; with tail one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Only the inbox of this workspace, where the state folder has several
    #[arg(long, value_name = "ID", global = true, value_parser = |text: &str| WorkspaceId::parse(text))]
    pub workspace: Option<WorkspaceId>,
}

/// What to do with an inbox.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum What {
    /// List the messages that are not acknowledged yet, oldest first, or with --state others, newest first
    List {
        /// Messages in this state
        #[arg(long, value_enum)]
        state: Option<Shelf>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show one message whole
    Show {
        /// Its id, as list shows it
        #[arg(value_parser = |text: &str| ActivityId::parse(text))]
        id: ActivityId,
    },
    /// Acknowledge messages: they are not offered to an agent again
    Pop {
        /// Their ids
        #[arg(required = true, value_parser = |text: &str| ActivityId::parse(text))]
        ids: Vec<ActivityId>,
    },
    /// Offer messages again that were set aside or recovered
    Requeue {
        /// Their ids
        #[arg(required = true, value_parser = |text: &str| ActivityId::parse(text))]
        ids: Vec<ActivityId>,
    },
    /// Find what was received and sent, by words, newest first
    Search {
        /// Words that all must be there, each from its start on; "words in quotes" must follow one another
        #[arg(required = true)]
        words: Vec<String>,
        /// At most so many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Show the newest messages, and every further one as it arrives, until interrupted
    Tail {
        /// How many of the newest to begin with
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        lines: u32,
    },
}

/// States by which messages can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shelf {
    /// Waiting for an agent.
    New,
    /// Shown to an agent and not yet acknowledged.
    Leased,
    /// Handed out again and again without being acknowledged.
    Aside,
    /// Read again after a damaged journal was replaced.
    Recovered,
    /// Acknowledged.
    Done,
    /// In any state.
    All,
}

impl Shelf {
    fn state(self) -> Option<State> {
        match self {
            Self::New => Some(State::New),
            Self::Leased => Some(State::Leased),
            Self::Aside => Some(State::Aside),
            Self::Recovered => Some(State::Recovered),
            Self::Done => Some(State::Done),
            Self::All => None,
        }
    }
}

/// Why nothing could be looked at.
enum Unseen {
    Configuration(String),
    /// Nothing has ever arrived here.
    Nothing(String),
    Journal(JournalError),
}

impl From<JournalError> for Unseen {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// Does what was asked. Exit code 1 when it could not be done.
pub async fn perform(args: InboxArgs, stop: CancellationToken, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    let done = async {
        let inboxes = open(&args, &var).await?;
        match args.what {
            What::Tail { lines } => Ok(tail::follow(&inboxes, lines, args.json, &stop).await?),
            what => Ok(once(&inboxes, what, args.json).await?),
        }
    };
    let failed = |code, text: String| Outcome::failed(code, format!("molecule-mcp inbox: {text}\n"));
    match done.await {
        Ok(outcome) => outcome,
        Err(Unseen::Configuration(text)) => Outcome::failed(exit::CONFIGURATION, text),
        Err(Unseen::Nothing(text)) => failed(exit::CHECK_FAILED, text),
        Err(Unseen::Journal(error)) => failed(exit::CHECK_FAILED, format!("{error}; {}", error.remedy())),
    }
}

/// The inboxes that the configuration names or, where it is not at hand, all that the state folder has.
async fn open(args: &InboxArgs, var: &impl Fn(&str) -> Option<OsString>) -> Result<Inboxes, Unseen> {
    let looking = Looking::read(var).map_err(|problems| Unseen::Configuration(config::explain(&problems)))?;
    let mut known = known(&looking.state_dir)?;
    let wanted = looking.wanted();
    if !wanted.is_empty() && args.workspace.is_none() {
        known.retain(|inbox| wanted.contains(inbox));
    }
    if let Some(own) = &args.workspace {
        known.retain(|(_, workspace)| workspace == own);
    }
    if known.is_empty() {
        let folder = looking.state_dir.display();
        return Err(Unseen::Nothing(match &args.workspace {
            Some(own) => format!("the journal in {folder} has no inbox of {own}"),
            None => format!(
                "there is no inbox in {folder} yet; it is made when a daemon first runs there (CONFIGS_DIR names another folder)"
            ),
        }));
    }
    let journals = Journal::open_all(&looking.state_dir, known, Settings::with_lease(LEASE)).await?;
    Ok(Inboxes::of(journals))
}

fn known(state_dir: &Path) -> Result<Vec<(String, WorkspaceId)>, JournalError> {
    let seen = glimpse::look(state_dir)?.into_iter();
    Ok(seen.map(|seen| (seen.origin, seen.workspace)).collect())
}

async fn once(inboxes: &Inboxes, what: What, json: bool) -> Result<Outcome, JournalError> {
    let shown = |value: Value, text: String| match json {
        true => format!("{value:#}\n"),
        false => text,
    };
    Ok(match what {
        What::List { state, limit } => {
            let mut entries = match state {
                None => inboxes.peek(limit).await?,
                Some(shelf) => inboxes.list(shelf.state(), limit, 0).await?,
            };
            entries.retain(|entry| entry.state != State::Held);
            let counts = inboxes.counts().await?;
            Outcome::fine(shown(view::json_list(&entries, &counts), view::list(&entries, &counts)))
        }
        What::Show { id } => match inboxes.find(&id).await? {
            Some(entry) => Outcome::fine(shown(view::json(&entry), view::whole(&entry))),
            None => Outcome::failed(
                exit::CHECK_FAILED,
                format!("molecule-mcp inbox: there is no message {id}\n"),
            ),
        },
        What::Pop { ids } => {
            let mut done = Vec::new();
            for id in ids {
                let reason = match inboxes.pop(&id).await? {
                    Popped::Removed => None,
                    Popped::AlreadyDone => Some("it was acknowledged before"),
                    Popped::LeasedElsewhere => Some("an agent is working on it"),
                    Popped::Unknown => Some("there is no such message"),
                };
                done.push((id, reason));
            }
            settled(&done, "acknowledged", json)
        }
        What::Requeue { ids } => {
            let mut done = Vec::new();
            for id in ids {
                let is_back = inboxes.requeue(&id).await?;
                done.push((id, (!is_back).then_some("it was neither set aside nor recovered")));
            }
            settled(&done, "offered again", json)
        }
        What::Search { words, limit } => {
            let ask = Ask {
                words: Some(words.join(" ")),
                limit,
                ..Ask::default()
            };
            let found = inboxes.history(ask).await?;
            let report = shown(
                json!(found.iter().map(view::json_said).collect::<Vec<_>>()),
                view::found(&found),
            );
            Outcome {
                code: if found.is_empty() {
                    exit::CHECK_FAILED
                } else {
                    exit::FINE
                },
                ..Outcome::fine(report)
            }
        }
        What::Tail { .. } => Outcome::fine(""),
    })
}

/// What became of each message that something was to be done with.
fn settled(done: &[(ActivityId, Option<&'static str>)], verb: &str, json: bool) -> Outcome {
    let line = |(id, reason): &(ActivityId, Option<&str>)| match reason {
        None => format!("{id} {verb}\n"),
        Some(reason) => format!("{id} not {verb}: {reason}\n"),
    };
    let object = |(id, reason): &(ActivityId, Option<&str>)| json!({ "activity_id": id, "done": reason.is_none(), "reason": reason });
    Outcome {
        report: match json {
            true => format!("{:#}\n", json!(done.iter().map(object).collect::<Vec<_>>())),
            false => done.iter().map(line).collect(),
        },
        complaint: String::new(),
        code: match done.iter().all(|(_, reason)| reason.is_none()) {
            true => exit::FINE,
            false => exit::CHECK_FAILED,
        },
    }
}
