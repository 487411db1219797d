//! MCP over HTTP: several clients of one service, and everybody who is no client.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use molecule_mcp::cli::demo::client::McpChild;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::push::CHANNEL;
use super::start_up::run_to_end;
use super::support::{PATIENCE, Workspace, World, file, pop, signal, until};

/// A service that serves MCP.
struct Service {
    daemon: McpChild,
    address: String,
    token: String,
    http: reqwest::Client,
}

impl Service {
    async fn start(world: &World, workspace: &Workspace) -> Self {
        let mut command = world.command(workspace);
        command
            .args(["serve", "--http", "127.0.0.1:0", "--mcp"])
            .env("MOLECULE_LOG_FORMAT", "text")
            .stdin(Stdio::null());
        let daemon = McpChild::spawn(command).unwrap();
        let address = || {
            let log = daemon.complaints();
            let (_, rest) = log.split_once("serving MCP at ")?;
            Some(rest.split_once("/mcp\n")?.0.to_owned())
        };
        until("it listens", || async { address().is_some() }).await;
        let address = address().unwrap();
        until("the workspace is online", || async {
            world.status(workspace).await == "online"
        })
        .await;
        Self {
            address,
            token: file(&workspace.folder, "http.token"),
            daemon,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn ask(&self, method: Method) -> RequestBuilder {
        self.http
            .request(method, format!("{}/mcp", self.address))
            .header("accept", "application/json, text/event-stream")
    }

    /// Opens a session.
    async fn client(&self) -> Client {
        self.client_named("test").await
    }

    async fn client_named(&self, name: &str) -> Client {
        let client = self.try_client(name).await;
        client.unwrap_or_else(|refused| panic!("it was refused: {refused}\n{}", self.daemon.complaints()))
    }

    async fn try_client(&self, name: &str) -> Result<Client, u16> {
        let hello = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": { "name": name, "version": "1" },
            },
        });
        let answer = self.ask(Method::POST).bearer_auth(&self.token).json(&hello);
        let answer = answer.send().await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let said = messages(&answer.text().await.unwrap());
        assert_eq!(said[0]["result"]["protocolVersion"], "2025-06-18");
        let client = Client {
            url: format!("{}/mcp", self.address),
            // Connections of its own: when it goes, they break.
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            token: self.token.clone(),
            session,
            next: AtomicI64::new(1),
        };
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(client.post(&note).await.status(), 202);
        Ok(client)
    }
}

/// A client in its session.
struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    session: String,
    next: AtomicI64,
}

impl Client {
    fn ask(&self, method: Method) -> RequestBuilder {
        self.http
            .request(method, &self.url)
            .bearer_auth(&self.token)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-session-id", &self.session)
            .header("mcp-protocol-version", "2025-06-18")
    }

    async fn post(&self, message: &Value) -> Response {
        self.ask(Method::POST).json(message).send().await.unwrap()
    }

    /// A request with the next id.
    fn message(&self, method: &str, parameters: &Value) -> Value {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters })
    }

    /// All that came in the answer of one request, the result last.
    async fn all_of(&self, method: &str, parameters: Value) -> Vec<Value> {
        let answer = self.post(&self.message(method, &parameters)).await;
        assert_eq!(answer.status(), 200, "{method}");
        messages(&answer.text().await.unwrap())
    }

    async fn request(&self, method: &str, parameters: Value) -> Value {
        let mut all = self.all_of(method, parameters).await;
        let mut last = all.pop().expect("an answer");
        assert!(last["error"].is_null(), "{last}");
        last["result"].take()
    }

    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let parameters = json!({ "name": tool, "arguments": arguments });
        self.request("tools/call", parameters).await["structuredContent"].take()
    }

    /// Waits so long for a message; null when none came.
    async fn wait(&self, seconds: u64) -> Value {
        let answer = self.call("wait_for_message", json!({ "timeout_secs": seconds })).await;
        if answer["activity_id"].is_string() {
            answer
        } else {
            Value::Null
        }
    }

    async fn next_message(&self) -> Value {
        let message = self.wait(PATIENCE.as_secs()).await;
        assert!(message.is_object(), "no message came");
        message
    }

    async fn pop(&self, message: &Value) {
        let popped = self.call("inbox_pop", json!({ "activity_id": message["activity_id"] }));
        assert_eq!(popped.await["removed"], true);
    }

    /// Opens the stream of what comes unasked.
    async fn listen(&self) -> Stream {
        let answer = self.ask(Method::GET).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let heard = Arc::new(Mutex::new(String::new()));
        let ear = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let mut bytes = answer.bytes_stream();
            while let Some(Ok(chunk)) = bytes.next().await {
                ear.lock().await.push_str(&String::from_utf8_lossy(&chunk));
            }
        });
        Stream { heard, task }
    }

    async fn leave(&self) -> u16 {
        let answer = self.ask(Method::DELETE).send().await.unwrap();
        answer.status().as_u16()
    }
}

