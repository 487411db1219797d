//! Register, beats, tokens, removal, limits and origins.

use super::*;

const INVALID: &str = "invalid workspace auth token";
const MISSING: &str = "missing workspace auth token";

#[tokio::test]
async fn register_needs_an_explicit_poll_mode_and_returns_the_same_secret_as_every_beat() {
    let world = World::new().await;
    let guest = world.create("alpha", None).await;
    let bare = json!({ "id": guest.id, "agent_card": { "name": "x" } });
    let bare = world.call("POST", "/registry/register", Some(&guest.token), bare).await;
    bare.refused(400, "url is required for push-mode workspaces");
    let first = world.register(&guest.id, Some(&guest.token)).await;
    let secret = first.body["platform_inbound_secret"].clone();
    first.is(
        200,
        &json!({ "status": "registered", "delivery_mode": "poll", "platform_inbound_secret": secret }),
    );
    assert_eq!(secret.as_str().map(str::len), Some(43));
    let beat = world.beat(&guest.id, Some(&guest.token)).await;
    beat.is(200, &json!({ "status": "ok", "platform_inbound_secret": secret }));
    assert_eq!(
        world.register(&guest.id, Some(&guest.token)).await.body["platform_inbound_secret"],
        secret
    );
}

#[tokio::test]
async fn only_the_own_token_opens_the_registry() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    for bearer in [world.platform.admin_token(), &beta.token, "wrong"] {
        world.register(&alpha.id, Some(bearer)).await.refused(401, INVALID);
        world.beat(&alpha.id, Some(bearer)).await.refused(401, INVALID);
    }
    world.register(&alpha.id, None).await.refused(401, MISSING);
    world.beat(&alpha.id, None).await.refused(401, MISSING);
}

#[tokio::test]
async fn malformed_registers_and_beats_are_refused_as_the_contract_words_it() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let card = json!({ "name": "x" });
    for (path, body, status, error) in [
        (
            "register",
            json!({ "id": "alpha", "agent_card": card, "delivery_mode": "poll" }),
            500,
            "registration failed",
        ),
        (
            "register",
            json!({ "id": guest.id, "delivery_mode": "poll" }),
            400,
            "invalid request body",
        ),
        (
            "register",
            json!({ "id": guest.id, "agent_card": card, "delivery_mode": "x" }),
            400,
            "delivery_mode must be 'push' or 'poll'",
        ),
        (
            "heartbeat",
            json!({ "workspace_id": guest.id, "active_tasks": 1.5 }),
            400,
            "invalid request body",
        ),
        ("heartbeat", json!({ "active_tasks": 1 }), 400, "invalid request body"),
        ("heartbeat", json!({ "workspace_id": "alpha" }), 500, "failed to update"),
    ] {
        let answer = world
            .call("POST", &format!("/registry/{path}"), Some(&guest.token), body)
            .await;
        answer.refused(status, error);
    }
}

#[tokio::test]
async fn an_unknown_id_becomes_a_ghost_that_everyone_sees() {
    let world = World::new().await;
    let alpha = world.join("alpha").await;
    let ghost = uuid::Uuid::new_v4().to_string();
    let answer = world.register(&ghost.to_uppercase(), Some(&alpha.token)).await;
    assert_eq!(
        (answer.status, answer.body["auth_token"].as_str().map(str::len)),
        (200, Some(43))
    );
    let peers = world
        .call(
            "GET",
            &format!("/registry/{}/peers", alpha.id),
            Some(&alpha.token),
            Value::Null,
        )
        .await;
    assert_eq!(peers.ids(), std::slice::from_ref(&ghost));
    assert_eq!(
        (&peers.body[0]["name"], &peers.body[0]["role"]),
        (&json!(ghost), &Value::Null)
    );
    let searched = world
        .call(
            "GET",
            &format!("/registry/{}/peers?q=a", alpha.id),
            Some(&alpha.token),
            Value::Null,
        )
        .await;
    assert_eq!((searched.status, searched.text.as_str()), (500, ""));
}

