//! `serve`: a daemon without a client, that says how it goes.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::start_up::run_to_end;
use super::support::{PATIENCE, Workspace, World, next_message, signal, until};

fn serve(world: &World, workspace: &Workspace) -> Command {
    let mut command = world.command(workspace);
    command.arg("serve").kill_on_drop(true);
    command
}

async fn until_online(world: &World, workspace: &Workspace) {
    until("the workspace is online", || async {
        world.status(workspace).await == "online"
    })
    .await;
}

async fn ends(mut child: Child) -> Option<i32> {
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    ended.expect("it ends").unwrap().code()
}

#[tokio::test]
async fn it_outlives_every_kind_of_standard_input_and_ends_cleanly_with_the_signal() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let file = world.workspace("file").await.folder.join("input");
    std::fs::write(&file, "{\"jsonrpc\":\"2.0\"}\n").unwrap();
    for input in [
        Stdio::null(),
        Stdio::piped(),
        std::fs::File::open(&file).unwrap().into(),
    ] {
        let mut child = serve(&world, &workspace)
            .stdin(input)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // A pipe is closed at once.
        drop(child.stdin.take());
        until_online(&world, &workspace).await;
        let beats = world.requests("heartbeat").await.len();
        until("it goes on beating", || async {
            world.requests("heartbeat").await.len() > beats + 3
        })
        .await;
        let mut stdout = child.stdout.take().unwrap();
        signal(child.id().unwrap(), "TERM");
        assert_eq!(ends(child).await, Some(0));
        let mut said = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stdout, &mut said)
            .await
            .unwrap();
        assert_eq!(said, "", "standard output is left alone");
    }
}

#[tokio::test]
async fn a_client_beside_it_gets_the_messages_and_takes_over_when_it_dies() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut service = serve(&world, &workspace).stdin(Stdio::null()).spawn().unwrap();
    until_online(&world, &workspace).await;
    let client = world.daemon(&workspace).await;
    world.say(&workspace, "one").await;
    assert_eq!(next_message(&client).await["text"], "one");
    assert_eq!(world.requests("register").await.len(), 1, "the client follows");
    service.kill().await.unwrap();
    world.say(&workspace, "two").await;
    assert_eq!(next_message(&client).await["text"], "two");
}

#[tokio::test]
async fn a_start_that_cannot_succeed_has_the_exit_code_that_service_managers_know() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for (name, value, code, said) in [
        ("PLATFORM_URL", "nonsense", 2, "PLATFORM_URL"),
        ("MOLECULE_MCP_MODE", "management", 2, "MOLECULE_MCP_MODE"),
        ("MOLECULE_HTTP", "0.0.0.0:0", 2, "MOLECULE_HTTP"),
        ("MOLECULE_HTTP", "9090", 2, "MOLECULE_HTTP"),
        ("MOLECULE_WORKSPACE_TOKEN", "wrong", 3, "Tokens tab"),
    ] {
        let mut command = serve(&world, &workspace);
        command.env(name, value);
        let (ended, _, complaints) = run_to_end(command).await;
        assert_eq!(ended, code, "{name}={value}: {complaints}");
        assert!(complaints.contains(said), "{name}={value}: {complaints}");
    }
    for (address, said) in [
        (taken.as_str(), "choose another port"),
        ("192.0.2.1:1", "of this computer alone"),
    ] {
        let mut command = serve(&world, &workspace);
        command.args(["--http", address]);
        let (ended, _, complaints) = run_to_end(command).await;
        assert!(ended == 2 && complaints.contains(said), "{ended} {complaints}");
    }
}

#[tokio::test]
async fn for_launchd_an_end_that_a_new_start_would_not_mend_is_a_good_one() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    for (name, value, said) in [
        ("PLATFORM_URL", "nonsense", "PLATFORM_URL"),
        ("MOLECULE_WORKSPACE_TOKEN", "wrong", "Tokens tab"),
    ] {
        let mut command = serve(&world, &workspace);
        command.arg("--launchd").env(name, value);
        let (ended, _, complaints) = run_to_end(command).await;
        assert_eq!(ended, 0, "{name}={value}: {complaints}");
        assert!(
            complaints.contains(said) && complaints.contains("molecule-mcp service start"),
            "{complaints}"
        );
    }
}

/// A daemon that serves its health endpoints, and where.
async fn with_endpoints(world: &World, workspace: &Workspace) -> (McpChild, String) {
    let mut command = serve(world, workspace);
    command.args(["--http", "127.0.0.1:0"]);
    let daemon = McpChild::spawn(command).unwrap();
    let address = || {
        let log = daemon.complaints();
        let (_, rest) = log.split_once("/metrics at ")?;
        // A line of a service is JSON.
        Some(rest.split_once(['"', '\n'])?.0.to_owned())
    };
    until("it listens", || async { address().is_some() }).await;
    let address = address().unwrap();
    (daemon, address)
}

