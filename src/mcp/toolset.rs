//! Tools as data: what a tool is, the set of them that a client is shown, and how one is found and run.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rmcp::model::CallToolResult;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::answer::{self, ToolError};
use super::call::Call;
use crate::config::shown::Sets;

mod arguments;
mod description;
mod effect;
mod nullable;
mod schema;

pub use arguments::Given;
pub use description::Description;
pub use effect::Effect;
pub use nullable::Nullable;

/// A tool: the struct is its arguments, the doc comment its description, the field comments describe the parameters.
///
/// `C` is what it works with, shared by all tools of a set.
pub trait Tool<C>: DeserializeOwned + JsonSchema + Send + 'static {
    /// Snake case. Never changed once released.
    const NAME: &'static str;
    /// What it does to the world; becomes the client-side hints.
    const EFFECT: Effect;
    /// What it returns; an object.
    type Output: Serialize + JsonSchema + 'static;

    /// Runs it. A tool that waits must also wait for [`Call::ended`].
    fn call(self, context: &C, call: &Call) -> impl Future<Output = Result<Self::Output, ToolError>> + Send;
}

/// Two tools have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two tools are named {0}")]
pub struct Duplicate(pub &'static str);

/// What is known of a tool without asking for its schemas.
#[derive(Clone, Copy, Debug)]
pub struct Face {
    /// Its name.
    pub name: &'static str,
    /// What it does to the world.
    pub effect: Effect,
    /// The sets it belongs to.
    pub sets: Sets,
    /// Makes its description. All of them together take longer than a client should wait for the start.
    pub describe: fn() -> Description,
}

impl Face {
    /// What a client is told.
    #[must_use]
    pub fn definition(&self) -> rmcp::model::Tool {
        (self.describe)().definition(self.name, self.effect)
    }
}

/// The outcome of a call on its way.
pub type Running = BoxFuture<'static, Result<Value, ToolError>>;

type Run<C> = Arc<dyn Fn(Arc<C>, Given, Call) -> Running + Send + Sync>;

/// Tools being put together, before they are given what they share.
pub struct Registry<C> {
    sets: Sets,
    tools: BTreeMap<&'static str, (Face, Run<C>)>,
    duplicate: Option<Duplicate>,
}

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self::of(Sets::NONE)
    }
}

impl<C> Registry<C> {
    /// For tools that belong to these sets.
    #[must_use]
    pub fn of(sets: Sets) -> Self {
        Self {
            sets,
            tools: BTreeMap::new(),
            duplicate: None,
        }
    }

    /// What the tools are, sorted by name.
    pub fn faces(&self) -> impl Iterator<Item = Face> {
        self.tools.values().map(|(face, _)| *face)
    }

    /// Leaves out the tools that are not to be shown.
    pub fn retain(&mut self, keep: impl Fn(&Face) -> bool) {
        self.tools.retain(|_, (face, _)| keep(face));
    }
}

impl<C: Send + Sync + 'static> Registry<C> {
    /// Adds a tool to the sets of this registry.
    pub fn add<T: Tool<C>>(&mut self) -> &mut Self {
        self.add_to::<T>(self.sets)
    }

    /// Adds a tool to these sets.
    pub fn add_to<T: Tool<C>>(&mut self, sets: Sets) -> &mut Self {
        let face = Face {
            name: T::NAME,
            effect: T::EFFECT,
            sets,
            describe: Description::of::<T, T::Output>,
        };
        self.insert(face, |context, given, call| Box::pin(run::<C, T>(context, given, call)))
    }

    /// Adds a tool to the sets of this registry, by what it is and how it is run.
    pub fn add_raw(
        &mut self,
        name: &'static str,
        effect: Effect,
        describe: fn() -> Description,
        run: impl Fn(Arc<C>, Given, Call) -> Running + Send + Sync + 'static,
    ) -> &mut Self {
        let face = Face {
            name,
            effect,
            sets: self.sets,
            describe,
        };
        self.insert(face, run)
    }

    fn insert(
        &mut self,
        face: Face,
        run: impl Fn(Arc<C>, Given, Call) -> Running + Send + Sync + 'static,
    ) -> &mut Self {
        if self.tools.insert(face.name, (face, Arc::new(run))).is_some() {
            self.duplicate = Some(Duplicate(face.name));
        }
        self
    }

    /// The finished set, working with `context`.
    ///
    /// # Errors
    /// When two tools have the same name.
    pub fn finish(self, context: C) -> Result<Toolset, Duplicate> {
        self.finish_with(std::future::ready(Some(context)))
    }

    /// The finished set, whose calls wait for what they work with. `None`: it never comes, and they are told the farewell.
    ///
    /// # Errors
    /// When two tools have the same name.
    pub fn finish_with(self, context: impl Future<Output = Option<C>> + Send + 'static) -> Result<Toolset, Duplicate> {
        if let Some(duplicate) = self.duplicate {
            return Err(duplicate);
        }
        let context = context.map(|context| context.map(Arc::new)).boxed().shared();
        let entries = self.tools.into_iter().map(|(name, (face, run))| {
            let context = context.clone();
            let run: Bound = Box::new(move |given, call| {
                let run = run.clone();
                let begun = move |context: Option<_>| context.map(|it| run(it, given, call));
                context.clone().map(begun).boxed()
            });
            let entry = Entry {
                face,
                description: OnceLock::new(),
                run,
            };
            (name, entry)
        });
        Ok(Toolset {
            entries: entries.collect(),
            farewell: Box::new(|| ToolError::Ended),
        })
    }
}

