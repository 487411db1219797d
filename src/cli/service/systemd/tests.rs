//! The units, as systemd itself judges them, and what the drop-in adds.

use std::process::Command;

use super::*;
use crate::cli::launch::tests::Home;

/// What an installation writes, below a folder of the test's own.
fn written(manager: &Systemd, launch: &Launch) -> Vec<(PathBuf, String)> {
    let steps = manager.install(launch).unwrap();
    let files: Vec<_> = steps
        .into_iter()
        .filter_map(|step| match step {
            Step::Write(path, text) => Some((path, text)),
            _ => None,
        })
        .collect();
    for (path, text) in &files {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    files
}

fn launch() -> (Home, Launch) {
    let mut home = Home::new();
    home.keep_token();
    home.env.insert("MOLECULE_AGENT_NAME", r#"100% "A\B" $C"#.into());
    let mut launch = home.launch().unwrap();
    // The test's own program lies where the unit of the computer does not look.
    launch.program = "/usr/bin/env".into();
    (home, launch)
}

/// `systemd-analyze`, or a line that says why a test proves nothing here.
fn analyze(arguments: &[&str], unit: &Path) -> Option<std::process::Output> {
    let runtime = tempfile::tempdir().unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit).env("XDG_RUNTIME_DIR", runtime.path());
    match command.output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("skipped: there is no systemd-analyze on this computer (Debian: apt-get install systemd)");
            None
        }
    }
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_their_drop_ins() {
    let etc = tempfile::tempdir().unwrap();
    let (_home, launch) = launch();
    for (flag, manager) in [
        ("--system", Systemd::below(etc.path(), None)),
        ("--system", Systemd::below(etc.path(), Some("second".into()))),
        ("--user", Systemd::of_user(etc.path(), None)),
    ] {
        written(&manager, &launch);
        let Some(output) = analyze(&["verify", flag, "--man=no", "--recursive-errors=no"], &manager.file()) else {
            return;
        };
        assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
        // It does look: what is wrong is found.
        let broken = manager.drop_in().with_file_name("wrong.conf");
        std::fs::write(&broken, "[Service]\nNoSuchSetting=1\n").unwrap();
        let output = analyze(&["verify", flag, "--man=no", "--recursive-errors=no"], &manager.file()).unwrap();
        assert!(said(&output).contains("NoSuchSetting"), "{}", said(&output));
    }
}

#[test]
fn the_unit_of_the_computer_is_exposed_by_two_of_ten_at_most() {
    let etc = tempfile::tempdir().unwrap();
    let (_home, launch) = launch();
    for name in [None, Some("second".to_owned())] {
        let manager = Systemd::below(etc.path(), name);
        written(&manager, &launch);
        let arguments = ["security", "--offline=true", "--threshold=20", "--no-pager"];
        let Some(output) = analyze(&arguments, &manager.file()) else {
            return;
        };
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("Overall exposure level"), "{}", said(&output));
    }
}

#[test]
fn the_units_are_those_of_the_repository_and_hold_no_setting_and_no_token() {
    let etc = tempfile::tempdir().unwrap();
    let (_home, launch) = launch();
    for manager in [
        Systemd::below(etc.path(), None),
        Systemd::of_user(&etc.path().join("user"), None),
    ] {
        let files = written(&manager, &launch);
        let unit = &files.iter().find(|(path, _)| *path == manager.file()).unwrap().1;
        assert!(unit == OF_COMPUTER || unit == OF_USER);
        assert!(files.iter().all(|(_, text)| !text.contains("tok-kept")));
        let steps = super::super::steps::describe(&manager.install(&launch).unwrap());
        assert!(!steps.contains("tok-kept"), "{steps}");
    }
}

#[test]
fn both_units_report_to_systemd_start_with_the_computer_and_do_not_loop_where_that_is_no_use() {
    for unit in [OF_COMPUTER, OF_USER] {
        for line in [
            "Type=notify",
            "WatchdogSec=60",
            "Restart=on-failure",
            "RestartPreventExitStatus=2 3",
            "ExecStart=/usr/bin/molecule-mcp serve",
        ] {
            assert!(unit.lines().any(|there| there == line), "{line}");
        }
        assert!(unit.contains("\nWantedBy="));
    }
    assert_eq!(
        (
            crate::cli::options::exit::CONFIGURATION,
            crate::cli::options::exit::REFUSED
        ),
        (2, 3)
    );
}

