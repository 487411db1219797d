//! Starting and stopping the embedded platform.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Cut, CuttableListener};
use super::events::Hub;
use super::faults::Faults;
use super::hole::Hole;
use super::page::{Outfit, Session};
use super::rate_limit::RateLimiter;
use super::request_log::RequestLog;
use super::site::{Site, Testing};
use super::store::Store;
use super::{credentials, liveness, pipeline};

/// How long a stop waits for work in flight before it gives up on it.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Which build of the real platform to behave like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 2026-04: before poll mode. Cursors are ignored and nothing is queued.
    A,
    /// 2026-05: the reference.
    B,
    /// 2026-08: sequence numbers, acknowledgement, unique message ids, stricter credentials.
    C,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Must be a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The folder of the database and the admin token; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
    /// `None`: the one kept in `data`, else a fresh one.
    pub admin_token: Option<String>,
    /// The build to behave like.
    pub level: Level,
    /// Requests per 60 s and caller; the real platform's default is 600.
    pub rate_limit: u32,
    /// Offer the fault injection described at the module.
    pub faults: bool,
    /// How much faster than real time liveness windows and those of the rate limiter run; 1 normally.
    pub speed: u32,
    /// The organization that every request has to name, as on a hosted tenant; `None`: nobody asks.
    pub org_id: Option<String>,
    /// Writing secrets, minting organization keys and deleting workspaces wait for a person's approval (level C).
    pub approval_gate: bool,
    /// How programs on this computer join a workspace, for the page; `None`: the page does not show it.
    pub outfit: Option<Arc<dyn Outfit>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: None,
            admin_token: None,
            level: Level::B,
            rate_limit: 600,
            faults: false,
            speed: 1,
            org_id: None,
            approval_gate: false,
            outfit: None,
        }
    }
}

/// A running platform. Dropping it stops it without waiting.
pub struct LocalPlatform {
    address: SocketAddr,
    admin_token: String,
    page_url: String,
    hole: Arc<Hole>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl LocalPlatform {
    /// Starts listening; requests are answered when this returns.
    ///
    /// # Errors
    /// A listen address that is not loopback (`InvalidInput`), a port in use, or a data folder that cannot be used.
    pub async fn start(options: Options) -> io::Result<Self> {
        if !options.listen.ip().is_loopback() {
            let rule = "the embedded platform is for one machine and listens on loopback addresses only";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, rule));
        }
        if let Some(folder) = &options.data {
            make_private_folder(folder)?;
        }
        let admin_token = credentials::admin_token(options.data.as_deref(), options.admin_token)?;
        let tcp = TcpListener::bind(options.listen).await?;
        let address = tcp.local_addr()?;
        let session = Session::new();
        let page_url = session.url(&format!("http://{address}"));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let site = Arc::new(Site {
            level: options.level,
            speed: options.speed.max(1),
            admin_token: admin_token.clone(),
            org_id: options.org_id,
            approval_gate: options.approval_gate && options.level == Level::C,
            session,
            outfit: options.outfit,
            store: Store::open(options.data.as_deref()).map_err(io::Error::other)?,
            hub: Hub::default(),
            limiter: RateLimiter::new(options.rate_limit, options.speed),
            testing: options.faults.then(|| Testing {
                faults: Faults::default(),
                log: Arc::new(RequestLog::default()),
                late: Mutex::new(None),
            }),
            delegating: Mutex::new(()),
            http: http_client()?,
            stop: stop.clone(),
            tasks: tasks.clone(),
        });
        if site.level == Level::C {
            site.store.concierge().map_err(io::Error::other)?;
        }
        site.spawn(liveness::watch(site.clone()));
        let router = Router::new().fallback(pipeline::serve).with_state(site);
        let service = router.into_make_service_with_connect_info::<Cut>();
        let hole = Arc::new(Hole::default());
        let listener = CuttableListener {
            tcp,
            stop: stop.clone(),
            hole: hole.clone(),
        };
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            let served = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
            if let Err(error) = served {
                tracing::error!(%error, "the embedded platform stopped serving");
            }
        });
        tasks.close();
        Ok(Self {
            address,
            admin_token,
            page_url,
            hole,
            stop,
            tasks,
        })
    }

    /// Where it listens, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The credential of administrative routes.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The address of the page in a browser, with the token of its session: whoever has it acts as the person and as the
    /// admin, until the platform stops.
    #[must_use]
    pub fn page_url(&self) -> &str {
        &self.page_url
    }

    /// From now on nothing passes over any connection, old or new, although they come up and stay: as behind a router that
    /// drops everything.
    pub fn swallow(&self) {
        self.hole.open();
    }

    /// Ends [`Self::swallow`] for new connections; what was connected before stays dead.
    pub fn answer_again(&self) {
        self.hole.close();
    }

    /// Closes the port and every connection, as a crash of the platform would look from outside, and waits until
    /// the port is free again.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(STOP_GRACE, self.tasks.wait()).await;
    }
}

impl fmt::Debug for LocalPlatform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        formatter
            .debug_struct("LocalPlatform")
            .field("address", address)
            .finish_non_exhaustive()
    }
}

impl Drop for LocalPlatform {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The client towards push targets and, for [`super::create_workspace`], towards a running platform.
pub(super) fn http_client() -> io::Result<reqwest::Client> {
    // An error means that a provider is installed already, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .user_agent(concat!("molecule-mcp/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(io::Error::other)
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_addresses_are_accepted() {
        for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let options = Options {
                listen: listen.parse().unwrap(),
                ..Options::default()
            };
            assert_eq!(
                LocalPlatform::start(options).await.unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{listen}"
            );
        }
    }

    #[tokio::test]
    async fn a_stopped_platform_frees_its_port_at_once_even_with_connections_open() {
        let first = LocalPlatform::start(Options::default()).await.unwrap();
        let listen = first.address;
        let mut idle = tokio::net::TcpStream::connect(listen).await.unwrap();
        first.stop().await;
        let mut byte = [0_u8; 1];
        assert_eq!(
            tokio::io::AsyncReadExt::read(&mut idle, &mut byte).await.unwrap_or(0),
            0
        );
        let second = LocalPlatform::start(Options {
            listen,
            ..Options::default()
        })
        .await
        .unwrap();
        assert_eq!(second.url(), format!("http://{listen}"));
        second.stop().await;
    }
}
