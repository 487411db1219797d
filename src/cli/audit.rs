//! `molecule-mcp audit`: what was changed on a platform through this computer's tools.

use std::ffi::OsString;
use std::fmt::Write as _;

use super::options::{Outcome, exit};
use crate::config;
use crate::state::audit::{Audit, Record};

/// Arguments of `audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// At most so many of the newest.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
}

/// The records of the state folder, oldest first.
pub fn perform(args: AuditArgs, var: impl Fn(&str) -> Option<OsString>) -> Outcome {
    let dir = match config::state_dir(var) {
        Ok(dir) => dir,
        Err(problems) => return Outcome::failed(exit::CONFIGURATION, config::explain(&problems)),
    };
    match Audit::new(dir.clone()).newest(args.limit) {
        Ok(records) if args.json => Outcome::fine(lines(&records)),
        Ok(records) if records.is_empty() => {
            Outcome::fine(format!("Nothing was changed so far ({}).\n", dir.display()))
        }
        Ok(records) => Outcome::fine(table(&records)),
        Err(error) => Outcome::failed(
            exit::CHECK_FAILED,
            format!(
                "molecule-mcp: the record in {} cannot be read: {error}\n",
                dir.display()
            ),
        ),
    }
}

fn lines(records: &[Record]) -> String {
    records.iter().fold(String::new(), |mut text, record| {
        if let Ok(line) = serde_json::to_string(record) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    })
}

fn table(records: &[Record]) -> String {
    let width = |column: fn(&Record) -> &str| records.iter().map(|record| column(record).len()).max().unwrap_or(0);
    let (tool, outcome) = (width(|record| &record.tool), width(|record| &record.outcome));
    records.iter().fold(String::new(), |mut text, record| {
        let time = record.time.get(..19).unwrap_or(&record.time);
        let _ = writeln!(
            text,
            "{time}Z  {:tool$}  {:outcome$}  {}",
            record.tool, record.outcome, record.target
        );
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_as_a_table_and_as_json() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::new(dir.path().to_owned());
        let ask = |json| {
            let args = AuditArgs { json, limit: 10 };
            perform(args, |name| (name == "CONFIGS_DIR").then(|| dir.path().into()))
        };
        assert!(ask(false).report.starts_with("Nothing was changed"));
        assert_eq!(ask(true).report, "");
        audit
            .begin("set_secret", "POST /workspaces/a/secrets")
            .unwrap()
            .end("ok");
        audit
            .begin("pause_workspace", "POST /workspaces/a/pause")
            .unwrap()
            .end("HTTP 404");
        let table = ask(false).report;
        assert!(
            table.contains("Z  set_secret       ok        POST /workspaces/a/secrets\n"),
            "{table}"
        );
        let first: serde_json::Value = serde_json::from_str(ask(true).report.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["tool"], &first["outcome"]),
            (&"set_secret".into(), &"ok".into())
        );
    }
}
