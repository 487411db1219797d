//! Faults, switched in the page.

use reqwest::Method;
use serde_json::json;

use super::support::World;
use super::{go, page_of, without_complaints};

#[tokio::test]
async fn a_fault_hits_agents_while_it_is_on_and_spares_the_page() {
    let world = World::new().await;
    let workspace = world.workspace("Alpha").await;
    let beat = || async {
        let body = json!({ "workspace_id": workspace.id });
        world
            .ask(Method::POST, "/registry/heartbeat", Some(&workspace.token), Some(body))
            .await
            .0
    };
    let Some(browser) = page_of(&world).await else { return };
    go(&browser, "#/faults").await;
    browser.click("//button[@aria-label='429 on heartbeat']").await;
    browser
        .until("document.querySelector('[aria-label=\"429 on heartbeat\"]').ariaPressed === 'true'")
        .await;
    assert_eq!(beat().await, 429);
    browser.click("//button[@aria-label='429 on heartbeat']").await;
    browser
        .until("document.querySelector('[aria-label=\"429 on heartbeat\"]').ariaPressed === 'false'")
        .await;
    assert_eq!(beat().await, 200);

    browser
        .click("//label[.='More routes']/following-sibling::select/option[starts-with(., '*')]")
        .await;
    browser.click("//button[@aria-label='503 on *']").await;
    browser
        .until("document.querySelector('[aria-label=\"503 on *\"]').ariaPressed === 'true'")
        .await;
    assert_eq!(beat().await, 503);
    go(&browser, "#/board").await;
    browser.until_shown(".card", "Alpha").await;
    go(&browser, "#/faults").await;
    browser.click("//button[.='Switch all off']").await;
    browser
        .until("document.querySelectorAll('[aria-pressed=true]').length === 0")
        .await;
    assert_eq!(beat().await, 200);
    without_complaints(&browser).await;
}
