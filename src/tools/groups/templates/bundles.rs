//! Bundles: a workspace as one object, with prompts, skills and those below it, to be built again elsewhere.

use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::state::secret;
use crate::tools::desk::{Errand, NO_PLATFORM, Shared, Told};
use crate::tools::groups::Groups;
use crate::tools::paging::{LIST_LIMIT, size};
use crate::types::{ResourceId, WorkspaceId};

/// The folder of exported bundles in the state folder.
const FOLDER: &str = "bundles";

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools.shared.add::<ExportBundle>().add::<ImportBundle>();
}

/// Export a workspace, with those below it, as one object for import_bundle. A large one is written to a file that only its
/// owner can read, and its path is returned.
#[derive(Deserialize, JsonSchema)]
struct ExportBundle {
    workspace_id: WorkspaceId,
    /// Write it to a file even when it is small.
    to_file: Option<bool>,
}

impl Tool<Shared> for ExportBundle {
    const NAME: &'static str = "export_bundle";
    const EFFECT: Effect = Effect::READ;
    type Output = Told;

    async fn call(self, desk: &Shared, call: &Call) -> Result<Told, ToolError> {
        let errand = desk.errand(Self::NAME, call);
        let path = ["bundles".into(), "export".into(), (&self.workspace_id).into()];
        let reply = errand.send(&Order::admin(Get, path).patient()).await?;
        let bundle = reply.object(NO_PLATFORM)?;
        if self.to_file != Some(true) && size(&bundle) <= LIST_LIMIT {
            return Ok(Told(bundle));
        }
        let (id, name) = (short(&bundle, "id"), short(&bundle, "name"));
        let folder = errand.common().state_dir.join(FOLDER);
        let file = format!("{}.bundle.json", self.workspace_id);
        let text = Value::Object(bundle).to_string();
        let bytes = text.len();
        let written = tokio::task::spawn_blocking(move || write(&folder, &file, &text)).await;
        let written = written.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        let path = written.map_err(|error| {
            ToolError::failed(
                "STATE_UNAVAILABLE",
                format!("the bundle could not be written to a file ({})", error.kind()),
                "check free space and permissions of the state folder (CONFIGS_DIR), then try again",
            )
        })?;
        let told = json!({ "bundle_file": path.display().to_string(), "bytes": bytes, "id": id, "name": name });
        Ok(Told(told.as_object().cloned().unwrap_or_default()))
    }
}

/// A text that names the bundle; long ones name nothing.
fn short(bundle: &Map<String, Value>, name: &str) -> Option<String> {
    let text = bundle.get(name).and_then(Value::as_str);
    text.filter(|text| text.len() <= 1000).map(str::to_owned)
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let mut making = std::fs::DirBuilder::new();
    making.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut making, 0o700);
    making.create(folder)?;
    secret::replace(folder, name, text.as_bytes())?;
    Ok(folder.join(name))
}

/// Build a workspace, and those below it, from what export_bundle gave.
#[derive(Deserialize, JsonSchema)]
struct ImportBundle {
    /// The object. This or bundle_file.
    bundle: Option<Map<String, Value>>,
    /// The file that export_bundle wrote on this computer, its path or name. This or bundle.
    bundle_file: Option<String>,
}

impl Tool<Shared> for ImportBundle {
    const NAME: &'static str = "import_bundle";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Shared, call: &Call) -> Result<Told, ToolError> {
        let errand = desk.errand(Self::NAME, call);
        let bundle = match (self.bundle, self.bundle_file) {
            (Some(bundle), None) => bundle,
            (None, Some(file)) => read(&errand, &file).await?,
            _ => {
                let rule = "or `bundle_file` is required, and not both";
                return Err(ToolError::argument("bundle", rule));
            }
        };
        let name = bundle.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.trim().is_empty() {
            return Err(ToolError::argument("bundle", "must have a name"));
        }
        let order = Order::admin(Post, ["bundles".into(), "import".into()]).body(Value::Object(bundle));
        let reply = errand.send(&order.patient()).await?;
        match reply.body {
            Value::Object(imported) if !has_failed(&imported) => Ok(Told(imported)),
            result => {
                let is_whole = result["status"] == "failed" || !result.is_object();
                let code = if is_whole { "IMPORT_FAILED" } else { "PARTIALLY_DONE" };
                Err(ToolError::failed(
                    code,
                    "the platform took the bundle, and could not build all of it",
                    "result tells why, and which workspaces there are now: delete those that are of no use",
                )
                .with("status", reply.status)
                .with("result", result))
            }
        }
    }
}

/// Whether something of an import failed. Platforms answer 201 all the same.
fn has_failed(imported: &Map<String, Value>) -> bool {
    let children = imported.get("children").and_then(Value::as_array);
    let children = children.into_iter().flatten().filter_map(Value::as_object);
    imported.get("status").is_some_and(|status| status == "failed") || children.into_iter().any(has_failed)
}

