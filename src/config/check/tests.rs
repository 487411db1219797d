use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::config::explain;
use crate::config::problem::Fault;

const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";

/// A computer with an empty home folder, a state folder that exists, and an environment of its own.
struct Computer {
    root: tempfile::TempDir,
    places: Places,
    env: HashMap<String, OsString>,
}

impl Computer {
    /// Everything that is required is there.
    fn complete() -> Self {
        let mut computer = Self::bare();
        for (name, value) in [
            (PLATFORM_URL, "https://tenant.example.com"),
            (WORKSPACE_ID, ID),
            (TOKEN, "tok-secret"),
        ] {
            computer.set(name, value);
        }
        computer
    }

    fn bare() -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            home: Some(root.path().join("home")),
            managed: root.path().join("configs"),
            workspace: root.path().join("workspace"),
            current: None,
        };
        let state = root.path().join("state");
        fs::create_dir(&state).unwrap();
        let env = HashMap::from([(dirs::CONFIGS_DIR.to_owned(), state.into_os_string())]);
        Self { root, places, env }
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.insert(name.to_owned(), value.into());
    }

    fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.set(name, value);
        self
    }

    fn filed(self, name: &str, content: &str) -> Self {
        let path = self.state().join(name);
        fs::write(&path, content).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        self
    }

    fn read(&self) -> Result<Config, Vec<Problem>> {
        Config::read_in(|name| self.env.get(name).cloned(), &self.places)
    }

    #[track_caller]
    fn problems(&self) -> Vec<String> {
        let problems = self.read().unwrap_err();
        problems.into_iter().map(|problem| problem.setting).collect()
    }
}

