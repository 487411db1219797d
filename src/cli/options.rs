//! What can be typed after `molecule-mcp`, and how an outcome becomes text and an exit code.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::init::InitArgs;
use crate::config::CONFIG;

/// Exit codes. They are part of the contract with service managers; add, never change.
pub mod exit {
    /// All is well, or the client went away.
    pub const FINE: u8 = 0;
    /// A check failed.
    pub const CHECK_FAILED: u8 = 1;
    /// The configuration is wrong. Restarting cannot help.
    pub const CONFIGURATION: u8 = 2;
    /// The platform refused the token or workspace at the first register. Restarting cannot help.
    pub const REFUSED: u8 = 3;
    /// The platform could not be reached (commands only; the daemon goes on trying).
    pub const UNREACHABLE: u8 = 4;
    /// A bug.
    pub const INTERNAL: u8 = 70;
}

/// Makes this computer's coding agent a workspace of a Molecule AI platform.
///
/// Without a command it serves MCP on standard input and output, for an MCP client to start.
#[derive(Debug, Parser)]
#[command(name = "molecule-mcp", version)]
pub struct Options {
    /// Read this configuration file instead of the one in the state folder
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// What to do; `run` when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join the workspace and serve MCP on standard input and output (the default).
    Run,
    /// Join the workspace without an MCP client, as a service: outlives standard input and answers health questions.
    ///
    /// Standard input and output are left alone. SIGTERM ends it cleanly; SIGHUP reads the configuration and the token again.
    /// Under systemd use Type=notify: it reports when it is ready and how it goes, and feeds the watchdog.
    Serve(super::serve::ServeArgs),
    /// Ask for platform, workspace and token once, check them, and keep them in 0600 files.
    Init(InitArgs),
    /// Show whether messages arrive: since when, what waits, which process does it, what is wrong and what to do about it.
    ///
    /// It asks the state folder, neither the platform nor a daemon. Exit code 0: every workspace receives; 1: one does not.
    Status(super::status::StatusArgs),
    /// Check program, configuration, state folder, platform, token, daemon and MCP clients, and say what to do next.
    ///
    /// Nothing is changed: it neither registers nor sends heartbeats. Exit code 1 when a check failed.
    Doctor(super::doctor::DoctorArgs),
    /// Say by the exit code whether a daemon of this state folder is alive, or with `--ready` whether messages arrive.
    ///
    /// Alive means that its work goes on, whether or not the platform answers: restarting it would not help. Why not is said
    /// on standard error.
    Healthcheck(super::healthcheck::HealthcheckArgs),
    /// Show every setting, its value and where that comes from; never a credential.
    ///
    /// Also when the configuration is wrong: then with what is wrong, and exit code 2.
    Config(super::config::ConfigArgs),
    /// Look into the inbox, and take messages out of it or put them back, whether or not a daemon runs.
    Inbox(super::inbox::InboxArgs),
    /// Run one tool as the MCP server would, and print its result. Exit code 1 when that is an error.
    ///
    /// At a terminal a tool that removes something asks first; elsewhere it wants "confirm": true, as over MCP. A message that is
    /// waited for is offered again when the command ends, unless it was acknowledged.
    Call(super::call::CallArgs),
    /// Tell an MCP client to start this program: writes the client's own configuration, without the token.
    Install(super::install::InstallArgs),
    /// Take this program out of an MCP client's configuration again.
    Uninstall(super::install::UninstallArgs),
    /// Keep the daemon running without an MCP client, under systemd or launchd.
    Service(super::service::ServiceArgs),
    /// Show what was changed on a platform through this computer's tools: when, by which tool, what, and how it ended.
    Audit(super::audit::AuditArgs),
    /// Print what a shell completes after `molecule-mcp`.
    Completions(super::completions::CompletionsArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Man(super::man::ManArgs),
    /// List all tools, with the sets they belong to.
    Tools(super::tools::ToolsArgs),
    /// Run a small platform on this computer, for trying things out.
    #[cfg(feature = "local-platform")]
    Platform(super::platform::PlatformArgs),
    /// Show two agents and a person exchanging messages through the real daemon, on an embedded platform.
    #[cfg(feature = "local-platform")]
    Demo(super::demo::DemoArgs),
}

/// The environment, with the flags that say the same laid over it.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    config: Option<PathBuf>,
}

impl Environment {
    /// That of this process.
    #[must_use]
    pub fn with_config(config: Option<PathBuf>) -> Self {
        Self { config }
    }

    /// A variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<OsString> {
        match (&self.config, name) {
            (Some(file), CONFIG) => Some(file.into()),
            _ => std::env::var_os(name),
        }
    }

    /// The flag that a variable comes from.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<&'static str> {
        (name == CONFIG && self.config.is_some()).then_some("--config")
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// For stdout.
    pub report: String,
    /// For stderr.
    pub complaint: String,
    /// One of [`exit`].
    pub code: u8,
}

impl Outcome {
    /// It worked; `report` goes to stdout.
    #[must_use]
    pub fn fine(report: impl Into<String>) -> Self {
        Self {
            report: report.into(),
            complaint: String::new(),
            code: exit::FINE,
        }
    }

    /// It failed; `complaint` goes to stderr.
    #[must_use]
    pub fn failed(code: u8, complaint: impl Into<String>) -> Self {
        Self {
            report: String::new(),
            complaint: complaint.into(),
            code,
        }
    }
}
