use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs;
use std::rc::Rc;

use serde_json::{Value, json};

use super::*;
use crate::platform::error::CallError;
use crate::platform::wire::{Existence, Registered};

const ID: &str = "5f0c1d2e-0000-4000-8000-00000000000a";
const URL: &str = "https://tenant.example.com";

/// A platform that gives prepared answers and writes down what it was asked.
struct FakePlatform {
    existence: Result<Existence, CallError>,
    read: Result<(), CallError>,
    register: Result<Registered, CallError>,
    asked: Rc<RefCell<Vec<String>>>,
}

impl Door for FakePlatform {
    async fn existence(&self) -> Result<Existence, CallError> {
        self.asked.borrow_mut().push("existence".into());
        self.existence.clone()
    }
    async fn read(&self) -> Result<(), CallError> {
        self.asked.borrow_mut().push("read".into());
        self.read.clone()
    }
    async fn register(&self, body: &RegisterBody) -> Result<Registered, CallError> {
        let body = serde_json::to_string(body).unwrap();
        self.asked.borrow_mut().push(format!("register {body}"));
        self.register.clone()
    }
}

/// A person who gives prepared answers.
#[derive(Default)]
struct Person {
    answers: VecDeque<&'static str>,
    heard: Vec<String>,
}

impl Person {
    fn answering(answers: &[&'static str]) -> Self {
        Self {
            answers: answers.iter().copied().collect(),
            heard: Vec::new(),
        }
    }
}

impl Ask for Person {
    fn line(&mut self, question: &str) -> io::Result<String> {
        self.heard.push(format!("shown {question}"));
        self.answers
            .pop_front()
            .map(str::to_owned)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }
    fn hidden(&mut self, question: &str) -> io::Result<String> {
        self.heard.push(format!("hidden {question}"));
        self.answers
            .pop_front()
            .map(str::to_owned)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }
    fn tell(&mut self, text: &str) {
        self.heard.push(text.to_owned());
    }
}

struct Computer {
    root: tempfile::TempDir,
    places: Places,
    env: HashMap<&'static str, OsString>,
    platform: FakePlatform,
}

impl Computer {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("home")).unwrap();
        fs::write(root.path().join("token"), "tok-secret\n").unwrap();
        fs::write(root.path().join("other"), "tok-other").unwrap();
        let places = Places {
            workspace: "/nowhere".into(),
            current: None,
            home: Some(root.path().join("home")),
            managed: root.path().join("configs"),
        };
        let platform = FakePlatform {
            existence: Ok(Existence::Known(json!({}))),
            read: Ok(()),
            register: Ok(Registered::default()),
            asked: Rc::default(),
        };
        Self {
            root,
            places,
            env: HashMap::new(),
            platform,
        }
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("home/.molecule-workspace")
    }

    fn args(&self) -> InitArgs {
        InitArgs {
            url: Some(URL.into()),
            id: Some(ID.into()),
            token_file: Some(self.root.path().join("token")),
            ..InitArgs::default()
        }
    }

    async fn set_up(&self, args: &InitArgs, person: Option<&mut Person>) -> Result<String, InitFailure> {
        let platform = FakePlatform {
            existence: self.platform.existence.clone(),
            read: self.platform.read.clone(),
            register: self.platform.register.clone(),
            asked: self.platform.asked.clone(),
        };
        let person = person.map(|person| person as &mut dyn Ask);
        let var = |name: &str| self.env.get(name).cloned();
        let outcome = set_up(args, &var, &self.places, person, |_| platform).await;
        let said = outcome
            .as_ref()
            .map_or_else(|failure| failure.text.clone(), Clone::clone);
        assert!(!said.contains("tok-"), "{said}");
        outcome
    }

    fn asked(&self) -> Vec<String> {
        self.platform.asked.take()
    }

    fn token(&self) -> String {
        fs::read_to_string(self.state().join(AUTH_TOKEN)).unwrap()
    }

    /// The text of a key of the file.
    fn said(&self, key: &str) -> Option<String> {
        Filed::in_folder(&self.state(), None).text(key)
    }
}

