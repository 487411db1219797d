//! What an agent does in its session: waits, remembers what it was shown, answers, acknowledges, forgets, delegates.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use molecule_mcp::cli::demo::client::McpChild;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::ledger::{Origin, Show};
use super::now_ms;
use super::random::Random;
use super::slot::Slot;
use super::world::World;

/// Tool calls of one session at once.
const ABREAST: u64 = 2;

/// Uses the daemon until it answers no more.
pub async fn session(world: &Arc<World>, slot: &Arc<Slot>, life: usize, child: &McpChild, random: &mut Random) {
    if child.initialize().await.is_err() {
        return;
    }
    world.ledger.ready(life);
    let seed = random.next();
    join_all((0..ABREAST).map(|n| {
        let worker = Worker {
            world,
            workspace: slot.workspace,
            life,
            child,
            random: Random::of(seed, n),
            later: Vec::new(),
        };
        worker.work()
    }))
    .await;
}

struct Worker<'a> {
    world: &'a World,
    workspace: usize,
    life: usize,
    child: &'a McpChild,
    random: Random,
    /// What it means to acknowledge, and when.
    later: Vec<(Instant, Value)>,
}

fn delivery(message: &Value) -> u64 {
    message["delivery_count"].as_u64().unwrap_or(0)
}

/// The daemon is gone.
struct Gone;

impl Worker<'_> {
    async fn work(mut self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        if let Some(due) = self.later.iter().position(|(due, _)| *due <= now) {
            let (_, message) = self.later.swap_remove(due);
            return self.pop(&message).await;
        }
        if self.random.percent(self.world.plan.talk) && !self.is_calm() {
            return self.delegate().await;
        }
        let begun = now_ms();
        let waited = if self.random.percent(5) {
            self.wait_and_cancel().await?
        } else {
            self.call("wait_for_message", json!({ "timeout_secs": 2 })).await?
        };
        let Some(message) = waited else {
            return Ok(());
        };
        let (Some(_), Some(text)) = (message["activity_id"].as_str(), message["text"].as_str()) else {
            return Ok(());
        };
        self.shown(begun, &message, text);
        self.handle(message).await
    }

    fn is_calm(&self) -> bool {
        self.world.storm.is_cancelled()
    }

    fn shown(&self, begun: i64, message: &Value, text: &str) {
        let show = Show {
            life: self.life,
            begun,
            answered: now_ms(),
            delivery: delivery(message),
        };
        let kind = message["kind"].as_str().unwrap_or_default();
        self.world.ledger.shown(self.workspace, text, kind, show);
    }

    async fn handle(&mut self, message: Value) -> Result<(), Gone> {
        if self.is_calm() {
            return self.pop(&message).await;
        }
        let wants_reply = match message["kind"].as_str() {
            Some("canvas_user") => 4 * self.world.plan.talk,
            Some("peer_agent") if message["in_reply_to"].is_null() && message["reply_expected"] != false => {
                6 * self.world.plan.talk
            }
            _ => 0,
        };
        if self.random.percent(wants_reply) {
            return self.reply(&message).await;
        }
        match self.random.below(100) {
            // Forgotten: it must be offered again when its lease has run out.
            0..7 => Ok(()),
            7..12 => {
                let most = u64::try_from(self.world.plan.lease().as_millis()).unwrap() * 3 / 2;
                let due = Instant::now() + self.random.millis(0, most);
                self.later.push((due, message));
                Ok(())
            }
            _ => self.pop(&message).await,
        }
    }

    async fn pop(&mut self, message: &Value) -> Result<(), Gone> {
        let answer = self
            .call("inbox_pop", json!({ "activity_id": message["activity_id"] }))
            .await?;
        if answer.is_some_and(|answer| answer["removed"] == true) {
            self.acknowledged(message);
        }
        Ok(())
    }

    fn acknowledged(&self, message: &Value) {
        let text = message["text"].as_str().unwrap_or_default();
        self.world.ledger.acknowledged(text, self.life, delivery(message));
    }

    async fn reply(&mut self, message: &Value) -> Result<(), Gone> {
        let to_person = message["kind"] == "canvas_user";
        let origin = if to_person { Origin::Notice } else { Origin::Reply };
        let own = self.world.ledger.writes(origin, 1 - self.workspace);
        let arguments = json!({ "activity_id": message["activity_id"], "text": own });
        let Some(answer) = self.call("reply_to_message", arguments).await? else {
            return Ok(());
        };
        self.world.ledger.answered(&own, &answer);
        if answer["acknowledged"] == true {
            self.acknowledged(message);
        }
        Ok(())
    }

    async fn delegate(&mut self) -> Result<(), Gone> {
        let own = self.world.ledger.writes(Origin::Task, 1 - self.workspace);
        let target = &self.world.peer_of(self.workspace).id;
        let arguments = json!({ "workspace_id": target, "task": own });
        let tool = if self.random.percent(25) {
            "delegate_task"
        } else {
            "delegate_task_async"
        };
        let Some(answer) = self.call(tool, arguments).await? else {
            return Ok(());
        };
        self.world.ledger.answered(&own, &answer);
        // A plain message that may be the answer stays in the inbox.
        if let Some(text) = answer["text"].as_str().filter(|_| answer["maybe_reply"] != true) {
            self.world.ledger.returned(self.workspace, text);
        }
        Ok(())
    }

    /// A wait that the client gives up soon. An answer that was on its way counts.
    async fn wait_and_cancel(&mut self) -> Result<Option<Value>, Gone> {
        let arguments = json!({ "timeout_secs": 2 });
        let call = json!({ "name": "wait_for_message", "arguments": arguments });
        let (id, answer) = self.child.begin("tools/call", call);
        sleep(self.random.millis(0, 40)).await;
        let told = json!({ "requestId": id, "reason": "the agent has something better to do" });
        self.child
            .send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": told }));
        match timeout(Duration::from_millis(100), answer).await {
            Ok(Err(_)) => Err(Gone),
            Ok(Ok(answer)) => Ok(Some(answer["result"]["structuredContent"].clone())),
            Err(_) => Ok(None),
        }
    }

    /// `None`: the tool failed, which is counted.
    async fn call(&self, tool: &str, arguments: Value) -> Result<Option<Value>, Gone> {
        let asked = now_ms();
        let answer = self
            .child
            .request("tools/call", json!({ "name": tool, "arguments": arguments }))
            .await
            .map_err(|_| Gone)?;
        self.world.ledger.alive(self.life, asked);
        let result = &answer["result"];
        if result["isError"] == true || result.is_null() {
            let code = result["structuredContent"]["error"].as_str().unwrap_or("no result");
            self.world.ledger.failed(format!("{tool} {code}"));
            // A tool that fails at once must not turn this into a busy loop.
            sleep(Duration::from_millis(100)).await;
            return Ok(None);
        }
        Ok(Some(result["structuredContent"].clone()))
    }
}
