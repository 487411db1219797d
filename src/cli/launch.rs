//! How another program starts this one: its absolute path, and the environment that makes it join the workspace this
//! process would join. No credential is in it: the token stays in its file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::{CONFIG, Checked, Existing, Fault, Places, TOKEN, TOKEN_FILE, check, explain};

/// The list of workspaces holds their tokens.
const WORKSPACES: &str = "MOLECULE_WORKSPACES";

/// Settings without a credential that are passed on when they are set here. `CONFIGS_DIR` always is.
const PASSED_ON: [&str; 20] = [
    CONFIG,
    "PLATFORM_URL",
    "WORKSPACE_ID",
    TOKEN_FILE,
    "MOLECULE_ORG_ID",
    "MOLECULE_ORGANIZATION_ID",
    "MOLECULE_ORG",
    "MOLECULE_ALLOW_INSECURE",
    "MOLECULE_CA_FILE",
    "MOLECULE_AGENT_NAME",
    "MOLECULE_AGENT_DESCRIPTION",
    "MOLECULE_AGENT_SKILLS",
    "MOLECULE_ATTACH_ROOTS",
    "MOLECULE_CHAT_UPLOAD_DIR",
    "MOLECULE_HTTP",
    "MOLECULE_HTTP_MCP",
    "MOLECULE_LEASE_SECS",
    "MOLECULE_MCP_PROTOCOL",
    "MOLECULE_MCP_READ_ONLY",
    "MOLECULE_MCP_TOOLSETS",
];

/// What starts this program for one workspace.
#[derive(Debug)]
pub(crate) struct Launch {
    /// Absolute path of the program.
    pub(crate) program: PathBuf,
    /// What has to be in its environment, `CONFIGS_DIR` first.
    pub(crate) env: Vec<(String, String)>,
    /// The whole configuration it will have.
    pub(crate) checked: Checked,
    /// Whether its state folder is found without being named.
    pub(crate) is_usual: bool,
}

impl Launch {
    /// What would start the workspace that this process was told about. Changes nothing.
    ///
    /// # Errors
    /// A text for stderr with everything that would keep it from starting.
    pub(crate) fn of(var: &dyn Fn(&str) -> Option<OsString>, places: &Places) -> Result<Self, String> {
        // Just what the other program will be given: what works here only by a variable that is not passed on must fail.
        let passed = |name: &str| (name == "CONFIGS_DIR" || PASSED_ON.contains(&name)).then(|| var(name))?;
        let checked = check(&passed, places, Existing::Used).map_err(|problems| {
            let mut text = explain(&problems);
            let hidden = [TOKEN, WORKSPACES].into_iter().find(|name| var(name).is_some());
            if let Some(name) = hidden
                && problems.iter().any(|problem| problem.fault == Fault::Missing)
            {
                text.push_str(&format!(
                    "{name} is set here, but tokens are not written into other programs' files: run `molecule-mcp init` \
                     first, which keeps the token in a file for your eyes only\n"
                ));
            }
            text
        })?;
        let folder = &checked.config().state_dir;
        let mut env = vec![("CONFIGS_DIR".to_owned(), text(folder, "CONFIGS_DIR")?)];
        for name in PASSED_ON {
            let Some(value) = var(name).filter(|value| !value.to_string_lossy().trim().is_empty()) else {
                continue;
            };
            let mut value = text(Path::new(&value), name)?;
            if [CONFIG, TOKEN_FILE, "MOLECULE_CA_FILE"].contains(&name) {
                // The other program has another working directory.
                let absolute = std::path::absolute(&value).map_err(|error| format!("{name}: {error}\n"))?;
                value = text(&absolute, name)?;
            }
            env.push((name.to_owned(), value));
        }
        Ok(Self {
            program: program(var),
            env,
            is_usual: places.finds(folder),
            checked,
        })
    }
}

fn text(value: &Path, name: &str) -> Result<String, String> {
    let text = value.to_str().filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned)
        .ok_or_else(|| format!("{name} holds bytes that a configuration file cannot hold\n"))
}

/// Where this program is. A link to it that is on the `PATH` is better than the file it leads to, which may be named after
/// its version.
pub(crate) fn program(var: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    find(std::env::current_exe().ok().map(still_there), var("PATH").as_ref())
}

/// Where a program was that has been replaced since it was started: Linux marks its path then.
fn still_there(running: PathBuf) -> PathBuf {
    let replaced = running
        .to_str()
        .and_then(|path| path.strip_suffix(" (deleted)"))
        .map(PathBuf::from);
    replaced
        .filter(|path| path.is_file() && !running.exists())
        .unwrap_or(running)
}

