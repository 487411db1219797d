use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::files::AttachRoots;
use crate::config::proxy::Route;
use crate::config::token::TokenSource;
use crate::config::{Card, Roles, RuntimeIdentity, Timing};
use crate::mcp::answer::RESULT_LIMIT;
use crate::platform::client::{Client, Settings};
use crate::platform::tenant::PublicApi;
use crate::platform::workspace::WorkspaceApi;
use crate::state::health::HealthBoard;
use crate::state::journal::{Batch, Journal};
use crate::state::message::Kind;
use crate::state::record::HealthFile;
use crate::state::spool::Spool;
use crate::tools::attachments::Attaching;
use crate::tools::context::Context;
use crate::tools::desk::{Common, Ops};
use crate::tools::message::sample;
use crate::types::{BaseUrl, PlainHttp, Secret, WorkspaceId};

const ORIGIN: &str = "http://127.0.0.1:9";

/// A workspace whose inbox is a journal in `dir`; nothing here speaks to the platform.
async fn context(dir: &std::path::Path) -> Context {
    let own = WorkspaceId::parse("5f0c1d2e-0000-4000-8000-000000000002").unwrap();
    let client = Client::new(Settings {
        base: BaseUrl::parse(ORIGIN, PlainHttp::Nearby).unwrap(),
        org_id: None,
        org_slug: None,
        route: Route::default(),
    });
    let token = TokenSource::inline(Secret::parse("tok-0123456789").unwrap());
    let common = Common {
        state_dir: dir.to_owned(),
        org_id: None,
        timing: Timing::REAL,
    };
    Context {
        desk: Arc::new(Ops::new(PublicApi::new(client.clone()), Vec::new(), None, common)),
        api: WorkspaceApi::new(client, own.clone(), token),
        journal: Journal::open(dir, ORIGIN, &own, Duration::from_secs(600))
            .await
            .unwrap(),
        health: HealthBoard::default(),
        holder: HealthFile::new(dir, ORIGIN, &own),
        own,
        inbox: Switch::On,
        delegation_timeout: Duration::from_secs(1),
        attaching: Attaching {
            roots: AttachRoots::default(),
            never: Vec::new(),
            spool: Spool::new(dir),
        },
        timing: Timing::REAL,
        card: Card::default(),
        identity: RuntimeIdentity::default(),
        roles: Roles::default(),
        read_row: |_, _| None,
        stopped: CancellationToken::new(),
    }
}

async fn call<T: Tool<Workspaces>>(context: &Context, arguments: serde_json::Value) -> Result<Value, ToolError> {
    let tool: T = serde_json::from_value(arguments).unwrap();
    let call = Call::without_client(CancellationToken::new());
    Ok(serde_json::to_value(tool.call(&Workspaces::of(vec![context.clone()]), &call).await?).unwrap())
}

#[tokio::test]
async fn what_is_no_longer_offered_is_listed_by_state_and_can_be_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let context = context(dir.path()).await;
    let batch = |names: &[&str], recovered| Batch {
        messages: names
            .iter()
            .map(|name| {
                let mut message = sample(Kind::PeerAgent, name).message;
                message.activity_id = ActivityId::parse(name).unwrap();
                message.message_id = None;
                message
            })
            .collect(),
        recovered,
        ..Batch::default()
    };
    context
        .journal
        .commit(batch(&["r-1", "r-2", "r-3"], true))
        .await
        .unwrap();
    context.journal.commit(batch(&["waits"], false)).await.unwrap();
    let listed = async |arguments| {
        let inbox = call::<InboxPeek>(&context, arguments).await.unwrap();
        let ids = inbox["messages"].as_array().unwrap().iter();
        let ids: Vec<String> = ids.map(|m| m["activity_id"].as_str().unwrap().to_owned()).collect();
        (ids, inbox["counts"]["recovered"].as_u64().unwrap())
    };
    assert_eq!(listed(json!({})).await, (vec!["waits".to_owned()], 3));
    assert_eq!(listed(json!({ "state": "recovered" })).await.0, ["r-3", "r-2", "r-1"]);
    let page = json!({ "state": "recovered", "limit": 1, "offset": 1 });
    assert_eq!(listed(page).await.0, ["r-2"]);
    let popped = call::<InboxPop>(&context, json!({ "activity_id": "r-2" }))
        .await
        .unwrap();
    assert_eq!(popped["removed"], true);
    assert_eq!(
        listed(json!({ "state": "recovered" })).await,
        (vec!["r-3".to_owned(), "r-1".to_owned()], 2)
    );
    assert_eq!(listed(json!({ "state": "done" })).await.0, ["r-2"]);
    assert!(listed(json!({ "state": "aside" })).await.0.is_empty());
    for arguments in [json!({ "offset": 1 }), json!({ "activity_id": "r-1", "state": "done" })] {
        let refused = call::<InboxPeek>(&context, arguments.clone()).await;
        assert!(refused.is_err(), "{arguments}");
    }
}

