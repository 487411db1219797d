//! The values everything else is built from, each parsed once at the edge of the program.
//!
//! Nothing here knows about files, HTTP or MCP. A value of one of these types needs no second check.

use std::fmt;

use chrono::{DateTime, Datelike as _, SecondsFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

mod label;
mod partner;
mod secret;

pub use label::{is_plain_url, label};
pub use partner::Partner;
pub use secret::{Secret, without_secrets};

/// Why a value from outside was refused. The text names the rule and never echoes the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

/// Names one workspace: 1 to 128 lower-case letters, digits and hyphens, starting with a letter or digit.
///
/// The platform only knows UUIDs; an upper-case UUID is lower-cased, because the platform stores ids in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkspaceId(String);

impl WorkspaceId {
    const RULE: &'static str =
        "must be 1 to 128 lower-case letters, digits or hyphens and start with a letter or digit";

    /// Parses an id; a UUID may be written in upper case.
    ///
    /// # Errors
    /// When the value breaks the rule above.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        let value = value.trim();
        if let Some(uuid) = as_uuid(value) {
            return Ok(Self(uuid));
        }
        let mut bytes = value.bytes();
        let starts_well = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let goes_on_well = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if starts_well && goes_on_well && value.len() <= 128 {
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

    /// Whether the platform can know this id.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        as_uuid(&self.0).is_some()
    }

    /// The first eight characters, as used in default names and in the file names of the Python daemon.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(8)]
    }
}

/// Names another workspace in a tool's argument: always a UUID, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId(String);

impl PeerId {
    const RULE: &'static str = "must be the UUID of a workspace, as list_peers shows it";

    /// Parses the UUID of a workspace.
    ///
    /// # Errors
    /// When the value is not a hyphenated UUID.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        as_uuid(value.trim()).map(Self).ok_or(Refused(Self::RULE))
    }

    /// The id as text, safe as one path segment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names one row of a workspace's activity log: the key of a message and the value of the cursor.
///
/// 1 to 128 visible ASCII characters; the platform uses UUIDs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ActivityId(String);

impl ActivityId {
    const RULE: &'static str =
        "must be an activity id of 1 to 128 visible ASCII characters, as the inbox tools return it";

    /// Parses an id.
    ///
    /// # Errors
    /// When the value is empty, too long, or holds white space, control or non-ASCII characters.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        let value = value.trim();
        if (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(value.to_owned()))
        } else {
            Err(Refused(Self::RULE))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can be sent as `since_id`: the platform answers 500 to a cursor that is not a UUID.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        as_uuid(&self.0).is_some()
    }
}

/// Names a request on the platform: always a UUID, kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    const RULE: &'static str = "must be the UUID of a request, as list_inbox and check_requests show it";

    /// Parses the UUID of a request.
    ///
    /// # Errors
    /// When the value is not a hyphenated UUID.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        as_uuid(value.trim()).map(Self).ok_or(Refused(Self::RULE))
    }

    /// The id as text, safe as one path segment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The lower-case hyphenated form of `value` if it is a hyphenated UUID.
fn as_uuid(value: &str) -> Option<String> {
    let well_formed = value.len() == 36
        && value.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    well_formed.then(|| value.to_ascii_lowercase())
}

