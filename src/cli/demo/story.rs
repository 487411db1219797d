//! The story: two agents and a person, a crash in the middle, and nothing lost. Every step is checked, not assumed.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::McpChild;
use super::scene::{Scene, Workspace, until};
use super::transcript::Transcript;

/// Tells it. `Some(folder)`: where the state was kept.
pub(super) async fn tell(transcript: &mut Transcript, keep: bool) -> Result<Option<PathBuf>, String> {
    let mut folder = tempfile::Builder::new()
        .prefix("molecule-demo-")
        .tempdir()
        .map_err(|error| error.to_string())?;
    folder.disable_cleanup(keep);
    let scene = Scene::set(folder.path()).await?;
    transcript.verified(
        "platform",
        format!("runs on {} (embedded, for this computer only)", scene.url()),
    );
    let told = tell_on(&scene, transcript).await;
    scene.strike().await;
    told.map(|()| keep.then(|| folder.path().to_owned()))
}

async fn tell_on(scene: &Scene, transcript: &mut Transcript) -> Result<(), String> {
    let ada = scene.workspace("ada").await?;
    let bob = scene.workspace("bob").await?;
    let eve = scene.workspace("eve").await?;
    transcript.verified(
        "platform",
        format!("made three workspaces: {}, {}, {}", ada.name, bob.name, eve.name),
    );

    let mut ada_daemon = scene.daemon(&ada).await?;
    let bob_daemon = Arc::new(scene.daemon(&bob).await?);
    for workspace in [&ada, &bob] {
        until("a daemon comes online", || async {
            Ok(scene.status(workspace).await? == "online")
        })
        .await?;
        transcript.verified(workspace.name, "is online: its daemon registered and beats");
    }
    let echo = tokio::spawn(echo_agent(Arc::clone(&bob_daemon)));

    peers_are_seen(&ada_daemon, &bob, &eve, transcript).await?;
    delegation_is_answered(&ada_daemon, &bob, transcript).await?;
    person_is_answered(scene, &ada_daemon, &ada, transcript).await?;
    crash_loses_nothing(scene, &mut ada_daemon, &ada, transcript).await?;

    echo.abort();
    let (status, _) = ada_daemon.close().await.map_err(|error| error.to_string())?;
    ensure(status.success(), || format!("ada's daemon ended with {status}"))?;
    transcript.verified(ada.name, "client went away, daemon ended cleanly");
    Ok(())
}

/// Answers every message with its own text, as the smallest agent there is.
async fn echo_agent(daemon: Arc<McpChild>) -> Result<(), String> {
    loop {
        let message = daemon.call("wait_for_message", json!({ "timeout_secs": 60 })).await?;
        if let Some(id) = message["activity_id"].as_str() {
            let text = format!("echo: {}", message["text"].as_str().unwrap_or_default());
            daemon
                .call("reply_to_message", json!({ "activity_id": id, "text": text }))
                .await?;
        }
    }
}

async fn peers_are_seen(
    ada: &McpChild,
    bob: &Workspace,
    eve: &Workspace,
    transcript: &mut Transcript,
) -> Result<(), String> {
    let found = ada.call("list_peers", json!({})).await?;
    let status_of = |id: &str| {
        let peers = found["peers"].as_array()?;
        peers.iter().find(|peer| peer["id"] == id)?["status"]
            .as_str()
            .map(str::to_owned)
    };
    let (bob_is, eve_is) = (status_of(&bob.id), status_of(&eve.id));
    ensure(bob_is.as_deref() == Some("online"), || {
        format!("list_peers does not show bob online: {found}")
    })?;
    ensure(eve_is.is_some(), || format!("list_peers does not show eve: {found}"))?;
    transcript.verified(
        "ada",
        format!("sees her peers: bob online, eve {}", eve_is.unwrap_or_default()),
    );
    Ok(())
}

async fn delegation_is_answered(ada: &McpChild, bob: &Workspace, transcript: &mut Transcript) -> Result<(), String> {
    let task = "count the crates on the north dock";
    let answer = ada
        .call("delegate_task", json!({ "workspace_id": bob.id, "task": task }))
        .await?;
    let expected = format!("echo: {task}");
    ensure(
        answer["status"] == "answered" && answer["text"] == json!(expected),
        || format!("delegate_task returned {answer}"),
    )?;
    transcript.verified("ada", format!("delegated \"{task}\" to bob"));
    transcript.verified("bob", format!("answered \"{expected}\", and ada's call returned it"));
    Ok(())
}

async fn person_is_answered(
    scene: &Scene,
    daemon: &McpChild,
    ada: &Workspace,
    transcript: &mut Transcript,
) -> Result<(), String> {
    let (question, reply) = ("how many crates are there?", "seventeen, says bob");
    scene.person_says(ada, question).await?;
    let message = next_message(daemon).await?;
    ensure(message["text"] == question && message["kind"] == "canvas_user", || {
        format!("ada received {message}")
    })?;
    transcript.verified("person", format!("wrote \"{question}\"; ada received it"));
    daemon
        .call(
            "reply_to_message",
            json!({ "activity_id": message["activity_id"], "text": reply }),
        )
        .await?;
    until("the person hears the reply", || scene.person_heard(ada, reply)).await?;
    let left = daemon.call("inbox_peek", json!({})).await?;
    ensure(is_empty(&left), || {
        format!("the answered message is still in the inbox: {left}")
    })?;
    transcript.verified(
        "ada",
        format!("answered \"{reply}\"; the person heard it, and the message is acknowledged"),
    );
    Ok(())
}

async fn crash_loses_nothing(
    scene: &Scene,
    daemon: &mut McpChild,
    ada: &Workspace,
    transcript: &mut Transcript,
) -> Result<(), String> {
    let question = "and on the south dock?";
    scene.person_says(ada, question).await?;
    let in_hand = next_message(daemon).await?;
    daemon.kill().await.map_err(|error| error.to_string())?;
    transcript.verified(
        "ada",
        "received the next message and was killed (SIGKILL) before she could answer",
    );
    *daemon = scene.daemon(ada).await?;
    let again = next_message(daemon).await?;
    ensure(
        again["activity_id"] == in_hand["activity_id"] && again["text"] == question && again["delivery_count"] == 2,
        || format!("after the restart ada received {again}"),
    )?;
    transcript.verified("ada", "restarted: the same message was delivered again (delivery 2)");
    daemon
        .call("inbox_pop", json!({ "activity_id": again["activity_id"] }))
        .await?;
    let left = daemon.call("inbox_peek", json!({})).await?;
    ensure(is_empty(&left), || {
        format!("the acknowledged message is still in the inbox: {left}")
    })?;
    transcript.verified("ada", "acknowledged it; the inbox is empty");
    Ok(())
}

async fn next_message(daemon: &McpChild) -> Result<Value, String> {
    let message = daemon.call("wait_for_message", json!({ "timeout_secs": 20 })).await?;
    ensure(message["activity_id"].is_string(), || {
        format!("no message arrived: {message}")
    })?;
    Ok(message)
}

fn is_empty(peeked: &Value) -> bool {
    peeked["messages"].as_array().is_some_and(Vec::is_empty)
}

fn ensure(condition: bool, complaint: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(complaint()) }
}
