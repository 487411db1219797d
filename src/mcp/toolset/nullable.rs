//! An argument for which `null` means something else than leaving it out.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::json;

/// The keyword by which [`super::schema`] knows that `null` is a value here. Clients never see it.
pub(super) const MARK: &str = "x-null-is-a-value";

/// An argument that may be left out, be `null`, or have a value. The field needs `#[serde(default)]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Nullable<T> {
    /// Left out.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A value.
    Value(T),
}

impl<T> Nullable<T> {
    /// What was given: `None` when it was left out, `Some(None)` for `null`.
    pub fn given(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(|given| given.map_or(Self::Null, Self::Value))
    }
}

/// `"type": [T, "null"]`: the one form that every client takes; a choice by `anyOf` is not.
impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Nullable_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = generator.subschema_for::<T>();
        let plain = schema.remove("type").unwrap_or_else(|| json!("object"));
        schema.insert("type".to_owned(), json!([plain, "null"]));
        schema.insert(MARK.to_owned(), json!(true));
        schema
    }
}
