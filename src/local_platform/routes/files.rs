//! Files of a workspace and its stored configuration. There is no container here, so files are kept as a volume of the
//! platform's own would keep them, below one root.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::agents::known;
use crate::local_platform::call::{Answer, Call, Outcome};

const KIND: &str = "file";
const CONFIG: &str = "config";
const ROOTS: [&str; 4] = ["/configs", "/workspace", "/home", "/plugins"];
const MOST: usize = 200;
const LARGEST_CONFIG: usize = 256 * 1024;

/// What is in a folder, down to some depth.
pub(crate) fn list(call: &Call) -> Outcome {
    let root = root(call)?;
    let folder = call.query("path").unwrap_or_default();
    if !folder.is_empty() && !is_relative(folder) {
        return Err(Answer::error(400, "invalid path"));
    }
    let depth = call.query("depth").map_or(Some(1), |depth| depth.parse().ok());
    let depth = depth.filter(|depth| (1..=5).contains(depth));
    let depth: usize = depth.ok_or_else(|| Answer::error(400, "depth must be 1-5"))?;
    known(call, &call.id, "workspace not found")?;
    let (mut folders, mut files) = (BTreeSet::new(), Vec::new());
    for file in call.site.store.resources(KIND, &call.id)? {
        let path = file["path"].as_str().unwrap_or_default();
        let below = match folder {
            "" => Some(path),
            folder => path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(below) = below.filter(|_| root == ROOTS[0]) else {
            continue;
        };
        let slashes: Vec<usize> = below.match_indices('/').map(|(at, _)| at).collect();
        folders.extend(slashes.iter().take(depth).map(|at| below[..*at].to_owned()));
        if slashes.len() < depth {
            let size = file["content"].as_str().unwrap_or_default().len();
            files.push(json!({ "path": below, "size": size, "dir": false }));
        }
    }
    let folders = folders
        .into_iter()
        .map(|path| json!({ "path": path, "size": 0, "dir": true }));
    files.extend(folders);
    files.sort_by_key(|file| file["path"].as_str().unwrap_or_default().to_owned());
    Ok(Answer::ok(&files))
}

/// One file.
pub(crate) fn read(call: &Call) -> Outcome {
    let root = root(call)?;
    let path = path(call)?;
    known(call, &call.id, "workspace not found")?;
    let file = match root == ROOTS[0] {
        true => call.site.store.resource(KIND, &call.id, path)?,
        false => None,
    };
    let file = file.ok_or_else(|| Answer::error(404, "file not found (container offline, no template)"))?;
    let size = file["content"].as_str().unwrap_or_default().len();
    Ok(Answer::ok(
        &json!({ "path": path, "content": file["content"], "size": size }),
    ))
}

/// Writes one file.
pub(crate) fn write(call: &Call) -> Outcome {
    let path = path(call)?;
    let sent: Value = call.json("invalid request body")?;
    let content = sent["content"].as_str();
    let content = content.ok_or_else(|| Answer::error(400, "invalid request body"))?;
    known(call, &call.id, "workspace not found")?;
    keep(call, path, content)?;
    Ok(Answer::ok(&json!({ "status": "saved", "path": path })))
}

/// At every level the real one takes the slash before the path for its beginning, and refuses.
pub(crate) fn delete(_: &Call) -> Outcome {
    Err(Answer::error(400, "absolute paths not permitted"))
}

#[derive(Deserialize)]
struct Files {
    files: BTreeMap<String, String>,
}

/// Writes many files, and leaves all others alone.
pub(crate) fn replace(call: &Call) -> Outcome {
    let sent: Files = call.json("invalid request body")?;
    let count = sent.files.len();
    if count > MOST {
        return Err(Answer::error(400, &format!("too many files ({count}), max {MOST}")));
    }
    if !sent.files.keys().all(|path| is_relative(path)) {
        return Err(Answer::error(400, "invalid request body"));
    }
    let workspace = known(call, &call.id, "workspace not found")?;
    for (path, content) in &sent.files {
        keep(call, path, content)?;
    }
    Ok(Answer::ok(
        &json!({ "status": "replaced", "workspace": workspace.name, "files": count, "source": "volume" }),
    ))
}

/// The files that are shared with those below (level A): none are marked so here.
pub(crate) fn shared(call: &Call) -> Outcome {
    if call.site.level > crate::local_platform::server::Level::A {
        return Err(Answer::no_route());
    }
    Ok(Answer::ok(&json!([])))
}

/// The stored configuration.
pub(crate) fn config(call: &Call) -> Outcome {
    let held = call.site.store.resource(CONFIG, &call.id, "")?;
    Ok(Answer::ok(&json!({ "data": held.unwrap_or_else(|| json!({})) })))
}

/// Changes fields of it.
pub(crate) fn patch_config(call: &Call) -> Outcome {
    if call.body.len() > LARGEST_CONFIG {
        return Err(Answer::error(413, "body too large or unreadable"));
    }
    let sent: Map<String, Value> = call.json("invalid JSON")?;
    known(call, &call.id, "failed to update config").map_err(|refusal| Answer { status: 500, ..refusal })?;
    let held = call.site.store.resource(CONFIG, &call.id, "")?;
    let mut held: Map<String, Value> = held.and_then(|held| held.as_object().cloned()).unwrap_or_default();
    held.extend(sent);
    call.site
        .store
        .put_resource(CONFIG, &call.id, "", &Value::Object(held))?;
    Ok(Answer::ok(&json!({ "status": "updated" })))
}

fn keep(call: &Call, path: &str, content: &str) -> Result<(), Answer> {
    let file = json!({ "path": path, "content": content });
    Ok(call.site.store.put_resource(KIND, &call.id, path, &file)?)
}

fn root(call: &Call) -> Result<&str, Answer> {
    let root = call.query("root").unwrap_or(ROOTS[0]);
    if ROOTS.contains(&root) {
        return Ok(root);
    }
    let refusal = format!("root must be one of: {}", ROOTS.join(", "));
    Err(Answer::error(400, &refusal))
}

fn path(call: &Call) -> Result<&str, Answer> {
    let path = call.second.as_str();
    is_relative(path)
        .then_some(path)
        .ok_or_else(|| Answer::error(400, "invalid path"))
}

fn is_relative(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && path.split('/').all(|part| part != "..")
}
