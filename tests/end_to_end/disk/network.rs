//! File systems that lack what processes need to share a journal: refused, or managed without, and said in either case.

use rustix::io::Errno;

use super::ailing::{AilingDisk, Order};
use super::folder::{is_refused, used_folder};
use super::{say_all, take_all, texts};
use crate::support::{World, drain, inbox_is_empty, next_message, start, until};

#[tokio::test]
async fn locks_that_do_not_work_are_refused_at_the_start() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let Some(disk) = AilingDisk::of(&workspace.folder) else {
        return;
    };
    for (order, part) in [
        (Order::Fail("lock", Errno::NOLCK.raw_os_error()), "No locks available"),
        (Order::Fail("lock", Errno::OPNOTSUPP.raw_os_error()), "not supported"),
        (Order::Pretend("lock"), "only pretends to lock"),
    ] {
        disk.obey(&[order]);
        let parts = [part, "molecule.db.lock", "without locks", "local file system"];
        is_refused(&world, disk.under(world.command(&workspace)), &parts).await;
    }
}

#[tokio::test]
async fn without_shared_memory_a_rollback_journal_does_the_same_and_it_is_said() {
    let world = World::new().await;
    // One folder was used with a write-ahead log before, as one that was copied to such a file system; the other is new.
    let (used, new) = (used_folder(&world, "used").await, world.workspace("new").await);
    for workspace in [used, new] {
        let Some(disk) = AilingDisk::of(&workspace.folder) else {
            return;
        };
        disk.obey(&[Order::FailFor("map", Errno::NODEV.raw_os_error(), "-shm")]);
        let mut holder = start(disk.under(world.command(&workspace))).await;
        let follower = start(disk.under(world.command(&workspace))).await;
        until("it is said", || async { holder.complaints().contains("rollback") }).await;
        until("both have opened it", || async {
            inbox_is_empty(&holder).await && inbox_is_empty(&follower).await
        })
        .await;
        assert!(!workspace.folder.join("molecule.db-wal").exists());
        let mut all = texts(12);
        say_all(&world, &workspace, &all).await;
        let (mut first, second) = tokio::join!(drain(&holder, 6), drain(&follower, 6));
        first.extend(second);
        first.sort();
        all.sort();
        assert_eq!(first, all);
        say_all(&world, &workspace, &texts(2)).await;
        let in_hand = next_message(&holder).await;
        holder.kill().await.unwrap();
        assert_eq!(
            drain(&follower, 2).await.len(),
            2,
            "what was in hand comes back: {in_hand}"
        );
        assert!(inbox_is_empty(&follower).await);
        assert_eq!(follower.close().await.unwrap().0.code(), Some(0));
        // On a file system that has it, the log comes back.
        let daemon = world.daemon(&workspace).await;
        world.say(&workspace, "last").await;
        let (_, notes) = take_all(&daemon, "last").await;
        assert!(workspace.folder.join("molecule.db-wal").exists());
        assert!(notes.is_empty(), "{notes:?}");
    }
}