#[tokio::test]
async fn a_beat_alone_brings_a_waiting_workspace_online_and_silence_takes_it_back() {
    let world = World::with(Options {
        speed: 300,
        ..Options::default()
    })
    .await;
    let guest = world.create("alpha", None).await;
    assert_eq!(world.status_of(&guest.id).await, "awaiting_agent");
    assert_eq!(world.beat(&guest.id, Some(&guest.token)).await.status, 200);
    assert_eq!(world.status_of(&guest.id).await, "online");
    eventually(async || (world.status_of(&guest.id).await == "awaiting_agent").then_some(())).await;
}

#[tokio::test]
async fn a_removed_workspace_beats_on_until_a_register_mints_a_useless_token() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let gone = world
        .admin("DELETE", &format!("/workspaces/{}", guest.id), Value::Null)
        .await;
    gone.is(200, &json!({ "status": "removed", "cascade_deleted": 0 }));
    assert_eq!(world.beat(&guest.id, Some(&guest.token)).await.body["status"], "ok");
    world.activity(&guest, "").await.refused(401, INVALID);
    let tombstone = world
        .call(
            "GET",
            &format!("/workspaces/{}", guest.id),
            Some(&guest.token),
            Value::Null,
        )
        .await;
    let removed_at = tombstone.body["removed_at"].clone();
    assert!(removed_at.is_string());
    tombstone.is(
        410,
        &json!({ "error": "workspace removed", "id": guest.id, "removed_at": removed_at,
            "hint": "Regenerate workspace + token from the canvas → Tokens tab" }),
    );
    let shown = world
        .call(
            "GET",
            &format!("/workspaces/{}?include_removed=true", guest.id),
            None,
            Value::Null,
        )
        .await;
    assert_eq!((shown.status, &shown.body["status"]), (200, &json!("removed")));
    let fresh = world.register(&guest.id, Some(&guest.token)).await;
    let useless = fresh.body["auth_token"].as_str().unwrap().to_owned();
    assert_eq!(fresh.status, 200);
    for token in [&useless, &guest.token] {
        world.beat(&guest.id, Some(token)).await.refused(401, INVALID);
        world.register(&guest.id, Some(token)).await.refused(401, INVALID);
        let read = Guest {
            token: token.clone(),
            ..guest.clone()
        };
        world.activity(&read, "").await.refused(401, INVALID);
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_everywhere_while_another_lives() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let path = format!("/workspaces/{}/tokens", guest.id);
    let minted = world.call("POST", &path, Some(&guest.token), Value::Null).await;
    assert_eq!(minted.status, 201);
    let other = minted.body["auth_token"].as_str().unwrap();
    let listed = world.call("GET", &path, Some(other), Value::Null).await;
    assert_eq!(
        (&listed.body["count"], &listed.body["tokens"][0]["prefix"]),
        (&json!(2), &json!(other[..8]))
    );
    let first = listed.body["tokens"][1]["id"].as_str().unwrap();
    let revoked = world
        .call("DELETE", &format!("{path}/{first}"), Some(other), Value::Null)
        .await;
    revoked.is(200, &json!({ "status": "revoked" }));
    world.beat(&guest.id, Some(&guest.token)).await.refused(401, INVALID);
    world.activity(&guest, "").await.refused(401, INVALID);
    assert_eq!(world.beat(&guest.id, Some(other)).await.status, 200);
    let rotated = world
        .call(
            "POST",
            &format!("/workspaces/{}/external/rotate", guest.id),
            Some(other),
            Value::Null,
        )
        .await;
    let newest = rotated.body["connection"]["auth_token"].as_str().unwrap();
    world.beat(&guest.id, Some(other)).await.refused(401, INVALID);
    assert_eq!(world.beat(&guest.id, Some(newest)).await.status, 200);
}

#[tokio::test]
async fn children_are_removed_only_when_confirmed_and_lose_their_tokens() {
    let world = World::new().await;
    let parent = world.join("parent").await;
    let child = world.create("child", Some(&parent)).await;
    let path = format!("/workspaces/{}", parent.id);
    let asked = world.admin("DELETE", &path, Value::Null).await;
    assert_eq!(
        (asked.status, &asked.body["status"]),
        (409, &json!("confirmation_required"))
    );
    assert_eq!(asked.body["children"], json!([{ "id": child.id, "name": "child" }]));
    let gone = world
        .admin("DELETE", &format!("{path}?confirm=true"), Value::Null)
        .await;
    gone.is(200, &json!({ "status": "removed", "cascade_deleted": 1 }));
    world.activity(&child, "").await.refused(401, INVALID);
}

