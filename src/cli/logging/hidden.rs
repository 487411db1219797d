//! The last filter: what leaves this program for a person or a file holds no credential, whoever put it there.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_lite::Regex;

use crate::tools::redaction::redact;
use crate::types::without_secrets;

/// What follows `Bearer` in a header, however short; and 40 letters or more in one run, as tokens of the platform have 43.
static BEARER: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\b(?P<word>Bearer\s+)[^\s"',;\\\[]+"#));
static RUN: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9_\-]{40,}"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is well-formed")
}

/// The text without credentials: those that this process has held, and whatever looks like one.
pub(in crate::cli) fn clean(text: &str) -> String {
    let text = without_secrets(text);
    let text = BEARER.replace_all(&text, "${word}[REDACTED:TOKEN]");
    let text = RUN.replace_all(&text, |run: &regex_lite::Captures<'_>| {
        let run = run.get(0).map_or("", |found| found.as_str());
        if is_token(run) {
            Cow::Borrowed("[REDACTED:TOKEN]")
        } else {
            Cow::Owned(run.to_owned())
        }
    });
    redact(&text).text
}

/// Words, ids and checksums keep to one case or have no digits; random letters do neither.
fn is_token(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| run.as_bytes().iter().any(kind);
    has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    #[test]
    fn credentials_are_taken_out_by_value_by_header_and_by_look() {
        Secret::parse("z4-held-by-this-test").unwrap();
        for (text, expected) in [
            ("echo z4-held-by-this-test!", "echo [REDACTED]!"),
            ("Authorization: Bearer abc", "Authorization: Bearer [REDACTED:TOKEN]"),
            (r#"{"h":"Bearer x.y~z"}"#, r#"{"h":"Bearer [REDACTED:TOKEN]"}"#),
            (
                "got 2Zx9_kQ0-vTbRm3nYcLw8sAeHdUfGjPi7oKqNlM5t1E back",
                "got [REDACTED:TOKEN] back",
            ),
            ("key sk-abcdefghijklmnopqrst", "key [REDACTED:API_KEY]"),
        ] {
            assert_eq!(clean(text), expected);
            assert_eq!(clean(&clean(text)), expected, "twice is as once");
        }
    }

    #[test]
    fn what_is_no_credential_stays() {
        for text in [
            "a bearer token is needed",
            "workspace 5f0c1d2e-0000-4000-8000-00000000000a",
            "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/home/someone/.molecule-workspace/sessions/5f0c1d2e-0000-4000-8000-00000000000a.lock",
            "2026-11-27T10:00:00.123456Z",
            "MOLECULE_WORKSPACE_TOKEN_FILE names a file that is empty",
        ] {
            assert_eq!(clean(text), text);
        }
    }
}