#[tokio::test]
async fn with_flags_it_verifies_and_then_writes_private_files() {
    let computer = Computer::new();
    let report = computer.set_up(&computer.args(), None).await.unwrap();
    assert_eq!(computer.asked(), ["existence", "read"]);
    assert_eq!(computer.token(), "tok-secret");
    assert_eq!(computer.said("platform_url").as_deref(), Some(URL));
    assert_eq!(computer.said("workspace_id").as_deref(), Some(ID));
    assert_eq!((computer.said("org_id"), computer.said("allow_insecure")), (None, None));
    assert!(
        report.contains(ID) && report.contains(&computer.state().display().to_string()),
        "{report}"
    );
    assert!(report.ends_with("  molecule-mcp install claude-code\n"), "{report}");
    #[cfg(unix)]
    for (path, mode) in [("", 0o700), (file::NAME, 0o600), (AUTH_TOKEN, 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let entry = fs::metadata(computer.state().join(path)).unwrap();
        assert_eq!(entry.permissions().mode() & 0o777, mode, "{path}");
    }
}

#[tokio::test]
async fn what_it_wrote_is_a_complete_configuration() {
    let computer = Computer::new();
    let args = InitArgs {
        url: Some("http://example.com".into()),
        org_id: Some("org".into()),
        ..computer.args()
    };
    let mut permitted = computer;
    permitted.env.insert("MOLECULE_ALLOW_INSECURE", "1".into());
    permitted.set_up(&args, None).await.unwrap();
    let config = Config::read_in(|_| None, &permitted.places).unwrap();
    assert_eq!(config.first().platform.to_string(), "http://example.com");
    assert_eq!(config.first().org_id.as_deref(), Some("org"));
    assert_eq!(config.first().token.current().unwrap().expose(), "tok-secret");
}

#[tokio::test]
async fn a_person_is_asked_for_what_is_missing_and_the_token_is_hidden() {
    let mut computer = Computer::new();
    computer.env.insert("WORKSPACE_ID", ID.into());
    let mut person = Person::answering(&[URL, "tok-typed\n"]);
    computer.set_up(&InitArgs::default(), Some(&mut person)).await.unwrap();
    assert_eq!(person.heard.len(), 2, "{:?}", person.heard);
    assert!(person.heard[0].starts_with("shown Address"));
    assert!(person.heard[1].starts_with("hidden Workspace token"));
    assert_eq!(computer.token(), "tok-typed");

    let computer = Computer::new();
    let mut person = Person::answering(&[URL, ID, "tok-typed"]);
    computer.set_up(&InitArgs::default(), Some(&mut person)).await.unwrap();
    let order: Vec<_> = person
        .heard
        .iter()
        .filter_map(|heard| heard.split(' ').nth(1))
        .collect();
    assert_eq!(order, ["Address", "Workspace", "Workspace"], "as the README says");
}

#[tokio::test]
async fn an_unusable_answer_is_asked_for_again_but_not_for_ever() {
    let computer = Computer::new();
    let args = InitArgs {
        id: None,
        ..computer.args()
    };
    let mut person = Person::answering(&["Not an id", "", ID]);
    computer.set_up(&args, Some(&mut person)).await.unwrap();
    assert!(person.heard[1].contains("must be 1 to 128"), "{:?}", person.heard);
    assert_eq!(computer.said("workspace_id").as_deref(), Some(ID));

    let computer = Computer::new();
    let args = InitArgs {
        id: None,
        ..computer.args()
    };
    let mut person = Person::answering(&["A b", "A b", "A b", ID]);
    assert_eq!(computer.set_up(&args, Some(&mut person)).await.unwrap_err().code, 2);
    let mut silent = Person::default();
    assert_eq!(computer.set_up(&args, Some(&mut silent)).await.unwrap_err().code, 2);
    assert!(computer.asked().is_empty() && !computer.state().exists());
}

#[tokio::test]
async fn with_nobody_to_ask_the_flags_are_named() {
    let computer = Computer::new();
    let failure = computer.set_up(&InitArgs::default(), None).await.unwrap_err();
    assert_eq!(failure.code, 2);
    for flag in ["--id", "--url", "--token-file", "--bootstrap"] {
        assert!(failure.text.contains(flag), "{}", failure.text);
    }
    let bad = InitArgs {
        token_file: Some(computer.root.path().join("none")),
        url: Some("ftp://x".into()),
        ..computer.args()
    };
    let mut person = Person::default();
    let failure = computer.set_up(&bad, Some(&mut person)).await.unwrap_err();
    assert!(
        failure.text.contains("--token-file) names a file that does not exist"),
        "{}",
        failure.text
    );
    assert!(failure.text.contains("--url) must start"), "{}", failure.text);
    assert!(person.heard.is_empty() && computer.asked().is_empty());
}

#[tokio::test]
async fn nothing_is_written_unless_the_platform_agrees() {
    let refused = || CallError::Refused {
        status: 401,
        detail: "invalid".into(),
    };
    let down = || CallError::Unreachable { detail: "no".into() };
    let rejected = |status, body: Value| CallError::Rejected {
        status,
        detail: "no".into(),
        body: Some(body),
    };
    let known = || Ok(Existence::Known(json!({})));
    let tenant = json!({"code": "TENANT_ORG_HEADER_REQUIRED"});
    let cases = [
        (Ok(Existence::Unknown), Ok(()), 2, "has no workspace"),
        (Ok(Existence::Removed(json!({}))), Ok(()), 2, "was removed"),
        (Err(down()), Ok(()), 4, "--url"),
        (Err(rejected(503, json!({}))), Ok(()), 4, "503"),
        (known(), Err(refused()), 3, "Tokens"),
        (known(), Err(down()), 4, "network"),
        (known(), Err(rejected(400, tenant)), 2, "--org-id"),
        (known(), Err(rejected(404, json!({}))), 2, "Molecule platform"),
        (Err(rejected(404, json!({}))), Err(refused()), 3, "401"),
        (Err(CallError::NotSent("a rule".into())), Ok(()), 2, "a rule"),
    ];
    for (existence, read, code, expected) in cases {
        let mut computer = Computer::new();
        (computer.platform.existence, computer.platform.read) = (existence, read);
        let failure = computer.set_up(&computer.args(), None).await.unwrap_err();
        assert_eq!(failure.code, code, "{}", failure.text);
        assert!(failure.text.contains(expected), "{}", failure.text);
        assert!(!computer.state().exists());
    }
}

#[tokio::test]
async fn a_row_too_large_to_read_still_proves_the_token() {
    let mut computer = Computer::new();
    computer.platform.read = Err(CallError::TooLarge { limit: 1 });
    computer.set_up(&computer.args(), None).await.unwrap();
    assert_eq!(computer.token(), "tok-secret");
}

#[tokio::test]
async fn an_earlier_set_up_is_replaced_only_by_force_and_keeps_its_card() {
    let computer = Computer::new();
    computer.set_up(&computer.args(), None).await.unwrap();
    computer.set_up(&computer.args(), None).await.unwrap();
    computer.set_up(&InitArgs::default(), None).await.unwrap();
    let path = computer.state().join(file::NAME);
    let with_name = fs::read_to_string(&path).unwrap() + "# me\nagent_name = \"me\"\nlease_secs = 60\n";
    secret::replace(&computer.state(), file::NAME, with_name.as_bytes()).unwrap();
    computer.asked();

    let elsewhere = InitArgs {
        url: Some("https://other.example.com".into()),
        ..computer.args()
    };
    let failure = computer.set_up(&elsewhere, None).await.unwrap_err();
    assert!(
        failure.text.contains("platform_url") && failure.text.contains("--force"),
        "{}",
        failure.text
    );
    let other_token = InitArgs {
        token_file: Some(computer.root.path().join("other")),
        ..computer.args()
    };
    let failure = computer.set_up(&other_token, None).await.unwrap_err();
    assert!(failure.text.contains("another token"), "{}", failure.text);
    assert_eq!(failure.code, 2);
    assert!(computer.asked().is_empty());
    assert_eq!(
        (computer.token(), fs::read_to_string(&path).unwrap()),
        ("tok-secret".to_owned(), with_name)
    );

    let forced = InitArgs {
        force: true,
        url: elsewhere.url,
        ..other_token
    };
    computer.set_up(&forced, None).await.unwrap();
    assert_eq!(computer.token(), "tok-other");
    assert_eq!(
        computer.said("platform_url").as_deref(),
        Some("https://other.example.com")
    );
    assert_eq!(computer.said("agent_name").as_deref(), Some("me"));
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .ends_with("# me\nagent_name = \"me\"\nlease_secs = 60\n")
    );
}

