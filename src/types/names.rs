//! Names that tools are given and that become one segment, or several, of a route.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Refused;

/// Names a resource below a workspace or a tenant: a schedule, channel, approval, token, memory, organization.
///
/// 1 to 128 letters, digits, `.`, `_`, `-`; neither `.` nor `..`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId(String);

impl ResourceId {
    const RULE: &'static str = "must be an id of 1 to 128 letters, digits, dots, underscores or hyphens";

    /// Parses an id.
    ///
    /// # Errors
    /// When it breaks the rule.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        let value = value.trim();
        let fits = value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits && (1..=128).contains(&value.len()) && !matches!(value, "." | "..") {
            Ok(Self(value.to_owned()))
        } else {
            Err(Refused(Self::RULE))
        }
    }

    /// The id as text, safe as one path segment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names a secret, a key of the key/value memory, or a plugin: 1 to 256 bytes without slashes, backslashes and control
/// characters; neither `.` nor `..`. Escaped when it becomes a path segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl KeyName {
    const RULE: &'static str =
        "must be a name of 1 to 256 bytes without slashes, backslashes and control characters, and not a dot or two";

    /// Parses a name. It is taken as it is: blanks around it count.
    ///
    /// # Errors
    /// When it breaks the rule.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        // A percent sign followed by the code of a slash or dot would be one, if something on the way decoded twice.
        let lower = value.to_ascii_lowercase();
        let disguised = ["%2f", "%5c", "%2e", "%00"].iter().any(|code| lower.contains(code));
        let fits = !disguised && !value.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'));
        if fits && (1..=256).contains(&value.len()) && !matches!(value.trim(), "" | "." | "..") {
            Ok(Self(value.to_owned()))
        } else {
            Err(Refused(Self::RULE))
        }
    }

    /// The name as text, to be escaped as one path segment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names an organization in the control plane: 1 to 63 lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

impl Slug {
    /// Parses a slug.
    ///
    /// # Errors
    /// When it breaks the rule.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        let value = value.trim();
        let fits = value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && (1..=63).contains(&value.len()) {
            Ok(Self(value.to_owned()))
        } else {
            Err(Refused("must be 1 to 63 lower-case letters, digits or hyphens"))
        }
    }

    /// The slug as text, safe as one path segment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file of a workspace: a relative path of at most 1024 bytes whose parts are neither empty nor dots.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    const RULE: &'static str = "must be a relative path such as skills/review.md, without empty or dot parts, backslashes and control characters";

    /// Parses a path.
    ///
    /// # Errors
    /// When it breaks the rule.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        let fits = value.len() <= 1024 && value.split('/').all(|part| KeyName::parse(part).is_ok());
        if fits {
            Ok(Self(value.to_owned()))
        } else {
            Err(Refused(Self::RULE))
        }
    }

    /// The parts, each to be escaped as one path segment.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

textual_id!(ResourceId, "Id, as the list of such things shows it.");
textual_id!(KeyName, "Name, without slashes.");
textual_id!(Slug, "Short name of an organization.");
textual_id!(FilePath, "Relative path, such as skills/review.md.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_another_route_is_no_name() {
        let long = "a".repeat(2000);
        let tricks = [
            "", " ", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\u{0}", "%2e%2e", "a%2Fb", &long,
        ];
        for trick in tricks {
            assert!(ResourceId::parse(trick).is_err(), "{trick:?}");
            assert!(KeyName::parse(trick).is_err(), "{trick:?}");
            assert!(Slug::parse(trick).is_err(), "{trick:?}");
            let is_a_path = matches!(trick, "a/b");
            assert_eq!(FilePath::parse(trick).is_ok(), is_a_path, "{trick:?}");
        }
        for path in ["/a", "a/", "a//b", "a/../b", "a/./b"] {
            assert!(FilePath::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn usual_names_pass() {
        assert!(ResourceId::parse("5f0c1d2e-0000-4000-8000-000000000001").is_ok());
        for name in ["OPENAI_API_KEY", "a key?", "50%", "ä"] {
            assert!(KeyName::parse(name).is_ok(), "{name}");
        }
        let path = FilePath::parse("skills/my file.md").unwrap();
        assert_eq!(path.segments().collect::<Vec<_>>(), ["skills", "my file.md"]);
    }
}
