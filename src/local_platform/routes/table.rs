//! Every route: its name (for faults and the log), method, path, credential, first level and handler.

use std::pin::Pin;

use axum::http::Method;
use serde_json::json;

use super::{
    a2a, activity, agents, approvals, broadcast, budget, building, channels, connect, create, delegation, files,
    heartbeat, key_value, lifecycle, local, memories, notify, org, plugins, registry, requests, schedules, secrets,
    structure, tokens, uploads, workspaces,
};
use crate::local_platform::auth::Auth;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::server::Level;

use Run::{Later, Now};

/// A handler. Most only touch the store and are done at once.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Now(fn(&Call) -> Outcome),
    Later(fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// One line of the table.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    method: &'static str,
    path: &'static str,
    pub(crate) auth: Auth,
    since: Level,
    run: Run,
}

/// A route with the parameters of the path that led to it.
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    pub(crate) id: String,
    pub(crate) second: String,
}

impl Found {
    pub(crate) fn run(&self) -> Run {
        self.route.run
    }
}

/// One route a line: first level, name, method, path, credential, handler.
macro_rules! table {
    ($($since:ident $name:literal $method:ident $path:literal $auth:ident $run:expr;)*) => {
        &[$(Route {
            name: $name,
            method: stringify!($method),
            path: $path,
            auth: Auth::$auth,
            since: Level::$since,
            run: $run,
        }),*]
    };
}

