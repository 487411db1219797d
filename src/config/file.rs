//! `molecule.toml` in the state folder: what `init` writes and the environment overrides. It holds no credential.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::problem::Problem;

/// The file's name.
pub const NAME: &str = "molecule.toml";

/// The file is refused beyond this size.
const MAX_BYTES: u64 = 64 * 1024;

/// What the file may say. Every key is optional, and an unknown key is an error, so that a slip of the pen shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// As `PLATFORM_URL`.
    pub platform_url: Option<String>,
    /// As `WORKSPACE_ID`.
    pub workspace_id: Option<String>,
    /// As `MOLECULE_ORG_ID`.
    pub org_id: Option<String>,
    /// As `MOLECULE_CA_FILE`.
    pub ca_file: Option<String>,
    /// As `MOLECULE_ALLOW_INSECURE=1`.
    pub allow_insecure: Option<bool>,
    /// As `MOLECULE_AGENT_NAME`.
    pub agent_name: Option<String>,
    /// As `MOLECULE_AGENT_DESCRIPTION`.
    pub agent_description: Option<String>,
    /// As `MOLECULE_AGENT_SKILLS`, one entry each.
    pub agent_skills: Option<Vec<String>>,
}

impl Settings {
    /// The keys that are there.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let keys = [
            ("platform_url", self.platform_url.is_some()),
            ("workspace_id", self.workspace_id.is_some()),
            ("org_id", self.org_id.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("allow_insecure", self.allow_insecure.is_some()),
            ("agent_name", self.agent_name.is_some()),
            ("agent_description", self.agent_description.is_some()),
            ("agent_skills", self.agent_skills.is_some()),
        ];
        keys.into_iter()
            .filter(|(_, is_there)| *is_there)
            .map(|(key, _)| key)
            .collect()
    }
}

const KEYS: &str = "platform_url, workspace_id, org_id, ca_file, agent_name, agent_description (text), \
                    allow_insecure (true or false) and agent_skills (a list of texts)";

/// Reads `<dir>/molecule.toml`; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is larger than 64 KiB, is no TOML, or holds unknown keys or values of a wrong type. The
/// problem names the line and never quotes it, for people do put tokens where they do not belong.
pub fn load(dir: &Path) -> Result<Option<Settings>, Problem> {
    let Some(text) = read(&dir.join(NAME))? else {
        return Ok(None);
    };
    toml::from_str(&text).map(Some).map_err(|error| {
        let place = line_of(&text, &error).map_or_else(String::new, |line| format!(" (line {line})"));
        if toml::from_str::<toml::Table>(&text).is_err() {
            broken(format!("is not valid TOML{place}"), "write it as: key = \"value\"")
        } else {
            broken(
                format!("holds an unknown key or a value of the wrong type{place}"),
                format!("the keys are {KEYS}"),
            )
        }
    })
}

fn read(path: &Path) -> Result<Option<String>, Problem> {
    let remedy = "mend it, or delete it and use the environment";
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(entry) if !entry.is_file() => return Err(broken("is not a regular file", remedy)),
        _ => {}
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| broken(format!("cannot be read ({})", error.kind()), remedy))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(broken("is larger than 64 KiB", remedy));
    }
    let line = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(broken(
            format!("is not UTF-8 text (line {})", line(error.valid_up_to())),
            remedy,
        )),
    }
}

fn broken(what: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem::wrong(NAME, what, remedy)
}

fn line_of(text: &str, error: &toml::de::Error) -> Option<usize> {
    let start = error.span()?.start.min(text.len());
    Some(1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count())
}

