//! The platform over real sockets: each test states facts of the contract that a client depends on.

mod activity;
mod conversation;
mod delegation;
mod faults;
mod level_c;
mod management;
mod memories;
mod page;
mod registry;
mod requests;
mod runtime;
mod uploads;

mod operating;

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Level, LocalPlatform, Options};

/// A running platform and a client for it.
struct World {
    platform: LocalPlatform,
    http: reqwest::Client,
}

/// A workspace with its token.
#[derive(Clone)]
struct Guest {
    id: String,
    token: String,
}

/// Status, headers and JSON body (null when there is none).
struct Got {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
    text: String,
}

impl World {
    async fn new() -> Self {
        Self::at(Level::B).await
    }

    async fn at(level: Level) -> Self {
        Self::with(Options {
            level,
            faults: true,
            rate_limit: 100_000,
            ..Options::default()
        })
        .await
    }

    async fn with(options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            platform: LocalPlatform::start(options).await.unwrap(),
            http,
        }
    }

    fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        self.http.request(method, format!("{}{path}", self.platform.url()))
    }

    /// Sends with an optional bearer and an optional body (null: none).
    async fn call(&self, method: &str, path: &str, bearer: Option<&str>, body: Value) -> Got {
        let mut request = self.request(method, path);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        got(request).await
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> Got {
        self.call(method, path, Some(self.platform.admin_token()), body).await
    }

    /// Makes an external workspace that has not registered.
    async fn create(&self, name: &str, parent: Option<&Guest>) -> Guest {
        let body = json!({ "name": name, "external": true, "parent_id": parent.map(|parent| &parent.id) });
        let made = self.admin("POST", "/workspaces", body).await;
        assert_eq!((made.status, &made.body["status"]), (201, &json!("awaiting_agent")));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Guest {
            id: text(&made.body["id"]),
            token: text(&made.body["connection"]["auth_token"]),
        }
    }

    /// Makes a workspace and registers it in poll mode.
    async fn join(&self, name: &str) -> Guest {
        let guest = self.create(name, None).await;
        assert_eq!(self.register(&guest.id, Some(&guest.token)).await.status, 200);
        guest
    }

    async fn register(&self, id: &str, bearer: Option<&str>) -> Got {
        let body = json!({ "id": id, "url": "", "delivery_mode": "poll", "agent_card": { "name": "x", "skills": [] } });
        self.call("POST", "/registry/register", bearer, body).await
    }

    async fn beat(&self, id: &str, bearer: Option<&str>) -> Got {
        self.call("POST", "/registry/heartbeat", bearer, json!({ "workspace_id": id }))
            .await
    }

    /// Reads the activity log with the workspace's own token.
    async fn activity(&self, guest: &Guest, query: &str) -> Got {
        self.call(
            "GET",
            &format!("/workspaces/{}/activity?{query}", guest.id),
            Some(&guest.token),
            Value::Null,
        )
        .await
    }

    /// Sends text from one workspace to another.
    async fn tell(&self, from: &Guest, to: &Guest, text: &str) -> Got {
        let path = format!("/workspaces/{}/a2a", to.id);
        let request = self
            .request("POST", &path)
            .bearer_auth(&from.token)
            .header("X-Workspace-ID", &from.id);
        got(request.json(&envelope(text))).await
    }

    async fn insert(&self, guest: &Guest, rows: Value) -> Vec<String> {
        let inserted = self
            .call("POST", &format!("/_local/rows/{}", guest.id), None, rows)
            .await;
        assert_eq!(inserted.status, 200, "{}", inserted.text);
        serde_json::from_value(inserted.body["ids"].clone()).unwrap()
    }

    async fn status_of(&self, id: &str) -> Value {
        self.call("GET", &format!("/workspaces/{id}"), None, Value::Null)
            .await
            .body["status"]
            .clone()
    }
}

async fn got(request: RequestBuilder) -> Got {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    Got {
        status,
        headers,
        body: serde_json::from_str(&text).unwrap_or_default(),
        text,
    }
}

impl Got {
    #[track_caller]
    fn is(&self, status: u16, body: &Value) {
        assert_eq!((self.status, &self.body), (status, body));
    }

    #[track_caller]
    fn refused(&self, status: u16, error: &str) {
        self.is(status, &json!({ "error": error }));
    }

    fn ids(&self) -> Vec<String> {
        self.body
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn envelope(text: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": { "message": {
        "role": "user", "messageId": uuid::Uuid::new_v4().to_string(), "parts": [{ "kind": "text", "text": text }] } } })
}

fn text_of(row: &Value) -> &str {
    row["request_body"]["params"]["message"]["parts"][0]["text"]
        .as_str()
        .unwrap()
}

/// Asks again until `check` gives something, for at most five seconds.
async fn eventually<T, F: Future<Output = Option<T>>>(mut check: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(5), "it never happened");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An open event stream.
struct Events {
    response: reqwest::Response,
    unread: String,
}

impl Events {
    async fn open(world: &World, guest: &Guest) -> Self {
        let request = world.request("GET", &format!("/workspaces/{}/events/stream", guest.id));
        let response = request.bearer_auth(&guest.token).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut events = Self {
            response,
            unread: String::new(),
        };
        assert_eq!(events.block().await, ": ping");
        events
    }

    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                return block;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(5), self.response.chunk())
                .await
                .unwrap();
            self.unread
                .push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
        }
    }

    async fn next(&mut self) -> Value {
        let block = self.block().await;
        serde_json::from_str(block.strip_prefix("data: ").unwrap()).unwrap()
    }
}
