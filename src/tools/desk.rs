//! What the tools share that change or read a platform from outside: credentials, the audit record, paging, errors.
//!
//! A tool of this kind is usually `plain::Plain`: it only says which request it is, and everything else happens here.
//! One that needs several requests is a [`crate::mcp::toolset::Tool`] and sends each through an `Errand`.

use std::ops::Deref;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::Timing;
use crate::mcp::call::Call;
use crate::platform::control::ControlApi;
use crate::platform::org::OrgApi;
use crate::platform::tenant::{KeyApi, PublicApi};
use crate::platform::workspace::WorkspaceApi;
use crate::state::audit::Audit;
use crate::types::{BaseUrl, WorkspaceId};

pub(super) mod confirm;
mod doors;
mod errand;
mod failure;
pub(super) mod keep;
pub(super) mod listing;
pub(super) mod plain;

/// What a platform told, or what was made of that: mostly the platform's own fields.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Told(pub(super) Map<String, Value>);

/// What to do about an answer that is none of a platform's.
pub(super) const NO_PLATFORM: &str = "the address may name something else than a platform";

pub(super) use doors::Doors;
pub(super) use errand::{Errand, Reply};

/// What all of them need, whatever their credential.
#[derive(Clone, Debug)]
pub struct Common {
    /// The folder of the audit record and of minted tokens.
    pub state_dir: PathBuf,
    /// The organization whose id is meant when a tool is given none.
    pub org_id: Option<String>,
    /// Shortens waits in tests.
    pub timing: Timing,
}

/// A place to work at: the doors that one set of tools may use, and the common things.
#[derive(Debug)]
pub struct Desk {
    doors: Doors,
    pub(super) common: Common,
    audit: Audit,
}

impl Desk {
    fn new(doors: Doors, common: Common) -> Self {
        Self {
            doors,
            audit: Audit::new(common.state_dir.clone()),
            common,
        }
    }

    /// The workspace that is meant where a tool may be given none: the only one whose own token this desk holds.
    pub(super) fn home(&self) -> Option<&WorkspaceId> {
        self.doors.home()
    }

    /// Where the tenant is, for the sets that may look at it without a credential.
    pub(super) fn tenant(&self) -> Option<&BaseUrl> {
        self.doors.tenant()
    }

    /// Begins the work of one call of the tool called `tool`.
    pub(super) fn errand<'a>(&'a self, tool: &'static str, call: &'a Call) -> Errand<'a> {
        Errand::new(self, tool, call)
    }
}

/// For tools of the set `ops`: the own workspace's token and `MOLECULE_API_KEY`.
#[derive(Debug)]
pub struct Ops(Desk);

/// For tools that are in `ops` and `management` at once: the weakest credential that the route accepts.
#[derive(Debug)]
pub struct Shared(Desk);

/// For tools of the set `management` alone: the organization key.
#[derive(Debug)]
pub struct Management(Desk);

/// For tools of the control plane: its token. Rollouts in production have a token, and so a desk, of their own.
#[derive(Debug)]
pub struct Control(Desk, Desk);

impl Ops {
    /// `own`: the workspaces whose platform the tenant is.
    #[must_use]
    pub fn new(public: PublicApi, own: Vec<WorkspaceApi>, key: Option<KeyApi>, common: Common) -> Self {
        Self(Desk::new(Doors::ops(public, own, key), common))
    }
}

impl Shared {
    /// As [`Ops::new`]; `org` when the organization key may be used.
    #[must_use]
    pub fn new(
        public: PublicApi,
        own: Vec<WorkspaceApi>,
        key: Option<KeyApi>,
        org: Option<OrgApi>,
        common: Common,
    ) -> Self {
        Self(Desk::new(Doors::shared(public, own, key, org), common))
    }

    /// In management mode, where every call takes the organization key.
    #[must_use]
    pub fn managing(org: Option<OrgApi>, common: Common) -> Self {
        Self(Desk::new(Doors::management(org), common))
    }
}

impl Management {
    /// Without a key every call is refused before anything is sent.
    #[must_use]
    pub fn new(org: Option<OrgApi>, common: Common) -> Self {
        Self(Desk::new(Doors::management(org), common))
    }
}

impl Control {
    /// Without a token every call is refused before anything is sent.
    #[must_use]
    pub fn new(control: Option<ControlApi>, promotion: Option<ControlApi>, common: Common) -> Self {
        Self(
            Desk::new(Doors::control(control), common.clone()),
            Desk::new(Doors::promotion(promotion), common),
        )
    }

    /// Where rollouts in production are worked on.
    pub(super) fn production(&self) -> &Desk {
        &self.1
    }
}

macro_rules! is_a_desk {
    ($($name:ident),*) => { $(
        impl Deref for $name {
            type Target = Desk;
            fn deref(&self) -> &Desk {
                &self.0
            }
        }
        impl AsRef<Desk> for $name {
            fn as_ref(&self) -> &Desk {
                &self.0
            }
        }
    )* };
}
is_a_desk!(Ops, Shared, Management, Control);
