//! Building from what others made: templates of workspaces and organizations, and bundles.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::org;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::server::Level;
use crate::local_platform::store::workspaces::Workspace;

const TEMPLATE: &str = "template";
const MOST_FILES: usize = 200;
const BAD_BODY: &str = "invalid request body";

/// Templates that were added here, as rows of the list of all.
pub(crate) fn added_templates(call: &Call) -> Result<Vec<Value>, Answer> {
    Ok(call.site.store.resources(TEMPLATE, "")?)
}

#[derive(Deserialize)]
struct NewTemplate {
    name: String,
    files: BTreeMap<String, String>,
}

/// Adds a template of a workspace.
pub(crate) fn import_template(call: &Call) -> Outcome {
    let sent: NewTemplate = call.json(BAD_BODY)?;
    let id: String = sent
        .name
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .collect();
    if sent.name.is_empty() || sent.files.is_empty() {
        return Err(Answer::error(400, BAD_BODY));
    }
    if sent.files.len() > MOST_FILES {
        let told = format!("too many files ({}), max {MOST_FILES}", sent.files.len());
        return Err(Answer::error(400, &told));
    }
    let is_built_in = org::templates(call.site.level).iter().any(|(known, _)| *known == id);
    if is_built_in || call.site.store.resource(TEMPLATE, "", &id)?.is_some() {
        return Err(Answer::json(
            409,
            &json!({ "error": "template already exists", "id": id }),
        ));
    }
    let config = sent.files.get("config.yaml").map(String::as_str).unwrap_or_default();
    let runtime = config.lines().find_map(|line| line.strip_prefix("runtime:"));
    let row = org::template_row(&id, runtime.map_or("claude-code", str::trim));
    call.site.store.put_resource(TEMPLATE, "", &id, &row)?;
    Ok(Answer::json(
        201,
        &json!({ "status": "imported", "id": id, "name": sent.name }),
    ))
}

/// The one template of an organization that comes with it.
fn pair() -> Value {
    json!({ "name": "Pair", "description": "A lead and a helper.", "required_env": ["PAIR_KEY"],
        "workspaces": [{ "name": "Lead", "children": [{ "name": "Helper" }] }] })
}

/// The templates of organizations.
pub(crate) fn org_templates(_: &Call) -> Outcome {
    let pair = pair();
    Ok(Answer::ok(
        &json!([{ "dir": "pair", "name": pair["name"], "description": pair["description"], "workspaces": 2,
            "required_env": pair["required_env"], "recommended_env": [] }]),
    ))
}

#[derive(Deserialize)]
struct Import {
    #[serde(default)]
    dir: String,
    #[serde(default)]
    template: Value,
    #[serde(default)]
    mode: String,
}

/// Builds an organization. What is there under its name and parent is left alone; level C may remove what bears a name of
/// the template elsewhere.
pub(crate) fn import_org(call: &Call) -> Outcome {
    let sent: Import = call.json(BAD_BODY)?;
    let template = match (sent.dir.as_str(), sent.template) {
        ("pair", _) => pair(),
        ("", template) if template["workspaces"].is_array() => template,
        ("", _) => return Err(Answer::error(400, "provide 'dir' or 'template'")),
        _ => return Err(Answer::error(404, "org template not found")),
    };
    let secrets = call.site.store.resources(super::secrets::KIND, "")?;
    let is_set = |key: &&Value| secrets.iter().any(|secret| secret["key"] == **key);
    let required = template["required_env"].as_array().cloned().unwrap_or_default();
    let missing: Vec<_> = required.iter().filter(|key| !is_set(key)).collect();
    if !missing.is_empty() {
        return Err(Answer::json(
            412,
            &json!({ "error": "missing required environment variables", "missing_env": missing, "required_env": required,
                "template": template["name"], "suggestion": "set these as global secrets before importing" }),
        ));
    }
    let mut built = Vec::new();
    let mut failure = None;
    for wanted in template["workspaces"].as_array().into_iter().flatten() {
        if let Err(why) = tree(call, wanted, None, &mut built)? {
            failure = Some(why);
            break;
        }
    }
    let mut answer = json!({ "org": template["name"], "count": built.len() });
    if sent.mode == "reconcile" && call.site.level == Level::C && failure.is_none() {
        answer["mode"] = json!("reconcile");
        answer["reconcile_removed_count"] = json!(remove_namesakes(call, &built)?);
    }
    answer["workspaces"] = json!(built);
    match failure {
        Some(why) => {
            answer["error"] = json!(why);
            Ok(Answer::json(207, &answer))
        }
        None => Ok(Answer::json(201, &answer)),
    }
}

