//! JSON taken apart one level at a time, so that one bad value costs that value and never the row around it.
//!
//! Building a whole tree would fail for a row that nests too deeply or holds half a surrogate pair, and would copy the
//! base64 of a 15 MiB file on the way to a text of ten bytes.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::platform::raw::{Elements, MOST};

/// An object whose values are still unread, and of which no more than [`MOST`] keys are looked at.
pub(super) struct Object<'a>(HashMap<Text, &'a RawValue>);

impl<'a> Object<'a> {
    /// The object in `raw`; `None` for any other JSON value.
    pub(super) fn of(raw: &'a RawValue) -> Option<Self> {
        // Looked at first: a complaint about another value would quote it, however long it is.
        let raw = raw.get();
        if raw.starts_with('{') {
            serde_json::from_str(raw).ok()
        } else {
            None
        }
    }

    /// The value at `key`, unless it is missing or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0
            .get(&Text(key.to_owned()))
            .copied()
            .filter(|raw| raw.get() != "null")
    }

    /// The object at `key`.
    pub(super) fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key).and_then(Object::of)
    }

    /// The array at `key`, as far as it is looked at.
    pub(super) fn array(&self, key: &str) -> Option<Vec<&'a RawValue>> {
        let raw = self.get(key)?.get();
        let elements: Elements<'a> = raw.starts_with('[').then(|| serde_json::from_str(raw).ok())??;
        Some(elements.0)
    }

    /// The string at `key`, possibly empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(string)
    }

    /// The string at `key`, unless it is empty.
    pub(super) fn filled(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// The value at `key`, when it has the shape of a `T`.
    pub(super) fn value<T: serde::de::DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }
}

/// The string in `raw`; `None` for any other JSON value. Half a surrogate pair becomes U+FFFD.
pub(super) fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str::<Text>(raw.get()).ok().map(|text| text.0)
}

/// The JSON value that a JSON string holds; `None` when `raw` is no string or holds something else.
pub(super) fn unwrapped(raw: &RawValue) -> Option<Box<RawValue>> {
    serde_json::from_str(&string(raw)?).ok()
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object<'de>, A::Error> {
        let mut object = HashMap::new();
        while let Some((key, value)) = entries.next_entry::<Text, &RawValue>()? {
            if object.len() < MOST || object.contains_key(&key) {
                object.insert(key, value);
            }
        }
        Ok(Object(object))
    }
}

/// A string that reads every JSON string, also those that are no valid Unicode.
#[derive(PartialEq, Eq, Hash)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
        Ok(Text(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unreadable_value_does_not_spoil_its_neighbours() {
        let deep = format!(
            r#"{{"deep":{}1{},"half":"a\ud800b","\ud800":1,"n":7,"s":"x","s":"y"}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        let raw = RawValue::from_string(deep).unwrap();
        let object = Object::of(&raw).unwrap();
        assert!(object.text("half").unwrap().starts_with('a'));
        assert!(object.text("half").unwrap().ends_with('b'));
        assert_eq!(object.value::<i64>("n"), Some(7));
        assert_eq!(object.text("s").as_deref(), Some("y"));
        assert_eq!(object.text("n"), None);
        assert!(object.array("deep").is_some());
    }

    #[test]
    fn an_object_is_no_larger_for_having_a_million_keys() {
        let keys: String = (0..2 * MOST).map(|n| format!("\"k{n}\":{n},")).collect();
        let raw = RawValue::from_string(format!("{{\"id\":\"a\",{keys}\"id\":\"b\"}}")).unwrap();
        let object = Object::of(&raw).unwrap();
        assert_eq!(object.0.len(), MOST);
        assert_eq!(object.text("id").as_deref(), Some("b"));
    }

    #[test]
    fn a_string_of_json_is_opened_once() {
        let raw = RawValue::from_string(r#""{\"a\":1}""#.to_owned()).unwrap();
        assert_eq!(unwrapped(&raw).unwrap().get(), r#"{"a":1}"#);
        for other in [r#""plain""#, "7", "null", "{}"] {
            assert!(
                unwrapped(&RawValue::from_string(other.to_owned()).unwrap()).is_none(),
                "{other}"
            );
        }
    }
}