async fn get(url: String) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn its_endpoints_tell_alive_from_ready_and_count_what_waits() {
    let mut world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (mut daemon, address) = with_endpoints(&world, &workspace).await;
    assert_eq!(get(format!("{address}/healthz")).await.0, 200);
    until("it is ready", || async {
        get(format!("{address}/readyz")).await.0 == 200
    })
    .await;
    world.say(&workspace, "sekrit-text").await;
    until("the message is counted", || async {
        let (_, page) = get(format!("{address}/metrics")).await;
        page.contains("molecule_mcp_inbox_messages{state=\"new\"} 1\n")
            && page.contains("molecule_mcp_workspaces{state=\"online\"} 1\n")
            && page.contains("molecule_mcp_processes 1\n")
            && page.contains("molecule_mcp_alive 1\n")
    })
    .await;
    let (_, page) = get(format!("{address}/metrics")).await;
    for secret in [&workspace.id, &workspace.token, "sekrit-text"] {
        assert!(!page.contains(secret), "{page}");
    }
    let elsewhere = reqwest::Client::builder().no_proxy().build().unwrap();
    let rebound = elsewhere
        .get(format!("{address}/metrics"))
        .header("host", "evil.example");
    assert_eq!(rebound.send().await.unwrap().status(), 403);
    world.go_down().await;
    until("it is no longer ready", || async {
        get(format!("{address}/readyz")).await.0 == 503
    })
    .await;
    let (_, reasons) = get(format!("{address}/readyz")).await;
    let reasons: Value = serde_json::from_str(&reasons).unwrap();
    let codes: Vec<_> = reasons["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["code"])
        .collect();
    assert!(codes.contains(&&json!("PLATFORM_UNREACHABLE")), "{reasons}");
    assert_eq!(get(format!("{address}/healthz")).await.0, 200);
    signal(daemon.id().unwrap(), "TERM");
    assert_eq!(daemon.wait().await.unwrap().0.code(), Some(0));
}

/// A service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            heard: Vec::new(),
        }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 8192];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }

    /// Waits until `what` was said after the first `from` lines; where it stands.
    async fn hears(&mut self, from: usize, what: &str) -> usize {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            self.listen();
            if let Some(at) = self.heard.iter().skip(from).position(|line| line.starts_with(what)) {
                return from + at;
            }
            assert!(tokio::time::Instant::now() < deadline, "{what} in {:?}", self.heard);
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
}

#[tokio::test]
async fn systemd_is_told_of_the_start_the_progress_a_new_configuration_and_the_end() {
    let mut world = World::durable().await;
    let workspace = world.workspace("alpha").await;
    let path = workspace.folder.join("notify");
    let mut manager = Manager::at(&path);
    let file = workspace.folder.join("molecule.toml");
    let mut command = serve(&world, &workspace);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .stdin(Stdio::null());
    // A platform that is down at boot is no reason not to start.
    world.go_down().await;
    let child = command.spawn().unwrap();
    let ready = manager.hears(0, "READY=1").await;
    manager.hears(ready, "WATCHDOG=1").await;
    manager
        .hears(ready, &format!("STATUS={} receiving nothing: ", &workspace.id[..8]))
        .await;
    world.come_back().await;
    let online = manager
        .hears(ready, &format!("STATUS={} online (0 new", &workspace.id[..8]))
        .await;

    std::fs::write(&file, "no such key = 1\n").unwrap();
    signal(child.id().unwrap(), "HUP");
    let reloading = manager.hears(online, "RELOADING=1").await;
    assert!(
        manager.heard[reloading + 1].starts_with("MONOTONIC_USEC="),
        "{:?}",
        manager.heard
    );
    let kept = manager.hears(reloading, "READY=1").await;
    assert_eq!(world.status(&workspace).await, "online");

    std::fs::write(&file, "agent_name = \"renamed\"\n").unwrap();
    signal(child.id().unwrap(), "HUP");
    let reloading = manager.hears(kept, "RELOADING=1").await;
    let ready = manager.hears(reloading, "READY=1").await;
    manager
        .hears(ready, &format!("STATUS={} online", &workspace.id[..8]))
        .await;
    until("the new name is registered", || async {
        let registers = world.requests("register").await;
        registers.iter().any(|it| it["body"]["agent_card"]["name"] == "renamed")
    })
    .await;

    signal(child.id().unwrap(), "TERM");
    assert_eq!(ends(child).await, Some(0));
    manager.hears(ready, "STOPPING=1").await;
    assert!(!manager.heard.join("\n").contains(&workspace.token));
}
