//! The cross-origin layer, which acts on every caller that sends `Origin`, not only on browsers.

use axum::http::{HeaderMap, Method};

use super::call::{Answer, header_text};

const ALLOWED: [&str; 2] = ["http://localhost:3000", "http://localhost:3001"];

/// What the layer says about a request.
pub(crate) enum Verdict {
    /// No `Origin`, or the platform's own: the layer does nothing.
    Silent,
    /// An allowed foreign origin; the answer must carry these headers.
    Allowed([(&'static str, String); 3]),
    /// Answered here, before any handler.
    Answered(Answer),
}

/// Judges `Origin`: scheme plus exactly the `Host` value is same-origin under either scheme; a path or a trailing
/// slash makes it foreign; foreign values outside the allowed list get 403 with an empty body.
///
/// A `Host` that is no loopback name is refused as well, which the real platform does not do: this one trusts whoever
/// reaches it as the person, and a web page could reach it under a name of its own (DNS rebinding).
pub(crate) fn judge(method: &Method, headers: &HeaderMap) -> Verdict {
    if !header_text(headers, "host").is_some_and(is_loopback) {
        return Verdict::Answered(Answer::empty(403));
    }
    let Some(origin) = header_text(headers, "origin") else {
        return Verdict::Silent;
    };
    let host = header_text(headers, "host").unwrap_or_default();
    if [format!("http://{host}"), format!("https://{host}")]
        .iter()
        .any(|own| own == origin)
    {
        return Verdict::Silent;
    }
    if !ALLOWED.contains(&origin) {
        return Verdict::Answered(Answer::empty(403));
    }
    let allowed = [
        ("access-control-allow-origin", origin.to_owned()),
        ("access-control-allow-credentials", "true".to_owned()),
        ("vary", "Origin".to_owned()),
    ];
    if method == Method::OPTIONS {
        let preflight = allowed
            .into_iter()
            .fold(Answer::empty(204), |answer, (name, value)| answer.with(name, value));
        return Verdict::Answered(
            preflight
                .with("access-control-allow-methods", "GET,POST,PUT,PATCH,DELETE,OPTIONS")
                .with(
                    "access-control-allow-headers",
                    "Origin,Content-Type,X-Workspace-ID,Authorization",
                ),
        );
    }
    Verdict::Allowed(allowed)
}

/// Whether a `Host` is a name of this computer.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_loopback_names_reach_it() {
        for (host, passes) in [
            ("127.0.0.1:80", true),
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("[::1]:80", true),
            ("evil.example:80", false),
            ("192.168.0.1", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static(host));
            let refused = matches!(judge(&Method::GET, &headers), Verdict::Answered(_));
            assert_eq!(refused, !passes, "{host}");
        }
    }

    #[test]
    fn only_the_exact_own_origin_and_the_listed_ones_pass() {
        for (origin, status) in [
            (None, None),
            (Some("http://127.0.0.1:80"), None),
            (Some("https://127.0.0.1:80"), None),
            (Some("http://127.0.0.1:80/"), Some(403)),
            (Some("http://elsewhere.test"), Some(403)),
            (Some("http://localhost:3000"), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("127.0.0.1:80"));
            if let Some(origin) = origin {
                headers.insert("origin", HeaderValue::from_static(origin));
            }
            let answered = match judge(&Method::GET, &headers) {
                Verdict::Answered(answer) => Some(answer.status),
                Verdict::Silent | Verdict::Allowed(_) => None,
            };
            assert_eq!(answered, status, "{origin:?}");
        }
    }
}
