//! The person and the peer: numbered messages, some sent twice, some of one instant, some late and unannounced.

use std::sync::Arc;
use std::time::Duration;

use molecule_mcp::types::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::ledger::Origin;
use super::random::Random;
use super::world::World;

/// Sends that wait for their answer at once.
const ABREAST: usize = 32;

pub async fn produce(world: Arc<World>, workspace: usize) {
    let mut random = Random::of(world.seed, 10 + workspace as u64);
    let mut under_way = JoinSet::new();
    let mean = Duration::from_secs_f64(1.0 / world.plan.rate.max(0.01));
    while !world.storm.is_cancelled() {
        sleep(mean.mul_f64(random.below(2000) as f64 / 1000.0)).await;
        let actor = random.next();
        if random.percent(15) {
            rows(&world, workspace, &mut random).await;
        } else {
            under_way.spawn(message(world.clone(), workspace, actor));
        }
        while under_way.len() >= ABREAST {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.unwrap();
    }
}

/// One message, repeated under the same id as a sender does that is not sure, or for no reason at all.
async fn message(world: Arc<World>, workspace: usize, actor: u64) {
    let mut random = Random::of(world.seed, actor);
    let text = world.ledger.writes(Origin::Sender, workspace);
    let body = World::message(&text, &Uuid::new_v4().to_string());
    let from_peer = random.percent(40);
    let needless = if random.percent(12) { 1 + random.below(2) } else { 0 };
    let mut taken = false;
    for attempt in 0..4 {
        if world.send(workspace, from_peer, &body).await && !taken {
            taken = true;
            world.ledger.taken(&text);
        }
        if taken && attempt >= needless {
            return;
        }
        sleep(random.millis(0, 500)).await;
    }
}

/// Several rows of one instant, some of which become visible later than younger ones, and of which no event tells.
async fn rows(world: &World, workspace: usize, random: &mut Random) {
    let count = 2 + random.below(4);
    let at = Timestamp::now().to_rfc3339();
    let source = random.percent(50).then(|| world.peer_of(workspace).id.clone());
    let latest = u64::try_from(world.latest().as_millis()).unwrap();
    let texts: Vec<String> = (0..count)
        .map(|_| world.ledger.writes(Origin::Row, workspace))
        .collect();
    let rows: Vec<Value> = texts
        .iter()
        .map(|text| {
            let mut row = json!({
                "created_at": at, "source_id": source, "announce": random.percent(50),
                "request_body": World::message(text, &Uuid::new_v4().to_string()),
            });
            if random.percent(50) {
                row["visible_after_ms"] = json!(random.below(latest));
            }
            row
        })
        .collect();
    let path = format!("/_local/rows/{}", world.workspaces[workspace].id);
    world.ok(Method::POST, &path, None, Some(Value::Array(rows))).await;
    for text in &texts {
        world.ledger.taken(text);
    }
}
