//! Beats.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::push;
use crate::local_platform::auth;
use crate::local_platform::call::{Answer, Call, Outcome, uuid};
use crate::local_platform::server::Level;
use crate::local_platform::store::workspaces::Workspace;
use crate::local_platform::{clock, credentials, liveness};

const MAX_SPEND: i64 = 1_000_000_000_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Beat {
    workspace_id: String,
    error_rate: Option<f64>,
    sample_error: Option<String>,
    active_tasks: Option<i64>,
    uptime_seconds: Option<i64>,
    current_task: Option<String>,
    monthly_spend: Option<i64>,
    runtime_state: Option<String>,
    runtime_metadata: Option<RuntimeMetadata>,
    schema_version: Option<Value>,
    loaded_mcp_tools: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RuntimeMetadata {
    capabilities: Option<HashMap<String, bool>>,
}

/// Takes a beat. A removed or unknown workspace is answered 200 too while it has no live token.
pub(crate) fn beat(call: &Call) -> Outcome {
    let bad = || Answer::error(400, "invalid request body");
    let beat: Beat = call.json("invalid request body")?;
    let level = call.site.level;
    let wrong_at_c = beat.schema_version.as_ref().is_some_and(|version| !version.is_string())
        || beat.loaded_mcp_tools.as_ref().is_some_and(|tools| !tools.is_array());
    if beat.workspace_id.is_empty() || (level == Level::C && wrong_at_c) {
        return Err(bad());
    }
    let id = uuid(&beat.workspace_id);
    auth::registry_gate(call, id.as_deref().unwrap_or(&beat.workspace_id))?;
    let id = id.ok_or_else(|| Answer::error(500, "failed to update"))?;
    let now = clock::now();
    let kept = call.site.store.change_workspace(&id, |workspace| {
        if workspace.is_removed() {
            return None;
        }
        note(workspace, &beat);
        workspace.status = status_after(level, workspace, &beat).to_owned();
        workspace.last_beat = Some(now);
        // A key that expired stays gone until the next register.
        if workspace.alive_until.is_some_and(|until| until > now) {
            workspace.alive_until = Some(liveness::key_expiry(&call.site, now));
        }
        let secret = workspace.inbound_secret.get_or_insert_with(credentials::fresh).clone();
        Some((secret, workspace.active_tasks < workspace.max_concurrent_tasks))
    })?;
    let kept = kept.flatten();
    if kept.is_some() {
        let told = json!({
            "workspace_id": id, "active_tasks": beat.active_tasks.unwrap_or_default(),
            "error_rate": beat.error_rate.unwrap_or_default(), "uptime_seconds": beat.uptime_seconds.unwrap_or_default(),
            "current_task": beat.current_task.unwrap_or_default(),
            "sample_error": beat.sample_error.unwrap_or_default(),
        });
        call.site.hub.send(&id, "WORKSPACE_HEARTBEAT", told);
    }
    if let Some((_, true)) = kept {
        push::drain_one(&call.site, &id);
    }
    let mut body = json!({ "status": "ok" });
    if level > Level::A {
        // For a workspace that is gone the secret is made up and not kept.
        body["platform_inbound_secret"] = json!(kept.map_or_else(credentials::fresh, |(secret, _)| secret));
    }
    if level == Level::C {
        body["generation"] = json!(1);
    }
    Ok(Answer::ok(&body))
}

fn note(workspace: &mut Workspace, beat: &Beat) {
    workspace.last_error_rate = beat.error_rate.unwrap_or_default();
    workspace.active_tasks = beat.active_tasks.unwrap_or_default();
    workspace.uptime_seconds = beat.uptime_seconds.unwrap_or_default();
    workspace.last_sample_error = beat.sample_error.clone().unwrap_or_default();
    workspace.current_task = beat.current_task.clone().unwrap_or_default();
    let spend = beat.monthly_spend.unwrap_or_default().clamp(0, MAX_SPEND);
    if spend > 0 {
        workspace.monthly_spend = spend;
    }
}

/// The status a beat leads to, judged on the stored one.
fn status_after<'a>(level: Level, workspace: &'a Workspace, beat: &Beat) -> &'a str {
    let error_rate = beat.error_rate.unwrap_or_default();
    let state = beat.runtime_state.as_deref().unwrap_or_default();
    let capabilities = beat
        .runtime_metadata
        .as_ref()
        .and_then(|metadata| metadata.capabilities.as_ref());
    let judges_itself = capabilities.is_some_and(|known| known.get("status_mgmt") == Some(&true));
    match workspace.status.as_str() {
        "online" if state == "wedged" || (error_rate >= 0.5 && !judges_itself) => "degraded",
        "degraded" if error_rate < 0.1 && state.is_empty() => "online",
        "offline" | "provisioning" => "online",
        "awaiting_agent" if level >= Level::B => "online",
        "failed" if level == Level::C => "online",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_moves_the_status_as_the_table_says() {
        for (stored, error_rate, state, manages, level, after) in [
            ("online", 0.0, "wedged", false, Level::B, "degraded"),
            ("online", 0.5, "", false, Level::B, "degraded"),
            ("online", 0.5, "", true, Level::B, "online"),
            ("online", 0.4, "", false, Level::B, "online"),
            ("degraded", 0.05, "", false, Level::B, "online"),
            ("degraded", 0.1, "", false, Level::B, "degraded"),
            ("degraded", 0.0, "wedged", false, Level::B, "degraded"),
            ("offline", 0.9, "", false, Level::B, "online"),
            ("provisioning", 0.0, "", false, Level::B, "online"),
            ("awaiting_agent", 0.0, "", false, Level::B, "online"),
            ("awaiting_agent", 0.0, "", false, Level::A, "awaiting_agent"),
            ("failed", 0.0, "", false, Level::B, "failed"),
            ("failed", 0.0, "", false, Level::C, "online"),
            ("paused", 0.0, "", false, Level::C, "paused"),
            ("hibernated", 0.0, "", false, Level::C, "hibernated"),
        ] {
            let mut workspace = Workspace::new("w".into(), "w".into());
            workspace.status = stored.into();
            let capabilities = Some(HashMap::from([("status_mgmt".to_owned(), manages)]));
            let beat = Beat {
                error_rate: Some(error_rate),
                runtime_state: Some(state.to_owned()),
                runtime_metadata: Some(RuntimeMetadata { capabilities }),
                ..Beat::default()
            };
            assert_eq!(
                status_after(level, &workspace, &beat),
                after,
                "{stored} {error_rate} {state}"
            );
        }
    }
}
