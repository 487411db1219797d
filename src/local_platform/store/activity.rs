//! Activity rows: what they hold, here; writing them once and reading them in pages by time, below.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::local_platform::clock::Micros;

pub(crate) mod look;
pub(crate) mod read;
pub(crate) mod write;

/// A row to be written; whatever is `None` becomes null, except the id and the time, which are then made up.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewActivity {
    pub(crate) id: Option<String>,
    pub(crate) workspace_id: String,
    pub(crate) activity_type: String,
    pub(crate) source_id: Option<String>,
    pub(crate) target_id: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) summary: Option<String>,
    pub(crate) request_body: Option<Value>,
    pub(crate) response_body: Option<Value>,
    pub(crate) tool_trace: Option<Value>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) status: Option<String>,
    pub(crate) error_detail: Option<String>,
    pub(crate) created_at: Option<Micros>,
    /// Not part of a row: level C refuses a second one with the same message id.
    pub(crate) message_id: Option<String>,
    pub(crate) delegation_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// Whether two rows of one workspace may carry the same message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageIds {
    /// Levels A and B.
    MayRepeat,
    /// Level C: the second is silently not stored.
    Unique,
}

/// What became of a row that was to be written. No sender is ever told.
#[derive(Debug)]
pub(crate) enum Written {
    Stored(ActivityRow),
    /// Its message id was known already; the row is in no table, and its id means nothing.
    Collapsed(ActivityRow),
    /// It held U+0000, which the database refuses.
    Refused,
}

/// A row as it is sent. Bodies are kept as text from the database to the wire.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ActivityRow {
    /// Absent in events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) workspace_id: String,
    pub(crate) activity_type: String,
    pub(crate) source_id: Option<String>,
    pub(crate) target_id: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_trace: Option<Box<RawValue>>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) status: String,
    pub(crate) error_detail: Option<String>,
    pub(crate) created_at: String,
    /// Level C.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seq: Option<i64>,
    /// Level C, in events only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message_id: Option<String>,
    /// Level C, `include=peer_info`.
    #[serde(flatten)]
    pub(crate) peer: PeerInfo,
}

/// What level C adds about the sender of a row.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct PeerInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peer_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent_card_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attachments: Option<Vec<Value>>,
}

fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::local_platform::store::Store;

    /// A row of workspace `w` with this id and time.
    pub(crate) fn row(id: &str, at: Micros) -> NewActivity {
        NewActivity {
            id: Some(id.to_owned()),
            workspace_id: "w".to_owned(),
            activity_type: "a2a_receive".to_owned(),
            status: Some("ok".to_owned()),
            created_at: Some(at),
            ..NewActivity::default()
        }
    }

    /// A store in memory that holds these rows.
    pub(crate) fn store(rows: &[(&str, Micros)]) -> Store {
        let store = Store::open(None).unwrap();
        for (id, at) in rows {
            store.insert_activity(row(id, *at), MessageIds::MayRepeat).unwrap();
        }
        store
    }
}
