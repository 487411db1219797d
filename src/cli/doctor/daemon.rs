//! Whether a daemon runs and receives, as `status` tells it.

use super::{Finding, Findings};
use crate::state::overview::{Overview, Standing, State};

const CHECK: &str = "daemon";

pub(super) fn check(findings: &mut Findings, overview: &Overview) {
    if let Some(trouble) = &overview.journal_trouble {
        findings.add(Finding::fail("journal", trouble.what.clone(), trouble.remedy.clone()));
    }
    for standing in &overview.workspaces {
        let state = standing.state();
        let who = format!("workspace {}: {}", standing.workspace, who(standing));
        match state {
            State::Online => findings.add(Finding::ok(CHECK, who.clone())),
            // Told by its trouble.
            State::Receiving | State::Starting | State::Deaf | State::Stuck | State::Offline => {}
        }
        for trouble in standing.troubles() {
            let what = match state {
                State::Offline => format!("workspace {}: {}", standing.workspace, trouble.what),
                _ => format!("{who}: {}", trouble.what),
            };
            findings.add(match state {
                State::Deaf | State::Stuck => Finding::fail(CHECK, what, trouble.remedy),
                // A doctor is also called before the first start.
                State::Offline | State::Online | State::Receiving | State::Starting => {
                    Finding::warn(CHECK, what, trouble.remedy)
                }
            });
        }
    }
}

fn who(standing: &Standing) -> String {
    let holder = [&standing.reading, &standing.presence]
        .into_iter()
        .find(|post| post.held);
    let told = holder.and_then(|post| post.told.as_ref());
    match (standing.processes, told) {
        (0, None) => "nothing runs".to_owned(),
        (others, None) => format!("{others} running"),
        (all, Some(told)) => {
            let (pid, version) = (told.holder.pid, &told.holder.version);
            format!("process {pid} (version {version}) does it, of {all} running")
        }
    }
}
