//! `molecule-mcp init`: asks for address, workspace and token, tries them on the platform, and keeps them in files.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::clients::snippets::shell_word;
use crate::config::file::{self, Change, Filed};
use crate::config::token::file::{self as token_file, Unreadable};
use crate::config::{Checked, Config, Places, Problem};
use crate::platform::client::{self, Client};
use crate::platform::wire::RegisterBody;
use crate::platform::workspace::WorkspaceApi;
use crate::state::secret::{self, AUTH_TOKEN, INBOUND_SECRET};
use crate::types::{BaseUrl, PlainHttp, Secret};
use ask::{Ask, Terminal};
use verify::{Door, Doubt};

mod ask;
mod gather;
mod verify;

/// Set this computer up for one workspace: try address, id and token on the platform, then keep them in private files.
///
/// What is not given as a flag is taken from the environment (`PLATFORM_URL`, `WORKSPACE_ID`,
/// `MOLECULE_WORKSPACE_TOKEN` ...), then from an earlier set-up, and at a terminal asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct InitArgs {
    /// Address of the platform, such as `https://tenant.example.com`
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Id of the workspace, as the canvas shows it
    #[arg(long, value_name = "WORKSPACE_ID")]
    pub id: Option<String>,
    /// File that holds the token (a token is never taken from the command line, where others could see it)
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Folder to keep the files in instead of the usual one
    #[arg(long, value_name = "DIR")]
    pub configs_dir: Option<PathBuf>,
    /// Organization id, if the platform asks for one
    #[arg(long, value_name = "ID")]
    pub org_id: Option<String>,
    /// Register a workspace that exists but has no token yet, and keep the token that the platform issues
    #[arg(long)]
    pub bootstrap: bool,
    /// Replace the address, id and token of an earlier set-up
    #[arg(long)]
    pub force: bool,
}

/// Why nothing was set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitFailure {
    /// The whole text for stderr.
    pub text: String,
    /// The exit code: 2 settings or files, 3 token refused, 4 platform not reachable.
    pub code: u8,
}

impl InitFailure {
    fn new(reason: &str, code: u8) -> Self {
        Self {
            text: format!("molecule-mcp init: {reason}\n"),
            code,
        }
    }
    fn config(reason: &str) -> Self {
        Self::new(reason, 2)
    }
    fn refused(reason: &str) -> Self {
        Self::new(reason, 3)
    }
    fn unreachable(reason: &str) -> Self {
        Self::new(reason, 4)
    }
}

/// Sets up and returns the report for stdout. Asks only when stdin is a terminal.
///
/// Nothing is written unless the platform knows the workspace and accepts the token. The one exception is a token that
/// the platform has just issued (`--bootstrap`): it cannot be had again, so it is kept at once.
///
/// # Errors
/// See [`InitFailure::code`].
pub async fn perform(args: InitArgs, var: impl Fn(&str) -> Option<OsString>) -> Result<String, InitFailure> {
    let mut terminal = Terminal;
    let person = io::stdin().is_terminal().then_some(&mut terminal as &mut dyn Ask);
    set_up(&args, &var, &Places::usual(), person, |config| {
        let own = config.first();
        let client = Client::new(client::Settings {
            base: own.platform.clone(),
            org_id: own.org_id.clone(),
            org_slug: None,
            route: config.route.clone(),
        });
        WorkspaceApi::new(client, own.workspace.clone(), own.token.clone())
    })
    .await
}

async fn set_up<D: Door>(
    args: &InitArgs,
    var: &dyn Fn(&str) -> Option<OsString>,
    places: &Places,
    person: Option<&mut dyn Ask>,
    open: impl FnOnce(&Config) -> D,
) -> Result<String, InitFailure> {
    let checked = gather::gather(args, var, places, person)?;
    let settings = settle(args, &checked)?;
    let door = open(checked.config());
    let config = match checked.config().first().token.current() {
        Some(token) => {
            verify::exists(&door, &checked.config().first().workspace, Doubt::PassedOver).await?;
            verify::token_works(&door).await?;
            keep(checked, &settings, &token)?
        }
        None => bootstrap(&door, checked, &settings).await?,
    };
    Ok(report(&config, &settings, places))
}

/// The file of settings to write, and its text.
struct Settings {
    path: PathBuf,
    text: String,
}

