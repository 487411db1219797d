//! `molecule-mcp healthcheck`: one exit code, for containers and service managers.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::options::{Outcome, exit};
use super::status;

/// Arguments of `healthcheck`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HealthcheckArgs {
    /// Ask whether messages arrive
    #[arg(long)]
    pub ready: bool,
}

/// Looks; asks neither the platform nor the daemon.
pub fn perform(args: HealthcheckArgs, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    let overview = match status::look(&var) {
        Ok((_, overview)) => overview,
        Err(outcome) => return outcome,
    };
    let mut complaint = String::new();
    if overview.workspaces.is_empty() {
        complaint.push_str("molecule-mcp: no workspace has been served from this state folder\n");
    }
    for standing in &overview.workspaces {
        let is_well = match args.ready {
            true => standing.can_receive(),
            false => standing.is_alive(),
        };
        let why = standing.troubles().into_iter().next();
        if let (false, Some(why)) = (is_well, why) {
            let _ = writeln!(
                complaint,
                "molecule-mcp: workspace {}: {}: {}; {}",
                standing.workspace, why.code, why.what, why.remedy
            );
        }
    }
    if complaint.is_empty() {
        Outcome::fine("")
    } else {
        Outcome::failed(exit::CHECK_FAILED, complaint)
    }
}
