//! Delegations: what the sender is told at once, what it finds later, and what the target sees.

use super::*;

const QUEUED: &str = r#"{"delivery_mode":"poll","method":"message/send","status":"queued"}"#;

async fn delegate(world: &World, from: &Guest, body: Value) -> Got {
    world
        .call(
            "POST",
            &format!("/workspaces/{}/delegate", from.id),
            Some(&from.token),
            body,
        )
        .await
}

async fn list(world: &World, of: &Guest) -> Value {
    world
        .call(
            "GET",
            &format!("/workspaces/{}/delegations", of.id),
            Some(&of.token),
            Value::Null,
        )
        .await
        .body
}

/// The list once its request row has `status`.
async fn settled(world: &World, of: &Guest, status: &str) -> Vec<Value> {
    eventually(async || {
        let rows = list(world, of).await.as_array().cloned().unwrap();
        let moved =
            |row: &Value| row["summary"].as_str().unwrap().starts_with("Delegating to") && row["status"] == status;
        // The result row is written right after the request row moved.
        (rows.len() == 2 && rows.iter().any(moved)).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn a_poll_target_completes_a_delegation_with_the_queued_envelope() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let mut events = Events::open(&world, &alpha).await;
    let body = json!({ "target_id": beta.id, "task": "count", "idempotency_key": "k" });
    let accepted = delegate(&world, &alpha, body.clone()).await;
    let id = accepted.body["delegation_id"].clone();
    accepted.is(
        202,
        &json!({ "delegation_id": id, "status": "delegated", "target_id": beta.id }),
    );
    for kind in ["DELEGATION_SENT", "DELEGATION_STATUS", "DELEGATION_COMPLETE"] {
        let event = events.next().await;
        assert_eq!((&event["type"], &event["data"]["delegation_id"]), (&json!(kind), &id));
    }
    let rows = settled(&world, &alpha, "completed").await;
    assert!(
        rows.iter()
            .all(|row| row["delegation_id"] == id && row["type"] == "delegation")
    );
    assert_eq!(rows[0]["response_preview"], QUEUED);
    let full = world.activity(&alpha, "type=delegation&limit=1").await.body[0].take();
    assert_eq!(
        (&full["method"], &full["response_body"]["text"]),
        (&json!("delegate_result"), &json!(QUEUED))
    );
    let received = world.activity(&beta, "").await.body[0].take();
    let message = &received["request_body"]["params"]["message"];
    assert_eq!(
        (&message["messageId"], &message["metadata"]["delegation_id"]),
        (&id, &id)
    );
    assert_eq!(message["parts"], json!([{ "type": "text", "text": "count" }]));
    let again = delegate(&world, &alpha, body).await;
    again.is(
        200,
        &json!({ "delegation_id": id, "status": "completed", "target_id": beta.id, "idempotent_hit": true }),
    );
    assert_eq!(
        world.activity(&beta, "").await.ids().len(),
        1,
        "a repeated key sends nothing"
    );
}

#[tokio::test]
async fn a_forbidden_target_is_accepted_and_fails_later_and_its_key_is_free_again() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let cousin = world.create("cousin", Some(&beta)).await;
    let body = json!({ "target_id": cousin.id, "task": "count", "idempotency_key": "k" });
    let first = delegate(&world, &alpha, body.clone()).await;
    assert_eq!(first.status, 202);
    let rows = settled(&world, &alpha, "failed").await;
    let error = "access denied: workspaces cannot communicate per hierarchy rules";
    assert!(rows.iter().all(|row| row["error"] == error));
    assert!(
        rows[0].get("delegation_id").is_none(),
        "a failure's result row names no delegation"
    );
    let second = delegate(&world, &alpha, body).await;
    assert_eq!(second.status, 202);
    assert_ne!(second.body["delegation_id"], first.body["delegation_id"]);
}

#[tokio::test]
async fn malformed_delegations_are_refused() {
    let world = World::new().await;
    let alpha = world.join("alpha").await;
    for (body, error) in [
        (json!({ "task": "x" }), "invalid delegation request"),
        (
            json!({ "target_id": "x", "task": "x" }),
            "target_id must be a valid UUID",
        ),
        (
            json!({ "target_id": alpha.id, "task": "x" }),
            "self-delegation not permitted",
        ),
    ] {
        delegate(&world, &alpha, body).await.refused(400, error);
    }
}

#[tokio::test]
async fn an_update_writes_to_the_log_of_whoever_calls_it() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let accepted = delegate(&world, &alpha, json!({ "target_id": beta.id, "task": "count" })).await;
    let id = accepted.body["delegation_id"].as_str().unwrap();
    settled(&world, &alpha, "completed").await;
    let update = async |who: &Guest, text: &str| {
        let path = format!("/workspaces/{}/delegations/{id}/update", who.id);
        world
            .call(
                "POST",
                &path,
                Some(&who.token),
                json!({ "status": "completed", "response_preview": text }),
            )
            .await
    };
    let long = "x".repeat(1000);
    update(&beta, "by the target")
        .await
        .is(200, &json!({ "status": "completed", "delegation_id": id }));
    assert_eq!(
        list(&world, &alpha).await.as_array().unwrap().len(),
        2,
        "the sender does not see it"
    );
    assert_eq!(update(&alpha, &long).await.status, 200);
    let rows = list(&world, &alpha).await;
    assert_eq!(
        (
            &rows[0]["target_id"],
            rows[0]["response_preview"].as_str().map(str::len)
        ),
        (&json!(""), Some(300))
    );
    assert_eq!(
        world.activity(&alpha, "limit=1").await.body[0]["response_body"]["text"],
        long
    );
    let path = format!("/workspaces/{}/delegations/{id}/update", alpha.id);
    let refused = world
        .call("POST", &path, Some(&alpha.token), json!({ "status": "x" }))
        .await;
    refused.refused(400, "status must be 'completed' or 'failed'");
}
