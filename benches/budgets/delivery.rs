//! From the person's message to the answer of `wait_for_message`.

use std::time::{Duration, Instant};

use molecule_mcp::cli::demo::client::McpChild;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Plan;
use super::support::{Workspace, World, next_message, pop};
use super::table::{Budget, Sample, Table};

/// Between two messages, so that each meets a daemon at rest, and hints stay rarer than two a second.
const PAUSE: Duration = Duration::from_millis(600);

async fn once(world: &World, workspace: &Workspace, daemon: &McpChild) -> Duration {
    sleep(PAUSE).await;
    let (arrived, begun) = tokio::join!(
        async {
            let message = next_message(daemon).await;
            (Instant::now(), message)
        },
        async {
            // Until the call waits.
            sleep(Duration::from_millis(20)).await;
            let begun = Instant::now();
            world.say(workspace, "hello").await;
            begun
        },
    );
    let took = arrived.0 - begun;
    pop(daemon, &arrived.1).await;
    took
}

/// The floor: the message is written, and at once read by a client that knows when.
async fn bare(world: &World, workspace: &Workspace) -> Duration {
    let begun = Instant::now();
    world.say(workspace, "hello").await;
    let path = format!("/workspaces/{}/activity?type=a2a_receive&limit=1", workspace.id);
    let rows = world.ok(Method::GET, &path, Some(&workspace.token), None).await;
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    begun.elapsed()
}

pub async fn measure(plan: &Plan, table: &mut Table) {
    let world = World::new().await.at_speed(1);
    let (alpha, floors) = (world.workspace("alpha").await, world.workspace("floor").await);
    let holder = world.online(&alpha).await;
    let follower = world.daemon(&alpha).await;
    let (mut with_stream, mut stands_by, mut floor) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..(plan.repeat + 5) {
        let (held, followed) = (
            once(&world, &alpha, &holder).await,
            once(&world, &alpha, &follower).await,
        );
        let least = bare(&world, &floors).await;
        if round >= 5 {
            with_stream.add(held);
            stands_by.add(followed);
            floor.add(least);
        }
    }
    table.times(
        "message sent to answered wait, with stream",
        &with_stream,
        Some(&floor),
        Budget::of(30.0, 150.0),
    );
    table.times(
        "the same in a process that stands by",
        &stands_by,
        Some(&floor),
        Budget::of(80.0, 200.0),
    );
    without_stream(plan, table).await;
}

async fn without_stream(plan: &Plan, table: &mut Table) {
    let world = World::new().await.at_speed(1);
    let alpha = world.workspace("alpha").await;
    world
        .fault(json!({ "route": "events", "status": 404, "body": Value::from("404 page not found") }))
        .await;
    let daemon = world.online(&alpha).await;
    let mut sample = Sample::default();
    for n in 0..plan.repeat.div_ceil(8) {
        // Anywhere between two reads.
        sleep(Duration::from_millis((n as u64 * 1_370) % 5_000)).await;
        sample.add(once(&world, &alpha, &daemon).await);
    }
    table.times(
        "the same without a stream, wherever the 5 s timer stands",
        &sample,
        None,
        Budget::of(5_200.0, 5_200.0),
    );
}
