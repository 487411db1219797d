//! The part of the activity log that is a conversation.

use super::error::CallError;
use super::retry;
use super::wire::ActivityPage;
use super::workspace::{LOOK_UP_AGAIN, WorkspaceApi};
use crate::types::{Partner, Timestamp};

impl WorkspaceApi {
    /// `GET /workspaces/:id/activity` with one partner, or with everyone: the newest rows older than `before`, newest
    /// first. `limit` is 1 to 500; asked again in smaller pages when they are too large, so fewer may come. A platform
    /// of level A knows none of this and sends its newest rows.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn conversation(
        &self,
        with: Option<&Partner>,
        before: Option<Timestamp>,
        mut limit: u32,
    ) -> Result<ActivityPage, CallError> {
        loop {
            let mut query = match with {
                None => Vec::new(),
                Some(Partner::Peer(peer)) => vec![("peer_id", peer.to_string())],
                Some(Partner::Person) => vec![("type", "a2a_receive".to_owned()), ("source", "canvas".to_owned())],
            };
            query.push(("limit", limit.to_string()));
            query.extend(before.map(|time| ("before_ts", time.to_rfc3339())));
            query.push(("include", "peer_info".to_owned()));
            match retry::idempotent(LOOK_UP_AGAIN, || self.activity_page(query.clone())).await {
                Err(CallError::TooLarge { .. }) if limit > 1 => limit = limit.div_ceil(10),
                settled => return settled,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PEER, Reply, Responder, SELF};
    use super::*;

    #[tokio::test]
    async fn a_conversation_is_asked_for_by_its_partner() {
        let responder = Responder::start(vec![Reply::json(200, "[]")]).await;
        let api = responder.api();
        let peer = Partner::parse(PEER).unwrap();
        let before = Timestamp::parse("2026-05-01T10:00:00Z");
        for (with, before) in [(Some(&peer), before), (Some(&Partner::Person), None), (None, None)] {
            assert!(api.conversation(with, before, 20).await.unwrap().rows().is_empty());
        }
        let asked: Vec<_> = responder
            .seen()
            .iter()
            .map(|seen| seen.request_line().to_owned())
            .collect();
        let line = |query: &str| format!("GET /workspaces/{SELF}/activity?{query}&include=peer_info HTTP/1.1");
        assert_eq!(
            asked,
            [
                line(&format!(
                    "peer_id={PEER}&limit=20&before_ts=2026-05-01T10%3A00%3A00.000000Z"
                )),
                line("type=a2a_receive&source=canvas&limit=20"),
                line("limit=20"),
            ]
        );
    }

    #[tokio::test]
    async fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
        let huge = Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n");
        let responder = Responder::start(vec![huge.clone(), huge, Reply::json(200, "[1]")]).await;
        assert_eq!(
            responder.api().conversation(None, None, 50).await.unwrap().rows().len(),
            1
        );
        assert!(responder.seen()[2].request_line().contains("limit=1&"));
    }
}
