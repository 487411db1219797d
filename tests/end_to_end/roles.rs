//! What an agent may do, by the `config.yaml` of its runtime.

use serde_json::json;

use super::start_up::run_to_end;
use super::support::{World, next_message, pop};

#[tokio::test]
async fn a_role_denies_what_it_does_not_grant_says_which_permission_and_loses_no_message() {
    let world = World::new().await;
    let (alpha, beta) = (world.workspace("alpha").await, world.workspace("beta").await);
    std::fs::write(
        alpha.folder.join("config.yaml"),
        "tier: 1\nrbac:\n  roles:\n    - no-approval\n",
    )
    .unwrap();
    let daemon = world.online(&alpha).await;
    world.say(&alpha, "hello?").await;
    let message = next_message(&daemon).await;
    for (tool, arguments) in [
        (
            "reply_to_message",
            json!({ "activity_id": message["activity_id"], "text": "hello" }),
        ),
        ("send_message_to_user", json!({ "message": "hello" })),
    ] {
        let denied = daemon.call(tool, arguments).await.unwrap_err();
        assert!(denied.contains("PERMISSION_DENIED"), "{denied}");
        assert!(
            denied.contains("the permission approve, ") && denied.contains("no-approval"),
            "{denied}"
        );
    }
    assert!(world.told(&alpha).await.is_empty());
    let order = json!({ "workspace_id": beta.id, "task": "count" });
    daemon.call("delegate_task_async", order).await.unwrap();
    assert_eq!(pop(&daemon, &message).await["removed"], true);
}

#[tokio::test]
async fn roles_that_cannot_be_read_start_nothing() {
    let world = World::new().await;
    let alpha = world.workspace("alpha").await;
    std::fs::write(alpha.folder.join("config.yaml"), "rbac: {roles: [read-only").unwrap();
    let (code, _, complaints) = run_to_end(world.command(&alpha)).await;
    assert_eq!(code, 2, "{complaints}");
    assert!(
        complaints.contains("config.yaml") && complaints.contains("is not YAML"),
        "{complaints}"
    );
}