#[tokio::test]
async fn admin_routes_take_the_admin_token_only() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    world
        .call("GET", "/workspaces", None, Value::Null)
        .await
        .refused(401, "admin auth required");
    world
        .call("GET", "/workspaces", Some(&guest.token), Value::Null)
        .await
        .refused(401, "invalid admin auth token");
    let listed = world.admin("GET", "/workspaces", Value::Null).await;
    assert_eq!(listed.ids(), std::slice::from_ref(&guest.id));
    let twin = world.create("alpha", None).await;
    assert_eq!(world.status_of(&twin.id).await, "awaiting_agent");
    assert_eq!(
        world.admin("GET", "/workspaces", Value::Null).await.body[1]["name"],
        "alpha (2)"
    );
    let unknown = format!("/workspaces/{}", uuid::Uuid::new_v4());
    world
        .call("GET", &unknown, None, Value::Null)
        .await
        .refused(404, "workspace not found");
    world
        .call("GET", "/workspaces/alpha", None, Value::Null)
        .await
        .refused(400, "invalid workspace ID");
}

#[tokio::test]
async fn discover_follows_the_communication_rule_and_invents_a_url_for_poll_workspaces() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let cousin = world.create("cousin", Some(&beta)).await;
    let discover = async |target: &str, token: &str| {
        let request = world
            .request("GET", &format!("/registry/discover/{target}"))
            .bearer_auth(token);
        got(request.header("X-Workspace-ID", &alpha.id)).await
    };
    let found = discover(&beta.id, &alpha.token).await;
    assert_eq!((found.status, &found.body["name"]), (200, &json!("beta")));
    assert!(found.body["url"].as_str().unwrap().starts_with("http://"));
    discover(&cousin.id, &alpha.token)
        .await
        .refused(403, "not authorized to discover this workspace");
    discover(&beta.id, &beta.token).await.refused(401, INVALID);
    let bare = world
        .call(
            "GET",
            &format!("/registry/discover/{}", beta.id),
            Some(&alpha.token),
            Value::Null,
        )
        .await;
    bare.refused(400, "X-Workspace-ID header is required");
    let asked = json!({ "caller_id": alpha.id, "target_id": cousin.id });
    world
        .call("POST", "/registry/check-access", None, asked)
        .await
        .is(200, &json!({ "allowed": false }));
}

#[tokio::test]
async fn a_foreign_origin_is_refused_without_a_word() {
    let world = World::new().await;
    let own = world.platform.url();
    for (origin, status) in [
        (own.clone(), 200),
        (own.replace("http://", "https://"), 200),
        ("http://localhost:3000".to_owned(), 200),
        (format!("{own}/"), 403),
        ("http://elsewhere.test".to_owned(), 403),
    ] {
        let answer = got(world.request("GET", "/health").header("Origin", &origin)).await;
        assert_eq!(
            (answer.status, answer.text.is_empty()),
            (status, status == 403),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn the_limit_is_per_bearer_and_says_when_to_come_back() {
    let world = World::with(Options {
        rate_limit: 4,
        ..Options::default()
    })
    .await;
    let guest = world.create("alpha", None).await;
    for remaining in ["3", "2", "1", "0"] {
        let answer = world.activity(&guest, "").await;
        assert_eq!(
            (
                answer.status,
                &answer.headers["x-ratelimit-remaining"].to_str().unwrap()
            ),
            (200, &remaining)
        );
    }
    let refused = world.activity(&guest, "").await;
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait));
    refused.is(429, &json!({ "error": "rate limit exceeded", "retry_after": wait }));
    assert_eq!(refused.headers["x-ratelimit-limit"], "4");
    assert_eq!(refused.headers["x-ratelimit-reset"], wait.to_string().as_str());
    assert_eq!(world.call("GET", "/health", None, Value::Null).await.status, 200);
    assert_eq!(
        world.call("GET", "/_local/log", None, Value::Null).await.text,
        "404 page not found"
    );
}
