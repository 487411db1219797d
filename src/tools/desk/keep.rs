//! Secrets that a platform shows once: kept in files that only their owner can read, instead of in a conversation.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Errand;
use crate::mcp::answer::{ToolError, each_text};
use crate::state::secret;
use crate::types::{ResourceId, Secret};

/// The folder of such files in the state folder.
const FOLDER: &str = "minted";
/// What platforms call a token that they show once.
const FIELD: &str = "auth_token";

impl Errand<'_> {
    /// Takes the `auth_token` out of `body`, or out of the `connection` in it: into a file of mode 0600, whose path is then
    /// in `auth_token_file`. Texts that repeat the token (snippets to paste) refer to the file instead. With `reveal` all
    /// stays as it is, and no file is written. A body without a token is left as it is.
    ///
    /// `about` (an id) becomes part of the file's name, beside the tool's.
    ///
    /// # Errors
    /// When the file cannot be written. The token is then in the error, for it cannot be had again.
    pub(in crate::tools) async fn keep_token(
        &self,
        body: &mut Value,
        about: &str,
        reveal: bool,
    ) -> Result<(), ToolError> {
        let token = [&body[FIELD], &body["connection"][FIELD]]
            .into_iter()
            .find_map(|place| place.as_str().filter(|text| !text.is_empty()))
            .map(str::to_owned);
        let Some(token) = token.filter(|_| !reveal) else {
            return Ok(());
        };
        // Only what is safe in a file name: answers are not believed.
        let about = ResourceId::parse(about).map_or_else(|_| "unnamed".to_owned(), |id| id.as_str().to_owned());
        let name = format!("{}-{}.token", self.tool, about.trim_start_matches('.'));
        let dir = self.desk.common.state_dir.join(FOLDER);
        let text = token.clone();
        let written = tokio::task::spawn_blocking(move || write(&dir, &name, &text)).await;
        match written.unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) {
            Ok(path) => {
                let path = path.display().to_string();
                refer(body, &token, &path);
                if !body["connection"].is_null() {
                    refer(&mut body["connection"], &token, &path);
                }
                each_text(body, &|text| *text = text.replace(&token, "(in auth_token_file)"));
                Ok(())
            }
            Err(error) => Err(ToolError::failed(
                "SECRET_NOT_KEPT",
                format!(
                    "it was made, but its token could not be written to a file ({}); it is in this result, and nowhere else",
                    error.kind()
                ),
                "store the token now, or revoke it; then check the state folder (CONFIGS_DIR)",
            )
            .with_secret("result", body.clone())),
        }
    }
}

/// Puts the file's path where the token stood.
fn refer(place: &mut Value, token: &str, path: &str) {
    if let Value::Object(fields) = place
        && fields.get(FIELD).and_then(Value::as_str) == Some(token)
    {
        fields.remove(FIELD);
        fields.insert(format!("{FIELD}_file"), json!(path));
    }
}

fn write(dir: &Path, name: &str, token: &str) -> io::Result<PathBuf> {
    let token = Secret::parse(token).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(dir)?;
    secret::write_if_different(dir, name, &token)?;
    Ok(dir.join(name))
}
