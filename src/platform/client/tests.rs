use std::io::Write;

use serde_json::json;

use super::super::testing::{PEER, Reply, Responder, TOKEN, deadlines};
use super::*;
use crate::config::proxy::Proxy;
use crate::types::PlainHttp;

fn get<'a>(path: &'a [&'a str]) -> Request<'a> {
    Request {
        method: Method::GET,
        path,
        query: Vec::new(),
        body: None,
        file: None,
        bearer: Some(Secret::parse(TOKEN).unwrap()),
        sender: None,
        confirm_name: None,
        class: Class::Quick,
        limit: 100,
    }
}

/// Shows everything a person or a log could see of an error, after checking that no token is in it.
fn shown(error: &CallError) -> String {
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("0123456789"), "{shown}");
    shown
}

#[tokio::test]
async fn every_request_names_its_program_origin_and_credential() {
    let responder = Responder::start(vec![Reply::json(200, "{}")]).await;
    let mut settings = responder.settings();
    settings.org_id = Some("org-1".to_owned());
    let client = Client::with_deadlines(settings, deadlines());
    let request = Request {
        method: Method::POST,
        query: vec![("q", "a b&c".to_owned())],
        body: Some(json!({ "text": "x\0y" })),
        sender: Some(PEER),
        ..get(&["workspaces", "a/b", "a2a"])
    };
    client.send(request).await.unwrap();
    client
        .send(Request {
            bearer: None,
            ..get(&["health"])
        })
        .await
        .unwrap();
    let seen = responder.seen();
    assert_eq!(seen[0].request_line(), "POST /workspaces/a%2Fb/a2a?q=a+b%26c HTTP/1.1");
    for (name, value) in [
        ("authorization", format!("Bearer {TOKEN}")),
        ("user-agent", format!("molecule-mcp/{}", env!("CARGO_PKG_VERSION"))),
        ("origin", responder.base.origin()),
        ("x-molecule-org-id", "org-1".to_owned()),
        ("x-workspace-id", PEER.to_owned()),
        ("content-type", "application/json".to_owned()),
    ] {
        assert_eq!(seen[0].header(name), Some(value.as_str()), "{name}");
    }
    assert_eq!(seen[0].json(), json!({ "text": "x\u{fffd}y" }));
    assert_eq!(seen[1].header("origin"), Some(responder.base.origin().as_str()));
    for absent in ["authorization", "x-workspace-id", "content-type"] {
        assert_eq!(seen[1].header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_2xx_answer_comes_whole_with_the_platforms_clock() {
    let responder = Responder::start(vec![Reply::new(
        202,
        &[("date", "Fri, 01 May 2026 10:00:00 GMT")],
        "{\"a\":1}",
    )])
    .await;
    let answer = responder.client().send(get(&["x"])).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (202, &b"{\"a\":1}"[..]));
    assert_eq!(answer.date, Timestamp::parse("2026-05-01T10:00:00Z"));
}

#[tokio::test]
async fn hostile_answers_become_errors() {
    let echo = format!("{{\"error\":\"no\",\"you\":\"Bearer {TOKEN}\"}}");
    for (reply, expected) in [
        (Reply::raw(""), "Interrupted"),
        (Reply::raw("nonsense\r\n\r\n"), "Interrupted"),
        (
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort"),
            "Interrupted",
        ),
        (
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nshort"),
            "Interrupted",
        ),
        (
            Reply::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nshort"),
            "Interrupted",
        ),
        (
            Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
            "TooLarge { limit: 100 }",
        ),
        (Reply::new(200, &[], &"x".repeat(101)), "TooLarge { limit: 100 }"),
        (
            Reply::raw("HTTP/1.1 200 OK\r\n\r\n").then(&"x".repeat(5000)),
            "TooLarge { limit: 100 }",
        ),
        (
            Reply::new(302, &[("location", "http://elsewhere.example/")], ""),
            "Rejected { status: 302",
        ),
        (Reply::json(400, &echo), "Rejected { status: 400"),
        (Reply::json(401, &echo), "Refused { status: 401"),
        (
            Reply::raw("HTTP/1.1 401 X\r\ncontent-length: 500\r\n\r\n{\"err"),
            "Refused { status: 401",
        ),
        (Reply::new(403, &[], ""), "Rejected { status: 403"),
        (Reply::new(500, &[], &"x".repeat(1_000_000)), "Rejected { status: 500"),
        (
            Reply::new(429, &[("retry-after", "9")], ""),
            "Throttled { status: 429, retry_after: Some(9s) }",
        ),
    ] {
        let responder = Responder::start(vec![reply.clone()]).await;
        let error = responder.client().send(get(&["x"])).await.unwrap_err();
        assert!(shown(&error).contains(expected), "{reply:?}: {error:?}");
        assert_eq!(responder.seen().len(), 1, "asked once, whatever the answer");
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_taken() {
    let responder = Responder::start(vec![Reply::new(200, &[], &"x".repeat(100))]).await;
    assert_eq!(responder.client().send(get(&["x"])).await.unwrap().body.len(), 100);
}

#[tokio::test]
async fn a_slow_answer_is_cut_at_the_deadline_of_its_class() {
    let drip = |head: &str| {
        (0..200).fold(Reply::raw(head), |reply, _| {
            reply.pause(Duration::from_millis(20)).then("x")
        })
    };
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-slow: ",
        "HTTP/1.1 500 X\r\ncontent-length: 90\r\n\r\n",
    ] {
        let responder = Responder::start(vec![drip(head)]).await;
        let short = Deadlines {
            quick: Duration::from_millis(300),
            ..deadlines()
        };
        let client = Client::with_deadlines(responder.settings(), short);
        let start = std::time::Instant::now();
        let error = client.send(get(&["x"])).await.unwrap_err();
        assert!(matches!(error, CallError::Interrupted { .. }), "{head:?}: {error:?}");
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{head:?}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn a_page_that_brings_next_to_nothing_is_cut_and_one_that_comes_steadily_is_not() {
    let steps = |count: usize, part: &str| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", count * part.len());
        (0..count).fold(Reply::raw(&head), |reply, _| {
            reply.pause(Duration::from_millis(100)).then(part)
        })
    };
    let silent = Reply::raw("").pause(Duration::from_secs(12));
    let steady = "x".repeat(8192);
    for (reply, comes) in [(steps(100, "x"), false), (silent, false), (steps(25, &steady), true)] {
        let responder = Responder::start(vec![reply]).await;
        let short = Deadlines {
            // Long beside the steps: on a busy computer the responder stands still for a while.
            silence: Duration::from_millis(1500),
            ..deadlines()
        };
        let client = Client::with_deadlines(responder.settings(), short);
        for class in [Class::Page, Class::Row] {
            let asked = Request {
                class,
                limit: 1_000_000,
                ..get(&["x"])
            };
            let start = std::time::Instant::now();
            let outcome = client.send(asked).await;
            match &outcome {
                Ok(_) => assert!(comes),
                Err(error) => assert!(!comes && matches!(error, CallError::Interrupted { .. }), "{error:?}"),
            }
            assert!(
                comes || start.elapsed() < Duration::from_secs(8),
                "{:?}",
                start.elapsed()
            );
        }
    }
}

/// From the way's return to the next read: at most one that hangs, and the pause after it, which its time counts for.
#[test]
fn what_hangs_is_given_up_in_time_to_work_again_within_10_s() {
    assert!(super::super::retry::LONGEST_PAUSE + Duration::from_secs(1) < Duration::from_secs(10));
    for class in [Class::Beat, Class::Page, Class::Row] {
        let silence = Deadlines::REAL.silence_of(class);
        assert!(silence <= super::super::retry::LONGEST_PAUSE, "{class:?}");
        assert!(Deadlines::REAL.connect < silence, "{class:?}");
    }
}

#[tokio::test]
async fn after_a_connection_died_idle_ones_are_not_trusted() {
    let good = Reply::json(200, "{}").keep_open();
    let together = good.clone().pause(Duration::from_millis(300));
    let responder = Responder::start(vec![together.clone(), together, Reply::raw(""), good]).await;
    let client = responder.client();
    let other = client.separate();
    let (one, two) = tokio::join!(client.send(get(&["x"])), client.send(get(&["x"])));
    assert!(one.is_ok() && two.is_ok());
    // The pool takes connections back in tasks of their own.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(client.send(get(&["x"])).await.is_err());
    for client in [&client, &other] {
        client.send(get(&["x"])).await.unwrap();
    }
    let connections: Vec<_> = responder.seen().iter().map(|seen| seen.connection).collect();
    assert!(connections[2] < 2, "an idle one was used: {connections:?}");
    assert_eq!(connections[3..], [2, 3]);
}

#[tokio::test]
async fn a_fresh_start_is_told_to_all_and_trusts_nothing_from_before() {
    let dated = Reply::new(200, &[("date", "Fri, 01 May 2026 10:00:00 GMT")], "{}").keep_open();
    let responder = Responder::start(vec![dated]).await;
    let client = responder.client();
    let beats = client.separate();
    let mut told = beats.fresh_starts();
    assert_eq!(client.platform_time(), None);
    client.send(get(&["x"])).await.unwrap();
    let date = Timestamp::parse("2026-05-01T10:00:00Z").unwrap();
    let time = beats.platform_time().unwrap();
    assert!(date <= time && date.until(time) < Duration::from_secs(60), "{time:?}");
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.start_over();
    assert!(told.has_changed().unwrap());
    told.mark_unchanged();
    assert_eq!(beats.platform_time(), None);
    client.send(get(&["x"])).await.unwrap();
    let connections: Vec<_> = responder.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 1]);
    assert!(!told.has_changed().unwrap());
}

#[tokio::test]
async fn nothing_listening_means_that_nothing_was_sent() {
    let responder = Responder::start(vec![Reply::json(200, "{}")]).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let settings = Settings {
        base: BaseUrl::parse(&format!("http://{closed}"), PlainHttp::Nearby).unwrap(),
        ..responder.settings()
    };
    let error = Client::with_deadlines(settings, deadlines())
        .send(get(&["x"]))
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert!(shown(&error).contains("refused"), "{error}");
}

#[tokio::test]
async fn tls_that_fails_or_never_ends_means_that_nothing_was_sent() {
    let mut authority = tempfile::NamedTempFile::new().unwrap();
    authority.write_all(AUTHORITY.as_bytes()).unwrap();
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, greeting)
                .await
                .unwrap();
            let mut heard = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard).await;
            heard
        });
        let settings = Settings {
            base: BaseUrl::parse(&address, PlainHttp::Nearby).unwrap(),
            org_id: None,
            org_slug: None,
            route: Route {
                ca_file: Some(authority.path().to_owned()),
                proxy: None,
            },
        };
        let short = Deadlines {
            connect: Duration::from_millis(500),
            ..deadlines()
        };
        let error = Client::with_deadlines(settings, short)
            .send(get(&["x"]))
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
        shown(&error);
        let heard = String::from_utf8_lossy(&server.await.unwrap()).into_owned();
        assert!(!heard.contains(TOKEN) && !heard.contains("GET /x"), "{heard}");
    }
}

