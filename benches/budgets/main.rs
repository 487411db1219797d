//! Every budget of the program beside its floor, measured in one run: `cargo bench --bench budgets`.
//!
//! The floor of a figure is what the least thing that could do the same takes on the same machine at the same time: a
//! process that prints one line, a bare HTTP client at the same platform, a process that only waits. Ours and the floor
//! take turns, so that whatever else the machine does, it does to both. docs/performance.md tells how to read the table.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod calls;
mod delivery;
mod floors;
mod idle;
mod load;
mod many;
mod memory;
mod pipe;
mod process;
mod start;
#[allow(dead_code, reason = "the end-to-end tests use more of it")]
#[path = "../../tests/end_to_end/support.rs"]
mod support;
mod table;

use std::path::Path;

use clap::Parser;
use table::{Budget, Table, Unit};

const PARTS: [&str; 8] = ["binary", "start", "memory", "calls", "delivery", "load", "many", "idle"];

/// Measures every budget beside its floor and prints one table.
#[derive(Clone, Debug, Parser)]
#[command(name = "budgets")]
pub struct Plan {
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_parser = PARTS)]
    only: Vec<String>,
    /// How long the idle parts watch, in seconds; the budget speaks of 600.
    #[arg(long, default_value_t = 120)]
    idle_secs: u64,
    /// How often what is short is repeated.
    #[arg(long, default_value_t = 100)]
    repeat: usize,
    /// Cargo says it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Plan {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

fn main() {
    if floors::play() {
        return;
    }
    let plan = Plan::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(&plan));
    // Nothing of a daemon that is being killed may hold the result back.
    runtime.shutdown_background();
}

async fn measure(plan: &Plan) {
    let mut table = Table::default();
    if plan.wants("binary") {
        let bytes = std::fs::metadata(Path::new(env!("CARGO_BIN_EXE_molecule-mcp")))
            .unwrap()
            .len();
        table.one(
            "release binary",
            Unit::MiB,
            process::mib(bytes),
            None,
            Budget::at_most(12.0),
        );
    }
    if plan.wants("start") {
        start::measure(plan, &mut table).await;
    }
    if plan.wants("memory") {
        memory::measure(&mut table).await;
    }
    if plan.wants("calls") {
        calls::measure(plan, &mut table).await;
    }
    if plan.wants("delivery") {
        delivery::measure(plan, &mut table).await;
    }
    if plan.wants("load") {
        load::measure(&mut table).await;
    }
    if plan.wants("many") {
        many::measure(plan, &mut table).await;
    }
    if plan.wants("idle") {
        idle::measure(plan, &mut table).await;
    }
    println!("\n{table}");
}
