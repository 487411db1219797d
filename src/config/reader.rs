//! Reads single settings, by one set of rules, and collects everything that is wrong with them.

use std::ffi::OsString;
use std::ops::RangeInclusive;

use super::problem::Problem;

/// Looks variables up and remembers problems and warnings in the order in which they were found.
pub(super) struct Reader<'a> {
    var: &'a dyn Fn(&str) -> Option<OsString>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// A value and where it came from, as a person would name it.
pub(super) struct Found {
    pub(super) text: String,
    pub(super) setting: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(var: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        Self {
            var,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
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

    /// A required setting is nowhere; unless it was given and refused.
    pub(super) fn missing(&mut self, setting: &str, remedy: &str) {
        if !self.has_problem(setting) {
            self.problem(Problem::missing(setting, remedy));
        }
    }

    /// The trimmed value of a variable; blank is unset. A value that is not UTF-8 is a problem.
    pub(super) fn variable(&mut self, name: &str) -> Option<String> {
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

    /// The value of a variable that is only repeated to others; whatever it is, it is no problem.
    pub(super) fn echoed(&self, name: &str) -> String {
        let value = (self.var)(name).unwrap_or_default();
        value.to_string_lossy().trim().to_owned()
    }

    /// Whether a variable has a value that is not blank, of whatever kind.
    pub(super) fn is_set(&self, name: &str) -> bool {
        (self.var)(name).is_some_and(|value| value.to_str().is_none_or(|text| !text.trim().is_empty()))
    }

    /// A variable or, where that is unset, a key of the file.
    pub(super) fn setting(&mut self, name: &str, key: &str, filed: Option<&String>) -> Option<Found> {
        if let Some(text) = self.variable(name) {
            return Some(Found {
                text,
                setting: name.to_owned(),
            });
        }
        let text = filed?.trim();
        (!text.is_empty() && !self.has_problem(name)).then(|| Found {
            text: text.to_owned(),
            setting: format!("{key} in {}", super::file::NAME),
        })
    }

    /// A switch of the original, where any value that is not blank counts.
    pub(super) fn any_value(&mut self, name: &str) -> bool {
        let Some(value) = self.variable(name) else {
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
        match self.variable(name)?.as_str() {
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

    /// A whole number within a range.
    pub(super) fn whole(&mut self, name: &str, range: RangeInclusive<u32>, default: u32) -> u32 {
        let Some(value) = self.variable(name) else {
            return default;
        };
        match value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.problem(Problem::wrong(
                    name,
                    format!("must be a whole number from {} to {}", range.start(), range.end()),
                    format!("mend it, or leave it out for {default}"),
                ));
                default
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(value: &'static str) -> impl Fn(&str) -> Option<OsString> {
        move |_| Some(value.into())
    }

    #[test]
    fn whole_numbers_outside_the_range_are_refused_without_being_shown() {
        for (value, expected) in [
            ("5", Some(5)),
            (" 10 ", Some(10)),
            ("  ", Some(7)),
            ("4", None),
            ("11", None),
            ("-5", None),
            ("6.5", None),
            ("99999999999", None),
            ("six", None),
        ] {
            let var = value_of(value);
            let mut reader = Reader::new(&var);
            let number = reader.whole("LIMIT", 5..=10, 7);
            match expected {
                Some(expected) => assert_eq!((number, reader.problems.len()), (expected, 0), "{value}"),
                None => {
                    let problem = &reader.problems[0];
                    assert!(problem.what.contains("from 5 to 10") && problem.remedy.contains('7'));
                    assert!(!format!("{problem:?}").contains("six"));
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
            let read = reader.one_or_zero("STRICT");
            let read = if reader.problems.is_empty() { Ok(read) } else { Err(()) };
            assert_eq!(read, strict, "{value:?}");
            assert_eq!(reader.any_value("LOOSE"), loose, "{value:?}");
            assert_eq!(!reader.warnings.is_empty(), value == "0", "{value:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_one_problem_and_not_also_missing() {
        use std::os::unix::ffi::OsStringExt as _;
        let var = |_: &str| Some(OsString::from_vec(vec![b'a', 0xff]));
        let mut reader = Reader::new(&var);
        assert!(reader.setting("NAME", "name", Some(&"filed".to_owned())).is_none());
        assert!(reader.variable("NAME").is_none());
        reader.missing("NAME", "set it");
        assert_eq!(reader.problems.len(), 1);
        assert!(reader.problems[0].what.contains("UTF-8"));
    }

    #[test]
    fn the_environment_wins_over_the_file_and_blank_is_unset_in_both() {
        for (value, filed, expected) in [
            ("env", Some("file"), Some(("env", "NAME"))),
            (" ", Some(" file "), Some(("file", "name in molecule.toml"))),
            ("", Some("  "), None),
            ("", None, None),
        ] {
            let var = value_of(value);
            let filed = filed.map(str::to_owned);
            let found = Reader::new(&var).setting("NAME", "name", filed.as_ref());
            let found = found
                .as_ref()
                .map(|found| (found.text.as_str(), found.setting.as_str()));
            assert_eq!(found, expected, "{value:?}");
        }
    }
}
