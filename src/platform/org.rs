//! A tenant with the organization key, which is its full administrator and can mint more keys.

use super::client::{Answer, Client};
use super::error::CallError;
use super::order::{self, Order};
use crate::types::Secret;

/// A tenant with `MOLECULE_ORG_API_KEY`. Only the tools of the set `management` are given one.
#[derive(Clone, Debug)]
pub struct OrgApi {
    client: Client,
    key: Secret,
}

impl OrgApi {
    /// Binds the key to a tenant.
    #[must_use]
    pub fn new(client: Client, key: Secret) -> Self {
        Self { client, key }
    }

    /// Sends an order with the key.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(&self, order: &Order) -> Result<Answer, CallError> {
        order::send(&self.client, order, Some(self.key.clone())).await
    }
}