#[test]
fn the_smallest_configuration_gives_every_default() {
    let computer = Computer::complete();
    let config = computer.read().unwrap();
    assert_eq!(config.first().platform.to_string(), "https://tenant.example.com");
    assert_eq!(config.first().workspace.as_str(), ID);
    assert_eq!(config.first().token.current().unwrap().expose(), "tok-secret");
    assert_eq!(config.state_dir, computer.state());
    assert_eq!((&config.first().org_id, &config.route.ca_file), (&None, &None));
    let card = Card {
        name: "molecule-mcp-5f0c1d2e".into(),
        ..Card::default()
    };
    assert_eq!(config.first().card, card);
    assert_eq!((config.heartbeat, config.inbox), (Switch::On, Switch::On));
    assert!(!config.bootstrap && !config.log.verbose);
    assert_eq!(config.poll_hint_secs, 2);
    assert_eq!(config.delegation_timeout, Duration::from_secs(300));
    assert_eq!(config.lease, Duration::from_secs(600));
    assert_eq!(config.protocol, McpProtocol::Legacy);
    assert_eq!(config.timing, Timing::REAL);
    assert_eq!(config.identity, RuntimeIdentity::default());
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn everything_missing_is_reported_at_once_and_listed_on_the_last_line() {
    for blank in ["", " \t "] {
        let mut computer = Computer::bare();
        for name in [PLATFORM_URL, WORKSPACE_ID, TOKEN, TOKEN_FILE, workspaces::NAME] {
            computer.set(name, blank);
        }
        let problems = computer.read().unwrap_err();
        assert!(problems.iter().all(|problem| problem.fault == Fault::Missing));
        let text = explain(&problems);
        let last = text.lines().last();
        assert_eq!(
            last,
            Some("Missing: WORKSPACE_ID, PLATFORM_URL, MOLECULE_WORKSPACE_TOKEN")
        );
        assert!(text.contains("\"Tokens\" tab") && text.contains(TOKEN_FILE), "{text}");
    }
}

#[test]
fn the_token_is_not_called_missing_when_a_file_holds_it() {
    let computer = Computer::bare().filed(".auth_token", "tok-secret");
    assert_eq!(computer.problems(), [WORKSPACE_ID, PLATFORM_URL]);
}

#[test]
fn all_problems_come_at_once_in_order_and_no_value_is_shown() {
    let computer = Computer::complete()
        .filed("molecule.toml", "tok-secret")
        .with("MOLECULE_ALLOW_INSECURE", "tok-secret")
        .with("MOLECULE_BOOTSTRAP", "tok-secret")
        .with(WORKSPACE_ID, "Tok-secret")
        .with(PLATFORM_URL, "ftp://tok-secret")
        .with(TOKEN, "tok-secret two")
        .with(CA_FILE, "/tok-secret")
        .with(DELEGATION_TIMEOUT, "tok-secret")
        .with("MOLECULE_LEASE_SECS", "tok-secret")
        .with("MOLECULE_MCP_PROTOCOL", "tok-secret")
        .with("MOLECULE_TEST_SPEED", "tok-secret");
    let problems = computer.read().unwrap_err();
    let settings: Vec<_> = problems.iter().map(|problem| problem.setting.as_str()).collect();
    assert_eq!(
        settings,
        [
            "molecule.toml",
            "MOLECULE_ALLOW_INSECURE",
            "MOLECULE_BOOTSTRAP",
            "WORKSPACE_ID",
            "PLATFORM_URL",
            "MOLECULE_WORKSPACE_TOKEN",
            "MOLECULE_CA_FILE",
            "DELEGATION_TIMEOUT",
            "MOLECULE_LEASE_SECS",
            "MOLECULE_MCP_PROTOCOL",
            "MOLECULE_TEST_SPEED",
        ]
    );
    let text = format!("{}{problems:?}", explain(&problems));
    assert!(!text.to_lowercase().contains("tok-secret"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_one_problem_each() {
    use std::os::unix::ffi::OsStringExt as _;
    for name in [
        PLATFORM_URL,
        WORKSPACE_ID,
        TOKEN,
        TOKEN_FILE,
        workspaces::NAME,
        dirs::CONFIGS_DIR,
        CA_FILE,
        "MOLECULE_ORG_ID",
        "MOLECULE_AGENT_NAME",
        "MOLECULE_MCP_DISABLE_INBOX",
        "MOLECULE_MCP_VERBOSE",
        "MOLECULE_LEASE_SECS",
        POLL_HINT,
    ] {
        let computer = Computer::complete().with(name, OsString::from_vec(vec![0xff]));
        assert_eq!(computer.problems(), [name]);
    }
}

#[test]
fn the_file_fills_in_and_the_environment_wins() {
    let toml = format!(
        "platform_url = \"https://filed.example.com\"\nworkspace_id = \"{ID}\"\norg_id = \"org\"\nagent_name = \"filed\"\n\
         agent_description = \" about \"\nagent_skills = [\" one \", \"\", \"two, three\"]\n"
    );
    let computer = Computer::bare()
        .filed("molecule.toml", &toml)
        .filed(".auth_token", "tok\n");
    let config = computer.read().unwrap();
    assert_eq!(config.first().platform.to_string(), "https://filed.example.com");
    assert_eq!(
        (config.first().workspace.as_str(), config.first().org_id.as_deref()),
        (ID, Some("org"))
    );
    assert_eq!(config.first().card.name, "filed");
    assert_eq!(config.first().card.description.as_deref(), Some("about"));
    assert_eq!(config.first().card.skills, ["one", "two, three"]);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    let config = computer
        .with(PLATFORM_URL, "http://localhost:8080/")
        .with(WORKSPACE_ID, "other")
        .with("MOLECULE_ORGANIZATION_ID", "env-org")
        .with("MOLECULE_AGENT_NAME", " me ")
        .with("MOLECULE_AGENT_SKILLS", "a, ,b,")
        .read()
        .unwrap();
    assert_eq!(config.first().platform.to_string(), "http://localhost:8080");
    assert_eq!(
        (config.first().workspace.as_str(), config.first().org_id.as_deref()),
        ("other", Some("env-org"))
    );
    assert_eq!(config.first().card.name, "me");
    assert_eq!(config.first().card.skills, ["a", "b"]);
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("UUID") && config.warnings[1].contains("differ"));
}

#[test]
fn a_broken_file_is_named_beside_what_it_may_have_held() {
    let computer = Computer::bare()
        .filed("molecule.toml", "workspace_id: x")
        .with(TOKEN, "t");
    let problems = computer.read().unwrap_err();
    assert_eq!(problems[0].setting, "molecule.toml");
    assert!(problems[0].what.contains("line 1"));
    assert!(problems[1].remedy.contains("mend molecule.toml"), "{problems:?}");
    assert_eq!(problems.len(), 3);
}

#[test]
fn plain_http_follows_distance_and_permission() {
    for (url, allow, filed, outcome) in [
        ("http://127.0.0.1:8080", None, "", Ok(0)),
        ("http://platform:8080", None, "", Ok(1)),
        ("http://192.168.1.7", None, "", Ok(1)),
        ("http://example.com", None, "", Err(())),
        ("http://example.com", Some("1"), "", Ok(1)),
        ("http://example.com", None, "allow_insecure = true", Ok(1)),
        ("http://example.com", Some("0"), "allow_insecure = true", Err(())),
        ("https://example.com", None, "", Ok(0)),
    ] {
        let mut computer = Computer::complete()
            .with(PLATFORM_URL, url)
            .filed("molecule.toml", filed);
        if let Some(allow) = allow {
            computer.set("MOLECULE_ALLOW_INSECURE", allow);
        }
        match (computer.read(), outcome) {
            (Ok(config), Ok(warnings)) => assert_eq!(config.warnings.len(), warnings, "{url}: {:?}", config.warnings),
            (Err(problems), Err(())) => assert!(problems[0].what.contains("MOLECULE_ALLOW_INSECURE=1")),
            (outcome, _) => panic!("{url}: {outcome:?}"),
        }
    }
}

#[test]
fn a_bad_organization_id_is_left_out_with_a_warning() {
    let long = "x".repeat(129);
    for (first, alias, expected, warned) in [
        ("org-1", "", Some("org-1"), false),
        ("", "org-2", Some("org-2"), false),
        ("org-1", "org-2", Some("org-1"), false),
        ("or g", "org-2", None, true),
        (&long, "", None, true),
        ("", "örg", None, true),
        ("", "", None, false),
    ] {
        let computer = Computer::complete()
            .with("MOLECULE_ORG_ID", first)
            .with("MOLECULE_ORGANIZATION_ID", alias);
        let config = computer.read().unwrap();
        assert_eq!(config.first().org_id.as_deref(), expected, "{first:?} {alias:?}");
        assert_eq!(config.warnings.len(), usize::from(warned));
    }
}

#[test]
fn the_quoted_poll_time_never_stops_the_start() {
    for (value, expected) in [
        ("0", 0),
        ("2", 2),
        ("60", 60),
        ("61", 60),
        ("99999999999999999999", 60),
        ("-1", 2),
        ("1.5", 2),
        ("soon", 2),
        (" ", 2),
    ] {
        let config = Computer::complete().with(POLL_HINT, value).read().unwrap();
        assert_eq!(config.poll_hint_secs, expected, "{value}");
        let odd = !["0", "2", "60", " "].contains(&value);
        assert_eq!(!config.warnings.is_empty(), odd, "{value}");
    }
}

#[test]
fn a_delegation_waits_for_a_sensible_time_or_nothing_starts() {
    for (value, expected) in [
        ("300.0", Some(300_000)),
        ("1.5", Some(1500)),
        ("86400", Some(86_400_000)),
        ("0", None),
        ("-1", None),
        ("86401", None),
        ("inf", None),
        ("NaN", None),
        ("5m", None),
    ] {
        let read = Computer::complete().with(DELEGATION_TIMEOUT, value).read();
        let millis = read.ok().map(|config| config.delegation_timeout.as_millis());
        assert_eq!(millis, expected, "{value}");
    }
}

#[test]
fn the_switches_and_numbers_are_taken_over() {
    let computer = Computer::complete();
    let ca = computer.root.path().join("ca.pem");
    fs::write(&ca, crate::config::ca::tests::PEM).unwrap();
    let config = computer
        .with("MOLECULE_MCP_DISABLE_HEARTBEAT", "yes")
        .with("MOLECULE_MCP_DISABLE_INBOX", "0")
        .with("MOLECULE_MCP_VERBOSE", "1")
        .with("MOLECULE_BOOTSTRAP", "1")
        .with("MOLECULE_LEASE_SECS", "10")
        .with("MOLECULE_TEST_SPEED", "1000")
        .with("MOLECULE_MCP_PROTOCOL", "Modern")
        .with(CA_FILE, &ca)
        .read()
        .unwrap();
    assert_eq!((config.heartbeat, config.inbox), (Switch::Off, Switch::Off));
    assert!(config.log.verbose && config.bootstrap);
    assert_eq!(config.lease, Duration::from_secs(10));
    assert_eq!(config.timing.of(Duration::from_secs(20)), Duration::from_millis(20));
    assert_eq!(config.protocol, McpProtocol::Modern);
    assert_eq!(config.route.ca_file, Some(ca));
    assert!(config.warnings[0].contains("DISABLE_INBOX"), "{:?}", config.warnings);
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for (name, value) in [
        ("MOLECULE_LEASE_SECS", "9"),
        ("MOLECULE_LEASE_SECS", "86401"),
        ("MOLECULE_TEST_SPEED", "0"),
        ("MOLECULE_TEST_SPEED", "1001"),
        ("MOLECULE_MCP_PROTOCOL", "newest"),
    ] {
        assert_eq!(Computer::complete().with(name, value).problems(), [name]);
    }
}

#[test]
fn bootstrapping_starts_without_a_token_and_only_then() {
    let mut computer = Computer::complete();
    computer.env.remove(TOKEN);
    assert_eq!(computer.problems(), [TOKEN]);
    let config = computer.with("MOLECULE_BOOTSTRAP", "1").read().unwrap();
    assert!(config.bootstrap && config.first().token.current().is_none());
}

#[test]
fn one_listed_workspace_is_the_only_source_of_id_and_token() {
    let list = format!(r#"[{{"id":"{ID}","token":"listed"}}]"#);
    let computer = Computer::complete()
        .filed(".auth_token", "stored")
        .with(WORKSPACE_ID, "other")
        .with("MOLECULE_ORG_ID", "org")
        .with(workspaces::NAME, &list);
    let config = computer.read().unwrap();
    assert_eq!(
        (config.first().workspace.as_str(), config.first().org_id.as_deref()),
        (ID, Some("org"))
    );
    assert_eq!(config.first().token.current().unwrap().expose(), "listed");
    assert!(!config.first().token.can_change());
    assert_eq!(config.first().platform.to_string(), "https://tenant.example.com");
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn a_listed_platform_overrides_the_common_one_which_stays_required() {
    let list = format!(r#"[{{"id":"{ID}","token":"t","platform_url":"https://own.example.com"}}]"#);
    let mut computer = Computer::complete()
        .with(workspaces::NAME, &list)
        .with("MOLECULE_ORG_ID", "org");
    let config = computer.read().unwrap();
    assert_eq!(config.first().platform.to_string(), "https://own.example.com");
    assert_eq!(config.first().org_id, None);
    computer.env.remove(PLATFORM_URL);
    assert_eq!(computer.problems(), [PLATFORM_URL]);
}

#[test]
fn each_listed_workspace_has_its_own_token_and_platform_and_a_card_of_its_name() {
    let list = format!(
        r#"[{{"id":"{ID}","token":"one"}},{{"id":"other","token":"two","platform_url":"https://own.example.com"}},{{"id":"third","token":"three"}}]"#
    );
    let mut computer = Computer::complete()
        .with(workspaces::NAME, &list)
        .with("MOLECULE_ORG_ID", "org")
        .with("MOLECULE_AGENT_SKILLS", "a");
    let told = |computer: &Computer| -> Vec<String> {
        let config = computer.read().unwrap();
        let told = |own: &Membership| {
            let (workspace, token) = (&own.workspace, own.token.current().unwrap());
            let org = own.org_id.as_deref().unwrap_or("none");
            format!(
                "{workspace} {} {} {org} {}",
                token.expose(),
                own.platform,
                own.card.to_json()
            )
        };
        config.memberships.iter().map(told).collect()
    };
    let skills = r#""skills":[{"name":"a"}]"#;
    let short = WorkspaceId::parse(ID).unwrap().short().to_owned();
    let expected = [
        format!(r#"{ID} one https://tenant.example.com org {{"name":"molecule-mcp-{short}",{skills}}}"#),
        format!(r#"other two https://own.example.com none {{"name":"molecule-mcp-other",{skills}}}"#),
        format!(r#"third three https://tenant.example.com org {{"name":"molecule-mcp-third",{skills}}}"#),
    ];
    assert_eq!(told(&computer), expected);
    computer.set("MOLECULE_AGENT_NAME", "everyone");
    assert!(told(&computer).iter().all(|told| told.contains(r#""name":"everyone""#)));
}

#[test]
fn problems_of_the_list_come_with_the_others_and_do_not_count_as_missing() {
    let computer = Computer::bare().with(workspaces::NAME, "[{},{}]");
    let settings = computer.problems();
    assert_eq!(
        settings.iter().filter(|setting| *setting == workspaces::NAME).count(),
        4
    );
    assert_eq!(settings.last().map(String::as_str), Some(PLATFORM_URL));
    assert_eq!(settings.len(), 5);
}

#[test]
fn the_state_folder_is_made_only_when_nothing_else_is_wrong() {
    let mut computer = Computer::complete();
    computer.env.remove(dirs::CONFIGS_DIR);
    fs::create_dir(computer.root.path().join("home")).unwrap();
    let fallback = computer.root.path().join("home/.molecule-workspace");
    computer.set("MOLECULE_LEASE_SECS", "1");
    assert_eq!(computer.problems(), ["MOLECULE_LEASE_SECS"]);
    assert!(!fallback.exists());
    computer.env.remove("MOLECULE_LEASE_SECS");
    assert_eq!(computer.read().unwrap().state_dir, fallback);
    assert!(fallback.is_dir());
}

#[test]
fn an_unusable_state_folder_is_reported_beside_the_rest() {
    let computer = Computer::bare().with(dirs::CONFIGS_DIR, "/dev/null/state");
    assert_eq!(
        computer.problems(),
        [dirs::CONFIGS_DIR, WORKSPACE_ID, PLATFORM_URL, TOKEN]
    );
}

#[test]
fn in_the_managed_folder_the_file_comes_first() {
    let mut computer = Computer::complete();
    computer.env.remove(dirs::CONFIGS_DIR);
    fs::create_dir(&computer.places.managed).unwrap();
    let path = computer.places.managed.join(".auth_token");
    assert_eq!(
        computer.read().unwrap().first().token.current().unwrap().expose(),
        "tok-secret"
    );
    fs::write(&path, "rotated").unwrap();
    let config = computer.read().unwrap();
    assert_eq!(config.first().token.current().unwrap().expose(), "rotated");
    assert!(config.first().token.can_change());
    fs::write(&path, "again").unwrap();
    assert!(config.first().token.changed_on_disk() && config.first().token.reread());
    assert!(!Path::new(&config.first().token.describe()).is_relative());
}

#[test]
fn an_earlier_set_up_can_be_left_out_of_account() {
    let computer = Computer::bare()
        .filed("molecule.toml", &format!("workspace_id = \"{ID}\"\nbroken"))
        .filed(".auth_token", "tok");
    let problems = check(
        &|name| computer.env.get(name).cloned(),
        &computer.places,
        Existing::Ignored,
    )
    .unwrap_err();
    let settings: Vec<_> = problems.into_iter().map(|problem| problem.setting).collect();
    assert_eq!(settings, [WORKSPACE_ID, PLATFORM_URL, TOKEN]);
}

#[test]
fn what_is_only_echoed_is_never_a_problem_and_shows_no_password() {
    let computer = Computer::complete()
        .with("MODEL", " m-1 ")
        .with("TIER", "0")
        .with("ANTHROPIC_BASE_URL", "https://user:hush@proxy.example/v1");
    let identity = computer.read().unwrap().identity;
    let expected = RuntimeIdentity {
        model: "m-1".into(),
        tier: "0".into(),
        anthropic_base_url: "https://proxy.example/v1".into(),
        ..RuntimeIdentity::default()
    };
    assert_eq!(identity, expected);
    let odd = Computer::complete().with("ANTHROPIC_BASE_URL", "not an address");
    assert_eq!(odd.read().unwrap().identity.anthropic_base_url, "not an address");
}
