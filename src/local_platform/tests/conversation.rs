//! Messages between workspaces and with the person, and the events they make.

use axum::Router;
use axum::routing::post;

use super::*;

#[tokio::test]
async fn a_message_to_a_poll_workspace_is_queued_and_comes_back_unchanged() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let mut sent = envelope("hello");
    sent["params"]["metadata"] = json!({ "m": 1 });
    sent["params"]["message"]["contextId"] = json!("c");
    sent["params"]["message"]["metadata"] = json!({ "in_reply_to": "x" });
    let request = world
        .request("POST", &format!("/workspaces/{}/a2a", beta.id))
        .bearer_auth(&alpha.token);
    let answer = got(request.header("X-Workspace-ID", &alpha.id).json(&sent)).await;
    answer.is(
        200,
        &json!({ "delivery_mode": "poll", "method": "message/send", "status": "queued" }),
    );
    let read = world.activity(&beta, "type=a2a_receive").await;
    let row = &read.body[0];
    assert_eq!(
        (&row["request_body"], &row["source_id"], &row["target_id"]),
        (&sent, &json!(alpha.id), &json!(beta.id))
    );
    assert_eq!(row["summary"], "message/send → beta (queued for poll)");
    assert_eq!(
        world.activity(&alpha, "").await.body,
        json!([]),
        "the sender's own log holds nothing"
    );
}

#[tokio::test]
async fn the_same_message_twice_makes_two_rows() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let path = format!("/workspaces/{}/a2a", beta.id);
    let sent = envelope("again");
    for _ in 0..2 {
        assert_eq!(
            world.call("POST", &path, Some(&alpha.token), sent.clone()).await.status,
            200
        );
    }
    assert_eq!(world.activity(&beta, "").await.ids().len(), 2);
}

#[tokio::test]
async fn callers_are_checked_in_the_contracts_order() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let cousin = world.create("cousin", Some(&beta)).await;
    let path = |target: &str| format!("/workspaces/{target}/a2a");
    let send = async |target: &str, caller: &str, bearer: Option<&str>| {
        let mut request = world
            .request("POST", &path(target))
            .header("X-Workspace-ID", caller)
            .json(&envelope("x"));
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        got(request).await
    };
    let denied = "access denied: workspaces cannot communicate per hierarchy rules";
    send(&cousin.id, &alpha.id, Some(&alpha.token))
        .await
        .refused(403, denied);
    send(&beta.id, &alpha.id, Some("wrong"))
        .await
        .refused(401, "invalid caller auth token");
    send(&beta.id, &alpha.id, None)
        .await
        .refused(401, "missing caller auth token");
    send(&beta.id, "system:x", None).await.refused(403, "invalid caller ID");
    assert_eq!(
        send(&beta.id, &beta.id, None).await.status,
        200,
        "a message to oneself is not checked"
    );
    let unknown = uuid::Uuid::new_v4().to_string();
    world
        .call("POST", &path(&unknown), None, envelope("x"))
        .await
        .refused(404, "workspace not found");
    let waiting = world.call("POST", &path(&cousin.id), None, envelope("x")).await;
    waiting.is(
        503,
        &json!({ "error": "workspace has no URL", "status": "awaiting_agent" }),
    );
    assert_eq!(world.activity(&cousin, "").await.body, json!([]), "nothing was stored");
    world
        .call("POST", &path(&beta.id), None, envelope("from the person"))
        .await;
    let newest = world.activity(&beta, "limit=1").await;
    assert_eq!(
        (&newest.body[0]["source_id"], text_of(&newest.body[0])),
        (&Value::Null, "from the person")
    );
}

