use super::super::testing::{PEER, Reply, Responder, SELF, Seen, TOKEN};
use super::*;
use crate::types::{ActivityId, Timestamp};

fn peer() -> PeerId {
    PeerId::parse(PEER).unwrap()
}

fn beat() -> Beat {
    Beat {
        workspace_id: SELF.to_owned(),
        error_rate: 0.0,
        sample_error: String::new(),
        active_tasks: 2,
        current_task: None,
        uptime_seconds: 5,
        mcp_server_present: false,
    }
}

fn registration() -> RegisterBody {
    RegisterBody {
        id: SELF.to_owned(),
        url: String::new(),
        agent_card: json!({ "name": "x\0", "skills": [] }),
        delivery_mode: "poll",
        mcp_server_present: true,
    }
}

/// Starts a server that gives one answer to everything.
async fn answering(status: u16, body: &str) -> Responder {
    Responder::start(vec![Reply::json(status, body)]).await
}

fn only(responder: &Responder) -> Seen {
    let seen = responder.seen();
    assert_eq!(seen.len(), 1);
    seen[0].clone()
}

#[tokio::test]
async fn register_sends_the_contracts_fields_and_returns_secrets() {
    let responder = answering(
        200,
        r#"{"status":"registered","auth_token":"fresh","platform_inbound_secret":"in"}"#,
    )
    .await;
    let registered = responder.api().register(&registration()).await.unwrap();
    assert_eq!(registered.auth_token.unwrap().expose(), "fresh");
    assert_eq!(registered.inbound_secret.unwrap().expose(), "in");
    let sent = only(&responder);
    assert_eq!(sent.request_line(), "POST /registry/register HTTP/1.1");
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    assert_eq!(
        sent.json(),
        json!({
            "id": SELF, "url": "", "agent_card": { "name": "x\u{fffd}", "skills": [] },
            "delivery_mode": "poll", "mcp_server_present": true,
        })
    );
}

