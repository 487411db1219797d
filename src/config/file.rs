//! The configuration file: `molecule.toml` (or `config.toml`) in the state folder, or the one that `--config` names. It says
//! what variables say, each under a key of its own, and the environment overrides it. It holds no credential.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problem::Problem;
use super::settings::{self, Kind, Setting};
use value::Base;

mod keys;
mod value;
mod written;

pub use written::{Change, updated};

/// The file's name, as `init` writes it.
pub const NAME: &str = "molecule.toml";
/// A name that serves as well.
pub const OTHER_NAME: &str = "config.toml";

/// The file is refused beyond this size.
const MAX_BYTES: u64 = 64 * 1024;

/// What a configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Filed {
    path: Option<PathBuf>,
    name: String,
    entries: Vec<Entry>,
    /// What is wrong with it. An entry that is wrong does not count.
    pub(super) problems: Vec<Problem>,
    /// What is odd about it.
    pub(super) warnings: Vec<String>,
}

/// One key of the file and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it sets.
    pub setting: &'static Setting,
    /// To what.
    pub value: Value,
    /// Where, from 1.
    pub line: usize,
}

/// The value of a key, in the words that its variable would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The variable's text.
    One(String),
    /// The parts of a list.
    Several(Vec<String>),
}

impl Value {
    /// As a variable would have it.
    #[must_use]
    pub fn text(&self, kind: Kind) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Several(parts) if kind == Kind::Paths => std::env::join_paths(parts)
                .map(|joined| joined.to_string_lossy().into_owned())
                .unwrap_or_default(),
            Self::Several(parts) => parts.join(","),
        }
    }
}

impl Filed {
    /// What is in the state folder; nothing, when there is no file.
    #[must_use]
    pub fn in_folder(dir: &Path, home: Option<&Path>) -> Self {
        match find(dir) {
            Ok(None) => Self::default(),
            Ok(Some(path)) => Self::load(&path, &base_name(&path), home, false),
            Err(problem) => Self {
                path: Some(dir.join(NAME)),
                name: NAME.to_owned(),
                problems: vec![problem],
                ..Self::default()
            },
        }
    }

    /// The file that a flag or variable names; it must be there.
    #[must_use]
    pub fn at(path: &Path, home: Option<&Path>) -> Self {
        Self::load(path, &path.display().to_string(), home, true)
    }

    fn load(path: &Path, name: &str, home: Option<&Path>, is_named: bool) -> Self {
        let mut filed = Self {
            path: Some(path.to_owned()),
            name: name.to_owned(),
            ..Self::default()
        };
        match read(path, name) {
            Ok(text) => filed.parse(
                &text,
                name,
                &Base {
                    file: path,
                    home,
                    is_named,
                },
            ),
            Err(problem) => filed.problems.push(problem),
        }
        if is_writable_by_others(path) {
            filed.warnings.push(format!(
                "{name} can be written by other users of this computer, who could change what this program does; give it mode \
                 0600."
            ));
        }
        filed
    }

    fn parse(&mut self, text: &str, name: &str, base: &Base<'_>) {
        let line_of = |at: usize| {
            1 + text.as_bytes()[..at.min(text.len())]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let place = error
                    .span()
                    .map_or_else(String::new, |span| format!(" (line {})", line_of(span.start)));
                let what = format!("is not valid TOML{place}");
                self.problems
                    .push(Problem::wrong(name, what, "write it as: key = \"value\""));
                return;
            }
        };
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let line = line_of(key.span().start);
            let key = key.into_inner();
            let read = keys::setting(&key, base.is_named)
                .and_then(|setting| Ok((setting, value::read(setting.kind, value.get_ref(), base)?)));
            match read {
                Ok((setting, value)) => self.entries.push(Entry { setting, value, line }),
                Err(refused) => self.problems.push(Problem::wrong(
                    format!("{} in {name}", keys::shown(&key)),
                    format!("(line {line}) {}", refused.what),
                    refused.remedy,
                )),
            }
        }
    }

    /// Where it is; `None`: there is none.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// How people are told of it: by its name in the state folder, else by its path.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.name.is_empty() { NAME } else { &self.name }
    }

    /// What it says, in its order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it says of a setting.
    #[must_use]
    pub fn get(&self, setting: &Setting) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.setting.name() == setting.name())
    }

    /// Whether nothing is wrong with it.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// The text of a key; `None`: it is not there, or blank.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        let setting = settings::keyed(key)?;
        let text = self.get(setting)?.value.text(setting.kind);
        (!text.trim().is_empty()).then_some(text)
    }

    /// The variables that say the same.
    #[must_use]
    pub fn as_variables(&self) -> Vec<(&'static str, String)> {
        let said = self.entries.iter().map(|entry| {
            let text = entry.value.text(entry.setting.kind);
            (entry.setting.name(), text)
        });
        said.filter(|(_, text)| !text.is_empty()).collect()
    }
}

/// Why a key or its value cannot be used; never the value.
#[derive(Debug)]
struct Refused {
    what: String,
    remedy: String,
}

impl Refused {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// The file of a state folder.
///
/// # Errors
/// When there are two that differ: nobody could say which one counts.
pub fn find(dir: &Path) -> Result<Option<PathBuf>, Problem> {
    let is_there = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
    let (usual, other) = (dir.join(NAME), dir.join(OTHER_NAME));
    match (is_there(&usual), is_there(&other)) {
        (true, true) if read(&usual, NAME).ok() != read(&other, OTHER_NAME).ok() => Err(Problem::wrong(
            format!("{NAME} and {OTHER_NAME}"),
            "are both in the state folder, and they differ",
            format!("bring what you need into {NAME}, and remove {OTHER_NAME}"),
        )),
        (true, _) => Ok(Some(usual)),
        (false, true) => Ok(Some(other)),
        (false, false) => Ok(None),
    }
}

fn base_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn read(path: &Path, name: &str) -> Result<String, Problem> {
    let broken = |what: String| Problem::wrong(name, what, "mend it, or delete it and use the environment");
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Problem::wrong(name, "does not exist", "make it, or name another file"));
        }
        Ok(entry) if !entry.is_file() => return Err(broken("is not a regular file".to_owned())),
        _ => {}
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| broken(format!("cannot be read ({})", error.kind())))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(broken("is larger than 64 KiB".to_owned()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
        broken(format!("is not UTF-8 text (line {line})"))
    })
}

#[cfg(unix)]
fn is_writable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|entry| entry.permissions().mode() & 0o022 != 0)
}

#[cfg(not(unix))]
fn is_writable_by_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests;
