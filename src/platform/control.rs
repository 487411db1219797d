//! The control plane, which is another host with a credential of its own.

use super::client::{Answer, Client};
use super::error::CallError;
use super::order::{self, Order};
use crate::types::Secret;

/// The control plane with `CP_ADMIN_API_TOKEN`. Tenants never see this token, and their keys never go there.
#[derive(Clone, Debug)]
pub struct ControlApi {
    client: Client,
    token: Secret,
}

impl ControlApi {
    /// Binds the token to a control plane.
    #[must_use]
    pub fn new(client: Client, token: Secret) -> Self {
        Self { client, token }
    }

    /// Sends an order with the token.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(&self, order: &Order) -> Result<Answer, CallError> {
        order::send(&self.client, order, Some(self.token.clone())).await
    }
}
