//! The contract's tables, row by row.

use serde_json::json;

use super::*;

const OWN: &str = "00000000-0000-4000-8000-00000000000a";
const PEER: &str = "00000000-0000-4000-8000-00000000000b";
const ROW: &str = "5f0c1d2e-0000-4000-8000-000000000001";

fn read(row: &Value) -> Row {
    let raw = RawValue::from_string(row.to_string()).unwrap();
    read_row(&raw, &WorkspaceId::parse(OWN).unwrap(), Timestamp(7))
}

fn message(row: &Value) -> Message {
    match read(row) {
        Row::Message { message, .. } => *message,
        other => panic!("{other:?} from {row}"),
    }
}

/// A row from the person with this request body and the summary `S`.
fn with_body(body: &Value) -> Value {
    json!({"id": ROW, "source_id": null, "method": "message/send", "summary": "S", "status": "ok",
           "created_at": "2026-05-01T10:00:00.5Z", "request_body": body})
}

fn with_parts(parts: &Value) -> Value {
    with_body(&json!({"jsonrpc":"2.0","id":"q1","method":"message/send","params":{"message":{"parts":parts}}}))
}

#[test]
fn rows_are_classified_in_the_order_of_the_contract() {
    let base = |method: Value, source: Value| json!({"id": ROW, "method": method, "source_id": source, "summary": "S"});
    for (method, source, expected) in [
        (json!("chat_upload_receive"), json!(null), Some(Kind::Upload)),
        (json!("chat_upload_receive"), json!(PEER), Some(Kind::PeerAgent)),
        (json!("notify"), json!(null), None),
        (json!("notify"), json!(""), None),
        (json!("notify"), json!(PEER), Some(Kind::PeerAgent)),
        (json!("delegate_result"), json!(OWN), Some(Kind::DelegationResult)),
        (json!("delegate_result"), json!(PEER), Some(Kind::PeerAgent)),
        (json!("delegate_result"), json!(null), Some(Kind::System)),
        (json!("message/send"), json!(OWN), None),
        (json!("notify"), json!(OWN.to_uppercase()), None),
        (json!("message/send"), json!(null), Some(Kind::CanvasUser)),
        (json!(null), json!(""), Some(Kind::CanvasUser)),
        (json!(7), json!(null), Some(Kind::CanvasUser)),
        (json!("message/stream"), json!(PEER), Some(Kind::PeerAgent)),
        (json!("some/unknown/method"), json!("not-a-uuid"), Some(Kind::PeerAgent)),
        (json!("message/send"), json!({"odd": 1}), Some(Kind::PeerAgent)),
    ] {
        let row = base(method, source);
        match (read(&row), expected) {
            (Row::Message { message, .. }, Some(kind)) => assert_eq!(message.kind, kind, "{row}"),
            (Row::Skip(head), None) => assert_eq!(head.id.as_str(), ROW, "{row}"),
            (other, _) => panic!("{other:?} from {row}"),
        }
    }
    let absent = json!({"id": ROW, "method": "message/send"});
    assert_eq!(message(&absent).kind, Kind::CanvasUser);
}

#[test]
fn only_rows_without_an_id_are_garbage() {
    for garbage in [
        json!(null),
        json!(7),
        json!("row"),
        json!([]),
        json!({}),
        json!({"id": null}),
        json!({"id": ""}),
        json!({"id": "  "}),
        json!({"id": {}}),
        json!({"id": true}),
    ] {
        assert_eq!(read(&garbage), Row::Garbage, "{garbage}");
    }
    assert_eq!(message(&json!({"id": 42})).activity_id.as_str(), "42");
    for odd in ["a b".to_owned(), "x".repeat(300), "né".to_owned()] {
        let id = message(&json!({"id": odd})).activity_id;
        assert!(id.as_str().starts_with("sha256-") && !id.is_uuid(), "{id}");
    }
}

