//! Whether something may be taken away: a person is asked where the client can, else the caller must have said so.

use super::Errand;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Consent;

/// What a client that cannot ask its person has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tools) enum Unasked {
    /// Nothing: the call itself is enough.
    Proceed,
    /// Give `confirm: true`, and it was or was not given.
    Confirmed(bool),
}

impl Errand<'_> {
    /// Asks `question` before something is taken away.
    ///
    /// # Errors
    /// When the person did not agree, or could not be asked and `confirm` is missing. Nothing was changed then.
    pub(in crate::tools) async fn confirm(&self, question: &str, unasked: Unasked) -> Result<(), ToolError> {
        match (self.call.ask(question).await, unasked) {
            (Consent::Given, _) | (Consent::CannotAsk, Unasked::Proceed | Unasked::Confirmed(true)) => Ok(()),
            (Consent::Withheld, _) => Err(ToolError::failed(
                "DECLINED",
                "the person did not agree; nothing was changed",
                "do not try again unless the person asks for it",
            )),
            (Consent::CannotAsk, Unasked::Confirmed(false)) => Err(ToolError::failed(
                "CONFIRMATION_REQUIRED",
                format!("{question} Nothing was changed."),
                "make sure that this is wanted, then call again with confirm: true",
            )),
        }
    }
}
