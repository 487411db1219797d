//! Building the connection pool: certificates, proxies, keep-alive.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, NoProxy, Proxy};
use tokio::sync::OnceCell;

use super::{CallError, MAX_DETAIL, Settings, clip, lock};
use crate::config;

/// The connections of one generation, made at the first request.
#[derive(Default)]
pub(super) struct Pool(Mutex<(u64, Arc<OnceCell<reqwest::Client>>)>);

impl Pool {
    /// Where the connections of this generation, or of a later one, are or will be. Those of an earlier one are let go, but
    /// for requests under way over them.
    pub(super) fn of(&self, generation: u64) -> Arc<OnceCell<reqwest::Client>> {
        let mut pool = lock(&self.0);
        if pool.0 < generation {
            *pool = (generation, Arc::default());
        }
        Arc::clone(&pool.1)
    }
}

/// Builds a pool. Reading the system's certificates takes milliseconds, so this happens off the runtime's threads.
///
/// # Errors
/// [`CallError::NotSent`] naming what is wrong with the certificates; the next request tries again.
pub(super) async fn build(settings: &Settings, connect_deadline: Duration) -> Result<reqwest::Client, CallError> {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || configured(&settings, connect_deadline))
        .await
        .unwrap_or_else(|_| Err(CallError::NotSent("the HTTP client could not be built".to_owned())))
}

fn configured(settings: &Settings, connect_deadline: Duration) -> Result<reqwest::Client, CallError> {
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("molecule-mcp/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(connect_deadline)
        // Shorter than the idle limits of common edges, so that a request rarely meets a connection just closed.
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(4)
        .tcp_keepalive(Duration::from_secs(30));
    #[cfg(target_os = "linux")]
    {
        builder = builder.tcp_user_timeout(Duration::from_secs(30));
    }
    if settings.base.is_loopback() {
        builder = builder.no_proxy();
    } else if let Some(proxy) = &settings.route.proxy {
        builder = builder.proxy(through(proxy)?);
    }
    #[cfg(debug_assertions)]
    if let Some(names) = super::names::TestNames::from_environment() {
        builder = builder.dns_resolver(names);
    }
    let further = further_authorities(settings)?;
    // Plain HTTP needs no certificates, and must not fail or wait for those of a machine that has none.
    builder = if settings.base.url().scheme() == "http" {
        builder.tls_certs_only(further)
    } else {
        builder.tls_certs_merge(further)
    };
    builder.build().map_err(|error| {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        CallError::NotSent(format!(
            "the HTTP client could not be built: {}; install the system's CA certificates or set MOLECULE_CA_FILE",
            clip(&cause, MAX_DETAIL)
        ))
    })
}

fn through(proxy: &config::proxy::Proxy) -> Result<Proxy, CallError> {
    let made = Proxy::all(proxy.address.as_str());
    let made = made.map_err(|_| CallError::NotSent("the proxy in the configuration file cannot be used".to_owned()))?;
    Ok(made.no_proxy(NoProxy::from_string(&proxy.bypass)))
}

fn further_authorities(settings: &Settings) -> Result<Vec<Certificate>, CallError> {
    let Some(path) = &settings.route.ca_file else {
        return Ok(Vec::new());
    };
    let unusable = |what: String| {
        CallError::NotSent(format!(
            "MOLECULE_CA_FILE ({}) {what}; it must be a PEM file of certificates",
            path.display()
        ))
    };
    let pem = std::fs::read(path).map_err(|error| unusable(format!("could not be read: {}", error.kind())))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(unusable("holds no certificate".to_owned())),
        Err(_) => Err(unusable("could not be understood".to_owned())),
    }
}
