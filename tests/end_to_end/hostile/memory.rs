//! What wrong answers cost in memory: however much a platform sends, and however it is made to swell, 64 MB are enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::super::support::{World, drain, start};
use super::proxy::{Part, Reply, Route, Way};

/// How much more a process may ever hold than when it is idle, in kB: 64 MB in all, of which 15 are for an idle one. This is
/// measured as a difference, because a program that was not built for release is larger by itself.
const MOST: u64 = 64_000 - 15_000;

/// Answers that are large, or that grow when they are taken apart.
fn heavy() -> Vec<(&'static str, Reply)> {
    let head = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        Part::Bytes(head.into_bytes())
    };
    let whole = |before: &str, piece: &'static [u8], bytes: usize, after: &str| {
        let times = bytes / piece.len();
        let length = before.len() + times * piece.len() + after.len();
        vec![
            head(length),
            Part::Bytes(before.as_bytes().to_vec()),
            Part::Repeat(piece, times),
            Part::Bytes(after.as_bytes().to_vec()),
        ]
    };
    let endless = |kind: &str, piece: &'static [u8]| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n");
        vec![
            Part::Bytes(head.into_bytes()),
            Part::Repeat(piece, 40_000_000 / piece.len()),
        ]
    };
    // Just below what is taken, so that it is taken apart.
    const PAGE: usize = 16_700_000;
    const RECEIPT: usize = 1_000_000;
    // A message that the agent is shown is held four times while it is written down.
    const TEXT: usize = 10_000_000;
    vec![
        ("40 MB without a length", endless("application/json", b" ")),
        ("40 MB of one line of events", endless("text/event-stream", b"x")),
        (
            "40 MB of lines of one event",
            endless("text/event-stream", b"data: x\n"),
        ),
        (
            "40 MB of small events",
            endless("text/event-stream", b"data: {\"type\":\"A\"}\n\n"),
        ),
        ("a page of numbers", whole("[1", b",1", PAGE, "]")),
        ("a page of empty rows", whole("[{}", b",{}", PAGE, "]")),
        ("a page that is one text", whole("[\"", b"x", PAGE, "\"]")),
        (
            "a page of escapes",
            whole("[{\"id\":\"x\",\"request_body\":\"", b"\\u0041", PAGE, "\"}]"),
        ),
        ("a page of one message", whole(MESSAGE, b"y", TEXT, "\"}]}}}}]")),
        ("a page of no UTF-8", whole("[\"", b"\xff", PAGE, "\"]")),
        ("a page of keys", whole("[{\"id\":\"z\"", b",\"a\":{}", PAGE, "}]")),
        ("a receipt of lists", whole("{\"error\":[[]", b",[]", RECEIPT, "]}")),
        (
            "a receipt of keys",
            whole("{\"a\":1", b",\"b\":{\"c\":[]}", RECEIPT, "}"),
        ),
    ]
}

const MESSAGE: &str =
    r#"[{"id":"w","method":"message/send","request_body":{"params":{"message":{"parts":[{"kind":"text","text":""#;

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_takes_more_than_64_mb() {
    if !cfg!(target_os = "linux") {
        println!("proves nothing here: only Linux tells what a process held at most");
        return;
    }
    let routes = [
        Route::Poll,
        Route::Stream,
        Route::Heartbeat,
        Route::Delegate,
        Route::Register,
    ];
    let failures = futures_util::future::join_all(routes.map(weigh)).await.concat();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// What was too much on one route.
async fn weigh(route: Route) -> Vec<String> {
    let world = World::new().await.at_speed(20);
    let workspace = world.workspace("alpha").await;
    let peer = world.workspace("beta").await;
    let (way, reply) = Way::to(world.url(), route, false).await;
    let command = || {
        let mut command = world.command(&workspace);
        command.env("PLATFORM_URL", &way.url);
        // What is given back goes back, as with the allocator of the released program: glibc's learns from large pieces to keep
        // them, and what it keeps is not what is counted here.
        command
            .env("MALLOC_MMAP_THRESHOLD_", "131072")
            .env("MALLOC_ARENA_MAX", "2");
        command
    };
    let mut failures = Vec::new();
    let mut daemon = start(command()).await;
    world.say(&workspace, "idle").await;
    assert_eq!(drain(&daemon, 1).await, ["idle"]);
    let idle = held(&daemon, "VmRSS");
    for (name, answer) in heavy() {
        // Only pages may be as large as that; elsewhere it is the same refusal each time.
        if route != Route::Poll && name.starts_with("a page") && name != "a page that is one text" {
            continue;
        }
        reply.send_replace(Arc::new(answer));
        let met = way.counts().1;
        way.fault();
        if route == Route::Register {
            // That is asked at the start alone.
            let _ = daemon.close().await;
            daemon = start(command()).await;
        }
        // What was held at most is counted from now on.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", daemon.id().unwrap()), "5");
        if route == Route::Delegate {
            let task = serde_json::json!({ "workspace_id": peer.id, "task": name });
            let _ = daemon.call("delegate_task_async", task).await;
        }
        way.until_wronged(met + 1).await;
        // Until whatever came of it is over: at the next attempts, or when there are none because it was believed.
        let beats = way.beats();
        while way.counts().1 < met + 3 && way.beats() < beats + 5 {
            sleep(Duration::from_millis(20)).await;
        }
        let more = held(&daemon, "VmHWM").saturating_sub(idle);
        println!("{route:?}, {name}: {idle} kB, then up to {more} kB more");
        if more > MOST {
            failures.push(format!("{route:?}, {name}: {more} kB"));
        }
        way.no_fault();
        world.say(&workspace, name).await;
        while drain(&daemon, 1).await != [name] {}
    }
    failures
}

/// A figure of the process, in kB.
fn held(daemon: &molecule_mcp::cli::demo::client::McpChild, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id().unwrap())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}