static ROUTES: &[Route] = table! {
    A "health" GET "/health" Open Now(health);
    A "register" POST "/registry/register" Open Now(registry::register);
    A "heartbeat" POST "/registry/heartbeat" Open Now(heartbeat::beat);
    A "update_card" POST "/registry/update-card" Open Now(registry::update_card);
    A "check_access" POST "/registry/check-access" Open Now(registry::check_access);
    A "discover" GET "/registry/discover/:id" Open Now(registry::discover);
    A "peers" GET "/registry/:id/peers" Open Now(registry::peers);
    A "create_workspace" POST "/workspaces" Admin Now(create::create);
    A "list_workspaces" GET "/workspaces" Admin Now(workspaces::list);
    A "get_workspace" GET "/workspaces/:id" Open Now(workspaces::get);
    A "patch_workspace" PATCH "/workspaces/:id" Workspace Now(workspaces::patch);
    A "delete_workspace" DELETE "/workspaces/:id" Admin Now(workspaces::delete);
    A "restart" POST "/workspaces/:id/restart" Workspace Now(lifecycle::restart);
    A "pause" POST "/workspaces/:id/pause" Workspace Now(lifecycle::pause);
    A "resume" POST "/workspaces/:id/resume" Workspace Now(lifecycle::resume);
    A "list_secrets" GET "/workspaces/:id/secrets" Workspace Now(secrets::list);
    A "set_secret" POST "/workspaces/:id/secrets" Workspace Now(secrets::set);
    A "put_secret" PUT "/workspaces/:id/secrets" Workspace Now(secrets::set);
    A "delete_secret" DELETE "/workspaces/:id/secrets/:other" Workspace Now(secrets::delete);
    A "get_model" GET "/workspaces/:id/model" Workspace Now(secrets::model);
    A "set_model" PUT "/workspaces/:id/model" Workspace Now(secrets::set_model);
    A "list_global_secrets" GET "/settings/secrets" Admin Now(secrets::list_global);
    A "set_global_secret" POST "/settings/secrets" Admin Now(secrets::set_global);
    A "put_global_secret" PUT "/settings/secrets" Admin Now(secrets::set_global);
    A "delete_global_secret" DELETE "/settings/secrets/:other" Admin Now(secrets::delete_global);
    A "list_templates" GET "/templates" Admin Now(org::list_templates);
    A "list_org_tokens" GET "/org/tokens" Admin Now(org::list_tokens);
    A "mint_org_token" POST "/org/tokens" Admin Now(org::mint_token);
    A "revoke_org_token" DELETE "/org/tokens/:id" Admin Now(org::revoke_token);
    C "mint_workspace_token" POST "/admin/workspaces/:id/tokens" Admin Now(tokens::mint);
    A "assign_agent" POST "/workspaces/:id/agent" Workspace Now(agents::assign);
    A "replace_agent" PATCH "/workspaces/:id/agent" Workspace Now(agents::replace);
    A "remove_agent" DELETE "/workspaces/:id/agent" Workspace Now(agents::remove);
    A "move_agent" POST "/workspaces/:id/agent/move" Workspace Now(agents::r#move);
    A "list_files" GET "/workspaces/:id/files" Workspace Now(files::list);
    A "replace_files" PUT "/workspaces/:id/files" Workspace Now(files::replace);
    A "read_file" GET "/workspaces/:id/files/*" Workspace Now(files::read);
    A "write_file" PUT "/workspaces/:id/files/*" Workspace Now(files::write);
    A "delete_file" DELETE "/workspaces/:id/files/*" Workspace Now(files::delete);
    A "shared_context" GET "/workspaces/:id/shared-context" Workspace Now(files::shared);
    A "get_config" GET "/workspaces/:id/config" Workspace Now(files::config);
    A "patch_config" PATCH "/workspaces/:id/config" Workspace Now(files::patch_config);
    A "list_entries" GET "/workspaces/:id/memory" Workspace Now(key_value::list);
    A "set_entry" POST "/workspaces/:id/memory" Workspace Now(key_value::set);
    A "get_entry" GET "/workspaces/:id/memory/:other" Workspace Now(key_value::get);
    A "delete_entry" DELETE "/workspaces/:id/memory/:other" Workspace Now(key_value::delete);
    A "session_search" GET "/workspaces/:id/session-search" Workspace Now(memories::session_search);
    A "delete_memory" DELETE "/workspaces/:id/memories/:other" Workspace Now(memories::delete);
    B "delete_plugin_memory" DELETE "/workspaces/:id/v2/memories/:other" Workspace Now(memories::of_plugin);
    A "list_plugins" GET "/plugins" Open Now(plugins::none);
    A "plugin_sources" GET "/plugins/sources" Open Now(plugins::sources);
    A "installed_plugins" GET "/workspaces/:id/plugins" Workspace Now(plugins::none);
    A "install_plugin" POST "/workspaces/:id/plugins" Workspace Now(plugins::install);
    A "uninstall_plugin" DELETE "/workspaces/:id/plugins/:other" Workspace Now(plugins::uninstall);
    A "available_plugins" GET "/workspaces/:id/plugins/available" Workspace Now(plugins::none);
    A "plugin_compatibility" GET "/workspaces/:id/plugins/compatibility" Workspace Now(plugins::compatibility);
    B "plugin_updates" GET "/admin/plugin-updates-pending" Admin Now(plugins::updates);
    B "apply_plugin_update" POST "/admin/plugin-updates/:id/apply" Admin Now(plugins::apply_update);
    A "plugin_allowlist" GET "/orgs/:id/plugins/allowlist" Admin Now(plugins::allowlist);
    A "set_plugin_allowlist" PUT "/orgs/:id/plugins/allowlist" Admin Now(plugins::set_allowlist);
    A "list_schedules" GET "/workspaces/:id/schedules" Workspace Now(schedules::list);
    A "create_schedule" POST "/workspaces/:id/schedules" Workspace Now(schedules::create);
    A "update_schedule" PATCH "/workspaces/:id/schedules/:other" Workspace Now(schedules::update);
    A "delete_schedule" DELETE "/workspaces/:id/schedules/:other" Workspace Now(schedules::delete);
    A "run_schedule" POST "/workspaces/:id/schedules/:other/run" Workspace Now(schedules::run);
    A "schedule_history" GET "/workspaces/:id/schedules/:other/history" Workspace Now(schedules::history);
    A "activity" GET "/workspaces/:id/activity" Workspace Now(activity::read);
    A "report_activity" POST "/workspaces/:id/activity" Workspace Now(activity::report);
    C "ack" POST "/workspaces/:id/activity/ack" Workspace Now(activity::acknowledge);
    A "a2a" POST "/workspaces/:id/a2a" Open Later(|call| Box::pin(a2a::send(call)));
    A "delegate" POST "/workspaces/:id/delegate" Workspace Now(delegation::delegate);
    A "delegations" GET "/workspaces/:id/delegations" Workspace Now(delegation::list);
    A "update_delegation" POST "/workspaces/:id/delegations/:other/update" Workspace Now(delegation::update);
    A "notify" POST "/workspaces/:id/notify" Workspace Now(notify::notify);
    A "chat_upload" POST "/workspaces/:id/chat/uploads" Workspace Later(|call| Box::pin(uploads::upload(call)));
    A "chat_download" GET "/workspaces/:id/chat/download" Workspace Later(|call| Box::pin(uploads::download(call)));
    B "pending_content" GET "/workspaces/:id/pending-uploads/:other/content" Workspace Now(uploads::content);
    B "pending_ack" POST "/workspaces/:id/pending-uploads/:other/ack" Workspace Now(uploads::acknowledge);
    C "upload_limits" GET "/uploads/limits" Open Now(uploads::show_limits);
    B "events" GET "/workspaces/:id/events/stream" Workspace Now(events);
    A "list_tokens" GET "/workspaces/:id/tokens" Workspace Now(tokens::list);
    A "mint_token" POST "/workspaces/:id/tokens" Workspace Now(tokens::mint);
    A "revoke_token" DELETE "/workspaces/:id/tokens/:other" Workspace Now(tokens::revoke);
    A "commit_memory" POST "/workspaces/:id/memories" Workspace Now(memories::commit);
    A "memories" GET "/workspaces/:id/memories" Workspace Now(memories::search);
    B "plugin_memories" GET "/workspaces/:id/v2/memories" Workspace Now(memories::of_plugin);
    B "plugin_namespaces" GET "/workspaces/:id/v2/namespaces" Workspace Now(memories::of_plugin);
    A "bridge" POST "/workspaces/:id/mcp" Workspace Now(memories::bridge);
    A "create_approval" POST "/workspaces/:id/approvals" Workspace Now(approvals::create);
    A "approvals" GET "/workspaces/:id/approvals" Workspace Now(approvals::list);
    A "decide_approval" POST "/workspaces/:id/approvals/:other/decide" Workspace Now(approvals::decide);
    C "abilities" PATCH "/workspaces/:id/abilities" Admin Now(broadcast::set_abilities);
    C "broadcast" POST "/workspaces/:id/broadcast" Workspace Now(broadcast::send);
    C "create_request" POST "/workspaces/:id/requests" Workspace Now(requests::create);
    C "requests" GET "/workspaces/:id/requests" Workspace Now(requests::outgoing);
    C "request_inbox" GET "/workspaces/:id/requests/inbox" Workspace Now(requests::inbox);
    C "get_request" GET "/workspaces/:id/requests/:other" Workspace Now(requests::get);
    C "respond_request" POST "/workspaces/:id/requests/:other/respond" Workspace Now(requests::respond);
    C "add_request_message" POST "/workspaces/:id/requests/:other/messages" Workspace Now(requests::add_message);
    C "cancel_request" POST "/workspaces/:id/requests/:other/cancel" Workspace Now(requests::cancel);
    C "pending_requests" GET "/requests/pending" Admin Now(requests::pending);
    C "any_request" GET "/requests/:other" Admin Now(requests::get);
    C "respond_any_request" POST "/requests/:other/respond" Admin Now(requests::respond);
    C "add_message_to_any_request" POST "/requests/:other/messages" Admin Now(requests::add_message);
    C "cancel_any_request" POST "/requests/:other/cancel" Admin Now(requests::cancel);
    B "rotate" POST "/workspaces/:id/external/rotate" Workspace Now(connect::rotate);
    B "connection" GET "/workspaces/:id/external/connection" Workspace Now(connect::show);
    A "pending_approvals" GET "/approvals/pending" Admin Now(approvals::pending);
    A "record_delegation" POST "/workspaces/:id/delegations/record" Workspace Now(delegation::record);
    A "traces" GET "/workspaces/:id/traces" Workspace Now(traces);
    A "channel_adapters" GET "/channels/adapters" Open Now(channels::adapters);
    A "discover_chats" POST "/channels/discover" Admin Now(channels::discover);
    A "channels" GET "/workspaces/:id/channels" Workspace Now(channels::list);
    A "create_channel" POST "/workspaces/:id/channels" Workspace Now(channels::create);
    A "update_channel" PATCH "/workspaces/:id/channels/:other" Workspace Now(channels::update);
    A "delete_channel" DELETE "/workspaces/:id/channels/:other" Workspace Now(channels::delete);
    A "send_to_channel" POST "/workspaces/:id/channels/:other/send" Workspace Now(channels::send);
    A "test_channel" POST "/workspaces/:id/channels/:other/test" Workspace Now(channels::test);
    A "structure_events" GET "/events" Admin Now(structure::events);
    A "events_of_workspace" GET "/events/:id" Admin Now(structure::events);
    A "viewport" GET "/canvas/viewport" Open Now(structure::viewport);
    A "save_viewport" PUT "/canvas/viewport" Open Now(structure::save_viewport);
    A "import_template" POST "/templates/import" Admin Now(building::import_template);
    A "org_templates" GET "/org/templates" Admin Now(building::org_templates);
    A "import_org" POST "/org/import" Admin Now(building::import_org);
    A "export_bundle" GET "/bundles/export/:id" Admin Now(building::export_bundle);
    A "import_bundle" POST "/bundles/import" Admin Now(building::import_bundle);
    A "budget" GET "/workspaces/:id/budget" Workspace Now(budget::show);
    A "set_budget" PATCH "/workspaces/:id/budget" Admin Now(budget::set);
};

/// The test-facing routes; see the documentation of the module above.
static LOCAL: &[Route] = table! {
    A "add_fault" POST "/_local/faults" Open Now(local::add_fault);
    A "list_faults" GET "/_local/faults" Open Now(local::list_faults);
    A "clear_faults" DELETE "/_local/faults" Open Now(local::clear_faults);
    A "remove_fault" DELETE "/_local/faults/:other" Open Now(local::remove_fault);
    A "insert_rows" POST "/_local/rows/:id" Open Now(local::insert_rows);
    A "fail_to_set_up" POST "/_local/set-up/:id" Open Now(local::fail_to_set_up);
    A "set_late" POST "/_local/late" Open Now(local::set_late);
    A "set_limits" POST "/_local/limits" Open Now(local::set_limits);
    A "log" GET "/_local/log" Open Now(local::log);
    A "workspaces" GET "/_local/workspaces" Open Now(local::workspaces);
};

/// The route of a request at this level.
pub(crate) fn find(level: Level, method: &Method, path: &str) -> Option<Found> {
    ROUTES
        .iter()
        .filter(|route| route.since <= level)
        .find_map(|route| route.matched(method, path))
}

/// The names of the routes at this level.
pub(crate) fn names(level: Level) -> Vec<&'static str> {
    let mut names: Vec<_> = ROUTES
        .iter()
        .filter(|route| route.since <= level)
        .map(|route| route.name)
        .collect();
    names.sort_unstable();
    names
}

