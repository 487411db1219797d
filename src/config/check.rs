//! Puts a configuration together from environment, file and defaults, without changing anything on disk.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::access::Access;
use super::arrival::{OnMessage, Senders};
use super::dirs::{self, Places, StateDir};
use super::file::{self, Settings};
use super::files;
use super::host::Host;
use super::listen;
use super::problem::Problem;
use super::reader::{Found, Reader};
use super::roles::Roles;
use super::shown::Shown;
use super::token::TokenSource;
use super::token::resolve::Given;
use super::{
    Card, Config, McpProtocol, Membership, RuntimeIdentity, Switch, TOKEN, TOKEN_FILE, Timing, ca, workspaces,
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
}

impl Checked {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Makes the state folder.
    pub(crate) fn make(self) -> Result<Config, Problem> {
        let Self { mut config, folder } = self;
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
    let reader = &mut Reader::new(var);
    let folder = choose_folder(reader, places);
    let filed = match &folder {
        Some(folder) if existing == Existing::Used => file::load(folder.path()).unwrap_or_else(|problem| {
            reader.problem(problem);
            None
        }),
        _ => None,
    }
    .unwrap_or_default();
    let insecure = reader.one_or_zero("MOLECULE_ALLOW_INSECURE").or(filed.allow_insecure) == Some(true);
    let plain = if insecure {
        PlainHttp::Anywhere
    } else {
        PlainHttp::Nearby
    };
    let bootstrap = reader.one_or_zero("MOLECULE_BOOTSTRAP") == Some(true);
    let given = Given {
        dir: folder.as_ref().map(|folder| folder.path().to_owned()),
        without_stored: existing == Existing::Ignored,
        stored_first: folder.as_ref().is_some_and(StateDir::is_managed),
        bootstrap,
        ..Given::default()
    };
    let identity = identify(reader, &filed, plain, given);
    let org_id = org_id(reader, &filed);
    let ca_file = ca_file(reader, &filed);
    let card = card(reader, &filed);
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
    let verbose = reader.variable("MOLECULE_MCP_VERBOSE").is_some();
    let poll_hint_secs = poll_hint(reader);
    let delegation_timeout = delegation_timeout(reader);
    let files = files::read(reader, places, folder.as_ref());
    let lease = reader.whole("MOLECULE_LEASE_SECS", 10..=86_400, 600);
    let protocol = protocol(reader);
    let access = Access::read(reader, plain, identity.platform.as_ref());
    let shown = Shown::read(reader);
    let host = Host::detect(reader);
    let roles = Roles::read(reader, folder.as_ref().map(StateDir::path));
    let senders = Senders::read(reader);
    let on_message = OnMessage::read(reader);
    let http = listen::http(reader);
    let http_mcp = listen::http_mcp(reader);
    let speed = reader.whole("MOLECULE_TEST_SPEED", 1..=1000, 1);
    let runtime = runtime_identity(reader);
    let problems = std::mem::take(&mut reader.problems);
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
        ca_file,
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
        http_mcp,
        verbose,
        timing: Timing { speed },
        warnings: std::mem::take(&mut reader.warnings),
    };
    Ok(Checked { config, folder })
}

pub(super) fn choose_folder(reader: &mut Reader<'_>, places: &Places) -> Option<StateDir> {
    let named = reader.variable(dirs::CONFIGS_DIR);
    if reader.has_problem(dirs::CONFIGS_DIR) {
        return None;
    }
    StateDir::choose(named.as_deref(), places)
        .map_err(|problem| reader.problem(problem))
        .ok()
}