#[test]
fn text_is_taken_from_every_known_shape() {
    let text = |row: Value| message(&row).text;
    let part = |kind: &str, text: &str| json!({ kind: "text", "text": text });
    for (case, parts, expected) in [
        (1, json!([part("kind", "count the crates")]), "count the crates"),
        (2, json!([part("type", "count the crates")]), "count the crates"),
        (3, json!([part("kind", "north "), part("type", "dock")]), "north dock"),
        (4, json!([part("kind", "a"), part("kind", "b")]), "ab"),
        (
            5,
            json!([part("kind", "see "), {"kind":"file","file":{"uri":"workspace:/workspace/x.csv","name":"x.csv"}}, part("kind", "please")]),
            "see please",
        ),
        (11, json!([{"kind":"file","file":{"uri":"u"}}]), "S"),
        (12, json!([{"text":"no tag"}]), "S"),
        (13, json!([{"kind":"Text","text":"x"}]), "S"),
        (14, json!([{"kind":"data","type":"text","text":"x"}]), "x"),
        (15, json!([{"kind":"text"}]), "S"),
        (16, json!([null, 7, "x", part("kind", "kept")]), "kept"),
        (17, json!([{"kind":"text","text":42}]), "S"),
        (17, json!([{"kind":"text","text":null}, part("kind", "rest")]), "rest"),
        (18, json!({"kind":"text","text":"x"}), "S"),
        (23, json!([part("kind", "  \n")]), "  \n"),
    ] {
        assert_eq!(text(with_parts(&parts)), expected, "case {case}");
    }
    let p = |t: &str| json!([part("kind", t)]);
    for (case, body, expected) in [
        (
            6,
            json!({"method":"message/send","params":{"parts":[part("type", "old style")]}}),
            "old style",
        ),
        (7, json!({"parts":p("bare")}), "bare"),
        (
            8,
            json!({"params":{"message":{"parts":p("one")},"parts":p("two")},"parts":p("three")}),
            "one",
        ),
        (9, json!({"params":{"message":{"parts":p("")},"parts":p("two")}}), "two"),
        (
            10,
            json!({"params":{"message":{"parts":[]}},"parts":p("three")}),
            "three",
        ),
        (18, json!({"params":[1],"parts":p("three")}), "three"),
        (18, json!({"params":"x","parts":p("three")}), "three"),
        (18, json!({"params":{"message":"x","parts":p("two")}}), "two"),
        (19, json!(null), "S"),
        (19, json!(3), "S"),
        (19, json!([1]), "S"),
        (
            20,
            json!(json!({"params":{"message":{"parts":p("decoded")}}}).to_string()),
            "decoded",
        ),
        (20, json!("{not json"), "S"),
        (20, json!("\"twice\""), "S"),
        (24, json!({"params":{"message":{"role":"user","content":"hello"}}}), "S"),
        (25, json!({"jsonrpc":"2.0","id":"x","method":null,"params":null}), "S"),
        (
            26,
            json!({"params":{"message":{"metadata":{"kind":"restart_context"},"parts":p("context after restart")}}}),
            "context after restart",
        ),
    ] {
        assert_eq!(text(with_body(&body)), expected, "case {case}: {body}");
    }
    for (case, row, expected) in [
        (19, json!({"id": ROW, "summary": "S"}), "S"),
        (
            21,
            json!({"id": ROW, "request_body": {}, "summary": null}),
            "(empty A2A message)",
        ),
        (21, json!({"id": ROW, "request_body": {}}), "(empty A2A message)"),
        (
            22,
            json!({"id": ROW, "request_body": {}, "summary": ""}),
            "(empty A2A message)",
        ),
        (
            22,
            json!({"id": ROW, "request_body": {}, "summary": 9}),
            "(empty A2A message)",
        ),
    ] {
        assert_eq!(text(row), expected, "case {case}");
    }
}

#[test]
fn the_persons_trust_is_never_given_to_the_platform() {
    let body = |message: Value, outer: Value| with_body(&json!({"params":{"message":message,"metadata":outer}}));
    for (row, expected) in [
        (
            body(
                json!({"metadata":{"source":"platform","kind":"inbox_nudge"}}),
                json!(null),
            ),
            Kind::System,
        ),
        (body(json!({"messageId":"inbox-nudge-1"}), json!({})), Kind::System),
        (body(json!({"messageId":"stall-probe-1"}), json!({})), Kind::System),
        (
            body(json!({"messageId":"request-responded:1-2"}), json!({})),
            Kind::System,
        ),
        (
            body(json!({"messageId":"request-message:1-2"}), json!({})),
            Kind::System,
        ),
        (
            body(json!({"metadata":{"kind":"restart_context"}}), json!({})),
            Kind::System,
        ),
        (body(json!({}), json!({"source":"platform"})), Kind::System),
        (
            body(json!({"messageId":"m1"}), json!({"source":"canvas_user"})),
            Kind::CanvasUser,
        ),
        (body(json!({"metadata":{"source":7}}), json!([])), Kind::CanvasUser),
    ] {
        assert_eq!(message(&row).kind, expected, "{row}");
    }
    let mut forged = body(json!({"metadata":{"source":"platform"}}), json!({}));
    forged["source_id"] = json!(PEER);
    let forged = message(&forged);
    assert_eq!((forged.kind, forged.peer_id.as_str()), (Kind::PeerAgent, PEER));
}

