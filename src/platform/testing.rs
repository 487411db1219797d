//! A hand-written HTTP server for tests: says exactly the bytes it is told to, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::client::{Client, Deadlines, Settings};
use super::workspace::WorkspaceApi;
use crate::config::proxy::Route;
use crate::config::token::TokenSource;
use crate::types::{BaseUrl, PlainHttp, Secret, WorkspaceId};

pub(crate) const TOKEN: &str = "tok-0123456789";
pub(crate) const SELF: &str = "5f0c1d2e-0000-4000-8000-000000000001";
pub(crate) const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000002";

/// What one request is answered with, in steps; the connection is closed after the last unless told otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    steps: Vec<Step>,
    keep_open: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<u8>),
    Pause(Duration),
}

impl Reply {
    pub(crate) fn raw(bytes: &str) -> Self {
        Self {
            steps: vec![Step::Write(bytes.as_bytes().to_vec())],
            keep_open: false,
        }
    }

    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        Self::raw(&format!(
            "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, &[("content-type", "application/json")], body)
    }

    pub(crate) fn then(mut self, bytes: &str) -> Self {
        self.steps.push(Step::Write(bytes.as_bytes().to_vec()));
        self
    }

    pub(crate) fn pause(mut self, pause: Duration) -> Self {
        self.steps.push(Step::Pause(pause));
        self
    }

    pub(crate) fn keep_open(mut self) -> Self {
        self.keep_open = true;
        self
    }
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Counts from 0.
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    }

    pub(crate) fn request_line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers one request after the other with one reply after the other; the last is repeated.
pub(crate) struct Responder {
    pub(crate) base: BaseUrl,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Responder {
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let replies = Arc::new(replies);
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(stream, connection, Arc::clone(&replies), Arc::clone(&log)));
            }
        });
        Self {
            base: BaseUrl::parse(&address, PlainHttp::Nearby).unwrap(),
            seen,
            task,
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            base: self.base.clone(),
            org_id: None,
            org_slug: None,
            route: Route::default(),
        }
    }

    /// A client whose deadlines are short enough for a test and long enough for a busy machine.
    pub(crate) fn client(&self) -> Client {
        Client::with_deadlines(self.settings(), deadlines())
    }

    pub(crate) fn api(&self) -> WorkspaceApi {
        api_over(self.client())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn deadlines() -> Deadlines {
    Deadlines {
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(10),
        quick: Duration::from_secs(10),
        long: Duration::from_secs(10),
        row: Duration::from_secs(10),
    }
}

pub(crate) fn api_over(client: Client) -> WorkspaceApi {
    let token = TokenSource::inline(Secret::parse(TOKEN).unwrap());
    WorkspaceApi::new(client, WorkspaceId::parse(SELF).unwrap(), token)
}

async fn serve(mut stream: TcpStream, connection: usize, replies: Arc<Vec<Reply>>, log: Arc<Mutex<Vec<Seen>>>) {
    let mut held = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut held).await {
        let turn = {
            let mut log = log.lock().unwrap();
            log.push(Seen { connection, head, body });
            log.len() - 1
        };
        let reply = &replies[turn.min(replies.len() - 1)];
        for step in &reply.steps {
            match step {
                // A client that hung up is what some tests are about.
                Step::Write(bytes) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Step::Pause(pause) => tokio::time::sleep(*pause).await,
            }
        }
        if !reply.keep_open {
            return;
        }
    }
}

async fn request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = held.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(held[..end].to_vec()).unwrap();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse().unwrap());
            let start = end + 4;
            if held.len() >= start + length {
                let rest = held.split_off(start + length);
                let body = String::from_utf8(std::mem::replace(held, rest).split_off(start)).unwrap();
                return Some((head, body));
            }
        }
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => held.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}
