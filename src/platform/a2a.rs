//! What a 2xx answer to an `/a2a` message means.

use serde_json::Value;

use super::error::{MAX_DETAIL, clip};
use super::wire::A2aAnswer;

/// A reply text that starts so tells of a failure of the peer's agent.
const AGENT_FAILED: &str = "Agent error:";

/// Longest excerpt of an answer that is none of the known kinds.
const MAX_EXCERPT: usize = 200;

/// Tells the kinds of answers apart, in the order the contract gives. A peer's text is passed on whole.
pub(super) fn classify(text: &str) -> A2aAnswer {
    match serde_json::from_str(text) {
        Ok(answer @ Value::Object(_)) => meaning(&answer),
        _ => unclear(text),
    }
}

/// The same for an answer that was read as JSON already.
#[must_use]
pub fn meaning(answer: &Value) -> A2aAnswer {
    let queued_busy = || A2aAnswer::QueuedBusy {
        queue_id: answer.get("queue_id").and_then(Value::as_str).map(str::to_owned),
    };
    if answer.get("queued") == Some(&Value::Bool(true)) {
        return queued_busy();
    }
    if answer.get("status").and_then(Value::as_str) == Some("queued") {
        return match answer.get("delivery_mode").and_then(Value::as_str) {
            Some("push-async") => queued_busy(),
            _ => A2aAnswer::QueuedForPoll,
        };
    }
    let error = answer.get("error").filter(|error| !error.is_null());
    match (answer.get("result"), error) {
        (Some(result), None) => answered(result),
        (Some(result), Some(_)) if !result.is_null() => answered(result),
        (_, Some(error)) => A2aAnswer::Failed { detail: reason(error) },
        (None, None) => unclear(&answer.to_string()),
    }
}

fn unclear(text: &str) -> A2aAnswer {
    A2aAnswer::Unclear {
        detail: if text.trim().is_empty() {
            "an empty answer".to_owned()
        } else {
            clip(text, MAX_EXCERPT)
        },
    }
}

fn answered(result: &Value) -> A2aAnswer {
    let text = text_of(result);
    let state = result.pointer("/status/state").and_then(Value::as_str);
    match state {
        Some(state @ ("failed" | "rejected" | "canceled")) => A2aAnswer::Failed {
            detail: if text.is_empty() {
                format!("the peer's task is {state}")
            } else {
                text
            },
        },
        _ if text.starts_with(AGENT_FAILED) => A2aAnswer::Failed { detail: text },
        _ => A2aAnswer::Answered { text },
    }
}

/// The message of a JSON-RPC error object, or the error itself.
fn reason(error: &Value) -> String {
    let message = error.get("message").unwrap_or(error);
    match message.as_str() {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => clip(&error.to_string(), MAX_DETAIL),
    }
}

/// The text of a result: a message's parts, else those of a task's artifacts, else those of its status message.
fn text_of(result: &Value) -> String {
    if let Some(text) = result.as_str() {
        return text.to_owned();
    }
    let artifacts = || {
        let all = result.get("artifacts")?.as_array()?;
        Some(
            all.iter()
                .map(|artifact| text_of_parts(artifact.get("parts")))
                .collect(),
        )
    };
    [
        text_of_parts(result.get("parts")),
        text_of_parts(result.pointer("/message/parts")),
        artifacts().unwrap_or_default(),
        text_of_parts(result.pointer("/status/message/parts")),
    ]
    .into_iter()
    .find(|text: &String| !text.is_empty())
    .unwrap_or_default()
}

