//! The endpoints of `serve`, for probes and Prometheus on this computer: `/healthz`, `/readyz`, `/metrics`; and the way to MCP.
//!
//! The three tell nothing secret and change nothing; all the same they answer only on loopback, and only to requests that name
//! this computer, so that no web page reads them through its visitor's browser.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::mcp::{self, Entrance};
use super::metrics;
use super::vitals::Vitals;
use crate::agent::supervisor::Ended;
use crate::state::overview::Overview;

/// Connections at once; further ones wait.
const CONNECTIONS: usize = 32;
/// The same where MCP is served: a client keeps one open for as long as it lives, and one for each call that waits.
pub(super) const CONNECTIONS_OF_CLIENTS: usize = 512;
/// How long a connection may take to say what it wants.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// The same where MCP is served: longer than clients keep a connection that they may use again. One that is closed just when a
/// call is sent over it fails the call.
const HEADERS_OF_CLIENTS_WITHIN: Duration = Duration::from_secs(120);
/// How long answers in flight may take to leave after the stop.
const LAST_ANSWERS: Duration = Duration::from_millis(1350);

/// What is behind the listener.
#[derive(Clone)]
pub(super) struct Front {
    pub(super) vitals: Vitals,
    /// `None`: MCP is not served.
    pub(super) entrance: Option<Entrance>,
}

/// Begins to listen.
///
/// # Errors
/// A sentence for the person who chose the address.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| {
        format!(
            "cannot listen at {address} ({error})\n  Remedy: choose another port with --http or MOLECULE_HTTP, or end what \
             listens there; port 0 takes a free one."
        )
    })
}

