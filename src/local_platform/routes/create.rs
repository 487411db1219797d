//! Making workspaces.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{connect, org, registry, secrets};
use crate::local_platform::call::{Answer, Call, Outcome, uuid};
use crate::local_platform::server::Level;
use crate::local_platform::store::tokens::TokenKind;
use crate::local_platform::store::workspaces::Workspace;

/// Suffixes tried when a name is taken: ` (2)` to ` (21)`.
const LAST_SUFFIX: u32 = 21;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Create {
    name: Option<String>,
    role: Option<String>,
    tier: Option<i64>,
    model: Option<String>,
    runtime: Option<String>,
    template: Option<String>,
    workspace_dir: Option<String>,
    workspace_access: Option<String>,
    external: Option<bool>,
    url: Option<String>,
    delivery_mode: Option<String>,
    parent_id: Option<String>,
    budget_limit: Option<i64>,
    max_concurrent_tasks: Option<i64>,
}

/// Creates a workspace: external ones wait for their agent; others fail, since there is nothing here to run them.
pub(crate) fn create(call: &Call) -> Outcome {
    let sent: Create = call.json("invalid workspace payload")?;
    let name = sent.name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Answer::error(400, "invalid workspace payload"))?;
    let fields = [
        (Some(&name), 255, true),
        (sent.role.as_ref(), 1000, true),
        (sent.model.as_ref(), 100, false),
        (sent.runtime.as_ref(), 100, false),
    ];
    if fields
        .into_iter()
        .any(|(text, most, strict)| text.is_some_and(|text| field_problem(text, most, strict).is_some()))
    {
        return Err(Answer::error(400, "invalid workspace fields"));
    }
    let url = sent.url.filter(|url| !url.is_empty());
    if let Some(Err(rule)) = url.as_deref().map(registry::check_url) {
        return Err(Answer::error(400, &format!("unsafe workspace URL: {rule}")));
    }
    let mode = sent
        .delivery_mode
        .filter(|mode| !mode.is_empty())
        .unwrap_or_else(|| "push".to_owned());
    if mode != "push" && mode != "poll" {
        return Err(Answer::error(400, "delivery_mode must be 'push' or 'poll'"));
    }
    let store = &call.site.store;
    let parent_id = match sent.parent_id.filter(|id| !id.is_empty()) {
        None if call.site.level == Level::C => Some(store.concierge()?),
        None => None,
        Some(id) => {
            let parent = uuid(&id).map(|id| store.workspace(&id)).transpose()?.flatten();
            Some(
                parent
                    .ok_or_else(|| Answer::error(500, "failed to create workspace"))?
                    .id,
            )
        }
    };
    let asked = sent.runtime.filter(|runtime| !runtime.is_empty());
    let own_compute = ["external", "kimi", "kimi-cli"].map(Some);
    let known = if call.site.level == Level::C {
        &own_compute[..]
    } else {
        &own_compute[..1]
    };
    let external = sent.external == Some(true) || known.contains(&asked.as_deref());
    let template = sent.template.filter(|template| !template.is_empty());
    let model = sent.model.filter(|model| !model.is_empty());
    let runtime = match external {
        true => asked,
        false => Some(resolved(call.site.level, asked, template.as_deref(), model.as_deref())?),
    };
    let access = sent.workspace_access.unwrap_or_else(|| "none".to_owned());
    if !["none", "read_only", "read_write"].contains(&access.as_str())
        || (access != "none" && sent.workspace_dir.is_none())
    {
        return Err(Answer::error(400, "invalid workspace access"));
    }
    if sent
        .workspace_dir
        .as_deref()
        .is_some_and(|dir| !dir.starts_with('/') || dir.contains(".."))
    {
        return Err(Answer::error(400, "invalid workspace directory"));
    }
    let mut workspace = Workspace::new(
        Uuid::new_v4().to_string(),
        free_name(call, &name, parent_id.as_deref())?,
    );
    workspace.role = sent.role.filter(|role| !role.is_empty());
    workspace.tier = sent.tier.filter(|tier| *tier > 0).unwrap_or(workspace.tier);
    workspace.runtime = if external {
        runtime.unwrap_or_else(|| "external".to_owned())
    } else {
        runtime.unwrap_or(workspace.runtime)
    };
    workspace.workspace_dir = sent.workspace_dir;
    workspace.parent_id = parent_id;
    workspace.budget_limit = sent.budget_limit;
    workspace.max_concurrent_tasks = sent.max_concurrent_tasks.filter(|most| *most > 0).unwrap_or(1);
    if call.site.level > Level::A {
        workspace.delivery_mode = mode;
    }
    let id = workspace.id.clone();
    let answer = match (external, url) {
        (true, Some(url)) => {
            workspace.url = Some(url);
            workspace.status = "online".to_owned();
            store.put_workspace(&workspace)?;
            json!({ "id": id, "external": true, "status": "online" })
        }
        (true, None) => {
            // Level A reports a status that its database does not know.
            if call.site.level > Level::A {
                workspace.status = "awaiting_agent".to_owned();
            }
            store.put_workspace(&workspace)?;
            let token = store.mint_token(&id, TokenKind::Instance)?;
            let connection = connect::block(call, &id, &token);
            json!({ "id": id, "external": true, "status": "awaiting_agent", "connection": connection })
        }
        (false, _) => {
            workspace.status = "failed".to_owned();
            workspace.last_sample_error = "this platform has no provisioner".to_owned();
            store.put_workspace(&workspace)?;
            json!({ "id": id, "status": "provisioning", "awareness_namespace": format!("workspace:{id}"),
                "workspace_access": access })
        }
    };
    if let Some(model) = model.filter(|_| call.site.level > Level::A) {
        secrets::keep_model(call, &id, &model)?;
    }
    Ok(Answer::json(201, &answer))
}

