//! Violence: SIGKILL, SIGSTOP and SIGCONT, clients that go away, and crashes at chosen points.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::random::Random;
use super::slot::Slot;
use super::world::World;

/// Where a daemon can be made to crash; see `molecule_mcp::state::crash_point`.
const POINTS: [&str; 17] = [
    "duty:won",
    "beat:sent",
    "read:answered",
    "read:committed",
    "read:exported",
    "lease:taken",
    "pop:committed",
    "settle:committed",
    "delegate:begun",
    "delegate:sent",
    "delegate:recorded",
    "reply:begun",
    "reply:sent",
    "reply:recorded",
    "notify:begun",
    "notify:sent",
    "notify:recorded",
];

pub async fn kill(world: Arc<World>) {
    let mut random = Random::of(world.seed, 1);
    let mut stopped = JoinSet::new();
    loop {
        let pause = random.millis(1, 2 * world.plan.pause);
        if world.storm.run_until_cancelled(sleep(pause)).await.is_none() {
            break;
        }
        let slot = victim(&world, &mut random);
        match random.below(100) {
            0..50 => slot.kill(&world),
            50..62 => slot.go_away(),
            62..75 => {
                let pause = random.millis(50, 4000);
                let world = world.clone();
                stopped.spawn(async move {
                    if let Some(life) = slot.stop(&world) {
                        world.storm.run_until_cancelled(sleep(pause)).await;
                        slot.go_on(&world, life);
                    }
                });
            }
            _ => {
                // The next life dies by itself; half of the lives are made to begin now.
                let point = *random.one_of(&POINTS);
                let nth = 1 + random.below(4);
                // A moment after the beginning is in the middle of the HTTP call.
                let later = if point.ends_with("begun") { random.below(60) } else { 0 };
                slot.arm(format!("{point}:{nth}:{later}"));
                if random.percent(50) {
                    slot.kill(&world);
                }
            }
        }
    }
    while let Some(ended) = stopped.join_next().await {
        ended.unwrap();
    }
}

/// Any daemon; often the one that holds the duty.
fn victim(world: &World, random: &mut Random) -> Arc<Slot> {
    let any = random.one_of(&world.slots).clone();
    if !random.percent(30) {
        return any;
    }
    let holder = world.holder.lock().unwrap()[any.workspace];
    holder.map_or(any, |holder| world.slots[holder].clone())
}