/// What comes unasked. It breaks off when this is dropped.
struct Stream {
    heard: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Stream {
    async fn has(&self, method: &str) -> bool {
        let heard = self.heard.lock().await;
        messages(&heard).iter().any(|message| message["method"] == method)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The messages in a stream of events.
fn messages(events: &str) -> Vec<Value> {
    let data = events.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}

#[tokio::test]
async fn a_client_gets_what_it_would_get_over_pipes() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let client = service.client().await;
    let over_pipes = world.daemon(&workspace).await;
    let tools = client.request("tools/list", json!({})).await;
    let listed = over_pipes.request("tools/list", json!({})).await.unwrap();
    assert!(tools["tools"].as_array().is_some_and(|tools| tools.len() > 20));
    assert!(tools["tools"] == listed["result"]["tools"], "the lists of tools differ");
    let info = client.call("get_workspace_info", json!({})).await;
    assert_eq!(info["id"], json!(workspace.id));

    world.say(&workspace, "hello").await;
    let message = client.next_message().await;
    assert_eq!(message["text"], "hello");
    let answer = json!({ "activity_id": message["activity_id"], "text": "good day" });
    client.call("reply_to_message", answer).await;
    until("the reply has arrived", || async {
        world.told(&workspace).await == ["good day"]
    })
    .await;

    let stream = client.listen().await;
    client
        .request("resources/subscribe", json!({ "uri": "molecule://inbox" }))
        .await;
    world.say(&workspace, "news").await;
    until("the client is told", || async {
        stream.has("notifications/resources/updated").await
    })
    .await;
    let message = client.next_message().await;
    client.pop(&message).await;
    let waiting = json!({
        "name": "wait_for_message", "arguments": { "timeout_secs": 1 }, "_meta": { "progressToken": "p" },
    });
    let all = client.all_of("tools/call", waiting).await;
    assert!(all.iter().any(|it| it["params"]["progressToken"] == "p"), "{all:?}");
}

#[tokio::test]
async fn messages_are_pushed_to_a_client_that_takes_them() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let (pushed, other) = (service.client_named("claude-code").await, service.client().await);
    let (stream, silent) = (pushed.listen().await, other.listen().await);
    world.say(&workspace, "look here").await;
    until("it is pushed", || async { stream.has(CHANNEL).await }).await;
    let message = pushed.next_message().await;
    assert_eq!(message["text"], "look here", "a hint takes nothing");
    pushed.pop(&message).await;
    assert!(!silent.has(CHANNEL).await);
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let path = workspace.folder.join("http.token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!((mode & 0o777, service.token.len()), (0o600, 64));
    let port = service.address.rsplit_once(':').unwrap().1.to_owned();
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "tools/list" });
    let status = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = service.ask(method).json(&hello);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    let good = format!("Bearer {}", service.token);
    let good = ("authorization", good.as_str());
    for method in [Method::POST, Method::GET, Method::DELETE, Method::OPTIONS] {
        let refused = status(method.clone(), &[]).await;
        assert_eq!(refused.status(), 401, "{method}");
        assert!(
            refused.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
    }
    let wrong = format!("Bearer {}", service.token.replace(['0', '1', '2'], "3"));
    assert_eq!(status(Method::POST, &[("authorization", &wrong)]).await.status(), 401);
    let local = format!("localhost:{port}");
    let origin = format!("http://{local}");
    for (headers, expected) in [
        (vec![good, ("host", "evil.example")], 403),
        (vec![good, ("host", "127.0.0.1")], 403),
        (vec![good, ("origin", "https://evil.example")], 403),
        (vec![good, ("origin", "http://localhost:1")], 403),
        (vec![good, ("origin", "null")], 403),
        // A session is what is missing here.
        (vec![good, ("host", &local), ("origin", &origin)], 400),
        (vec![good], 400),
        (vec![good, ("mcp-session-id", "nobody's")], 404),
    ] {
        assert_eq!(status(Method::POST, &headers).await.status(), expected, "{headers:?}");
    }
    let client = service.client().await;
    let post = async |body: Vec<u8>| {
        let request = client.ask(Method::POST).header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap_or_default(),
        )
    };
    let (refused, what) = post(b"{".to_vec()).await;
    assert_eq!((refused, &what["error"]["code"]), (400, &json!(-32700)));
    let (refused, what) = post(b"[]".to_vec()).await;
    assert_eq!((refused, &what["error"]["code"]), (400, &json!(-32600)));
    assert_eq!(post(vec![b' '; 9 * 1024 * 1024]).await.0, 413);
    assert_eq!(client.ask(Method::PUT).send().await.unwrap().status(), 405);
    let open = service.http.get(format!("{}/healthz", service.address));
    assert_eq!(open.send().await.unwrap().status(), 200);
    let log = service.daemon.complaints();
    assert!(!log.contains(&service.token) && !log.contains(&client.session), "{log}");
}

