//! The person and an agent, whose daemon is real.

use std::fs;

use serde_json::json;

use super::support::{World, next_message, start, until};
use super::{go, page_of, without_complaints};

#[tokio::test]
async fn a_message_goes_from_sent_over_fetched_to_answered_and_is_there_after_a_reload() {
    let world = World::new().await;
    let workspace = world.workspace("Reviewer").await;
    let Some(browser) = page_of(&world).await else { return };
    go(&browser, &format!("#/chat/{}", workspace.id)).await;
    browser.until_shown(".log", "Nothing said yet").await;
    browser
        .type_into("//textarea", "Is the retry code right?\u{e007}")
        .await;
    browser.until_shown(".bubble.mine", "Is the retry code right?").await;
    browser.until_shown(".bubble.mine .state", "Sent").await;

    let daemon = world.online(&workspace).await;
    let message = next_message(&daemon).await;
    assert_eq!(message["text"], "Is the retry code right?");
    browser.until_shown(".bubble.mine .state", "Fetched").await;
    let answer = json!({ "activity_id": message["activity_id"], "text": "It is, with one exception." });
    daemon.call("reply_to_message", answer).await.unwrap();
    browser
        .until_shown(".bubble.theirs", "It is, with one exception.")
        .await;
    browser.until_shown(".bubble.mine .state", "Answered").await;

    browser.reload().await;
    browser
        .until_shown(".bubble.theirs", "It is, with one exception.")
        .await;
    browser.until_shown(".bubble.mine .state", "Answered").await;
    without_complaints(&browser).await;
}

#[tokio::test]
async fn files_go_both_ways() {
    let world = World::new().await;
    let workspace = world.workspace("Reviewer").await;
    let desk = workspace.folder.join("desk");
    fs::create_dir_all(&desk).unwrap();
    fs::write(desk.join("report.html"), "<script>parent.pwned = 1</script>").unwrap();
    fs::write(desk.join("notes.txt"), "read me").unwrap();
    let mut command = world.command(&workspace);
    command
        .env("CONFIGS_DIR", workspace.folder.join("state"))
        .current_dir(&desk);
    fs::create_dir_all(workspace.folder.join("state")).unwrap();
    let Some(browser) = page_of(&world).await else { return };
    let daemon = start(command).await;
    go(&browser, &format!("#/chat/{}", workspace.id)).await;
    browser
        .type_into("//input[@type='file']", desk.join("notes.txt").to_str().unwrap())
        .await;
    browser.until_shown(".composer .file", "notes.txt").await;
    browser.type_into("//textarea", "See the notes\u{e007}").await;
    let message = next_message(&daemon).await;
    assert_eq!(message["attachments"][0]["name"], "notes.txt", "{message}");
    browser.until_shown(".bubble.mine .file", "notes.txt").await;

    let answer =
        json!({ "activity_id": message["activity_id"], "text": "Mine", "attachments": [desk.join("report.html")] });
    daemon.call("reply_to_message", answer).await.unwrap();
    browser.click("//button[@aria-label='Save report.html']").await;
    let saved = browser.downloads().join("report.html");
    until("the file is saved", || async {
        fs::read_to_string(&saved).unwrap_or_default().contains("pwned")
    })
    .await;
    assert_eq!(browser.run("return window.pwned ?? null", json!([])).await, json!(null));
    without_complaints(&browser).await;
}

#[tokio::test]
async fn what_could_not_be_sent_is_given_back() {
    let world = World::new().await;
    let workspace = world.workspace("Reviewer").await;
    let Some(browser) = page_of(&world).await else { return };
    go(&browser, &format!("#/chat/{}", workspace.id)).await;
    browser.until_shown(".log", "Nothing said yet").await;
    world.purge(&workspace).await;
    browser.type_into("//textarea", "Hello?\u{e007}").await;
    browser.until_shown(".note.bad", "Not sent: workspace not found").await;
    browser
        .until("document.querySelector('textarea').value === 'Hello?'")
        .await;
}
