//! Puts credentials where they belong: each set of tools gets its own, and no other.

use crate::config::Config;
use crate::config::access::Access;
use crate::config::management::Management as ManagementConfig;
use crate::config::proxy::Route;
use crate::config::shown::Mode;
use crate::platform::client::{Client, Settings};
use crate::platform::control::ControlApi;
use crate::platform::org::OrgApi;
use crate::platform::tenant::{KeyApi, PublicApi};
use crate::platform::workspace::WorkspaceApi;
use crate::tools::agent::Opening;
use crate::tools::catalogue::Workbench;
use crate::tools::desk::{Common, Control, Management, Ops, Shared};
use crate::types::Secret;

/// The desk of the set `ops` in the daemon of one or more workspaces.
pub(super) fn ops(config: &Config, own: Vec<WorkspaceApi>) -> Ops {
    let access = &config.access;
    let tenant = tenant(access, config.org_id.clone(), &config.route);
    let key = access.api_key.clone().map(|key| KeyApi::new(tenant.clone(), key));
    Ops::new(PublicApi::new(tenant), at_tenant(access, own), key, common(config))
}

/// A workspace's token goes to its own platform and nowhere else.
fn at_tenant(access: &Access, mut own: Vec<WorkspaceApi>) -> Vec<WorkspaceApi> {
    own.retain(|own| *own.client().base() == access.tenant);
    own
}

/// For the daemon of one or more workspaces. The organization key takes part only when its set was named.
pub(super) fn of_workspaces(config: &Config, own: Vec<WorkspaceApi>, opening: Opening) -> Workbench {
    let access = &config.access;
    let ops = ops(config, own.clone());
    let own = at_tenant(access, own);
    let common = common(config);
    let tenant = tenant(access, config.org_id.clone(), &config.route);
    let public = PublicApi::new(tenant.clone());
    let key = access.api_key.clone().map(|key| KeyApi::new(tenant.clone(), key));
    let org_key = access.org_key.clone().filter(|_| config.shown.uses_org_key());
    let org = org_key.map(|key| OrgApi::new(tenant, key));
    Workbench {
        agent: Some(opening),
        ops,
        shared: Shared::new(public, own, key, org.clone(), common.clone()),
        management: Management::new(org, common.clone()),
        control: control(access, &config.route, common),
    }
}

/// For a server without a workspace.
pub(super) fn of_management(config: &ManagementConfig) -> Workbench {
    let access = &config.access;
    let common = Common {
        state_dir: config.state_dir.clone(),
        org_id: config.org_id.clone(),
        timing: config.timing,
    };
    let tenant = tenant(access, config.org_id.clone(), &config.route);
    let org_key = access.org_key.clone().filter(|_| config.shown.uses_org_key());
    let org = org_key.map(|key| OrgApi::new(tenant.clone(), key));
    let public = PublicApi::new(tenant.clone());
    let (key, shared) = match config.shown.mode {
        Mode::Management => (None, Shared::managing(org.clone(), common.clone())),
        _ => {
            let key = access.api_key.clone().map(|key| KeyApi::new(tenant, key));
            let shared = Shared::new(public.clone(), Vec::new(), key.clone(), org.clone(), common.clone());
            (key, shared)
        }
    };
    Workbench {
        agent: None,
        ops: Ops::new(public, Vec::new(), key, common.clone()),
        shared,
        management: Management::new(org, common.clone()),
        control: control(access, &config.route, common),
    }
}

fn common(config: &Config) -> Common {
    Common {
        state_dir: config.state_dir.clone(),
        org_id: config.org_id.clone(),
        timing: config.timing,
    }
}

fn tenant(access: &Access, org_id: Option<String>, route: &Route) -> Client {
    Client::new(Settings {
        base: access.tenant.clone(),
        org_id,
        org_slug: access.org_slug.clone(),
        route: route.clone(),
    })
}

/// The control plane is told of no organization: its routes name one where they mean one.
fn control(access: &Access, route: &Route, common: Common) -> Control {
    let client = Client::new(Settings {
        base: access.control_plane.clone(),
        org_id: None,
        org_slug: None,
        route: route.clone(),
    });
    let api = |token: &Secret| ControlApi::new(client.clone(), token.clone());
    let (control, promotion) = (&access.control_token, &access.promotion_token);
    Control::new(control.as_ref().map(api), promotion.as_ref().map(api), common)
}
