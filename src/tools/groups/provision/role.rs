//! What the workspace is configured with once its runtime is verified: config.yaml, then the model, which is read back.

use serde_json::{Map, Value, json};

use super::{Made, RoleConfig, doubtful};
use crate::mcp::answer::ToolError;
use crate::platform::order::Order;
use crate::platform::order::Verb::{Get, Put};
use crate::tools::desk::Errand;

/// The wanted configuration; what is empty is not wanted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Role {
    pub(super) model: Option<String>,
    pub(super) config_yaml: Option<String>,
}

impl Role {
    /// # Errors
    /// Two different models.
    pub(super) fn of(model: Option<String>, config: Option<RoleConfig>) -> Result<Self, ToolError> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let config = config.unwrap_or_default();
        let (model, other) = (filled(model), filled(config.model));
        if model.is_some() && other.is_some() && model != other {
            return Err(ToolError::argument(
                "model",
                "differs from role_config.model; give one of them",
            ));
        }
        Ok(Self {
            model: model.or(other),
            config_yaml: filled(config.config_yaml),
        })
    }

    /// Applies it. `None`: there is nothing to apply.
    ///
    /// config.yaml is not read back: platforms write and read it at different places. The model is, and that decides.
    ///
    /// # Errors
    /// A step failed, or another model is in effect.
    pub(super) async fn apply(
        &self,
        errand: &Errand<'_>,
        made: &Made,
        resolved: &str,
    ) -> Result<Option<Value>, ToolError> {
        let mut applied = Map::new();
        if let Some(text) = &self.config_yaml {
            let path = ["files".into(), "config.yaml".into()];
            let order = Order::workspace(Put, &made.id, path).body(json!({ "content": text }));
            let sent = errand.send(&order).await;
            sent.map_err(|error| failed("config.yaml", &error, &applied, made, resolved))?;
            applied.insert("config_yaml".to_owned(), json!("written"));
        }
        if let Some(model) = &self.model {
            let order = Order::workspace(Put, &made.id, ["model".into()]).body(json!({ "model": model }));
            let sent = errand.send(&order).await;
            sent.map_err(|error| failed("model", &error, &applied, made, resolved))?;
            applied.insert(
                "model".to_owned(),
                json!(effective(errand, made, resolved, model, &applied).await?),
            );
        }
        Ok((!applied.is_empty()).then_some(Value::Object(applied)))
    }
}

/// The model in effect, which must be the one that was set.
async fn effective(
    errand: &Errand<'_>,
    made: &Made,
    resolved: &str,
    wanted: &str,
    applied: &Map<String, Value>,
) -> Result<String, ToolError> {
    let read = errand.send(&Order::workspace(Get, &made.id, ["model".into()])).await;
    let told = read.as_ref().ok().and_then(|reply| reply.body["model"].as_str());
    if told == Some(wanted) {
        return Ok(wanted.to_owned());
    }
    let what = "the model was set, and another one is in effect or it could not be read back";
    let error = role_failure("ROLE_CONFIG_MODEL_MISMATCH", what, made, resolved, applied)
        .with("requested_model", wanted)
        .with(
            "read_error",
            read.as_ref().err().map(ToolError::to_json).unwrap_or_default(),
        );
    Err(error.with_null_or("effective_model", told))
}

fn failed(
    phase: &'static str,
    error: &ToolError,
    applied: &Map<String, Value>,
    made: &Made,
    resolved: &str,
) -> ToolError {
    let what = format!("the workspace has the right runtime, and {phase} could not be written: {error}");
    role_failure("ROLE_CONFIG_FAILED", what, made, resolved, applied)
        .with("phase", phase)
        .with("code", error.fact("code").cloned().unwrap_or_default())
        .with("cause", error.to_json())
}

fn role_failure(
    code: &'static str,
    what: impl Into<String>,
    made: &Made,
    resolved: &str,
    applied: &Map<String, Value>,
) -> ToolError {
    let hint = "the workspace exists and runs: set the model or file again, or delete it";
    doubtful(code, what, hint, made)
        .with("resolved_runtime", resolved)
        .with("provisioned", true)
        .with("applied", Value::Object(applied.clone()))
}
