//! The README names what there is, and nothing else.

use std::collections::BTreeSet;
use std::sync::Mutex;

use molecule_mcp::config::Config;
use molecule_mcp::config::management::Management;
use molecule_mcp::config::settings;

use super::start_up::run_to_end;
use super::support::bare_command;

const README: &str = include_str!("../../README.md");

/// Read elsewhere than in the configuration.
const OTHERS: &[&str] = &[
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "MOLECULE_TEST_CRASH_AT",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];

fn section(title: &str) -> &'static str {
    let begin = README.find(title).unwrap_or_else(|| panic!("{title} is missing"));
    let rest = &README[begin + title.len()..];
    &rest[..rest.find("\n#").unwrap_or(rest.len())]
}

/// What stands in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The names of variables in the first column of the tables of a section, or anywhere in its other text.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_name =
        |word: &&str| word.len() > 3 && word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    text.lines()
        .flat_map(|line| match line.strip_prefix('|') {
            Some(row) => quoted(row.split('|').next().unwrap_or_default()),
            None => quoted(line),
        })
        .filter(is_name)
        .collect()
}

#[test]
fn every_variable_that_is_read_is_named_and_no_other() {
    let read = Mutex::new(BTreeSet::new());
    for listed in [None, Some("[]")] {
        let _ = Config::read(|name| {
            read.lock().unwrap().insert(name.to_owned());
            listed.filter(|_| name == "MOLECULE_WORKSPACES").map(Into::into)
        });
    }
    let _ = Management::read(|name| {
        read.lock().unwrap().insert(name.to_owned());
        None
    });
    let read = read.into_inner().unwrap();
    let table: BTreeSet<&str> = settings::all()
        .flat_map(|setting| setting.names)
        .copied()
        .filter(|name| !name.contains(char::is_lowercase))
        .collect();
    let unread: Vec<_> = table
        .iter()
        .filter(|name| !read.contains(**name) && !OTHERS.contains(name))
        .collect();
    assert!(
        unread.is_empty(),
        "in the table of settings, and never read: {unread:?}"
    );
    let read: BTreeSet<&str> = read
        .iter()
        .map(String::as_str)
        .chain(OTHERS.iter().copied())
        .filter(|name| !name.contains(char::is_lowercase))
        .collect();
    let sections = [
        "### Joining a platform",
        "### How the agent appears",
        "### Behaviour",
        "### Operating workspaces and managing a tenant",
    ];
    let named: BTreeSet<&str> = sections
        .into_iter()
        .flat_map(|title| variables(section(title)))
        .collect();
    assert_eq!(named, read);
    let ignored = variables(section("### Known from the Python daemon, without effect here"));
    let ignored: BTreeSet<&str> = ignored.intersection(&read).copied().collect();
    assert!(ignored.is_empty(), "{ignored:?}");
}

#[tokio::test]
async fn every_command_is_named_and_no_other() {
    let mut command = bare_command();
    command.arg("--help");
    let (_, lines, _) = run_to_end(command).await;
    let listed: BTreeSet<String> = lines
        .iter()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty() && *word != "help")
        .map(str::to_owned)
        .collect();
    let named: BTreeSet<String> = quoted(section("## Commands"))
        .into_iter()
        .filter_map(|text| text.strip_prefix("molecule-mcp ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(!listed.is_empty());
    assert_eq!(named, listed);
}
