//! How the outcome of a call looks on the wire: the one place that shapes successes and failures.

use std::borrow::Cow;

use rmcp::model::CallToolResult;
use serde_json::{Map, Value, json};

use crate::platform::error::CallError;
use crate::state::journal::JournalError;
use crate::types::without_secrets;

/// Largest result, in bytes of its JSON. Tools page what may be longer.
pub const RESULT_LIMIT: usize = 60 * 1024;

/// Longest `detail` or `hint`, in bytes.
const SENTENCE_LIMIT: usize = 2000;

/// Why a tool has nothing to return.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// An argument breaks its rule. Neither part holds the value.
    #[error("argument `{name}` {rule}")]
    Argument {
        /// The argument.
        name: String,
        /// Completes the sentence `argument x ...`.
        rule: String,
    },
    /// The platform gave no usable answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The journal could not do its part.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The client cancelled the call, or the session ends. Nothing was done that is not undone.
    #[error("the call was ended before it had a result")]
    Ended,
    /// A fault of this program.
    #[error("the tool failed inside")]
    Internal,
    /// Anything else, with a code of its own.
    #[error("{}", .0.detail)]
    Failed(Box<Failure>),
}

/// A failure that a tool knows more about than its code.
#[derive(Debug)]
pub struct Failure {
    code: Cow<'static, str>,
    detail: String,
    hint: String,
    facts: Map<String, Value>,
    /// Whether it tells a credential because nothing else holds it.
    is_last_holder: bool,
}

impl ToolError {
    /// An argument breaks its rule.
    pub fn argument(name: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::Argument {
            name: name.into(),
            rule: rule.into(),
        }
    }

    /// A failure with a code of its own.
    pub fn failed(code: impl Into<Cow<'static, str>>, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed(Box::new(Failure {
            code: code.into(),
            detail: detail.into(),
            hint: hint.into(),
            facts: Map::new(),
            is_last_holder: false,
        }))
    }

    /// Adds a fact beside `error`, `detail` and `hint`, which it cannot replace; what is null is left out. Only failures
    /// of their own carry facts.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if let Self::Failed(failure) = &mut self
            && !value.is_null()
        {
            failure.facts.insert(key.to_owned(), value);
        }
        self
    }

    /// As [`ToolError::with`], for what holds a new credential that could be kept nowhere: elsewhere credentials are taken out
    /// of a failure.
    #[must_use]
    pub fn with_secret(self, key: &str, value: impl Into<Value>) -> Self {
        match self.with(key, value) {
            Self::Failed(mut failure) => {
                failure.is_last_holder = true;
                Self::Failed(failure)
            }
            other => other,
        }
    }

    /// As [`ToolError::with`], but nothing is said as `null`.
    #[must_use]
    pub fn with_null_or(mut self, key: &str, value: Option<&str>) -> Self {
        if let Self::Failed(failure) = &mut self {
            failure.facts.insert(key.to_owned(), json!(value));
        }
        self
    }

    /// A fact beside `error`, `detail` and `hint`.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Failed(failure) => failure.facts.get(key),
            _ => None,
        }
    }

    /// The same failure with better advice. Only failures of their own take it.
    #[must_use]
    pub fn advising(mut self, hint: impl Into<String>) -> Self {
        if let Self::Failed(failure) = &mut self {
            failure.hint = hint.into();
        }
        self
    }

    /// The failure as the object that a result would be.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut fields = match self {
            Self::Failed(failure) => failure.facts.clone(),
            _ => Map::new(),
        };
        if Value::Object(fields.clone()).to_string().len() > RESULT_LIMIT - 4 * SENTENCE_LIMIT {
            fields.clear();
        }
        fields.insert("error".to_owned(), json!(self.code()));
        fields.insert("detail".to_owned(), json!(sentence(&self.to_string())));
        fields.insert("hint".to_owned(), json!(sentence(&self.hint())));
        Value::Object(fields)
    }

    /// The same failure without any of these values, should a platform have repeated one. Values of less than six bytes
    /// are not looked for.
    #[must_use]
    pub fn without(mut self, secrets: &[String]) -> Self {
        if let Self::Failed(failure) = &mut self {
            for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST_SECRET) {
                let clean = |text: &mut String| *text = text.replace(secret.as_str(), HIDDEN);
                clean(&mut failure.detail);
                clean(&mut failure.hint);
                failure.facts.values_mut().for_each(|value| each_text(value, &clean));
            }
        }
        self
    }

    /// Machines match on this. Add codes; never change one.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Argument { .. } => "INVALID_ARGUMENT",
            Self::Call(error) => error.code(),
            Self::Journal(JournalError::Disk { .. }) => "STATE_UNAVAILABLE",
            Self::Journal(JournalError::Busy(_)) => "STATE_BUSY",
            Self::Journal(JournalError::Newer { .. }) => "STATE_NEWER",
            Self::Journal(JournalError::Damaged(_)) => "STATE_DAMAGED",
            Self::Journal(JournalError::DamagedRow(_)) => "MESSAGE_DAMAGED",
            Self::Ended => "CANCELLED",
            Self::Internal => "INTERNAL",
            Self::Failed(failure) => &failure.code,
        }
    }

    /// What the caller can do about it.
    #[must_use]
    pub fn hint(&self) -> Cow<'_, str> {
        match self {
            Self::Argument { .. } => "see the tool's input schema, change the argument, call again".into(),
            Self::Call(error) => hint_for_call(error),
            Self::Journal(error) => format!("nothing was changed; {}", error.remedy()).into(),
            Self::Ended => "call again if the result is still wanted".into(),
            Self::Internal => "see the log on stderr; other calls are not affected".into(),
            Self::Failed(failure) => failure.hint.as_str().into(),
        }
    }
}

