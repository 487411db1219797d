//! Puts a configuration together from environment, file and defaults, without changing anything on disk.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::access::Access;
use super::arrival::{OnMessage, Senders};
use super::dirs::{self, Places, StateDir};
use super::file::Filed;
use super::files;
use super::host::Host;
use super::listen;
use super::problem::Problem;
use super::proxy::Route;
use super::reader::Reader;
use super::roles::Roles;
use super::settings::{Log, LogFormat};
use super::shown::Shown;
use super::token::TokenSource;
use super::token::resolve::Given;
use super::{
    Card, Config, McpProtocol, Membership, RuntimeIdentity, Switch, TOKEN, TOKEN_FILE, Timing, ca, settings, workspaces,
};
use crate::types::{BaseUrl, PlainHttp, WorkspaceId};

const PLATFORM_URL: &str = "PLATFORM_URL";
const WORKSPACE_ID: &str = "WORKSPACE_ID";
const CA_FILE: &str = "MOLECULE_CA_FILE";
const POLL_HINT: &str = "MOLECULE_MCP_POLL_TIMEOUT_SECS";
const DELEGATION_TIMEOUT: &str = "DELEGATION_TIMEOUT";

/// Whether the files of an earlier set-up take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// `molecule.toml` and `.auth_token` count.
    Used,
    /// Both are about to be replaced.
    Ignored,
}

/// A configuration in which nothing is wrong and whose state folder may not exist yet.
#[derive(Debug)]
pub(crate) struct Checked {
    config: Config,
    folder: StateDir,
    filed: Filed,
}

impl Checked {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What the configuration file says.
    pub(crate) fn filed(&self) -> &Filed {
        &self.filed
    }

    /// Makes the state folder.
    pub(crate) fn make(self) -> Result<Config, Problem> {
        let Self { mut config, folder, .. } = self;
        config.warnings.extend(folder.make()?);
        if config.files.is_named {
            dirs::make_folder(&config.files.uploads, files::UPLOAD_DIR)?;
        }
        Ok(config)
    }
}

/// Who the process is and where it joins: the settings without which nothing works.
struct Identity {
    /// That of every workspace that brings none of its own.
    platform: Option<BaseUrl>,
    /// Empty: something is wrong.
    workspaces: Vec<Joined>,
}

/// A workspace of the settings.
struct Joined {
    workspace: WorkspaceId,
    token: TokenSource,
    /// Its own, which the organization's id does not belong to.
    platform: Option<BaseUrl>,
}

