//! The platform, two workspaces, and a slot for every daemon.

use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use molecule_mcp::local_platform::{Level, LocalPlatform, Options};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::disk::Disk;
use super::ledger::Ledger;
use super::plan::{LEASE_SECS, Plan};
use super::slot::{Credential, Slot};

/// How late a row may become visible, before the speed is applied: the platform's limit is 30 s.
const LATEST: Duration = Duration::from_secs(14);

pub struct World {
    pub plan: Plan,
    pub seed: u64,
    pub level: Level,
    pub workspaces: Vec<Workspace>,
    pub slots: Vec<Arc<Slot>>,
    pub ledger: Ledger,
    /// How many messages wait to be shown, by workspace.
    pub backlog: [AtomicU32; 2],
    /// The slot that polled last, by workspace.
    pub holder: Mutex<Vec<Option<usize>>>,
    /// No more violence, faults and messages.
    pub storm: CancellationToken,
    /// The daemons end.
    pub over: CancellationToken,
    /// The last request was made.
    pub collected: CancellationToken,
    platform: LocalPlatform,
    http: reqwest::Client,
    folder: TempDir,
}

pub struct Workspace {
    pub id: String,
    pub token: String,
    pub folder: PathBuf,
    pub disk: Disk,
    /// Tells its daemons how far their clocks have jumped.
    pub clock: PathBuf,
}

impl World {
    pub async fn start(plan: Plan, seed: u64) -> Self {
        let level = plan.level(seed);
        let platform = LocalPlatform::start(Options {
            level,
            rate_limit: 1_000_000_000,
            faults: true,
            ..Options::default()
        })
        .await
        .expect("a free port");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        let mut folder = tempfile::tempdir().unwrap();
        if plan.keep {
            folder.disable_cleanup(true);
            println!("torture: state folders are kept in {}", folder.path().display());
        }
        let mut world = Self {
            seed,
            level,
            workspaces: Vec::new(),
            slots: Vec::new(),
            ledger: Ledger::default(),
            backlog: Default::default(),
            holder: Mutex::new(vec![None; 2]),
            storm: CancellationToken::new(),
            over: CancellationToken::new(),
            collected: CancellationToken::new(),
            platform,
            http,
            folder,
            plan,
        };
        for (name, processes) in [("alpha", world.plan.processes), ("beta", world.plan.peers)] {
            world.add(name, processes).await;
        }
        world.be_late().await;
        world
    }

    /// Each daemon gets tokens of its own, for two lives in turn: the platform's log tells lives apart by them, even when
    /// the last request of one is read after the first of the next.
    async fn add(&mut self, name: &str, processes: u64) {
        let body = json!({ "name": name, "runtime": "external", "external": true, "delivery_mode": "poll" });
        let admin = Some(self.platform.admin_token());
        let made = self.ok(Method::POST, "/workspaces", admin, Some(body)).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, token) = (text(&made["id"]), text(&made["connection"]["auth_token"]));
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let disk = if self.plan.memory {
            Disk::in_memory(&folder)
        } else {
            Disk::default()
        };
        for _ in 0..processes {
            let mut own = Vec::new();
            for _ in 0..2 {
                let path = format!("/workspaces/{id}/tokens");
                let minted = self.ok(Method::POST, &path, Some(&token), None).await;
                own.push(Credential::of(text(&minted["auth_token"])));
            }
            let slot = Slot::new(self.slots.len(), self.workspaces.len(), own);
            self.slots.push(Arc::new(slot));
        }
        let workspace = Workspace {
            id,
            token,
            folder,
            disk,
            clock: self.folder.path().join(format!("{name}.clock")),
        };
        self.workspaces.push(workspace);
    }

    /// Applies what the disk of a workspace is like now to its running processes.
    pub fn limit_writes(&self, workspace: usize) {
        for slot in self.slots.iter().filter(|slot| slot.workspace == workspace) {
            slot.limit_writes(self);
        }
    }

    /// The other workspace.
    pub fn peer_of(&self, workspace: usize) -> &Workspace {
        &self.workspaces[1 - workspace]
    }

    pub async fn be_late(&self) {
        let max_ms = self.latest().as_millis();
        let late = json!({ "max_ms": u64::try_from(max_ms).unwrap(), "seed": self.seed });
        self.ok(Method::POST, "/_local/late", None, Some(late)).await;
    }

    pub fn latest(&self) -> Duration {
        self.plan.scaled(LATEST)
    }

    pub async fn add_fault(&self, rule: Value) {
        self.ok(Method::POST, "/_local/faults", None, Some(rule)).await;
    }

    /// Ends all faults and lateness.
    pub async fn be_kind(&self) {
        self.ok(Method::DELETE, "/_local/faults", None, None).await;
    }

    /// The body of a message, the same for every time it is sent.
    pub fn message(text: &str, message_id: &str) -> Value {
        let message = json!({ "role": "user", "messageId": message_id, "parts": [{ "kind": "text", "text": text }] });
        json!({ "jsonrpc": "2.0", "id": message_id, "method": "message/send", "params": { "message": message } })
    }

    /// Whether the platform said that it took the message.
    pub async fn send(&self, to: usize, from_peer: bool, body: &Value) -> bool {
        let bearer = if from_peer {
            Some(self.peer_of(to).token.as_str())
        } else {
            (self.level == Level::C).then_some(self.platform.admin_token())
        };
        let path = format!("/workspaces/{}/a2a", self.workspaces[to].id);
        let answer = self.ask(Method::POST, &path, bearer, Some(body.clone())).await;
        matches!(answer, Ok((200, answer)) if answer["status"] == "queued")
    }

    pub async fn ok(&self, method: Method, path: &str, bearer: Option<&str>, body: Option<Value>) -> Value {
        match self.ask(method, path, bearer, body).await {
            Ok((200..300, answer)) => answer,
            odd => panic!("{path}: {odd:?}"),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        bearer: Option<&str>,
        body: Option<Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.platform.url()));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    /// The daemon of a slot with nothing else in its environment.
    pub fn command(&self, slot: &Slot, token: &str, crash_at: Option<String>) -> Command {
        let workspace = &self.workspaces[slot.workspace];
        let mut command = Command::new(env!("CARGO_BIN_EXE_molecule-mcp"));
        command
            .env_clear()
            .env("PLATFORM_URL", self.platform.url())
            .env("WORKSPACE_ID", &workspace.id)
            .env("MOLECULE_WORKSPACE_TOKEN", token)
            .env("CONFIGS_DIR", &workspace.folder)
            .env("MOLECULE_LEASE_SECS", LEASE_SECS.to_string())
            .env("DELEGATION_TIMEOUT", "4")
            .env("MOLECULE_TEST_CLOCK", &workspace.clock)
            .env("MOLECULE_TEST_SPEED", self.plan.speed.to_string())
            .current_dir(self.folder.path());
        if let Some(crash_at) = crash_at {
            command.env("MOLECULE_TEST_CRASH_AT", crash_at);
        }
        command
    }
}
