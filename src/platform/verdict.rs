//! What an answer outside 2xx means. Pure: headers and bytes in, one [`CallError`] out.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use std::time::Duration;

use super::error::{CallError, MAX_DETAIL, clip, seconds, wait_asked_for};
use crate::types::{Secret, Timestamp};

/// Most bytes of an error body that are read.
pub(super) const MAX_ERROR_BODY: usize = 64 * 1024;

/// What to check when something in front of the platform answered.
const WRONG_DOOR: &str =
    "not from the platform itself: check PLATFORM_URL, MOLECULE_ORG_ID on a hosted platform, and proxies in between";

/// Maps an answer that is not 2xx. `body` may be cut at [`MAX_ERROR_BODY`]; `token` is taken out of it first, because
/// some servers and proxies print the request they turned away.
pub(super) fn on(status: StatusCode, headers: &HeaderMap, body: &[u8], token: Option<&Secret>) -> CallError {
    let text = without(token, &String::from_utf8_lossy(body));
    let json: Option<Value> = serde_json::from_str(&text).ok();
    let reason = json.as_ref().and_then(|body| body.get("error")).and_then(Value::as_str);
    let code = status.as_u16();
    let detail = match reason {
        _ if status.is_redirection() => redirected(headers, token),
        Some(reason) if !reason.trim().is_empty() => clip(reason, MAX_DETAIL),
        _ => described(code, headers, &text),
    };
    let retry_after = asked_wait(headers).or_else(|| json.as_ref().and_then(wait_asked_for));
    let about_a_peer = |body: &Value| {
        ["busy", "waking", "restarting"]
            .iter()
            .any(|flag| body.get(*flag) == Some(&Value::Bool(true)))
    };
    match code {
        401 => CallError::Refused { status: code, detail },
        403 if is_from_the_platform(headers, &text) => CallError::Refused { status: code, detail },
        429 => CallError::Throttled {
            status: code,
            retry_after,
        },
        503 if retry_after.is_some() && !json.as_ref().is_some_and(about_a_peer) => CallError::Throttled {
            status: code,
            retry_after,
        },
        _ => CallError::Rejected {
            status: code,
            detail,
            body: json,
        },
    }
}

/// Whether a 403 can be the platform's own word: an empty one comes from its cross-origin layer and a page from an edge,
/// and neither has looked at the token.
fn is_from_the_platform(headers: &HeaderMap, text: &str) -> bool {
    !text.trim().is_empty() && !is_page(headers, text) && !text.contains("1010")
}

fn is_page(headers: &HeaderMap, text: &str) -> bool {
    let html = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    html || text.trim_start().starts_with('<')
}

/// Says what a 2xx body was instead of what the contract promises, without quoting it.
pub(super) fn malformed(expected: &str, body: &[u8]) -> CallError {
    let found = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "nothing".to_owned(),
        Some(b'<') => format!("a web page, {WRONG_DOOR}"),
        Some(_) => format!("{} bytes of something else", body.len()),
    };
    CallError::Malformed {
        detail: format!("expected {expected}, got {found}"),
    }
}

/// `text` with the token replaced. Very short tokens are not looked for: they would match by chance.
pub(super) fn without(token: Option<&Secret>, text: &str) -> String {
    match token {
        Some(token) if token.expose().len() >= 8 => text.replace(token.expose(), "(token)"),
        _ => text.to_owned(),
    }
}

fn redirected(headers: &HeaderMap, token: Option<&Secret>) -> String {
    let target = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let target = target.map(|target| format!(" to {}", without(token, target)));
    clip(
        &format!(
            "redirects are not followed, so that the token stays here; put the final address into PLATFORM_URL (redirected{})",
            target.unwrap_or_default()
        ),
        MAX_DETAIL,
    )
}

/// A body without the platform's `error` text.
fn described(status: u16, headers: &HeaderMap, text: &str) -> String {
    let detail = if status == 403 && text.contains("1010") {
        format!("the edge in front of the platform turned this program away (error 1010); {WRONG_DOOR}")
    } else if text.trim().is_empty() {
        match status {
            401 | 403 | 404 => format!("an empty answer, {WRONG_DOOR}"),
            _ => "no reason given".to_owned(),
        }
    } else if is_page(headers, text) {
        let title = between(text, "<title>", "</title>").map_or_else(String::new, |title| format!(" \"{title}\""));
        format!("a web page{title}, {WRONG_DOOR}")
    } else {
        text.to_owned()
    };
    clip(&detail, MAX_DETAIL)
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    let (inner, _) = rest.split_once(end)?;
    Some(inner.trim())
}

/// `Retry-After` in seconds or as a date, measured by the answer's own clock; at most 10 minutes.
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(asked) = value.parse::<f64>() {
        return seconds(asked);
    }
    let then = Timestamp::parse_http_date(value)?;
    let now = date(headers).unwrap_or_else(Timestamp::now);
    seconds(now.until(then).as_secs_f64())
}

