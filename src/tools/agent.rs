//! The set `agent`: what a coding agent needs to live as a workspace, with nothing but the workspace's own token.

use futures_util::future::BoxFuture;

use super::workspaces::{self, Workspaces};
use super::{broadcast, delegation, history, identity, inbox, memory, peers, reply, requests, user, workspace_info};
use crate::config::shown::Sets;
use crate::mcp::toolset::{Duplicate, Registry, Toolset};
use crate::state::health::HealthBoard;

/// Workspaces whose journal is being opened.
pub struct Opening {
    /// What the tools work with, once it is open. `None`: it never will be.
    pub workspaces: BoxFuture<'static, Option<Workspaces>>,
    /// Tell calls why that end before they have a result.
    pub healths: Vec<HealthBoard>,
}

/// The finished set, whose calls wait for the workspace to be opened.
pub(super) fn finish(tools: Registry<Workspaces>, opening: Opening) -> Result<Toolset, Duplicate> {
    let toolset = tools.finish_with(opening.workspaces)?;
    Ok(toolset.with_farewell(move || workspaces::farewell(&opening.healths)))
}

/// All tools of the set.
pub(super) fn registry() -> Registry<Workspaces> {
    let mut tools = Registry::of(Sets::AGENT);
    peers::register(&mut tools);
    workspace_info::register(&mut tools);
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
    use serde_json::{Value, json};

    fn definitions() -> Vec<Value> {
        registry()
            .faces()
            .map(|face| serde_json::to_value(face.definition()).unwrap())
            .collect()
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
                    "delegation_id",
                    "limit",
                    "offline",
                    "peer_id",
                    "query",
                    "source_workspace_id",
                ],
                &[],
            ),
            ("check_requests", &["limit", "offset", "status", "workspace_id"], &[]),
            (
                "check_task_status",
                &["offset", "source_workspace_id", "task_id", "workspace_id"],
                &[],
            ),
            (
                "commit_memory",
                &["content", "scope", "source_workspace_id", "workspace_id"],
                &["content"],
            ),
            (
                "commit_memory_v2",
                &[
                    "content",
                    "expires_at",
                    "kind",
                    "namespace",
                    "pin",
                    "source_workspace_id",
                ],
                &["content"],
            ),
            (
                "commit_summary",
                &["content", "expires_at", "namespace", "source_workspace_id"],
                &["content"],
            ),
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
            (
                "forget_memory",
                &["memory_id", "namespace", "source_workspace_id"],
                &["memory_id"],
            ),
            (
                "get_request",
                &["offset", "request_id", "workspace_id"],
                &["request_id"],
            ),
            ("get_runtime_identity", &[], &[]),
            ("get_workspace_info", &["source_workspace_id"], &[]),
            ("inbox_peek", &["activity_id", "limit", "offset", "state"], &[]),
            ("inbox_pop", &["activity_id"], &["activity_id"]),
            ("list_inbox", &["limit", "offset", "status", "workspace_id"], &[]),
            (
                "list_peers",
                &["limit", "offset", "source_workspace_id", "workspace_id"],
                &[],
            ),
            ("list_readable_namespaces", &["source_workspace_id"], &[]),
            ("list_writable_namespaces", &["source_workspace_id"], &[]),
            (
                "recall_memory",
                &["limit", "offset", "query", "scope", "source_workspace_id"],
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
            (
                "search_memory",
                &[
                    "kinds",
                    "limit",
                    "namespaces",
                    "offset",
                    "query",
                    "scope",
                    "source_workspace_id",
                    "workspace_id",
                ],
                &[],
            ),
            (
                "send_message_to_user",
                &["attachments", "message", "workspace_id"],
                &["message"],
            ),
            ("update_agent_card", &["card", "source_workspace_id"], &["card"]),
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

    /// Arguments that any tool of the set would take.
    fn plausible(tool: &Value) -> Value {
        let schema = &tool["inputSchema"];
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let given = required.iter().map(|name| {
            let name = name.as_str().unwrap();
            let value = match schema["properties"][name]["type"].as_str() {
                Some("object") => json!({ "name": "x" }),
                _ if name.ends_with("_id") => json!(crate::tools::testing::PEER),
                _ => json!("x"),
            };
            (name.to_owned(), value)
        });
        Value::Object(given.collect())
    }

    #[tokio::test]
    async fn a_role_keeps_an_agent_from_what_the_python_daemon_keeps_it_from_and_from_the_same_by_other_names() {
        use crate::config::Permission;
        let needs = |name: &str| match name {
            "delegate_task" | "delegate_task_async" | "check_task_status" => Some(Permission::Delegate),
            "send_message_to_user" => Some(Permission::Approve),
            "commit_memory" | "update_agent_card" => Some(Permission::MemoryWrite),
            "commit_memory_v2" | "commit_summary" | "forget_memory" => Some(Permission::MemoryWrite),
            "recall_memory" | "search_memory" => Some(Permission::MemoryRead),
            "list_readable_namespaces" | "list_writable_namespaces" => Some(Permission::MemoryRead),
            _ => None,
        };
        let mut world = crate::tools::testing::World::saying(500, &json!({})).await;
        world.context.roles = crate::config::Roles::none();
        let mut denied = 0;
        for tool in definitions() {
            let name = tool["name"].as_str().unwrap();
            let Some(permission) = needs(name) else { continue };
            let answer = world.call(name, plausible(&tool)).await;
            assert_eq!(answer.code(), "PERMISSION_DENIED", "{name}: {:?}", answer.body);
            assert_eq!(answer.body["permission"], permission.as_str(), "{name}");
            let detail = answer.body["detail"].as_str().unwrap();
            assert!(detail.starts_with("PERMISSION DENIED: ") && detail.contains(permission.as_str()));
            denied += 1;
        }
        assert_eq!(denied, 13);
        assert_eq!(world.asked(), [], "nothing is asked on behalf of a tool that is denied");
    }
}
