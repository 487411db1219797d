//! launchd's agent as a property list, and what holds for every manager.

use super::*;
use crate::cli::launch::tests::Home;

#[test]
fn the_agent_is_a_property_list_that_says_what_launchd_has_to_know() {
    let mut home = Home::new();
    home.keep_token();
    home.env.insert("MOLECULE_AGENT_NAME", "A <b> & C".into());
    let mut launch = home.launch().unwrap();
    launch.program = "/opt/a & b/molecule-mcp".into();
    let folder = tempfile::tempdir().unwrap();
    let manager = Launchd::new(folder.path().to_owned(), 501, None);
    let steps = manager.install(&launch).unwrap();
    let [Step::Write(path, text), ..] = &steps[..] else {
        panic!("{steps:?}")
    };
    assert!(path.ends_with("Library/LaunchAgents/ai.molecule.molecule-mcp.plist"));
    let agent = plist::Value::from_reader_xml(text.as_bytes())
        .unwrap()
        .into_dictionary()
        .unwrap();
    let program = agent["ProgramArguments"].as_array().unwrap();
    let program: Vec<_> = program.iter().filter_map(plist::Value::as_string).collect();
    // Codes 2 and 3 must not be tried again and again.
    assert_eq!(program, ["/opt/a & b/molecule-mcp", "serve", "--launchd"]);
    is_fine_with_the_system(text);
    assert_eq!(agent["Label"].as_string(), Some("ai.molecule.molecule-mcp"));
    assert_eq!(agent["RunAtLoad"].as_boolean(), Some(true));
    assert_eq!(
        agent["KeepAlive"].as_dictionary().unwrap()["SuccessfulExit"].as_boolean(),
        Some(false)
    );
    assert_eq!(agent["Umask"].as_signed_integer(), Some(0o077));
    let given = agent["EnvironmentVariables"].as_dictionary().unwrap();
    assert_eq!(given["MOLECULE_AGENT_NAME"].as_string(), Some("A <b> & C"));
    assert_eq!(given.len(), launch.env.len());
    assert!(
        !["@PROGRAM", "@LABEL", "@LOG", "@ENV"]
            .iter()
            .any(|word| text.contains(word))
            && !text.contains("tok-kept"),
        "{text}"
    );
    let shown = steps::describe(&steps);
    assert!(shown.contains("$ launchctl bootstrap gui/501 "), "{shown}");
}

/// Where the system has its own tool for property lists, it decides.
fn is_fine_with_the_system(text: &str) {
    if cfg!(target_os = "macos") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.plist");
        std::fs::write(&file, text).unwrap();
        let lint = std::process::Command::new("plutil")
            .arg("-lint")
            .arg(&file)
            .output()
            .unwrap();
        assert!(lint.status.success(), "{lint:?}");
    }
}

#[tokio::test]
async fn the_first_step_that_fails_is_told_and_the_rest_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let failing = ["sh", "-c", "echo that is wrong >&2; exit 5"].map(str::to_owned);
    let steps = [
        Step::Write(at("deep/first"), "1".into()),
        Step::Try(failing.clone().into(), "no harm done"),
        Step::Run(failing.into()),
        Step::Write(at("second"), "2".into()),
    ];
    let why = steps::carry_out(&steps).await.unwrap_err();
    assert!(why.contains("that is wrong"), "{why}");
    assert!(at("deep/first").exists() && !at("second").exists());
    let report = steps::carry_out(&steps[..2]).await.unwrap();
    assert!(report.contains("Note: no harm done"), "{report}");
}

#[tokio::test]
async fn removing_leaves_alone_what_is_not_ours() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("unit.d");
    std::fs::create_dir(&unit).unwrap();
    std::fs::write(unit.join("theirs.conf"), "").unwrap();
    steps::carry_out(&[Step::Remove(unit.clone()), Step::Remove(folder.path().join("none"))])
        .await
        .unwrap();
    assert!(unit.join("theirs.conf").exists());
    std::fs::remove_file(unit.join("theirs.conf")).unwrap();
    steps::carry_out(&[Step::Remove(unit.clone())]).await.unwrap();
    assert!(!unit.exists());
}

#[tokio::test]
async fn the_token_is_kept_in_a_private_file_in_a_private_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("etc/token");
    let token = crate::types::Secret::parse("tok-kept").unwrap();
    let report = steps::carry_out(&[Step::Keep(path.clone(), token)]).await.unwrap();
    assert!(!report.contains("tok-kept"));
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn names_are_such_that_every_manager_takes_them() {
    for name in ["", "A", "a b", "a/b", "-a", "a.b", &"a".repeat(33)] {
        assert!(service_name(name).is_err(), "{name:?}");
    }
    assert!(service_name("alpha-2").is_ok());
}

#[test]
fn without_systemd_or_a_session_it_says_what_to_do() {
    let args = ServiceArgs {
        action: Action::Start,
        system: false,
        name: None,
    };
    if cfg!(target_os = "linux") {
        let why = manager(&args, &|_| None).err().unwrap();
        assert!(why.contains("molecule-mcp serve"), "{why}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("systemctl"), "").unwrap();
        let path = folder.path().as_os_str().to_owned();
        let why = manager(&args, &|name| (name == "PATH").then(|| path.clone()))
            .err()
            .unwrap();
        assert!(why.contains("--system"), "{why}");
    }
}