#[test]
fn a_connection_that_never_comes_up_is_told_before_the_whole_call_is_given_up() {
    for class in [Class::Quick, Class::Long] {
        assert!(Deadlines::REAL.connect < Deadlines::REAL.of(class), "{class:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let responder = Responder::start(vec![Reply::json(200, "{}")]).await;
    let client = responder.client();
    for path in [&["workspaces", ".."][..], &["", "x"], &["."], &["a\nb"]] {
        let error = client.send(get(path)).await.unwrap_err();
        assert!(matches!(error, CallError::NotSent(_)), "{path:?}: {error:?}");
    }
    let large = Request {
        body: Some(json!("x".repeat(MAX_BODY))),
        ..get(&["x"])
    };
    assert!(matches!(client.send(large).await, Err(CallError::NotSent(_))));
    let mut settings = responder.settings();
    settings.org_id = Some("a\nb".to_owned());
    let error = Client::new(settings).send(get(&["x"])).await.unwrap_err();
    assert!(error.to_string().contains("MOLECULE_ORG_ID"), "{error}");
    assert!(responder.seen().is_empty());
}

#[tokio::test]
async fn the_proxy_of_the_configuration_file_is_asked() {
    let proxy = Responder::start(vec![Reply::json(200, "{}")]).await;
    let client = Client::new(Settings {
        // Nobody has this name: only the proxy can have answered.
        base: BaseUrl::parse("http://no-such-platform", PlainHttp::Nearby).unwrap(),
        route: Route {
            ca_file: None,
            proxy: Some(Proxy {
                address: proxy.settings().base.to_string(),
                bypass: "other.example".to_owned(),
            }),
        },
        ..proxy.settings()
    });
    assert_eq!(client.send(get(&["x"])).await.unwrap().status, 200);
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn an_unusable_authority_file_is_named_and_a_mended_one_is_picked_up() {
    let responder = Responder::start(vec![Reply::json(200, "{}")]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let client = Client::new(Settings {
        route: Route {
            ca_file: Some(path.clone()),
            proxy: None,
        },
        ..responder.settings()
    });
    for (content, part) in [
        (None, "not found"),
        (Some(""), "no certificate"),
        (
            Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
            "understood",
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = client.send(get(&["x"])).await.unwrap_err();
        assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
        for part in [part, "MOLECULE_CA_FILE", "ca.pem"] {
            assert!(error.to_string().contains(part), "{error}");
        }
    }
    std::fs::write(&path, AUTHORITY).unwrap();
    client.send(get(&["x"])).await.unwrap();
}

#[tokio::test]
async fn the_rate_limit_is_shared_and_survives_answers_without_it() {
    let limited = |remaining| {
        Reply::new(
            404,
            &[
                ("x-ratelimit-limit", "600"),
                ("x-ratelimit-remaining", remaining),
                ("x-ratelimit-reset", "42"),
            ],
            "",
        )
    };
    let responder = Responder::start(vec![
        limited("119"),
        Reply::json(200, "{}"),
        limited("7"),
        limited("118"),
        Reply::new(200, &[("x-ratelimit-limit", "unlimited")], "{}"),
    ])
    .await;
    let client = responder.client();
    let other = client.separate();
    assert_eq!(client.rate_limit(), RateLimit::default());
    let expected = |remaining| RateLimit {
        limit: Some(600),
        remaining: Some(remaining),
        reset: Some(Duration::from_secs(42)),
    };
    let _ = client.send(get(&["x"])).await;
    assert_eq!(other.rate_limit(), expected(119));
    let _ = other.send(get(&["x"])).await;
    assert_eq!(client.rate_limit(), expected(119), "no headers, no change");
    let public = Request {
        bearer: None,
        ..get(&["x"])
    };
    let _ = client.send(public).await;
    assert_eq!(client.rate_limit(), expected(119), "another bucket");
    let _ = client.clone().send(get(&["x"])).await;
    assert_eq!(client.rate_limit(), expected(118));
    let _ = client.send(get(&["x"])).await;
    assert_eq!(client.rate_limit(), RateLimit::default(), "unlimited");
}

#[tokio::test]
async fn clones_share_a_connection_and_a_separate_client_has_its_own() {
    let responder = Responder::start(vec![Reply::json(200, "{}").keep_open()]).await;
    let client = responder.client();
    for one in [client.clone(), client.clone(), client.separate()] {
        one.send(get(&["x"])).await.unwrap();
        // The pool takes a connection back in a task of its own.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let connections: Vec<_> = responder.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[test]
fn debug_output_of_a_request_and_a_client_holds_no_token() {
    let client = Client::new(Settings {
        base: BaseUrl::parse("https://x.example", PlainHttp::Nearby).unwrap(),
        org_id: None,
        org_slug: None,
        route: Route::default(),
    });
    assert!(!format!("{client:?} {:?}", get(&["x"])).contains("0123456789"));
}

/// A self-signed certificate made for these tests; its key was thrown away.
const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBojCCAUmgAwIBAgIUcRPgFtT9O3RnOCwSCVrEkCSM/b0wCgYIKoZIzj0EAwIw
JjEkMCIGA1UEAwwbbW9sZWN1bGUtbWNwIHRlc3QgYXV0aG9yaXR5MCAXDTI2MTEy
MTEwMTIyN1oYDzIxMjYxMDI4MTAxMjI3WjAmMSQwIgYDVQQDDBttb2xlY3VsZS1t
Y3AgdGVzdCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAS3z2Kh
IenAp9ZOHB4eONHTbhI4zjpjYyAFucwk+aEdoWd5yn3SSiwPl4RnrGwXI433vqlW
ydqX+NLWOJ3ctCamo1MwUTAdBgNVHQ4EFgQUTEkaevgsYNCD9iOdT1tEW94gxlUw
HwYDVR0jBBgwFoAUTEkaevgsYNCD9iOdT1tEW94gxlUwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNHADBEAiBdYvJPgPHp0rXxETT5lmugaXattkEpFf+81inw
gnEdRgIgUqhN1Zk2K9poXrKF+ARQFaIYOMPIV1BQmgqLQwIfpx0=
-----END CERTIFICATE-----
";
