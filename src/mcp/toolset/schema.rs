//! Schemas as clients can digest them: inlined, one type per value, without the library's integer formats.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::nullable;

/// A type's schema: [`schemars::JsonSchema::json_schema`]. All that is done with it is compiled once, and not for each of two
/// hundred types.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// A tool's arguments, and its description, which the schema of the arguments struct carries.
pub(super) struct Input {
    pub(super) description: String,
    pub(super) object: Map<String, Value>,
}

/// The schema of what a tool accepts. Nothing but the named arguments is.
pub(super) fn input(shape: Shape) -> Input {
    let mut object = object_of(shape, SchemaSettings::draft2020_12());
    let description = match object.remove("description") {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    object.insert("additionalProperties".to_owned(), Value::Bool(false));
    Input { description, object }
}

/// The schema of what a tool returns.
pub(super) fn output(shape: Shape) -> Map<String, Value> {
    fit_failures(object_of(shape, SchemaSettings::draft2020_12().for_serialize()))
}

/// The schema of an object with these properties.
pub(super) fn object(properties: Map<String, Value>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".to_owned(), json!("object"));
    object.insert("properties".to_owned(), Value::Object(properties));
    object
}

/// Makes a result's schema fit every failure too, because some clients check failures against it: so nothing on the top
/// level is required, and the parts of a failure are named.
pub(super) fn fit_failures(mut object: Map<String, Value>) -> Map<String, Value> {
    object.remove("description");
    object.remove("required");
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for (name, description) in [
            ("error", "Only in a failure: its stable code."),
            ("detail", "What happened; always in a failure."),
            ("hint", "What to do; always in a failure."),
        ] {
            let text = json!({ "type": "string", "description": description });
            properties.entry(name).or_insert(text);
        }
    }
    object
}

fn object_of(shape: Shape, settings: SchemaSettings) -> Map<String, Value> {
    let mut generator = settings
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let schema = shape(&mut generator);
    debug_assert!(
        generator.definitions().is_empty(),
        "a type that holds itself cannot be inlined"
    );
    plain_object(schema.to_value())
}

fn plain_object(mut schema: Value) -> Map<String, Value> {
    simplify(&mut schema);
    let Value::Object(mut object) = schema else {
        return Map::new();
    };
    object.remove("title");
    object.entry("type").or_insert_with(|| json!("object"));
    object.entry("properties").or_insert_with(|| json!({}));
    object
}

/// Rewrites a schema, from the inside out, into the subset that every client's model provider accepts.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(fields) => {
            // The keys of `properties` are names and not keywords.
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::Object(named) if key == "properties" => named.values_mut().for_each(simplify),
                    other => simplify(other),
                }
            }
            drop_noise(fields);
            unwrap_optional(fields);
            collect_constants(fields);
        }
        _ => {}
    }
}

fn drop_noise(fields: &mut Map<String, Value>) {
    let numeric = |format: &Value| {
        let format = format.as_str().unwrap_or_default();
        ["int", "uint", "float", "double"]
            .iter()
            .any(|start| format.starts_with(start))
    };
    if fields.get("format").is_some_and(numeric) {
        fields.remove("format");
    }
    if fields.get("default").is_some_and(Value::is_null) {
        fields.remove("default");
    }
    if let Some(Value::String(text)) = fields.get_mut("description") {
        // Line ends of the source mean nothing; empty lines part paragraphs.
        let paragraphs = text
            .split("\n\n")
            .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    if fields.get("items") == Some(&Value::Bool(true)) {
        fields.remove("items");
    }
    fields.remove("$schema");
}

/// `T or null` becomes `T`: a value that is absent is left out, never null.
fn unwrap_optional(fields: &mut Map<String, Value>) {
    if fields.remove(nullable::MARK).is_some() {
        return;
    }
    if let Some(Value::Array(types)) = fields.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(options)) = fields.get_mut("enum") {
        options.retain(|option| !option.is_null());
    }
    if let Some(Value::Array(branches)) = fields.get_mut("anyOf") {
        branches.retain(|branch| branch != &json!({ "type": "null" }));
        if let [Value::Object(only)] = branches.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            for (key, value) in only {
                fields.entry(key).or_insert(value);
            }
        }
    }
}

/// A choice between documented constants becomes a plain `enum`.
fn collect_constants(fields: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = fields.get("oneOf") else {
        return;
    };
    let mut constants = Vec::new();
    for branch in branches {
        match (branch.get("const"), branch.get("enum")) {
            (Some(constant), _) => constants.push(constant.clone()),
            (None, Some(Value::Array(several))) => constants.extend(several.iter().cloned()),
            _ => return,
        }
    }
    fields.remove("oneOf");
    fields.insert("type".to_owned(), json!("string"));
    fields.insert("enum".to_owned(), Value::Array(constants));
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// A choice.
    #[derive(Deserialize, Serialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        /// One way.
        One,
        /// The other.
        Other,
    }

    /// What it does,
    /// on two lines.
    ///
    /// And more.
    #[derive(Deserialize, Serialize, JsonSchema)]
    struct Example {
        /// Its name.
        title: String,
        count: Option<u32>,
        choice: Option<Choice>,
        #[serde(default)]
        list: Vec<Choice>,
    }

    #[test]
    fn arguments_are_one_plain_object() {
        let input = input(Example::json_schema);
        assert_eq!(input.description, "What it does, on two lines.\n\nAnd more.");
        let expected = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["title"],
            "properties": {
                "title": { "type": "string", "description": "Its name." },
                "count": { "type": "integer", "minimum": 0 },
                "choice": { "type": "string", "enum": ["one", "other"], "description": "A choice." },
                "list": {
                    "type": "array",
                    "default": [],
                    "items": { "type": "string", "enum": ["one", "other"], "description": "A choice." }
                }
            }
        });
        assert_eq!(Value::Object(input.object), expected);
    }

    #[test]
    fn an_argument_that_may_be_null_says_so() {
        #[derive(Deserialize, JsonSchema)]
        #[expect(dead_code, reason = "only the schema is looked at")]
        struct Change {
            /// Its parent.
            #[serde(default)]
            parent: super::super::Nullable<String>,
        }
        let parent = &input(Change::json_schema).object["properties"]["parent"];
        assert_eq!(parent["type"], json!(["string", "null"]));
        assert_eq!(parent["description"], "Its parent.");
    }

    #[test]
    fn a_failure_fits_the_output_schema_too() {
        let schema = Value::Object(output(Example::json_schema));
        let failure = json!({ "error": "A", "detail": "b", "hint": "c" });
        assert!(jsonschema::is_valid(&schema, &failure));
        assert!(!jsonschema::is_valid(&schema, &json!({ "title": 1 })));
    }
}
