//! What a row of the activity log is: a message, something to pass over, or garbage. Pure; never fails on any JSON.
//!
//! Other people's text is carried verbatim. A row is never dropped because part of it is malformed: what cannot be read
//! is left out, and the text falls back to the row's summary and at last to a fixed marker.

use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::state::message::{Kind, Message};
use crate::types::{ActivityId, Timestamp, WorkspaceId, is_plain_url, label};
use json::{Object, unwrapped};
use parts::{File, Parts};

mod digest;
mod json;
mod note;
mod parts;

/// The text of a message in which nothing can be read.
const EMPTY: &str = "(empty A2A message)";

/// Longest source of a row that is no string, in characters.
const SOURCE_LIMIT: usize = 200;

/// What every row with an id has, message or not: its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The row's id.
    pub id: ActivityId,
    /// Its time.
    pub at: Timestamp,
    /// Its sequence number at level C.
    pub seq: Option<i64>,
    /// Whether the row itself said its time. One that did not was given a neighbour's, which proves nothing about the order.
    pub timed: bool,
}

/// What one row is.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// To be delivered.
    Message {
        /// What it says.
        message: Box<Message>,
        /// See [`Head::timed`].
        timed: bool,
    },
    /// Not a message, but a place in the log: our own row, or our own words to the person mirrored back.
    Skip(Head),
    /// No object, or without an id: cannot be named, acknowledged or passed.
    Garbage,
}

impl Row {
    /// Its place in the log; `None` for garbage.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        match self {
            Self::Message { message, timed } => Some(Head {
                id: message.activity_id.clone(),
                at: message.at,
                seq: message.seq,
                timed: *timed,
            }),
            Self::Skip(head) => Some(head.clone()),
            Self::Garbage => None,
        }
    }
}

/// Reads one row of the log of workspace `own`. `fallback` is the instant given to a row whose time is missing or unreadable:
/// that of a row beside it.
#[must_use]
pub fn read_row(raw: &RawValue, own: &WorkspaceId, fallback: Timestamp) -> Row {
    let Some(row) = Object::of(raw) else {
        return Row::Garbage;
    };
    let Some(id) = id_of(&row) else {
        return Row::Garbage;
    };
    let printed = row.filled("created_at");
    let told = printed.as_deref().and_then(Timestamp::parse);
    let head = Head {
        id,
        at: told.unwrap_or(fallback),
        seq: row.value("seq"),
        timed: told.is_some(),
    };
    let decoded = row.get("request_body").and_then(unwrapped);
    let body = decoded.as_deref().or(row.get("request_body")).and_then(Object::of);
    let origin = Origin::of(&row, own);
    let method = row.text("method").unwrap_or_default();
    let envelope = Envelope::of(body);
    let Some(kind) = classify(&method, &origin, &envelope) else {
        return Row::Skip(head);
    };
    let mut message = Message {
        activity_id: head.id,
        kind,
        peer_id: origin.peer_id(),
        text: String::new(),
        method,
        created_at: printed.unwrap_or_else(|| head.at.to_rfc3339()),
        at: head.at,
        seq: head.seq,
        message_id: envelope.message_text("messageId"),
        delegation_id: envelope.metadata_text("delegation_id"),
        in_reply_to: envelope.metadata_text("in_reply_to"),
        context_id: envelope
            .message_text("contextId")
            .or_else(|| envelope.params.as_ref()?.filled("contextId")),
        reply_expected: envelope.metadata.as_ref().and_then(|meta| meta.value("reply_expected")),
        peer_name: None,
        peer_role: None,
        agent_card_url: None,
        attachments: Vec::new(),
        digest: envelope.raw_message.map(digest::digest),
        status: row.filled("status").filter(|status| status != "ok"),
        request: None,
        shortened: false,
    };
    match kind {
        Kind::Upload => envelope.fill_upload(&mut message, own),
        Kind::DelegationResult => fill_result(&row, &envelope, &mut message),
        _ => envelope.fill_message(&row, &mut message, own),
    }
    if kind == Kind::PeerAgent {
        message.peer_name = row.text("peer_name").and_then(|name| label(&name));
        message.peer_role = row.text("peer_role").and_then(|role| label(&role));
        message.agent_card_url = row.text("agent_card_url").filter(|address| is_plain_url(address));
    }
    if kind == Kind::System {
        message.request = note::about(message.message_id.as_deref().unwrap_or_default(), &message.text);
    }
    if message.text.is_empty() {
        message.text = row.filled("summary").unwrap_or_else(|| EMPTY.to_owned());
    }
    Row::Message {
        message: Box::new(message),
        timed: told.is_some(),
    }
}

