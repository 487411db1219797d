//! The stage: an embedded platform on a free port, workspaces on it, and daemons started as an MCP client would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::client::McpChild;
use crate::local_platform::{Level, LocalPlatform, Options};
use crate::state::secret;
use crate::types::Secret;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A workspace on the platform, and what its daemon needs.
#[derive(Clone, Debug)]
pub(super) struct Workspace {
    pub(super) name: &'static str,
    pub(super) id: String,
    token: String,
    folder: PathBuf,
}

/// The platform and the folder everything lives in.
pub(super) struct Scene {
    platform: LocalPlatform,
    http: reqwest::Client,
    folder: PathBuf,
}

impl Scene {
    pub(super) async fn set(folder: &Path) -> Result<Self, String> {
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            level: Level::B,
            ..Options::default()
        };
        let platform = LocalPlatform::start(options)
            .await
            .map_err(|error| format!("the platform did not start: {error}"))?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            platform,
            http,
            folder: folder.to_owned(),
        })
    }

    pub(super) fn url(&self) -> String {
        self.platform.url()
    }

    pub(super) async fn strike(self) {
        self.platform.stop().await;
    }

    /// Makes a workspace and the folder of its daemon, with the token in a 0600 file.
    pub(super) async fn workspace(&self, name: &'static str) -> Result<Workspace, String> {
        let body = json!({ "name": name, "runtime": "external", "external": true, "delivery_mode": "poll" });
        let admin = self.platform.admin_token().to_owned();
        let made = self.ask(Method::POST, "/workspaces", Some(&admin), Some(body)).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        let token = text(&made["connection"]["auth_token"]);
        let secret = Secret::parse(&token).map_err(|refused| format!("the platform issued no token: {refused}"))?;
        secret::write_if_different(&folder, secret::AUTH_TOKEN, &secret).map_err(|error| error.to_string())?;
        Ok(Workspace {
            name,
            id: text(&made["id"]),
            token,
            folder,
        })
    }

    /// Starts the real daemon for a workspace, with a clean environment, and opens the session.
    pub(super) async fn daemon(&self, workspace: &Workspace) -> Result<McpChild, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PLATFORM_URL", self.url())
            .env("WORKSPACE_ID", &workspace.id)
            .env("CONFIGS_DIR", &workspace.folder)
            .env("MOLECULE_AGENT_NAME", workspace.name)
            .env("MOLECULE_AGENT_DESCRIPTION", "an agent of the demonstration")
            .env("MOLECULE_AGENT_SKILLS", "echo");
        let daemon = McpChild::spawn(command).map_err(|error| error.to_string())?;
        daemon.initialize().await?;
        Ok(daemon)
    }

    /// The person writes to a workspace, as the canvas does.
    pub(super) async fn person_says(&self, to: &Workspace, text: &str) -> Result<(), String> {
        let message = json!({ "role": "user", "messageId": Uuid::new_v4().to_string(), "parts": [{ "kind": "text", "text": text }] });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/send", "params": { "message": message } });
        self.ask(Method::POST, &format!("/workspaces/{}/a2a", to.id), None, Some(body))
            .await
            .map(drop)
    }

    /// What the platform says about a workspace's status.
    pub(super) async fn status(&self, workspace: &Workspace) -> Result<String, String> {
        let row = self
            .ask(Method::GET, &format!("/workspaces/{}", workspace.id), None, None)
            .await?;
        Ok(row["status"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether the person has been told exactly this by a workspace.
    pub(super) async fn person_heard(&self, from: &Workspace, text: &str) -> Result<bool, String> {
        let path = format!("/workspaces/{}/activity?type=a2a_receive&limit=100", from.id);
        let rows = self.ask(Method::GET, &path, Some(&from.token), None).await?;
        let is_it = |row: &Value| row["method"] == "notify" && row["response_body"]["result"] == text;
        Ok(rows.as_array().is_some_and(|rows| rows.iter().any(is_it)))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let mut request = self.http.request(method, format!("{}{path}", self.url()));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body: Value = answer
            .json()
            .await
            .map_err(|error| format!("{path} answered {status}: {error}"))?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{path} answered {status}: {body}"))
        }
    }
}

/// Asks again until the answer is yes.
pub(super) async fn until<F, Fut>(what: &str, mut is_it_so: F) -> Result<(), String>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<bool, String>>,
{
    let deadline = Instant::now() + PATIENCE;
    while !is_it_so().await? {
        if Instant::now() > deadline {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
