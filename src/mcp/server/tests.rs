//! Whole sessions over in-memory pipes, with a paused clock: what takes time takes none of the machine's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Consent;
use crate::mcp::toolset::{Effect, Registry, Tool};

/// Waits for the end.
#[derive(Deserialize, JsonSchema)]
struct Wait {}

/// Takes its time, whatever happens.
#[derive(Deserialize, JsonSchema)]
struct Commit {
    /// How long.
    millis: u64,
}

/// Fails inside.
#[derive(Deserialize, JsonSchema)]
struct Panic {}

#[derive(Serialize, JsonSchema)]
struct Done {
    done: bool,
}

impl Tool<()> for Wait {
    const NAME: &'static str = "wait";
    const EFFECT: Effect = Effect::READ;
    type Output = Done;
    async fn call(self, (): &(), call: &Call) -> Result<Done, ToolError> {
        call.progress(1.0, 2.0, "waiting").await;
        call.ended().await;
        Err(ToolError::Ended)
    }
}

impl Tool<()> for Commit {
    const NAME: &'static str = "commit";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Done;
    async fn call(self, (): &(), _: &Call) -> Result<Done, ToolError> {
        tokio::time::sleep(Duration::from_millis(self.millis)).await;
        Ok(Done { done: true })
    }
}

impl Tool<()> for Panic {
    const NAME: &'static str = "panic";
    const EFFECT: Effect = Effect::READ;
    type Output = Done;
    async fn call(self, (): &(), _: &Call) -> Result<Done, ToolError> {
        panic!("as asked")
    }
}

struct Session {
    input: Option<DuplexStream>,
    output: Lines<BufReader<DuplexStream>>,
    stop: CancellationToken,
    served: JoinHandle<End>,
}

impl Session {
    fn start(protocol: McpProtocol) -> Self {
        let mut registry = Registry::default();
        registry.add::<Wait>().add::<Commit>().add::<Panic>().add::<Ask>();
        let toolset = registry.finish(()).ok().unwrap();
        let (input, server_input) = tokio::io::duplex(1 << 16);
        let (server_output, output) = tokio::io::duplex(1 << 16);
        let stop = CancellationToken::new();
        let offer = Offer {
            toolset,
            instructions: "be kind".to_owned(),
            protocol,
            inbox: None,
        };
        let served = serve(offer, server_input, server_output, stop.clone());
        Self {
            input: Some(input),
            output: BufReader::new(output).lines(),
            stop,
            served: tokio::spawn(served),
        }
    }

    async fn open() -> Self {
        let mut session = Self::start(McpProtocol::Legacy);
        session.initialize("2025-11-25").await;
        session
    }

    async fn initialize(&mut self, version: &str) -> Value {
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
        self.request(0, "initialize", params).await;
        let answer = self.hear().await;
        self.say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        answer
    }

