//! The report for somebody who helps: everything `doctor` and `status` know, the files of the state folder by name and size,
//! which variables are set; without any credential.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Findings, configuration};
use crate::config::looking::Looking;
use crate::tools::redaction::redact;
use crate::types::{self, Timestamp};

/// Writes it, mode 0600, to a file that must not exist yet; answers where.
pub(super) fn write(
    wanted: &Path,
    findings: &Findings,
    status: Value,
    looking: &Looking,
    var: &dyn Fn(&str) -> Option<OsString>,
) -> io::Result<PathBuf> {
    let now = Timestamp::now().to_rfc3339();
    let path = match wanted.as_os_str().is_empty() {
        true => PathBuf::from(format!(
            "molecule-mcp-report-{}.json",
            now.get(..19).unwrap_or(&now).replace(':', "")
        )),
        false => wanted.to_owned(),
    };
    let report = json!({
        "made": now,
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "doctor": findings,
        "status": status,
        "variables_set": configuration::environment(var),
        "state_folder": files(&looking.state_dir),
    });
    let text = without_secrets(&format!("{report:#}\n"), var);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}

/// Names, sizes and modes; no content.
fn files(folder: &Path) -> Vec<Value> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let found = entry.metadata().ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let line = json!({ "name": name, "bytes": found.len(), "folder": found.is_dir(), "mode": mode(&found) });
            Some((name, line))
        })
        .collect();
    files.sort_by(|one, other| one.0.cmp(&other.0));
    files.into_iter().map(|(_, line)| line).collect()
}

#[cfg(unix)]
fn mode(found: &fs::Metadata) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    format!("{:o}", found.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> String {
    String::new()
}

/// Nothing above puts a credential in. Should an error text of something else repeat one, it goes here: by its value where it
/// is known, by its look where not.
fn without_secrets(text: &str, var: &dyn Fn(&str) -> Option<OsString>) -> String {
    let mut text = types::without_secrets(text).into_owned();
    if let Some(home) = var("HOME").map(|home| home.to_string_lossy().into_owned())
        && home.len() > 1
    {
        text = text.replace(&format!("{home}/"), "~/");
    }
    redact(&text).text
}

#[cfg(test)]
mod tests {
    use super::super::Finding;
    use super::*;

    #[test]
    fn no_credential_gets_into_the_report_however_it_came_into_a_text() {
        let dir = tempfile::tempdir().unwrap();
        let token = "sekrit/with+signs-0123456789";
        let var = |name: &str| match name {
            "CONFIGS_DIR" => Some(dir.path().join("state").into_os_string()),
            "HOME" => Some("/home/ada".into()),
            "PLATFORM_URL" => Some("https://x.example".into()),
            "WORKSPACE_ID" => Some("a".into()),
            "MOLECULE_WORKSPACE_TOKEN" => Some(token.into()),
            "MOLECULE_API_KEY" => Some("opaque-api-key".into()),
            _ => None,
        };
        let looking = Looking::read(var).unwrap();
        let mut findings = Findings::default();
        let text = format!("proxy http://ada:hunter2hunter2@h:1 and {token} and opaque-api-key in /home/ada/x");
        findings.add(Finding::ok("test", text));
        let path = dir.path().join("report.json");
        let write = || write(&path, &findings, json!({}), &looking, &var);
        assert_eq!(write().unwrap(), path);
        let report = fs::read_to_string(&path).unwrap();
        for secret in ["sekrit", "opaque", "hunter2", "/home/ada"] {
            assert!(!report.contains(secret), "{report}");
        }
        assert!(
            report.contains("in ~/x") && report.contains("MOLECULE_API_KEY"),
            "{report}"
        );
        assert!(serde_json::from_str::<Value>(&report).is_ok());
        assert!(write().is_err(), "what is there is not overwritten");
        #[cfg(unix)]
        assert_eq!(mode(&fs::metadata(&path).unwrap()), "600");
    }
}
