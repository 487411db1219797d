//! Requests: tasks and approvals asked of the person or of another workspace, answered when the other side has time
//! (level C).
//!
//! The same handlers serve a workspace (its id is in the path, and it is who acts) and the administrator (no id in the
//! path, and the body says who acts).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::recording::{self, Announce};
use crate::local_platform::site::Site;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::changes::REQUEST as KIND;

const MOST: usize = 50;
/// How long an answer takes to become a message at the asker.
const TELLING: Duration = Duration::from_secs(1);

#[derive(Clone, Serialize, Deserialize)]
struct Request {
    id: String,
    kind: String,
    requester_type: String,
    requester_id: String,
    org_id: Option<String>,
    recipient_type: String,
    recipient_id: String,
    title: String,
    detail: Option<String>,
    status: String,
    responder_type: Option<String>,
    responder_id: Option<String>,
    priority: Option<i64>,
    created_at: String,
    updated_at: String,
    responded_at: Option<String>,
}

/// A request and what was said about it.
#[derive(Clone, Serialize, Deserialize)]
struct Thread {
    request: Request,
    messages: Vec<Value>,
}

impl Request {
    fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "info_requested")
    }

    fn is_from(&self, workspace: &str) -> bool {
        self.requester_type == "agent" && self.requester_id == workspace
    }

    fn is_to(&self, workspace: &str) -> bool {
        self.recipient_type == "agent" && self.recipient_id == workspace
    }

    /// The stream that is told of what happens to it: the asker's, or of a new one the receiver's.
    fn told(&self, created: bool) -> &str {
        match (self.recipient_type.as_str(), created) {
            ("agent", true) => &self.recipient_id,
            _ => &self.requester_id,
        }
    }
}

#[derive(Deserialize)]
struct Create {
    kind: String,
    recipient_type: String,
    #[serde(default)]
    recipient_id: String,
    title: String,
    #[serde(default)]
    detail: String,
    priority: Option<i64>,
}

/// A workspace asks. Whether the receiver exists is not looked at.
pub(crate) fn create(call: &Call) -> Outcome {
    let sent: Create = call.json("invalid request body")?;
    if [&sent.kind, &sent.recipient_type, &sent.title]
        .iter()
        .any(|text| text.is_empty())
    {
        return Err(Answer::error(400, "invalid request body"));
    }
    if !["task", "approval"].contains(&sent.kind.as_str()) {
        return Err(Answer::error(400, "request: kind must be 'task' or 'approval'"));
    }
    check_party(&sent.recipient_type)?;
    let now = clock::text(clock::now());
    let request = Request {
        id: Uuid::new_v4().to_string(),
        kind: sent.kind,
        requester_type: "agent".to_owned(),
        requester_id: call.id.clone(),
        org_id: call.site.store.root_of(&call.id).ok(),
        recipient_type: sent.recipient_type,
        recipient_id: sent.recipient_id,
        title: sent.title,
        detail: Some(sent.detail).filter(|detail| !detail.is_empty()),
        status: "pending".to_owned(),
        responder_type: None,
        responder_id: None,
        priority: sent.priority,
        created_at: now.clone(),
        updated_at: now,
        responded_at: None,
    };
    let told = json!({ "request_id": request.id, "kind": request.kind, "recipient_type": request.recipient_type,
        "recipient_id": request.recipient_id, "title": request.title });
    let thread = Thread {
        request,
        messages: Vec::new(),
    };
    let request = &thread.request;
    call.site.store.put(KIND, &request.id, &thread)?;
    call.site.hub.send(request.told(true), "REQUEST_CREATED", told);
    let id = &request.id;
    Ok(Answer::json(201, &json!({ "request_id": id, "status": "pending" })))
}

fn check_party(party: &str) -> Result<(), Answer> {
    if ["user", "agent"].contains(&party) {
        Ok(())
    } else {
        Err(Answer::error(400, "request: type must be 'user' or 'agent'"))
    }
}

/// What the workspace asked.
pub(crate) fn outgoing(call: &Call) -> Outcome {
    listed(call, |request| request.is_from(&call.id))
}

/// What the workspace is asked.
pub(crate) fn inbox(call: &Call) -> Outcome {
    listed(call, |request| request.is_to(&call.id))
}

