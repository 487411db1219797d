//! What a client is told about a tool.

use std::sync::Arc;

use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::{Effect, schema};

/// A tool's text and schemas. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Description {
    /// What it does, in a sentence or a few.
    pub text: String,
    /// The schema of its arguments.
    pub input: Arc<Map<String, Value>>,
    /// The schema of its results, failures included.
    pub output: Arc<Map<String, Value>>,
}

impl Description {
    /// That of a tool with these arguments and results.
    #[must_use]
    pub fn of<I: JsonSchema, O: JsonSchema>() -> Self {
        Self::new(schema::input(I::json_schema), schema::output(O::json_schema))
    }

    /// That of a tool with these arguments and further ones, whose results have these properties.
    #[must_use]
    pub fn with<I: JsonSchema>(further: Map<String, Value>, results: Map<String, Value>) -> Self {
        Self::extended(schema::input(I::json_schema), further, results)
    }

    fn extended(mut input: schema::Input, further: Map<String, Value>, results: Map<String, Value>) -> Self {
        if let Some(Value::Object(properties)) = input.object.get_mut("properties") {
            properties.extend(further);
        }
        Self::new(input, schema::fit_failures(schema::object(results)))
    }

    /// The same where an argument may be left out, which the type behind it requires.
    #[must_use]
    pub fn optional(mut self, name: &str) -> Self {
        if let Some(Value::Array(required)) = Arc::make_mut(&mut self.input).get_mut("required") {
            required.retain(|known| known != name);
        }
        self
    }

    fn new(input: schema::Input, output: Map<String, Value>) -> Self {
        Self {
            text: input.description,
            input: Arc::new(input.object),
            output: Arc::new(output),
        }
    }

    pub(super) fn definition(&self, name: &'static str, effect: Effect) -> rmcp::model::Tool {
        rmcp::model::Tool::new(name, self.text.clone(), self.input.clone())
            .with_raw_output_schema(self.output.clone())
            .with_annotations(effect.annotations())
    }
}
