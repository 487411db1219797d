//! Which tools a client is shown: the mode, the sets, single names, and whether anything may be changed.

use std::ffi::OsString;
use std::ops::BitOr;

use super::dirs::Places;
use super::problem::Problem;
use super::reader::Reader;

const MODE: &str = "MOLECULE_MCP_MODE";
const TOOLSETS: &str = "MOLECULE_MCP_TOOLSETS";

/// A group of tools that share a credential. One tool may be in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sets(u8);

impl Sets {
    /// Living as a workspace, with the workspace's own token.
    pub const AGENT: Self = Self(1);
    /// Operating workspaces, with `MOLECULE_API_KEY`.
    pub const OPS: Self = Self(2);
    /// Managing a tenant, with the organization key.
    pub const MANAGEMENT: Self = Self(4);
    /// The control plane, with its own token.
    pub const CONTROL: Self = Self(8);
    /// None of them.
    pub const NONE: Self = Self(0);

    const NAMED: [(&'static str, Self); 5] = [
        ("agent", Self::AGENT),
        ("ops", Self::OPS),
        ("management", Self::MANAGEMENT),
        ("control", Self::CONTROL),
        ("all", Self(15)),
    ];

    /// The set, or all sets, of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, sets)| *sets)
    }

    /// Whether both have a set in common.
    #[must_use]
    pub const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names of these sets.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let single = Self::NAMED.iter().filter(|(_, sets)| sets.0.count_ones() == 1);
        single.filter(move |(_, sets)| sets.meet(self)).map(|(name, _)| *name)
    }
}

impl BitOr for Sets {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What kind of server this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A workspace's daemon; the default.
    Workspace,
    /// `management`: the tools of that set and nothing else; there is no workspace, so nothing registers, beats or polls.
    Management,
    /// `ops`: operates workspaces without being one, with `MOLECULE_API_KEY`; nothing registers, beats or polls. The default
    /// where this key and no workspace is configured, as for the TypeScript server.
    Operating,
    /// `self`: the schedules of the own workspace, beside an agent that is present already; nothing registers, beats or
    /// polls here either.
    Own,
}

impl Mode {
    /// The mode, as far as it can be known before anything else is read. An unknown one is reported with the other
    /// problems.
    pub fn of(var: impl Fn(&str) -> Option<OsString>) -> Self {
        Self::in_places(&var, &Places::usual())
    }

    pub(super) fn in_places(var: &dyn Fn(&str) -> Option<OsString>, places: &Places) -> Self {
        Self::read(&mut Reader::glance(var, places))
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        match reader.value(MODE).map(|mode| mode.to_ascii_lowercase()).as_deref() {
            None | Some("default") if is_operators(reader) => Self::Operating,
            None | Some("default") => Self::Workspace,
            Some("management") => Self::Management,
            Some("ops") => Self::Operating,
            Some("self") => Self::Own,
            Some(_) => {
                let remedy = "mend it, or leave it out for default";
                reader.problem(Problem::wrong(MODE, "must be default, ops, management or self", remedy));
                Self::Workspace
            }
        }
    }

    /// Whether there is a workspace for this process to be or to act for.
    #[must_use]
    pub fn has_workspace(self) -> bool {
        matches!(self, Self::Workspace | Self::Own)
    }
}

/// Whether keys for operating workspaces are configured and nothing of a workspace to be.
fn is_operators(reader: &mut Reader<'_>) -> bool {
    const WORKSPACE: [&str; 5] = [
        "WORKSPACE_ID",
        "MOLECULE_WORKSPACES",
        "MOLECULE_WORKSPACE_TOKEN",
        "MOLECULE_WORKSPACE_TOKEN_FILE",
        "MOLECULE_BOOTSTRAP",
    ];
    let any_of = |names: &[&str]| names.iter().any(|name| reader.is_set(name));
    any_of(&["MOLECULE_API_KEY", "MOLECULE_API_KEY_FILE"]) && !any_of(&WORKSPACE)
}

/// What the user said about the tools to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `MOLECULE_MCP_MODE`.
    pub mode: Mode,
    /// The sets of `MOLECULE_MCP_TOOLSETS`.
    pub sets: Sets,
    /// The other words of `MOLECULE_MCP_TOOLSETS`, which should be names of tools.
    pub tools: Vec<String>,
    /// `MOLECULE_MCP_READ_ONLY=1`.
    pub read_only: bool,
}

