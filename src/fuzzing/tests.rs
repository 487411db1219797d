//! The fuzzer's targets without the fuzzer: what it has found and begins with, and some bytes by chance.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// What the fuzzer begins with for a target.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Pieces of what the target reads, put together by chance, and a few bytes of no sense.
fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "1",
    "-1e308",
    "\"id\":\"a\"",
    "\"id\":",
    "\"method\":",
    "\"params\":",
    "\"message\":",
    "\"parts\":[",
    "\"kind\":\"text\"",
    "\"text\":\"x\"",
    "\"request_body\":",
    "\"created_at\":\"2026-01-02T03:04:05Z\"",
    "\"source_id\":",
    "\"seq\":",
    "\\ud800",
    "\"jsonrpc\":\"2.0\"",
    "\"tools/call\"",
    "\"initialize\"",
    "\n",
    "\r\n",
    " ",
    "\u{feff}",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n",
    "[{\"id\":\"b\",",
    "}]",
];

const STREAM: &[&str] = &[
    "data:",
    "data: ",
    "data",
    ":",
    "\n",
    "\n\n",
    "\r",
    "\r\n",
    "event: x\n",
    "id: 1\n",
    "{\"type\":\"A\"}",
    "{\"type\":\"A\",\"data\":",
    "}",
    "\u{feff}",
    "[1]",
    "\"ü\"",
    " ",
];

const NAMES: &[&str] = &[
    ".",
    "..",
    "/",
    "\\",
    "%2e",
    "%2F",
    "a",
    "-",
    "_",
    "5f0c1d2e-0000-4000-8000-000000000001",
    "http://",
    "https://",
    "localhost",
    "127.0.0.1",
    "[::1]",
    ":8080",
    "@",
    "?",
    "#",
    "\u{0}",
    "\n",
    " ",
    "ü",
    "2026-01-02T03:04:05",
    "Z",
    "+00:00",
    "<",
    "\"",
    "\u{202e}",
];

const SETTINGS: &[&str] = &[
    "platform_url",
    "workspace_id",
    "agent_skills",
    "allow_insecure",
    " = ",
    "\"",
    "true",
    "[",
    "]",
    "\n",
    "#",
    "tok-0123456789abcdef0123",
    "\"http://127.0.0.1:1\"",
    "'''",
    "1979-05-27",
    "5f0c1d2e-0000-4000-8000-000000000001",
    "\u{feff}",
];

/// So many cases, unless `PROPTEST_CASES` says otherwise.
fn config(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        ..ProptestConfig::default()
    }
}

macro_rules! targets {
    ($($name:ident, $target:path, $bytes:expr, $cases:literal;)*) => {$(
        #[test]
        fn $name() {
            corpus(stringify!($name)).iter().for_each(|bytes| $target(bytes));
            proptest!(config($cases), |(bytes in $bytes)| $target(&bytes));
        }
    )*};
}

targets! {
    lines, super::lines, pieces(JSON), 128;
    rows, super::rows, pieces(JSON), 512;
    files, super::files, pieces(SETTINGS), 64;
    names, super::names, pieces(NAMES), 512;
    events, super::events, pieces(STREAM), 512;
    journal, super::journal, prop::collection::vec(any::<u8>(), 7..37), 24;
}

#[test]
fn tools() {
    let tools = Tools::new();
    corpus("tools").iter().for_each(|bytes| tools.call(bytes));
    proptest!(config(256), |(bytes in prop::collection::vec(any::<u8>(), 1..12))| {
        tools.call(&bytes);
    });
}
