//! `molecule-mcp install` and `uninstall`: this program as a server in the configuration of an MCP client.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::clients::{self, Client, Computer, Entry, Reach, Seen, snippets};
use super::launch::{self, Launch};
use super::options::{Outcome, exit};
use crate::config::Places;
use crate::state::secret::HTTP_TOKEN;

/// Arguments of `install`.
#[derive(Clone, Debug, clap::Args)]
pub struct InstallArgs {
    /// The client to tell; what others need is shown with --print
    #[arg(required_unless_present = "print")]
    pub client: Option<Client>,
    /// Show what belongs into the configuration, and change nothing
    #[arg(long)]
    pub print: bool,
    /// Where to write
    #[command(flatten)]
    pub target: Target,
}

/// Arguments of `uninstall`.
#[derive(Clone, Debug, clap::Args)]
pub struct UninstallArgs {
    /// The client
    pub client: Client,
    /// Where to look
    #[command(flatten)]
    pub target: Target,
}

/// Which entry of which file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    /// The server's name in the client [default: molecule- and the first eight characters of the workspace id]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub name: Option<String>,
    /// The configuration of the project in this folder instead of the user's
    #[arg(long, conflicts_with = "file")]
    pub project: bool,
    /// This configuration file instead of the usual one
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
}

/// Tells a client to start this program for the workspace that environment and files name. Only that file is changed;
/// nothing is sent.
#[must_use]
pub fn install(args: InstallArgs, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    finish("install", installed(&args, &var, &Places::usual()))
}

/// Takes this program out of a client's configuration again.
#[must_use]
pub fn uninstall(args: UninstallArgs, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    finish("uninstall", uninstalled(&args, &var, &Places::usual()))
}

/// What `install CLIENT --print` shows in this environment, or `install --print` without a client.
#[cfg(feature = "local-platform")]
pub(super) fn printed(
    client: Option<Client>,
    var: &dyn Fn(&str) -> Option<OsString>,
    places: &Places,
) -> Result<String, String> {
    let args = InstallArgs {
        client,
        print: true,
        target: Target::default(),
    };
    installed(&args, var, places)
}

fn finish(command: &str, done: Result<String, String>) -> Outcome {
    match done {
        Ok(report) => Outcome::fine(report),
        Err(why) => Outcome::failed(
            exit::CONFIGURATION,
            format!("molecule-mcp {command}: {}\n", why.trim_end()),
        ),
    }
}

fn installed(args: &InstallArgs, var: &dyn Fn(&str) -> Option<OsString>, places: &Places) -> Result<String, String> {
    let launch = Launch::of(var, places)?;
    let entry = entry(&launch)?;
    let usual_name = entry.usual_name();
    let name = args.target.name.as_ref().unwrap_or(&usual_name);
    let Some(client) = args.client else {
        let token = launch.checked.config().state_dir.join(HTTP_TOKEN);
        return Ok(snippets::to_paste(name, &entry) + &snippets::over_http(&token.display().to_string()));
    };
    let file = args.target.file(client, var)?;
    if args.print {
        return Ok(format!("{}:\n{}", file.display(), snippets::of(client, name, &entry)));
    }
    let before = clients::read(&file).map_err(|trouble| trouble.to_string())?;
    let mut document = parse(client, &file, &before)?;
    let name = args.target.name_for(&usual_name, &entry, &document.servers(), &file)?;
    document.put(&name, &entry);
    let text = document.text();
    let mut report = format!("{}: server {name} in {}", client.title(), file.display());
    if text == before {
        report.push_str(" is up to date\n");
        return Ok(report);
    }
    let backup = clients::replace(&file, &before, &text).map_err(|trouble| trouble.to_string())?;
    report.push_str(" starts this workspace\n");
    let _ = writeln!(report, "  {} for workspace {}", entry.program, entry.workspace);
    said_of_backup(&mut report, backup.as_deref());
    if args.target.project {
        report
            .push_str("Note: others who work in this folder get this file too; its paths are those of this computer\n");
    }
    if launch.program.components().any(|part| part.as_os_str() == "_npx") {
        report.push_str("Note: this program lies in a cache of npx; install it for good, then run this again\n");
    }
    let _ = writeln!(report, "Next: {}", client.next_step());
    Ok(report)
}

