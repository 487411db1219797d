//! Templates, of workspaces and of whole organizations.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Groups;
use super::workspaces::given;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Post};
use crate::tools::desk::confirm::Unasked;
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{Errand, Management, Ops, Shared, Told};
use crate::types::FilePath;

mod bundles;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .shared
        .plain::<ListTemplates>()
        .plain::<ListOrgTemplates>()
        .plain::<ImportTemplate>();
    tools.ops.add::<ImportOrg>();
    tools.management.add::<CreateOrgFromTemplate>();
    bundles::register(tools);
}

/// List the templates that workspaces can be made of: id, name, runtime, model, skills.
#[derive(Deserialize, JsonSchema)]
struct ListTemplates {}

impl Plain<Shared> for ListTemplates {
    const NAME: &'static str = "list_templates";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("templates");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["templates".into()]).into())
    }
}

/// List the templates of whole organizations: dir, name, how many workspaces, which secrets they need. One with a reason is
/// broken and cannot be used.
#[derive(Deserialize, JsonSchema)]
struct ListOrgTemplates {}

impl Plain<Shared> for ListOrgTemplates {
    const NAME: &'static str = "list_org_templates";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("templates");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::admin(Get, ["org".into(), "templates".into()]).into())
    }
}

/// Add a template for workspaces, made of these files (config.yaml, prompts, skills).
#[derive(Deserialize, JsonSchema)]
struct ImportTemplate {
    /// Display name; the id is made of it.
    name: String,
    /// Content by relative path, 200 files at most.
    files: BTreeMap<String, String>,
}

impl Plain<Shared> for ImportTemplate {
    const NAME: &'static str = "import_template";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        if self.name.trim().is_empty() {
            return Err(ToolError::argument("name", "must not be empty"));
        }
        if self.files.is_empty() || self.files.len() > 200 {
            return Err(ToolError::argument("files", "must be 1 to 200 files"));
        }
        if self.files.keys().any(|path| FilePath::parse(path).is_err()) {
            return Err(ToolError::argument(
                "files",
                "must be named by relative paths such as skills/review.md, without empty or dot parts",
            ));
        }
        let order = Order::admin(Post, ["templates".into(), "import".into()]);
        let order = order.body(json!({ "name": self.name, "files": self.files }));
        Ok(Plan::from(order).advising(
            409,
            "there is a template of this id already (see body): choose another name",
        ))
    }
}

/// Build a whole organization, all its workspaces, from a template of list_org_templates. Workspaces that are there already
/// are left alone.
#[derive(Deserialize, JsonSchema)]
struct ImportOrg {
    /// dir of the template, as list_org_templates shows it.
    dir: FilePath,
}

impl Tool<Ops> for ImportOrg {
    const NAME: &'static str = "import_org";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        build(&desk.errand(Self::NAME, call), json!({ "dir": self.dir })).await
    }
}

/// Build a whole organization from a template. With mode reconcile, workspaces elsewhere that bear a name of the template are
/// deleted afterwards, with all below them: the person is asked, or confirm must be true.
#[derive(Deserialize, JsonSchema)]
struct CreateOrgFromTemplate {
    /// dir of the template, as list_org_templates shows it. This or template.
    dir: Option<FilePath>,
    /// The template itself. This or dir.
    template: Option<Map<String, Value>>,
    /// merge (the default) leaves what is there alone; reconcile also deletes.
    mode: Option<Mode>,
    /// Yes, delete what reconcile deletes.
    confirm: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Merge,
    Reconcile,
}

impl Tool<Management> for CreateOrgFromTemplate {
    const NAME: &'static str = "create_org_from_template";
    const EFFECT: Effect = Effect::DESTROY;
    type Output = Told;

    async fn call(self, desk: &Management, call: &Call) -> Result<Told, ToolError> {
        if self.dir.is_some() == self.template.is_some() {
            return Err(ToolError::argument("dir", "or `template` is required, and not both"));
        }
        let errand = desk.errand(Self::NAME, call);
        if self.mode == Some(Mode::Reconcile) {
            errand.has_door(&import(json!({})))?;
            let question = "Delete every workspace outside the new organization that bears a name of the template, with all \
                            workspaces below it, for good?";
            errand
                .confirm(question, Unasked::Confirmed(self.confirm == Some(true)))
                .await?;
        }
        let body = given([
            ("dir", self.dir.map(|dir| json!(dir))),
            ("template", self.template.map(Value::Object)),
            ("mode", self.mode.map(|mode| json!(mode))),
        ]);
        build(&errand, Value::Object(body)).await
    }
}

fn import(body: Value) -> Order {
    Order::admin(Post, ["org".into(), "import".into()]).body(body).patient()
}

