//! Files of the chat.

use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{Got, Guest, Level, World, got};

/// A form with one file of this name, type and size for each entry.
fn form(files: &[(&str, &str, usize)]) -> Form {
    files.iter().fold(Form::new(), |form, (name, kind, size)| {
        let part = Part::bytes(vec![b'x'; *size]).file_name((*name).to_owned());
        form.part("files", part.mime_str(kind).unwrap())
    })
}

impl World {
    async fn upload(&self, guest: &Guest, form: Form) -> Got {
        let request = self.request("POST", &format!("/workspaces/{}/chat/uploads", guest.id));
        got(request.bearer_auth(&guest.token).multipart(form)).await
    }

    async fn pending(&self, method: &str, guest: &Guest, file: &str, what: &str) -> Got {
        let path = format!("/workspaces/{}/pending-uploads/{file}/{what}", guest.id);
        self.call(method, &path, Some(&guest.token), Value::Null).await
    }
}

#[tokio::test]
async fn a_file_waits_for_a_polling_workspace_until_it_is_acknowledged() {
    for (level, after, second) in [(Level::B, 404, 404), (Level::C, 200, 200)] {
        let world = World::at(level).await;
        let guest = world.join("alpha").await;
        let other = world.join("beta").await;
        let sent = world
            .upload(&guest, form(&[("../my plan.pdf", "application/pdf; x=1", 9)]))
            .await;
        let file = &sent.body["files"][0];
        assert_eq!(
            (&file["name"], &file["mimeType"], &file["size"]),
            (&json!("my_plan.pdf"), &json!("application/pdf"), &json!(9))
        );
        let row = world.activity(&guest, "").await.body[0].take();
        assert_eq!(
            (&row["method"], &row["source_id"], &row["request_body"]["uri"]),
            (&json!("chat_upload_receive"), &Value::Null, &file["uri"])
        );
        let id = row["request_body"]["file_id"].as_str().unwrap();
        assert_eq!(file["uri"], format!("platform-pending:{}/{id}", guest.id));
        assert_eq!(world.pending("GET", &other, id, "content").await.status, 404);
        assert_eq!(world.pending("POST", &other, id, "ack").await.status, 404);
        let content = world.pending("GET", &guest, id, "content").await;
        assert_eq!((content.status, content.text.as_str()), (200, "xxxxxxxxx"));
        assert_eq!(content.headers["content-type"], "application/pdf");
        assert_eq!(
            content.headers["content-disposition"],
            "attachment; filename=\"my_plan.pdf\""
        );
        world
            .pending("POST", &guest, id, "ack")
            .await
            .is(200, &json!({ "acked": true }));
        assert_eq!(world.pending("GET", &guest, id, "content").await.status, after);
        assert_eq!(world.pending("POST", &guest, id, "ack").await.status, second);
        world
            .pending("GET", &guest, "nonsense", "content")
            .await
            .refused(400, "invalid file_id");
    }
}

#[tokio::test]
async fn a_form_is_taken_whole_or_not_at_all() {
    const MIB: usize = 1024 * 1024;
    let world = World::new().await;
    let guest = world.join("alpha").await;
    let large = 25 * MIB + 1;
    for (files, status, error) in [
        (
            vec![("a", "text/plain", 1), ("b", "text/plain", 0)],
            500,
            "could not stage files",
        ),
        (
            vec![("a", "text/plain", 1), ("b", "text/plain", large)],
            413,
            "file exceeds per-file cap",
        ),
        (vec![("a", "text/plain", 20 * MIB); 3], 400, "malformed multipart body"),
        (vec![("a", "text/plain", 1); 65], 400, "too many files (limit 64)"),
        (vec![], 400, "no files field in request"),
    ] {
        let form = if files.is_empty() {
            Form::new().text("files", "x")
        } else {
            form(&files)
        };
        let refused = world.upload(&guest, form).await;
        assert_eq!((refused.status, &refused.body["error"]), (status, &json!(error)));
    }
    assert_eq!(world.activity(&guest, "").await.body, json!([]));
    let both = world
        .upload(&guest, form(&[("a", "text/plain", 1), ("b", "text/plain", 2)]))
        .await;
    assert_eq!(both.body["files"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn files_of_the_workspace_itself_cannot_be_had_from_a_polling_one() {
    let world = World::new().await;
    let guest = world.join("alpha").await;
    for (path, status, error) in [
        ("", 400, "path query required"),
        ("a", 400, "path must be absolute"),
        (
            "/etc/passwd",
            400,
            "path must be under /configs, /workspace, /home, or /plugins",
        ),
        ("/workspace/../etc", 400, "invalid path"),
        (
            "/workspace/a",
            422,
            "workspace has no callback URL — chat download requires push-mode + public URL",
        ),
    ] {
        let path = format!("/workspaces/{}/chat/download?path={path}", guest.id);
        let refused = world.call("GET", &path, Some(&guest.token), Value::Null).await;
        assert_eq!((refused.status, &refused.body["error"]), (status, &json!(error)));
    }
}

#[tokio::test]
async fn the_latest_level_tells_its_limits() {
    let world = World::at(Level::C).await;
    let told = world.call("GET", "/uploads/limits", None, Value::Null).await;
    let limit = 100 * 1024 * 1024;
    told.is(
        200,
        &json!({ "per_file_bytes": limit, "per_request_bytes": limit, "max_attachments_per_message": 10 }),
    );
    let earlier = World::new().await;
    assert_eq!(
        earlier.call("GET", "/uploads/limits", None, Value::Null).await.status,
        404
    );
}
