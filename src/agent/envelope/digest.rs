//! A fingerprint that is equal for two messages exactly when their content is, whatever order their keys came in.

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Longest message whose keys are sorted: as a tree it may take thirty times its length.
const SORTED: usize = 512 * 1024;

/// Hex SHA-256 of `raw` with sorted keys and without white space; of the text as sent when it is long, or nests too deeply to
/// be sorted.
pub(super) fn digest(raw: &RawValue) -> String {
    let mut hash = Sha256::new();
    let sortable = Some(raw.get()).filter(|text| text.len() <= SORTED);
    match sortable.map(serde_json::from_str).and_then(Result::ok) {
        Some(value) => feed(&value, &mut hash),
        None => hash.update(raw.get()),
    }
    hex(&hash.finalize())
}

/// Lower-case hex digits of `bytes`.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn feed(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            hash.update(b"{");
            for (key, value) in entries {
                hash.update(Value::from(key.as_str()).to_string());
                hash.update(b":");
                feed(value, hash);
                hash.update(b",");
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                feed(item, hash);
                hash.update(b",");
            }
            hash.update(b"]");
        }
        scalar => hash.update(scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        digest(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn key_order_and_white_space_do_not_matter_and_content_does() {
        let one = of(r#"{"a":[1,{"c":"x","b":null}],"z":true}"#);
        assert_eq!(one, of(r#"{ "z": true, "a": [1, {"b": null, "c": "x"}] }"#));
        assert_eq!(one.len(), 64);
        for other in [
            r#"{"a":[1,{"c":"x","b":0}],"z":true}"#,
            r#"{"a":[1,{"c":"x"}],"b":null,"z":true}"#,
            r#"{"a":["1",{"c":"x","b":null}],"z":true}"#,
        ] {
            assert_ne!(one, of(other), "{other}");
        }
    }

    #[test]
    fn a_message_of_up_to_half_a_mebibyte_is_recognised_in_another_order_and_a_longer_one_as_it_was_sent() {
        for (length, same) in [(SORTED - 100, true), (SORTED, false)] {
            let text = "x".repeat(length);
            let one = of(&format!(r#"{{"a":1,"b":"{text}"}}"#));
            assert_eq!(one, of(&format!(r#"{{"a":1,"b":"{text}"}}"#)));
            assert_eq!(one == of(&format!(r#"{{"b":"{text}","a":1}}"#)), same, "{length}");
        }
        assert_eq!(SORTED, 524_288);
    }

    #[test]
    fn a_value_too_deep_to_sort_still_has_a_digest() {
        let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
        assert_eq!(of(&deep), of(&deep));
        assert_eq!(of(&deep).len(), 64);
    }
}