#[tokio::test]
async fn in_the_managed_folder_another_token_needs_force_too() {
    let computer = Computer::new();
    fs::create_dir(&computer.places.managed).unwrap();
    let path = computer.places.managed.join(AUTH_TOKEN);
    fs::write(&path, "tok-managed").unwrap();
    let failure = computer.set_up(&computer.args(), None).await.unwrap_err();
    assert!(failure.text.contains("another token"), "{}", failure.text);
    let forced = InitArgs {
        force: true,
        ..computer.args()
    };
    computer.set_up(&forced, None).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "tok-secret");
}

#[tokio::test]
async fn a_folder_that_is_not_the_usual_one_appears_in_the_next_step() {
    let computer = Computer::new();
    let args = InitArgs {
        configs_dir: Some(computer.root.path().join("my state")),
        ..computer.args()
    };
    let report = computer.set_up(&args, None).await.unwrap();
    assert!(
        report.contains("CONFIGS_DIR='") && report.contains("my state'"),
        "{report}"
    );
    assert!(!computer.state().exists());
}

#[tokio::test]
async fn bootstrapping_registers_an_existing_workspace_and_keeps_what_it_gets() {
    let mut computer = Computer::new();
    let args = InitArgs {
        token_file: None,
        bootstrap: true,
        ..computer.args()
    };
    computer.platform.register = Ok(Registered {
        auth_token: Some(Secret::parse("tok-issued").unwrap()),
        inbound_secret: Some(Secret::parse("tok-inbound").unwrap()),
    });
    computer.set_up(&args, None).await.unwrap();
    let asked = computer.asked();
    assert_eq!((asked[0].as_str(), asked[2].as_str()), ("existence", "read"));
    let body: Value = serde_json::from_str(asked[1].strip_prefix("register ").unwrap()).unwrap();
    let card = json!({"name": "molecule-mcp-5f0c1d2e", "skills": []});
    let expected = json!({
        "id": ID, "url": "", "agent_card": card, "delivery_mode": "poll", "mcp_server_present": false
    });
    assert_eq!(body, expected);
    assert_eq!(computer.token(), "tok-issued");
    let inbound = fs::read_to_string(computer.state().join(INBOUND_SECRET)).unwrap();
    assert_eq!(inbound, "tok-inbound");

    computer.set_up(&args, None).await.unwrap();
    assert_eq!(
        computer.asked(),
        ["existence", "read"],
        "a token that is there is used, not replaced"
    );
}

