//! A tenant, for those who hold no key or the one for operating workspaces.

use super::client::{Answer, Client};
use super::error::CallError;
use super::order::{self, Order};
use crate::types::{BaseUrl, Secret};

/// The tenant as everyone may see it. It sends no credential.
#[derive(Clone, Debug)]
pub struct PublicApi(Client);

impl PublicApi {
    /// The public side of what `client` reaches.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// Where the tenant is.
    #[must_use]
    pub fn base(&self) -> &BaseUrl {
        self.0.base()
    }

    /// Sends an order without a credential.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send(&self, order: &Order) -> Result<Answer, CallError> {
        order::send(&self.0, order, None).await
    }
}

/// A tenant with `MOLECULE_API_KEY`.
#[derive(Clone, Debug)]
pub struct KeyApi {
    client: Client,
    key: Secret,
}

impl KeyApi {
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
