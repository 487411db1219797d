//! The least that could be: this program again, as a process that does next to nothing.

use std::io::{BufRead as _, Write as _};
use std::process::Command;

use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::{ServerHandler, ServiceExt as _};

/// Prints one fixed answer to the first line, and ends with its input.
const STATIC: &str = "floor-static";
/// An MCP server without a tool.
const RMCP: &str = "floor-rmcp";
/// A runtime that waits.
const IDLE: &str = "floor-idle";

/// Plays the floor that the command line names; whether it named one.
pub fn play() -> bool {
    match std::env::args().nth(1).as_deref() {
        Some(STATIC) => answer_once(),
        Some(RMCP) => runtime().block_on(serve()),
        Some(IDLE) => runtime().block_on(std::future::pending()),
        _ => return false,
    }
    true
}

pub fn answering() -> Command {
    playing(STATIC)
}

pub fn minimal_server() -> Command {
    playing(RMCP)
}

pub fn waiting() -> Command {
    playing(IDLE)
}

fn playing(what: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(what).env_clear();
    command
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn answer_once() {
    let mut lines = std::io::stdin().lock().lines();
    if lines.next().is_some() {
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"floor","version":"0"}}}"#;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).unwrap();
    }
    for _ in lines {}
}

struct Minimal;

impl ServerHandler for Minimal {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::default())
    }
}

async fn serve() {
    if let Ok(session) = Minimal.serve(rmcp::transport::stdio()).await {
        let _ = session.waiting().await;
    }
    std::process::exit(0);
}