/// Sends the request; an organization that was built in part only is a failure that names the part.
async fn build(errand: &Errand<'_>, body: Value) -> Result<Told, ToolError> {
    let sent = errand.send(&import(body)).await;
    let reply = sent.map_err(|error| match error.fact("status").and_then(Value::as_u64) {
        Some(412) => error.advising(
            "nothing was built: set the secrets that body names as missing (set_org_secret, set_global_secret), then call \
             again",
        ),
        Some(404) if error.code() != "NOT_SUPPORTED_BY_PLATFORM" => {
            error.advising("list_org_templates shows which templates there are")
        }
        _ => error,
    })?;
    let status = reply.status;
    let built = reply.object("look with list_workspaces at what was built")?;
    let why = ["error", "reconcile_errors"]
        .iter()
        .find_map(|key| built.get(*key))
        .filter(|why| **why != json!([]));
    let Some(why) = why else { return Ok(Told(built)) };
    let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
    let failure = if built.get("workspaces") == Some(&json!([])) && built.contains_key("error") {
        ToolError::failed(
            "IMPORT_FAILED",
            format!("nothing of the organization was built: {why}"),
            "mend what is wrong, and call again",
        )
    } else {
        ToolError::failed(
            "PARTIALLY_DONE",
            format!("a part of the organization was built: {why}"),
            "result tells which workspaces there are now; mend what is wrong and call again: those are left alone then",
        )
    };
    Err(failure.with("status", status).with("result", Value::Object(built)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, Keys, exchange, refused};
    use crate::platform::testing::Reply;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn lists_come_as_pages_with_the_weakest_key() {
        for (tool, line) in [
            ("list_templates", "GET /templates"),
            ("list_org_templates", "GET /org/templates"),
        ] {
            let rows = json!([{ "id": "a", "x": 1 }, { "id": "b", "x": 2 }]);
            let seen = exchange(tool, json!({ "offset": 1, "fields": ["id"] }), 200, rows).await;
            assert_eq!((seen.line.as_str(), seen.bearer.as_str()), (line, "api-key"));
            assert_eq!(seen.result, json!({ "templates": [{ "id": "b" }], "count": 2 }));
        }
    }

    #[tokio::test]
    async fn building_sends_what_was_given() {
        let built = json!({ "org": "o", "workspaces": [{ "id": "w" }], "count": 1 });
        for (tool, arguments, body, bearer) in [
            (
                "import_org",
                json!({ "dir": "dev" }),
                json!({ "dir": "dev" }),
                "api-key",
            ),
            (
                "create_org_from_template",
                json!({ "dir": "dev" }),
                json!({ "dir": "dev" }),
                "org-key",
            ),
            (
                "create_org_from_template",
                json!({ "template": { "name": "t" }, "mode": "merge" }),
                json!({ "template": { "name": "t" }, "mode": "merge" }),
                "org-key",
            ),
            (
                "create_org_from_template",
                json!({ "dir": "dev", "mode": "reconcile", "confirm": true }),
                json!({ "dir": "dev", "mode": "reconcile" }),
                "org-key",
            ),
        ] {
            let seen = exchange(tool, arguments, 201, built.clone()).await;
            assert_eq!(
                (seen.line.as_str(), seen.bearer.as_str()),
                ("POST /org/import", bearer),
                "{tool}"
            );
            assert_eq!((seen.body, seen.result), (Some(body), built.clone()));
        }
        let files = json!({ "config.yaml": "name: t", "skills/a.md": "" });
        let arguments = json!({ "name": "t", "files": files });
        let seen = exchange(
            "import_template",
            arguments.clone(),
            201,
            json!({ "status": "imported", "id": "t" }),
        )
        .await;
        assert_eq!(
            (seen.line.as_str(), seen.body),
            ("POST /templates/import", Some(arguments))
        );
    }

    #[tokio::test]
    async fn half_an_organization_is_a_failure_that_names_the_half() {
        let half = json!({ "org": "o", "workspaces": [{ "id": "w" }], "count": 1, "error": "disk full" });
        let stayed =
            json!({ "org": "o", "workspaces": [], "count": 0, "mode": "reconcile", "reconcile_errors": ["x"] });
        let none = json!({ "org": "o", "workspaces": [], "count": 0, "error": "no model" });
        for (status, body, code, word) in [
            (207, half, "PARTIALLY_DONE", "disk full"),
            (201, stayed, "PARTIALLY_DONE", "x"),
            (207, none, "IMPORT_FAILED", "no model"),
        ] {
            let seen = exchange("import_org", json!({ "dir": "dev" }), status, body.clone()).await;
            assert_eq!((&seen.result["error"], &seen.result["result"]), (&json!(code), &body));
            assert!(seen.result["detail"].as_str().unwrap().contains(word));
        }
        let missing = json!({ "error": "missing required environment variables", "missing_env": ["KEY"] });
        let seen = exchange("import_org", json!({ "dir": "dev" }), 412, missing).await;
        assert_eq!(
            (&seen.result["error"], &seen.result["body"]["missing_env"]),
            (&json!("HTTP 412"), &json!(["KEY"]))
        );
        assert!(seen.result["hint"].as_str().unwrap().contains("set_org_secret"));
    }

    #[tokio::test]
    async fn nothing_is_deleted_unless_that_was_said() {
        let arguments = json!({ "dir": "dev", "mode": "reconcile" });
        assert_eq!(
            refused("create_org_from_template", arguments.clone()).await,
            "CONFIRMATION_REQUIRED"
        );
        let bench = Bench::new(vec![Reply::json(201, "{}")], Keys::None).await;
        assert_eq!(
            bench.call("create_org_from_template", arguments).await["error"],
            "AUTH_ERROR"
        );
        assert!(bench.lines().is_empty());
    }

    #[tokio::test]
    async fn what_the_platform_would_refuse_is_not_sent() {
        let many: Value = (0..201)
            .map(|n| (format!("f{n}"), json!("")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        for (tool, arguments) in [
            ("create_org_from_template", json!({})),
            ("create_org_from_template", json!({ "dir": "a", "template": {} })),
            ("create_org_from_template", json!({ "dir": "a", "mode": "replace" })),
            ("import_org", json!({ "dir": "../etc" })),
            ("import_template", json!({ "name": "", "files": { "a": "" } })),
            ("import_template", json!({ "name": "t", "files": {} })),
            ("import_template", json!({ "name": "t", "files": many })),
            ("import_template", json!({ "name": "t", "files": { "../a": "" } })),
            ("import_template", json!({ "name": "t", "files": { "a": 1 } })),
        ] {
            assert_eq!(
                refused(tool, arguments.clone()).await,
                "INVALID_ARGUMENT",
                "{tool} {arguments}"
            );
        }
    }
}
