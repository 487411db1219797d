//! MCP over HTTP: who is let in, and what a client is served.
//!
//! Every program on this computer can reach a loopback address, web pages through their visitor's browser included. So a client
//! shows a token that only this user can read, and names this very address: neither a page of another origin nor a name that
//! was made to point here gets as far as the token.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE,
};
use hyper::{Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::agent::outbox::Outbox;
use crate::cli::run::{self, Doors, Opened};
use crate::config::{Config, McpProtocol, Problem};
use crate::mcp::http::{self, Answer, Guest, Hall};
use crate::state::secret::{self, HTTP_TOKEN};
use crate::tools::catalogue::Catalogue;
use crate::tools::workspaces::Workspaces;
use crate::types::Secret;

/// Where it is served.
pub(super) const PATH: &str = "/mcp";
/// A token that a person made up must not be one that can be guessed.
const SHORTEST: usize = 32;

/// The way in. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Entrance(Arc<Mutex<Option<Open>>>);

/// It is open: with this token, to this hall.
#[derive(Clone)]
struct Open {
    token: Secret,
    hall: Hall,
}

impl Entrance {
    /// From now on whoever shows the token is let in.
    pub(super) fn open(&self, token: Secret, hall: Hall) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open { token, hall });
    }

    /// How many clients are inside.
    pub(super) fn count(&self) -> usize {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map_or(0, |open| open.hall.count())
    }

    /// Answers one request to the listener at `address`.
    pub(super) async fn answer(&self, request: Request<Incoming>, address: SocketAddr) -> Answer {
        let mut answer = self.judge(request, address).await;
        if answer.status().is_client_error() || answer.status().is_server_error() {
            // Its body may not have been read, and the connection is then closed. A client that is not told would send its next
            // request over it.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer
    }

    async fn judge(&self, request: Request<Incoming>, address: SocketAddr) -> Answer {
        if !is_addressed(request.headers(), address) {
            return refused(
                StatusCode::FORBIDDEN,
                "only requests to this very address are answered, and none of other origins",
            );
        }
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(open) = open else {
            return http::unavailable("the program is starting");
        };
        if !shows(request.headers(), &open.token) {
            let what =
                "a client shows the token in the file http.token of the state folder: Authorization: Bearer <token>";
            let mut refused = refused(StatusCode::UNAUTHORIZED, what);
            let challenge = HeaderValue::from_static("Bearer realm=\"molecule-mcp\"");
            refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return refused;
        }
        open.hall.answer(request).await
    }
}

/// The token that clients show, from its file, which is made at the first start.
pub(super) fn token(config: &Config) -> Result<Secret, Problem> {
    let made = || {
        let random = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        Secret::parse(&random).expect("hexadecimal digits are a token")
    };
    let path = config.state_dir.join(HTTP_TOKEN);
    let wrong = |what: &str| {
        let remedy = "remove it, and a new one is made at the next start";
        Problem::wrong(path.display().to_string(), what, remedy)
    };
    match secret::kept_or_made(&config.state_dir, HTTP_TOKEN, made) {
        Ok(token) if token.expose().len() >= SHORTEST => Ok(token),
        Ok(_) => Err(wrong(&format!("holds fewer than {SHORTEST} characters"))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(wrong("is no regular file with one token that only this user may read"))
        }
        Err(error) => Err(wrong(&format!("cannot be read or made ({error})"))),
    }
}

/// The hall of these workspaces, until `stop`.
pub(super) fn hall(config: &Config, doors: Doors, workspaces: Opened, stop: CancellationToken) -> Hall {
    let timing = config.timing;
    // Leases hang on a session, and the newest revision knows none. The environment is that of a service: it says nothing of
    // the client.
    let config = Config {
        protocol: McpProtocol::Legacy,
        host: None,
        ..config.clone()
    };
    let invite = move |closing| {
        let (seated, is_seated) = oneshot::channel();
        let offer = run::offer(&config, Catalogue::new(), &doors, run::opened(is_seated));
        Ok(Guest {
            offer: offer.map_err(|duplicate| duplicate.to_string())?,
            life: live(workspaces.clone(), seated, closing).boxed(),
        })
    };
    Hall::new(Box::new(invite), timing, stop)
}

