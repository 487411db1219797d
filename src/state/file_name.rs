//! Names and media types of files that come from others or go to them.

use uuid::Uuid;

/// Longest cleaned name.
const LONGEST: usize = 100;
/// Longest extension that survives a cut, its dot included.
const LONGEST_EXTENSION: usize = 16;
/// What is looked at to tell a media type, in bytes.
pub const HEAD: usize = 8 * 1024;

/// The last part of a name, made of letters, digits, `.`, `_` and `-` alone, 100 at most. The platform cleans by the same
/// rules, so a name that was cleaned here stays as it is.
#[must_use]
pub fn cleaned(given: &str) -> String {
    let last = given.rsplit('/').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = last.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let name = shortened(&name, LONGEST);
    if matches!(name.as_str(), "" | "." | "..") {
        "file".to_owned()
    } else {
        name
    }
}

/// The cleaned name with a random mark before its extension: a name that no other file has.
#[must_use]
pub fn marked(given: &str) -> String {
    let mark = &Uuid::new_v4().simple().to_string()[..8];
    let name = shortened(&cleaned(given), LONGEST - mark.len() - 1);
    let (stem, extension) = split(&name);
    format!("{stem}-{mark}{extension}")
}

/// Cut in the middle, so that the extension stays.
fn shortened(name: &str, limit: usize) -> String {
    if name.len() <= limit {
        return name.to_owned();
    }
    let (_, extension) = split(name);
    format!("{}{extension}", &name[..limit - extension.len()])
}

/// A name and its extension with the dot, empty when it has none that is short enough.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= LONGEST_EXTENSION => name.split_at(at),
        _ => (name, ""),
    }
}

/// The media type that a file's first bytes tell, else its name.
///
/// The name is believed only where it fits what the bytes look like: `.ts` is a film as well as a program.
#[must_use]
pub fn media_type(head: &[u8], name: &str) -> String {
    let told = infer::get(head);
    if let Some(kind) = told
        && kind.matcher_type() != infer::MatcherType::Text
    {
        return kind.mime_type().to_owned();
    }
    let guessed = mime_guess::from_path(name).first_raw();
    let (is_text, fallback) = match (told, looks_like_text(head)) {
        (Some(kind), _) => (true, kind.mime_type()),
        (None, true) => (true, "text/plain"),
        (None, false) => (false, "application/octet-stream"),
    };
    let fits = |kind: &&str| match kind.split('/').next() {
        Some("text") => is_text,
        Some("application") => true,
        _ => !is_text || *kind == "image/svg+xml",
    };
    guessed.filter(fits).unwrap_or(fallback).to_owned()
}

/// Whether these are the first bytes of a text; a character may be cut at their end.
fn looks_like_text(head: &[u8]) -> bool {
    if head.contains(&0) {
        return false;
    }
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_as_the_contract_says() {
        let long = format!("{}.txt", "a".repeat(120));
        let cut = format!("{}.txt", "a".repeat(96));
        let no_extension = "b".repeat(100);
        for (given, expected) in [
            ("../../etc/pass wd", "pass_wd"),
            ("r\u{e9}sum\u{e9}.pdf", "r_sum_.pdf"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("a/b/", "file"),
            ("..\\..\\x", ".._.._x"),
            ("a\0b\nc", "a_b_c"),
            (&long, &cut),
            (&"b".repeat(200), &no_extension),
            (&format!("b.{}", "c".repeat(200)), &format!("b.{}", "c".repeat(98))),
        ] {
            assert_eq!(cleaned(given), expected, "{given}");
            assert_eq!(cleaned(&cleaned(given)), expected, "{given}");
        }
    }

    #[test]
    fn a_marked_name_keeps_its_extension_and_needs_no_cleaning() {
        for (given, start, end) in [
            ("plan.pdf", "plan-", ".pdf"),
            ("pl an", "pl_an-", ""),
            (".env", ".env-", ""),
            (&format!("{}.txt", "a".repeat(200)), "aaaa", ".txt"),
        ] {
            let name = marked(given);
            assert!(name.starts_with(start) && name.ends_with(end), "{name}");
            assert!(name.len() <= LONGEST, "{name}");
            assert_eq!(cleaned(&name), name);
            assert_ne!(marked(given), name);
        }
    }

    #[test]
    fn the_content_tells_the_type_and_then_the_name() {
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        for (head, name, expected) in [
            (PNG, "x.txt", "image/png"),
            (b"%PDF-1.7\n", "x", "application/pdf"),
            (b"a,b\n1,2\n", "x.csv", "text/csv"),
            (b"plain", "x", "text/plain"),
            (b"plain", "x.png", "text/plain"),
            (b"let x = 1;", "x.ts", "text/plain"),
            ("é".as_bytes().split_at(1).0, "x", "text/plain"),
            (b"{}", "x.json", "application/json"),
            (b"<svg xmlns=''/>", "x.svg", "image/svg+xml"),
            (b"#!/bin/sh\n", "x", "text/x-shellscript"),
            (b"\0\x01\x02", "x", "application/octet-stream"),
            (b"\0\x01\x02", "x.txt", "application/octet-stream"),
            (b"\0\x01\x02", "x.mp4", "video/mp4"),
            (b"", "x.md", "text/markdown"),
        ] {
            assert_eq!(media_type(head, name), expected, "{name}");
        }
    }
}
