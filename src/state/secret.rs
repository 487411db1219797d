//! Small secret files: written whole, 0600 from creation, symbolic links not followed.

use std::io;
use std::path::Path;

use crate::types::Secret;

/// File of the secret that the platform uses towards this workspace.
pub const INBOUND_SECRET: &str = ".platform_inbound_secret";
/// File of the workspace token.
pub const AUTH_TOKEN: &str = ".auth_token";

/// Writes `secret` to `<dir>/<name>` when the file does not hold exactly it already: draft, sync, rename, sync the folder.
///
/// # Errors
/// When the folder or disk refuses; the old file is untouched then.
pub fn write_if_different(_dir: &Path, _name: &str, _secret: &Secret) -> io::Result<bool> {
    todo!()
}
