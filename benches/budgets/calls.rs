//! What a tool call costs on top of the platform's own time, alone and many at once.

use std::time::Instant;

use futures_util::future::join_all;
use molecule_mcp::cli::demo::client::McpChild;
use serde_json::json;

use super::Plan;
use super::support::{Workspace, World};
use super::table::{Budget, Sample, Table, Unit};

const TOOL: &str = "get_workspace_info";
/// The platform's own time in the measurement of calls that overlap.
const SLOW_MS: u64 = 500;

/// The floor: the same request by a client that does nothing else, over a connection that stays.
struct Bare {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Bare {
    async fn call(&self) {
        let answer = self.http.get(&self.url).bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let row: serde_json::Value = answer.json().await.unwrap();
        assert!(row["id"].is_string());
    }
}

pub async fn measure(plan: &Plan, table: &mut Table) {
    let world = World::new().await.at_speed(1);
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let bare = Bare {
        http: reqwest::Client::builder().no_proxy().build().unwrap(),
        url: format!("{}/workspaces/{}", world.url(), workspace.id),
        token: workspace.token.clone(),
    };
    let requests = world.requests("get_workspace").await.len();
    let (mut ours, mut floor, mut above) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..(plan.repeat * 10 + 20) {
        let begun = Instant::now();
        bare.call().await;
        let bare = begun.elapsed();
        let begun = Instant::now();
        daemon.call(TOOL, json!({})).await.unwrap();
        let call = begun.elapsed();
        if round >= 20 {
            floor.add(bare);
            ours.add(call);
            above.add(call.saturating_sub(bare));
        }
    }
    let made = world.requests("get_workspace").await.len() - requests;
    assert_eq!(made, 2 * (plan.repeat * 10 + 20), "each call is one request");
    table.times("a tool call of one request", &ours, Some(&floor), Budget::NONE);
    table.times(
        "a tool call on top of the same bare request",
        &above,
        None,
        Budget::of(0.5, 3.0),
    );
    abreast(&world, &workspace, &daemon, &bare, table).await;
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
