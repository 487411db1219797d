//! The transport over in-memory pipes: every kind of bad input, and every end.

use super::*;
use tokio::io::{AsyncBufReadExt, BufReader, DuplexStream, ReadHalf, WriteHalf};

struct Client {
    write: WriteHalf<DuplexStream>,
    read: BufReader<ReadHalf<DuplexStream>>,
}

impl Client {
    async fn say(&mut self, line: &[u8]) {
        self.write.write_all(line).await.unwrap();
        self.write.write_all(b"\n").await.unwrap();
    }
    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.read.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

fn connect(room: usize) -> (Client, Guard<ReadHalf<DuplexStream>>, Ends) {
    let (client, server) = tokio::io::duplex(room);
    let (read, write) = tokio::io::split(server);
    let ends = Ends::of(&CancellationToken::new());
    let supported = Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS);
    let (guard, writer) = pair(read, write, supported, ends.clone());
    tokio::spawn(writer.run());
    let (read, write) = tokio::io::split(client);
    let read = BufReader::new(read);
    (Client { write, read }, guard, ends)
}

fn ping(id: u32) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })
        .to_string()
        .into_bytes()
}

fn initialize() -> Vec<u8> {
    br#"{"jsonrpc":"2.0","id":"open","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#.to_vec()
}

fn method(message: Option<ClientJsonRpcMessage>) -> String {
    serde_json::to_value(message).unwrap()["method"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn every_bad_line_gets_one_error_and_the_session_goes_on() {
    let cases: [(&[u8], i32, Value); 10] = [
        (b"not json", PARSE_ERROR, Value::Null),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1", PARSE_ERROR, Value::Null),
        (b"\xff\xfe{}", PARSE_ERROR, Value::Null),
        (
            br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            INVALID_REQUEST,
            Value::Null,
        ),
        (br#"{"foo":"bar"}"#, INVALID_REQUEST, Value::Null),
        (b"17", INVALID_REQUEST, Value::Null),
        (
            br#"{"jsonrpc":"1.0","id":4,"method":"ping"}"#,
            INVALID_REQUEST,
            json!(4),
        ),
        (
            br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            INVALID_REQUEST,
            Value::Null,
        ),
        (
            br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            INVALID_REQUEST,
            Value::Null,
        ),
        (
            br#"{"jsonrpc":"2.0","id":"a","method":"ping","result":{}}"#,
            INVALID_REQUEST,
            json!("a"),
        ),
    ];
    for (line, code, id) in cases {
        let (mut client, mut guard, _) = connect(1 << 16);
        client.say(line).await;
        client.say(&ping(9)).await;
        assert_eq!(method(guard.receive().await), "ping");
        let answer = client.hear().await;
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(code), &id),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn blank_lines_carriage_returns_and_a_byte_order_mark_are_no_errors() {
    let (mut client, mut guard, _) = connect(1 << 16);
    client.write.write_all(b"\n\r\n \n\xEF\xBB\xBF").await.unwrap();
    client.write.write_all(&ping(1)).await.unwrap();
    client.write.write_all(b"\r\n").await.unwrap();
    assert_eq!(method(guard.receive().await), "ping");
    client.say(br#"{"jsonrpc":"2.0","error":"x"}"#).await;
    client.say(b"?").await;
    client.say(&ping(2)).await;
    assert_eq!(method(guard.receive().await), "ping");
    assert_eq!(
        client.hear().await["error"]["code"],
        PARSE_ERROR,
        "the first thing answered is the question mark"
    );
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_refused_under_its_own_id() {
    let (mut client, mut guard, _) = connect(1 << 16);
    let filler = "x".repeat(10_000_000);
    let line = format!(r#"{{"method":"tools/call","params":{{"id":5,"a":"{filler}\""}},"jsonrpc":"2.0","id":77}}"#);
    let talk = async {
        client.say(line.as_bytes()).await;
        client.say(&ping(1)).await;
    };
    let (received, ()) = tokio::join!(guard.receive(), talk);
    assert_eq!(method(received), "ping");
    assert!(guard.lines.held() < LINE_LIMIT / 4, "nothing of it is kept");
    let answer = client.hear().await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!(77), &json!(INVALID_REQUEST))
    );
}

#[tokio::test]
async fn nothing_but_requests_passes_before_the_session_is_open() {
    let (mut client, mut guard, _) = connect(1 << 16);
    let cancelled = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#;
    client.say(cancelled).await;
    client.say(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).await;
    client.say(&ping(1)).await;
    client.say(cancelled).await;
    client.say(&initialize()).await;
    client.say(cancelled).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(method(guard.receive().await));
    }
    assert_eq!(seen, ["ping", "initialize", "notifications/cancelled"]);
}

#[tokio::test]
async fn an_id_in_flight_is_refused_until_it_is_answered_or_cancelled() {
    let (mut client, mut guard, _) = connect(1 << 16);
    client.say(&initialize()).await;
    client.say(&ping(1)).await;
    client.say(&ping(1)).await;
    client.say(&ping(2)).await;
    for expected in ["initialize", "ping", "ping"] {
        assert_eq!(method(guard.receive().await), expected);
    }
    assert_eq!(client.hear().await["error"]["code"], INVALID_REQUEST);
    let answer = serde_json::from_value(json!({"jsonrpc":"2.0","id":1,"result":{}})).unwrap();
    guard.send(answer).await.unwrap();
    client.say(&ping(1)).await;
    assert_eq!(method(guard.receive().await), "ping");
    client
        .say(br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#)
        .await;
    client.say(&ping(2)).await;
    assert_eq!(method(guard.receive().await), "notifications/cancelled");
    assert_eq!(method(guard.receive().await), "ping");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_read_from() {
    let (mut client, mut guard, _) = connect(64);
    let mut sends = Vec::new();
    for id in 0..TOO_MANY {
        let answer = serde_json::from_value(json!({"jsonrpc":"2.0","id":id,"result":{}})).unwrap();
        sends.push(guard.send(answer));
    }
    client
        .write
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n")
        .await
        .unwrap();
    let wait = std::time::Duration::from_secs(60);
    assert!(tokio::time::timeout(wait, guard.receive()).await.is_err());
    let (received, _) = tokio::join!(guard.receive(), async {
        for _ in 0..TOO_MANY {
            client.hear().await;
        }
    });
    assert_eq!(method(received), "ping");
    for send in sends {
        send.await.unwrap();
    }
}

/// As many answers as may be unfinished, and the few that the pipe to the client takes.
const TOO_MANY: usize = UNFINISHED_LIMIT + 4;

/// Queues them for a client that reads none.
fn fill_up(guard: &mut Guard<ReadHalf<DuplexStream>>) {
    for id in 0..TOO_MANY {
        let answer = serde_json::from_value(json!({"jsonrpc":"2.0","id":id,"result":{}})).unwrap();
        drop(guard.send(answer));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hung_up_is_noticed_although_it_reads_no_answers() {
    let (mut client, mut guard, ends) = connect(64);
    fill_up(&mut guard);
    let many = ping(1).len() + 1;
    let talk = async {
        for _ in 0..200_000 / many {
            client.say(&ping(1)).await;
        }
        client.write.shutdown().await.unwrap();
    };
    let wait = Duration::from_secs(60);
    let (received, ()) = tokio::join!(tokio::time::timeout(wait, guard.receive()), talk);
    assert!(received.unwrap().is_none());
    assert!(ends.eof.is_cancelled() && ends.closing.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hung_up_and_reads_slowly_gets_all_it_asked_for() {
    let (mut client, mut guard, ends) = connect(64);
    fill_up(&mut guard);
    client.write.write_all(b"\n").await.unwrap();
    let talk = async {
        client.say(&ping(1000)).await;
        client.say(&ping(1001)).await;
        client.write.shutdown().await.unwrap();
        for _ in 0..TOO_MANY {
            tokio::time::sleep(LAST_PATIENCE / 2).await;
            client.hear().await;
        }
    };
    let receive = async {
        let mut seen = Vec::new();
        while let Some(message) = guard.receive().await {
            seen.push(method(Some(message)));
        }
        seen
    };
    let (seen, ()) = tokio::join!(receive, talk);
    assert_eq!(seen, ["ping", "ping"]);
    assert!(ends.eof.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_talks_is_not_kept_in_memory() {
    let (mut client, mut guard, ends) = connect(64);
    fill_up(&mut guard);
    let flood = vec![b'x'; 4_000_000];
    let wait = Duration::from_secs(60);
    tokio::select! {
        _ = guard.receive() => panic!("nothing can be received"),
        _ = client.write.write_all(&flood) => panic!("nothing takes it all"),
        () = tokio::time::sleep(wait) => {}
    }
    assert!(guard.lines.held() < 3_000_000, "{}", guard.lines.held());
    assert!(!ends.closing.is_cancelled());
}

#[tokio::test]
async fn the_end_of_input_ends_reading_and_a_last_line_without_newline_still_counts() {
    let (mut client, mut guard, ends) = connect(1 << 16);
    client.write.write_all(&ping(1)).await.unwrap();
    client.write.shutdown().await.unwrap();
    drop(client);
    assert_eq!(method(guard.receive().await), "ping");
    assert!(guard.receive().await.is_none());
    assert!(ends.eof.is_cancelled() && ends.closing.is_cancelled() && !ends.broken.is_cancelled());
}

#[tokio::test]
async fn a_client_that_is_gone_breaks_the_session() {
    let (input, mut keep_open) = tokio::io::duplex(64);
    let (output, client_side) = tokio::io::duplex(64);
    drop(client_side);
    let ends = Ends::of(&CancellationToken::new());
    let (mut guard, writer) = pair(
        input,
        output,
        Cow::Borrowed(ProtocolVersion::KNOWN_VERSIONS),
        ends.clone(),
    );
    tokio::spawn(writer.run());
    let answer = serde_json::from_value(json!({"jsonrpc":"2.0","id":1,"result":{}})).unwrap();
    assert!(guard.send(answer).await.is_err());
    assert!(ends.broken.is_cancelled());
    keep_open.write_all(&ping(1)).await.unwrap();
    assert!(guard.receive().await.is_none());
}
