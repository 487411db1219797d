//! The values of the file, turned into the words of the variables that say the same.

use std::path::{Path, PathBuf};

use serde_json::{Map, json};
use toml::de::{DeTable, DeValue};

use super::super::settings::{Kind, nearest};
use super::{Refused, Value};

/// What a value is read against.
pub(super) struct Base<'a> {
    pub(super) file: &'a Path,
    pub(super) home: Option<&'a Path>,
    /// A flag or variable names the file, so it may name the state folder.
    pub(super) is_named: bool,
}

impl Base<'_> {
    /// A path from the folder of the file, where a leading `~` is the home folder: no shell reads the file.
    fn path(&self, text: &str) -> Result<String, Refused> {
        if text.trim().is_empty() {
            return Ok(String::new());
        }
        let path = match (text.strip_prefix("~/"), self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.file.parent().unwrap_or(Path::new("")).join(text),
        };
        let path = std::path::absolute(&path).unwrap_or(path);
        into_text(path)
    }
}

fn into_text(path: PathBuf) -> Result<String, Refused> {
    let odd = || {
        Refused::new(
            "leads through a folder whose name is not text",
            "write it from the root on",
        )
    };
    path.into_os_string().into_string().map_err(|_| odd())
}

/// A value of this kind.
pub(super) fn read(kind: Kind, value: &DeValue<'_>, base: &Base<'_>) -> Result<Value, Refused> {
    let wrong = || {
        let quotes = match (kind, value) {
            (Kind::Switch | Kind::AnyValue | Kind::Whole(..) | Kind::Number, DeValue::String(_)) => ", without quotes",
            (Kind::Text | Kind::Path, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => ", in quotes",
            _ => "",
        };
        Refused::new(
            format!("must be {}{quotes}", kind.in_file()),
            "mend it, or leave it out",
        )
    };
    let one = |text: &str| Ok(Value::One(text.to_owned()));
    match (kind, value) {
        (Kind::Text | Kind::Command | Kind::Words, DeValue::String(text)) => one(text),
        (Kind::Path | Kind::Paths, DeValue::String(text)) => Ok(Value::One(base.path(text)?)),
        (Kind::Switch, DeValue::Boolean(on)) => one(if *on { "1" } else { "0" }),
        (Kind::AnyValue, DeValue::Boolean(on)) => one(if *on { "1" } else { "" }),
        (Kind::Whole(..) | Kind::Number, DeValue::Integer(number)) if number.radix() == 10 => one(number.as_str()),
        (Kind::Number, DeValue::Float(number)) => one(number.as_str()),
        (Kind::Words, DeValue::Array(_)) => Ok(Value::Several(texts(value).ok_or_else(wrong)?)),
        (Kind::Paths, DeValue::Array(_)) => {
            let paths: Vec<_> = texts(value)
                .ok_or_else(wrong)?
                .iter()
                .map(|path| base.path(path))
                .collect::<Result<_, _>>()?;
            std::env::join_paths(&paths).map_err(|_| {
                Refused::new(
                    "names a path with the sign that separates paths",
                    "choose another folder",
                )
            })?;
            Ok(Value::Several(paths))
        }
        (Kind::Command, DeValue::Array(_)) => {
            let words = texts(value).ok_or_else(wrong)?;
            let line = shlex::try_join(words.iter().map(String::as_str)).map_err(|_| wrong())?;
            Ok(Value::One(line))
        }
        (Kind::Workspaces, DeValue::Array(tables)) => {
            let entries: Vec<_> = tables
                .iter()
                .map(|table| match table.get_ref() {
                    DeValue::Table(table) => workspace(table, base),
                    _ => Err(wrong()),
                })
                .collect::<Result<_, _>>()?;
            Ok(Value::One(json!(entries).to_string()))
        }
        _ => Err(wrong()),
    }
}

fn texts(value: &DeValue<'_>) -> Option<Vec<String>> {
    let DeValue::Array(items) = value else { return None };
    let text = |item: &DeValue<'_>| match item {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    };
    items.iter().map(|item| text(item.get_ref())).collect()
}

/// One of `[[workspaces]]`, as an entry of the variable's list.
fn workspace(table: &DeTable<'_>, base: &Base<'_>) -> Result<serde_json::Value, Refused> {
    const KEYS: [&str; 3] = ["id", "token_file", "platform_url"];
    let mut entry = Map::new();
    for (key, value) in table {
        let key = key.get_ref().as_ref();
        if key == "token" {
            return Err(Refused::new(
                "holds a token, and none is kept in this file",
                "put it into a file of its own with mode 0600, remove it here, and write token_file = \"<path of that file>\"",
            ));
        }
        if !KEYS.contains(&key) {
            let remedy = match nearest(key, KEYS) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("the keys are {}", KEYS.join(", ")),
            };
            return Err(Refused::new("has an entry with an unknown key", remedy));
        }
        let DeValue::String(text) = value.get_ref() else {
            return Err(Refused::new(
                format!("has an entry whose {key} is not a text"),
                "write it in quotes",
            ));
        };
        let text = if key == "token_file" {
            base.path(text)?
        } else {
            text.to_string()
        };
        entry.insert(key.to_owned(), text.into());
    }
    Ok(entry.into())
}
