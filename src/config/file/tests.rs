use super::*;

fn filed(text: impl AsRef<[u8]>) -> Filed {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(NAME), text).unwrap();
    Filed::in_folder(dir.path(), None)
}

#[test]
fn a_missing_file_is_no_problem_and_an_empty_one_says_nothing() {
    let none = Filed::in_folder(tempfile::tempdir().unwrap().path(), None);
    assert!(none.path().is_none() && none.problems.is_empty());
    let empty = filed("");
    assert!(empty.path().is_some() && empty.problems.is_empty() && empty.entries().is_empty());
    let named = Filed::at(Path::new("/nowhere/m.toml"), None);
    assert_eq!(named.problems[0].setting, "/nowhere/m.toml");
    assert_eq!(named.problems[0].what, "does not exist");
}

#[test]
fn every_kind_of_value_becomes_what_its_variable_would_say() {
    let dir = tempfile::tempdir().unwrap();
    let text = "agent_name = \" me \"\nca_file = \"~/ca.pem\"\nlog_file = \"logs/m.log\"\nallow_insecure = true\n\
                read_only = false\nverbose = true\ndisable_inbox = false\nlease_secs = 60\ndelegation_timeout = 1.5\n\
                agent_skills = [\"one\", \"two, three\"]\nattach_roots = [\"/a\", \"b\"]\n\
                on_message = [\"notify\", \"a b\"]\ntoolsets = \"agent,ops\"\n\
                [[workspaces]]\nid = \"w\"\ntoken_file = \"w.token\"\n";
    let path = dir.path().join("mine.toml");
    fs::write(&path, text).unwrap();
    let filed = Filed::at(&path, Some(Path::new("/home/me")));
    assert!(filed.problems.is_empty(), "{:?}", filed.problems);
    let below = |name: &str| dir.path().join(name).display().to_string();
    for (key, expected) in [
        ("agent_name", " me ".to_owned()),
        ("ca_file", "/home/me/ca.pem".to_owned()),
        ("log_file", below("logs/m.log")),
        ("allow_insecure", "1".to_owned()),
        ("read_only", "0".to_owned()),
        ("verbose", "1".to_owned()),
        ("lease_secs", "60".to_owned()),
        ("delegation_timeout", "1.5".to_owned()),
        ("agent_skills", "one,two, three".to_owned()),
        ("attach_roots", format!("/a:{}", below("b"))),
        ("on_message", "notify 'a b'".to_owned()),
        ("toolsets", "agent,ops".to_owned()),
        (
            "workspaces",
            format!(r#"[{{"id":"w","token_file":"{}"}}]"#, below("w.token")),
        ),
    ] {
        assert_eq!(filed.text(key).as_deref(), Some(expected.as_str()), "{key}");
    }
    assert_eq!(filed.text("disable_inbox"), None, "false is as good as nothing");
    let variables = filed.as_variables();
    assert!(
        variables.contains(&("MOLECULE_LEASE_SECS", "60".to_owned())),
        "{variables:?}"
    );
    assert!(variables.iter().all(|(name, _)| *name != "MOLECULE_MCP_DISABLE_INBOX"));
}

#[test]
fn each_broken_file_is_named_with_its_line_and_never_quoted() {
    for (text, setting, what, remedy) in [
        (
            "platform_url = \"x\"\ntok-secret\n",
            NAME,
            "not valid TOML (line 2)",
            "key =",
        ),
        (
            "workspace_id = \"a\"\nworkspace_id = \"tok-secret\"",
            NAME,
            "not valid TOML (line 2)",
            "key =",
        ),
        (
            "agent_name = \"x\"\n\ntoken = \"tok-secret\"\n",
            "token in molecule.toml",
            "(line 3) is a credential",
            "token_file = ",
        ),
        (
            "api-key = \"tok-secret\"",
            "api-key in molecule.toml",
            "is a credential",
            "api_key_file = ",
        ),
        (
            "cp_admin_api_token = \"tok-secret\"",
            "cp_admin_api_token in",
            "a credential",
            "cp_admin_api_token_file = ",
        ),
        (
            "db_password = \"tok-secret\"",
            "db_password in",
            "is a credential",
            "token_file",
        ),
        (
            "workspace_id = [\"tok-secret\"]",
            "workspace_id in",
            "(line 1) must be a text",
            "mend",
        ),
        (
            "workspace_id = 5",
            "workspace_id in",
            "must be a text, in quotes",
            "mend",
        ),
        (
            "\nallow_insecure = \"tok-secret\"",
            "allow_insecure in",
            "(line 2) must be true or false, without quotes",
            "",
        ),
        (
            "lease_secs = \"60\"",
            "lease_secs in",
            "must be a whole number from 10 to 86400, without quotes",
            "",
        ),
        ("agent_skills = [1]", "agent_skills in", "must be a list of texts", ""),
        (
            "lease_sec = 60",
            "lease_sec in",
            "is not a known key",
            "did you mean lease_secs?",
        ),
        (
            "MOLECULE_LEASE_SECS = 60",
            "MOLECULE_LEASE_SECS in",
            "the name of a variable",
            "its key here is lease_secs",
        ),
        ("MODEL = \"m\"", "MODEL in", "cannot be set in a file", "environment"),
        ("banana = 1", "banana in", "is not a known key", "config --example"),
        ("\"tok-secret 123\" = 1", "a key in", "is not a known key", ""),
        (
            "configs_dir = \"/x\"",
            "configs_dir in",
            "cannot be set here",
            "CONFIGS_DIR",
        ),
        (
            "[[workspaces]]\nid = \"a\"\ntoken = \"tok-secret\"",
            "workspaces in",
            "holds a token",
            "token_file",
        ),
        (
            "[[workspaces]]\nid = \"a\"\ntokenfile = \"x\"",
            "workspaces in",
            "unknown key",
            "did you mean token_file?",
        ),
    ] {
        let problems = filed(text).problems;
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        let problem = &problems[0];
        assert!(problem.setting.starts_with(setting), "{text}: {problem:?}");
        assert!(problem.what.contains(what), "{text}: {problem:?}");
        assert!(problem.remedy.contains(remedy), "{text}: {problem:?}");
        assert!(!format!("{problem:?}").contains("tok-secret"), "{problem:?}");
    }
    assert!(
        filed(b"\n\na = \"\xff\"").problems[0]
            .what
            .contains("UTF-8 text (line 3)")
    );
    assert!(filed("#".repeat(70_000)).problems[0].what.contains("64 KiB"));
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(NAME)).unwrap();
    assert!(
        Filed::in_folder(dir.path(), None).problems[0]
            .what
            .contains("regular file")
    );
}

