//! Several processes on one state folder: who does what, who takes over, and what the others are told.

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::json;

use super::support::{Workspace, World, inbox_is_empty, next_message, pop, remove_folder, signal, start, until};

/// Keeps the workspace online and reads nothing.
const PRESENT: &[&str] = &["MOLECULE_MCP_DISABLE_INBOX"];
/// Reads and neither registers nor beats.
const READER: &[&str] = &["MOLECULE_MCP_DISABLE_HEARTBEAT"];

/// Starts a daemon with a token of its own, by which the platform's log tells it from others.
async fn start_own(world: &World, workspace: &Workspace, variables: &[&str]) -> (String, McpChild) {
    let token = world.another_token(workspace).await;
    let mut command = world.command(workspace);
    command.env("MOLECULE_WORKSPACE_TOKEN", &token);
    for variable in variables {
        command.env(variable, "1");
    }
    (token, start(command).await)
}

/// Waits until the daemon with this token does something again that only a holder does.
async fn does(world: &World, token: &str, route: &str) {
    let before = world.requests_with(token, route).await.len();
    until(&format!("{route} is asked by the right process"), || async {
        world.requests_with(token, route).await.len() >= before + 2
    })
    .await;
}

/// Waits until the daemon with this token has stopped doing something, which another one still does.
async fn stops(world: &World, token: &str, route: &str, other: &str) {
    until(&format!("{route} is asked by one process only"), || async {
        let before = world.requests_with(token, route).await.len();
        does(world, other, "heartbeat").await;
        does(world, other, "heartbeat").await;
        world.requests_with(token, route).await.len() == before
    })
    .await;
}

#[tokio::test]
async fn a_second_process_in_the_same_folder_serves_tools_and_neither_registers_nor_beats_nor_polls() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let first = world.online(&workspace).await;
    let (own, second) = start_own(&world, &workspace, &[]).await;
    world.say(&workspace, "for either of you").await;
    let message = next_message(&second).await;
    assert_eq!(message["text"], "for either of you");
    assert_eq!(pop(&second, &message).await["removed"], json!(true));
    assert!(inbox_is_empty(&first).await);
    second.call("list_peers", json!({})).await.unwrap();
    assert_eq!(world.requests_with(&own, "peers").await.len(), 1);
    for route in ["register", "heartbeat", "activity", "events"] {
        assert!(world.requests_with(&own, route).await.is_empty(), "{route}");
    }
}

#[tokio::test]
async fn a_follower_takes_over_when_the_holder_is_killed() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut first = world.online(&workspace).await;
    let second = world.daemon(&workspace).await;
    first.kill().await.unwrap();
    let beats = world.requests("heartbeat").await.len();
    until("the follower beats", || async {
        world.requests("heartbeat").await.len() > beats
    })
    .await;
    world.say(&workspace, "after the takeover").await;
    assert_eq!(next_message(&second).await["text"], "after the takeover");
}

#[tokio::test]
async fn two_processes_that_each_do_a_part_share_the_duties() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (present, one) = start_own(&world, &workspace, PRESENT).await;
    let (reader, two) = start_own(&world, &workspace, READER).await;
    until("it is online", || async { world.status(&workspace).await == "online" }).await;
    does(&world, &present, "heartbeat").await;
    does(&world, &reader, "activity").await;
    world.say(&workspace, "for the one that reads").await;
    let message = next_message(&two).await;
    assert_eq!(message["text"], "for the one that reads");
    pop(&two, &message).await;
    assert_eq!(world.requests_with(&present, "register").await.len(), 1);
    for (token, route) in [(&present, "activity"), (&reader, "register"), (&reader, "heartbeat")] {
        assert!(world.requests_with(token, route).await.is_empty(), "{route}");
    }
    for daemon in [&one, &two] {
        assert!(
            !daemon.complaints().contains("giving the duty up"),
            "{}",
            daemon.complaints()
        );
    }
    // A further one that would only read is told by the reader's record that all is well, and by its age when it is not.
    let (_, further) = start_own(&world, &workspace, READER).await;
    let health = || async { further.call("inbox_peek", json!({})).await.unwrap()["health"].clone() };
    until("it hears that all is well", || async { health().await.is_null() }).await;
    signal(one.id().unwrap(), "STOP");
    until("the others are told that nobody beats", || async {
        [&two, &further].iter().all(|other| {
            other
                .complaints()
                .contains("holds the presence of this workspace and makes no progress")
        })
    })
    .await;
    until("receiving is still well", || async { health().await.is_null() }).await;
    signal(one.id().unwrap(), "CONT");
    signal(two.id().unwrap(), "STOP");
    until("the reader is called silent", || async {
        health().await[0]["code"] == "HOLDER_SILENT"
    })
    .await;
    does(&world, &present, "heartbeat").await;
    signal(two.id().unwrap(), "CONT");
    until("all is well again", || async { health().await.is_null() }).await;
}

