//! Registering: says that this workspace is served here, and collects what the platform hands out for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::heartbeat::{Pulse, interval};
use super::management_presence::Presence;
use crate::config::token::TokenSource;
use crate::config::{Card, Timing};
use crate::platform::error::CallError;
use crate::platform::events::Event;
use crate::platform::retry::Backoff;
use crate::platform::wire::{Existence, RegisterBody, Registered};
use crate::platform::workspace::WorkspaceApi;
use crate::state::clock::BootInstant;
use crate::state::health::{HealthBoard, Trouble};
use crate::state::journal::Journal;
use crate::state::lock::DutyLock;
use crate::state::naming::Naming;
use crate::state::secret;
use crate::types::{Secret, Timestamp, WorkspaceId};

/// After a refusal that only a person can mend: asked again this often.
const PATIENT: Duration = Duration::from_secs(300);
/// Without a good beat for this long, the platform may have forgotten that we are here.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// How long after it said that it sets the workspace up the platform has failed to: nothing of it runs there.
const SET_UP: Duration = Duration::from_secs(2);
/// Registers because of that are so far apart.
const SET_UP_AGAIN: Duration = Duration::from_secs(60);

/// Everything a register needs.
#[derive(Clone, Debug)]
pub struct Registrar {
    /// The platform, as this workspace.
    pub api: WorkspaceApi,
    /// What to say about the agent, unless it has said something itself since.
    pub card: Card,
    /// Where what it said is kept.
    pub journal: Journal,
    /// In its folder the inbound secret is kept.
    pub lock: Arc<DutyLock>,
    /// Whether to register without a token and keep the one returned.
    pub bootstrap: bool,
    /// Where to say how it went.
    pub health: HealthBoard,
    /// How the file of that secret is named.
    pub naming: Naming,
    /// The intervals.
    pub timing: Timing,
}

/// How the first register of a process that won the duty at its start differs from later ones.
#[derive(Debug)]
pub struct FirstRegister {
    /// Whether a refusal ends the process: only while a person is still looking at its start.
    pub refusal_is_fatal: bool,
    /// Set after the first attempt, unless it ends the process: beats and reads wait for it, so that they never reach a
    /// workspace that registering would have shown to be unknown.
    pub attempted: watch::Sender<bool>,
}

/// The platform refused this workspace at the start; the text says why and what to do.
#[derive(Debug)]
pub struct RefusedAtStart(pub String);

/// What one attempt came to.
#[derive(Debug)]
pub enum Attempt {
    /// The platform knows that we are here.
    Registered,
    /// 401 or 403, or the workspace is unknown or removed: only a person can mend it. The text says how.
    Refused(String),
    /// Another 4xx; the workspace may still work through its beats.
    Declined(CallError),
    /// Worth another attempt soon.
    Later(CallError),
}

impl Registrar {
    /// Looks whether the workspace exists (registering an unknown one would create a ghost), then registers it.
    pub async fn attempt(&self) -> Attempt {
        match self.api.existence().await {
            Ok(Existence::Unknown) => return self.refused(unknown(self.api.workspace())),
            Ok(Existence::Removed(_)) => {
                self.health.update(|health| health.removed = true);
                return self.refused(removed(self.api.workspace()));
            }
            Ok(Existence::Known(_)) | Err(_) => {}
        }
        let body = self.body(Presence::default().now().await, self.card().await);
        match self.api.register(&body).await {
            Ok(registered) => {
                self.keep(registered).await;
                self.health.update(|health| {
                    health.registered = Some(Timestamp::now());
                    health.register_trouble = None;
                });
                info!("registered workspace {}", self.api.workspace());
                Attempt::Registered
            }
            Err(CallError::Refused { status, detail }) => {
                let text = refused(self.api.workspace(), self.api.token(), status, &detail);
                self.refused(text)
            }
            Err(error) => {
                self.trouble(
                    error.code(),
                    format!("registering failed: {error}"),
                    later_remedy(&error),
                );
                if error.is_transient() {
                    Attempt::Later(error)
                } else {
                    Attempt::Declined(error)
                }
            }
        }
    }

    fn refused(&self, text: String) -> Attempt {
        self.trouble(
            "AUTH_ERROR",
            text.clone(),
            "create a workspace token in the canvas, Tokens tab, and restart",
        );
        Attempt::Refused(text)
    }

