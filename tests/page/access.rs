//! For people who see, point or read otherwise.

use molecule_mcp::local_platform::Level;
use reqwest::Method;
use serde_json::{Value, json};

use super::browser::{Browser, Look};
use super::support::{Workspace, World};
use super::{go, page_of, without_complaints};

/// What is wrong with the page as it is shown: controls without a name, ids that repeat, things wider than the window, and
/// text that is hard to tell from its ground (a contrast under 4.5).
const PROBLEMS: &str = r#"
    const problems = [];
    const seen = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
    for (const control of document.querySelectorAll('a, button, input, select, textarea, [tabindex="0"]')) {
        const name = control.ariaLabel || control.labels?.[0]?.textContent || control.textContent;
        if (seen(control) && !name.trim()) problems.push(`no name: ${control.outerHTML.slice(0, 120)}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) problems.push(`twice: ${id}`);
    if (!document.documentElement.lang || !document.title) problems.push('no language or title');
    if (document.documentElement.scrollWidth > innerWidth) problems.push(`wider than the window: ${document.documentElement.scrollWidth}`);
    const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const groundOf = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = parse(getComputedStyle(at).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !seen(element) || element.closest('.hidden, .skip, option')) continue;
        const [one, other] = [light(parse(getComputedStyle(element).color)), light(groundOf(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        if (contrast < 4.5) problems.push(`contrast ${contrast.toFixed(1)}: ${element.outerHTML.slice(0, 120)}`);
    }
    return problems;
"#;

/// Something that waits for the person.
async fn ask(world: &World, workspace: &Workspace, title: &str) {
    let ask = json!({ "kind": "approval", "recipient_type": "user", "title": title, "detail": title });
    let path = format!("/workspaces/{}/requests", workspace.id);
    world.ok(Method::POST, &path, Some(&workspace.token), Some(ask)).await;
}

async fn problems(browser: &Browser) -> Value {
    browser.run(PROBLEMS, json!([])).await
}

#[tokio::test]
async fn every_view_is_named_legible_and_fits_in_light_dark_and_400_pixels() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("Reviewer").await;
    world.say(&workspace, &format!("A word. {}", "long".repeat(200))).await;
    ask(&world, &workspace, &"long".repeat(70)).await;
    let Some(browser) = page_of(&world).await else { return };
    let id = &workspace.id;
    let views = [
        "#/board",
        &format!("#/chat/{id}"),
        "#/chat",
        "#/requests",
        "#/traffic",
        &format!("#/setup/{id}"),
        "#/setup/new",
        "#/faults",
    ];
    for (width, dark) in [(1200, false), (1200, true), (400, false)] {
        browser
            .look(Look {
                width,
                height: 800,
                dark,
            })
            .await;
        for view in views {
            go(&browser, view).await;
            if view == "#/requests" {
                browser.until("document.querySelector('.asks textarea')").await;
            }
            assert_eq!(problems(&browser).await, json!([]), "{view} at {width}, dark: {dark}");
        }
    }
    without_complaints(&browser).await;
}

#[tokio::test]
async fn every_control_is_reached_with_the_tabulator_and_can_be_seen_there() {
    let world = World::at(Level::C).await;
    let workspace = world.workspace("Reviewer").await;
    world.say(&workspace, "A word").await;
    ask(&world, &workspace, "May I?").await;
    let Some(browser) = page_of(&world).await else { return };
    for view in [
        "#/board",
        &format!("#/chat/{}", workspace.id),
        "#/requests",
        "#/traffic",
        "#/setup/new",
    ] {
        go(&browser, view).await;
        browser.until("document.querySelector('main :is(a, button)')").await;
        let controls = "return [...document.querySelectorAll('a, button, input, select, textarea')]
            .filter((control) => control.tabIndex >= 0 && control.checkVisibility()).length";
        let count = browser.run(controls, json!([])).await.as_u64().unwrap();
        browser
            .run("window.reached = new Set(); document.activeElement.blur()", json!([]))
            .await;
        for _ in 0..count + 8 {
            browser.tab().await;
            let note = "const at = document.activeElement;
                if (!at.matches('a, button, input, select, textarea')) return true;
                window.reached.add(at);
                return at.matches('.hidden') || getComputedStyle(at).outlineStyle !== 'none';";
            assert_eq!(
                browser.run(note, json!([])).await,
                true,
                "the focus cannot be seen in {view}"
            );
        }
        let reached = browser.run("return window.reached.size", json!([])).await;
        assert!(reached.as_u64().unwrap() >= count, "{view}: {reached} of {count}");
    }
}
