//! Files of the chat: up as a form with one part, down as a stream.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::bytes::Bytes;

use super::client::{Class, Request};
use super::error::CallError;
use super::workspace::{WorkspaceApi, parsed};

/// A stream from which nothing comes for this long is dead.
const SILENCE: Duration = Duration::from_secs(60);

/// A file on this computer, as it is sent. Read anew for every attempt, in pieces.
#[derive(Clone, Copy, Debug)]
pub struct FilePart<'a> {
    /// Where its bytes are.
    pub path: &'a Path,
    /// The name it is sent under; ASCII letters, digits, `.`, `_` and `-`.
    pub name: &'a str,
    /// Its media type.
    pub mime_type: &'a str,
    /// Its length in bytes. A file that has another one by now is not sent.
    pub size: u64,
}

impl FilePart<'_> {
    /// The body of a request.
    pub(super) async fn form(&self) -> Result<Form, CallError> {
        let unreadable = |what: String| CallError::NotSent(format!("the file {} {what}; nothing was sent", self.name));
        let opened = tokio::fs::File::open(self.path).await;
        let file = opened.map_err(|error| unreadable(format!("cannot be read ({})", error.kind())))?;
        let found = file.metadata().await.map(|found| found.len()).unwrap_or_default();
        if found != self.size {
            return Err(unreadable("was changed".to_owned()));
        }
        let part = Part::stream_with_length(Body::from(file), self.size).file_name(self.name.to_owned());
        let part = part.mime_str(self.mime_type);
        let part = part.map_err(|_| unreadable("has a media type that cannot be sent".to_owned()))?;
        Ok(Form::new().part("files", part))
    }
}

/// A file that the platform keeps for this workspace, on its way here.
pub struct Download {
    response: Response,
}

impl Download {
    /// The media type without parameters, when the platform knows it better than as bytes.
    #[must_use]
    pub fn mime_type(&self) -> Option<String> {
        let told = self.response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        let bare = told.split(';').next().unwrap_or_default().trim();
        (!bare.is_empty() && bare != "application/octet-stream").then(|| bare.to_owned())
    }

    /// The length in bytes, when the platform told it. A stream of another length ends with an error.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`CallError::Interrupted`] when the connection broke, or nothing came for 60 s.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        match tokio::time::timeout(SILENCE, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(CallError::transport(&error)),
            Err(_) => Err(CallError::Interrupted {
                detail: format!("no more of a file came for {} s", SILENCE.as_secs()),
            }),
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// What an upload answers.
#[derive(Deserialize)]
struct Uploaded {
    files: Vec<Staged>,
}

#[derive(Deserialize)]
struct Staged {
    uri: String,
}

impl WorkspaceApi {
    /// `POST /workspaces/:id/chat/uploads` with one file; the address that [`Self::notify`] takes. The file waits at the
    /// platform for a day, and the platform announces it to this very workspace. Takes five minutes at most.
    ///
    /// # Errors
    /// See [`CallError`]. An answer that does not name exactly one file is [`CallError::Malformed`].
    pub async fn upload(&self, file: FilePart<'_>) -> Result<String, CallError> {
        let path = ["workspaces", self.workspace().as_str(), "chat", "uploads"];
        let request = Request {
            file: Some(file),
            class: Class::Row,
            ..self.request(Method::POST, &path)
        };
        let answer = self.deliver(request).await?;
        let said: Uploaded = parsed("a list of files", &answer.body)?;
        match said.files.as_slice() {
            [staged] if !staged.uri.is_empty() => Ok(staged.uri.clone()),
            files => Err(CallError::Malformed {
                detail: format!("expected the address of one file, got {}", files.len()),
            }),
        }
    }

