//! A platform that misbehaves: refusals, broken answers, lost answers to work that was done, silence, outages.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::random::Random;
use super::twice::LOOKED_FOR;
use super::world::World;

const ROUTES: [&str; 10] = [
    "activity",
    "activity",
    "heartbeat",
    "events",
    "a2a",
    "delegate",
    "delegations",
    "notify",
    "notify",
    "register",
];

pub async fn inject(world: Arc<World>) {
    let mut random = Random::of(world.seed, 2);
    while world
        .storm
        .run_until_cancelled(sleep(random.millis(100, 900)))
        .await
        .is_some()
    {
        if random.percent(4) {
            outage(&world, &mut random).await;
        } else {
            world.add_fault(fault(&world, &mut random)).await;
        }
    }
}

fn fault(world: &World, random: &mut Random) -> Value {
    let route = *random.one_of(&ROUTES);
    let mut rule = json!({ "route": route, "times": 1 + random.below(4) });
    match random.below(6) {
        0 => {
            rule["status"] = json!(random.one_of(&[500, 502, 503, 504]));
            rule["after"] = json!(random.percent(50));
        }
        1 => {
            rule["drop"] = json!(true);
            rule["after"] = json!(random.percent(50));
        }
        2 => rule["truncate"] = json!(random.below(60)),
        3 => {
            rule["status"] = json!(429);
            rule["body"] = json!({ "error": "rate limit exceeded", "retry_after": 1 });
            rule["headers"] = json!({ "Retry-After": "1" });
        }
        // Only to reads: a write that was answered 200 and not done is beyond anybody's knowledge.
        4 if matches!(route, "activity" | "delegations" | "heartbeat") => {
            rule["raw_body"] = json!(random.one_of(&["", "<html>busy</html>", "{}", "null"]))
        }
        _ => {
            // A beat that is held up is a gap that nobody but the platform has made.
            // What the person was told is looked for so long, less by the speed; the rest is for a busy machine.
            let looked_for = world.plan.scaled(LOOKED_FOR).as_millis();
            let most = match route {
                "heartbeat" => 200,
                "notify" => u64::try_from(looked_for).unwrap() * 2 / 3,
                _ => 1500,
            };
            rule["delay_ms"] = json!(random.below(most));
        }
    }
    rule
}

/// Nothing works for a while. What is late stays late, so the mode is set again afterwards.
async fn outage(world: &World, random: &mut Random) {
    let rule = if random.percent(50) {
        json!({ "route": "*", "status": 503, "body": { "error": "unavailable" } })
    } else {
        json!({ "route": "*", "drop": true })
    };
    world.add_fault(rule).await;
    sleep(random.millis(300, 2000)).await;
    world.be_kind().await;
    world.be_late().await;
}
