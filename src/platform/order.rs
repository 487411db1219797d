//! A request to a tenant or the control plane as data, without a credential: what it asks, and which credential may carry
//! it.

use std::fmt;

use reqwest::Method;
use serde_json::Value;

use super::client::{Answer, Class, Client, Request};
use super::error::CallError;
use crate::types::{FilePath, KeyName, ResourceId, Secret, Slug, WorkspaceId};

/// Largest answer that is read for a tool: it is cut to what one result holds later.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read.
    Get,
    /// Make, or make happen.
    Post,
    /// Replace.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

impl Verb {
    /// As it stands in a request line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// Whose credential a route accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Anyone's, and none.
    Open,
    /// The token of this workspace, and every stronger key.
    Workspace(WorkspaceId),
    /// The token of any workspace, and every stronger key.
    Member,
    /// Only keys of the tenant as a whole.
    Admin,
}

/// One part of a path that was checked by its type, or stands in this program.
pub struct Segment(String);

impl From<&'static str> for Segment {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

macro_rules! segment_of {
    ($($name:ty),*) => { $(
        impl From<&$name> for Segment {
            fn from(id: &$name) -> Self {
                Self(id.as_str().to_owned())
            }
        }
    )* };
}
segment_of!(WorkspaceId, ResourceId, KeyName, Slug);

/// A request, ready to be sent by whoever holds a credential for it.
#[derive(Clone, PartialEq)]
pub struct Order {
    /// What to do.
    pub verb: Verb,
    /// Path segments, unescaped.
    pub path: Vec<String>,
    /// Query pairs, unescaped.
    pub query: Vec<(&'static str, String)>,
    /// Most rows of a list that are asked for (`limit`).
    pub rows: Option<u16>,
    /// JSON body.
    pub body: Option<Value>,
    /// Whose credential the route accepts.
    pub gate: Gate,
    /// Sent as `X-Workspace-ID`.
    pub sender: Option<String>,
    /// Sent as `X-Confirm-Name`.
    pub confirm_name: Option<String>,
    /// The deadline.
    pub class: Class,
    /// A question that only this verb can carry: nothing changes.
    pub asks: bool,
}

impl Order {
    /// A route below `/workspaces/:id`, which the workspace's own token opens.
    #[must_use]
    pub fn workspace<const N: usize>(verb: Verb, id: &WorkspaceId, rest: [Segment; N]) -> Self {
        let path = ["workspaces".to_owned(), id.as_str().to_owned()];
        let path = path.into_iter().chain(rest.into_iter().map(|segment| segment.0));
        Self::new(verb, path.collect(), Gate::Workspace(id.clone()))
    }

    /// A route that only the tenant's keys open.
    #[must_use]
    pub fn admin<const N: usize>(verb: Verb, path: [Segment; N]) -> Self {
        let path = path.into_iter().map(|segment| segment.0);
        Self::new(verb, path.collect(), Gate::Admin)
    }

    /// A route that is open to everyone.
    #[must_use]
    pub fn open<const N: usize>(verb: Verb, path: [Segment; N]) -> Self {
        Self {
            gate: Gate::Open,
            ..Self::admin(verb, path)
        }
    }

    fn new(verb: Verb, path: Vec<String>, gate: Gate) -> Self {
        Self {
            verb,
            path,
            query: Vec::new(),
            rows: None,
            body: None,
            gate,
            sender: None,
            confirm_name: None,
            class: Class::Long,
            asks: false,
        }
    }

    /// The same route, which the token of this workspace opens.
    #[must_use]
    pub fn opened_by(mut self, id: &WorkspaceId) -> Self {
        self.gate = Gate::Workspace(id.clone());
        self
    }

    /// The same route, which the token of any workspace opens.
    #[must_use]
    pub fn for_members(mut self) -> Self {
        self.gate = Gate::Member;
        self
    }

    /// It only asks, whatever its verb says.
    #[must_use]
    pub fn asking(mut self) -> Self {
        self.asks = true;
        self
    }

    /// The same route, but opened by the tenant's keys alone.
    #[must_use]
    pub fn for_admin(mut self) -> Self {
        self.gate = Gate::Admin;
        self
    }

    /// The same path with the parts of a file's path behind it.
    #[must_use]
    pub fn file(mut self, path: &FilePath) -> Self {
        self.path.extend(path.segments().map(str::to_owned));
        self
    }

    /// With this JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// With this query parameter, if there is a value.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// A list of which at most so many rows are asked for. Where they are too large together, [`Order::fewer`] asks for less.
    #[must_use]
    pub fn rows(mut self, most: u16) -> Self {
        self.rows = Some(most);
        self
    }

    /// The same list with a tenth of the rows; `None` where it is none, or one row already.
    #[must_use]
    pub fn fewer(&self) -> Option<Self> {
        let rows = self.rows.filter(|rows| *rows > 1)?;
        Some(self.clone().rows(rows.div_ceil(10)))
    }

    /// In the name of this workspace (`X-Workspace-ID`).
    #[must_use]
    pub fn sent_by(mut self, id: &WorkspaceId) -> Self {
        self.sender = Some(id.as_str().to_owned());
        self
    }

    /// With the name that the platform wants repeated before it removes something (`X-Confirm-Name`).
    #[must_use]
    pub fn confirming(mut self, name: Option<&str>) -> Self {
        self.confirm_name = name.map(str::to_owned);
        self
    }

    /// May take minutes.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.class = Class::Patient;
        self
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.verb != Verb::Get && !self.asks
    }

    /// Where it goes, as `DELETE /workspaces/x`: ids and names only, never a value.
    #[must_use]
    pub fn target(&self) -> String {
        format!("{} /{}", self.verb.as_str(), self.path.join("/"))
    }
}

/// Bodies may hold secrets.
impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target())
    }
}

/// Sends an order with this credential and no other.
pub(super) async fn send(client: &Client, order: &Order, bearer: Option<Secret>) -> Result<Answer, CallError> {
    let path: Vec<&str> = order.path.iter().map(String::as_str).collect();
    client.send(request(order, &path, bearer)).await
}

pub(super) fn request<'a>(order: &'a Order, path: &'a [&'a str], bearer: Option<Secret>) -> Request<'a> {
    let mut query = order.query.clone();
    query.extend(order.rows.map(|rows| ("limit", rows.to_string())));
    Request {
        method: order.verb.method(),
        path,
        query,
        body: order.body.clone(),
        file: None,
        bearer,
        sender: order.sender.as_deref(),
        confirm_name: order.confirm_name.as_deref(),
        class: order.class,
        limit: MAX_ANSWER,
    }
}
