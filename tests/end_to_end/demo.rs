//! The demonstration: what a newcomer runs first.

use super::start_up::run_to_end;
use super::support::bare_command;

#[tokio::test]
async fn the_demonstration_shows_the_main_job_and_verifies_each_step() {
    let mut command = bare_command();
    command.arg("demo");
    let (code, lines, complaint) = run_to_end(command).await;
    let text = lines.join("\n");
    assert_eq!((code, complaint.as_str()), (0, ""), "{text}");
    let verified = lines.iter().filter(|line| line.contains(" s  ok  ")).count();
    for step in [
        "is online: its daemon registered and beats",
        "ada's call returned it",
        "ada received it",
        "the message is acknowledged",
        "was killed (SIGKILL)",
        "the same message was delivered again (delivery 2)",
        "the inbox is empty",
        &format!("Every step was verified: {verified} steps"),
    ] {
        assert!(text.contains(step), "{step:?} is missing in\n{text}");
    }
}
