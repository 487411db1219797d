//! What the checks found.

use std::fmt::Write as _;

use serde::Serialize;

use crate::types::WorkspaceId;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Verdict {
    Ok,
    /// It works, and something about it may surprise.
    Warn,
    /// Messages do not arrive because of it, or will not.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, one or two words.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) what: String,
    /// What to do; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            what: what.into(),
            next: None,
        }
    }

    pub(super) fn warn(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            what: what.into(),
            next: Some(next.into()),
        }
    }

    pub(super) fn fail(check: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, what, next)
        }
    }

    /// The same, where there are several workspaces and it was found about one.
    pub(super) fn of_workspace(self, workspace: &WorkspaceId) -> Self {
        Self {
            what: format!("workspace {workspace}: {}", self.what),
            ..self
        }
    }
}

/// All of them, in the order in which a person would mend them.
#[derive(Debug, Default, Serialize)]
pub(super) struct Findings {
    findings: Vec<Finding>,
}

impl Findings {
    /// Adds what was found about one of several workspaces.
    pub(super) fn add_all_of(&mut self, workspace: &WorkspaceId, found: Self) {
        let found = found.findings.into_iter();
        self.findings
            .extend(found.map(|finding| finding.of_workspace(workspace)));
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.count(Verdict::Fail) > 0
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.verdict == verdict)
            .count()
    }

    /// For a person.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Finding {
            check,
            verdict,
            what,
            next,
        } in &self.findings
        {
            let mark = match verdict {
                Verdict::Ok => "[OK]  ",
                Verdict::Warn => "[WARN]",
                Verdict::Fail => "[FAIL]",
            };
            let _ = writeln!(text, "{mark} {check:14} {what}");
            if let Some(next) = next {
                let _ = writeln!(text, "{:21} Next: {next}", "");
            }
        }
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let _ = writeln!(
            text,
            "\n{}, {}.",
            plural(self.count(Verdict::Fail), "failure"),
            plural(self.count(Verdict::Warn), "warning")
        );
        text
    }

    #[cfg(test)]
    pub(super) fn verdicts(&self) -> Vec<(&'static str, Verdict)> {
        self.findings
            .iter()
            .map(|finding| (finding.check, finding.verdict))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_the_verdict_first_and_the_next_step_below() {
        let mut findings = Findings::default();
        findings.add(Finding::ok("program", "1.2.3"));
        assert!(!findings.has_failed());
        findings.add(Finding::warn("path", "not on it", "add it"));
        findings.add(Finding::fail("token", "refused", "make a new one"));
        assert!(findings.has_failed());
        assert_eq!(
            findings.text(),
            "[OK]   program        1.2.3\n\
             [WARN] path           not on it\n                      Next: add it\n\
             [FAIL] token          refused\n                      Next: make a new one\n\
             \n1 failure, 1 warning.\n"
        );
    }
}