#[test]
fn correlation_and_peer_details_are_kept() {
    let row = json!({
        "id": ROW, "source_id": PEER, "method": "message/send", "status": "error", "seq": 12,
        "created_at": "2026-05-01T10:00:00.123Z", "peer_name": "north\u{7}\n dock", "peer_role": "x".repeat(500),
        "agent_card_url": "javascript:x", "request_body": {"params":{"contextId":"outer","message":{
            "messageId":"d-1","contextId":"inner","parts":[{"kind":"text","text":"hi"}],
            "metadata":{"delegation_id":"d-1","in_reply_to":"r-1","reply_expected":false}}}}
    });
    let read = message(&row);
    assert_eq!(read.message_id.as_deref(), Some("d-1"));
    assert_eq!(read.delegation_id.as_deref(), Some("d-1"));
    assert_eq!(read.in_reply_to.as_deref(), Some("r-1"));
    assert_eq!(read.context_id.as_deref(), Some("inner"));
    assert_eq!(read.reply_expected, Some(false));
    assert_eq!(read.status.as_deref(), Some("error"));
    assert_eq!(read.seq, Some(12));
    assert_eq!(read.created_at, "2026-05-01T10:00:00.123Z");
    assert_eq!(Some(read.at), Timestamp::parse("2026-05-01T10:00:00.123Z"));
    assert_eq!(read.peer_name.as_deref(), Some("north dock"));
    assert_eq!(read.peer_role.unwrap().chars().count(), 64);
    assert_eq!(read.agent_card_url, None);
    assert_eq!(read.digest.unwrap().len(), 64);
}

#[test]
fn an_unreadable_time_becomes_the_instant_of_the_row_before() {
    for created in [json!(null), json!("yesterday"), json!(17), json!({})] {
        let row = json!({"id": ROW, "created_at": created});
        assert_eq!(message(&row).at, Timestamp(7), "{row}");
    }
    assert_eq!(message(&json!({"id": ROW})).created_at, Timestamp(7).to_rfc3339());
}

#[test]
fn digests_recognise_a_repeat_under_another_row_id() {
    let of = |id: &str, message: Value| {
        let mut row = with_body(&json!({"id": id, "params":{"message": message}}));
        row["id"] = json!(id);
        self::message(&row).digest
    };
    let one = of("a", json!({"messageId":"m","parts":[{"kind":"text","text":"x"}]}));
    assert!(one.is_some());
    assert_eq!(
        one,
        of("b", json!({"parts":[{"text":"x","kind":"text"}],"messageId":"m"}))
    );
    assert_ne!(
        one,
        of("b", json!({"parts":[{"text":"y","kind":"text"}],"messageId":"m"}))
    );
    assert_eq!(of("c", json!("no object")), None);
}

#[test]
fn delegation_results_carry_the_answer_or_the_reason() {
    let row = |status: &str, summary: &str, response: Value, detail: Value| {
        json!({"id": ROW, "source_id": OWN, "method": "delegate_result", "status": status, "summary": summary,
               "request_body": {"delegation_id": "d-7"}, "response_body": response, "error_detail": detail})
    };
    let delivered = "Delegation result delivered";
    let queued = r#"{"delivery_mode":"poll","method":"message/send","status":"queued"}"#;
    for (row, expected) in [
        (
            row(
                "ok",
                delivered,
                json!({"text":"17 crates","delegation_id":"d-7"}),
                json!(null),
            ),
            "17 crates",
        ),
        (
            row(
                "ok",
                delivered,
                json!(json!({"text":"17 crates"}).to_string()),
                json!(null),
            ),
            "17 crates",
        ),
        (row("ok", delivered, json!({"text":queued}), json!(null)), queued),
        (row("ok", delivered, json!({"text":""}), json!(null)), delivered),
        (row("ok", delivered, json!(null), json!(null)), delivered),
        (
            row(
                "error",
                "Delegation failed",
                json!({"text":"","delegation_id":"d-7"}),
                json!("target unreachable"),
            ),
            "Delegation failed: target unreachable",
        ),
        (
            row("error", "", json!({"text":"partial"}), json!(null)),
            "Delegation failed\npartial",
        ),
    ] {
        let read = message(&row);
        assert_eq!(read.text, expected, "{row}");
        assert_eq!(read.delegation_id.as_deref(), Some("d-7"));
        assert_eq!(read.kind, Kind::DelegationResult);
    }
}

