//! What goes wrong, one thing a minute.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Scene;
use super::cast::Cast;
use super::random::Random;
use super::support::{World, signal};

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Unavailable,
    Dropped,
    Silent,
    Swallowed,
    Down,
    Limited,
    Refused,
    Slow,
    Dripping,
    Garbage,
    CutShort,
    Large,
    NoStream,
    Late,
    Stopped,
    Killed,
    Visitors,
    DiskRefuses,
    NoDescriptors,
}

const ALL: [Fault; 19] = [
    Fault::Unavailable,
    Fault::Dropped,
    Fault::Silent,
    Fault::Swallowed,
    Fault::Down,
    Fault::Limited,
    Fault::Refused,
    Fault::Slow,
    Fault::Dripping,
    Fault::Garbage,
    Fault::CutShort,
    Fault::Large,
    Fault::NoStream,
    Fault::Late,
    Fault::Stopped,
    Fault::Killed,
    Fault::Visitors,
    Fault::DiskRefuses,
    Fault::NoDescriptors,
];

/// Each once.
pub fn in_any_order(random: &mut Random) -> Vec<Fault> {
    let mut order = ALL.to_vec();
    for n in (1..order.len()).rev() {
        let other = usize::try_from(random.below(n as u64 + 1)).unwrap();
        order.swap(n, other);
    }
    order
}

impl Fault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "503 to everything, 15 s",
            Self::Dropped => "every connection closed, 15 s",
            Self::Silent => "no answer to anything, 15 s",
            Self::Swallowed => "nothing passes over any connection, 20 s",
            Self::Down => "the platform is restarted after 10 s",
            Self::Limited => "429 to everything, 10 s",
            Self::Refused => "401 to everything, 15 s",
            Self::Slow => "every answer 3 s late, 20 s",
            Self::Dripping => "answers to reads byte by byte, 10 s",
            Self::Garbage => "reads answered with a page of HTML, 15 s",
            Self::CutShort => "answers to reads cut short, 15 s",
            Self::Large => "three reads of 12 MiB",
            Self::NoStream => "no event stream, 20 s",
            Self::Late => "rows up to 14 s late and not in order, 20 s",
            Self::Stopped => "the first process stopped, 12 s",
            Self::Killed => "a process that stands by killed",
            Self::Visitors => "ten sessions that come and go",
            Self::DiskRefuses => "every write refused, 10 s",
            Self::NoDescriptors => "no file can be opened, 10 s",
        }
    }

    /// Returns when it is over.
    pub async fn happens(self, world: &mut World, cast: &Cast, scene: &Arc<Scene>) {
        match self {
            Self::Unavailable => rule(world, 15, json!({ "route": "*", "status": 503 })).await,
            Self::Dropped => rule(world, 15, json!({ "route": "*", "drop": true })).await,
            Self::Silent => rule(world, 15, json!({ "route": "*", "silent": true })).await,
            Self::Limited => {
                let body = json!({ "error": "rate limit exceeded", "retry_after": 5 });
                let headers = json!({ "Retry-After": "5" });
                let limited = json!({ "route": "*", "status": 429, "body": body, "headers": headers });
                rule(world, 10, limited).await;
            }
            Self::Refused => {
                let body = json!({ "error": "invalid workspace auth token" });
                rule(world, 15, json!({ "route": "*", "status": 401, "body": body })).await;
            }
            Self::Slow => rule(world, 20, json!({ "route": "*", "delay_ms": 3000 })).await,
            Self::Dripping => rule(world, 10, json!({ "route": "activity", "drip_ms": 50 })).await,
            Self::Garbage => {
                rule(
                    world,
                    15,
                    json!({ "route": "activity", "raw_body": "<html>busy</html>" }),
                )
                .await
            }
            Self::CutShort => rule(world, 15, json!({ "route": "activity", "truncate": 40 })).await,
            Self::Large => {
                let large = json!({ "route": "activity", "oversize_bytes": 12 * 1024 * 1024, "times": 3 });
                rule(world, 20, large).await;
            }
            Self::NoStream => {
                let body = Value::from("404 page not found");
                rule(world, 20, json!({ "route": "events", "status": 404, "body": body })).await;
            }
            Self::Swallowed => {
                world.swallow();
                seconds(20).await;
                world.answer_again();
            }
            Self::Down => {
                world.go_down().await;
                seconds(10).await;
                world.come_back().await;
            }
            Self::Late => {
                world.late(14_000, 4711).await;
                seconds(20).await;
                world.late(0, 0).await;
            }
            Self::Stopped => {
                signal(cast.daemons[0].pid, "STOP");
                seconds(12).await;
                signal(cast.daemons[0].pid, "CONT");
            }
            Self::Killed => cast.one_is_killed(world, scene).await,
            Self::Visitors => {
                for _ in 0..10 {
                    let visitor = world.daemon(&cast.workspaces[0]).await;
                    visitor.call("inbox_peek", json!({})).await.unwrap();
                    visitor.close().await.unwrap();
                }
            }
            Self::DiskRefuses => limited(cast, Limit::Writing).await,
            Self::NoDescriptors => limited(cast, Limit::Opening).await,
        }
    }
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

async fn rule(world: &World, lasts: u64, rule: Value) {
    world.fault(rule).await;
    seconds(lasts).await;
    world.no_faults().await;
}

/// What the processes that are watched may not do for a while.
#[derive(Clone, Copy)]
enum Limit {
    /// A file can get no larger than nothing.
    Writing,
    /// No more open files than the first three.
    Opening,
}

/// A limit of the system, set from outside.
#[cfg(target_os = "linux")]
async fn limited(cast: &Cast, limit: Limit) {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let (what, low) = match limit {
        Limit::Writing => (Resource::Fsize, 0),
        Limit::Opening => (Resource::Nofile, 3),
    };
    // The hard limit stays what it is: a lowered one could not be raised again.
    let Rlimit { current, maximum } = getrlimit(what);
    let set = |current| {
        for player in &cast.daemons {
            let pid = Pid::from_raw(player.pid.cast_signed());
            prlimit(pid, what, Rlimit { current, maximum }).unwrap();
        }
    };
    set(Some(low));
    seconds(10).await;
    set(current);
}

/// Other systems have no such call.
#[cfg(not(target_os = "linux"))]
async fn limited(_cast: &Cast, _limit: Limit) {}