impl Settings {
    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The settings to write, unless that would silently replace those of an earlier set-up. Everything else in the file stays.
fn settle(args: &InitArgs, checked: &Checked) -> Result<Settings, InitFailure> {
    let config = checked.config();
    let refused =
        |problem: Problem| InitFailure::config(&format!("{} {}: {}", problem.setting, problem.what, problem.remedy));
    let path = match checked.filed().path() {
        Some(path) => path.to_owned(),
        None => file::find(&config.state_dir)
            .map_err(refused)?
            .unwrap_or_else(|| config.state_dir.join(file::NAME)),
    };
    let earlier = match path.exists() {
        true => Filed::at(&path, None),
        false => Filed::default(),
    };
    let plain_needs_leave = BaseUrl::parse(&config.first().platform.to_string(), PlainHttp::Nearby).is_err();
    let ca_file = config.route.ca_file.as_ref().map(|path| path.display().to_string());
    let said = |text: Option<String>| text.map_or(Change::Gone, Change::Text);
    let wanted = [
        ("platform_url", Change::Text(config.first().platform.to_string())),
        ("workspace_id", Change::Text(config.first().workspace.to_string())),
        ("org_id", said(config.first().org_id.clone())),
        ("ca_file", said(ca_file)),
        (
            "allow_insecure",
            if plain_needs_leave { Change::True } else { Change::Gone },
        ),
    ];
    if !args.force {
        let differs = |(key, change): &(&'static str, Change)| {
            let differs = match (earlier.text(key), change) {
                (None, _) | (_, Change::Gone) => false,
                (Some(earlier), Change::Text(wanted)) => earlier.trim() != wanted,
                (Some(earlier), Change::True) => earlier != "1",
            };
            differs.then_some(*key)
        };
        let differences: Vec<_> = wanted.iter().filter_map(differs).collect();
        if !differences.is_empty() {
            return Err(InitFailure::config(&format!(
                "{} says otherwise about {}; --force replaces it, --configs-dir chooses another folder",
                path.display(),
                differences.join(", ")
            )));
        }
        settle_token(args, config)?;
    }
    let text = std::fs::read_to_string(&path).ok().filter(|_| earlier.is_sound());
    Ok(Settings {
        text: file::updated(text.as_deref(), &wanted),
        path,
    })
}

/// The token file of an earlier set-up may stay only if it holds the very token that was asked for.
fn settle_token(args: &InitArgs, config: &Config) -> Result<(), InitFailure> {
    let asked = match &args.token_file {
        Some(path) => Some(
            token_file::read(path)
                .map_err(|reason| InitFailure::config(&format!("--token-file {reason}: {}", reason.remedy())))?,
        )
        .map(|read| read.token),
        None => config.first().token.current(),
    };
    let earlier = token_file::read(&config.state_dir.join(AUTH_TOKEN));
    let harmless = match &earlier {
        Ok(earlier) => asked.as_ref() == Some(&earlier.token),
        Err(reason) => *reason == Unreadable::Missing,
    };
    if harmless {
        return Ok(());
    }
    let what = if earlier.is_ok() {
        "holds another token"
    } else {
        "is there and holds no usable token"
    };
    Err(InitFailure::config(&format!(
        "{AUTH_TOKEN} in {} {what}; --force replaces it, --configs-dir chooses another folder",
        config.state_dir.display()
    )))
}

/// Writes everything; the token first, because settings without a token are the worse half.
fn keep(checked: Checked, settings: &Settings, token: &Secret) -> Result<Config, InitFailure> {
    let config = checked
        .make()
        .map_err(|problem| InitFailure::config(&format!("{} {}: {}", problem.setting, problem.what, problem.remedy)))?;
    let dir = &config.state_dir;
    written(
        dir,
        AUTH_TOKEN,
        secret::write_if_different(dir, AUTH_TOKEN, token).map(drop),
    )?;
    let name = settings.name();
    written(
        settings.folder(),
        &name,
        secret::replace(settings.folder(), &name, settings.text.as_bytes()),
    )?;
    Ok(config)
}

/// Gets a token by registering. What the platform issued is kept before it is tried: it is issued only once.
async fn bootstrap(door: &impl Door, checked: Checked, settings: &Settings) -> Result<Config, InitFailure> {
    let config = checked.config();
    verify::exists(door, &config.first().workspace, Doubt::Refused).await?;
    let body = RegisterBody {
        id: config.first().workspace.to_string(),
        url: String::new(),
        agent_card: config.first().card.to_json(),
        delivery_mode: "poll",
        // No agent runs yet; the daemon reports the truth with its own register and every beat.
        mcp_server_present: false,
    };
    let (token, inbound) = verify::issue_token(door, &body).await?;
    let config = keep(checked, settings, &token)?;
    let dir = &config.state_dir;
    written(dir, AUTH_TOKEN, config.first().token.store(token))?;
    if let Some(inbound) = inbound {
        written(
            dir,
            INBOUND_SECRET,
            secret::write_if_different(dir, INBOUND_SECRET, &inbound).map(drop),
        )?;
    }
    verify::token_works(door).await.map_err(|failure| InitFailure {
        text: format!(
            "{}The issued token was kept in {} all the same.\n",
            failure.text,
            dir.display()
        ),
        ..failure
    })?;
    Ok(config)
}

fn written(dir: &Path, name: &str, outcome: io::Result<()>) -> Result<(), InitFailure> {
    outcome.map_err(|error| {
        InitFailure::config(&format!(
            "{name} could not be written in {} ({})",
            dir.display(),
            error.kind()
        ))
    })
}

fn report(config: &Config, settings: &Settings, places: &Places) -> String {
    let dir = config.state_dir.display();
    let folder = match places.finds(&config.state_dir) {
        true => String::new(),
        false => format!("CONFIGS_DIR={} ", shell_word(&dir.to_string())),
    };
    let mut text = format!(
        "Workspace {} at {} accepts this token.\nKept in {dir}, for this user only: {} and {AUTH_TOKEN}\n",
        config.first().workspace,
        config.first().platform,
        settings.name()
    );
    for warning in &config.warnings {
        text.push_str(&format!("Note: {warning}\n"));
    }
    text.push_str(&format!(
        "Next: tell your MCP client, for example\n  {folder}molecule-mcp install claude-code\n"
    ));
    text
}

#[cfg(test)]
mod tests;
