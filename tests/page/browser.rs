//! A browser without a window, spoken to in the language of WebDriver: plain JSON over HTTP.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// How long a condition may take; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// One browser at a time: each takes several processes.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct Browser {
    http: reqwest::Client,
    session: String,
    driver: Child,
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

impl Browser {
    /// Starts a browser with an empty profile. `None`, and a line on stderr, when there is none on this computer.
    pub async fn start() -> Option<Self> {
        let (Some(driver), Some(browser)) = (
            on_path(&["chromedriver"]),
            on_path(&["chromium", "chromium-browser", "google-chrome"]),
        ) else {
            // Not `eprintln!`: what a passing test prints is not shown.
            let _ = std::io::stderr().write_all(
                b"SKIPPED: a test of the page, since there is no chromium with chromedriver on the PATH; .ci/run installs them\n",
            );
            return None;
        };
        let turn = TURN.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(driver);
        // A group of its own, so that the browser can be ended with its driver, whatever state they are in.
        command
            .arg("--port=0")
            // A browser that is killed leaves behind what it keeps there.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0);
        let mut driver = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines
                .next_line()
                .await
                .unwrap()
                .expect("the driver says where it listens");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        let mut new = Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            session: format!("http://127.0.0.1:{port}/session"),
            driver,
            folder,
            _turn: turn,
        };
        let profile = new.folder.path().join("profile").display().to_string();
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-GB",
            "--hide-scrollbars",
            format!("--user-data-dir={profile}"),
        ]);
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": browser, "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let made = new.ask(Method::POST, "", wanted).await;
        new.session = format!("{}/{}", new.session, made["sessionId"].as_str().unwrap());
        let downloads = json!({ "behavior": "allow", "downloadPath": new.downloads() });
        new.devtools("Browser.setDownloadBehavior", downloads).await;
        new.look(Look {
            width: 1200,
            height: 800,
            dark: false,
        })
        .await;
        Some(new)
    }

    pub async fn open(&self, url: &str) {
        self.ask(Method::POST, "/url", json!({ "url": url })).await;
    }

    pub async fn reload(&self) {
        self.ask(Method::POST, "/refresh", json!({})).await;
    }

    /// Runs a script in the page and returns what it returns.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.ask(
            Method::POST,
            "/execute/sync",
            json!({ "script": script, "args": arguments }),
        )
        .await
    }

    /// Waits until an expression is true in the page.
    pub async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        let script = format!("return Boolean({expression})");
        while self.run(&script, json!([])).await != true {
            if Instant::now() > deadline {
                let shown = self
                    .run("return document.body.innerText.slice(0, 3000)", json!([]))
                    .await;
                panic!(
                    "did not come true: {expression}\n{}",
                    shown.as_str().unwrap_or_default()
                );
            }
            sleep(Duration::from_millis(40)).await;
        }
    }

    /// Waits until the page shows this text somewhere in what a selector finds.
    pub async fn until_shown(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({selector})].some((found) => found.textContent.includes({text}))"
        ))
        .await;
    }

    /// Clicks as a person does: what is hidden or covered cannot be clicked, and what was just drawn anew is clicked again.
    pub async fn click(&self, xpath: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let element = self.find(xpath).await;
            let clicked = self
                .try_ask(Method::POST, &format!("/element/{element}/click"), json!({}))
                .await;
            if clicked["error"] != "stale element reference" || Instant::now() > deadline {
                assert!(clicked["error"].is_null(), "{xpath}: {clicked}");
                return;
            }
        }
    }

    /// Types into an element, or names a file to it.
    pub async fn type_into(&self, xpath: &str, text: &str) {
        let element = self.find(xpath).await;
        self.ask(
            Method::POST,
            &format!("/element/{element}/value"),
            json!({ "text": text }),
        )
        .await;
    }

    /// Presses the tabulator.
    pub async fn tab(&self) {
        let tab = json!([{ "type": "keyDown", "value": "\u{e004}" }, { "type": "keyUp", "value": "\u{e004}" }]);
        let keys = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": tab }] });
        self.ask(Method::POST, "/actions", keys).await;
    }

    /// Sets how the page is looked at from now on.
    pub async fn look(&self, look: Look) {
        let size = json!({ "width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if look.dark { "dark" } else { "light" };
        let media = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme }, { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    /// A picture of what is shown, as PNG.
    pub async fn picture(&self) -> Vec<u8> {
        let picture = self.ask(Method::GET, "/screenshot", Value::Null).await;
        BASE64_STANDARD.decode(picture.as_str().unwrap()).unwrap()
    }

    /// Where downloads go.
    pub fn downloads(&self) -> PathBuf {
        self.folder.path().join("downloads")
    }

    /// What the console of the page was told since the last time: errors, violations of its policy, failed requests.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.ask(Method::POST, "/se/log", json!({ "type": "browser" })).await;
        log.as_array()
            .unwrap()
            .iter()
            .map(|line| format!("{} {}", line["level"], line["message"]))
            .collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.ask(
            Method::POST,
            "/goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        )
        .await;
    }

    async fn find(&self, xpath: &str) -> String {
        let script = "return document.evaluate(arguments[0], document, null, 9, null).singleNodeValue !== null";
        let deadline = Instant::now() + PATIENCE;
        while self.run(script, json!([xpath])).await != true {
            assert!(Instant::now() < deadline, "not in the page: {xpath}");
            sleep(Duration::from_millis(40)).await;
        }
        let found = self
            .ask(Method::POST, "/element", json!({ "using": "xpath", "value": xpath }))
            .await;
        // The name that the standard gives to references.
        found["element-6066-11e4-a52e-4f735466cecf"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let value = self.try_ask(method, path, body).await;
        assert!(
            value["error"].is_null(),
            "{path}: {}: {}",
            value["error"],
            value["message"]
        );
        value
    }

    /// What the driver answers, a refusal included.
    async fn try_ask(&self, method: Method, path: &str, body: Value) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.session));
        let request = if body.is_null() { request } else { request.json(&body) };
        let mut answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(group) = self.driver.id() {
            let _ = std::process::Command::new("kill")
                .args(["-KILL", "--", &format!("-{group}")])
                .status();
            // Their folder cannot be removed while they still write to it.
            for _ in 0..500 {
                let reaped = matches!(self.driver.try_wait(), Ok(Some(_)));
                let mut look = std::process::Command::new("kill");
                let alive = look
                    .args(["-0", "--", &format!("-{group}")])
                    .stderr(Stdio::null())
                    .status();
                if reaped && !alive.is_ok_and(|status| status.success()) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let candidates = names
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)));
    candidates
        .into_iter()
        .find(|candidate: &PathBuf| Path::is_file(candidate))
}
