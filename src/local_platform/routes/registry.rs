//! Register, cards, and who sees whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::local_platform::auth;
use crate::local_platform::call::{Answer, Call, Outcome, uuid};
use crate::local_platform::server::Level;
use crate::local_platform::store::tokens::TokenKind;
use crate::local_platform::store::workspaces::Workspace;
use crate::local_platform::{clock, credentials, liveness};

const BAD_BODY: &str = "invalid request body";

#[derive(Deserialize)]
struct Register {
    id: String,
    url: Option<String>,
    agent_card: Value,
    delivery_mode: Option<String>,
}

/// Registers, even what nobody created: an unknown id becomes a ghost workspace. A removed one changes nothing and
/// still gets a token, which opens nothing.
pub(crate) fn register(call: &Call) -> Outcome {
    let sent: Register = call.json(BAD_BODY)?;
    let url = sent.url.unwrap_or_default();
    if sent.id.is_empty() || sent.agent_card.is_null() || (call.site.level == Level::A && check_url(&url).is_err()) {
        return Err(Answer::error(400, BAD_BODY));
    }
    let mode = sent
        .delivery_mode
        .filter(|mode| call.site.level > Level::A && !mode.is_empty());
    if mode.as_deref().is_some_and(|mode| mode != "push" && mode != "poll") {
        return Err(Answer::error(400, "delivery_mode must be 'push' or 'poll'"));
    }
    let id = uuid(&sent.id);
    auth::registry_gate(call, id.as_deref().unwrap_or(&sent.id))?;
    let id = id.ok_or_else(|| Answer::error(500, "registration failed"))?;
    let known = call.site.store.workspace(&id)?;
    let mode = mode
        .or_else(|| known.as_ref().map(|ws| ws.delivery_mode.clone()))
        .unwrap_or_else(|| "push".to_owned());
    if mode == "push" {
        if url.is_empty() {
            return Err(Answer::error(400, "url is required for push-mode workspaces"));
        }
        check_url(&url).map_err(|rule| Answer::error(400, &rule))?;
    }
    if known.is_none() {
        call.site.store.put_workspace(&Workspace::new(id.clone(), id.clone()))?;
    }
    let changed = call.site.store.change_workspace(&id, |workspace| {
        if !workspace.is_removed() {
            enter(call, workspace, &url, sent.agent_card, &mode);
        }
        workspace.clone()
    })?;
    // `None`: purged between the two calls.
    let workspace = changed.ok_or_else(|| Answer::error(500, "registration failed"))?;
    let told = json!({ "workspace_id": id, "name": workspace.name });
    call.site.record(&id, "WORKSPACE_ONLINE", &told);
    let mut body = json!({ "status": "registered" });
    if call.site.level > Level::A {
        body["delivery_mode"] = json!(mode);
        body["platform_inbound_secret"] = json!(workspace.inbound_secret.unwrap_or_else(credentials::fresh));
    }
    let counted = (call.site.level == Level::C).then_some(TokenKind::Instance);
    if call.site.store.live_tokens(&id, counted)? == 0 {
        body["auth_token"] = json!(call.site.store.mint_token(&id, TokenKind::Instance)?);
    }
    Ok(Answer::ok(&body))
}

/// What a register changes on a workspace that is not removed.
fn enter(call: &Call, workspace: &mut Workspace, url: &str, card: Value, mode: &str) {
    let now = clock::now();
    let keeps_url = workspace
        .url
        .as_deref()
        .is_some_and(|stored| stored.starts_with("http://127.0.0.1"));
    if !keeps_url {
        workspace.url = Some(url.to_owned()).filter(|url| !url.is_empty());
    }
    workspace.agent_card = Some(card);
    mode.clone_into(&mut workspace.delivery_mode);
    let sticks = call.site.level == Level::C && workspace.status == "hibernated";
    if !sticks {
        "online".clone_into(&mut workspace.status);
    }
    workspace.last_beat = Some(now);
    workspace.alive_until = Some(liveness::key_expiry(&call.site, now));
    workspace.inbound_secret.get_or_insert_with(credentials::fresh);
}

#[derive(Deserialize)]
struct UpdateCard {
    workspace_id: String,
    agent_card: Value,
}

/// Replaces the card; an unknown id is answered alike.
pub(crate) fn update_card(call: &Call) -> Outcome {
    let sent: UpdateCard = call.json(BAD_BODY)?;
    if sent.workspace_id.is_empty() || sent.agent_card.is_null() {
        return Err(Answer::error(400, BAD_BODY));
    }
    let id = sent.workspace_id.to_lowercase();
    auth::registry_gate(call, &id)?;
    uuid(&id).ok_or_else(|| Answer::error(500, "failed to update card"))?;
    call.site
        .store
        .change_workspace(&id, |workspace| workspace.agent_card = Some(sent.agent_card))?;
    call.site
        .hub
        .send(&id, "AGENT_CARD_UPDATED", json!({ "workspace_id": id }));
    Ok(Answer::ok(&json!({ "status": "updated" })))
}

#[derive(Deserialize)]
struct CheckAccess {
    caller_id: String,
    target_id: String,
}

/// The communication rule as a question.
pub(crate) fn check_access(call: &Call) -> Outcome {
    let sent: CheckAccess = call.json(BAD_BODY)?;
    let (caller, target) = (sent.caller_id.to_lowercase(), sent.target_id.to_lowercase());
    if caller.is_empty() || target.is_empty() {
        return Err(Answer::error(400, BAD_BODY));
    }
    let allowed = call.site.store.may_communicate(call.site.level, &caller, &target)?;
    Ok(Answer::ok(&json!({ "allowed": allowed })))
}