#[test]
fn any_timeout_becomes_one_between_0_and_300() {
    for (given, secs) in [
        (json!({}), 45.0),
        (json!({ "timeout_secs": 0 }), 0.0),
        (json!({ "timeout_secs": 1.5 }), 1.5),
        (json!({ "timeout_secs": -3 }), 0.0),
        (json!({ "timeout_secs": 1e300 }), 300.0),
        (json!({ "timeout_secs": "20" }), 20.0),
        (json!({ "timeout_secs": "soon" }), 45.0),
        (json!({ "timeout_secs": "NaN" }), 45.0),
        (json!({ "timeout_secs": [1] }), 45.0),
    ] {
        let tool: WaitForMessage = serde_json::from_value(given.clone()).unwrap();
        assert!((tool.secs() - secs).abs() < f64::EPSILON, "{given}");
    }
}

#[test]
fn a_timeout_looks_as_it_always_did() {
    let result = |secs| NextMessage {
        timeout: Some(true),
        timeout_secs: Some(whole_if_possible(secs)),
        ..NextMessage::default()
    };
    assert_eq!(
        serde_json::to_value(result(45.0)).unwrap(),
        json!({ "timeout": true, "timeout_secs": 45 })
    );
    assert_eq!(
        serde_json::to_value(result(0.5)).unwrap(),
        json!({ "timeout": true, "timeout_secs": 0.5 })
    );
}

#[test]
fn a_message_is_the_result_itself() {
    let result = NextMessage {
        message: Some(MessageView::whole(&sample(Kind::CanvasUser, "hello"))),
        ..NextMessage::default()
    };
    let shown = serde_json::to_value(result).unwrap();
    assert_eq!(
        (&shown["activity_id"], &shown["text"], &shown["kind"]),
        (&json!("a-1"), &json!("hello"), &json!("canvas_user"))
    );
    assert!(shown.get("timeout").is_none());
}

#[test]
fn nonsense_limits_are_ten() {
    for (asked, expected) in [
        (None, 10),
        (Some(0), 10),
        (Some(-1), 10),
        (Some(1), 1),
        (Some(i64::MAX), 200),
    ] {
        assert_eq!(limit(asked), expected);
    }
}

#[test]
fn long_messages_are_shortened_and_hide_none_behind_them() {
    let long = sample(Kind::PeerAgent, &"x".repeat(100_000));
    let short = sample(Kind::PeerAgent, "short");
    let entries = [long.clone(), long, short.clone()];
    let (shown, omitted) = listing(&entries, LIST_LIMIT);
    assert_eq!((shown.len(), omitted), (3, 0));
    assert_eq!(serde_json::to_value(&shown[2]).unwrap()["text"], "short");
    assert_eq!(serde_json::to_value(&shown[1]).unwrap()["text_truncated"], true);
    assert!(serde_json::to_string(&shown).unwrap().len() < RESULT_LIMIT);

    let many = vec![short; 200];
    let (shown, omitted) = listing(&many, LIST_LIMIT);
    assert!(omitted > 0 && shown.len() + omitted == 200);
}
