//! With whom a conversation is held.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PeerId, Refused};

/// The word for the person.
const PERSON: &str = "user";

/// One side of a conversation with this workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Partner {
    /// The person, through the canvas.
    Person,
    /// Another workspace.
    Peer(PeerId),
}

impl Partner {
    /// Parses the UUID of a workspace, or the word `user`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        if value.trim() == PERSON {
            return Ok(Self::Person);
        }
        PeerId::parse(value)
            .map(Self::Peer)
            .map_err(|_| Refused("must be the UUID of a workspace, as list_peers shows it, or user for the person"))
    }
}

impl TryFrom<String> for Partner {
    type Error = Refused;
    fn try_from(value: String) -> Result<Self, Refused> {
        Self::parse(&value)
    }
}

impl From<Partner> for String {
    fn from(partner: Partner) -> Self {
        partner.to_string()
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str(PERSON),
            Self::Peer(id) => id.fmt(f),
        }
    }
}

impl JsonSchema for Partner {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Partner".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "UUID of a workspace, or user." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partner_is_a_workspace_or_the_person() {
        let id = "5F0C1D2E-0000-4000-8000-00000000000A";
        let peer = Partner::parse(id).unwrap();
        assert_eq!(peer.to_string(), id.to_lowercase());
        assert_eq!(Partner::parse(" user ").unwrap(), Partner::Person);
        for bad in ["", "User", "canvas_user", "../x"] {
            assert!(Partner::parse(bad).is_err(), "{bad}");
        }
    }
}
