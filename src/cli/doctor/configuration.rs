//! What a daemon with this environment would be told, and from where.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;

use super::{Finding, Findings};
use crate::config::looking::Looking;
use crate::config::token::TokenSource;

const CHECK: &str = "configuration";

pub(super) fn check(findings: &mut Findings, looking: &Looking, var: &dyn Fn(&str) -> Option<OsString>) {
    let config = match &looking.config {
        Err(problems) => {
            for problem in problems {
                findings.add(Finding::fail(
                    CHECK,
                    format!("{} {}", problem.setting, problem.what),
                    problem.remedy.clone(),
                ));
            }
            return;
        }
        Ok(config) => config,
    };
    let sources = sources(looking, var);
    let first = config.first();
    let which = match config.memberships.len() {
        1 => format!("workspace {}", first.workspace),
        all => format!("{all} workspaces, the first is {}", first.workspace),
    };
    findings.add(Finding::ok(CHECK, format!("{which} at {}; {sources}", first.platform)));
    for warning in &config.warnings {
        findings.add(Finding::warn(
            CHECK,
            warning.clone(),
            "mend the setting, or leave it if that is what you want",
        ));
    }
    for own in &config.memberships {
        let finding = token(&own.token);
        findings.add(match config.memberships.len() {
            1 => finding,
            _ => finding.of_workspace(&own.workspace),
        });
    }
}

fn token(source: &TokenSource) -> Finding {
    const CHECK: &str = "token";
    let Some(token) = source.current() else {
        return Finding::warn(
            CHECK,
            "there is none yet; MOLECULE_BOOTSTRAP=1 gets one at the first register",
            "nothing, if the workspace has no token yet",
        );
    };
    let length = token.expose().len();
    let source = source.describe();
    match length {
        0..16 => Finding::warn(
            CHECK,
            format!("from {source}, {length} characters, which is short for a token"),
            "compare it with the one in the canvas, Tokens tab",
        ),
        _ => Finding::ok(CHECK, format!("from {source}, {length} characters")),
    }
}

/// The settings that are not the default, by where they come from. Names only: a value may be a secret.
pub(super) fn sources(looking: &Looking, var: &dyn Fn(&str) -> Option<OsString>) -> String {
    let environment = environment(var);
    let filed = looking.filed.entries().iter().filter_map(|entry| entry.setting.key);
    let list = |names: Vec<String>| {
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    format!(
        "from the environment: {}; from {}: {}",
        list(environment.into_iter().collect()),
        looking.filed.name(),
        list(filed.map(str::to_owned).collect())
    )
}

/// The variables of this program that are set.
pub(super) fn environment(var: &dyn Fn(&str) -> Option<OsString>) -> BTreeSet<String> {
    let set = RefCell::new(BTreeSet::new());
    let _ = Looking::read(|name| {
        let value = var(name);
        if value
            .as_ref()
            .is_some_and(|value| !value.to_string_lossy().trim().is_empty())
        {
            set.borrow_mut().insert(name.to_owned());
        }
        value
    });
    set.into_inner()
}

#[cfg(test)]
mod tests {
    use super::super::findings::Verdict;
    use super::*;

    #[test]
    fn settings_are_told_by_name_and_source_and_never_by_value() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(crate::config::file::NAME), "workspace_id = \"a\"\n").unwrap();
        let var = |name: &str| match name {
            "CONFIGS_DIR" => Some(dir.path().as_os_str().to_owned()),
            "PLATFORM_URL" => Some("https://x.example".into()),
            "MOLECULE_WORKSPACE_TOKEN" => Some("sekrit-sekrit-sekrit".into()),
            _ => None,
        };
        let looking = Looking::read(var).unwrap();
        let mut findings = Findings::default();
        check(&mut findings, &looking, &var);
        let text = findings.text();
        assert!(
            text.contains("from the environment: CONFIGS_DIR, MOLECULE_WORKSPACE_TOKEN, PLATFORM_URL; from molecule.toml: workspace_id"),
            "{text}"
        );
        assert!(
            text.contains("from MOLECULE_WORKSPACE_TOKEN, 20 characters") && !text.contains("sekrit"),
            "{text}"
        );
    }

    #[test]
    fn every_problem_of_the_configuration_fails() {
        let dir = tempfile::tempdir().unwrap();
        let var = |name: &str| (name == "CONFIGS_DIR").then(|| dir.path().as_os_str().to_owned());
        let mut findings = Findings::default();
        check(&mut findings, &Looking::read(var).unwrap(), &var);
        assert_eq!(findings.verdicts(), [(CHECK, Verdict::Fail); 3]);
    }
}