#[tokio::test]
async fn the_death_of_one_of_two_leaves_the_others_duty_alone_and_a_whole_process_takes_both() {
    for (dies, stays) in [(PRESENT, READER), (READER, PRESENT)] {
        let world = World::new().await;
        let workspace = world.workspace("alpha").await;
        let (_, mut first) = start_own(&world, &workspace, dies).await;
        let (left, second) = start_own(&world, &workspace, stays).await;
        let (its_work, its_start) = if stays == PRESENT {
            ("heartbeat", "register")
        } else {
            ("activity", "events")
        };
        does(&world, &left, its_work).await;
        let begun = world.requests_with(&left, its_start).await.len();
        first.kill().await.unwrap();
        does(&world, &left, its_work).await;
        assert_eq!(world.requests_with(&left, its_start).await.len(), begun);
        assert!(
            !second.complaints().contains("giving the duty up"),
            "{}",
            second.complaints()
        );

        let (whole, third) = start_own(&world, &workspace, &[]).await;
        does(&world, &whole, "heartbeat").await;
        does(&world, &whole, "activity").await;
        stops(&world, &left, its_work, &whole).await;
        world.say(&workspace, "for the whole one").await;
        assert_eq!(next_message(&third).await["text"], "for the whole one");
    }
}

#[tokio::test]
async fn a_whole_process_takes_both_duties_from_partial_ones_and_they_return_when_it_dies() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (present, _one) = start_own(&world, &workspace, PRESENT).await;
    let (reader, two) = start_own(&world, &workspace, READER).await;
    does(&world, &present, "heartbeat").await;
    does(&world, &reader, "activity").await;
    let (whole, mut third) = start_own(&world, &workspace, &[]).await;
    does(&world, &whole, "heartbeat").await;
    does(&world, &whole, "activity").await;
    stops(&world, &present, "heartbeat", &whole).await;
    stops(&world, &reader, "activity", &whole).await;
    third.kill().await.unwrap();
    does(&world, &present, "heartbeat").await;
    does(&world, &reader, "activity").await;
    world.say(&workspace, "after the whole one").await;
    assert_eq!(next_message(&two).await["text"], "after the whole one");
}

#[tokio::test]
async fn whole_processes_never_end_up_with_one_duty_each() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut started = Vec::new();
    for _ in 0..4 {
        let token = world.another_token(&workspace).await;
        let mut command = world.command(&workspace);
        command.env("MOLECULE_WORKSPACE_TOKEN", &token);
        started.push((token, McpChild::spawn(command).unwrap()));
    }
    while !started.is_empty() {
        let at = until_one_does_both(&world, &started).await;
        let (_, mut holder) = started.remove(at);
        holder.kill().await.unwrap();
    }
}

