//! What belongs to the runtime of a workspace: agent, files, configuration, plugins, schedules, key/value memory.

use super::*;

/// Asks below a workspace with its own token.
async fn ask(world: &World, guest: &Guest, line: &str, body: Value) -> Got {
    let (method, rest) = line.split_once(' ').unwrap();
    let path = format!("/workspaces/{}/{rest}", guest.id);
    world.call(method, &path, Some(&guest.token), body).await
}

#[tokio::test]
async fn a_workspace_has_one_agent_at_most() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let model = json!({ "model": "m-1" });
    ask(&world, &alpha, "PATCH agent", model.clone())
        .await
        .refused(404, "no active agent to replace");
    ask(&world, &alpha, "POST agent", json!({}))
        .await
        .refused(400, "invalid request body");
    let made = ask(&world, &alpha, "POST agent", model.clone()).await;
    assert_eq!((made.status, &made.body["model"]), (201, &json!("m-1")));
    ask(&world, &alpha, "POST agent", model)
        .await
        .refused(409, "workspace already has an active agent, use PATCH to replace");
    let replaced = ask(&world, &alpha, "PATCH agent", json!({ "model": "m-2" })).await.body;
    assert_eq!(
        (&replaced["model"], &replaced["old_model"]),
        (&json!("m-2"), &json!("m-1"))
    );
    let to = json!({ "target_workspace_id": beta.id });
    let moved = ask(&world, &alpha, "POST agent/move", to.clone()).await.body;
    assert_eq!(
        (&moved["from_workspace"], &moved["to_workspace"]),
        (&json!(alpha.id), &json!(beta.id))
    );
    ask(&world, &alpha, "POST agent/move", to)
        .await
        .refused(409, "target workspace already has an active agent");
    let away = json!({ "target_workspace_id": "5f0c1d2e-0000-4000-8000-000000000001" });
    ask(&world, &beta, "POST agent/move", away)
        .await
        .refused(404, "target workspace not found");
    assert_eq!(
        ask(&world, &beta, "DELETE agent", Value::Null).await.body["status"],
        "removed"
    );
    ask(&world, &beta, "DELETE agent", Value::Null)
        .await
        .refused(404, "no active agent to remove");
}

#[tokio::test]
async fn files_are_kept_listed_by_depth_and_never_deleted() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let files = json!({ "files": { "a.md": "é", "d/b.md": "", "d/e/c.md": "x" } });
    assert_eq!(
        ask(&world, &guest, "PUT files", files).await.body,
        json!({ "status": "replaced", "workspace": "alpha", "files": 3, "source": "volume" })
    );
    let saved = ask(&world, &guest, "PUT files/d/b%20b.md", json!({ "content": "long" })).await;
    assert_eq!(saved.body, json!({ "status": "saved", "path": "d/b b.md" }));
    let listed = async |query: &str| {
        let rows = ask(&world, &guest, &format!("GET files{query}"), Value::Null)
            .await
            .body;
        let row = |row: &Value| format!("{} {} {}", row["path"].as_str().unwrap(), row["size"], row["dir"]);
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ["a.md 2 false", "d 0 true"]);
    assert_eq!(listed("?path=d").await, ["b b.md 4 false", "b.md 0 false", "e 0 true"]);
    assert_eq!(listed("?depth=5").await.len(), 6);
    assert_eq!(listed("?root=/home").await, [""; 0]);
    let read = ask(&world, &guest, "GET files/a.md?root=/configs", Value::Null).await;
    assert_eq!(read.body, json!({ "path": "a.md", "content": "é", "size": 2 }));
    for (line, body, status, refusal) in [
        (
            "GET files/no.md",
            Value::Null,
            404,
            "file not found (container offline, no template)",
        ),
        ("GET files?depth=6", Value::Null, 400, "depth must be 1-5"),
        (
            "GET files?root=/etc",
            Value::Null,
            400,
            "root must be one of: /configs, /workspace, /home, /plugins",
        ),
        ("DELETE files/a.md", Value::Null, 400, "absolute paths not permitted"),
        ("PUT files/a.md", json!({}), 400, "invalid request body"),
        (
            "PUT files",
            json!({ "files": { "../a": "" } }),
            400,
            "invalid request body",
        ),
    ] {
        ask(&world, &guest, line, body).await.refused(status, refusal);
    }
}

