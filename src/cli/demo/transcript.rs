//! What the demonstration shows: each verified step with its time, as lines while it runs or as JSON at the end.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

/// One step, verified or not.
#[derive(Debug, Serialize)]
struct Step {
    at_ms: u64,
    who: String,
    what: String,
    verified: bool,
}

/// The steps so far.
#[derive(Debug)]
pub(super) struct Transcript {
    begun: Instant,
    as_json: bool,
    steps: Vec<Step>,
}

impl Transcript {
    pub(super) fn new(as_json: bool) -> Self {
        Self {
            begun: Instant::now(),
            as_json,
            steps: Vec::new(),
        }
    }

    /// Notes a step that was verified, and shows it at once unless the output is JSON.
    pub(super) fn verified(&mut self, who: &str, what: impl Into<String>) {
        self.note(who, what.into(), true);
    }

    /// Notes what went wrong.
    pub(super) fn failed(&mut self, what: &str) {
        self.note("demo", what.to_owned(), false);
    }

    fn note(&mut self, who: &str, what: String, verified: bool) {
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !self.as_json {
            let mark = if verified { "ok  " } else { "FAIL" };
            let line = format!("{:>3}.{:03} s  {mark}  {who:<9} {what}\n", at_ms / 1000, at_ms % 1000);
            let _ = std::io::stdout().write_all(line.as_bytes());
        }
        self.steps.push(Step {
            at_ms,
            who: who.to_owned(),
            what,
            verified,
        });
    }

    /// Whether nothing failed.
    pub(super) fn all_verified(&self) -> bool {
        !self.steps.is_empty() && self.steps.iter().all(|step| step.verified)
    }

    /// The last words.
    pub(super) fn finish(&self, kept: Option<&Path>) -> String {
        let all = self.all_verified();
        if self.as_json {
            let report = json!({ "verified": all, "steps": self.steps, "kept": kept });
            return format!("{report:#}\n");
        }
        let seconds = self.begun.elapsed().as_secs_f32();
        let verdict = if all {
            "Every step was verified"
        } else {
            "NOT every step was verified"
        };
        let kept = kept
            .map(|folder| format!("\nState kept in {}", folder.display()))
            .unwrap_or_default();
        format!("\n{verdict}: {} steps in {seconds:.1} s.{kept}\n", self.steps.len())
    }
}
