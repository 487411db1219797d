//! Who may call what. The order of the checks is the real platform's, quirks included.

use super::call::{Answer, Call};
use super::routes::org;
use super::server::Level;
use super::store::tokens::TokenKind;

/// The check a route asks for before its handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// None, or one that the handler makes itself because it needs the body.
    Open,
    /// The admin token, an organization's key, or a live token of exactly the workspace in the path.
    Workspace,
    /// The admin token, or an organization's key.
    Admin,
}

/// Makes the check of `auth`.
pub(crate) fn check(auth: Auth, call: &Call) -> Result<(), Answer> {
    match (auth, call.bearer()) {
        (Auth::Open, _) => Ok(()),
        (Auth::Workspace | Auth::Admin, Some(token)) if is_admin(call, token)? => Ok(()),
        (Auth::Workspace, None) => Err(missing_token()),
        (Auth::Workspace, Some(token)) => own_token(call, token, &call.id),
        (Auth::Admin, None) => Err(Answer::error(401, "admin auth required")),
        (Auth::Admin, Some(_)) => Err(Answer::error(401, "invalid admin auth token")),
    }
}

/// Whether a call that passed [`Auth::Workspace`] came from the workspace itself, not from someone above it.
pub(crate) fn is_own(call: &Call) -> Result<bool, Answer> {
    call.bearer()
        .map_or(Ok(false), |token| is_admin(call, token).map(|above| !above))
}

fn is_admin(call: &Call, token: &str) -> Result<bool, Answer> {
    Ok(token == call.site.admin_token || org::opens(call, token)?)
}

/// The gate of the canvas: the admin token, or the token of any workspace. An organization's key opens it from level B on.
pub(crate) fn any_member(call: &Call) -> Result<(), Answer> {
    let token = call.bearer().ok_or_else(|| Answer::error(401, "admin auth required"))?;
    let is_key = match call.site.level {
        Level::A => token == call.site.admin_token,
        Level::B | Level::C => is_admin(call, token)?,
    };
    if is_key || call.site.store.owner_of(token)?.is_some() {
        Ok(())
    } else {
        Err(Answer::error(401, "invalid admin auth token"))
    }
}

/// The gate of register, heartbeat and update-card. A workspace without a live token passes without a credential, a
/// removed one included, since removal revokes all its tokens. The admin token does not pass. Level C asks only
/// whether a live *instance* token exists.
pub(crate) fn registry_gate(call: &Call, workspace: &str) -> Result<(), Answer> {
    let counted = (call.site.level == Level::C).then_some(TokenKind::Instance);
    if call.site.store.live_tokens(workspace, counted)? == 0 {
        return Ok(());
    }
    own_token(call, call.bearer().ok_or_else(missing_token)?, workspace)
}

/// The check of discover and peers: the bearer of `workspace` itself once it has live tokens; level C takes the
/// admin token too.
pub(crate) fn peer_token(call: &Call, workspace: &str) -> Result<(), Answer> {
    if call.site.level == Level::C && call.bearer() == Some(call.site.admin_token.as_str()) {
        return Ok(());
    }
    if call.site.store.live_tokens(workspace, None)? == 0 {
        return Ok(());
    }
    own_token(call, call.bearer().ok_or_else(missing_token)?, workspace)
}

/// Who sends a message to the workspace in the path; `None` is the person.
pub(crate) fn caller(call: &Call) -> Result<Option<String>, Answer> {
    let header = call.header("x-workspace-id");
    if header.is_some_and(|id| {
        ["webhook:", "system:", "test:", "channel:"]
            .iter()
            .any(|kind| id.starts_with(kind))
    }) {
        return Err(Answer::error(403, "invalid caller ID"));
    }
    let header = header.map(str::to_lowercase);
    if call.site.level == Level::C {
        return strict_caller(call, header);
    }
    let store = &call.site.store;
    let named = match (header, call.bearer()) {
        (Some(id), _) => Some(id),
        (None, Some(token)) if call.site.level == Level::B => store.owner_of(token)?,
        (None, _) => None,
    };
    let Some(id) = named else { return Ok(None) };
    // A workspace that sends to itself is not checked.
    if id != call.id && store.live_tokens(&id, None)? > 0 {
        let token = call
            .bearer()
            .ok_or_else(|| Answer::error(401, "missing caller auth token"))?;
        if store.owner_of(token)?.as_ref() != Some(&id) {
            return Err(Answer::error(401, "invalid caller auth token"));
        }
    }
    Ok(Some(id))
}

/// Level C: the bearer decides, and a header must agree with it.
fn strict_caller(call: &Call, header: Option<String>) -> Result<Option<String>, Answer> {
    let token = call
        .bearer()
        .ok_or_else(|| Answer::error(401, "missing caller auth token"))?;
    if token == call.site.admin_token {
        return Ok(header);
    }
    let owner = call.site.store.owner_of(token)?;
    let owner = owner.ok_or_else(|| Answer::error(401, "invalid caller auth token"))?;
    if header.is_some_and(|id| id != owner) {
        return Err(Answer::error(401, "caller ID does not match workspace auth token"));
    }
    Ok(Some(owner))
}

fn own_token(call: &Call, token: &str, workspace: &str) -> Result<(), Answer> {
    if call.site.store.owner_of(token)?.as_deref() == Some(workspace) {
        Ok(())
    } else {
        Err(Answer::error(401, "invalid workspace auth token"))
    }
}

fn missing_token() -> Answer {
    Answer::error(401, "missing workspace auth token")
}
