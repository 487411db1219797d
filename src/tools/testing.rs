//! A workspace for tests of tools: a journal of its own, and a platform that says exactly what it is told to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::agent::{self, Opening};
use super::attachments::Attaching;
use super::context::Context;
use super::desk::{Common, Ops};
use super::workspaces::Workspaces;
use crate::agent::envelope::{Row, read_row};
use crate::config::files::AttachRoots;
use crate::config::{Card, Roles, RuntimeIdentity, Switch, Timing};
use crate::mcp::call::Call;
use crate::platform::tenant::{KeyApi, PublicApi};
use crate::platform::testing::{Responder, SELF, Seen};
use crate::state::audit::{Audit, Record};
use crate::state::health::HealthBoard;
use crate::state::journal::Journal;
use crate::state::record::HealthFile;
use crate::state::spool::Spool;
use crate::types::{Secret, Timestamp, WorkspaceId};

pub(super) use crate::platform::testing::{PEER, Reply, SELF as OWN};

pub(super) struct World {
    pub(super) context: Context,
    platform: Responder,
    folder: TempDir,
}

/// What a tool answered.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) failed: bool,
    pub(super) body: Value,
}

impl Answered {
    /// The code of a failure; empty for a success.
    pub(super) fn code(&self) -> &str {
        match self.failed {
            true => self.body["error"].as_str().unwrap(),
            false => "",
        }
    }
}

impl World {
    /// One reply after the other; the last is repeated.
    pub(super) async fn answering(replies: Vec<Reply>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let platform = Responder::start(replies).await;
        let own = WorkspaceId::parse(SELF).unwrap();
        let origin = platform.base.to_string();
        let context = Context {
            api: platform.api(),
            journal: Journal::open(folder.path(), &origin, &own, Duration::from_secs(600))
                .await
                .unwrap(),
            health: HealthBoard::default(),
            holder: HealthFile::new(folder.path(), &origin, &own),
            own,
            inbox: Switch::On,
            delegation_timeout: Duration::from_secs(1),
            attaching: Attaching {
                roots: AttachRoots::default(),
                never: Vec::new(),
                spool: Spool::new(folder.path()),
            },
            timing: Timing::REAL,
            card: Card {
                name: "configured".to_owned(),
                ..Card::default()
            },
            identity: RuntimeIdentity::default(),
            roles: Roles::default(),
            read_row: |raw, own| match read_row(raw, own, Timestamp(0)) {
                Row::Message { message, .. } => Some(*message),
                Row::Skip(_) | Row::Garbage => None,
            },
            stopped: CancellationToken::new(),
            desk: Arc::new(desk(&platform, folder.path(), None)),
        };
        Self {
            context,
            platform,
            folder,
        }
    }

    /// The same with a key of the tenant, `api-key`.
    pub(super) fn with_key(mut self) -> Self {
        self.context.desk = Arc::new(desk(&self.platform, self.folder.path(), Some("api-key")));
        self
    }

    /// A platform that answers everything alike.
    pub(super) async fn saying(status: u16, body: &Value) -> Self {
        Self::answering(vec![Reply::json(status, &body.to_string())]).await
    }

    /// Calls a tool as a client would.
    pub(super) async fn call(&self, tool: &str, arguments: Value) -> Answered {
        let Value::Object(arguments) = arguments else {
            panic!("arguments are an object")
        };
        self.call_with(tool, arguments).await
    }

    async fn call_with(&self, tool: &str, arguments: Map<String, Value>) -> Answered {
        let opening = Opening {
            workspaces: std::future::ready(Some(Workspaces::of(vec![self.context.clone()]))).boxed(),
            healths: vec![self.context.health.clone()],
        };
        let tools = agent::finish(agent::registry(), opening).unwrap();
        let call = Call::without_client(CancellationToken::new());
        let result = tools.call(tool, arguments, call).await.expect("the tool exists");
        Answered {
            failed: result.is_error == Some(true),
            body: result.structured_content.unwrap(),
        }
    }

    /// What the platform was asked: method, path and query, and the body or null.
    pub(super) fn asked(&self) -> Vec<(String, Value)> {
        let seen = self.platform.seen();
        seen.iter()
            .map(|seen| {
                let line = seen.request_line().trim_end_matches(" HTTP/1.1").to_owned();
                (line, serde_json::from_str(&seen.body).unwrap_or_default())
            })
            .collect()
    }

    /// The tokens that the platform was shown.
    pub(super) fn bearers(&self) -> Vec<String> {
        let seen = self.platform.seen();
        let bearer = |seen: &Seen| {
            seen.header("authorization")
                .unwrap_or_default()
                .trim_start_matches("Bearer ")
                .to_owned()
        };
        seen.iter().map(bearer).collect()
    }

    /// The changes that were recorded.
    pub(super) fn records(&self) -> Vec<Record> {
        Audit::new(self.folder.path().to_owned()).newest(usize::MAX).unwrap()
    }

    /// The only thing the platform was asked.
    #[track_caller]
    pub(super) fn asked_once(&self) -> (String, Value) {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

fn desk(platform: &Responder, folder: &std::path::Path, key: Option<&str>) -> Ops {
    let client = platform.client();
    let key = key.map(|key| KeyApi::new(client.clone(), Secret::parse(key).unwrap()));
    let common = Common {
        state_dir: folder.to_owned(),
        org_id: None,
        timing: Timing::REAL,
    };
    Ops::new(PublicApi::new(client), vec![platform.api()], key, common)
}
