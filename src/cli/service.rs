//! `molecule-mcp service`: the daemon under systemd or launchd, by the very files in `systemd/` and `launchd/`.

use std::ffi::OsString;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::launch::Launch;
use super::options::{Outcome, exit};
use crate::config::Places;
use launchd::Launchd;
use steps::Step;
use systemd::Systemd;

mod launchd;
mod steps;
mod systemd;

/// Arguments of `service`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServiceArgs {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
    /// The service of the computer instead of this user's (systemd, as root)
    #[arg(long, global = true)]
    pub system: bool,
    /// Which service, where there are several workspaces
    #[arg(long, global = true, value_name = "NAME", value_parser = service_name)]
    pub name: Option<String>,
}

/// What can be done to the service.
#[derive(Clone, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Put it in place for the workspace that environment and files name, start it, and start it with the computer
    Install {
        /// Show the files and commands, and do nothing
        #[arg(long)]
        print: bool,
    },
    /// Stop it and take it away; the state folder with its messages stays
    Uninstall,
    /// Start it
    Start,
    /// Stop it until it is started again
    Stop,
    /// Ask the service manager how it is
    Status,
    /// Show its log
    Logs {
        /// Go on showing what comes
        #[arg(short, long)]
        follow: bool,
        /// How many lines of the past
        #[arg(short = 'n', long, default_value_t = 100)]
        lines: u32,
    },
}

/// A service manager that keeps the daemon running.
trait Manager {
    /// What puts it in place and starts it.
    fn install(&self, launch: &Launch) -> Result<Vec<Step>, String>;
    /// What takes it away.
    fn uninstall(&self) -> Vec<Step>;
    /// What starts it.
    fn start(&self) -> Vec<Step>;
    /// What stops it.
    fn stop(&self) -> Vec<Step>;
    /// What shows how it is.
    fn status(&self) -> Vec<String>;
    /// What shows its log.
    fn logs(&self, follow: bool, lines: u32) -> Vec<String>;
    /// What to know once it is in place.
    fn notes(&self) -> String;
}

/// Does what is asked. Service managers' own words go to the terminal as they are.
pub async fn perform(args: ServiceArgs, var: impl Fn(&str) -> Option<OsString>, stop: CancellationToken) -> Outcome {
    let manager = match manager(&args, &var) {
        Ok(manager) => manager,
        Err(why) => return complaint(exit::CONFIGURATION, &why),
    };
    let steps = match &args.action {
        Action::Status => return steps::show(&manager.status(), &stop).await,
        Action::Logs { follow, lines } => return steps::show(&manager.logs(*follow, *lines), &stop).await,
        Action::Install { print } => {
            let planned = Launch::of(&var, &Places::usual()).and_then(|launch| manager.install(&launch));
            match planned {
                Ok(planned) if *print => return Outcome::fine(steps::describe(&planned)),
                Ok(planned) => planned,
                Err(why) => return complaint(exit::CONFIGURATION, &why),
            }
        }
        Action::Uninstall => manager.uninstall(),
        Action::Start => manager.start(),
        Action::Stop => manager.stop(),
    };
    let done = match args.action {
        Action::Install { .. } => manager.notes(),
        Action::Uninstall => "The service is gone; the state folder with its messages stays\n".to_owned(),
        _ => String::new(),
    };
    match steps::carry_out(&steps).await {
        Ok(report) => Outcome::fine(report + &done),
        Err(why) => complaint(exit::CHECK_FAILED, &why),
    }
}

fn complaint(code: u8, why: &str) -> Outcome {
    Outcome::failed(code, format!("molecule-mcp service: {}\n", why.trim_end()))
}

fn manager(args: &ServiceArgs, var: &dyn Fn(&str) -> Option<OsString>) -> Result<Box<dyn Manager>, String> {
    let home = dirs::home_dir().ok_or("this user has no home folder")?;
    let name = args.name.clone();
    if cfg!(target_os = "macos") {
        if args.system {
            return Err("--system is for systemd; on macOS the service is this user's".to_owned());
        }
        return Ok(Box::new(Launchd::new(home, uid(), name)));
    }
    if !on_path("systemctl", var) {
        return Err(
            "there is no systemctl on this computer; start `molecule-mcp serve` by what starts your services".into(),
        );
    }
    let shows = args.action == Action::Install { print: true };
    if !args.system {
        if !shows && var("XDG_RUNTIME_DIR").is_none() {
            return Err(
                "this user has no systemd of its own here, as after su or sudo: log in as this user, or use --system"
                    .into(),
            );
        }
        let folder = var("XDG_CONFIG_HOME")
            .filter(|value| !value.is_empty())
            .map_or_else(|| home.join(".config"), PathBuf::from);
        return Ok(Box::new(Systemd::of_user(&folder, name)));
    }
    let looks = shows || matches!(args.action, Action::Status | Action::Logs { .. });
    if !looks && uid() != 0 {
        return Err("--system changes the computer's services and needs root: put sudo before it".to_owned());
    }
    Ok(Box::new(Systemd::of_computer(name)))
}

fn on_path(program: &str, var: &dyn Fn(&str) -> Option<OsString>) -> bool {
    var("PATH").is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(unix)]
fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn uid() -> u32 {
    1
}

fn service_name(text: &str) -> Result<String, String> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if (1..=32).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err("1 to 32 lower-case letters, digits and -".to_owned())
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
