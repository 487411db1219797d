//! Results that fit: lists in pages, and objects without what is too large.

use serde_json::{Map, Value, json};

use crate::mcp::answer::ToolError;
use crate::mcp::toolset::Given;
use crate::tools::paging::{LIST_LIMIT, fit, size};

/// Most items of one page.
const MOST: usize = 500;

/// Field of a page that says how many items the platform was asked for, when so many came.
pub(super) const CUT_AT: &str = "cut_at";

/// The part of a result that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tools) struct Wanted {
    limit: Option<usize>,
    offset: usize,
    fields: Vec<String>,
}

impl Wanted {
    /// At most `limit` items from `offset` on.
    pub(in crate::tools) fn part(offset: Option<u32>, limit: Option<u32>) -> Self {
        Self {
            limit: limit.map(|limit| (limit as usize).clamp(1, MOST)),
            offset: offset.unwrap_or(0) as usize,
            ..Self::default()
        }
    }

    /// Takes `limit`, `offset`, `cursor` and `fields` out of a call's arguments.
    ///
    /// # Errors
    /// When one breaks its rule.
    pub(super) fn of_list(given: &mut Given) -> Result<Self, ToolError> {
        let [limit, offset, cursor, fields] = given.take(["limit", "offset", "cursor", "fields"]);
        let limit = whole("limit", limit, 1..=MOST)?;
        let offset = whole("offset", offset, 0..=usize::MAX)?;
        let cursor = whole("cursor", cursor, 0..=usize::MAX)?;
        Ok(Self {
            limit,
            offset: offset.or(cursor).unwrap_or(0),
            fields: names(fields)?,
        })
    }

    /// Takes `fields` out of a call's arguments.
    ///
    /// # Errors
    /// When it breaks its rule.
    pub(super) fn of_object(given: &mut Given) -> Result<Self, ToolError> {
        let [fields] = given.take(["fields"]);
        Ok(Self {
            fields: names(fields)?,
            ..Self::default()
        })
    }

    /// The schemas of the arguments that [`Wanted::of_list`] takes.
    pub(super) fn list_arguments() -> Map<String, Value> {
        let mut arguments = Self::object_arguments();
        for (name, least, what) in [
            (
                "limit",
                1,
                "At most so many items, up to 500; fewer come when they are large.",
            ),
            ("offset", 0, "Skip so many items: next_offset of the result before."),
            ("cursor", 0, "The same as offset."),
        ] {
            let schema = json!({ "type": "integer", "minimum": least, "description": what });
            arguments.insert(name.to_owned(), schema);
        }
        arguments
    }

    /// The schema of the argument that [`Wanted::of_object`] takes.
    pub(super) fn object_arguments() -> Map<String, Value> {
        let fields = json!({ "type": "array", "items": { "type": "string" },
            "description": "Only these fields; left out: all." });
        Map::from_iter([("fields".to_owned(), fields)])
    }

    /// The properties of a page of items called `key`.
    pub(super) fn page_properties(key: &str) -> Map<String, Value> {
        Map::from_iter([
            (
                key.to_owned(),
                json!({ "type": "array", "description": "As the platform tells them." }),
            ),
            (
                "count".to_owned(),
                json!({ "type": "integer", "description": "How many there are in all." }),
            ),
            (
                "next_offset".to_owned(),
                json!({ "type": "integer", "description": "There are more: call again with this offset." }),
            ),
            (
                CUT_AT.to_owned(),
                json!({ "type": "integer", "description":
                    "The platform was asked for so many at most, and may have more: the tool's filters reach them." }),
            ),
        ])
    }

    /// One page of `items`.
    pub(in crate::tools) fn page(&self, key: &str, items: Vec<Value>) -> Map<String, Value> {
        let count = items.len();
        let rest = items.into_iter().skip(self.offset).take(self.limit.unwrap_or(MOST));
        let (shown, _) = fit(rest.map(|item| self.item(item)), LIST_LIMIT);
        let next = self.offset + shown.len();
        let mut page = Map::new();
        if next < count && !shown.is_empty() {
            page.insert("next_offset".to_owned(), json!(next));
        }
        page.insert(key.to_owned(), Value::Array(shown));
        page.insert("count".to_owned(), json!(count));
        page
    }

    /// An object with the wanted fields, and without those that would not fit.
    pub(in crate::tools) fn object(&self, mut fields: Map<String, Value>) -> Map<String, Value> {
        if !self.fields.is_empty() {
            fields.retain(|name, _| self.fields.contains(name));
        }
        shrunk(fields)
    }

