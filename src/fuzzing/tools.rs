//! Arguments of tools.

use std::cell::RefCell;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{OWN, folder, own, runtime, variable};
use crate::cli::run::every_tool;
use crate::config::Config;
use crate::mcp::call::Call;
use crate::mcp::toolset::Toolset;
use crate::state::journal::{Batch, Journal};
use crate::state::message::{Kind, Message};
use crate::types::{ActivityId, Timestamp};

const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000002";
const TOKEN: &str = "tok-0123456789-of-the-fuzzer";
/// The messages of the inbox, and from whom they are.
const MESSAGES: [(&str, Kind, &str); 3] = [
    ("m-1", Kind::PeerAgent, PEER),
    ("m-2", Kind::CanvasUser, ""),
    ("m-3", Kind::Request, PEER),
];

/// The first byte chooses the tool; the rest is a JSON object, or chooses a value for each of its arguments. Whatever they are,
/// there is an answer, it is not that of a bug, and no credential stands in it.
pub struct Tools {
    place: RefCell<Workplace>,
    /// Their names, and those of their arguments.
    faces: Vec<(String, Vec<String>)>,
}

impl Default for Tools {
    fn default() -> Self {
        Self::new()
    }
}

impl Tools {
    /// Every tool there is, of a workspace with a few messages whose platform is down.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let place = Workplace::new();
        let faces = place.tools.definitions().map(|tool| {
            let properties = tool.input_schema.get("properties").and_then(Value::as_object);
            (
                tool.name.into_owned(),
                properties.into_iter().flat_map(Map::keys).cloned().collect(),
            )
        });
        Self {
            faces: faces.collect(),
            place: RefCell::new(place),
        }
    }

    /// One call. What it finds is the same each time: the workplace is made anew after a call that changed it.
    ///
    /// # Panics
    /// When its answer is none.
    pub fn call(&self, bytes: &[u8]) {
        let Some((which, rest)) = bytes.split_first() else {
            return;
        };
        let (name, properties) = &self.faces[usize::from(*which) % self.faces.len()];
        let arguments = match serde_json::from_slice(rest) {
            Ok(Value::Object(arguments)) => arguments,
            _ => properties
                .iter()
                .zip(rest)
                .filter_map(|(name, byte)| Some((name.clone(), value(*byte)?)))
                .collect(),
        };
        let mut place = self.place.borrow_mut();
        place.call(name, arguments);
        if place.has_changed() {
            *place = Workplace::new();
        }
    }
}

/// A state folder and the tools that work on it.
struct Workplace {
    runtime: Runtime,
    tools: Toolset,
    /// Only looks whether another connection has committed anything since it was at `version`.
    journal: Connection,
    version: i64,
    _folder: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let (runtime, folder) = (runtime(), folder());
        let var = |name: &str| match name {
            "MOLECULE_WORKSPACE_TOKEN" => Some(TOKEN.into()),
            name => variable(folder.path(), name),
        };
        let config = Config::read(var).unwrap_or_else(|problems| panic!("{}", crate::config::explain(&problems)));
        let tools = runtime.block_on(async {
            receive(&config).await;
            every_tool(&config).await
        });
        let journal = Connection::open(folder.path().join("molecule.db")).expect("there is a journal");
        Self {
            version: version(&journal),
            runtime,
            tools,
            journal,
            _folder: folder,
        }
    }

    fn has_changed(&self) -> bool {
        version(&self.journal) != self.version
    }

    fn call(&self, name: &str, arguments: Map<String, Value>) {
        let given = Value::Object(arguments.clone()).to_string();
        let stop = CancellationToken::new();
        let calling = async {
            let call = self.tools.call(name, arguments, Call::without_client(stop.clone()));
            // A wait for a message is given up after a while, as the end of a session does.
            let ending = async {
                tokio::time::sleep(Duration::from_secs(20)).await;
                stop.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                result = call => result,
                () = ending => None,
            }
        };
        let result = self
            .runtime
            .block_on(calling)
            .unwrap_or_else(|| panic!("no answer of {name} to {given}"));
        let body = result
            .structured_content
            .unwrap_or_else(|| panic!("no content of {name} for {given}"));
        assert!(body.is_object(), "{name}: {body}");
        let text = body.to_string();
        if result.is_error == Some(true) {
            let code = body["error"].as_str().unwrap_or_default();
            assert!(!code.is_empty() && code != "INTERNAL", "{name}({given}): {body}");
            assert!(body["hint"].is_string() && body["detail"].is_string(), "{name}: {body}");
        }
        assert!(text.len() <= 70_000, "{name}: {} bytes", text.len());
        for secret in [TOKEN, "key-0123456789-of-the-fuzzer"] {
            assert!(!text.contains(secret) || given.contains(secret), "{name}: {body}");
        }
    }
}

/// What others have written before.
async fn receive(config: &Config) {
    let origin = config.first().platform.to_string();
    let journal = Journal::open(&config.state_dir, &origin, &own(), config.lease).await;
    let message = |(id, kind, peer): (&str, Kind, &str)| Message {
        peer_id: peer.to_owned(),
        text: format!("text of {id}"),
        ..Message::bare(ActivityId::parse(id).expect("an id"), kind, Timestamp::now())
    };
    let batch = Batch {
        messages: MESSAGES.map(message).into(),
        ..Batch::default()
    };
    let committed = journal.expect("a journal").commit(batch).await;
    committed.expect("a commit");
}

fn version(journal: &Connection) -> i64 {
    let found = journal.pragma_query_value(None, "data_version", |row| row.get(0));
    found.expect("a journal can be read")
}

/// A value for an argument; `None` leaves it out.
fn value(byte: u8) -> Option<Value> {
    Some(match byte % 28 {
        0 | 1 => return None,
        2 => Value::Null,
        3 => json!(true),
        4 => json!(0),
        5 => json!(-1),
        6 => json!(1e308),
        7 => json!(u64::MAX),
        8 => json!(0.5),
        9 => json!(""),
        10 => json!("../../x"),
        11 => json!("a\u{0}b\r\nc"),
        12 => json!("\u{202e}\u{feff}ü"),
        13 => json!("x".repeat(5000)),
        14 => json!([]),
        15 => json!([[], {}, null]),
        16 => json!({}),
        17 => json!({ "a": { "b": ["c"] } }),
        18 => json!("true"),
        19 => json!("12"),
        20 => json!("2026-01-02T03:04:05Z"),
        21 => json!("text"),
        22 => json!(PEER),
        number @ 23..=25 => json!(MESSAGES[usize::from(number) - 23].0),
        _ => json!(OWN),
    })
}