impl Shown {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mode = Mode::read(reader);
        let words = reader.parts(TOOLSETS, &[',', ' ', '\t', '\n']);
        let mut shown = Self {
            mode,
            sets: Sets::NONE,
            tools: Vec::new(),
            read_only: reader.one_or_zero("MOLECULE_MCP_READ_ONLY") == Some(true),
        };
        for word in words.iter().map(|word| word.to_ascii_lowercase()) {
            match Sets::named(&word) {
                Some(sets) => shown.sets = shown.sets | sets,
                None => shown.tools.push(word),
            }
        }
        shown
    }

    /// Whether the user chose tools, so that the credentials no longer do.
    #[must_use]
    pub fn is_chosen(&self) -> bool {
        self.sets != Sets::NONE || !self.tools.is_empty()
    }

    /// The sets that are shown when the user chose none; in the mode `self` single tools of them.
    #[must_use]
    pub fn usual(&self, has_api_key: bool) -> Sets {
        match self.mode {
            Mode::Management => Sets::MANAGEMENT,
            Mode::Operating => Sets::OPS,
            Mode::Own | Mode::Workspace if has_api_key => Sets::AGENT | Sets::OPS,
            Mode::Own | Mode::Workspace => Sets::AGENT,
        }
    }

    /// What is shown, in words of `MOLECULE_MCP_TOOLSETS`.
    #[must_use]
    pub fn words(&self, has_api_key: bool) -> Vec<String> {
        let sets = match self.mode {
            Mode::Management => Sets::MANAGEMENT,
            Mode::Own => return vec!["self".to_owned()],
            Mode::Workspace | Mode::Operating if self.is_chosen() => self.sets,
            Mode::Workspace | Mode::Operating => self.usual(has_api_key),
        };
        let read_only = self.read_only.then(|| "read-only".to_owned());
        let sets = sets.names().map(str::to_owned);
        sets.chain(self.tools.iter().cloned()).chain(read_only).collect()
    }

    /// Whether the organization key may be used at all. Naming single tools is not enough.
    #[must_use]
    pub fn uses_org_key(&self) -> bool {
        match self.mode {
            Mode::Management => true,
            Mode::Workspace | Mode::Operating => self.sets.meet(Sets::MANAGEMENT),
            Mode::Own => false,
        }
    }

    /// The problem of words that name neither a set nor a tool of this mode.
    #[must_use]
    pub fn unknown(words: &[&str]) -> Problem {
        // Only what looks like a name is repeated: somebody may have pasted a key.
        let names = words
            .iter()
            .filter(|word| word.len() <= 40 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let names: Vec<_> = names.copied().collect();
        let what = if names.is_empty() {
            "names tools or sets that do not exist in this mode".to_owned()
        } else {
            format!("names what is no tool or set of this mode: {}", names.join(", "))
        };
        let remedy = "use agent, ops, management, control, all, or names that `molecule-mcp tools` lists";
        Problem::wrong(TOOLSETS, what, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Shown, usize) {
        let var = |name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let mut reader = Reader::new(&var);
        let shown = Shown::read(&mut reader);
        (shown, reader.problems.len())
    }

    #[test]
    fn modes_are_known_in_any_case_and_unknown_ones_are_a_problem() {
        for (value, mode, problems) in [
            ("", Mode::Workspace, 0),
            ("default", Mode::Workspace, 0),
            ("Management", Mode::Management, 0),
            ("SELF", Mode::Own, 0),
            ("ops", Mode::Operating, 0),
            ("managment", Mode::Workspace, 1),
        ] {
            let (shown, found) = read(&[(MODE, value)]);
            assert_eq!((shown.mode, found), (mode, problems), "{value}");
        }
    }

    #[test]
    fn a_key_for_workspaces_and_nothing_of_ones_own_means_operating_them() {
        let key = ("MOLECULE_API_TOKEN", "k");
        assert_eq!(read(&[key]).0.mode, Mode::Operating);
        assert_eq!(read(&[key]).0.words(true), ["ops"]);
        for own in ["WORKSPACE_ID", "MOLECULE_WORKSPACES", "MOLECULE_WORKSPACE_TOKEN_FILE"] {
            assert_eq!(read(&[key, (own, "x")]).0.mode, Mode::Workspace, "{own}");
        }
        assert_eq!(read(&[("PLATFORM_URL", "http://localhost")]).0.mode, Mode::Workspace);
    }

    #[test]
    fn words_are_sets_or_tools() {
        let (shown, _) = read(&[(TOOLSETS, "ops, Management\tlist_peers,, x")]);
        assert_eq!(shown.sets, Sets::OPS | Sets::MANAGEMENT);
        assert_eq!(shown.tools, ["list_peers", "x"]);
        assert!(shown.is_chosen() && !read(&[]).0.is_chosen());
        assert_eq!(Sets::named("all").unwrap().names().count(), 4);
        assert_eq!(shown.words(true), ["ops", "management", "list_peers", "x"]);
        assert_eq!(read(&[]).0.words(true), ["agent", "ops"]);
        assert_eq!(
            read(&[("MOLECULE_MCP_READ_ONLY", "1")]).0.words(false),
            ["agent", "read-only"]
        );
    }

    #[test]
    fn the_organization_key_needs_its_set_or_mode_to_be_named() {
        for (pairs, used) in [
            (&[][..], false),
            (&[(TOOLSETS, "ops,mint_org_token")], false),
            (&[(TOOLSETS, "management")], true),
            (&[(TOOLSETS, "all")], true),
            (&[(MODE, "management")], true),
            (&[(MODE, "ops")], false),
            (&[(MODE, "ops"), (TOOLSETS, "management")], true),
            (&[(MODE, "self"), (TOOLSETS, "management")], false),
        ] {
            assert_eq!(read(pairs).0.uses_org_key(), used, "{pairs:?}");
        }
    }

    #[test]
    fn a_key_pasted_among_the_tools_is_not_repeated() {
        let text = format!("{:?}", Shown::unknown(&["lst_peers", "mol_0123456789abcdef"]));
        assert!(text.contains("lst_peers") && !text.contains("0123"), "{text}");
    }
}