#[tokio::test]
async fn bootstrapping_stops_before_it_could_make_a_ghost_or_lose_a_token() {
    let args = |computer: &Computer| InitArgs {
        token_file: None,
        bootstrap: true,
        ..computer.args()
    };
    let unclear = CallError::Malformed { detail: "html".into() };
    for (existence, code) in [(Ok(Existence::Unknown), 2), (Err(unclear), 2)] {
        let mut computer = Computer::new();
        computer.platform.existence = existence;
        assert_eq!(computer.set_up(&args(&computer), None).await.unwrap_err().code, code);
        assert_eq!(computer.asked(), ["existence"]);
    }
    let computer = Computer::new();
    let failure = computer.set_up(&args(&computer), None).await.unwrap_err();
    assert_eq!(failure.code, 3);
    assert!(failure.text.contains("has a token already") && !computer.state().exists());

    let mut computer = Computer::new();
    computer.platform.register = Ok(Registered {
        auth_token: Some(Secret::parse("tok-issued").unwrap()),
        inbound_secret: None,
    });
    computer.platform.read = Err(CallError::Unreachable { detail: "no".into() });
    let failure = computer.set_up(&args(&computer), None).await.unwrap_err();
    assert_eq!(failure.code, 4);
    assert!(failure.text.contains("kept in"), "{}", failure.text);
    assert_eq!(computer.token(), "tok-issued");
}

#[tokio::test]
async fn the_file_that_is_in_use_is_the_one_that_is_changed() {
    let mut computer = Computer::new();
    let named = computer.root.path().join("mine.toml");
    fs::write(&named, "lease_secs = 60\n").unwrap();
    computer.env.insert("MOLECULE_CONFIG", named.clone().into_os_string());
    let report = computer.set_up(&computer.args(), None).await.unwrap();
    assert!(report.contains("mine.toml"), "{report}");
    let text = fs::read_to_string(&named).unwrap();
    assert!(text.starts_with("lease_secs = 60\n") && text.contains(URL), "{text}");
    assert!(!computer.state().join(file::NAME).exists());

    computer.env.remove("MOLECULE_CONFIG");
    fs::write(computer.state().join(file::OTHER_NAME), "# other\n").unwrap();
    computer.set_up(&computer.args(), None).await.unwrap();
    let text = fs::read_to_string(computer.state().join(file::OTHER_NAME)).unwrap();
    assert!(
        text.contains(URL) && !computer.state().join(file::NAME).exists(),
        "{text}"
    );
}