#[test]
fn settings_reach_the_daemon_as_they_were_written() {
    let etc = tempfile::tempdir().unwrap();
    let (_home, launch) = launch();
    let of_user = Systemd::of_user(etc.path(), None);
    let drop_in = &written(&of_user, &launch)[1].1;
    assert!(
        drop_in.contains("ExecStart=\nExecStart=\"/usr/bin/env\" serve\n"),
        "{drop_in}"
    );
    assert!(
        drop_in.contains(r#"Environment="MOLECULE_AGENT_NAME=100%% \"A\\B\" $C""#),
        "{drop_in}"
    );
    let of_computer = Systemd::below(etc.path(), None);
    let environment = &written(&of_computer, &launch)[0].1;
    assert!(
        environment.contains(r#"MOLECULE_AGENT_NAME="100% \"A\\B\" \$C""#),
        "{environment}"
    );
    assert!(
        !environment.contains("CONFIGS_DIR"),
        "the unit has a folder of its own: {environment}"
    );
}

#[test]
fn what_init_wrote_for_the_user_is_known_to_the_unit_of_the_computer_too() {
    let mut home = Home::new();
    home.keep_token();
    let dir = home.launch().unwrap().checked.config().state_dir.clone();
    std::fs::write(
        dir.join(crate::config::file::NAME),
        "platform_url = \"http://127.0.0.1:7\"\nagent_skills = [\"a\", \"b\"]\n",
    )
    .unwrap();
    home.env.remove("PLATFORM_URL");
    let environment = environment(&home.launch().unwrap());
    let lines: Vec<_> = environment.lines().collect();
    assert_eq!(
        lines,
        [
            "WORKSPACE_ID=\"0a1b2c3d-0000-4000-8000-000000000000\"",
            "PLATFORM_URL=\"http://127.0.0.1:7\"",
            "MOLECULE_AGENT_SKILLS=\"a,b\""
        ]
    );
}

#[test]
fn another_workspaces_unit_is_not_replaced_unasked() {
    let etc = tempfile::tempdir().unwrap();
    let mut home = Home::new();
    home.keep_token();
    let manager = Systemd::of_user(etc.path(), None);
    written(&manager, &home.launch().unwrap());
    assert!(manager.install(&home.launch().unwrap()).is_ok(), "the same again");
    home.env.insert("WORKSPACE_ID", "another".into());
    let refused = manager.install(&home.launch().unwrap()).unwrap_err();
    assert!(refused.contains("--name"), "{refused}");
    let second = Systemd::of_user(etc.path(), Some("second".into()));
    assert!(second.install(&home.launch().unwrap()).is_ok());
}

#[test]
fn a_unit_that_a_package_has_put_in_place_is_not_copied() {
    let etc = tempfile::tempdir().unwrap();
    let (_home, launch) = launch();
    let mut manager = Systemd::of_user(etc.path(), None);
    manager.packaged = etc.path().join("packaged");
    std::fs::create_dir(&manager.packaged).unwrap();
    let wrote = |manager: &Systemd| {
        written(manager, &launch)
            .iter()
            .any(|(path, _)| *path == manager.file())
    };
    assert!(wrote(&manager));
    std::fs::write(manager.packaged.join("molecule-mcp.service"), "an older one").unwrap();
    assert!(wrote(&manager));
    std::fs::write(manager.packaged.join("molecule-mcp.service"), OF_USER).unwrap();
    assert!(!wrote(&manager));
}

#[test]
fn a_program_that_the_unit_of_the_computer_cannot_see_is_refused() {
    let etc = tempfile::tempdir().unwrap();
    let (_home, mut launch) = launch();
    launch.program = "/home/me/bin/molecule-mcp".into();
    let refused = Systemd::below(etc.path(), None).install(&launch).unwrap_err();
    assert!(refused.contains("/usr/local/bin"), "{refused}");
}