/// A shorter value would be found in words by chance, which both spoils them and gives it away.
const SHORTEST_SECRET: usize = 6;

/// Stands where a secret was.
const HIDDEN: &str = "(secret)";

/// Changes every text in a value; names stay.
pub fn each_text(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| each_text(field, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hint_for_call(error: &CallError) -> Cow<'static, str> {
    match error {
        CallError::Unreachable { .. } => "nothing was sent; check PLATFORM_URL and the network, then try again".into(),
        CallError::Interrupted { .. } => "whether it took effect is not known; look before repeating it".into(),
        CallError::Refused { .. } => {
            "the workspace token is wrong, revoked or not allowed to do this; a new one comes from the canvas, Tokens tab"
                .into()
        }
        CallError::Throttled { retry_after, .. } => match retry_after {
            Some(wait) => format!("wait {} s, then try again", wait.as_secs().max(1)).into(),
            None => "wait a minute, then try again".into(),
        },
        CallError::Rejected { status: 404, .. } => {
            "the platform does not know this workspace or route; check PLATFORM_URL and WORKSPACE_ID".into()
        }
        CallError::Rejected { status: 410, .. } => "it was removed and will not come back".into(),
        CallError::Rejected { status: 500.., .. } => "the platform failed; try again later".into(),
        CallError::Rejected { .. } => "the platform's reason is in detail".into(),
        CallError::Malformed { .. } => "PLATFORM_URL may name something else than a platform".into(),
        CallError::TooLarge { .. } => "ask for less at a time".into(),
        CallError::NotSent(_) => "nothing was sent; change the arguments as detail says".into(),
    }
}

/// The result of a call: structured content, and the same JSON as text for clients that read nothing else.
#[must_use]
pub fn shape(outcome: Result<Value, ToolError>) -> CallToolResult {
    match outcome {
        Ok(value) if value.to_string().len() <= RESULT_LIMIT => CallToolResult::structured(value),
        Ok(_) => failure(&ToolError::failed(
            "RESULT_TOO_LARGE",
            format!("the result is larger than {RESULT_LIMIT} bytes"),
            "ask for less at a time",
        )),
        Err(error) => failure(&error),
    }
}

fn failure(error: &ToolError) -> CallToolResult {
    let mut told = error.to_json();
    if matches!(error, ToolError::Failed(failure) if failure.is_last_holder) {
        return CallToolResult::structured_error(told);
    }
    // Whoever repeats a credential, a platform in its error for one: it goes no further.
    each_text(&mut told, &|text| {
        if let Cow::Owned(clean) = without_secrets(text) {
            *text = clean;
        }
    });
    CallToolResult::structured_error(told)
}

fn sentence(text: &str) -> &str {
    cut(text, SENTENCE_LIMIT)
}

/// The start of `text`, at most `bytes` long, ending with a whole character.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::obstacle::Obstacle;
    use std::time::Duration;

    fn text_of(result: &CallToolResult) -> String {
        result.content[0].as_text().unwrap().text.clone()
    }

    #[test]
    fn a_success_is_the_same_json_twice_and_no_error() {
        let result = shape(Ok(json!({ "a": [1, "é"] })));
        assert_eq!(result.is_error, Some(false));
        assert_eq!(result.structured_content, Some(json!({ "a": [1, "é"] })));
        assert_eq!(
            serde_json::from_str::<Value>(&text_of(&result)).unwrap(),
            json!({ "a": [1, "é"] })
        );
    }

    #[test]
    fn a_failure_is_marked_and_says_code_detail_and_hint_and_its_facts() {
        let error = ToolError::failed("DELEGATION_FAILED", "no", "ask another")
            .with("delegation_id", "d-1")
            .with("handle", Value::Null)
            .with("error", "x");
        let result = shape(Err(error));
        assert_eq!(result.is_error, Some(true));
        let expected =
            json!({ "error": "DELEGATION_FAILED", "detail": "no", "hint": "ask another", "delegation_id": "d-1" });
        assert_eq!(result.structured_content, Some(expected.clone()));
        assert_eq!(serde_json::from_str::<Value>(&text_of(&result)).unwrap(), expected);
    }

    #[test]
    fn a_secret_that_came_back_is_hidden_everywhere() {
        let body = json!({ "a": ["x abcde!"], "status": "pending" });
        let error = ToolError::failed("HTTP 400", "bad abcde!", "not abcde!").with("body", body);
        let shown = shape(Err(error.without(&[
            "abcde!".to_owned(),
            "p".to_owned(),
            String::new(),
        ])));
        assert!(!text_of(&shown).contains("abcde!"), "{}", text_of(&shown));
        assert!(text_of(&shown).contains("x (secret)") && text_of(&shown).contains("pending"));
    }

    #[test]
    fn every_error_has_its_code_and_a_hint() {
        let detail = String::new;
        let cases: Vec<(ToolError, &str)> = vec![
            (ToolError::argument("limit", "must be an integer"), "INVALID_ARGUMENT"),
            (
                CallError::Unreachable { detail: detail() }.into(),
                "PLATFORM_UNREACHABLE",
            ),
            (
                CallError::Interrupted { detail: detail() }.into(),
                "PLATFORM_UNREACHABLE",
            ),
            (
                CallError::Refused {
                    status: 401,
                    detail: detail(),
                }
                .into(),
                "AUTH_ERROR",
            ),
            (
                CallError::Throttled {
                    status: 429,
                    retry_after: Some(Duration::from_secs(7)),
                }
                .into(),
                "RATE_LIMITED",
            ),
            (
                CallError::Throttled {
                    status: 503,
                    retry_after: None,
                }
                .into(),
                "RATE_LIMITED",
            ),
            (
                CallError::Rejected {
                    status: 404,
                    detail: detail(),
                    body: None,
                }
                .into(),
                "NOT_FOUND",
            ),
            (
                CallError::Rejected {
                    status: 500,
                    detail: detail(),
                    body: None,
                }
                .into(),
                "PLATFORM_ERROR",
            ),
            (CallError::NotSent(detail()).into(), "INVALID_REQUEST"),
            (
                JournalError::Disk {
                    obstacle: Obstacle::Full,
                    what: detail(),
                }
                .into(),
                "STATE_UNAVAILABLE",
            ),
            (JournalError::Busy(detail()).into(), "STATE_BUSY"),
            (JournalError::Newer { found: 2, known: 1 }.into(), "STATE_NEWER"),
            (JournalError::Damaged(detail()).into(), "STATE_DAMAGED"),
            (JournalError::DamagedRow(detail()).into(), "MESSAGE_DAMAGED"),
            (ToolError::Ended, "CANCELLED"),
            (ToolError::Internal, "INTERNAL"),
        ];
        for (error, code) in cases {
            assert_eq!(error.code(), code, "{error}");
            assert!(!error.hint().is_empty(), "{error}");
        }
    }

    #[test]
    fn no_result_is_larger_than_its_limit() {
        let large = "x".repeat(RESULT_LIMIT);
        let success = shape(Ok(json!({ "text": large })));
        assert_eq!(success.is_error, Some(true));
        let failed = shape(Err(
            ToolError::failed("A", large.clone(), large.clone()).with("fact", large)
        ));
        for result in [success, failed] {
            assert!(text_of(&result).len() <= RESULT_LIMIT);
        }
    }
}
