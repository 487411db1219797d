//! launchd: an agent of this user, from the file in `launchd/`.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::Manager;
use super::steps::{Step, words};
use crate::cli::launch::Launch;

const AGENT: &str = include_str!("../../../launchd/molecule-mcp.plist");

/// One agent of one user.
pub(super) struct Launchd {
    home: PathBuf,
    /// `gui/501`.
    domain: String,
    label: String,
}

impl Launchd {
    pub(super) fn new(home: PathBuf, uid: u32, name: Option<String>) -> Self {
        Self {
            home,
            domain: format!("gui/{uid}"),
            label: name.map_or_else(
                || "ai.molecule.molecule-mcp".to_owned(),
                |name| format!("ai.molecule.molecule-mcp.{name}"),
            ),
        }
    }

    fn file(&self) -> PathBuf {
        self.home.join(format!("Library/LaunchAgents/{}.plist", self.label))
    }

    fn log(&self) -> PathBuf {
        self.home.join(format!("Library/Logs/{}.log", self.label))
    }

    fn target(&self) -> String {
        format!("{}/{}", self.domain, self.label)
    }
}

impl Manager for Launchd {
    fn install(&self, launch: &Launch) -> Result<Vec<Step>, String> {
        let mark = format!("<!-- Workspace {} -->", launch.checked.config().first().workspace);
        let there = std::fs::read_to_string(self.file()).unwrap_or_default();
        if !there.is_empty() && !there.contains(&mark) {
            return Err(format!(
                "{} is there for another workspace; give this one's service a name with --name, or uninstall the other \
                 first",
                self.label
            ));
        }
        let program = launch
            .program
            .to_str()
            .ok_or("the path of this program cannot be written down")?;
        let mut variables = format!("{mark}\n");
        for (name, value) in &launch.env {
            let (name, value) = (escaped(name), escaped(value));
            let _ = writeln!(variables, "\t\t<key>{name}</key>\n\t\t<string>{value}</string>");
        }
        let agent = AGENT
            .replace("@LABEL@", &self.label)
            .replace("@LOG@", &escaped(&self.log().to_string_lossy()))
            .replace("@PROGRAM@", &escaped(program))
            .replace("@ENVIRONMENT@", &format!("{variables}\t"));
        let file = self.file().display().to_string();
        Ok(vec![
            Step::Write(self.file(), agent),
            Step::Try(words(["launchctl", "bootout", &self.target()]), ""),
            Step::Run(words(["launchctl", "enable", &self.target()])),
            Step::Run(words(["launchctl", "bootstrap", &self.domain, &file])),
        ])
    }

    fn uninstall(&self) -> Vec<Step> {
        vec![
            Step::Try(words(["launchctl", "bootout", &self.target()]), ""),
            Step::Remove(self.file()),
        ]
    }

    fn start(&self) -> Vec<Step> {
        vec![Step::Run(words(["launchctl", "kickstart", &self.target()]))]
    }

    /// It ends with 0, and so is not started again.
    fn stop(&self) -> Vec<Step> {
        vec![Step::Run(words(["launchctl", "kill", "SIGTERM", &self.target()]))]
    }

    fn status(&self) -> Vec<String> {
        words(["launchctl", "print", &self.target()])
    }

    fn logs(&self, follow: bool, lines: u32) -> Vec<String> {
        let mut command = words(["tail", "-n", &lines.to_string()]);
        if follow {
            command.push("-F".to_owned());
        }
        command.push(self.log().display().to_string());
        command
    }

    fn notes(&self) -> String {
        format!(
            "{} was started. Whether messages arrive: molecule-mcp status. Its log: molecule-mcp service logs\n",
            self.label
        )
    }
}

/// Text in XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