/// The row's id. One that is no id of the usual shape still names its row: by a digest, which can never be a cursor.
fn id_of(row: &Object<'_>) -> Option<ActivityId> {
    let text = match row.text("id") {
        Some(text) => text,
        None => row.value::<serde_json::Number>("id")?.to_string(),
    };
    if text.trim().is_empty() {
        return None;
    }
    let named = ActivityId::parse(&text);
    named
        .or_else(|_| ActivityId::parse(&format!("sha256-{}", digest::hex(&Sha256::digest(text.as_bytes())))))
        .ok()
}

/// Who wrote a row, as its `source_id` says.
enum Origin {
    /// Null, absent or empty: the person, or the platform in the person's place.
    Nobody,
    /// This workspace; the value verbatim.
    Own(String),
    /// Someone else; the value verbatim.
    Other(String),
}

impl Origin {
    fn of(row: &Object<'_>, own: &WorkspaceId) -> Self {
        let Some(raw) = row.get("source_id") else {
            return Self::Nobody;
        };
        // A source that is no string is still somebody: it must not be taken for the person.
        let source = json::string(raw).unwrap_or_else(|| raw.get().chars().take(SOURCE_LIMIT).collect());
        match source {
            empty if empty.is_empty() => Self::Nobody,
            source if source.eq_ignore_ascii_case(own.as_str()) => Self::Own(source),
            source => Self::Other(source),
        }
    }

    fn peer_id(&self) -> String {
        match self {
            Self::Own(source) | Self::Other(source) => source.clone(),
            Self::Nobody => String::new(),
        }
    }
}

/// The kind of a message; `None` for rows that are not delivered. A method is believed only together with its source,
/// because senders choose methods freely.
fn classify(method: &str, origin: &Origin, envelope: &Envelope<'_>) -> Option<Kind> {
    match (method, origin) {
        ("chat_upload_receive", Origin::Nobody) => Some(Kind::Upload),
        ("notify", Origin::Nobody) => None,
        ("delegate_result", Origin::Own(_)) => Some(Kind::DelegationResult),
        (_, Origin::Own(_)) => None,
        (_, Origin::Other(_)) => Some(Kind::PeerAgent),
        ("delegate_result", Origin::Nobody) => Some(Kind::System),
        (_, Origin::Nobody) if envelope.is_platform_note() => Some(Kind::System),
        (_, Origin::Nobody) => Some(Kind::CanvasUser),
    }
}

/// The request body, opened as far as it goes.
struct Envelope<'a> {
    body: Option<Object<'a>>,
    params: Option<Object<'a>>,
    raw_message: Option<&'a RawValue>,
    message: Option<Object<'a>>,
    metadata: Option<Object<'a>>,
}

impl<'a> Envelope<'a> {
    fn of(body: Option<Object<'a>>) -> Self {
        let params = body.as_ref().and_then(|body| body.object("params"));
        let raw_message = params.as_ref().and_then(|params| params.get("message"));
        let message = raw_message.and_then(Object::of);
        let metadata = message.as_ref().and_then(|message| message.object("metadata"));
        Self {
            params,
            raw_message: raw_message.filter(|_| message.is_some()),
            message,
            metadata,
            body,
        }
    }

    fn message_text(&self, key: &str) -> Option<String> {
        self.message.as_ref()?.filled(key)
    }

