//! What someone types to join a workspace from their own computer.

use crate::types::{BaseUrl, WorkspaceId};

/// Lines for a POSIX shell. The token is asked for by the program itself, so that it stays out of conversations and of the
/// shell's history.
pub(super) fn join(id: &WorkspaceId, platform: &BaseUrl) -> String {
    // An id has no character that a shell would read.
    let folder = format!("\"$HOME/.molecule/{id}\"");
    let url = quoted(&platform.to_string());
    format!(
        "# Once; it asks for the workspace's token (canvas, Tokens tab, or mint_workspace_token):\n\
         molecule-mcp init --url {url} --id {id} --configs-dir {folder}\n\
         # Then let the coding agent on that computer start it, Claude Code for example:\n\
         claude mcp add molecule -e CONFIGS_DIR={folder} -- molecule-mcp\n"
    )
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PlainHttp;

    #[test]
    fn an_address_cannot_break_out_of_its_word() {
        let id = WorkspaceId::parse("w-1").unwrap();
        let base = BaseUrl::parse("https://x.example/a'b;$(c)", PlainHttp::Nearby).unwrap();
        let lines = join(&id, &base);
        let line = lines.lines().nth(1).unwrap();
        let word = line.split(" --url ").nth(1).unwrap().split(" --id ").next().unwrap();
        assert!(word.starts_with('\'') && word.ends_with('\''), "{word}");
        assert!(!word[1..word.len() - 1].replace(r"'\''", "").contains('\''), "{word}");
        assert!(
            line.ends_with(r#"--id w-1 --configs-dir "$HOME/.molecule/w-1""#),
            "{line}"
        );
    }
}
