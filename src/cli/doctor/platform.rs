//! The way to the platform, the workspace there, and the token, by reads alone.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::{Finding, Findings};
use crate::cli::run::bundle;
use crate::config::Config;
use crate::platform::client::RateLimit;
use crate::platform::error::CallError;
use crate::platform::order::{Order, Verb};
use crate::platform::tenant::PublicApi;
use crate::platform::wire::{ActivityQuery, Existence};
use crate::platform::workspace::WorkspaceApi;
use crate::types::{BaseUrl, Timestamp};

/// A name that takes longer to look up is as good as unknown.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(5);
/// Clocks that differ by more are worth a word.
const SKEW: Duration = Duration::from_secs(60);

/// Of more workspaces than these nothing is asked: the platform counts the requests of all of them together.
const ASKED: usize = 20;

/// Asks in the order in which one thing needs the other, and stops where nothing further can be learned.
pub(super) async fn check(findings: &mut Findings, config: &Config, var: &dyn Fn(&str) -> Option<OsString>) {
    let bundles = bundle::bundles(config);
    if let [only] = &*bundles {
        if begin(findings, &only.api, var).await && member(findings, &only.api).await {
            surroundings(findings, &only.api).await;
        }
        return;
    }
    // Each platform once, by the first workspace there.
    let mut reached: Vec<(&BaseUrl, bool)> = Vec::new();
    for bundle in bundles.iter().take(ASKED) {
        let (api, own) = (&bundle.api, &bundle.own);
        let mut found = Findings::default();
        let known = reached.iter().find(|(platform, _)| *platform == &own.platform);
        let (is_first, is_reached) = match known {
            Some((_, is_reached)) => (false, *is_reached),
            None => (true, begin(&mut found, api, var).await),
        };
        if is_first {
            reached.push((&own.platform, is_reached));
        }
        if is_reached && member(&mut found, api).await && is_first {
            surroundings(&mut found, api).await;
        }
        findings.add_all_of(&own.workspace, found);
    }
    if let Some(left) = bundles.len().checked_sub(ASKED).filter(|left| *left > 0) {
        findings.add(Finding::ok(
            "workspaces",
            format!("the platform was asked about the first {ASKED}; the other {left} were not looked up there"),
        ));
    }
}

/// The way to a platform.
async fn begin(findings: &mut Findings, api: &WorkspaceApi, var: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let platform = api.client().base();
    let proxy = proxy(platform, var);
    match proxy {
        Some(name) => findings.add(Finding::ok(
            "proxy",
            format!("{name} is set, and NO_PROXY does not name the platform"),
        )),
        None => findings.add(name(platform).await),
    }
    reach(findings, api, proxy).await
}

/// The workspace there, and its token.
async fn member(findings: &mut Findings, api: &WorkspaceApi) -> bool {
    workspace(findings, api).await && token(findings, api).await
}

async fn surroundings(findings: &mut Findings, api: &WorkspaceApi) {
    peers(findings, api).await;
    stream(findings, api).await;
    findings.add(rate_limit(api.client().rate_limit()));
}

