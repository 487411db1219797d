//! What a message client meets at level C and not at level B.

use super::*;

#[tokio::test]
async fn sequence_numbers_tell_rows_of_one_instant_apart() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    let rows: Value = (0..4)
        .map(|_| json!({ "created_at": "2030-01-01T00:00:01Z" }))
        .collect();
    let ids = world.insert(&guest, rows).await;
    let after = world.activity(&guest, &format!("since_id={}", ids[0])).await;
    assert_eq!(after.ids(), ids[1..]);
    let seqs: Vec<_> = after
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["seq"].as_i64().unwrap())
        .collect();
    assert!(seqs.is_sorted_by(|one, two| one < two));
}

#[tokio::test]
async fn acknowledgement_only_moves_forward() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}/activity/ack", guest.id);
    let ack = async |body: Value| world.call("POST", &path, Some(&guest.token), body).await;
    ack(json!({ "acked_seq": 7 }))
        .await
        .is(200, &json!({ "last_acked_seq": 7 }));
    ack(json!({ "acked_seq": 3 }))
        .await
        .is(200, &json!({ "last_acked_seq": 7 }));
    ack(json!({ "acked_seq": -1 }))
        .await
        .refused(400, "acked_seq must be >= 0");
    ack(json!({ "acked_seq": "7" }))
        .await
        .refused(400, "acked_seq is required");
}

#[tokio::test]
async fn a_message_id_is_stored_once_told_twice_and_always_answered_queued() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let mut events = Events::open(&world, &beta).await;
    let mut sent = envelope("first");
    sent["params"]["message"]["messageId"] = json!("m");
    let path = format!("/workspaces/{}/a2a", beta.id);
    for _ in 0..2 {
        assert_eq!(
            world.call("POST", &path, Some(&alpha.token), sent.clone()).await.body["status"],
            "queued"
        );
    }
    let read = world.activity(&beta, "include=peer_info").await;
    assert_eq!(read.ids().len(), 1);
    let row = &read.body[0];
    assert_eq!(
        (&row["summary"], &row["peer_name"]),
        (&json!("message/send → beta (ingest)"), &json!("alpha"))
    );
    assert!(
        row["agent_card_url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/registry/discover/{}", alpha.id))
    );
    assert!(row.get("message_id").is_none());
    // Two for the message that was stored, two for the one that was not.
    for _ in 0..4 {
        let event = events.next().await;
        assert_eq!(
            (&event["type"], &event["data"]["message_id"]),
            (&json!("ACTIVITY_LOGGED"), &json!("m"))
        );
        assert!(event["data"].get("id").is_none() && event["data"].get("seq").is_none());
    }
}

#[tokio::test]
async fn a_workspace_that_never_registered_gets_two_rows_of_one_message() {
    let world = World::at(Level::C).await;
    let (alpha, waiting) = (world.join("alpha").await, world.create("waiting", None).await);
    let answer = world.tell(&alpha, &waiting, "hi").await;
    assert_eq!((answer.status, &answer.body["queued"]), (202, &json!(true)));
    let read = world.activity(&waiting, "").await;
    let message = |row: usize| &read.body[row]["request_body"]["params"]["message"]["messageId"];
    assert_eq!((read.ids().len(), message(0)), (2, message(1)));
}

#[tokio::test]
async fn the_bearer_decides_who_is_speaking() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let path = format!("/workspaces/{}/a2a", beta.id);
    world
        .call("POST", &path, None, envelope("x"))
        .await
        .refused(401, "missing caller auth token");
    world
        .call("POST", &path, Some("wrong"), envelope("x"))
        .await
        .refused(401, "invalid caller auth token");
    let lying = world
        .request("POST", &path)
        .bearer_auth(&alpha.token)
        .header("X-Workspace-ID", &beta.id);
    got(lying.json(&envelope("x")))
        .await
        .refused(401, "caller ID does not match workspace auth token");
    assert_eq!(
        world.admin("POST", &path, envelope("from the person")).await.status,
        200
    );
    assert_eq!(world.activity(&beta, "").await.body[0]["source_id"], Value::Null);
}

#[tokio::test]
async fn an_api_token_alone_lets_every_beat_pass_and_register_mints_a_second_token() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    let tokens = format!("/workspaces/{}/tokens", guest.id);
    let api = world.call("POST", &tokens, Some(&guest.token), Value::Null).await.body["auth_token"].clone();
    let api = api.as_str().unwrap();
    let listed = world.call("GET", &tokens, Some(api), Value::Null).await;
    let first = listed.body["tokens"][1]["id"].as_str().unwrap();
    world
        .call("DELETE", &format!("{tokens}/{first}"), Some(api), Value::Null)
        .await;
    assert_eq!(world.beat(&guest.id, Some("wrong")).await.status, 200);
    assert_eq!(
        world.activity(&guest, "").await.status,
        401,
        "the revoked token still reads nothing"
    );
    assert!(world.register(&guest.id, Some(api)).await.body["auth_token"].is_string());
    assert!(
        world
            .register(&guest.id, Some(api))
            .await
            .body
            .get("auth_token")
            .is_none()
    );
    assert_eq!(world.beat(&guest.id, Some("wrong")).await.status, 401);
}

#[tokio::test]
async fn removal_wants_the_name_repeated() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}", guest.id);
    let refused = world.admin("DELETE", &path, Value::Null).await;
    refused.is(
        400,
        &json!({ "error": "destructive_action_requires_confirmation", "workspace_name": "alpha", "active_tasks": 0,
            "child_count": 0, "hint": "Re-send the same request with header X-Confirm-Name: alpha" }),
    );
    let named = || {
        world
            .request("DELETE", &path)
            .bearer_auth(world.platform.admin_token())
            .header("X-Confirm-Name", "alpha")
    };
    assert_eq!(got(named()).await.status, 200);
    assert_eq!(got(named()).await.status, 410);
}

#[tokio::test]
async fn new_workspaces_stand_below_the_concierge_and_ghosts_alone() {
    let world = World::at(Level::C).await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    world.register(&uuid::Uuid::new_v4().to_string(), None).await;
    let peers = world
        .call(
            "GET",
            &format!("/registry/{}/peers?q=", alpha.id),
            Some(&alpha.token),
            Value::Null,
        )
        .await;
    let names: Vec<_> = peers
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|peer| peer["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["beta", "Org Concierge"]);
    assert_eq!(world.tell(&alpha, &beta, "hi").await.status, 200);
}

#[tokio::test]
async fn a_workspace_stays_below_its_root_and_is_not_renamed_on_the_way() {
    let world = World::at(Level::C).await;
    let guest = world.join("alpha").await;
    let other = world.create("beta", None).await;
    let path = format!("/workspaces/{}", guest.id);
    for (change, status, code) in [
        (
            json!({ "parent_id": null }),
            422,
            "WORKSPACE_REPARENT_ROOT_PROMOTION_FORBIDDEN",
        ),
        (
            json!({ "parent_id": other.id, "name": "gamma" }),
            400,
            "WORKSPACE_REPARENT_AMBIGUOUS_WITH_RENAME",
        ),
    ] {
        let refused = world.admin("PATCH", &path, change).await;
        assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)));
    }
    let moved = world.admin("PATCH", &path, json!({ "parent_id": other.id })).await;
    assert_eq!(moved.status, 200);
    let row = world.admin("GET", &path, Value::Null).await.body;
    assert_eq!(
        (&row["parent_id"], &row["kind"], &row["broadcast_enabled"]),
        (&json!(other.id), &json!("workspace"), &json!(false))
    );
    assert!(row["last_heartbeat_at"].is_string(), "{row}");
}
