//! Servers in Codex' TOML.

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, value};

use super::entry::TOOL_TIMEOUT_SECS;
use super::{Document, Entry, Seen};

const KEY: &str = "mcp_servers";

pub(super) struct TomlDocument(DocumentMut);

impl TomlDocument {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            format!("is not valid TOML (line {})", 1 + before.matches('\n').count())
        })?;
        match document.get(KEY) {
            Some(item) if !item.is_table_like() => Err(format!("has a {KEY:?} that is no table")),
            _ => Ok(Self(document)),
        }
    }
}

impl Document for TomlDocument {
    fn servers(&self) -> Vec<Seen> {
        let list = self.0.get(KEY).and_then(Item::as_table_like);
        let servers = list.into_iter().flat_map(|list| list.iter());
        servers.map(|(name, item)| seen(name, item)).collect()
    }

    fn put(&mut self, name: &str, entry: &Entry) {
        let mut implicit = Table::new();
        implicit.set_implicit(true);
        let list = self.0.entry(KEY).or_insert(Item::Table(implicit));
        let Some(list) = list.as_table_like_mut() else { return };
        let is_new = !list.contains_key(name);
        let server = list.entry(name).or_insert(toml_edit::table());
        if !server.is_table_like() {
            *server = toml_edit::table();
        }
        let Some(server) = server.as_table_like_mut() else {
            return;
        };
        set(server, "command", entry.program.as_str().into());
        if server
            .get("args")
            .is_some_and(|args| args.as_array().is_none_or(|args| !args.is_empty()))
        {
            set(server, "args", Array::new().into());
        }
        if is_new {
            set(server, "tool_timeout_sec", i64::from(TOOL_TIMEOUT_SECS).into());
        }
        let env = server.entry("env").or_insert(toml_edit::table());
        if !env.is_table_like() {
            *env = toml_edit::table();
        }
        let Some(env) = env.as_table_like_mut() else { return };
        let stale: Vec<String> = env
            .iter()
            .map(|(name, _)| name.to_owned())
            .filter(|name| entry.displaces(name))
            .collect();
        for name in stale {
            env.remove(&name);
        }
        for (name, value) in &entry.env {
            set(env, name, value.as_str().into());
        }
    }

    fn remove(&mut self, name: &str) {
        let Some(list) = self.0.get_mut(KEY).and_then(Item::as_table_like_mut) else {
            return;
        };
        list.remove(name);
        if list.is_empty() {
            self.0.remove(KEY);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.to_string().trim().is_empty()
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

fn seen(name: &str, server: &Item) -> Seen {
    let text = |item: &Item| item.as_str().map(str::to_owned);
    let env = server.get("env").and_then(Item::as_table_like);
    Seen {
        name: name.to_owned(),
        program: server.get("command").and_then(text),
        env: env
            .into_iter()
            .flat_map(|env| env.iter())
            .filter_map(|(name, item)| Some((name.to_owned(), text(item)?)))
            .collect(),
    }
}

/// Sets a value unless it is there already, and keeps the comments around it.
fn set(table: &mut dyn TableLike, key: &str, wanted: toml_edit::Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        None => drop(table.insert(key, value(wanted))),
        Some(there) => {
            let same = match (&*there, &wanted) {
                (toml_edit::Value::String(there), toml_edit::Value::String(wanted)) => there.value() == wanted.value(),
                (toml_edit::Value::Integer(there), toml_edit::Value::Integer(wanted)) => {
                    there.value() == wanted.value()
                }
                _ => false,
            };
            if !same {
                let around = there.decor().clone();
                *there = wanted;
                *there.decor_mut() = around;
            }
        }
    }
}
