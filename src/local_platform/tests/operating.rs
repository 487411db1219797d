//! Routes for conversation and building: what each level accepts, and how it refuses.

use serde_json::{Value, json};

use super::World;
use crate::local_platform::{Level, Options};

#[tokio::test]
async fn what_waits_is_listed_for_the_tenant_and_the_gates_own_can_be_decided() {
    let world = World::with(Options {
        level: Level::C,
        approval_gate: true,
        ..Options::default()
    })
    .await;
    let secret = json!({ "key": "K", "value": "v" });
    let held = world.admin("POST", "/settings/secrets", secret.clone()).await;
    assert_eq!(held.status, 202);
    let waiting = world.admin("GET", "/approvals/pending", Value::Null).await.body;
    assert_eq!(
        (&waiting[0]["id"], &waiting[0]["workspace_name"]),
        (&held.body["approval_id"], &json!("Org Concierge"))
    );
    let path = format!(
        "/workspaces/{}/approvals/{}/decide",
        waiting[0]["workspace_id"].as_str().unwrap(),
        waiting[0]["id"].as_str().unwrap()
    );
    assert_eq!(
        world
            .admin("POST", &path, json!({ "decision": "approved" }))
            .await
            .status,
        200
    );
    assert_eq!(
        world.admin("GET", "/approvals/pending", Value::Null).await.body,
        json!([])
    );
    assert_eq!(world.admin("POST", "/settings/secrets", secret).await.status, 200);
}

#[tokio::test]
async fn channels_are_kept_and_lead_nowhere() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}/channels", guest.id);
    let telegram = |config: Value| json!({ "channel_type": "telegram", "config": config, "allowed_users": ["1"] });
    world
        .admin("POST", &path, telegram(json!({})))
        .await
        .refused(400, "invalid channel config");
    let made = world
        .admin(
            "POST",
            &path,
            telegram(json!({ "bot_token": "123:abc", "chat_id": "-1" })),
        )
        .await;
    assert_eq!((made.status, &made.body["enabled"]), (201, &json!(true)));
    let one = format!("{path}/{}", made.body["id"].as_str().unwrap());
    world
        .admin("PATCH", &one, json!({ "enabled": false, "allowed_users": [] }))
        .await
        .is(200, &json!({ "status": "updated" }));
    let row = world.admin("GET", &path, Value::Null).await.body[0].clone();
    assert_eq!(
        (&row["enabled"], &row["allowed_users"], &row["config"]),
        (
            &json!(false),
            &json!([]),
            &json!({ "bot_token": "****", "chat_id": "-1" })
        )
    );
    let sent = world
        .admin("POST", &format!("{one}/send"), json!({ "text": "hi" }))
        .await;
    sent.refused(500, "send failed");
    assert_eq!(world.admin("DELETE", &one, Value::Null).await.status, 200);
    world
        .admin("DELETE", &one, Value::Null)
        .await
        .refused(404, "channel not found");
    let old = json!({ "type": "telegram", "config": { "bot_token": "123:abc" } });
    let refused = world.admin("POST", "/channels/discover", old).await;
    refused.refused(400, "bot_token is required");
}

#[tokio::test]
async fn an_organization_is_built_once_and_level_c_can_clean_up_after_another() {
    let world = World::at(Level::C).await;
    let missing = world.admin("POST", "/org/import", json!({ "dir": "pair" })).await;
    assert_eq!(
        (missing.status, &missing.body["missing_env"]),
        (412, &json!(["PAIR_KEY"]))
    );
    world
        .admin("POST", "/settings/secrets", json!({ "key": "PAIR_KEY", "value": "v" }))
        .await;
    let stray = world.create("Helper", None).await;
    let import = |mode: &'static str| {
        let world = &world;
        async move {
            world
                .admin("POST", "/org/import", json!({ "dir": "pair", "mode": mode }))
                .await
        }
    };
    let built = import("merge").await;
    assert_eq!((built.status, &built.body["count"]), (201, &json!(2)));
    let again = import("reconcile").await.body;
    assert_eq!(
        (&again["workspaces"][0]["skipped"], &again["reconcile_removed_count"]),
        (&json!(true), &json!(1))
    );
    let gone = world
        .admin("GET", &format!("/workspaces/{}", stray.id), Value::Null)
        .await;
    assert_eq!(gone.status, 410);
    let half = json!({ "template": { "name": "half", "workspaces": [{ "name": "one" }, {}] } });
    let half = world.admin("POST", "/org/import", half).await;
    assert_eq!((half.status, &half.body["count"]), (207, &json!(1)));
    assert!(half.body["error"].is_string());
    let unknown = world.admin("POST", "/org/import", json!({ "dir": "../etc" })).await;
    unknown.refused(404, "org template not found");

    let lead = built.body["workspaces"][0]["id"].as_str().unwrap();
    let bundle = world
        .admin("GET", &format!("/bundles/export/{lead}"), Value::Null)
        .await
        .body;
    assert_eq!(bundle["sub_workspaces"][0]["name"], "Helper");
    let mut broken = bundle.clone();
    broken["sub_workspaces"][0]["name"] = json!("");
    for (bundle, status) in [(bundle, "provisioning"), (broken, "failed")] {
        let made = world.admin("POST", "/bundles/import", bundle).await;
        assert_eq!(
            (made.status, &made.body["children"][0]["status"]),
            (201, &json!(status))
        );
    }
    let template = json!({ "name": "My Own", "files": { "config.yaml": "" } });
    let added = world.admin("POST", "/templates/import", template.clone()).await;
    assert_eq!((added.status, &added.body["id"]), (201, &json!("my-own")));
    assert_eq!(world.admin("POST", "/templates/import", template).await.status, 409);
    assert!(
        world
            .admin("GET", "/templates", Value::Null)
            .await
            .ids()
            .contains(&"my-own".to_owned())
    );
}

