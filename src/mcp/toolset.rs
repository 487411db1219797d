//! Tools as data: what a tool is, the set of them that a client is shown, and how one is found and run.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rmcp::model::{CallToolResult, ToolAnnotations};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::answer::{self, ToolError};
use super::call::Call;

mod arguments;
mod schema;

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

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    writes: bool,
    destroys: bool,
    idempotent: bool,
    open_world: bool,
}

impl Effect {
    /// Changes nothing.
    pub const READ: Self = Self {
        writes: false,
        destroys: false,
        idempotent: true,
        open_world: true,
    };
    /// Adds or changes something.
    pub const WRITE: Self = Self {
        writes: true,
        idempotent: false,
        ..Self::READ
    };
    /// Takes something away for good.
    pub const DESTROY: Self = Self {
        destroys: true,
        ..Self::WRITE
    };

    /// Calling it again with the same arguments changes nothing more.
    #[must_use]
    pub const fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
    }

    /// It touches only what is on this computer.
    #[must_use]
    pub const fn local(self) -> Self {
        Self {
            open_world: false,
            ..self
        }
    }

    fn annotations(self) -> ToolAnnotations {
        ToolAnnotations::new()
            .read_only(!self.writes)
            .destructive(self.destroys)
            .idempotent(self.idempotent)
            .open_world(self.open_world)
    }
}

/// Two tools have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two tools are named {0}")]
pub struct Duplicate(pub &'static str);

type Run<C> = Arc<dyn Fn(Arc<C>, Map<String, Value>, Call) -> Running + Send + Sync>;

/// Tools being put together, before they are given what they share.
pub struct Registry<C> {
    tools: BTreeMap<&'static str, (rmcp::model::Tool, Run<C>)>,
    duplicate: Option<Duplicate>,
}

impl<C> Default for Registry<C> {
    fn default() -> Self {
        Self {
            tools: BTreeMap::new(),
            duplicate: None,
        }
    }
}

impl<C: Send + Sync + 'static> Registry<C> {
    /// Adds a tool.
    pub fn add<T: Tool<C>>(&mut self) -> &mut Self {
        let schema = schema::input::<T>();
        let definition = rmcp::model::Tool::new(T::NAME, schema.description, schema.object.clone())
            .with_raw_output_schema(Arc::new(schema::output::<T::Output>()))
            .with_annotations(T::EFFECT.annotations());
        let run: Run<C> = Arc::new(move |context, given, call| {
            let decoded = arguments::decode::<T>(given, &schema.object);
            Box::pin(async move {
                let output = decoded?.call(&context, &call).await?;
                serde_json::to_value(output).map_err(|error| {
                    tracing::error!(tool = T::NAME, %error, "a result could not be written as JSON");
                    ToolError::Internal
                })
            })
        });
        if self.tools.insert(T::NAME, (definition, run)).is_some() {
            self.duplicate = Some(Duplicate(T::NAME));
        }
        self
    }

    /// What a client would be told about each tool, sorted by name.
    pub fn definitions(&self) -> impl Iterator<Item = &rmcp::model::Tool> {
        self.tools.values().map(|(definition, _)| definition)
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
        let entries = self.tools.into_iter().map(|(name, (definition, run))| {
            let context = context.clone();
            let run: Bound = Box::new(move |given, call| {
                let run = run.clone();
                let begun = move |context: Option<_>| context.map(|it| run(it, given, call));
                context.clone().map(begun).boxed()
            });
            (name, Entry { definition, run })
        });
        Ok(Toolset {
            entries: entries.collect(),
            farewell: Box::new(|| ToolError::Ended),
        })
    }
}

type Running = BoxFuture<'static, Result<Value, ToolError>>;

/// Begins a call once there is what it works with.
type Bound = Box<dyn Fn(Map<String, Value>, Call) -> BoxFuture<'static, Option<Running>> + Send + Sync>;

struct Entry {
    definition: rmcp::model::Tool,
    run: Bound,
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
    pub fn definitions(&self) -> impl Iterator<Item = &rmcp::model::Tool> {
        self.entries.values().map(|entry| &entry.definition)
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
        let run = AssertUnwindSafe(async {
            let begun = tokio::select! {
                // What can begin does: a call that came before the end is answered with its result.
                biased;
                begun = (entry.run)(arguments, call) => begun,
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