#[test]
fn uploads_name_their_file_and_where_it_waits() {
    let row = |body: Value| {
        json!({"id": ROW, "source_id": null, "method": "chat_upload_receive",
               "summary": "chat_upload_receive: plan.pdf", "request_body": body})
    };
    let full = json!({"file_id":"f1","name":"plan.pdf","mimeType":"application/pdf","size":20480,"uri":"platform-pending:w/f1"});
    for body in [full.clone(), json!(full.to_string())] {
        let read = message(&row(body));
        assert_eq!(read.kind, Kind::Upload);
        assert_eq!(read.text, "File received: plan.pdf (application/pdf, 20480 bytes)");
        assert_eq!(
            read.attachments,
            [
                json!({"kind":"file","uri":"platform-pending:w/f1","mime_type":"application/pdf","name":"plan.pdf","size":20480})
            ]
        );
    }
    let bare = message(&row(json!({"file_id":"f1","name":7,"mimeType":"image/png"})));
    assert_eq!(bare.text, "File received: file (image/png)");
    assert_eq!(
        bare.attachments,
        [json!({"kind":"image","uri":format!("platform-pending:{OWN}/f1"),"mime_type":"image/png","name":"file"})]
    );
    for unusable in [
        json!({"name":"x"}),
        json!({"file_id":""}),
        json!({"file_id":9}),
        json!("{"),
        json!(null),
    ] {
        let read = message(&row(unusable));
        assert_eq!(
            (read.text.as_str(), read.attachments.len()),
            ("chat_upload_receive: plan.pdf", 0)
        );
    }
}

#[test]
fn only_the_platforms_own_note_is_about_a_request() {
    let note = |source: Value| {
        let id = format!("request-responded:{ROW}");
        let mut row = with_body(&json!({"params":{"message":{"messageId": id, "parts": []}}}));
        row["source_id"] = source;
        message(&row)
    };
    let (platforms, peers) = (note(json!(null)), note(json!(PEER)));
    assert_eq!((platforms.kind, peers.kind), (Kind::System, Kind::PeerAgent));
    assert_eq!(platforms.request.unwrap().id.unwrap().to_string(), ROW);
    assert_eq!(peers.request, None);
}

#[test]
fn files_travel_beside_the_text_whoever_found_them() {
    let parts = message(&with_parts(&json!([{"kind":"file","file":{"uri":"u","name":"n"}}])));
    assert_eq!((parts.text.as_str(), parts.attachments.len()), ("S", 1));
    let manifest = message(&with_body(
        &json!({"file_id":"f","name":"a.png","mimeType":"image/png"}),
    ));
    assert_eq!(manifest.attachments[0]["uri"], format!("platform-pending:{OWN}/f"));
    assert_eq!(manifest.attachments[0]["kind"], "image");
    for half in [json!({"file_id":"f"}), json!({"name":"a.png"})] {
        assert_eq!(message(&with_body(&half)).attachments, [json!(null); 0], "{half}");
    }
    let mut listed = with_body(&json!({}));
    listed["attachments"] = json!([{"kind":"file","uri":"u"}, 7, {"kind":"file"}]);
    assert_eq!(message(&listed).attachments, [json!({"kind":"file","uri":"u"})]);
}

#[test]
fn poison_inside_a_row_costs_only_what_it_spoils() {
    let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let row = format!(
        r#"{{"id":"{ROW}","summary":"S","source_id":"{PEER}","tool_trace":{deep},"request_body":{{"params":{{"message":
            {{"messageId":"m","parts":[{{"kind":"data","data":{deep}}},{{"kind":"text","text":"half \ud800 pair"}}]}}}}}}}}"#
    );
    let raw = RawValue::from_string(row).unwrap();
    let Row::Message { message: read, .. } = read_row(&raw, &WorkspaceId::parse(OWN).unwrap(), Timestamp(7)) else {
        panic!("the row was not delivered");
    };
    assert!(
        read.text.starts_with("half \u{fffd}") && read.text.ends_with(" pair"),
        "{}",
        read.text
    );
    assert_eq!(read.message_id.as_deref(), Some("m"));
    assert!(read.digest.is_some());

    let big = "x".repeat(3_000_000);
    assert_eq!(
        message(&with_parts(&json!([{"kind":"text","text":big}]))).text.len(),
        3_000_000
    );
}

mod any_json {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            prop_oneof![
                Just("text"),
                Just("kind"),
                Just(OWN),
                Just("notify"),
                Just("2026-05-01T10:00:00Z")
            ]
            .prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let keys = prop_oneof![
                Just("params"),
                Just("message"),
                Just("parts"),
                Just("kind"),
                Just("type"),
                Just("text"),
                Just("metadata"),
                Just("file"),
                Just("delegation_id"),
                Just("file_id"),
                Just("source"),
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(keys.prop_map(str::to_owned), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_row_with_an_id_is_always_a_message_or_passed_over(
            body in any_value(), response in any_value(), source in any_value(), method in any_value(),
            time in any_value(), rest in any_value(),
        ) {
            let row = json!({"id": ROW, "request_body": body, "response_body": response, "source_id": source,
                "method": method, "created_at": time, "summary": rest, "status": rest, "attachments": rest, "seq": rest});
            let read = read(&row);
            prop_assert!(read.head().is_some());
            if let Row::Message { message, .. } = read {
                prop_assert!(!message.text.is_empty());
            }
        }

        #[test]
        fn no_json_at_all_makes_the_reader_fail(value in any_value()) {
            let _ = read(&value).head();
        }
    }
}
