//! Tools that are one request: they say which, and the rest is done here, once for all of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::confirm::Unasked;
use super::listing::Wanted;
use super::{Desk, Reply};
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Description, Effect, Given, Registry};
use crate::platform::order::Order;

/// A tool that is one request to the platform. The struct is its arguments, the doc comment its description.
///
/// `C` names the credentials that may carry it: one of [`super::Ops`], [`super::Shared`], [`super::Management`],
/// [`super::Control`].
pub(in crate::tools) trait Plain<C>: DeserializeOwned + JsonSchema + Send + 'static {
    /// Snake case. Never changed once released.
    const NAME: &'static str;
    /// What it does to the world. Before something is destroyed a person is asked, if the client can.
    const EFFECT: Effect;
    /// What the platform answers.
    const ANSWER: Answer = Answer::Object;

    /// The request.
    ///
    /// # Errors
    /// When the arguments contradict each other. Nothing was sent then.
    fn plan(self) -> Result<Plan, ToolError>;
}

/// What the platform answers, and how it becomes a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Answer {
    /// An object; the result is the same one. Clients may choose `fields`.
    Object,
    /// An array; the result is a page of it under this name. Clients may choose `limit`, `offset` and `fields`.
    List(&'static str),
    /// An object that holds an array of this name; the result is a page of that.
    ListWithin(&'static str),
}

/// A request, and what has to be known about it besides. It holds secrets, so it cannot be shown.
pub(in crate::tools) struct Plan {
    pub(in crate::tools) order: Order,
    question: Option<String>,
    unasked: Unasked,
    secrets: Vec<String>,
    advice: Option<(u16, &'static str)>,
    instead: Option<&'static str>,
}

impl From<Order> for Plan {
    fn from(order: Order) -> Self {
        Self {
            order,
            question: None,
            unasked: Unasked::Proceed,
            secrets: Vec::new(),
            advice: None,
            instead: None,
        }
    }
}

impl Plan {
    /// The question to the person, instead of one made of tool and target. One or two sentences.
    #[must_use]
    pub(in crate::tools) fn asking(mut self, question: impl Into<String>) -> Self {
        self.question = Some(question.into());
        self
    }

    /// Where the client cannot ask, the argument `confirm` must be true.
    #[must_use]
    pub(in crate::tools) fn unless_confirmed(mut self, confirm: Option<bool>) -> Self {
        self.unasked = Unasked::Confirmed(confirm == Some(true));
        self
    }

    /// What to do when the platform answers with this status.
    #[must_use]
    pub(in crate::tools) fn advising(mut self, status: u16, hint: &'static str) -> Self {
        self.advice = Some((status, hint));
        self
    }

    /// What to do on a platform that no longer has the route.
    #[must_use]
    pub(in crate::tools) fn replaced_by(mut self, hint: &'static str) -> Self {
        self.instead = Some(hint);
        self
    }

    /// The request carries this value, which no error may repeat.
    #[must_use]
    pub(in crate::tools) fn hiding(mut self, value: &str) -> Self {
        self.secrets.push(value.to_owned());
        self
    }
}

/// Registration of plain tools.
pub(in crate::tools) trait RegisterPlain<C> {
    /// Adds a plain tool.
    fn plain<T: Plain<C>>(&mut self) -> &mut Self;
}

impl<C: AsRef<Desk> + Send + Sync + 'static> RegisterPlain<C> for Registry<C> {
    fn plain<T: Plain<C>>(&mut self) -> &mut Self {
        let steps = Steps {
            tool: T::NAME,
            effect: T::EFFECT,
            answer: T::ANSWER,
            plan: |given| given.decode::<T>()?.plan(),
        };
        self.add_raw(T::NAME, T::EFFECT, describe::<C, T>, move |desk, given, call| {
            let desk: Arc<dyn AsRef<Desk> + Send + Sync> = desk;
            Box::pin(steps.run(desk, given, call))
        })
    }
}

fn describe<C, T: Plain<C>>() -> Description {
    let (further, results) = T::ANSWER.schemas();
    Description::with::<T>(further, results)
}

/// All that differs between plain tools when they run, as values, so that running them is compiled once.
#[derive(Clone, Copy)]
struct Steps {
    tool: &'static str,
    effect: Effect,
    answer: Answer,
    plan: fn(Given) -> Result<Plan, ToolError>,
}

impl Steps {
    async fn run(
        self,
        desk: Arc<dyn AsRef<Desk> + Send + Sync>,
        mut given: Given,
        call: Call,
    ) -> Result<Value, ToolError> {
        let wanted = self.answer.wanted(&mut given)?;
        let plan = (self.plan)(given)?;
        let errand = (*desk).as_ref().errand(self.tool, &call);
        if self.effect.destroys() {
            // Without a credential there is nothing to ask about.
            errand.has_door(&plan.order)?;
            let question = plan
                .question
                .unwrap_or_else(|| format!("Allow {}? It sends {}.", self.tool, plan.order.target()));
            errand.confirm(&question, plan.unasked).await?;
        }
        let sent = errand.send(&plan.order).await;
        let reply = sent.map_err(|error| {
            let error = error.without(&plan.secrets);
            match (plan.instead, plan.advice) {
                (Some(hint), _) if error.code() == "NOT_SUPPORTED_BY_PLATFORM" => error.advising(hint),
                (_, Some((status, hint))) if error.fact("status") == Some(&json!(status)) => error.advising(hint),
                _ => error,
            }
        })?;
        self.answer.shape(reply, &wanted)
    }
}

impl Answer {
    fn wanted(self, given: &mut Given) -> Result<Wanted, ToolError> {
        match self {
            Self::Object => Wanted::of_object(given),
            Self::List(_) | Self::ListWithin(_) => Wanted::of_list(given),
        }
    }

    fn schemas(self) -> (Map<String, Value>, Map<String, Value>) {
        match self {
            Self::Object => (Wanted::object_arguments(), Map::new()),
            Self::List(key) | Self::ListWithin(key) => (Wanted::list_arguments(), Wanted::page_properties(key)),
        }
    }

    fn shape(self, Reply { status, body }: Reply, wanted: &Wanted) -> Result<Value, ToolError> {
        let expected = match (self, body) {
            (Self::Object, body @ Value::Object(_)) => return Ok(wanted.object(body)),
            // Nothing more to say than yes.
            (Self::Object, Value::Null) => return Ok(json!({ "raw": "", "status": status })),
            (Self::Object, _) => "an object",
            (Self::List(key), Value::Array(items)) => return Ok(Value::Object(wanted.page(key, items))),
            (Self::List(_), _) => "an array",
            (Self::ListWithin(key), Value::Object(mut fields)) => match fields.remove(key) {
                Some(Value::Array(items)) => return Ok(Value::Object(wanted.page(key, items))),
                Some(Value::Null) | None => return Ok(Value::Object(wanted.page(key, Vec::new()))),
                Some(_) => "an object with an array",
            },
            (Self::ListWithin(_), _) => "an object",
        };
        Err(ToolError::failed(
            "PLATFORM_ERROR",
            format!("the platform's answer is not {expected}"),
            "the address may name something else than a platform",
        )
        .with("status", status))
    }
}
