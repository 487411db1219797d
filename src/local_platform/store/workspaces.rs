//! Workspaces, and the rule who may reach whom.

use rusqlite::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Store;
use crate::local_platform::clock::{self, Micros};
use crate::local_platform::server::Level;

/// The kind of their documents.
pub(super) const KIND: &str = "workspace";
/// How far the walk to an ancestor goes.
const MAX_DEPTH: usize = 32;

/// One workspace, removed ones included.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Option<String>,
    pub(crate) tier: i64,
    pub(crate) status: String,
    pub(crate) runtime: String,
    /// `push` or `poll`.
    pub(crate) delivery_mode: String,
    pub(crate) url: Option<String>,
    pub(crate) parent_id: Option<String>,
    pub(crate) agent_card: Option<Value>,
    pub(crate) active_tasks: i64,
    pub(crate) max_concurrent_tasks: i64,
    pub(crate) last_error_rate: f64,
    pub(crate) last_sample_error: String,
    pub(crate) uptime_seconds: i64,
    pub(crate) current_task: String,
    pub(crate) workspace_dir: Option<String>,
    pub(crate) monthly_spend: i64,
    pub(crate) budget_limit: Option<i64>,
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) collapsed: bool,
    pub(crate) inbound_secret: Option<String>,
    /// The last beat or register.
    pub(crate) last_beat: Option<Micros>,
    /// When the liveness key expires; `None` once it has.
    pub(crate) alive_until: Option<Micros>,
    pub(crate) last_outbound_at: Option<Micros>,
    pub(crate) removed_at: Option<Micros>,
    /// The greatest `seq` acknowledged (level C).
    pub(crate) acked_seq: i64,
    /// Level C: may tell everyone at once.
    #[serde(default)]
    pub(crate) broadcast_enabled: bool,
    /// Level C: may not write to the person.
    #[serde(default)]
    pub(crate) talk_to_user_disabled: bool,
}

impl Workspace {
    /// A fresh workspace without parent, card or url.
    pub(crate) fn new(id: String, name: String) -> Self {
        Self {
            id,
            name,
            tier: 3,
            status: "provisioning".to_owned(),
            runtime: "langgraph".to_owned(),
            delivery_mode: "push".to_owned(),
            max_concurrent_tasks: 1,
            ..Self::default()
        }
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.status == "removed"
    }

    pub(crate) fn is_external(&self) -> bool {
        self.runtime == "external"
    }

    /// The row of `GET /workspaces/:id`.
    pub(crate) fn public_row(&self, level: Level) -> Value {
        let mut row = self.common_row(level);
        row["last_outbound_at"] = json!(self.last_outbound_at.map(clock::text));
        if level == Level::C {
            row["last_heartbeat_at"] = json!(self.last_beat.map(clock::text));
            row["last_sample_error"] = json!(self.last_sample_error);
            row["wedged"] = json!(false);
        }
        row
    }

    /// What both rows have.
    fn common_row(&self, level: Level) -> Value {
        let mut row = json!({
            "id": self.id, "name": self.name, "role": self.role, "tier": self.tier, "status": self.status,
            "url": self.url.as_deref().unwrap_or_default(), "parent_id": self.parent_id,
            "active_tasks": self.active_tasks, "max_concurrent_tasks": self.max_concurrent_tasks,
            "last_error_rate": self.last_error_rate, "uptime_seconds": self.uptime_seconds, "runtime": self.runtime,
            "x": self.x, "y": self.y, "collapsed": self.collapsed, "agent_card": self.agent_card,
        });
        if level == Level::C {
            row["kind"] = json!(if self.parent_id.is_none() {
                "platform"
            } else {
                "workspace"
            });
            row["broadcast_enabled"] = json!(self.broadcast_enabled);
            row["talk_to_user_enabled"] = json!(!self.talk_to_user_disabled);
            row["compute"] = json!({});
            row["loaded_mcp_tools"] = json!([]);
            row["mcp_surface"] = Value::Null;
        }
        row
    }

    /// The row of `GET /workspaces`.
    pub(crate) fn admin_row(&self, level: Level) -> Value {
        let mut row = self.common_row(level);
        row["last_sample_error"] = json!(self.last_sample_error);
        row["current_task"] = json!(self.current_task);
        row["workspace_dir"] = json!(self.workspace_dir);
        row["monthly_spend"] = json!(self.monthly_spend);
        row["budget_limit"] = json!(self.budget_limit);
        row
    }
}

impl Store {
    /// One workspace by id.
    pub(crate) fn workspace(&self, id: &str) -> Result<Option<Workspace>> {
        self.get(KIND, id)
    }

    /// All workspaces in the order of their making, removed ones included.
    pub(crate) fn workspaces(&self) -> Result<Vec<Workspace>> {
        self.list(KIND)
    }

    /// Writes a workspace whole.
    pub(crate) fn put_workspace(&self, workspace: &Workspace) -> Result<()> {
        self.put(KIND, &workspace.id, workspace)
    }

