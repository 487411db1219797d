//! All tools there are, and those of them that a client is shown.

use super::agent::Opening;
use super::desk::{Control, Management, Ops, Shared};
use super::workspaces::Workspaces;
use super::{agent, groups, memory, peers};
use crate::config::Problem;
use crate::config::shown::{Mode, Sets, Shown};
use crate::mcp::toolset::{Duplicate, Face, Registry, Toolset};

/// The schedules of the own workspace: what the mode `self` shows.
const OWN: [&str; 6] = [
    "list_schedules",
    "create_schedule",
    "update_schedule",
    "delete_schedule",
    "run_schedule",
    "get_schedule_history",
];

/// Always shown: an agent that cannot make a workspace is told what is missing.
const ALWAYS: &str = "provision_workspace";

/// Every tool, by what it works with.
pub struct Catalogue {
    agent: Registry<Workspaces>,
    groups: groups::Groups,
}

/// What tools work with. A desk that is missing belongs to tools that are not shown.
pub struct Workbench {
    /// Of the workspace; `None` where there is none.
    pub agent: Option<Opening>,
    /// Of the set `ops`.
    pub ops: Ops,
    /// Of what `ops` and `management` share.
    pub shared: Shared,
    /// Of the set `management`.
    pub management: Management,
    /// Of the control plane.
    pub control: Control,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalogue {
    /// All tools.
    #[must_use]
    pub fn new() -> Self {
        Self {
            agent: agent::registry(),
            groups: groups::all(),
        }
    }

    /// What the tools are, sorted by name.
    #[must_use]
    pub fn faces(&self) -> Vec<Face> {
        let groups = &self.groups;
        let mut faces: Vec<_> = self
            .agent
            .faces()
            .chain(groups.ops.faces())
            .chain(groups.shared.faces())
            .chain(groups.management.faces())
            .chain(groups.control.faces())
            .collect();
        faces.sort_by_key(|face| face.name);
        faces
    }

    /// Whether every word of `MOLECULE_MCP_TOOLSETS` means something in this mode.
    ///
    /// # Errors
    /// One problem for all words that do not.
    pub fn check(&self, shown: &Shown) -> Result<(), Problem> {
        let faces = self.faces();
        let is_known = |name: &str| faces.iter().any(|face| face.name == name && belongs(shown.mode, face));
        let mut unknown: Vec<&str> = shown
            .tools
            .iter()
            .map(String::as_str)
            .filter(|name| !is_known(name))
            .collect();
        // `all` names every set; one by one they must exist here.
        if Some(shown.sets) != Sets::named("all") && shown.sets != Sets::NONE {
            let has = |name: &&str| {
                let set = Sets::named(name).unwrap_or(Sets::NONE);
                faces
                    .iter()
                    .any(|face| face.sets.meet(set) && belongs(shown.mode, face))
            };
            for name in shown.sets.names().filter(|name| !has(name)) {
                unknown.push(name);
            }
        }
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(Shown::unknown(&unknown))
        }
    }

    /// The tools to show, working at their desks. `has_api_key` shows `ops` unless the user chose.
    ///
    /// # Errors
    /// When two tools have the same name.
    pub fn finish(mut self, shown: &Shown, has_api_key: bool, bench: Workbench) -> Result<Toolset, Duplicate> {
        if shown.mode == Mode::Operating {
            peers::register_alone(&mut self.groups.ops);
            memory::register_alone(&mut self.groups.ops);
        }
        let keep = |face: &Face| is_shown(shown, has_api_key, face);
        self.agent.retain(keep);
        self.groups.ops.retain(keep);
        self.groups.shared.retain(keep);
        self.groups.management.retain(keep);
        self.groups.control.retain(keep);
        let tools = self
            .groups
            .ops
            .finish(bench.ops)?
            .and(self.groups.shared.finish(bench.shared)?)?
            .and(self.groups.management.finish(bench.management)?)?
            .and(self.groups.control.finish(bench.control)?)?;
        match bench.agent {
            Some(opening) => agent::finish(self.agent, opening)?.and(tools),
            None => Ok(tools),
        }
    }
}

/// Whether a mode has this tool at all.
fn belongs(mode: Mode, face: &Face) -> bool {
    match mode {
        Mode::Workspace => true,
        Mode::Management => face.sets.meet(Sets::MANAGEMENT),
        Mode::Operating => face.sets.meet(Sets::OPS | Sets::MANAGEMENT | Sets::CONTROL),
        Mode::Own => OWN.contains(&face.name),
    }
}

fn is_shown(shown: &Shown, has_api_key: bool, face: &Face) -> bool {
    let chosen = if shown.is_chosen() {
        face.sets.meet(shown.sets) || shown.tools.iter().any(|name| name == face.name)
    } else {
        shown.mode == Mode::Own || face.sets.meet(shown.usual(has_api_key)) || face.name == ALWAYS
    };
    chosen && belongs(shown.mode, face) && !(shown.read_only && face.effect.writes())
}

#[cfg(test)]
mod tests;
