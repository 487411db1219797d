//! The person and the peer: numbered messages, some sent twice, some of one instant, some late and unannounced.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use molecule_mcp::types::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::journal;
use super::ledger::Origin;
use super::random::Random;
use super::world::World;

/// Sends that wait for their answer at once.
const ABREAST: usize = 32;

pub async fn produce(world: Arc<World>, workspace: usize) {
    let mut random = Random::of(world.seed, 10 + workspace as u64);
    let mut under_way = JoinSet::new();
    let each = Duration::from_secs_f64(1.0 / world.plan.rate.max(0.01));
    let mut due = Instant::now();
    while !world.storm.is_cancelled() {
        let actor = random.next();
        let sent = if random.percent(15) {
            rows(&world, workspace, &mut random).await
        } else {
            under_way.spawn(message(world.clone(), workspace, actor));
            1
        };
        due += each.mul_f64(f64::from(sent) * random.below(2000) as f64 / 1000.0);
        sleep_until(due).await;
        // What could not be kept up with is not made up for.
        due = due.max(Instant::now() - Duration::from_millis(100));
        while under_way.len() >= ABREAST {
            under_way.join_next().await.unwrap().unwrap();
        }
        while world.backlog[workspace].load(Ordering::Relaxed) > world.plan.backlog && !world.storm.is_cancelled() {
            sleep(Duration::from_millis(20)).await;
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.unwrap();
    }
}

/// Keeps the senders informed of how far the agents are behind.
pub async fn watch_backlog(world: Arc<World>) {
    const EVERY: Duration = Duration::from_millis(100);
    while world.storm.run_until_cancelled(sleep(EVERY)).await.is_some() {
        for (workspace, backlog) in world.backlog.iter().enumerate() {
            let world = world.clone();
            let open = spawn_blocking(move || journal::backlog(&world, workspace))
                .await
                .unwrap();
            backlog.store(open, Ordering::Relaxed);
        }
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

/// Rows in groups of one instant each, of which some become visible later than younger ones, of which no event tells, and
/// of which some come twice under one `messageId`. The more is to be sent, the more groups at once. Returns how many.
async fn rows(world: &World, workspace: usize, random: &mut Random) -> u32 {
    const TO_A_GROUP: f64 = 20.0;
    let source = random.percent(50).then(|| world.peer_of(workspace).id.clone());
    let latest = u64::try_from(world.latest().as_millis()).unwrap();
    let (mut rows, mut texts) = (Vec::new(), Vec::new());
    for group in 0..=random.below((world.plan.rate / TO_A_GROUP) as u64 + 1) {
        let at = Timestamp::now()
            .plus_micros(-1000 * i64::try_from(group).unwrap())
            .to_rfc3339();
        for _ in 0..2 + random.below(4) {
            let text = world.ledger.writes(Origin::Row, workspace);
            let body = World::message(&text, &Uuid::new_v4().to_string());
            for _ in 0..=u64::from(random.percent(8)) {
                let mut row = json!({
                    "created_at": at, "source_id": source, "announce": random.percent(50), "request_body": body,
                });
                if random.percent(50) {
                    row["visible_after_ms"] = json!(random.below(latest));
                }
                rows.push(row);
            }
            texts.push(text);
        }
    }
    let path = format!("/_local/rows/{}", world.workspaces[workspace].id);
    world.ok(Method::POST, &path, None, Some(Value::Array(rows))).await;
    for text in &texts {
        world.ledger.taken(text);
    }
    u32::try_from(texts.len()).unwrap()
}
