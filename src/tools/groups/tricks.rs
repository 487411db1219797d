//! Over all tools at once: no argument can lead a request to another route.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::testing::{Bench, Keys};
use crate::mcp::toolset::Face;
use crate::platform::testing::Reply;
use crate::tools::catalogue::Catalogue;

/// What `name` may be for a harmless call: as its schema says, and recognisable.
fn harmless(name: &str, schema: &Value, mark: &str) -> Value {
    let kind = schema["type"]
        .get(0)
        .unwrap_or(&schema["type"])
        .as_str()
        .unwrap_or("string");
    match (kind, schema["enum"].get(0)) {
        (_, Some(first)) => first.clone(),
        ("string", None) if name == "runtime" => json!("external"),
        ("string", None) => json!(mark),
        ("integer" | "number", None) => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        ("boolean", None) => json!(name == "confirm"),
        ("array", None) => json!([]),
        _ => json!({ "a": "b" }),
    }
}

/// All required arguments of a tool and `more`, harmless, each string another UUID.
fn arguments(face: &Face, more: Option<&str>) -> Map<String, Value> {
    let schema = (face.describe)().input;
    let required = schema
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let names = required.iter().filter_map(Value::as_str).chain(more);
    let marked = names.enumerate().map(|(at, name)| {
        let mark = format!("5f0c1d2e-0000-4000-8000-0000000001{at:02}");
        (name.to_owned(), harmless(name, &schema["properties"][name], &mark))
    });
    marked.collect()
}

fn answers() -> Vec<Reply> {
    vec![Reply::json(200, "{}")]
}

/// The string arguments of every tool that become a part of a path, found out by calling it.
async fn path_arguments() -> BTreeMap<&'static str, Vec<String>> {
    let mut found = BTreeMap::new();
    for face in desk_faces() {
        let schema = (face.describe)().input;
        let properties = schema["properties"].as_object().unwrap();
        let mut in_path = Vec::new();
        for name in properties.keys() {
            let given = arguments(&face, Some(name));
            let Some(mark) = given[name].as_str() else { continue };
            let bench = Bench::new(answers(), Keys::All).await;
            bench.call(face.name, Value::Object(given.clone())).await;
            let is_in = |line: &String| line.split('?').next().unwrap_or_default().contains(mark);
            if bench.lines().iter().any(is_in) {
                in_path.push(name.clone());
            }
        }
        found.insert(face.name, in_path);
    }
    found
}

/// The tools that work at a desk, which the bench has.
fn desk_faces() -> Vec<Face> {
    let faces = Catalogue::new().faces();
    let agent: Vec<_> = crate::tools::agent::registry().faces().map(|face| face.name).collect();
    faces.into_iter().filter(|face| !agent.contains(&face.name)).collect()
}

#[tokio::test]
async fn tricks_in_ids_send_nothing() {
    let long = "a".repeat(5_000);
    let tricks = [
        "", ".", "..", "../..", "a/b", "/a", "a/../b", "a\\b", "%2e%2e", "a%2Fb", "a\nb", "a\u{0}", "a\u{7f}", &long,
    ];
    let bench = Bench::new(answers(), Keys::All).await;
    let found = path_arguments().await;
    for face in desk_faces() {
        for name in &found[face.name] {
            for trick in tricks {
                // A file's path may have slashes, as long as each part is a name.
                if name == "path" && trick == "a/b" {
                    continue;
                }
                // An empty text is no argument at all.
                let required = arguments(&face, None);
                if trick.is_empty() && !required.contains_key(name) {
                    continue;
                }
                let mut given = arguments(&face, Some(name));
                given.insert(name.clone(), json!(trick));
                let result = bench.call(face.name, Value::Object(given)).await;
                assert_eq!(result["error"], "INVALID_ARGUMENT", "{}({name} = {trick:?})", face.name);
            }
        }
    }
    assert_eq!(bench.lines(), [""; 0]);
    for (tool, least) in [
        ("get_workspace", 1),
        ("delete_secret", 2),
        ("revoke_org_token", 1),
        ("list_workspaces", 0),
    ] {
        assert_eq!(found[tool].len(), least, "{tool}: {:?}", found[tool]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is accepted stays one segment: the path has as many as it has with a harmless id.
    #[test]
    fn no_text_makes_more_or_fewer_segments(text in "\\PC{0,12}|[./%\\\\a-f0-9]{0,8}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bench = Bench::new(answers(), Keys::All).await;
            let segments = |line: &str| line.split('?').next().unwrap_or_default().matches('/').count();
            for face in desk_faces() {
                let required = arguments(&face, None);
                for (name, value) in &required {
                    if !value.is_string() || name == "path" {
                        continue;
                    }
                    let before = bench.lines().len();
                    bench.call(face.name, Value::Object(required.clone())).await;
                    let usual: Vec<_> = bench.lines()[before..].iter().map(|line| segments(line)).collect();
                    let mut given = required.clone();
                    given.insert(name.clone(), json!(text));
                    let before = bench.lines().len();
                    bench.call(face.name, Value::Object(given)).await;
                    for (line, usual) in bench.lines()[before..].iter().zip(usual) {
                        assert_eq!(segments(line), usual, "{}({name} = {text:?}) sent {line}", face.name);
                    }
                }
            }
        });
    }
}
