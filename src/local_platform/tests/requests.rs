//! Broadcasts and requests, as level C has them.

use super::*;

#[tokio::test]
async fn a_broadcast_is_an_event_with_the_text_and_a_shortened_row_that_no_message_poller_sees() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let path = format!("/workspaces/{}/broadcast", alpha.id);
    let send = async |message: &str| {
        world
            .call("POST", &path, Some(&alpha.token), json!({ "message": message }))
            .await
    };
    let refused = send("hi").await;
    assert_eq!(
        (refused.status, &refused.body["error"]),
        (403, &json!("broadcast_disabled"))
    );
    let abilities = format!("/workspaces/{}/abilities", alpha.id);
    let enabled = json!({ "broadcast_enabled": true });
    assert_eq!(world.admin("PATCH", &abilities, enabled).await.status, 200);
    let mut events = Events::open(&world, &beta).await;
    let text = "é".repeat(130);
    // Beta and the concierge above both.
    send(&text).await.is(200, &json!({ "status": "sent", "delivered": 2 }));
    send("").await.refused(400, "message is required");
    let event = events.next().await;
    assert_eq!(
        (&event["type"], &event["data"]),
        (
            &json!("BROADCAST_MESSAGE"),
            &json!({ "message": text, "sender": "alpha", "sender_id": alpha.id })
        )
    );
    assert!(world.activity(&beta, "type=a2a_receive").await.ids().is_empty());
    let rows = world.activity(&beta, "type=broadcast_receive").await.body;
    assert_eq!(
        rows[0]["summary"],
        json!(format!("Broadcast from alpha: {}…", "é".repeat(120)))
    );
    assert_eq!(
        (&rows[0]["method"], &rows[0]["source_id"]),
        (&json!("broadcast"), &json!(alpha.id))
    );
}

#[tokio::test]
async fn a_request_is_seen_by_both_sides_answered_once_and_told_to_its_asker() {
    let world = World::at(Level::C).await;
    let (alpha, beta, other) = (
        world.join("alpha").await,
        world.join("beta").await,
        world.join("other").await,
    );
    let mut at_beta = Events::open(&world, &beta).await;
    let ask = json!({ "kind": "task", "recipient_type": "agent", "recipient_id": beta.id, "title": "count", "detail": "all" });
    let made = world
        .call(
            "POST",
            &format!("/workspaces/{}/requests", alpha.id),
            Some(&alpha.token),
            ask,
        )
        .await;
    assert_eq!((made.status, &made.body["status"]), (201, &json!("pending")));
    let id = made.body["request_id"].as_str().unwrap().to_owned();
    assert_eq!(
        at_beta.next().await["data"],
        json!({ "kind": "task", "recipient_id": beta.id, "recipient_type": "agent", "request_id": id, "title": "count" })
    );
    assert!(world.activity(&beta, "").await.ids().is_empty(), "no row");
    let call = async |guest: &Guest, method: &str, path: &str, body: Value| {
        let path = format!("/workspaces/{}/requests{path}", guest.id);
        world.call(method, &path, Some(&guest.token), body).await
    };
    let inbox = call(&beta, "GET", "/inbox?status=pending", Value::Null).await.body;
    assert_eq!(
        (
            &inbox[0]["id"],
            &inbox[0]["requester_id"],
            &inbox[0]["detail"],
            &inbox[0]["responded_at"]
        ),
        (&json!(id), &json!(alpha.id), &json!("all"), &Value::Null)
    );
    let one = format!("/{id}");
    call(&other, "GET", &one, Value::Null)
        .await
        .refused(403, "not a participant");
    call(&other, "GET", "/nothing", Value::Null)
        .await
        .refused(404, "request not found");

    let respond = format!("/{id}/respond");
    let answer = |action: &str| json!({ "action": action });
    call(&alpha, "POST", &respond, answer("done"))
        .await
        .refused(403, "not the recipient");
    call(&beta, "POST", &respond, answer("approved"))
        .await
        .refused(400, "request: invalid action for this request kind");
    let note = json!({ "body": "which ones?", "author_type": "agent", "author_id": other.id });
    assert_eq!(call(&beta, "POST", &format!("/{id}/messages"), note).await.status, 201);
    let thread = call(&alpha, "GET", &one, Value::Null).await.body;
    assert_eq!(
        (&thread["request"]["status"], &thread["messages"][0]["author_id"]),
        (&json!("info_requested"), &json!(beta.id))
    );
    let mut at_alpha = Events::open(&world, &alpha).await;
    call(&beta, "POST", &respond, answer("done"))
        .await
        .is(200, &json!({ "status": "done", "request_id": id }));
    call(&beta, "POST", &respond, answer("done"))
        .await
        .refused(404, "request not found or already resolved");
    let told = at_alpha.next().await;
    assert_eq!(
        (&told["type"], &told["data"]["status"], &told["data"]["responder_id"]),
        (&json!("REQUEST_RESPONDED"), &json!("done"), &json!(beta.id))
    );
    let row_of = async |start: &str| {
        for _ in 0..200 {
            let rows = world.activity(&alpha, "type=a2a_receive").await.body;
            let found = rows.as_array().unwrap().iter().find(|row| {
                let id = row["request_body"]["params"]["message"]["messageId"].as_str();
                id.is_some_and(|id| id.starts_with(start))
            });
            if let Some(row) = found {
                return row.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no row {start}")
    };
    let row = row_of(&format!("request-responded:{id}-")).await;
    assert_eq!(row["source_id"], Value::Null);
    assert!(text_of(&row).starts_with("Your task request \"count\""));
    assert!(text_of(&row_of("request-message:").await).contains("which ones?"));
    call(&alpha, "POST", &format!("/{id}/cancel"), Value::Null)
        .await
        .refused(404, "request not found or already resolved");
}

#[tokio::test]
async fn the_person_answers_with_the_administrators_rights_and_the_asker_may_take_back() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    let ask = async |kind: &str| {
        let body = json!({ "kind": kind, "recipient_type": "user", "title": "may I?" });
        let path = format!("/workspaces/{}/requests", guest.id);
        let made = world.call("POST", &path, Some(&guest.token), body).await;
        made.body["request_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (ask("approval").await, ask("task").await);
    let pending = world.admin("GET", "/requests/pending?kind=approval", Value::Null).await;
    assert_eq!(pending.ids(), std::slice::from_ref(&first));
    let answered = world
        .admin(
            "POST",
            &format!("/requests/{first}/respond"),
            json!({ "action": "approved" }),
        )
        .await;
    assert_eq!(answered.status, 200);
    let own = |path: &str| format!("/workspaces/{}/requests{path}", guest.id);
    let cancelled = world
        .call(
            "POST",
            &own(&format!("/{second}/cancel")),
            Some(&guest.token),
            Value::Null,
        )
        .await;
    cancelled.is(200, &json!({ "status": "cancelled", "request_id": second }));
    let rows = world.call("GET", &own(""), Some(&guest.token), Value::Null).await;
    assert_eq!(rows.ids(), [second, first]);
    assert_eq!(
        (
            &rows.body[0]["status"],
            &rows.body[1]["status"],
            &rows.body[1]["responder_id"]
        ),
        (&json!("cancelled"), &json!("approved"), &json!("human"))
    );
    for body in [
        json!({}),
        json!({ "kind": "task", "recipient_type": "user", "title": "" }),
    ] {
        let refused = world.call("POST", &own(""), Some(&guest.token), body).await;
        refused.refused(400, "invalid request body");
    }
}