fn uninstalled(
    args: &UninstallArgs,
    var: &dyn Fn(&str) -> Option<OsString>,
    places: &Places,
) -> Result<String, String> {
    let (client, file) = (args.client, args.target.file(args.client, var)?);
    let before = clients::read(&file).map_err(|trouble| trouble.to_string())?;
    let mut document = parse(client, &file, &before)?;
    let program = launch::program(var);
    let ours = |seen: &Seen| seen.starts(&program.to_string_lossy());
    let servers: Vec<_> = document.servers().into_iter().filter(ours).collect();
    let gone: Vec<_> = match &args.target.name {
        Some(name) => servers.iter().filter(|seen| seen.name == *name).collect(),
        // With one server there is no doubt which one is meant, even if the workspace's files are gone already.
        None if servers.len() == 1 => servers.iter().collect(),
        None => {
            let entry = entry(&Launch::of(var, places).map_err(|why| which(&servers, &file, &why))?)?;
            servers.iter().filter(|seen| entry.is(seen)).collect()
        }
    };
    if gone.is_empty() {
        return Ok(format!(
            "{}: nothing to take out of {}\n",
            client.title(),
            file.display()
        ));
    }
    for seen in &gone {
        document.remove(&seen.name);
    }
    let backup = if document.is_empty() {
        clients::remove(&file, &before).map(|()| None)
    } else {
        clients::replace(&file, &before, &document.text())
    };
    let names: Vec<_> = gone.iter().map(|seen| seen.name.as_str()).collect();
    let mut report = format!(
        "{}: took {} out of {}\n",
        client.title(),
        names.join(", "),
        file.display()
    );
    said_of_backup(&mut report, backup.map_err(|trouble| trouble.to_string())?.as_deref());
    Ok(report)
}

fn which(servers: &[Seen], file: &Path, why: &str) -> String {
    let names: Vec<_> = servers.iter().map(|seen| seen.name.as_str()).collect();
    let (file, names) = (file.display(), names.join(", "));
    format!("{file} has several servers of this program ({names}); say which with --name\n{why}")
}

fn said_of_backup(report: &mut String, backup: Option<&Path>) {
    if let Some(backup) = backup {
        let _ = writeln!(report, "  what was there before is in {}", backup.display());
    }
}

fn parse(client: Client, file: &Path, text: &str) -> Result<Box<dyn clients::Document>, String> {
    client.format().parse(text).map_err(|what| {
        format!(
            "{} {what}; it was left as it is: mend it, or add by hand what --print shows",
            file.display()
        )
    })
}

fn entry(launch: &Launch) -> Result<Entry, String> {
    let program = launch.program.to_str().filter(|_| launch.program.is_absolute());
    Ok(Entry {
        program: program
            .ok_or("the path of this program cannot be told or written down")?
            .to_owned(),
        env: launch.env.clone(),
        workspace: launch.checked.config().first().workspace.to_string(),
        is_usual: launch.is_usual,
    })
}

fn server_name(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 letters, digits, - and _".to_owned())
    }
}

impl Target {
    fn file(&self, client: Client, var: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, String> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let computer = Computer::this(var).ok_or("there is no home folder or no working directory: name --file")?;
        let reach = if self.project { Reach::Project } else { Reach::User };
        client
            .file(reach, &computer)
            .ok_or_else(|| format!("{} has no configuration of a project", client.title()))
    }

    /// The name asked for, else the one under which the client has this workspace already, else the usual one.
    fn name_for(&self, usual: &str, entry: &Entry, servers: &[Seen], file: &Path) -> Result<String, String> {
        let there = servers.iter().find(|seen| entry.is(seen));
        let name = match (&self.name, there) {
            (Some(name), _) => name,
            (None, Some(there)) => &there.name,
            (None, None) => usual,
        };
        let stranger = servers.iter().find(|seen| seen.name == name && !entry.is(seen));
        match stranger {
            None => Ok(name.to_owned()),
            Some(_) => Err(format!(
                "{} has another server named {name}, which was left as it is; choose a name with --name",
                file.display()
            )),
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
