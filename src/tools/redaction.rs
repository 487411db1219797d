//! Taking out of a text what looks like a credential, before it is stored where others may read it.

use std::sync::LazyLock;

use regex_lite::Regex;

/// What stands where a credential was; the kind says what it looked like.
macro_rules! mark {
    ($kind:literal) => {
        concat!("[REDACTED:", $kind, "]")
    };
}

/// One way in which credentials look.
struct Pattern {
    regex: Regex,
    /// What is left in place of a match.
    left: &'static str,
    /// A text that holds none of these, in any case, cannot match: most texts hold none of any pattern.
    signs: &'static [&'static str],
}

/// The surest looks first.
///
/// The values after names such as `token=` must be 8 characters or longer: shorter ones are rarely secrets and often prose.
static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let pattern = |regex: &str, left, signs| Pattern {
        regex: Regex::new(regex).expect("the pattern is well-formed"),
        left,
        signs,
    };
    vec![
        pattern(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
            mark!("PRIVATE_KEY"),
            &["private key-----"],
        ),
        // The password in an address; who is asked where stays.
        pattern(
            r"(?P<before>\b[A-Za-z][A-Za-z0-9+.\-]*://[^\s/:@]*:)[^\s/@\[]+(?P<after>@)",
            concat!("${before}", mark!("PASSWORD"), "${after}"),
            &["://"],
        ),
        pattern(
            r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*",
            mark!("TOKEN"),
            &["eyj"],
        ),
        pattern(r"\bgithub_pat_[A-Za-z0-9_]{16,}", mark!("TOKEN"), &["github_pat_"]),
        pattern(
            r"\bgh[opsur]_[A-Za-z0-9]{16,}",
            mark!("TOKEN"),
            &["gho_", "ghp_", "ghs_", "ghu_", "ghr_"],
        ),
        pattern(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", mark!("AWS_KEY"), &["akia", "asia"]),
        pattern(r"\bsk-[A-Za-z0-9_\-]{16,}", mark!("API_KEY"), &["sk-"]),
        pattern(r"\bxox[abprs]-[A-Za-z0-9\-]{10,}", mark!("TOKEN"), &["xox"]),
        pattern(r"\bctx7_[A-Za-z0-9]+", mark!("TOKEN"), &["ctx7_"]),
        pattern(
            r"(?i)\b(?P<word>bearer\s+)[A-Za-z0-9._~+/\-]{16,}=*",
            concat!("${word}", mark!("TOKEN")),
            &["bearer"],
        ),
        pattern(
            r#"(?i)\b(?P<name>[A-Za-z0-9_\-]*(?:key|token|secret|password|passwd|credentials?)\s*=\s*)(?:"[^"\[][^"]{7,}"|'[^'\[][^']{7,}'|[^\s"'\[;,]{8,})"#,
            concat!("${name}", mark!("VALUE")),
            &["="],
        ),
        // After a colon stands prose, too, so a value must be quoted or long.
        pattern(
            r#"(?i)\b(?P<name>[A-Za-z0-9_\-]*(?:api_?key|token|secret|password|passwd)["']?\s*:\s*)(?:"[^"\[][^"]{7,}"|'[^'\[][^']{7,}'|[A-Za-z0-9_.~+/=\-]{16,})"#,
            concat!("${name}", mark!("VALUE")),
            &["key", "token", "secret", "passw"],
        ),
    ]
});

/// A text without credentials.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Redacted {
    pub(crate) text: String,
    /// How many were taken out.
    pub(super) count: usize,
}

/// Takes out what looks like a credential. Text that was cleaned before stays as it is.
pub(crate) fn redact(text: &str) -> Redacted {
    let lower = text.to_ascii_lowercase();
    let mut text = text.to_owned();
    let mut count = 0;
    for pattern in PATTERNS.iter() {
        if !pattern.signs.iter().any(|sign| lower.contains(sign)) {
            continue;
        }
        let found = pattern.regex.find_iter(&text).count();
        if found > 0 {
            count += found;
            text = pattern.regex.replace_all(&text, pattern.left).into_owned();
        }
    }
    Redacted { text, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_and_what_stands_around_them_stays() {
        let run = "a1B2".repeat(12);
        for (text, expected) in [
            (
                format!("the key is sk-{run} ok"),
                "the key is [REDACTED:API_KEY] ok".to_owned(),
            ),
            (format!("ghp_{run}"), "[REDACTED:TOKEN]".to_owned()),
            (format!("ghs_{run}."), "[REDACTED:TOKEN].".to_owned()),
            (format!("github_pat_{run}_{run}"), "[REDACTED:TOKEN]".to_owned()),
            ("id AKIAIOSFODNN7EXAMPLE".to_owned(), "id [REDACTED:AWS_KEY]".to_owned()),
            (
                format!("OPENAI_API_KEY={run}"),
                "OPENAI_API_KEY=[REDACTED:VALUE]".to_owned(),
            ),
            (
                "db password = 'correct horse battery' works".to_owned(),
                "db password = [REDACTED:VALUE] works".to_owned(),
            ),
            (
                r#"{"secret": "hunter2hunter2", "n": 1}"#.to_owned(),
                r#"{"secret": [REDACTED:VALUE], "n": 1}"#.to_owned(),
            ),
            (
                format!("Authorization: Bearer {run}"),
                "Authorization: Bearer [REDACTED:TOKEN]".to_owned(),
            ),
            (
                "postgres://ada:s3cret@db.example/x and redis://:pw@h".to_owned(),
                "postgres://ada:[REDACTED:PASSWORD]@db.example/x and redis://:[REDACTED:PASSWORD]@h".to_owned(),
            ),
            (
                format!("x\n-----BEGIN RSA PRIVATE KEY-----\n{run}\n-----END RSA PRIVATE KEY-----\ny"),
                "x\n[REDACTED:PRIVATE_KEY]\ny".to_owned(),
            ),
            (
                format!("-----BEGIN PRIVATE KEY-----\n{run} cut off"),
                "[REDACTED:PRIVATE_KEY]".to_owned(),
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln".to_owned(),
                "[REDACTED:TOKEN]".to_owned(),
            ),
        ] {
            let cleaned = redact(&text);
            assert_eq!(cleaned.text, expected);
            assert!(cleaned.count >= 1, "{text}");
            assert_eq!(
                redact(&cleaned.text),
                Redacted {
                    text: expected,
                    count: 0
                },
                "again"
            );
        }
    }

    #[test]
    fn prose_and_addresses_are_left_alone() {
        for text in [
            "",
            "the token budget: 4000 words",
            "ask for a new token in the Tokens tab",
            "password: see the vault",
            "keys are in sk-lang format",
            "https://example.com:8443/path?q=1",
            "commit 4f2a9c1d8e7b6a5f4f2a9c1d8e7b6a5f12345678 fixed it",
            "the secret=short one",
            "the key: understanding each other",
            "token: see above",
            "部署失败了 token=短",
        ] {
            assert_eq!(
                redact(text),
                Redacted {
                    text: text.to_owned(),
                    count: 0
                }
            );
        }
    }

    #[test]
    fn a_long_text_is_cleaned_too() {
        let text = format!(
            "{} api_key=abcdefgh12345678 {}",
            "word ".repeat(5_000),
            "ende ".repeat(5_000)
        );
        let cleaned = redact(&text);
        assert_eq!(cleaned.count, 1);
        assert!(cleaned.text.contains("api_key=[REDACTED:VALUE] ende"));
    }
}
