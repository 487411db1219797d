//! Which of the places that may hold the token counts, and what is said about the others.

use std::path::PathBuf;

use super::file::{self, Unreadable};
use super::{Place, TokenSource};
use crate::config::problem::Problem;
use crate::config::{TOKEN, TOKEN_FILE};
use crate::state::secret::AUTH_TOKEN;
use crate::types::Secret;

/// Everything that was given.
#[derive(Debug, Default)]
pub(in crate::config) struct Given {
    /// `MOLECULE_WORKSPACE_TOKEN`.
    pub(in crate::config) variable: Option<String>,
    /// `MOLECULE_WORKSPACE_TOKEN_FILE`.
    pub(in crate::config) file: Option<PathBuf>,
    /// The state folder, if there is a usable one.
    pub(in crate::config) dir: Option<PathBuf>,
    /// The `.auth_token` in it is about to be replaced and does not count.
    pub(in crate::config) without_stored: bool,
    /// The state folder is managed by the platform, which writes new tokens to `.auth_token`.
    pub(in crate::config) stored_first: bool,
    /// No token is no problem: register will bring one.
    pub(in crate::config) bootstrap: bool,
}

/// One place and what it gave.
struct Candidate {
    place: Place,
    outcome: Result<Secret, Problem>,
    /// Nothing there at all, as opposed to something unusable.
    absent: bool,
}

impl Given {
    /// Decides. The order is variable, named file, stored file, and the first that was given counts, usable or not;
    /// a platform-managed stored file comes before all if it is usable. `None` after a problem was added.
    pub(in crate::config) fn resolve(
        self,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> Option<TokenSource> {
        let mut candidates = Vec::new();
        if let Some(text) = &self.variable {
            candidates.push(from_variable(text));
        }
        if let Some(path) = &self.file {
            candidates.push(from_file(Place::Named(path.clone()), warnings));
        }
        let stored_dir = self.dir.as_ref().filter(|_| !self.without_stored);
        if let Some(dir) = stored_dir {
            let stored = from_file(Place::Stored(dir.join(AUTH_TOKEN)), warnings);
            if self.stored_first && (stored.outcome.is_ok() || (candidates.is_empty() && !stored.absent)) {
                candidates.insert(0, stored);
            } else if !stored.absent {
                candidates.push(stored);
            }
        }
        let mut candidates = candidates.into_iter();
        let Some(winner) = candidates.next() else {
            if self.bootstrap
                && let Some(dir) = &self.dir
            {
                return Some(TokenSource::bootstrapping(dir));
            }
            problems.push(Problem::missing(
                TOKEN,
                format!(
                    "make a token in the canvas, \"Tokens\" tab of the workspace, and set it here, or put it into a \
                     file: {TOKEN_FILE}=<path>, or {AUTH_TOKEN} in the state folder"
                ),
            ));
            return None;
        };
        let token = match winner.outcome {
            Ok(token) => token,
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        };
        let name = winner.place.setting();
        let mut fallback = None;
        for loser in candidates {
            let other = loser.place.setting();
            match loser.outcome {
                Ok(token_there) if token_there != token => {
                    warnings.push(format!(
                        "{name} and {other} hold different tokens; the one of {name} is used."
                    ));
                }
                Ok(_) => {}
                Err(problem) => {
                    warnings.push(format!("{other} {}; the token of {name} is used.", problem.what));
                }
            }
            fallback.get_or_insert(loser.place);
        }
        let managed = stored_dir.filter(|_| self.stored_first);
        let places = match (managed, winner.place) {
            // In a managed folder the stored file may come and go; what was given besides is what remains then.
            (Some(_), stored @ Place::Stored(_)) => [Some(stored), fallback].into_iter().flatten().collect(),
            (Some(dir), given) => vec![Place::Stored(dir.join(AUTH_TOKEN)), given],
            (None, place) => vec![place],
        };
        Some(TokenSource::holding(places, token, self.dir))
    }
}

fn from_variable(text: &str) -> Candidate {
    let outcome = Secret::parse(text);
    let problem = |refused| Problem::wrong(TOKEN, format!("{refused}"), "set it to exactly one token");
    Candidate {
        place: Place::Variable(TOKEN, outcome.clone().ok()),
        outcome: outcome.map_err(problem),
        absent: false,
    }
}

fn from_file(place: Place, warnings: &mut Vec<String>) -> Candidate {
    let setting = place.setting();
    let read = place.path().map_or(Err(Unreadable::Missing), file::read);
    if read.as_ref().is_ok_and(|read| read.exposed) {
        warnings.push(format!(
            "The token file of {setting} can be read by other users of this computer; give it mode 0600."
        ));
    }
    Candidate {
        absent: matches!(read, Err(Unreadable::Missing)),
        outcome: read.map(|read| read.token).map_err(|reason| {
            let what = match place {
                // The setting is the file itself here.
                Place::Stored(_) => {
                    reason
                        .to_string()
                        .replacen("names a file", "is a file", 1)
                        .replacen("does not name", "is not", 1)
                }
                _ => reason.to_string(),
            };
            Problem::wrong(setting, what, reason.remedy())
        }),
        place,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(stored: Option<&str>, named: Option<&str>) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for (name, content) in [(AUTH_TOKEN, stored), ("named", named)] {
                if let Some(content) = content {
                    fs::write(folder.0.path().join(name), content).unwrap();
                    private(&folder.0.path().join(name));
                }
            }
            folder
        }
        fn given(&self) -> Given {
            Given {
                dir: Some(self.0.path().to_owned()),
                ..Given::default()
            }
        }
        fn named(&self) -> Option<PathBuf> {
            Some(self.0.path().join("named"))
        }
    }

