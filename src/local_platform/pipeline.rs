//! The way of every request: origin, rate limit, route, fault, credential, handler, answer.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::Value;
use url::form_urlencoded;

use super::call::{Answer, Call, bearer, header_text, json_text, uuid};
use super::connection::Cut;
use super::request_log::{Entry, Pending, RequestLog};
use super::routes::table::{self, Found, Run};
use super::site::Site;
use super::{auth, clock, credentials, origin, page, rate_limit, tenant};

/// No route reads more; the real platform has no general limit.
pub(crate) const LARGEST_BODY: usize = 128 * 1024 * 1024;

/// What is told the person is logged up to this size.
const LARGEST_LOGGED: usize = 4096;

/// Answers one request.
pub(crate) async fn serve(
    State(site): State<Arc<Site>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if page::below(parts.uri.path()).is_some() {
        return page::serve(&site, parts, body).await;
    }
    let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    if site.testing.is_some()
        && let Some(found) = table::find_local(&parts.method, parts.uri.path())
    {
        // No credential is asked for here, so that another page in the person's browser must be kept out.
        if let origin::Verdict::Answered(refusal) = origin::judge(&parts.method, &parts.headers) {
            return refusal.into_response();
        }
        return run(found.run(), call(&site, &parts, body, &found))
            .await
            .into_response();
    }
    let mut pending = log(&site, &parts);
    let allowed = match origin::judge(&parts.method, &parts.headers) {
        origin::Verdict::Answered(answer) => return logged(pending, &cut, answer),
        origin::Verdict::Allowed(headers) => headers.to_vec(),
        origin::Verdict::Silent => Vec::new(),
    };
    let allowance = site
        .limiter
        .count(rate_limit::key(site.level, &parts.headers), Instant::now());
    let answer = if allowance.admitted {
        routed(&site, &parts, body, &cut, &mut pending).await
    } else {
        allowance.refusal()
    };
    let answer = allowance
        .headers()
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.with(name, value));
    let answer = allowed
        .into_iter()
        .fold(answer, |answer, (name, value)| answer.with(name, value));
    logged(pending, &cut, answer)
}

async fn routed(site: &Arc<Site>, parts: &Parts, body: Bytes, cut: &Cut, pending: &mut Pending) -> Answer {
    let org = site.org_id.as_deref();
    if let Some(refusal) = tenant::refusal(site.level, org, parts.uri.path(), &parts.headers) {
        return refusal;
    }
    let Some(found) = table::find(site.level, &parts.method, parts.uri.path()) else {
        return Answer::no_route();
    };
    let name = found.route.name;
    let call = call(site, parts, body, &found);
    let is_logged = match name {
        "register" | "heartbeat" => true,
        "notify" => site.testing.is_some() && call.body.len() <= LARGEST_LOGGED,
        _ => false,
    };
    let sent: Option<Value> = is_logged.then(|| serde_json::from_str(&json_text(&call.body)).unwrap_or_default());
    let in_body = || {
        let mut keys = ["id", "workspace_id"].iter();
        let id = keys.find_map(|key| sent.as_ref()?[*key].as_str());
        id.map(str::to_lowercase)
    };
    let in_path = Some(call.id.clone()).filter(|id| !id.is_empty());
    let workspace = in_path.or_else(in_body);
    pending.entry.route = Some(name);
    pending.entry.workspace.clone_from(&workspace);
    pending.entry.body = sent;
    let fault = site
        .testing
        .as_ref()
        .and_then(|testing| testing.faults.take(name, workspace.as_deref()));
    let Some(fault) = fault else {
        return handled(found, call).await;
    };
    let (delay, works) = (fault.delay(), fault.lets_work_happen());
    // The real platform's handlers run to their end, whether or not the client is still there.
    let work = tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        if works { Some(handled(found, call).await) } else { None }
    });
    let answer = work.await.unwrap_or_else(|_| Some(Answer::empty(500)));
    if fault.silent {
        std::future::pending::<()>().await;
    }
    if fault.drop {
        cut.now();
    }
    if let Some(rest) = fault.drip() {
        cut.drip(rest);
    }
    fault.apply(answer)
}

/// Runs a route, one for tests included, past limits, faults and the log.
pub(crate) async fn unhindered(site: &Arc<Site>, parts: &Parts, body: Bytes) -> Answer {
    let path = parts.uri.path();
    let local = || {
        site.testing
            .as_ref()
            .and_then(|_| table::find_local(&parts.method, path))
    };
    match table::find(site.level, &parts.method, path).or_else(local) {
        Some(found) => {
            let call = call(site, parts, body, &found);
            handled(found, call).await
        }
        None => Answer::no_route(),
    }
}

async fn handled(found: Found, call: Call) -> Answer {
    match auth::check(found.route.auth, &call) {
        Ok(()) => run(found.run(), call).await,
        Err(refusal) => refusal,
    }
}

async fn run(run: Run, call: Call) -> Answer {
    let outcome = match run {
        Run::Now(handler) => handler(&call),
        Run::Later(handler) => handler(call).await,
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

fn call(site: &Arc<Site>, parts: &Parts, body: Bytes, found: &Found) -> Call {
    let query = parts.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let id = uuid(&found.id).unwrap_or_else(|| found.id.to_lowercase());
    Call {
        site: site.clone(),
        id_is_lower_case: id == found.id,
        id,
        second: unescaped(&found.second),
        query,
        headers: parts.headers.clone(),
        body,
    }
}

/// One segment of a path. The router of the real platform matches unescaped paths; ids there hold nothing to unescape.
fn unescaped(segment: &str) -> String {
    // A plus sign means itself in a path.
    let pair = format!("x={}", segment.replace('+', "%2B"));
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    pairs.next().map_or_else(String::new, |(_, value)| value.into_owned())
}

fn log(site: &Arc<Site>, parts: &Parts) -> Pending {
    let Some(testing) = &site.testing else {
        return RequestLog::begin(None, Entry::default());
    };
    let header = |name| header_text(&parts.headers, name).map(str::to_owned);
    let entry = Entry {
        time_ms: clock::now() / 1000,
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        bearer: bearer(&parts.headers).map(|token| credentials::digest(token)[..8].to_owned()),
        user_agent: header("user-agent"),
        x_workspace_id: header("x-workspace-id"),
        origin: header("origin"),
        ..Entry::default()
    };
    RequestLog::begin(Some(testing.log.clone()), entry)
}

fn logged(mut pending: Pending, cut: &Cut, answer: Answer) -> Response {
    // Of a connection that is gone, the log must not claim an answer.
    pending.entry.status = (!cut.happened()).then_some(answer.status);
    answer.into_response()
}