/// Lives as one client: begins its session, and sends what its tools wrote down.
async fn live(workspaces: Opened, seated: oneshot::Sender<Workspaces>, closing: CancellationToken) {
    let Some(Some(all)) = closing.run_until_cancelled(workspaces).await else {
        return;
    };
    let seat = match all.for_another_session().await {
        Ok(seat) => seat,
        Err(error) => {
            warn!(%error, "a client could not be given a session; it is told so, and may try again");
            return closing.cancel();
        }
    };
    // As in a process that holds no duty.
    let (_nobody, holder) = watch::channel(false);
    let outboxes = seat.all().iter().map(|context| Outbox {
        api: context.api.clone(),
        journal: context.journal.clone(),
        spool: context.attaching.spool.clone(),
        holder: holder.clone(),
        stream: None,
        timing: context.timing,
    });
    let sending: Vec<_> = outboxes.map(|outbox| outbox.run(closing.clone())).collect();
    // A client that has gone already wants none.
    let _ = seated.send(seat);
    join_all(sending).await;
}

/// Whether a request was meant for this listener: by its `Host`, and where a browser says on whose behalf it asks, by its
/// `Origin`, which has to be the same.
fn is_addressed(headers: &HeaderMap, address: SocketAddr) -> bool {
    let one = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap_or_default());
        match values.next() {
            None => first,
            Some(_) => Some(""),
        }
    };
    let Some(host) = one(HOST) else { return false };
    let Some((name, port)) = host.rsplit_once(':') else {
        return false;
    };
    super::http::is_local(name)
        && port == address.port().to_string()
        && one(ORIGIN).is_none_or(|origin| {
            let authority = origin.strip_prefix("http://");
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        })
}

fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(value) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((scheme, given)) = value.split_once(' ') else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.is(given.trim())
}

fn refused(status: StatusCode, what: &str) -> Answer {
    debug!(%status, "refused a request to /mcp");
    let body = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": what } });
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())).boxed());
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_this_very_address_is_meant() {
        let address = "127.0.0.1:9090".parse().unwrap();
        for (host, origin, expected) in [
            ("127.0.0.1:9090", None, true),
            ("localhost:9090", None, true),
            ("[::1]:9090", None, true),
            ("localhost:9090", Some("http://localhost:9090"), true),
            ("LOCALHOST:9090", Some("http://localhost:9090"), true),
            ("127.0.0.1", None, false),
            ("127.0.0.1:9091", None, false),
            ("evil.example:9090", None, false),
            ("127.0.0.1.evil.example:9090", None, false),
            ("192.0.2.1:9090", None, false),
            (":9090", None, false),
            ("", None, false),
            ("localhost:9090", Some("http://127.0.0.1:9090"), false),
            ("localhost:9090", Some("http://localhost:3000"), false),
            ("localhost:9090", Some("https://localhost:9090"), false),
            ("localhost:9090", Some("http://localhost:9090.evil.example"), false),
            ("localhost:9090", Some("https://evil.example"), false),
            ("localhost:9090", Some("null"), false),
            ("localhost:9090", Some(""), false),
        ] {
            let mut given = headers(&[(HOST, host)]);
            if let Some(origin) = origin {
                given.append(ORIGIN, origin.parse().unwrap());
            }
            assert_eq!(is_addressed(&given, address), expected, "{host} {origin:?}");
        }
        assert!(!is_addressed(&HeaderMap::new(), address));
        let twice = headers(&[(HOST, "localhost:9090"), (HOST, "localhost:9090")]);
        assert!(!is_addressed(&twice, address), "nobody knows which one others believe");
    }

    #[test]
    fn only_the_token_is_a_token() {
        let token = Secret::parse("0123456789abcdef0123456789abcdef").unwrap();
        for (given, expected) in [
            ("Bearer 0123456789abcdef0123456789abcdef", true),
            ("bearer 0123456789abcdef0123456789abcdef", true),
            ("Bearer  0123456789abcdef0123456789abcdef", true),
            ("Bearer 0123456789abcdef0123456789abcde", false),
            ("Bearer 0123456789abcdef0123456789abcdef0", false),
            ("Bearer ", false),
            ("Bearer", false),
            ("Basic 0123456789abcdef0123456789abcdef", false),
            ("0123456789abcdef0123456789abcdef", false),
        ] {
            assert_eq!(shows(&headers(&[(AUTHORIZATION, given)]), &token), expected, "{given}");
        }
        assert!(!shows(&HeaderMap::new(), &token));
    }
}
