//! Searches in a workspace's own activity log, for what no other route tells.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::error::CallError;
use super::retry;
use super::wire::{ActivityPage, ActivityQuery};
use super::workspace::{LOOK_UP_AGAIN, WorkspaceApi};
use crate::types::{PeerId, Timestamp};

/// Rows on one page of a search.
const PAGE: u32 = 500;

/// Pages on which an echo is looked for: more rows than a person and an agent exchange in the minutes in question.
const MAX_PAGES: usize = 20;

/// The part of a row that the searches look at. Wrong types elsewhere in a row do no harm.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    method: Value,
    #[serde(default)]
    source_id: Value,
    #[serde(default)]
    target_id: Value,
    #[serde(default)]
    request_body: Value,
    #[serde(default)]
    response_body: Value,
    #[serde(default)]
    created_at: Value,
}

impl Row {
    fn time(&self) -> Option<Timestamp> {
        Timestamp::parse(self.created_at.as_str()?)
    }
}

/// Which messages to the person are looked for.
#[derive(Clone, Copy, Debug)]
pub enum Echo<'a> {
    /// Those of exactly this text and without files.
    Text(&'a str),
    /// Those with the file of this address, which goes with one message only.
    File(&'a str),
}

impl Echo<'_> {
    fn is_of(self, message: &Value) -> bool {
        let files = message["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Text(text) => files.is_empty() && message["result"] == text.replace('\0', "\u{fffd}"),
            Self::File(uri) => files.iter().any(|part| part["file"]["uri"] == uri),
        }
    }
}

impl WorkspaceApi {
    /// `GET /workspaces/:id` as sent: of this workspace, or of `peer`. The route is public and gets no credential.
    ///
    /// # Errors
    /// See [`CallError`]; a removed workspace is a [`CallError::Rejected`] with status 410 and the platform's body.
    pub async fn workspace_row(&self, peer: Option<&PeerId>) -> Result<Value, CallError> {
        let id = peer.map_or(self.workspace().as_str(), PeerId::as_str);
        retry::idempotent(LOOK_UP_AGAIN, || self.public_row(id)).await
    }

