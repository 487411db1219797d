//! JSON arrays taken apart one level deep, without copying and without believing in their length: `[1,1,1,…]` of 16 MiB would
//! otherwise become half a gigabyte.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::CallError;
use super::verdict;

/// How many elements of an array are looked at. No platform sends as many rows, and no message has as many parts.
pub const MOST: usize = 10_000;

/// The first [`MOST`] elements of an array, unread.
#[derive(Debug, Default)]
pub struct Elements<'a>(pub Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Taking)
    }
}

struct Taking;

impl<'de> Visitor<'de> for Taking {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Elements<'de>, A::Error> {
        let mut taken = Vec::new();
        while taken.len() < MOST {
            match elements.next_element()? {
                Some(element) => taken.push(element),
                None => return Ok(Elements(taken)),
            }
        }
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Elements(taken))
    }
}

/// The text of an answer that is an array.
///
/// # Errors
/// [`CallError::Malformed`] when it is none.
pub(super) fn array(body: Vec<u8>) -> Result<String, CallError> {
    let text = readable(body);
    match serde_json::from_str::<Elements<'_>>(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(verdict::malformed("a JSON array", text.as_bytes())),
    }
}

/// Takes bytes for text. One that is no UTF-8 costs that character, not the answer, and takes no more room than it had.
fn readable(body: Vec<u8>) -> String {
    match String::from_utf8(body) {
        Ok(text) => text,
        Err(error) => {
            let mut bytes = error.into_bytes();
            let mut begin = 0;
            while let Err(error) = std::str::from_utf8(&bytes[begin..]) {
                let bad = begin + error.valid_up_to();
                let end = error.error_len().map_or(bytes.len(), |length| bad + length);
                bytes[bad..end].fill(b'?');
                begin = end;
            }
            String::from_utf8(bytes).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Option<Vec<&str>> {
        let elements: Elements<'_> = serde_json::from_str(text).ok()?;
        Some(elements.0.iter().map(|element| element.get()).collect())
    }

    #[test]
    fn elements_are_as_they_were_sent_and_no_more_than_are_looked_at() {
        assert_eq!(
            taken("[1, {\"a\" : []},\n\"x\"]"),
            Some(vec!["1", "{\"a\" : []}", "\"x\""])
        );
        assert_eq!(taken("[]"), Some(vec![]));
        for none in ["{}", "null", "[1", "[1] 2", "[1,]"] {
            assert_eq!(taken(none), None, "{none}");
        }
        let many = format!("[1{}]", ",1".repeat(2 * MOST));
        assert_eq!(taken(&many).unwrap().len(), MOST);
        assert_eq!(taken(&many.replace(']', "")), None, "the rest must be JSON, too");
    }

    #[test]
    fn bytes_that_are_no_text_cost_one_character_each_and_no_room() {
        for (bytes, text) in [
            (&b"[\"\xff\"]"[..], "[\"?\"]"),
            (b"[\"a\xe2\x82\"]", "[\"a??\"]"),
            (b"\xc3", "?"),
            ("[\"ü\"]".as_bytes(), "[\"ü\"]"),
            (b"", ""),
        ] {
            assert_eq!(readable(bytes.to_vec()), text);
        }
        assert_eq!(readable(vec![0xff; 1000]).len(), 1000);
    }
}
