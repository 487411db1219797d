//! The board: who is there, live.

use super::support::{World, until};
use super::{page_of, without_complaints};

#[tokio::test]
async fn a_workspace_comes_online_while_the_page_is_open_and_leaves_again() {
    let world = World::new().await;
    let Some(browser) = page_of(&world).await else { return };
    browser.until_shown("main", "No workspace yet").await;
    let workspace = world.workspace("Reviewer").await;
    let card = format!("[data-id='{}']", workspace.id);
    browser.until_shown(&card, "Awaiting agent").await;
    browser.until_shown(&card, "no beat yet").await;
    let mut command = world.command(&workspace);
    command
        .env("MOLECULE_AGENT_NAME", "Ann")
        .env("MOLECULE_AGENT_DESCRIPTION", "Reads what others wrote")
        .env("MOLECULE_AGENT_SKILLS", "review,security");
    let daemon = super::support::start(command).await;
    for text in ["Online", "Ann", "Reads what others wrote", "security", "beat 0 s ago"] {
        browser.until_shown(&card, text).await;
    }
    browser.until_shown(".summary", "1 workspace · 1 online").await;
    drop(daemon);
    world.delete(&workspace).await;
    browser.until_shown("main", "No workspace yet").await;
    browser.click("//label[contains(., 'Show removed')]").await;
    browser.until_shown(&card, "Removed").await;
    without_complaints(&browser).await;
}

#[tokio::test]
async fn children_are_shown_below_their_parent() {
    let world = World::new().await;
    let lead = world.workspace("Lead").await;
    let helper = world.workspace("Helper").await;
    let above = serde_json::json!({ "parent_id": lead.id });
    let path = format!("/workspaces/{}", helper.id);
    world
        .ok(reqwest::Method::PATCH, &path, Some(world.admin()), Some(above))
        .await;
    let Some(browser) = page_of(&world).await else { return };
    browser.until_shown(".family > .branch [data-id]", "Helper").await;
    browser.until_shown(".family > [data-id]", "Lead").await;
}

#[tokio::test]
async fn the_page_comes_back_with_the_platform_or_says_that_its_session_is_over() {
    let mut world = World::durable().await;
    let Some(browser) = page_of(&world).await else { return };
    world.go_down().await;
    browser.until_shown("#live", "Not connected").await;
    world.come_back().await;
    browser.until_shown("main", "This page has no session").await;
    browser.open(world.page()).await;
    browser.until_shown("#live", "Live").await;
    // The token must not stay where a history or a shared screen shows it.
    until("the token is out of the address", || async {
        browser.run("return location.href", serde_json::json!([])).await == format!("{}/_page/#/board", world.url())
    })
    .await;
}