/// What is open anywhere, for the person.
pub(crate) fn pending(call: &Call) -> Outcome {
    let kind = call.query("kind");
    let open = found(call, |request| {
        request.is_open() && kind.is_none_or(|kind| request.kind == kind)
    })?;
    let mut rows = json!(open);
    for row in rows.as_array_mut().into_iter().flatten() {
        let asker = call
            .site
            .store
            .workspace(row["requester_id"].as_str().unwrap_or_default())?;
        row["workspace_name"] = json!(asker.map(|asker| asker.name));
    }
    Ok(Answer::ok(&rows))
}

/// How many are open that ask the person.
pub(crate) fn waiting(site: &Site) -> Result<usize, Answer> {
    let all = site.store.list::<Thread>(KIND)?;
    let asks_the_person = |thread: &&Thread| thread.request.is_open() && thread.request.recipient_type == "user";
    Ok(all.iter().filter(asks_the_person).count())
}

fn listed(call: &Call, which: impl Fn(&Request) -> bool) -> Outcome {
    Ok(Answer::ok(&found(call, which)?))
}

/// The newest of these, with the status that is asked for.
fn found(call: &Call, which: impl Fn(&Request) -> bool) -> Result<Vec<Request>, Answer> {
    let status = call.query("status");
    let mut found: Vec<Request> = call
        .site
        .store
        .list::<Thread>(KIND)?
        .into_iter()
        .map(|thread| thread.request)
        .filter(|request| which(request) && status.is_none_or(|status| request.status == status))
        .collect();
    found.reverse();
    found.truncate(MOST);
    Ok(found)
}

/// The id of the request in the path: the second parameter, with or without a workspace before it.
fn thread(call: &Call, unknown: &str) -> Result<Thread, Answer> {
    let found = call.site.store.get(KIND, &call.second)?;
    found.ok_or_else(|| Answer::error(404, unknown))
}

/// Refuses a workspace that has no part in it. The administrator has a part in all.
fn check_part(call: &Call, has_part: bool, refusal: &str) -> Result<(), Answer> {
    if call.id.is_empty() || has_part {
        Ok(())
    } else {
        Err(Answer::error(403, refusal))
    }
}

/// One request and its thread.
pub(crate) fn get(call: &Call) -> Outcome {
    let thread = thread(call, "request not found")?;
    let request = &thread.request;
    let has_part = request.is_from(&call.id) || request.is_to(&call.id);
    check_part(call, has_part, "not a participant")?;
    Ok(Answer::ok(&thread))
}

#[derive(Deserialize)]
struct Respond {
    action: String,
    responder_type: Option<String>,
    responder_id: Option<String>,
}

/// Answers a request for good.
pub(crate) fn respond(call: &Call) -> Outcome {
    const UNKNOWN: &str = "request not found or already resolved";
    let sent: Respond = call.json("invalid request body")?;
    let thread = thread(call, UNKNOWN)?;
    let request = thread.request;
    check_part(call, request.is_to(&call.id), "not the recipient")?;
    let party = party(call, sent.responder_type, sent.responder_id, "user", "human");
    check_party(&party.0)?;
    if party == (request.requester_type.clone(), request.requester_id.clone()) {
        return Err(Answer::error(400, "request: responder cannot be the requester"));
    }
    let fits = matches!(
        (request.kind.as_str(), sent.action.as_str()),
        ("task", "done" | "rejected") | ("approval", "approved" | "rejected")
    );
    if !fits {
        return Err(Answer::error(400, "request: invalid action for this request kind"));
    }
    let now = clock::text(clock::now());
    let answered = call.site.store.change(KIND, &request.id, |thread: &mut Thread| {
        let open = thread.request.is_open();
        if open {
            thread.request.status.clone_from(&sent.action);
            thread.request.responder_type = Some(party.0.clone());
            thread.request.responder_id = Some(party.1.clone());
            thread.request.updated_at.clone_from(&now);
            thread.request.responded_at = Some(now);
        }
        open
    })?;
    if answered != Some(true) {
        return Err(Answer::error(404, UNKNOWN));
    }
    let told = json!({ "request_id": request.id, "status": sent.action, "responder_type": party.0,
        "responder_id": party.1, "title": request.title, "kind": request.kind });
    call.site.hub.send(request.told(false), "REQUEST_RESPONDED", told);
    let by = match party.0.as_str() {
        "agent" => format!("agent {}", party.1),
        _ => "the user".to_owned(),
    };
    let text = format!(
        "Your {} request {:?} (id {}) was {} by {by}.",
        request.kind, request.title, request.id, sent.action
    );
    tell_asker(call, &request, &format!("request-responded:{}", request.id), &text);
    Ok(Answer::ok(&json!({ "status": sent.action, "request_id": request.id })))
}

