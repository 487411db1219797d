//! `molecule-mcp config`: every setting, what it says and where that is said. Also when the configuration is wrong.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::logging;
use super::options::{Environment, Outcome, exit};
use super::printable::printable;
use crate::config::file;
use crate::config::settings::{GROUPS, Kind, Setting};
use crate::config::sources::{Line, Said, Source, Sources};

/// Arguments of `config`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Print a configuration file with every key, each as a comment
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub example: bool,
    /// Print the table of the documentation
    #[arg(long, hide = true, conflicts_with = "json")]
    pub markdown: bool,
}

/// Shows all settings. Exit code 2 when a daemon could not start with them.
#[must_use]
pub fn perform(args: &ConfigArgs, environment: &Environment) -> Outcome {
    if args.example {
        return Outcome::fine(example());
    }
    if args.markdown {
        return Outcome::fine(markdown());
    }
    let sources = Sources::read(|name| environment.get(name));
    let report = match args.json {
        true => format!("{:#}\n", as_json(&sources, environment)),
        false => text(&sources, environment),
    };
    Outcome {
        report: logging::clean(&report),
        complaint: String::new(),
        code: match sources.problems.is_empty() {
            true => exit::FINE,
            false => exit::CONFIGURATION,
        },
    }
}

fn name(setting: &Setting) -> &'static str {
    setting.key.unwrap_or(setting.name())
}

fn value(said: &Said) -> String {
    match said {
        Said::Text(text) => printable(text, " "),
        Said::Credential(length) => format!("set, {length} characters"),
        Said::Unusable => "(cannot be used)".to_owned(),
    }
}

fn source(line: &Line, sources: &Sources, environment: &Environment) -> String {
    match line.source {
        Source::Variable(name) => match environment.flag(name) {
            Some(flag) => format!("flag {flag}"),
            None => format!("environment {name}"),
        },
        Source::File(at) => format!("{}, line {at}", sources.file_name),
        Source::Default if line.setting.default == "required" => "nowhere".to_owned(),
        Source::Default => "default".to_owned(),
    }
}

/// Traces of other programs, and what only tests use, are worth a line only when they are there.
fn is_worth_a_line(line: &&Line) -> bool {
    let is_odd = line.setting.kind == Kind::Trace || line.setting.name().starts_with("MOLECULE_TEST_");
    line.source != Source::Default || !is_odd
}

fn text(sources: &Sources, environment: &Environment) -> String {
    let mut text = match &sources.file {
        Some(path) => format!("Configuration file: {}\n", path.display()),
        None => format!(
            "Configuration file: none ({} or {} in the state folder, or the one that --config names)\n",
            file::NAME,
            file::OTHER_NAME
        ),
    };
    text.push_str("What counts: flag, else environment, else file, else default.\n");
    let shown: Vec<_> = sources.lines.iter().filter(is_worth_a_line).collect();
    let names = shown.iter().map(|line| name(line.setting).len()).max().unwrap_or(0);
    let widest = shown
        .iter()
        .map(|line| value(&line.said).chars().count())
        .max()
        .unwrap_or(0);
    let values = widest.min(48);
    for group in &GROUPS {
        let of_group = |line: &&&Line| {
            group
                .settings
                .iter()
                .any(|setting| setting.name() == line.setting.name())
        };
        let mut lines = shown.iter().filter(of_group).peekable();
        if lines.peek().is_some() {
            let _ = writeln!(text, "\n{}", group.title);
        }
        for line in lines {
            let (name, value, source) = (
                name(line.setting),
                value(&line.said),
                source(line, sources, environment),
            );
            let _ = writeln!(text, "  {name:names$}  {value:values$}  {source}");
        }
    }
    for warning in &sources.warnings {
        let _ = write!(text, "\nNote: {}", printable(warning, " "));
    }
    if !sources.warnings.is_empty() {
        text.push('\n');
    }
    if !sources.problems.is_empty() {
        text.push_str("\nThis cannot be used:\n");
        for problem in &sources.problems {
            let _ = writeln!(text, "  {} {}: {}", problem.setting, problem.what, problem.remedy);
        }
    }
    text
}

