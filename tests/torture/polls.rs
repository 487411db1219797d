//! Who polled, who beat and who told the person something, from the platform's own log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::slot::Slot;
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

/// A request to tell the person something.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub at: i64,
    pub slot: usize,
    pub turn: usize,
}

/// What the log tells.
#[derive(Debug, Default)]
pub struct Requests {
    /// In the order of arrival.
    pub polls: Vec<Poll>,
    /// The first one for each text.
    pub told: HashMap<String, Told>,
}

/// Reads the log until nothing more can come, before the platform forgets it.
pub async fn collect(world: Arc<World>) -> Requests {
    let mut requests = Requests::default();
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
                requests.polls.push(poll);
            }
            if let Some((text, told)) = told(&world, entry) {
                let first = requests.told.entry(text.to_owned()).or_insert(told);
                if told.at < first.at {
                    *first = told;
                }
            }
        }
        if last {
            requests.polls.sort_by_key(|poll| poll.at);
            return requests;
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
    let (slot, turn) = sender(world, entry)?;
    Some(Poll {
        at: entry["time_ms"].as_i64()?,
        workspace: slot.workspace,
        slot: slot.number,
        turn,
        duty,
    })
}

fn told<'a>(world: &World, entry: &'a Value) -> Option<(&'a str, Told)> {
    if entry["route"] != "notify" {
        return None;
    }
    let (slot, turn) = sender(world, entry)?;
    let told = Told {
        at: entry["time_ms"].as_i64()?,
        slot: slot.number,
        turn,
    };
    Some((entry["body"]["message"].as_str()?, told))
}

/// The slot, and which of its credentials was used.
fn sender<'a>(world: &'a World, entry: &Value) -> Option<(&'a Slot, usize)> {
    let bearer = entry["bearer"].as_str()?;
    world.slots.iter().find_map(|slot| {
        let turn = slot.credentials.iter().position(|own| own.bearer == bearer)?;
        Some((slot.as_ref(), turn))
    })
}
