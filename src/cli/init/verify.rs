//! Asks the platform whether a set-up would work, before anything is written.

use super::InitFailure;
use crate::platform::error::CallError;
use crate::platform::wire::{ActivityQuery, Existence, RegisterBody, Registered};
use crate::platform::workspace::WorkspaceApi;
use crate::types::{Secret, WorkspaceId};

/// The three questions `init` has for a platform.
pub(super) trait Door {
    /// Whether the platform knows the workspace.
    async fn existence(&self) -> Result<Existence, CallError>;
    /// A read that only a valid token gets.
    async fn read(&self) -> Result<(), CallError>;
    /// Registers, which for a workspace without any token brings one.
    async fn register(&self, body: &RegisterBody) -> Result<Registered, CallError>;
}

impl Door for WorkspaceApi {
    async fn existence(&self) -> Result<Existence, CallError> {
        Self::existence(self).await
    }

    async fn read(&self) -> Result<(), CallError> {
        let newest = ActivityQuery {
            kind: Some("a2a_receive"),
            limit: 1,
            ..ActivityQuery::default()
        };
        self.activity(&newest).await.map(drop)
    }

    async fn register(&self, body: &RegisterBody) -> Result<Registered, CallError> {
        Self::register(self, body).await
    }
}

/// Whether an answer that says nothing about the workspace may be passed over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The read that follows tells more.
    PassedOver,
    /// Registering an id that the platform does not know would create a ghost.
    Refused,
}

/// The workspace must exist.
pub(super) async fn exists(door: &impl Door, id: &WorkspaceId, doubt: Doubt) -> Result<(), InitFailure> {
    match door.existence().await {
        Ok(Existence::Known(_)) => Ok(()),
        Ok(Existence::Unknown) => Err(InitFailure::config(&format!(
            "the platform has no workspace {id}: check the id (--id) and the address (--url), or create the workspace in \
             the canvas first"
        ))),
        Ok(Existence::Removed(_)) => Err(InitFailure::config(&format!(
            "workspace {id} was removed from the platform: create a new one in the canvas, and a token on its \"Tokens\" tab"
        ))),
        Err(error)
            if doubt == Doubt::PassedOver && !error.is_transient() && !matches!(error, CallError::NotSent(_)) =>
        {
            Ok(())
        }
        Err(error) => Err(failure(&error)),
    }
}

/// The platform must answer an authenticated read: beats and register are answered even to a revoked token.
pub(super) async fn token_works(door: &impl Door) -> Result<(), InitFailure> {
    match door.read().await {
        // A single row of that size is legal, and the platform showed it to this token.
        Ok(()) | Err(CallError::TooLarge { .. }) => Ok(()),
        Err(error) => Err(failure(&error)),
    }
}

/// Registers without a token and returns the one that was issued, and the inbound secret if one came along.
pub(super) async fn issue_token(
    door: &impl Door,
    body: &RegisterBody,
) -> Result<(Secret, Option<Secret>), InitFailure> {
    let taken = || {
        InitFailure::refused(
            "this workspace has a token already, and the platform issues a further one only in the canvas: make one on \
             the \"Tokens\" tab and run init without --bootstrap",
        )
    };
    match door.register(body).await {
        Ok(Registered {
            auth_token: Some(token),
            inbound_secret,
        }) => Ok((token, inbound_secret)),
        Ok(_) | Err(CallError::Refused { .. }) => Err(taken()),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &CallError) -> InitFailure {
    match error {
        CallError::Refused { .. } => InitFailure::refused(&format!(
            "{error}; make a new token in the canvas, \"Tokens\" tab of this workspace"
        )),
        CallError::Rejected { body: Some(body), .. } if body["code"] == "TENANT_ORG_HEADER_REQUIRED" => {
            InitFailure::config(&format!("{error}; name the organization with --org-id"))
        }
        error if error.is_transient() => InitFailure::unreachable(&format!(
            "{error}; check the address (--url) and the network, or try again later"
        )),
        CallError::NotSent(_) => InitFailure::config(&error.to_string()),
        _ => InitFailure::config(&format!(
            "{error}; check that the address (--url) is that of a Molecule platform"
        )),
    }
}