async fn run<C: Send + Sync, T: Tool<C>>(context: Arc<C>, given: Given, call: Call) -> Result<Value, ToolError> {
    let tool: T = given.decode()?;
    let output = tool.call(&context, &call).await?;
    serde_json::to_value(output).map_err(|error| {
        tracing::error!(tool = T::NAME, %error, "a result could not be written as JSON");
        ToolError::Internal
    })
}

/// Begins a call once there is what it works with.
type Bound = Box<dyn Fn(Given, Call) -> BoxFuture<'static, Option<Running>> + Send + Sync>;

struct Entry {
    face: Face,
    description: OnceLock<Description>,
    run: Bound,
}

impl Entry {
    fn description(&self) -> &Description {
        self.description.get_or_init(self.face.describe)
    }
}

/// The tools that a client is shown.
pub struct Toolset {
    entries: BTreeMap<&'static str, Entry>,
    farewell: Box<dyn Fn() -> ToolError + Send + Sync>,
}

/// How long a call that is under way may go on after the end of the session; then it is answered without its result.
const LAST_CALL: Duration = Duration::from_millis(800);

impl Toolset {
    /// What a client is told about each tool, sorted by name.
    pub fn definitions(&self) -> impl Iterator<Item = rmcp::model::Tool> {
        let definition = |entry: &Entry| entry.description().definition(entry.face.name, entry.face.effect);
        self.entries.values().map(definition)
    }

    /// How many tools there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether a tool is among them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// These tools and those.
    ///
    /// # Errors
    /// When two have the same name.
    pub fn and(mut self, other: Self) -> Result<Self, Duplicate> {
        for (name, entry) in other.entries {
            if self.entries.insert(name, entry).is_some() {
                return Err(Duplicate(name));
            }
        }
        Ok(self)
    }

    /// What calls are told that the end of the session overtakes.
    #[must_use]
    pub fn with_farewell(self, farewell: impl Fn() -> ToolError + Send + Sync + 'static) -> Self {
        Self {
            farewell: Box::new(farewell),
            ..self
        }
    }

