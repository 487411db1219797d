//! `/metrics` in Prometheus' text format 0.0.4. Names are a promise; no id, path or text is ever a label.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::state::overview::{Overview, Standing, State};
use crate::types::Timestamp;

/// The states a workspace can be in, with their label.
const STATES: [(State, &str); 6] = [
    (State::Online, "online"),
    (State::Receiving, "receiving"),
    (State::Starting, "starting"),
    (State::Deaf, "deaf"),
    (State::Stuck, "stuck"),
    (State::Offline, "offline"),
];

/// All of them. `clients` are those of MCP over HTTP, where that is served. Without an overview, because the state folder does
/// not answer, only what this process knows by itself.
pub(super) fn of(overdue: &[&str], clients: Option<usize>, overview: Option<&Overview>) -> String {
    let mut page = Page::default();
    page.gauge("molecule_mcp_build_info", "The version that runs.");
    page.value(
        "molecule_mcp_build_info",
        Some(("version", env!("CARGO_PKG_VERSION"))),
        1,
    );
    page.gauge(
        "molecule_mcp_alive",
        "1: the loops of this process turn, whether or not the platform answers.",
    );
    page.value("molecule_mcp_alive", None, u8::from(overdue.is_empty()));
    if let Some(clients) = clients {
        page.gauge("molecule_mcp_http_sessions", "Open sessions of MCP over HTTP.");
        page.value("molecule_mcp_http_sessions", None, clients);
    }
    if let Some(overview) = overview {
        workspaces(&mut page, &overview.workspaces, Timestamp::now());
    }
    page.0
}

fn workspaces(page: &mut Page, all: &[Standing], now: Timestamp) {
    page.gauge(
        "molecule_mcp_workspaces",
        "Workspaces in each state; messages arrive in online and receiving.",
    );
    for (state, label) in STATES {
        let count = all.iter().filter(|standing| standing.state() == state).count();
        page.value("molecule_mcp_workspaces", Some(("state", label)), count);
    }
    let processes: usize = all.iter().map(|standing| standing.processes).sum();
    page.gauge(
        "molecule_mcp_processes",
        "Processes that serve these workspaces from this state folder.",
    );
    page.value("molecule_mcp_processes", None, processes);
    let live = all.iter().filter(|standing| standing.health().stream_live).count();
    page.gauge("molecule_mcp_streams_live", "Workspaces whose event stream is live.");
    page.value("molecule_mcp_streams_live", None, live);

    let counts: Vec<_> = all.iter().map(Standing::counts).collect();
    page.gauge(
        "molecule_mcp_inbox_messages",
        "Messages in the inbox that are not acknowledged, by state.",
    );
    for (state, count) in [
        ("new", counts.iter().map(|counts| counts.new).sum::<u64>()),
        ("leased", counts.iter().map(|counts| counts.leased).sum()),
        ("aside", counts.iter().map(|counts| counts.aside).sum()),
        ("held", counts.iter().map(|counts| counts.held).sum()),
        ("recovered", counts.iter().map(|counts| counts.recovered).sum()),
        ("damaged", counts.iter().map(|counts| counts.damaged).sum()),
    ] {
        page.value("molecule_mcp_inbox_messages", Some(("state", state)), count);
    }
    let oldest = counts.iter().filter_map(|counts| counts.oldest).min();
    let waited = oldest.map_or(Duration::ZERO, |oldest| oldest.until(now));
    page.gauge(
        "molecule_mcp_inbox_oldest_seconds",
        "How long the oldest new or leased message has waited; 0: there is none.",
    );
    page.value("molecule_mcp_inbox_oldest_seconds", None, waited.as_secs_f64());
    let outgoing: u64 = all
        .iter()
        .filter_map(|standing| standing.journal.as_ref())
        .map(|it| it.outgoing)
        .sum();
    page.gauge(
        "molecule_mcp_outgoing_pending",
        "Replies and tasks that the platform has not taken yet.",
    );
    page.value("molecule_mcp_outgoing_pending", None, outgoing);

    for (name, help, time) in [
        (
            "molecule_mcp_last_beat_seconds",
            "When a heartbeat was last accepted, unix time; of the workspace where that is longest ago. Absent: never.",
            all.iter().map(Standing::last_beat).min().flatten(),
        ),
        (
            "molecule_mcp_last_read_seconds",
            "When the inbox was last read, unix time; of the workspace where that is longest ago. Absent: never.",
            all.iter().map(Standing::last_read).min().flatten(),
        ),
    ] {
        page.gauge(name, help);
        if let Some(Timestamp(micros)) = time {
            page.value(name, None, micros as f64 / 1e6);
        }
    }
    let mut troubles = BTreeMap::<String, usize>::new();
    for trouble in all.iter().flat_map(Standing::troubles) {
        *troubles.entry(trouble.code).or_default() += 1;
    }
    page.gauge(
        "molecule_mcp_troubles",
        "What is wrong right now, by the codes that status and the tools tell.",
    );
    for (code, count) in troubles {
        page.value("molecule_mcp_troubles", Some(("code", &code)), count);
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn value(&mut self, name: &str, label: Option<(&str, &str)>, value: impl Display) {
        let _ = match label {
            Some((key, text)) => writeln!(self.0, "{name}{{{key}=\"{text}\"}} {value}"),
            None => writeln!(self.0, "{name} {value}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WorkspaceId;

    const DESCRIBED: &str = include_str!("../../../docs/metrics.md");

    #[test]
    fn every_line_is_of_the_format_and_none_names_a_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let id = WorkspaceId::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap();
        let wanted = [("https://x.example".to_owned(), id)];
        let overview = Overview::of(folder.path(), &wanted, Duration::from_secs(45));
        let text = of(&["inbox"], Some(2), Some(&overview));
        let mut announced = "";
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                announced = rest.split(' ').nth(1).unwrap();
                assert!(DESCRIBED.contains(&format!("`{announced}")), "{line}");
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(name.split('{').next(), Some(announced), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        assert!(text.contains("molecule_mcp_alive 0\n"));
        assert!(text.contains("molecule_mcp_workspaces{state=\"offline\"} 1\n"));
        assert!(text.contains("molecule_mcp_troubles{code=\"NOT_RUNNING\"} 1\n"));
        assert!(!text.contains("5f0c") && !text.contains("example"), "{text}");
        assert!(of(&[], None, None).contains("molecule_mcp_alive 1\n"));
    }
}
