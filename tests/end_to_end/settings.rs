//! The configuration file, what `config` shows of it, and the log.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use super::start_up::run_to_end;
use super::support::{World, bare_command, file, signal, start, until};

/// A home of its own, and nothing else in the environment.
fn at_home(home: &Path, arguments: &[&str]) -> Command {
    let mut command = bare_command();
    command.env("HOME", home).args(arguments);
    command
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn a_file_alone_makes_a_daemon_by_either_name_and_by_flag() {
    let world = World::new().await;
    for (place, flag) in [
        (".molecule-workspace/molecule.toml", false),
        (".molecule-workspace/config.toml", false),
        ("elsewhere/mine.toml", true),
    ] {
        let home = tempfile::tempdir().unwrap();
        let name = place.rsplit('/').next().unwrap();
        let workspace = world.workspace(name).await;
        let path = home.path().join(place);
        write(&path.with_file_name("the.token"), &workspace.token);
        let text = format!(
            "platform_url = \"{}\"\nworkspace_id = \"{}\"\ntoken_file = \"the.token\"\nagent_name = \"by {name}\"\n\
             read_only = true\nlog_file = \"logs/daemon.log\"\n",
            world.url(),
            workspace.id
        );
        write(&path, &text);
        let mut command = at_home(home.path(), &[]);
        command.env("MOLECULE_TEST_SPEED", "50");
        if flag {
            command.arg("--config").arg(&path);
        }
        let daemon = start(command).await;
        until("the workspace is online", || async {
            world.status(&workspace).await == "online"
        })
        .await;
        let tools = daemon.request("tools/list", json!({})).await.unwrap();
        let names: Vec<_> = tools["result"]["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].clone())
            .collect();
        assert!(
            names.contains(&json!("inbox_peek")) && !names.contains(&json!("inbox_pop")),
            "{names:?}"
        );
        let registered = world.requests_with(&workspace.token, "register").await;
        assert_eq!(registered[0]["body"]["agent_card"]["name"], format!("by {name}"));
        let log = path.parent().unwrap().join("logs");
        until("the log file tells of it", || async {
            !file(&log, "daemon.log").is_empty()
        })
        .await;
        assert!(!file(&log, "daemon.log").contains(&workspace.token));
    }
}

#[tokio::test]
async fn a_wrong_file_stops_the_start_with_every_problem_and_the_nearest_key() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".molecule-workspace");
    write(
        &folder.join("molecule.toml"),
        "platfrom_url = \"https://x.example\"\nlease_secs = \"60\"\ntoken = \"tok-very-secret-indeed\"\n",
    );
    let (code, _, complaint) = run_to_end(at_home(home.path(), &[])).await;
    assert_eq!(code, 2);
    for part in [
        "platfrom_url in molecule.toml (line 1) is not a known key: did you mean platform_url?",
        "lease_secs in molecule.toml (line 2) must be a whole number from 10 to 86400, without quotes",
        "token in molecule.toml (line 3) is a credential",
        "Missing: WORKSPACE_ID, PLATFORM_URL, MOLECULE_WORKSPACE_TOKEN",
    ] {
        assert!(complaint.contains(part), "{part}: {complaint}");
    }
    assert!(!complaint.contains("tok-very"), "{complaint}");

    write(&folder.join("molecule.toml"), "agent_name = \"a\"\n");
    write(&folder.join("config.toml"), "agent_name = \"b\"\n");
    let (code, _, complaint) = run_to_end(at_home(home.path(), &[])).await;
    assert_eq!(code, 2);
    assert!(
        complaint.contains("molecule.toml and config.toml are both in the state folder, and they differ"),
        "{complaint}"
    );
    let (code, _, complaint) = run_to_end(at_home(home.path(), &["--config", "/nowhere/m.toml"])).await;
    assert_eq!(code, 2);
    assert!(complaint.contains("/nowhere/m.toml does not exist"), "{complaint}");
}

#[tokio::test]
async fn config_shows_each_value_with_its_source_and_no_credential() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mine.toml");
    write(&path, "workspace_id = \"w\"\nlease_secs = 60\n");
    let command = |arguments: &[&str]| {
        let mut command = at_home(home.path(), arguments);
        command
            .env("PLATFORM_URL", "https://x.example")
            .env("MOLECULE_WORKSPACE_TOKEN", "tok-very-secret-indeed")
            .arg("--config")
            .arg(&path);
        command
    };
    let (code, lines, _) = run_to_end(command(&["config", "--json"])).await;
    assert_eq!(code, 0);
    let shown: Value = serde_json::from_str(&lines.join("\n")).unwrap();
    let setting = |name: &str| {
        let all = shown["settings"].as_array().unwrap().iter();
        all.into_iter().find(|setting| setting["name"] == name).unwrap().clone()
    };
    assert_eq!(
        setting("PLATFORM_URL")["source"],
        json!({ "kind": "environment", "name": "PLATFORM_URL" })
    );
    assert_eq!(setting("MOLECULE_LEASE_SECS")["value"], "60");
    assert_eq!(
        setting("MOLECULE_LEASE_SECS")["source"],
        json!({ "kind": "file", "path": path, "line": 2 })
    );
    assert_eq!(
        setting("MOLECULE_CONFIG")["source"],
        json!({ "kind": "flag", "name": "--config" })
    );
    assert_eq!(setting("MOLECULE_WORKSPACE_TOKEN")["characters"], 22);
    assert_eq!(setting("MOLECULE_UPLOAD_QUOTA_MB")["source"]["kind"], "default");
    assert!(!lines.join("\n").contains("tok-very"));

    let (_, lines, _) = run_to_end(command(&["config"])).await;
    let text = lines.join("\n");
    for part in [
        "set, 22 characters",
        "environment PLATFORM_URL",
        "mine.toml, line 2",
        "flag --config",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("tok-very"), "{text}");

    write(&path, "workspace_id = \"W!\"\nbanana = 1\n");
    let (code, lines, _) = run_to_end(command(&["config"])).await;
    let text = lines.join("\n");
    assert_eq!(code, 2);
    assert!(
        text.contains("banana in") && text.contains("(cannot be used)") && !text.contains("W!"),
        "{text}"
    );
}