    fn trouble(&self, code: &str, what: String, remedy: &str) {
        let trouble = Trouble {
            code: code.to_owned(),
            what,
            remedy: remedy.to_owned(),
        };
        self.health.update(|health| health.register_trouble = Some(trouble));
    }

    /// The card that was last set by the agent, with the settings that changed since, else the one that the settings give.
    async fn card(&self) -> Value {
        match self.journal.last_card().await {
            Ok(Some(last)) => last.under(&self.card),
            Ok(None) => self.card.to_json(),
            Err(error) => {
                warn!(%error, "the agent card that was last set cannot be read; registering with the configured one");
                self.card.to_json()
            }
        }
    }

    fn body(&self, mcp_server_present: bool, agent_card: Value) -> RegisterBody {
        RegisterBody {
            id: self.api.workspace().to_string(),
            url: String::new(),
            agent_card,
            delivery_mode: "poll",
            mcp_server_present,
        }
    }

    /// Keeps the inbound secret always, and a returned token only while bootstrapping: level C issues a second token
    /// beside a perfectly good configured one.
    async fn keep(&self, registered: Registered) {
        let (lock, token) = (Arc::clone(&self.lock), self.api.token().clone());
        let name = self.naming.of(secret::INBOUND_SECRET, self.api.workspace());
        let issued = registered
            .auth_token
            .filter(|_| self.bootstrap && token.current().is_none());
        let is_needed = issued.is_some();
        let kept = tokio::task::spawn_blocking(move || {
            if let Some(secret) = registered.inbound_secret {
                keep_inbound_secret(&lock, &name, &secret);
            }
            match issued.map(|issued| token.store(issued)) {
                None => {}
                Some(Ok(())) => info!("stored the workspace token that the platform issued"),
                Some(Err(error)) => {
                    warn!("the issued workspace token works for this run but could not be stored: {error}");
                }
            }
        });
        // What follows needs a token that was issued; nothing else waits for the disk, the first beat least of all.
        if is_needed {
            let _ = kept.await;
        }
    }
}

/// Writes the inbound secret; a failure is a warning, because the next beat brings it again and liveness matters more.
/// Nothing is written into a folder that is being removed, or into one that replaced ours.
pub fn keep_inbound_secret(lock: &DutyLock, name: &str, inbound: &Secret) {
    let Some(state_dir) = lock.folder() else { return };
    if let Err(error) = secret::write_if_different(state_dir, name, inbound) {
        warn!("could not write {name} ({error}); the next beat tries again");
    }
}

/// Keeps the workspace registered: `first` right away, and again whenever the platform may have forgotten us, or says by an
/// event that it sets the workspace up itself: it then calls the workspace failed, and no beat changes that (resuming an
/// external workspace at level B: seen).
///
/// A process that took over from another leaves `first` false: its beats keep the workspace online, and it registers
/// only after a minute without a good one.
///
/// Ends only when the workspace was refused at the `first` register, with the text for the operator.
pub async fn keep_registered(
    registrar: Registrar,
    first: Option<FirstRegister>,
    mut pulse: watch::Receiver<Pulse>,
    mut events: broadcast::Receiver<Arc<Event>>,
) -> RefusedAtStart {
    if let Some(first) = first
        && let Err(refused) = until_registered(&registrar, Some(first)).await
    {
        return refused;
    }
    let now = || BootInstant::now().since;
    let mut last_sign = now();
    let mut not_before = now();
    let mut taken_over = None;
    loop {
        // Longer where beats are rarer: they are the signs.
        let beats = interval(registrar.api.client(), registrar.timing);
        let lost_after = registrar.timing.of(LOST_AFTER).max(beats * 5 / 2);
        tokio::select! {
            changed = pulse.changed() => {
                if changed.is_err() {
                    // The heartbeat has ended, so the process is ending.
                    return std::future::pending().await;
                }
                let Some(beat) = pulse.borrow_and_update().last_good else { continue };
                let gap = beat.saturating_sub(last_sign);
                last_sign = last_sign.max(beat);
                if gap < lost_after {
                    continue;
                }
            }
            event = events.recv() => {
                match event {
                    Ok(event) if sets_up(&event, registrar.api.workspace()) => {
                        let due = (now() + registrar.timing.of(SET_UP)).max(not_before);
                        taken_over.get_or_insert(due);
                    }
                    // The stream's end has gone with the process.
                    Err(RecvError::Closed) => return std::future::pending().await,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                }
                continue;
            }
            () = sleep(taken_over.map_or(Duration::MAX, |due: Duration| due.saturating_sub(now()))) => {
                info!("the platform set the workspace up itself; registering it again");
            }
            () = sleep((last_sign + lost_after).saturating_sub(now())) => last_sign = now(),
        }
        taken_over = None;
        if !registrar.health.now().removed {
            let _ = until_registered(&registrar, None).await;
            last_sign = now();
        }
        not_before = now() + registrar.timing.of(SET_UP_AGAIN);
    }
}

