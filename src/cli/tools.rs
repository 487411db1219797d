//! `molecule-mcp tools`: every tool, with what it does and the sets it belongs to.

use std::fmt::Write as _;

use serde_json::json;

use crate::config::shown::Sets;
use crate::mcp::toolset::{Effect, Face};
use crate::tools::catalogue::Catalogue;

/// Arguments of `tools`.
#[derive(Clone, Debug, clap::Args)]
pub struct ToolsArgs {
    /// As JSON, with schemas.
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// As a Markdown table.
    #[arg(long)]
    pub markdown: bool,
}

/// The list. It needs no configuration.
#[must_use]
pub fn perform(args: ToolsArgs) -> String {
    let faces = Catalogue::new().faces();
    if args.json {
        json(&faces)
    } else if args.markdown {
        markdown(&faces)
    } else {
        table(&faces)
    }
}

fn json(faces: &[Face]) -> String {
    let tools: Vec<_> = faces
        .iter()
        .map(|face| {
            let mut tool = json!(face.definition());
            tool["sets"] = json!(face.sets.names().collect::<Vec<_>>());
            tool
        })
        .collect();
    format!("{:#}\n", json!({ "count": tools.len(), "tools": tools }))
}

fn markdown(faces: &[Face]) -> String {
    let mut text = String::from("| tool | sets | effect | what it does |\n|---|---|---|---|\n");
    for face in faces {
        let (sets, what) = (sets(face.sets), (face.describe)().text.replace('|', "\\|"));
        let _ = writeln!(text, "| `{}` | {sets} | {} | {what} |", face.name, effect(face.effect));
    }
    text
}

fn table(faces: &[Face]) -> String {
    let width = faces.iter().map(|face| face.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for face in faces {
        let (sets, description) = (sets(face.sets), (face.describe)().text);
        let first = description.split_inclusive(". ").next().unwrap_or_default().trim_end();
        let _ = writeln!(
            text,
            "{:width$}  {:7}  {sets:16}  {first}",
            face.name,
            effect(face.effect)
        );
    }
    let _ = writeln!(text, "{} tools", faces.len());
    text
}

fn sets(sets: Sets) -> String {
    sets.names().collect::<Vec<_>>().join(", ")
}

fn effect(effect: Effect) -> &'static str {
    match (effect.writes(), effect.destroys()) {
        (_, true) => "destroy",
        (true, false) => "write",
        (false, false) => "read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_names_every_tool() {
        let faces = Catalogue::new().faces();
        for args in [
            ToolsArgs {
                json: true,
                markdown: false,
            },
            ToolsArgs {
                json: false,
                markdown: true,
            },
            ToolsArgs {
                json: false,
                markdown: false,
            },
        ] {
            let text = perform(args.clone());
            for face in &faces {
                assert!(text.contains(face.name), "{} in {args:?}", face.name);
            }
        }
    }
}