#[tokio::test]
async fn the_table_of_the_documentation_is_the_table_of_the_program() {
    let (code, lines, _) = run_to_end(at_home(Path::new("/nowhere"), &["config", "--markdown"])).await;
    assert_eq!(code, 0);
    let documented = include_str!("../../docs/configuration.md");
    let missing: Vec<_> = lines
        .iter()
        .filter(|line| !documented.contains(line.as_str()))
        .collect();
    assert!(
        missing.is_empty(),
        "`molecule-mcp config --markdown` prints lines that docs/configuration.md lacks: {missing:#?}"
    );
    let rows = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("| `") || line.starts_with("| none"))
            .count()
    };
    assert_eq!(rows(documented), rows(&lines.join("\n")));
}

/// A platform that answers every request with what it was told in it, the credential first.
async fn echoing() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut heard = vec![0; 16 * 1024];
                while let Ok(1..) = stream.read(&mut heard).await {
                    let text = String::from_utf8_lossy(&heard).to_lowercase();
                    let said = text
                        .lines()
                        .find(|line| line.starts_with("authorization:"))
                        .unwrap_or("none");
                    // As it was sent, for the program writes its header names in lower case.
                    let body = json!({ "error": format!("not with {said}") }).to_string();
                    let answer = format!(
                        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn a_token_that_a_platform_or_a_panic_repeats_is_in_no_log_and_no_result() {
    const TOKEN: &str = "2zx9-kq0-vtbrm3nyclw8sae";
    let home = tempfile::tempdir().unwrap();
    let url = echoing().await;
    for format in ["text", "json"] {
        let log = home.path().join(format).join("daemon.log");
        let mut command = at_home(home.path(), &[]);
        command
            .env("PLATFORM_URL", &url)
            .env("WORKSPACE_ID", "5f0c1d2e-0000-4000-8000-00000000000a")
            .env("MOLECULE_WORKSPACE_TOKEN", TOKEN)
            .env("CONFIGS_DIR", home.path().join("state"))
            .env("MOLECULE_LOG", "trace")
            .env("MOLECULE_LOG_FORMAT", format)
            .env("MOLECULE_LOG_FILE", &log)
            .env("MOLECULE_TEST_PANIC", format!("lost my {TOKEN} and Bearer abc.def"))
            .env("MOLECULE_TEST_SPEED", "50");
        let daemon = start(command).await;
        let refused = daemon.call("list_peers", json!({})).await;
        let told = format!("{refused:?}");
        assert!(
            told.contains("not with authorization"),
            "the platform's words arrive: {told}"
        );
        assert!(!told.contains(TOKEN), "{told}");
        let folder = log.parent().unwrap();
        let has = |part: &'static str| move |text: &str| text.contains(part);
        for told in [
            has("panicked at"),
            has("lost my [REDACTED]"),
            has("not with authorization"),
        ] {
            until("both logs tell it", || async {
                told(&daemon.complaints()) && told(&file(folder, "daemon.log"))
            })
            .await;
        }
        for text in [daemon.complaints(), file(folder, "daemon.log")] {
            assert!(!text.contains(TOKEN) && !text.contains("abc.def"), "{text}");
            if format == "json" {
                for line in text.lines() {
                    let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
                    assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
                }
            }
        }
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_service_logs_json_and_in_the_journal_priorities() {
    let home = tempfile::tempdir().unwrap();
    for is_journal in [false, true] {
        let mut command = at_home(home.path(), &["serve"]);
        let out = home.path().join(format!("stderr-{is_journal}"));
        let stderr = std::fs::File::create(&out).unwrap();
        if is_journal {
            use std::os::unix::fs::MetadataExt as _;
            let entry = stderr.metadata().unwrap();
            command.env("JOURNAL_STREAM", format!("{}:{}", entry.dev(), entry.ino()));
        }
        command
            .env("PLATFORM_URL", "http://127.0.0.1:9")
            .env("WORKSPACE_ID", "odd-id")
            .env("MOLECULE_WORKSPACE_TOKEN", "tok-very-secret-indeed")
            .env("CONFIGS_DIR", home.path().join("state"))
            .stdin(std::process::Stdio::null())
            .stderr(stderr);
        let mut daemon = command.kill_on_drop(true).spawn().unwrap();
        let text = || std::fs::read_to_string(&out).unwrap();
        until("a warning is there", || async {
            text().contains("not a UUID") && text().ends_with('\n')
        })
        .await;
        signal(daemon.id().unwrap(), "TERM");
        daemon.wait().await.unwrap();
        let line = text()
            .lines()
            .find(|line| line.contains("not a UUID"))
            .unwrap()
            .to_owned();
        if is_journal {
            assert!(line.starts_with("<4>The workspace id"), "{line}");
        } else {
            let line: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(line["level"], "warn");
        }
    }
}
