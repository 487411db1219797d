//! Tokens as the platform makes them: 32 random bytes as 43 characters, kept only as a SHA-256.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use sha2::{Digest, Sha256};
use uuid::Uuid;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A fresh token: base64url without padding, 43 characters.
pub(crate) fn fresh() -> String {
    // Three version 4 UUIDs carry 366 random bits; the hash folds them into 256 without a fixed bit.
    let mut hasher = Sha256::new();
    for _ in 0..3 {
        hasher.update(Uuid::new_v4().as_bytes());
    }
    base64url(&hasher.finalize())
}

/// What is stored instead of a token: its SHA-256 in hex.
pub(crate) fn digest(token: &str) -> String {
    Sha256::digest(token.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The admin token kept in `folder/admin_token`: `given` when there is one, else the file's, else a fresh one. The
/// file is 0600 and holds whatever was chosen.
pub(crate) fn admin_token(folder: Option<&Path>, given: Option<String>) -> io::Result<String> {
    let Some(folder) = folder else {
        return Ok(given.unwrap_or_else(fresh));
    };
    let path = folder.join("admin_token");
    let kept = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text.trim().to_owned()).filter(|token| !token.is_empty()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(kept) = kept
        .clone()
        .filter(|kept| given.as_ref().is_none_or(|given| given == kept))
    {
        return Ok(kept);
    }
    let token = given.unwrap_or_else(fresh);
    // NamedTempFile is made 0600, and a rename replaces the old file whole.
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(draft, "{token}")?;
    draft.persist(&path).map_err(|error| error.error)?;
    Ok(token)
}

fn base64url(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 1);
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_follows_the_standard_without_padding() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xff, 0xef]), "_-8");
    }

    #[test]
    fn tokens_are_43_characters_and_differ() {
        let (one, two) = (fresh(), fresh());
        assert_eq!((one.len(), two.len()), (43, 43));
        assert_ne!(one, two);
        assert_eq!(
            digest("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn the_admin_token_outlives_a_restart_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = admin_token(Some(folder.path()), None).unwrap();
        assert_eq!(admin_token(Some(folder.path()), None).unwrap(), first);
        assert_eq!(
            admin_token(Some(folder.path()), Some("chosen".into())).unwrap(),
            "chosen"
        );
        assert_eq!(admin_token(Some(folder.path()), None).unwrap(), "chosen");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(folder.path().join("admin_token"))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
