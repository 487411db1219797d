//! What the page may do, and that nobody else may.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{Events, Got, Guest, World, eventually, got, text_of};
use crate::local_platform::{Level, Options, Outfit, Outfitted};
use crate::types::Secret;

/// A folder that remembers what was kept in it.
#[derive(Debug, Default)]
struct Shelf(Mutex<Vec<(String, String)>>);

impl Outfit for Shelf {
    fn show(&self, id: &str, name: &str, platform_url: &str) -> Outfitted {
        Outfitted {
            folder: PathBuf::from(format!("{platform_url} {name} {id}")),
            has_token: !self.0.lock().unwrap().is_empty(),
            configurations: Vec::new(),
        }
    }

    fn keep_token(&self, id: &str, _: &str, token: &Secret) -> io::Result<()> {
        self.0.lock().unwrap().push((id.to_owned(), token.expose().to_owned()));
        Ok(())
    }
}

impl World {
    fn page_token(&self) -> &str {
        self.platform.page_url().split_once("#token=").unwrap().1
    }

    fn page(&self, method: &str, path: &str) -> RequestBuilder {
        self.request(method, &format!("/_page/api/{path}"))
            .bearer_auth(self.page_token())
    }

    async fn rows(&self, query: &str) -> Vec<Value> {
        let rows = got(self.page("GET", &format!("rows?{query}"))).await;
        assert_eq!(rows.status, 200, "{}", rows.text);
        rows.body["rows"].as_array().unwrap().clone()
    }

    async fn say(&self, to: &Guest, text: &str) {
        let sent = got(self
            .page("POST", &format!("platform/workspaces/{}/a2a", to.id))
            .json(&super::envelope(text)))
        .await;
        assert_eq!(sent.status, 200, "{}", sent.text);
    }
}

