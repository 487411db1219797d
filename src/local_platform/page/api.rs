//! What only the page may ask. The way here has looked at the token.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::request::Parts;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::outfit::Outfit;
use super::{live, rows};
use crate::local_platform::call::{Answer, Outcome, header_text, uuid};
use crate::local_platform::routes::{approvals, lifecycle, requests};
use crate::local_platform::server::Level;
use crate::local_platform::site::Site;
use crate::local_platform::store::activity::look::{Sort, View};
use crate::local_platform::store::workspaces::Workspace;
use crate::types::Secret;

const DEFAULT_LIMIT: u32 = 60;
const LARGEST_LIMIT: u32 = 200;

/// Answers a request below `/_page/api/`.
pub(super) fn answer(site: &Arc<Site>, parts: &Parts, path: &str, body: &Bytes) -> Answer {
    let (what, which) = path.split_once('/').unwrap_or((path, ""));
    let outcome = match (parts.method.as_str(), what, which) {
        ("GET", "board", "") => board(site),
        ("GET", "events", "") => Ok(live::open(site)),
        ("GET", "rows", "") => view(parts).and_then(|view| rows::list(site, &view)),
        ("GET", "rows", seq) => rows::whole(site, seq),
        ("GET", "outfit", id) => show_outfit(site, parts, id),
        ("PUT", "outfit", id) => keep_token(site, parts, id, body),
        ("POST", "resume", id) => resume(site, id),
        _ => Err(Answer::no_route()),
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

fn board(site: &Site) -> Outcome {
    let all = site.store.workspaces()?;
    let level = match site.level {
        Level::A => "A",
        Level::B => "B",
        Level::C => "C",
    };
    Ok(Answer::ok(&json!({
        "level": level, "faults": site.testing.is_some(), "outfit": site.outfit.is_some(), "waiting": waiting(site)?,
        "workspaces": all.iter().map(card).collect::<Vec<_>>(),
    })))
}

/// How much is asked of the person and not answered yet.
pub(super) fn waiting(site: &Site) -> Result<usize, Answer> {
    Ok(approvals::waiting(site)? + requests::waiting(site)?)
}

/// A workspace as the board shows it. Times are in milliseconds since 1970.
pub(super) fn card(workspace: &Workspace) -> Value {
    json!({
        "id": workspace.id, "name": workspace.name, "role": workspace.role, "status": workspace.status,
        "runtime": workspace.runtime, "delivery_mode": workspace.delivery_mode, "parent_id": workspace.parent_id,
        "agent_card": workspace.agent_card, "active_tasks": workspace.active_tasks,
        "max_concurrent_tasks": workspace.max_concurrent_tasks, "current_task": workspace.current_task,
        "error": workspace.last_sample_error, "error_rate": workspace.last_error_rate,
        "uptime_seconds": workspace.uptime_seconds,
        "last_beat": workspace.last_beat.map(|at| at / 1000), "removed_at": workspace.removed_at.map(|at| at / 1000),
    })
}

fn view(parts: &Parts) -> Result<View, Answer> {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let mut view = View {
        limit: DEFAULT_LIMIT,
        ..View::default()
    };
    for (name, value) in form_urlencoded::parse(query).filter(|(_, value)| !value.is_empty()) {
        let refusal = || Answer::error(400, &format!("{name} cannot be {value}"));
        match name.as_ref() {
            "about" => view.about = Some(value.to_lowercase()),
            "sort" => view.sort = Some(Sort::named(&value).ok_or_else(refusal)?),
            "holding" => view.holding = Some(value.into_owned()),
            "before" => view.before = Some(value.parse().map_err(|_| refusal())?),
            "limit" => view.limit = value.parse::<u32>().map_err(|_| refusal())?.clamp(1, LARGEST_LIMIT),
            _ => return Err(refusal()),
        }
    }
    Ok(view)
}

fn known(site: &Site, id: &str) -> Result<Workspace, Answer> {
    let found = uuid(id).map(|id| site.store.workspace(&id)).transpose()?.flatten();
    found
        .filter(|workspace| !workspace.is_removed())
        .ok_or_else(|| Answer::error(404, "workspace not found"))
}

fn outfit(site: &Site) -> Result<&dyn Outfit, Answer> {
    site.outfit.as_deref().ok_or_else(Answer::no_route)
}

fn show_outfit(site: &Site, parts: &Parts, id: &str) -> Outcome {
    let workspace = known(site, id)?;
    // The name under which the browser reached the platform is one under which programs here reach it too.
    let url = format!("http://{}", header_text(&parts.headers, "host").unwrap_or_default());
    Ok(Answer::ok(&outfit(site)?.show(&workspace.id, &workspace.name, &url)))
}

fn keep_token(site: &Site, parts: &Parts, id: &str, body: &Bytes) -> Outcome {
    let workspace = known(site, id)?;
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = sent["token"].as_str().unwrap_or_default();
    // Not any text: what lies in the folder is what a daemon here sends wherever its configuration says.
    if site.store.owner_of(token)?.as_ref() != Some(&workspace.id) {
        return Err(Answer::error(400, "this is no token of this workspace"));
    }
    let token = Secret::parse(token).map_err(|rule| Answer::error(400, &rule.to_string()))?;
    outfit(site)?
        .keep_token(&workspace.id, &workspace.name, &token)
        .map_err(|error| Answer::error(500, &format!("the token could not be kept: {error}")))?;
    show_outfit(site, parts, id)
}

/// From then on the next beat brings the workspace online.
fn resume(site: &Site, id: &str) -> Outcome {
    let workspace = known(site, id)?;
    if workspace.status != "paused" {
        return Err(Answer::error(404, "workspace not found or not paused"));
    }
    lifecycle::not_below_a_paused(site, &workspace)?;
    let waiting = if site.level == Level::A {
        "offline"
    } else {
        "awaiting_agent"
    };
    site.store
        .change_workspace(&workspace.id, |workspace| workspace.status = waiting.to_owned())?;
    Ok(Answer::ok(&json!({ "status": waiting })))
}
