//! Where each setting comes from, and what it says: what `molecule-mcp config` shows. Also of a configuration that is wrong.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::TOKEN_FILE;
use super::check::{Existing, check};
use super::dirs::{CONFIGS_DIR, Places, StateDir};
use super::management::Management;
use super::problem::Problem;
use super::reader::Reader;
use super::settings::{self, Kind, Setting};
use super::shown::Mode;
use crate::state::secret::AUTH_TOKEN;

/// All settings of a process with this environment.
#[derive(Debug)]
pub struct Sources {
    /// The configuration file; `None`: there is none.
    pub file: Option<PathBuf>,
    /// How people are told of it.
    pub file_name: String,
    /// One line for each setting, in the order of the table.
    pub lines: Vec<Line>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// Things worth a warning.
    pub warnings: Vec<String>,
}

/// One setting, what it says and where that is said.
#[derive(Debug)]
pub struct Line {
    /// The setting.
    pub setting: &'static Setting,
    /// What it says. A credential is never in it.
    pub said: Said,
    /// Where.
    pub source: Source,
}

/// What a setting says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This.
    Text(String),
    /// A credential of so many characters.
    Credential(usize),
    /// Something that cannot be used, and therefore is not shown: it may be a credential in the wrong place.
    Unusable,
}

/// Where a setting is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a variable of this name.
    Variable(&'static str),
    /// In this line of the file.
    File(usize),
    /// Nowhere.
    Default,
}

impl Sources {
    /// Reads all settings. Makes nothing.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Self {
        Self::read_in(&var, &Places::usual())
    }

    /// As [`Sources::read`], on a computer with these places.
    pub fn read_in(var: &dyn Fn(&str) -> Option<OsString>, places: &Places) -> Self {
        let (problems, warnings) = match Mode::in_places(var, places) {
            Mode::Management | Mode::Operating => match Management::check_in(var, places) {
                Ok((config, _)) => (Vec::new(), config.warnings),
                Err(problems) => (problems, Vec::new()),
            },
            _ => match check(var, places, Existing::Used) {
                Ok(checked) => (Vec::new(), checked.config().warnings.clone()),
                Err(problems) => (problems, Vec::new()),
            },
        };
        let (mut reader, folder) = Reader::open(var, places, false);
        let folder = folder.as_ref().map(StateDir::path);
        let file_name = reader.filed.name().to_owned();
        let lines = settings::all()
            .map(|setting| {
                let (text, source) = said(&mut reader, setting, folder);
                let key = setting.key.unwrap_or_default();
                let is_wrong = |problem: &Problem| {
                    setting.names.contains(&problem.setting.as_str())
                        || problem.setting == format!("{key} in {file_name}")
                };
                let said = match (setting.kind, text) {
                    (_, Some(text)) if source == Source::Default => Said::Text(text),
                    _ if problems.iter().any(is_wrong) => Said::Unusable,
                    (Kind::Secret(_), Some(text)) => Said::Credential(text.chars().count()),
                    (Kind::Workspaces, Some(text)) => Said::Text(ids(&text)),
                    (_, Some(text)) => Said::Text(without_password(text)),
                    (_, None) => Said::Unusable,
                };
                Line { setting, said, source }
            })
            .collect();
        Self {
            file: reader.filed.path().map(PathBuf::from),
            file_name,
            lines,
            problems,
            warnings,
        }
    }
}

/// The text of a setting and where it stands. `None`: it is no text.
fn said(reader: &mut Reader<'_>, setting: &'static Setting, folder: Option<&Path>) -> (Option<String>, Source) {
    if let Some(name) = reader.in_environment(setting) {
        return (reader.value(setting.name()), Source::Variable(name));
    }
    if let Some(entry) = reader.filed_entry(setting) {
        let text = match (setting.kind, entry.value.text(setting.kind)) {
            (Kind::Switch, text) => if text == "1" { "true" } else { "false" }.to_owned(),
            (Kind::AnyValue, text) => if text.is_empty() { "false" } else { "true" }.to_owned(),
            (_, text) => text,
        };
        return (Some(text), Source::File(entry.line));
    }
    let default = folder.and_then(|folder| match setting.name() {
        CONFIGS_DIR | "WORKSPACE_CONFIG_PATH" => Some(folder.to_owned()),
        TOKEN_FILE => Some(folder.join(AUTH_TOKEN)),
        _ => None,
    });
    let default = default.map_or_else(|| setting.default.to_owned(), |path| path.display().to_string());
    (Some(default), Source::Default)
}

/// The ids of a list of workspaces, without their tokens.
fn ids(list: &str) -> String {
    let entries: Vec<serde_json::Value> = serde_json::from_str(list).unwrap_or_default();
    let ids: Vec<_> = entries.iter().filter_map(|entry| entry["id"].as_str()).collect();
    ids.join(", ")
}