fn find(running: Option<PathBuf>, path: Option<&OsString>) -> PathBuf {
    let name = format!("molecule-mcp{}", std::env::consts::EXE_SUFFIX);
    let Some(running) = running else {
        return PathBuf::from(name);
    };
    let same = |candidate: &PathBuf| {
        let (candidate, running) = (candidate.canonicalize(), running.canonicalize());
        matches!((candidate, running), (Ok(candidate), Ok(running)) if candidate == running)
    };
    path.into_iter()
        .flat_map(std::env::split_paths)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&name))
        .find(same)
        .unwrap_or(running)
}

#[cfg(test)]
#[cfg(unix)]
pub(crate) mod tests {
    use std::collections::HashMap;
    use std::fs;

    use super::*;

    /// A user's home folder and environment.
    pub(crate) struct Home {
        root: tempfile::TempDir,
        pub(crate) env: HashMap<&'static str, OsString>,
    }

    impl Home {
        pub(crate) fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let env = HashMap::from([
                ("PLATFORM_URL", "http://127.0.0.1:9".into()),
                ("WORKSPACE_ID", "0a1b2c3d-0000-4000-8000-000000000000".into()),
            ]);
            Self { root, env }
        }
        pub(crate) fn launch(&self) -> Result<Launch, String> {
            let places = Places {
                home: Some(self.root.path().to_owned()),
                managed: self.root.path().join("none"),
                workspace: self.root.path().join("none"),
                current: None,
            };
            Launch::of(&|name| self.env.get(name).cloned(), &places)
        }
        pub(crate) fn keep_token(&self) {
            fs::create_dir(self.root.path().join(".molecule-workspace")).unwrap();
            fs::write(self.root.path().join(".molecule-workspace/.auth_token"), "tok-kept").unwrap();
        }
    }

    #[test]
    fn what_is_set_here_is_passed_on_and_the_folder_always() {
        let mut home = Home::new();
        home.keep_token();
        home.env.insert("MOLECULE_AGENT_NAME", "Ann".into());
        home.env.insert("MOLECULE_API_KEY", "tok-key".into());
        home.env.insert("MOLECULE_MCP_MODE", "management".into());
        let launch = home.launch().unwrap();
        let names: Vec<_> = launch.env.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["CONFIGS_DIR", "PLATFORM_URL", "WORKSPACE_ID", "MOLECULE_AGENT_NAME"]
        );
        assert!(launch.is_usual && launch.env[0].1.ends_with("/.molecule-workspace"));
        assert!(!format!("{:?}", launch.env).contains("tok-"));
    }

    #[test]
    fn a_token_that_is_only_in_a_variable_is_refused_with_the_way_out() {
        let mut home = Home::new();
        home.env.insert(TOKEN, "tok-inline".into());
        let refused = home.launch().unwrap_err();
        for part in [TOKEN, "molecule-mcp init"] {
            assert!(refused.contains(part), "{refused}");
        }
        assert!(!refused.contains("tok-inline"), "{refused}");
        home.keep_token();
        assert!(home.launch().is_ok(), "a file beside the variable is what counts");
    }

    #[test]
    fn a_link_on_the_path_is_preferred_to_the_file_behind_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["cellar", "bin", "other"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("cellar/molecule-mcp"), "this").unwrap();
        fs::write(at("other/molecule-mcp"), "another").unwrap();
        let path = std::env::join_paths([at("other"), at("bin")]).unwrap();
        let found = || find(Some(at("cellar/molecule-mcp")), Some(&path));
        assert_eq!(found(), at("cellar/molecule-mcp"));
        std::os::unix::fs::symlink(at("cellar/molecule-mcp"), at("bin/molecule-mcp")).unwrap();
        assert_eq!(found(), at("bin/molecule-mcp"));
    }

    #[test]
    fn a_program_that_was_replaced_is_where_it_was() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("molecule-mcp");
        let marked = root.path().join("molecule-mcp (deleted)");
        assert_eq!(still_there(marked.clone()), marked, "nothing is there");
        fs::write(&program, "").unwrap();
        assert_eq!(still_there(marked.clone()), program);
        fs::write(&marked, "").unwrap();
        assert_eq!(still_there(marked.clone()), marked, "it is really called so");
    }

    /// What is passed on is read by somebody, and is no credential.
    #[test]
    fn every_setting_that_is_passed_on_exists() {
        let read = std::sync::Mutex::new(Vec::new());
        let _ = crate::config::Config::read(|name| {
            read.lock().unwrap().push(name.to_owned());
            None
        });
        let read = read.into_inner().unwrap();
        for name in PASSED_ON {
            assert!(read.iter().any(|read| read == name), "{name}");
            assert!(
                !name.contains("KEY") && (!name.contains("TOKEN") || name == TOKEN_FILE),
                "{name}"
            );
        }
    }
}
