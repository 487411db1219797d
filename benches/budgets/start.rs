//! From the start of a process to its answer to `initialize`, and from the end of its input to its end.

use std::process::Command;
use std::time::{Duration, Instant};

use super::pipe::Pipe;
use super::support::World;
use super::table::{Budget, Sample, Table};
use super::{Plan, floors};

/// Starts, initializes and closes once: the time to the answer, and from the close to the end.
fn once(command: &mut Command) -> (Duration, Duration) {
    let begun = Instant::now();
    let child = Pipe::start(command);
    let answered = begun.elapsed();
    let closed = Instant::now();
    child.end();
    (answered, closed.elapsed())
}

pub async fn measure(plan: &Plan, table: &mut Table) {
    let (up, mut silent, mut down) = (
        World::new().await.at_speed(1),
        World::new().await.at_speed(1),
        World::new().await.at_speed(1),
    );
    let mut commands = vec![floors::answering(), floors::minimal_server()];
    for world in [&up, &down, &silent] {
        let workspace = world.workspace("alpha").await;
        commands.push(world.command(&workspace).into_std());
    }
    down.go_down().await;
    silent.swallow();
    let repeat = plan.repeat;
    let (answers, ends) = tokio::task::spawn_blocking(move || {
        let mut samples = (
            vec![Sample::default(); commands.len()],
            vec![Sample::default(); commands.len()],
        );
        // The first start of each makes its folder and fills the system's caches.
        for round in 0..=repeat {
            for (n, command) in commands.iter_mut().enumerate() {
                let (answered, ended) = once(command);
                if round > 0 {
                    samples.0[n].add(answered);
                    samples.1[n].add(ended);
                }
            }
        }
        samples
    })
    .await
    .unwrap();
    let budget = Budget::of(10.0, 50.0);
    table.times(
        "a minimal server of the same MCP library: spawn to `initialize`",
        &answers[1],
        Some(&answers[0]),
        Budget::NONE,
    );
    for (n, platform) in [(2, "is up"), (3, "is down"), (4, "swallows everything")] {
        let what = format!("spawn to `initialize`, the platform {platform}");
        table.times(&what, &answers[n], Some(&answers[0]), budget);
    }
    for (n, platform) in [(2, "is up"), (3, "is down"), (4, "swallows everything")] {
        let what = format!("end of input to exit, the platform {platform}");
        table.times(&what, &ends[n], Some(&ends[0]), Budget::of(250.0, 1000.0));
    }
}
