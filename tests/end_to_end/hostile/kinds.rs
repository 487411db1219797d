//! The table of wrong answers. Most are wrong for every route: what surrounds a body. The rest is wrong for one.

use std::time::Duration;

use super::proxy::{Part, Reply, Route};

/// What the answers of one case speak of.
pub struct Place {
    /// The workspace of the case.
    pub own: String,
    /// One that it has nothing to do with.
    pub other: String,
    /// Where nobody may ever be led.
    pub trap: String,
    /// Where the daemon asks.
    pub here: String,
}

/// One wrong answer.
pub struct Kind {
    pub name: String,
    pub reply: Reply,
    pub outcome: Outcome,
    /// It is as wrong for every other route.
    pub is_common: bool,
}

/// What a user sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All goes on when it ends.
    GoesOn,
    /// The workspace rests for as long as the answer asked for, which is longer than the test.
    Rests,
    /// The workspace is given up at its first register, as with a wrong token.
    GivenUp,
    /// Nothing tells it from a good answer.
    Believed,
}

/// All wrong answers of a route.
pub fn kinds(route: Route, place: &Place) -> Vec<Kind> {
    let good = Good::of(route);
    let mut table = Table {
        kinds: Vec::new(),
        place,
    };
    statuses(&mut table, &good);
    redirects(&mut table);
    waits(&mut table, route);
    protocols(&mut table, &good);
    headers(&mut table, &good);
    framing(&mut table, &good);
    bodies(&mut table, &good);
    for kind in &mut table.kinds {
        kind.is_common = true;
    }
    match route {
        Route::Poll => rows(&mut table),
        Route::Stream => events(&mut table),
        Route::Register | Route::Heartbeat => receipts(&mut table),
        Route::Delegate | Route::Delegated => delegations(&mut table),
    }
    for kind in &mut table.kinds {
        kind.outcome = outcome(route, &kind.name);
    }
    table.kinds
}

/// What a good answer of the route looks like.
struct Good {
    kind: &'static str,
    body: &'static str,
}

impl Good {
    fn of(route: Route) -> Self {
        let (kind, body) = match route {
            Route::Register | Route::Heartbeat => ("application/json; charset=utf-8", r#"{"status":"ok"}"#),
            Route::Poll => ("application/json; charset=utf-8", "[]"),
            Route::Stream => (
                "text/event-stream",
                "data: {\"type\":\"ACTIVITY_LOGGED\",\"data\":{\"activity_type\":\"a2a_receive\"}}\n\n",
            ),
            // Without the id of what was taken.
            Route::Delegate | Route::Delegated => ("application/json; charset=utf-8", r#"{"status":"delegated"}"#),
        };
        Self { kind, body }
    }

    fn head(&self, line: &str, headers: &str) -> String {
        format!("{line}\r\ncontent-type: {}\r\n{headers}", self.kind)
    }

    fn whole(&self, line: &str, headers: &str) -> String {
        let head = self.head(line, headers);
        format!("{head}content-length: {}\r\n\r\n{}", self.body.len(), self.body)
    }
}

struct Table<'a> {
    kinds: Vec<Kind>,
    place: &'a Place,
}

impl Table<'_> {
    fn add(&mut self, name: impl Into<String>, reply: Reply) {
        self.kinds.push(Kind {
            name: name.into(),
            reply,
            outcome: Outcome::GoesOn,
            is_common: false,
        });
    }

    /// Text for the wire, with the words in braces filled in.
    fn raw(&mut self, name: impl Into<String>, text: impl AsRef<str>) {
        let reply = vec![self.text(text.as_ref())];
        self.add(name, reply);
    }

    fn text(&self, text: &str) -> Part {
        let place = self.place;
        let words = [
            ("{own}", &place.own),
            ("{other}", &place.other),
            ("{trap}", &place.trap),
            ("{here}", &place.here),
        ];
        let filled = words
            .iter()
            .fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        Part::Bytes(filled.into_bytes())
    }

    /// A status with a body of its own.
    fn status(&mut self, status: &str, kind: &str, body: &str) {
        let Part::Bytes(body) = self.text(body) else { return };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let name = format!(
            "{status} {kind} {}",
            String::from_utf8_lossy(&body[..body.len().min(40)])
        );
        self.add(name, vec![Part::Bytes(head.into_bytes()), Part::Bytes(body)]);
    }

