use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Timing;
use crate::mcp::call::Call;
use crate::platform::tenant::PublicApi;
use crate::platform::testing::{Reply, Responder};
use crate::state::health::{HealthBoard, Trouble};
use crate::tools::desk::Common;

/// The tools of the workspace server that was replaced (contract, section 2).
const OPS: &str = "
    list_workspaces create_workspace provision_workspace get_workspace update_workspace delete_workspace
    restart_workspace pause_workspace resume_workspace
    chat_with_agent assign_agent replace_agent remove_agent move_agent get_model
    set_secret list_secrets delete_secret list_global_secrets set_global_secret delete_global_secret
    list_files read_file write_file delete_file replace_all_files get_config update_config
    commit_memory search_memory delete_memory session_search get_shared_context memory_set memory_get memory_list
    memory_delete_kv
    list_plugin_registry list_installed_plugins install_plugin uninstall_plugin list_plugin_sources
    list_available_plugins check_plugin_compatibility
    list_channel_adapters list_channels add_channel update_channel remove_channel send_channel_message test_channel
    discover_channel_chats
    async_delegate check_delegations record_delegation update_delegation_status report_activity list_activity
    notify_user list_traces
    list_schedules create_schedule update_schedule delete_schedule run_schedule get_schedule_history
    list_pending_approvals decide_approval create_approval get_workspace_approvals
    list_peers discover_workspace check_access list_events list_templates list_org_templates import_org
    import_template export_bundle import_bundle get_canvas_viewport set_canvas_viewport expand_team collapse_team
    list_remote_agents get_remote_agent_state get_remote_agent_setup_command check_remote_agent_freshness";

/// The tools of the management server that was replaced (contract, section 3).
const MANAGEMENT: &str = "
    list_workspaces get_workspace provision_workspace deprovision_workspace restart_workspace pause_workspace
    resume_workspace set_workspace_secret list_workspace_secrets delete_workspace_secret set_org_secret
    list_org_secrets delete_org_secret set_workspace_budget set_llm_billing_mode list_org_templates
    create_org_from_template list_templates import_template mint_org_token list_org_tokens revoke_org_token
    mint_workspace_token get_org_plugin_allowlist set_org_plugin_allowlist export_bundle import_bundle
    list_org_events list_pending_approvals list_orgs get_org";

/// The tools of the daemon that was replaced (contract, section 7).
const AGENT: &str = "
    delegate_task delegate_task_async check_task_status list_peers get_workspace_info send_message_to_user commit_memory
    recall_memory wait_for_message inbox_peek inbox_pop";

/// What later generations of the workspace server added, and still works.
const LATER: &str = "check_plugin_updates apply_plugin_update";

fn names(text: &'static str) -> BTreeSet<&'static str> {
    text.split_whitespace().collect()
}

fn shown(mode: Mode, sets: Sets, tools: &[&str], read_only: bool) -> Shown {
    Shown {
        mode,
        sets,
        tools: tools.iter().map(ToString::to_string).collect(),
        read_only,
    }
}

fn listed(shown: &Shown, has_api_key: bool) -> BTreeSet<&'static str> {
    let faces = Catalogue::new().faces();
    let kept = faces.iter().filter(|face| is_shown(shown, has_api_key, face));
    kept.map(|face| face.name).collect()
}

#[test]
fn every_tool_of_the_programs_before_is_here_and_managing_is_those_alone() {
    let (ops, management, agent) = (names(OPS), names(MANAGEMENT), names(AGENT));
    let all = &(&ops | &management) | &agent;
    assert_eq!((ops.len(), management.len(), agent.len(), all.len()), (88, 31, 11, 116));
    let faces = Catalogue::new().faces();
    let within = |set: Sets| -> BTreeSet<_> {
        let faces = faces.iter().filter(|face| face.sets.meet(set));
        faces.map(|face| face.name).collect()
    };
    let ops = &ops | &names(LATER);
    for (wanted, set) in [
        (&ops, Sets::OPS),
        (&management, Sets::MANAGEMENT),
        (&agent, Sets::AGENT),
    ] {
        let missing: Vec<_> = wanted.difference(&within(set)).copied().collect();
        assert!(missing.is_empty(), "in the contract, and not here: {missing:?}");
    }
    // The other sets may grow; this one is what its mode shows, which clients count on.
    assert_eq!(within(Sets::MANAGEMENT), management);
    let distinct: BTreeSet<_> = faces.iter().map(|face| face.name).collect();
    assert_eq!(distinct.len(), faces.len(), "a name is registered twice");
}

#[test]
fn credentials_modes_and_words_choose_the_tools() {
    let plain = shown(Mode::Workspace, Sets::NONE, &[], false);
    let usual = listed(&plain, false);
    assert!(usual.contains("wait_for_message") && usual.contains("provision_workspace"));
    assert!(!usual.contains("list_workspaces") && !usual.contains("deprovision_workspace"));
    let with_key = listed(&plain, true);
    assert!(with_key.contains("set_secret") && with_key.contains("wait_for_message"));
    assert!(!with_key.contains("set_org_secret"));

    let managing = listed(&shown(Mode::Management, Sets::NONE, &[], false), false);
    assert_eq!(managing, names(MANAGEMENT));
    let operating = listed(&shown(Mode::Operating, Sets::NONE, &[], false), true);
    assert_eq!(
        operating,
        &names(OPS) | &names(LATER),
        "what the TypeScript server had, without a workspace"
    );
    let own = listed(&shown(Mode::Own, Sets::NONE, &[], false), true);
    assert_eq!(own, BTreeSet::from(OWN));

    let named = listed(&shown(Mode::Workspace, Sets::AGENT, &["set_secret"], false), false);
    assert!(named.contains("set_secret") && named.contains("inbox_pop") && !named.contains("delete_secret"));
    let narrowed = listed(&shown(Mode::Management, Sets::NONE, &["list_workspaces"], false), false);
    assert_eq!(narrowed, BTreeSet::from(["list_workspaces"]));

    let all = Sets::named("all").unwrap();
    let reading = listed(&shown(Mode::Workspace, all, &[], true), true);
    let faces = Catalogue::new().faces();
    let readers: BTreeSet<_> = faces
        .iter()
        .filter(|face| !face.effect.writes())
        .map(|face| face.name)
        .collect();
    assert_eq!(reading, readers);
}

