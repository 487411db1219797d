//! One request as a handler sees it, and the answer it gives.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::site::Site;

/// A request that found its route.
pub(crate) struct Call {
    pub(crate) site: Arc<Site>,
    /// `:id` of the path, in lower case; empty on routes without one.
    pub(crate) id: String,
    /// Whether `:id` was written so.
    pub(crate) id_is_lower_case: bool,
    /// The second parameter of the path, unescaped, or empty.
    pub(crate) second: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a handler returns; both sides are sent alike, so that `?` can end a handler early.
pub(crate) type Outcome = Result<Answer, Answer>;

impl Call {
    /// The value of one header, trimmed; `None` when absent, empty or not text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header_text(&self.headers, name)
    }

    /// The bearer token. Only the exact prefix `Bearer ` counts.
    pub(crate) fn bearer(&self) -> Option<&str> {
        bearer(&self.headers)
    }

    /// The first value of a query parameter; an empty value counts as absent.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The body as `T`, else 400 with `refusal`. The content type does not matter.
    pub(crate) fn json<T: DeserializeOwned>(&self, refusal: &str) -> Result<T, Answer> {
        serde_json::from_str(&json_text(&self.body)).map_err(|_| Answer::error(400, refusal))
    }
}

/// See [`Call::header`].
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|text| !text.is_empty())
}

/// See [`Call::bearer`].
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    header_text(headers, "authorization")?
        .strip_prefix("Bearer ")
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// An id in the one form the database knows, or `None` when it is not a UUID.
pub(crate) fn uuid(text: &str) -> Option<String> {
    Uuid::parse_str(text.trim()).ok().map(|id| id.to_string())
}

/// A status, headers and a body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) payload: Payload,
}

/// The body of an [`Answer`].
pub(crate) enum Payload {
    Empty,
    Text(String),
    /// Serialised JSON.
    Json(Vec<u8>),
    /// Anything else, of the type that the headers tell.
    Bytes(Vec<u8>),
    /// A body that is written while it is sent.
    Stream(Body),
}

impl Answer {
    /// `body` as JSON.
    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        let text = serde_json::to_vec(body).expect("maps with text keys serialise");
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Json(text),
        }
    }

    /// 200 with `body`.
    pub(crate) fn ok(body: &impl Serialize) -> Self {
        Self::json(200, body)
    }

    /// `{"error": text}`.
    pub(crate) fn error(status: u16, text: &str) -> Self {
        Self::json(status, &json!({ "error": text }))
    }

    /// No body at all, as the edge, CORS and a crashed handler answer.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Empty,
        }
    }

    /// The answer of a path without a handler.
    pub(crate) fn no_route() -> Self {
        Self {
            status: 404,
            headers: Vec::new(),
            payload: Payload::Text("404 page not found".to_owned()),
        }
    }

    /// The same answer with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// The body as JSON, or null.
    pub(crate) fn value(&self) -> Value {
        match &self.payload {
            Payload::Json(text) => serde_json::from_slice(text).unwrap_or_default(),
            _ => Value::Null,
        }
    }

    /// As the server library wants it. A header that cannot be written is left out.
    pub(crate) fn into_response(self) -> Response {
        let (kind, body) = match self.payload {
            Payload::Empty => (None, Body::empty()),
            Payload::Text(text) => (Some("text/plain"), Body::from(text)),
            Payload::Json(text) => (Some("application/json; charset=utf-8"), Body::from(text)),
            Payload::Bytes(bytes) => (None, Body::from(bytes)),
            Payload::Stream(body) => (None, body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if let Some(kind) = kind {
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), HeaderValue::from_str(&value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl From<rusqlite::Error> for Answer {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "the embedded platform's store failed");
        Self::error(500, "query failed")
    }
}

/// A request body as JSON text: bytes that are not UTF-8 and lone surrogates become U+FFFD, as the platform's decoder
/// does, instead of failing.
pub(crate) fn json_text(body: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(body);
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(_), _) => {
                mended.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    mended.push_str(rest);
    Cow::Owned(mended)
}

/// The surrogate code that `text` begins with as an escape.
fn surrogate(text: &str) -> Option<u16> {
    let code = u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()?;
    (0xd800..=0xdfff).contains(&code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_replacement_characters_and_pairs_survive() {
        for (sent, read) in [
            (r#""a\ud800b""#, "a\u{fffd}b"),
            (r#""\udc00""#, "\u{fffd}"),
            (r#""\ud83d\ude00""#, "\u{1f600}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\\ud800""#, "\\ud800"),
            (r#""\n\uD800\t""#, "\n\u{fffd}\t"),
        ] {
            assert_eq!(
                serde_json::from_str::<String>(&json_text(sent.as_bytes())).unwrap(),
                read,
                "{sent}"
            );
        }
    }

    #[test]
    fn only_the_exact_bearer_prefix_counts() {
        for (sent, read) in [
            ("Bearer abc", Some("abc")),
            ("Bearer  abc ", Some("abc")),
            ("bearer abc", None),
            ("Bearer ", None),
            ("abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_static(sent));
            assert_eq!(bearer(&headers), read, "{sent}");
        }
    }

    #[test]
    fn ids_are_lower_cased_and_must_be_uuids() {
        let id = "0A1B2C3D-0000-4000-8000-00000000000F";
        assert_eq!(uuid(id), Some(id.to_lowercase()));
        assert_eq!(uuid("alpha"), None);
    }
}
