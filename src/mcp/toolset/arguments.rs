//! From what a client sent to a tool's arguments. What is refused is named, and its value never echoed.

use std::cell::RefCell;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::mcp::answer::{ToolError, cut};

/// What a client sent for a tool, and the schema that it should follow.
#[derive(Debug)]
pub struct Given {
    arguments: Map<String, Value>,
    schema: Arc<Map<String, Value>>,
}

impl Given {
    /// Arguments for a tool whose arguments follow `schema`.
    #[must_use]
    pub fn new(arguments: Map<String, Value>, schema: Arc<Map<String, Value>>) -> Self {
        Self { arguments, schema }
    }

    /// Takes some of the arguments out, so that the others can be decoded by somebody who does not know them. `None` for
    /// one that is absent or `null`.
    pub fn take<const N: usize>(&mut self, names: [&str; N]) -> [Option<Value>; N] {
        names.map(|name| self.arguments.remove(name).filter(|value| !value.is_null()))
    }

    /// Whether an argument says something: it is there, and neither `null` nor an empty text.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let given = self.arguments.get(name);
        given.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    }

    /// Gives an argument a value.
    pub fn put(&mut self, name: &str, value: Value) {
        self.arguments.insert(name.to_owned(), value);
    }

    /// Decodes arguments. `null` is the same as leaving an argument out.
    ///
    /// # Errors
    /// When an argument is unknown, missing, or breaks its rule.
    pub fn decode<T: DeserializeOwned>(mut self) -> Result<T, ToolError> {
        self.check()?;
        // Decoding goes one argument at a time, so the one it was at when it failed is the one to name.
        let current = RefCell::new(String::new());
        let pairs = Pairs {
            rest: self.arguments.clone().into_iter(),
            current: &current,
        };
        T::deserialize(MapDeserializer::new(pairs))
            .map_err(|error: serde_json::Error| self.refusal(current.take(), &error.to_string()))
    }

    /// The checks that need no type.
    fn check(&mut self) -> Result<(), ToolError> {
        let schema = &self.schema;
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|known| known == name));
        // Some clients fill in every argument, and write nothing for a workspace they do not mean to name.
        let null_counts = |name: &str| {
            let property = schema.get("properties").and_then(|properties| properties.get(name));
            property.is_some_and(|property| {
                property["type"]
                    .as_array()
                    .is_some_and(|types| types.iter().any(|kind| kind == "null"))
            })
        };
        self.arguments.retain(|name, value| {
            (!value.is_null() || null_counts(name))
                && (is_required(name) || !name.ends_with("workspace_id") || value.as_str() != Some(""))
        });
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_known = |name: &str| properties.is_some_and(|properties| properties.contains_key(name));
        if let Some(unknown) = self.arguments.keys().find(|name| !is_known(name)) {
            let names = properties.map(|properties| properties.keys().map(String::as_str).collect::<Vec<_>>());
            let rule = match names.unwrap_or_default().as_slice() {
                [] => "is unknown; this tool takes none".to_owned(),
                names => format!("is unknown; this tool takes: {}", names.join(", ")),
            };
            return Err(ToolError::argument(cut(unknown, 64), rule));
        }
        let missing = required
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find(|name| !self.arguments.contains_key(*name));
        missing.map_or(Ok(()), |missing| Err(ToolError::argument(missing, "is required")))
    }

    fn refusal(&self, name: String, complaint: &str) -> ToolError {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        let schema = properties.and_then(|properties| properties.get(&name));
        let rule = match (schema, self.arguments.get(&name)) {
            (Some(schema), Some(value)) => broken_rule(schema, value, complaint),
            _ => "could not be read".to_owned(),
        };
        ToolError::argument(name, rule)
    }
}

/// Arguments one by one, telling which is the current one. A type of its own, so that decoding is compiled for it once.
struct Pairs<'a> {
    rest: serde_json::map::IntoIter,
    current: &'a RefCell<String>,
}

impl Iterator for Pairs<'_> {
    type Item = (String, Value);

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.rest.next()?;
        self.current.borrow_mut().clone_from(&pair.0);
        Some(pair)
    }
}

