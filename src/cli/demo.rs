//! `molecule-mcp demo`: the main job, shown and verified on the embedded platform with the real daemon as a child process.

use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::options::{Outcome, exit};

pub mod client;
mod scene;
mod story;
mod transcript;

/// Options of the demonstration.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Print the steps as one JSON object instead of a transcript.
    #[arg(long)]
    json: bool,
    /// Keep the folder with the state of the daemons, and print where it is.
    #[arg(long)]
    keep: bool,
}

/// Runs the story. Exit 0 only when every step was verified.
pub async fn perform(args: DemoArgs, stop: CancellationToken) -> Outcome {
    let mut transcript = transcript::Transcript::new(args.json);
    let told = stop.run_until_cancelled(story::tell(&mut transcript, args.keep)).await;
    let kept: Option<PathBuf> = match told {
        None => return Outcome::failed(exit::CHECK_FAILED, "demo: interrupted\n"),
        Some(Err(failure)) => {
            transcript.failed(&failure);
            None
        }
        Some(Ok(kept)) => kept,
    };
    let code = if transcript.all_verified() {
        exit::FINE
    } else {
        exit::CHECK_FAILED
    };
    Outcome {
        report: transcript.finish(kept.as_deref()),
        complaint: String::new(),
        code,
    }
}
