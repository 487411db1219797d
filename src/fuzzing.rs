//! What must hold for any bytes at all, one function for each way in which foreign bytes come in. Each takes bytes and panics when
//! something is wrong. The fuzzer of `fuzz/` calls them, and so do the tests below, with its corpora and with bytes of proptest's.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;

use rmcp::model::{ClientJsonRpcMessage, ProtocolVersion};
use rmcp::transport::Transport as _;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::agent::envelope::{Row, read_row};
use crate::config::Config;
use crate::config::file::{self, Change, Filed};
use crate::mcp::transport::{self, Ends};
use crate::platform::wire::ActivityPage;
use crate::platform::{address, events};
use crate::state::cursor::CursorFile;
use crate::state::message::{Kind, Message};
use crate::state::naming::Naming;
use crate::types::{
    ActivityId, BaseUrl, FilePath, KeyName, PeerId, PlainHttp, ResourceId, Secret, Timestamp, WorkspaceId,
};

mod journal;
mod tools;

pub use journal::journal;
pub use tools::Tools;

const OWN: &str = "5f0c1d2e-0000-4000-8000-000000000001";

fn own() -> WorkspaceId {
    WorkspaceId::parse(OWN).expect("it is a workspace id")
}

/// A runtime whose clock jumps ahead whenever there is nothing to do, so that no wait takes time.
fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

fn folder() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a folder")
}

/// Lines of a client, through the guard: each becomes a message or one error, none ends the session, and a call behind them is
/// read. Once as they are, and once where most of them are too long.
pub fn lines(bytes: &[u8]) {
    guarded(bytes, transport::LINE_LIMIT);
    let errors = guarded(bytes, LAST.len());
    let long = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| line.len() > LAST.len());
    let refused = errors
        .iter()
        .filter(|error| error["error"]["message"].to_string().contains("is longer than"));
    let (long, refused) = (long.collect::<Vec<_>>(), refused.collect::<Vec<_>>());
    assert_eq!(long.len(), refused.len(), "{errors:?}");
    for (line, error) in long.into_iter().zip(refused) {
        if let Some(id) = id_of(line) {
            assert_eq!(error["id"], id, "{}", String::from_utf8_lossy(line));
        }
    }
}

/// Behind every other line.
const LAST: &str = r#"{"jsonrpc":"2.0","id":"last of all","method":"ping"}"#;

/// The id under which a line is refused; `None`: any will do.
fn id_of(line: &[u8]) -> Option<Value> {
    let fields: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let is_said_once = line.windows(4).filter(|part| part == b"\"id\"").count() < 2 && !contains(line, b"\\u");
    let id = fields.get("id").filter(|id| id.is_string() || id.is_i64());
    (is_said_once && line.len() < 512).then(|| id.cloned().unwrap_or_default())
}

/// The errors that the guard answers.
fn guarded(bytes: &[u8], limit: usize) -> Vec<Value> {
    runtime().block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let (input, output) = tokio::io::split(server);
        let ends = Ends::of(&CancellationToken::new());
        let supported = Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS);
        let (guard, writer) = transport::pair(input, output, supported, ends.clone());
        let mut guard = guard.with_limit(limit);
        let writing = tokio::spawn(writer.run());
        let sent = [bytes, b"\n", LAST.as_bytes(), b"\n"].concat();
        let (mut answers, mut questions) = tokio::io::split(&mut client);
        let mut said = Vec::new();
        let talk = async {
            let _ = questions.write_all(&sent).await;
            let _ = questions.shutdown().await;
        };
        let listen = async {
            let _ = answers.read_to_end(&mut said).await;
        };
        let read = async {
            let mut last = None;
            let mut admitted = 0_usize;
            while let Some(message) = guard.receive().await {
                admitted += 1;
                last = Some(message);
            }
            let _ = guard.close().await;
            drop(guard);
            let _ = writing.await;
            (last, admitted)
        };
        let ((last, admitted), (), ()) = tokio::join!(read, talk, listen);
        let last = serde_json::to_value::<Option<ClientJsonRpcMessage>>(last).expect("a message is JSON");
        // A request with the same id may be among them; then this one is refused.
        let repeated = contains(bytes, b"last of all") || contains(bytes, b"\\u");
        assert!(last["id"] == "last of all" || repeated, "the session ended: {last}");
        assert!(!ends.broken.is_cancelled());
        let lines = bytes.split(|byte| *byte == b'\n').count() + 1;
        let errors = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let errors: Vec<Value> = errors
            .map(|line| serde_json::from_slice(line).expect("an error is JSON"))
            .collect();
        assert!(
            errors.len() + admitted <= lines,
            "{} answers and {admitted} messages of {lines} lines",
            errors.len()
        );
        assert!(errors.iter().all(|error| error["error"]["code"].is_i64()), "{errors:?}");
        errors
    })
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A page of the activity log: every row with an id has its place, every message a text, and the same page reads the same.
pub fn rows(bytes: &[u8]) {
    let Ok(page) = ActivityPage::of(bytes.to_vec(), None) else {
        return;
    };
    for raw in page.rows() {
        let row = read_row(raw, &own(), Timestamp(7));
        assert_eq!(row, read_row(raw, &own(), Timestamp(7)));
        if let Row::Message { message, .. } = &row {
            assert!(!message.text.is_empty() && !message.activity_id.as_str().is_empty());
            assert!(message.digest.is_some() || message.message_id.is_none() || message.kind != Kind::PeerAgent);
            // As it is kept and as it is shown.
            let kept = serde_json::to_string(message).expect("a message is JSON");
            let read: Message = serde_json::from_str(&kept).expect("and is read back");
            assert_eq!(read, **message);
        }
        assert_eq!(row.head().is_none(), row == Row::Garbage);
    }
}