/// One workspace and those below it; the inner error ends the building.
fn tree(
    call: &Call,
    wanted: &Value,
    parent: Option<&str>,
    built: &mut Vec<Value>,
) -> Result<Result<(), String>, Answer> {
    let Some(name) = wanted["name"].as_str().filter(|name| !name.is_empty()) else {
        return Ok(Err("a workspace of the template has no name".to_owned()));
    };
    let all = call.site.store.workspaces()?;
    let there = all
        .iter()
        .find(|one| !one.is_removed() && one.name == name && one.parent_id.as_deref() == parent);
    let mut row = json!({ "name": name, "tier": 3 });
    let id = match there {
        Some(there) => {
            row["skipped"] = json!(true);
            there.id.clone()
        }
        None => make(call, name, parent.map(str::to_owned))?,
    };
    row["id"] = json!(id);
    built.push(row);
    for child in wanted["children"].as_array().into_iter().flatten() {
        if let Err(why) = tree(call, child, Some(&id), built)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

fn make(call: &Call, name: &str, parent_id: Option<String>) -> Result<String, Answer> {
    let workspace = Workspace {
        parent_id,
        ..Workspace::new(Uuid::new_v4().to_string(), name.to_owned())
    };
    call.site.store.put_workspace(&workspace)?;
    let told = json!({ "workspace_id": workspace.id, "name": name });
    call.site.record(&workspace.id, "WORKSPACE_PROVISIONING", &told);
    Ok(workspace.id)
}

fn remove_namesakes(call: &Call, built: &[Value]) -> Result<usize, Answer> {
    let mut removed = 0;
    for one in call.site.store.workspaces()? {
        let is_built = built.iter().any(|row| row["id"] == one.id.as_str());
        let is_namesake = built.iter().any(|row| row["name"] == one.name.as_str());
        if is_namesake && !is_built && !one.is_removed() {
            let below = call.site.store.descendants(&one.id)?;
            super::workspaces::remove(call, std::iter::once(&one).chain(&below), false)?;
            removed += 1 + below.len();
        }
    }
    Ok(removed)
}

/// A workspace as a bundle. There is no runtime here whose files could be in it.
pub(crate) fn export_bundle(call: &Call) -> Outcome {
    let workspace = call.site.store.workspace(&call.id)?.filter(|one| !one.is_removed());
    let workspace = workspace.ok_or_else(|| Answer::error(404, "bundle not found"))?;
    Ok(Answer::ok(&bundle(&workspace, &call.site.store.workspaces()?)))
}

fn bundle(workspace: &Workspace, all: &[Workspace]) -> Value {
    let below = all
        .iter()
        .filter(|one| one.parent_id.as_ref() == Some(&workspace.id) && !one.is_removed());
    let below: Vec<_> = below.map(|one| bundle(one, all)).collect();
    json!({ "schema": "1.0", "id": workspace.id, "name": workspace.name,
        "description": workspace.role.as_deref().unwrap_or_default(), "tier": workspace.tier, "model": "",
        "system_prompt": "", "skills": [], "tools": [], "prompts": {}, "sub_workspaces": below,
        "agent_card": workspace.agent_card, "author": "", "version": "1.0.0" })
}

/// Builds from a bundle. What cannot be built is told inside of an answer that says created.
pub(crate) fn import_bundle(call: &Call) -> Outcome {
    let sent: Value = call.json("invalid bundle")?;
    if sent["name"].as_str().is_none_or(|name| name.trim().is_empty()) {
        return Err(Answer::error(400, "bundle name is required"));
    }
    Ok(Answer::json(201, &imported(call, &sent, None)?))
}

fn imported(call: &Call, bundle: &Value, parent: Option<String>) -> Result<Value, Answer> {
    let name = bundle["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        return Ok(json!({ "workspace_id": "", "name": "", "status": "failed", "error": "bundle name is required" }));
    }
    let id = make(call, name, parent)?;
    let mut result = json!({ "workspace_id": id, "name": name, "status": "provisioning" });
    let below = bundle["sub_workspaces"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if !below.is_empty() {
        let children: Result<Vec<_>, Answer> = below.iter().map(|one| imported(call, one, Some(id.clone()))).collect();
        result["children"] = json!(children?);
    }
    Ok(result)
}