    /// A 200 of JSON.
    fn json(&mut self, name: &str, body: &str) {
        let Part::Bytes(body) = self.text(body) else { return };
        self.bytes(name, "application/json", body);
    }

    fn bytes(&mut self, name: &str, kind: &str, body: Vec<u8>) {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.add(name, vec![Part::Bytes(head.into_bytes()), Part::Bytes(body)]);
    }
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const LOGIN: &str = "<!doctype html><title>Sign in</title><form action=/login><input name=password></form>";

fn statuses(table: &mut Table<'_>, good: &Good) {
    for (status, kind, body) in [
        ("200 OK", HTML, LOGIN),
        ("202 Accepted", "text/plain", ""),
        ("203 Non-Authoritative", JSON, "null"),
        ("206 Partial Content", JSON, "[{"),
        ("299 What", JSON, "7"),
        ("400 Bad Request", JSON, r#"{"error":{"nested":["not","text"]}}"#),
        ("401 Unauthorized", JSON, r#"{"error":"invalid workspace auth token"}"#),
        ("401 Unauthorized", HTML, LOGIN),
        ("403 Forbidden", HTML, LOGIN),
        ("403 Forbidden", JSON, r#"{"error":"forbidden"}"#),
        ("404 Not Found", JSON, r#"{"error":"workspace not found"}"#),
        ("405 Method Not Allowed", "text/plain", "no"),
        ("407 Proxy Authentication Required", HTML, LOGIN),
        ("409 Conflict", JSON, r#"{"error":"conflict"}"#),
        ("410 Gone", JSON, r#"{"error":"gone","id":"{other}"}"#),
        ("410 Gone", JSON, r#"{"error":"workspace removed","id":"{own}"}"#),
        ("413 Content Too Large", JSON, r#"{"error":"too large"}"#),
        ("418 I'm a teapot", JSON, r#"{"error":"short and stout"}"#),
        ("422 Unprocessable", JSON, "[]"),
        ("451 Unavailable", "text/plain", "\u{1b}[2J\u{7}"),
        ("500 Internal Server Error", JSON, r#"{"error":"internal"}"#),
        ("502 Bad Gateway", HTML, "<html><title>502</title>"),
        ("503 Service Unavailable", "text/plain", "upstream connect error"),
        ("504 Gateway Timeout", JSON, "{}"),
        ("599 Odd", JSON, "{}"),
        ("700 Odder", JSON, "{}"),
        ("999 Oddest", JSON, "{}"),
    ] {
        table.status(status, kind, body);
    }
    table.raw("204 with a body", good.whole("HTTP/1.1 204 No Content", ""));
    table.raw("205", "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n");
    table.raw("304 unasked", "HTTP/1.1 304 Not Modified\r\n\r\n");
    for line in [
        "HTTP/1.1 099 Low",
        "HTTP/1.1 -1 Minus",
        "HTTP/1.1 2000 Many",
        "HTTP/1.1 abc OK",
        "HTTP/1.1 ",
    ] {
        table.raw(format!("status line {line:?}"), good.whole(line, ""));
    }
}

fn redirects(table: &mut Table<'_>) {
    for (status, target) in [
        ("301 Moved Permanently", "{trap}/elsewhere"),
        ("302 Found", "{trap}/login"),
        ("303 See Other", "{trap}/"),
        ("307 Temporary Redirect", "{trap}/again"),
        ("308 Permanent Redirect", "{trap}/for-ever"),
        ("307 Temporary Redirect", "{here}/registry/register"),
        ("302 Found", "file:///etc/passwd"),
        ("302 Found", ""),
        ("302 Found", "http://user:pass@[::1"),
    ] {
        table.raw(
            format!("{status} to {target}"),
            format!("HTTP/1.1 {status}\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n"),
        );
    }
}

/// What an answer asks to wait. Ten minutes at most are believed.
fn waits(table: &mut Table<'_>, route: Route) {
    let asked = [
        "-1",
        "0",
        "0.001",
        "",
        "soon",
        "NaN",
        "-inf",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "1, 1",
    ];
    for wait in asked {
        table.raw(
            format!("429, Retry-After {wait:?}"),
            format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait}\r\ncontent-length: 2\r\n\r\n{{}}"),
        );
    }
    table.json("a wait that nobody refused", r#"{"retry_after":1e308,"status":"ok"}"#);
    if matches!(route, Route::Delegate | Route::Delegated) {
        // An attempt is repeated within ten minutes, which is what these ask to wait.
        return;
    }
    for wait in [
        "31536000",
        "99999999999999999999999999",
        "1e300",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "inf",
    ] {
        table.raw(
            format!("{YEAR} {wait:?}"),
            format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait}\r\ncontent-length: 0\r\n\r\n"),
        );
    }
    table.raw(
        format!("{YEAR} in a 503"),
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: 31536000\r\ncontent-length: 0\r\n\r\n",
    );
}

const YEAR: &str = "told to wait for ever:";

fn protocols(table: &mut Table<'_>, good: &Good) {
    table.add("nothing at all", Vec::new());
    table.raw("half a status line", "HTTP/1.1 20");
    table.raw(
        "a head without an end",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n",
    );
    table.raw("only line ends", "\r\n".repeat(5000));
    table.raw("HTTP 0.9", good.body);
    table.raw("HTTP 1.0 to the end", format!("HTTP/1.0 200 OK\r\n\r\n{}", good.body));
    table.raw("HTTP 2.0", good.whole("HTTP/2.0 200 OK", ""));
    table.raw("ICY", good.whole("ICY 200 OK", ""));
    table.raw("SSH", "SSH-2.0-OpenSSH_9.9\r\n");
    table.add("a TLS alert", vec![Part::Bytes(vec![0x15, 3, 1, 0, 2, 2, 40])]);
    table.add("HTTP/2 settings", vec![Part::Bytes(vec![0, 0, 0, 4, 0, 0, 0, 0, 0])]);
    table.add("zeros", vec![Part::Repeat(&[0], 100_000)]);
    table.raw(
        "101 unasked",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n\0\0",
    );
    let flood = [
        &b"HTTP/1.1 100 Continue\r\n\r\n"[..],
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
    ];
    table.add(
        "a flood of 1xx, then the answer",
        vec![
            Part::Repeat(flood[0], 2000),
            Part::Repeat(flood[1], 2000),
            Part::Bytes(good.whole("HTTP/1.1 200 OK", "").into_bytes()),
        ],
    );
    table.add("1xx and no more", vec![Part::Repeat(flood[0], 10), Part::Hang]);
}

fn headers(table: &mut Table<'_>, good: &Good) {
    let line = "HTTP/1.1 200 OK";
    for (name, header) in [
        ("a header without a colon", "nonsense\r\n".to_owned()),
        ("a name with a blank", "x y: 1\r\n".to_owned()),
        ("a folded header", "x: 1\r\n  2\r\n".to_owned()),
        ("a zero in a header", "x: a\0b\r\n".to_owned()),
        ("bare returns", "x: 1\ry: 2\r\n".to_owned()),
        ("a header of a megabyte", format!("x: {}\r\n", "y".repeat(1 << 20))),
        ("5000 headers", "x-many: 1\r\n".repeat(5000)),
        (
            "the date of the year 9999",
            "date: Fri, 31 Dec 9999 23:59:59 GMT\r\n".to_owned(),
        ),
        ("the date of 1970", "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned()),
        ("a date of nonsense", "date: yesterday\r\n".to_owned()),
        (
            "two dates",
            "date: Thu, 01 Jan 1970 00:00:00 GMT\r\ndate: Fri, 31 Dec 9999 23:59:59 GMT\r\n".to_owned(),
        ),
        ("two types", "content-type: text/html\r\n".to_owned()),
        ("a location", format!("location: {}/x\r\n", "{trap}")),
        ("a refresh", format!("refresh: 0; url={}/x\r\n", "{trap}")),
        (
            "an alternative service",
            "alt-svc: h2=\":1\"; ma=31536000\r\n".to_owned(),
        ),
        ("no limit left until next year", limits("600", "0", "31536000")),
        ("less than no limit left", limits("-5", "-1", "-1")),
        ("limits of nonsense", limits("NaN", "inf", "soon")),
        (
            "huge limits",
            limits("99999999999999999999", "99999999999999999999", "99999999999999999999"),
        ),
        ("an unknown encoding", "content-encoding: gzip, br, what\r\n".to_owned()),
    ] {
        table.raw(name, good.whole(line, &header));
    }
    table.add(
        "a header of no text",
        vec![
            Part::Bytes(b"HTTP/1.1 200 OK\r\nx: \xff\xfe\r\n".to_vec()),
            Part::Bytes(b"content-length: 2\r\n\r\n{}".to_vec()),
        ],
    );
}

fn limits(limit: &str, remaining: &str, reset: &str) -> String {
    format!("x-ratelimit-limit: {limit}\r\nx-ratelimit-remaining: {remaining}\r\nx-ratelimit-reset: {reset}\r\n")
}

fn framing(table: &mut Table<'_>, good: &Good) {
    let (line, body) = ("HTTP/1.1 200 OK", good.body);
    let chunked = "transfer-encoding: chunked\r\n";
    for (name, headers, rest) in [
        ("cut short", "content-length: 1000\r\n", body.to_owned()),
        ("longer than it says", "content-length: 1\r\n", body.to_owned()),
        ("less than no length", "content-length: -1\r\n", body.to_owned()),
        ("a length of nonsense", "content-length: many\r\n", body.to_owned()),
        (
            "two lengths",
            "content-length: 2\r\ncontent-length: 3\r\n",
            body.to_owned(),
        ),
        (
            "a length of 2^64",
            "content-length: 18446744073709551616\r\n",
            body.to_owned(),
        ),
        ("a length of 10 GB", "content-length: 10000000000\r\n", body.to_owned()),
        (
            "a length and chunks",
            "content-length: 2\r\ntransfer-encoding: chunked\r\n",
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        ),
        ("chunks cut short", chunked, format!("{:x}\r\n{body}\r\n", body.len())),
        ("a chunk cut short", chunked, "ffff\r\n[".to_owned()),
        ("a chunk of nonsense", chunked, format!("zz\r\n{body}")),
        ("a chunk of 2^64", chunked, format!("ffffffffffffffffff\r\n{body}")),
        ("a chunk less than nothing", chunked, format!("-1\r\n{body}")),
        (
            "a chunk extension of a megabyte",
            chunked,
            format!("1;{}\r\n[\r\n0\r\n\r\n", "x".repeat(1 << 20)),
        ),
        (
            "trailers without end",
            chunked,
            format!("1\r\n[\r\n0\r\n{}", "x: y\r\n".repeat(20_000)),
        ),
        (
            "an unknown transfer encoding",
            "transfer-encoding: gzip, identity\r\n",
            body.to_owned(),
        ),
        (
            "a second answer behind it",
            "content-length: 0\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]".to_owned(),
        ),
    ] {
        table.raw(name, format!("{}\r\n{rest}", good.head(line, headers)));
    }
    table.add(
        "20000 chunks of a byte",
        vec![
            Part::Bytes(format!("{}\r\n", good.head(line, chunked)).into_bytes()),
            Part::Repeat(b"1\r\n \r\n", 20_000),
            Part::Bytes(b"0\r\n\r\n".to_vec()),
        ],
    );
    let second = Part::Pause(Duration::from_millis(400));
    table.add(
        "a body by drops",
        [&[Part::Bytes(
            format!("{}\r\n", good.head(line, "content-length: 4000\r\n")).into_bytes(),
        )][..]]
        .concat()
        .into_iter()
        .chain(std::iter::repeat_n([Part::Bytes(b" ".to_vec()), second], 200).flatten())
        .collect(),
    );
    let head = Part::Bytes(format!("{}\r\n", good.head(line, "content-length: 4000\r\n")).into_bytes());
    table.add("a head and no more", vec![head, Part::Hang]);
    table.add("silence", vec![Part::Hang]);
}

fn bodies(table: &mut Table<'_>, good: &Good) {
    for (name, body) in [
        ("nothing", ""),
        ("null", "null"),
        ("a number", "1e999"),
        ("NaN", "NaN"),
        ("text", "\"text\""),
        ("half an object", "{\"status\":"),
        ("a lone surrogate", r#"["\ud800"]"#),
        ("two values", "{} {}"),
        ("a mark of byte order", "\u{feff}{}"),
        ("UTF-16", "\0{\0}"),
        (
            "the same key twice",
            r#"{"error":1,"error":{"error":[]},"delegation_id":1,"delegation_id":null}"#,
        ),
        ("empty lists", "[[],[],[],{},[{}]]"),
    ] {
        table.json(name, body);
    }
    table.bytes("no UTF-8", JSON, b"{\"status\":\"\xff\xfe\xc3\x28\"}".to_vec());
    table.json("nested 10000 deep", &"[".repeat(10_000));
    table.json("objects 10000 deep", &"{\"a\":".repeat(10_000));
    table.add(
        "40 MB as announced",
        vec![
            Part::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 40000000\r\n\r\n".to_vec()),
            Part::Repeat(b" ", 40_000_000),
        ],
    );
    table.add(
        "packed, 40 MB when unpacked",
        vec![
            Part::Bytes(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
                    good.kind,
                    BOMB.len()
                )
                .into_bytes(),
            ),
            Part::Bytes(BOMB.to_vec()),
        ],
    );
}

/// The head of a gzip file and deflated zeros: enough for whatever unpacks to begin.
const BOMB: [u8; 24] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xed, 0xc1, 1, 1, 0, 0, 0, 0x80, 0x90, 0xfe, 0xaf, 0xee, 8, 0xa,
];

/// Pages of the activity log. Rows that look like messages are delivered, and are told from ours by their text.
fn rows(table: &mut Table<'_>) {
    const AT: &str = "2026-01-02T03:04:05.000001Z";
    let row = |id: &str, at: &str, rest: &str| {
        format!(
            r#"{{"id":{id},"activity_type":"a2a_receive","method":"message/send","created_at":{at}{rest},
            "request_body":{{"params":{{"message":{{"parts":[{{"kind":"text","text":"from nowhere"}}]}}}}}}}}"#
        )
    };
    let quoted = |text: &str| format!("\"{text}\"");
    let id = quoted("aaaaaaaa-0000-4000-8000-000000000001");
    for (name, body) in [
        ("an object", r#"{"rows":[]}"#.to_owned()),
        ("rows of no object", r#"[null,7,"x",[],true]"#.to_owned()),
        (
            "rows without an id",
            r#"[{},{"id":null},{"id":""},{"id":7},{"id":["x"]}]"#.to_owned(),
        ),
        (
            "one id five times",
            format!("[{}]", vec![row(&id, &quoted(AT), ""); 5].join(",")),
        ),
        (
            "an id that climbs",
            format!("[{}]", row(&quoted("../../../etc/passwd"), &quoted(AT), "")),
        ),
        (
            "an id of a query",
            format!("[{}]", row(&quoted("x&since_id=y#z%00"), &quoted(AT), "")),
        ),
        (
            "an id of line ends",
            format!("[{}]", row(r#""a\r\nx: y""#, &quoted(AT), "")),
        ),
        (
            "an id of zeros",
            format!("[{}]", row(r#""\u0000\u0000""#, &quoted(AT), "")),
        ),
        (
            "an id of 100 kB",
            format!("[{}]", row(&quoted(&"i".repeat(100_000)), &quoted(AT), "")),
        ),
        (
            "a row of the year 9999",
            format!("[{}]", row(&id, &quoted("9999-12-31T23:59:59.999999Z"), "")),
        ),
        (
            "a row of the year 0",
            format!("[{}]", row(&id, &quoted("0000-01-01T00:00:00Z"), "")),
        ),
        (
            "a row of the year 300000",
            format!("[{}]", row(&id, &quoted("+300000-01-01T00:00:00Z"), "")),
        ),
        ("a time that is a number", format!("[{}]", row(&id, "1e308", ""))),
        ("a time that is a list", format!("[{}]", row(&id, "[[[]]]", ""))),
        (
            "a leap second and a zone",
            format!("[{}]", row(&id, &quoted("2026-06-30T23:59:60+23:59"), "")),
        ),
        (
            "the largest seq",
            format!("[{}]", row(&id, &quoted(AT), r#","seq":9223372036854775807"#)),
        ),
        (
            "a seq less than nothing",
            format!("[{}]", row(&id, &quoted(AT), r#","seq":-9223372036854775808"#)),
        ),
        (
            "a seq too large",
            format!("[{}]", row(&id, &quoted(AT), r#","seq":1e300"#)),
        ),
        (
            "a row of another workspace",
            format!(
                "[{}]",
                row(&id, &quoted(AT), r#","workspace_id":"{other}","target_id":"{other}""#)
            ),
        ),
        (
            "a source of wrong type",
            format!("[{}]", row(&id, &quoted(AT), r#","source_id":{"a":[1]}"#)),
        ),
        (
            "a source that climbs",
            format!("[{}]", row(&id, &quoted(AT), r#","source_id":"../x""#)),
        ),
        (
            "peer info of wrong types",
            format!(
                "[{}]",
                row(&id, &quoted(AT), r#","peer_name":[],"peer_role":{},"agent_card_url":7"#)
            ),
        ),
        (
            "a body that is text of text",
            format!("[{}]", row(&id, &quoted(AT), r#","response_body":"\"\\\"{}\\\"\"""#)),
        ),
        (
            "newest first, no matter what",
            format!(
                "[{},{}]",
                row(&quoted("b"), &quoted("2026-01-03T00:00:00Z"), ""),
                row(&quoted("a"), &quoted("2026-01-01T00:00:00Z"), "")
            ),
        ),
        (
            "600 rows",
            format!(
                "[{}]",
                (0..600)
                    .map(|n| row(&quoted(&format!("many-{n}")), &quoted(AT), ""))
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        ),
        (
            "a row nested 10000 deep",
            format!(
                r#"[{{"id":"deep","request_body":{}"x"{}}}]"#,
                "[".repeat(10_000),
                "]".repeat(10_000)
            ),
        ),
        ("a list without end", format!("[{}", "{},".repeat(10_000))),
    ] {
        table.json(name, &body);
    }
}

fn events(table: &mut Table<'_>) {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    const HINT: &[u8] = b"data: {\"type\":\"ACTIVITY_LOGGED\",\"data\":{\"activity_type\":\"a2a_receive\"}}\n\n";
    let head = || Part::Bytes(HEAD.as_bytes().to_vec());
    let hang = |parts: Vec<Part>| [vec![head()], parts, vec![Part::Hang]].concat();
    for (name, text) in [
        ("events without an end", "data: {\"type\":\"A\"}\n"),
        ("returns alone", "data: {\"type\":\"A\"}\r\rdata: {\"type\":\"B\"}\r\r"),
        ("events of no JSON", "data: <html>\n\ndata: [\n\ndata\n\n"),
        (
            "events of wrong types",
            "data: {\"type\":5}\n\ndata: {\"type\":null,\"data\":[]}\n\ndata: 7\n\n",
        ),
        (
            "a payload of wrong types",
            "data: {\"type\":\"ACTIVITY_LOGGED\",\"data\":[[[]]]}\n\n",
        ),
        (
            "a beat of wrong types",
            "data: {\"type\":\"WORKSPACE_HEARTBEAT\",\"data\":{\"uptime_seconds\":-1e300}}\n\n",
        ),
        (
            "a beat of nobody",
            "data: {\"type\":\"WORKSPACE_HEARTBEAT\",\"data\":{\"workspace_id\":\"{other}\",\"uptime_seconds\":1}}\n\n",
        ),
        (
            "a broadcast of wrong types",
            "data: {\"type\":\"BROADCAST_MESSAGE\",\"data\":{\"message\":{},\"broadcast_id\":[]}}\n\n",
        ),
        (
            "a request of wrong types",
            "data: {\"type\":\"REQUEST_CREATED\",\"data\":{\"request_id\":\"../..\",\"recipient_type\":1}}\n\n",
        ),
        (
            "a delegation of nobody",
            "data: {\"type\":\"DELEGATION_COMPLETE\",\"data\":{\"delegation_id\":\"../..\",\"status\":[]}}\n\n",
        ),
        (
            "ids and retries",
            "retry: 0\nid: \0\nretry: 99999999999999999999\nevent: \nid\n\n",
        ),
        ("no UTF-8 at all", "\u{feff}\u{feff}data: \u{fffd}\n\n"),
    ] {
        let text = table.text(text);
        table.add(name, hang(vec![text.clone()]));
        table.add(format!("{name}, then the end"), vec![head(), text]);
    }
    table.add("silence after the head", hang(Vec::new()));
    table.add(
        "half a million comments",
        hang(vec![Part::Repeat(b": ping\n\n", 500_000)]),
    );
    table.add(
        "a line of 8 MB",
        hang(vec![Part::Bytes(b"data: ".to_vec()), Part::Repeat(b"x", 8_000_000)]),
    );
    table.add(
        "an event of 100000 lines",
        hang(vec![Part::Repeat(b"data: x\n", 100_000)]),
    );
    table.add("3000 hints at once", hang(vec![Part::Repeat(HINT, 3000)]));
    table.add(
        "hints without an end",
        std::iter::once(head())
            .chain(
                std::iter::repeat_n([Part::Repeat(HINT, 20), Part::Pause(Duration::from_millis(20))], 2000).flatten(),
            )
            .collect(),
    );
    let nested = [b"data: ".to_vec(), b"[".repeat(10_000), b"\n\n".to_vec()].concat();
    table.add("an event nested 10000 deep", hang(vec![Part::Bytes(nested)]));
}

fn receipts(table: &mut Table<'_>) {
    for (name, body) in [
        ("a list", "[]"),
        (
            "secrets of wrong types",
            r#"{"platform_inbound_secret":7,"auth_token":["x"]}"#,
        ),
        (
            "secrets of nothing",
            r#"{"platform_inbound_secret":"","auth_token":""}"#,
        ),
        (
            "a secret of line ends",
            r#"{"platform_inbound_secret":"a\r\nb","auth_token":"a\nb"}"#,
        ),
        (
            "a secret of zeros",
            r#"{"platform_inbound_secret":"\u0000","auth_token":"\u0000"}"#,
        ),
        ("another token", r#"{"auth_token":"tok-of-somebody-else"}"#),
        ("another workspace", r#"{"id":"{other}","workspace_id":"{other}"}"#),
        ("an error in a 200", r#"{"error":"workspace not found"}"#),
    ] {
        table.json(name, body);
    }
    let long = format!(r#"{{"platform_inbound_secret":"{}"}}"#, "s".repeat(900_000));
    table.json("a secret of 900 kB", &long);
}

fn delegations(table: &mut Table<'_>) {
    for (name, body) in [
        ("a list", "[]"),
        ("an id of wrong type", r#"{"delegation_id":7}"#),
        ("an id of nothing", r#"{"delegation_id":""}"#),
        ("an error in a 200", r#"{"error":"no"}"#),
        ("a hit without an id", r#"{"idempotent_hit":true}"#),
        (
            "a believable id",
            r#"{"delegation_id":"bbbbbbbb-0000-4000-8000-000000000001","status":"delegated"}"#,
        ),
        (
            "an id that climbs",
            r#"{"delegation_id":"../../x?y#z","status":"delegated"}"#,
        ),
        (
            "an id of line ends",
            r#"{"delegation_id":"a\r\nb","status":"delegated"}"#,
        ),
        ("an id of a zero", r#"{"delegation_id":"\u0000","status":"delegated"}"#),
    ] {
        table.json(name, body);
    }
    let long = format!(r#"{{"delegation_id":"{}"}}"#, "d".repeat(900_000));
    table.json("an id of 900 kB", &long);
}

/// The exceptions to [`Outcome::GoesOn`].
fn outcome(route: Route, name: &str) -> Outcome {
    let delegates = matches!(route, Route::Delegate | Route::Delegated);
    if route == Route::Poll && name.starts_with(YEAR) {
        Outcome::Rests
    } else if route == Route::Register
        && (name.starts_with("401") || name.starts_with("403 Forbidden application/json"))
    {
        Outcome::GivenUp
    } else if delegates && name == "a believable id" {
        Outcome::Believed
    } else {
        Outcome::GoesOn
    }
}
