//! The daemons that are watched, and those that come and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::support::{Workspace, World, until};
use super::{Scene, agents};

/// Who is who among the watched. The first begins with the duty, the second stands by; faults may change that.
pub const NAMES: [&str; 3] = ["the first", "the second", "the peer"];

pub struct Cast {
    pub workspaces: Vec<Workspace>,
    /// In the order of [`NAMES`].
    pub daemons: Vec<Player>,
    /// One more that stands by, and is killed and started again.
    mortal: Mutex<Player>,
    seed: u64,
}

pub struct Player {
    pub pid: u32,
    pub daemon: Arc<McpChild>,
    works: JoinHandle<()>,
}

impl Cast {
    pub async fn assemble(world: &World, scene: &Arc<Scene>, seed: u64) -> Self {
        let workspaces = vec![world.workspace("alpha").await, world.workspace("beta").await];
        let (alpha, beta) = (&workspaces[0], &workspaces[1]);
        let holder = player(world, scene, alpha, beta, seed).await;
        until("the workspace is online", || async {
            world.status(alpha).await == "online"
        })
        .await;
        let follower = player(world, scene, alpha, beta, seed + 1).await;
        let peer = player(world, scene, beta, alpha, seed + 2).await;
        let mortal = player(world, scene, alpha, beta, seed + 3).await;
        Self {
            daemons: vec![holder, follower, peer],
            mortal: Mutex::new(mortal),
            workspaces,
            seed,
        }
    }

    /// A daemon dies in the middle of its work, and another takes its place.
    pub async fn one_is_killed(&self, world: &World, scene: &Arc<Scene>) {
        let another = player(world, scene, &self.workspaces[0], &self.workspaces[1], self.seed + 4).await;
        let killed = std::mem::replace(&mut *self.mortal.lock().unwrap(), another);
        super::support::signal(killed.pid, "KILL");
        // Its agent notices, and with it goes the last that knows of the process.
        drop(killed.daemon);
        killed.works.await.unwrap();
    }

    /// Everyone goes; what they should not have written on the way.
    pub async fn leaves(self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut all = self.daemons;
        all.push(self.mortal.into_inner().unwrap());
        for player in all {
            let _ = timeout(Duration::from_secs(30), player.works).await;
            let complaints = player.daemon.complaints();
            if complaints.contains("panicked") {
                wrong.push(format!("a daemon panicked: {complaints}"));
            }
        }
        wrong
    }
}

async fn player(world: &World, scene: &Arc<Scene>, of: &Workspace, peer: &Workspace, seed: u64) -> Player {
    let daemon = Arc::new(world.daemon(of).await);
    let pid = daemon.id().unwrap();
    let works = tokio::spawn(agents::works(
        Arc::clone(scene),
        Arc::clone(&daemon),
        peer.id.clone(),
        seed,
    ));
    Player { pid, daemon, works }
}