/// The test-facing route of a request.
pub(crate) fn find_local(method: &Method, path: &str) -> Option<Found> {
    LOCAL.iter().find_map(|route| route.matched(method, path))
}

impl Route {
    fn matched(&'static self, method: &Method, path: &str) -> Option<Found> {
        if self.method != method.as_str() {
            return None;
        }
        let mut found = Found {
            route: self,
            id: String::new(),
            second: String::new(),
        };
        let mut given = path.split('/');
        for wanted in self.path.split('/') {
            if wanted == "*" {
                let rest: Vec<&str> = given.collect();
                found.second = rest.join("/");
                return (!found.second.is_empty()).then_some(found);
            }
            let given = given.next()?;
            match wanted {
                ":id" if !given.is_empty() => given.clone_into(&mut found.id),
                ":other" if !given.is_empty() => given.clone_into(&mut found.second),
                _ if wanted == given => {}
                _ => return None,
            }
        }
        given.next().is_none().then_some(found)
    }
}

fn health(_: &Call) -> Outcome {
    Ok(Answer::ok(&json!({ "status": "ok" })))
}

/// There is no tracing service.
fn traces(_: &Call) -> Outcome {
    Ok(Answer::ok(&json!([])))
}

fn events(call: &Call) -> Outcome {
    Ok(call.site.hub.open(&call.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Level::{A, B, C};

    #[test]
    fn paths_find_their_route_from_their_level_on() {
        for (level, method, path, name) in [
            (B, "GET", "/registry/discover/w", Some(("discover", "w", ""))),
            (B, "GET", "/registry/w/peers", Some(("peers", "w", ""))),
            (
                B,
                "POST",
                "/workspaces/w/delegations/d/update",
                Some(("update_delegation", "w", "d")),
            ),
            (B, "POST", "/workspaces/w/activity/ack", None),
            (C, "POST", "/workspaces/w/activity/ack", Some(("ack", "w", ""))),
            (A, "GET", "/workspaces/w/events/stream", None),
            (B, "GET", "/workspaces/w/", None),
            (B, "GET", "/workspaces//activity", None),
            (B, "PUT", "/workspaces/w", None),
            (B, "GET", "/workspaces/w/files", Some(("list_files", "w", ""))),
            (
                B,
                "GET",
                "/workspaces/w/files/a/b%20c",
                Some(("read_file", "w", "a/b%20c")),
            ),
            (B, "GET", "/workspaces/w/files/", None),
        ] {
            let found = find(level, &method.parse().unwrap(), path);
            let found = found
                .as_ref()
                .map(|found| (found.route.name, found.id.as_str(), found.second.as_str()));
            assert_eq!(found, name, "{level:?} {method} {path}");
        }
    }
}
