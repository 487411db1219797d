//! The pictures of the documentation: `docs/screenshots.sh` keeps them, and every run makes sure that they can be made.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::browser::{Browser, Look};
use super::support::{World, next_message, start};
use super::{go, page_of, without_complaints};

/// Where to keep the pictures; without it they are made and looked at by nobody.
const FOLDER: &str = "PAGE_PICTURES";
const LARGEST: usize = 120_000;
/// Those that the documentation shows; the others only have to be possible.
const KEPT: [&str; 6] = ["board", "board-dark", "chat", "requests", "traffic", "traffic-400"];

/// Three agents at work, below one that leads them.
async fn scene(world: &World) -> (String, Vec<molecule_mcp::cli::demo::client::McpChild>) {
    let agents = [
        (
            "Lead",
            "Claude Code",
            "Plans the release and hands out the work",
            "planning,release notes",
        ),
        ("Builder", "Codex", "Writes the code and its tests", "rust,sqlite"),
        ("Reviewer", "Gemini CLI", "Reads what others wrote", "review,security"),
    ];
    let mut workspaces = Vec::new();
    let mut daemons = Vec::new();
    for (name, client, about, skills) in agents {
        let workspace = world.workspace(name).await;
        let mut command = world.command(&workspace);
        command
            .env("MOLECULE_AGENT_NAME", client)
            .env("MOLECULE_AGENT_DESCRIPTION", about)
            .env("MOLECULE_AGENT_SKILLS", skills);
        daemons.push(start(command).await);
        workspaces.push(workspace);
    }
    let tester = world.workspace("Tester").await;
    let [lead, builder, reviewer] = &workspaces[..] else {
        unreachable!("three were made")
    };
    for below in [builder, reviewer, &tester] {
        let path = format!("/workspaces/{}", below.id);
        let change = json!({ "parent_id": lead.id, "role": "Tries to break it" });
        world
            .ok(reqwest::Method::PATCH, &path, Some(world.admin()), Some(change))
            .await;
    }
    let [leads, _, reviews] = &daemons[..] else {
        unreachable!("three were started")
    };
    world
        .say(
            lead,
            "Please get 0.4 ready: the changelog, and a review of the retry code.",
        )
        .await;
    let message = next_message(leads).await;
    let answer = json!({ "activity_id": message["activity_id"], "text": "On it. Builder drafts the changelog, Reviewer looks at the retry code." });
    leads.call("reply_to_message", answer).await.unwrap();
    for (to, task) in [
        (reviewer, "Is the backoff capped, and does Retry-After win?"),
        (builder, "Draft the changelog of 0.4"),
        (&tester, "Run the storm test"),
    ] {
        let task = json!({ "workspace_id": to.id, "task": task });
        leads.call("delegate_task_async", task).await.unwrap();
    }
    let message = next_message(reviews).await;
    let answer = json!({ "activity_id": message["activity_id"], "text": "Both. One finding: the jitter is drawn once per call, not per attempt." });
    reviews.call("reply_to_message", answer).await.unwrap();
    next_message(leads).await;
    world.say(lead, "And the jitter?").await;
    for (action, reason) in [
        (
            "Publish 0.4 to the internal registry",
            "All tests are green, and the changelog is written. It cannot be taken back.",
        ),
        ("Delete the branch retry-jitter", "It is merged."),
    ] {
        let ask = json!({ "action": action, "reason": reason });
        leads.call("create_approval", ask).await.unwrap();
    }
    (lead.id.clone(), daemons)
}

#[tokio::test]
async fn the_pictures_of_the_documentation_can_be_made() {
    let world = World::new().await;
    let Some(browser) = page_of(&world).await else { return };
    let (lead, _daemons) = scene(&world).await;
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let wide = Look {
        width: 1000,
        height: 600,
        dark: false,
    };
    let narrow = Look {
        width: 400,
        height: 720,
        dark: false,
    };
    let dark = Look { dark: true, ..wide };
    let chat = format!("#/chat/{lead}");
    for (name, view, look, shown) in [
        ("board", "#/board", wide, "active task"),
        ("board-dark", "#/board", dark, "active task"),
        ("board-400", "#/board", narrow, "active task"),
        ("chat", &chat, wide, "Answered"),
        ("chat-dark", &chat, dark, "Answered"),
        ("chat-400", &chat, narrow, "Answered"),
        ("requests", "#/requests", wide, "Publish 0.4"),
        ("requests-dark", "#/requests", dark, "Publish 0.4"),
        ("requests-400", "#/requests", narrow, "Publish 0.4"),
        ("traffic", "#/traffic", wide, "Completed"),
        ("traffic-dark", "#/traffic", dark, "Completed"),
        ("traffic-400", "#/traffic", narrow, "Completed"),
    ] {
        browser.look(look).await;
        go(&browser, view).await;
        browser.until_shown("main", shown).await;
        take(&browser, folder.as_deref(), name).await;
    }
    without_complaints(&browser).await;
}

async fn take(browser: &Browser, folder: Option<&Path>, name: &str) {
    browser
        .run("document.activeElement.blur(); scrollTo(0, 0)", json!([]))
        .await;
    let picture = browser.picture().await;
    assert!(picture.starts_with(b"\x89PNG"), "{name}");
    assert!(picture.len() < LARGEST, "{name}: {} bytes", picture.len());
    if let Some(folder) = folder.filter(|_| KEPT.contains(&name)) {
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }
}
