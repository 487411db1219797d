//! Removing a workspace: confirmed as far as the platform asks, and read back when its answer is a failure.

use serde_json::{Map, Value, json};

use crate::mcp::answer::ToolError;
use crate::platform::order::Order;
use crate::platform::order::Verb::{Delete, Get};
use crate::tools::desk::Errand;
use crate::tools::desk::confirm::Unasked;
use crate::types::WorkspaceId;

/// A workspace to be removed, and how sure its remover is.
#[derive(Clone, Debug)]
pub(in crate::tools::groups) struct Removal {
    id: WorkspaceId,
    confirmed: bool,
    name: Option<String>,
}

/// What a platform wants before it removes something.
#[derive(Debug, PartialEq)]
enum Demand {
    /// Its name repeated, which is this.
    Name(String),
    /// Leave to remove these as well.
    Children(Vec<String>),
}

impl Removal {
    /// The removal of `id`. `name` must be its name, if given.
    pub(in crate::tools::groups) fn of(id: WorkspaceId, confirm: Option<bool>, name: Option<String>) -> Self {
        Self {
            id,
            confirmed: confirm == Some(true),
            name,
        }
    }

    /// Removes it. The person is asked first where the client can; else what the platform wants confirmed needs
    /// `confirm: true`, or its name.
    ///
    /// # Errors
    /// Not confirmed, or not removed.
    pub(in crate::tools::groups) async fn carry_out(
        self,
        errand: &Errand<'_>,
    ) -> Result<Map<String, Value>, ToolError> {
        errand.has_door(&self.order())?;
        if let Some(given) = &self.name {
            self.check_name(errand, given).await?;
        }
        let question = format!("Delete workspace {} for good?", self.id);
        errand.confirm(&question, Unasked::Proceed).await?;
        self.insist(errand, |demand| self.grant(errand, demand)).await
    }

    /// Removes what was made a moment ago by the same call: nobody needs to be asked.
    ///
    /// # Errors
    /// When it was not removed.
    pub(in crate::tools::groups) async fn undo(self, errand: &Errand<'_>) -> Result<Map<String, Value>, ToolError> {
        self.insist(errand, |_| std::future::ready(Ok(()))).await
    }

    fn order(&self) -> Order {
        Order::workspace(Delete, &self.id, []).for_admin()
    }

    async fn check_name(&self, errand: &Errand<'_>, given: &str) -> Result<(), ToolError> {
        let row = errand.send(&self.look()).await?.body;
        match row["name"].as_str() {
            Some(name) if name == given => Ok(()),
            name => Err(ToolError::failed(
                "CONFIRMATION_REQUIRED",
                "confirm_name is not the name of this workspace; nothing was changed",
                "check the id, and give the exact name",
            )
            .with("workspace_name", name)),
        }
    }

    fn look(&self) -> Order {
        Order::open(Get, ["workspaces".into(), (&self.id).into()])
    }

    /// Sends the request, and again with what the platform wants as long as that is granted.
    async fn insist<F: Future<Output = Result<(), ToolError>>>(
        &self,
        errand: &Errand<'_>,
        grant: impl Fn(Demand) -> F,
    ) -> Result<Map<String, Value>, ToolError> {
        let (mut name, mut cascade) = (self.name.clone(), false);
        loop {
            let order = self.order().confirming(name.as_deref());
            let order = order.query("confirm", cascade.then_some(true));
            let refusal = match errand.send(&order).await {
                Ok(reply) => return Ok(reply.fields("removed")),
                Err(refusal) => refusal,
            };
            match Demand::of(&refusal) {
                Some(Demand::Name(wanted)) if name.as_ref() != Some(&wanted) => {
                    if name.is_none() {
                        grant(Demand::Name(wanted.clone())).await?;
                    }
                    name = Some(wanted);
                }
                Some(demand @ Demand::Children(_)) if !cascade => {
                    grant(demand).await?;
                    cascade = true;
                }
                _ => return self.after_all(errand, refusal).await,
            }
        }
    }

    async fn grant(&self, errand: &Errand<'_>, demand: Demand) -> Result<(), ToolError> {
        let (question, fact) = match demand {
            // The person has agreed to this very workspace by now.
            Demand::Name(name) => {
                if self.confirmed || errand.asks_a_person() {
                    return Ok(());
                }
                (
                    format!(
                        "The platform wants the deletion of workspace {name} ({}) confirmed.",
                        self.id
                    ),
                    ("workspace_name", json!(name)),
                )
            }
            Demand::Children(children) => (
                format!(
                    "Workspace {} has {} workspaces below it, which would be deleted for good as well: {}.",
                    self.id,
                    children.len(),
                    children.join(", ")
                ),
                ("children", json!(children)),
            ),
        };
        let granted = errand.confirm(&question, Unasked::Confirmed(self.confirmed)).await;
        granted.map_err(|refusal| refusal.with(fact.0, fact.1))
    }

    /// Platforms remove first and may then fail to stop what ran there, so a failure is no proof that it is still there. One
    /// that was removed before is removed, whatever the platform calls that.
    async fn after_all(&self, errand: &Errand<'_>, failure: ToolError) -> Result<Map<String, Value>, ToolError> {
        let status = failure.fact("status").and_then(Value::as_u64);
        let is_unknown = failure.fact("outcome").is_some();
        if !is_unknown && status.is_none_or(|status| status < 500 && status != 410) {
            return Err(failure);
        }
        let is_gone = match errand.send(&self.look()).await {
            Ok(reply) => reply.body["status"] == "removed",
            Err(error) => {
                let body = error.fact("body").map_or(&Value::Null, |body| &body["error"]);
                match error.fact("status").and_then(Value::as_u64) {
                    Some(410) => true,
                    Some(404) => body == "workspace not found",
                    _ => {
                        let hint = "whether it was deleted is not known: look with get_workspace before trying again";
                        return Err(failure.with("outcome", "unknown").advising(hint));
                    }
                }
            }
        };
        if !is_gone {
            return Err(failure
                .with("outcome", "not removed")
                .advising("it is still there; try again later"));
        }
        errand.found(&self.order(), "REMOVED").await;
        let note = match status {
            Some(410) => "it had been removed before",
            _ => "the workspace is removed; the platform then failed to clean up after it",
        };
        let told = failure.fact("body").cloned().unwrap_or_default();
        let mut removed = Map::new();
        removed.insert("status".to_owned(), json!("removed"));
        removed.insert("note".to_owned(), json!(note));
        removed.insert("platform_said".to_owned(), json!(failure.to_string()));
        if let Some(count) = told.get("removed_count") {
            removed.insert("removed_count".to_owned(), count.clone());
        }
        Ok(removed)
    }
}

impl Demand {
    fn of(refusal: &ToolError) -> Option<Self> {
        let body = refusal.fact("body")?;
        match refusal.fact("status")?.as_u64()? {
            400 if body["error"] == "destructive_action_requires_confirmation" => {
                Some(Self::Name(body["workspace_name"].as_str()?.to_owned()))
            }
            409 if body["status"] == "confirmation_required" => {
                let children = body["children"].as_array()?;
                let name = |child: &Value| child["name"].as_str().or(child["id"].as_str()).map(str::to_owned);
                Some(Self::Children(children.iter().filter_map(name).collect()))
            }
            _ => None,
        }
    }
}
