//! Who polled and who beat, from the platform's own log.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    Beat,
    Read,
}

/// One request that only the duty holder makes.
#[derive(Clone, Copy, Debug)]
pub struct Poll {
    pub at: i64,
    pub workspace: usize,
    pub slot: usize,
    /// Which of the slot's credentials was used.
    pub turn: usize,
    pub duty: Duty,
}

/// Reads the log until nothing more can come, before the platform forgets it. In the order of arrival.
pub async fn collect(world: Arc<World>) -> Vec<Poll> {
    let mut polls = Vec::new();
    let mut after = 0;
    loop {
        let last = world.collected.is_cancelled();
        let log = world
            .ok(Method::GET, &format!("/_local/log?after={after}"), None, None)
            .await;
        for entry in log.as_array().into_iter().flatten() {
            after = entry["seq"].as_u64().unwrap();
            if let Some(poll) = poll(&world, entry) {
                world.holder.lock().unwrap()[poll.workspace] = Some(poll.slot);
                polls.push(poll);
            }
        }
        if last {
            polls.sort_by_key(|poll| poll.at);
            return polls;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

fn poll(world: &World, entry: &Value) -> Option<Poll> {
    let duty = match entry["route"].as_str()? {
        "heartbeat" => Duty::Beat,
        // Other reads of the log look up one reply and are anybody's.
        "activity"
            if entry["query"]
                .as_str()
                .unwrap_or_default()
                .contains("include=peer_info") =>
        {
            Duty::Read
        }
        _ => return None,
    };
    let bearer = entry["bearer"].as_str()?;
    let (slot, turn) = world.slots.iter().find_map(|slot| {
        let turn = slot.credentials.iter().position(|own| own.bearer == bearer)?;
        Some((slot, turn))
    })?;
    Some(Poll {
        at: entry["time_ms"].as_i64()?,
        workspace: slot.workspace,
        slot: slot.number,
        turn,
        duty,
    })
}
