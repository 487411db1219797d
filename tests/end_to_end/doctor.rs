//! `doctor`: what it finds, and that it leaves everything as it was.

use molecule_mcp::local_platform::Options;
use serde_json::Value;
use tokio::process::Command;

use super::start_up::run_to_end;
use super::support::{Workspace, World, bare_command, until};

/// In a home of its own: it looks at the clients that are set up there.
fn at_home(mut command: Command, workspace: &Workspace) -> Command {
    command.env("HOME", &workspace.folder).current_dir(&workspace.folder);
    command
}

/// Runs it with a token of its own, so that the platform's log tells what it asked.
async fn doctor(world: &World, workspace: &Workspace, token: &str, more: &[(&str, &str)]) -> (i32, Value) {
    let mut command = at_home(world.command(workspace), workspace);
    command
        .args(["doctor", "--json"])
        .env("MOLECULE_WORKSPACE_TOKEN", token);
    command.envs(more.iter().copied());
    let (code, lines, complaints) = run_to_end(command).await;
    let report = serde_json::from_str(&lines.join("\n")).unwrap_or_else(|_| panic!("{lines:?} {complaints}"));
    (code, report)
}

/// The findings of one check: verdict and text.
fn found<'a>(report: &'a Value, check: &str) -> Vec<(&'a str, &'a str)> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["check"] == check)
        .map(|finding| (finding["verdict"].as_str().unwrap(), finding["what"].as_str().unwrap()))
        .collect()
}

fn failed(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["verdict"] == "FAIL")
        .map(|finding| {
            assert!(finding["next"].is_string(), "{finding}");
            finding["check"].as_str().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn a_workspace_that_works_passes_and_nothing_but_reads_is_sent() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    world.workspace("beta").await;
    let token = world.another_token(&workspace).await;
    let (code, report) = doctor(&world, &workspace, &token, &[]).await;
    assert_eq!((code, failed(&report)), (0, vec![]), "{report:#}");
    assert!(
        found(&report, "daemon")[0].1.contains("no molecule-mcp runs"),
        "{report:#}"
    );
    assert_ne!(
        world.status(&workspace).await,
        "online",
        "it does not make the workspace look alive"
    );

    let daemon = world.online(&workspace).await;
    let pid = daemon.id().unwrap().to_string();
    until("it sees the daemon", || async {
        let (_, report) = doctor(&world, &workspace, &token, &[]).await;
        let daemon = found(&report, "daemon");
        daemon.len() == 1 && daemon[0].0 == "OK" && daemon[0].1.contains(&pid)
    })
    .await;
    for check in [
        "platform",
        "clock",
        "workspace",
        "access",
        "peers",
        "event stream",
        "rate limit",
        "token",
    ] {
        assert_eq!(found(&report, check)[0].0, "OK", "{check} in {report:#}");
    }
    for route in ["register", "heartbeat"] {
        assert!(world.requests_with(&token, route).await.is_empty(), "{route}");
    }
    assert!(!world.requests_with(&token, "activity").await.is_empty());
    assert_eq!(world.requests("register").await.len(), 1, "that of the daemon");
    assert!(!report.to_string().contains(&token));
}

#[tokio::test]
async fn each_obstacle_on_the_way_is_told_from_the_others() {
    let mut world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let (code, report) = doctor(&world, &workspace, "a-token-that-nobody-issued", &[]).await;
    assert_eq!((code, failed(&report)), (1, vec!["access"]), "{report:#}");
    let unknown = Workspace {
        id: "5f0c1d2e-0000-4000-8000-0000000000ff".to_owned(),
        ..workspace.clone()
    };
    let (code, report) = doctor(&world, &unknown, &workspace.token, &[]).await;
    assert_eq!((code, failed(&report)), (1, vec!["workspace"]), "{report:#}");
    world.delete(&workspace).await;
    let (code, report) = doctor(&world, &workspace, &workspace.token, &[]).await;
    assert_eq!((code, failed(&report)), (1, vec!["workspace"]), "{report:#}");
    assert!(found(&report, "workspace")[0].1.contains("deleted"), "{report:#}");
    let nowhere = [("PLATFORM_URL", "https://name.invalid")];
    let (code, report) = doctor(&world, &workspace, &workspace.token, &nowhere).await;
    assert_eq!((code, failed(&report)), (1, vec!["name", "platform"]), "{report:#}");
    world.go_down().await;
    let (code, report) = doctor(&world, &workspace, &workspace.token, &[]).await;
    assert_eq!((code, failed(&report)), (1, vec!["platform"]), "{report:#}");
}

#[tokio::test]
async fn a_tenant_that_wants_its_organization_named_is_recognised() {
    let world = World::with(Options {
        org_id: Some("org-1".to_owned()),
        ..Options::default()
    })
    .await;
    let workspace = Workspace {
        id: "5f0c1d2e-0000-4000-8000-000000000001".to_owned(),
        token: "a-token-of-some-length".to_owned(),
        folder: tempfile::tempdir().unwrap().keep(),
    };
    let (code, report) = doctor(&world, &workspace, &workspace.token, &[]).await;
    std::fs::remove_dir_all(&workspace.folder).unwrap();
    assert_eq!((code, failed(&report)), (1, vec!["organization"]), "{report:#}");
    let next = report["findings"].to_string();
    assert!(next.contains("MOLECULE_ORG_ID"), "{next}");
}

#[tokio::test]
async fn a_missing_configuration_is_told_setting_by_setting_and_the_report_holds_no_credential() {
    let world = World::new().await;
    let workspace = world.workspace("alpha").await;
    let mut command = at_home(bare_command(), &workspace);
    command.arg("doctor").env("CONFIGS_DIR", &workspace.folder);
    let (code, lines, _) = run_to_end(command).await;
    assert_eq!(code, 1);
    for setting in ["PLATFORM_URL", "WORKSPACE_ID", "MOLECULE_WORKSPACE_TOKEN"] {
        let line = lines
            .iter()
            .find(|line| line.starts_with("[FAIL]") && line.contains(setting));
        assert!(line.is_some(), "{setting} in {lines:?}");
    }
    assert_eq!(lines.last().unwrap(), "3 failures, 2 warnings.", "{lines:#?}");

    let path = workspace.folder.join("report.json");
    let mut command = at_home(world.command(&workspace), &workspace);
    command.arg("doctor").arg("--bundle").arg(&path);
    let (code, lines, complaints) = run_to_end(command).await;
    assert_eq!(code, 0, "{lines:?} {complaints}");
    assert!(lines.iter().any(|line| line.contains("report.json")), "{lines:?}");
    let report = std::fs::read_to_string(&path).unwrap();
    assert!(!report.contains(&workspace.token));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["status"]["workspaces"][0]["workspace"], workspace.id);
    assert!(report["doctor"]["findings"].is_array() && report["state_folder"].is_array());
}