    /// The newest activity rows about delegations, newest first; `limit` is 1 to 500. Asked again in smaller pages
    /// when they are too large, so fewer may come.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_rows(&self, limit: u32) -> Result<ActivityPage, CallError> {
        let mut query = ActivityQuery {
            kind: Some("delegation"),
            limit,
            ..ActivityQuery::default()
        };
        loop {
            match self.activity(&query).await {
                Err(CallError::TooLarge { .. }) if query.limit > 1 => query.limit = query.limit.div_ceil(10),
                settled => return settled,
            }
        }
    }

    /// The whole text of a finished delegation; the list of delegations has only its first 300 bytes. `None`: no such
    /// result among the newest rows.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_text(&self, delegation_id: &str) -> Result<Option<String>, CallError> {
        let page = self.delegation_rows(PAGE).await?;
        Ok(page
            .rows()
            .iter()
            .filter(|row| row.get().contains(delegation_id))
            .filter_map(|row| serde_json::from_str::<Row>(row.get()).ok())
            .filter(|row| row.method == "delegate_result" && row.response_body["delegation_id"] == delegation_id)
            .find_map(|row| Some(row.response_body["text"].as_str()?.to_owned())))
    }

    /// The delegations of exactly this task to this target that the platform recorded at `since` or later, by its
    /// clock, newest first: what settles a delegation whose answer was lost. Of the newest rows only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn sent_delegations(
        &self,
        target: &PeerId,
        task: &str,
        since: Timestamp,
    ) -> Result<Vec<String>, CallError> {
        let page = self.delegation_rows(PAGE).await?;
        let is_it = |row: &Row| {
            row.method == "delegate"
                && row.request_body["task"] == task
                && row
                    .target_id
                    .as_str()
                    .is_some_and(|id| id.eq_ignore_ascii_case(target.as_str()))
                && row.time().is_some_and(|time| time >= since)
        };
        Ok(page
            .rows()
            .iter()
            .filter_map(|row| serde_json::from_str::<Row>(row.get()).ok())
            .filter(is_it)
            .filter_map(|row| Some(row.request_body["delegation_id"].as_str()?.to_owned()))
            .collect())
    }

    /// How many such messages to the person the platform recorded at `since` or later, by its clock: what settles a notify
    /// whose answer was lost. The row may follow the answer by a moment.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn echoes(&self, echo: Echo<'_>, since: Timestamp) -> Result<usize, CallError> {
        let mut before: Option<Timestamp> = None;
        // Pages overlap at their edges.
        let mut found = HashSet::new();
        for _ in 0..MAX_PAGES {
            let mut query = vec![
                ("type", "a2a_receive".to_owned()),
                ("source", "canvas".to_owned()),
                ("limit", PAGE.to_string()),
            ];
            query.extend(before.map(|time| ("before_ts", time.to_rfc3339())));
            let page = self.activity_page(query).await?;
            let sent = page.rows();
            let rows: Vec<Row> = sent
                .iter()
                .filter_map(|row| serde_json::from_str(row.get()).ok())
                .collect();
            let is_echo = |row: &Row| {
                row.method == "notify"
                    && row.source_id.is_null()
                    && echo.is_of(&row.response_body)
                    && row.time().is_some_and(|time| time >= since)
            };
            found.extend(
                rows.iter()
                    .filter(|row| is_echo(row))
                    .map(|row| (row.id.to_string(), row.created_at.to_string())),
            );
            // The comparison is strict: one microsecond more keeps the rows that share the oldest instant.
            let oldest = rows.iter().filter_map(Row::time).min().map(|time| time.plus_micros(1));
            let more = sent.len() >= PAGE as usize && oldest.is_some_and(|time| time > since);
            if !more || oldest == before {
                break;
            }
            before = oldest;
        }
        Ok(found.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{PEER, Reply, Responder, SELF};
    use super::*;

    fn reply(body: &Value) -> Reply {
        Reply::json(200, &body.to_string())
    }

    #[tokio::test]
    async fn the_whole_text_of_a_delegation_is_found_by_its_id() {
        let responder = Responder::start(vec![reply(&json!([
            { "method": "delegate", "request_body": { "delegation_id": "d1" } },
            { "method": "delegate_result", "response_body": null, "summary": "about d1" },
            "poison d1",
            { "method": "delegate_result", "response_body": { "delegation_id": "d10", "text": "other" } },
            { "method": "delegate_result", "created_at": 7, "response_body": { "delegation_id": "d1", "text": "whole" } },
            { "method": "delegate_result", "response_body": { "delegation_id": "d1", "text": "older" } },
        ]))])
        .await;
        let api = responder.api();
        assert_eq!(api.delegation_text("d1").await.unwrap().as_deref(), Some("whole"));
        assert_eq!(api.delegation_text("d2").await.unwrap(), None);
        let asked = &responder.seen()[0];
        assert!(asked.request_line().contains("/activity?type=delegation&limit=500 "));
    }

    #[tokio::test]
    async fn delegation_rows_too_large_together_are_asked_for_in_smaller_pages() {
        let huge = Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n");
        let responder = Responder::start(vec![huge.clone(), huge.clone(), huge, reply(&json!([{ "id": "r" }]))]).await;
        assert_eq!(responder.api().delegation_rows(500).await.unwrap().rows().len(), 1);
        let limits: Vec<_> = responder
            .seen()
            .iter()
            .map(|seen| seen.request_line().split("limit=").nth(1).unwrap().to_owned())
            .collect();
        assert_eq!(limits, ["500 HTTP/1.1", "50 HTTP/1.1", "5 HTTP/1.1", "1 HTTP/1.1"]);
        let hopeless = Responder::start(vec![Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n")]).await;
        assert!(matches!(
            hopeless.api().delegation_rows(500).await,
            Err(CallError::TooLarge { .. })
        ));
        assert_eq!(hopeless.seen().len(), 4);
    }

    fn echo(text: &str, time: &str) -> Value {
        json!({ "method": "notify", "source_id": null, "created_at": time, "response_body": { "result": text } })
    }

    #[tokio::test]
    async fn only_the_same_text_after_the_given_instant_is_an_echo() {
        let since = Timestamp::parse("2026-05-01T10:00:00Z").unwrap();
        let (after, before) = ("2026-05-01T10:00:00.5Z", "2026-05-01T09:59:59.999Z");
        let mut foreign = echo("hi", after);
        foreign["source_id"] = PEER.into();
        let mut message = echo("hi", after);
        message["method"] = "message/send".into();
        for (rows, expected) in [
            (json!([echo("hi", after)]), 1),
            (json!([echo("hi", after), echo("hi", "2026-05-01T10:00:01Z")]), 2),
            (json!([echo("hi", after), echo("hi", after)]), 1),
            (json!([7, { "created_at": 5 }, echo("hi", after)]), 1),
            (json!([echo("hi", "2026-05-01T10:00:00Z")]), 1),
            (json!([echo("hi", before)]), 0),
            (json!([echo("hi ", after)]), 0),
            (json!([echo("hi", "yesterday")]), 0),
            (json!([foreign]), 0),
            (json!([message]), 0),
            (json!([]), 0),
        ] {
            let responder = Responder::start(vec![reply(&rows)]).await;
            let found = responder.api().echoes(Echo::Text("hi"), since).await.unwrap();
            assert_eq!(found, expected, "{rows}");
        }
        let responder = Responder::start(vec![reply(&json!([echo("a\u{fffd}b", after)]))]).await;
        assert_eq!(responder.api().echoes(Echo::Text("a\0b"), since).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_message_with_files_is_known_by_them_and_not_by_its_text() {
        let since = Timestamp::parse("2026-05-01T10:00:00Z").unwrap();
        let mut row = echo("hi", "2026-05-01T10:00:01Z");
        row["response_body"]["parts"] = json!([{ "kind": "file", "file": { "uri": "u-1", "name": "a" } }]);
        let responder = Responder::start(vec![reply(&json!([row, echo("hi", "2026-05-01T10:00:02Z")]))]).await;
        let api = responder.api();
        for (wanted, expected) in [(Echo::Text("hi"), 1), (Echo::File("u-1"), 1), (Echo::File("u-2"), 0)] {
            assert_eq!(api.echoes(wanted, since).await.unwrap(), expected, "{wanted:?}");
        }
    }

    #[tokio::test]
    async fn a_lost_delegation_is_found_by_its_target_task_and_time() {
        let since = Timestamp::parse("2026-05-01T10:00:00Z").unwrap();
        let row = |id: &str, change: Value| {
            let mut row = json!({ "method": "delegate", "target_id": PEER, "created_at": "2026-05-01T10:00:01Z",
                "request_body": { "task": "t", "delegation_id": id } });
            for (key, value) in change.as_object().unwrap() {
                row[key] = value.clone();
            }
            row
        };
        let rows = json!([
            row("d1", json!({})),
            row("d2", json!({ "target_id": SELF })),
            row("d3", json!({ "created_at": "2026-05-01T09:59:59Z" })),
            row(
                "d4",
                json!({ "request_body": { "task": "other", "delegation_id": "d4" } })
            ),
            row("d5", json!({ "method": "delegate_result" })),
            row("d6", json!({ "target_id": PEER.to_ascii_uppercase() })),
        ]);
        let responder = Responder::start(vec![reply(&rows)]).await;
        let peer = PeerId::parse(PEER).unwrap();
        assert_eq!(
            responder.api().sent_delegations(&peer, "t", since).await.unwrap(),
            ["d1", "d6"]
        );
    }

    #[tokio::test]
    async fn an_echo_is_looked_for_back_to_the_instant_and_a_platform_without_paging_ends_the_search() {
        let since = Timestamp::parse("2026-05-01T10:00:00Z").unwrap();
        let full = |time: &str| Value::from(vec![echo("other", time); PAGE as usize]);
        let responder = Responder::start(vec![
            reply(&full("2026-05-01T10:05:00Z")),
            reply(&json!([echo("hi", "2026-05-01T10:04:00Z")])),
        ])
        .await;
        assert_eq!(responder.api().echoes(Echo::Text("hi"), since).await.unwrap(), 1);
        let second = responder.seen()[1].request_line().to_owned();
        assert!(second.contains("before_ts=2026-05-01T10%3A05%3A00.000001Z"), "{second}");

        let deaf = Responder::start(vec![reply(&full("2026-05-01T10:05:00Z"))]).await;
        assert_eq!(deaf.api().echoes(Echo::Text("hi"), since).await.unwrap(), 0);
        assert_eq!(deaf.seen().len(), 2);

        let old = Responder::start(vec![reply(&full("2026-05-01T09:00:00Z"))]).await;
        assert_eq!(old.api().echoes(Echo::Text("hi"), since).await.unwrap(), 0);
        assert_eq!(old.seen().len(), 1);
    }

    #[tokio::test]
    async fn a_row_is_read_without_a_credential_and_a_removed_one_keeps_the_platforms_words() {
        let responder = Responder::start(vec![
            reply(&json!({ "id": SELF })),
            reply(&json!({ "id": PEER })),
            Reply::json(410, r#"{"error":"workspace removed","removed_at":null}"#),
        ])
        .await;
        let api = responder.api();
        assert_eq!(api.workspace_row(None).await.unwrap()["id"], SELF);
        let peer = PeerId::parse(PEER).unwrap();
        assert_eq!(api.workspace_row(Some(&peer)).await.unwrap()["id"], PEER);
        let gone = api.workspace_row(Some(&peer)).await.unwrap_err();
        assert!(matches!(
            gone,
            CallError::Rejected {
                status: 410,
                body: Some(_),
                ..
            }
        ));
        for seen in responder.seen() {
            assert_eq!(seen.header("authorization"), None);
        }
    }
}
