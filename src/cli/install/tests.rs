//! The commands on a computer of their own.

use std::collections::HashMap;
use std::fs;

use clap::Parser as _;

use super::*;
use crate::cli::options::{Command, Options};

const ID: &str = "0a1b2c3d-0000-4000-8000-000000000000";

struct Person {
    root: tempfile::TempDir,
    env: HashMap<&'static str, OsString>,
}

impl Person {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let person = Self {
            env: HashMap::from([
                ("PLATFORM_URL", "http://127.0.0.1:9".into()),
                ("CONFIGS_DIR", root.path().join("state").into()),
                ("WORKSPACE_ID", ID.into()),
            ]),
            root,
        };
        fs::create_dir(person.at("state")).unwrap();
        fs::write(person.at("state/.auth_token"), "tok-kept").unwrap();
        person
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn says(&self, line: &str) -> Result<String, String> {
        let places = Places {
            home: Some(self.at("home")),
            managed: self.at("none"),
            workspace: self.at("none"),
            current: None,
        };
        let var = |name: &str| self.env.get(name).cloned();
        let words = ["molecule-mcp"].into_iter().chain(line.split(' '));
        let file = ["--file".into(), self.at("client.json").into_os_string()];
        match Options::try_parse_from(words.map(OsString::from).chain(file))
            .unwrap()
            .command
        {
            Some(Command::Install(args)) => installed(&args, &var, &places),
            Some(Command::Uninstall(args)) => uninstalled(&args, &var, &places),
            other => panic!("{other:?}"),
        }
    }

    fn file(&self) -> String {
        fs::read_to_string(self.at("client.json")).unwrap()
    }
}

#[test]
fn installing_twice_changes_nothing_and_uninstalling_leaves_nothing() {
    let person = Person::new();
    let report = person.says("install claude-code").unwrap();
    assert!(
        report.contains("molecule-0a1b2c3d") && report.contains("claude mcp list"),
        "{report}"
    );
    let first = person.file();
    assert!(!first.contains("tok-kept"));
    assert!(person.says("install claude-code").unwrap().contains("up to date"));
    assert_eq!(person.file(), first);
    assert!(!person.at("client.json.molecule-mcp.bak").exists());
    person.says("uninstall claude-code").unwrap();
    assert!(!person.at("client.json").exists());
    assert!(
        person
            .says("uninstall claude-code")
            .unwrap()
            .contains("nothing to take out")
    );
}

#[test]
fn a_second_workspace_gets_a_server_of_its_own_and_each_is_taken_out_alone() {
    let mut person = Person::new();
    person.says("install claude-code").unwrap();
    let first = person.file();
    person
        .env
        .insert("WORKSPACE_ID", "ffffffff-0000-4000-8000-000000000000".into());
    person.says("install claude-code").unwrap();
    assert!(person.file().contains("molecule-ffffffff") && person.file().contains("molecule-0a1b2c3d"));
    person.says("uninstall claude-code").unwrap();
    assert_eq!(person.file(), first);
}

#[test]
fn another_server_of_the_same_name_is_left_alone() {
    let mut person = Person::new();
    person.says("install claude-code").unwrap();
    let first = person.file();
    // The same eight characters.
    person
        .env
        .insert("WORKSPACE_ID", "0a1b2c3d-ffff-4000-8000-000000000000".into());
    let refused = person.says("install claude-code").unwrap_err();
    assert!(refused.contains("--name"), "{refused}");
    assert_eq!(person.file(), first);
    person.says("install claude-code --name second").unwrap();
    assert!(person.file().contains("\"second\""));
}

#[test]
fn a_workspace_that_has_another_name_there_keeps_it() {
    let person = Person::new();
    let before = format!(
        "{{\"mcpServers\": {{\"molecule\": {{\"command\": \"molecule-mcp\", \"env\": {{\"WORKSPACE_ID\": \"{ID}\"}}}}}}}}"
    );
    fs::write(person.at("client.json"), &before).unwrap();
    let report = person.says("install claude-code").unwrap();
    assert!(
        report.contains("server molecule in") && report.contains("molecule-mcp.bak"),
        "{report}"
    );
    assert!(!person.file().contains("molecule-0a1b2c3d"));
    assert_eq!(
        fs::read_to_string(person.at("client.json.molecule-mcp.bak")).unwrap(),
        before
    );
}

#[test]
fn printing_changes_nothing_and_needs_no_client() {
    let person = Person::new();
    let shown = person.says("install codex --print").unwrap();
    assert!(shown.contains("[mcp_servers.molecule-0a1b2c3d]"), "{shown}");
    let shown = person.says("install --print").unwrap();
    assert!(
        shown.contains("mcpServers") && shown.contains("claude mcp add"),
        "{shown}"
    );
    assert!(!person.at("client.json").exists() && !shown.contains("tok-kept"));
}

#[test]
fn a_file_that_cannot_be_read_is_left_as_it_is() {
    let person = Person::new();
    fs::write(person.at("client.json"), "{ broken").unwrap();
    let refused = person.says("install claude-code").unwrap_err();
    assert!(refused.contains("--print"), "{refused}");
    assert_eq!(person.file(), "{ broken");
}

#[test]
fn without_a_configuration_that_works_nothing_is_written() {
    let mut person = Person::new();
    person.env.remove("PLATFORM_URL");
    let refused = person.says("install claude-code").unwrap_err();
    assert!(
        refused.contains("PLATFORM_URL") && refused.contains("molecule-mcp init"),
        "{refused}"
    );
    assert!(!person.at("client.json").exists());
}

#[test]
fn names_that_a_client_would_refuse_are_refused() {
    for name in ["", "a b", "a/b", "a.b", &"x".repeat(65)] {
        assert!(server_name(name).is_err(), "{name:?}");
    }
    assert!(server_name("molecule_1-a").is_ok());
}