#[tokio::test]
async fn two_clients_never_get_the_same_message() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let (one, two) = tokio::join!(service.client(), service.client());
    let over_pipes = world.daemon(&workspace).await;
    let all: Vec<String> = (0..30).map(|n| format!("m-{n}")).collect();
    for text in &all {
        world.say(&workspace, text).await;
    }
    let took = Mutex::new(Vec::new());
    let through = async |client: &Client| {
        while took.lock().await.len() < all.len() {
            let message = client.wait(1).await;
            if message.is_object() {
                took.lock().await.push(message["text"].as_str().unwrap().to_owned());
                client.pop(&message).await;
            }
        }
    };
    let beside = async {
        while took.lock().await.len() < all.len() {
            let message = over_pipes
                .call("wait_for_message", json!({ "timeout_secs": 1 }))
                .await
                .unwrap();
            if let Some(text) = message["text"].as_str() {
                took.lock().await.push(text.to_owned());
                pop(&over_pipes, &message).await;
            }
        }
    };
    tokio::join!(through(&one), through(&one), through(&two), beside);
    let mut took = took.into_inner();
    took.sort();
    let mut expected = all;
    expected.sort();
    assert_eq!(took, expected);
}

#[tokio::test]
async fn what_a_client_was_shown_is_offered_again_the_moment_it_leaves() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let (leaving, staying) = (service.client().await, service.client().await);
    let stream = leaving.listen().await;
    world.say(&workspace, "for one of you").await;
    let first = leaving.next_message().await;
    assert!(staying.wait(0).await.is_null(), "it is leased");
    let elsewhere = staying
        .call("inbox_pop", json!({ "activity_id": first["activity_id"] }))
        .await;
    assert_eq!(elsewhere["removed"], false, "{elsewhere}");
    assert_eq!(leaving.leave().await, 204);
    let again = staying.next_message().await;
    assert_eq!(
        (&again["activity_id"], &again["delivery_count"]),
        (&first["activity_id"], &json!(2))
    );
    staying.pop(&again).await;
    assert_eq!(leaving.leave().await, 404);
    assert_eq!(leaving.post(&leaving.message("ping", &json!({}))).await.status(), 404);
    until("its stream has ended", || async { stream.task.is_finished() }).await;
    // One session is left.
    let metrics = service
        .http
        .get(format!("{}/metrics", service.address))
        .send()
        .await
        .unwrap();
    let page = metrics.text().await.unwrap();
    assert!(page.contains("molecule_mcp_http_sessions 1\n"), "{page}");
    assert!(page.contains("molecule_mcp_processes 1\n"), "{page}");
}

