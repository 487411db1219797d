//! From an event to a line.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::hidden;
use super::outlet::Outlet;
use crate::cli::printable::printable;
use crate::mcp::answer::cut;
use crate::types::Timestamp;

/// Longer lines are cut: nobody reads them, and they would push out the others.
const LONGEST: usize = 16 * 1024;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// For people, with the prefix by which clients' logs tell it from their own.
    Text,
    /// The same for a file that several processes write.
    File,
    /// One JSON object.
    Json,
    /// With the priority that the journal of systemd takes off; it knows the time itself.
    Journal,
}

/// Turns events into lines of one shape.
pub(super) struct Lines {
    shape: Shape,
    outlet: &'static Outlet,
}

impl Lines {
    pub(super) fn new(shape: Shape, outlet: &'static Outlet) -> Self {
        Self { shape, outlet }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let metadata = event.metadata();
        let line = line(
            self.shape,
            *metadata.level(),
            metadata.target(),
            &words,
            Timestamp::now(),
        );
        self.outlet.line(line.into_bytes());
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Words {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Words {
    fn put(&mut self, field: &Field, text: String) {
        let text = hidden::clean(&text);
        let text = cut(&text, LONGEST).to_owned();
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, text)),
        }
    }

    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            let _ = write!(text, "{}{name}={value}", if text.is_empty() { "" } else { " " });
        }
        text
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
}

fn line(shape: Shape, level: Level, target: &str, words: &Words, now: Timestamp) -> String {
    let now = now.to_rfc3339();
    let line = match shape {
        Shape::Text => {
            // What continues a line is indented, so that it cannot pass for one of its own.
            let text = printable(&words.text(), "\n    ");
            format!("[molecule-mcp] {now} {level:>5} {text}")
        }
        Shape::File => {
            let text = printable(&words.text(), "\\n");
            format!("{now} {level:>5} [{}] {text}", std::process::id())
        }
        Shape::Journal => format!("<{}>{}", priority(level), printable(&words.text(), "\\n")),
        Shape::Json => {
            let mut object = Map::new();
            let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
            put("time", now.into());
            put("level", level.as_str().to_ascii_lowercase().into());
            put("message", words.message.as_str().into());
            put("target", target.into());
            put("pid", std::process::id().into());
            for (name, value) in &words.fields {
                let name = if ["time", "level", "target", "pid"].contains(name) {
                    "field"
                } else {
                    name
                };
                put(name, value.as_str().into());
            }
            Value::Object(object).to_string()
        }
    };
    format!("{}\n", hidden::clean(&line))
}

/// What is said in place of lines that nobody read in time.
pub(super) fn dropped(shape: Shape, count: u64) -> Vec<u8> {
    let words = Words {
        message: format!("{count} log lines were dropped, because nobody read them"),
        fields: Vec::new(),
    };
    line(shape, Level::WARN, super::OURS, &words, Timestamp::now()).into_bytes()
}

/// The last words of the process, in the log file.
pub(super) fn last(text: &str) -> Vec<u8> {
    let text = text.trim_end();
    if text.is_empty() {
        return Vec::new();
    }
    let words = Words {
        message: text.to_owned(),
        fields: Vec::new(),
    };
    line(Shape::File, Level::ERROR, super::OURS, &words, Timestamp::now()).into_bytes()
}

/// As in syslog.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    fn words(message: &str) -> Words {
        Words {
            message: message.to_owned(),
            fields: vec![("tool", "x".to_owned())],
        }
    }

    fn shown(shape: Shape, message: &str) -> String {
        line(shape, Level::WARN, "molecule_mcp::agent", &words(message), Timestamp(0))
    }

    #[test]
    fn each_shape_is_one_line_and_says_the_same() {
        let pid = std::process::id();
        let time = Timestamp(0).to_rfc3339();
        assert_eq!(
            shown(Shape::Text, "it broke"),
            format!("[molecule-mcp] {time}  WARN it broke tool=x\n")
        );
        assert_eq!(
            shown(Shape::File, "it broke"),
            format!("{time}  WARN [{pid}] it broke tool=x\n")
        );
        assert_eq!(shown(Shape::Journal, "it broke"), "<4>it broke tool=x\n");
        let json: Value = serde_json::from_str(&shown(Shape::Json, "it \"broke\"\n")).unwrap();
        assert_eq!(json["message"], "it \"broke\"\n");
        assert_eq!(
            (&json["level"], &json["tool"], &json["pid"]),
            (&"warn".into(), &"x".into(), &pid.into())
        );
    }

    #[test]
    fn nothing_in_a_message_passes_for_a_line_of_ours_or_moves_the_cursor() {
        let odd = "one\n<3>forged\u{1b}[2J\rtwo";
        assert_eq!(
            shown(Shape::Journal, odd),
            "<4>one\\n<3>forged\\u{1b}[2J\\u{d}two tool=x\n"
        );
        assert_eq!(shown(Shape::File, odd).lines().count(), 1);
        assert!(shown(Shape::Text, odd).contains("one\n    <3>forged"));
        assert_eq!(shown(Shape::Json, odd).lines().count(), 1);
    }

    #[test]
    fn a_credential_is_in_no_shape_and_in_no_last_words() {
        Secret::parse("q7-held-by-this-test").unwrap();
        for shape in [Shape::Text, Shape::File, Shape::Json, Shape::Journal] {
            let line = shown(shape, "401: q7-held-by-this-test");
            assert!(!line.contains("q7-held") && line.contains("401: [REDACTED]"), "{line}");
        }
        let last = String::from_utf8(last("why: q7-held-by-this-test\n")).unwrap();
        assert!(last.contains("ERROR") && !last.contains("q7-held"), "{last}");
        assert!(super::last("\n").is_empty());
    }
}
