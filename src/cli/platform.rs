//! `molecule-mcp platform`: the embedded platform on its own, and workspaces for it.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::clients::snippets::shell_word;
use super::options::{Outcome, exit};
use crate::local_platform::{Level, LocalPlatform, Options, Outfit};

pub use add_workspace::AddWorkspaceArgs;

mod add_workspace;
mod outfit;
mod snippets;

/// Arguments of `platform`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlatformArgs {
    /// Loopback address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder for the database and the admin token; without it everything is in memory and gone at exit.
    #[arg(long, global = true)]
    pub data: Option<PathBuf>,
    /// Offer fault injection under /_local, for tests.
    #[arg(long)]
    pub faults: bool,
    /// Which build of the real platform to behave like.
    #[arg(long, value_enum, default_value_t = LevelArg::B)]
    pub level: LevelArg,
    /// What to do instead of running the platform.
    #[command(subcommand)]
    pub command: Option<PlatformCommand>,
}

/// A platform level on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LevelArg {
    /// Before poll mode.
    A,
    /// The reference.
    B,
    /// Sequence numbers and stricter credentials.
    C,
}

/// What can be asked of a running platform.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum PlatformCommand {
    /// Make a workspace on a running platform and print configuration for MCP clients.
    AddWorkspace(AddWorkspaceArgs),
}

/// Why the command failed.
#[derive(Debug)]
struct Failure {
    /// One of [`exit`].
    code: u8,
    /// A sentence for stderr.
    why: String,
}

/// A failure without a code of its own is one of the arguments: an address, a folder or a file that cannot be used.
impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self {
            code: exit::CONFIGURATION,
            why,
        }
    }
}

/// Runs the platform until `stop`, or does what the subcommand says. While running, the platform says on stderr where it
/// is.
pub async fn perform(args: PlatformArgs, stop: CancellationToken) -> Outcome {
    let done = match args.command {
        None => run(args, stop).await.map_err(Failure::from),
        Some(PlatformCommand::AddWorkspace(wanted)) => add_workspace::perform(wanted, args.data).await,
    };
    match done {
        Ok(report) => Outcome::fine(report),
        Err(Failure { code, why }) => Outcome::failed(code, format!("molecule-mcp platform: {why}\n")),
    }
}

async fn run(args: PlatformArgs, stop: CancellationToken) -> Result<String, String> {
    if !args.listen.ip().is_loopback() {
        return Err(format!(
            "--listen {}: the embedded platform is for one machine and listens on loopback addresses only; use 127.0.0.1:{}",
            args.listen,
            args.listen.port()
        ));
    }
    let passing = match &args.data {
        Some(_) => None,
        None => Some(
            outfit::passing_root()
                .map_err(|error| format!("no folder for the state of workspaces can be made: {error}"))?,
        ),
    };
    let root = args.data.as_deref().or(passing.as_ref().map(tempfile::TempDir::path));
    let outfit = root.map(|root| Arc::new(outfit::Folders::below(root)) as Arc<dyn Outfit>);
    let options = Options {
        listen: args.listen,
        data: args.data.clone(),
        level: match args.level {
            LevelArg::A => Level::A,
            LevelArg::B => Level::B,
            LevelArg::C => Level::C,
        },
        faults: args.faults,
        outfit,
        ..Options::default()
    };
    let platform = LocalPlatform::start(options)
        .await
        .map_err(|error| format!("the embedded platform could not start on {}: {error}", args.listen))?;
    // A closed stderr is no reason to stop serving.
    let _ = io::stderr().write_all(greeting(&platform, args.data.as_deref()).as_bytes());
    stop.cancelled().await;
    platform.stop().await;
    Ok(String::new())
}

fn greeting(platform: &LocalPlatform, data: Option<&Path>) -> String {
    let url = platform.url();
    let (admin, flag) = match data {
        Some(folder) => {
            let path = absolute(&folder.join("admin_token"));
            (
                format!("The admin token is in {}", path.display()),
                format!("--data {}", shell_word(&folder.display().to_string())),
            )
        }
        None => (
            // Nothing else can tell it: without a folder there is no file to read it from.
            format!("The admin token, until exit: {}", platform.admin_token()),
            "--admin-token-file FILE".to_owned(),
        ),
    };
    format!(
        "Embedded platform at {url}\nIt is for one machine: no other computer can reach it.\n\
         Its page, for a browser on this computer: {}\n{admin}\n\
         Make a workspace: molecule-mcp platform add-workspace NAME --url {url} {flag}\n",
        platform.page_url()
    )
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn args(arguments: &[&str]) -> PlatformArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            platform: PlatformArgs,
        }
        let line = std::iter::once("platform").chain(arguments.iter().copied());
        <Line as clap::Parser>::try_parse_from(line).unwrap().platform
    }

    #[tokio::test]
    async fn an_address_beyond_this_machine_is_refused_with_the_remedy() {
        let refused = perform(args(&["--listen", "0.0.0.0:8080"]), CancellationToken::new()).await;
        assert_eq!(refused.code, exit::CONFIGURATION);
        for part in ["loopback", "127.0.0.1:8080"] {
            assert!(refused.complaint.contains(part), "{}", refused.complaint);
        }
    }
}
