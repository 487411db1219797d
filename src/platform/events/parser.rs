//! From bytes in any cuts to events. Knows lines and JSON, not connections.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::Event;

/// Largest event in bytes; a larger one is skipped without being kept.
const MAX_EVENT: usize = 1024 * 1024;

/// The unfinished part of a stream, and the events that are complete.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The current line as far as it came.
    line: Vec<u8>,
    /// Whether the current line holds anything, kept or not: only a line that does not ends an event.
    line_has_begun: bool,
    /// The `data` lines of the current event.
    data: Option<Vec<u8>>,
    /// The current event is over the limit; nothing of it is kept.
    oversized: bool,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_return: bool,
    /// The mark that may open a stream has been looked for.
    past_mark: bool,
    ready: VecDeque<Event>,
}

/// What an event looks like on the wire.
#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    payload: Value,
}

impl Parser {
    /// The oldest complete event.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.keep(bytes);
                return;
            };
            self.keep(&bytes[..end]);
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line();
        }
    }

    fn keep(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.line_has_begun = true;
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if self.oversized || held + part.len() > MAX_EVENT {
            self.oversized = true;
            self.line = Vec::new();
            self.data = None;
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        if !std::mem::take(&mut self.line_has_begun) {
            self.end_event();
            return;
        }
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if !std::mem::replace(&mut self.past_mark, true) {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        let value = match text.strip_prefix(b"data") {
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            Some([]) => b"",
            // A comment, or a field that this platform does not use.
            _ => return,
        };
        if self.oversized {
            return;
        }
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
    }

    fn end_event(&mut self) {
        if std::mem::take(&mut self.oversized) {
            tracing::debug!("skipped an event of more than {MAX_EVENT} bytes");
        }
        let Some(data) = self.data.take() else { return };
        match serde_json::from_slice::<Wire>(&data) {
            Ok(wire) => self.ready.push_back(Event {
                kind: wire.kind,
                payload: if wire.data.is_null() { wire.payload } else { wire.data },
            }),
            Err(_) => tracing::debug!(bytes = data.len(), "skipped an event that is not of the known shape"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse<'a>(cuts: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, Value)> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for cut in cuts {
            parser.push(cut);
            events.extend(std::iter::from_fn(|| parser.next_event()).map(|event| (event.kind, event.payload)));
        }
        events
    }

    #[test]
    fn lines_fields_and_payload_names_are_read_as_the_format_says() {
        for (text, expected) in [
            ("data: {\"type\":\"A\",\"data\":1}\n\n", vec![("A", json!(1))]),
            ("data:{\"type\":\"A\",\"payload\":1}\n\n", vec![("A", json!(1))]),
            (
                "data: {\"type\":\"A\",\"data\":null,\"payload\":2}\n\n",
                vec![("A", json!(2))],
            ),
            ("data: {\"type\":\"A\"}\n\n", vec![("A", json!(null))]),
            ("data: {\"type\":\ndata: \"A\"}\n\n", vec![("A", json!(null))]),
            (": ping\n\n: x\ndata: {\"type\":\"A\"}\n\n", vec![("A", json!(null))]),
            ("\u{feff}data: {\"type\":\"A\"}\n\n", vec![("A", json!(null))]),
            (
                "event: x\nid: 7\nretry: 1\ndata: {\"type\":\"A\"}\n\n",
                vec![("A", json!(null))],
            ),
            ("database: {\"type\":\"A\"}\n\n", vec![]),
            ("data\n\n", vec![]),
            ("data: {\"type\":\"A\"}\n", vec![]),
            ("data: nonsense\n\ndata: {\"type\":\"B\"}\n\n", vec![("B", json!(null))]),
            (
                "data: {\"type\":5}\n\ndata: []\n\ndata: {\"type\":\"B\"}\n\n",
                vec![("B", json!(null))],
            ),
            ("\n\n\ndata: {\"type\":\"A\"}\n\n\n", vec![("A", json!(null))]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(kind, data)| (kind.to_owned(), data))
                .collect();
            assert_eq!(parse([text.as_bytes()]), expected, "{text:?}");
            for ending in ["\r\n", "\r"] {
                let other = text.replace('\n', ending);
                assert_eq!(parse([other.as_bytes()]), expected, "{other:?}");
            }
        }
    }

    #[test]
    fn the_cuts_between_reads_do_not_matter() {
        let text =
            "\u{feff}: ping\r\n\r\ndata: {\"type\":\"A\",\r\ndata: \"data\":\"ü\"}\r\n\r\ndata: {\"type\":\"B\"}\n\n";
        let whole = parse([text.as_bytes()]);
        assert_eq!(whole.len(), 2);
        for at in 0..text.len() {
            let (left, right) = text.as_bytes().split_at(at);
            assert_eq!(parse([left, right]), whole, "cut at {at}");
        }
        assert_eq!(parse(text.as_bytes().chunks(1)), whole);
    }

    #[test]
    fn an_event_over_the_limit_is_skipped_without_being_kept() {
        let mut parser = Parser::default();
        parser.push(b"data: {\"type\":\"HUGE\",\"data\":\"");
        for _ in 0..64 {
            parser.push(&[b'x'; 64 * 1024]);
            assert!(parser.line.capacity() + parser.data.as_ref().map_or(0, Vec::capacity) <= 2 * MAX_EVENT);
        }
        parser.push(b"\"}\ndata: tail\n\ndata: {\"type\":\"NEXT\"}\n\n");
        assert_eq!(parser.next_event().unwrap().kind, "NEXT");
        assert!(parser.next_event().is_none());
    }

    #[test]
    fn many_lines_of_one_event_count_together() {
        let line = [&b"data: "[..], &[b'x'; 1000], b"\n"].concat();
        let mut parser = Parser::default();
        for _ in 0..2000 {
            parser.push(&line);
            assert!(parser.data.as_ref().map_or(0, Vec::len) <= MAX_EVENT);
        }
        parser.push(b"\ndata: {\"type\":\"NEXT\"}\n\n");
        assert_eq!(parser.next_event().unwrap().kind, "NEXT");
    }
}
