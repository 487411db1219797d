//! `MOLECULE_WORKSPACES`: workspaces as a JSON array of `{"id", "token"}`, each with an optional `platform_url`. Instead of the
//! token there may be the path of its file, `token_file`.

use serde_json::Value;

use super::check::absolute;
use super::problem::Problem;
use super::reader::Reader;
use super::token::TokenSource;
use super::token::file::{self, Unreadable};
use crate::types::{BaseUrl, PlainHttp, Secret, WorkspaceId};

/// The variable.
pub(super) const NAME: &str = "MOLECULE_WORKSPACES";

const SHAPE: &str = r#"write it as [{"id": "<workspace id>", "token": "<token>"}]"#;

/// One workspace of the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) id: WorkspaceId,
    pub(super) token: TokenSource,
    /// Overrides `PLATFORM_URL` for this workspace.
    pub(super) platform: Option<BaseUrl>,
}

/// Reads the list; everything that is wrong with any entry is a problem. Empty: something is.
pub(super) fn parse(text: &str, plain: PlainHttp, reader: &mut Reader<'_>) -> Vec<Listed> {
    let Reader { problems, warnings, .. } = reader;
    let before = problems.len();
    let list: Value = match serde_json::from_str(text) {
        Ok(list) => list,
        Err(error) => {
            problems.push(wrong(format!(
                "is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            )));
            return Vec::new();
        }
    };
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        problems.push(wrong("is not a non-empty JSON array"));
        return Vec::new();
    }
    let mut seen: Vec<(WorkspaceId, usize)> = Vec::new();
    let mut good = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let number = index + 1;
        let Some(fields) = entry.as_object() else {
            problems.push(wrong(format!("entry {number} is not an object")));
            continue;
        };
        let field = |name: &str| {
            fields
                .get(name)
                .and_then(Value::as_str)
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let mut read = |name: &str, outcome: Option<Result<(), String>>| match outcome {
            None => problems.push(wrong(format!(
                "entry {number} has no {name}; it must be a non-empty text"
            ))),
            Some(Err(rule)) => problems.push(wrong(format!("entry {number}: {name} {rule}"))),
            Some(Ok(())) => {}
        };
        let id = field("id").map(|text| WorkspaceId::parse(text).map_err(|refused| refused.to_string()));
        let token = match (field("token"), field("token_file")) {
            (Some(_), Some(_)) => Some(Err("and token_file are both there; one of them must go".to_owned())),
            (Some(text), None) => Some(inline(text)),
            (None, Some(path)) => Some(kept(path, number, warnings)),
            (None, None) => None,
        };
        let platform = match fields.get("platform_url") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(Value::String(text)) => Some(BaseUrl::parse(text, plain).map_err(|refused| refused.to_string())),
            Some(_) => Some(Err("must be a text".to_owned())),
        };
        read("id", id.as_ref().map(|id| id.as_ref().map(drop).map_err(Clone::clone)));
        read(
            "token",
            token
                .as_ref()
                .map(|token| token.as_ref().map(drop).map_err(Clone::clone)),
        );
        if let Some(platform) = &platform {
            read("platform_url", Some(platform.as_ref().map(drop).map_err(Clone::clone)));
        }
        let Some(Ok(id)) = id else { continue };
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == id) {
            problems.push(wrong(format!("entries {first} and {number} have the same id")));
            continue;
        }
        seen.push((id.clone(), number));
        if let (Some(Ok(token)), Ok(platform)) = (token, platform.transpose()) {
            good.push(Listed { id, token, platform });
        }
    }
    if problems.len() > before {
        good.clear();
    }
    good
}

fn inline(text: &str) -> Result<TokenSource, String> {
    let token = Secret::parse(text).map_err(|refused| refused.to_string())?;
    Ok(TokenSource::of_variable(NAME, token))
}

fn kept(path: &str, number: usize, warnings: &mut Vec<String>) -> Result<TokenSource, String> {
    let path = absolute(path);
    let read = file::read(&path).map_err(|reason: Unreadable| format!("file {reason}"))?;
    if read.exposed {
        warnings.push(format!(
            "The token file of entry {number} of {NAME} can be read by other users of this computer; give it mode 0600."
        ));
    }
    Ok(TokenSource::of_file(path, read.token))
}

