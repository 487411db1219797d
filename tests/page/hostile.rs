//! What agents say is other people's words.

use reqwest::Method;
use serde_json::json;

use super::support::{Workspace, World};
use super::{go, page_of, without_complaints};

/// Markup that would run, characters that turn or hide what follows, and a bell.
const HOSTILE: &str =
    "<img src=x onerror='pwned=1'><script>pwned=1</script>\u{202e}txet\u{2066}\u{200b}\u{7}{{7*7}}&lt;";

async fn register(world: &World, workspace: &Workspace) {
    let card = json!({ "name": HOSTILE, "description": HOSTILE, "skills": [HOSTILE, { "name": HOSTILE }, 7, null] });
    let body = json!({ "id": workspace.id, "url": "", "delivery_mode": "poll", "agent_card": card });
    world
        .ok(Method::POST, "/registry/register", Some(&workspace.token), Some(body))
        .await;
    let beat =
        json!({ "workspace_id": workspace.id, "active_tasks": 1, "current_task": HOSTILE, "sample_error": HOSTILE });
    world
        .ok(Method::POST, "/registry/heartbeat", Some(&workspace.token), Some(beat))
        .await;
}

#[tokio::test]
async fn hostile_text_stays_text_everywhere() {
    let world = World::new().await;
    let workspace = world.workspace("Alpha").await;
    let path = format!("/workspaces/{}", workspace.id);
    let name = json!({ "name": HOSTILE.replace(['>', '{', '}', '*', '&'], "") });
    world.ok(Method::PATCH, &path, Some(world.admin()), Some(name)).await;
    register(&world, &workspace).await;
    world.say(&workspace, HOSTILE).await;
    let told = json!({ "message": HOSTILE, "attachments": [{ "uri": "javascript:pwned=1", "name": HOSTILE }] });
    world
        .ok(
            Method::POST,
            &format!("{path}/notify"),
            Some(&workspace.token),
            Some(told),
        )
        .await;
    let ask = json!({ "action": HOSTILE, "reason": HOSTILE });
    let approvals = format!("{path}/approvals");
    world
        .ok(Method::POST, &approvals, Some(&workspace.token), Some(ask))
        .await;
    let row = json!({ "activity_type": HOSTILE, "summary": HOSTILE, "method": HOSTILE, "status": HOSTILE, "error_detail": HOSTILE,
        "source_id": HOSTILE, "request_body": { "params": { "message": { "parts": [{ "text": HOSTILE }, { "file": { "name": {} } }, 7] } } } });
    world
        .rows(
            &workspace,
            json!([row, { "request_body": [HOSTILE] }, { "request_body": "text" }]),
        )
        .await;
    world
        .fault(json!({ "route": HOSTILE, "status": 500, "body": HOSTILE }))
        .await;

    let Some(browser) = page_of(&world).await else { return };
    let id = &workspace.id;
    for (view, selector) in [
        ("#/board".to_owned(), ".card"),
        (format!("#/chat/{id}"), ".bubble.theirs"),
        ("#/requests".to_owned(), ".asks"),
        ("#/traffic".to_owned(), ".traffic"),
        (format!("#/setup/{id}"), ".sheet"),
        ("#/faults".to_owned(), ".matrix"),
    ] {
        go(&browser, &view).await;
        let word = if view.contains("setup") {
            "<script"
        } else {
            "<script>pwned=1</script>"
        };
        browser.until_shown(selector, word).await;
        let made = "return document.querySelectorAll('main script, main img, main iframe, main [onerror], main a[href^=javascript]').length";
        assert_eq!(browser.run(made, json!([])).await, 0, "{view}");
        // Nothing that turns the rest of a line gets through.
        let turned = "return /[\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u0007]/.test(document.body.textContent)";
        assert_eq!(browser.run(turned, json!([])).await, false, "{view}");
        browser.until_shown(selector, "U+202E").await;
    }
    go(&browser, "#/traffic").await;
    browser.click("//ol//button").await;
    browser.until("document.getElementById('dialog').open").await;
    assert_eq!(browser.run("return window.pwned ?? null", json!([])).await, json!(null));
    without_complaints(&browser).await;
}

#[tokio::test]
async fn a_megabyte_is_shown_in_part_and_whole_when_asked_for() {
    let world = World::new().await;
    let workspace = world.workspace("Alpha").await;
    let text = "Lorem ipsum ".repeat(83_333);
    world.say(&workspace, &text).await;
    let Some(browser) = page_of(&world).await else { return };
    go(&browser, &format!("#/chat/{}", workspace.id)).await;
    browser.until_shown(".bubble .more", "Show all 1.0 MB").await;
    let length = "return document.querySelector('.bubble .text').textContent.length";
    assert_eq!(browser.run(length, json!([])).await, 8192);
    browser.click("//button[contains(., 'Show all')]").await;
    browser.until_shown(".bubble .more", "Show more").await;
    let rest = "const more = document.querySelector('.bubble .more'); while (!more.hidden) more.click();";
    browser.run(rest, json!([])).await;
    assert_eq!(browser.run(length, json!([])).await, text.len());
    without_complaints(&browser).await;
}
