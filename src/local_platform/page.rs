//! The page of the platform in a browser: its files, and what only it may ask, all below `/_page/`.
//!
//! The page acts as the person in front of this computer, so that everything but its files wants the session token, which
//! [`super::LocalPlatform::page_url`] tells behind a `#` and nobody else. Browsers do not send what stands there; the page
//! keeps the token in the tab's session storage and sends it as a bearer. A cookie would be weaker here: cookies do not
//! tell ports apart, so that every other service on this computer would be sent it, and could have it sent.
//!
//! * `GET board`: every workspace, removed ones too, and what this platform can do.
//! * `GET events`: what changes, as an event stream over all workspaces.
//! * `GET rows`: activity of all workspaces, newest first, bodies cut; `about`, `sort`, `holding`, `before`, `limit`.
//!   `GET rows/N`: one of them whole.
//! * `GET outfit/ID`, `PUT outfit/ID` with `{"token"}`: how programs on this computer join a workspace; see [`Outfit`].
//! * `POST resume/ID`: lifts a pause, which the platform's own route only does for workspaces that it runs itself.
//! * `platform/...`: any route of the platform with the admin's credential.
//!
//! These are below `/_page/api/`. None of it counts towards a limit, meets a fault, or appears in a log.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::Uri;
use axum::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;

use super::call::{Answer, bearer, header_text};
use super::pipeline::{self, LARGEST_BODY};
use super::site::Site;
use super::{credentials, origin};

pub use outfit::{Configuration, Outfit, Outfitted};

mod api;
mod files;
mod live;
mod outfit;
mod rows;

/// Where everything of the page is.
const PREFIX: &str = "/_page";

/// Nothing comes from elsewhere, nothing is inline, and no text becomes markup (trusted types).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// On every answer below the prefix.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// The session of the page: as long as the platform runs.
pub(crate) struct Session {
    token: String,
}

impl Session {
    pub(crate) fn new() -> Self {
        Self {
            token: credentials::fresh(),
        }
    }

    /// The address of the page, below `platform`.
    pub(crate) fn url(&self, platform: &str) -> String {
        format!("{platform}{PREFIX}/#token={}", self.token)
    }

    fn opens(&self, token: &str) -> bool {
        // Digests, so that the time it takes tells nothing of the token.
        credentials::digest(token) == credentials::digest(&self.token)
    }
}

/// The part of a path below the prefix, if it is.
pub(crate) fn below(path: &str) -> Option<&str> {
    path.strip_prefix(PREFIX)
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request below the prefix.
pub(crate) async fn serve(site: &Arc<Site>, parts: Parts, body: Body) -> Response {
    let path = below(parts.uri.path()).unwrap_or_default().to_owned();
    let answer = match (is_stranger(&parts), path.strip_prefix("/api/")) {
        (true, _) => Answer::empty(403),
        (false, Some(path)) => asked(site, parts, path, body).await,
        (false, None) => files::find(&parts.method, &path),
    };
    HEADERS
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.with(name, value))
        .into_response()
}

/// Whether a request comes from another origin, or under a name that is not this computer's. Older browsers tell only by
/// `Origin`, and not on every request; the token is what counts then.
fn is_stranger(parts: &Parts) -> bool {
    let headers = &parts.headers;
    let foreign = |name: &str, own: &[&str]| header_text(headers, name).is_some_and(|value| !own.contains(&value));
    let host = header_text(headers, "host").unwrap_or_default();
    !origin::is_loopback(host)
        || foreign("origin", &[&format!("http://{host}")])
        // A link on another page may lead here; it gets the files, without a token.
        || (foreign("sec-fetch-site", &["same-origin", "none"]) && header_text(headers, "sec-fetch-mode") != Some("navigate"))
}

async fn asked(site: &Arc<Site>, parts: Parts, path: &str, body: Body) -> Answer {
    if !bearer(&parts.headers).is_some_and(|token| site.session.opens(token)) {
        return Answer::error(
            401,
            "this page's session is over: open the address that the platform printed",
        );
    }
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return Answer::error(413, "the request is too large");
    };
    match path.strip_prefix("platform/") {
        Some(path) => on_behalf(site, parts, path, body).await,
        None => api::answer(site, &parts, path, &body),
    }
}

/// Passes a request on as the admin's, who at every level is the person.
async fn on_behalf(site: &Arc<Site>, mut parts: Parts, path: &str, body: Bytes) -> Answer {
    let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let (Ok(uri), Ok(credential)) = (
        format!("/{path}{query}").parse::<Uri>(),
        HeaderValue::from_str(&format!("Bearer {}", site.admin_token)),
    ) else {
        return Answer::error(400, "the admin token or the path cannot be sent");
    };
    parts.uri = uri;
    parts.headers.insert(AUTHORIZATION, credential);
    parts.headers.remove(HeaderName::from_static("x-workspace-id"));
    pipeline::unhindered(site, &parts, body).await
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Method};

    use super::*;

    fn parts(headers: &[(&'static str, &'static str)]) -> Parts {
        let mut parts = axum::http::Request::new(()).into_parts().0;
        parts.headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect::<HeaderMap>();
        parts.method = Method::GET;
        parts
    }

    #[test]
    fn other_origins_and_names_are_strangers() {
        let own = ("host", "127.0.0.1:80");
        for (headers, stranger) in [
            (vec![own], false),
            (vec![own, ("origin", "http://127.0.0.1:80")], false),
            (vec![own, ("origin", "http://127.0.0.1:81")], true),
            (vec![own, ("origin", "http://localhost:3000")], true),
            (vec![own, ("origin", "null")], true),
            (vec![own, ("sec-fetch-site", "same-origin")], false),
            (vec![own, ("sec-fetch-site", "same-site")], true),
            (vec![own, ("sec-fetch-site", "cross-site")], true),
            (
                vec![own, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
                false,
            ),
            (vec![("host", "evil.test")], true),
            (vec![], true),
        ] {
            assert_eq!(is_stranger(&parts(&headers)), stranger, "{headers:?}");
        }
    }

    #[test]
    fn only_its_own_token_opens_a_session() {
        let session = Session::new();
        let url = session.url("http://127.0.0.1:1");
        let token = url.strip_prefix("http://127.0.0.1:1/_page/#token=").unwrap();
        assert!(session.opens(token));
        assert!(!session.opens("") && !Session::new().opens(token));
    }
}
