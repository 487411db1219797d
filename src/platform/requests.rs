//! Requests: tasks and approvals that workspaces ask of each other and of the person (level C), and the approvals of
//! older platforms.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Answer, Request as Call};
use super::error::CallError;
use super::retry;
use super::workspace::{LOOK_UP_AGAIN, MAX_LIST, WorkspaceApi, parsed};
use crate::types::{PeerId, RequestId};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To do something: answered `done` or `rejected`.
    Task,
    /// To allow something: answered `approved` or `rejected`.
    Approval,
}

impl Wish {
    /// The platform's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Approval => "approval",
        }
    }
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The person; with an id, a certain one.
    Person(Option<String>),
    /// A workspace.
    Agent(PeerId),
}

/// A request to be made.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// What is asked for.
    pub wish: Wish,
    /// Who is asked.
    pub asked: Asked,
    /// One line.
    pub title: String,
    /// The rest, possibly empty.
    pub detail: String,
    /// Higher is more urgent.
    pub priority: Option<i64>,
}

/// One request as the platform lists it. Its texts are its asker's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RequestRow {
    /// Names it.
    pub id: String,
    /// `task` or `approval`.
    #[serde(default)]
    pub kind: String,
    /// `user` or `agent`.
    #[serde(default)]
    pub requester_type: String,
    /// Who asks.
    #[serde(default)]
    pub requester_id: String,
    /// `user` or `agent`.
    #[serde(default)]
    pub recipient_type: String,
    /// Who is asked; empty for the person.
    #[serde(default)]
    pub recipient_id: String,
    /// One line.
    #[serde(default)]
    pub title: String,
    /// The rest.
    #[serde(default)]
    pub detail: Option<String>,
    /// `pending`, `info_requested`, `done`, `rejected`, `approved`, `cancelled`; of an approval of old also `denied`.
    #[serde(default)]
    pub status: String,
    /// `user` or `agent`, once answered.
    #[serde(default)]
    pub responder_type: Option<String>,
    /// Who answered.
    #[serde(default)]
    pub responder_id: Option<String>,
    /// Higher is more urgent.
    #[serde(default)]
    pub priority: Option<i64>,
    /// RFC 3339.
    #[serde(default)]
    pub created_at: String,
    /// RFC 3339, once answered.
    #[serde(default)]
    pub responded_at: Option<String>,
}

impl RequestRow {
    /// Whether it still waits for an answer.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "info_requested")
    }
}

/// One message of the thread below a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RequestMessage {
    /// Names it.
    #[serde(default)]
    pub id: String,
    /// `user` or `agent`.
    #[serde(default)]
    pub author_type: String,
    /// Who wrote it.
    #[serde(default)]
    pub author_id: String,
    /// What it says.
    #[serde(default)]
    pub body: String,
    /// RFC 3339.
    #[serde(default)]
    pub created_at: String,
}

/// A request and the thread below it, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RequestThread {
    /// The request.
    pub request: RequestRow,
    /// What was written about it.
    #[serde(default)]
    pub messages: Vec<RequestMessage>,
}

