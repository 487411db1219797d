//! What the MCP clients of this computer start, as their configurations say.

use std::ffi::OsString;
use std::path::Path;

use super::{Finding, Findings};
use crate::cli::clients::{self, Client, Computer, Reach, Seen};

const CHECK: &str = "client";
/// Variables whose values are credentials.
const SECRET: [&str; 6] = [
    "MOLECULE_WORKSPACE_TOKEN",
    "MOLECULE_WORKSPACES",
    "MOLECULE_API_KEY",
    "MOLECULE_API_TOKEN",
    "MOLECULE_ORG_API_KEY",
    "CP_ADMIN_API_TOKEN",
];
/// Variables that only a server for a workspace is given.
const TELLING: [&str; 4] = [
    "PLATFORM_URL",
    "WORKSPACE_ID",
    "MOLECULE_WORKSPACES",
    "MOLECULE_WORKSPACE_TOKEN",
];

pub(super) fn check(findings: &mut Findings, var: &dyn Fn(&str) -> Option<OsString>) {
    if let Some(computer) = Computer::this(var) {
        check_on(findings, &computer);
    }
}

fn check_on(findings: &mut Findings, computer: &Computer<'_>) {
    for client in Client::ALL {
        for reach in [Reach::User, Reach::Project] {
            let Some(file) = client.file(reach, computer).filter(|file| file.exists()) else {
                continue;
            };
            let place = format!("{} ({})", client.title(), file.display());
            let servers = clients::read(&file)
                .map_err(|trouble| trouble.to_string())
                .and_then(|text| client.format().parse(&text).map(|document| document.servers()));
            match servers {
                Ok(servers) => {
                    for server in servers.iter().filter(|server| is_about_us(server)) {
                        judge(findings, &place, server);
                    }
                }
                Err(why) => findings.add(Finding::warn(
                    CHECK,
                    format!("{place}: {why}"),
                    "mend the file: the client may not read it either",
                )),
            }
        }
    }
}

fn is_about_us(server: &Seen) -> bool {
    server.starts("molecule-mcp") || TELLING.iter().any(|name| server.env.contains_key(*name))
}

fn judge(findings: &mut Findings, place: &str, server: &Seen) {
    let name = &server.name;
    let program = server.program.as_deref().unwrap_or_default();
    let mut is_fine = true;
    let mut warn = |what: String, next: &str| {
        is_fine = false;
        findings.add(Finding::warn(
            CHECK,
            format!("{place}: the server \"{name}\" {what}"),
            next,
        ));
    };
    if !server.starts("molecule-mcp") {
        warn(
            "is set up for a workspace and starts another program than molecule-mcp; two programs for one workspace take each \
             other's messages"
                .to_owned(),
            "see what `molecule-mcp install` would write for this client, and take this server out if it is the old daemon",
        );
    } else if Path::new(program).is_absolute() && !Path::new(program).exists() {
        warn(
            format!("starts {program}, which does not exist"),
            "write its configuration anew with `molecule-mcp install`",
        );
    }
    let inline = SECRET.iter().filter(|secret| {
        let value = server.env.get(**secret).map(|value| value.trim());
        // `${NAME}` and `${input:name}` stand for a value that is kept elsewhere.
        value.is_some_and(|value| !value.is_empty() && !value.starts_with('$'))
    });
    for secret in inline {
        warn(
            format!("holds a credential in clear text: {secret}"),
            "keep the token in a file (`molecule-mcp init`), write the configuration anew with `molecule-mcp install`, and make \
             a new token if others could read the file",
        );
    }
    if is_fine {
        let what = match program.is_empty() {
            true => format!("{place}: the server \"{name}\" is not started from here"),
            false => format!("{place}: the server \"{name}\" starts {program}"),
        };
        findings.add(Finding::ok(CHECK, what));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::findings::Verdict;
    use super::*;

    #[test]
    fn servers_that_start_the_wrong_thing_or_hold_a_token_are_found_in_every_format_and_no_value_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("molecule-mcp");
        fs::write(&program, "").unwrap();
        let program = program.to_str().unwrap();
        let write = |name: &str, text: String| {
            let path = dir.path().join("home").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            ".claude.json",
            format!(
                r#"{{"mcpServers":{{
                    "good":{{"command":"{program}","env":{{"MOLECULE_API_KEY":"${{KEY}}"}}}},
                    "inline":{{"command":"molecule-mcp","env":{{"MOLECULE_WORKSPACE_TOKEN":"sekrit"}}}},
                    "other":{{"command":"something-else"}}}}}}"#
            ),
        );
        write(
            ".codex/config.toml",
            "[mcp_servers.old]\ncommand = \"python\"\n[mcp_servers.old.env]\nWORKSPACE_ID = \"a\"\n\
             [mcp_servers.gone]\ncommand = \"/nonexistent/molecule-mcp\"\n"
                .to_owned(),
        );
        write(".gemini/settings.json", "{ not json".to_owned());
        let computer = Computer {
            home: dir.path().join("home"),
            settings: dir.path().join("settings"),
            current: dir.path().join("work"),
            var: &|_| None,
        };
        let mut findings = Findings::default();
        check_on(&mut findings, &computer);
        let text = findings.text();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("[")).collect();
        for (verdict, server, what) in [
            ("[OK]", "\"good\"", "starts"),
            ("[WARN]", "\"inline\"", "MOLECULE_WORKSPACE_TOKEN"),
            ("[WARN]", "\"old\"", "another program"),
            ("[WARN]", "\"gone\"", "does not exist"),
            ("[WARN]", ".gemini", ""),
        ] {
            let is_it = |line: &&&str| line.starts_with(verdict) && line.contains(server) && line.contains(what);
            assert_eq!(
                lines.iter().filter(is_it).count(),
                1,
                "{verdict} {server} {what} in {text}"
            );
        }
        assert_eq!(lines.len(), 5, "{text}");
        assert!(!text.contains("sekrit"), "{text}");
        assert!(findings.verdicts().iter().all(|(_, verdict)| *verdict != Verdict::Fail));
    }
}
