//! A hostile platform. One route of it is answered wrongly in every way of a table; the others are the embedded platform. However
//! it is answered: no panic, no more than a request a second, and whatever is said before, meanwhile and after arrives once.
//!
//! Each daemon is the real program and meets several wrong answers, each at a workspace of its own: workspaces at different
//! addresses share nothing but the process and its journal, so they tell as much as daemons of their own and cost a tenth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use molecule_mcp::cli::demo::client::McpChild;
use molecule_mcp::local_platform::Level;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::support::{Workspace, World, bare_command, pop, start};
use kinds::{Kind, Outcome, Place, kinds};
use proxy::{Route, Trap, Way};

mod kinds;
mod memory;
mod proxy;

/// Intervals are this much shorter; what deadlines and platforms ask for is not.
const SPEED: u32 = 10;
/// How long each wrong answer is given: long enough for a hot loop to show.
const FAULT: Duration = Duration::from_secs(3);
/// What is allowed besides a request a second: beginnings, and what one message sets off.
const BURST: usize = 40;
/// Of the wrong answers that are wrong for every route, each route meets one in so many in an ordinary run, each another one.
const EACH: usize = 3;
/// How many wrong answers one daemon meets, each with a workspace of its own.
const TOGETHER: usize = 16;
/// How many daemons of a route run at once.
const AT_ONCE: usize = 3;
/// How long anything may take that must happen. Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_to_register() {
    hold_out(Route::Register, Level::C).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_to_heartbeat() {
    hold_out(Route::Heartbeat, Level::B).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_to_poll() {
    hold_out(Route::Poll, Level::C).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_to_stream() {
    hold_out(Route::Stream, Level::B).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_instead_of_a_delegation() {
    hold_out(Route::Delegate, Level::B).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_after_a_delegation() {
    hold_out(Route::Delegated, Level::C).await;
}

/// One wrong answer and the workspace that meets it.
struct Case {
    kind: Kind,
    workspace: Workspace,
    way: Way,
}

/// What the agent was shown: the texts by workspace, in the order of arrival.
type Shown = Arc<Mutex<HashMap<String, Vec<String>>>>;

async fn hold_out(route: Route, level: Level) {
    let world = World::at(level).await;
    let trap = Trap::set().await;
    let sink = world.workspace("sink").await;
    let cases = cases(&world, route, &trap, &sink).await;
    let meeting = cases.chunks(TOGETHER).map(|cases| meet(&world, route, &sink, cases));
    let failures: Vec<Vec<String>> = futures_util::stream::iter(meeting)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut failures: Vec<String> = failures.into_iter().flatten().collect();
    failures.extend(
        trap.caught()
            .iter()
            .map(|head| format!("somebody was led away: {head}")),
    );
    assert!(
        failures.is_empty(),
        "{route:?}, {} wrong of {}:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    println!("{route:?}: {} wrong answers", cases.len());
}

/// One daemon meets some of the cases, and what went wrong is said.
async fn meet(world: &World, route: Route, sink: &Workspace, cases: &[Case]) -> Vec<String> {
    // In memory, where there is such a place: so many workspaces on one disk would wait for it, and for nothing else.
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    for case in cases {
        world.say(&case.workspace, "before").await;
    }
    let daemon = Arc::new(start(command(cases, folder.path())).await);
    let shown = Shown::default();
    let listening = tokio::spawn(listen(
        Arc::clone(&daemon),
        Arc::clone(&shown),
        cases[0].workspace.id.clone(),
    ));
    let failures = join_all(cases.iter().map(|case| case.run(world, route, &daemon, &shown, sink))).await;
    let mut failures: Vec<String> = failures.into_iter().flatten().collect();
    listening.abort();
    let _ = listening.await;
    let complaints = daemon.complaints();
    if complaints.contains("panicked") {
        failures.push(format!("a panic:\n{complaints}"));
    }
    let mut daemon = Arc::into_inner(daemon).expect("nobody else holds it");
    // Not told to go: what it knows must be on the disk.
    daemon.kill().await.unwrap();

    // Another one finds what the first could not have, and nothing that was acknowledged.
    for case in cases {
        case.way.no_fault();
    }
    let daemon = Arc::new(start(command(cases, folder.path())).await);
    let listening = tokio::spawn(listen(
        Arc::clone(&daemon),
        Arc::clone(&shown),
        cases[0].workspace.id.clone(),
    ));
    let failures_then = join_all(cases.iter().map(|case| case.find_all(&shown))).await;
    failures.extend(failures_then.into_iter().flatten());
    listening.abort();
    failures
}

async fn cases(world: &World, route: Route, trap: &Trap, sink: &Workspace) -> Vec<Case> {
    let place = |own: &str, here: &str| Place {
        own: own.to_owned(),
        other: sink.id.clone(),
        trap: trap.url.clone(),
        here: here.to_owned(),
    };
    let all = kinds(route, &place("", ""));
    let mut cases = Vec::new();
    // All of them, or a part of the names of those to look at; else as many as there is time for in every run of all tests.
    let only = std::env::var("HOSTILE").ok();
    let chosen = |n: &usize| match only.as_deref() {
        Some("all") => true,
        Some(part) => all[*n].name.contains(part),
        None => !all[*n].is_common || n % EACH == route as usize % EACH,
    };
    for n in (0..all.len()).filter(chosen) {
        let workspace = world.workspace(&format!("w{n}")).await;
        let (way, reply) = Way::to(world.url(), route, route == Route::Register).await;
        let kind = kinds(route, &place(&workspace.id, &way.url)).swap_remove(n);
        reply.send_replace(Arc::new(kind.reply.clone()));
        cases.push(Case { kind, workspace, way });
    }
    cases
}

fn command(cases: &[Case], folder: &std::path::Path) -> tokio::process::Command {
    let entry =
        |case: &Case| json!({ "id": case.workspace.id, "token": case.workspace.token, "platform_url": case.way.url });
    let list: Vec<Value> = cases.iter().map(entry).collect();
    let mut command = bare_command();
    command
        .env("PLATFORM_URL", &cases[0].way.url)
        .env("MOLECULE_WORKSPACES", Value::from(list).to_string())
        .env("CONFIGS_DIR", folder)
        .env("MOLECULE_TEST_SPEED", SPEED.to_string());
    command
}

/// The agent: takes and acknowledges whatever comes. A daemon that serves one workspace only does not say which.
async fn listen(daemon: Arc<McpChild>, shown: Shown, only: String) {
    loop {
        let wait = json!({ "timeout_secs": 300 });
        let message = match daemon.call("wait_for_message", wait).await {
            Ok(message) => message,
            Err(error) => {
                println!("the agent waits no more: {error}");
                return;
            }
        };
        let Some(text) = message["text"].as_str() else {
            // A rest, when there is trouble to tell and nothing else.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let text = text.to_owned();
        let workspace = message["arrival_workspace_id"].as_str().unwrap_or(&only).to_owned();
        pop(&daemon, &message).await;
        shown.lock().unwrap().entry(workspace).or_default().push(text);
    }
}

impl Case {
    /// What went wrong, if anything did.
    async fn run(
        &self,
        world: &World,
        route: Route,
        daemon: &McpChild,
        shown: &Shown,
        sink: &Workspace,
    ) -> Option<String> {
        let name = &self.kind.name;
        let failed = |what: String| Some(format!("{route:?}, {name}: {what}"));
        match timeout(PATIENCE, self.meet(world, route, daemon, shown, sink)).await {
            Ok(Ok(())) => None,
            Ok(Err(what)) => failed(what),
            Err(_) => failed(format!(
                "not over in time; shown {:?}, asked {:?}",
                self.shown(shown),
                self.way.counts()
            )),
        }
    }

    async fn meet(
        &self,
        world: &World,
        route: Route,
        daemon: &McpChild,
        shown: &Shown,
        sink: &Workspace,
    ) -> Result<(), String> {
        let name = &self.kind.name;
        if route == Route::Register {
            self.way.until_wronged(1).await;
        } else {
            self.until_shown(shown, "before").await;
        }
        let begun = Instant::now();
        self.way.fault();
        world.say(&self.workspace, "meanwhile").await;
        let mut handle = Value::Null;
        if matches!(route, Route::Delegate | Route::Delegated) {
            let task = json!({ "source_workspace_id": self.workspace.id, "workspace_id": sink.id, "task": name });
            match daemon.call("delegate_task_async", task).await {
                Ok(given) => handle = given["handle"].clone(),
                Err(refused) if self.kind.outcome == Outcome::Believed => return Err(refused),
                Err(_) => {}
            }
        }
        if !matches!(route, Route::Register | Route::Poll) {
            self.until_shown(shown, "meanwhile").await;
        }
        sleep(FAULT.saturating_sub(begun.elapsed())).await;
        self.way.until_wronged(1).await;
        let asked = self.way.asked_since(begun).len();
        let allowed = BURST + begun.elapsed().as_secs() as usize * SPEED as usize;
        if asked > allowed {
            return Err(format!(
                "asked {asked} times in {:?} at {SPEED} times the speed",
                begun.elapsed()
            ));
        }
        self.way.no_fault();
        world.say(&self.workspace, "after").await;
        match self.kind.outcome {
            Outcome::Rests | Outcome::GivenUp => return Ok(()),
            Outcome::GoesOn | Outcome::Believed => {}
        }
        for text in ["before", "meanwhile", "after"] {
            self.until_shown(shown, text).await;
        }
        self.until_beating().await;
        if !handle.is_null() {
            self.judge_delegation(world, route, daemon, &handle, sink).await?;
        }
        Ok(())
    }

    /// The task arrived once, or not at all if that was said.
    async fn judge_delegation(
        &self,
        world: &World,
        route: Route,
        daemon: &McpChild,
        handle: &Value,
        sink: &Workspace,
    ) -> Result<(), String> {
        let asked = json!({ "task_id": handle, "source_workspace_id": self.workspace.id });
        let status = loop {
            let status = daemon.call("check_task_status", asked.clone()).await?;
            if status["status"] != "sending" && status["status"] != "pending" {
                break status;
            }
            sleep(Duration::from_millis(200)).await;
        };
        let path = format!("/workspaces/{}/activity?type=a2a_receive&limit=500", sink.id);
        let rows = world.ok(Method::GET, &path, Some(&sink.token), None).await;
        let is_it = |row: &&Value| row["source_id"] == json!(self.workspace.id);
        let arrived = rows.as_array().unwrap().iter().filter(is_it).count();
        let (least, most) = match (route, self.kind.outcome, status["status"].as_str()) {
            (Route::Delegated, ..) => (1, 1),
            (_, Outcome::Believed, _) => (0, 1),
            (_, _, Some("failed")) => (0, 0),
            (_, _, Some("unknown")) => (0, 1),
            _ => (1, 1),
        };
        if (least..=most).contains(&arrived) {
            Ok(())
        } else {
            Err(format!("the task arrived {arrived} times and is told as {status}"))
        }
    }

    /// Whether another process of the folder finds everything, and shows nothing again.
    async fn find_all(&self, shown: &Shown) -> Option<String> {
        let finding = async {
            for text in ["before", "meanwhile", "after"] {
                self.until_shown(shown, text).await;
            }
            self.until_beating().await;
        };
        let found = timeout(PATIENCE, finding).await;
        let mut ours = self.shown(shown);
        ours.retain(|text| ["before", "meanwhile", "after"].contains(&text.as_str()));
        (found.is_err() || ours.len() != 3).then(|| {
            format!(
                "{}: shown in the end: {ours:?}, asked {:?}",
                self.kind.name,
                self.way.counts()
            )
        })
    }

    /// Waits for two beats that reach the platform from now on.
    async fn until_beating(&self) {
        let beats = self.way.beats();
        while self.way.beats() < beats + 2 {
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_shown(&self, shown: &Shown, text: &str) {
        while !self.shown(shown).iter().any(|seen| seen == text) {
            sleep(Duration::from_millis(25)).await;
        }
    }

    fn shown(&self, shown: &Shown) -> Vec<String> {
        let shown = shown.lock().unwrap();
        shown.get(&self.workspace.id).cloned().unwrap_or_default()
    }
}
