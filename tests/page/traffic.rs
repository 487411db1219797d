//! What goes between agents.

use serde_json::json;

use super::support::{World, next_message};
use super::{go, page_of, without_complaints};

#[tokio::test]
async fn a_delegation_is_seen_from_queued_to_completed_with_all_that_was_said() {
    let world = World::new().await;
    let (lead, helper) = (world.workspace("Lead").await, world.workspace("Helper").await);
    let leader = world.online(&lead).await;
    let Some(browser) = page_of(&world).await else { return };
    go(&browser, "#/traffic").await;
    browser.until_shown("main", "No traffic yet").await;
    let task = json!({ "workspace_id": helper.id, "task": "Look at the retry code" });
    leader.call("delegate_task_async", task).await.unwrap();
    browser.until_shown(".traffic .course", "Queued").await;
    let worker = world.online(&helper).await;
    let message = next_message(&worker).await;
    browser.until_shown(".traffic .course .state", "Fetched").await;
    let answer = json!({ "activity_id": message["activity_id"], "text": "It is right" });
    worker.call("reply_to_message", answer).await.unwrap();
    browser.until_shown(".traffic .course .state", "Completed").await;

    browser
        .click("//ol//button[contains(., 'Message') and contains(., 'It is right')]")
        .await;
    browser.until_shown("#dialog .code", "\"delegation_id\"").await;
    browser.until_shown("#dialog .facts", "Helper").await;
    browser.click("//dialog//button[@aria-label='Close']").await;

    let lines = "[...document.querySelectorAll('.traffic > li:not(.day)')]";
    browser.type_into("//input[@type='search']", "retry").await;
    browser
        .until(&format!(
            "{lines}.length > 1 && {lines}.every((line) => line.textContent.includes('retry'))"
        ))
        .await;
    browser
        .click("//label[.='Kind']/following-sibling::select/option[.='Delegations']")
        .await;
    browser.until(&format!("{lines}.length === 1")).await;
    browser.type_into("//input[@type='search']", "zzz").await;
    browser.click("//button[.='Clear the filters']").await;
    browser.until(&format!("{lines}.length > 2")).await;
    without_complaints(&browser).await;
}
