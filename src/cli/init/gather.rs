//! Collects what `init` needs: flags first, then the environment and earlier files, then the person at the terminal.

use std::collections::HashMap;
use std::ffi::OsString;

use super::ask::Ask;
use super::{InitArgs, InitFailure};
use crate::config::{Checked, Existing, Fault, Places, Problem, TOKEN, TOKEN_FILE, check, file};

/// How often a person is asked for the same thing.
const TRIES: usize = 3;

/// Settings that can be asked for, in the order of the questions: variable, flag, question.
const ASKED: [(&str, &str, &str); 3] = [
    (
        "PLATFORM_URL",
        "--url",
        "Address of the platform (such as https://tenant.example.com)",
    ),
    ("WORKSPACE_ID", "--id", "Workspace id (as the canvas shows it)"),
    (
        TOKEN,
        "--token-file",
        "Workspace token (canvas, \"Tokens\" tab; not shown while you type)",
    ),
];

/// The environment as `init` sees it: flags and answers lie over it.
struct Overlay<'a> {
    below: &'a dyn Fn(&str) -> Option<OsString>,
    over: HashMap<&'static str, OsString>,
    hidden: Vec<&'static str>,
}

impl<'a> Overlay<'a> {
    fn new(args: &InitArgs, below: &'a dyn Fn(&str) -> Option<OsString>) -> Self {
        let mut overlay = Self {
            below,
            over: HashMap::new(),
            // A list of workspaces belongs to another way of setting up.
            hidden: vec!["MOLECULE_WORKSPACES"],
        };
        let flags = [
            ("PLATFORM_URL", args.url.as_ref().map(OsString::from)),
            ("WORKSPACE_ID", args.id.as_ref().map(OsString::from)),
            ("MOLECULE_ORG_ID", args.org_id.as_ref().map(OsString::from)),
            (TOKEN_FILE, args.token_file.clone().map(OsString::from)),
            ("CONFIGS_DIR", args.configs_dir.clone().map(OsString::from)),
            ("MOLECULE_BOOTSTRAP", args.bootstrap.then(|| "1".into())),
        ];
        for (name, value) in flags {
            if let Some(value) = value {
                overlay.over.insert(name, value);
            }
        }
        if args.token_file.is_some() {
            overlay.hidden.push(TOKEN);
        }
        overlay
    }

    fn get(&self, name: &str) -> Option<OsString> {
        let given = self.over.get(name).cloned();
        given.or_else(|| (!self.hidden.contains(&name)).then(|| (self.below)(name))?)
    }
}

/// A checked configuration out of everything there is. With nobody to ask, what is missing is an error.
pub(super) fn gather(
    args: &InitArgs,
    var: &dyn Fn(&str) -> Option<OsString>,
    places: &Places,
    mut person: Option<&mut dyn Ask>,
) -> Result<Checked, InitFailure> {
    let existing = if args.force { Existing::Ignored } else { Existing::Used };
    let mut overlay = Overlay::new(args, var);
    let mut asked = Vec::new();
    for round in 0.. {
        let problems = match check(&|name| overlay.get(name), places, existing) {
            Ok(checked) => return Ok(checked),
            Err(problems) => problems,
        };
        let answerable = |problem: &Problem| {
            asked.contains(&problem.setting)
                || (problem.fault == Fault::Missing && ASKED.iter().any(|(name, ..)| *name == problem.setting))
        };
        let (Some(person), true) = (person.as_deref_mut(), problems.iter().all(answerable) && round < TRIES) else {
            return Err(InitFailure::config(&explain(&problems)));
        };
        for (name, _, question) in ASKED {
            let Some(problem) = problems.iter().find(|problem| problem.setting == name) else {
                continue;
            };
            if round > 0 {
                person.tell(&format!("That {}.", problem.what));
            }
            let answer = if name == TOKEN {
                person.hidden(question)
            } else {
                person.line(question)
            };
            let answer = answer.map_err(|error| {
                InitFailure::config(&format!("{name} was asked for and not answered ({})", error.kind()))
            })?;
            overlay.over.insert(name, answer.into());
            asked.push(problem.setting.clone());
        }
    }
    unreachable!("the loop ends by itself after a bounded number of rounds")
}

/// All problems, with the flag beside the variable where there is one.
fn explain(problems: &[Problem]) -> String {
    let lines = problems.iter().map(
        |Problem {
             setting, what, remedy, ..
         }| {
            let flag = match setting.as_str() {
                "CONFIGS_DIR" => " (--configs-dir)",
                "MOLECULE_WORKSPACE_TOKEN_FILE" => " (--token-file)",
                "WORKSPACE_ID" => " (--id)",
                "PLATFORM_URL" => " (--url)",
                TOKEN => " (or --token-file, or --bootstrap for a workspace that has no token yet)",
                name if name.ends_with(file::NAME) || name.ends_with(file::OTHER_NAME) => " (--force starts anew)",
                _ => "",
            };
            format!("\n  {setting}{flag} {what}: {remedy}")
        },
    );
    format!("the settings need attention:{}", lines.collect::<String>())
}
