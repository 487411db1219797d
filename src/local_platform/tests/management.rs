//! Routes for operating and managing: what each level accepts, and how it refuses.

use serde_json::{Value, json};

use super::{World, got};
use crate::local_platform::{Level, Options};

#[tokio::test]
async fn secrets_are_listed_by_name_and_the_own_one_hides_the_tenants() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}/secrets", guest.id);
    let bearer = Some(guest.token.as_str());
    for (path, key) in [
        ("/settings/secrets", "A"),
        ("/settings/secrets", "B"),
        (path.as_str(), "B"),
    ] {
        let saved = world.admin("POST", path, json!({ "key": key, "value": "v" })).await;
        assert_eq!((saved.status, &saved.body["status"]), (200, &json!("saved")));
    }
    let listed = world.call("GET", &path, bearer, Value::Null).await;
    let shown: Vec<_> = listed
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["key"].clone(), row["scope"].clone()))
        .collect();
    assert_eq!(shown, [(json!("B"), json!("workspace")), (json!("A"), json!("global"))]);
    assert!(!listed.text.contains("\"v\""));
    let gone = |path: String| {
        let world = &world;
        async move { world.admin("DELETE", &path, Value::Null).await }
    };
    assert_eq!(
        gone(format!("{path}/B")).await.body,
        json!({ "status": "deleted", "key": "B" })
    );
    gone(format!("{path}/B"))
        .await
        .is(404, &json!({ "error": "secret not found" }));
    assert_eq!(gone("/settings/secrets/A".to_owned()).await.body["scope"], "global");
    world
        .admin("POST", &path, json!({ "key": "A", "value": "" }))
        .await
        .is(400, &json!({ "error": "invalid request body" }));
    let upper = format!("/workspaces/{}/secrets", guest.id.to_uppercase());
    world
        .admin("GET", &upper, Value::Null)
        .await
        .is(400, &json!({ "error": "invalid workspace ID" }));
}

#[tokio::test]
async fn a_workspace_without_a_provisioner_cannot_be_started() {
    let world = World::new().await;
    let (parent, child) = (world.join("parent").await, world.create("child", None).await);
    let act = |id: String, what: &'static str| {
        let path = format!("/workspaces/{id}/{what}");
        let world = &world;
        async move { world.admin("POST", &path, json!({})).await }
    };
    world
        .admin(
            "PATCH",
            &format!("/workspaces/{}", child.id),
            json!({ "parent_id": parent.id }),
        )
        .await;
    assert_eq!(act(parent.id.clone(), "restart").await.body["status"], "noop");
    assert_eq!(
        act(parent.id.clone(), "pause").await.body,
        json!({ "status": "paused", "paused_count": 2 })
    );
    assert_eq!(act(parent.id.clone(), "pause").await.status, 404);
    assert_eq!(act(child.id.clone(), "resume").await.status, 409);
    act(parent.id.clone(), "resume")
        .await
        .is(503, &json!({ "error": "provisioner not available" }));
}

#[tokio::test]
async fn level_c_refuses_what_level_b_takes_in_silence() {
    let create = |level: Level, body: Value| async move {
        let world = World::at(level).await;
        let made = world.admin("POST", "/workspaces", body).await;
        let id = made.body["id"].as_str().unwrap_or_default().to_owned();
        let row = world.admin("GET", &format!("/workspaces/{id}"), Value::Null).await;
        (made.status, made.body["code"].clone(), row.body["runtime"].clone())
    };
    for (body, at_b, at_c) in [
        (json!({ "name": "a", "runtime": "codex" }), "codex", "MODEL_REQUIRED"),
        (
            json!({ "name": "a", "runtime": "nope", "model": "m" }),
            "nope",
            "RUNTIME_UNSUPPORTED",
        ),
        (
            json!({ "name": "a", "template": "nope", "model": "m" }),
            "langgraph",
            "RUNTIME_UNRESOLVED",
        ),
    ] {
        assert_eq!(
            create(Level::B, body.clone()).await,
            (201, Value::Null, json!(at_b)),
            "{body}"
        );
        let (status, code, _) = create(Level::C, body.clone()).await;
        assert_eq!((status, code), (422, json!(at_c)), "{body}");
    }
    let fine = json!({ "name": "a", "template": "codex", "model": "m" });
    assert_eq!(create(Level::C, fine).await, (201, Value::Null, json!("codex")));
}

