//! Hours of work with a fault every minute, watched for what grows: `cargo bench --bench soak`.
//!
//! Real daemons at the embedded platform and at real speed: one that holds the duty, one that stands by, and a peer. Each
//! has an agent that waits, answers, acknowledges, delegates and looks things up, while a person writes. Every minute one
//! thing goes wrong for a while. Before the next one everything that a leak would show in is read. docs/performance.md
//! tells what came of it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod agents;
mod cast;
mod faults;
mod ledger;
mod person;
#[allow(dead_code, reason = "the benchmark of the budgets uses more of it")]
#[path = "../budgets/process.rs"]
mod process;
#[allow(dead_code, reason = "the torture test uses more of it")]
#[path = "../../tests/torture/random.rs"]
mod random;
mod samples;
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[path = "../../tests/end_to_end/support.rs"]
mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use molecule_mcp::types::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use cast::Cast;
use ledger::Ledger;
use person::Person;
use random::Random;
use samples::Samples;
use support::World;

/// Lets real daemons work for hours with a fault every minute, and says what grows.
#[derive(Clone, Debug, Parser)]
#[command(name = "soak")]
pub struct Plan {
    /// How long; what is shorter than half an hour tells little of growth.
    #[arg(long, default_value_t = 120.0)]
    minutes: f64,
    /// Seconds from the beginning of one fault to that of the next.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(30..))]
    every: u64,
    /// Messages of the person in a second, to both workspaces together.
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Repeats the order of the faults of an earlier run; drawn and printed when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What everybody who takes part needs.
pub struct Scene {
    pub ledger: Ledger,
    /// Nobody says anything new.
    pub quiet: CancellationToken,
    /// The agents stop.
    pub over: CancellationToken,
}

fn main() -> ExitCode {
    let plan = Plan::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let wrong = runtime.block_on(run(&plan));
    runtime.shutdown_background();
    for violation in &wrong {
        println!("VIOLATION {violation}");
    }
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn run(plan: &Plan) -> Vec<String> {
    let seed = plan
        .seed
        .unwrap_or_else(|| Timestamp::now().0.unsigned_abs() % 1_000_000);
    println!("soak: seed {seed}, {plan:?}");
    let mut random = Random::of(seed, 0);
    let mut world = World::durable().await.at_speed(1);
    let scene = Arc::new(Scene {
        ledger: Ledger::default(),
        quiet: CancellationToken::new(),
        over: CancellationToken::new(),
    });
    let cast = Cast::assemble(&world, &scene, seed).await;
    let person = Arc::new(Person::of(&world));
    let mut talk = JoinSet::new();
    talk.spawn(person::writes(
        Arc::clone(&person),
        Arc::clone(&scene),
        cast.workspaces.clone(),
        plan.rate,
        Random::of(seed, 1),
    ));

    let mut samples = Samples::default();
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(plan.minutes * 60.0);
    let mut due = begun + Duration::from_secs(plan.every);
    let mut order = Vec::new();
    let mut wrong = Vec::new();
    println!("{}", Samples::HEAD);
    while due < end {
        sleep_until(due).await;
        samples.take(begun.elapsed(), &cast, &scene.ledger);
        person.sends_a_file(&world, &scene, &cast.workspaces[0]).await;
        if order.is_empty() {
            order = faults::in_any_order(&mut random);
        }
        let fault = order.pop().unwrap();
        fault.happens(&mut world, &cast, &scene).await;
        match person.is_heard(&scene, &cast.workspaces[0]).await {
            Some(took) => samples.came_back(fault.name(), took),
            None => wrong.push(format!("{}: no message came through afterwards", fault.name())),
        }
        due = (due + Duration::from_secs(plan.every)).max(Instant::now() + Duration::from_secs(20));
    }

    scene.quiet.cancel();
    while let Some(ended) = talk.join_next().await {
        ended.unwrap();
    }
    if !all_is_acknowledged(&scene.ledger).await {
        wrong.push("messages were still open when patience ended".to_owned());
    }
    sleep(Duration::from_secs(30)).await;
    samples.take(begun.elapsed(), &cast, &scene.ledger);
    println!("soak: {} minutes", begun.elapsed().as_secs() / 60);
    samples.report(&mut wrong);
    scene.ledger.report(&mut wrong);
    scene.over.cancel();
    wrong.extend(cast.leaves().await);
    wrong
}

async fn all_is_acknowledged(ledger: &Ledger) -> bool {
    let patience = Instant::now() + Duration::from_secs(600);
    while ledger.open() > 0 {
        if Instant::now() > patience {
            return false;
        }
        sleep(Duration::from_secs(1)).await;
    }
    true
}