impl Settings {
    /// The file's text, which [`load`] reads back to the same settings.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::from("# Settings of molecule-mcp. A variable of the environment overrides its key.\n");
        for (key, value) in [
            ("platform_url", &self.platform_url),
            ("workspace_id", &self.workspace_id),
            ("org_id", &self.org_id),
            ("ca_file", &self.ca_file),
            ("agent_name", &self.agent_name),
            ("agent_description", &self.agent_description),
        ] {
            if let Some(value) = value {
                text.push_str(&format!("{key} = {}\n", quoted(value)));
            }
        }
        if let Some(allow) = self.allow_insecure {
            text.push_str(&format!("allow_insecure = {allow}\n"));
        }
        if let Some(skills) = &self.agent_skills {
            let skills: Vec<_> = skills.iter().map(|skill| quoted(skill)).collect();
            text.push_str(&format!("agent_skills = [{}]\n", skills.join(", ")));
        }
        text
    }

    /// The variables of the environment that say the same.
    pub(crate) fn as_variables(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("PLATFORM_URL", &self.platform_url),
            ("WORKSPACE_ID", &self.workspace_id),
            ("MOLECULE_ORG_ID", &self.org_id),
            ("MOLECULE_CA_FILE", &self.ca_file),
            ("MOLECULE_AGENT_NAME", &self.agent_name),
            ("MOLECULE_AGENT_DESCRIPTION", &self.agent_description),
        ];
        let others = [
            (
                "MOLECULE_ALLOW_INSECURE",
                self.allow_insecure.map(|allow| u8::from(allow).to_string()),
            ),
            (
                "MOLECULE_AGENT_SKILLS",
                self.agent_skills.as_ref().map(|skills| skills.join(",")),
            ),
        ];
        let texts = texts.into_iter().map(|(name, value)| (name, value.clone()));
        texts
            .chain(others)
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }

    /// The keys that both settings give, with different values.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        fn differ<T: PartialEq>(one: Option<&T>, two: Option<&T>) -> bool {
            matches!((one, two), (Some(one), Some(two)) if one != two)
        }
        [
            (
                "platform_url",
                differ(self.platform_url.as_ref(), other.platform_url.as_ref()),
            ),
            (
                "workspace_id",
                differ(self.workspace_id.as_ref(), other.workspace_id.as_ref()),
            ),
            ("org_id", differ(self.org_id.as_ref(), other.org_id.as_ref())),
            ("ca_file", differ(self.ca_file.as_ref(), other.ca_file.as_ref())),
            (
                "allow_insecure",
                differ(self.allow_insecure.as_ref(), other.allow_insecure.as_ref()),
            ),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

/// A TOML basic string.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => text.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: impl AsRef<[u8]>) -> Result<Option<Settings>, Problem> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), text).unwrap();
        load(dir.path())
    }

    #[test]
    fn a_missing_file_is_no_problem_and_an_empty_one_says_nothing() {
        assert_eq!(load(tempfile::tempdir().unwrap().path()).unwrap(), None);
        assert_eq!(load_text("").unwrap(), Some(Settings::default()));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let settings = Settings {
            platform_url: Some("https://tenant.example.com".into()),
            workspace_id: Some("ws-1".into()),
            org_id: None,
            ca_file: Some(r#"/a "b"\c"#.into()),
            allow_insecure: Some(true),
            agent_name: Some("Über\tname\n\u{7f}#=".into()),
            agent_description: Some(String::new()),
            agent_skills: Some(vec!["one".into(), "tw\"o".into()]),
        };
        assert_eq!(load_text(settings.render()).unwrap(), Some(settings));
        assert_eq!(
            load_text(Settings::default().render()).unwrap(),
            Some(Settings::default())
        );
    }

    #[test]
    fn each_broken_file_is_named_with_its_line_and_never_quoted() {
        for (text, expected) in [
            ("platform_url = \"x\"\ntok-secret\n", "not valid TOML (line 2)"),
            (
                "agent_name = \"x\"\n\ntoken = \"tok-secret\"\n",
                "unknown key or a value of the wrong type (line 3)",
            ),
            ("workspace_id = [\"tok-secret\"]", "(line 1)"),
            ("\nallow_insecure = \"tok-secret\"", "(line 2)"),
            (
                "workspace_id = \"a\"\nworkspace_id = \"tok-secret\"",
                "not valid TOML (line 2)",
            ),
        ] {
            let problem = load_text(text).unwrap_err();
            assert_eq!(problem.setting, NAME);
            assert!(problem.what.contains(expected), "{text}: {problem:?}");
            assert!(!format!("{problem:?}").contains("tok-secret"), "{problem:?}");
        }
        assert!(
            load_text(b"\n\na = \"\xff\"")
                .unwrap_err()
                .what
                .contains("UTF-8 text (line 3)")
        );
        assert!(load_text("#".repeat(70_000)).unwrap_err().what.contains("64 KiB"));
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(NAME)).unwrap();
        assert!(load(dir.path()).unwrap_err().what.contains("regular file"));
    }

    #[test]
    fn only_keys_given_twice_differ() {
        let old = Settings {
            platform_url: Some("a".into()),
            org_id: Some("o".into()),
            ..Settings::default()
        };
        let new = Settings {
            platform_url: Some("b".into()),
            workspace_id: Some("w".into()),
            ..Settings::default()
        };
        assert_eq!(old.differences(&new), ["platform_url"]);
    }
}
