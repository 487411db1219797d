//! Clocks that jump: the wall clock back and forth, and the clock that counts a computer's sleep forward.
//!
//! The daemons of a workspace share a file that tells how far their clocks have jumped; builds with debug assertions look
//! at it whenever they look at a clock (`MOLECULE_TEST_CLOCK`). The platform's clock is another computer's and stays right.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::ledger::Sleep;
use super::now_ms;
use super::random::Random;
use super::world::World;

/// How far the wall clock may be wrong. Less than what is kept by it: handled rows for 30 days, repeats for one.
const MOST_WRONG_SECS: u64 = 8 * 60 * 60;
/// The longest sleep, before the speed is applied.
const LONGEST_SLEEP: Duration = Duration::from_secs(20 * 60);

/// Makes the clocks of one workspace after the other jump.
pub async fn jump(world: Arc<World>) {
    if world.plan.clock <= 0.0 {
        return;
    }
    let mut random = Random::of(world.seed, 4);
    let mut jumps = vec![(0_i64, 0_u64); world.workspaces.len()];
    loop {
        let pause = Duration::from_secs_f64(world.plan.clock).mul_f64(random.below(2000) as f64 / 1000.0);
        if world.storm.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        let workspace = usize::try_from(random.below(world.workspaces.len() as u64)).unwrap();
        let (wall, asleep) = &mut jumps[workspace];
        // A small step, a large one, or right again.
        let span = *random.one_of(&[0, 2, 90, MOST_WRONG_SECS]);
        *wall = i64::try_from(random.below(2 * span + 1)).unwrap() - i64::try_from(span).unwrap();
        let slept = if random.percent(40) {
            random.below(world.plan.scaled(LONGEST_SLEEP).as_secs().max(1) + 1)
        } else {
            0
        };
        *asleep += slept;
        let sleep = Sleep {
            workspace,
            at: now_ms(),
            millis: i64::try_from(slept).unwrap() * 1000,
        };
        world.ledger.jumps(sleep);
        set(&world.workspaces[workspace].clock, *wall, *asleep);
    }
}

/// Replaced whole, so that nobody reads half of it.
fn set(file: &Path, wall_secs: i64, asleep_secs: u64) {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, format!("{wall_secs} {asleep_secs}")).unwrap();
    std::fs::rename(&draft, file).unwrap();
}
