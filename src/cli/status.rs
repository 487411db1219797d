//! `molecule-mcp status`: whether messages arrive, and if not, why and what to do.
//!
//! It only looks, and asks neither the platform nor a daemon: the state folder tells, also when nothing runs.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::options::{Outcome, exit};
use crate::config;
use crate::config::looking::Looking;
use crate::state::overview::Overview;
use crate::state::record::SILENT_AFTER;
use crate::types::Timestamp;
use report::Report;

mod report;
mod text;

/// Arguments of `status`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StatusArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Again and again, every two seconds unless another number is given, until interrupted
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
}

/// Looks once, or until `stop`.
pub async fn perform(args: StatusArgs, stop: CancellationToken, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    let Some(secs) = args.watch else {
        return match once(&args, &var) {
            Ok((text, receives)) => outcome(text, receives),
            Err(outcome) => outcome,
        };
    };
    let clear = if std::io::stdout().is_terminal() {
        "\x1b[H\x1b[2J"
    } else {
        ""
    };
    loop {
        let (text, receives) = match once(&args, &var) {
            Ok(seen) => seen,
            Err(outcome) => return outcome,
        };
        let mut stdout = std::io::stdout();
        let written = write!(stdout, "{clear}{text}").and_then(|()| stdout.flush());
        let pause = tokio::time::sleep(Duration::from_secs(secs));
        // A reader that has gone, such as `head`, has seen enough.
        if written.is_err() || stop.run_until_cancelled(pause).await.is_none() {
            return outcome(String::new(), receives);
        }
    }
}

fn outcome(report: String, receives: bool) -> Outcome {
    Outcome {
        report,
        complaint: String::new(),
        code: if receives { exit::FINE } else { exit::CHECK_FAILED },
    }
}

/// The text, and whether all workspaces receive.
fn once(args: &StatusArgs, var: &dyn Fn(&str) -> Option<OsString>) -> Result<(String, bool), Outcome> {
    let (looking, overview) = look(var)?;
    let report = Report::of(&looking, &overview);
    let text = match (args.json, args.watch) {
        (true, None) => format!("{:#}\n", serde_json::json!(report)),
        (true, Some(_)) => format!("{}\n", serde_json::json!(report)),
        (false, _) => text::of(&report, Timestamp::now()),
    };
    Ok((text, report.receiving))
}

/// The same facts as a JSON value.
pub(super) fn facts(looking: &Looking, overview: &Overview) -> serde_json::Value {
    serde_json::json!(Report::of(looking, overview))
}

/// What the state folder tells of the workspaces of this environment, or of all where the environment names none.
pub(super) fn look(var: &dyn Fn(&str) -> Option<OsString>) -> Result<(Looking, Overview), Outcome> {
    let looking =
        Looking::read(var).map_err(|problems| Outcome::failed(exit::CONFIGURATION, config::explain(&problems)))?;
    let patience = looking.timing.of(SILENT_AFTER);
    let overview = Overview::of(&looking.state_dir, &looking.wanted(), patience);
    Ok((looking, overview))
}
