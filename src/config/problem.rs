//! What is wrong with a configuration, and how a person is told.

/// One thing wrong with the configuration: which setting, which rule, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable or file.
    pub setting: String,
    /// What is wrong and the rule it breaks; never the value.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether it was not given at all, or given and unusable.
    pub fault: Fault,
}

/// The two ways in which a setting can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Required and not given anywhere. Blank counts as not given.
    Missing,
    /// Given, and not usable.
    Wrong,
}

impl Problem {
    /// A setting that was given and cannot be used.
    pub(crate) fn wrong(setting: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            what: what.into(),
            remedy: remedy.into(),
            fault: Fault::Wrong,
        }
    }

    /// A required setting that is nowhere to be found.
    pub(crate) fn missing(setting: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            setting: setting.into(),
            what: "is missing".to_owned(),
            remedy: remedy.into(),
            fault: Fault::Missing,
        }
    }
}

/// The whole text for stderr when the configuration cannot be used (exit code 2): one line per problem and, when
/// something is missing, what the program needs and, on the last line, which of it is missing.
#[must_use]
pub fn explain(problems: &[Problem]) -> String {
    let mut text = String::from("molecule-mcp was not started; its configuration needs attention:\n");
    for Problem {
        setting, what, remedy, ..
    } in problems
    {
        text.push_str(&format!("  {setting} {what}: {remedy}\n"));
    }
    let missing: Vec<_> = problems
        .iter()
        .filter(|problem| problem.fault == Fault::Missing)
        .map(|problem| problem.setting.as_str())
        .collect();
    if !missing.is_empty() {
        let token = if missing.contains(&super::TOKEN) {
            ", and MOLECULE_WORKSPACE_TOKEN or a file that holds the token"
        } else {
            ""
        };
        text.push_str(&format!(
            "To join a workspace it needs WORKSPACE_ID and PLATFORM_URL{token}; `molecule-mcp init` asks for them and \
             keeps them.\nMissing: {}\n",
            missing.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_lists_what_is_missing() {
        let text = explain(&[
            Problem::missing("WORKSPACE_ID", "set it"),
            Problem::wrong("PLATFORM_URL", "must be a URL", "mend it"),
            Problem::missing("MOLECULE_WORKSPACE_TOKEN", "make one"),
        ]);
        assert_eq!(
            text.lines().last(),
            Some("Missing: WORKSPACE_ID, MOLECULE_WORKSPACE_TOKEN")
        );
        assert!(text.contains("PLATFORM_URL must be a URL: mend it\n"), "{text}");
        assert!(text.contains("a file that holds the token"));
    }

    #[test]
    fn the_token_is_not_asked_for_when_it_is_there() {
        let text = explain(&[Problem::missing("PLATFORM_URL", "set it")]);
        assert!(
            text.contains("WORKSPACE_ID") && !text.contains("MOLECULE_WORKSPACE_TOKEN"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_called_missing_when_values_are_only_wrong() {
        let text = explain(&[Problem::wrong(
            "MOLECULE_LEASE_SECS",
            "must be a number",
            "leave it out",
        )]);
        assert!(
            !text.contains("Missing") && text.contains("MOLECULE_LEASE_SECS"),
            "{text}"
        );
    }
}