fn as_json(sources: &Sources, environment: &Environment) -> Value {
    let lines = sources.lines.iter().filter(is_worth_a_line).map(|line| {
        let source = match line.source {
            Source::Variable(name) => match environment.flag(name) {
                Some(flag) => json!({ "kind": "flag", "name": flag }),
                None => json!({ "kind": "environment", "name": name }),
            },
            Source::File(at) => json!({ "kind": "file", "path": sources.file, "line": at }),
            Source::Default => json!({ "kind": "default" }),
        };
        let mut object = json!({
            "name": line.setting.name(),
            "key": line.setting.key,
            "source": source,
            "about": line.setting.about,
        });
        match &line.said {
            Said::Text(text) => object["value"] = text.as_str().into(),
            Said::Credential(length) => object["characters"] = (*length).into(),
            Said::Unusable => object["unusable"] = true.into(),
        }
        object
    });
    let problems = sources
        .problems
        .iter()
        .map(|problem| json!({ "setting": problem.setting, "what": problem.what, "remedy": problem.remedy }));
    json!({
        "file": sources.file,
        "settings": lines.collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
        "warnings": sources.warnings,
    })
}

/// A file in which every key is a comment with an example behind it.
fn example() -> String {
    let mut text = String::from(
        "# Settings of molecule-mcp. Every key is optional; a variable of the environment overrides its key.\n\
         # Credentials never stand here: name the file that holds one, mode 0600.\n\
         # Paths begin at the folder of this file; ~/ is the home folder.\n",
    );
    let mut tables = String::new();
    for group in &GROUPS {
        let mut keys = group
            .settings
            .iter()
            .filter_map(|setting| Some((setting, setting.key?)))
            .peekable();
        if keys.peek().is_some() {
            let _ = writeln!(text, "\n# -- {}", group.title);
        }
        for (setting, key) in keys {
            let head = format!(
                "\n# {} (default: {}). {}\n",
                setting.about,
                setting.default,
                setting.name()
            );
            if setting.kind == Kind::Workspaces {
                // A table ends the keys before it.
                tables.push_str(&head);
                tables.push_str("# [[workspaces]]\n# id = \"<workspace id>\"\n# token_file = \"<path>\"\n");
                continue;
            }
            let value = match setting.kind {
                Kind::Switch | Kind::AnyValue => "true".to_owned(),
                Kind::Whole(_, _, usual) => usual.to_string(),
                Kind::Number => setting.default.to_owned(),
                Kind::Words => "[\"<one>\", \"<another>\"]".to_owned(),
                Kind::Paths => "[\"<path>\"]".to_owned(),
                Kind::Command => "[\"<program>\", \"<argument>\"]".to_owned(),
                Kind::Path => "\"<path>\"".to_owned(),
                Kind::Text | Kind::Workspaces | Kind::Secret(_) | Kind::Trace => "\"<text>\"".to_owned(),
            };
            let _ = writeln!(text, "{head}# {key} = {value}");
        }
    }
    text + &tables
}

/// The table of `docs/configuration.md`.
fn markdown() -> String {
    let mut text = String::new();
    for group in &GROUPS {
        let keyed: Vec<_> = group
            .settings
            .iter()
            .filter(|setting| setting.kind != Kind::Trace)
            .collect();
        if keyed.iter().all(|setting| setting.key.is_none()) {
            continue;
        }
        let _ = write!(
            text,
            "### {}\n\n| key | variable | value | default | meaning |\n|---|---|---|---|---|\n",
            group.title
        );
        for setting in keyed {
            let key = match (setting.key, setting.kind) {
                (Some(key), _) => format!("`{key}`"),
                (None, Kind::Secret(instead)) => format!("none: `{instead}`"),
                (None, _) => "none".to_owned(),
            };
            let upper = setting.names.iter().filter(|name| !name.contains(char::is_lowercase));
            let names: Vec<_> = upper.map(|name| format!("`{name}`")).collect();
            let value = match setting.key {
                Some(_) => setting.kind.in_file(),
                None => String::new(),
            };
            let _ = writeln!(
                text,
                "| {key} | {} | {value} | {} | {} |",
                names.join(", "),
                setting.default,
                setting.about
            );
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Filed;
    use crate::config::settings;

    #[test]
    fn the_example_holds_every_key_and_is_a_sound_file_once_it_is_no_comment() {
        let text = example();
        assert!(
            text.lines().all(|line| line.is_empty() || line.starts_with("# ")),
            "{text}"
        );
        let is_setting = |line: &&str| line.contains(" = ") || *line == "[[workspaces]]";
        let live: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(is_setting)
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.toml");
        std::fs::write(&path, live.join("\n")).unwrap();
        let filed = Filed::at(&path, None);
        assert!(filed.is_sound(), "{filed:?}");
        for key in settings::all().filter_map(|setting| setting.key) {
            assert!(filed.text(key).is_some(), "{key}");
        }
    }
}
