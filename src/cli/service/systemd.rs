//! systemd: the units of `systemd/` as they are, and a drop-in with what differs on this computer.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Manager;
use super::steps::{Step, words};
use crate::cli::launch::Launch;
use crate::config::{CONFIG, TOKEN_FILE};

const OF_COMPUTER: &str = include_str!("../../../systemd/molecule-mcp.service");
const OF_USER: &str = include_str!("../../../systemd/user/molecule-mcp.service");

/// Folders that the unit of the computer does not see.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// One unit of one systemd.
pub(super) struct Systemd {
    /// Without `.service`.
    unit: String,
    /// Where units are.
    units: PathBuf,
    /// Where a package of the distribution puts them.
    packaged: PathBuf,
    reach: Reach,
}

enum Reach {
    User,
    /// The folder of its settings and token.
    Computer(PathBuf),
}

impl Systemd {
    /// A unit of this user, whose settings are in `folder`.
    pub(super) fn of_user(folder: &Path, name: Option<String>) -> Self {
        Self {
            unit: unit(name),
            units: folder.join("systemd/user"),
            packaged: PathBuf::from("/usr/lib/systemd/user"),
            reach: Reach::User,
        }
    }

    /// A unit of the computer.
    pub(super) fn of_computer(name: Option<String>) -> Self {
        Self::below(Path::new("/etc"), name)
    }

    fn below(etc: &Path, name: Option<String>) -> Self {
        let unit = unit(name);
        Self {
            units: etc.join("systemd/system"),
            packaged: PathBuf::from("/usr/lib/systemd/system"),
            reach: Reach::Computer(etc.join(&unit)),
            unit,
        }
    }

    fn file(&self) -> PathBuf {
        self.units.join(format!("{}.service", self.unit))
    }

    fn drop_in(&self) -> PathBuf {
        self.units.join(format!("{}.service.d/launch.conf", self.unit))
    }

    fn systemctl<const N: usize>(&self, arguments: [&str; N]) -> Vec<String> {
        let mut command = words(["systemctl"]);
        if let Reach::User = self.reach {
            command.push("--user".to_owned());
        }
        command.extend(words(arguments));
        command
    }

    fn on_unit(&self, verb: &str) -> Step {
        Step::Run(self.systemctl([verb, &format!("{}.service", self.unit)]))
    }

    /// Unless a package has put the very same there: a copy would outlive the package's next version.
    fn write_unit(&self, text: &str) -> Option<Step> {
        let packaged = self.packaged.join(self.file().file_name()?);
        let there = std::fs::read_to_string(packaged).is_ok_and(|there| there == text);
        (!there).then(|| Step::Write(self.file(), text.to_owned()))
    }

    /// A second workspace must not take the first one's place unasked.
    fn is_free_for(&self, mark: &str) -> Result<(), String> {
        let there = std::fs::read_to_string(self.drop_in()).unwrap_or_default();
        if there.is_empty() || there.lines().any(|line| line == mark) {
            return Ok(());
        }
        Err(format!(
            "{} is there for another workspace; give this one's service a name with --name, or uninstall the other first",
            self.unit
        ))
    }
}

impl Manager for Systemd {
    fn install(&self, launch: &Launch) -> Result<Vec<Step>, String> {
        let own = launch.checked.config().first();
        let mark = format!("# Workspace {}", own.workspace);
        self.is_free_for(&mark)?;
        let program = launch
            .program
            .to_str()
            .filter(|program| !program.contains(char::is_control));
        let program = program.ok_or("the path of this program cannot be written down")?;
        let mut drop_in = format!(
            "{mark}\n[Service]\nExecStart=\nExecStart={} serve\n",
            quoted(program, true)
        );
        let mut steps = Vec::new();
        match &self.reach {
            Reach::User => {
                for (name, value) in &launch.env {
                    let _ = writeln!(drop_in, "Environment={}", quoted(&format!("{name}={value}"), true));
                }
                steps.extend(self.write_unit(OF_USER));
            }
            Reach::Computer(folder) => {
                if let Some(hidden) = HIDDEN.into_iter().find(|hidden| launch.program.starts_with(hidden)) {
                    return Err(format!(
                        "the service cannot see {hidden}: copy {program} to /usr/local/bin and run that one"
                    ));
                }
                if self.unit != "molecule-mcp" {
                    drop_in.push_str(&of_its_own(&self.unit, folder));
                }
                let token = own
                    .token
                    .current()
                    .ok_or("there is no token yet: run `molecule-mcp init` first")?;
                steps.push(Step::Keep(folder.join("token"), token));
                steps.push(Step::Write(folder.join("environment"), environment(launch)));
                steps.extend(self.write_unit(OF_COMPUTER));
            }
        }
        steps.push(Step::Write(self.drop_in(), drop_in));
        steps.push(Step::Run(self.systemctl(["daemon-reload"])));
        steps.push(self.on_unit("enable"));
        if let Reach::User = self.reach {
            steps.push(Step::Try(
                words(["loginctl", "enable-linger"]),
                "it starts when you log in; to start it with the computer: sudo loginctl enable-linger $USER",
            ));
        }
        // It waits until the daemon says that it is ready.
        steps.push(self.on_unit("restart"));
        Ok(steps)
    }