fn names(got: &Got) -> Vec<&str> {
    let all = got.body["workspaces"].as_array().unwrap();
    all.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn without_the_pages_token_nothing_but_its_files_is_there() {
    let world = World::new().await;
    let guest = world.join("Alpha").await;
    for (method, path) in [
        ("GET", "board"),
        ("GET", "events"),
        ("GET", "rows"),
        ("GET", "rows/1"),
        ("GET", "outfit/x"),
        ("PUT", "outfit/x"),
        ("POST", "resume/x"),
        ("GET", "platform/workspaces"),
        ("POST", "platform/_local/faults"),
        ("GET", "nothing"),
    ] {
        let admin = world.platform.admin_token();
        for bearer in [None, Some(admin), Some(guest.token.as_str()), Some("x")] {
            let refused = world
                .call(method, &format!("/_page/api/{path}"), bearer, Value::Null)
                .await;
            assert_eq!(refused.status, 401, "{method} {path} {bearer:?}");
        }
    }
    let files = world.call("GET", "/_page/", None, Value::Null).await;
    assert_eq!(
        (files.status, &files.headers["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    let policy = files.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(!files.text.contains(world.page_token()));
}

#[tokio::test]
async fn the_pages_token_is_no_credential_of_the_platform() {
    let world = World::new().await;
    let token = world.page_token().to_owned();
    let refused = world.call("GET", "/workspaces", Some(&token), Value::Null).await;
    refused.refused(401, "invalid admin auth token");
    let guest = world.join("Alpha").await;
    assert_eq!(world.beat(&guest.id, Some(&token)).await.status, 401);
}

#[tokio::test]
async fn other_origins_and_names_are_kept_out_whatever_they_know() {
    let world = World::new().await;
    let own = world.platform.url();
    for (name, value, status) in [
        ("origin", own.as_str(), 200),
        ("origin", "http://localhost:3000", 403),
        ("origin", "http://127.0.0.1:1", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("host", "evil.test", 403),
    ] {
        let answer = got(world.page("GET", "board").header(name, value)).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        assert!(answer.headers.get("access-control-allow-origin").is_none());
    }
    let foreign = world
        .request("POST", "/_local/faults")
        .header("origin", "http://evil.test");
    assert_eq!(
        got(foreign.json(&json!({ "route": "*", "status": 500 }))).await.status,
        403
    );
    assert_eq!(world.status_of("x").await, Value::Null);
}

#[tokio::test]
async fn the_page_acts_as_the_person_at_every_level_past_faults_limits_and_the_log() {
    for level in [Level::A, Level::B, Level::C] {
        let world = World::with(Options {
            level,
            faults: true,
            rate_limit: 3,
            ..Options::default()
        })
        .await;
        let made = json!({ "name": "Alpha", "external": true, "delivery_mode": "poll" });
        let made = got(world.page("POST", "platform/workspaces").json(&made)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let fault = json!({ "route": "*", "status": 500 });
        assert_eq!(
            got(world.page("POST", "platform/_local/faults").json(&fault))
                .await
                .status,
            200
        );
        for _ in 0..5 {
            let listed = got(world.page("GET", "platform/workspaces")).await;
            assert_eq!(listed.status, 200, "{level:?} {}", listed.text);
            assert!(listed.headers.get("x-ratelimit-limit").is_none());
        }
        assert!(names(&got(world.page("GET", "board")).await).contains(&"Alpha"));
        let log = world.call("GET", "/_local/log", None, Value::Null).await;
        assert_eq!(log.body, json!([]), "{level:?}");
        if level > Level::A {
            let id = made.body["id"].as_str().unwrap();
            let claimed = world
                .page("POST", &format!("platform/workspaces/{id}/a2a"))
                .header("x-workspace-id", id);
            assert_eq!(got(claimed.json(&super::envelope("hi"))).await.status, 200);
            let row = &world.rows("sort=chat").await[0];
            assert_eq!(
                (&row["text"], &row["source_id"]),
                (&json!("hi"), &Value::Null),
                "{level:?}"
            );
        }
    }
}

#[tokio::test]
async fn rows_tell_what_became_of_a_message() {
    let world = World::new().await;
    let guest = world.join("Alpha").await;
    world.say(&guest, "hello").await;
    let row = || async {
        world
            .rows(&format!("sort=chat&about={}", guest.id))
            .await
            .pop()
            .unwrap()
    };
    assert_eq!(
        (&row().await["text"], &row().await["fetched_at"]),
        (&json!("hello"), &Value::Null)
    );
    // Whoever looks on from above fetches nothing.
    let path = format!("/workspaces/{}/activity", guest.id);
    assert_eq!(world.admin("GET", &path, Value::Null).await.ids().len(), 1);
    assert_eq!(row().await["fetched_at"], Value::Null);
    let read = world.activity(&guest, "type=a2a_receive").await;
    assert_eq!(text_of(&read.body[0]), "hello");
    assert!(row().await["fetched_at"].is_i64());
    let told = json!({ "message": "done", "attachments": [{ "uri": "x:1", "name": "a.txt" }] });
    let path = format!("/workspaces/{}/notify", guest.id);
    assert_eq!(world.call("POST", &path, Some(&guest.token), told).await.status, 200);
    let rows = world.rows("sort=chat").await;
    assert_eq!(
        (&rows[0]["text"], &rows[0]["files"][0]["name"]),
        (&json!("done"), &json!("a.txt"))
    );
    let whole = got(world.page("GET", &format!("rows/{}", rows[1]["seq"]))).await;
    assert_eq!(text_of(&whole.body["envelope"]), "hello");
    for (query, status) in [("sort=x", 400), ("before=x", 400), ("other=1", 400), ("limit=0", 200)] {
        assert_eq!(
            got(world.page("GET", &format!("rows?{query}"))).await.status,
            status,
            "{query}"
        );
    }
    assert_eq!(got(world.page("GET", "rows/99")).await.status, 404);
}

#[tokio::test]
async fn a_long_text_is_cut_in_lists_and_whole_by_itself() {
    let world = World::new().await;
    let guest = world.join("Alpha").await;
    let text = "ä".repeat(400_000);
    world.say(&guest, &text).await;
    let row = &world.rows("").await[0];
    assert_eq!(
        (row["text"].as_str().unwrap().len(), &row["text_bytes"]),
        (8192, &json!(800_000))
    );
    let whole = got(world.page("GET", &format!("rows/{}", row["seq"]))).await;
    assert_eq!(whole.body["text"].as_str(), Some(text.as_str()));
}

#[tokio::test]
async fn a_delegation_is_followed_from_queued_to_completed() {
    let world = World::new().await;
    let (lead, helper) = (world.join("Lead").await, world.join("Helper").await);
    let task = json!({ "target_id": helper.id, "task": "look" });
    let path = format!("/workspaces/{}/delegate", lead.id);
    let begun = world.call("POST", &path, Some(&lead.token), task).await;
    let id = begun.body["delegation_id"].as_str().unwrap();
    let state = || async {
        let rows = world.rows("sort=delegation").await;
        let asked = rows.into_iter().find(|row| row["method"] == "delegate").unwrap();
        asked["state"].as_str().unwrap().to_owned()
    };
    let until = |wanted: &'static str| {
        let state = &state;
        eventually(move || async move { (state().await == wanted).then_some(()) })
    };
    until("queued").await;
    world.activity(&helper, "").await;
    until("fetched").await;
    let mut answer = super::envelope("seen");
    answer["params"]["message"]["metadata"] = json!({ "delegation_id": id });
    let request = world
        .request("POST", &format!("/workspaces/{}/a2a", lead.id))
        .bearer_auth(&helper.token);
    assert_eq!(
        got(request.header("x-workspace-id", &helper.id).json(&answer))
            .await
            .status,
        200
    );
    until("completed").await;
}

#[tokio::test]
async fn the_stream_tells_of_every_workspace_and_of_what_rows_become() {
    let world = World::new().await;
    let mut events = Events {
        response: world.page("GET", "events").send().await.unwrap(),
        unread: String::new(),
    };
    assert_eq!(events.block().await, ": open");
    let guest = world.create("Alpha", None).await;
    assert_eq!(events.next().await["workspace"]["status"], "awaiting_agent");
    world.register(&guest.id, Some(&guest.token)).await;
    assert_eq!(events.next().await["workspace"]["status"], "online");
    world.say(&guest, "hello").await;
    let row = events.next().await;
    assert_eq!(
        (&row["row"]["text"], &row["row"]["fetched_at"]),
        (&json!("hello"), &Value::Null)
    );
    world.activity(&guest, "").await;
    assert!(events.next().await["row"]["fetched_at"].is_i64());
    let path = format!("/workspaces/{}?purge=true", guest.id);
    world.admin("DELETE", &path, Value::Null).await;
    // Before it is gone it is removed, and its rows are told of.
    while events.next().await["purged"] != guest.id.as_str() {}
}

#[tokio::test]
async fn a_pause_is_lifted_so_that_the_next_beat_counts() {
    let world = World::new().await;
    let guest = world.join("Alpha").await;
    let path = format!("platform/workspaces/{}/pause", guest.id);
    assert_eq!(got(world.page("POST", &path)).await.status, 200);
    world.beat(&guest.id, Some(&guest.token)).await;
    assert_eq!(world.status_of(&guest.id).await, "paused");
    let resume = || world.page("POST", &format!("resume/{}", guest.id));
    assert_eq!(got(resume()).await.status, 200);
    assert_eq!(got(resume()).await.status, 404);
    world.beat(&guest.id, Some(&guest.token)).await;
    assert_eq!(world.status_of(&guest.id).await, "online");
}

#[tokio::test]
async fn only_a_workspaces_own_token_is_kept_in_its_folder() {
    let shelf = Arc::new(Shelf::default());
    let world = World::with(Options {
        outfit: Some(shelf.clone()),
        ..Options::default()
    })
    .await;
    let (alpha, beta) = (world.join("Alpha").await, world.join("Beta").await);
    let path = format!("outfit/{}", alpha.id);
    let shown = got(world.page("GET", &path)).await;
    let expected = format!("{} Alpha {}", world.platform.url(), alpha.id);
    assert_eq!(
        (&shown.body["folder"], &shown.body["has_token"]),
        (&json!(expected), &json!(false))
    );
    for (token, status) in [(beta.token.as_str(), 400), ("", 400), (alpha.token.as_str(), 200)] {
        let kept = got(world.page("PUT", &path).json(&json!({ "token": token }))).await;
        assert_eq!(kept.status, status, "{}", kept.text);
    }
    assert_eq!(*shelf.0.lock().unwrap(), [(alpha.id.clone(), alpha.token.clone())]);
    assert_eq!(got(World::new().await.page("GET", &path)).await.status, 404);
}

#[tokio::test]
async fn faults_are_listed_and_switched_off_one_by_one() {
    let world = World::new().await;
    let add = |status: u16| {
        world
            .page("POST", "platform/_local/faults")
            .json(&json!({ "route": "activity", "status": status }))
    };
    let first = got(add(500)).await.body["number"].clone();
    got(add(401)).await;
    let list = got(world.page("GET", "platform/_local/faults")).await.body;
    assert_eq!(
        (&list["rules"][0]["number"], &list["rules"][1]["status"]),
        (&first, &json!(401))
    );
    assert!(list["routes"].as_array().unwrap().contains(&json!("heartbeat")));
    let path = format!("platform/_local/faults/{first}");
    got(world.page("DELETE", &path)).await.is(200, &json!({ "rules": 1 }));
    assert_eq!(got(world.page("DELETE", &path)).await.status, 404);
    let off = World::with(Options::default()).await;
    assert_eq!(got(off.page("GET", "platform/_local/faults")).await.status, 404);
}
