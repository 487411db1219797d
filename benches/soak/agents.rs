//! What an agent does in its session: takes messages, answers some, and looks things up.

use std::sync::Arc;
use std::time::Duration;

use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Scene;
use super::random::Random;

/// Uses a daemon until all is over, or until it answers no more.
pub async fn works(scene: Arc<Scene>, daemon: Arc<McpChild>, peer: String, seed: u64) {
    let agent = Agent { scene, daemon, peer };
    tokio::join!(
        agent.takes_messages(Random::of(seed, 2)),
        agent.looks_things_up(Random::of(seed, 3))
    );
}

struct Agent {
    scene: Arc<Scene>,
    daemon: Arc<McpChild>,
    /// Whom it delegates to.
    peer: String,
}

/// The daemon is gone.
struct Gone;

impl Agent {
    async fn takes_messages(&self, mut random: Random) {
        while !self.scene.over.is_cancelled() {
            let taken = self.call("wait_for_message", json!({ "timeout_secs": 5 })).await;
            let handled = match taken {
                Ok(Some(message)) if message["activity_id"].is_string() => self.handles(&message, &mut random).await,
                Ok(_) => Ok(()),
                Err(gone) => Err(gone),
            };
            if handled.is_err() {
                return;
            }
        }
    }

    async fn handles(&self, message: &Value, random: &mut Random) -> Result<(), Gone> {
        let text = message["text"].as_str().unwrap_or_default();
        self.scene.ledger.shown(text, message["text_truncated"] == true);
        let arguments = json!({ "activity_id": message["activity_id"], "text": format!("done: {} bytes", text.len()) });
        let wants_an_answer = message["kind"] == "canvas_user" || message["reply_expected"] == true;
        if wants_an_answer && random.percent(20) {
            let answer = self.call("reply_to_message", arguments).await?;
            if answer.is_some_and(|answer| answer["acknowledged"] == true) {
                self.scene.ledger.acknowledged(text);
                return Ok(());
            }
        }
        let arguments = json!({ "activity_id": message["activity_id"] });
        let answer = self.call("inbox_pop", arguments).await?;
        if answer.is_some_and(|answer| answer["removed"] == true) {
            self.scene.ledger.acknowledged(text);
        }
        Ok(())
    }

    async fn looks_things_up(&self, mut random: Random) {
        while self
            .scene
            .quiet
            .run_until_cancelled(sleep(random.millis(1_000, 9_000)))
            .await
            .is_some()
        {
            let (tool, arguments) = match random.below(8) {
                0 => ("list_peers", json!({})),
                1 => ("get_workspace_info", json!({})),
                2 => ("inbox_peek", json!({ "limit": 5 })),
                3 => ("chat_history", json!({ "peer_id": self.peer })),
                4 => ("recall_memory", json!({ "query": "words" })),
                5 => (
                    "commit_memory",
                    json!({ "content": "and some words", "scope": "LOCAL" }),
                ),
                6 => (
                    "delegate_task",
                    json!({ "workspace_id": self.peer, "task": "say how long this is" }),
                ),
                _ => (
                    "delegate_task_async",
                    json!({ "workspace_id": self.peer, "task": "say how long this is, later" }),
                ),
            };
            if self.call(tool, arguments).await.is_err() {
                return;
            }
        }
    }

    /// `None`: the tool failed, which is counted.
    async fn call(&self, tool: &str, arguments: Value) -> Result<Option<Value>, Gone> {
        let answer = self
            .daemon
            .request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
            .map_err(|_| Gone)?;
        let result = &answer["result"];
        if result["isError"] == true || result.is_null() {
            let code = result["structuredContent"]["error"].as_str().unwrap_or("no result");
            self.scene.ledger.called(tool, code);
            // A tool that fails at once must not turn this into a busy loop.
            sleep(Duration::from_millis(500)).await;
            return Ok(None);
        }
        self.scene.ledger.called(tool, "ok");
        Ok(Some(result["structuredContent"].clone()))
    }
}