/// All text parts joined; `kind` and `type` are the two names of the tag.
fn text_of_parts(parts: Option<&Value>) -> String {
    let is_text = |part: &&Value| {
        ["kind", "type"]
            .iter()
            .any(|tag| part.get(tag).is_some_and(|tag| tag == "text"))
    };
    parts
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(is_text)
        .filter_map(|part| part.get("text")?.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short form of an answer, for tables.
    fn short(text: &str) -> String {
        match classify(text) {
            A2aAnswer::QueuedForPoll => "poll".to_owned(),
            A2aAnswer::QueuedBusy { queue_id } => format!("busy {}", queue_id.unwrap_or_default()),
            A2aAnswer::Answered { text } => format!("text {text}"),
            A2aAnswer::Failed { detail } => format!("failed {detail}"),
            A2aAnswer::Unclear { detail } => format!("unclear {detail}"),
        }
    }

    #[test]
    fn every_answer_has_its_class() {
        for (body, expected) in [
            (
                r#"{"status":"queued","delivery_mode":"poll","method":"message/send"}"#,
                "poll",
            ),
            (r#"{"status":"queued","method":"message/send"}"#, "poll"),
            (
                r#"{"queued":true,"queue_id":"q1","queue_depth":1,"message":"busy"}"#,
                "busy q1",
            ),
            (
                r#"{"status":"queued","method":"m","queued":true,"queue_id":"q2"}"#,
                "busy q2",
            ),
            (r#"{"queued":true,"queue_id":7}"#, "busy "),
            (
                r#"{"status":"queued","delivery_mode":"push-async","method":"m"}"#,
                "busy ",
            ),
            (r#"{"queued":"true"}"#, r#"unclear {"queued":"true"}"#),
            (
                r#"{"result":{"parts":[{"kind":"text","text":"a "},{"type":"text","text":"b"}]}}"#,
                "text a b",
            ),
            (
                r#"{"result":{"parts":[null,7,{"kind":"file"},{"kind":"text","text":5},{"kind":"text","text":"x"}]}}"#,
                "text x",
            ),
            (r#"{"result":{"parts":[]}}"#, "text "),
            (r#"{"result":{}}"#, "text "),
            (r#"{"result":null}"#, "text "),
            (r#"{"result":"plain"}"#, "text plain"),
            (
                r#"{"result":{"artifacts":[{"parts":[{"kind":"text","text":"one"}]},{},{"parts":[{"kind":"text","text":"two"}]}]}}"#,
                "text onetwo",
            ),
            (
                r#"{"result":{"status":{"state":"completed","message":{"parts":[{"kind":"text","text":"ok"}]}}}}"#,
                "text ok",
            ),
            (
                r#"{"result":{"status":{"state":"failed","message":{"parts":[{"kind":"text","text":"no"}]}}}}"#,
                "failed no",
            ),
            (
                r#"{"result":{"status":{"state":"rejected"}}}"#,
                "failed the peer's task is rejected",
            ),
            (
                r#"{"result":{"parts":[{"kind":"text","text":"Agent error: boom"}]}}"#,
                "failed Agent error: boom",
            ),
            (
                r#"{"result":{"parts":[{"kind":"text","text":"no Agent error: here"}]}}"#,
                "text no Agent error: here",
            ),
            (r#"{"error":{"code":-32000,"message":"boom"}}"#, "failed boom"),
            (r#"{"result":null,"error":{"code":1,"message":"boom"}}"#, "failed boom"),
            (r#"{"error":"restarting","restarting":true}"#, "failed restarting"),
            (r#"{"error":{"code":1}}"#, r#"failed {"code":1}"#),
            (r#"{"error":null}"#, r#"unclear {"error":null}"#),
            ("[]", "unclear []"),
            ("", "unclear an empty answer"),
            ("<html>\n<b>hi</b>", "unclear <html> <b>hi</b>"),
        ] {
            assert_eq!(short(body), expected, "{body}");
        }
    }

    #[test]
    fn an_unclear_answer_is_cut_and_a_reply_is_not() {
        let A2aAnswer::Unclear { detail } = classify(&"x".repeat(5000)) else {
            panic!("not unclear")
        };
        assert_eq!(detail.chars().count(), MAX_EXCERPT);
        let long = "y".repeat(100_000);
        let reply = format!(r#"{{"result":{{"parts":[{{"kind":"text","text":"{long}"}}]}}}}"#);
        assert!(matches!(classify(&reply), A2aAnswer::Answered { text } if text == long));
    }
}