/// Reads everything; all problems at once.
pub(crate) fn check(
    var: &dyn Fn(&str) -> Option<OsString>,
    places: &Places,
    existing: Existing,
) -> Result<Checked, Vec<Problem>> {
    let (mut reader, folder) = Reader::open(var, places, existing == Existing::Ignored);
    let reader = &mut reader;
    let plain = plain_http(reader);
    let bootstrap = reader.one_or_zero("MOLECULE_BOOTSTRAP") == Some(true);
    let given = Given {
        dir: folder.as_ref().map(|folder| folder.path().to_owned()),
        without_stored: existing == Existing::Ignored,
        stored_first: folder.as_ref().is_some_and(StateDir::is_managed),
        bootstrap,
        ..Given::default()
    };
    let identity = identify(reader, plain, given);
    let org_id = org_id(reader);
    let route = Route::read(reader);
    let card = card(reader);
    let switch = |off| if off { Switch::Off } else { Switch::On };
    let heartbeat = switch(reader.any_value("MOLECULE_MCP_DISABLE_HEARTBEAT"));
    let inbox = switch(reader.any_value("MOLECULE_MCP_DISABLE_INBOX"));
    let has_token = identity
        .workspaces
        .iter()
        .any(|joined| joined.token.current().is_some());
    if bootstrap && heartbeat == Switch::Off && !has_token {
        reader.problems.push(Problem::wrong(
            "MOLECULE_BOOTSTRAP",
            "needs to register, and MOLECULE_MCP_DISABLE_HEARTBEAT switches registering off",
            "unset one of the two, or give a token",
        ));
    }
    let poll_hint_secs = poll_hint(reader);
    let delegation_timeout = delegation_timeout(reader);
    let files = files::read(reader, places, folder.as_ref());
    let lease = reader.whole("MOLECULE_LEASE_SECS");
    let protocol = protocol(reader);
    let access = Access::read(reader, plain, identity.platform.as_ref());
    let shown = Shown::read(reader);
    let host = Host::detect(reader);
    let roles = Roles::read(reader, folder.as_ref().map(StateDir::path));
    let senders = Senders::read(reader);
    let on_message = OnMessage::read(reader);
    let http = listen::http(reader);
    let log = log(reader);
    let http_mcp = listen::http_mcp(reader);
    let speed = reader.whole("MOLECULE_TEST_SPEED");
    let runtime = runtime_identity(reader);
    let (problems, warnings) = reader.finish();
    let (Some(folder), Some(platform), Some(access), []) = (folder, identity.platform, access, &problems[..]) else {
        return Err(problems);
    };
    let member = |joined: Joined| Membership {
        card: card.named_for(&joined.workspace),
        org_id: org_id.clone().filter(|_| joined.platform.is_none()),
        platform: joined.platform.unwrap_or_else(|| platform.clone()),
        workspace: joined.workspace,
        token: joined.token,
    };
    let config = Config {
        memberships: identity.workspaces.into_iter().map(member).collect(),
        platform,
        org_id,
        state_dir: folder.path().to_owned(),
        route,
        identity: runtime,
        heartbeat,
        inbox,
        bootstrap,
        poll_hint_secs,
        delegation_timeout,
        lease: Duration::from_secs(lease.into()),
        files,
        protocol,
        access,
        shown,
        host,
        roles,
        senders,
        on_message,
        http,
        log,
        http_mcp,
        timing: Timing { speed },
        warnings,
    };
    Ok(Checked {
        config,
        folder,
        filed: std::mem::take(&mut reader.filed),
    })
}

pub(super) fn plain_http(reader: &mut Reader<'_>) -> PlainHttp {
    match reader.one_or_zero("MOLECULE_ALLOW_INSECURE") {
        Some(true) => PlainHttp::Anywhere,
        _ => PlainHttp::Nearby,
    }
}

fn identify(reader: &mut Reader<'_>, plain: PlainHttp, given: Given) -> Identity {
    let mut list = reader.value(workspaces::NAME);
    let is_filed = reader.filed_entry(settings::named(workspaces::NAME)).is_some();
    if list.is_some() && is_filed && reader.in_environment(settings::named(WORKSPACE_ID)).is_some() {
        reader.warn(format!("{WORKSPACE_ID} is set, so {} is ignored.", workspaces::NAME));
        list = None;
    }
    if list.is_none() && !reader.has_problem(workspaces::NAME) {
        let workspace = workspace_id(reader);
        let platform = platform(reader, plain);
        let joined = workspace.zip(token(reader, given)).map(|(workspace, token)| Joined {
            workspace,
            token,
            platform: None,
        });
        return Identity {
            platform,
            workspaces: joined.into_iter().collect(),
        };
    }
    for ignored in [WORKSPACE_ID, TOKEN, TOKEN_FILE] {
        if reader.is_set(ignored) {
            reader.warn(format!("{} is set, so {ignored} is ignored.", workspaces::NAME));
        }
    }
    let listed = list.map_or_else(Vec::new, |text| workspaces::parse(&text, plain, reader));
    // The common platform stays required even where every entry brings its own.
    let platform = platform(reader, plain);
    let mut joined = Vec::new();
    for entry in listed {
        if let Some(own) = &entry.platform {
            warn_of_clear_text(reader, own, workspaces::NAME);
        }
        warn_of_odd_id(reader, &entry.id, workspaces::NAME);
        joined.push(Joined {
            workspace: entry.id,
            token: entry.token,
            platform: entry.platform,
        });
    }
    Identity {
        platform,
        workspaces: joined,
    }
}

