//! Files of the chat: staged here for polling workspaces, handed through to pushed ones.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart};
use axum::http::{Method, Request, header};
use serde_json::json;

use crate::local_platform::call::{Answer, Call, Outcome, Payload, uuid};
use crate::local_platform::recording;
use crate::local_platform::server::Level;
use crate::local_platform::store::activity::NewActivity;
use crate::local_platform::store::uploads::{NewUpload, Upload};
use crate::local_platform::store::workspaces::Workspace;

const MIB: usize = 1024 * 1024;
const MOST_FILES: usize = 64;
const LONGEST_NAME: usize = 100;
/// Roots of the paths that can be downloaded.
const ROOTS: [&str; 4] = ["/configs", "/workspace", "/home", "/plugins"];

/// Largest file and largest request.
fn limits(level: Level) -> (usize, usize) {
    if level < Level::C {
        (25 * MIB, 50 * MIB)
    } else {
        (100 * MIB, 100 * MIB)
    }
}

/// `GET /uploads/limits`.
pub(crate) fn show_limits(call: &Call) -> Outcome {
    let (file, request) = limits(call.site.level);
    Ok(Answer::ok(
        &json!({ "per_file_bytes": file, "per_request_bytes": request, "max_attachments_per_message": 10 }),
    ))
}

/// `POST /workspaces/:id/chat/uploads`: all files of a request are taken, or none.
pub(crate) async fn upload(call: Call) -> Outcome {
    let workspace = workspace(&call)?;
    if workspace.delivery_mode != "poll" || call.site.level == Level::A {
        return forward(&call, &workspace, "upload", "/internal/chat/uploads/ingest").await;
    }
    let files = received(&call).await?;
    let mut listed = Vec::with_capacity(files.len());
    for file in files {
        let size = file.content.len();
        let id = call.site.store.put_upload(&workspace.id, &file)?;
        let uri = format!("platform-pending:{}/{id}", workspace.id);
        let (name, mime_type) = (&file.name, &file.mime_type);
        listed.push(json!({ "uri": uri, "name": name, "mimeType": mime_type, "size": size }));
        let manifest = json!({ "file_id": id, "name": name, "mimeType": mime_type, "size": size, "uri": uri });
        let row = NewActivity {
            workspace_id: workspace.id.clone(),
            activity_type: "a2a_receive".to_owned(),
            target_id: Some(workspace.id.clone()),
            method: Some("chat_upload_receive".to_owned()),
            summary: Some(format!("chat_upload_receive: {name}")),
            request_body: Some(manifest),
            status: Some("ok".to_owned()),
            ..NewActivity::default()
        };
        recording::message(&call.site, row);
    }
    Ok(Answer::ok(&json!({ "files": listed })))
}

/// The files of a form, every one of them acceptable.
async fn received(call: &Call) -> Result<Vec<NewUpload>, Answer> {
    let malformed = || Answer::error(400, "malformed multipart body");
    let (per_file, per_request) = limits(call.site.level);
    if call.body.len() > per_request {
        return Err(malformed());
    }
    let mut request = Request::new(Body::from(call.body.clone()));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = call.headers.clone();
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|_| malformed())?;
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|_| malformed())? {
        let Some(given) = field
            .file_name()
            .map(str::to_owned)
            .filter(|_| field.name() == Some("files"))
        else {
            continue;
        };
        let mime_type = mime_type(field.content_type());
        let content = field.bytes().await.map_err(|_| malformed())?.to_vec();
        files.push((given, mime_type, content));
    }
    if files.is_empty() {
        return Err(Answer::error(400, "no files field in request"));
    }
    if files.len() > MOST_FILES {
        return Err(Answer::error(400, "too many files (limit 64)"));
    }
    if let Some((name, _, content)) = files.iter().find(|(_, _, content)| content.len() > per_file) {
        return Err(Answer::json(
            413,
            &json!({ "error": "file exceeds per-file cap", "filename": name, "size": content.len(), "max": per_file }),
        ));
    }
    if files.iter().any(|(_, _, content)| content.is_empty()) {
        return Err(Answer::error(500, "could not stage files"));
    }
    let files = files.into_iter().map(|(given, mime_type, content)| NewUpload {
        name: cleaned(&given),
        mime_type,
        content,
    });
    Ok(files.collect())
}

/// A type without parameters; one that is none becomes the general one.
fn mime_type(given: Option<&str>) -> String {
    let Some(given) = given else { return String::new() };
    let bare = given.split(';').next().unwrap_or_default().trim();
    let plain = bare.bytes().all(|byte| byte.is_ascii_graphic());
    match bare.split_once('/') {
        _ if bare.is_empty() => String::new(),
        Some((kind, sub)) if plain && !kind.is_empty() && !sub.is_empty() && !sub.contains('/') => bare.to_owned(),
        _ => "application/octet-stream".to_owned(),
    }
}

/// The last part of a name, with only letters, digits, `.`, `_` and `-`, and 100 of them at most.
fn cleaned(given: &str) -> String {
    let base = given.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut name: String = base
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.len() > LONGEST_NAME {
        let extension = name.rfind('.').map(|at| name[at..].to_owned());
        let extension = extension.filter(|extension| extension.len() <= 16).unwrap_or_default();
        name.truncate(LONGEST_NAME - extension.len());
        name.push_str(&extension);
    }
    if matches!(name.as_str(), "" | "." | "..") {
        return "file".to_owned();
    }
    name
}