    fn uninstall(&self) -> Vec<Step> {
        let unit = format!("{}.service", self.unit);
        let mut steps = vec![Step::Try(self.systemctl(["disable", "--now", &unit]), "")];
        let drop_in = self.drop_in();
        let folder = drop_in.parent().map(Path::to_owned);
        steps.extend(
            [drop_in]
                .into_iter()
                .chain(folder)
                .chain([self.file()])
                .map(Step::Remove),
        );
        if let Reach::Computer(folder) = &self.reach {
            let files = ["token", "environment"].map(|name| folder.join(name));
            steps.extend(files.into_iter().chain([folder.clone()]).map(Step::Remove));
        }
        steps.push(Step::Run(self.systemctl(["daemon-reload"])));
        steps
    }

    fn start(&self) -> Vec<Step> {
        vec![self.on_unit("start")]
    }

    fn stop(&self) -> Vec<Step> {
        vec![self.on_unit("stop")]
    }

    fn status(&self) -> Vec<String> {
        self.systemctl(["status", "--no-pager", &format!("{}.service", self.unit)])
    }

    fn logs(&self, follow: bool, lines: u32) -> Vec<String> {
        let unit = match self.reach {
            Reach::User => "--user-unit",
            Reach::Computer(_) => "--unit",
        };
        let mut command = words([
            "journalctl",
            "--no-pager",
            unit,
            &self.unit,
            "--lines",
            &lines.to_string(),
        ]);
        if follow {
            command.push("--follow".to_owned());
        }
        command
    }

    fn notes(&self) -> String {
        let flags = match self.reach {
            Reach::User => "",
            Reach::Computer(_) => " --system",
        };
        let unit = &self.unit;
        format!(
            "{unit} was started. Whether messages arrive: molecule-mcp status. Its log: molecule-mcp service logs{flags}\n"
        )
    }
}

fn unit(name: Option<String>) -> String {
    name.map_or_else(|| "molecule-mcp".to_owned(), |name| format!("molecule-mcp-{name}"))
}

/// What a further unit of the computer does not share with the first.
fn of_its_own(unit: &str, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "EnvironmentFile=\nEnvironmentFile=-{folder}/environment\nEnvironment=CONFIGS_DIR=/var/lib/{unit}\n\
         LoadCredential=\nLoadCredential=token:{folder}/token\nStateDirectory=\nStateDirectory={unit}\n"
    )
}

/// All settings, also those that the user's own state folder holds: the unit of the computer has another one.
fn environment(launch: &Launch) -> String {
    let mut text = String::new();
    let own = |name: &str| ["CONFIGS_DIR", TOKEN_FILE, CONFIG].contains(&name);
    for (name, value) in launch.env.iter().filter(|(name, _)| !own(name)) {
        let _ = writeln!(text, "{name}={}", quoted(value, false));
    }
    for (name, value) in launch.checked.filed().as_variables() {
        if !own(name) && launch.env.iter().all(|(given, _)| given != name) {
            let _ = writeln!(text, "{name}={}", quoted(&value, false));
        }
    }
    text
}

/// A word that systemd reads back: in a unit, where % has a meaning, or in a file of variables, where $ may have one.
fn quoted(text: &str, in_unit: bool) -> String {
    let mut word = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => word.extend(['\\', letter]),
            '%' if in_unit => word.push_str("%%"),
            '$' | '`' if !in_unit => word.extend(['\\', letter]),
            _ => word.push(letter),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
