//! `molecule-mcp platform add-workspace`: a workspace with its state folder, ready for a client.

use std::io;
use std::path::{Path, PathBuf};

use super::snippets::{configuration, label};
use super::{Failure, absolute};
use crate::cli::options::exit;
use crate::config::file::{self, Change};
use crate::local_platform::{Created, NotCreated, create_workspace};
use crate::state::secret;

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

/// Makes the workspace; the answer is what belongs on stdout.
pub(super) async fn perform(wanted: AddWorkspaceArgs, data: Option<PathBuf>) -> Result<String, Failure> {
    let admin_file = match (&wanted.admin_token_file, &data) {
        (Some(file), _) => file.clone(),
        (None, Some(folder)) => folder.join("admin_token"),
        (None, None) => {
            let why = "the platform's admin token is needed: give --data with the platform's folder, or \
                       --admin-token-file with a file that holds the token the platform printed";
            return Err(why.to_owned().into());
        }
    };
    let admin_token = std::fs::read_to_string(&admin_file)
        .map_err(|error| format!("the admin token file {} cannot be read: {error}", admin_file.display()))?;
    let root = wanted.state_root.or(data).unwrap_or_else(|| PathBuf::from("."));
    if !root.is_dir() {
        let why = "does not exist; make it or name another with --state-root";
        return Err(format!("the folder {} {why}", root.display()).into());
    }
    let created = create_workspace(&wanted.url, admin_token.trim(), &wanted.name, wanted.parent.as_deref())
        .await
        .map_err(|why| Failure {
            code: code(&why),
            why: why.to_string(),
        })?;
    let label = label(&wanted.name, &created.id);
    let folder = absolute(&root).join(&label);
    keep(&folder, &created).map_err(|error| {
        format!(
            "workspace {} was made, but its token could not be kept in {}: {error}",
            created.id,
            folder.display()
        )
    })?;
    let program = std::env::current_exe().map_or_else(|_| "molecule-mcp".to_owned(), |path| path.display().to_string());
    Ok(configuration(&program, &created, &folder))
}

fn code(why: &NotCreated) -> u8 {
    match why {
        NotCreated::Unreachable { .. } => exit::UNREACHABLE,
        NotCreated::Refused { .. } => exit::REFUSED,
        NotCreated::Answered { .. } => exit::CONFIGURATION,
    }
}

/// Makes the workspace's state folder, for its owner only, with token and settings as `init` keeps them: whoever names the
/// folder needs to say no more.
fn keep(folder: &Path, created: &Created) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    secret::write_if_different(folder, secret::AUTH_TOKEN, &created.token)?;
    let settings = [
        ("platform_url", Change::Text(created.platform_url.clone())),
        ("workspace_id", Change::Text(created.id.clone())),
    ];
    secret::replace(folder, file::NAME, file::updated(None, &settings).as_bytes())
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::super::perform;
    use super::super::tests::args;
    use super::*;
    use crate::cli::options::Outcome;
    use crate::config::file::Filed;
    use crate::local_platform::{LocalPlatform, Options};

    async fn outcome_of(arguments: &[&str]) -> Outcome {
        perform(args(arguments), CancellationToken::new()).await
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
        let shown = outcome_of(&line).await.report;
        let state = std::fs::read_dir(data.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.is_dir())
            .unwrap();
        let file = state.join(secret::AUTH_TOKEN);
        let token = std::fs::read_to_string(&file).unwrap();
        assert_eq!(token.trim().len(), 43);
        assert!(!shown.contains(token.trim()));
        let settings = Filed::at(&state.join(file::NAME), None);
        assert_eq!(settings.text("platform_url"), Some(platform.url()));
        assert!(shown.contains(&settings.text("workspace_id").unwrap()));
        assert!(shown.contains(&state.canonicalize().unwrap().display().to_string()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        }
        let file = file.display().to_string();
        let url = platform.url();
        let line = ["add-workspace", "x", "--url", &url, "--admin-token-file", &file];
        let refused = outcome_of(&line).await;
        assert_eq!(refused.code, exit::REFUSED);
        assert!(refused.complaint.contains("401"), "{}", refused.complaint);
        platform.stop().await;
    }

    #[tokio::test]
    async fn a_platform_that_does_not_answer_is_told_apart_from_bad_arguments() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().display().to_string();
        let gone = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let url = format!("http://{gone}");
        let line = |url| ["add-workspace", "x", "--url", url, "--data", &folder];
        let no_token = outcome_of(&line(&url)).await;
        assert_eq!(no_token.code, exit::CONFIGURATION);
        assert!(no_token.complaint.contains("admin_token"), "{}", no_token.complaint);
        std::fs::write(data.path().join("admin_token"), "t").unwrap();
        let unreachable = outcome_of(&line(&url)).await;
        assert_eq!((unreachable.code, unreachable.report.as_str()), (exit::UNREACHABLE, ""));
        for part in [url.as_str(), "cannot be reached", "is it running"] {
            assert!(unreachable.complaint.contains(part), "{}", unreachable.complaint);
        }
        let no_address = outcome_of(&line("127.0.0.1 8080")).await;
        assert_eq!(no_address.code, exit::CONFIGURATION, "{}", no_address.complaint);
        assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 1, "nothing was made");
    }
}