/// Who acts: the workspace in the path, else whom the body names.
fn party(call: &Call, kind: Option<String>, id: Option<String>, no_kind: &str, no_id: &str) -> (String, String) {
    if !call.id.is_empty() {
        return ("agent".to_owned(), call.id.clone());
    }
    let filled =
        |text: Option<String>, default: &str| text.filter(|text| !text.is_empty()).unwrap_or(default.to_owned());
    (filled(kind, no_kind), filled(id, no_id))
}

#[derive(Deserialize)]
struct Note {
    body: String,
    author_type: String,
    author_id: Option<String>,
}

/// Adds to the thread. What anyone but the asker says asks the asker for more.
pub(crate) fn add_message(call: &Call) -> Outcome {
    let sent: Note = call.json("invalid request body")?;
    if sent.body.is_empty() || sent.author_type.is_empty() {
        return Err(Answer::error(400, "invalid request body"));
    }
    let request = thread(call, "request not found")?.request;
    let has_part = request.is_from(&call.id) || request.is_to(&call.id);
    check_part(call, has_part, "not a participant")?;
    let author = party(call, Some(sent.author_type), sent.author_id, "user", "");
    check_party(&author.0)?;
    let by_asker = author == (request.requester_type.clone(), request.requester_id.clone());
    let id = Uuid::new_v4().to_string();
    let now = clock::text(clock::now());
    let message = json!({ "id": id, "request_id": request.id, "author_type": author.0, "author_id": author.1,
        "body": sent.body, "created_at": now });
    call.site.store.change(KIND, &request.id, |thread: &mut Thread| {
        thread.messages.push(message);
        if !by_asker && thread.request.is_open() {
            thread.request.status = "info_requested".to_owned();
            thread.request.updated_at = now;
        }
    })?;
    let told = json!({ "request_id": request.id, "message_id": id, "author_type": author.0, "author_id": author.1 });
    call.site.hub.send(request.told(false), "REQUEST_MESSAGE", told);
    if !by_asker {
        let text = format!(
            "More info requested on your {} request {:?} (id {}): {}\nReply with add_request_message.",
            request.kind, request.title, request.id, sent.body
        );
        tell_asker(call, &request, &format!("request-message:{id}"), &text);
    }
    Ok(Answer::json(
        201,
        &json!({ "status": "created", "request_id": request.id, "message_id": id }),
    ))
}

/// The asker takes it back.
pub(crate) fn cancel(call: &Call) -> Outcome {
    const UNKNOWN: &str = "request not found or already resolved";
    let request = thread(call, UNKNOWN)?.request;
    check_part(call, request.is_from(&call.id), "not the requester")?;
    let cancelled = call.site.store.change(KIND, &request.id, |thread: &mut Thread| {
        let open = thread.request.is_open();
        if open {
            thread.request.status = "cancelled".to_owned();
            thread.request.updated_at = clock::text(clock::now());
        }
        open
    })?;
    if cancelled != Some(true) {
        return Err(Answer::error(404, UNKNOWN));
    }
    Ok(Answer::ok(&json!({ "status": "cancelled", "request_id": request.id })))
}

/// A message of the platform itself at a workspace that asked; it comes a while later.
fn tell_asker(call: &Call, request: &Request, key: &str, text: &str) {
    if request.requester_type != "agent" {
        return;
    }
    let message_id = format!("{key}-{}", Uuid::new_v4());
    let row = NewActivity {
        workspace_id: request.requester_id.clone(),
        activity_type: "a2a_receive".to_owned(),
        target_id: Some(request.requester_id.clone()),
        method: Some("message/send".to_owned()),
        summary: Some("message/send (queued for poll)".to_owned()),
        request_body: Some(
            json!({ "method": "message/send", "params": { "message": { "role": "user",
            "messageId": message_id, "parts": [{ "kind": "text", "text": text }] } } }),
        ),
        message_id: Some(message_id),
        status: Some("ok".to_owned()),
        ..NewActivity::default()
    };
    recording::later(&call.site, row, Announce::Yes, call.site.pace(TELLING));
}