fn workspace_id(reader: &mut Reader<'_>) -> Option<WorkspaceId> {
    let remedy = "set it to the id of the workspace, as the canvas shows it";
    let Some(text) = reader.value(WORKSPACE_ID) else {
        reader.missing(WORKSPACE_ID, remedy);
        return None;
    };
    match WorkspaceId::parse(&text) {
        Ok(id) => {
            warn_of_odd_id(reader, &id, WORKSPACE_ID);
            let other = reader.filed.text("workspace_id");
            if other.is_some_and(|other| WorkspaceId::parse(&other).as_ref() != Ok(&id)) {
                reader.warn(format!(
                    "{WORKSPACE_ID} and workspace_id in {} differ; {WORKSPACE_ID} is used.",
                    reader.filed.name()
                ));
            }
            Some(id)
        }
        Err(refused) => {
            reader.problem(Problem::wrong(WORKSPACE_ID, refused.to_string(), remedy));
            None
        }
    }
}

fn warn_of_odd_id(reader: &mut Reader<'_>, id: &WorkspaceId, setting: &str) {
    if !id.is_uuid() {
        reader.warn(format!(
            "The workspace id of {setting} is not a UUID, and a platform only knows UUIDs; it is used as it is."
        ));
    }
}

fn platform(reader: &mut Reader<'_>, plain: PlainHttp) -> Option<BaseUrl> {
    let remedy = "set it to the address of your platform, such as https://tenant.example.com";
    let Some(text) = reader.value(PLATFORM_URL) else {
        reader.missing(PLATFORM_URL, remedy);
        return None;
    };
    match BaseUrl::parse(&text, plain) {
        Ok(base) => {
            warn_of_clear_text(reader, &base, PLATFORM_URL);
            Some(base)
        }
        Err(refused) => {
            reader.problem(Problem::wrong(PLATFORM_URL, refused.to_string(), remedy));
            None
        }
    }
}

fn warn_of_clear_text(reader: &mut Reader<'_>, base: &BaseUrl, setting: &str) {
    if base.is_clear_text() {
        reader.warn(format!(
            "{setting} uses plain http:// beyond this computer: the token and all messages cross the network in clear text."
        ));
    }
}

fn token(reader: &mut Reader<'_>, mut given: Given) -> Option<TokenSource> {
    given.variable = reader.value(TOKEN);
    given.file = reader.value(TOKEN_FILE).map(|path| absolute(&path));
    if reader.has_problem(TOKEN) || reader.has_problem(TOKEN_FILE) {
        return None;
    }
    given.resolve(&mut reader.problems, &mut reader.warnings)
}

pub(super) fn org_id(reader: &mut Reader<'_>) -> Option<String> {
    let found = reader.found("MOLECULE_ORG_ID")?;
    if found.text.len() <= 128 && found.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(found.text);
    }
    reader.warn(format!(
        "{} must be 1 to 128 visible ASCII characters without spaces; no organization id is sent.",
        found.name
    ));
    None
}

pub(super) fn ca_file(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let path = absolute(&reader.value(CA_FILE)?);
    if let Err(rule) = ca::check(&path) {
        let remedy = "name a file with the certificates of your authority in PEM form, or leave it out";
        reader.problem(Problem::wrong(CA_FILE, rule, remedy));
    }
    Some(path)
}

/// Only a path with a NUL or an empty one cannot be made absolute, and neither can get here.
pub(super) fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

/// The settings of every card; without a name where none is set.
fn card(reader: &mut Reader<'_>) -> Card {
    Card {
        name: reader.value("MOLECULE_AGENT_NAME").unwrap_or_default(),
        description: reader.value("MOLECULE_AGENT_DESCRIPTION"),
        skills: reader.parts("MOLECULE_AGENT_SKILLS", &[',']),
    }
}