/// Where a peer is. A poll target has no url, and gets one that does not exist.
pub(crate) fn discover(call: &Call) -> Outcome {
    let caller = call.header("x-workspace-id").map(str::to_lowercase);
    let caller = caller.ok_or_else(|| Answer::error(400, "X-Workspace-ID header is required"))?;
    auth::peer_token(call, &caller)?;
    if !call.site.store.may_communicate(call.site.level, &caller, &call.id)? {
        return Err(Answer::error(403, "not authorized to discover this workspace"));
    }
    let target = call.site.store.workspace(&call.id)?;
    let target = target.ok_or_else(|| Answer::error(404, "workspace not found"))?;
    let url = match target.url {
        Some(url) => url,
        None if matches!(target.status.as_str(), "online" | "degraded") => {
            format!("http://ws-{}:8000", &target.id[..12])
        }
        None => {
            return Err(Answer::json(
                503,
                &json!({ "error": "workspace not available", "status": target.status }),
            ));
        }
    };
    Ok(Answer::ok(&json!({ "id": target.id, "url": url, "name": target.name })))
}

/// Siblings, children, parent. With `q` levels A and B crash as soon as one peer has no role.
pub(crate) fn peers(call: &Call) -> Outcome {
    auth::peer_token(call, &call.id)?;
    let all = call.site.store.workspaces()?;
    let me = all.iter().find(|workspace| workspace.id == call.id);
    let me = me.ok_or_else(|| Answer::error(404, "workspace not found"))?;
    let seen = |one: &&Workspace| !one.is_removed() && one.id != me.id;
    let siblings = all
        .iter()
        .filter(|one| one.parent_id == me.parent_id && (me.parent_id.is_some() || call.site.level < Level::C));
    let children = all.iter().filter(|one| one.parent_id.as_ref() == Some(&me.id));
    let parent = all.iter().filter(|one| me.parent_id.as_ref() == Some(&one.id));
    let mut peers: Vec<&Workspace> = siblings.chain(children).chain(parent).filter(seen).collect();
    if let Some(wanted) = call.query("q").map(str::to_lowercase) {
        if call.site.level < Level::C && peers.iter().any(|peer| peer.role.is_none()) {
            return Err(Answer::empty(500));
        }
        peers.retain(|peer| {
            let role = peer.role.as_deref().unwrap_or_default();
            peer.name.to_lowercase().contains(&wanted) || role.to_lowercase().contains(&wanted)
        });
    }
    let rows: Vec<Value> = peers.into_iter().map(peer_row).collect();
    Ok(Answer::ok(&rows))
}

fn peer_row(peer: &Workspace) -> Value {
    json!({
        "id": peer.id, "name": peer.name, "tier": peer.tier, "status": peer.status,
        "url": peer.url.as_deref().unwrap_or_default(), "parent_id": peer.parent_id,
        "active_tasks": peer.active_tasks, "role": peer.role, "agent_card": peer.agent_card,
    })
}

/// The rules a push url must keep. Names are not resolved here: what they point at is decided when it is called.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("url is required".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("url is not valid: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("url scheme must be http or https, got \"{}\"", url.scheme()));
    }
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) => return Ok(()),
        None => return Err("url is not valid: no host".to_owned()),
    };
    match blocked(address) {
        Some(label) => Err(format!("url targets a blocked address: {label}")),
        None => Ok(()),
    }
}

fn blocked(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => blocked_v4(v4),
        IpAddr::V6(v6) => blocked_v6(v6),
    }
}

fn blocked_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [first, second, ..] = address.octets();
    match address {
        _ if address.is_loopback() => Some("loopback"),
        _ if address.is_link_local() => Some("link-local"),
        _ if address.is_documentation() => Some("documentation"),
        _ if address.is_multicast() => Some("multicast"),
        _ if first == 100 && (64..128).contains(&second) => Some("carrier-grade NAT"),
        _ if address.is_private() => Some("private"),
        _ => None,
    }
}

fn blocked_v6(address: Ipv6Addr) -> Option<&'static str> {
    let [first, second, ..] = address.segments();
    match first {
        _ if address.is_loopback() => Some("loopback"),
        0xfe80..=0xfebf => Some("link-local"),
        0xfc00..=0xfdff => Some("unique local"),
        0x2001 if second == 0xdb8 => Some("documentation"),
        _ => address.to_ipv4_mapped().and_then(blocked_v4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_urls_keep_the_rules() {
        for (url, refusal) in [
            ("http://localhost:9000/a2a", ""),
            ("https://agent.example.org", ""),
            ("http://8.8.8.8", ""),
            ("", "url is required"),
            ("not a url", "url is not valid"),
            ("ftp://x.test", "url scheme must be http or https, got \"ftp\""),
            ("http://127.0.0.1:9000", "url targets a blocked address: loopback"),
            ("http://[::1]:9000", "url targets a blocked address: loopback"),
            ("http://169.254.1.1", "url targets a blocked address: link-local"),
            ("http://10.0.0.1", "url targets a blocked address: private"),
            ("http://100.64.0.1", "url targets a blocked address: carrier-grade NAT"),
            ("http://[::ffff:192.168.0.1]", "url targets a blocked address: private"),
        ] {
            let found = check_url(url).err().unwrap_or_default();
            assert!(
                found.starts_with(refusal) && found.is_empty() == refusal.is_empty(),
                "{url}: {found}"
            );
        }
    }
}