#[tokio::test]
async fn a_configuration_is_changed_by_field() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    assert_eq!(
        ask(&world, &guest, "GET config", Value::Null).await.body,
        json!({ "data": {} })
    );
    for change in [json!({ "a": { "b": 1 }, "c": 1 }), json!({ "a": { "d": 2 } })] {
        assert_eq!(
            ask(&world, &guest, "PATCH config", change).await.body["status"],
            "updated"
        );
    }
    assert_eq!(
        ask(&world, &guest, "GET config", Value::Null).await.body,
        json!({ "data": { "a": { "d": 2 }, "c": 1 } })
    );
    ask(&world, &guest, "PATCH config", json!(7))
        .await
        .refused(400, "invalid JSON");
    let large = json!({ "a": "x".repeat(300_000) });
    ask(&world, &guest, "PATCH config", large)
        .await
        .refused(413, "body too large or unreadable");
}

#[tokio::test]
async fn an_entry_is_written_when_its_version_is_the_one_that_is_known() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let set = async |more: Value| {
        let mut body = json!({ "key": "k", "value": "v" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask(&world, &guest, "POST memory", body).await
    };
    set(json!({ "if_match_version": 3 })).await.is(
        409,
        &json!({ "error": "if_match_version mismatch: key does not exist", "expected_version": 3, "current_version": null }),
    );
    assert_eq!(set(json!({ "if_match_version": 0 })).await.body["version"], 1);
    assert_eq!(set(json!({ "ttl_seconds": 60 })).await.body["version"], 2);
    set(json!({ "if_match_version": 1 })).await.is(
        409,
        &json!({ "error": "if_match_version mismatch", "expected_version": 1, "current_version": 2 }),
    );
    let entry = ask(&world, &guest, "GET memory/k", Value::Null).await.body;
    assert!(entry["expires_at"].is_string() && entry["value"] == "v", "{entry}");
    assert_eq!(
        ask(&world, &guest, "GET memory", Value::Null).await.body,
        json!([entry])
    );
    for _ in 0..2 {
        assert_eq!(
            ask(&world, &guest, "DELETE memory/k", Value::Null).await.body["status"],
            "deleted"
        );
    }
    ask(&world, &guest, "GET memory/k", Value::Null)
        .await
        .refused(404, "key not found");
    ask(&world, &guest, "POST memory", json!({ "value": 1 }))
        .await
        .refused(400, "key is required");
}

#[tokio::test]
async fn memories_are_found_with_the_activity_and_removed_where_there_is_a_route() {
    let world = World::new().await;
    let (alpha, beta) = (world.join("alpha").await, world.join("beta").await);
    let fact = json!({ "content": "the door is blue", "scope": "LOCAL" });
    let made = ask(&world, &alpha, "POST memories", fact).await.body;
    assert_eq!(world.tell(&beta, &alpha, "which door?").await.status, 200);
    let found = ask(&world, &alpha, "GET session-search?q=DOOR", Value::Null).await.body;
    let kinds: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["kind"].clone())
        .collect();
    assert_eq!(kinds, ["activity", "memory"]);
    let limited = ask(&world, &alpha, "GET session-search?limit=1", Value::Null)
        .await
        .body;
    assert_eq!(limited.as_array().unwrap().len(), 1);
    let one = format!("DELETE memories/{}", made["id"].as_str().unwrap());
    let foreign = "memory not found or not owned by this workspace";
    ask(&world, &beta, &one, Value::Null).await.refused(404, foreign);
    assert_eq!(ask(&world, &alpha, &one, Value::Null).await.body["status"], "deleted");
    ask(&world, &alpha, &one, Value::Null).await.refused(404, foreign);

    let newer = World::at(Level::C).await;
    let guest = newer.join("alpha").await;
    let gone = ask(&newer, &guest, &one, Value::Null).await;
    assert_eq!((gone.status, gone.text.as_str()), (404, "404 page not found"));
    ask(&newer, &guest, "DELETE v2/memories/m", Value::Null)
        .await
        .refused(503, "memory plugin is not configured (set MEMORY_PLUGIN_URL)");
}

