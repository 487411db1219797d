//! Plugins. This platform has none, and no container to put one into; an organization can still say which it would allow.

use serde_json::{Value, json};

use super::agents::known;
use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::clock;
use crate::local_platform::server::Level;

const ALLOWED: &str = "allowed_plugin";

/// The catalogue, or what a workspace has, or could have: nothing.
pub(crate) fn none(_: &Call) -> Outcome {
    Ok(Answer::ok(&json!([])))
}

/// Where plugins could come from.
pub(crate) fn sources(call: &Call) -> Outcome {
    let schemes: &[&str] = if call.site.level == Level::C {
        &["gitea", "github", "local"]
    } else {
        &["github", "local"]
    };
    Ok(Answer::ok(&json!({ "schemes": schemes })))
}

/// Without a container everything is compatible.
pub(crate) fn compatibility(call: &Call) -> Outcome {
    let runtime = call.query("runtime");
    let runtime = runtime.ok_or_else(|| Answer::error(400, "runtime query parameter is required"))?;
    Ok(Answer::ok(
        &json!({ "target_runtime": runtime, "compatible": [], "incompatible": [], "all_compatible": true }),
    ))
}

/// Would need a container.
pub(crate) fn install(call: &Call) -> Outcome {
    not_external(
        call,
        "plugin install via push is not supported for external runtimes",
        "external workspaces pull plugins via GET /workspaces/:id/plugins/:name/download",
    )?;
    let sent: Value = call.json("invalid request body")?;
    let source = sent["source"].as_str().unwrap_or_default();
    let Some((scheme, rest)) = source.split_once("://") else {
        return Err(Answer::error(400, "invalid plugin source"));
    };
    if scheme == "github" && !rest.contains('#') {
        return Err(Answer::error(
            422,
            "github sources must be pinned to a tag or commit (#ref)",
        ));
    }
    let name = rest
        .split('#')
        .next()
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    let allowed = call
        .site
        .store
        .resources(ALLOWED, &call.site.store.root_of(&call.id)?)?;
    if !allowed.is_empty() && !allowed.iter().any(|row| row["plugin_name"] == name) {
        let refusal = format!("plugin {name:?} is not in the org allowlist");
        return Err(Answer::error(403, &refusal));
    }
    Err(Answer::error(503, "workspace container not running"))
}

/// Would need a container.
pub(crate) fn uninstall(call: &Call) -> Outcome {
    not_external(
        call,
        "plugin uninstall via docker exec is not supported for external runtimes",
        "external workspaces manage their own plugin directory; remove it locally",
    )?;
    Err(Answer::error(503, "workspace container not running"))
}

fn not_external(call: &Call, error: &str, hint: &str) -> Result<(), Answer> {
    let workspace = known(call, &call.id, "workspace not found")?;
    if call.site.level > Level::A && workspace.is_external() {
        return Err(Answer::json(422, &json!({ "error": error, "hint": hint })));
    }
    Ok(())
}

/// What has changed at its source since it was installed. The real one writes an empty list so.
pub(crate) fn updates(_: &Call) -> Outcome {
    Ok(Answer::ok(&Value::Null))
}

/// Nothing waits to be applied.
pub(crate) fn apply_update(call: &Call) -> Outcome {
    Err(Answer::error(404, &format!("queue entry {} not found", call.id)))
}

/// What an organization allows; its id is that of a root workspace.
pub(crate) fn allowlist(call: &Call) -> Outcome {
    organization(call)?;
    let plugins = call.site.store.resources(ALLOWED, &call.id)?;
    Ok(Answer::ok(
        &json!({ "org_id": call.id, "allow_all": plugins.is_empty(), "plugins": plugins }),
    ))
}

/// Replaces what it allows.
pub(crate) fn set_allowlist(call: &Call) -> Outcome {
    let sent: Value = call.json("invalid request body")?;
    let by = sent["enabled_by"].as_str().filter(|by| !by.is_empty());
    let by = by.ok_or_else(|| Answer::error(400, "enabled_by is required"))?;
    let names: Vec<String> =
        serde_json::from_value(sent["plugins"].clone()).map_err(|_| Answer::error(400, "invalid request body"))?;
    if let Some(wrong) = names
        .iter()
        .find(|name| name.contains(['/', '\\']) || name.contains(".."))
    {
        let detail = "invalid plugin name: must not contain path separators or '..'";
        return Err(Answer::json(
            400,
            &json!({ "error": "invalid plugin name", "plugin_name": wrong, "detail": detail }),
        ));
    }
    organization(call)?;
    let store = &call.site.store;
    for old in store.resources(ALLOWED, &call.id)? {
        store.delete_resource(ALLOWED, &call.id, old["plugin_name"].as_str().unwrap_or_default())?;
    }
    let now = clock::text(clock::now());
    for name in &names {
        let row = json!({ "plugin_name": name, "enabled_by": by, "enabled_at": now });
        store.put_resource(ALLOWED, &call.id, name, &row)?;
    }
    Ok(Answer::ok(
        &json!({ "org_id": call.id, "plugins": names, "allow_all": names.is_empty() }),
    ))
}

fn organization(call: &Call) -> Result<(), Answer> {
    match known(call, &call.id, "org not found")?.parent_id {
        None => Ok(()),
        Some(_) => Err(Answer::error(404, "org not found")),
    }
}
