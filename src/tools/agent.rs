//! The set `agent`: what a coding agent needs to live as a workspace, with nothing but the workspace's own token.

use super::context::{self, Context};
use super::{broadcast, delegation, history, identity, inbox, memory, peers, reply, requests, user};
use crate::mcp::toolset::{Duplicate, Registry, Toolset};
use crate::state::health::HealthBoard;

/// All tools of the set, working with what is `coming`. Calls that end before they have a result are told why by `health`.
///
/// # Errors
/// When two tools have the same name.
pub fn toolset(
    coming: impl Future<Output = Option<Context>> + Send + 'static,
    health: HealthBoard,
) -> Result<Toolset, Duplicate> {
    let toolset = registry().finish_with(coming)?;
    Ok(toolset.with_farewell(move || context::farewell(&health)))
}

fn registry() -> Registry<Context> {
    let mut tools = Registry::default();
    peers::register(&mut tools);
    delegation::register(&mut tools);
    inbox::register(&mut tools);
    reply::register(&mut tools);
    user::register(&mut tools);
    history::register(&mut tools);
    memory::register(&mut tools);
    identity::register(&mut tools);
    broadcast::register(&mut tools);
    requests::register(&mut tools);
    tools
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::answer::RESULT_LIMIT;
    use serde_json::{Value, json};

    fn definitions() -> Vec<Value> {
        registry()
            .definitions()
            .map(|tool| serde_json::to_value(tool).unwrap())
            .collect()
    }

    fn walk(schema: &Value, visit: &mut impl FnMut(&Value)) {
        visit(schema);
        match schema {
            Value::Object(fields) => fields.values().for_each(|value| walk(value, visit)),
            Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
            _ => {}
        }
    }

    #[test]
    fn every_tool_is_one_that_any_client_accepts() {
        for tool in definitions() {
            let name = tool["name"].as_str().unwrap();
            assert!(
                name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) && name.len() <= 40,
                "{name}"
            );
            assert!(tool["description"].as_str().unwrap().len() > 20, "{name}");
            assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{name}");
            for key in ["inputSchema", "outputSchema"] {
                let schema = &tool[key];
                assert_eq!(schema["type"], "object", "{name} {key}");
                assert!(schema["properties"].is_object(), "{name} {key}");
                for choice in ["anyOf", "oneOf", "allOf", "$ref", "$defs"] {
                    assert!(schema.get(choice).is_none(), "{name} {key} {choice}");
                }
                walk(schema, &mut |part| {
                    assert!(
                        part.get("$schema").is_none() && part.get("$ref").is_none(),
                        "{name} {key}"
                    );
                    assert!(!part.get("type").is_some_and(Value::is_array), "{name} {key}: {part}");
                    assert!(
                        part.get("default").is_none_or(|default| !default.is_null()),
                        "{name} {key}"
                    );
                });
            }
            for (argument, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
                assert!(schema["description"].is_string(), "{name}({argument}) is not described");
            }
            let failure = json!({ "error": "A", "detail": "b", "hint": "c" });
            assert!(jsonschema::is_valid(&tool["outputSchema"], &failure), "{name}");
        }
        assert!(serde_json::to_string(&definitions()).unwrap().len() < RESULT_LIMIT);
    }

    #[test]
    fn names_and_arguments_are_those_users_know() {
        let known: Vec<(String, Vec<String>, Vec<String>)> = definitions()
            .iter()
            .map(|tool| {
                let schema = &tool["inputSchema"];
                let arguments = schema["properties"].as_object().unwrap().keys().cloned().collect();
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                let required = required.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
                (tool["name"].as_str().unwrap().to_owned(), arguments, required)
            })
            .collect();
        let expected: [(&str, &[&str], &[&str]); 30] = [
            (
                "add_request_message",
                &["body", "request_id", "workspace_id"],
                &["request_id", "body"],
            ),
            ("broadcast_message", &["message", "workspace_id"], &["message"]),
            ("cancel_request", &["request_id", "workspace_id"], &["request_id"]),
            (
                "chat_history",
                &[
                    "before_ts",
                    "limit",
                    "offline",
                    "peer_id",
                    "query",
                    "source_workspace_id",
                ],
                &[],
            ),
            ("check_requests", &["offset", "status", "workspace_id"], &[]),
            (
                "check_task_status",
                &["offset", "source_workspace_id", "task_id", "workspace_id"],
                &[],
            ),
            (
                "commit_memory",
                &["content", "scope", "source_workspace_id"],
                &["content"],
            ),
            (
                "commit_memory_v2",
                &["content", "expires_at", "kind", "namespace", "pin"],
                &["content"],
            ),
            ("commit_summary", &["content", "expires_at", "namespace"], &["content"]),
            ("create_approval", &["action", "reason", "workspace_id"], &["action"]),
            (
                "create_request",
                &[
                    "detail",
                    "kind",
                    "priority",
                    "recipient_id",
                    "recipient_type",
                    "title",
                    "workspace_id",
                ],
                &["kind", "title"],
            ),
            (
                "delegate_task",
                &["request_id", "source_workspace_id", "task", "workspace_id"],
                &["workspace_id", "task"],
            ),
            (
                "delegate_task_async",
                &["request_id", "source_workspace_id", "task", "workspace_id"],
                &["workspace_id", "task"],
            ),
            ("forget_memory", &["memory_id", "namespace"], &["memory_id"]),
            (
                "get_request",
                &["offset", "request_id", "workspace_id"],
                &["request_id"],
            ),
            ("get_runtime_identity", &[], &[]),
            ("get_workspace_info", &["source_workspace_id"], &[]),
            ("inbox_peek", &["activity_id", "limit", "offset", "state"], &[]),
            ("inbox_pop", &["activity_id"], &["activity_id"]),
            ("list_inbox", &["offset", "status", "workspace_id"], &[]),
            ("list_peers", &["offset", "source_workspace_id"], &[]),
            ("list_readable_namespaces", &[], &[]),
            ("list_writable_namespaces", &[], &[]),
            (
                "recall_memory",
                &["offset", "query", "scope", "source_workspace_id"],
                &[],
            ),
            (
                "reply_to_message",
                &["activity_id", "also_pop", "attachments", "text"],
                &["activity_id", "text"],
            ),
            (
                "respond_request",
                &["action", "message", "request_id", "workspace_id"],
                &["request_id", "action"],
            ),
            ("search_memory", &["kinds", "limit", "namespaces", "query"], &[]),
            (
                "send_message_to_user",
                &["attachments", "message", "workspace_id"],
                &["message"],
            ),
            ("update_agent_card", &["card"], &["card"]),
            ("wait_for_message", &["timeout_secs"], &[]),
        ];
        assert_eq!(known.len(), expected.len());
        for ((name, arguments, required), expected) in known.iter().zip(expected) {
            assert_eq!(
                (name.as_str(), arguments.as_slice(), required.as_slice()),
                (expected.0, &*strings(expected.1), &*strings(expected.2))
            );
        }
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }
}
