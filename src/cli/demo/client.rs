//! A small MCP client over the pipes of a child process: what the demonstration and the end-to-end tests speak with.

use std::collections::HashMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Longer than any tool may take.
const PATIENCE: Duration = Duration::from_secs(320);

/// A running `molecule-mcp` and the session with it. Dropping it kills the process.
#[derive(Debug)]
pub struct McpChild {
    child: Child,
    to_child: mpsc::UnboundedSender<Vec<u8>>,
    heard: Arc<Heard>,
    next_id: AtomicI64,
}

/// Everything the child has said.
#[derive(Debug)]
struct Heard {
    /// `None` once the child can answer no more.
    waiting: Mutex<Option<HashMap<i64, oneshot::Sender<Value>>>>,
    lines: Mutex<Vec<String>>,
    complaints: Mutex<String>,
}

impl McpChild {
    /// Starts the command with three pipes.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn spawn(mut command: Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("the child has no pipes"));
        };
        let heard = Arc::new(Heard {
            waiting: Mutex::new(Some(HashMap::new())),
            lines: Mutex::default(),
            complaints: Mutex::default(),
        });
        let (to_child, outgoing) = mpsc::unbounded_channel();
        tokio::spawn(write_all(stdin, outgoing));
        tokio::spawn(read_lines(stdout, Arc::clone(&heard)));
        tokio::spawn(read_complaints(stderr, Arc::clone(&heard)));
        Ok(Self {
            child,
            to_child,
            heard,
            next_id: AtomicI64::new(1),
        })
    }

    /// Starts the session as an MCP client does.
    ///
    /// # Errors
    /// When the child does not answer.
    pub async fn initialize(&self) -> Result<Value, String> {
        let client = json!({ "name": "molecule-mcp-client", "version": env!("CARGO_PKG_VERSION") });
        let parameters = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        let answer = self.request("initialize", parameters).await?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        Ok(answer)
    }

    /// Sends a request and waits for its whole answer (`result` or `error` inside).
    ///
    /// # Errors
    /// When the child ends or stays silent.
    pub async fn request(&self, method: &str, parameters: Value) -> Result<Value, String> {
        let (id, answer) = self.begin(method, parameters);
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(format!(
                "the daemon ended before it answered {method} ({id}): {}",
                self.complaints()
            )),
            Err(_) => Err(format!("the daemon did not answer {method} ({id})")),
        }
    }

    /// Sends a request without waiting; the receiver gets the whole answer.
    pub fn begin(&self, method: &str, parameters: Value) -> (i64, oneshot::Receiver<Value>) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (tell, answer) = oneshot::channel();
        if let Some(waiting) = locked(&self.heard.waiting).as_mut() {
            waiting.insert(id, tell);
        }
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }));
        (id, answer)
    }

    /// Calls a tool and returns its structured result.
    ///
    /// # Errors
    /// When the call failed; the text is the tool's own.
    pub async fn call(&self, tool: &str, arguments: Value) -> Result<Value, String> {
        let answer = self
            .request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await?;
        let result = &answer["result"];
        if result["isError"] == json!(true) || result.is_null() {
            return Err(format!(
                "{tool} failed: {}",
                if result.is_null() {
                    &answer["error"]
                } else {
                    &result["structuredContent"]
                }
            ));
        }
        Ok(result["structuredContent"].clone())
    }

    /// Sends one JSON value as a line.
    pub fn send(&self, message: &Value) {
        self.send_raw(format!("{message}\n").into_bytes());
    }

    /// Sends bytes as they are.
    pub fn send_raw(&self, bytes: Vec<u8>) {
        // Fails only when the child is gone, which the next answer tells.
        let _ = self.to_child.send(bytes);
    }

    /// Every line the child wrote to stdout so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        locked(&self.heard.lines).clone()
    }

    /// Everything the child wrote to stderr so far.
    #[must_use]
    pub fn complaints(&self) -> String {
        locked(&self.heard.complaints).clone()
    }

    /// The process id, until it has been waited for.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills the process with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Closes the child's stdin, as a client does that goes away, and waits for its exit.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn close(mut self) -> io::Result<(ExitStatus, String)> {
        // The writer ends with its last sender and drops the pipe.
        let (closed, _) = mpsc::unbounded_channel();
        self.to_child = closed;
        self.wait().await
    }

    /// Waits for the exit; the text is what the child wrote to stderr.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<(ExitStatus, String)> {
        let status = self.child.wait().await?;
        // The pipe is closed now, unless somebody inherited it; give its reader time to take the rest, on a loaded machine too.
        for _ in 0..1000 {
            if Arc::strong_count(&self.heard) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((status, self.complaints()))
    }
}

async fn write_all(mut stdin: ChildStdin, mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = outgoing.recv().await {
        if stdin.write_all(&bytes).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

async fn read_lines(stdout: impl tokio::io::AsyncRead + Unpin, heard: Arc<Heard>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(message) = serde_json::from_str::<Value>(&line)
            && message.get("method").is_none()
            && let Some(id) = message["id"].as_i64()
            && let Some(tell) = locked(&heard.waiting).as_mut().and_then(|waiting| waiting.remove(&id))
        {
            let _ = tell.send(message);
        }
        locked(&heard.lines).push(line);
    }
    // Nobody will answer any more: whoever waits learns it now.
    locked(&heard.waiting).take();
}

async fn read_complaints(mut stderr: impl tokio::io::AsyncRead + Unpin, heard: Arc<Heard>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        locked(&heard.complaints).push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
