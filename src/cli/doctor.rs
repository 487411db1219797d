//! `molecule-mcp doctor`: looks for everything that commonly keeps messages from arriving, and says what to do next.
//!
//! It changes nothing here or on the platform: it never registers (which would overwrite the agent's card) and never sends a
//! heartbeat (which would make the workspace look alive).

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::options::{Outcome, exit};
use super::status;
use findings::{Finding, Findings};

mod bundle;
mod clients;
mod computer;
mod configuration;
mod daemon;
mod findings;
mod folder;
mod platform;

/// Arguments of `doctor`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Write a report for somebody who helps, without credentials, to this file (a new one in the working directory when no
    /// name is given)
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
    pub bundle: Option<PathBuf>,
}

/// Checks everything.
pub async fn perform(args: DoctorArgs, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    let mut findings = Findings::default();
    computer::check(&mut findings, &var);
    let (looking, overview) = match status::look(&var) {
        Ok(both) => both,
        Err(outcome) => return outcome,
    };
    configuration::check(&mut findings, &looking, &var);
    folder::check(&mut findings, &looking.state_dir);
    if let Ok(config) = &looking.config {
        platform::check(&mut findings, config, &var).await;
    }
    daemon::check(&mut findings, &overview);
    clients::check(&mut findings, &var);
    let code = if findings.has_failed() {
        exit::CHECK_FAILED
    } else {
        exit::FINE
    };
    let mut report = match args.json {
        true => format!("{:#}\n", json!(findings)),
        false => findings.text(),
    };
    if let Some(file) = &args.bundle {
        let facts = status::facts(&looking, &overview);
        match bundle::write(file, &findings, facts, &looking, &var) {
            Ok(path) if args.json => drop(path),
            Ok(path) => report.push_str(&format!(
                "\nA report was written to {}. Credentials were taken out of it; the platform's address, workspace ids and paths \
                 are in it. Read it before you pass it on.\n",
                path.display()
            )),
            Err(error) => {
                return Outcome {
                    report,
                    complaint: format!("molecule-mcp doctor: the report could not be written: {error}\n"),
                    code: exit::CHECK_FAILED,
                };
            }
        }
    }
    Outcome {
        report,
        complaint: String::new(),
        code,
    }
}
