//! Tools that are one request: they say which, and the rest is done here, once for all of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::confirm::Unasked;
use super::listing::{CUT_AT, Wanted};
use super::{Desk, NO_PLATFORM, Reply};
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
    /// Whether `workspace_id` may be left out, and the own workspace is meant then.
    const AT_HOME: bool = false;

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
    /// An object that holds an array of this name, or the array alone; the result is a page of that.
    ListWithin(&'static str),
}

/// A request, and what has to be known about it besides. It holds secrets, so it cannot be shown.
pub(in crate::tools) struct Plan {
    pub(in crate::tools) order: Order,
    question: Option<String>,
    unasked: Unasked,
    secrets: Vec<String>,
    advice: Vec<(u16, &'static str)>,
    instead: Option<&'static str>,
    view: View,
    also: Option<(Order, View)>,
}

/// How one item of a list is shown; `None`: not at all.
type View = fn(Value) -> Option<Value>;

impl From<Order> for Plan {
    fn from(order: Order) -> Self {
        Self {
            order,
            question: None,
            unasked: Unasked::Proceed,
            secrets: Vec::new(),
            advice: Vec::new(),
            instead: None,
            view: Some,
            also: None,
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
        self.advice.push((status, hint));
        self
    }

    /// What to do on a platform that no longer has the route.
    #[must_use]
    pub(in crate::tools) fn replaced_by(mut self, hint: &'static str) -> Self {
        self.instead = Some(hint);
        self
    }

    /// Of a list, show what `view` makes of each item, where it makes something.
    #[must_use]
    pub(in crate::tools) fn viewing(mut self, view: fn(Value) -> Option<Value>) -> Self {
        self.view = view;
        self
    }

    /// Behind the items of the list, also show those that `order` brings, where the platform has that route.
    #[must_use]
    pub(in crate::tools) fn and(mut self, order: Order, view: fn(Value) -> Option<Value>) -> Self {
        self.also = Some((order, view));
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
            at_home: T::AT_HOME,
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
    let described = Description::with::<T>(further, results);
    if T::AT_HOME {
        described.optional(WORKSPACE)
    } else {
        described
    }
}

/// The argument that [`Plain::AT_HOME`] is about.
const WORKSPACE: &str = "workspace_id";

/// All that differs between plain tools when they run, as values, so that running them is compiled once.
#[derive(Clone, Copy)]
struct Steps {
    tool: &'static str,
    effect: Effect,
    answer: Answer,
    at_home: bool,
    plan: fn(Given) -> Result<Plan, ToolError>,
}

impl Steps {
    async fn run(
        self,
        desk: Arc<dyn AsRef<Desk> + Send + Sync>,
        mut given: Given,
        call: Call,
    ) -> Result<Value, ToolError> {
        let errand = (*desk).as_ref().errand(self.tool, &call);
        if self.at_home && !given.has(WORKSPACE) {
            given.put(WORKSPACE, json!(errand.home()?));
        }
        let wanted = self.answer.wanted(&mut given)?;
        let plan = (self.plan)(given)?;
        if self.effect.destroys() {
            // Without a credential there is nothing to ask about.
            errand.has_door(&plan.order)?;
            let question = plan
                .question
                .unwrap_or_else(|| format!("Allow {}? It sends {}.", self.tool, plan.order.target()));
            errand.confirm(&question, plan.unasked).await?;
        }
        let sent = errand.send(&plan.order).await;
        let mut reply = sent.map_err(|error| {
            let error = error.without(&plan.secrets);
            let status = error.fact("status").cloned().unwrap_or_default();
            let advice = plan.advice.iter().find(|(known, _)| status == *known);
            match (plan.instead, advice) {
                (Some(hint), _) if error.code() == "NOT_SUPPORTED_BY_PLATFORM" => error.advising(hint),
                (_, Some((_, hint))) => error.advising(*hint),
                _ => error,
            }
        })?;
        view_items(self.answer.items(&mut reply.body), plan.view);
        if let Some((order, view)) = plan.also {
            let mut further = match errand.send(&order).await {
                Ok(further) => further.body,
                Err(error) if error.code() == "NOT_SUPPORTED_BY_PLATFORM" => Value::Null,
                Err(error) => return Err(error),
            };
            view_items(further.as_array_mut(), view);
            if let (Some(items), Value::Array(further)) = (self.answer.items(&mut reply.body), further) {
                items.extend(further);
            }
        }
        self.answer.shape(reply, &wanted)
    }
}

fn view_items(items: Option<&mut Vec<Value>>, view: View) {
    if let Some(items) = items {
        *items = std::mem::take(items).into_iter().filter_map(view).collect();
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

    /// The items of a list, before they are paged.
    fn items(self, body: &mut Value) -> Option<&mut Vec<Value>> {
        match (self, body) {
            (Self::List(_) | Self::ListWithin(_), Value::Array(items)) => Some(items),
            (Self::ListWithin(key), body) => body.get_mut(key)?.as_array_mut(),
            _ => None,
        }
    }

    fn shape(self, reply: Reply, wanted: &Wanted) -> Result<Value, ToolError> {
        let Reply { status, body, cut_at } = reply;
        let expected = match (self, body) {
            (Self::Object, Value::Object(fields)) => return Ok(Value::Object(wanted.object(fields))),
            // Nothing more to say than yes.
            (Self::Object, Value::Null) => return Ok(json!({ "raw": "", "status": status })),
            (Self::Object, _) => "an object",
            (Self::List(key) | Self::ListWithin(key), Value::Array(items)) => {
                let mut page = wanted.page(key, items);
                page.extend(cut_at.map(|rows| (CUT_AT.to_owned(), json!(rows))));
                return Ok(Value::Object(page));
            }
            // An empty list, as programs in Go write it.
            (Self::List(key) | Self::ListWithin(key), Value::Null) => {
                return Ok(Value::Object(wanted.page(key, Vec::new())));
            }
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
            NO_PLATFORM,
        )
        .with("status", status))
    }
}
