//! The MCP clients that can be told to start this program: where each keeps its configuration, and in which format.
//!
//! The one place that knows these formats. They are those that Claude Code 2.1, Codex 0.169, Gemini CLI 0.61 and OpenCode
//! 1.18 write and read themselves, and those that Cursor, VS Code and Claude Desktop document.

use std::path::{Path, PathBuf};

pub use entry::{Entry, Seen};
pub use file::{Trouble, read, remove, replace};

mod entry;
mod file;
pub(crate) mod snippets;

mod json;
mod toml;

/// An MCP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// Claude Code
    ClaudeCode,
    /// Codex
    Codex,
    /// Gemini CLI
    Gemini,
    /// Cursor
    Cursor,
    /// VS Code (GitHub Copilot)
    Vscode,
    /// OpenCode
    Opencode,
    /// Claude Desktop
    ClaudeDesktop,
}

/// Whose configuration: the client reads both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// For this user, in every folder.
    User,
    /// For everyone who works in this folder.
    Project,
}

/// How a client writes its servers down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON with the servers below this key.
    Json(&'static str, Shape),
    /// TOML with a table `mcp_servers`.
    Toml,
}

/// What one server looks like in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `command`, `args`, `env`.
    Plain,
    /// The same with `"type": "stdio"`.
    Typed,
    /// The same with a `timeout`, in milliseconds.
    Timed,
    /// `command` as one list, `environment`.
    OpenCode,
}

/// Where things are on a computer; tests bring their own.
pub struct Computer<'a> {
    /// The user's home folder.
    pub home: PathBuf,
    /// Where programs with windows keep their settings.
    pub settings: PathBuf,
    /// The working directory.
    pub current: PathBuf,
    /// The environment.
    pub var: &'a dyn Fn(&str) -> Option<std::ffi::OsString>,
}

impl<'a> Computer<'a> {
    /// This one. `None` when this user has no home folder or there is no working directory.
    #[must_use]
    pub fn this(var: &'a dyn Fn(&str) -> Option<std::ffi::OsString>) -> Option<Self> {
        Some(Self {
            home: dirs::home_dir()?,
            settings: dirs::config_dir()?,
            current: std::env::current_dir().ok()?,
            var,
        })
    }

    /// The folder that a variable names, else `usual`.
    fn folder(&self, variable: &str, usual: PathBuf) -> PathBuf {
        (self.var)(variable)
            .filter(|value| !value.is_empty())
            .map_or(usual, PathBuf::from)
    }
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::Gemini,
        Self::Cursor,
        Self::Vscode,
        Self::Opencode,
        Self::ClaudeDesktop,
    ];

    /// What people call it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::Codex => "Codex",
            Self::Gemini => "Gemini CLI",
            Self::Cursor => "Cursor",
            Self::Vscode => "VS Code",
            Self::Opencode => "OpenCode",
            Self::ClaudeDesktop => "Claude Desktop",
        }
    }

    /// How it writes servers down.
    #[must_use]
    pub fn format(self) -> Format {
        match self {
            Self::ClaudeCode | Self::Cursor => Format::Json("mcpServers", Shape::Typed),
            Self::ClaudeDesktop => Format::Json("mcpServers", Shape::Plain),
            Self::Gemini => Format::Json("mcpServers", Shape::Timed),
            Self::Vscode => Format::Json("servers", Shape::Typed),
            Self::Opencode => Format::Json("mcp", Shape::OpenCode),
            Self::Codex => Format::Toml,
        }
    }

    /// Its configuration file, which need not exist. `None`: it has none of this reach.
    #[must_use]
    pub fn file(self, reach: Reach, computer: &Computer<'_>) -> Option<PathBuf> {
        let Computer {
            home,
            settings,
            current,
            ..
        } = computer;
        Some(match (self, reach) {
            (Self::ClaudeCode, Reach::User) => computer.folder("CLAUDE_CONFIG_DIR", home.clone()).join(".claude.json"),
            (Self::ClaudeCode, Reach::Project) => current.join(".mcp.json"),
            (Self::Codex, Reach::User) => computer.folder("CODEX_HOME", home.join(".codex")).join("config.toml"),
            (Self::Codex, Reach::Project) => current.join(".codex/config.toml"),
            (Self::Gemini, Reach::User) => home.join(".gemini/settings.json"),
            (Self::Gemini, Reach::Project) => current.join(".gemini/settings.json"),
            (Self::Cursor, Reach::User) => home.join(".cursor/mcp.json"),
            (Self::Cursor, Reach::Project) => current.join(".cursor/mcp.json"),
            (Self::Vscode, Reach::User) => settings.join("Code/User/mcp.json"),
            (Self::Vscode, Reach::Project) => current.join(".vscode/mcp.json"),
            (Self::Opencode, Reach::User) => {
                let folder = computer
                    .folder("XDG_CONFIG_HOME", home.join(".config"))
                    .join("opencode");
                first_of(&folder, ["opencode.jsonc", "opencode.json"])
            }
            (Self::Opencode, Reach::Project) => first_of(current, ["opencode.jsonc", "opencode.json"]),
            (Self::ClaudeDesktop, Reach::User) => settings.join("Claude/claude_desktop_config.json"),
            (Self::ClaudeDesktop, Reach::Project) => return None,
        })
    }

    /// How a person sees that it worked.
    #[must_use]
    pub fn next_step(self) -> &'static str {
        match self {
            Self::ClaudeCode => "see it with: claude mcp list",
            Self::Codex => "see it with: codex mcp list",
            Self::Gemini => "see it with: gemini mcp list",
            Self::Opencode => "see it with: opencode mcp list",
            Self::Cursor => "see it in Cursor's settings under MCP",
            Self::Vscode => "see it with the command \"MCP: List Servers\"",
            Self::ClaudeDesktop => "quit Claude Desktop and start it again",
        }
    }
}

/// The first that exists, else the last.
fn first_of(folder: &Path, names: [&str; 2]) -> PathBuf {
    let [first, last] = names.map(|name| folder.join(name));
    if first.exists() { first } else { last }
}

/// A client's configuration, parsed so that what is not changed keeps every letter.
pub trait Document {
    /// The servers it names.
    fn servers(&self) -> Vec<Seen>;
    /// Adds a server, or brings the one of this name up to date.
    fn put(&mut self, name: &str, entry: &Entry);
    /// Takes a server out, and the list of servers with the last one.
    fn remove(&mut self, name: &str);
    /// Whether nothing is left in it.
    fn is_empty(&self) -> bool;
    /// As it belongs in the file.
    fn text(&self) -> String;
}

impl Format {
    /// Parses a configuration; an empty text is one without servers.
    ///
    /// # Errors
    /// Says what cannot be read, and where, without quoting it.
    pub fn parse(self, text: &str) -> Result<Box<dyn Document>, String> {
        Ok(match self {
            Self::Json(key, shape) => Box::new(json::JsonDocument::parse(text, key, shape)?),
            Self::Toml => Box::new(toml::TomlDocument::parse(text)?),
        })
    }
}

#[cfg(test)]
mod tests;