impl WorkspaceApi {
    /// `POST /workspaces/:id/requests`: the id of the new request. Not repeated by itself.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn create_request(&self, new: &NewRequest) -> Result<String, CallError> {
        let (recipient_type, recipient_id) = match &new.asked {
            Asked::Person(id) => ("user", id.as_deref().unwrap_or_default()),
            Asked::Agent(id) => ("agent", id.as_str()),
        };
        let mut body = json!({ "kind": new.wish.as_str(), "recipient_type": recipient_type,
            "recipient_id": recipient_id, "title": new.title, "detail": new.detail });
        if let Some(priority) = new.priority {
            body["priority"] = priority.into();
        }
        let answer = self.post(&self.requests(&[]), body).await?;
        named(&answer, "request_id")
    }

    /// `POST /workspaces/:id/approvals`, where there are no requests yet: the id of the new approval.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn create_approval(&self, action: &str, reason: &str) -> Result<String, CallError> {
        let path = ["workspaces", self.workspace().as_str(), "approvals"];
        let answer = self.post(&path, json!({ "action": action, "reason": reason })).await?;
        named(&answer, "approval_id")
    }

    /// `GET /workspaces/:id/requests/inbox`: what this workspace is asked, newest first, 50 at most.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn request_inbox(&self, status: Option<&str>) -> Result<Vec<RequestRow>, CallError> {
        self.list(self.filtered(&self.requests(&["inbox"]), status)).await
    }

    /// `GET /workspaces/:id/requests`: what this workspace asked, newest first, 50 at most.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn own_requests(&self, status: Option<&str>) -> Result<Vec<RequestRow>, CallError> {
        self.list(self.filtered(&self.requests(&[]), status)).await
    }

    /// `GET /workspaces/:id/approvals`, where there are no requests yet: what this workspace asked, in the shape of requests.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn own_approvals(&self) -> Result<Vec<RequestRow>, CallError> {
        #[derive(Deserialize)]
        struct Approval {
            id: String,
            #[serde(default)]
            action: String,
            #[serde(default)]
            reason: Option<String>,
            #[serde(default)]
            status: String,
            #[serde(default)]
            decided_by: Option<String>,
            #[serde(default)]
            decided_at: Option<String>,
            #[serde(default)]
            created_at: String,
        }
        let path = ["workspaces", self.workspace().as_str(), "approvals"];
        let approvals: Vec<Approval> = self.list(self.request(Method::GET, &path)).await?;
        let rows = approvals.into_iter().map(|approval| RequestRow {
            id: approval.id,
            kind: Wish::Approval.as_str().to_owned(),
            requester_type: "agent".to_owned(),
            requester_id: self.workspace().to_string(),
            recipient_type: "user".to_owned(),
            recipient_id: String::new(),
            title: approval.action,
            detail: approval.reason,
            status: approval.status,
            responder_type: approval.decided_by.as_ref().map(|_| "user".to_owned()),
            responder_id: approval.decided_by,
            priority: None,
            created_at: approval.created_at,
            responded_at: approval.decided_at,
        });
        Ok(rows.collect())
    }

    /// `GET /workspaces/:id/requests/:request_id`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn request_thread(&self, id: &RequestId) -> Result<RequestThread, CallError> {
        let path = self.requests(&[id.as_str()]);
        let request = Call {
            limit: MAX_LIST,
            ..self.request(Method::GET, &path)
        };
        let answer = retry::idempotent(LOOK_UP_AGAIN, || self.deliver(request.clone())).await?;
        parsed("a request", &answer.body)
    }

    /// `POST /workspaces/:id/requests/:request_id/respond` with `done`, `rejected` or `approved`.
    ///
    /// # Errors
    /// See [`CallError`]; 400 when the action does not fit the request, 404 when it was answered before.
    pub async fn respond_request(&self, id: &RequestId, action: &str) -> Result<(), CallError> {
        let body = json!({ "action": action, "responder_type": "agent", "responder_id": self.workspace() });
        let answer = self.post(&self.requests(&[id.as_str(), "respond"]), body).await?;
        object(&answer).map(drop)
    }

    /// `POST /workspaces/:id/requests/:request_id/messages`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn add_request_message(&self, id: &RequestId, text: &str) -> Result<(), CallError> {
        let body = json!({ "body": text, "author_type": "agent", "author_id": self.workspace() });
        let answer = self.post(&self.requests(&[id.as_str(), "messages"]), body).await?;
        object(&answer).map(drop)
    }

    /// `POST /workspaces/:id/requests/:request_id/cancel`.
    ///
    /// # Errors
    /// See [`CallError`]; 404 when it was answered before.
    pub async fn cancel_request(&self, id: &RequestId) -> Result<(), CallError> {
        let answer = self.post(&self.requests(&[id.as_str(), "cancel"]), json!({})).await?;
        object(&answer).map(drop)
    }

    fn requests<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["workspaces", self.workspace().as_str(), "requests"];
        path.extend(rest);
        path
    }

    fn filtered<'a>(&self, path: &'a [&'a str], status: Option<&str>) -> Call<'a> {
        Call {
            query: status.map(|status| ("status", status.to_owned())).into_iter().collect(),
            ..self.request(Method::GET, path)
        }
    }
}

fn object(answer: &Answer) -> Result<Map<String, Value>, CallError> {
    parsed("a JSON object", &answer.body)
}

