//! The least that could be: this program again, as a process that does next to nothing.

use std::io::{BufRead as _, Write as _};
use std::process::Command;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ErrorData, ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt as _};

/// Prints one fixed answer to the first line, and ends with its input.
const STATIC: &str = "floor-static";
/// An MCP server without a tool.
const RMCP: &str = "floor-rmcp";
/// An MCP server whose every tool makes one request, and gives back what it is answered.
const FETCHING: &str = "floor-fetching";
/// A runtime that waits.
const IDLE: &str = "floor-idle";

/// Plays the floor that the command line names; whether it named one.
pub fn play() -> bool {
    match std::env::args().nth(1).as_deref() {
        Some(STATIC) => answer_once(),
        Some(RMCP) => runtime().block_on(serve(Minimal)),
        Some(FETCHING) => runtime().block_on(serve(Fetching(Bare::from_environment()))),
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

/// The request that its tools make.
pub fn fetching_server(bare: &Bare) -> Command {
    let mut command = playing(FETCHING);
    command.env(URL, &bare.url).env(TOKEN, &bare.token);
    command
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

/// One request by a client that does nothing else, over a connection that stays.
pub struct Bare {
    http: reqwest::Client,
    url: String,
    token: String,
}

const URL: &str = "FLOOR_URL";
const TOKEN: &str = "FLOOR_TOKEN";

impl Bare {
    pub fn new(url: String, token: String) -> Self {
        // Fails where there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url, token }
    }

    fn from_environment() -> Self {
        let [url, token] = [URL, TOKEN].map(|name| std::env::var(name).unwrap());
        Self::new(url, token)
    }

    pub async fn call(&self) -> serde_json::Value {
        let answer = self.http.get(&self.url).bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let row: serde_json::Value = answer.json().await.unwrap();
        assert!(row["id"].is_string());
        row
    }
}

struct Fetching(Bare);

impl ServerHandler for Fetching {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        Ok(CallToolResult::structured(self.0.call().await).into())
    }
}

async fn serve(server: impl ServerHandler) {
    if let Ok(session) = server.serve(rmcp::transport::stdio_pipes()).await {
        let _ = session.waiting().await;
    }
    std::process::exit(0);
}
