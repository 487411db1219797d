//! `molecule-mcp platform`: the embedded platform on its own, and workspaces for it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::local_platform::{Created, Level, LocalPlatform, Options, create_workspace};
use crate::state::secret;
use crate::types::Secret;

/// Arguments of `platform`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlatformArgs {
    /// Loopback address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Folder for the database and the admin token; without it everything is in memory and gone at exit.
    #[arg(long, global = true)]
    pub data: Option<PathBuf>,
    /// Offer fault injection under /_local, for tests.
    #[arg(long)]
    pub faults: bool,
    /// Which build of the real platform to behave like.
    #[arg(long, value_enum, default_value_t = LevelArg::B)]
    pub level: LevelArg,
    /// What to do instead of running the platform.
    #[command(subcommand)]
    pub command: Option<PlatformCommand>,
}

/// A platform level on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LevelArg {
    /// Before poll mode.
    A,
    /// The reference.
    B,
    /// Sequence numbers and stricter credentials.
    C,
}

/// What can be asked of a running platform.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum PlatformCommand {
    /// Make a workspace on a running platform and print configuration for MCP clients.
    AddWorkspace(AddWorkspaceArgs),
}

/// Arguments of `platform add-workspace`.
#[derive(Clone, Debug, clap::Args)]
pub struct AddWorkspaceArgs {
    /// The workspace's name, as its peers see it.
    pub name: String,
    /// Id of the workspace above it; without it, all such workspaces are each other's peers.
    #[arg(long, value_name = "ID")]
    pub parent: Option<String>,
    /// Where the platform listens.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// File holding the platform's admin token [default: admin_token in the --data folder]
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Where to make the new workspace's state folder, which holds its token [default: the --data folder, else the
    /// current one]
    #[arg(long, value_name = "DIR")]
    pub state_root: Option<PathBuf>,
}

/// Runs the platform until `stop`, or does what the subcommand says. The answer is what belongs on stdout; while
/// running, the platform says on stderr where it is.
///
/// # Errors
/// A sentence for stderr: an address that is not loopback or taken, a folder or file that cannot be used, a platform
/// that cannot be reached or refuses.
pub async fn perform(args: PlatformArgs, stop: CancellationToken) -> Result<String, String> {
    match args.command {
        None => run(args, stop).await,
        Some(PlatformCommand::AddWorkspace(wanted)) => add_workspace(wanted, args.data).await,
    }
}

async fn run(args: PlatformArgs, stop: CancellationToken) -> Result<String, String> {
    if !args.listen.ip().is_loopback() {
        return Err(format!(
            "--listen {}: the embedded platform is for one machine and listens on loopback addresses only; use 127.0.0.1:{}",
            args.listen,
            args.listen.port()
        ));
    }
    let options = Options {
        listen: args.listen,
        data: args.data.clone(),
        level: match args.level {
            LevelArg::A => Level::A,
            LevelArg::B => Level::B,
            LevelArg::C => Level::C,
        },
        faults: args.faults,
        ..Options::default()
    };
    let platform = LocalPlatform::start(options)
        .await
        .map_err(|error| format!("the embedded platform could not start on {}: {error}", args.listen))?;
    // A closed stderr is no reason to stop serving.
    let _ = io::stderr().write_all(greeting(&platform, args.data.as_deref()).as_bytes());
    stop.cancelled().await;
    platform.stop().await;
    Ok(String::new())
}

fn greeting(platform: &LocalPlatform, data: Option<&Path>) -> String {
    let url = platform.url();
    let (admin, flag) = match data {
        Some(folder) => {
            let path = absolute(&folder.join("admin_token"));
            (
                format!("The admin token is in {}", path.display()),
                format!("--data {}", shell_word(&folder.display().to_string())),
            )
        }
        None => (
            // Nothing else can tell it: without a folder there is no file to read it from.
            format!("The admin token, until exit: {}", platform.admin_token()),
            "--admin-token-file FILE".to_owned(),
        ),
    };
    format!(
        "Embedded platform at {url}\nIt is for one machine: no other computer can reach it.\n{admin}\n\
         Make a workspace: molecule-mcp platform add-workspace NAME --url {url} {flag}\n"
    )
}

async fn add_workspace(wanted: AddWorkspaceArgs, data: Option<PathBuf>) -> Result<String, String> {
    let admin_file = match (&wanted.admin_token_file, &data) {
        (Some(file), _) => file.clone(),
        (None, Some(folder)) => folder.join("admin_token"),
        (None, None) => {
            return Err(
                "the platform's admin token is needed: give --data with the platform's folder, or \
                --admin-token-file with a file that holds the token the platform printed"
                    .to_owned(),
            );
        }
    };
    let admin_token = std::fs::read_to_string(&admin_file)
        .map_err(|error| format!("the admin token file {} cannot be read: {error}", admin_file.display()))?;
    let root = wanted.state_root.or(data).unwrap_or_else(|| PathBuf::from("."));
    if !root.is_dir() {
        return Err(format!(
            "the folder {} does not exist; make it or name another with --state-root",
            root.display()
        ));
    }
    let created = create_workspace(&wanted.url, admin_token.trim(), &wanted.name, wanted.parent.as_deref()).await?;
    let label = label(&wanted.name, &created.id);
    let folder = absolute(&root).join(&label);
    keep_token(&folder, &created.token).map_err(|error| {
        format!(
            "workspace {} was made, but its token could not be kept in {}: {error}",
            created.id,
            folder.display()
        )
    })?;
    let program = std::env::current_exe().map_or_else(|_| "molecule-mcp".to_owned(), |path| path.display().to_string());
    Ok(configuration(&program, &label, &created, &folder))
}