fn named(answer: &Answer, key: &str) -> Result<String, CallError> {
    match object(answer)?.get(key).and_then(Value::as_str) {
        Some(id) if !id.is_empty() => Ok(id.to_owned()),
        _ => Err(CallError::Malformed {
            detail: format!("expected a {key}, got none"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PEER, Reply, Responder, SELF};
    use super::*;

    async fn saying(status: u16, body: Value) -> Responder {
        Responder::start(vec![Reply::json(status, &body.to_string())]).await
    }

    fn id() -> RequestId {
        RequestId::parse("5F0C1D2E-0000-4000-8000-00000000000A").unwrap()
    }

    fn line(responder: &Responder) -> String {
        responder.seen()[0]
            .request_line()
            .trim_end_matches(" HTTP/1.1")
            .to_owned()
    }

    #[tokio::test]
    async fn a_request_names_what_is_asked_of_whom() {
        let agent = Asked::Agent(PeerId::parse(PEER).unwrap());
        for (wish, asked, priority, expected) in [
            (
                Wish::Task,
                agent,
                Some(2),
                json!({ "kind": "task", "recipient_type": "agent", "recipient_id": PEER, "title": "t", "detail": "d",
                    "priority": 2 }),
            ),
            (
                Wish::Approval,
                Asked::Person(None),
                None,
                json!({ "kind": "approval", "recipient_type": "user", "recipient_id": "", "title": "t", "detail": "d" }),
            ),
        ] {
            let responder = saying(201, json!({ "request_id": "r-1", "status": "pending" })).await;
            let new = NewRequest {
                wish,
                asked,
                title: "t".to_owned(),
                detail: "d".to_owned(),
                priority,
            };
            assert_eq!(responder.api().create_request(&new).await.unwrap(), "r-1");
            assert_eq!(line(&responder), format!("POST /workspaces/{SELF}/requests"));
            assert_eq!(responder.seen()[0].json(), expected);
        }
        let responder = saying(201, json!({ "status": "pending" })).await;
        let error = responder.api().create_approval("a", "").await.unwrap_err();
        assert!(error.outcome_is_unknown());
    }

    #[tokio::test]
    async fn requests_are_listed_by_side_and_status() {
        let row =
            json!({ "id": "r-1", "kind": "task", "title": "t", "status": "info_requested", "detail": null, "new": 1 });
        let responder = saying(200, json!([row, { "kind": "no id" }, 7])).await;
        let api = responder.api();
        let inbox = api.request_inbox(Some("pending")).await.unwrap();
        assert!(inbox.len() == 1 && inbox[0].is_open());
        assert_eq!(api.own_requests(None).await.unwrap().len(), 1);
        let lines: Vec<_> = responder
            .seen()
            .iter()
            .map(|seen| seen.request_line().to_owned())
            .collect();
        assert_eq!(
            lines,
            [
                format!("GET /workspaces/{SELF}/requests/inbox?status=pending HTTP/1.1"),
                format!("GET /workspaces/{SELF}/requests HTTP/1.1")
            ]
        );
    }

    #[tokio::test]
    async fn an_approval_of_old_reads_like_a_request() {
        let row = json!({ "id": "a-1", "task_id": null, "action": "deploy", "reason": "green", "status": "denied",
            "decided_by": "human", "decided_at": "2026-05-01 10:00", "created_at": "2026-05-01 09:00" });
        let responder = saying(200, json!([row])).await;
        let rows = responder.api().own_approvals().await.unwrap();
        let shown = (
            rows[0].kind.as_str(),
            rows[0].title.as_str(),
            rows[0].status.as_str(),
            rows[0].is_open(),
        );
        assert_eq!(shown, ("approval", "deploy", "denied", false));
        assert_eq!(rows[0].responder_type.as_deref(), Some("user"));
        assert_eq!(line(&responder), format!("GET /workspaces/{SELF}/approvals"));
    }

    #[tokio::test]
    async fn answers_messages_and_withdrawals_are_this_workspaces() {
        let responder = saying(200, json!({ "status": "done", "request_id": "r-1" })).await;
        let (api, id) = (responder.api(), id());
        api.respond_request(&id, "done").await.unwrap();
        api.add_request_message(&id, "why?").await.unwrap();
        api.cancel_request(&id).await.unwrap();
        let seen = responder.seen();
        let asked: Vec<_> = seen
            .iter()
            .map(|seen| {
                (
                    seen.request_line().trim_end_matches(" HTTP/1.1").to_owned(),
                    seen.json(),
                )
            })
            .collect();
        let path = |rest: &str| format!("POST /workspaces/{SELF}/requests/{id}/{rest}");
        assert_eq!(
            asked,
            [
                (
                    path("respond"),
                    json!({ "action": "done", "responder_type": "agent", "responder_id": SELF })
                ),
                (
                    path("messages"),
                    json!({ "body": "why?", "author_type": "agent", "author_id": SELF })
                ),
                (path("cancel"), json!({})),
            ]
        );
    }

    #[tokio::test]
    async fn a_thread_is_read_with_its_request() {
        let body = json!({ "request": { "id": "r-1", "status": "pending" }, "messages": [
            { "id": "m", "request_id": "r-1", "author_type": "user", "author_id": "u", "body": "why?", "created_at": "t" } ] });
        let responder = saying(200, body).await;
        let thread = responder.api().request_thread(&id()).await.unwrap();
        assert_eq!(
            (thread.request.id.as_str(), thread.messages[0].body.as_str()),
            ("r-1", "why?")
        );
        assert_eq!(line(&responder), format!("GET /workspaces/{SELF}/requests/{}", id()));
        let responder = saying(200, json!({})).await;
        assert!(matches!(
            responder.api().request_thread(&id()).await,
            Err(CallError::Malformed { .. })
        ));
    }
}
