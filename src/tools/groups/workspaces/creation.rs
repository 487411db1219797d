//! Making a workspace, without a promise about what runs in it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{check_tier, given};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::Post;
use crate::tools::desk::{Ops, Told};
use crate::types::WorkspaceId;

/// What a workspace may do with the folder it is given.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::tools::groups) enum WorkspaceAccess {
    /// Nothing.
    None,
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

/// Whether somebody else than the platform runs workspaces of this runtime, on a computer of their own.
pub(in crate::tools::groups) fn is_own_compute(runtime: &str) -> bool {
    matches!(runtime, "external" | "kimi" | "kimi-cli")
}

/// What a platform is told of a runtime besides its name. Those of May 2026 take `external` alone for one that others run,
/// unless they are told; later ones know all three, and do not mind.
pub(in crate::tools::groups) fn external(runtime: &str) -> Option<Value> {
    is_own_compute(runtime).then_some(Value::Bool(true))
}

/// Create a workspace. The platform may choose another runtime than asked for; provision_workspace verifies it. The token of
/// an external workspace is written to a file, unless reveal is true.
#[derive(Deserialize, JsonSchema)]
pub(super) struct CreateWorkspace {
    /// Display name.
    name: String,
    /// Free text, shown to its peers.
    role: Option<String>,
    /// Id of a template, as list_templates shows it.
    template: Option<String>,
    /// 1 to 4; left out: 1.
    #[schemars(range(min = 1, max = 4))]
    tier: Option<u8>,
    /// The workspace above it.
    parent_id: Option<WorkspaceId>,
    /// Runtime, such as claude-code or external.
    runtime: Option<String>,
    /// The model; newer platforms want one unless the template has it or the runtime is external.
    model: Option<String>,
    /// Absolute path of a folder on the platform's host.
    workspace_dir: Option<String>,
    /// What it may do there.
    workspace_access: Option<WorkspaceAccess>,
    /// Show the one-time token in the result instead of writing it to a file.
    reveal: Option<bool>,
}

impl Tool<Ops> for CreateWorkspace {
    const NAME: &'static str = "create_workspace";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        if self.name.trim().is_empty() {
            return Err(ToolError::argument("name", "must not be empty"));
        }
        check_tier(self.tier)?;
        let errand = desk.errand(Self::NAME, call);
        let body = given([
            ("name", Some(self.name.into())),
            ("role", self.role.map(Value::from)),
            ("template", self.template.map(Value::from)),
            ("tier", Some(self.tier.unwrap_or(1).into())),
            ("parent_id", self.parent_id.map(|id| json!(id))),
            ("external", self.runtime.as_deref().and_then(external)),
            ("runtime", self.runtime.map(Value::from)),
            ("model", self.model.map(Value::from)),
            ("workspace_dir", self.workspace_dir.map(Value::from)),
            ("workspace_access", self.workspace_access.map(|access| json!(access))),
            ("canvas", Some(somewhere())),
        ]);
        let order = Order::admin(Post, ["workspaces".into()]).body(Value::Object(body));
        let mut made = errand.send(&order).await?.body;
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        errand.keep_token(&mut made, &id, self.reveal == Some(true)).await?;
        match made {
            Value::Object(fields) if !id.is_empty() => Ok(Told(fields)),
            _ => Err(ToolError::failed(
                "PLATFORM_ERROR",
                "the platform accepted the workspace and did not say which one it is",
                "look for it with list_workspaces before creating another",
            )),
        }
    }
}

/// A place on the canvas where it probably covers nothing: x from 100 to 499, y from 100 to 399.
pub(in crate::tools::groups) fn somewhere() -> Value {
    let random = Uuid::new_v4().as_u128();
    let (x, y) = ((random % 400) as u16, ((random >> 80) % 300) as u16);
    json!({ "x": 100 + x, "y": 100 + y })
}
