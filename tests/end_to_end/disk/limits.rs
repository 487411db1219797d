//! Limits that a system sets on a running process.

use molecule_mcp::cli::demo::client::McpChild;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::folder::has_trouble;
use super::{say_all, settle, stands_still, texts};
use crate::support::{World, drain, inbox_is_empty, until};

/// Lowers a limit of a running process for as long as it lives, or until it is raised again.
struct Limit {
    pid: Pid,
    resource: Resource,
    before: Rlimit,
}

impl Limit {
    fn lower(daemon: &McpChild, resource: Resource, to: u64) -> Self {
        let pid = Pid::from_raw(i32::try_from(daemon.id().unwrap()).unwrap()).unwrap();
        let before = getrlimit(resource);
        let lowered = Rlimit {
            current: Some(to),
            ..before
        };
        prlimit(Some(pid), resource, lowered).unwrap();
        Self { pid, resource, before }
    }

    fn raise(self) {
        prlimit(Some(self.pid), self.resource, self.before).unwrap();
    }
}

#[tokio::test]
async fn without_file_descriptors_beats_go_on_and_nothing_is_lost() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    settle(&world, &workspace, &daemon, "before").await;
    // Those that are open stay; there is no further one.
    let limit = Limit::lower(&daemon, Resource::Nofile, 3);
    let beats = world.requests("heartbeat").await.len();
    let sent = texts(3);
    say_all(&world, &workspace, &sent).await;
    assert_eq!(
        drain(&daemon, 3).await,
        sent,
        "the journal and the connections are open"
    );
    until("the trouble is told", || {
        has_trouble(&daemon, Some("CURSOR_FILE_UNWRITTEN"))
    })
    .await;
    until("beats go on", || async {
        world.requests("heartbeat").await.len() >= beats + 8
    })
    .await;
    limit.raise();
    until("all is well", || has_trouble(&daemon, None)).await;
    assert!(inbox_is_empty(&daemon).await);
}

#[tokio::test]
async fn a_limit_of_file_sizes_is_a_full_disk_and_no_end() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let daemon = world.online(&workspace).await;
    let cursor = settle(&world, &workspace, &daemon, "before").await;
    let limit = Limit::lower(&daemon, Resource::Fsize, 1);
    let sent = texts(3);
    say_all(&world, &workspace, &sent).await;
    stands_still(&world, &workspace, &daemon, &cursor).await;
    limit.raise();
    assert_eq!(drain(&daemon, 3).await, sent);
    until("all is well", || has_trouble(&daemon, None)).await;
}