#[tokio::test]
async fn budgets_have_one_period_and_later_four_that_replace_each_other() {
    for level in [Level::B, Level::C] {
        let world = World::at(level).await;
        let guest = world.join("alpha").await;
        let path = format!("/workspaces/{}/budget", guest.id);
        let set = world.admin("PATCH", &path, json!({ "budget_limit": 100 })).await;
        assert_eq!((set.status, &set.body["budget_limit"]), (200, &json!(100)));
        let hourly = world
            .admin("PATCH", &path, json!({ "budget_limits": { "hourly": 5 } }))
            .await;
        if level == Level::C {
            assert_eq!(hourly.body["periods"]["hourly"]["limit"], 5);
            assert_eq!(hourly.body["budget_limit"], Value::Null);
            assert_eq!(
                world
                    .admin("PATCH", &path, json!({ "budget_limits": { "yearly": 5 } }))
                    .await
                    .status,
                400
            );
        } else {
            hourly.refused(400, "budget_limit field is required");
        }
        let own = world
            .call("PATCH", &path, Some(&guest.token), json!({ "budget_limit": 1 }))
            .await;
        assert_eq!(own.status, 401);
        assert_eq!(
            world.call("GET", &path, Some(&guest.token), Value::Null).await.status,
            200
        );
    }
}

#[tokio::test]
async fn the_structure_is_told_and_any_workspace_may_move_the_canvas() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    world.join("beta").await;
    let of = |path: String| {
        let world = &world;
        async move {
            let rows = world.admin("GET", &path, Value::Null).await.body;
            let rows = rows.as_array().unwrap().clone();
            rows.into_iter()
                .map(|row| row["workspace_id"].clone())
                .collect::<Vec<_>>()
        }
    };
    assert!(of("/events".to_owned()).await.len() >= 2);
    assert_eq!(of(format!("/events/{}", guest.id)).await, [json!(guest.id)]);
    let path = "/canvas/viewport";
    let start = json!({ "x": 0, "y": 0, "zoom": 1 });
    world.call("GET", path, None, Value::Null).await.is(200, &start);
    let moved = json!({ "x": 1.5, "y": -2.0, "zoom": 0.5 });
    assert_eq!(world.call("PUT", path, None, moved.clone()).await.status, 401);
    assert_eq!(
        world.call("PUT", path, Some(&guest.token), moved.clone()).await.status,
        200
    );
    world.call("GET", path, None, Value::Null).await.is(200, &moved);
    let recorded = json!({ "target_id": guest.id, "task": "t", "delegation_id": "d-1" });
    let path = format!("/workspaces/{}/delegations", guest.id);
    let made = world.admin("POST", &format!("{path}/record"), recorded).await;
    made.is(202, &json!({ "delegation_id": "d-1", "status": "recorded" }));
    let listed = world.admin("GET", &path, Value::Null).await.body;
    assert_eq!(
        (&listed[0]["delegation_id"], &listed[0]["status"]),
        (&json!("d-1"), &json!("dispatched"))
    );
}

#[tokio::test]
async fn an_added_template_brings_the_runtime_that_its_configuration_names() {
    let world = World::new().await;
    for (name, config, runtime) in [
        ("one", "name: one\nruntime: codex\n", "codex"),
        ("two", "name: two\n", "claude-code"),
    ] {
        let added = json!({ "name": name, "files": { "config.yaml": config } });
        assert_eq!(world.admin("POST", "/templates/import", added).await.status, 201);
        let listed = world.admin("GET", "/templates", Value::Null).await.body;
        let row = listed.as_array().unwrap().iter().find(|row| row["id"] == name).unwrap();
        assert_eq!(row["runtime"], runtime);
    }
}
