//! The platform's time: microseconds since 1970, printed the way its database prints them.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// Microseconds since 1970, the resolution of the platform's database.
pub(crate) type Micros = i64;

/// Microseconds in a second.
pub(crate) const SECOND: Micros = 1_000_000;

/// The wall clock. The platform is another computer: it does not share the jumps of a daemon's clocks.
#[expect(clippy::disallowed_methods, reason = "the platform's one place")]
pub(crate) fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with 3 to 6 digits of a second: trailing zeros are cut, as the real platform does.
pub(crate) fn text(at: Micros) -> String {
    let instant = DateTime::from_timestamp_micros(at).unwrap_or_default();
    let mut text = instant.format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
    for _ in 0..3 {
        if text.ends_with('0') {
            text.pop();
        }
    }
    text.push('Z');
    text
}

/// Reads RFC 3339 with any offset; digits below a microsecond are dropped.
pub(crate) fn parse(text: &str) -> Option<Micros> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_to_six_digits_and_read_back_exactly() {
        for (micros, shown) in [
            (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
            (1_700_000_000_123_450, "2023-11-14T22:13:20.12345Z"),
            (1_700_000_000_120_000, "2023-11-14T22:13:20.120Z"),
            (1_700_000_000_000_000, "2023-11-14T22:13:20.000Z"),
        ] {
            assert_eq!(text(micros), shown);
            assert_eq!(parse(shown), Some(micros));
        }
        assert_eq!(parse("2023-11-15T00:13:20+02:00"), Some(1_700_000_000_000_000));
        assert_eq!(parse("yesterday"), None);
    }
}