    fn item(&self, item: Value) -> Value {
        match item {
            Value::Object(fields) => Value::Object(self.object(fields)),
            other => other,
        }
    }
}

/// An object with its largest fields replaced by a note, until it fits into one result. `omitted` names them.
fn shrunk(mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut omitted = Vec::new();
    while size(&fields) > LIST_LIMIT {
        let largest = fields.iter().max_by_key(|(_, value)| size(value));
        let Some((name, bytes)) = largest.map(|(name, value)| (name.clone(), size(value))) else {
            break;
        };
        fields.remove(&name);
        // Names can be long as well, and there can be many.
        if omitted.len() < 100 && name.len() <= 200 {
            omitted.push(json!({ "field": name, "bytes": bytes }));
        }
    }
    if !omitted.is_empty() {
        fields.insert("omitted".to_owned(), Value::Array(omitted));
    }
    fields
}

fn whole(name: &str, value: Option<Value>, range: std::ops::RangeInclusive<usize>) -> Result<Option<usize>, ToolError> {
    let Some(value) = value else { return Ok(None) };
    // A cursor may come back as the text it was shown in.
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let number = number.and_then(|number| usize::try_from(number).ok());
    match number.filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None if *range.end() == usize::MAX => Err(ToolError::argument(name, "must be an integer of at least 0")),
        None => {
            let rule = format!("must be an integer from {} to {}", range.start(), range.end());
            Err(ToolError::argument(name, rule))
        }
    }
}

fn names(value: Option<Value>) -> Result<Vec<String>, ToolError> {
    let Some(value) = value else { return Ok(Vec::new()) };
    serde_json::from_value(value).map_err(|_| ToolError::argument("fields", "must be an array of names"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::answer::RESULT_LIMIT;
    use std::sync::Arc;

    fn wanted(arguments: Value) -> Result<Wanted, ToolError> {
        let Value::Object(arguments) = arguments else { panic!() };
        Wanted::of_list(&mut Given::new(arguments, Arc::default()))
    }

    #[test]
    fn pages_of_any_size_are_the_list() {
        let items: Vec<Value> = (0..1000).map(|n| json!({ "id": n, "text": "x".repeat(n) })).collect();
        for limit in [1, 7, 500] {
            let (mut ids, mut offset) = (Vec::new(), Some(0));
            while let Some(at) = offset {
                let page = wanted(json!({ "limit": limit, "offset": at, "fields": null }));
                let page = page.unwrap().page("rows", items.clone());
                assert!(Value::Object(page.clone()).to_string().len() <= RESULT_LIMIT);
                assert_eq!(page["count"], 1000);
                ids.extend(
                    page["rows"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|row| row["id"].as_u64().unwrap()),
                );
                offset = page.get("next_offset").map(|next| next.as_u64().unwrap());
            }
            assert!(ids.into_iter().eq(0..1000), "{limit}");
        }
        let beyond = wanted(json!({ "cursor": "2000" })).unwrap().page("rows", items);
        assert_eq!((&beyond["rows"], beyond.get("next_offset")), (&json!([]), None));
    }

    #[test]
    fn fields_are_chosen_and_what_is_too_large_is_named() {
        let item = json!({ "id": 1, "name": "n", "card": "x".repeat(70_000) });
        let some = wanted(json!({ "fields": ["id", "nope"] })).unwrap().item(item.clone());
        assert_eq!(some, json!({ "id": 1 }));
        let all = Wanted::default().item(item.clone());
        assert_eq!(
            all,
            json!({ "id": 1, "name": "n", "omitted": [{ "field": "card", "bytes": 70_003 }] })
        );
        let page = Wanted::default().page("rows", vec![item, json!({ "id": 2 })]);
        assert_eq!(page["rows"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn bad_paging_is_refused_by_name() {
        for (arguments, part) in [
            (json!({ "limit": 0 }), "`limit` must be an integer from 1 to 500"),
            (json!({ "limit": 501 }), "`limit`"),
            (json!({ "limit": 1.5 }), "`limit`"),
            (json!({ "offset": -1 }), "`offset` must be an integer of at least 0"),
            (json!({ "cursor": "x" }), "`cursor`"),
            (json!({ "fields": "id" }), "`fields`"),
        ] {
            let refusal = wanted(arguments).unwrap_err().to_string();
            assert!(refusal.contains(part), "{refusal}");
        }
    }
}
