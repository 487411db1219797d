//! For the tests of all groups: every tool, over a real socket, against a platform that says what it is told to.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::config::Timing;
use crate::config::shown::{Mode, Sets, Shown};
use crate::mcp::call::Call;
use crate::mcp::toolset::Toolset;
use crate::platform::control::ControlApi;
use crate::platform::org::OrgApi;
use crate::platform::tenant::{KeyApi, PublicApi};
use crate::platform::testing::{Reply, Responder, Seen};
use crate::state::audit::{Audit, Record};
use crate::tools::catalogue::{Catalogue, Workbench};
use crate::tools::desk::{Common, Control, Management, Ops, Shared};
use crate::types::Secret;

/// A workspace.
pub(in crate::tools) const WS: &str = "5f0c1d2e-0000-4000-8000-00000000000a";
/// The organization that is meant when none is named.
pub(in crate::tools) const ORG: &str = "5f0c1d2e-0000-4000-8000-0000000000ff";

/// What a tool made of one exchange.
#[derive(Debug)]
pub(in crate::tools) struct Exchange {
    /// `GET /path?query`, escaped as it was sent.
    pub(in crate::tools) line: String,
    /// The JSON body, if there was one.
    pub(in crate::tools) body: Option<Value>,
    /// `api-key`, `org-key`, `control-token`, `promotion-token`, or nothing.
    pub(in crate::tools) bearer: String,
    /// The whole request.
    pub(in crate::tools) seen: Seen,
    /// The tool's result or failure.
    pub(in crate::tools) result: Value,
}

/// Which keys there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Keys {
    /// All of them.
    All,
    /// None of them.
    None,
}

/// Every tool at a desk of its own, a scripted platform, and the record of changes.
pub(in crate::tools) struct Bench {
    pub(in crate::tools) platform: Responder,
    tools: Arc<Toolset>,
    folder: tempfile::TempDir,
}

impl Bench {
    /// A platform that answers with these replies, one after the other; the last is repeated.
    pub(in crate::tools) async fn new(replies: Vec<Reply>, keys: Keys) -> Self {
        Self::with(replies, keys, Some(ORG), false).await
    }

    /// The same with all keys and the token of the workspace [`crate::platform::testing::SELF`].
    pub(in crate::tools) async fn at_home(replies: Vec<Reply>) -> Self {
        Self::with(replies, Keys::All, Some(ORG), true).await
    }

    /// The same with all keys, where no organization is the usual one.
    pub(in crate::tools) async fn without_org(replies: Vec<Reply>) -> Self {
        Self::with(replies, Keys::All, None, false).await
    }

    async fn with(replies: Vec<Reply>, keys: Keys, org: Option<&str>, is_home: bool) -> Self {
        let platform = Responder::start(replies).await;
        let folder = tempfile::tempdir().unwrap();
        let client = platform.client();
        let key = |text: &str| (keys == Keys::All).then(|| Secret::parse(text).unwrap());
        let common = Common {
            state_dir: folder.path().to_owned(),
            org_id: org.map(str::to_owned),
            timing: Timing { speed: 1000 },
        };
        let public = PublicApi::new(client.clone());
        let api_key = key("api-key").map(|key| KeyApi::new(client.clone(), key));
        let own: Vec<_> = is_home.then(|| platform.api()).into_iter().collect();
        let org = key("org-key").map(|key| OrgApi::new(client.clone(), key));
        let control = key("control-token").map(|key| ControlApi::new(client.clone(), key));
        let promotion = key("promotion-token").map(|key| ControlApi::new(client.clone(), key));
        let bench = Workbench {
            agent: None,
            ops: Ops::new(public.clone(), own, api_key.clone(), common.clone()),
            shared: Shared::new(public, Vec::new(), api_key, org.clone(), common.clone()),
            management: Management::new(org, common.clone()),
            control: Control::new(control, promotion, common),
        };
        let shown = Shown {
            mode: Mode::Workspace,
            sets: Sets::named("all").unwrap(),
            tools: Vec::new(),
            read_only: false,
        };
        let tools = Catalogue::new().finish(&shown, true, bench).unwrap();
        Self {
            platform,
            tools: Arc::new(tools),
            folder,
        }
    }

    /// The structured result of a call.
    pub(in crate::tools) async fn call(&self, tool: &str, arguments: Value) -> Value {
        let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
        let call = Call::without_client(CancellationToken::new());
        let result = self.tools.call(tool, arguments, call).await;
        let result = result.unwrap_or_else(|| panic!("no tool is called {tool}"));
        let structured = result.structured_content.unwrap();
        let is_failure = structured.get("error").is_some_and(Value::is_string) && structured.get("hint").is_some();
        assert_eq!(result.is_error, Some(is_failure), "{tool}: {structured}");
        let definitions: Vec<_> = self.tools.definitions().filter(|known| known.name == tool).collect();
        let schema = Value::Object((*definitions[0].output_schema.clone().unwrap()).clone());
        assert!(jsonschema::is_valid(&schema, &structured), "{tool}: {structured}");
        structured
    }

    /// What was sent so far, as `METHOD /path`.
    pub(in crate::tools) fn lines(&self) -> Vec<String> {
        self.platform.seen().iter().map(line).collect()
    }

    /// The bodies of what was sent so far; null where there was none.
    pub(in crate::tools) fn bodies(&self) -> Vec<Value> {
        let seen = self.platform.seen();
        seen.iter()
            .map(|seen| serde_json::from_str(&seen.body).unwrap_or_default())
            .collect()
    }

    /// What was recorded so far.
    pub(in crate::tools) fn records(&self) -> Vec<Record> {
        Audit::new(self.folder.path().to_owned()).newest(usize::MAX).unwrap()
    }

    /// The folder of records and minted tokens.
    pub(in crate::tools) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// Calls a tool that makes one request, which is answered with this status and body.
pub(in crate::tools) async fn exchange(tool: &str, arguments: Value, status: u16, answer: Value) -> Exchange {
    let bench = Bench::new(vec![Reply::json(status, &answer.to_string())], Keys::All).await;
    let result = bench.call(tool, arguments).await;
    let seen = bench.platform.seen();
    assert_eq!(seen.len(), 1, "{tool} made {:?}: {result}", bench.lines());
    let seen = seen[0].clone();
    let bearer = seen.header("authorization").unwrap_or_default();
    Exchange {
        line: line(&seen),
        body: (!seen.body.is_empty()).then(|| seen.json()),
        bearer: bearer.trim_start_matches("Bearer ").to_owned(),
        seen,
        result,
    }
}

/// The code with which a call is refused that makes no request.
pub(in crate::tools) async fn refused(tool: &str, arguments: Value) -> String {
    let bench = Bench::new(vec![Reply::json(200, &json!({}).to_string())], Keys::All).await;
    let result = bench.call(tool, arguments).await;
    assert_eq!(bench.lines(), [""; 0], "{tool}: {result}");
    result["error"].as_str().unwrap().to_owned()
}

fn line(seen: &Seen) -> String {
    seen.request_line().trim_end_matches(" HTTP/1.1").to_owned()
}
