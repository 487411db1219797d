//! Much at once: a backlog found at the start, and a burst from many senders.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use molecule_mcp::state::journal::glimpse;
use molecule_mcp::types::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::process;
use super::support::{Workspace, World};
use super::table::{Budget, Table, Unit};

/// How many messages the journal shows as new.
fn arrived(folder: &Path) -> u64 {
    let seen = glimpse::look(folder).unwrap_or_default();
    seen.iter().map(|glimpse| glimpse.counts.new).sum()
}

async fn until_arrived(folder: &Path, count: u64) {
    let patience = Instant::now() + Duration::from_secs(120);
    while arrived(folder) < count {
        assert!(Instant::now() < patience, "{} of {count} arrived", arrived(folder));
        sleep(Duration::from_millis(10)).await;
    }
}

pub async fn measure(table: &mut Table) {
    for (count, budget, memory) in [
        (100, Budget::NONE, Budget::NONE),
        (1_000, Budget::NONE, Budget::NONE),
        (10_000, Budget::at_most(10_000.0), Budget::at_most(64.0)),
    ] {
        backlog(count, budget, memory, table).await;
    }
    burst(table).await;
}

async fn backlog(count: usize, budget: Budget, memory: Budget, table: &mut Table) {
    let world = World::new().await.at_speed(1);
    let workspace = world.workspace("alpha").await;
    fill(&world, &workspace, count).await;
    // The floor: as many bytes over one connection, thrown away.
    let begun = Instant::now();
    for _ in 0..count.div_ceil(500) {
        let path = format!("/workspaces/{}/activity?type=a2a_receive&limit=500", workspace.id);
        world.ok(Method::GET, &path, Some(&workspace.token), None).await;
    }
    let floor = begun.elapsed().as_secs_f64() * 1000.0;
    let begun = Instant::now();
    let daemon = world.daemon(&workspace).await;
    until_arrived(&workspace.folder, count as u64).await;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let what = format!("start to a backlog of {count} messages in the journal");
    table.one(&what, Unit::Milliseconds, took, Some(floor), budget);
    let peak = process::peak(daemon.id().unwrap());
    table.one(
        &format!("the same: most memory resident ({count})"),
        Unit::MiB,
        peak,
        None,
        memory,
    );
}

/// Messages of the last minutes, in the order of their times.
async fn fill(world: &World, workspace: &Workspace, count: usize) {
    let first = Timestamp::now().0 - 8 * 60 * 1_000_000;
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            let at = Timestamp(first + i64::try_from(n).unwrap() * 1_000).to_rfc3339();
            let id = Uuid::new_v4().to_string();
            let text = format!("message {n}: {}", "words ".repeat(30));
            let message = json!({ "role": "user", "messageId": id, "parts": [{ "kind": "text", "text": text }] });
            let body =
                json!({ "jsonrpc": "2.0", "id": "1", "method": "message/send", "params": { "message": message } });
            json!({
                "id": Uuid::new_v4().to_string(), "activity_type": "a2a_receive", "method": "message/send",
                "source_id": null, "status": "ok", "created_at": at, "request_body": body,
            })
        })
        .collect();
    for chunk in rows.chunks(1_000) {
        world.rows(workspace, Value::from(chunk)).await;
    }
}

async fn burst(table: &mut Table) {
    const SENDERS: usize = 16;
    const EACH: usize = 200;
    let world = Arc::new(World::new().await.at_speed(1));
    let workspace = world.workspace("alpha").await;
    let _daemon = world.online(&workspace).await;
    world.late(90, 20_261_127).await;
    let begun = Instant::now();
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (world, workspace) = (Arc::clone(&world), workspace.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    world.say(&workspace, &format!("{sender}-{n}")).await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let sent = begun.elapsed().as_secs_f64() * 1000.0;
    let last = Instant::now();
    until_arrived(&workspace.folder, (SENDERS * EACH) as u64).await;
    let took = last.elapsed().as_secs_f64() * 1000.0;
    table.one(
        "3,200 messages from 16 senders, up to 90 ms late: time of sending",
        Unit::Milliseconds,
        sent,
        None,
        Budget::NONE,
    );
    table.one(
        "the same: last send to the last message in the journal",
        Unit::Milliseconds,
        took,
        None,
        Budget::at_most(1_000.0),
    );
}