#[tokio::test]
async fn plugins_would_need_a_container() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let made = world
        .admin("POST", "/workspaces", json!({ "name": "a", "runtime": "codex" }))
        .await;
    let inside = made.body["id"].as_str().unwrap();
    let plugins = format!("/workspaces/{inside}/plugins");
    let install = async |source: &str| world.admin("POST", &plugins, json!({ "source": source })).await;
    install("local://x")
        .await
        .refused(503, "workspace container not running");
    install("x").await.refused(400, "invalid plugin source");
    assert_eq!(install("github://o/r").await.status, 422);
    let list = format!("/orgs/{inside}/plugins/allowlist");
    let allowed = json!({ "plugins": ["y"], "enabled_by": "me" });
    assert_eq!(world.admin("PUT", &list, allowed).await.body["allow_all"], false);
    install("local://x")
        .await
        .refused(403, "plugin \"x\" is not in the org allowlist");
    install("local://y")
        .await
        .refused(503, "workspace container not running");
    let shown = world.admin("GET", &list, Value::Null).await.body;
    assert_eq!(
        (&shown["plugins"][0]["plugin_name"], &shown["allow_all"]),
        (&json!("y"), &json!(false))
    );
    world
        .admin("PUT", &list, json!({ "plugins": [] }))
        .await
        .refused(400, "enabled_by is required");
    let none = "/orgs/5f0c1d2e-0000-4000-8000-000000000001/plugins/allowlist";
    world
        .admin("GET", none, Value::Null)
        .await
        .refused(404, "org not found");
    let external = ask(&world, &guest, "POST plugins", json!({ "source": "local://x" })).await;
    assert!(external.status == 422 && external.body["hint"].is_string());
    assert_eq!(ask(&world, &guest, "DELETE plugins/x", Value::Null).await.status, 422);
    assert_eq!(ask(&world, &guest, "GET plugins", Value::Null).await.body, json!([]));
    let updates = world.admin("GET", "/admin/plugin-updates-pending", Value::Null).await;
    assert_eq!((updates.status, updates.text.as_str()), (200, "null"));
}

#[tokio::test]
async fn schedules_are_kept_and_hand_out_their_prompt() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let wanted = json!({ "name": "n", "cron_expr": "0 9 * * 1-5", "prompt": "do it\r\n", "timezone": "Asia/Tokyo" });
    let made = ask(&world, &guest, "POST schedules", wanted).await;
    assert_eq!(made.status, 201);
    assert!(
        made.body["next_run_at"].as_str().unwrap().ends_with("T09:00:00Z"),
        "{}",
        made.text
    );
    let one = format!("schedules/{}", made.body["id"].as_str().unwrap());
    let fired = ask(&world, &guest, &format!("POST {one}/run"), Value::Null).await;
    assert_eq!(
        fired.body,
        json!({ "status": "fired", "workspace_id": guest.id, "prompt": "do it\n" })
    );
    let off = json!({ "enabled": false, "cron_expr": "*/5 * * * *" });
    assert_eq!(
        ask(&world, &guest, &format!("PATCH {one}"), off).await.body["status"],
        "updated"
    );
    let rows = ask(&world, &guest, "GET schedules", Value::Null).await.body;
    assert_eq!(
        (
            &rows[0]["enabled"],
            &rows[0]["cron_expr"],
            &rows[0]["prompt"],
            &rows[0]["run_count"]
        ),
        (&json!(false), &json!("*/5 * * * *"), &json!("do it\n"), &json!(0))
    );
    for (line, body, status, refusal) in [
        (
            "POST schedules",
            json!({ "name": "n" }),
            400,
            "cron_expr and prompt are required",
        ),
        (
            "POST schedules",
            json!({ "cron_expr": "x", "prompt": "p" }),
            400,
            "invalid request body",
        ),
        (
            "POST schedules",
            json!({ "cron_expr": "* * * * *", "prompt": "p", "timezone": "Mars/X" }),
            400,
            "invalid timezone: Mars/X",
        ),
        ("PATCH schedules/no", json!({}), 404, "schedule not found"),
        ("POST schedules/no/run", Value::Null, 404, "schedule not found"),
    ] {
        ask(&world, &guest, line, body).await.refused(status, refusal);
    }
    assert_eq!(
        ask(&world, &guest, &format!("DELETE {one}"), Value::Null).await.body["status"],
        "deleted"
    );
    ask(&world, &guest, &format!("DELETE {one}"), Value::Null)
        .await
        .refused(404, "schedule not found");

    let newer = World::at(Level::C).await;
    let polling = newer.join("alpha").await;
    let refused = ask(&newer, &polling, "GET schedules", Value::Null).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
}