/// The proxy variable that applies, by its name: its value may hold a password.
fn proxy(platform: &BaseUrl, var: &dyn Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    if platform.is_loopback() {
        return None;
    }
    let names: &[&'static str] = match platform.url().scheme() {
        "https" => &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => &["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let set = |name: &&str| var(name).is_some_and(|value| !value.is_empty());
    let exempt = ["NO_PROXY", "no_proxy"]
        .iter()
        .filter_map(|name| var(name))
        .any(|list| {
            let host = platform.url().host_str().unwrap_or_default();
            let list = list.to_string_lossy().into_owned();
            list.split(',')
                .map(|entry| entry.trim().trim_start_matches("*.").trim_start_matches('.'))
                .any(|entry| {
                    entry == "*" || (!entry.is_empty() && (host == entry || host.ends_with(&format!(".{entry}"))))
                })
        });
    names.iter().find(|name| set(name)).copied().filter(|_| !exempt)
}

async fn name(platform: &BaseUrl) -> Finding {
    const CHECK: &str = "name";
    let url = platform.url();
    let host = url.host_str().unwrap_or_default();
    if !matches!(url.host(), Some(url::Host::Domain(_))) {
        return Finding::ok(CHECK, format!("{host} is an address, so nothing has to be looked up"));
    }
    let port = url.port_or_known_default().unwrap_or(443);
    let next = "check the spelling of PLATFORM_URL, and the network and name server of this computer";
    match timeout(LOOK_UP_WITHIN, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => {
            let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
            Finding::ok(CHECK, format!("{host} is {}", addresses.join(", ")))
        }
        Ok(Err(error)) => Finding::fail(CHECK, format!("{host} cannot be looked up: {error}"), next),
        Err(_) => Finding::fail(
            CHECK,
            format!("looking {host} up took longer than {} s", LOOK_UP_WITHIN.as_secs()),
            next,
        ),
    }
}

/// Whether the platform answers at all, and what its answer says of the clock.
async fn reach(findings: &mut Findings, api: &WorkspaceApi, proxy: Option<&str>) -> bool {
    const CHECK: &str = "platform";
    let begun = Instant::now();
    let health = PublicApi::new(api.client().clone())
        .send(&Order::open(Verb::Get, ["health".into()]))
        .await;
    let took = begun.elapsed().as_millis();
    let reached = match &health {
        Ok(_) => {
            findings.add(Finding::ok(CHECK, format!("answers in {took} ms")));
            true
        }
        Err(error) if wants_organization(error) => {
            findings.add(no_organization(error));
            false
        }
        Err(CallError::Rejected { status: 404, .. }) => {
            findings.add(Finding::warn(
                CHECK,
                "something answers at PLATFORM_URL that has no /health, which every platform has",
                "check that PLATFORM_URL is the address of a Molecule platform, without a further path",
            ));
            true
        }
        Err(error) => {
            let next = match (error, proxy) {
                (CallError::Unreachable { .. }, Some(proxy)) => format!("check {proxy} and whether the proxy lets this address pass"),
                (CallError::NotSent(_), _) => "mend the setting that it names".to_owned(),
                _ => "check PLATFORM_URL, the network and a firewall; a certificate that is not known needs MOLECULE_CA_FILE"
                    .to_owned(),
            };
            findings.add(Finding::fail(
                CHECK,
                format!("{error}; nothing further was asked"),
                next,
            ));
            false
        }
    };
    if let Some(there) = api.client().platform_time() {
        findings.add(clock(there, Timestamp::now()));
    }
    reached
}

fn clock(there: Timestamp, here: Timestamp) -> Finding {
    const CHECK: &str = "clock";
    // The platform tells whole seconds.
    let (ahead, behind) = (there.until(here), here.until(there));
    let skew = ahead.max(behind);
    if skew <= SKEW {
        return Finding::ok(CHECK, "agrees with the platform's");
    }
    let direction = if ahead > behind { "ahead of" } else { "behind" };
    Finding::warn(
        CHECK,
        format!(
            "this computer's is {} s {direction} the platform's; times in status are off by that",
            skew.as_secs()
        ),
        "set the clock of this computer, best by NTP",
    )
}

/// A hosted platform says so, or answers with a 404 that is not a tenant's own, which has a body.
fn wants_organization(error: &CallError) -> bool {
    match error {
        CallError::Rejected { body: Some(body), .. } => body["code"] == "TENANT_ORG_HEADER_REQUIRED",
        CallError::Rejected { status, body: None, .. } => *status == 404,
        _ => false,
    }
}

fn no_organization(error: &CallError) -> Finding {
    Finding::fail(
        "organization",
        format!("{error}; nothing further was asked"),
        "on a hosted platform set MOLECULE_ORG_ID to the id of the organization, which the canvas shows; elsewhere check that \
         PLATFORM_URL is the address of a Molecule platform",
    )
}

async fn workspace(findings: &mut Findings, api: &WorkspaceApi) -> bool {
    const CHECK: &str = "workspace";
    let id = api.workspace();
    let (finding, goes_on) = match api.existence().await {
        Ok(Existence::Known(_)) => (Finding::ok(CHECK, format!("the platform knows {id}")), true),
        Ok(Existence::Unknown) => (
            Finding::fail(
                CHECK,
                format!("the platform knows no workspace {id}"),
                "compare WORKSPACE_ID and PLATFORM_URL with the canvas",
            ),
            false,
        ),
        Ok(Existence::Removed(_)) => (
            Finding::fail(
                CHECK,
                format!("workspace {id} was deleted on the platform"),
                "create a new workspace and a token in the canvas (Tokens tab), and configure both",
            ),
            false,
        ),
        Err(error) if wants_organization(&error) => (no_organization(&error), false),
        // The read that follows tells more.
        Err(error) => (
            Finding::warn(
                CHECK,
                format!("could not be looked up: {error}"),
                "none, if the token works",
            ),
            true,
        ),
    };
    findings.add(finding);
    goes_on
}

/// The one thing that proves it: beats and register are answered even to a revoked token.
async fn token(findings: &mut Findings, api: &WorkspaceApi) -> bool {
    const CHECK: &str = "access";
    if api.token().current().is_none() {
        return false;
    }
    let newest = ActivityQuery {
        limit: 1,
        ..ActivityQuery::default()
    };
    let (finding, goes_on) = match api.activity(&newest).await {
        // A single row of that size is legal, and the platform showed it to this token.
        Ok(_) | Err(CallError::TooLarge { .. }) => {
            (Finding::ok(CHECK, "the token reads this workspace's messages"), true)
        }
        Err(error) if wants_organization(&error) => (no_organization(&error), false),
        Err(error @ CallError::Refused { .. }) => (
            Finding::fail(
                CHECK,
                format!("{error} (the token from {})", api.token().describe()),
                "make a new token in the canvas, Tokens tab of this very workspace, and replace the old one where it came from",
            ),
            false,
        ),
        Err(error) => (
            Finding::fail(
                CHECK,
                error.to_string(),
                if error.is_transient() {
                    "try again later"
                } else {
                    "check that PLATFORM_URL is the address of a Molecule platform"
                },
            ),
            false,
        ),
    };
    findings.add(finding);
    goes_on
}

async fn peers(findings: &mut Findings, api: &WorkspaceApi) {
    const CHECK: &str = "peers";
    findings.add(match api.peers().await {
        Ok(peers) if peers.is_empty() => Finding::warn(
            CHECK,
            "no other workspace is visible, so there is nobody to delegate to",
            "none, if it is meant to be alone; otherwise see to its place in the organization, in the canvas",
        ),
        Ok(peers) => Finding::ok(CHECK, format!("{} visible", peers.len())),
        Err(error) => Finding::warn(
            CHECK,
            error.to_string(),
            "try again later; receiving does not depend on it",
        ),
    });
}

async fn stream(findings: &mut Findings, api: &WorkspaceApi) {
    const CHECK: &str = "event stream";
    findings.add(match api.events().await {
        Ok(_) => Finding::ok(CHECK, "opens, so messages are read at once"),
        Err(error) if error.status() == Some(404) => Finding::warn(
            CHECK,
            "the platform has none, so messages are looked for every 5 s",
            "none needed",
        ),
        Err(error) => Finding::warn(
            CHECK,
            format!("cannot be opened: {error}; messages are then looked for every 5 s"),
            "see whether a proxy or firewall cuts long answers; receiving does not depend on it",
        ),
    });
}

fn rate_limit(limit: RateLimit) -> Finding {
    const CHECK: &str = "rate limit";
    match (limit.remaining, limit.limit) {
        (Some(left), Some(all)) if left < all / 5 => Finding::warn(
            CHECK,
            format!("{left} of {all} requests are left for now, so reads are slowed down"),
            "see what else uses the platform from here, or ask for a higher limit",
        ),
        (Some(left), Some(all)) => Finding::ok(CHECK, format!("{left} of {all} requests left")),
        _ => Finding::ok(CHECK, "the platform names none"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Verdict;
    use super::*;
    use crate::types::PlainHttp;

    #[test]
    fn the_proxy_that_applies_is_named_without_its_value() {
        for (url, set, expected) in [
            (
                "https://x.example",
                &[("HTTPS_PROXY", "http://u:p@h:1")][..],
                Some("HTTPS_PROXY"),
            ),
            ("https://x.example", &[("HTTP_PROXY", "http://h:1")], None),
            ("https://x.example", &[("all_proxy", "http://h:1")], Some("all_proxy")),
            (
                "https://a.x.example",
                &[("HTTPS_PROXY", "h"), ("NO_PROXY", "y.example, .x.example")],
                None,
            ),
            (
                "https://ax.example",
                &[("HTTPS_PROXY", "h"), ("NO_PROXY", "x.example")],
                Some("HTTPS_PROXY"),
            ),
            ("https://x.example", &[("HTTPS_PROXY", "h"), ("no_proxy", "*")], None),
            ("http://127.0.0.1:1", &[("HTTP_PROXY", "h")], None),
        ] {
            let platform = BaseUrl::parse(url, PlainHttp::Nearby).unwrap();
            let var = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            assert_eq!(proxy(&platform, &var), expected, "{url} {set:?}");
        }
    }

    #[test]
    fn clocks_that_differ_by_more_than_a_minute_are_told_with_the_direction() {
        let at = |secs: i64| Timestamp(1_780_000_000_000_000 + secs * 1_000_000);
        assert_eq!(clock(at(0), at(60)).verdict, Verdict::Ok);
        assert!(clock(at(0), at(90)).what.contains("90 s ahead of"));
        assert!(clock(at(90), at(0)).what.contains("90 s behind"));
    }

    #[test]
    fn a_rate_limit_that_is_near_is_warned_about() {
        let limit = |remaining| RateLimit {
            limit: Some(600),
            remaining: Some(remaining),
            reset: None,
        };
        assert_eq!(rate_limit(limit(119)).verdict, Verdict::Warn);
        assert_eq!(rate_limit(limit(120)).verdict, Verdict::Ok);
        assert_eq!(rate_limit(RateLimit::default()).verdict, Verdict::Ok);
    }
}
