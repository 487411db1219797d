//! The person: writes all the time, now and then at length, sends files, and asks whether anybody hears.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::Scene;
use super::random::Random;
use super::support::{Workspace, World};

/// How long a message may take to be shown when all is well again, before it counts as never.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Person {
    http: reqwest::Client,
    url: String,
}

impl Person {
    pub fn of(world: &World) -> Self {
        // A connection for each message: what became of an old one is nobody's concern here.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self {
            http,
            url: world.url().to_owned(),
        }
    }

    /// Whether the platform said that it has the message.
    async fn says(&self, scene: &Scene, to: &Workspace, text: &str) -> bool {
        let id = Uuid::new_v4().to_string();
        let message = json!({ "role": "user", "messageId": id, "parts": [{ "kind": "text", "text": text }] });
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": "message/send", "params": { "message": message } });
        let request = self
            .http
            .post(format!("{}/workspaces/{}/a2a", self.url, to.id))
            .json(&body);
        let Ok(answer) = request.send().await else { return false };
        let is_taken = answer.status() == 200
            && answer
                .json::<serde_json::Value>()
                .await
                .is_ok_and(|answer| answer["status"] == "queued");
        if is_taken {
            scene.ledger.taken(text);
        }
        is_taken
    }

    /// How long after now a message is shown to an agent; `None` when it never is.
    pub async fn is_heard(&self, scene: &Scene, by: &Workspace) -> Option<Duration> {
        let begun = Instant::now();
        let mut text = scene.ledger.writes(0);
        while !self.says(scene, by, &text).await {
            sleep(Duration::from_millis(100)).await;
            text = scene.ledger.writes(0);
            if begun.elapsed() > PATIENCE {
                return None;
            }
        }
        while begun.elapsed() < PATIENCE {
            if let Some(shown) = scene.ledger.when_shown(&text) {
                return Some(shown - begun);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    /// Only where the platform is well.
    pub async fn sends_a_file(&self, world: &World, scene: &Scene, to: &Workspace) {
        let content = vec![b'x'; 64 * 1024];
        let files = world.upload(to, &[("notes.txt", "text/plain", &content)]).await;
        // Its text is followed by what the daemon says of the file, so it is not compared.
        world.say_with(to, "a file", &files).await;
        scene.ledger.called("file", "sent");
    }
}

pub async fn writes(person: Arc<Person>, scene: Arc<Scene>, workspaces: Vec<Workspace>, rate: f64, mut random: Random) {
    let mut due = Instant::now();
    while !scene.quiet.is_cancelled() {
        let length = match random.below(100) {
            0 => 256 * 1024,
            1..6 => 4 * 1024,
            _ => 200,
        };
        let text = scene.ledger.writes(length);
        let to = random.one_of(&workspaces);
        person.says(&scene, to, &text).await;
        due += Duration::from_secs_f64(1.0 / rate.max(0.01));
        sleep_until(due).await;
        // What a fault held up is not made up for.
        due = due.max(Instant::now() - Duration::from_secs(1));
    }
}
