//! Text and files of a message: which `parts` array counts, what of it is text, what of it is a file.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json::Object;

/// The up to three places where a message keeps its parts, best first: `params.message.parts`, `params.parts`, `parts`.
pub(super) struct Parts<'a>([Option<Vec<&'a RawValue>>; 3]);

impl<'a> Parts<'a> {
    /// Looks at all places of a request body.
    pub(super) fn of(body: Option<&Object<'a>>) -> Self {
        let params = body.and_then(|body| body.object("params"));
        let message = params.as_ref().and_then(|params| params.object("message"));
        Self([
            message.and_then(|message| message.array("parts")),
            params.and_then(|params| params.array("parts")),
            body.and_then(|body| body.array("parts")),
        ])
    }

    /// The text of the best place that has any. Parts are joined with nothing between them, and nothing is trimmed.
    pub(super) fn text(&self) -> Option<String> {
        self.0
            .iter()
            .flatten()
            .map(|parts| parts.iter().filter_map(|part| text_of(part)).collect::<String>())
            .find(|text| !text.is_empty())
    }

    /// The files in the best place that is an array at all; `None` when no place is.
    pub(super) fn files(&self) -> Option<Vec<Value>> {
        let parts = self.0.iter().flatten().next()?;
        Some(parts.iter().filter_map(|part| file_of(part)).collect())
    }
}

/// The text of a text part: one of the two tags says `text`. A text that is no string counts as empty.
fn text_of(part: &RawValue) -> Option<String> {
    let part = Object::of(part)?;
    let tagged = ["kind", "type"]
        .iter()
        .any(|tag| part.text(tag).as_deref() == Some("text"));
    if tagged { part.text("text") } else { None }
}

/// The attachment entry of a file part. Details inside `file` win over those on the part; the bytes are left out.
fn file_of(part: &RawValue) -> Option<Value> {
    let part = Object::of(part)?;
    let kind = ["kind", "type"]
        .iter()
        .filter_map(|tag| part.text(tag))
        .find(|tag| matches!(tag.as_str(), "file" | "image" | "audio" | "video"))?;
    let nested = part.object("file");
    let holders = || nested.iter().chain([&part]);
    let detail = |key: &str| holders().find_map(|holder| holder.filled(key));
    let file = File {
        uri: detail("uri"),
        mime_type: holders().find_map(|holder| holder.filled("mime_type").or_else(|| holder.filled("mimeType"))),
        name: detail("name"),
        size: holders().find_map(|holder| holder.value("size")),
    };
    let has_bytes = holders().any(|holder| holder.get("bytes").is_some());
    (file.uri.is_some() || file.name.is_some() || has_bytes).then(|| file.entry(&kind))
}

/// What is known about one file.
pub(super) struct File {
    pub(super) uri: Option<String>,
    pub(super) mime_type: Option<String>,
    pub(super) name: Option<String>,
    pub(super) size: Option<u64>,
}

impl File {
    /// Reads the flat manifest of an upload: a request body that describes one file. It needs (`uri` or `file_id`) and
    /// (`uri` or `name`).
    pub(super) fn manifest(body: &Object<'_>, workspace: &str) -> Option<Self> {
        let id = body.filled("file_id");
        let uri = body.filled("uri");
        let name = body.filled("name");
        if uri.is_none() && (id.is_none() || name.is_none()) {
            return None;
        }
        Some(Self {
            uri: uri.or_else(|| id.map(|id| format!("platform-pending:{workspace}/{id}"))),
            mime_type: body.filled("mimeType").or_else(|| body.filled("mime_type")),
            name,
            size: body.value("size"),
        })
    }

    /// The kind that its MIME type tells.
    pub(super) fn kind(&self) -> &'static str {
        let mime = self.mime_type.as_deref().unwrap_or_default();
        ["image", "audio", "video"]
            .into_iter()
            .find(|kind| mime.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/')))
            .unwrap_or("file")
    }

    /// The entry shown to agents: `{kind, uri?, mime_type?, name?, size?}`.
    pub(super) fn entry(self, kind: &str) -> Value {
        let mut entry = Map::new();
        entry.insert("kind".to_owned(), kind.into());
        for (key, value) in [("uri", self.uri), ("mime_type", self.mime_type), ("name", self.name)] {
            if let Some(value) = value {
                entry.insert(key.to_owned(), value.into());
            }
        }
        if let Some(size) = self.size {
            entry.insert("size".to_owned(), size.into());
        }
        Value::Object(entry)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn files(body: Value) -> Option<Vec<Value>> {
        let raw = RawValue::from_string(body.to_string()).unwrap();
        Parts::of(Object::of(&raw).as_ref()).files()
    }

    #[test]
    fn file_parts_become_attachments_in_every_known_shape() {
        for (part, expected) in [
            (
                json!({"kind":"file","file":{"uri":"workspace:/w/0a-plan.pdf","mime_type":"application/pdf","name":"plan.pdf"}}),
                vec![
                    json!({"kind":"file","uri":"workspace:/w/0a-plan.pdf","mime_type":"application/pdf","name":"plan.pdf"}),
                ],
            ),
            (
                json!({"type":"image","uri":"workspace:/w/p.png","name":"p.png"}),
                vec![json!({"kind":"image","uri":"workspace:/w/p.png","name":"p.png"})],
            ),
            (
                json!({"kind":"audio","file":{"name":"memo.ogg"}}),
                vec![json!({"kind":"audio","name":"memo.ogg"})],
            ),
            (
                json!({"kind":"video","mimeType":"video/x","size":5,"file":{"uri":"u","mimeType":"video/mp4","size":9}}),
                vec![json!({"kind":"video","uri":"u","mime_type":"video/mp4","size":9})],
            ),
            (
                json!({"kind":"file","file":{"bytes":"QUJD","mimeType":"text/plain"}}),
                vec![json!({"kind":"file","mime_type":"text/plain"})],
            ),
            (json!({"kind":"file","file":{}}), vec![]),
            (json!({"kind":"file","file":{"uri":7,"name":""}}), vec![]),
            (json!({"kind":"text","text":"x"}), vec![]),
            (json!({"kind":"data","data":{}}), vec![]),
            (json!(null), vec![]),
        ] {
            assert_eq!(
                files(json!({"params":{"message":{"parts":[part]}}})),
                Some(expected),
                "{part}"
            );
        }
    }

    #[test]
    fn files_are_sought_in_the_lesser_places_only_when_the_better_are_no_arrays() {
        let file = json!([{"kind":"file","name":"n"}]);
        assert_eq!(files(json!({"params":{"message":"?","parts":file}})).unwrap().len(), 1);
        assert_eq!(files(json!({"params":[],"parts":file})).unwrap().len(), 1);
        assert_eq!(
            files(json!({"params":{"message":{"parts":[]},"parts":file}}))
                .unwrap()
                .len(),
            0
        );
        assert_eq!(files(json!({"params":7})), None);
    }
}