#[tokio::test]
async fn a_client_that_dies_without_a_word_is_noticed() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let dying = service.client().await;
    let stream = dying.listen().await;
    world.say(&workspace, "whose").await;
    let first = dying.next_message().await;
    drop(stream);
    let session = dying.session.clone();
    drop(dying);
    let staying = service.client().await;
    let again = staying.next_message().await;
    assert_eq!(again["activity_id"], first["activity_id"]);
    let gone = service.ask(Method::POST).bearer_auth(&service.token);
    let gone = gone
        .header("mcp-session-id", session)
        .json(&json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" }));
    assert_eq!(gone.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_cancelled_wait_takes_no_message_nor_does_one_whose_connection_broke() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let client = service.client().await;
    let stream = client.listen().await;
    let ping = |id: i64| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
    let wait = |id: i64| {
        let arguments = json!({ "name": "wait_for_message", "arguments": { "timeout_secs": 300 } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": arguments })
    };
    let cancelled = client.post(&wait(501)).await;
    assert_eq!(client.post(&ping(501)).await.status(), 429, "it is in progress");
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 501 } });
    assert_eq!(client.post(&note).await.status(), 202);
    assert_eq!(messages(&cancelled.text().await.unwrap()), Vec::<Value>::new());

    let broken = client.post(&wait(502)).await;
    assert_eq!(client.post(&ping(502)).await.status(), 429, "it is in progress");
    drop(broken);
    until("the call is given up", || async {
        client.post(&ping(502)).await.status() == 200
    })
    .await;
    world.say(&workspace, "for a wait that lives").await;
    assert_eq!(client.next_message().await["text"], "for a wait that lives");
    assert!(!stream.task.is_finished());
}

#[tokio::test]
async fn it_ends_in_time_with_streams_open_and_answers_what_is_in_flight() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut service = Service::start(&world, &workspace).await;
    let client = service.client().await;
    let stream = client.listen().await;
    let wait = json!({ "name": "wait_for_message", "arguments": { "timeout_secs": 300 } });
    let waiting = client.post(&client.message("tools/call", &wait)).await;
    let begun = Instant::now();
    signal(service.daemon.id().unwrap(), "TERM");
    let said = messages(&waiting.text().await.unwrap());
    assert_eq!(service.daemon.wait().await.unwrap().0.code(), Some(0));
    let took = begun.elapsed();
    assert_eq!(said[0]["id"], 1, "the wait was answered: {said:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    until("the stream has ended", || async { stream.task.is_finished() }).await;
}

#[tokio::test]
async fn a_hangup_reads_the_token_again_and_ends_the_sessions() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut service = Service::start(&world, &workspace).await;
    let client = service.client().await;
    std::fs::remove_file(workspace.folder.join("http.token")).unwrap();
    signal(service.daemon.id().unwrap(), "HUP");
    until("the old token is refused", || async {
        client.post(&client.message("ping", &json!({}))).await.status() == 401
    })
    .await;
    let old = std::mem::replace(&mut service.token, file(&workspace.folder, "http.token"));
    assert_ne!(old, service.token);
    let client = service.client().await;
    world.say(&workspace, "afterwards").await;
    assert_eq!(client.next_message().await["text"], "afterwards");
}

#[tokio::test]
async fn there_are_so_many_sessions_and_a_client_that_has_gone_makes_room() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let service = Service::start(&world, &workspace).await;
    let mut clients = Vec::new();
    let refused = loop {
        match service.try_client("test").await {
            // Nobody makes room who has a stream open.
            Ok(client) => clients.push((client.listen().await, client)),
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused, clients.len()), (503, 32));
    let (stream, leaving) = clients.pop().unwrap();
    assert_eq!(leaving.leave().await, 204);
    let next = service.client().await;
    clients.push((next.listen().await, next));
    drop(stream);
    assert_eq!(service.try_client("test").await.err(), Some(503));
    let (stream, silent) = clients.remove(7);
    drop(stream);
    until("there is room", || async { service.try_client("test").await.is_ok() }).await;
    assert_eq!(silent.post(&silent.message("ping", &json!({}))).await.status(), 404);
}

#[tokio::test]
async fn a_start_that_cannot_serve_it_says_why() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = world.command(&workspace);
    command.args(["serve", "--mcp"]);
    let (ended, _, complaints) = run_to_end(command).await;
    assert!(ended == 2 && complaints.contains("--http"), "{ended} {complaints}");
    std::fs::write(workspace.folder.join("http.token"), "0123456789abcdef0123456789abcdef").unwrap();
    let mut command = world.command(&workspace);
    command
        .arg("serve")
        .env("MOLECULE_HTTP", "127.0.0.1:0")
        .env("MOLECULE_HTTP_MCP", "1");
    let (ended, _, complaints) = run_to_end(command).await;
    assert!(ended == 2 && complaints.contains("http.token"), "{ended} {complaints}");
    assert!(!complaints.contains("0123456789"), "{complaints}");
}
