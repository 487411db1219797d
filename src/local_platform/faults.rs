//! Faults on request. The module documentation of [`crate::local_platform`] describes the rules from outside.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::{Answer, Payload};

/// The rules in force, oldest first.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    /// Number of the newest rule.
    last: u64,
    in_force: Vec<Rule>,
}

/// A rule with the number it got.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rule {
    number: u64,
    #[serde(flatten)]
    fault: Fault,
}

/// Which requests meet a fault, how often, and what happens to them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Fault {
    route: String,
    workspace: Option<String>,
    times: Option<u32>,
    pub(crate) drop: bool,
    pub(crate) silent: bool,
    after: bool,
    delay_ms: u64,
    drip_ms: Option<u64>,
    status: Option<u16>,
    body: Option<Value>,
    headers: BTreeMap<String, String>,
    raw_body: Option<String>,
    truncate: Option<usize>,
    oversize_bytes: Option<usize>,
}

impl Faults {
    /// Adds a rule and returns its number, and how many there are.
    pub(crate) fn add(&self, fault: Fault) -> (u64, usize) {
        let mut rules = self.lock();
        rules.last += 1;
        let number = rules.last;
        rules.in_force.push(Rule { number, fault });
        (number, rules.in_force.len())
    }

    /// The rules in force, oldest first.
    pub(crate) fn list(&self) -> Vec<Rule> {
        self.lock().in_force.clone()
    }

    /// Removes one rule; whether it was in force.
    pub(crate) fn remove(&self, number: u64) -> bool {
        let mut rules = self.lock();
        let before = rules.in_force.len();
        rules.in_force.retain(|rule| rule.number != number);
        rules.in_force.len() < before
    }

    /// Removes all rules.
    pub(crate) fn clear(&self) {
        self.lock().in_force.clear();
    }

