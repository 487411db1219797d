//! What is spent while nothing happens: by the process that holds the duty, by one that stands by, and at the platform.

use molecule_mcp::local_platform::Level;
use tokio::time::{Duration, sleep};

use super::memory::Waiting;
use super::support::World;
use super::table::{Budget, Table, Unit};
use super::{Plan, process};

/// Until the stream is live, what belongs to the start is over, and the last full sweep after it has been made.
const SETTLE: Duration = Duration::from_secs(60);

pub async fn measure(plan: &Plan, table: &mut Table) {
    let (b, c) = (
        World::at(Level::B).await.at_speed(1),
        World::at(Level::C).await.at_speed(1),
    );
    let (at_b, at_c) = (b.workspace("alpha").await, c.workspace("alpha").await);
    let (holder, other) = (b.online(&at_b).await, c.online(&at_c).await);
    let follower = b.daemon(&at_b).await;
    let waiting = Waiting::start();
    println!(
        "idle: settling for {} s, then watching for {} s",
        SETTLE.as_secs(),
        plan.idle_secs
    );
    sleep(SETTLE).await;
    let pids = [
        waiting.0.id(),
        holder.id().unwrap(),
        follower.id().unwrap(),
        other.id().unwrap(),
    ];
    let before = pids.map(process::cpu);
    let asked = (b.log().await.len(), c.log().await.len());
    sleep(Duration::from_secs(plan.idle_secs)).await;
    #[allow(clippy::cast_precision_loss)]
    let seconds = plan.idle_secs as f64;
    let mut spent = Vec::new();
    for (pid, before) in pids.into_iter().zip(before) {
        spent.push((process::cpu(pid) - before).as_secs_f64() / seconds * 100.0);
    }
    #[allow(clippy::cast_precision_loss)]
    let rate = |count: usize| count as f64 * 60.0 / seconds;
    let requests = (rate(b.log().await.len() - asked.0), rate(c.log().await.len() - asked.1));
    let budget = Budget::at_most(0.1);
    table.one(
        "a process that only waits: CPU",
        Unit::Percent,
        spent[0],
        None,
        Budget::NONE,
    );
    table.one(
        "idle, holds the duty, level B: CPU",
        Unit::Percent,
        spent[1],
        None,
        budget,
    );
    table.one(
        "idle, holds the duty, level C: CPU",
        Unit::Percent,
        spent[3],
        None,
        budget,
    );
    table.one("idle, stands by: CPU", Unit::Percent, spent[2], None, budget);
    // Three beats a minute are asked for.
    table.one(
        "idle at level B with a live stream",
        Unit::Requests,
        requests.0,
        Some(3.0),
        Budget::at_most(6.0),
    );
    table.one(
        "idle at level C with a live stream",
        Unit::Requests,
        requests.1,
        Some(3.0),
        Budget::at_most(8.0),
    );
}
