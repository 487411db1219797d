use serde_json::{Value, json};

use crate::tools::groups::testing::{WS, exchange, refused};

#[tokio::test]
async fn each_tool_sends_its_request() {
    let ws = format!("/workspaces/{WS}/channels");
    let config = r#"{"bot_token":"123:abc","chat_id":"-1"}"#;
    let sent = json!({ "bot_token": "123:abc", "chat_id": "-1" });
    for (tool, arguments, line, body) in [
        (
            "add_channel",
            json!({ "channel_type": "telegram", "config": config, "allowed_users": "1, 2,,3 " }),
            format!("POST {ws}"),
            Some(json!({ "channel_type": "telegram", "config": sent, "allowed_users": ["1", "2", "3"] })),
        ),
        (
            "add_channel",
            json!({ "channel_type": "telegram", "config": sent }),
            format!("POST {ws}"),
            Some(json!({ "channel_type": "telegram", "config": sent, "allowed_users": [] })),
        ),
        (
            "update_channel",
            json!({ "channel_id": "c-1", "config": config, "enabled": false, "allowed_users": "" }),
            format!("PATCH {ws}/c-1"),
            Some(json!({ "config": sent, "enabled": false, "allowed_users": [] })),
        ),
        (
            "update_channel",
            json!({ "channel_id": "c-1", "enabled": true }),
            format!("PATCH {ws}/c-1"),
            Some(json!({ "enabled": true })),
        ),
        (
            "remove_channel",
            json!({ "channel_id": "c-1" }),
            format!("DELETE {ws}/c-1"),
            None,
        ),
        (
            "send_channel_message",
            json!({ "channel_id": "c-1", "text": "hello" }),
            format!("POST {ws}/c-1/send"),
            Some(json!({ "text": "hello" })),
        ),
        (
            "test_channel",
            json!({ "channel_id": "c-1" }),
            format!("POST {ws}/c-1/test"),
            Some(json!({})),
        ),
    ] {
        let mut arguments = arguments;
        arguments["workspace_id"] = json!(WS);
        let seen = exchange(tool, arguments, 200, json!({ "status": "done" })).await;
        assert_eq!((seen.line, seen.body), (line, body), "{tool}");
        assert_eq!(
            (seen.bearer.as_str(), seen.result),
            ("api-key", json!({ "status": "done" }))
        );
    }
}

#[tokio::test]
async fn lists_are_pages_and_show_no_credentials() {
    let adapters = json!([{ "type": "telegram", "display_name": "Telegram", "config_schema": [] }]);
    let seen = exchange("list_channel_adapters", json!({}), 200, adapters.clone()).await;
    assert_eq!(
        (seen.line.as_str(), seen.bearer.as_str()),
        ("GET /channels/adapters", "")
    );
    assert_eq!(seen.result, json!({ "adapters": adapters, "count": 1 }));
    let rows = json!([{ "id": "c", "config": { "webhook_url": "https://hooks.example/s3cret", "chat_id": "1" } }]);
    let seen = exchange("list_channels", json!({ "workspace_id": WS }), 200, rows).await;
    assert_eq!(seen.line, format!("GET /workspaces/{WS}/channels"));
    assert_eq!(
        seen.result["channels"],
        json!([{ "id": "c", "config": { "webhook_url": "(not shown)", "chat_id": "1" } }])
    );
}

#[tokio::test]
async fn chats_are_discovered_in_the_form_that_platforms_take_whatever_form_was_given() {
    let body = json!({ "channel_type": "telegram", "bot_token": "123:abc", "workspace_id": WS });
    for arguments in [
        body.clone(),
        json!({ "type": "telegram", "config": { "bot_token": "123:abc", "workspace_id": WS } }),
        json!({ "type": "telegram", "config": { "bot_token": "123:abc" }, "workspace_id": WS }),
    ] {
        let seen = exchange("discover_channel_chats", arguments, 200, json!({ "chats": [] })).await;
        assert_eq!(
            (seen.line.as_str(), seen.bearer.as_str()),
            ("POST /channels/discover", "api-key")
        );
        assert_eq!((seen.body, seen.result), (Some(body.clone()), json!({ "chats": [] })));
    }
    let told = json!({ "error": "no bot 123:abc-token" });
    let arguments = json!({ "channel_type": "telegram", "bot_token": "123:abc-token", "workspace_id": WS });
    let seen = exchange("discover_channel_chats", arguments, 400, told).await;
    assert!(!seen.result.to_string().contains("123:abc"), "{}", seen.result);
}

#[tokio::test]
async fn an_error_does_not_bring_a_credential_back() {
    let arguments =
        json!({ "workspace_id": WS, "channel_type": "lark", "config": r#"{"webhook_url":"https://h/s3cret"}"# });
    let seen = exchange(
        "add_channel",
        arguments,
        400,
        json!({ "error": "bad https://h/s3cret" }),
    )
    .await;
    assert_eq!(seen.result["error"], "HTTP 400");
    assert!(!seen.result.to_string().contains("s3cret"), "{}", seen.result);
}

#[tokio::test]
async fn what_the_platform_would_refuse_is_not_sent() {
    for (tool, arguments) in [
        (
            "add_channel",
            json!({ "channel_type": "telegram", "config": "not json" }),
        ),
        ("add_channel", json!({ "channel_type": "telegram", "config": "[]" })),
        ("add_channel", json!({ "channel_type": " ", "config": "{}" })),
        ("update_channel", json!({ "channel_id": "c-1" })),
        ("update_channel", json!({ "channel_id": "c-1", "config": "" })),
        ("send_channel_message", json!({ "channel_id": "c-1", "text": "" })),
        ("discover_channel_chats", json!({ "type": "telegram" })),
        ("discover_channel_chats", json!({ "bot_token": "123:abc" })),
    ] {
        let mut arguments: Value = arguments;
        arguments["workspace_id"] = json!(WS);
        assert_eq!(
            refused(tool, arguments.clone()).await,
            "INVALID_ARGUMENT",
            "{tool} {arguments}"
        );
    }
    // There is no workspace of one's own here.
    let arguments = json!({ "channel_type": "telegram", "bot_token": "123:abc" });
    assert_eq!(refused("discover_channel_chats", arguments).await, "INVALID_ARGUMENT");
}
