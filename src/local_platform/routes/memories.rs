//! Memories, and the platform's own MCP endpoint as far as it serves them.
//!
//! Up to level B they are kept here. Level C keeps them in a plugin, and there is none on this platform, as on any server
//! that was started without one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::server::Level;
use crate::local_platform::store::activity::read::Page;

const KIND: &str = "memory";
const SCOPES: [&str; 3] = ["LOCAL", "TEAM", "GLOBAL"];
const MOST: usize = 50;

#[derive(Clone, Serialize, Deserialize)]
struct Memory {
    id: String,
    workspace_id: String,
    content: String,
    scope: String,
    namespace: String,
    created_at: String,
}

#[derive(Deserialize)]
struct Commit {
    content: String,
    scope: String,
    #[serde(default)]
    namespace: String,
}

fn no_plugin() -> Answer {
    Answer::error(503, "memory plugin is not configured (set MEMORY_PLUGIN_URL)")
}

/// Keeps a memory. Credentials are not looked for here, so that a test sees what a client sent.
pub(crate) fn commit(call: &Call) -> Outcome {
    let sent: Commit = call.json("invalid request body")?;
    if sent.content.is_empty() || sent.scope.is_empty() {
        return Err(Answer::error(400, "invalid request body"));
    }
    if !SCOPES.contains(&sent.scope.as_str()) {
        return Err(Answer::error(400, "scope must be LOCAL, TEAM, or GLOBAL"));
    }
    if sent.namespace.len() > 50 {
        return Err(Answer::error(400, "namespace must be <= 50 characters"));
    }
    let writer = call.site.store.workspace(&call.id)?;
    if sent.scope == "GLOBAL" && writer.is_some_and(|writer| writer.parent_id.is_some()) {
        return Err(Answer::error(403, "only root workspaces can write GLOBAL memories"));
    }
    if call.site.level == Level::C {
        return Err(no_plugin());
    }
    let memory = Memory {
        id: Uuid::new_v4().to_string(),
        workspace_id: call.id.clone(),
        content: sent.content,
        scope: sent.scope,
        namespace: if sent.namespace.is_empty() {
            "general".to_owned()
        } else {
            sent.namespace
        },
        created_at: clock::text(clock::now()),
    };
    call.site.store.put(KIND, &memory.id, &memory)?;
    Ok(Answer::json(
        201,
        &json!({ "id": memory.id, "scope": memory.scope, "namespace": memory.namespace }),
    ))
}

/// Own memories of all scopes, or those of one scope that the caller may read; the newest first.
pub(crate) fn search(call: &Call) -> Outcome {
    if call.site.level == Level::C {
        return Err(no_plugin());
    }
    let scope = call.query("scope").filter(|scope| SCOPES.contains(scope));
    let wanted = call.query("q").unwrap_or_default().to_lowercase();
    let mut found: Vec<Memory> = call.site.store.list(KIND)?;
    found.reverse();
    let mut shown = Vec::new();
    for mut memory in found {
        let own = memory.workspace_id == call.id;
        let readable = match scope {
            None => own,
            Some(scope) if scope != memory.scope => false,
            Some("LOCAL") => own,
            Some("GLOBAL") => true,
            Some(_) => call
                .site
                .store
                .may_communicate(call.site.level, &call.id, &memory.workspace_id)?,
        };
        // The real one searches by English word stems.
        let text = memory.content.to_lowercase();
        if readable && wanted.split_whitespace().all(|word| text.contains(word)) {
            if memory.scope == "GLOBAL" {
                memory.content = format!(
                    "[MEMORY id={} scope=GLOBAL from={}]: {}",
                    memory.id, memory.workspace_id, memory.content
                );
            }
            shown.push(memory);
        }
    }
    shown.truncate(MOST);
    Ok(Answer::ok(&shown))
}

/// Removes a memory of its own. Level C has no such route.
pub(crate) fn delete(call: &Call) -> Outcome {
    if call.site.level == Level::C {
        return Err(Answer::no_route());
    }
    let store = &call.site.store;
    let memory: Option<Memory> = store.get(KIND, &call.second)?;
    if memory.is_none_or(|memory| memory.workspace_id != call.id) {
        return Err(Answer::error(404, "memory not found or not owned by this workspace"));
    }
    store.delete(KIND, &call.second)?;
    Ok(Answer::ok(&json!({ "status": "deleted" })))
}