/// Waits until one process beats and reads and no other one does; which.
async fn until_one_does_both(world: &World, started: &[(String, McpChild)]) -> usize {
    let holder = std::cell::Cell::new(0);
    until("one process does both", || async {
        let mut before = Vec::new();
        for (token, _) in started {
            before.push(work_of(world, token).await);
        }
        let total = |work: &[(usize, usize)]| work.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        loop {
            let mut done = Vec::new();
            for ((token, _), before) in started.iter().zip(&before) {
                let now = work_of(world, token).await;
                done.push((now.0 - before.0, now.1 - before.1));
            }
            // Both have been done often enough to tell who does them.
            if total(&done).0 >= 3 && total(&done).1 >= 3 {
                let busy: Vec<usize> = (0..done.len()).filter(|at| done[*at] != (0, 0)).collect();
                holder.set(busy[0]);
                return busy.len() == 1;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    holder.get()
}

/// Beats and reads.
async fn work_of(world: &World, token: &str) -> (usize, usize) {
    (
        world.requests_with(token, "heartbeat").await.len(),
        world.requests_with(token, "activity").await.len(),
    )
}

#[tokio::test]
async fn a_deletion_that_the_reader_finds_ends_the_beats_of_the_other_process() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (present, one) = start_own(&world, &workspace, PRESENT).await;
    let (_, two) = start_own(&world, &workspace, READER).await;
    does(&world, &present, "heartbeat").await;
    world.say(&workspace, "before").await;
    assert_eq!(next_message(&two).await["text"], "before");
    world.delete(&workspace).await;
    for daemon in [&one, &two] {
        until("both say so", || async {
            daemon.complaints().contains("was deleted on the platform")
        })
        .await;
    }
    let beats = world.requests_with(&present, "heartbeat").await.len();
    let checks = world.requests("get_workspace").await.len();
    until("two more existence checks pass", || async {
        world.requests("get_workspace").await.len() >= checks + 2
    })
    .await;
    assert!(world.requests_with(&present, "heartbeat").await.len() <= beats + 1);
}

#[tokio::test]
async fn a_holder_whose_token_is_refused_makes_room_for_one_with_a_newer_token() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let tokens = format!("/workspaces/{}/tokens", workspace.id);
    let newer = world.another_token(&workspace).await;
    let old = world.online(&workspace).await;
    let mut command = world.command(&workspace);
    command.env("MOLECULE_WORKSPACE_TOKEN", &newer);
    let new = start(command).await;
    let listed = world.ok(reqwest::Method::GET, &tokens, Some(&newer), None).await;
    let first = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| workspace.token.starts_with(token["prefix"].as_str().unwrap()));
    let path = format!("{tokens}/{}", first.unwrap()["id"].as_str().unwrap());
    world.ok(reqwest::Method::DELETE, &path, Some(&newer), None).await;
    world.say(&workspace, "with the newer token").await;
    assert_eq!(next_message(&new).await["text"], "with the newer token");
    assert!(old.complaints().contains("giving the duty up"), "{}", old.complaints());
}

#[tokio::test]
async fn a_stopped_holder_keeps_the_duty_and_the_others_say_so() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let holder = world.online(&workspace).await;
    let follower = world.daemon(&workspace).await;
    let health = || async { follower.call("inbox_peek", json!({})).await.unwrap()["health"].clone() };
    until("the follower hears that all is well", || async {
        health().await.is_null()
    })
    .await;
    signal(holder.id().unwrap(), "STOP");
    until("the follower calls the holder silent", || async {
        health().await[0]["code"] == "HOLDER_SILENT"
    })
    .await;
    signal(holder.id().unwrap(), "CONT");
    until("all is well again", || async { health().await.is_null() }).await;
    world.say(&workspace, "continued").await;
    assert_eq!(next_message(&follower).await["text"], "continued");
}

#[tokio::test]
async fn a_follower_tells_the_troubles_of_its_holder() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let _holder = world.online(&workspace).await;
    let follower = world.daemon(&workspace).await;
    world
        .fault(json!({ "route": "activity", "status": 401, "body": { "error": "invalid workspace auth token" } }))
        .await;
    until("the follower says why it is deaf", || async {
        follower.call("inbox_peek", json!({})).await.unwrap()["health"][0]["code"] == "AUTH_ERROR"
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_was_replaced_belongs_to_the_processes_started_in_it() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (old, holder) = start_own(&world, &workspace, &[]).await;
    until("it is online", || async { world.status(&workspace).await == "online" }).await;
    let (standing_by, follower) = start_own(&world, &workspace, &[]).await;
    until("the second one stands by", || async {
        follower.call("inbox_peek", json!({})).await.unwrap()["health"].is_null()
    })
    .await;
    remove_folder(&workspace.folder).await;
    std::fs::create_dir(&workspace.folder).unwrap();
    for daemon in [&holder, &follower] {
        until("both say so", || async {
            let waited = daemon.call("wait_for_message", json!({ "timeout_secs": 0 })).await;
            let said = waited.map_or_else(|error| error, |answer| answer.to_string());
            said.contains("STATE_DIR_GONE")
        })
        .await;
    }
    assert!(std::fs::read_dir(&workspace.folder).unwrap().next().is_none());
    // The holder keeps the workspace online as long as nobody else does.
    does(&world, &old, "heartbeat").await;
    let (new, mut successor) = start_own(&world, &workspace, &[]).await;
    does(&world, &new, "heartbeat").await;
    stops(&world, &old, "heartbeat", &new).await;
    world.say(&workspace, "in the new folder").await;
    assert_eq!(next_message(&successor).await["text"], "in the new folder");
    let told = follower.call("wait_for_message", json!({ "timeout_secs": 0 })).await;
    assert!(told.unwrap().to_string().contains("STATE_DIR_GONE"));
    successor.kill().await.unwrap();
    let (newer, _last) = start_own(&world, &workspace, &[]).await;
    does(&world, &newer, "activity").await;
    for route in ["heartbeat", "activity"] {
        assert!(world.requests_with(&standing_by, route).await.is_empty(), "{route}");
    }
}