/// Whether an event says that the platform starts the workspace's agent, or has failed to.
fn sets_up(event: &Event, own: &WorkspaceId) -> bool {
    let of = event.payload["workspace_id"].as_str();
    matches!(
        event.kind.as_str(),
        "WORKSPACE_PROVISIONING" | "WORKSPACE_PROVISION_FAILED"
    ) && of.is_none_or(|of| of.eq_ignore_ascii_case(own.as_str()))
}

/// Attempts until it is registered: soon after transient failures, every five minutes after others.
async fn until_registered(registrar: &Registrar, first: Option<FirstRegister>) -> Result<(), RefusedAtStart> {
    let timing = registrar.timing;
    let mut backoff = Backoff::new(timing.of(Duration::from_secs(1)), timing.of(Duration::from_secs(60)));
    let mut fatal = first.as_ref().is_some_and(|first| first.refusal_is_fatal);
    loop {
        let turn = registrar.api.client().turn_to_begin(registrar.timing).await;
        let attempt = registrar.attempt().await;
        drop(turn);
        let attempt = match attempt {
            Attempt::Refused(text) if fatal => return Err(RefusedAtStart(text)),
            attempt => attempt,
        };
        if let Some(first) = &first {
            first.attempted.send_replace(true);
        }
        let pause = match attempt {
            Attempt::Registered => return Ok(()),
            Attempt::Refused(text) => {
                warn!("{text}");
                timing.of(PATIENT)
            }
            Attempt::Declined(error) => {
                fatal = false;
                warn!("registering failed: {error}; asking again every five minutes, beats go on");
                timing.of(PATIENT)
            }
            Attempt::Later(error) => {
                let pause = backoff.after(&error);
                warn!("registering failed: {error}; next attempt in {} s", pause.as_secs());
                pause
            }
        };
        sleep(pause).await;
    }
}

fn refused(workspace: &WorkspaceId, token: &TokenSource, status: u16, detail: &str) -> String {
    let (source, place) = (token.describe(), token.place_for_another());
    format!(
        "the platform refused to register workspace {workspace} with {status}: {detail}. The token from {source} is revoked, \
         mistyped, or belongs to another workspace. Make a new token for this workspace in the canvas, Tokens tab, put it into \
         {place}, and restart"
    )
}

fn unknown(workspace: &WorkspaceId) -> String {
    format!(
        "the platform knows no workspace {workspace}; registering it would create an empty one. Check WORKSPACE_ID and \
         PLATFORM_URL against the canvas (Tokens tab), and restart"
    )
}

/// What is said about a deleted workspace, at start and later alike.
#[must_use]
pub fn removed(workspace: &WorkspaceId) -> String {
    format!(
        "workspace {workspace} was deleted on the platform, and its tokens were revoked with it. Create a new workspace and \
         token in the canvas (Tokens tab), update WORKSPACE_ID and MOLECULE_WORKSPACE_TOKEN in the MCP configuration, and \
         restart the client"
    )
}

fn later_remedy(error: &CallError) -> &'static str {
    if error.is_transient() {
        "none needed: it is retried until it works; check PLATFORM_URL and the network if it lasts"
    } else {
        "see the platform's reason; it is asked again every five minutes"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_status_variable_workspace_and_tokens_tab() {
        let id = WorkspaceId::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap();
        let token = |name| TokenSource::of_variable(name, Secret::parse("tok-0123456789").unwrap());
        for text in [refused(&id, &token("MOLECULE_WORKSPACE_TOKEN"), 403, "x"), removed(&id)] {
            for part in ["MOLECULE_WORKSPACE_TOKEN", id.as_str(), "Tokens tab"] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        assert!(refused(&id, &token("MOLECULE_WORKSPACE_TOKEN"), 403, "x").contains("403"));
        let listed = refused(&id, &token("MOLECULE_WORKSPACES"), 403, "x");
        assert!(
            listed.contains("put it into MOLECULE_WORKSPACES, and restart"),
            "{listed}"
        );
    }
}
