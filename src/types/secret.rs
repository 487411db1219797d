//! Credentials, and the memory of those that this process has held, so that none of them gets into a log or an error, whoever
//! repeats it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{PoisonError, RwLock};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use super::Refused;

/// A shorter value would be found in words by chance, which both spoils them and gives it away.
const SHORTEST: usize = 8;
/// So many are remembered; the oldest go first.
const MOST: usize = 1024;
/// Stands where a credential was.
const HIDDEN: &str = "[REDACTED]";

/// Every credential that was parsed, for as long as the process lives: a token that was replaced may still come back in an
/// answer.
static HELD: RwLock<Vec<SecretString>> = RwLock::new(Vec::new());

/// A credential. There is no `Display` and no `Serialize`, and `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes a credential as text: surrounding white space is dropped, inner white space and control characters are refused.
    /// From now on [`without_secrets`] takes it out of texts.
    ///
    /// # Errors
    /// When nothing is left, or when it could not be sent as a header value.
    pub fn parse(value: &str) -> Result<Self, Refused> {
        let value = value.trim();
        if value.is_empty() {
            return Err(Refused("is empty"));
        }
        if value.chars().any(char::is_whitespace) {
            return Err(Refused("holds white space inside; it must be one token on one line"));
        }
        if !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refused(
                "holds characters that a token cannot have; only visible ASCII is allowed",
            ));
        }
        remember(value);
        Ok(Self(SecretString::from(value)))
    }

    /// The credential itself. Only for a header, a 0600 file, or a comparison.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `given` is this credential. How long that takes tells nothing but their lengths.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        self.expose().as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}
impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn remember(value: &str) {
    let is_held = |held: &[SecretString]| held.iter().any(|known| known.expose_secret() == value);
    if value.len() < SHORTEST || is_held(&HELD.read().unwrap_or_else(PoisonError::into_inner)) {
        return;
    }
    let mut held = HELD.write().unwrap_or_else(PoisonError::into_inner);
    if !is_held(&held) {
        if held.len() == MOST {
            held.remove(0);
        }
        held.push(SecretString::from(value));
    }
}

/// A text without the credentials that this process has held. Those shorter than 8 bytes are not looked for.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    let held = HELD.read().unwrap_or_else(PoisonError::into_inner);
    for secret in held.iter().map(ExposeSecret::expose_secret) {
        if clean.contains(secret) {
            clean = Cow::Owned(clean.replace(secret, HIDDEN));
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_parsed_once_is_taken_out_wherever_it_stands() {
        let text = "refused: {\"echo\":\"k9-own-credential\"} k9-own-credential2";
        assert_eq!(without_secrets(text), text);
        drop(Secret::parse(" k9-own-credential\n").unwrap());
        assert_eq!(without_secrets(text), "refused: {\"echo\":\"[REDACTED]\"} [REDACTED]2");
        assert!(matches!(without_secrets("nothing here"), Cow::Borrowed(_)));
        Secret::parse("k9-shrt").unwrap();
        assert_eq!(without_secrets("a k9-shrt word"), "a k9-shrt word");
    }
}