/// The `Date` of an answer.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse_http_date(headers.get(DATE)?.to_str().ok()?)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn verdict(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> CallError {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        on(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), None)
    }

    #[test]
    fn statuses_and_bodies_map_to_what_a_caller_would_do() {
        let html = &[("content-type", "text/html; charset=utf-8")][..];
        let wait = &[("retry-after", "15")][..];
        for (status, headers, body, kind, part) in [
            (400, &[][..], r#"{"error":"invalid JSON"}"#, "Rejected", "invalid JSON"),
            (
                401,
                &[],
                r#"{"error":"invalid workspace auth token"}"#,
                "Refused",
                "invalid workspace",
            ),
            (401, &[], "", "Refused", "empty answer"),
            (401, html, "<html></html>", "Refused", "a web page"),
            (403, &[], r#"{"error":"access denied"}"#, "Refused", "access denied"),
            (403, &[], "", "Rejected", "an empty answer"),
            (403, html, "<html>error code: 1010</html>", "Rejected", "error 1010"),
            (403, &[], "Forbidden", "Refused", "Forbidden"),
            (403, &[], r#"{"detail":"no"}"#, "Refused", "no"),
            (404, &[], "404 page not found", "Rejected", "404 page not found"),
            (404, &[], "", "Rejected", "PLATFORM_URL"),
            (
                404,
                html,
                "<!doctype html><title> Canvas </title>",
                "Rejected",
                "\"Canvas\"",
            ),
            (
                410,
                &[],
                r#"{"error":"workspace removed","id":"x"}"#,
                "Rejected",
                "workspace removed",
            ),
            (500, &[], "", "Rejected", "no reason given"),
            (500, &[], r#"{"error":{"code":5}}"#, "Rejected", r#"{"code":5}"#),
            (429, &[], "", "Throttled", "429"),
            (
                503,
                &[],
                r#"{"error":"platform_unavailable"}"#,
                "Rejected",
                "platform_unavailable",
            ),
            (503, wait, "", "Throttled", "503"),
            (
                503,
                wait,
                r#"{"error":"busy","busy":true,"retry_after":30}"#,
                "Rejected",
                "busy",
            ),
            (503, wait, r#"{"error":"x","restarting":true}"#, "Rejected", "x"),
            (
                503,
                &[],
                r#"{"error":"token check","retry_after":3}"#,
                "Throttled",
                "503",
            ),
        ] {
            let error = verdict(status, headers, body);
            assert!(format!("{error:?}").starts_with(kind), "{status} {body:?}: {error:?}");
            assert!(error.to_string().contains(part), "{status} {body:?}: {error}");
            assert_eq!(error.status(), Some(status));
        }
    }

    #[test]
    fn a_requested_wait_is_read_from_every_form_and_bounded() {
        for (header, body, expected) in [
            (Some("7"), "", Some(7.0)),
            (Some(" 1.5 "), "", Some(1.5)),
            (Some("0"), "", Some(0.0)),
            (Some("86400"), "", Some(600.0)),
            (Some("Fri, 01 May 2026 10:00:30 GMT"), "", Some(30.0)),
            (Some("Fri, 01 May 2026 09:00:00 GMT"), "", Some(0.0)),
            (Some("soon"), r#"{"retry_after":58}"#, Some(58.0)),
            (Some("-5"), r#"{"retry_after":4}"#, Some(4.0)),
            (Some("NaN"), "", None),
            (None, r#"{"retry_after":0}"#, Some(0.0)),
            (None, r#"{"retry_after":"x"}"#, None),
            (None, "<html>", None),
        ] {
            let mut headers = vec![("date", "Fri, 01 May 2026 10:00:00 GMT")];
            headers.extend(header.map(|value| ("retry-after", value)));
            let waited = verdict(429, &headers, body)
                .retry_after()
                .map(|wait| wait.as_secs_f64());
            assert_eq!(waited, expected, "{header:?} {body:?}");
        }
    }

    #[test]
    fn a_rejection_keeps_its_json_body_and_a_long_text_is_cut() {
        let CallError::Rejected { body, .. } = verdict(409, &[], r#"{"error":"e","children":[1]}"#) else {
            panic!("not rejected");
        };
        assert_eq!(body.unwrap()["children"][0], 1);
        let CallError::Rejected { detail, body, .. } = verdict(500, &[], &"z\n".repeat(5000)) else {
            panic!("not rejected");
        };
        assert_eq!(detail.chars().count(), MAX_DETAIL);
        assert!(body.is_none());
    }

    #[test]
    fn a_redirect_names_its_target_and_the_remedy() {
        let error = verdict(308, &[("location", "https://x.example/")], "");
        for part in ["not followed", "https://x.example/", "PLATFORM_URL", "308"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn a_token_that_the_server_prints_is_taken_out_of_text_and_body() {
        let token = Secret::parse("tok-0123456789").unwrap();
        let body = br#"{"error":"bad tok-0123456789","headers":{"authorization":"Bearer tok-0123456789"}}"#;
        for status in [400, 401, 403] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = on(status, &HeaderMap::new(), body, Some(&token));
            assert!(!format!("{error} {error:?}").contains("0123456789"), "{error:?}");
        }
    }
}