    /// Changes a workspace in place; `None` when it is unknown.
    pub(crate) fn change_workspace<R>(&self, id: &str, change: impl FnOnce(&mut Workspace) -> R) -> Result<Option<R>> {
        self.change(KIND, id, change)
    }

    /// Removes every trace of a workspace's row.
    pub(crate) fn purge_workspace(&self, id: &str) -> Result<()> {
        self.delete(KIND, id)
    }

    /// The root that level C puts above workspaces made without a parent; made on first use.
    pub(crate) fn concierge(&self) -> Result<String> {
        const NAME: &str = "Org Concierge";
        let found = self
            .workspaces()?
            .into_iter()
            .find(|ws| ws.parent_id.is_none() && ws.name == NAME);
        if let Some(found) = found {
            return Ok(found.id);
        }
        let mut root = Workspace::new(Uuid::new_v4().to_string(), NAME.to_owned());
        root.status = "online".to_owned();
        self.put_workspace(&root)?;
        Ok(root.id)
    }

    /// Whether `one` and `other` may exchange messages: the same, siblings, or one above the other. Status does not
    /// count. Level C wants both under one root besides.
    pub(crate) fn may_communicate(&self, level: Level, one: &str, other: &str) -> Result<bool> {
        let (Some(first), Some(second)) = (self.workspace(one)?, self.workspace(other)?) else {
            return Ok(false);
        };
        if first.id == second.id {
            return Ok(true);
        }
        if first.parent_id.is_none() && second.parent_id.is_none() {
            return Ok(level < Level::C);
        }
        // One root follows: siblings share a parent, and an ancestor is on the other's way up.
        Ok(first.parent_id == second.parent_id || self.is_above(&first, &second)? || self.is_above(&second, &first)?)
    }

    fn is_above(&self, upper: &Workspace, lower: &Workspace) -> Result<bool> {
        let mut parent = lower.parent_id.clone();
        for _ in 0..MAX_DEPTH {
            let Some(id) = parent else { return Ok(false) };
            if id == upper.id {
                return Ok(true);
            }
            parent = self.workspace(&id)?.and_then(|workspace| workspace.parent_id);
        }
        Ok(false)
    }

    /// The root above `id`: itself when it has no parent or is unknown.
    pub(crate) fn root_of(&self, id: &str) -> Result<String> {
        let mut root = id.to_owned();
        for _ in 0..MAX_DEPTH {
            let Some(parent) = self.workspace(&root)?.and_then(|workspace| workspace.parent_id) else {
                break;
            };
            root = parent;
        }
        Ok(root)
    }

    /// Everyone below `id` that is not removed, nearest first.
    pub(crate) fn descendants(&self, id: &str) -> Result<Vec<Workspace>> {
        let all = self.workspaces()?;
        let mut found: Vec<Workspace> = Vec::new();
        let mut above = vec![id.to_owned()];
        while let Some(parent) = above.pop() {
            for child in all
                .iter()
                .filter(|ws| ws.parent_id.as_ref() == Some(&parent) && !ws.is_removed())
            {
                if child.id != id && found.iter().all(|known| known.id != child.id) {
                    above.push(child.id.clone());
                    found.push(child.clone());
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family() -> Store {
        let store = Store::open(None).unwrap();
        for (id, parent) in [
            ("root", None),
            ("other", None),
            ("a", Some("root")),
            ("b", Some("root")),
            ("aa", Some("a")),
            ("ba", Some("b")),
        ] {
            let mut workspace = Workspace::new(id.to_owned(), id.to_owned());
            workspace.parent_id = parent.map(str::to_owned);
            store.put_workspace(&workspace).unwrap();
        }
        store
    }

    #[test]
    fn siblings_and_lines_communicate_and_cousins_do_not() {
        let store = family();
        for (one, other, allowed) in [
            ("a", "a", true),
            ("a", "b", true),
            ("root", "other", true),
            ("root", "a", true),
            ("aa", "a", true),
            ("aa", "root", true),
            ("root", "aa", true),
            ("aa", "ba", false),
            ("aa", "b", false),
            ("aa", "other", false),
            ("a", "nobody", false),
        ] {
            assert_eq!(
                store.may_communicate(Level::B, one, other).unwrap(),
                allowed,
                "{one} {other}"
            );
        }
        assert!(!store.may_communicate(Level::C, "root", "other").unwrap());
        assert!(store.may_communicate(Level::C, "a", "b").unwrap());
    }

    #[test]
    fn descendants_are_found_at_every_depth_even_in_a_loop() {
        let store = family();
        let names = |id| {
            store
                .descendants(id)
                .unwrap()
                .into_iter()
                .map(|ws| ws.id)
                .collect::<Vec<_>>()
        };
        let mut under_root = names("root");
        under_root.sort();
        assert_eq!(under_root, ["a", "aa", "b", "ba"]);
        store
            .change_workspace("a", |ws| ws.parent_id = Some("aa".to_owned()))
            .unwrap();
        assert_eq!(names("a"), ["aa"]);
        assert!(!store.may_communicate(Level::B, "aa", "root").unwrap());
    }
}