/// Conversions and display that every textual id has.
macro_rules! textual_id {
    ($name:ident, $description:literal) => {
        impl TryFrom<String> for $name {
            type Error = Refused;
            fn try_from(value: String) -> Result<Self, Refused> {
                Self::parse(&value)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}
mod names;
pub use names::{FilePath, KeyName, ResourceId, Slug};

textual_id!(WorkspaceId, "Id of a workspace.");
textual_id!(PeerId, "UUID of a workspace.");
textual_id!(ActivityId, "Id of a message.");
textual_id!(RequestId, "UUID of a request.");

/// Whether plain HTTP is allowed beyond this computer and private networks (`MOLECULE_ALLOW_INSECURE=1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// Only to loopback, private addresses and single-label host names.
    Nearby,
    /// Everywhere.
    Anywhere,
}

/// The address of a platform: scheme, host, optional port and path prefix; no credentials, query, fragment or trailing slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Parses an address and applies the plain-HTTP rule.
    ///
    /// # Errors
    /// When it is no absolute http(s) URL, carries credentials, a query or a fragment, or is plain HTTP to a public host.
    pub fn parse(value: &str, plain: PlainHttp) -> Result<Self, Refused> {
        let trimmed = value.trim().trim_end_matches('/');
        let url =
            Url::parse(trimmed).map_err(|_| Refused("must be an absolute URL such as https://tenant.example.com"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(Refused("must start with https:// or http:// and name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused(
                "must not carry a user name or password; the token has its own setting",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Refused("must not carry a query or fragment"));
        }
        let base = Self(url);
        if base.0.scheme() == "http" && plain == PlainHttp::Nearby && base.distance() == Distance::Public {
            return Err(Refused(
                "uses plain http:// to a public host, which would show the token to the network; use https:// or set MOLECULE_ALLOW_INSECURE=1",
            ));
        }
        Ok(base)
    }

    /// Whether the token crosses a network in clear text: plain HTTP to anything but loopback.
    #[must_use]
    pub fn is_clear_text(&self) -> bool {
        self.0.scheme() == "http" && self.distance() != Distance::Loopback
    }

    /// Whether the platform runs on this computer.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.distance() == Distance::Loopback
    }

    /// Scheme, host and port without a trailing slash: the only form of `Origin` that the platform accepts.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The parsed address.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    fn distance(&self) -> Distance {
        match self.0.host() {
            Some(url::Host::Ipv4(ip)) if ip.is_loopback() => Distance::Loopback,
            Some(url::Host::Ipv4(ip)) if ip.is_private() || ip.is_link_local() => Distance::Private,
            Some(url::Host::Ipv6(ip)) if ip.is_loopback() => Distance::Loopback,
            Some(url::Host::Ipv6(ip)) if ip.is_unique_local() || ip.is_unicast_link_local() => Distance::Private,
            Some(url::Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost") => Distance::Loopback,
            Some(url::Host::Domain(name)) if !name.contains('.') => Distance::Private,
            _ => Distance::Public,
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// How far away a host is, as far as its address tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Distance {
    Loopback,
    Private,
    Public,
}

/// An instant in microseconds since 1970 (UTC): what the platform's 3- to 9-digit RFC 3339 times are compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Parses an RFC 3339 time; digits beyond microseconds are cut. One that its offset, or its leap second, leads out of the
    /// years 0 to 9999 is none: it could not be written again.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let micros = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
        let year = DateTime::from_timestamp_micros(micros)?.year();
        (0..=9999).contains(&year).then_some(Self(micros))
    }

    /// Parses the value of an HTTP `Date` header (whole seconds).
    #[must_use]
    pub fn parse_http_date(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc2822(text)
            .ok()
            .map(|time| Self(time.timestamp_micros()))
    }

    /// RFC 3339 in UTC with six digits, as the platform accepts it in `before_ts`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        DateTime::from_timestamp_micros(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// How long before `later` this is; zero when it is not before.
    #[must_use]
    pub fn until(self, later: Self) -> std::time::Duration {
        std::time::Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// This instant moved by `micros` microseconds (negative: earlier).
    #[must_use]
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_ids_follow_the_contract() {
        for good in ["a", "0-x", "5f0c1d2e-0000-4000-8000-000000000001"] {
            assert_eq!(WorkspaceId::parse(good).unwrap().as_str(), good);
        }
        let upper = WorkspaceId::parse(" 5F0C1D2E-0000-4000-8000-00000000000A ").unwrap();
        assert_eq!(upper.as_str(), "5f0c1d2e-0000-4000-8000-00000000000a");
        assert!(upper.is_uuid());
        for bad in ["", "-a", "Ab", "a/b", "..", ".", "a b", &"a".repeat(129)] {
            assert!(WorkspaceId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_never_shows_in_debug_and_is_one_token() {
        let secret = Secret::parse(" tok-123\n").unwrap();
        assert_eq!(secret.expose(), "tok-123");
        assert!(!format!("{secret:?}").contains("tok"));
        for bad in ["", "  ", "a b", "a\nb", "tök", "a\u{0}b"] {
            assert!(Secret::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn plain_http_is_for_nearby_hosts_only() {
        for near in [
            "http://127.0.0.1:8080/",
            "http://localhost",
            "http://[::1]:1",
            "http://10.0.0.1",
            "http://platform:8080",
        ] {
            assert!(BaseUrl::parse(near, PlainHttp::Nearby).is_ok(), "{near}");
        }
        assert!(BaseUrl::parse("http://example.com", PlainHttp::Nearby).is_err());
        assert!(BaseUrl::parse("http://example.com", PlainHttp::Anywhere).is_ok());
        assert!(
            BaseUrl::parse("http://10.0.0.1", PlainHttp::Nearby)
                .unwrap()
                .is_clear_text()
        );
        for bad in [
            "",
            "example.com",
            "ftp://x",
            "https://u:p@x.example",
            "https://x.example/?q=1",
            "https://",
        ] {
            assert!(BaseUrl::parse(bad, PlainHttp::Anywhere).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_origin_has_no_trailing_slash_or_path() {
        let base = BaseUrl::parse("https://tenant.example.com/base/", PlainHttp::Nearby).unwrap();
        assert_eq!(base.origin(), "https://tenant.example.com");
        assert_eq!(base.to_string(), "https://tenant.example.com/base");
    }

    #[test]
    fn a_time_that_cannot_be_written_again_is_none() {
        for text in [
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:60Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for text in ["0000-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"] {
            assert_eq!(Timestamp::parse(text).unwrap().to_rfc3339(), text);
        }
    }

    #[test]
    fn times_with_three_to_nine_digits_compare_as_instants() {
        let short = Timestamp::parse("2026-05-01T10:00:00.5Z").unwrap();
        assert_eq!(short, Timestamp::parse("2026-05-01T12:00:00.500000+02:00").unwrap());
        assert!(short < Timestamp::parse("2026-05-01T10:00:00.500001Z").unwrap());
        assert_eq!(short.plus_micros(1).to_rfc3339(), "2026-05-01T10:00:00.500001Z");
        assert_eq!(
            Timestamp::parse_http_date("Fri, 01 May 2026 10:00:00 GMT"),
            Timestamp::parse("2026-05-01T10:00:00Z")
        );
    }
}
