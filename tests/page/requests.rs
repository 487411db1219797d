//! What agents ask of the person, answered in the browser.

use molecule_mcp::local_platform::Level;
use serde_json::json;

use super::support::{World, next_message, pop, until};
use super::{go, page_of, without_complaints};

#[tokio::test]
async fn an_approval_is_asked_back_about_and_given_and_the_agent_is_told() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("Builder").await;
    let Some(browser) = page_of(&world).await else { return };
    go(&browser, "#/requests").await;
    browser.until_shown("main", "Nothing is asked of you").await;
    let daemon = world.online(&workspace).await;
    let ask = json!({ "action": "Publish <b>0.4</b>", "reason": "All tests are green.\nThe tag is set." });
    let made = daemon.call("create_approval", ask).await.unwrap();
    browser.until_shown("nav a[aria-current=page] .count", "1").await;
    let id = made["request_id"].as_str().unwrap();
    let card = format!("[data-ask='request-{id}']");
    for text in ["Publish <b>0.4</b>", "Builder", "The tag is set.", "Approval"] {
        browser.until_shown(&card, text).await;
    }

    browser.type_into("//textarea", "Which registry?").await;
    // Word of something else does not take away what is being written.
    let other = json!({ "kind": "task", "title": "Read the changelog" });
    daemon.call("create_request", other).await.unwrap();
    browser.until_shown(".summary", "2 for you").await;
    browser
        .click("//button[@aria-label='Ask back: Publish <b>0.4</b>']")
        .await;
    browser.until_shown(&format!("{card} .thread"), "Which registry?").await;
    let remark = next_message(&daemon).await;
    assert!(remark["text"].as_str().unwrap().contains("Which registry?"), "{remark}");
    pop(&daemon, &remark).await;
    let more = json!({ "request_id": id, "body": "The internal one." });
    daemon.call("add_request_message", more).await.unwrap();
    browser
        .until_shown(&format!("{card} .thread"), "The internal one.")
        .await;

    browser
        .click("//button[@aria-label='Approve: Publish <b>0.4</b>']")
        .await;
    browser.until_shown(".summary", "1 for you").await;
    let answer = next_message(&daemon).await;
    assert_eq!(
        (&answer["request"]["part"], &answer["request"]["status"]),
        (&json!("answer"), &json!("approved")),
        "{answer}"
    );
    browser
        .click("//button[@aria-label='Reject: Read the changelog']")
        .await;
    browser.until_shown("main", "Nothing is asked of you").await;
    browser.until("!document.querySelector('nav .count')").await;
    without_complaints(&browser).await;
}

#[tokio::test]
async fn what_agents_ask_each_other_is_shown_and_is_theirs_to_answer() {
    let world = World::at(Level::C).await;
    let (builder, reviewer) = (world.workspace("Builder").await, world.workspace("Reviewer").await);
    let daemon = world.online(&builder).await;
    let Some(browser) = page_of(&world).await else { return };
    let ask = json!({ "kind": "task", "title": "Count them", "recipient_type": "agent", "recipient_id": reviewer.id });
    daemon.call("create_request", ask).await.unwrap();
    go(&browser, "#/requests").await;
    browser.until_shown(".summary", "0 for you · 1 between agents").await;
    browser.until_shown("[data-ask]", "asks Reviewer").await;
    let buttons = browser
        .run(
            "return document.querySelectorAll('[data-ask] button').length",
            json!([]),
        )
        .await;
    assert_eq!(buttons, 0);
    browser.until("!document.querySelector('nav .count')").await;
    without_complaints(&browser).await;
}

#[tokio::test]
async fn a_platform_of_old_has_approvals_alone_and_they_are_decided_here() {
    let world = World::new().await;
    let workspace = world.workspace("Builder").await;
    let daemon = world.online(&workspace).await;
    let Some(browser) = page_of(&world).await else { return };
    let made = daemon
        .call("create_approval", json!({ "action": "Delete the branch" }))
        .await
        .unwrap();
    browser.until_shown("nav .count", "1").await;
    go(&browser, "#/requests").await;
    browser.click("//button[@aria-label='Deny: Delete the branch']").await;
    browser.until_shown("main", "Nothing is asked of you").await;
    let id = made["request_id"].as_str().unwrap();
    until("the agent sees it denied", || async {
        let listed = daemon.call("check_requests", json!({})).await.unwrap();
        let requests = listed["requests"].as_array().unwrap();
        requests
            .iter()
            .any(|one| one["request_id"] == id && one["status"] == "rejected")
    })
    .await;
    without_complaints(&browser).await;
}
