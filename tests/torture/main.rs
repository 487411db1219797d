//! Torture: real daemons on shared state folders, killed, stopped and cut off at random while messages flow.
//!
//! `cargo test --test torture` is a short run. `cargo test --test torture -- --seed N --minutes M --processes P` is a
//! long one, or repeats an earlier one. docs/reliability.md says what is done and what is checked.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod agent;
mod clock;
mod disk;
mod examples;
mod faults;
mod figures;
mod journal;
mod killer;
mod ledger;
mod plan;
mod polls;
mod producer;
mod random;
mod report;
mod shows;
mod slot;
mod twice;
mod verdict;
mod world;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use molecule_mcp::types::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use plan::Plan;
use report::Sum;
use world::World;

fn main() -> ExitCode {
    let plan = Plan::parse();
    if plan.list {
        println!("torture: test");
        return ExitCode::SUCCESS;
    }
    if plan.is_filtered_out() {
        return ExitCode::SUCCESS;
    }
    examples::check();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let first = plan.seed.unwrap_or_else(|| now_ms().unsigned_abs() % 1_000_000);
    let mut sum = Sum::default();
    for seed in first..first + plan.storms {
        println!("torture: seed {seed}, level {:?}, {plan:?}", plan.level(seed));
        let violations = runtime.block_on(run(plan.clone(), seed, &mut sum));
        if !violations.is_empty() {
            tell(&violations, seed);
            runtime.shutdown_background();
            return ExitCode::FAILURE;
        }
    }
    runtime.shutdown_background();
    if plan.storms > 1 {
        println!("{sum}");
    }
    ExitCode::SUCCESS
}

/// A few of each kind: one wrong thing can happen a thousand times and hide another.
fn tell(violations: &[String], seed: u64) {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for violation in violations {
        let kind = violation.split([':', '(']).next().unwrap_or_default();
        let count = kinds.entry(kind.get(..30).unwrap_or(kind)).or_default();
        *count += 1;
        if *count <= 5 {
            println!("VIOLATION {violation}");
        }
    }
    println!("torture: {kinds:?}");
    println!(
        "torture: {} violations; the same choices again: the arguments of this run, with --storms 1 --seed {seed}",
        violations.len()
    );
}

async fn run(plan: Plan, seed: u64, sum: &mut Sum) -> Vec<String> {
    let begun = Instant::now();
    let world = Arc::new(World::start(plan, seed).await);
    let mut slots = JoinSet::new();
    for slot in &world.slots {
        slots.spawn(slot::live(world.clone(), slot.clone()));
    }
    let mut storm = JoinSet::new();
    for workspace in 0..world.workspaces.len() {
        storm.spawn(producer::produce(world.clone(), workspace));
    }
    storm.spawn(producer::watch_backlog(world.clone()));
    storm.spawn(faults::inject(world.clone()));
    storm.spawn(disk::trouble(world.clone()));
    storm.spawn(clock::jump(world.clone()));
    storm.spawn(killer::kill(world.clone()));
    let polls = tokio::spawn(polls::collect(world.clone()));

    sleep(world.plan.length()).await;
    world.storm.cancel();
    while let Some(ended) = storm.join_next().await {
        ended.unwrap();
    }
    world.be_kind().await;
    println!(
        "torture: the storm is over after {} s; draining",
        begun.elapsed().as_secs()
    );
    let drained = drain(&world).await;
    world.over.cancel();
    while let Some(ended) = slots.join_next().await {
        ended.unwrap();
    }
    world.collected.cancel();
    let requests = polls.await.unwrap();
    verdict::judge(&world, &requests, drained, begun.elapsed(), sum).await
}

/// Waits until nothing is outstanding, and a little longer: what is shown again would be shown now.
async fn drain(world: &World) -> bool {
    // However slow the machine is: as long as it becomes less, it goes on.
    let patience = Duration::from_secs(180) + world.plan.scaled(Duration::from_secs(900));
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        sleep(Duration::from_millis(500)).await;
        let open = world.ledger.outstanding() + journal::pending(world);
        if open == 0 {
            sleep(world.plan.scaled(Duration::from_secs(100)).max(Duration::from_secs(3))).await;
            return true;
        }
        if open < least {
            (least, since) = (open, Instant::now());
        }
        if since.elapsed() > patience {
            return false;
        }
    }
}

/// Milliseconds since 1970, the platform's log speaks in them too.
pub fn now_ms() -> i64 {
    Timestamp::now().0 / 1000
}
