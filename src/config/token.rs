//! The workspace token: one resolution, one owner, shared by every caller.

use crate::types::Secret;

/// Holds the token and knows how to read it again. Clones share it.
#[derive(Clone, Debug)]
pub struct TokenSource {}

impl TokenSource {
    /// A token that is already known, from a variable (it cannot change in a running process).
    #[must_use]
    pub fn inline(_token: Secret) -> Self {
        todo!()
    }

    /// The token to send now; `None` only while bootstrapping.
    #[must_use]
    pub fn current(&self) -> Option<Secret> {
        todo!()
    }

    /// Reads the source again. `true` when the token differs from the one held. An unreadable source keeps the old token.
    pub fn reread(&self) -> bool {
        todo!()
    }

    /// Whether reading again can ever give another token.
    #[must_use]
    pub fn can_change(&self) -> bool {
        todo!()
    }

    /// Names the source for people: the variable, or the file's path. Never the token.
    #[must_use]
    pub fn describe(&self) -> String {
        todo!()
    }

    /// Stores a token the platform issued (bootstrap): `<configs>/.auth_token`, 0600, and from now on the one to send.
    ///
    /// # Errors
    /// When the file cannot be written; the token is used all the same.
    pub fn store(&self, _token: Secret) -> std::io::Result<()> {
        todo!()
    }
}
