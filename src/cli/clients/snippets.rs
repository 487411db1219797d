//! Configuration of MCP clients to paste, and the names in it.

use std::fmt::Write as _;

use super::{Client, Entry};

/// Ready-to-paste configuration for most clients.
pub(crate) fn to_paste(name: &str, entry: &Entry) -> String {
    let mut text = format!("Most MCP clients (JSON):\n{}", of(Client::ClaudeDesktop, name, entry));
    let _ = writeln!(text, "\nClaude Code:\n{}", claude_command(name, entry));
    let _ = writeln!(
        text,
        "\nCodex (~/.codex/config.toml):\n{}",
        of(Client::Codex, name, entry).trim_end()
    );
    text
}

/// What a client needs that connects to a service instead of starting a program. `token` is the file with the token.
pub(crate) fn over_http(token: &str) -> String {
    format!(
        "\nClients that connect to a URL, while `molecule-mcp serve --http 127.0.0.1:9090 --mcp` runs (docs/http.md):\n  url     \
         http://127.0.0.1:9090/mcp\n  header  Authorization: Bearer <what is in {token}>\n"
    )
}

/// What the configuration of this client would hold if it held nothing else.
pub(crate) fn of(client: Client, name: &str, entry: &Entry) -> String {
    let mut document = client.format().parse("").expect("an empty configuration can be read");
    document.put(name, entry);
    document.text()
}

fn claude_command(name: &str, entry: &Entry) -> String {
    let variables: String = entry
        .env
        .iter()
        .map(|(key, value)| format!(" -e {}", shell_word(&format!("{key}={value}"))))
        .collect();
    // For every folder, not just the one it is typed in. The variables come behind the name: their flag takes as many words
    // as it can get.
    format!(
        "claude mcp add --scope user {name}{variables} -- {}",
        shell_word(&entry.program)
    )
}

/// A word as a shell reads it back.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
