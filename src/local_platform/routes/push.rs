//! Push targets: the message is posted to the registered url; a busy target's messages wait for its next beat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{a2a, delegation};
use crate::local_platform::call::{Answer, Outcome, Payload};
use crate::local_platform::recording;
use crate::local_platform::server::Level;
use crate::local_platform::site::Site;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::workspaces::Workspace;

/// How long a target may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);
const LARGEST_ANSWER: usize = 10 * 1024 * 1024;
const MOST_ATTEMPTS: u32 = 5;

/// What a target answered.
struct Reply {
    status: u16,
    body: Vec<u8>,
    took: Duration,
}

enum Failure {
    /// Nobody listens there.
    Unreachable(String),
    /// It took too long or broke off: the message may be tried again.
    Busy,
}

/// Posts a message to its target. The work goes on when the sender hangs up.
pub(crate) async fn send(site: &Arc<Site>, caller: Option<&str>, target: Workspace, envelope: Value) -> Outcome {
    if target.url.is_none() {
        return without_url(site, caller, &target, envelope);
    }
    let (background, caller) = (site.clone(), caller.map(str::to_owned));
    let work = site
        .tasks
        .spawn(async move { carry(&background, caller.as_deref(), &target, envelope).await });
    work.await.unwrap_or_else(|_| Err(Answer::empty(500)))
}

async fn carry(site: &Arc<Site>, caller: Option<&str>, target: &Workspace, envelope: Value) -> Outcome {
    match attempt(site, target, &envelope).await {
        Ok(reply) => {
            record_reply(site, caller, target, envelope, &reply);
            answer_of(reply)
        }
        Err(Failure::Busy) => queued(site, caller, &target.id, &envelope),
        Err(Failure::Unreachable(why)) => {
            record_failure(site, caller, target, envelope, why);
            Err(Answer::error(502, "failed to reach workspace agent"))
        }
    }
}

/// Tries the oldest waiting message of a target that just beat with room to spare.
pub(crate) fn drain_one(site: &Arc<Site>, target: &str) {
    let item = site.store.dequeue(target).ok().flatten();
    let Some(mut item) = item else { return };
    let background = site.clone();
    site.spawn(async move {
        let Ok(Some(target)) = background.store.workspace(&item.target) else {
            return;
        };
        match attempt(&background, &target, &item.envelope).await {
            Ok(reply) => {
                let delegation = item.envelope["params"]["message"]["metadata"]["delegation_id"].as_str();
                if let (Some(id), Some(sender)) = (delegation, &item.caller) {
                    delegation::complete(
                        &background,
                        sender,
                        id,
                        Some(&target.id),
                        &delegation::text_of(&reply.body),
                    );
                }
                record_reply(
                    &background,
                    item.caller.as_deref(),
                    &target,
                    item.envelope.clone(),
                    &reply,
                );
            }
            Err(_) => {
                item.attempts += 1;
                if item.attempts < MOST_ATTEMPTS
                    && let Err(error) = background.store.requeue(&item)
                {
                    tracing::error!(%error, "the embedded platform lost a queued message");
                }
            }
        }
    });
}

/// A workspace that never registered: refused, but at level C kept and recorded twice.
fn without_url(site: &Arc<Site>, caller: Option<&str>, target: &Workspace, envelope: Value) -> Outcome {
    if site.level < Level::C {
        return Err(Answer::json(
            503,
            &json!({ "error": "workspace has no URL", "status": target.status }),
        ));
    }
    let method = envelope["method"].as_str().unwrap_or_default();
    let first = a2a::row(
        target,
        caller,
        format!("{method} → {} (ingest)", target.name),
        envelope.clone(),
    );
    // The second row has the same message id in its body but not in the unique column.
    let summary = format!("{method} → {} (queued: target busy)", target.name);
    let second = NewActivity {
        message_id: None,
        ..a2a::row(target, caller, summary, envelope.clone())
    };
    recording::message(site, first);
    recording::message(site, second);
    queued(site, caller, &target.id, &envelope)
}

fn queued(site: &Site, caller: Option<&str>, target: &str, envelope: &Value) -> Outcome {
    let (id, depth) = site.store.enqueue(target, caller, envelope)?;
    let message = "workspace agent busy — request queued, will dispatch when it has capacity";
    Ok(Answer::json(
        202,
        &json!({ "queued": true, "queue_id": id, "queue_depth": depth, "message": message }),
    ))
}

async fn attempt(site: &Site, target: &Workspace, envelope: &Value) -> Result<Reply, Failure> {
    let url = target.url.as_deref().unwrap_or_default();
    let started = Instant::now();
    let request = site.http.post(url).timeout(site.pace(ANSWER_WITHIN)).json(envelope);
    let mut response = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            Failure::Unreachable(error.without_url().to_string())
        } else {
            Failure::Busy
        }
    })?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| Failure::Busy)? {
        let room = LARGEST_ANSWER.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(Reply {
        status,
        body,
        took: started.elapsed(),
    })
}

fn answer_of(reply: Reply) -> Outcome {
    if (200..300).contains(&reply.status) {
        return Ok(Answer {
            status: reply.status,
            headers: Vec::new(),
            payload: Payload::Json(reply.body),
        });
    }
    Err(Answer::error(reply.status, &error_of(&reply)))
}

/// The agent's own error text, else the status in words.
fn error_of(reply: &Reply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let status = axum::http::StatusCode::from_u16(reply.status).ok();
    let words = status
        .and_then(|status| status.canonical_reason())
        .unwrap_or("unknown status");
    body["error"].as_str().unwrap_or(words).to_owned()
}

fn record_reply(site: &Arc<Site>, caller: Option<&str>, target: &Workspace, envelope: Value, reply: &Reply) {
    if !(200..300).contains(&reply.status) {
        record_failure(site, caller, target, envelope, error_of(reply));
        return;
    }
    let summary = format!("{} → {}", envelope["method"].as_str().unwrap_or_default(), target.name);
    let row = a2a::row(target, caller, summary, envelope);
    let response_body = serde_json::from_slice(&reply.body).ok();
    let duration_ms = i64::try_from(reply.took.as_millis()).ok();
    recording::message(
        site,
        NewActivity {
            response_body,
            duration_ms,
            ..row
        },
    );
}

fn record_failure(site: &Arc<Site>, caller: Option<&str>, target: &Workspace, envelope: Value, why: String) {
    let summary = format!("A2A request to {} failed: {why}", target.name);
    let row = a2a::row(target, caller, summary, envelope);
    recording::message(
        site,
        NewActivity {
            status: Some("error".to_owned()),
            error_detail: Some(why),
            ..row
        },
    );
}
