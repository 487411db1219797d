//! What the agent may do: the roles of its runtime's `config.yaml`, as the Python daemon reads them (daemon-behaviour 10).
//!
//! ```yaml
//! rbac:
//!   roles: [no-delegation]        # default: operator
//!   allowed_actions:              # replaces what a role may do, or makes a new one
//!     auditor: [memory.read, approve]
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use yaml_rust2::{Yaml, YamlLoader};

use super::problem::Problem;
use super::reader::Reader;

const FILE: &str = "config.yaml";
/// The variable that names the folder of the file.
const FOLDER: &str = "WORKSPACE_CONFIG_PATH";
/// The file also holds much that is not ours.
const MAX_BYTES: u64 = 1024 * 1024;
/// Brackets within brackets: far more than any configuration has, far less than a parser's stack takes.
const MAX_DEPTH: usize = 100;

/// Something that a role may or may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// Give work to peers.
    Delegate,
    /// Write to the person.
    Approve,
    /// Read memories.
    MemoryRead,
    /// Write memories, and the agent's card.
    MemoryWrite,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 4] = [Self::Delegate, Self::Approve, Self::MemoryRead, Self::MemoryWrite];

    /// The word for it in `config.yaml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delegate => "delegate",
            Self::Approve => "approve",
            Self::MemoryRead => "memory.read",
            Self::MemoryWrite => "memory.write",
        }
    }
}

/// The roles of the agent and what they grant together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// As they are named.
    pub names: Vec<String>,
    granted: Vec<Permission>,
}

impl Default for Roles {
    /// What an agent without a `config.yaml` is.
    fn default() -> Self {
        Self::of(vec!["operator".to_owned()], &BTreeMap::new())
    }
}

impl Roles {
    /// No role at all.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self::of(Vec::new(), &BTreeMap::new())
    }

    /// Whether one of them grants it.
    #[must_use]
    pub fn grant(&self, permission: Permission) -> bool {
        self.granted.contains(&permission)
    }

    /// What `names` grant, where `defined` says what some of them do.
    fn of(names: Vec<String>, defined: &BTreeMap<String, Vec<String>>) -> Self {
        let grants = |name: &String, permission: Permission| match (name.as_str(), defined.get(name)) {
            ("admin", _) => true,
            (_, Some(actions)) => actions.iter().any(|action| action == permission.as_str()),
            (name, None) => usual(name).is_some_and(|usual| usual.contains(&permission)),
        };
        let granted = Permission::ALL
            .into_iter()
            .filter(|permission| names.iter().any(|name| grants(name, *permission)))
            .collect();
        Self { names, granted }
    }

    /// Reads the file, from `folder` unless a variable names another one. A file that cannot be read is a problem: without
    /// it the agent might do what it is meant not to.
    pub(super) fn read(reader: &mut Reader<'_>, folder: Option<&Path>) -> Self {
        let named = reader.value(FOLDER).map(|path| super::check::absolute(&path));
        let Some(folder) = named.as_deref().or(folder) else {
            return Self::default();
        };
        let read = text(&folder.join(FILE)).and_then(|text| text.map(|text| parse(&text)).transpose());
        match read {
            Ok(None) => Self::default(),
            Ok(Some((roles, warnings))) => {
                warnings.into_iter().for_each(|warning| reader.warn(warning));
                roles
            }
            Err(what) => {
                let remedy = "mend it, or remove it: an agent without one is an operator";
                reader.problem(Problem::wrong(FILE, what, remedy));
                Self::default()
            }
        }
    }
}

/// What the known roles may do; `None`: unknown.
fn usual(role: &str) -> Option<&'static [Permission]> {
    use Permission::{Approve, Delegate, MemoryRead, MemoryWrite};
    Some(match role {
        "admin" | "operator" => &[Delegate, Approve, MemoryRead, MemoryWrite],
        "no-delegation" => &[Approve, MemoryRead, MemoryWrite],
        "no-approval" => &[Delegate, MemoryRead, MemoryWrite],
        "read-only" | "memory-readonly" => &[MemoryRead],
        _ => return None,
    })
}

/// The text of the file; `None`: there is none.
fn text(path: &Path) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        opened => opened,
    };
    let mut text = String::new();
    let read = file.and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot be read ({})", error.kind()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err("is larger than 1 MiB".to_owned());
    }
    Ok(Some(text))
}

/// The roles in a text, and what is odd about them.
fn parse(text: &str) -> Result<(Roles, Vec<String>), String> {
    if depth(text) > MAX_DEPTH {
        return Err("nests too deeply".to_owned());
    }
    let documents =
        YamlLoader::load_from_str(text).map_err(|error| format!("is not YAML (line {})", error.marker().line()))?;
    let section = match documents.first().unwrap_or(&Yaml::Null) {
        document @ Yaml::Hash(_) => &document["rbac"],
        Yaml::Null => &Yaml::Null,
        _ => return Err("must be a mapping at its top".to_owned()),
    };
    if !matches!(section, Yaml::Hash(_) | Yaml::Null | Yaml::BadValue) {
        return Err("must have a mapping as rbac".to_owned());
    }
    let defined = definitions(&section["allowed_actions"])?;
    let mut names = words(&section["roles"]).ok_or("must have a list of names as rbac.roles")?;
    if names.is_empty() {
        names = Roles::default().names;
    }
    let unknown = names
        .iter()
        .filter(|name| usual(name).is_none() && !defined.contains_key(*name));
    let warnings = unknown
        .map(|_| format!("{FILE} names a role that is not known and grants nothing."))
        .collect();
    Ok((Roles::of(names, &defined), warnings))
}