    async fn say(&mut self, message: Value) {
        let line = format!("{message}\n");
        self.input.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    async fn request(&mut self, id: u32, method: &str, params: Value) {
        self.say(json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
            .await;
    }

    async fn call(&mut self, id: u32, tool: &str, arguments: Value) {
        self.request(id, "tools/call", json!({ "name": tool, "arguments": arguments }))
            .await;
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.output.next_line().await.unwrap().unwrap()).unwrap()
    }

    /// Everything said until the end, by id.
    async fn rest(&mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(line) = self.output.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        rest.sort_by_key(|answer: &Value| answer["id"].as_u64());
        rest
    }
}

/// Asks whether to go on.
#[derive(Deserialize, JsonSchema)]
struct Ask {}

impl Tool<()> for Ask {
    const NAME: &'static str = "ask";
    const EFFECT: Effect = Effect::DESTROY;
    type Output = Done;
    async fn call(self, (): &(), call: &Call) -> Result<Done, ToolError> {
        match call.ask("Go on?").await {
            Consent::Given => Ok(Done { done: true }),
            Consent::Withheld => Ok(Done { done: false }),
            Consent::CannotAsk => Err(ToolError::argument("confirm", "is required")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_is_asked_where_the_client_can() {
    let form = json!({ "elicitation": {} });
    for (capabilities, answer, done) in [
        (
            form.clone(),
            json!({ "action": "accept", "content": { "proceed": true } }),
            Some(true),
        ),
        (form.clone(), json!({ "action": "accept" }), Some(true)),
        (
            form.clone(),
            json!({ "action": "accept", "content": { "proceed": false } }),
            Some(false),
        ),
        (form.clone(), json!({ "action": "decline" }), Some(false)),
        (
            json!({ "elicitation": { "form": {} } }),
            json!({ "action": "cancel" }),
            Some(false),
        ),
        (json!({ "elicitation": { "url": {} } }), Value::Null, None),
        (json!({}), Value::Null, None),
    ] {
        let mut session = Session::start(McpProtocol::Legacy);
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client });
        session.request(0, "initialize", params).await;
        session.hear().await;
        session
            .say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await;
        session.call(1, "ask", json!({})).await;
        if !answer.is_null() {
            let question = session.hear().await;
            assert_eq!(
                (&question["method"], &question["params"]["message"]),
                (&json!("elicitation/create"), &json!("Go on?"))
            );
            session
                .say(json!({ "jsonrpc": "2.0", "id": question["id"], "result": answer }))
                .await;
        }
        let result = session.hear().await["result"].take();
        assert_eq!(
            result["structuredContent"]["done"].as_bool(),
            done,
            "{capabilities} {answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn initialize_tells_name_instructions_and_a_revision_both_know() {
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2099-01-01", "2025-11-25"),
        ("nonsense", "2025-11-25"),
    ] {
        let result = Session::start(McpProtocol::Legacy).initialize(asked).await["result"].take();
        assert_eq!(result["protocolVersion"], given, "{asked}");
        assert_eq!(result["serverInfo"]["name"], "molecule");
        assert_eq!(result["instructions"], "be kind");
        assert!(result["capabilities"]["tools"].is_object());
    }
}

#[tokio::test(start_paused = true)]
async fn tools_are_listed_on_one_page_sorted_by_name() {
    let mut session = Session::open().await;
    session.request(1, "tools/list", json!({})).await;
    let result = session.hear().await["result"].take();
    let names: Vec<_> = result["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["ask", "commit", "panic", "wait"]);
    assert!(result.get("nextCursor").is_none());
    session.request(2, "tools/list", json!({ "cursor": "x" })).await;
    assert_eq!(session.hear().await["error"]["code"], -32602);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_served_is_refused_with_the_right_code() {
    let mut session = Session::open().await;
    for (method, params, code) in [
        ("no/such", json!({}), -32601),
        ("tools/call", json!({ "nome": "x" }), -32602),
        ("tools/call", json!({ "name": "commit", "arguments": "x" }), -32602),
        ("tools/call", json!({ "name": "unknown" }), -32602),
        ("logging/setLevel", json!({ "level": "info" }), -32601),
    ] {
        session.request(1, method, params.clone()).await;
        let answer = session.hear().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["code"]),
            (&json!(1), &json!(code)),
            "{method} {params}"
        );
    }
    session.request(2, "ping", json!({})).await;
    assert_eq!(session.hear().await["result"], json!({}));
}

#[tokio::test(start_paused = true)]
async fn requests_before_initialize_are_refused_and_notifications_ignored() {
    let mut session = Session::start(McpProtocol::Legacy);
    session
        .say(json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
        .await;
    session.request(7, "tools/list", json!({})).await;
    assert_eq!(session.hear().await["error"]["code"], -32602);
    session
        .say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } }))
        .await;
    assert_eq!(
        session.initialize("2025-11-25").await["result"]["serverInfo"]["name"],
        "molecule"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_run_at_the_same_time_and_a_panic_costs_one_answer() {
    let mut session = Session::open().await;
    let start = Instant::now();
    for id in 1..=16 {
        session.call(id, "commit", json!({ "millis": 300 })).await;
    }
    session.call(17, "panic", json!({})).await;
    let mut failed = Vec::new();
    for _ in 0..17 {
        let answer = session.hear().await;
        if answer["result"]["isError"] == true {
            failed.push((
                answer["id"].clone(),
                answer["result"]["structuredContent"]["error"].clone(),
            ));
        }
    }
    assert_eq!(failed, [(json!(17), json!("INTERNAL"))]);
    assert!(
        start.elapsed() < Duration::from_millis(300 * 8),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_ends_and_is_not_answered() {
    let mut session = Session::open().await;
    session.call(1, "wait", json!({})).await;
    session
        .say(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } }))
        .await;
    session.request(2, "ping", json!({})).await;
    assert_eq!(session.hear().await["id"], 2);
    session.input = None;
    assert!(session.rest().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn progress_goes_to_clients_that_asked_for_it() {
    let mut session = Session::open().await;
    let params = json!({ "name": "wait", "arguments": {}, "_meta": { "progressToken": "t" } });
    session.request(1, "tools/call", params).await;
    let note = session.hear().await;
    assert_eq!(note["method"], "notifications/progress");
    assert_eq!(
        note["params"],
        json!({ "progressToken": "t", "progress": 1.0, "total": 2.0, "message": "waiting" })
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_input_waits_end_at_once_and_work_in_flight_is_answered() {
    let mut session = Session::open().await;
    session.call(1, "wait", json!({})).await;
    session.call(2, "commit", json!({ "millis": 300 })).await;
    let start = Instant::now();
    session.input = None;
    let rest = session.rest().await;
    assert_eq!(rest[0]["result"]["structuredContent"]["error"], "CANCELLED");
    assert_eq!(rest[1]["result"]["structuredContent"], json!({ "done": true }));
    assert_eq!(session.served.await.unwrap(), End::Closed);
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_too_long_does_not_hold_up_the_end() {
    let mut session = Session::open().await;
    session.call(1, "commit", json!({ "millis": 60_000 })).await;
    session.request(2, "ping", json!({})).await;
    session.hear().await;
    let start = Instant::now();
    session.stop.cancel();
    assert_eq!(session.served.await.unwrap(), End::Stopped);
    assert!(start.elapsed() < Duration::from_millis(1400), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_at_once_however_it_ends() {
    for opened in [false, true] {
        for expected in [End::Closed, End::Stopped, End::Broken] {
            let mut session = if opened {
                Session::open().await
            } else {
                Session::start(McpProtocol::Legacy)
            };
            let start = Instant::now();
            match expected {
                End::Closed => session.input = None,
                End::Stopped => session.stop.cancel(),
                End::Broken => {
                    session.output = BufReader::new(tokio::io::duplex(1).0).lines();
                    session.request(1, "ping", json!({})).await;
                }
            }
            assert_eq!(session.served.await.unwrap(), expected);
            assert!(
                start.elapsed() < Duration::from_millis(250),
                "{expected:?} {:?}",
                start.elapsed()
            );
        }
    }
}

fn modern(extra: Value) -> Value {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    params
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    params
}

#[tokio::test(start_paused = true)]
async fn a_modern_client_is_turned_to_initialize_unless_modern_is_configured() {
    let mut session = Session::start(McpProtocol::Legacy);
    session.request(1, "server/discover", modern(json!({}))).await;
    assert_eq!(session.hear().await["error"]["code"], -32022);
    assert!(session.initialize("2025-11-25").await["result"].is_object());

    let mut session = Session::start(McpProtocol::Modern);
    session.request(1, "server/discover", modern(json!({}))).await;
    let versions = session.hear().await["result"]["supportedVersions"].take();
    assert!(
        versions.as_array().unwrap().contains(&json!("2026-07-28")),
        "{versions}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_open_subscription_ends_with_the_session() {
    let mut session = Session::start(McpProtocol::Modern);
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    session.request(1, "subscriptions/listen", modern(filter)).await;
    assert_eq!(
        session.hear().await["method"],
        "notifications/subscriptions/acknowledged"
    );
    session.request(2, "tools/list", modern(json!({}))).await;
    assert_eq!(session.hear().await["id"], 2);
    let start = Instant::now();
    session.input = None;
    assert_eq!(session.rest().await.last().unwrap()["id"], 1);
    assert_eq!(session.served.await.unwrap(), End::Closed);
    assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
}
