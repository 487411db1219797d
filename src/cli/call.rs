//! `molecule-mcp call TOOL [JSON]`: one tool, with the credentials and the rules of the MCP server, for scripts and for looking.
//!
//! It runs beside a daemon: it registers, beats and polls nothing. A message that it is shown belongs to it only until it ends.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::logging::{self, Audience};
use super::options::{Environment, Outcome, exit};
use super::run::{self, Doors, bundle};
use super::{bench, printable};
use crate::agent::supervisor::Ended;
use crate::config::management::Management;
use crate::config::settings::nearest;
use crate::config::shown::Mode;
use crate::config::{self, Config};
use crate::mcp::call::{Call, Consent};
use crate::mcp::toolset::Toolset;
use crate::tools::catalogue::Catalogue;

/// Arguments may be so large, in bytes; the platform takes no more anyway.
const MOST: u64 = 2 * 1024 * 1024;

/// Arguments of `call`.
#[derive(Clone, Debug, clap::Args)]
pub struct CallArgs {
    /// The tool; `molecule-mcp tools` lists all
    #[arg(value_name = "TOOL")]
    pub tool: String,
    /// Its arguments, a JSON object; `-` reads them from standard input
    #[arg(value_name = "JSON")]
    pub arguments: Option<String>,
}

/// Runs the tool and prints its structured result. Exit code 1 when that is an error.
pub async fn perform(args: CallArgs, environment: Environment, stop: CancellationToken) -> Outcome {
    let var = |name: &str| environment.get(name);
    logging::start(&config::log(var), Audience::Client);
    let arguments = match arguments(args.arguments.as_deref()) {
        Ok(arguments) => arguments,
        Err(why) => return Outcome::failed(exit::CONFIGURATION, format!("molecule-mcp call: {why}\n")),
    };
    let catalogue = Catalogue::new();
    if let Some(unknown) = unknown(&catalogue, &args.tool) {
        return Outcome::failed(exit::CONFIGURATION, format!("molecule-mcp call: {unknown}\n"));
    }
    let may_ask = args.arguments.as_deref() != Some("-") && io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut call = Call::without_client(stop.clone());
    if may_ask {
        call = call.of_person(ask);
    }
    if !Mode::of(var).has_workspace() {
        let config = match Management::read(var) {
            Ok(config) => config,
            Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
        };
        config.warnings.iter().for_each(|warning| warn!("{warning}"));
        return match catalogue.finish(&config.shown, false, bench::of_management(&config)) {
            Ok(toolset) => run_tool(&toolset, &args.tool, arguments, call).await,
            Err(duplicate) => run::outcome(Ended::Failed(duplicate.to_string())),
        };
    }
    let (config, catalogue) = match Config::read(var).and_then(run::checked) {
        Ok(both) => both,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    config.warnings.iter().for_each(|warning| warn!("{warning}"));
    let bundles = bundle::bundles(&config);
    let (ready, workspaces) = oneshot::channel();
    let toolset = match run::toolset(&config, catalogue, &Doors::of(&bundles), run::opened(workspaces)) {
        Ok(toolset) => toolset,
        Err(duplicate) => return run::outcome(Ended::Failed(duplicate.to_string())),
    };
    let visit = tokio::spawn(bundle::visit(config, bundles, ready, stop.clone()));
    let outcome = run_tool(&toolset, &args.tool, arguments, call).await;
    stop.cancel();
    match visit.await {
        Ok(Ended::Fine) | Err(_) => outcome,
        // The tool was told as much; why stands here whole.
        Ok(ended) => run::outcome(ended),
    }
}

async fn run_tool(toolset: &Toolset, tool: &str, arguments: Map<String, Value>, call: Call) -> Outcome {
    let Some(result) = toolset.call(tool, arguments, call).await else {
        return Outcome::failed(
            exit::CONFIGURATION,
            format!(
                "molecule-mcp call: {tool} is not among the tools that this configuration shows; its sets are in \
                 `molecule-mcp tools`, and MOLECULE_MCP_TOOLSETS, MOLECULE_MCP_MODE, MOLECULE_MCP_READ_ONLY and \
                 MOLECULE_API_KEY decide\n"
            ),
        );
    };
    let structured = result.structured_content.unwrap_or(Value::Null);
    Outcome {
        report: format!("{structured:#}\n"),
        complaint: String::new(),
        code: if result.is_error == Some(true) {
            exit::CHECK_FAILED
        } else {
            exit::FINE
        },
    }
}

/// What is said of a tool that does not exist.
fn unknown(catalogue: &Catalogue, tool: &str) -> Option<String> {
    let faces = catalogue.faces();
    if faces.iter().any(|face| face.name == tool) {
        return None;
    }
    let remedy = match nearest(tool, faces.iter().map(|face| face.name)) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "`molecule-mcp tools` lists all".to_owned(),
    };
    Some(format!(
        "there is no tool {}: {remedy}",
        printable::first_line(tool, 60)
    ))
}

fn arguments(given: Option<&str>) -> Result<Map<String, Value>, String> {
    let text = match given {
        None => return Ok(Map::new()),
        Some("-") => {
            let mut text = String::new();
            let read = io::stdin().take(MOST + 1).read_to_string(&mut text);
            read.map_err(|error| format!("the arguments could not be read from standard input: {error}"))?;
            text
        }
        Some(text) => text.to_owned(),
    };
    if text.len() as u64 > MOST {
        return Err("the arguments are larger than 2 MiB".to_owned());
    }
    match serde_json::from_str(&text) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(_) => Err(r#"the arguments must be a JSON object, as {"limit": 5}"#.to_owned()),
        Err(error) => Err(format!(
            "the arguments are not valid JSON (line {}, column {})",
            error.line(),
            error.column()
        )),
    }
}

/// Asks at the terminal; anything but yes is no.
fn ask(question: &str) -> Consent {
    let mut stderr = io::stderr();
    let asked = write!(stderr, "{} [y/N] ", printable::printable(question, "\n")).and_then(|()| stderr.flush());
    let mut answer = String::new();
    let answered = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
    match (answered, answer.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "y" | "yes") => Consent::Given,
        _ => Consent::Withheld,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_and_never_quoted() {
        assert_eq!(arguments(None).unwrap(), Map::new());
        assert_eq!(arguments(Some(r#"{"limit": 5}"#)).unwrap()["limit"], 5);
        for (text, part) in [
            ("[1]", "must be a JSON object"),
            ("{\"a\": tok-secret}", "line 1, column"),
        ] {
            let refused = arguments(Some(text)).unwrap_err();
            assert!(refused.contains(part) && !refused.contains("tok-secret"), "{refused}");
        }
    }

    #[test]
    fn a_tool_that_does_not_exist_is_answered_with_the_nearest_one() {
        let catalogue = Catalogue::new();
        assert_eq!(unknown(&catalogue, "inbox_peek"), None);
        assert!(
            unknown(&catalogue, "inbox_peak")
                .unwrap()
                .contains("did you mean inbox_peek?")
        );
        assert!(
            unknown(&catalogue, "\u{1b}[2Jbanana")
                .unwrap()
                .contains("molecule-mcp tools")
        );
    }
}