impl Card {
    /// The same, named for a workspace where nobody named it.
    fn named_for(&self, workspace: &WorkspaceId) -> Self {
        let mut card = self.clone();
        if card.name.is_empty() {
            card.name = format!("molecule-mcp-{}", workspace.short());
        }
        card
    }
}

fn runtime_identity(reader: &Reader<'_>) -> RuntimeIdentity {
    RuntimeIdentity {
        model: reader.echoed("MODEL"),
        model_provider: reader.echoed("MODEL_PROVIDER"),
        molecule_model: reader.echoed("MOLECULE_MODEL"),
        anthropic_base_url: without_credentials(reader.echoed("ANTHROPIC_BASE_URL")),
        tier: reader.echoed("TIER"),
        runtime: reader.echoed("ADAPTER_MODULE"),
    }
}

/// An address that may be shown to anyone.
fn without_credentials(address: String) -> String {
    match url::Url::parse(&address) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            let stripped = url.set_username("").and_then(|()| url.set_password(None));
            stripped.map_or_else(|()| String::new(), |()| url.to_string())
        }
        _ => address,
    }
}

/// The contract gives every value a meaning, so nothing here stops the start.
fn poll_hint(reader: &mut Reader<'_>) -> u64 {
    let Some(value) = reader.value(POLL_HINT) else {
        return 2;
    };
    match value.parse::<i128>() {
        Ok(seconds @ 0..=60) => u64::try_from(seconds).unwrap_or(2),
        Ok(61..) => {
            reader.warn(format!("{POLL_HINT} is above 60; 60 is used."));
            60
        }
        _ => {
            reader.warn(format!("{POLL_HINT} is not a whole number from 0 to 60; 2 is used."));
            2
        }
    }
}

fn delegation_timeout(reader: &mut Reader<'_>) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(300);
    let Some(value) = reader.value(DELEGATION_TIMEOUT) else {
        return DEFAULT;
    };
    match value.parse::<f64>() {
        Ok(seconds) if (1.0..=86_400.0).contains(&seconds) => Duration::from_secs_f64(seconds),
        _ => {
            reader.problem(Problem::wrong(
                DELEGATION_TIMEOUT,
                "must be a number of seconds from 1 to 86400",
                "mend it, or leave it out for 300",
            ));
            DEFAULT
        }
    }
}

pub(super) fn protocol(reader: &mut Reader<'_>) -> McpProtocol {
    const NAME: &str = "MOLECULE_MCP_PROTOCOL";
    match reader.value(NAME).map(|value| value.to_ascii_lowercase()).as_deref() {
        None | Some("auto" | "legacy") => McpProtocol::Legacy,
        Some("modern") => McpProtocol::Modern,
        Some(_) => {
            let remedy = "mend it, or leave it out for auto";
            reader.problem(Problem::wrong(NAME, "must be auto, legacy or modern", remedy));
            McpProtocol::Legacy
        }
    }
}

/// A filter that cannot be read is told by the log itself.
pub(super) fn log(reader: &mut Reader<'_>) -> Log {
    const FORMAT: &str = "MOLECULE_LOG_FORMAT";
    let format = match reader.value(FORMAT).map(|value| value.to_ascii_lowercase()).as_deref() {
        None | Some("auto") => LogFormat::Auto,
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(_) => {
            let remedy = "mend it, or leave it out for auto";
            reader.problem(Problem::wrong(FORMAT, "must be auto, text or json", remedy));
            LogFormat::Auto
        }
    };
    Log {
        filter: reader.value("MOLECULE_LOG"),
        file: reader.value("MOLECULE_LOG_FILE").map(|path| absolute(&path)),
        format,
        verbose: reader.value("MOLECULE_MCP_VERBOSE").is_some(),
    }
}

#[cfg(test)]
mod tests;