fn wrong(what: impl Into<String>) -> Problem {
    Problem::wrong(NAME, what, SHAPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Listed>, Vec<Problem>) {
        let mut reader = Reader::new(&|_| None);
        let listed = parse(text, PlainHttp::Nearby, &mut reader);
        (listed, reader.problems)
    }

    #[test]
    fn each_entry_gives_id_token_and_perhaps_a_platform() {
        let (listed, problems) = read(
            r#"[{"id":" ws-1 ","token":" t ","platform_url":null,"later":1},
                {"id":"ws-2","token":"u","platform_url":"https://x.example/"}]"#,
        );
        assert!(problems.is_empty());
        let told = |listed: &Listed| {
            let platform = listed.platform.as_ref().map(ToString::to_string);
            let token = listed.token.current().unwrap().expose().to_owned();
            (listed.id.to_string(), token, platform)
        };
        let expected = [("ws-1", "t", None), ("ws-2", "u", Some("https://x.example"))]
            .map(|(id, token, platform)| (id.to_owned(), token.to_owned(), platform.map(str::to_owned)));
        assert_eq!(listed.iter().map(told).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn everything_wrong_with_the_list_is_reported_at_once_and_nothing_is_quoted() {
        let cases: [(&str, &[&str]); 11] = [
            ("[{\n tok-secret", &["not valid JSON (line 2, column 2)"]),
            ("{\"id\":\"tok-secret\"}", &["non-empty JSON array"]),
            ("[]", &["non-empty JSON array"]),
            ("\"tok-secret\"", &["non-empty JSON array"]),
            (
                "[\"tok-secret\", 3]",
                &["entry 1 is not an object", "entry 2 is not an object"],
            ),
            ("[{}]", &["entry 1 has no id", "entry 1 has no token"]),
            (
                r#"[{"id":" ","token":7}]"#,
                &["entry 1 has no id", "entry 1 has no token"],
            ),
            (
                r#"[{"id":"A/tok-secret","token":"tok secret"}]"#,
                &["entry 1: id must", "entry 1: token holds white"],
            ),
            (
                r#"[{"id":"a","token":"t","platform_url":"tok-secret"}]"#,
                &["entry 1: platform_url must"],
            ),
            (
                r#"[{"id":"a","token":"t","platform_url":5}]"#,
                &["entry 1: platform_url must be a text"],
            ),
            (
                r#"[{"id":"a","token":"t"},{"id":"a","token":"tok-secret"}]"#,
                &["entries 1 and 2 have the same id"],
            ),
        ];
        for (text, expected) in cases {
            let (listed, problems) = read(text);
            assert!(listed.is_empty(), "{text}");
            assert_eq!(problems.len(), expected.len(), "{text}: {problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert_eq!(problem.setting, NAME);
                assert!(problem.what.contains(expected), "{text}: {problem:?}");
            }
            assert!(!format!("{problems:?}").contains("secret"), "{problems:?}");
        }
    }

    #[test]
    fn a_token_may_be_in_a_file_which_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.token");
        std::fs::write(&path, "tok-1\n").unwrap();
        let list = format!(r#"[{{"id":"a","token_file":"{}"}}]"#, path.display());
        let (listed, problems) = read(&list);
        assert!(problems.is_empty(), "{problems:?}");
        let token = &listed[0].token;
        assert_eq!((token.current().unwrap().expose(), token.can_change()), ("tok-1", true));
        assert_eq!(token.describe(), path.display().to_string());
        std::fs::write(&path, "tok-22").unwrap();
        assert!(token.reread());
        for (entry, what) in [
            (
                r#"{"id":"a","token_file":"/nowhere"}"#,
                "entry 1: token file names a file that does not exist",
            ),
            (
                r#"{"id":"a","token_file":"/nowhere","token":"t"}"#,
                "entry 1: token and token_file are both there",
            ),
        ] {
            let (_, problems) = read(&format!("[{entry}]"));
            assert!(problems[0].what.contains(what), "{problems:?}");
        }
    }

    #[test]
    fn ids_are_compared_as_the_platform_knows_them() {
        let id = "5f0c1d2e-0000-4000-8000-00000000000a";
        let upper = id.to_ascii_uppercase();
        let (_, problems) = read(&format!(
            r#"[{{"id":"{id}","token":"t"}},{{"id":"{upper}","token":"u"}}]"#
        ));
        assert!(problems[0].what.contains("same id"), "{problems:?}");
    }
}