/// Answers until `stop`.
pub(super) async fn serve(listener: TcpListener, front: Front, stop: CancellationToken) -> Ended {
    let address = match listener.local_addr() {
        Ok(address) => address,
        Err(error) => return Ended::Failed(format!("the address of the listener is not known: {error}")),
    };
    info!("answering /healthz, /readyz and /metrics at http://{address}");
    let mut connections = CONNECTIONS;
    if front.entrance.is_some() {
        info!("serving MCP at http://{address}{}", mcp::PATH);
        connections = CONNECTIONS_OF_CLIENTS;
    }
    let room = Arc::new(Semaphore::new(connections));
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let (front, stop) = (front.clone(), stop.clone());
                    connections.spawn(async move {
                        attend(stream, front, address, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    stop.run_until_cancelled(accepting).await;
    connections.close();
    connections.wait().await;
    Ended::Fine
}

async fn attend(stream: TcpStream, front: Front, address: SocketAddr, stop: CancellationToken) {
    let within = match front.entrance {
        Some(_) => HEADERS_OF_CLIENTS_WITHIN,
        None => HEADERS_WITHIN,
    };
    let service = service_fn(|request: Request<Incoming>| {
        let front = front.clone();
        async move {
            Ok::<_, Infallible>(match (&front.entrance, request.uri().path()) {
                (Some(entrance), mcp::PATH) => entrance.answer(request, address).await,
                (_, path) => {
                    let answer = answer(request.method(), path, request.headers(), &front).await;
                    answer.map(|body| body.boxed())
                }
            })
        }
    });
    // Short messages in both directions, each waited for.
    let _ = stream.set_nodelay(true);
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(within)
            .serve_connection(TokioIo::new(stream), service)
    );
    let served = tokio::select! {
        served = served.as_mut() => served,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            timeout(LAST_ANSWERS, served).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection broke");
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(method: &Method, path: &str, headers: &HeaderMap, front: &Front) -> Answer {
    let vitals = &front.vitals;
    if !names_this_computer(headers) {
        return text(
            StatusCode::FORBIDDEN,
            "only requests to localhost are answered\n".to_owned(),
        );
    }
    let endpoints = ["/healthz", "/readyz", "/metrics"];
    if endpoints.contains(&path) && ![Method::GET, Method::HEAD].contains(method) {
        let refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        return with(refused, ALLOW, "GET, HEAD");
    }
    match path {
        "/healthz" => healthz(&vitals.overdue()),
        "/readyz" => readyz(vitals.overview().await.as_ref()),
        "/metrics" => {
            let text = text(
                StatusCode::OK,
                metrics::of(
                    &vitals.overdue(),
                    front.entrance.as_ref().map(Entrance::count),
                    vitals.overview().await.as_ref(),
                ),
            );
            with(text, CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz and /metrics\n".to_owned(),
        ),
    }
}

/// Alive: the loops turn, whether or not the platform answers.
fn healthz(overdue: &[&str]) -> Answer {
    let status = match overdue {
        [] => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    object(status, &json!({ "alive": overdue.is_empty(), "stuck": overdue }))
}

/// Ready: messages arrive, received by this process or by another one of the same state folder.
fn readyz(overview: Option<&Overview>) -> Answer {
    let Some(overview) = overview else {
        let reason = json!({
            "code": "STATE_DIR_HANGS",
            "what": "the state folder does not answer",
            "remedy": "check its disk",
        });
        return object(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "ready": false, "reasons": [reason] }),
        );
    };
    let deaf = overview.workspaces.iter().filter(|standing| !standing.can_receive());
    let reasons: Vec<_> = deaf.flat_map(|standing| standing.troubles()).collect();
    let ready = overview.workspaces.iter().all(|standing| standing.can_receive());
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    object(status, &json!({ "ready": ready, "reasons": reasons }))
}

/// Whether the request was meant for this computer: its `Host`, and where a browser says on whose behalf it asks, its `Origin`.
/// A name that an attacker lets point to 127.0.0.1 is neither.
fn names_this_computer(headers: &HeaderMap) -> bool {
    let of = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let origin_is_ours = match of(ORIGIN) {
        None => true,
        Some(origin) => url::Url::parse(origin).is_ok_and(|origin| origin.host_str().is_some_and(is_local)),
    };
    let host_is_ours = of(HOST).is_some_and(|host| {
        let without_port = host
            .rsplit_once(':')
            .map_or(host, |(name, port)| match port.parse::<u16>() {
                Ok(_) => name,
                Err(_) => host,
            });
        is_local(without_port)
    });
    host_is_ours && origin_is_ours
}

pub(super) fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let answer = with(answer, CONTENT_TYPE, "text/plain; charset=utf-8");
    with(answer, CACHE_CONTROL, "no-store")
}

fn object(status: StatusCode, body: &serde_json::Value) -> Answer {
    with(text(status, format!("{body}\n")), CONTENT_TYPE, "application/json")
}

fn with(mut answer: Answer, name: HeaderName, value: &'static str) -> Answer {
    answer
        .headers_mut()
        .insert(name, hyper::header::HeaderValue::from_static(value));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: Option<&str>, origin: Option<&str>) -> HeaderMap {
        let pairs = [(HOST, host), (ORIGIN, origin)];
        pairs
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.parse().unwrap())))
            .collect()
    }

    #[test]
    fn only_requests_that_name_this_computer_are_answered() {
        for (host, origin, expected) in [
            (Some("127.0.0.1:9090"), None, true),
            (Some("localhost"), None, true),
            (Some("LOCALHOST:1"), None, true),
            (Some("[::1]:9090"), None, true),
            (Some("[::1]"), None, true),
            (Some("127.0.0.1:9090"), Some("http://localhost:3000"), true),
            (Some("127.0.0.1:9090"), Some("http://evil.example"), false),
            (Some("127.0.0.1:9090"), Some("null"), false),
            (Some("evil.example:9090"), None, false),
            (Some("localhost.evil.example"), None, false),
            (Some("127.0.0.1.evil.example"), None, false),
            (Some("192.0.2.1"), None, false),
            (Some(""), None, false),
            (None, None, false),
        ] {
            assert_eq!(
                names_this_computer(&headers(host, origin)),
                expected,
                "{host:?} {origin:?}"
            );
        }
    }

    #[tokio::test]
    async fn paths_and_methods_that_do_not_exist_are_refused_as_what_they_are() {
        let ours = headers(Some("localhost"), None);
        let front = Front {
            vitals: Vitals::default(),
            entrance: None,
        };
        for (method, path, expected) in [
            (Method::GET, "/healthz", StatusCode::OK),
            (Method::HEAD, "/healthz", StatusCode::OK),
            (Method::POST, "/healthz", StatusCode::METHOD_NOT_ALLOWED),
            (Method::DELETE, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/", StatusCode::NOT_FOUND),
            (Method::GET, "/healthz/", StatusCode::NOT_FOUND),
        ] {
            assert_eq!(
                answer(&method, path, &ours, &front).await.status(),
                expected,
                "{method} {path}"
            );
        }
        let strange = answer(&Method::GET, "/metrics", &HeaderMap::new(), &front).await;
        assert_eq!(strange.status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn a_loop_that_stands_still_and_a_folder_that_hangs_are_no_health() {
        assert_eq!(healthz(&["inbox"]).status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(readyz(None).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}
