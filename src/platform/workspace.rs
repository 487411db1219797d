//! The platform's API as one workspace may call it: every method is one route, named for what it does.

use serde_json::Value;

use super::client::Client;
use super::error::CallError;
use super::events::EventStream;
use super::wire::{
    A2aAnswer, ActivityPage, ActivityQuery, Beat, BeatReply, Delegated, DelegationRow, Existence, Peer, RegisterBody,
    Registered,
};
use crate::config::token::TokenSource;
use crate::types::{PeerId, WorkspaceId};

/// Largest request body that a platform of level B takes whole.
pub const MAX_BODY: usize = 1_000_000;

/// A client with one workspace's credential. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WorkspaceApi {}

impl WorkspaceApi {
    /// Binds a client to a workspace. The token is read from `token` anew for every request.
    #[must_use]
    pub fn new(_client: Client, _workspace: WorkspaceId, _token: TokenSource) -> Self {
        todo!()
    }

    /// The same API over connections of its own.
    #[must_use]
    pub fn separate(&self) -> Self {
        todo!()
    }

    /// The workspace it speaks for.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceId {
        todo!()
    }

    /// The client below.
    #[must_use]
    pub fn client(&self) -> &Client {
        todo!()
    }

    /// Where the token comes from.
    #[must_use]
    pub fn token(&self) -> &TokenSource {
        todo!()
    }

    /// `POST /registry/register`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn register(&self, _body: &RegisterBody) -> Result<Registered, CallError> {
        todo!()
    }

    /// `POST /registry/heartbeat`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn heartbeat(&self, _beat: &Beat) -> Result<BeatReply, CallError> {
        todo!()
    }

    /// `GET /workspaces/:id` of this workspace, without a credential (the route is public).
    ///
    /// # Errors
    /// Anything but the three outcomes of [`Existence`].
    pub async fn existence(&self) -> Result<Existence, CallError> {
        todo!()
    }

    /// `GET /workspaces/:id` of another workspace; also used to refuse delegations to removed targets.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn existence_of(&self, _peer: &PeerId) -> Result<Existence, CallError> {
        todo!()
    }

    /// `GET /workspaces/:id/activity`. The answer may be up to 32 MiB; [`CallError::TooLarge`] beyond.
    ///
    /// # Errors
    /// 410 arrives as [`CallError::Rejected`].
    pub async fn activity(&self, _query: &ActivityQuery) -> Result<ActivityPage, CallError> {
        todo!()
    }

    /// `POST /workspaces/:id/activity/ack` (level C). `Ok(false)`: the platform has no such route.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn acknowledge(&self, _seq: i64) -> Result<bool, CallError> {
        todo!()
    }

    /// `POST /workspaces/:id/notify`: a message to the person.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn notify(&self, _message: &str) -> Result<(), CallError> {
        todo!()
    }

    /// `POST /workspaces/:target/a2a` with `X-Workspace-ID` of this workspace.
    ///
    /// # Errors
    /// See [`CallError`]; a timeout is [`CallError::Interrupted`].
    pub async fn a2a(&self, _target: &PeerId, _envelope: &Value) -> Result<A2aAnswer, CallError> {
        todo!()
    }

    /// `POST /workspaces/:id/delegate`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegate(&self, _target: &PeerId, _task: &str, _key: &str) -> Result<Delegated, CallError> {
        todo!()
    }

    /// `GET /workspaces/:id/delegations`: at most 50 rows, newest first.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegations(&self) -> Result<Vec<DelegationRow>, CallError> {
        todo!()
    }

    /// `GET /registry/:id/peers`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn peers(&self) -> Result<Vec<Peer>, CallError> {
        todo!()
    }

    /// Opens `GET /workspaces/:id/events/stream`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn events(&self) -> Result<EventStream, CallError> {
        todo!()
    }
}