#[tokio::test]
async fn a_model_is_read_back_and_can_be_cleared() {
    let world = World::new().await;
    let made = world
        .admin(
            "POST",
            "/workspaces",
            json!({ "name": "a", "runtime": "codex", "model": "m-1" }),
        )
        .await;
    let path = format!("/workspaces/{}/model", made.body["id"].as_str().unwrap());
    let read = || async { world.admin("GET", &path, Value::Null).await.body };
    assert_eq!(read().await, json!({ "model": "m-1", "source": "workspace_secrets" }));
    let set = world.admin("PUT", &path, json!({ "model": "m-2" })).await;
    assert_eq!(set.body, json!({ "status": "saved", "model": "m-2" }));
    assert_eq!(read().await["model"], "m-2");
    assert_eq!(
        world.admin("PUT", &path, json!({ "model": "" })).await.body,
        json!({ "status": "cleared" })
    );
    assert_eq!(read().await, json!({ "model": "", "source": "default" }));
}

#[tokio::test]
async fn a_key_of_the_organization_opens_what_the_admin_token_opens_until_it_is_revoked() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let minted = world.admin("POST", "/org/tokens", json!({ "name": "ci" })).await;
    let key = minted.body["auth_token"].as_str().unwrap();
    let with_key = |method: &'static str, path: String| {
        let world = &world;
        async move { world.call(method, &path, Some(key), Value::Null).await }
    };
    assert_eq!(with_key("GET", "/workspaces".to_owned()).await.status, 200);
    assert_eq!(
        with_key("GET", format!("/workspaces/{}/secrets", guest.id))
            .await
            .status,
        200
    );
    let listed = with_key("GET", "/org/tokens".to_owned()).await;
    assert_eq!(
        (&listed.body["count"], &listed.body["tokens"][0]["name"]),
        (&json!(1), &json!("ci"))
    );
    assert!(!listed.text.contains(key) && listed.body["tokens"][0].get("hash").is_none());
    let id = minted.body["id"].as_str().unwrap();
    assert_eq!(
        with_key("DELETE", format!("/org/tokens/{id}")).await.body,
        json!({ "revoked": id })
    );
    assert_eq!(with_key("GET", "/workspaces".to_owned()).await.status, 401);
}

#[tokio::test]
async fn a_hosted_tenant_wants_its_organization_named() {
    for level in [Level::B, Level::C] {
        let world = World::with(Options {
            level,
            org_id: Some("org-1".to_owned()),
            ..Options::default()
        })
        .await;
        let ask = |org: Option<&'static str>| {
            let request = world
                .request("GET", "/workspaces")
                .bearer_auth(world.platform.admin_token());
            got(match org {
                Some(org) => request.header("X-Molecule-Org-Id", org),
                None => request,
            })
        };
        assert_eq!(ask(Some("org-1")).await.status, 200);
        let (wrong, none) = (ask(Some("org-2")).await, ask(None).await);
        assert_eq!((wrong.status, wrong.text.as_str()), (404, ""));
        if level == Level::C {
            assert_eq!(
                (none.status, &none.body["code"]),
                (400, &json!("TENANT_ORG_HEADER_REQUIRED"))
            );
        } else {
            assert_eq!((none.status, none.text.as_str()), (404, ""));
        }
        assert_eq!(got(world.request("GET", "/health")).await.status, 200);
    }
}

#[tokio::test]
async fn what_needs_an_approval_is_not_done_before_it_is_there() {
    let world = World::with(Options {
        level: Level::C,
        approval_gate: true,
        ..Options::default()
    })
    .await;
    let sent = json!({ "key": "K", "value": "v" });
    let first = world.admin("POST", "/settings/secrets", sent.clone()).await;
    assert_eq!((first.status, &first.body["status"]), (202, &json!("pending_approval")));
    let second = world.admin("POST", "/settings/secrets", sent).await;
    assert_eq!(first.body["approval_id"], second.body["approval_id"]);
    assert_eq!(
        world.admin("GET", "/settings/secrets", Value::Null).await.body,
        json!([])
    );
}