    /// `GET /workspaces/:id/pending-uploads/:file/content`. `None`: the platform has it no longer.
    ///
    /// # Errors
    /// See [`CallError`]. A 404 that is not the platform's own word on this file is one, too.
    pub async fn pending_upload(&self, file: &str) -> Result<Option<Download>, CallError> {
        let path = [
            "workspaces",
            self.workspace().as_str(),
            "pending-uploads",
            file,
            "content",
        ];
        match self.open(self.request(Method::GET, &path), "*/*").await {
            Ok(response) => Ok(Some(Download { response })),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `POST /workspaces/:id/pending-uploads/:file/ack`: this workspace has the file. One that is gone is as good.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn acknowledge_upload(&self, file: &str) -> Result<(), CallError> {
        let path = ["workspaces", self.workspace().as_str(), "pending-uploads", file, "ack"];
        match self.deliver(self.request(Method::POST, &path)).await {
            Err(error) if !is_gone(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether the platform itself says that it has no such file. An edge says 404 to whatever it does not let through.
fn is_gone(error: &CallError) -> bool {
    let says_so = |body: &Value| {
        body["error"]
            .as_str()
            .is_some_and(|text| text.starts_with("pending upload not found"))
    };
    matches!(error, CallError::Rejected { status: 404, body: Some(body), .. } if says_so(body))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Reply, Responder, SELF};
    use super::*;

    fn part(path: &Path) -> FilePart<'_> {
        FilePart {
            path,
            name: "plan.pdf",
            mime_type: "application/pdf",
            size: 5,
        }
    }

    #[tokio::test]
    async fn a_file_goes_up_as_the_one_part_of_a_form() {
        let uri = "platform-pending:w/f";
        let answer =
            format!(r#"{{"files":[{{"uri":"{uri}","name":"plan.pdf","mimeType":"application/pdf","size":5}}]}}"#);
        let responder = Responder::start(vec![Reply::json(200, &answer)]).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(responder.api().upload(part(file.path())).await.unwrap(), uri);
        let sent = responder.seen().remove(0);
        assert_eq!(
            sent.request_line(),
            format!("POST /workspaces/{SELF}/chat/uploads HTTP/1.1")
        );
        assert!(
            sent.header("content-type")
                .unwrap()
                .starts_with("multipart/form-data; boundary=")
        );
        assert!(
            sent.body
                .contains("Content-Disposition: form-data; name=\"files\"; filename=\"plan.pdf\"\r\n")
        );
        assert!(sent.body.contains("Content-Type: application/pdf\r\n\r\n12345\r\n--"));
    }

    #[tokio::test]
    async fn an_answer_without_exactly_one_address_is_no_success() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        for answer in [
            r#"{"files":[]}"#,
            r#"{"files":[{"uri":""}]}"#,
            r#"{"files":[{"uri":"a"},{"uri":"b"}]}"#,
            "{}",
            "<html>",
        ] {
            let responder = Responder::start(vec![Reply::json(200, answer)]).await;
            let refused = responder.api().upload(part(file.path())).await;
            assert!(matches!(refused, Err(CallError::Malformed { .. })), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_what_it_was_is_not_sent() {
        let responder = Responder::start(vec![Reply::json(200, "{}")]).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, said) in [("1234", "was changed"), ("123456", "was changed")] {
            std::fs::write(file.path(), content).unwrap();
            let refused = responder.api().upload(part(file.path())).await.unwrap_err();
            assert!(refused.to_string().contains(said), "{refused}");
        }
        let missing = responder.api().upload(part(Path::new("/nowhere"))).await.unwrap_err();
        assert!(matches!(missing, CallError::NotSent(_)), "{missing}");
        assert!(responder.seen().is_empty());
    }

    #[tokio::test]
    async fn a_file_comes_down_in_pieces_with_its_type() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=x\r\ncontent-length: 6\r\n\r\nabc";
        let responder = Responder::start(vec![Reply::raw(head).then("def")]).await;
        let mut download = responder.api().pending_upload("f-1").await.unwrap().unwrap();
        assert_eq!(
            (download.length(), download.mime_type().as_deref()),
            (Some(6), Some("text/plain"))
        );
        let mut content = Vec::new();
        while let Some(chunk) = download.chunk().await.unwrap() {
            content.extend_from_slice(&chunk);
        }
        assert_eq!(content, b"abcdef");
        let line = format!("GET /workspaces/{SELF}/pending-uploads/f-1/content HTTP/1.1");
        assert_eq!(responder.seen()[0].request_line(), line);

        let cut = Responder::start(vec![Reply::raw(head)]).await;
        let mut download = cut.api().pending_upload("f-1").await.unwrap().unwrap();
        assert!(download.chunk().await.is_ok());
        assert!(matches!(download.chunk().await, Err(CallError::Interrupted { .. })));
    }

    #[tokio::test]
    async fn only_the_platforms_own_word_says_that_a_file_is_gone() {
        for (status, body, gone) in [
            (
                404,
                r#"{"error":"pending upload not found, expired, or already acked"}"#,
                true,
            ),
            (404, r#"{"error":"pending upload not found"}"#, true),
            (404, r#"{"error":"not found"}"#, false),
            (404, "", false),
            (404, "<html>", false),
            (500, r#"{"error":"pending upload not found"}"#, false),
        ] {
            let responder = Responder::start(vec![Reply::json(status, body)]).await;
            let api = responder.api();
            assert_eq!(
                matches!(api.pending_upload("f").await, Ok(None)),
                gone,
                "{status} {body}"
            );
            assert_eq!(api.acknowledge_upload("f").await.is_ok(), gone, "{status} {body}");
        }
        let responder = Responder::start(vec![Reply::json(200, r#"{"acked":true}"#)]).await;
        responder.api().acknowledge_upload("f").await.unwrap();
        let line = format!("POST /workspaces/{SELF}/pending-uploads/f/ack HTTP/1.1");
        assert_eq!(responder.seen()[0].request_line(), line);
    }
}