#[tokio::test]
async fn a_beat_is_good_whatever_its_2xx_body_says() {
    for (body, secret) in [
        (r#"{"status":"ok","platform_inbound_secret":"s-1"}"#, Some("s-1")),
        (r#"{"platform_inbound_secret":""}"#, None),
        (r#"{"platform_inbound_secret":5}"#, None),
        ("[]", None),
        ("<html>", None),
        ("", None),
    ] {
        let responder = answering(200, body).await;
        let reply = responder.api().heartbeat(&beat()).await.unwrap();
        assert_eq!(reply.inbound_secret.as_ref().map(Secret::expose), secret, "{body}");
        assert_eq!(
            only(&responder).json(),
            json!({
                "workspace_id": SELF, "error_rate": 0.0, "sample_error": "", "active_tasks": 2,
                "uptime_seconds": 5, "mcp_server_present": false,
            })
        );
    }
}

#[tokio::test]
async fn existence_is_concluded_only_from_the_platforms_own_words() {
    let named = format!(r#"{{"error":"gone","id":"{}"}}"#, SELF.to_uppercase());
    let other = format!(r#"{{"error":"workspace removed","id":"{PEER}"}}"#);
    for (status, body, expected) in [
        (200, r#"{"status":"online"}"#, "Ok(Known"),
        (200, r#"{"status":"removed"}"#, "Ok(Removed"),
        (200, "<html>", "Err(Malformed"),
        (200, "[]", "Err(Malformed"),
        (404, r#"{"error":"workspace not found"}"#, "Ok(Unknown"),
        (404, r#"{"error":"Workspace not found"}"#, "Err(Rejected"),
        (404, "workspace not found", "Err(Rejected"),
        (404, "", "Err(Rejected"),
        (410, named.as_str(), "Ok(Removed"),
        (410, r#"{"error":"workspace removed"}"#, "Ok(Removed"),
        (410, other.as_str(), "Err(Rejected"),
        (410, "", "Err(Rejected"),
        (500, r#"{"error":"workspace not found"}"#, "Err(Rejected"),
        (401, r#"{"error":"x"}"#, "Err(Refused"),
    ] {
        let responder = answering(status, body).await;
        let found = format!("{:?}", responder.api().existence().await);
        assert!(found.starts_with(expected), "{status} {body}: {found}");
        let sent = only(&responder);
        assert_eq!(sent.request_line(), format!("GET /workspaces/{SELF} HTTP/1.1"));
        assert_eq!(sent.header("authorization"), None);
    }
    let responder = answering(410, &other).await;
    assert!(matches!(
        responder.api().existence_of(&peer()).await,
        Ok(Existence::Removed(_))
    ));
    assert_eq!(
        only(&responder).request_line(),
        format!("GET /workspaces/{PEER} HTTP/1.1")
    );
}

#[tokio::test]
async fn an_activity_page_is_split_into_rows_as_they_were_sent() {
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let body = format!("[ {{\"id\" : \"a\",\"n\":1.50}}, null, {deep}]");
    let responder = Responder::start(vec![Reply::new(
        200,
        &[("date", "Fri, 01 May 2026 10:00:00 GMT")],
        &body,
    )])
    .await;
    let query = ActivityQuery {
        kind: Some("a2a_receive"),
        since_id: Some(ActivityId::parse("id-1").unwrap()),
        since_secs: Some(600),
        before_ts: Timestamp::parse("2026-05-01T10:00:00.5Z"),
        limit: 500,
        peer_info: true,
    };
    let page = responder.api().activity(&query).await.unwrap();
    let rows: Vec<_> = page.rows().iter().map(|row| row.get()).collect();
    assert_eq!(rows, ["{\"id\" : \"a\",\"n\":1.50}", "null", deep.as_str()]);
    assert_eq!(page.date, Timestamp::parse("2026-05-01T10:00:00Z"));
    assert_eq!(
        only(&responder).request_line(),
        format!(
            "GET /workspaces/{SELF}/activity?type=a2a_receive&since_id=id-1&since_secs=600\
             &before_ts=2026-05-01T10%3A00%3A00.500000Z&limit=500&include=peer_info HTTP/1.1"
        )
    );
}

#[test]
fn a_byte_that_is_no_utf8_costs_one_character_and_not_the_page() {
    let page = ActivityPage::of(b"[{\"id\":\"a\",\"t\":\"\xff\"},{\"id\":\"b\"}]".to_vec(), None).unwrap();
    let rows = page.rows();
    assert_eq!(rows[0].get(), "{\"id\":\"a\",\"t\":\"?\"}");
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn an_activity_answer_that_is_no_array_is_malformed_and_never_quoted() {
    for body in ["{\"rows\":\"hush\"}", "null", "", "<html>hush", "[1,2", "[\"hush\"] x"] {
        let error = answering(200, body)
            .await
            .api()
            .activity(&ActivityQuery::default())
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Malformed { .. }), "{body}: {error:?}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[tokio::test]
async fn a_platform_without_acknowledgements_is_no_failure() {
    for (status, body, expected) in [
        (200, r#"{"last_acked_seq":7}"#, Some(true)),
        (404, "404 page not found", Some(false)),
        (404, "", Some(false)),
        (400, r#"{"error":"acked_seq is required"}"#, None),
        (500, "", None),
    ] {
        let responder = answering(status, body).await;
        assert_eq!(responder.api().acknowledge(7).await.ok(), expected, "{status} {body}");
        assert_eq!(only(&responder).json(), json!({ "acked_seq": 7 }));
    }
}

#[tokio::test]
async fn a_notice_counts_as_sent_only_when_the_platform_says_so() {
    let responder = answering(200, r#"{"status":"sent"}"#).await;
    responder.api().notify("a\0b", &[]).await.unwrap();
    let sent = only(&responder);
    assert_eq!(sent.request_line(), format!("POST /workspaces/{SELF}/notify HTTP/1.1"));
    assert_eq!(sent.json(), json!({ "message": "a\u{fffd}b" }));
    let file = Attached {
        uri: "platform-pending:w/f".to_owned(),
        name: "Plän.csv".to_owned(),
        mime_type: "text/csv".to_owned(),
        size: 8,
    };
    let responder = answering(200, r#"{"status":"sent"}"#).await;
    responder.api().notify("x", &[file]).await.unwrap();
    let listed = json!([{ "uri": "platform-pending:w/f", "name": "Plän.csv", "mimeType": "text/csv", "size": 8 }]);
    assert_eq!(
        only(&responder).json(),
        json!({ "message": "x", "attachments": listed })
    );
    let error = answering(200, "<html>").await.api().notify("x", &[]).await.unwrap_err();
    assert!(error.outcome_is_unknown());
    let responder = answering(200, "{}").await;
    let refused = responder.api().notify(&"x".repeat(MAX_BODY), &[]).await.unwrap_err();
    assert!(matches!(refused, CallError::NotSent(_)));
    assert!(responder.seen().is_empty());
}

#[tokio::test]
async fn a_message_to_a_peer_names_its_sender_and_its_answer_is_classified() {
    let responder = answering(200, r#"{"status":"queued","delivery_mode":"poll"}"#).await;
    let envelope = json!({ "jsonrpc": "2.0", "params": { "message": { "parts": [] } } });
    let answer = responder.api().a2a(&peer(), &envelope).await.unwrap();
    assert!(matches!(answer, A2aAnswer::QueuedForPoll));
    let sent = only(&responder);
    assert_eq!(sent.request_line(), format!("POST /workspaces/{PEER}/a2a HTTP/1.1"));
    assert_eq!(sent.header("x-workspace-id"), Some(SELF));
    assert_eq!(sent.json(), envelope);

    let echoing = answering(200, &format!("you sent Bearer {TOKEN}")).await;
    let A2aAnswer::Unclear { detail } = echoing.api().a2a(&peer(), &envelope).await.unwrap() else {
        panic!("not unclear")
    };
    assert!(!detail.contains(TOKEN), "{detail}");
}

#[tokio::test]
async fn a_peer_that_is_busy_keeps_its_flags_and_its_wait() {
    let body = r#"{"error":"workspace agent busy","busy":true,"retry_after":30}"#;
    let responder = Responder::start(vec![Reply::new(503, &[("retry-after", "30")], body)]).await;
    let error = responder.api().a2a(&peer(), &json!({})).await.unwrap_err();
    assert!(error.says("busy") && !error.says("restarting"));
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(30)));
    assert!(!error.outcome_is_unknown());
}

#[tokio::test]
async fn a_delegation_is_known_by_its_id_whether_new_or_not() {
    for (status, body, expected) in [
        (
            202,
            r#"{"delegation_id":"d1","status":"delegated"}"#,
            Some(("d1", false)),
        ),
        (
            200,
            r#"{"delegation_id":"d1","status":"completed","idempotent_hit":true}"#,
            Some(("d1", true)),
        ),
        (202, r#"{"delegation_id":""}"#, None),
        (202, r#"{"status":"delegated"}"#, None),
        (200, "<html>", None),
    ] {
        let responder = answering(status, body).await;
        match (responder.api().delegate(&peer(), "task", "key-1").await, expected) {
            (Ok(made), Some((id, hit))) => assert_eq!((made.delegation_id.as_str(), made.idempotent_hit), (id, hit)),
            (Err(error), None) => assert!(error.outcome_is_unknown(), "{error:?}"),
            (got, _) => panic!("{body}: {got:?}"),
        }
        let sent = only(&responder);
        assert_eq!(
            sent.request_line(),
            format!("POST /workspaces/{SELF}/delegate HTTP/1.1")
        );
        assert_eq!(
            sent.json(),
            json!({ "target_id": PEER, "task": "task", "idempotency_key": "key-1" })
        );
    }
}

#[tokio::test]
async fn lists_leave_out_rows_of_another_shape() {
    let responder = answering(
        200,
        r#"[{"delegation_id":"d1","status":"completed","deadline":"x"},7,{"delegation_id":5},{"target_id":null}]"#,
    )
    .await;
    let rows = responder.api().delegations().await.unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].rest["deadline"], "x");

    let responder = answering(
        200,
        &format!(r#"[{{"id":"{PEER}","name":"p","agent_card":{{"skills":[]}},"new":1}},{{"name":"no id"}},null]"#),
    )
    .await;
    let peers = responder.api().peers().await.unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].peer_id(), Some(peer()));
    let sent = only(&responder);
    assert_eq!(sent.request_line(), format!("GET /registry/{SELF}/peers HTTP/1.1"));
    assert_eq!(sent.header("x-workspace-id"), Some(SELF));
}

#[tokio::test]
async fn a_card_is_replaced_whole_and_passing_failures_are_tried_again() {
    let responder = Responder::start(vec![
        Reply::json(503, r#"{"error":"platform datastore unavailable"}"#),
        Reply::json(200, r#"{"status":"updated"}"#),
    ])
    .await;
    let card = json!({ "name": "x", "skills": [] });
    responder.api().update_card(card.as_object().unwrap()).await.unwrap();
    let seen = responder.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].request_line(), "POST /registry/update-card HTTP/1.1");
    assert_eq!(seen[1].json(), json!({ "workspace_id": SELF, "agent_card": card }));
}