/// Cursor and settings files of a folder: one clear complaint or a value, and no value is ever quoted.
pub fn files(bytes: &[u8]) {
    let folder = folder();
    let write = |name: &str| std::fs::write(folder.path().join(name), bytes).expect("a file in a folder");
    let cursor = CursorFile::new(folder.path(), "http://127.0.0.1:1", &own(), Naming::Plain);
    std::fs::write(cursor.path(), bytes).expect("a file in a folder");
    if let Some(id) = cursor.found().id {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(text.trim(), id.as_str());
    }
    for name in ["molecule.toml", ".auth_token", "roles.toml"] {
        write(name);
    }
    // What `init` would keep of the settings says the same.
    let said = || {
        let filed = Filed::in_folder(folder.path(), None);
        ["platform_url", "workspace_id", "log_format"].map(|key| filed.text(key))
    };
    let before = said();
    let earlier = std::str::from_utf8(bytes).ok();
    let keep = |kept: String| std::fs::write(folder.path().join(file::NAME), kept).expect("a file in a folder");
    keep(file::updated(earlier, &[]));
    assert_eq!(said(), before);
    // And what it changes is changed, and nothing else.
    let changes = [
        ("workspace_id", Change::Text(OWN.to_owned())),
        ("log_format", Change::Gone),
    ];
    keep(file::updated(earlier, &changes));
    assert_eq!(said(), [before[0].clone(), Some(OWN.to_owned()), None]);
    write(file::NAME);
    if let Err(problems) = Config::read(|name| variable(folder.path(), name)) {
        assert!(!problems.is_empty());
        never_quoted(&crate::config::explain(&problems), bytes);
    }
}

/// A text that looks like nobody's but the file's own must not stand in a complaint: it may be a token.
fn never_quoted(complaint: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let is_own = |word: &&str| word.len() >= 16 && word.bytes().any(|byte| byte.is_ascii_digit());
    for word in words.filter(is_own) {
        assert!(!complaint.contains(word), "{complaint} quotes {word}");
    }
}

fn variable(folder: &Path, name: &str) -> Option<OsString> {
    match name {
        "CONFIGS_DIR" => Some(folder.into()),
        "PLATFORM_URL" => Some("http://127.0.0.1:1".into()),
        "WORKSPACE_ID" => Some(OWN.into()),
        "MOLECULE_MCP_TOOLSETS" => Some("all".into()),
        "MOLECULE_API_KEY" | "MOLECULE_ORG_API_KEY" | "CP_ADMIN_API_TOKEN" => {
            Some("key-0123456789-of-the-fuzzer".into())
        }
        _ => None,
    }
}

/// Ids and addresses: what is taken stays one segment of a path, and is the same when it is read again.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let base = BaseUrl::parse("http://127.0.0.1:1/prefix", PlainHttp::Nearby).expect("an address");
    let one_segment = |segment: &str| {
        let Ok(url) = address::build(&base, &["workspaces", segment, "activity"], &[("q", text.to_string())]) else {
            panic!("{segment:?} was taken and cannot be sent");
        };
        let segments: Vec<&str> = url.path_segments().expect("a path").collect();
        assert_eq!(
            (segments.len(), segments[1], segments[3]),
            (4, "workspaces", "activity"),
            "{url}"
        );
        assert!(url.host_str() == Some("127.0.0.1") && url.username().is_empty() && url.fragment().is_none());
    };
    macro_rules! id {
        ($($kind:ident)*) => {$(
            if let Ok(id) = $kind::parse(&text) {
                one_segment(id.as_str());
                assert_eq!($kind::parse(id.as_str()).ok().as_ref(), Some(&id));
            }
        )*};
    }
    id!(WorkspaceId PeerId ResourceId KeyName);
    // Names a row, and is no part of a path.
    if let Ok(id) = ActivityId::parse(&text) {
        assert_eq!(ActivityId::parse(id.as_str()).ok(), Some(id));
    }
    if let Ok(path) = FilePath::parse(&text) {
        path.segments().for_each(one_segment);
    }
    if let Ok(secret) = Secret::parse(&text) {
        assert!(secret.expose().len() < 8 || !format!("{secret:?}").contains(secret.expose()));
        assert!(!secret.expose().contains(char::is_whitespace));
    }
    if let Ok(base) = BaseUrl::parse(&text, PlainHttp::Nearby) {
        let again = BaseUrl::parse(&base.to_string(), PlainHttp::Nearby);
        assert_eq!(again.ok().map(|base| base.to_string()), Some(base.to_string()));
        assert!(matches!(base.url().scheme(), "http" | "https"));
        assert!(base.url().username().is_empty() && base.url().password().is_none());
    }
    if let Some(time) = Timestamp::parse(&text) {
        assert_eq!(Timestamp::parse(&time.to_rfc3339()), Some(time));
    }
    if let Some(label) = crate::types::label(&text) {
        assert!(!label.contains(['"', '<', '>', '\n', '\r']) && !label.is_empty());
    }
}

/// The event stream: its cuts do not matter, and what is kept of it is bounded.
pub fn events(bytes: &[u8]) {
    let (cut, bytes) = bytes
        .split_first()
        .map_or((1, bytes), |(first, rest)| (usize::from(*first).max(1), rest));
    let whole = events::parsed(std::iter::once(bytes));
    assert_eq!(events::parsed(bytes.chunks(cut)), whole);
    assert_eq!(events::parsed(bytes.chunks(1)), whole);
}

#[cfg(test)]
mod tests;