fn definitions(section: &Yaml) -> Result<BTreeMap<String, Vec<String>>, String> {
    let wrong = || "must have rbac.allowed_actions as a mapping from roles to lists of actions".to_owned();
    match section {
        Yaml::Null | Yaml::BadValue => Ok(BTreeMap::new()),
        Yaml::Hash(roles) => roles
            .iter()
            .map(|(role, actions)| {
                let role = role.as_str().ok_or_else(wrong)?;
                Ok((role.to_owned(), words(actions).ok_or_else(wrong)?))
            })
            .collect(),
        _ => Err(wrong()),
    }
}

/// A list of texts, or one alone; empty when there is nothing.
fn words(value: &Yaml) -> Option<Vec<String>> {
    match value {
        Yaml::Null | Yaml::BadValue => Some(Vec::new()),
        Yaml::String(word) => Some(vec![word.clone()]),
        Yaml::Array(words) => words.iter().map(|word| word.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// How deep brackets, indentation and list marks nest at most: an upper bound, so that no file ends the process.
fn depth(text: &str) -> usize {
    let mut brackets = 0_usize;
    let mut deepest = 0;
    for line in text.lines() {
        let marks = line
            .chars()
            .take_while(|c| matches!(c, ' ' | '\t' | '-' | '?' | ':'))
            .count();
        for character in line.chars() {
            match character {
                '[' | '{' => brackets += 1,
                ']' | '}' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(brackets);
        }
        deepest = deepest.max(marks / 2);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_grants_what_it_grants_in_the_python_daemon() {
        use Permission::{Approve, Delegate, MemoryRead, MemoryWrite};
        let all = [Delegate, Approve, MemoryRead, MemoryWrite];
        for (text, granted) in [
            ("", &all[..]),
            ("tier: 2\nmodel: x", &all),
            ("rbac:", &all),
            ("rbac: {roles: []}", &all),
            ("rbac:\n  roles:\n    - operator", &all),
            ("rbac: {roles: [admin]}", &all),
            ("rbac: {roles: read-only}", &[MemoryRead]),
            ("rbac: {roles: [memory-readonly]}", &[MemoryRead]),
            ("rbac: {roles: [no-delegation]}", &[Approve, MemoryRead, MemoryWrite]),
            ("rbac: {roles: [no-approval]}", &[Delegate, MemoryRead, MemoryWrite]),
            (
                "rbac: {roles: [read-only, no-delegation]}",
                &[Approve, MemoryRead, MemoryWrite],
            ),
            ("rbac: {roles: [stranger]}", &[]),
            (
                "rbac: {roles: [auditor], allowed_actions: {auditor: [approve, fly]}}",
                &[Approve],
            ),
            (
                "rbac: {roles: [operator], allowed_actions: {operator: [memory.read]}}",
                &[MemoryRead],
            ),
            ("rbac: {roles: [operator], allowed_actions: {operator: }}", &[]),
            ("rbac: {roles: [admin], allowed_actions: {admin: []}}", &all),
            ("rbac: {allowed_actions: {operator: delegate}}", &[Delegate]),
        ] {
            let (roles, warnings) = parse(text).unwrap();
            let found: Vec<_> = all.into_iter().filter(|permission| roles.grant(*permission)).collect();
            assert_eq!(found, granted, "{text}");
            assert_eq!(!warnings.is_empty(), text.contains("stranger"), "{text}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_understood_grants_nothing_by_mistake() {
        for text in [
            "rbac: [operator]",
            "rbac: operator",
            "- rbac",
            "rbac: {roles: {operator: true}}",
            "rbac: {roles: [1]}",
            "rbac: {allowed_actions: [operator]}",
            "rbac: {allowed_actions: {operator: 7}}",
            "rbac: {roles: [operator",
            "rbac:\n\troles: x\n  y: [",
            &"[".repeat(500_000),
            &"{a: ".repeat(200_000),
            &"- ".repeat(400_000),
            &"? ".repeat(400_000),
        ] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(60)]);
        }
    }

    #[test]
    fn the_file_stands_in_the_state_folder_or_where_a_variable_says() {
        let (state, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(elsewhere.path().join(FILE), "rbac: {roles: [read-only]}").unwrap();
        let named = elsewhere.path().as_os_str().to_owned();
        for (variable, expected) in [(None, "operator"), (Some(named), "read-only")] {
            let var = |name: &str| variable.clone().filter(|_| name == FOLDER);
            let mut reader = Reader::new(&var);
            let roles = Roles::read(&mut reader, Some(state.path()));
            assert_eq!(roles.names, [expected]);
            assert!(reader.problems.is_empty());
        }
        std::fs::write(state.path().join(FILE), b"\xff").unwrap();
        let var = |_: &str| None;
        let mut reader = Reader::new(&var);
        Roles::read(&mut reader, Some(state.path()));
        assert_eq!(reader.problems.len(), 1);
        assert!(reader.problems[0].what.contains("cannot be read"));
    }
}
