//! What is done to a computer, one step after the other, and told to the person.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::cli::clients::snippets::shell_word;
use crate::cli::options::{Outcome, exit};
use crate::state::secret;
use crate::types::Secret;

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Write a file that everyone may read.
    Write(PathBuf, String),
    /// Write the token to a file for root or this user alone, in a folder like that.
    Keep(PathBuf, Secret),
    /// Remove a file, or a folder that is empty. It need not be there.
    Remove(PathBuf),
    /// Run a command that has to succeed.
    Run(Vec<String>),
    /// Run a command that may fail, and then say this.
    Try(Vec<String>, &'static str),
}

/// A command from its words.
pub(super) fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// The steps, for a person who wants to know or take them by hand. The token is not shown.
pub(super) fn describe(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let _ = match step {
            Step::Write(path, content) => writeln!(text, "# {}\n{content}", path.display()),
            Step::Keep(path, _) => writeln!(text, "# {} holds the token, mode 0600\n", path.display()),
            Step::Remove(path) => writeln!(text, "# {} is removed", path.display()),
            Step::Run(command) | Step::Try(command, _) => writeln!(text, "$ {}", line(command)),
        };
    }
    text
}

fn line(command: &[String]) -> String {
    let words: Vec<_> = command.iter().map(|word| shell_word(word)).collect();
    words.join(" ")
}

/// Takes them; the answer is what belongs on stdout.
///
/// # Errors
/// What the first step that failed had to say. Those before it are done.
pub(super) async fn carry_out(steps: &[Step]) -> Result<String, String> {
    let mut report = String::new();
    for step in steps {
        match step {
            Step::Write(path, content) => {
                written(path, write(path, content.as_bytes()))?;
                let _ = writeln!(report, "wrote {}", path.display());
            }
            Step::Keep(path, token) => {
                written(path, keep(path, token))?;
                let _ = writeln!(report, "wrote {} (mode 0600)", path.display());
            }
            Step::Remove(path) => match remove(path) {
                Ok(()) => drop(writeln!(report, "removed {}", path.display())),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{} cannot be removed ({})", path.display(), error.kind())),
            },
            Step::Run(command) => {
                run(command).await?;
                let _ = writeln!(report, "ran {}", line(command));
            }
            Step::Try(command, otherwise) => match run(command).await {
                Ok(()) => drop(writeln!(report, "ran {}", line(command))),
                Err(_) if otherwise.is_empty() => {}
                Err(_) => drop(writeln!(report, "Note: {otherwise}")),
            },
        }
    }
    Ok(report)
}

fn written(path: &Path, outcome: io::Result<()>) -> Result<(), String> {
    outcome.map_err(|error| format!("{} cannot be written ({})", path.display(), error.kind()))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let mut draft = tempfile::Builder::new().prefix(".molecule-mcp-").tempfile_in(folder)?;
    io::Write::write_all(&mut draft, content)?;
    #[cfg(unix)]
    draft
        .as_file()
        .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    draft.as_file().sync_all()?;
    draft.persist(path).map(drop).map_err(|refused| refused.error)
}

fn keep(path: &Path, token: &Secret) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(OsStr::to_str)) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    secret::write_if_different(folder, name, token).map(drop)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        match fs::remove_dir(path) {
            // Somebody keeps something of their own in it.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            outcome => outcome,
        }
    } else {
        fs::remove_file(path)
    }
}

async fn run(command: &[String]) -> Result<(), String> {
    let ended = process(command)?
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("{} cannot be started ({})", line(command), error.kind()))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{} failed: {}", line(command), said.trim()))
}

/// Lets a command speak to the terminal itself, until it ends or `stop`.
pub(super) async fn show(command: &[String], stop: &CancellationToken) -> Outcome {
    let failed = |why: String| Outcome::failed(exit::CHECK_FAILED, format!("molecule-mcp service: {why}\n"));
    let child = process(command).and_then(|mut child| {
        let child = child.kill_on_drop(true).spawn();
        child.map_err(|error| format!("{} cannot be started ({})", line(command), error.kind()))
    });
    let mut child = match child {
        Ok(child) => child,
        Err(why) => return failed(why),
    };
    tokio::select! {
        ended = child.wait() => match ended {
            Ok(status) if status.success() => Outcome::fine(""),
            // It has said why.
            Ok(_) => Outcome::failed(exit::CHECK_FAILED, ""),
            Err(error) => failed(format!("{} was lost sight of ({})", line(command), error.kind())),
        },
        () = stop.cancelled() => Outcome::fine(""),
    }
}

fn process(command: &[String]) -> Result<Command, String> {
    let (program, arguments) = command.split_first().ok_or("there is no command")?;
    let mut process = Command::new(program);
    process.args(arguments);
    Ok(process)
}
