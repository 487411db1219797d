//! Clocks that jump, computers that sleep, processes that stand still.

use std::path::PathBuf;
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::support::{Workspace, World, drain, inbox_is_empty, next_message, pop, signal, start, until};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// What the daemons of a folder believe about the time.
struct Clocks(PathBuf);

impl Clocks {
    fn of(workspace: &Workspace) -> Self {
        let clocks = Self(workspace.folder.with_extension("clocks"));
        clocks.jump(0, 0);
        clocks
    }

    /// How far the wall clock has jumped, and how long the computer has slept, both in seconds.
    fn jump(&self, wall: i64, asleep: i64) {
        let draft = self.0.with_extension("draft");
        std::fs::write(&draft, format!("{wall} {asleep}")).unwrap();
        std::fs::rename(draft, &self.0).unwrap();
    }

    fn command(&self, world: &World, workspace: &Workspace) -> Command {
        let mut command = world.command(workspace);
        command.env("MOLECULE_TEST_CLOCK", &self.0);
        command
    }
}

async fn online(world: &World, workspace: &Workspace, command: Command) -> McpChild {
    let daemon = start(command).await;
    until("the workspace is online", || async {
        world.status(workspace).await == "online"
    })
    .await;
    daemon
}

async fn beats(world: &World) -> Vec<i64> {
    let beats = world.requests("heartbeat").await;
    beats.iter().map(|beat| beat["time_ms"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn a_process_that_stood_still_beats_once_and_reads_on() {
    // A beat every two seconds, so that two of them can be told apart on a busy computer.
    let world = World::new().await.at_speed(10);
    let workspace = world.workspace("alpha").await;
    let clocks = Clocks::of(&workspace);
    let daemon = online(&world, &workspace, clocks.command(&world, &workspace)).await;
    world.say(&workspace, "before").await;
    assert_eq!(drain(&daemon, 1).await, ["before"]);

    let pid = daemon.id().unwrap();
    signal(pid, "STOP");
    for n in 0..3 {
        world.say(&workspace, &format!("meanwhile {n}")).await;
    }
    // Four intervals and more.
    sleep(Duration::from_secs(9)).await;
    clocks.jump(8 * HOUR, 8 * HOUR);
    let before = beats(&world).await.len();
    signal(pid, "CONT");
    assert_eq!(drain(&daemon, 3).await, ["meanwhile 0", "meanwhile 1", "meanwhile 2"]);
    until("three beats arrive", || async {
        beats(&world).await.len() >= before + 3
    })
    .await;
    let times = beats(&world).await[before..].to_vec();
    let close = times.windows(2).filter(|pair| pair[1] - pair[0] < 1000).count();
    assert_eq!(close, 0, "one at once, the others in their time: {times:?}");
    world.say(&workspace, "after").await;
    assert_eq!(drain(&daemon, 1).await, ["after"]);
}

/// After the sleep the old connections lead nowhere and nobody says so. At the usual speed, where the next read would be due
/// in 30 s, the next beat in 20 s, and each of them would first wait for an answer that never comes.
#[tokio::test]
async fn a_computer_that_slept_works_again_at_once() {
    let mut world = World::new().await.at_speed(1);
    let workspace = world.workspace("alpha").await;
    let clocks = Clocks::of(&workspace);
    let daemon = online(&world, &workspace, clocks.command(&world, &workspace)).await;
    world.say(&workspace, "before").await;
    assert_eq!(drain(&daemon, 1).await, ["before"]);
    until("the stream works", || async {
        let log = world.requests("events").await;
        !log.is_empty() && beats(&world).await.len() >= 2
    })
    .await;
    let before = beats(&world).await.len();

    world.swallow();
    world.answer_again();
    world.say(&workspace, "meanwhile").await;
    let woken = Instant::now();
    clocks.jump(8 * HOUR, 8 * HOUR);
    assert_eq!(drain(&daemon, 1).await, ["meanwhile"]);
    until("a beat arrives", || async { beats(&world).await.len() > before }).await;
    until("the stream is open again", || async {
        world.requests("events").await.len() >= 2
    })
    .await;
    let took = woken.elapsed();
    println!("works again after {took:?}");
    assert!(took < Duration::from_secs(10 + 5), "{took:?}\n{}", daemon.complaints());
    // The stream is the new one.
    world.say(&workspace, "hinted").await;
    assert_eq!(drain(&daemon, 1).await, ["hinted"]);
}

#[tokio::test]
async fn leases_end_by_the_time_that_passes_and_not_by_the_wall_clock() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let clocks = Clocks::of(&workspace);
    let command = || {
        let mut command = clocks.command(&world, &workspace);
        // Shortened by the test speed: half an hour.
        command.env("MOLECULE_LEASE_SECS", "86400");
        command
    };
    let one = online(&world, &workspace, command()).await;
    let two = start(command()).await;
    world.say(&workspace, "leased").await;
    let leased = next_message(&one).await;
    for wall in [400 * DAY, -400 * DAY, 0] {
        clocks.jump(wall, 0);
        let waited = two
            .call("wait_for_message", json!({ "timeout_secs": 1 }))
            .await
            .unwrap();
        assert_eq!(waited["timeout"], json!(true), "{wall}: {waited}");
        let listed = one.call("inbox_peek", json!({})).await.unwrap();
        assert_eq!(listed["messages"][0]["state"], "leased", "{wall}: {listed}");
    }
    // A night, of which no timer knows.
    clocks.jump(8 * HOUR, 8 * HOUR);
    let again = next_message(&two).await;
    assert_eq!(again["activity_id"], leased["activity_id"]);
    assert_eq!(again["delivery_count"], json!(2));
    assert_eq!(
        pop(&one, &leased).await["removed"],
        json!(false),
        "it is not its any more"
    );
    assert_eq!(pop(&two, &again).await["removed"], json!(true));
}

#[tokio::test]
async fn a_wall_clock_that_jumps_costs_nothing() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let clocks = Clocks::of(&workspace);
    let holder = online(&world, &workspace, clocks.command(&world, &workspace)).await;
    let follower = start(clocks.command(&world, &workspace)).await;
    let health = || async { follower.call("inbox_peek", json!({})).await.unwrap()["health"].clone() };
    until("the follower hears that all is well", || async {
        health().await.is_null()
    })
    .await;
    for (n, wall) in [HOUR, -HOUR, 400 * DAY, -400 * DAY, 0].into_iter().enumerate() {
        clocks.jump(wall, 0);
        assert_eq!(
            health().await,
            Value::Null,
            "{wall}: a working holder is not called silent"
        );
        let beats_before = beats(&world).await.len();
        world.say(&workspace, &format!("message {n}")).await;
        assert_eq!(drain(&follower, 1).await, [format!("message {n}")], "{wall}");
        until("beats go on", || async { beats(&world).await.len() > beats_before }).await;
        // A cursor that the platform does not know any more: how far to look back is a matter of time, too.
        let windows_before = windows(&world).await.len();
        world
            .fault(json!({ "route": "activity", "times": 1, "status": 410, "body": { "error": "since_id cursor not found" } }))
            .await;
        until("a window is read", || async {
            windows(&world).await.len() > windows_before
        })
        .await;
        assert!(inbox_is_empty(&holder).await, "{wall}: what was acknowledged stays so");
    }
    let windows = windows(&world).await;
    assert!(
        windows.iter().all(|secs| *secs <= 700),
        "by the platform's clock: {windows:?}"
    );
}

/// How many seconds each window reached back that was read.
async fn windows(world: &World) -> Vec<u64> {
    let reads = world.requests("activity").await;
    let secs = |read: &Value| {
        let query = read["query"].as_str()?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("since_secs="))?
            .parse()
            .ok()
    };
    reads.iter().filter_map(secs).collect()
}