    /// The fault for a request, used up by one. The newest rule that fits wins.
    pub(crate) fn take(&self, route: &str, workspace: Option<&str>) -> Option<Fault> {
        let rules = &mut self.lock().in_force;
        let index = rules.iter().rposition(|Rule { fault: rule, .. }| {
            (rule.route == "*" || rule.route == route)
                && (rule.workspace.is_none() || rule.workspace.as_deref() == workspace)
                && rule.times != Some(0)
        })?;
        let fault = rules[index].fault.clone();
        match &mut rules[index].fault.times {
            Some(1) => {
                rules.remove(index);
            }
            Some(times) => *times -= 1,
            None => {}
        }
        Some(fault)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// How long the request waits first.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// How long to rest after each byte of the answer.
    pub(crate) fn drip(&self) -> Option<Duration> {
        self.drip_ms.map(Duration::from_millis)
    }

    /// Whether the handler runs at all.
    pub(crate) fn lets_work_happen(&self) -> bool {
        self.after || !(self.drop || self.silent || self.status.is_some() || self.raw_body.is_some())
    }

    /// The answer to send, given the real one if there is one.
    pub(crate) fn apply(self, real: Option<Answer>) -> Answer {
        let mut answer = match (self.raw_body, self.status, real) {
            (Some(text), status, _) => Answer {
                status: status.unwrap_or(200),
                headers: Vec::new(),
                payload: Payload::Json(text.into_bytes()),
            },
            (None, Some(status), _) => Answer {
                status,
                headers: Vec::new(),
                payload: payload(self.body),
            },
            (None, None, real) => real.unwrap_or_else(|| Answer::empty(500)),
        };
        answer.headers.extend(self.headers);
        if let Some(bytes) = self.truncate {
            answer = truncated(answer, bytes);
        }
        if let Some(bytes) = self.oversize_bytes {
            answer = oversized(answer, bytes);
        }
        answer
    }
}

fn payload(body: Option<Value>) -> Payload {
    match body {
        None | Some(Value::Null) => Payload::Empty,
        Some(Value::String(text)) => Payload::Text(text),
        Some(body) => Payload::Json(body.to_string().into_bytes()),
    }
}

/// Promises the whole body, sends `bytes` of it and breaks the connection.
fn truncated(mut answer: Answer, bytes: usize) -> Answer {
    let whole = take_body(&mut answer);
    // A promise of at least one byte more, so that the cut shows whatever the length.
    let promised = whole.len().max(bytes + 1);
    let first = Bytes::copy_from_slice(&whole[..bytes.min(whole.len())]);
    let broken = stream::once(async {
        // Lets the head and the first part leave before the break.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    });
    answer.payload = Payload::Stream(Body::from_stream(stream::iter([Ok(first)]).chain(broken)));
    answer
        .with("content-type", "application/json; charset=utf-8")
        .with("content-length", promised)
}

/// The body, then blanks up to `bytes` in all.
fn oversized(mut answer: Answer, bytes: usize) -> Answer {
    const BLANKS: &[u8] = &[b' '; 64 * 1024];
    let whole = take_body(&mut answer);
    let missing = bytes.saturating_sub(whole.len());
    let padding = stream::unfold(missing, |missing| async move {
        let part = missing.min(BLANKS.len());
        (part > 0).then(|| {
            (
                Ok::<_, std::io::Error>(Bytes::from_static(&BLANKS[..part])),
                missing - part,
            )
        })
    });
    let body = stream::iter([Ok(Bytes::from(whole))]).chain(padding);
    answer.payload = Payload::Stream(Body::from_stream(body));
    answer.with("content-type", "application/json; charset=utf-8")
}

fn take_body(answer: &mut Answer) -> Vec<u8> {
    match std::mem::replace(&mut answer.payload, Payload::Empty) {
        Payload::Json(bytes) | Payload::Bytes(bytes) => bytes,
        Payload::Text(text) => text.into_bytes(),
        Payload::Empty | Payload::Stream(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(rules: &[Value]) -> Faults {
        let faults = Faults::default();
        for rule in rules {
            faults.add(serde_json::from_value(rule.clone()).unwrap());
        }
        faults
    }

    #[test]
    fn the_newest_fitting_rule_wins_until_it_is_used_up() {
        let faults = rules(&[
            json!({ "route": "*", "status": 500 }),
            json!({ "route": "activity", "workspace": "w", "times": 2, "status": 503 }),
        ]);
        let status = |route, workspace| faults.take(route, workspace).and_then(|fault| fault.status);
        assert_eq!(status("heartbeat", Some("w")), Some(500));
        assert_eq!(status("activity", Some("other")), Some(500));
        assert_eq!(status("activity", Some("w")), Some(503));
        assert_eq!(status("activity", Some("w")), Some(503));
        assert_eq!(status("activity", Some("w")), Some(500));
        assert!(faults.remove(1) && !faults.remove(1) && faults.list().is_empty());
        faults.add(Fault::default());
        faults.clear();
        assert_eq!(status("activity", Some("w")), None);
    }

    #[test]
    fn a_fault_replaces_the_answer_and_only_after_lets_the_work_happen() {
        for (rule, works, status, body) in [
            (
                json!({ "status": 429, "body": { "a": 1 }, "headers": { "Retry-After": "2" } }),
                false,
                429,
                json!({ "a": 1 }),
            ),
            (json!({ "raw_body": "[7]" }), false, 200, json!([7])),
            (json!({ "status": 502, "after": true }), true, 502, Value::Null),
            (json!({ "delay_ms": 5 }), true, 201, json!("real")),
        ] {
            let mut rule = rule;
            rule["route"] = json!("x");
            let fault = rules(&[rule]).take("x", None).unwrap();
            assert_eq!(fault.lets_work_happen(), works);
            let answer = fault.apply(works.then(|| Answer::json(201, &"real")));
            assert_eq!((answer.status, answer.value()), (status, body));
        }
    }
}
