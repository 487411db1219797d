//! Which credential carries a request: the weakest that the route accepts, among those the set of tools may use.

use crate::mcp::answer::ToolError;
use crate::platform::client::Answer;
use crate::platform::control::ControlApi;
use crate::platform::error::CallError;
use crate::platform::order::{Gate, Order};
use crate::platform::org::OrgApi;
use crate::platform::tenant::{KeyApi, PublicApi};
use crate::platform::workspace::WorkspaceApi;
use crate::types::{BaseUrl, WorkspaceId};

/// The ways in that a set of tools has, weakest first.
#[derive(Debug)]
pub(in crate::tools) struct Doors {
    public: Option<PublicApi>,
    /// Of workspaces at this tenant.
    own: Vec<WorkspaceApi>,
    key: Option<KeyApi>,
    org: Option<OrgApi>,
    control: Option<ControlApi>,
    promotion: Option<ControlApi>,
    /// What is missing when no door opens.
    lack: Lack,
}

#[derive(Clone, Copy, Debug)]
enum Lack {
    ApiKey,
    AnyKey,
    OrgKey,
    ControlToken,
    PromotionToken,
}

/// The way a request takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Door<'a> {
    Public(&'a PublicApi),
    Own(&'a WorkspaceApi),
    Key(&'a KeyApi),
    Org(&'a OrgApi),
    Control(&'a ControlApi),
    Promotion(&'a ControlApi),
}

impl Doors {
    const NONE: Self = Self {
        public: None,
        own: Vec::new(),
        key: None,
        org: None,
        control: None,
        promotion: None,
        lack: Lack::ApiKey,
    };

    pub(super) fn ops(public: PublicApi, own: Vec<WorkspaceApi>, key: Option<KeyApi>) -> Self {
        Self {
            public: Some(public),
            own,
            key,
            ..Self::NONE
        }
    }

    pub(super) fn shared(public: PublicApi, own: Vec<WorkspaceApi>, key: Option<KeyApi>, org: Option<OrgApi>) -> Self {
        Self {
            public: Some(public),
            own,
            key,
            org,
            lack: Lack::AnyKey,
            ..Self::NONE
        }
    }

    pub(super) fn management(org: Option<OrgApi>) -> Self {
        Self {
            org,
            lack: Lack::OrgKey,
            ..Self::NONE
        }
    }

    pub(super) fn control(control: Option<ControlApi>) -> Self {
        Self {
            control,
            lack: Lack::ControlToken,
            ..Self::NONE
        }
    }

    pub(super) fn promotion(promotion: Option<ControlApi>) -> Self {
        Self {
            promotion,
            lack: Lack::PromotionToken,
            ..Self::NONE
        }
    }

    /// Where the tenant is, for those whose doors include the public one.
    pub(super) fn tenant(&self) -> Option<&BaseUrl> {
        self.public.as_ref().map(PublicApi::base)
    }

    /// The workspace whose own token is among the ways, if it is one only.
    pub(super) fn home(&self) -> Option<&WorkspaceId> {
        match &*self.own {
            [only] => Some(only.workspace()),
            _ => None,
        }
    }

    /// The way for a request.
    ///
    /// # Errors
    /// When there is none; which variable is missing. Nothing is sent then.
    pub(super) fn find(&self, gate: &Gate) -> Result<Door<'_>, ToolError> {
        let own = match gate {
            Gate::Workspace(id) => self.own.iter().find(|own| own.workspace() == id),
            Gate::Member => self.own.first(),
            Gate::Open | Gate::Admin => None,
        };
        let public = self.public.as_ref().filter(|_| *gate == Gate::Open);
        public
            .map(Door::Public)
            .or_else(|| own.map(Door::Own))
            .or_else(|| self.key.as_ref().map(Door::Key))
            .or_else(|| self.org.as_ref().map(Door::Org))
            .or_else(|| self.control.as_ref().map(Door::Control))
            .or_else(|| self.promotion.as_ref().map(Door::Promotion))
            .ok_or_else(|| self.lack.error())
    }
}

impl Lack {
    fn error(self) -> ToolError {
        match self {
            Self::ApiKey => ToolError::failed(
                "AUTH_ERROR",
                "this tool needs a key of the tenant, and MOLECULE_API_KEY is not set; nothing was sent",
                "set MOLECULE_API_KEY in the environment of this server and start it again; the workspace's own token opens \
                 only routes of its own workspace",
            ),
            Self::AnyKey => ToolError::failed(
                "AUTH_ERROR",
                "this tool needs a key of the tenant, and MOLECULE_API_KEY is not set; nothing was sent",
                "set MOLECULE_API_KEY in the environment of this server and start it again; MOLECULE_ORG_API_KEY counts only \
                 when MOLECULE_MCP_TOOLSETS names the set management",
            ),
            Self::OrgKey => ToolError::failed(
                "AUTH_ERROR",
                "this tool needs the organization key, and MOLECULE_ORG_API_KEY is not set or not in use; nothing was sent",
                "set MOLECULE_ORG_API_KEY, and MOLECULE_MCP_MODE=management or the set management in MOLECULE_MCP_TOOLSETS, \
                 and start this server again",
            ),
            Self::ControlToken => ToolError::failed(
                "CP_TIER_NOT_CONFIGURED",
                "this tool talks to the control plane, and CP_ADMIN_API_TOKEN is not set; nothing was sent",
                "set CP_ADMIN_API_TOKEN (and MOLECULE_CP_URL for another control plane) and start this server again",
            ),
            Self::PromotionToken => ToolError::failed(
                "CP_PROMOTE_NOT_CONFIGURED",
                "a rollout in production needs a token of its own, and CP_PROMOTE_PROD_API_TOKEN is not set; nothing was sent",
                "set CP_PROMOTE_PROD_API_TOKEN and start this server again; CP_ADMIN_API_TOKEN is never used for this",
            ),
        }
    }
}

impl Door<'_> {
    pub(super) async fn send(self, order: &Order) -> Result<Answer, CallError> {
        match self {
            Self::Public(api) => api.send(order).await,
            Self::Own(api) => api.send(order).await,
            Self::Key(api) => api.send(order).await,
            Self::Org(api) => api.send(order).await,
            Self::Control(api) | Self::Promotion(api) => api.send(order).await,
        }
    }

    /// What to do about a refusal of the credential that was sent.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Public(_) => "the platform wants a credential for this: set MOLECULE_API_KEY",
            Self::Own(_) => {
                "the workspace's token was refused: it is wrong, revoked, or may not do this; a new one comes from the \
                 canvas, Tokens tab, and MOLECULE_API_KEY may do more"
            }
            Self::Key(_) => "MOLECULE_API_KEY was refused: it is wrong, revoked, of another tenant, or may not do this",
            Self::Org(_) => {
                "MOLECULE_ORG_API_KEY was refused: it is wrong, revoked, or of another organization than MOLECULE_ORG_ID"
            }
            Self::Promotion(_) => "CP_PROMOTE_PROD_API_TOKEN was refused by the control plane",
            Self::Control(_) => "CP_ADMIN_API_TOKEN was refused by the control plane",
        }
    }
}
