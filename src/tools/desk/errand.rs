//! The requests of one call of a tool: sent through the right door, recorded when they change something, repeated once when
//! the platform asks to wait a moment.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::doors::Door;
use super::{Desk, failure};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::platform::client::Answer;
use crate::platform::error::CallError;
use crate::platform::order::Order;
use crate::types::WorkspaceId;

/// The longest wait that a call takes upon itself when the platform asks to slow down.
const SHORT_WAIT: Duration = Duration::from_secs(20);

/// One call of a tool at its desk.
#[derive(Clone, Copy, Debug)]
pub(in crate::tools) struct Errand<'a> {
    pub(super) desk: &'a Desk,
    pub(super) tool: &'static str,
    pub(super) call: &'a Call,
}

/// A 2xx answer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tools) struct Reply {
    /// 200 to 299, and never a `pending_approval`.
    pub(in crate::tools) status: u16,
    /// The JSON. A body that is none is `{"raw": text, "status": n}`.
    pub(in crate::tools) body: Value,
    /// Of a list that was asked for by rows: as many came as were asked for, so there may be more.
    pub(in crate::tools) cut_at: Option<u16>,
}

impl Reply {
    /// The fields of the object that was expected. `hint`: what to do when it is none.
    ///
    /// # Errors
    /// When the body is something else.
    pub(in crate::tools) fn object(self, hint: &str) -> Result<Map<String, Value>, ToolError> {
        match self.body {
            Value::Object(fields) => Ok(fields),
            _ => {
                let what = "the answer is not a JSON object";
                Err(ToolError::failed("PLATFORM_ERROR", what, hint).with("status", self.status))
            }
        }
    }

    /// The fields of an answer that only has to say yes; `done` is the `status` of one that says it without words.
    pub(in crate::tools) fn fields(self, done: &str) -> Map<String, Value> {
        match self.body {
            Value::Object(fields) if !fields.contains_key("raw") => fields,
            _ => Map::from_iter([("status".to_owned(), json!(done))]),
        }
    }
}

impl<'a> Errand<'a> {
    pub(super) fn new(desk: &'a Desk, tool: &'static str, call: &'a Call) -> Self {
        Self { desk, tool, call }
    }

    /// The common things of the desk.
    pub(in crate::tools) fn common(&self) -> &'a super::Common {
        &self.desk.common
    }

    /// The own workspace, which is meant where a call may leave out `workspace_id`.
    ///
    /// # Errors
    /// When there is none at this platform, or more than one.
    pub(in crate::tools) fn home(&self) -> Result<&'a WorkspaceId, ToolError> {
        let home = self.desk.doors.home();
        home.ok_or_else(|| {
            ToolError::argument(
                "workspace_id",
                "is required: this server has not exactly one workspace of its own here",
            )
        })
    }

    /// The call it serves.
    pub(in crate::tools) fn call(&self) -> &'a Call {
        self.call
    }

    /// Whether there is a credential for a request.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::tools) fn has_door(&self, order: &Order) -> Result<(), ToolError> {
        self.desk.doors.find(&order.gate).map(drop)
    }

    /// Whether the client can ask its person.
    pub(in crate::tools) fn asks_a_person(&self) -> bool {
        self.call.can_ask()
    }

    /// Sends one request. A list whose answer is too large is asked for again with fewer rows.
    ///
    /// # Errors
    /// No credential for it, no record of it possible, an answer outside 2xx, or one that waits for an approval.
    pub(in crate::tools) async fn send(&self, order: &Order) -> Result<Reply, ToolError> {
        let door = self.desk.doors.find(&order.gate)?;
        let record = match order.writes() {
            true => Some(self.record(order).await?),
            false => None,
        };
        let (mut answered, mut rows, mut smaller) = (self.attempt(door, order).await, order.rows, order.fewer());
        while let (Err(CallError::TooLarge { .. }), Some(part)) = (&answered, smaller) {
            (answered, rows, smaller) = (self.attempt(door, &part).await, part.rows, part.fewer());
        }
        let outcome = answered
            .and_then(|answer| read(&answer, rows))
            .map_err(|error| failure::of(error, door, order))
            .and_then(|reply| failure::pending_approval(&reply.body).map_or(Ok(reply), Err));
        if let Some(record) = record {
            record.end(outcome.as_ref().map_or_else(ToolError::code, |_| "ok"));
        }
        outcome
    }

    /// Records what was found out about a request that had failed, under the same target.
    pub(in crate::tools) async fn found(&self, order: &Order, outcome: &str) {
        // The failure is in the record already; that this line is missing there does no harm.
        if let Ok(record) = self.record(order).await {
            record.end(outcome);
        }
    }

    /// Sends it, and once more after a wait that the platform asked for.
    async fn attempt(&self, door: Door<'_>, order: &Order) -> Result<Answer, CallError> {
        match door.send(order).await {
            Err(error) if self.may_wait(&error, order) => {
                let wait = self.desk.common.timing.of(error.retry_after().unwrap_or_default());
                tokio::select! {
                    () = tokio::time::sleep(wait) => door.send(order).await,
                    () = self.call.ended() => Err(error),
                }
            }
            settled => settled,
        }
    }

    /// Once, when the wait is short. What was refused with 429 was not done, so a write may be repeated as well.
    fn may_wait(&self, error: &CallError, order: &Order) -> bool {
        match error {
            CallError::Throttled {
                status,
                retry_after: Some(wait),
            } => *wait <= SHORT_WAIT && (*status == 429 || !order.writes()),
            _ => false,
        }
    }

    async fn record(&self, order: &Order) -> Result<crate::state::audit::Pending, ToolError> {
        let (audit, tool, target) = (self.desk.audit.clone(), self.tool, order.target());
        let begun = tokio::task::spawn_blocking(move || audit.begin(tool, &target)).await;
        match begun {
            Ok(Ok(record)) => Ok(record),
            Ok(Err(error)) => Err(ToolError::failed(
                "STATE_UNAVAILABLE",
                format!(
                    "the change could not be recorded ({}), so nothing was sent",
                    error.kind()
                ),
                "check free space and permissions of the state folder (CONFIGS_DIR), then try again",
            )),
            Err(_) => Err(ToolError::Internal),
        }
    }
}

/// The JSON of an answer. A page made by something in front of the platform is no answer of the platform.
fn read(answer: &Answer, rows: Option<u16>) -> Result<Reply, CallError> {
    let status = answer.status;
    if let Ok(body) = serde_json::from_slice::<Value>(&answer.body) {
        let came = body.as_array().map_or(0, Vec::len);
        let cut_at = rows.filter(|rows| came >= usize::from(*rows));
        return Ok(Reply { status, body, cut_at });
    }
    let text = String::from_utf8_lossy(&answer.body);
    if text.trim_start().starts_with('<') {
        return Err(CallError::Malformed {
            detail: "expected JSON, got a web page that is not the platform's own".to_owned(),
        });
    }
    let body = json!({ "raw": text, "status": status });
    Ok(Reply {
        status,
        body,
        cut_at: None,
    })
}
