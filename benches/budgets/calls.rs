//! What a tool call costs on top of the platform's own time, alone and many at once.

use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::Plan;
use super::floors::{self, Bare};
use super::pipe::Pipe;
use super::support::{Workspace, World};
use super::table::{Budget, Sample, Table, Unit};

const TOOL: &str = "get_workspace_info";
/// The platform's own time in the measurement of calls that overlap.
const SLOW_MS: u64 = 500;

pub async fn measure(plan: &Plan, table: &mut Table) {
    let world = World::new().await.at_speed(1);
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let url = format!("{}/workspaces/{}", world.url(), workspace.id);
    let bare = Bare::new(url, workspace.token.clone());
    let before = world.requests("get_workspace").await.len();
    let rounds = plan.repeat * 10;
    let commands = [floors::fetching_server(&bare), world.command(&workspace).into_std()];
    let (bare, times) = spawn_blocking(move || alone(bare, commands, rounds)).await.unwrap();
    let made = world.requests("get_workspace").await.len() - before;
    assert_eq!(made, 3 * (rounds + WARM), "each call is one request");
    let [floor, least, ours, above] = &times;
    table.times(
        "a tool of one request in a minimal server of the same MCP library",
        least,
        Some(floor),
        Budget::NONE,
    );
    table.times("a tool call of one request", ours, Some(floor), Budget::NONE);
    let what = "the same, its floor the tool of that minimal server";
    table.times(what, ours, Some(least), Budget::NONE);
    let what = "a tool call on top of the same bare request";
    table.times(what, above, None, Budget::of(0.5, 3.0));
    abreast(&world, &workspace, &daemon, &bare, table).await;
}

/// What goes before, and is not counted.
const WARM: usize = 20;

/// The bare request, the tool of a minimal server, and ours, in turns, each waited for on this thread; and what ours takes longer
/// than the request.
fn alone(bare: Bare, commands: [Command; 2], rounds: usize) -> (Bare, [Sample; 4]) {
    let runtime = Handle::current();
    let mut servers = commands.map(|mut command| Pipe::start(&mut command).opened());
    let mut times: [Sample; 4] = Default::default();
    for round in 0..rounds + WARM {
        let request = timed(|| drop(runtime.block_on(bare.call())));
        let [least, ours] = servers.each_mut().map(|server| timed(|| call(server, round)));
        if round >= WARM {
            let all = [request, least, ours, ours.saturating_sub(request)];
            for (sample, took) in times.iter_mut().zip(all) {
                sample.add(took);
            }
        }
    }
    servers.into_iter().for_each(Pipe::end);
    (bare, times)
}

fn call(server: &mut Pipe, round: usize) {
    let params = json!({ "name": TOOL, "arguments": {} });
    let request = json!({ "jsonrpc": "2.0", "id": round + 2, "method": "tools/call", "params": params });
    let answer: Value = serde_json::from_str(&server.ask(&request.to_string())).unwrap();
    assert!(answer["result"]["structuredContent"]["id"].is_string(), "{answer}");
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

async fn abreast(world: &World, workspace: &Workspace, daemon: &McpChild, bare: &Bare, table: &mut Table) {
    world
        .fault(json!({ "route": "get_workspace", "workspace": workspace.id, "delay_ms": SLOW_MS }))
        .await;
    for (count, budget) in [(1, Budget::NONE), (16, Budget::at_most(600.0)), (64, Budget::NONE)] {
        let begun = Instant::now();
        join_all((0..count).map(|_| bare.call())).await;
        let floor = begun.elapsed().as_secs_f64() * 1000.0;
        let begun = Instant::now();
        for answer in join_all((0..count).map(|_| daemon.call(TOOL, json!({})))).await {
            answer.unwrap();
        }
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let what = format!("{count} calls at once, each {SLOW_MS} ms at the platform");
        table.one(&what, Unit::Milliseconds, took, Some(floor), budget);
    }
    world.no_faults().await;
}
