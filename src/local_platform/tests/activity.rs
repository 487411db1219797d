//! Reading the activity log: order, cursors, filters, and what never appears.

use super::*;

const GONE: &str =
    "since_id cursor not found (row may have been pruned or belongs to a different workspace); omit since_id to reset";

fn rows(times: &[&str]) -> Value {
    times
        .iter()
        .map(|time| json!({ "created_at": time, "summary": time }))
        .collect()
}

#[tokio::test]
async fn pages_are_newest_first_without_a_cursor_and_oldest_first_after_one() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let times = [
        "2030-01-01T00:00:01Z",
        "2030-01-01T00:00:02Z",
        "2030-01-01T00:00:03.5Z",
        "2030-01-01T00:00:04Z",
    ];
    let ids = world.insert(&guest, rows(&times)).await;
    let newest = world.activity(&guest, "type=a2a_receive&limit=3&since_secs=600").await;
    assert_eq!(newest.ids(), [&ids[3], &ids[2], &ids[1]].map(String::clone));
    assert_eq!(newest.body[1]["created_at"], "2030-01-01T00:00:03.500Z");
    let after = world.activity(&guest, &format!("since_id={}&limit=2", ids[0])).await;
    assert_eq!(after.ids(), ids[1..3]);
    let older = world.activity(&guest, "before_ts=2030-01-01T00:00:02Z").await;
    assert_eq!(older.ids(), ids[..1]);
    for (limit, count) in [("0", 4), ("x", 4), ("-1", 4), ("1", 1)] {
        assert_eq!(
            world.activity(&guest, &format!("limit={limit}")).await.ids().len(),
            count
        );
    }
}

#[tokio::test]
async fn rows_of_the_cursors_own_instant_are_skipped() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let ids = world.insert(&guest, rows(&["2030-01-01T00:00:01Z"; 4])).await;
    assert_eq!(
        world.activity(&guest, &format!("since_id={}", ids[0])).await.body,
        json!([])
    );
    assert_eq!(world.activity(&guest, "").await.ids().len(), 4);
}

#[tokio::test]
async fn a_cursor_that_is_not_there_is_410_and_one_that_is_no_id_500() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let foreign = world.insert(&beta, json!({})).await.remove(0);
    for cursor in [foreign, uuid::Uuid::new_v4().to_string()] {
        world
            .activity(&alpha, &format!("since_id={cursor}"))
            .await
            .refused(410, GONE);
    }
    world
        .activity(&alpha, "since_id=yesterday")
        .await
        .refused(500, "cursor lookup failed");
}

#[tokio::test]
async fn every_parameter_is_checked_and_applied() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let made = json!([
        { "source_id": beta.id }, { "source_id": null }, { "activity_type": "agent_log", "source_id": alpha.id },
        { "status": null },
    ]);
    let ids = world.insert(&alpha, made).await;
    for (query, found) in [
        ("source=canvas".to_owned(), vec![1]),
        ("source=agent".to_owned(), vec![2, 0]),
        ("type=agent_log".to_owned(), vec![2]),
        (format!("peer_id={}", beta.id), vec![0]),
        ("type=a2a_receive&source=agent".to_owned(), vec![0]),
        ("include=peer_info".to_owned(), vec![2, 1, 0]),
    ] {
        let wanted: Vec<_> = found.into_iter().map(|index: usize| ids[index].clone()).collect();
        assert_eq!(world.activity(&alpha, &query).await.ids(), wanted, "{query}");
    }
    for (query, error) in [
        ("source=x", "source must be 'canvas' or 'agent'"),
        ("since_secs=0", "since_secs must be a positive integer"),
        ("since_secs=x", "since_secs must be a positive integer"),
        ("peer_id=x", "peer_id must be a UUID"),
        (
            "before_ts=x",
            "before_ts must be an RFC3339 timestamp (e.g. 2026-05-01T00:00:00Z)",
        ),
    ] {
        world.activity(&alpha, query).await.refused(400, error);
    }
}

#[tokio::test]
async fn a_row_has_exactly_the_keys_of_the_contract() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    world
        .insert(
            &guest,
            json!({ "created_at": "2030-01-01T00:00:01.25Z", "request_body": [1, null] }),
        )
        .await;
    world
        .insert(&guest, json!({ "created_at": "2030-01-01T00:00:00Z" }))
        .await;
    let read = world.activity(&guest, "").await;
    let id = &read.body[0]["id"];
    let whole = json!({ "id": id, "workspace_id": guest.id, "activity_type": "a2a_receive", "source_id": null,
        "target_id": guest.id, "method": "message/send", "summary": null, "request_body": [1, null],
        "duration_ms": null, "status": "ok", "error_detail": null, "created_at": "2030-01-01T00:00:01.250Z" });
    assert_eq!(read.body[0], whole);
    assert!(read.body[1].get("request_body").is_none());
}

#[tokio::test]
async fn a_workspace_writes_to_its_own_log_only_as_itself() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let path = format!("/workspaces/{}/activity", alpha.id);
    let report = async |body: Value| world.call("POST", &path, Some(&alpha.token), body).await;
    report(json!({ "activity_type": "agent_log", "summary": "s", "metadata": { "a": 1 } }))
        .await
        .is(200, &json!({ "status": "logged" }));
    report(json!({ "activity_type": "error", "source_id": beta.id }))
        .await
        .refused(403, "source_id must match authenticated workspace");
    assert_eq!(report(json!({ "activity_type": "delegation" })).await.status, 400);
    assert_eq!(
        report(json!({ "activity_type": "error", "target_id": "x" }))
            .await
            .status,
        200
    );
    let read = world.activity(&alpha, "").await;
    assert_eq!(
        read.ids().len(),
        1,
        "a target that is no id is answered 200 and not stored"
    );
    assert_eq!(
        (&read.body[0]["source_id"], &read.body[0]["request_body"]),
        (&json!(alpha.id), &json!({ "a": 1 }))
    );
}

#[tokio::test]
async fn level_a_ignores_cursors_and_keeps_answering_newest_first() {
    let world = World::at(Level::A).await;
    let guest = world.create("alpha", None).await;
    let ids = world
        .insert(&guest, rows(&["2020-01-01T00:00:01Z", "2020-01-01T00:00:02Z"]))
        .await;
    let read = world
        .activity(&guest, &format!("since_id={}&since_secs=10", ids[1]))
        .await;
    assert_eq!(read.ids(), [ids[1].clone(), ids[0].clone()]);
    let stream = format!("/workspaces/{}/events/stream", guest.id);
    assert_eq!(
        world.call("GET", &stream, Some(&guest.token), Value::Null).await.text,
        "404 page not found"
    );
    world
        .register(&guest.id, Some(&guest.token))
        .await
        .refused(400, "invalid request body");
    world
        .beat(&guest.id, Some(&guest.token))
        .await
        .is(200, &json!({ "status": "ok" }));
    world
        .admin("DELETE", &format!("/workspaces/{}", guest.id), Value::Null)
        .await;
    assert_eq!(world.status_of(&guest.id).await, "removed");
}