    fn metadata_text(&self, key: &str) -> Option<String> {
        self.metadata.as_ref()?.filled(key)
    }

    /// Whether a row without a source was written by the platform rather than by the person.
    fn is_platform_note(&self) -> bool {
        const PREFIXES: [&str; 4] = ["inbox-nudge-", "stall-probe-", "request-responded:", "request-message:"];
        let outer = self.params.as_ref().and_then(|params| params.object("metadata"));
        let says_platform =
            |meta: Option<&Object<'_>>| meta.and_then(|meta| meta.text("source")).as_deref() == Some("platform");
        says_platform(self.metadata.as_ref())
            || says_platform(outer.as_ref())
            || self.metadata_text("kind").as_deref() == Some("restart_context")
            || self
                .message_text("messageId")
                .is_some_and(|id| PREFIXES.iter().any(|prefix| id.starts_with(prefix)))
    }

    fn fill_message(&self, row: &Object<'_>, message: &mut Message, own: &WorkspaceId) {
        let parts = Parts::of(self.body.as_ref());
        message.text = parts.text().unwrap_or_default();
        message.attachments = parts.files().unwrap_or_else(|| {
            let manifest = self.body.as_ref().and_then(|body| File::manifest(body, own.as_str()));
            manifest
                .map(|file| {
                    let kind = file.kind();
                    file.entry(kind)
                })
                .into_iter()
                .collect()
        });
        if message.attachments.is_empty() {
            message.attachments = attachments_of_platform(row);
        }
    }

    /// A file that waits on the platform. Without a usable manifest the row's summary remains as text.
    fn fill_upload(&self, message: &mut Message, own: &WorkspaceId) {
        let Some(body) = &self.body else { return };
        let Some(id) = body.filled("file_id") else { return };
        let name = body.text("name").unwrap_or_else(|| "file".to_owned());
        let file = File {
            uri: Some(
                body.filled("uri")
                    .unwrap_or_else(|| format!("platform-pending:{own}/{id}")),
            ),
            mime_type: body.filled("mimeType"),
            name: Some(name.clone()),
            size: body.value("size"),
        };
        let details: Vec<String> = file
            .mime_type
            .clone()
            .into_iter()
            .chain(file.size.map(|size| format!("{size} bytes")))
            .collect();
        let shown = if details.is_empty() {
            name
        } else {
            format!("{name} ({})", details.join(", "))
        };
        message.text = format!("File received: {}", shown.replace(char::is_control, " "));
        let kind = file.kind();
        message.attachments = vec![file.entry(kind)];
    }
}

/// The outcome of a delegation that this workspace sent. Its text is what the target answered, as far as the platform kept it.
fn fill_result(row: &Object<'_>, envelope: &Envelope<'_>, message: &mut Message) {
    let decoded = row.get("response_body").and_then(unwrapped);
    let response = decoded.as_deref().or(row.get("response_body")).and_then(Object::of);
    let ids = [envelope.body.as_ref(), response.as_ref()];
    message.delegation_id = ids.into_iter().flatten().find_map(|body| body.filled("delegation_id"));
    let answer = response.as_ref().and_then(|response| response.filled("text"));
    if message.status.is_none() {
        message.text = answer
            .or_else(|| Parts::of(envelope.body.as_ref()).text())
            .unwrap_or_default();
        return;
    }
    let outcome = row.filled("summary").unwrap_or_else(|| "Delegation failed".to_owned());
    message.text = match row.filled("error_detail") {
        Some(detail) => format!("{outcome}: {detail}"),
        None => outcome,
    };
    if let Some(answer) = answer {
        message.text.push('\n');
        message.text.push_str(&answer);
    }
}

/// The attachments that a platform of level C worked out itself.
fn attachments_of_platform(row: &Object<'_>) -> Vec<Value> {
    let listed: Vec<Value> = row.value("attachments").unwrap_or_default();
    listed
        .into_iter()
        .filter(|entry| entry["uri"].is_string() || entry["name"].is_string())
        .collect()
}

#[cfg(test)]
mod tests;
