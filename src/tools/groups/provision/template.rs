//! Which template brings a runtime: the platform's own list, or a fixed one where that cannot be read. Never unchecked.

use serde_json::{Value, json};

use super::Settled;
use super::runtime::Wish;
use crate::mcp::answer::ToolError;
use crate::platform::order::Order;
use crate::platform::order::Verb::Get;
use crate::tools::desk::Errand;
use crate::tools::groups::workspaces::creation::is_own_compute;

/// Template and runtime, as a reviewer verified them in May 2026. Later platforms have fewer.
const FIXED: [(&str, &str); 6] = [
    ("autogen", "autogen"),
    ("claude-code-default", "claude-code"),
    ("codex", "codex"),
    ("hermes", "hermes"),
    ("langgraph", "langgraph"),
    ("openclaw", "openclaw"),
];

/// A template and the runtime it says it brings.
type Known = (String, Option<String>);

/// Settles what will be asked of the platform.
///
/// # Errors
/// `UNSUPPORTED_TEMPLATE`; nothing has been changed then.
pub(super) async fn settle(wish: Wish, errand: &Errand<'_>) -> Result<Settled, ToolError> {
    match wish {
        Wish::OwnCompute(runtime) => Ok(Settled {
            runtime,
            template: None,
            own_compute: true,
        }),
        wish => choose(wish, &known(errand).await),
    }
}

/// The platform's templates. Anything but a list of them falls back to the fixed one.
async fn known(errand: &Errand<'_>) -> Vec<Known> {
    let read = errand.send(&Order::admin(Get, ["templates".into()])).await;
    let Ok(Value::Array(rows)) = read.map(|reply| reply.body) else {
        let fixed = FIXED
            .iter()
            .map(|(id, runtime)| ((*id).to_owned(), Some((*runtime).to_owned())));
        return fixed.collect();
    };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    rows.iter()
        .filter_map(|row| Some((text(&row["id"])?, text(&row["runtime"]))))
        .collect()
}

/// Pure: the wish and what there is.
fn choose(wish: Wish, known: &[Known]) -> Result<Settled, ToolError> {
    let ids = || json!(known.iter().map(|(id, _)| id).collect::<Vec<_>>());
    let find = |wanted: &str| known.iter().find(|(id, _)| id == wanted);
    match wish {
        Wish::OwnCompute(runtime) => Ok(settled(runtime, None)),
        Wish::Template(template) => match find(&template) {
            Some((_, Some(runtime))) => Ok(settled(runtime.clone(), Some(template))),
            Some((_, None)) => {
                let what =
                    "the template does not say which runtime it brings; name the runtime too. Nothing was created";
                Err(unsupported(what, None, Some(&template), ids()))
            }
            None => Err(unsupported(NO_SUCH, None, Some(&template), ids())),
        },
        Wish::Runtime(runtime, Some(template)) => match find(&template) {
            // A template that does not say is believed here; the runtime is read back afterwards.
            Some((_, brought)) if brought.as_ref().is_none_or(|brought| *brought == runtime) => {
                Ok(settled(runtime, Some(template)))
            }
            Some((_, brought)) => {
                let brought = brought.as_deref().unwrap_or_default();
                let what = format!("the template brings the runtime {brought}; nothing was created");
                Err(unsupported(what, Some(&runtime), Some(&template), ids()))
            }
            None => Err(unsupported(NO_SUCH, Some(&runtime), Some(&template), ids())),
        },
        Wish::Runtime(runtime, None) => {
            let usual = FIXED.iter().find(|(_, brought)| *brought == runtime).map(|(id, _)| *id);
            let brings = |(id, brought): &&Known| match brought {
                Some(brought) => *brought == runtime,
                None => *id == runtime || Some(id.as_str()) == usual,
            };
            let mut fitting: Vec<&Known> = known.iter().filter(brings).collect();
            // The usual one first, then the one that is called like its runtime.
            fitting.sort_by_key(|(id, _)| (Some(id.as_str()) != usual, *id != runtime));
            match fitting.first() {
                Some((id, _)) => Ok(settled(runtime, Some(id.clone()))),
                None => {
                    let what = "no template of this platform brings this runtime; nothing was created";
                    Err(unsupported(what, Some(&runtime), None, ids()))
                }
            }
        }
    }
}

const NO_SUCH: &str =
    "the platform has no such template, and would choose another runtime in silence; nothing was created";

fn settled(runtime: String, template: Option<String>) -> Settled {
    Settled {
        own_compute: is_own_compute(&runtime),
        runtime,
        template,
    }
}

/// The failure of a template or runtime that does not fit.
pub(super) fn unsupported(
    what: impl Into<String>,
    runtime: Option<&str>,
    template: Option<&str>,
    supported: Value,
) -> ToolError {
    ToolError::failed(
        "UNSUPPORTED_TEMPLATE",
        what,
        "choose one of supported_templates, or another runtime",
    )
    .with("requested_runtime", runtime)
    .with("requested_template", template)
    .with("supported_templates", supported)
    .with("provisioned", false)
    .with("role_config_applied", false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fitting_template_is_chosen_or_none() {
        let live: Vec<Known> = [
            ("claude-code-default", Some("claude-code")),
            ("seo-agent", Some("claude-code")),
            ("crewai", Some("crewai")),
            ("codex", None),
            ("mystery", None),
        ]
        .map(|(id, runtime)| (id.to_owned(), runtime.map(str::to_owned)))
        .to_vec();
        let wish = |runtime: Option<&str>, template: Option<&str>| {
            Wish::of(runtime.map(str::to_owned), template.map(str::to_owned)).unwrap()
        };
        for (runtime, template, expected) in [
            (Some("claude-code"), None, Some(("claude-code", "claude-code-default"))),
            (
                Some("claude-code"),
                Some("claude-code"),
                Some(("claude-code", "claude-code-default")),
            ),
            (
                Some("claude-code"),
                Some("seo-agent"),
                Some(("claude-code", "seo-agent")),
            ),
            (Some("codex"), None, Some(("codex", "codex"))),
            (Some("crewai"), None, Some(("crewai", "crewai"))),
            (None, Some("seo-agent"), Some(("claude-code", "seo-agent"))),
            (Some("langgraph"), None, None),
            (Some("codex"), Some("seo-agent"), None),
            (Some("codex"), Some("nope"), None),
            (None, Some("nope"), None),
            (None, Some("mystery"), None),
        ] {
            let chosen = choose(wish(runtime, template), &live);
            let chosen = chosen.ok().map(|settled| (settled.runtime, settled.template.unwrap()));
            let expected = expected.map(|(runtime, template)| (runtime.to_owned(), template.to_owned()));
            assert_eq!(chosen, expected, "{runtime:?} {template:?}");
        }
    }
}
