//! What happens when a message arrives, besides its being kept: whose may disturb the agent.

use std::sync::Arc;

use super::problem::Problem;
use super::reader::Reader;
use crate::types::Partner;

const SENDERS: &str = "MOLECULE_ALLOWED_SENDERS";

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
        let Some(value) = reader.variable(SENDERS) else {
            return Self::Everyone;
        };
        let entries = value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        match entries.map(Partner::parse).collect::<Result<Vec<_>, _>>() {
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
            (&format!(" {} , user ,", PEER.to_ascii_uppercase()), only(&[&peer, &Partner::Person])),
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
        assert!(Senders::Everyone.include(&peer));
        assert!(!Senders::Only([Partner::Person].into()).include(&peer));
    }
}