/// Makes the workspace's state folder, for its owner only, with the token where the daemon looks for it.
fn keep_token(folder: &Path, token: &Secret) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    secret::write_if_different(folder, secret::AUTH_TOKEN, token).map(drop)
}

/// Ready-to-paste configuration. The token itself is never shown: the state folder holds it. Server and folder have names
/// of their own, so that several workspaces on one computer do not overwrite one another.
fn configuration(program: &str, label: &str, created: &Created, folder: &Path) -> String {
    let folder = folder.display().to_string();
    let server = format!("molecule-{label}");
    let variables = [
        ("WORKSPACE_ID", created.id.as_str()),
        ("PLATFORM_URL", created.platform_url.as_str()),
        ("CONFIGS_DIR", folder.as_str()),
    ];
    let env: serde_json::Map<_, _> = variables
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let servers = json!({ "mcpServers": { server.as_str(): { "command": program, "args": [], "env": env } } });
    let mut text = format!(
        "Workspace {}\nIts state folder, with its token, is {folder}\n",
        created.id
    );
    let _ = writeln!(text, "\nMost MCP clients (JSON):\n{servers:#}");
    let flags: String = variables
        .iter()
        .map(|(key, value)| format!(" -e {}", shell_word(&format!("{key}={value}"))))
        .collect();
    let _ = writeln!(
        text,
        "\nClaude Code:\nclaude mcp add {server}{flags} -- {}",
        shell_word(program)
    );
    let _ = writeln!(
        text,
        "\nCodex (~/.codex/config.toml):\n[mcp_servers.{server}]\ncommand = {}",
        toml_string(program)
    );
    let _ = writeln!(text, "\n[mcp_servers.{server}.env]");
    for (key, value) in variables {
        let _ = writeln!(text, "{key} = {}", toml_string(value));
    }
    text
}

/// `alpha-0a1b2c3d`: the name as far as it is safe in file and server names, and the start of the id.
fn label(name: &str, id: &str) -> String {
    let safe: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    let safe = safe.trim_matches('-');
    let short = id.get(..8).unwrap_or(id);
    if safe.is_empty() {
        format!("workspace-{short}")
    } else {
        format!("{safe}-{short}")
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A TOML basic string; its escapes are those of JSON.
fn toml_string(text: &str) -> String {
    json!(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(arguments: &[&str]) -> PlatformArgs {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            platform: PlatformArgs,
        }
        let line = std::iter::once("platform").chain(arguments.iter().copied());
        <Line as clap::Parser>::try_parse_from(line).unwrap().platform
    }

    #[tokio::test]
    async fn an_address_beyond_this_machine_is_refused_with_the_remedy() {
        let refusal = perform(args(&["--listen", "0.0.0.0:8080"]), CancellationToken::new())
            .await
            .unwrap_err();
        assert!(
            refusal.contains("loopback") && refusal.contains("127.0.0.1:8080"),
            "{refusal}"
        );
    }

    #[tokio::test]
    async fn a_workspace_is_made_and_its_token_appears_only_in_a_private_file() {
        let data = tempfile::tempdir().unwrap();
        let options = Options {
            data: Some(data.path().to_owned()),
            ..Options::default()
        };
        let platform = LocalPlatform::start(options).await.unwrap();
        let folder = data.path().display().to_string();
        let line = ["add-workspace", "Alpha Co", "--url", &platform.url(), "--data", &folder];
        let shown = perform(args(&line), CancellationToken::new()).await.unwrap();
        let state = std::fs::read_dir(data.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.is_dir())
            .unwrap();
        let file = state.join(secret::AUTH_TOKEN);
        let token = std::fs::read_to_string(&file).unwrap();
        assert_eq!(token.trim().len(), 43);
        assert!(!shown.contains(token.trim()));
        assert!(shown.contains(&state.canonicalize().unwrap().display().to_string()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let refused = perform(
            args(&[
                "add-workspace",
                "x",
                "--url",
                &platform.url(),
                "--admin-token-file",
                &file.display().to_string(),
            ]),
            CancellationToken::new(),
        );
        assert!(refused.await.unwrap_err().contains("401"));
        platform.stop().await;
    }

    #[test]
    fn the_configuration_can_be_pasted_whatever_the_paths_hold() {
        let created = Created {
            id: "0a1b2c3d-0000-4000-8000-000000000000".to_owned(),
            token: Secret::parse("secret").unwrap(),
            platform_url: "http://127.0.0.1:8080".to_owned(),
        };
        let shown = configuration(
            "/opt/my tools/molecule-mcp",
            "alpha",
            &created,
            Path::new("/home/a'b/alpha"),
        );
        let json = &shown[shown.find('{').unwrap()..=shown.find("\n}\n").unwrap() + 1];
        let servers: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            servers["mcpServers"]["molecule-alpha"]["env"]["CONFIGS_DIR"],
            "/home/a'b/alpha"
        );
        let codex: toml::Table = shown[shown.find("[mcp_servers").unwrap()..].parse().unwrap();
        let codex = &codex["mcp_servers"]["molecule-alpha"];
        assert_eq!(codex["command"].as_str(), Some("/opt/my tools/molecule-mcp"));
        assert_eq!(codex["env"]["WORKSPACE_ID"].as_str(), Some(created.id.as_str()));
        assert!(shown.contains(r"-e 'CONFIGS_DIR=/home/a'\''b/alpha' -- '/opt/my tools/molecule-mcp'"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn names_become_safe_labels() {
        for (name, expected) in [
            ("Alpha", "alpha-0a1b2c3d"),
            ("../../etc", "etc-0a1b2c3d"),
            ("über", "ber-0a1b2c3d"),
            ("", "workspace-0a1b2c3d"),
        ] {
            assert_eq!(label(name, "0a1b2c3d-0000"), expected);
        }
    }
}
