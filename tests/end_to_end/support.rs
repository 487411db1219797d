//! A world per test: its own platform on a free port, its own folders, daemons with an empty environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::{Level, LocalPlatform, Options};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long a condition may take; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// All intervals of the daemon run this much faster: a beat every 400 ms, a full sweep after 0.9 s.
pub const SPEED: u32 = 50;

pub struct World {
    platform: Option<LocalPlatform>,
    options: Options,
    speed: u32,
    url: String,
    admin: String,
    level: Level,
    http: reqwest::Client,
    folder: TempDir,
}

#[derive(Clone, Debug)]
pub struct Workspace {
    pub id: String,
    pub token: String,
    pub folder: PathBuf,
}

impl World {
    pub async fn new() -> Self {
        Self::at(Level::B).await
    }

    pub async fn at(level: Level) -> Self {
        Self::with(Options {
            level,
            ..Options::default()
        })
        .await
    }

    /// A platform whose memory outlives it, so that it can come back.
    pub async fn durable() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            data: Some(folder.path().join("platform")),
            ..Options::default()
        };
        Self {
            folder,
            ..Self::with(options).await
        }
    }

    /// A platform with these peculiarities, that limits nobody and can be told to fail.
    pub async fn with(options: Options) -> Self {
        let mut options = Options {
            rate_limit: 1_000_000,
            faults: true,
            ..options
        };
        let platform = LocalPlatform::start(options.clone()).await.expect("a free port");
        let (url, admin) = (platform.url(), platform.admin_token().to_owned());
        options.listen = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self {
            platform: Some(platform),
            level: options.level,
            options,
            speed: SPEED,
            url,
            admin,
            http: http(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The credential of administrative routes.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Other intervals than usual, for daemons started from now on: where deadlines, which are not shortened, matter.
    pub fn at_speed(mut self, speed: u32) -> Self {
        self.speed = speed;
        self
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address of the platform's page, with its token.
    #[allow(dead_code, reason = "for the tests of the page")]
    pub fn page(&self) -> &str {
        self.platform.as_ref().expect("the platform is up").page_url()
    }

    pub fn port(&self) -> u16 {
        self.options.listen.port()
    }

    /// From now on nothing passes over any connection, ours included.
    pub fn swallow(&mut self) {
        self.platform.as_ref().expect("the platform is up").swallow();
    }

    /// New connections work again; those from before stay dead.
    pub fn answer_again(&mut self) {
        self.platform.as_ref().expect("the platform is up").answer_again();
        self.http = http();
    }

    /// Stops the platform: from now on nothing listens at its address.
    pub async fn go_down(&mut self) {
        if let Some(platform) = self.platform.take() {
            platform.stop().await;
        }
    }

    /// Starts a platform again that was made durable, at the same port.
    pub async fn come_back(&mut self) {
        self.come_back_at([127, 0, 0, 1]).await;
    }

    /// The same at another address.
    pub async fn come_back_at(&mut self, address: [u8; 4]) {
        self.options.listen.set_ip(address.into());
        let platform = LocalPlatform::start(self.options.clone()).await.expect("the old port");
        self.url = platform.url();
        self.platform = Some(platform);
    }

    pub async fn workspace(&self, name: &str) -> Workspace {
        let body = json!({ "name": name, "runtime": "external", "external": true, "delivery_mode": "poll" });
        let made = self
            .ok(Method::POST, "/workspaces", Some(&self.admin), Some(body))
            .await;
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Workspace {
            id: text(&made["id"]),
            token: text(&made["connection"]["auth_token"]),
            folder,
        }
    }

    pub async fn delete(&self, workspace: &Workspace) {
        self.ok(
            Method::DELETE,
            &format!("/workspaces/{}?confirm=true", workspace.id),
            Some(&self.admin),
            None,
        )
        .await;
    }

    /// Deletes a workspace so thoroughly that the platform no longer knows its id.
    pub async fn purge(&self, workspace: &Workspace) {
        let path = format!("/workspaces/{}?confirm=true&purge=true", workspace.id);
        self.ok(Method::DELETE, &path, Some(&self.admin), None).await;
    }

    /// The person writes to a workspace.
    pub async fn say(&self, to: &Workspace, text: &str) {
        self.say_as(to, text, &Uuid::new_v4().to_string()).await;
    }

    pub async fn say_as(&self, to: &Workspace, text: &str, message_id: &str) {
        let message = json!({ "role": "user", "messageId": message_id, "parts": [{ "kind": "text", "text": text }] });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": { "message": message } });
        // Level C knows the person by the platform's own credential; before, by the absence of any.
        let person = (self.level == Level::C).then_some(self.admin.as_str());
        self.ok(Method::POST, &format!("/workspaces/{}/a2a", to.id), person, Some(body))
            .await;
    }

    /// The person uploads files `(name, type, content)` for a workspace; what a message says of them.
    pub async fn upload(&self, to: &Workspace, files: &[(&str, &str, &[u8])]) -> Vec<Value> {
        let form = files.iter().fold(Form::new(), |form, (name, kind, content)| {
            let part = Part::bytes(content.to_vec()).file_name((*name).to_owned());
            form.part("files", part.mime_str(kind).unwrap())
        });
        let url = format!("{}/workspaces/{}/chat/uploads", self.url, to.id);
        let request = self.http.post(url).bearer_auth(&self.admin).multipart(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["files"].as_array().cloned().expect("the files were taken")
    }

    /// The person writes to a workspace and attaches what was uploaded.
    pub async fn say_with(&self, to: &Workspace, text: &str, files: &[Value]) {
        let mut parts: Vec<Value> = files
            .iter()
            .map(|file| json!({ "kind": "file", "file": file }))
            .collect();
        if !text.is_empty() {
            parts.insert(0, json!({ "kind": "text", "text": text }));
        }
        let message = json!({ "role": "user", "messageId": Uuid::new_v4().to_string(), "parts": parts });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": { "message": message } });
        let person = (self.level == Level::C).then_some(self.admin.as_str());
        self.ok(Method::POST, &format!("/workspaces/{}/a2a", to.id), person, Some(body))
            .await;
    }

    /// What the person gets who opens the address of a file: its content, or the status of the refusal.
    pub async fn open(&self, uri: &str) -> Result<Vec<u8>, u16> {
        let rest = uri
            .strip_prefix("platform-pending:")
            .expect("an address at the platform");
        let (workspace, file) = rest.split_once('/').unwrap();
        let url = format!("{}/workspaces/{workspace}/pending-uploads/{file}/content", self.url);
        let answer = self.http.get(url).bearer_auth(&self.admin).send().await.unwrap();
        match answer.status().as_u16() {
            200 => Ok(answer.bytes().await.unwrap().to_vec()),
            status => Err(status),
        }
    }

    /// Puts a fault rule into force; see the embedded platform's documentation.
    pub async fn fault(&self, rule: Value) {
        self.ok(Method::POST, "/_local/faults", None, Some(rule)).await;
    }

    pub async fn no_faults(&self) {
        self.ok(Method::DELETE, "/_local/faults", None, None).await;
    }

    /// From now on message rows become visible up to `max_ms` after later ones.
    pub async fn late(&self, max_ms: u64, seed: u64) {
        self.ok(
            Method::POST,
            "/_local/late",
            None,
            Some(json!({ "max_ms": max_ms, "seed": seed })),
        )
        .await;
    }

    /// Inserts activity rows as given.
    pub async fn rows(&self, workspace: &Workspace, rows: Value) {
        self.ok(
            Method::POST,
            &format!("/_local/rows/{}", workspace.id),
            None,
            Some(rows),
        )
        .await;
    }

    /// Every request the platform has seen.
    pub async fn log(&self) -> Vec<Value> {
        let log = self.ok(Method::GET, "/_local/log?after=0", None, None).await;
        log.as_array().cloned().expect("the log is an array")
    }

    /// The logged requests to one route.
    pub async fn requests(&self, route: &str) -> Vec<Value> {
        self.log()
            .await
            .into_iter()
            .filter(|entry| entry["route"] == route)
            .collect()
    }

    /// What a daemon asked with a token of its own, by route.
    pub async fn requests_with(&self, token: &str, route: &str) -> Vec<Value> {
        let digest = Sha256::digest(token.as_bytes());
        let bearer: String = digest[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut requests = self.requests(route).await;
        requests.retain(|entry| entry["bearer"] == json!(bearer));
        requests
    }

    /// A further token of a workspace: the log tells daemons apart by it.
    pub async fn another_token(&self, workspace: &Workspace) -> String {
        let path = format!("/workspaces/{}/tokens", workspace.id);
        let minted = self.ok(Method::POST, &path, Some(&workspace.token), None).await;
        minted["auth_token"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, workspace: &Workspace) -> String {
        let (_, row) = self
            .ask(Method::GET, &format!("/workspaces/{}", workspace.id), None, None)
            .await;
        row["status"].as_str().unwrap_or_default().to_owned()
    }

    /// What a workspace has told the person, oldest first.
    pub async fn told(&self, from: &Workspace) -> Vec<String> {
        let echoes = self.echoes(from).await;
        let text = |echo: &Value| echo["result"].as_str().unwrap_or_default().to_owned();
        echoes.iter().map(text).collect()
    }

    /// The same with the files: `result`, and `parts` when there are any.
    pub async fn echoes(&self, from: &Workspace) -> Vec<Value> {
        let path = format!("/workspaces/{}/activity?type=a2a_receive&limit=500", from.id);
        let rows = self.ok(Method::GET, &path, Some(&from.token), None).await;
        let echoes = rows
            .as_array()
            .unwrap()
            .iter()
            .rev()
            .filter(|row| row["method"] == "notify");
        echoes.map(|row| row["response_body"].clone()).collect()
    }

    pub async fn ok(&self, method: Method, path: &str, bearer: Option<&str>, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, bearer, body).await;
        assert!((200..300).contains(&status), "{path} answered {status}: {answer}");
        answer
    }

    pub async fn ask(&self, method: Method, path: &str, bearer: Option<&str>, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// The command that starts the daemon of a workspace, fast clock, nothing else in the environment.
    pub fn command(&self, workspace: &Workspace) -> Command {
        let mut command = bare_command();
        command
            .env("PLATFORM_URL", &self.url)
            .env("WORKSPACE_ID", &workspace.id)
            .env("MOLECULE_WORKSPACE_TOKEN", &workspace.token)
            .env("CONFIGS_DIR", &workspace.folder)
            .env("MOLECULE_TEST_SPEED", self.speed.to_string());
        command
    }

    /// Starts the daemon and opens the session.
    pub async fn daemon(&self, workspace: &Workspace) -> McpChild {
        start(self.command(workspace)).await
    }

    /// Starts the daemon and waits until the platform shows the workspace online.
    pub async fn online(&self, workspace: &Workspace) -> McpChild {
        let daemon = self.daemon(workspace).await;
        until("the workspace is online", || async {
            self.status(workspace).await == "online"
        })
        .await;
        daemon
    }
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The binary with an empty environment.
pub fn bare_command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_molecule-mcp"));
    command.env_clear();
    // Where a build that counts its lines writes the counts.
    if let Some(file) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", file);
    }
    command
}

pub async fn start(command: Command) -> McpChild {
    let daemon = McpChild::spawn(command).unwrap();
    daemon.initialize().await.unwrap();
    daemon
}

/// Asks again until the answer is yes; a failing test says what did not come true.
pub async fn until<F, Fut>(what: &str, mut is_it_so: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let deadline = Instant::now() + PATIENCE;
    while !is_it_so().await {
        assert!(Instant::now() < deadline, "did not come true: {what}");
        sleep(Duration::from_millis(15)).await;
    }
}

/// Waits for the next message and returns it.
pub async fn next_message(daemon: &McpChild) -> Value {
    let message = daemon
        .call("wait_for_message", json!({ "timeout_secs": PATIENCE.as_secs() }))
        .await
        .unwrap();
    assert!(
        message["activity_id"].is_string(),
        "no message arrived: {message}\n{}",
        daemon.complaints()
    );
    message
}

pub async fn pop(daemon: &McpChild, message: &Value) -> Value {
    daemon
        .call("inbox_pop", json!({ "activity_id": message["activity_id"] }))
        .await
        .unwrap()
}

/// Takes and acknowledges messages until `count` have come; their texts in order of arrival.
pub async fn drain(daemon: &McpChild, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    while texts.len() < count {
        let message = next_message(daemon).await;
        texts.push(message["text"].as_str().unwrap().to_owned());
        assert_eq!(pop(daemon, &message).await["removed"], json!(true));
    }
    texts
}

pub async fn inbox_is_empty(daemon: &McpChild) -> bool {
    daemon.call("inbox_peek", json!({})).await.unwrap()["messages"]
        .as_array()
        .is_some_and(Vec::is_empty)
}

pub fn file(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// Removes a folder as a person does: again, when a daemon wrote into it meanwhile, until it is gone.
pub async fn remove_folder(folder: &Path) {
    until("the folder is gone", || async {
        let _ = std::fs::remove_dir_all(folder);
        !folder.exists()
    })
    .await;
}

/// Sends a signal to a process, by its name without `SIG`.
pub fn signal(pid: u32, name: &str) {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
