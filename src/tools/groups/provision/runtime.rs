//! Which runtimes there are, checked without any request.

use serde_json::json;

use crate::mcp::answer::ToolError;
use crate::tools::groups::workspaces::creation::is_own_compute;

/// The runtimes that can be asked for by name.
pub(super) const KNOWN: [&str; 11] = [
    "claude-code",
    "codex",
    "hermes",
    "openclaw",
    "langgraph",
    "autogen",
    "crewai",
    "deepagents",
    "kimi",
    "kimi-cli",
    "external",
];

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    /// A runtime that the platform runs, perhaps by a named template.
    Runtime(String, Option<String>),
    /// A runtime that somebody else runs.
    OwnCompute(String),
    /// Whatever this template brings.
    Template(String),
}

impl Wish {
    /// # Errors
    /// Neither of both, an unknown runtime, or a template for a runtime that has none.
    pub(super) fn of(runtime: Option<String>, template: Option<String>) -> Result<Self, ToolError> {
        let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let template = filled(template).map(renamed);
        let Some(runtime) = filled(runtime) else {
            return template.map(Self::Template).ok_or_else(|| {
                ToolError::argument(
                    "runtime",
                    "or `template` is required: without one of them nothing could be verified",
                )
            });
        };
        if !KNOWN.contains(&runtime.as_str()) {
            return Err(ToolError::failed(
                "UNSUPPORTED_RUNTIME",
                format!(
                    "there is no such runtime; nothing was sent. The runtimes are {}",
                    KNOWN.join(", ")
                ),
                "use one of them, or leave runtime out and name a template",
            )
            .with("requested_runtime", runtime)
            .with("provisioned", false)
            .with("role_config_applied", false));
        }
        match (is_own_compute(&runtime), template) {
            (false, template) => Ok(Self::Runtime(runtime, template)),
            (true, None) => Ok(Self::OwnCompute(runtime)),
            (true, Some(template)) => Err(super::template::unsupported(
                "this runtime is run by somebody else and takes no template; nothing was sent",
                Some(&runtime),
                Some(&template),
                json!([]),
            )),
        }
    }
}

/// The one template that is not called like its runtime.
fn renamed(template: String) -> String {
    if template == "claude-code" {
        "claude-code-default".to_owned()
    } else {
        template
    }
}
