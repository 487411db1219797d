//! The page of the embedded platform in a real browser, with real daemons behind it.
#![allow(missing_docs, unreachable_pub, dead_code, clippy::unwrap_used, clippy::print_stdout)]

mod access;
mod board;
mod browser;
mod chat;
mod faults;
mod hostile;
mod pictures;
mod requests;
mod setup;
#[path = "../end_to_end/support.rs"]
mod support;
mod traffic;

use browser::Browser;
use support::World;

/// A browser on the page of a world; `None` where there is no browser.
async fn page_of(world: &World) -> Option<Browser> {
    let browser = Browser::start().await?;
    browser.open(world.page()).await;
    browser.until("document.querySelector('main h1')").await;
    Some(browser)
}

/// Goes to a view, as a link does.
async fn go(browser: &Browser, view: &str) {
    browser
        .run("location.hash = arguments[0]", serde_json::json!([view]))
        .await;
    let name = view.split('/').nth(1).unwrap_or_default();
    browser
        .until(&format!("document.querySelector('nav a[aria-current=page]').hash === '#/{name}' && document.querySelector('main h1')"))
        .await;
}

/// Nothing went wrong that a person would not have seen.
async fn without_complaints(browser: &Browser) {
    assert_eq!(browser.complaints().await, Vec::<String>::new());
}
