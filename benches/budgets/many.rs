//! Many workspaces in one process, and many processes on one workspace.

use molecule_mcp::local_platform::Options;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::support::{World, bare_command, start, until};
use super::table::{Budget, Table, Unit};
use super::{Plan, process};

pub async fn measure(plan: &Plan, table: &mut Table) {
    let watch = Duration::from_secs(plan.idle_secs.min(60));
    for count in [1, 10, 200] {
        workspaces(count, watch, table).await;
    }
    processes(watch, table).await;
}

/// Spent while watched, in percent of a core.
async fn spent(pids: &[u32], watch: Duration) -> f64 {
    let total = || pids.iter().map(|pid| process::cpu(*pid)).sum::<Duration>();
    let before = total();
    sleep(watch).await;
    (total() - before).as_secs_f64() / watch.as_secs_f64() * 100.0
}

async fn workspaces(count: usize, watch: Duration, table: &mut Table) {
    let world = World::with(Options::default()).await.at_speed(1);
    let mut list = Vec::new();
    for n in 0..count {
        let workspace = world.workspace(&format!("workspace-{n}")).await;
        list.push((json!({ "id": workspace.id, "token": workspace.token }), workspace));
    }
    let entries: Vec<Value> = list.iter().map(|(entry, _)| entry.clone()).collect();
    let mut command = bare_command();
    command
        .env("PLATFORM_URL", world.url())
        .env("MOLECULE_WORKSPACES", Value::from(entries).to_string())
        .env("CONFIGS_DIR", list[0].1.folder.join("all"));
    let begun = Instant::now();
    let daemon = start(command).await;
    let pid = daemon.id().unwrap();
    for (_, workspace) in &list {
        until("the workspace is online", || async {
            world.status(workspace).await == "online"
        })
        .await;
    }
    let online = begun.elapsed().as_secs_f64() * 1000.0;
    sleep(Duration::from_secs(20)).await;
    let cpu = spent(&[pid], watch).await;
    let of = match count {
        1 => "1 workspace in a process".to_owned(),
        _ => format!("{count} workspaces in a process"),
    };
    let memory = process::memory(pid);
    table.one(
        &format!("{of}: start to all online"),
        Unit::Milliseconds,
        online,
        None,
        Budget::NONE,
    );
    table.one(
        &format!("{of}: resident ({} threads)", process::threads(pid)),
        Unit::MiB,
        memory.resident,
        None,
        Budget::NONE,
    );
    table.one(&format!("{of}: CPU"), Unit::Percent, cpu, None, Budget::NONE);
}

async fn processes(watch: Duration, table: &mut Table) {
    const COUNT: usize = 8;
    let world = World::new().await.at_speed(1);
    let workspace = world.workspace("alpha").await;
    let mut daemons = vec![world.online(&workspace).await];
    for _ in 1..COUNT {
        daemons.push(world.daemon(&workspace).await);
    }
    sleep(Duration::from_secs(20)).await;
    let pids: Vec<u32> = daemons.iter().map(|daemon| daemon.id().unwrap()).collect();
    let cpu = spent(&pids, watch).await;
    let private: f64 = pids.iter().map(|pid| process::memory(*pid).private).sum();
    table.one(
        "8 processes on one workspace: private memory of all",
        Unit::MiB,
        private,
        None,
        Budget::NONE,
    );
    table.one(
        "8 processes on one workspace: CPU of all",
        Unit::Percent,
        cpu,
        None,
        Budget::NONE,
    );
}