#[test]
fn all_that_is_wrong_is_told_in_the_order_of_the_file_and_the_rest_counts() {
    let filed = filed("zebra = 1\nagent_name = \"me\"\nlease_secs = true\nagent_nam = \"x\"\n");
    let told: Vec<_> = filed.problems.iter().map(|problem| problem.setting.as_str()).collect();
    assert_eq!(
        told,
        [
            "zebra in molecule.toml",
            "lease_secs in molecule.toml",
            "agent_nam in molecule.toml"
        ]
    );
    assert_eq!(filed.text("agent_name").as_deref(), Some("me"));
}

#[test]
fn both_names_are_taken_and_two_files_that_differ_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put(OTHER_NAME, "agent_name = \"a\"\n");
    let filed = Filed::in_folder(dir.path(), None);
    assert_eq!(
        (filed.name(), filed.text("agent_name").as_deref()),
        (OTHER_NAME, Some("a"))
    );
    put(NAME, "agent_name = \"a\"\n");
    let filed = Filed::in_folder(dir.path(), None);
    assert_eq!((filed.name(), filed.problems.len()), (NAME, 0));
    put(NAME, "agent_name = \"b\"\n");
    let problem = &Filed::in_folder(dir.path(), None).problems[0];
    assert_eq!(problem.setting, "molecule.toml and config.toml");
    assert!(problem.what.contains("differ") && problem.remedy.contains("remove config.toml"));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_write_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(NAME);
    fs::write(&path, "").unwrap();
    for (mode, warned) in [(0o600, false), (0o644, false), (0o664, true), (0o602, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            !Filed::in_folder(dir.path(), None).warnings.is_empty(),
            warned,
            "{mode:o}"
        );
    }
}
