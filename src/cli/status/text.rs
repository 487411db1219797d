//! `status` for a person: the answer first, then the facts, then what is wrong with what to do.

use std::fmt::Write as _;
use std::time::Duration;

use super::report::{Holder, Report, Workspace};
use crate::state::health::Trouble;
use crate::state::overview::State;
use crate::types::Timestamp;

pub(super) fn of(report: &Report, now: Timestamp) -> String {
    let mut text = String::new();
    for workspace in &report.workspaces {
        one(&mut text, workspace, now);
        text.push('\n');
    }
    if let Some(trouble) = &report.journal_trouble {
        tell(&mut text, trouble);
        text.push('\n');
    }
    if report.workspaces.is_empty() {
        text.push_str("No workspace has been served from this folder yet.\n");
        for line in &report.configuration {
            let _ = writeln!(text, "  {line}");
        }
        text.push_str("  Remedy: `molecule-mcp init` asks for platform, workspace and token and keeps them.\n\n");
    }
    let _ = writeln!(
        text,
        "State folder {}; molecule-mcp {}",
        report.state_dir, report.version
    );
    text
}

fn one(text: &mut String, it: &Workspace, now: Timestamp) {
    let since = it.since.map_or(String::new(), |since| {
        format!(" since {} ({})", clock(since), span(since.until(now)))
    });
    let state = match it.state {
        State::Online => format!("online: messages arrive{since}"),
        State::Receiving => format!("messages arrive{since}, but nothing keeps the workspace online"),
        State::Starting => "starting: no message can arrive yet".to_owned(),
        State::Deaf if it.visible => {
            format!("DEAF: visible to others, but no message arrives{since}")
        }
        State::Deaf => format!("DEAF: no message arrives{since}"),
        State::Stuck => "STUCK: the process that should receive makes no progress".to_owned(),
        State::Offline => "OFFLINE: nothing runs".to_owned(),
    };
    let _ = writeln!(text, "Workspace {} at {}\n  {state}\n", it.workspace, it.platform);
    let ago =
        |time: Option<Timestamp>| time.map_or("never".to_owned(), |time| format!("{} ago", span(time.until(now))));
    let runs = it.state != State::Offline;
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:12}  {value}");
    };
    // A session that was over before its first beat was online all the same.
    if runs || it.last_beat.is_none() {
        fact("Registered", ago(it.registered));
    }
    fact("Last beat", ago(it.last_beat));
    fact("Last read", ago(it.last_read));
    if runs {
        let how = match it.stream_live {
            true => "live: messages are read at once",
            false => "not live: messages are looked for every few seconds",
        };
        fact("Stream", how.to_owned());
        fact("Processes", processes(it, now));
    }
    fact("Inbox", inbox(it, now));
    if it.outgoing > 0 {
        fact("Outgoing", format!("{} not taken by the platform yet", it.outgoing));
    }
    if let Some(source) = &it.token_source {
        fact("Token", format!("from {source}"));
    }
    if !it.tool_sets.is_empty() {
        fact("Tools", it.tool_sets.join(", "));
    }
    if let Some(past) = &it.past_trouble {
        let over = past.over.map_or(Duration::ZERO, |over| over.until(now));
        fact("Was wrong", format!("{}; over for {}", past.trouble.what, span(over)));
    }
    for trouble in &it.troubles {
        text.push('\n');
        tell(text, trouble);
    }
}

fn tell(text: &mut String, Trouble { code, what, remedy }: &Trouble) {
    let _ = writeln!(text, "  {code}: {what}\n    Remedy: {remedy}");
}

fn processes(it: &Workspace, now: Timestamp) -> String {
    let name = |holder: &Holder| {
        let started = holder
            .started
            .map_or(String::new(), |started| format!(", for {}", span(started.until(now))));
        format!("{} (version {}{started})", holder.pid, holder.version)
    };
    let mut parts = match (&it.reading, &it.presence) {
        (Some(reading), Some(presence)) if reading == presence => vec![name(reading)],
        (reading, presence) => {
            let reading = reading.as_ref().map(|holder| format!("{} receives", name(holder)));
            let presence = presence
                .as_ref()
                .map(|holder| format!("{} keeps it online", name(holder)));
            reading.into_iter().chain(presence).collect()
        }
    };
    let named = [&it.reading, &it.presence]
        .into_iter()
        .flatten()
        .map(|holder| holder.pid);
    let named = named.collect::<std::collections::BTreeSet<_>>().len();
    match it.processes.saturating_sub(named) {
        0 => {}
        others if parts.is_empty() => parts.push(others.to_string()),
        others => parts.push(format!("{others} more")),
    }
    parts.join("; ")
}

