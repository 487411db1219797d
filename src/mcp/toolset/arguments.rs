//! From what a client sent to a tool's arguments. What is refused is named, and its value never echoed.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Map, Value};

use crate::mcp::answer::{ToolError, cut};

/// Decodes arguments. `null` is the same as leaving an argument out.
///
/// # Errors
/// When an argument is unknown, missing, or breaks its rule.
pub(super) fn decode<T: DeserializeOwned>(
    mut given: Map<String, Value>,
    schema: &Map<String, Value>,
) -> Result<T, ToolError> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|known| known == name));
    // Some clients fill in every argument, and write nothing for a workspace they do not mean to name.
    given.retain(|name, value| {
        !value.is_null() && (is_required(name) || !name.ends_with("workspace_id") || value.as_str() != Some(""))
    });
    let properties = schema.get("properties").and_then(Value::as_object);
    let known = |name: &str| properties.and_then(|properties| properties.get(name));
    if let Some(unknown) = given.keys().find(|name| known(name).is_none()) {
        let names = properties.map(|properties| properties.keys().map(String::as_str).collect::<Vec<_>>());
        let rule = match names.unwrap_or_default().as_slice() {
            [] => "is unknown; this tool takes none".to_owned(),
            names => format!("is unknown; this tool takes: {}", names.join(", ")),
        };
        return Err(ToolError::argument(cut(unknown, 64), rule));
    }
    if let Some(missing) = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .find(|name| !given.contains_key(*name))
    {
        return Err(ToolError::argument(missing, "is required"));
    }
    // Decoding goes one argument at a time, so the one it was at when it failed is the one to name.
    let current = RefCell::new(String::new());
    let pairs = given
        .clone()
        .into_iter()
        .inspect(|(name, _)| current.borrow_mut().clone_from(name));
    T::deserialize(MapDeserializer::<_, serde_json::Error>::new(pairs)).map_err(|error| {
        let name = current.take();
        let rule = match (known(&name), given.get(&name)) {
            (Some(schema), Some(value)) => broken_rule(schema, value, &error.to_string()),
            _ => "could not be read".to_owned(),
        };
        ToolError::argument(name, rule)
    })
}

/// The rule that `value` breaks, told from its schema where that suffices, else by the type that refused it.
fn broken_rule(schema: &Value, value: &Value, complaint: &str) -> String {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(Value::Array(options)) = schema.get("enum") {
        let options: Vec<_> = options.iter().filter_map(Value::as_str).collect();
        return format!("must be one of: {}", options.join(", "));
    }
    match (text("type"), value) {
        (Some("string"), Value::String(value)) if value.is_empty() || !complaint.contains(value.as_str()) => {
            complaint.to_owned()
        }
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

    fn refusal(arguments: Value) -> String {
        let Value::Object(given) = arguments else { panic!() };
        let schema = super::super::schema::input::<Example>();
        decode::<Example>(given, &schema.object).unwrap_err().to_string()
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
                "argument `peer` must be a string",
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
        let schema = super::super::schema::input::<Example>();
        let example: Example = decode(given, &schema.object).unwrap();
        assert!(example.count.is_none() && example.names.is_empty());
    }

    #[test]
    fn an_empty_workspace_that_may_be_left_out_is_left_out() {
        #[derive(Debug, Deserialize, JsonSchema)]
        struct Route {
            workspace_id: PeerId,
            source_workspace_id: Option<WorkspaceId>,
        }
        let schema = super::super::schema::input::<Route>();
        let decode = |target: &str| {
            let Value::Object(given) = json!({ "workspace_id": target, "source_workspace_id": "" }) else {
                panic!()
            };
            decode::<Route>(given, &schema.object)
        };
        let route = decode("5f0c1d2e-0000-4000-8000-000000000001").unwrap();
        assert!(route.source_workspace_id.is_none() && !route.workspace_id.as_str().is_empty());
        assert!(decode("").unwrap_err().to_string().contains("workspace_id"));
    }
}
