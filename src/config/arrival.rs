//! What happens when a message arrives, besides its being kept: whose may disturb the agent, and what is run.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use super::problem::Problem;
use super::reader::Reader;
use super::settings;
use crate::types::Partner;

const SENDERS: &str = "MOLECULE_ALLOWED_SENDERS";
const ON_MESSAGE: &str = "MOLECULE_ON_MESSAGE";

/// Whose messages may disturb the agent. Those of others wait in the inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Senders {
    /// Everyone's.
    #[default]
    Everyone,
    /// `MOLECULE_ALLOWED_SENDERS`: only theirs.
    Only(Arc<[Partner]>),
}

impl Senders {
    /// Whether this one's may.
    #[must_use]
    pub fn include(&self, sender: &Partner) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only(listed) => listed.contains(sender),
        }
    }

    /// A list that cannot be read is a problem: taken for everyone it would let strangers in.
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        // An empty list in the file is no list of nobody, but it is not everyone either.
        if !reader.is_set(SENDERS) && reader.filed_entry(settings::named(SENDERS)).is_none() {
            return Self::Everyone;
        }
        let entries = reader.parts(SENDERS, &[',']);
        match entries
            .iter()
            .map(|entry| Partner::parse(entry))
            .collect::<Result<Vec<_>, _>>()
        {
            Ok(listed) if !listed.is_empty() => Self::Only(listed.into()),
            _ => {
                let rule = "must be workspace UUIDs, or user for the person, separated by commas";
                let remedy = "mend it, or leave it out to be told of everyone's messages";
                reader.problem(Problem::wrong(SENDERS, rule, remedy));
                Self::Everyone
            }
        }
    }
}

/// `MOLECULE_ON_MESSAGE`: a program and its arguments, run without a shell when messages arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnMessage {
    /// An absolute path, or the name of a program on the search path.
    pub program: String,
    /// Its arguments, exactly.
    pub arguments: Vec<String>,
}

impl OnMessage {
    /// Words and quotes as a shell reads them, and nothing else of a shell.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let line = reader.value(ON_MESSAGE)?;
        let mut refuse = |what: &str, remedy: &str| {
            reader.problem(Problem::wrong(ON_MESSAGE, what, remedy));
            None
        };
        let mut words = shlex::split(&line).unwrap_or_default().into_iter();
        let Some(program) = words.next().filter(|program| !program.is_empty()) else {
            let rule = "must be a program and its arguments, with every quote closed";
            return refuse(rule, "write it as you would in a shell, but without $, ~, * and |");
        };
        let path = Path::new(&program);
        if program.contains('/') && !(path.is_absolute() && path.is_file()) {
            let rule = "must begin with the absolute path of a program, or with its name alone";
            return refuse(rule, "mend the path; ~ means nothing here");
        }
        Some(Self {
            program,
            arguments: words.collect(),
        })
    }

    /// Whether the program must not inherit a variable: this one, and whatever may hold a credential of ours.
    #[must_use]
    pub fn hides(name: &OsStr) -> bool {
        let name = name.to_string_lossy().to_ascii_uppercase();
        let ours = ["MOLECULE_", "CP_"].iter().any(|prefix| name.starts_with(prefix));
        let hidden = ["TOKEN", "KEY", "SECRET", "PASSWORD", "WORKSPACES", "ON_MESSAGE"];
        ours && hidden.iter().any(|part| name.contains(part))
    }

    /// The names of such variables among these.
    pub fn hidden(names: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
        names.filter(|name| Self::hides(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "5f0c1d2e-0000-4000-8000-000000000001";

    #[test]
    fn a_list_is_people_and_workspaces_and_anything_else_is_refused() {
        let peer = Partner::parse(PEER).unwrap();
        let only = |senders: &[&Partner]| Some(Senders::Only(senders.iter().copied().cloned().collect()));
        for (value, expected) in [
            (" ", Some(Senders::Everyone)),
            ("user", only(&[&Partner::Person])),
            (PEER, only(&[&peer])),
            (
                &format!(" {} , user ,", PEER.to_ascii_uppercase()),
                only(&[&peer, &Partner::Person]),
            ),
            (",", None),
            ("user;other", None),
            ("*", None),
            ("user, alpha", None),
        ] {
            let var = |_: &str| Some(value.into());
            let mut reader = Reader::new(&var);
            let read = Senders::read(&mut reader);
            assert_eq!(reader.problems.is_empty().then_some(read), expected, "{value}");
        }
        let mut reader = Reader::new(&|_| None);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("molecule.toml"), "allowed_senders = []").unwrap();
        reader.filed = crate::config::file::Filed::in_folder(dir.path(), None);
        Senders::read(&mut reader);
        assert_eq!(reader.problems.len(), 1, "an empty list is not everyone");
        assert!(Senders::Everyone.include(&peer));
        assert!(!Senders::Only([Partner::Person].into()).include(&peer));
    }

    #[test]
    fn a_command_is_words_and_quotes_and_nothing_of_a_shell() {
        let command = |program: &str, arguments: &[&str]| {
            Some(OnMessage {
                program: program.to_owned(),
                arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            })
        };
        for (line, expected, refused) in [
            ("  ", None, false),
            (
                "notify-send 'a message' \"for $USER\"",
                command("notify-send", &["a message", "for $USER"]),
                false,
            ),
            (
                "/bin/sh -c 'jq . | tee $HOME/x'",
                command("/bin/sh", &["-c", "jq . | tee $HOME/x"]),
                false,
            ),
            ("a b;c ~ *", command("a", &["b;c", "~", "*"]), false),
            ("notify-send 'open", None, true),
            ("''", None, true),
            ("# nothing", None, true),
            ("~/bin/hook", None, true),
            ("bin/hook", None, true),
            ("/bin/no-such-program", None, true),
            ("/tmp", None, true),
        ] {
            let var = |_: &str| Some(line.into());
            let mut reader = Reader::new(&var);
            assert_eq!(OnMessage::read(&mut reader), expected, "{line}");
            assert_eq!(!reader.problems.is_empty(), refused, "{line}");
        }
    }

    #[test]
    fn a_command_inherits_no_credential_and_not_its_own_name() {
        let names = [
            "MOLECULE_WORKSPACE_TOKEN",
            "MOLECULE_WORKSPACE_TOKEN_FILE",
            "MOLECULE_WORKSPACES",
            "MOLECULE_API_KEY",
            "MOLECULE_ORG_API_KEY",
            "CP_ADMIN_API_TOKEN",
            "MOLECULE_ON_MESSAGE",
            "molecule_secret",
        ];
        for hidden in names {
            assert!(OnMessage::hides(OsStr::new(hidden)), "{hidden}");
        }
        let shown = [
            "PATH",
            "HOME",
            "PLATFORM_URL",
            "WORKSPACE_ID",
            "CONFIGS_DIR",
            "MOLECULE_CA_FILE",
            "GITHUB_TOKEN",
        ];
        let shown = shown.map(OsString::from);
        assert_eq!(OnMessage::hidden(shown.into_iter()).count(), 0);
    }
}