/// The runtime of a workspace that the platform runs. Levels A and B believe what is asked, and choose in silence what is
/// not; level C refuses.
fn resolved(
    level: Level,
    asked: Option<String>,
    template: Option<&str>,
    model: Option<&str>,
) -> Result<String, Answer> {
    let templates = org::templates(level);
    let brought = template.and_then(|wanted| templates.iter().find(|(id, _)| *id == wanted));
    if level < Level::C {
        let brought = brought.map(|(_, runtime)| (*runtime).to_owned());
        return Ok(asked.or(brought).unwrap_or_else(|| "langgraph".to_owned()));
    }
    let refusal = |code: &str, error: &str, runtime: Option<&str>| {
        let body = json!({ "error": error, "code": code, "runtime": runtime, "template": template });
        Answer::json(422, &body)
    };
    if template.is_some() && brought.is_none() {
        return Err(refusal("RUNTIME_UNRESOLVED", "the template brings no runtime", None));
    }
    let runtime = asked
        .or_else(|| brought.map(|(_, runtime)| (*runtime).to_owned()))
        .unwrap_or_else(|| "claude-code".to_owned());
    if !templates.iter().any(|(_, brought)| *brought == runtime) {
        return Err(refusal("RUNTIME_UNSUPPORTED", "unsupported runtime", Some(&runtime)));
    }
    if model.is_none() {
        return Err(refusal("MODEL_REQUIRED", "a model is required", Some(&runtime)));
    }
    Ok(runtime)
}

/// The name itself, or with the first free suffix under the same parent.
fn free_name(call: &Call, name: &str, parent: Option<&str>) -> Result<String, Answer> {
    if call.site.level == Level::A {
        return Ok(name.to_owned());
    }
    let all = call.site.store.workspaces()?;
    let taken = |wanted: &str| {
        all.iter()
            .any(|one| !one.is_removed() && one.parent_id.as_deref() == parent && one.name == wanted)
    };
    let candidates =
        std::iter::once(name.to_owned()).chain((2..=LAST_SUFFIX).map(|number| format!("{name} ({number})")));
    candidates
        .into_iter()
        .find(|wanted| !taken(wanted))
        .ok_or_else(|| Answer::error(409, "workspace name already in use; please pick a different name"))
}

/// What is wrong with a text field, as PATCH words it after the field's name.
pub(crate) fn field_problem(text: &str, most_bytes: usize, strict: bool) -> Option<String> {
    if text.contains(['\r', '\n']) {
        Some("must not contain newline characters".to_owned())
    } else if text.len() > most_bytes {
        Some(format!("must be at most {most_bytes} characters"))
    } else if strict && text.contains(|letter| "{}[]|>*&!".contains(letter)) {
        Some("contains invalid characters".to_owned())
    } else {
        None
    }
}