/// Addresses may carry one.
fn without_password(text: String) -> String {
    match url::Url::parse(&text) {
        Ok(mut url) if url.password().is_some() => {
            let hidden = url.set_password(Some("...")).is_ok();
            if hidden { url.to_string() } else { String::new() }
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], file: &str) -> Sources {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("home/.molecule-workspace");
        std::fs::create_dir_all(&state).unwrap();
        std::fs::write(state.join("molecule.toml"), file).unwrap();
        let places = Places {
            home: Some(root.path().join("home")),
            managed: root.path().join("configs"),
            workspace: root.path().join("workspace"),
            current: None,
        };
        let var = |name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Sources::read_in(&var, &places)
    }

    fn line<'a>(sources: &'a Sources, name: &str) -> &'a Line {
        sources.lines.iter().find(|line| line.setting.name() == name).unwrap()
    }

    #[test]
    fn each_value_is_told_with_its_source_and_a_credential_by_its_length() {
        let env = [
            ("PLATFORM_URL", "https://x.example"),
            ("MOLECULE_WORKSPACE_TOKEN", "tok-secret"),
            ("MOLECULE_ORG", "o"),
            ("https_proxy", "http://me:tok-secret@p.example:1/"),
            ("CP_ADMIN_API_TOKEN", "tok-secret-2"),
        ];
        let file =
            "# mine\nworkspace_id = \"w\"\nlease_secs = 60\nread_only = true\nverbose = false\norg_id = \"other\"\n";
        let sources = read(&env, file);
        assert!(sources.problems.is_empty(), "{:?}", sources.problems);
        let text = |text: &str| Said::Text(text.to_owned());
        for (name, said, source) in [
            (
                "PLATFORM_URL",
                text("https://x.example"),
                Source::Variable("PLATFORM_URL"),
            ),
            ("MOLECULE_ORG_ID", text("o"), Source::Variable("MOLECULE_ORG")),
            ("WORKSPACE_ID", text("w"), Source::File(2)),
            ("MOLECULE_LEASE_SECS", text("60"), Source::File(3)),
            ("MOLECULE_MCP_READ_ONLY", text("true"), Source::File(4)),
            ("MOLECULE_MCP_VERBOSE", text("false"), Source::File(5)),
            ("MOLECULE_UPLOAD_QUOTA_MB", text("1024"), Source::Default),
            ("MOLECULE_API_KEY", text("none"), Source::Default),
            ("MOLECULE_WORKSPACES", text("none"), Source::Default),
            (
                "MOLECULE_WORKSPACE_TOKEN",
                Said::Credential(10),
                Source::Variable("MOLECULE_WORKSPACE_TOKEN"),
            ),
            (
                "HTTPS_PROXY",
                text("http://me:...@p.example:1/"),
                Source::Variable("https_proxy"),
            ),
        ] {
            let line = line(&sources, name);
            assert_eq!((&line.said, &line.source), (&said, &source), "{name}");
        }
        assert!(
            matches!(&line(&sources, "CONFIGS_DIR").said, Said::Text(path) if path.ends_with("/home/.molecule-workspace"))
        );
        assert!(!format!("{sources:?}").contains("tok-secret"));
    }

    #[test]
    fn a_wrong_configuration_is_shown_with_its_problems_and_without_the_wrong_values() {
        let env = [
            ("PLATFORM_URL", "tok-secret"),
            (
                "MOLECULE_WORKSPACES",
                r#"[{"id":"a","token":"tok-secret"},{"id":"b","token":"tok-secret"}]"#,
            ),
        ];
        let sources = read(&env, "lease_secs = 1\nbanana = \"tok-secret\"\n");
        let told: Vec<_> = sources
            .problems
            .iter()
            .map(|problem| problem.setting.as_str())
            .collect();
        assert_eq!(
            told,
            ["banana in molecule.toml", "PLATFORM_URL", "lease_secs in molecule.toml"]
        );
        for name in ["PLATFORM_URL", "MOLECULE_LEASE_SECS"] {
            assert_eq!(line(&sources, name).said, Said::Unusable, "{name}");
        }
        assert_eq!(
            line(&sources, "MOLECULE_WORKSPACES").said,
            Said::Text("a, b".to_owned())
        );
        assert!(!format!("{sources:?}").contains("tok-secret"));
    }

    #[test]
    fn without_a_workspace_the_mode_decides_what_is_checked() {
        let sources = read(&[], "mode = \"management\"\napi_url = \"https://t.example\"\n");
        assert!(sources.problems.is_empty(), "{:?}", sources.problems);
    }
}
