//! The files of the page, which hold no secret.

use axum::http::Method;

use super::PREFIX;
use crate::local_platform::call::{Answer, Payload};

/// One file: its name, its type and its content.
type File = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($name:literal $kind:ident;)*) => {
        [$(($name, $kind, include_str!(concat!("../web/", $name)))),*]
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

static FILES: [File; 16] = files! {
    "index.html" HTML;
    "page.css" CSS;
    "icon.svg" SVG;
    "app.js" SCRIPT;
    "session.js" SCRIPT;
    "world.js" SCRIPT;
    "dom.js" SCRIPT;
    "text.js" SCRIPT;
    "row.js" SCRIPT;
    "board.js" SCRIPT;
    "chat.js" SCRIPT;
    "requests.js" SCRIPT;
    "traffic.js" SCRIPT;
    "setup.js" SCRIPT;
    "outfit.js" SCRIPT;
    "faults.js" SCRIPT;
};

/// The file at a path below the prefix; relative addresses in it need the slash behind the prefix.
pub(super) fn find(method: &Method, path: &str) -> Answer {
    if path.is_empty() {
        return Answer::empty(308).with("location", format!("{PREFIX}/"));
    }
    let name = match &path[1..] {
        "" => "index.html",
        name => name,
    };
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) if [Method::GET, Method::HEAD].contains(method) => Answer {
            status: 200,
            headers: Vec::new(),
            payload: Payload::Bytes(content.as_bytes().to_vec()),
        }
        .with("content-type", kind),
        _ => Answer::no_route(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_names_nothing_outside() {
        let bytes: usize = FILES.iter().map(|(.., content)| content.len()).sum();
        assert!(bytes < 150_000, "{bytes} bytes");
        for (name, _, content) in FILES {
            for word in [
                "//cdn",
                "https://",
                "innerHTML",
                "outerHTML",
                "document.write",
                "eval(",
                "style=\"",
            ] {
                assert!(!content.contains(word), "{name} holds {word}");
            }
            let addresses = content.matches("http://").count() - content.matches("http://www.w3.org/").count();
            assert_eq!(addresses, 0, "{name}");
        }
    }

    #[test]
    fn only_its_files_are_there_to_be_read() {
        for (method, path, status) in [
            (Method::GET, "", 308),
            (Method::GET, "/", 200),
            (Method::HEAD, "/app.js", 200),
            (Method::POST, "/", 404),
            (Method::GET, "/../server.rs", 404),
            (Method::GET, "/nothing", 404),
        ] {
            assert_eq!(find(&method, path).status, status, "{method} {path}");
        }
    }
}
