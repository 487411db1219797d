//! Servers in JSON, with or without comments.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Value, json};

use super::entry::TOOL_TIMEOUT_SECS;
use super::{Document, Entry, Seen, Shape};

/// Comments and trailing commas, as these clients take them; nothing else that is not JSON.
const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: true,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) struct JsonDocument {
    root: CstRootNode,
    top: CstObject,
    key: &'static str,
    shape: Shape,
}

impl JsonDocument {
    pub(super) fn parse(text: &str, key: &'static str, shape: Shape) -> Result<Self, String> {
        let fresh = text.trim().is_empty();
        let text = if fresh { "{}\n" } else { text };
        let root = CstRootNode::parse(text, &OPTIONS).map_err(|error| {
            // The library's own message may quote the line.
            format!("is not valid JSON (line {})", error.line_display())
        })?;
        let Some(top) = root.object_value() else {
            return Err("holds no JSON object".to_owned());
        };
        let document = Self { root, top, key, shape };
        match document.top.get(key) {
            Some(property) if property.object_value().is_none() => Err(format!("has a {key:?} that is no object")),
            _ => Ok(document),
        }
    }

    fn list(&self) -> Option<CstObject> {
        self.top.object_value(self.key)
    }
}

impl Document for JsonDocument {
    fn servers(&self) -> Vec<Seen> {
        let properties = self.list().map(|list| list.properties()).unwrap_or_default();
        properties
            .iter()
            .filter_map(|property| {
                let value = property.to_serde_value()?;
                Some(seen(property.decoded_name()?, &value))
            })
            .collect()
    }

    fn put(&mut self, name: &str, entry: &Entry) {
        let list = self.top.object_value_or_set(self.key);
        let is_new = list.get(name).is_none();
        let server = list.object_value_or_set(name);
        for (key, value) in start(entry, self.shape) {
            set(&server, key, &value);
        }
        let variables = server.object_value_or_set(match self.shape {
            Shape::OpenCode => "environment",
            Shape::Plain | Shape::Typed | Shape::Timed => "env",
        });
        for property in variables.properties() {
            if property.decoded_name().is_some_and(|name| entry.displaces(&name)) {
                property.remove();
            }
        }
        for (name, value) in &entry.env {
            set(&variables, name, &json!(value));
        }
        match self.shape {
            // What the user has changed since stays.
            Shape::OpenCode if is_new => set(&server, "enabled", &json!(true)),
            Shape::Timed if is_new => set(&server, "timeout", &json!(TOOL_TIMEOUT_SECS * 1000)),
            _ => {}
        }
    }

    fn remove(&mut self, name: &str) {
        let Some(list) = self.list() else { return };
        if let Some(server) = list.get(name) {
            server.remove();
        }
        if list.properties().is_empty()
            && let Some(list) = self.top.get(self.key)
        {
            list.remove();
        }
    }

    fn is_empty(&self) -> bool {
        self.root.to_string().split_whitespace().collect::<String>() == "{}"
    }

    fn text(&self) -> String {
        self.root.to_string()
    }
}

fn seen(name: String, value: &Value) -> Seen {
    // OpenCode has program and arguments in one list.
    let program = value["command"].as_str().or_else(|| value["command"][0].as_str());
    let env = value["env"].as_object().or_else(|| value["environment"].as_object());
    Seen {
        name,
        program: program.map(str::to_owned),
        env: env
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
    }
}

/// What starts the program, in the order in which it is written.
fn start(entry: &Entry, shape: Shape) -> Vec<(&'static str, Value)> {
    let program = entry.program.as_str();
    let plain = [("command", json!(program)), ("args", json!([]))];
    match shape {
        Shape::Plain | Shape::Timed => plain.into(),
        Shape::Typed => [("type", json!("stdio"))].into_iter().chain(plain).collect(),
        Shape::OpenCode => vec![("type", json!("local")), ("command", json!([program]))],
    }
}

/// Sets a property unless it has that value already: what is right keeps its form.
fn set(object: &CstObject, key: &str, value: &Value) {
    match object.get(key) {
        None => drop(object.append(key, input(value))),
        Some(there) if there.value().as_ref().and_then(CstNode::to_serde_value).as_ref() == Some(value) => {}
        Some(there) => there.set_value(input(value)),
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(values) => {
            CstInputValue::Object(values.iter().map(|(key, value)| (key.clone(), input(value))).collect())
        }
    }
}
