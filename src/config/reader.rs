//! Reads single settings, by one set of rules, and collects everything that is wrong with them.

use std::ffi::OsString;

use super::dirs::{self, Places, StateDir};
use super::file::{Entry, Filed, Value};
use super::problem::Problem;
use super::settings::{self, Kind, Setting};

/// The variable that names the configuration file.
pub(crate) const CONFIG: &str = "MOLECULE_CONFIG";

/// Looks settings up and remembers problems and warnings in the order in which they were found.
pub(super) struct Reader<'a> {
    var: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) filed: Filed,
    /// Names settings by their variables, until [`Self::finish`].
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// A value and the variable by which its setting is known.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) name: &'static str,
}

impl<'a> Reader<'a> {
    /// One that knows no file.
    pub(super) fn new(var: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self {
            var,
            filed: Filed::default(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// One that also knows the file, and the state folder, which each may name the other. With `without_file` the one in the
    /// state folder does not count.
    pub(super) fn open(
        var: &'a dyn Fn(&str) -> Option<OsString>,
        places: &Places,
        without_file: bool,
    ) -> (Self, Option<StateDir>) {
        let mut reader = Self::new(var);
        let is_named = reader.take_named_file(places);
        let folder = reader.choose_folder(places);
        if let Some(folder) = folder.as_ref().filter(|_| !is_named && !without_file) {
            reader.filed = Filed::in_folder(folder.path(), places.home.as_deref());
        }
        (reader, folder)
    }

    /// The same for somebody who asks for a few settings only: whether the state folder can be used is not tried.
    pub(super) fn glance(var: &'a dyn Fn(&str) -> Option<OsString>, places: &Places) -> Self {
        let mut reader = Self::new(var);
        if !reader.take_named_file(places) {
            let named = reader.value(dirs::CONFIGS_DIR);
            if let Some(folder) = StateDir::locate(named.as_deref(), places) {
                reader.filed = Filed::in_folder(&folder, places.home.as_deref());
            }
        }
        reader
    }

    /// Reads the file that the person named; whether there is one.
    fn take_named_file(&mut self, places: &Places) -> bool {
        let Some(path) = self.value(CONFIG) else {
            return false;
        };
        self.filed = Filed::at(&super::check::absolute(&path), places.home.as_deref());
        true
    }

    fn choose_folder(&mut self, places: &Places) -> Option<StateDir> {
        let named = self.value(dirs::CONFIGS_DIR);
        if self.has_problem(dirs::CONFIGS_DIR) {
            return None;
        }
        StateDir::choose(named.as_deref(), places)
            .map_err(|problem| self.problem(problem))
            .ok()
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Whether something is wrong with this setting already; then nothing more is said about it.
    pub(super) fn has_problem(&self, setting: &str) -> bool {
        self.problems.iter().any(|problem| problem.setting == setting)
    }

    /// A required setting is nowhere; unless it was given and refused. A broken file might have held it, which the person
    /// should know.
    pub(super) fn missing(&mut self, setting: &str, remedy: &str) {
        if self.has_problem(setting) {
            return;
        }
        self.problem(match self.filed.problems.is_empty() {
            true => Problem::missing(setting, remedy),
            false => Problem::missing(setting, format!("{remedy}, or mend {}", self.filed.name())),
        });
    }

    /// What was found wrong and odd, with those of the file first, and each setting named as the person named it: by its
    /// variable, or by its key in the file.
    pub(super) fn finish(&mut self) -> (Vec<Problem>, Vec<String>) {
        let mut problems = std::mem::take(&mut self.filed.problems);
        problems.append(&mut self.problems);
        let mut warnings = std::mem::take(&mut self.filed.warnings);
        warnings.append(&mut self.warnings);
        for entry in self.filed.entries() {
            let name = entry.setting.name();
            if self.in_environment(entry.setting).is_some() {
                continue;
            }
            let said = format!("{} in {}", entry.setting.key.unwrap_or(name), self.filed.name());
            for problem in problems.iter_mut().filter(|problem| problem.setting == name) {
                problem.setting = said.clone();
                problem.what = format!("(line {}) {}", entry.line, problem.what);
            }
            for warning in &mut warnings {
                *warning = with_word(warning, name, &said);
            }
        }
        (problems, warnings)
    }

    /// The trimmed value of a variable; blank is unset. A value that is not UTF-8 is a problem.
    fn variable(&mut self, name: &str) -> Option<String> {
        let value = (self.var)(name)?;
        let Some(text) = value.to_str() else {
            if !self.has_problem(name) {
                self.problem(Problem::wrong(name, "is not UTF-8 text", "write it as plain text"));
            }
            return None;
        };
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The value of a setting: of the first of its variables that is set, else the one in the file.
    pub(super) fn found(&mut self, name: &str) -> Option<Found> {
        let setting = settings::named(name);
        for name in setting.names {
            if let Some(text) = self.variable(name) {
                return Some(Found { text, name });
            }
            if self.has_problem(name) {
                return None;
            }
        }
        let text = self.filed.get(setting)?.value.text(setting.kind);
        let (text, name) = (text.trim(), setting.name());
        (!text.is_empty()).then(|| Found {
            text: text.to_owned(),
            name,
        })
    }

    /// The same, when its name does not matter.
    pub(super) fn value(&mut self, name: &str) -> Option<String> {
        self.found(name).map(|found| found.text)
    }

    /// The parts of a setting that is a list.
    pub(super) fn parts(&mut self, name: &str, separators: &[char]) -> Vec<String> {
        let setting = settings::named(name);
        let text = self.value(name).unwrap_or_default();
        let parts = match self.filed_entry(setting) {
            Some(Entry {
                value: Value::Several(parts),
                ..
            }) => parts.clone(),
            _ => text.split(separators).map(str::to_owned).collect(),
        };
        let parts = parts.iter().map(|part| part.trim().to_owned());
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// The first of its variables that is set.
    pub(super) fn in_environment(&self, setting: &Setting) -> Option<&'static str> {
        let is_set = |name: &&&str| {
            (self.var)(name).is_some_and(|value| value.to_str().is_none_or(|text| !text.trim().is_empty()))
        };
        setting.names.iter().find(is_set).copied()
    }

    /// What the file says of it, unless a variable overrides that.
    pub(super) fn filed_entry(&self, setting: &Setting) -> Option<&Entry> {
        let entry = self.filed.get(setting)?;
        self.in_environment(setting).is_none().then_some(entry)
    }

    /// The value of a variable that is only repeated to others; whatever it is, it is no problem.
    pub(super) fn echoed(&self, name: &str) -> String {
        let value = (self.var)(settings::named(name).name()).unwrap_or_default();
        value.to_string_lossy().trim().to_owned()
    }

    /// Whether a setting is given, whatever it is.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let setting = settings::named(name);
        let is_filed = |entry: &Entry| !entry.value.text(setting.kind).trim().is_empty();
        self.in_environment(setting).is_some() || self.filed.get(setting).is_some_and(is_filed)
    }

    /// A switch of the original, where any value that is not blank counts.
    pub(super) fn any_value(&mut self, name: &str) -> bool {
        let Some(value) = self.value(name) else {
            return false;
        };
        if matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off") {
            self.warn(format!(
                "{name} is set to what reads like no, but any value counts as yes; unset it to mean no."
            ));
        }
        true
    }

    /// A switch that takes 1 or 0. `None` when it is unset.
    pub(super) fn one_or_zero(&mut self, name: &str) -> Option<bool> {
        match self.value(name)?.as_str() {
            "1" => Some(true),
            "0" => Some(false),
            _ => {
                self.problem(Problem::wrong(
                    name,
                    "must be 1 or 0",
                    "set it to 1, or leave it out for 0",
                ));
                None
            }
        }
    }

    /// A whole number within the bounds of its setting.
    pub(super) fn whole(&mut self, name: &str) -> u32 {
        let Kind::Whole(least, most, usual) = settings::named(name).kind else {
            unreachable!("{name} is no whole number by the table of settings");
        };
        let Some(value) = self.value(name) else {
            return usual;
        };
        match value.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.problem(Problem::wrong(
                    name,
                    format!("must be a whole number from {least} to {most}"),
                    format!("mend it, or leave it out for {usual}"),
                ));
                usual
            }
        }
    }
}

/// A sentence with another word for this one.
fn with_word(sentence: &str, word: &str, other: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut text = String::new();
    let mut rest = sentence;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let is_whole = !before.ends_with(is_part) && !after.starts_with(is_part);
        text.push_str(before);
        text.push_str(if is_whole { other } else { word });
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(value: &'static str) -> impl Fn(&str) -> Option<OsString> {
        move |_| Some(value.into())
    }

    /// A file with this text.
    fn filed(text: &str) -> Filed {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("molecule.toml");
        std::fs::write(&path, text).unwrap();
        Filed::in_folder(dir.path(), None)
    }

    #[test]
    fn whole_numbers_outside_the_range_are_refused_without_being_shown() {
        for (value, expected) in [
            ("10", Some(10)),
            (" 86400 ", Some(86_400)),
            ("  ", Some(600)),
            ("9", None),
            ("86401", None),
            ("-50", None),
            ("60.5", None),
            ("99999999999", None),
            ("sixty", None),
        ] {
            let var = value_of(value);
            let mut reader = Reader::new(&var);
            let number = reader.whole("MOLECULE_LEASE_SECS");
            match expected {
                Some(expected) => assert_eq!((number, reader.problems.len()), (expected, 0), "{value}"),
                None => {
                    let problem = &reader.problems[0];
                    assert!(problem.what.contains("from 10 to 86400") && problem.remedy.contains("600"));
                    assert!(!format!("{problem:?}").contains("sixty"));
                }
            }
        }
    }

    #[test]
    fn strict_switches_take_one_or_zero_and_loose_ones_any_value() {
        for (value, strict, loose) in [
            ("1", Ok(Some(true)), true),
            ("0", Ok(Some(false)), true),
            ("", Ok(None), false),
            (" \t", Ok(None), false),
            ("true", Err(()), true),
        ] {
            let var = value_of(value);
            let mut reader = Reader::new(&var);
            let read = reader.one_or_zero("MOLECULE_MCP_READ_ONLY");
            let read = if reader.problems.is_empty() { Ok(read) } else { Err(()) };
            assert_eq!(read, strict, "{value:?}");
            assert_eq!(reader.any_value("MOLECULE_MCP_DISABLE_INBOX"), loose, "{value:?}");
            assert_eq!(!reader.warnings.is_empty(), value == "0", "{value:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_one_problem_and_not_also_missing() {
        use std::os::unix::ffi::OsStringExt as _;
        let var = |_: &str| Some(OsString::from_vec(vec![b'a', 0xff]));
        let mut reader = Reader::new(&var);
        reader.filed = filed("workspace_id = \"filed\"");
        assert!(reader.found("WORKSPACE_ID").is_none());
        assert!(reader.value("WORKSPACE_ID").is_none());
        reader.missing("WORKSPACE_ID", "set it");
        assert_eq!(reader.problems.len(), 1);
        assert!(reader.problems[0].what.contains("UTF-8"));
    }

    #[test]
    fn the_environment_wins_over_the_file_and_blank_is_unset_in_both() {
        for (value, text, expected) in [
            ("env", "org_id = \"file\"", Some("env")),
            (" ", "org_id = \" file \"", Some("file")),
            ("", "org_id = \"  \"", None),
            ("", "", None),
        ] {
            let var = value_of(value);
            let mut reader = Reader::new(&var);
            reader.filed = filed(text);
            assert_eq!(reader.value("MOLECULE_ORG_ID").as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn any_variable_of_a_setting_wins_over_its_key_and_is_told_by_its_own_name() {
        let var = |name: &str| (name == "MOLECULE_ORG").then(|| "env".into());
        let mut reader = Reader::new(&var);
        reader.filed = filed("org_id = \"file\"\nagent_skills = [\"a, b\", \" c \"]\n");
        let found = reader.found("MOLECULE_ORG_ID").unwrap();
        assert_eq!((found.text.as_str(), found.name), ("env", "MOLECULE_ORG"));
        assert_eq!(reader.parts("MOLECULE_AGENT_SKILLS", &[',']), ["a, b", "c"]);
        let var = value_of("x, ,y");
        reader.var = &var;
        assert_eq!(reader.parts("MOLECULE_AGENT_SKILLS", &[',']), ["x", "y"]);
    }

    #[test]
    fn what_is_wrong_is_named_as_the_person_named_it() {
        let var = |name: &str| (name == "DELEGATION_TIMEOUT").then(|| "soon".into());
        let mut reader = Reader::new(&var);
        reader.filed = filed("delegation_timeout = 1\n\nlease_secs = 5\n");
        reader.whole("MOLECULE_LEASE_SECS");
        reader.problem(Problem::wrong("DELEGATION_TIMEOUT", "must be a number", "mend it"));
        reader.warn("MOLECULE_LEASE_SECS is odd, MOLECULE_LEASE_SECS_X is not; DELEGATION_TIMEOUT is.");
        let (problems, warnings) = reader.finish();
        assert_eq!(problems[0].setting, "lease_secs in molecule.toml");
        assert!(problems[0].what.starts_with("(line 3) must be a whole"));
        assert_eq!(problems[1].setting, "DELEGATION_TIMEOUT");
        assert_eq!(
            warnings,
            ["lease_secs in molecule.toml is odd, MOLECULE_LEASE_SECS_X is not; DELEGATION_TIMEOUT is."]
        );
    }
}