    /// Runs a tool and shapes its outcome. `None`: there is no such tool. A panic inside is a failure of this call only.
    pub async fn call(&self, name: &str, arguments: Map<String, Value>, call: Call) -> Option<CallToolResult> {
        let entry = self.entries.get(name)?;
        let ending = call.clone();
        let given = Given::new(arguments, entry.description().input.clone());
        let run = AssertUnwindSafe(async {
            let begun = tokio::select! {
                // What can begin does: a call that came before the end is answered with its result.
                biased;
                begun = (entry.run)(given, call) => begun,
                () = ending.ended() => None,
            };
            match begun {
                Some(running) => running.await,
                None => Err((self.farewell)()),
            }
        })
        .catch_unwind();
        let overtaken = async {
            ending.ended().await;
            tokio::time::sleep(LAST_CALL).await;
        };
        let outcome = tokio::select! {
            biased;
            outcome = run => outcome.unwrap_or_else(|_| {
                tracing::error!(tool = name, "a tool panicked");
                Err(ToolError::Internal)
            }),
            () = overtaken => Err((self.farewell)()),
        };
        Some(answer::shape(outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use tokio_util::sync::CancellationToken;

    /// Adds to a number.
    #[derive(Deserialize, JsonSchema)]
    struct Add {
        /// How much.
        amount: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Sum {
        sum: u32,
    }

    impl Tool<u32> for Add {
        const NAME: &'static str = "add";
        const EFFECT: Effect = Effect::READ.local();
        type Output = Sum;
        async fn call(self, context: &u32, _: &Call) -> Result<Sum, ToolError> {
            assert!(self.amount < 100, "too much");
            Ok(Sum {
                sum: context + self.amount,
            })
        }
    }

    fn toolset() -> Toolset {
        let mut registry = Registry::default();
        registry.add::<Add>();
        registry.finish(40).ok().unwrap()
    }

    async fn call(name: &str, arguments: Value) -> Option<CallToolResult> {
        let Value::Object(arguments) = arguments else { panic!() };
        let call = Call::without_client(CancellationToken::new());
        toolset().call(name, arguments, call).await
    }

    #[tokio::test]
    async fn a_tool_is_found_decoded_run_and_shaped() {
        let result = call("add", serde_json::json!({ "amount": 2 })).await.unwrap();
        assert_eq!(result.structured_content, Some(serde_json::json!({ "sum": 42 })));
        let refused = call("add", serde_json::json!({ "amount": "2" })).await.unwrap();
        assert_eq!(refused.structured_content.unwrap()["error"], "INVALID_ARGUMENT");
        assert!(call("subtract", serde_json::json!({})).await.is_none());
    }

    #[tokio::test]
    async fn a_panicking_tool_answers_internal() {
        let result = call("add", serde_json::json!({ "amount": 100 })).await.unwrap();
        assert_eq!(result.is_error, Some(true));
        assert_eq!(result.structured_content.unwrap()["error"], "INTERNAL");
    }

    #[tokio::test]
    async fn calls_wait_for_what_they_work_with_and_end_without_it() {
        let (sender, coming) = tokio::sync::oneshot::channel();
        let mut registry = Registry::default();
        registry.add::<Add>();
        let toolset = registry.finish_with(coming.map(Result::ok)).ok().unwrap();
        let toolset = toolset.with_farewell(|| ToolError::failed("GONE", "it never came", "none"));
        let stop = CancellationToken::new();
        let call = || {
            let arguments = serde_json::json!({ "amount": 2 }).as_object().cloned();
            toolset.call("add", arguments.unwrap(), Call::without_client(stop.clone()))
        };
        let told = |result: Option<CallToolResult>| result.unwrap().structured_content.unwrap();
        assert_eq!(toolset.definitions().count(), 1);
        assert!(call().now_or_never().is_none(), "there is nothing to work with yet");
        stop.cancel();
        assert_eq!(told(call().await)["error"], "GONE");
        sender.send(40).unwrap();
        let stop = CancellationToken::new();
        let arguments = serde_json::json!({ "amount": 2 }).as_object().cloned().unwrap();
        let result = toolset.call("add", arguments, Call::without_client(stop)).await;
        assert_eq!(told(result)["sum"], 42);

        let mut registry = Registry::<u32>::default();
        registry.add::<Add>();
        let lonely = registry.finish_with(std::future::ready(None)).ok().unwrap();
        let result = lonely.call("add", Map::new(), Call::without_client(CancellationToken::new()));
        assert_eq!(told(result.await)["error"], "CANCELLED");
    }

    #[test]
    fn two_tools_with_one_name_are_refused() {
        let mut registry = Registry::default();
        registry.add::<Add>().add::<Add>();
        assert_eq!(registry.finish(0).err(), Some(Duplicate("add")));
        assert_eq!(toolset().and(toolset()).err(), Some(Duplicate("add")));
    }

    #[test]
    fn only_what_is_kept_is_shown() {
        let mut registry = Registry::of(Sets::OPS);
        registry.add::<Add>();
        assert!(registry.faces().all(|face| face.sets == Sets::OPS));
        registry.retain(|face| face.effect.writes());
        assert_eq!(registry.finish(0).ok().unwrap().count(), 0);
    }

    #[test]
    fn the_doc_comment_describes_and_the_effect_becomes_hints() {
        let toolset = toolset();
        let definition = serde_json::to_value(toolset.definitions().next().unwrap()).unwrap();
        assert_eq!(definition["description"], "Adds to a number.");
        assert_eq!(definition["annotations"]["readOnlyHint"], true);
        assert_eq!(definition["annotations"]["openWorldHint"], false);
    }
}
