//! Rolling a release out to the computers of all tenants: planned unless it is said that it shall be done, and believed only
//! with the evidence.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::Post;
use crate::tools::desk::confirm::Unasked;
use crate::tools::desk::{Control, Desk, Told};

/// The one thing that can be rolled out.
const FLEET: &str = "tenant-fleet";

/// Roll the current release out to the computers of all tenants. By itself it only plans: dry_run: false and confirm: true do
/// it. Done is only what comes with evidence for every tenant.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PromoteToProduction {
    /// production unless given; MOLECULE_CP_URL must name the control plane of just that.
    env: Option<Environment>,
    /// Empty, all or tenant-fleet: all mean the same.
    components: Option<Vec<Component>>,
    /// Plan and change nothing; true unless given.
    dry_run: Option<bool>,
    /// Yes, do it.
    confirm: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Environment {
    Production,
    Staging,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Component {
    All,
    TenantFleet,
}

impl Tool<Control> for PromoteToProduction {
    const NAME: &'static str = "promote_to_production";
    const EFFECT: Effect = Effect::DESTROY;
    type Output = Told;

    async fn call(self, desk: &Control, call: &Call) -> Result<Told, ToolError> {
        if self.components.is_some_and(|components| components.len() > 1) {
            return Err(ToolError::argument("components", "must have one entry at most"));
        }
        let env = self.env.unwrap_or(Environment::Production);
        let desk: &Desk = match env {
            Environment::Production => desk.production(),
            Environment::Staging => desk,
        };
        let dry_run = self.dry_run.unwrap_or(true);
        let order = Order::admin(Post, ["cp".into(), "admin".into(), "promote".into()])
            .patient()
            .body(json!({ "env": env, "components": [FLEET], "dry_run": dry_run, "confirm": !dry_run }));
        let order = if dry_run { order.asking() } else { order };
        let errand = desk.errand(Self::NAME, call);
        errand.has_door(&order)?;
        if !dry_run {
            let question = format!("Roll the current release out to all tenants of {}?", json!(env));
            errand
                .confirm(&question, Unasked::Confirmed(self.confirm == Some(true)))
                .await?;
        }
        let reply = errand.send(&order).await?;
        let lack = match reply.status {
            200 => lack(&reply.body, env, dry_run),
            _ => Some("the status is not 200"),
        };
        match (lack, reply.body) {
            (None, Value::Object(told)) => Ok(Told(told)),
            (lack, response) => Err(ToolError::failed(
                "PROMOTE_INCOMPLETE",
                format!(
                    "the control plane's answer does not prove it: {}",
                    lack.unwrap_or("it is not an object")
                ),
                "see response; it may be done in part: plan again (dry_run) to see what is left",
            )
            .with("status", reply.status)
            .with("response", response)),
        }
    }
}

/// What an answer lacks to be believed.
fn lack(told: &Value, env: Environment, dry_run: bool) -> Option<&'static str> {
    let result = &told["results"][0];
    let (coverage, image) = (&result["coverage"], &result["target_image"]);
    let tenants = result["tenant_results"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let slugs: BTreeSet<_> = tenants.iter().filter_map(|tenant| tenant["slug"].as_str()).collect();
    let (all, none) = (json!(tenants.len()), json!(0));
    let (planned, done) = if dry_run { (&all, &none) } else { (&none, &all) };
    let is_proved = |tenant: &Value| {
        let is_clean = matches!(tenant["error"].as_str(), None | Some(""));
        is_clean
            && match dry_run {
                true => tenant["verified_on_target"] == false,
                false => {
                    tenant["healthz_ok"] == true
                        && tenant["verified_on_target"] == true
                        && tenant["running_image"] == *image
                }
            }
    };
    let rules = [
        (told["ok"] == true, "ok is not true"),
        (told["complete"] == !dry_run, "complete is not what it must be"),
        (told["env"] == json!(env), "env is another"),
        (told["dry_run"] == dry_run, "dry_run is another"),
        (
            told["results"].as_array().is_some_and(|all| all.len() == 1),
            "there is not exactly one result",
        ),
        (result["component"] == FLEET, "the result is not that of tenant-fleet"),
        (
            result["status"] == if dry_run { "planned" } else { "ok" },
            "the status of the result is another",
        ),
        (is_immutable(image), "the image has no digest"),
        (coverage["target_image"] == *image, "coverage is of another image"),
        (
            !tenants.is_empty() && coverage["enumerated"] == all,
            "coverage and tenants are not as many",
        ),
        (slugs.len() == tenants.len(), "a tenant is named twice, or not at all"),
        (coverage["stragglers"] == json!([]), "there are stragglers"),
        (coverage["failed"] == none, "some failed"),
        (coverage["planned"] == *planned, "not as many are planned as must be"),
        (coverage["refreshed"] == *done, "not as many are refreshed as must be"),
        (
            coverage["verified_on_target"] == *done,
            "not as many are verified as must be",
        ),
        (tenants.iter().all(is_proved), "a tenant is without proof"),
    ];
    rules.into_iter().find_map(|(holds, lack)| (!holds).then_some(lack))
}

/// An image that is named by its digest is always the same one.
fn is_immutable(image: &Value) -> bool {
    let digest = image.as_str().and_then(|image| image.split_once("@sha256:"));
    digest.is_some_and(|(_, hex)| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::testing::Reply;
    use crate::tools::groups::testing::{Bench, Keys, exchange, refused};

    fn evidence(env: &str, dry_run: bool) -> Value {
        let image = format!("registry.example/tenant@sha256:{}", "a".repeat(64));
        let (planned, done) = if dry_run { (2, 0) } else { (0, 2) };
        let tenant = |slug: &str| {
            json!({ "slug": slug, "instance_id": "i", "provider": "aws", "phase": "p", "healthz_ok": !dry_run,
                "verified_on_target": !dry_run, "running_image": image, "error": "" })
        };
        json!({ "ok": true, "complete": !dry_run, "env": env, "dry_run": dry_run, "results": [{
            "component": FLEET, "status": if dry_run { "planned" } else { "ok" }, "target_image": image,
            "coverage": { "target_image": image, "enumerated": 2, "planned": planned, "refreshed": done,
                "verified_on_target": done, "failed": 0, "stragglers": [] },
            "tenant_results": [tenant("a"), tenant("b")] }] })
    }

    #[tokio::test]
    async fn it_plans_unless_told_to_do_it_and_each_environment_has_its_token() {
        for (arguments, env, dry_run, bearer) in [
            (json!({}), "production", true, "promotion-token"),
            (
                json!({ "components": ["all"], "confirm": true }),
                "production",
                true,
                "promotion-token",
            ),
            (
                json!({ "env": "staging", "components": [] }),
                "staging",
                true,
                "control-token",
            ),
            (
                json!({ "dry_run": false, "confirm": true }),
                "production",
                false,
                "promotion-token",
            ),
        ] {
            let answer = evidence(env, dry_run);
            let seen = exchange("promote_to_production", arguments, 200, answer.clone()).await;
            assert_eq!(
                (seen.line.as_str(), seen.bearer.as_str()),
                ("POST /cp/admin/promote", bearer)
            );
            let body = json!({ "env": env, "components": [FLEET], "dry_run": dry_run, "confirm": !dry_run });
            assert_eq!((seen.body, seen.result), (Some(body), answer));
        }
    }

    #[tokio::test]
    async fn nothing_is_rolled_out_without_a_word_and_a_token() {
        for (arguments, code) in [
            (json!({ "dry_run": false }), "CONFIRMATION_REQUIRED"),
            (json!({ "dry_run": false, "confirm": false }), "CONFIRMATION_REQUIRED"),
            (json!({ "env": "test" }), "INVALID_ARGUMENT"),
            (json!({ "components": ["canvas"] }), "INVALID_ARGUMENT"),
            (json!({ "components": ["all", "tenant-fleet"] }), "INVALID_ARGUMENT"),
        ] {
            assert_eq!(
                refused("promote_to_production", arguments.clone()).await,
                code,
                "{arguments}"
            );
        }
        let bench = Bench::new(vec![Reply::json(200, "{}")], Keys::None).await;
        for (env, code) in [
            ("production", "CP_PROMOTE_NOT_CONFIGURED"),
            ("staging", "CP_TIER_NOT_CONFIGURED"),
        ] {
            assert_eq!(
                bench.call("promote_to_production", json!({ "env": env })).await["error"],
                code
            );
        }
        assert!(bench.lines().is_empty());
    }

    #[tokio::test]
    async fn a_yes_without_evidence_is_not_believed() {
        let seen = exchange("promote_to_production", json!({}), 202, evidence("production", true)).await;
        assert_eq!(seen.result["error"], "PROMOTE_INCOMPLETE");
        for dry_run in [true, false] {
            assert_eq!(lack(&evidence("staging", dry_run), Environment::Staging, dry_run), None);
            assert!(lack(&evidence("staging", dry_run), Environment::Staging, !dry_run).is_some());
            for (path, value) in [
                ("/ok", json!(false)),
                ("/env", json!("staging")),
                ("/results/0/component", json!("canvas")),
                ("/results/0/target_image", json!("registry.example/tenant:latest")),
                ("/results/0/coverage/enumerated", json!(3)),
                ("/results/0/coverage/failed", json!(1)),
                ("/results/0/coverage/stragglers", json!(["b"])),
                ("/results/0/coverage/refreshed", json!(1)),
                ("/results/0/tenant_results/1/slug", json!("a")),
                ("/results/0/tenant_results/1/verified_on_target", json!(dry_run)),
                ("/results/0/tenant_results/1/error", json!("it broke")),
                ("/results", json!([])),
            ] {
                let mut told = evidence("production", dry_run);
                *told.pointer_mut(path).unwrap() = value;
                assert!(
                    lack(&told, Environment::Production, dry_run).is_some(),
                    "{path} {dry_run}"
                );
            }
        }
    }
}