    fn private(path: &std::path::Path) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let _ = path;
    }

    fn resolve(given: Given) -> (Option<String>, Vec<Problem>, Vec<String>) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let source = given.resolve(&mut problems, &mut warnings);
        let token = source.and_then(|source| source.current());
        (token.map(|token| token.expose().to_owned()), problems, warnings)
    }

    #[test]
    fn the_first_given_place_counts() {
        let folder = Folder::new(Some("tok-stored"), Some("tok-file"));
        for (variable, file, managed, expected) in [
            (Some("tok-inline"), true, false, "tok-inline"),
            (Some("tok-inline"), false, false, "tok-inline"),
            (None, true, false, "tok-file"),
            (None, false, false, "tok-stored"),
            (Some("tok-inline"), true, true, "tok-stored"),
            (None, true, true, "tok-stored"),
        ] {
            let (token, problems, warnings) = resolve(Given {
                variable: variable.map(str::to_owned),
                file: folder.named().filter(|_| file),
                stored_first: managed,
                ..folder.given()
            });
            assert_eq!(token.as_deref(), Some(expected));
            assert!(problems.is_empty());
            let losers = usize::from(variable.is_some()) + usize::from(file);
            assert_eq!(warnings.len(), losers, "{warnings:?}");
            for warning in warnings {
                assert!(warning.contains("different tokens"), "{warning}");
                assert!(!warning.contains("tok-"), "{warning}");
            }
        }
    }

    #[test]
    fn a_managed_file_that_is_missing_or_unusable_yields_to_what_was_given() {
        for (stored, warned) in [(None, 0), (Some(""), 1), (Some("two words"), 1)] {
            let folder = Folder::new(stored, None);
            let (token, problems, warnings) = resolve(Given {
                variable: Some("inline".into()),
                stored_first: true,
                ..folder.given()
            });
            assert_eq!((token.as_deref(), problems.len()), (Some("inline"), 0));
            assert_eq!(warnings.len(), warned, "{warnings:?}");
        }
    }

    #[test]
    fn an_unusable_place_is_a_problem_and_nothing_behind_it_is_used() {
        let folder = Folder::new(Some("stored"), Some(" \n"));
        let cases = [
            (Some("in line"), None, TOKEN, "white space"),
            (None, folder.named(), TOKEN_FILE, "is empty"),
            (None, Some(folder.0.path().join("none")), TOKEN_FILE, "does not exist"),
            (None, Some(folder.0.path().to_owned()), TOKEN_FILE, "regular file"),
        ];
        for (variable, file, setting, expected) in cases {
            let (token, problems, _) = resolve(Given {
                variable: variable.map(str::to_owned),
                file,
                bootstrap: true,
                ..folder.given()
            });
            assert_eq!(token, None);
            assert_eq!(problems.len(), 1);
            assert_eq!(problems[0].setting, setting);
            assert!(problems[0].what.contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn a_stored_file_that_is_there_but_unusable_is_named_as_the_file() {
        for managed in [false, true] {
            for (content, expected) in [("", "is a file that is empty"), ("a b", "is a file with white space")] {
                let folder = Folder::new(Some(content), None);
                let (token, problems, _) = resolve(Given {
                    stored_first: managed,
                    bootstrap: true,
                    ..folder.given()
                });
                assert_eq!(token, None);
                assert!(problems[0].setting.contains(AUTH_TOKEN), "{problems:?}");
                assert!(problems[0].what.contains(expected), "{problems:?}");
            }
        }
    }

    #[test]
    fn no_token_is_a_problem_unless_bootstrapping() {
        let folder = Folder::new(None, None);
        let (_, problems, _) = resolve(folder.given());
        assert_eq!(problems[0].setting, TOKEN);
        assert!(problems[0].remedy.contains("Tokens") && problems[0].remedy.contains(TOKEN_FILE));
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let given = Given {
            bootstrap: true,
            ..folder.given()
        };
        let source = given.resolve(&mut problems, &mut warnings).unwrap();
        assert_eq!(source.current(), None);
        assert!(problems.is_empty());
    }

    #[test]
    fn equal_tokens_in_several_places_are_not_worth_a_word() {
        let folder = Folder::new(Some("same\n"), Some(" same"));
        let (_, problems, warnings) = resolve(Given {
            variable: Some("same".into()),
            file: folder.named(),
            ..folder.given()
        });
        assert!(problems.is_empty() && warnings.is_empty(), "{warnings:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_token_file_that_others_may_read_is_warned_about() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Folder::new(Some("stored"), None);
        let path = folder.0.path().join(AUTH_TOKEN);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let (token, _, warnings) = resolve(folder.given());
        assert_eq!(token.as_deref(), Some("stored"));
        assert!(warnings[0].contains("0600"), "{warnings:?}");
    }
}