fn inbox(it: &Workspace, now: Timestamp) -> String {
    let counts = &it.inbox;
    let mut parts = vec![
        format!("{} new", counts.new),
        format!("{} being worked on", counts.leased),
    ];
    for (count, what) in [
        (counts.aside, "set aside"),
        (counts.held, "kept back by an unfinished recovery"),
        (counts.recovered, "recovered"),
        (counts.damaged, "damaged"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    let mut line = parts.join(", ");
    if let Some(oldest) = counts.oldest {
        let _ = write!(line, "; the oldest has waited {}", span(oldest.until(now)));
    }
    line
}

fn clock(time: Timestamp) -> String {
    let text = time.to_rfc3339();
    format!(
        "{} {} UTC",
        text.get(..10).unwrap_or(&text),
        text.get(11..19).unwrap_or_default()
    )
}

/// A time span as a person says it.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        secs @ 0..=119 => format!("{secs} s"),
        secs @ 120..=7199 => format!("{} min", secs / 60),
        secs @ 7200..=172_799 => format!("{} h", secs / 3600),
        secs => format!("{} days", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::report::Inbox;

    const NOW: Timestamp = Timestamp(1_780_000_000_000_000);

    fn before(secs: i64) -> Option<Timestamp> {
        Some(NOW.plus_micros(-secs * 1_000_000))
    }

    fn holder(pid: u32) -> Option<Holder> {
        Some(Holder {
            pid,
            version: "1.2.3".to_owned(),
            started: before(7200),
        })
    }

    fn online() -> Workspace {
        Workspace {
            workspace: "w".to_owned(),
            platform: "https://p.example".to_owned(),
            state: State::Online,
            receiving: true,
            visible: true,
            since: before(7000),
            registered: before(7100),
            last_beat: before(12),
            last_read: before(3),
            stream_live: true,
            inbox: Inbox {
                new: 3,
                leased: 1,
                aside: 0,
                held: 0,
                recovered: 0,
                damaged: 0,
                oldest: before(300),
            },
            outgoing: 0,
            processes: 3,
            presence: holder(7),
            reading: holder(7),
            token_source: Some("/x/.auth_token".to_owned()),
            tool_sets: vec!["agent".to_owned(), "ops".to_owned()],
            troubles: Vec::new(),
            past_trouble: None,
        }
    }

    fn told(workspace: Workspace) -> String {
        let report = Report {
            version: "1.2.4",
            state_dir: "/x".to_owned(),
            receiving: workspace.receiving,
            workspaces: vec![workspace],
            journal_trouble: None,
            configuration: Vec::new(),
        };
        of(&report, NOW)
    }

    #[test]
    fn a_healthy_workspace_fits_on_a_page() {
        assert_eq!(
            told(online()),
            "Workspace w at https://p.example\n\
             \x20 online: messages arrive since 2026-05-28 18:30:00 UTC (116 min)\n\
             \n\
             \x20 Registered    118 min ago\n\
             \x20 Last beat     12 s ago\n\
             \x20 Last read     3 s ago\n\
             \x20 Stream        live: messages are read at once\n\
             \x20 Processes     7 (version 1.2.3, for 2 h); 2 more\n\
             \x20 Inbox         3 new, 1 being worked on; the oldest has waited 5 min\n\
             \x20 Token         from /x/.auth_token\n\
             \x20 Tools         agent, ops\n\
             \n\
             State folder /x; molecule-mcp 1.2.4\n"
        );
    }

    #[test]
    fn whatever_is_wrong_is_told_with_what_to_do() {
        let trouble = Trouble::new("AUTH_ERROR", "the platform refuses the token", "make a new one");
        for (state, visible, expected) in [
            (
                State::Deaf,
                true,
                "DEAF: visible to others, but no message arrives since",
            ),
            (State::Deaf, false, "DEAF: no message arrives since"),
            (State::Stuck, true, "STUCK: "),
            (State::Offline, false, "OFFLINE: nothing runs"),
            (State::Receiving, false, "but nothing keeps the workspace online"),
            (State::Starting, true, "starting: "),
        ] {
            let text = told(Workspace {
                state,
                visible,
                troubles: vec![trouble.clone()],
                ..online()
            });
            assert!(text.contains(expected), "{text}");
            assert!(text.contains("  AUTH_ERROR: the platform refuses the token\n    Remedy: make a new one\n"));
        }
    }

    #[test]
    fn a_session_too_short_for_a_beat_is_told_by_when_it_registered() {
        let short = Workspace {
            state: State::Offline,
            last_beat: None,
            registered: before(70),
            ..online()
        };
        let text = told(short);
        assert!(
            text.contains("  Registered    70 s ago\n  Last beat     never\n"),
            "{text}"
        );
    }

    #[test]
    fn two_holders_are_told_apart() {
        let split = Workspace {
            presence: holder(8),
            processes: 2,
            ..online()
        };
        let text = told(split);
        assert!(
            text.contains("7 (version 1.2.3, for 2 h) receives; 8 (version 1.2.3, for 2 h) keeps it online\n"),
            "{text}"
        );
    }
}