/// A bundle that was exported here. No other file can be read this way, for it would be sent to the platform.
async fn read(errand: &Errand<'_>, file: &str) -> Result<Map<String, Value>, ToolError> {
    let refusal = || ToolError::argument("bundle_file", "must be a file that export_bundle wrote");
    let folder = errand.common().state_dir.join(FOLDER);
    let given = Path::new(file);
    let is_here = given
        .parent()
        .is_some_and(|parent| parent == Path::new("") || parent == folder);
    let name = given.file_name().and_then(|name| name.to_str()).filter(|_| is_here);
    let name = ResourceId::parse(name.ok_or_else(refusal)?).map_err(|_| refusal())?;
    let path = folder.join(name.as_str());
    let read = tokio::task::spawn_blocking(move || match std::fs::symlink_metadata(&path)?.is_file() {
        true => std::fs::read(path),
        false => Err(io::ErrorKind::InvalidInput.into()),
    });
    let text = read.await.map_err(|_| ToolError::Internal)?.map_err(|_| refusal())?;
    serde_json::from_slice(&text).map_err(|_| refusal())
}

#[cfg(test)]
mod tests {
    use crate::platform::testing::Reply;
    use crate::tools::groups::testing::{Bench, Keys, WS, exchange, refused};
    use serde_json::{Value, json};

    fn bundle(prompt: &str) -> Value {
        json!({ "schema": "1", "id": WS, "name": "n", "tier": 1, "system_prompt": prompt, "sub_workspaces": [] })
    }

    #[tokio::test]
    async fn a_small_bundle_is_the_result() {
        let seen = exchange("export_bundle", json!({ "workspace_id": WS }), 200, bundle("p")).await;
        assert_eq!(
            (seen.line, seen.bearer.as_str()),
            (format!("GET /bundles/export/{WS}"), "api-key")
        );
        assert_eq!(seen.result, bundle("p"));
        let seen = exchange(
            "import_bundle",
            json!({ "bundle": bundle("p") }),
            201,
            json!({ "workspace_id": "w" }),
        )
        .await;
        assert_eq!(
            (seen.line.as_str(), seen.body),
            ("POST /bundles/import", Some(bundle("p")))
        );
    }

    #[tokio::test]
    async fn a_large_bundle_goes_through_a_file_unchanged() {
        let large = bundle(&"p".repeat(100_000));
        let replies = vec![
            Reply::json(200, &large.to_string()),
            Reply::json(
                201,
                &json!({ "workspace_id": "w", "name": "n", "status": "provisioning" }).to_string(),
            ),
        ];
        let bench = Bench::new(replies, Keys::All).await;
        let told = bench.call("export_bundle", json!({ "workspace_id": WS })).await;
        let path = std::path::PathBuf::from(told["bundle_file"].as_str().unwrap());
        assert_eq!(
            (&told["name"], path.parent().unwrap()),
            (&json!("n"), bench.folder().join("bundles").as_path())
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        for file in [path.to_str().unwrap(), path.file_name().unwrap().to_str().unwrap()] {
            let done = bench.call("import_bundle", json!({ "bundle_file": file })).await;
            assert_eq!(done["workspace_id"], "w", "{done}");
            assert_eq!(bench.platform.seen().last().unwrap().json(), large);
        }
    }

    #[tokio::test]
    async fn what_the_platform_calls_created_may_be_a_failure() {
        let failed = json!({ "workspace_id": "w", "name": "n", "status": "failed", "error": "no image" });
        let child = json!({ "workspace_id": "w", "status": "provisioning", "children": [failed] });
        for (answer, code) in [(failed, "IMPORT_FAILED"), (child, "PARTIALLY_DONE")] {
            let seen = exchange("import_bundle", json!({ "bundle": bundle("") }), 201, answer.clone()).await;
            assert_eq!((&seen.result["error"], &seen.result["result"]), (&json!(code), &answer));
        }
    }

    #[tokio::test]
    async fn no_other_file_is_sent_to_the_platform() {
        let bench = Bench::new(vec![Reply::json(201, "{}")], Keys::All).await;
        let folder = bench.folder();
        std::fs::create_dir(folder.join("bundles")).unwrap();
        std::fs::write(folder.join("outside.json"), bundle("").to_string()).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.join("outside.json"), folder.join("bundles/link.json")).unwrap();
        let outside = folder.join("outside.json").display().to_string();
        for file in [
            outside.as_str(),
            "../outside.json",
            "link.json",
            "..",
            "",
            "absent.json",
            "/etc/passwd",
        ] {
            let told = bench.call("import_bundle", json!({ "bundle_file": file })).await;
            assert_eq!(told["error"], "INVALID_ARGUMENT", "{file}");
        }
        assert!(bench.lines().is_empty());
    }

    #[tokio::test]
    async fn what_the_platform_would_refuse_is_not_sent() {
        for arguments in [
            json!({}),
            json!({ "bundle": {} }),
            json!({ "bundle": { "name": " " } }),
            json!({ "bundle": { "name": "n" }, "bundle_file": "n" }),
        ] {
            assert_eq!(
                refused("import_bundle", arguments.clone()).await,
                "INVALID_ARGUMENT",
                "{arguments}"
            );
        }
    }
}