#[test]
fn a_word_that_means_nothing_here_is_a_problem() {
    let catalogue = Catalogue::new();
    let check = |mode, sets, tools: &[&str]| catalogue.check(&shown(mode, sets, tools, false)).is_ok();
    let all = Sets::named("all").unwrap();
    assert!(check(Mode::Workspace, Sets::NONE, &["list_workspaces"]));
    assert!(check(Mode::Management, all, &[]) && check(Mode::Management, Sets::MANAGEMENT, &["set_org_secret"]));
    assert!(!check(Mode::Workspace, Sets::NONE, &["lst_workspaces"]));
    assert!(!check(Mode::Management, Sets::NONE, &["set_secret"]));
    assert!(!check(Mode::Management, Sets::AGENT, &[]));
    assert!(
        check(Mode::Operating, Sets::MANAGEMENT, &["list_peers"])
            && !check(Mode::Operating, Sets::NONE, &["inbox_pop"])
    );
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
    let faces = Catalogue::new().faces();
    let definitions: Vec<Value> = faces.iter().map(|face| json!(face.definition())).collect();
    for (tool, face) in definitions.iter().zip(&faces) {
        let name = face.name;
        assert!(
            name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) && name.len() <= 40,
            "{name}"
        );
        let description = tool["description"].as_str().unwrap();
        assert!(
            (20..=300).contains(&description.len()),
            "{name}: {} bytes",
            description.len()
        );
        let hints = &tool["annotations"];
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(hints[hint].is_boolean(), "{name} {hint}");
        }
        for key in ["inputSchema", "outputSchema"] {
            let schema = &tool[key];
            assert_eq!(schema["type"], "object", "{name} {key}");
            assert!(schema["properties"].is_object(), "{name} {key}");
            for choice in ["anyOf", "oneOf", "allOf", "$ref", "$defs"] {
                assert!(schema.get(choice).is_none(), "{name} {key} {choice}");
            }
            walk(schema, &mut |part| {
                for odd in ["$schema", "$ref", "anyOf", "oneOf", "not"] {
                    assert!(part.get(odd).is_none(), "{name} {key} {odd}: {part}");
                }
                assert!(
                    !part.get("format").is_some_and(Value::is_string),
                    "{name} {key}: {part}"
                );
                // A second type only says that null is a value.
                if let Some(Value::Array(types)) = part.get("type") {
                    assert!(types.len() == 2 && types[1] == "null", "{name} {key}: {part}");
                }
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
    let agent = definitions
        .iter()
        .zip(&faces)
        .filter(|(_, face)| face.sets.meet(Sets::AGENT));
    let agent: Vec<_> = agent.map(|(tool, _)| tool).collect();
    let length = serde_json::to_string(&agent).unwrap().len();
    // One page, which a client reads at the start of every conversation.
    assert!(length < 66_000, "{length} bytes");
}

#[tokio::test]
async fn only_tools_of_the_agent_wait_for_the_journal_and_are_told_why_it_never_opens() {
    let platform = Responder::start(vec![Reply::json(200, "{}")]).await;
    let folder = tempfile::tempdir().unwrap();
    let common = Common {
        state_dir: folder.path().to_owned(),
        org_id: None,
        timing: Timing::REAL,
    };
    let public = PublicApi::new(platform.client());
    let health = HealthBoard::default();
    let bench = Workbench {
        agent: Some(Opening {
            workspaces: std::future::pending().boxed(),
            healths: vec![health.clone()],
        }),
        ops: Ops::new(public.clone(), Vec::new(), None, common.clone()),
        shared: Shared::new(public, Vec::new(), None, None, common.clone()),
        management: Management::new(None, common.clone()),
        control: Control::new(None, None, common),
    };
    let usual = shown(Mode::Workspace, Sets::NONE, &[], false);
    let tools = Catalogue::new().finish(&usual, false, bench).ok().unwrap();
    let stop = CancellationToken::new();
    let call = |name: &'static str, arguments: Value| {
        let arguments = arguments.as_object().cloned().unwrap();
        let call = Call::without_client(stop.clone());
        tools
            .call(name, arguments, call)
            .map(|result| result.unwrap().structured_content.unwrap()["error"].clone())
    };
    let wanted = json!({ "name": "alpha", "runtime": "codex", "model": "m-1" });
    assert_eq!(call(ALWAYS, wanted).await, "AUTH_ERROR");
    let mut peeked = std::pin::pin!(call("inbox_peek", json!({})));
    assert!(peeked.as_mut().now_or_never().is_none());
    health.update(|health| {
        health.journal_trouble = Some(Trouble {
            code: "STATE_DIR_UNUSABLE".to_owned(),
            what: String::new(),
            remedy: String::new(),
        });
    });
    stop.cancel();
    assert_eq!(peeked.await, "STATE_DIR_UNUSABLE");
}
