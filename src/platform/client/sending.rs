//! Bytes out and in: headers and bodies made safe, answers bounded.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::HeaderValue;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{CallError, MAX_BODY};

/// A header value, or which setting cannot be one. The value itself is not repeated.
pub(super) fn header(setting: &str, value: &str) -> Result<HeaderValue, CallError> {
    HeaderValue::from_str(value)
        .map_err(|_| CallError::NotSent(format!("{setting} holds characters that cannot be sent in a header")))
}

/// The bytes of a JSON body, without U+0000: the platform answers 200 to a text that holds it and stores nothing.
pub(super) fn encode(body: &Value) -> Result<Vec<u8>, CallError> {
    let unencodable = |_| CallError::NotSent("the request could not be written as JSON".to_owned());
    let mut bytes = serde_json::to_vec(body).map_err(unencodable)?;
    // Also true for a text that spells the escape out; cleaning then changes nothing.
    if bytes.windows(6).any(|window| window == br"\u0000") {
        let mut cleaned = body.clone();
        replace_nul(&mut cleaned);
        bytes = serde_json::to_vec(&cleaned).map_err(unencodable)?;
    }
    if bytes.len() > MAX_BODY {
        return Err(CallError::NotSent(format!(
            "the request is {} bytes long and the platform takes {MAX_BODY}; nothing was sent. Shorten the text, split \
             it into several messages, or put it into a file and send where it is",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// Replaces U+0000 by U+FFFD in every string and key.
fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.contains('\0') {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, mut value)| {
                    replace_nul(&mut value);
                    (key.replace('\0', "\u{fffd}"), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a body must bring within a silence to count as still coming. The slowest line on which the largest rows arrive in
/// time is a hundred times as fast.
const SIGN_OF_LIFE: usize = 4096;

/// The whole body, or an error as soon as it is known to be longer than `limit`, or when next to nothing comes for as long
/// as `silence`.
pub(super) async fn whole_body(mut response: Response, limit: usize, silence: Duration) -> Result<Vec<u8>, CallError> {
    let announced = response
        .content_length()
        .map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced > limit {
        return Err(CallError::TooLarge { limit });
    }
    // An announced length is a claim: it is believed only so far before the bytes are there.
    let mut body = Vec::with_capacity(announced.min(1024 * 1024));
    let mut heard = 0;
    let mut patience = Instant::now() + silence;
    loop {
        let chunk = match timeout_at(patience, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| CallError::transport(&error))?,
            Err(_) => {
                return Err(CallError::Interrupted {
                    detail: format!(
                        "less than {SIGN_OF_LIFE} bytes within {} s",
                        silence.as_secs_f64().floor()
                    ),
                });
            }
        };
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > limit {
            return Err(CallError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
        if body.len() - heard >= SIGN_OF_LIFE {
            heard = body.len();
            patience = Instant::now() + silence;
        }
    }
}

/// As much of an error's body as comes, up to `limit`: the status already says the main thing.
pub(super) async fn start_of_body(mut response: Response, limit: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == limit {
            break;
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_is_replaced_at_every_depth_and_nothing_else_changes() {
        let sent: Value = serde_json::from_slice(
            &encode(&json!({ "a\0": ["x\0y", { "k": "\0" }], "n": 1, "t": "\\u0000", "e": "é" })).unwrap(),
        )
        .unwrap();
        assert_eq!(
            sent,
            json!({ "a\u{fffd}": ["x\u{fffd}y", { "k": "\u{fffd}" }], "n": 1, "t": "\\u0000", "e": "é" })
        );
    }

    #[test]
    fn a_body_is_refused_from_one_byte_over_the_limit() {
        let quotes = 2;
        assert!(encode(&json!("x".repeat(MAX_BODY - quotes))).is_ok());
        let refused = encode(&json!("x".repeat(MAX_BODY - quotes + 1))).unwrap_err();
        assert!(matches!(refused, CallError::NotSent(_)));
        for part in ["1000001 bytes", "1000000", "split"] {
            assert!(refused.to_string().contains(part), "{refused}");
        }
    }
}
