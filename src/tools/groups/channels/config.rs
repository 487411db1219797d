//! The configuration of a channel: what a service wants to know, credentials among it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Map, Value};

/// Stands where a credential was.
const HIDDEN: &str = "(not shown)";

/// An object, sent as such or as the JSON text of one.
///
/// The text is the older form, and the one in the schema: an argument has one type there. Whoever sends the object means
/// the same. Holds credentials, so it cannot be shown.
pub(super) struct Config(Map<String, Value>);

impl Config {
    /// The object.
    pub(super) fn object(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The texts in it that are credentials.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &str> {
        let secret = self.0.iter().filter(|(name, _)| is_credential(name));
        secret.filter_map(|(_, value)| value.as_str())
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The sentence never quotes what was sent.
        let refusal = || D::Error::custom("must be the JSON text of an object, such as {\"bot_token\": \"...\"}");
        match Value::deserialize(deserializer)? {
            Value::Object(object) => Ok(Self(object)),
            Value::String(text) => serde_json::from_str(&text).map(Self).map_err(|_| refusal()),
            _ => Err(refusal()),
        }
    }
}

impl JsonSchema for Config {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ChannelConfig".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description":
            "JSON text of an object with what the service wants (list_channel_adapters), such as {\"bot_token\": \"...\", \
             \"chat_id\": \"...\"}." })
    }
}

/// A channel as it may be shown. Platforms mask some credentials and not others.
pub(super) fn without_credentials(mut channel: Value) -> Option<Value> {
    if let Some(config) = channel.get_mut("config").and_then(Value::as_object_mut) {
        let is_set = |value: &Value| !(value.is_null() || value == "");
        for (_, value) in config
            .iter_mut()
            .filter(|(name, value)| is_credential(name) && is_set(value))
        {
            *value = HIDDEN.into();
        }
    }
    Some(channel)
}

/// Whether a field of a configuration lets its holder act: tokens, secrets, and addresses that hold one.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["token", "secret", "password", "webhook", "key", "credential", "auth"];
    words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_forms_are_the_same_and_nothing_else_is() {
        for given in [json!({ "a": 1 }), json!(r#"{"a": 1}"#)] {
            let config: Config = serde_json::from_value(given).unwrap();
            assert_eq!(config.object(), json!({ "a": 1 }).as_object().unwrap());
        }
        for given in [json!("s3cret"), json!("[1]"), json!(7), json!(["s3cret"])] {
            let refusal = serde_json::from_value::<Config>(given).err().unwrap().to_string();
            assert!(!refusal.contains("s3cret"), "{refusal}");
        }
    }

    #[test]
    fn credentials_of_every_service_are_hidden() {
        let config = json!({ "bot_token": "123:abc", "webhook_url": "https://x/y", "signing_secret": "s", "chat_id": "-1",
            "verify_token": "", "app_id": "a" });
        let shown = without_credentials(json!({ "id": "c", "config": config })).unwrap();
        assert_eq!(
            shown,
            json!({ "id": "c", "config": { "bot_token": HIDDEN, "webhook_url": HIDDEN, "signing_secret": HIDDEN,
                "chat_id": "-1", "verify_token": "", "app_id": "a" } })
        );
        assert_eq!(
            without_credentials(json!({ "config": null })),
            Some(json!({ "config": null }))
        );
    }
}