/// What a workspace did, and (up to level B) remembers: the newest first.
pub(crate) fn session_search(call: &Call) -> Outcome {
    let wanted = call.query("q").unwrap_or_default().trim().to_lowercase();
    let limit = call.query("limit").and_then(|limit| limit.parse().ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(MOST).min(200);
    let page = Page {
        limit: u32::MAX,
        ..Page::default()
    };
    let mut found: Vec<Value> = Vec::new();
    for row in call.site.store.read_activity(&call.id, &page)? {
        let mut item = json!({ "kind": "activity", "id": row.id, "workspace_id": row.workspace_id,
            "label": row.activity_type, "content": row.summary.unwrap_or_default(),
            "method": row.method.unwrap_or_default(), "status": row.status, "created_at": row.created_at });
        for (name, body) in [("request_body", row.request_body), ("response_body", row.response_body)] {
            if let Some(body) = body {
                item[name] = serde_json::from_str(body.get()).unwrap_or_default();
            }
        }
        found.push(item);
    }
    if call.site.level < Level::C {
        let memories: Vec<Memory> = call.site.store.list(KIND)?;
        let own = memories.into_iter().filter(|memory| memory.workspace_id == call.id);
        found.extend(own.map(|memory| {
            json!({ "kind": "memory", "id": memory.id, "workspace_id": memory.workspace_id, "label": memory.scope,
                "content": memory.content, "method": "", "status": "", "created_at": memory.created_at })
        }));
    }
    const SEARCHED: [&str; 6] = ["content", "label", "method", "status", "request_body", "response_body"];
    found.retain(|item| {
        SEARCHED
            .iter()
            .any(|name| item[*name].to_string().to_lowercase().contains(&wanted))
    });
    found.sort_by_key(|item| std::cmp::Reverse(item["created_at"].as_str().and_then(clock::parse)));
    found.truncate(limit);
    Ok(Answer::ok(&found))
}

/// The memories of the plugin.
pub(crate) fn of_plugin(_: &Call) -> Outcome {
    Err(no_plugin())
}

/// The tools that the platform's MCP endpoint lists, from which level on.
const BRIDGED: [(Level, &str); 18] = [
    (Level::A, "delegate_task"),
    (Level::A, "delegate_task_async"),
    (Level::A, "check_task_status"),
    (Level::A, "list_peers"),
    (Level::A, "get_workspace_info"),
    (Level::A, "send_message_to_user"),
    (Level::C, "request_user_action"),
    (Level::C, "list_user_tasks"),
    (Level::C, "update_user_task"),
    (Level::C, "delete_user_task"),
    (Level::A, "commit_memory"),
    (Level::A, "recall_memory"),
    (Level::B, "commit_memory_v2"),
    (Level::B, "search_memory"),
    (Level::B, "commit_summary"),
    (Level::B, "list_writable_namespaces"),
    (Level::B, "list_readable_namespaces"),
    (Level::B, "forget_memory"),
];

/// The MCP endpoint. A tool that fails is told as a failure without a reason, and without a plugin every memory tool does.
pub(crate) fn bridge(call: &Call) -> Outcome {
    let parse_error = json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32700, "message": "parse error" } });
    let sent: Value = serde_json::from_slice(&call.body).map_err(|_| Answer::json(400, &parse_error))?;
    let answer = match sent["method"].as_str() {
        Some("tools/list") => {
            let tools: Vec<Value> = BRIDGED
                .iter()
                .filter(|(since, _)| *since <= call.site.level)
                .map(|(_, name)| json!({ "name": name, "description": name, "inputSchema": { "type": "object" } }))
                .collect();
            json!({ "result": { "tools": tools } })
        }
        Some("tools/call") => json!({ "error": { "code": -32000, "message": "tool call failed" } }),
        _ => json!({ "error": { "code": -32601, "message": "method not found" } }),
    };
    let mut body = json!({ "jsonrpc": "2.0", "id": sent["id"] });
    for (key, value) in answer.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    Ok(Answer::ok(&body))
}