/// `GET /workspaces/:id/pending-uploads/:file/content`.
pub(crate) fn content(call: &Call) -> Outcome {
    let Upload { file, .. } = pending(call)?;
    let kind = match file.mime_type.as_str() {
        "" => "application/octet-stream",
        kind => kind,
    };
    let answer = Answer {
        status: 200,
        headers: Vec::new(),
        payload: Payload::Bytes(file.content),
    };
    Ok(answer
        .with("content-type", kind)
        .with("content-disposition", format!("attachment; filename=\"{}\"", file.name)))
}

/// `POST /workspaces/:id/pending-uploads/:file/ack`.
pub(crate) fn acknowledge(call: &Call) -> Outcome {
    pending(call)?;
    call.site.store.acknowledge_upload(&call.second.to_lowercase())?;
    Ok(Answer::ok(&json!({ "acked": true })))
}

/// The file of the path. Up to level B an acknowledged one is gone.
fn pending(call: &Call) -> Result<Upload, Answer> {
    let id = uuid(&call.second).ok_or_else(|| Answer::error(400, "invalid file_id"))?;
    let gone = if call.site.level < Level::C {
        "pending upload not found, expired, or already acked"
    } else {
        "pending upload not found or expired"
    };
    let found = call.site.store.upload(&id)?;
    let found = found.filter(|found| !found.acknowledged || call.site.level == Level::C);
    let found = found.ok_or_else(|| Answer::error(404, gone))?;
    if found.workspace_id != call.id {
        return Err(Answer::error(404, "pending upload not found"));
    }
    Ok(found)
}

/// `GET /workspaces/:id/chat/download?path=`: a file of the workspace itself, which only a pushed one can be asked for.
pub(crate) async fn download(call: Call) -> Outcome {
    let path = call.query("path").unwrap_or_default().to_owned();
    let refusal = if path.is_empty() {
        Some("path query required")
    } else if !path.starts_with('/') {
        Some("path must be absolute")
    } else if !ROOTS
        .iter()
        .any(|root| path == *root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')))
    {
        Some("path must be under /configs, /workspace, /home, or /plugins")
    } else if path.contains("..") || path.contains("//") || path.contains("/./") || path.ends_with('/') {
        Some("invalid path")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        return Err(Answer::error(400, refusal));
    }
    let workspace = workspace(&call)?;
    forward(&call, &workspace, "download", "/internal/file/read").await
}

fn workspace(call: &Call) -> Result<Workspace, Answer> {
    let found = call.site.store.workspace(&call.id)?;
    found.ok_or_else(|| Answer::error(404, "workspace not found"))
}

/// Hands a request to the workspace itself and its answer back.
async fn forward(call: &Call, workspace: &Workspace, what: &str, path: &str) -> Outcome {
    if call.site.level == Level::A {
        return Err(Answer::error(503, "workspace container not running"));
    }
    let Some(url) = &workspace.url else {
        return Err(without_url(call.site.level, workspace, what));
    };
    let Some(secret) = &workspace.inbound_secret else {
        return Err(Answer::json(
            503,
            &json!({ "error": "workspace re-registering — please retry in 30 seconds", "retry_after_seconds": 30,
                "detail": "Inbound secret was just minted. Workspace will pick it up on its next heartbeat." }),
        ));
    };
    let method = if what == "upload" { Method::POST } else { Method::GET };
    let url = format!("{}{path}", url.trim_end_matches('/'));
    let mut request = call
        .site
        .http
        .request(method, url)
        .query(&call.query)
        .bearer_auth(secret)
        .body(call.body.clone());
    if let Some(kind) = call.header("content-type") {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let unreachable = |_| Answer::error(502, "workspace unreachable");
    let response = request.send().await.map_err(unreachable)?;
    let mut answer = Answer::empty(response.status().as_u16());
    for name in ["content-type", "content-disposition"] {
        if let Some(value) = response.headers().get(name).and_then(|value| value.to_str().ok()) {
            answer = answer.with(name, value);
        }
    }
    answer.payload = Payload::Bytes(response.bytes().await.map_err(unreachable)?.to_vec());
    Ok(answer)
}

fn without_url(level: Level, workspace: &Workspace, what: &str) -> Answer {
    if workspace.delivery_mode == "push" {
        return Answer::error(503, "workspace url not registered yet");
    }
    let error = if level < Level::C {
        format!("workspace has no callback URL — chat {what} requires push-mode + public URL")
    } else {
        format!("workspace has no callback URL — {what} requires push-mode + a public URL")
    };
    Answer::json(
        422,
        &json!({ "error": error, "detail": "register it again with a public URL in push mode" }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_cleaned_as_the_real_platform_does() {
        for (given, expected) in [
            ("../../etc/pass wd", "pass_wd"),
            ("résumé.pdf", "r_sum_.pdf"),
            ("..", "file"),
            ("", "file"),
            ("a/b/", "b"),
        ] {
            assert_eq!(cleaned(given), expected, "{given}");
        }
        assert_eq!(
            cleaned(&format!("{}.txt", "a".repeat(120))),
            format!("{}.txt", "a".repeat(96))
        );
        for (given, expected) in [
            (None, ""),
            (Some("text/plain; charset=utf-8"), "text/plain"),
            (Some("a/b/c"), "application/octet-stream"),
            (Some("te xt/plain"), "application/octet-stream"),
        ] {
            assert_eq!(mime_type(given), expected, "{given:?}");
        }
    }
}