fn identify(reader: &mut Reader<'_>, filed: &Settings, plain: PlainHttp, given: Given) -> Identity {
    let list = reader.variable(workspaces::NAME);
    if list.is_none() && !reader.has_problem(workspaces::NAME) {
        let workspace = workspace_id(reader, filed);
        let platform = platform(reader, filed, plain);
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
    let listed = list.map_or_else(Vec::new, |text| workspaces::parse(&text, plain, &mut reader.problems));
    // The common platform stays required even where every entry brings its own.
    let platform = platform(reader, filed, plain);
    let mut joined = Vec::new();
    for entry in listed {
        if let Some(own) = &entry.platform {
            warn_of_clear_text(reader, own, workspaces::NAME);
        }
        warn_of_odd_id(reader, &entry.id, workspaces::NAME);
        joined.push(Joined {
            workspace: entry.id,
            token: TokenSource::of_variable(workspaces::NAME, entry.token),
            platform: entry.platform,
        });
    }
    Identity {
        platform,
        workspaces: joined,
    }
}

fn workspace_id(reader: &mut Reader<'_>, filed: &Settings) -> Option<WorkspaceId> {
    let remedy = "set it to the id of the workspace, as the canvas shows it";
    let Some(Found { text, setting }) = reader.setting(WORKSPACE_ID, "workspace_id", filed.workspace_id.as_ref())
    else {
        missing(reader, WORKSPACE_ID, remedy);
        return None;
    };
    match WorkspaceId::parse(&text) {
        Ok(id) => {
            warn_of_odd_id(reader, &id, &setting);
            let other = filed.workspace_id.as_deref().filter(|_| setting == WORKSPACE_ID);
            if other.is_some_and(|other| WorkspaceId::parse(other).as_ref() != Ok(&id)) {
                reader.warn(format!(
                    "{WORKSPACE_ID} and workspace_id in {} differ; {WORKSPACE_ID} is used.",
                    file::NAME
                ));
            }
            Some(id)
        }
        Err(refused) => {
            reader.problem(Problem::wrong(setting, refused.to_string(), remedy));
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

fn platform(reader: &mut Reader<'_>, filed: &Settings, plain: PlainHttp) -> Option<BaseUrl> {
    let remedy = "set it to the address of your platform, such as https://tenant.example.com";
    let Some(Found { text, setting }) = reader.setting(PLATFORM_URL, "platform_url", filed.platform_url.as_ref())
    else {
        missing(reader, PLATFORM_URL, remedy);
        return None;
    };
    match BaseUrl::parse(&text, plain) {
        Ok(base) => {
            warn_of_clear_text(reader, &base, &setting);
            Some(base)
        }
        Err(refused) => {
            reader.problem(Problem::wrong(setting, refused.to_string(), remedy));
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

/// A required setting is nowhere. A broken file might have held it, which the person should know.
fn missing(reader: &mut Reader<'_>, setting: &str, remedy: &str) {
    if reader.has_problem(file::NAME) {
        reader.missing(setting, &format!("{remedy}, or mend {}", file::NAME));
    } else {
        reader.missing(setting, remedy);
    }
}

fn token(reader: &mut Reader<'_>, mut given: Given) -> Option<TokenSource> {
    given.variable = reader.variable(TOKEN);
    given.file = reader.variable(TOKEN_FILE).map(|path| absolute(&path));
    if reader.has_problem(TOKEN) || reader.has_problem(TOKEN_FILE) {
        return None;
    }
    given.resolve(&mut reader.problems, &mut reader.warnings)
}

pub(super) fn org_id(reader: &mut Reader<'_>, filed: &Settings) -> Option<String> {
    let found = reader
        .setting("MOLECULE_ORG_ID", "org_id", None)
        .or_else(|| reader.setting("MOLECULE_ORGANIZATION_ID", "org_id", None))
        .or_else(|| reader.setting("MOLECULE_ORG", "org_id", filed.org_id.as_ref()))?;
    if found.text.len() <= 128 && found.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(found.text);
    }
    reader.warn(format!(
        "{} must be 1 to 128 visible ASCII characters without spaces; no organization id is sent.",
        found.setting
    ));
    None
}

pub(super) fn ca_file(reader: &mut Reader<'_>, filed: &Settings) -> Option<PathBuf> {
    let Found { text, setting } = reader.setting(CA_FILE, "ca_file", filed.ca_file.as_ref())?;
    let path = absolute(&text);
    if let Err(rule) = ca::check(&path) {
        let remedy = "name a file with the certificates of your authority in PEM form, or leave it out";
        reader.problem(Problem::wrong(setting, rule, remedy));
    }
    Some(path)
}

/// Only a path with a NUL or an empty one cannot be made absolute, and neither can get here.
pub(super) fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

/// The settings of every card; without a name where none is set.
fn card(reader: &mut Reader<'_>, filed: &Settings) -> Card {
    let name = reader.setting("MOLECULE_AGENT_NAME", "agent_name", filed.agent_name.as_ref());
    let description = reader.setting(
        "MOLECULE_AGENT_DESCRIPTION",
        "agent_description",
        filed.agent_description.as_ref(),
    );
    let skills = match reader.variable("MOLECULE_AGENT_SKILLS") {
        Some(list) => list.split(',').map(str::to_owned).collect(),
        None => filed.agent_skills.clone().unwrap_or_default(),
    };
    Card {
        name: name.map_or_else(String::new, |found| found.text),
        description: description.map(|found| found.text),
        skills: skills
            .iter()
            .map(|skill| skill.trim().to_owned())
            .filter(|skill| !skill.is_empty())
            .collect(),
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
    let Some(value) = reader.variable(POLL_HINT) else {
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
    let Some(value) = reader.variable(DELEGATION_TIMEOUT) else {
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
    match reader.variable(NAME).map(|value| value.to_ascii_lowercase()).as_deref() {
        None | Some("auto" | "legacy") => McpProtocol::Legacy,
        Some("modern") => McpProtocol::Modern,
        Some(_) => {
            let remedy = "mend it, or leave it out for auto";
            reader.problem(Problem::wrong(NAME, "must be auto, legacy or modern", remedy));
            McpProtocol::Legacy
        }
    }
}

#[cfg(test)]
mod tests;