/// The rule that `value` breaks, told from its schema where that suffices, else by the type that refused it.
fn broken_rule(schema: &Value, value: &Value, complaint: &str) -> String {
    // Of several types the first is its own.
    let own_type = schema.get("type").map(|kind| kind.get(0).unwrap_or(kind));
    let own_type = own_type.and_then(Value::as_str);
    if let Some(Value::Array(options)) = schema.get("enum") {
        let options: Vec<_> = options.iter().filter_map(Value::as_str).collect();
        return format!("must be one of: {}", options.join(", "));
    }
    match (own_type, value) {
        (Some("string"), Value::String(value)) if value.is_empty() || !complaint.contains(value.as_str()) => {
            complaint.to_owned()
        }
        // The rule happens to contain the value, which may be a secret.
        (Some("string"), Value::String(_)) => "is not of the form that its description asks for".to_owned(),
        (Some("integer"), Value::Number(_)) => match (schema.get("minimum"), schema.get("maximum")) {
            (Some(least), Some(most)) => format!("must be an integer from {least} to {most}"),
            (Some(least), None) => format!("must be an integer of at least {least}"),
            _ => "must be an integer".to_owned(),
        },
        (Some(kind), _) => {
            let article = if matches!(kind, "integer" | "array" | "object") {
                "an"
            } else {
                "a"
            };
            format!("must be {article} {kind}")
        }
        (None, _) => "has the wrong shape".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PeerId, WorkspaceId};
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fast,
        Slow,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Example {
        peer: PeerId,
        task: String,
        count: Option<u8>,
        mode: Option<Mode>,
        #[serde(default)]
        names: Vec<String>,
    }

    fn given_for<T: JsonSchema>(arguments: Map<String, Value>) -> Given {
        Given::new(arguments, Arc::new(super::super::schema::input(T::json_schema).object))
    }

    fn refusal(arguments: Value) -> String {
        let Value::Object(given) = arguments else { panic!() };
        given_for::<Example>(given).decode::<Example>().unwrap_err().to_string()
    }

    #[test]
    fn the_argument_and_its_rule_are_named_and_the_value_is_not() {
        let id = "5f0c1d2e-0000-4000-8000-000000000001";
        let cases = [
            (json!({}), "argument `peer` is required"),
            (json!({ "peer": id, "task": null }), "argument `task` is required"),
            (
                json!({ "peer": "SECRET", "task": "x" }),
                "argument `peer` must be the UUID",
            ),
            (
                json!({ "peer": "must be", "task": "x" }),
                "argument `peer` is not of the form",
            ),
            (json!({ "peer": id, "task": 77 }), "argument `task` must be a string"),
            (
                json!({ "peer": id, "task": "x", "count": 4711 }),
                "argument `count` must be an integer from 0 to 255",
            ),
            (
                json!({ "peer": id, "task": "x", "count": "SECRET" }),
                "argument `count` must be an integer",
            ),
            (
                json!({ "peer": id, "task": "x", "mode": "SECRET" }),
                "argument `mode` must be one of: fast, slow",
            ),
            (
                json!({ "peer": id, "task": "x", "names": "SECRET" }),
                "argument `names` must be an array",
            ),
            (
                json!({ "peer": id, "task": "x", "tusk": "SECRET" }),
                "argument `tusk` is unknown; this tool takes: count, mode, names, peer, task",
            ),
        ];
        for (arguments, expected) in cases {
            let refusal = refusal(arguments);
            assert!(refusal.starts_with(expected), "{refusal}");
            assert!(!refusal.contains("SECRET") && !refusal.contains("4711"), "{refusal}");
        }
    }

    #[test]
    fn null_is_the_same_as_nothing() {
        let given =
            json!({ "peer": "5f0c1d2e-0000-4000-8000-000000000001", "task": "x", "count": null, "names": null });
        let Value::Object(given) = given else { panic!() };
        let example: Example = given_for::<Example>(given).decode().unwrap();
        assert!(example.count.is_none() && example.names.is_empty());
    }

    #[test]
    fn an_empty_workspace_that_may_be_left_out_is_left_out() {
        #[derive(Debug, Deserialize, JsonSchema)]
        struct Route {
            workspace_id: PeerId,
            source_workspace_id: Option<WorkspaceId>,
        }
        let decode = |target: &str| {
            let Value::Object(given) = json!({ "workspace_id": target, "source_workspace_id": "" }) else {
                panic!()
            };
            given_for::<Route>(given).decode::<Route>()
        };
        let route = decode("5f0c1d2e-0000-4000-8000-000000000001").unwrap();
        assert!(route.source_workspace_id.is_none() && !route.workspace_id.as_str().is_empty());
        assert!(decode("").unwrap_err().to_string().contains("workspace_id"));
    }
}