#[tokio::test]
async fn bodies_are_normalised_cut_and_sometimes_silently_lost() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}/a2a", guest.id);
    let send = async |body: String| got(world.request("POST", &path).body(body)).await;
    let message =
        |message: &str| format!(r#"{{"jsonrpc":"2.0","method":"message/send","params":{{"message":{message}}}}}"#);
    let count = async || world.activity(&guest, "").await.ids().len();

    assert_eq!(send(message(r#"{"content":"plain"}"#)).await.status, 200);
    assert_eq!(text_of(&world.activity(&guest, "limit=1").await.body[0]), "plain");
    let neither = send(message("{}")).await;
    assert_eq!((neither.status, neither.body["hint"].is_string()), (400, true));
    send("no json".to_owned()).await.refused(400, "invalid JSON");
    send(envelope(&"x".repeat(1_100_000)).to_string())
        .await
        .refused(400, "invalid JSON");
    assert_eq!(count().await, 1);

    assert_eq!(send(envelope(&"x".repeat(900_000)).to_string()).await.status, 200);
    assert_eq!(text_of(&world.activity(&guest, "limit=1").await.body[0]).len(), 900_000);
    assert_eq!(
        send(message(r#"{"parts":[{"kind":"text","text":"\ud800!"}]}"#))
            .await
            .status,
        200
    );
    assert_eq!(text_of(&world.activity(&guest, "limit=1").await.body[0]), "\u{fffd}!");
    assert_eq!(send(envelope("a\0b").to_string()).await.body["status"], "queued");
    assert_eq!(count().await, 3, "U+0000 is answered 200 and never stored");
    let bare = send(r#"{"parts":[]}"#.to_owned()).await;
    assert_eq!(bare.body["method"], "");
    let newest = world.activity(&guest, "limit=1").await;
    assert_eq!(
        (&newest.body[0]["method"], &newest.body[0]["request_body"]["params"]),
        (&json!(""), &Value::Null)
    );
}

#[tokio::test]
async fn a_removed_poll_workspace_still_answers_queued() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    world
        .admin("DELETE", &format!("/workspaces/{}", beta.id), Value::Null)
        .await;
    assert_eq!(world.tell(&alpha, &beta, "anyone?").await.body["status"], "queued");
}

#[tokio::test]
async fn notify_reaches_the_person_and_leaves_an_echo() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let mut events = Events::open(&world, &guest).await;
    let path = format!("/workspaces/{}/notify", guest.id);
    let files = json!([{ "uri": "workspace:/a", "name": "a.txt" }]);
    let sent = world
        .call(
            "POST",
            &path,
            Some(&guest.token),
            json!({ "message": "done", "attachments": files }),
        )
        .await;
    sent.is(200, &json!({ "status": "sent" }));
    let event = events.next().await;
    assert_eq!(
        (&event["type"], &event["data"]["message"]),
        (&json!("AGENT_MESSAGE"), &json!("done"))
    );
    let echo = world.activity(&guest, "").await.body[0].take();
    assert_eq!(
        (&echo["method"], &echo["source_id"], echo.get("request_body")),
        (&json!("notify"), &Value::Null, None)
    );
    assert_eq!(echo["response_body"]["result"], "done");
    for (body, error) in [
        (json!({}), "message is required"),
        (json!({ "message": 7 }), "message is required"),
        (
            json!({ "message": "x", "attachments": [{ "uri": "u" }] }),
            "attachment[0]: uri and name are required",
        ),
    ] {
        world
            .call("POST", &path, Some(&guest.token), body)
            .await
            .refused(400, error);
    }
}

#[tokio::test]
async fn events_carry_the_row_without_its_id_and_every_own_beat() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let mut events = Events::open(&world, &beta).await;
    for number in 0..20 {
        world.tell(&alpha, &beta, &number.to_string()).await;
    }
    for number in 0..20 {
        let event = events.next().await;
        assert_eq!(
            (event["type"].as_str(), text_of(&event["data"])),
            (Some("ACTIVITY_LOGGED"), number.to_string().as_str())
        );
        assert!(event["data"].get("id").is_none() && event["data"]["created_at"].is_string());
    }
    let beat = json!({ "workspace_id": beta.id, "uptime_seconds": 7 });
    world.call("POST", "/registry/heartbeat", Some(&beta.token), beat).await;
    let event = events.next().await;
    assert_eq!(
        (event["type"].as_str(), &event["data"]["uptime_seconds"]),
        (Some("WORKSPACE_HEARTBEAT"), &json!(7))
    );
}

/// A push agent that answers `status` and `body`.
async fn agent(status: u16, body: &'static str) -> String {
    let answer = move || async move { (axum::http::StatusCode::from_u16(status).unwrap(), body) };
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(tcp, Router::new().route("/a2a", post(answer))).await });
    format!("http://localhost:{port}/a2a")
}

async fn push_guest(world: &World, name: &str, url: &str) -> Guest {
    let guest = world.create(name, None).await;
    let body = json!({ "id": guest.id, "url": url, "delivery_mode": "push", "agent_card": {} });
    let registered = world.call("POST", "/registry/register", Some(&guest.token), body).await;
    assert_eq!(registered.status, 200, "{}", registered.text);
    guest
}

#[tokio::test]
async fn a_push_target_is_really_asked_and_its_answer_recorded() {
    let world = World::new().await;
    let alpha = world.join("alpha").await;
    let fine = push_guest(
        &world,
        "fine",
        &agent(200, r#"{"jsonrpc":"2.0","id":1,"result":{"x":1}}"#).await,
    )
    .await;
    let angry = push_guest(&world, "angry", &agent(418, r#"{"error":"no tea"}"#).await).await;
    let answer = world.tell(&alpha, &fine, "hi").await;
    answer.is(200, &json!({ "jsonrpc": "2.0", "id": 1, "result": { "x": 1 } }));
    let row = world.activity(&fine, "").await.body[0].take();
    assert_eq!(
        (&row["summary"], &row["response_body"]),
        (&json!("message/send → fine"), &answer.body)
    );
    world.tell(&alpha, &angry, "hi").await.refused(418, "no tea");
    let row = world.activity(&angry, "").await.body[0].take();
    assert_eq!(
        (&row["status"], &row["error_detail"]),
        (&json!("error"), &json!("no tea"))
    );
}

#[tokio::test]
async fn a_push_target_that_breaks_off_gets_its_message_at_its_next_beat() {
    let world = World::new().await;
    let alpha = world.join("alpha").await;
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let busy = push_guest(&world, "busy", &format!("http://localhost:{port}/a2a")).await;
    let hang_up = tokio::spawn(async move { drop(tcp.accept().await) });
    let queued = world.tell(&alpha, &busy, "later").await;
    hang_up.await.unwrap();
    assert_eq!(
        (queued.status, &queued.body["queued"], &queued.body["queue_depth"]),
        (202, &json!(true), &json!(1))
    );
    let url = agent(200, r#"{"result":{}}"#).await;
    let body = json!({ "id": busy.id, "url": url, "agent_card": {} });
    world.call("POST", "/registry/register", Some(&busy.token), body).await;
    world.beat(&busy.id, Some(&busy.token)).await;
    let row = eventually(async || world.activity(&busy, "").await.body.get(0).cloned()).await;
    assert_eq!(text_of(&row), "later");
}

#[tokio::test]
async fn a_push_target_that_is_not_there_is_502_and_an_error_row() {
    let world = World::new().await;
    let alpha = world.join("alpha").await;
    let gone = push_guest(&world, "gone", "http://localhost:1/a2a").await;
    world
        .tell(&alpha, &gone, "hi")
        .await
        .refused(502, "failed to reach workspace agent");
    assert_eq!(world.activity(&gone, "").await.body[0]["status"], "error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_from_sixteen_senders_is_stored_whole() {
    let world = std::sync::Arc::new(World::new().await);
    let target = world.join("target").await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..16 {
        let (world, target) = (world.clone(), target.clone());
        senders.spawn(async move {
            let guest = world.join(&format!("sender {sender}")).await;
            for number in 0..25 {
                assert_eq!(
                    world.tell(&guest, &target, &format!("{sender}/{number}")).await.status,
                    200
                );
            }
        });
    }
    senders.join_all().await;
    let read = world.activity(&target, "type=a2a_receive&limit=500").await;
    let texts: std::collections::BTreeSet<_> = read.body.as_array().unwrap().iter().map(text_of).collect();
    assert_eq!(texts.len(), 400);
}
