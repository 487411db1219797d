//! The tools for operating and managing, one file per group. A new group is one line here.

use super::desk::{Control, Management, Ops, Shared};
use crate::config::shown::Sets;
use crate::mcp::toolset::Registry;

mod agents;
mod files;
mod memory;
mod plugins;
mod schedules;

mod provision;
mod secrets;
mod teams;
mod tokens;
mod workspaces;

mod activity;
mod approvals;
mod channels;
mod control_plane;
mod discovery;
mod management;
mod remote;
mod templates;

/// The registries that a group's tools go into: each for the credentials that may carry a tool.
pub(super) struct Groups {
    /// In `ops` alone: the own workspace's token or `MOLECULE_API_KEY`.
    pub(super) ops: Registry<Ops>,
    /// In `ops` and in `management`: the weakest credential that there is.
    pub(super) shared: Registry<Shared>,
    /// In `management` alone: the organization key.
    pub(super) management: Registry<Management>,
    /// In `management` and `control`: the control plane's token.
    pub(super) control: Registry<Control>,
}

/// All groups.
pub(super) fn all() -> Groups {
    let mut tools = Groups {
        ops: Registry::of(Sets::OPS),
        shared: Registry::of(Sets::OPS | Sets::MANAGEMENT),
        management: Registry::of(Sets::MANAGEMENT),
        control: Registry::of(Sets::MANAGEMENT | Sets::CONTROL),
    };
    agents::register(&mut tools);
    files::register(&mut tools);
    memory::register(&mut tools);
    plugins::register(&mut tools);
    schedules::register(&mut tools);

    provision::register(&mut tools);
    secrets::register(&mut tools);
    teams::register(&mut tools);
    tokens::register(&mut tools);
    workspaces::register(&mut tools);

    activity::register(&mut tools);
    approvals::register(&mut tools);
    channels::register(&mut tools);
    control_plane::register(&mut tools);
    discovery::register(&mut tools);
    management::register(&mut tools);
    remote::register(&mut tools);
    templates::register(&mut tools);
    tools
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tricks;
