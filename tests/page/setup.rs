//! Setting workspaces up, on a platform started as a user does.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr};

use super::browser::Browser;
use super::support::{bare_command, start, until};
use super::without_complaints;

/// `molecule-mcp platform`, and what it said.
struct Started {
    _child: Child,
    url: String,
    page: String,
    data: TempDir,
    _stderr: BufReader<ChildStderr>,
}

async fn platform() -> Started {
    let data = tempfile::tempdir().unwrap();
    let mut command = bare_command();
    command
        .args(["platform", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path());
    command
        .env("HOME", data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("Make a workspace") {
        assert_ne!(stderr.read_line(&mut said).await.unwrap(), 0, "{said}");
    }
    let behind = |words: &str| said.split_once(words).unwrap().1.lines().next().unwrap().to_owned();
    Started {
        url: behind("Embedded platform at "),
        _child: child,
        page: behind("for a browser on this computer: "),
        data,
        _stderr: stderr,
    }
}

impl Started {
    /// The one state folder there is.
    fn folder(&self) -> PathBuf {
        let entries = fs::read_dir(self.data.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries.into_iter().find(|path| path.is_dir()).unwrap()
    }
}

#[tokio::test]
async fn a_workspace_is_made_connected_paused_resumed_and_deleted() {
    let Some(browser) = Browser::start().await else { return };
    let platform = platform().await;
    browser.open(&platform.page).await;
    browser.click("//a[.='Make a workspace']").await;
    browser
        .type_into("//label[.='Name']/following-sibling::input", "Reviewer")
        .await;
    browser.click("//button[.='Make the workspace']").await;
    browser.until_shown(".code", "mcpServers").await;
    let id = browser
        .run("return location.hash.split('/')[2]", json!([]))
        .await
        .as_str()
        .unwrap()
        .to_owned();

    let folder = platform.folder();
    for (client, name) in [
        ("Any client", None),
        ("Codex", Some("codex")),
        ("Claude Code", Some("claude-code")),
    ] {
        browser.click(&format!("//button[@role='tab' and .='{client}']")).await;
        let mut install = bare_command();
        install.env("HOME", platform.data.path()).env("CONFIGS_DIR", &folder);
        install.env("PLATFORM_URL", &platform.url).env("WORKSPACE_ID", &id);
        let printed = install.arg("install").args(name).arg("--print").output().await.unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.contains(&id), "{printed}");
        let shown = browser
            .run("return document.querySelector('.code').textContent", json!([]))
            .await;
        assert_eq!(shown.as_str().unwrap(), printed, "{client}");
    }

    let mut command = bare_command();
    command
        .env("PLATFORM_URL", &platform.url)
        .env("WORKSPACE_ID", &id)
        .env("CONFIGS_DIR", &folder);
    command
        .env("MOLECULE_TEST_SPEED", "50")
        .env("HOME", platform.data.path());
    let daemon = start(command).await;
    browser.until_shown(".sheet > header", "Online").await;
    browser.click("//button[.='Pause']").await;
    browser.click("//dialog//button[.='Pause']").await;
    browser.until_shown(".sheet > header", "Paused").await;
    browser.click("//button[.='Resume']").await;
    browser.until_shown(".sheet > header", "Online").await;
    drop(daemon);

    browser.click("//button[.='Delete']").await;
    browser.until_shown("#dialog", "Delete Reviewer?").await;
    browser.click("//dialog//button[.='Cancel']").await;
    browser.until("!document.getElementById('dialog').open").await;
    browser.click("//button[.='Delete']").await;
    browser.click("//dialog//button[.='Delete']").await;
    browser.until_shown("main", "New workspace").await;
    browser.until("!document.querySelector('.side li')").await;
    without_complaints(&browser).await;
}

#[tokio::test]
async fn a_token_is_shown_once_and_revoked_for_good() {
    let Some(browser) = Browser::start().await else { return };
    let platform = platform().await;
    browser.open(&platform.page).await;
    browser.click("//a[.='Make a workspace']").await;
    browser
        .type_into("//label[.='Name']/following-sibling::input", "Prüfer \"eins\"")
        .await;
    browser.click("//button[.='Make the workspace']").await;
    browser.click("//button[.='Mint a token']").await;
    browser.until("document.querySelector('.once input')").await;
    let token = browser
        .run("return document.querySelector('.once input').value", json!([]))
        .await;
    let token = token.as_str().unwrap();
    assert_eq!(token.len(), 43);
    let id = browser.run("return location.hash.split('/')[2]", json!([])).await;
    let url = format!("{}/workspaces/{}/activity", platform.url, id.as_str().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let status = || async {
        http.get(&url)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(status().await, 200);
    browser.click("//button[.='Keep in the state folder']").await;
    let kept = platform.folder().join(".auth_token");
    until("the token is kept", || async {
        fs::read_to_string(&kept).unwrap_or_default().trim() == token
    })
    .await;

    browser.reload().await;
    browser.until_shown("table", &token[..8]).await;
    assert_eq!(
        browser
            .run("return document.body.innerHTML.includes(arguments[0])", json!([token]))
            .await,
        false
    );
    browser
        .click(&format!("//button[@aria-label='Revoke token {}']", &token[..8]))
        .await;
    browser.click("//dialog//button[.='Revoke']").await;
    browser
        .until("document.querySelectorAll('tbody tr').length === 1")
        .await;
    assert_eq!(status().await, 401);
    without_complaints(&browser).await;
}
