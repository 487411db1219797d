//! The configuration of a process without a workspace: `MOLECULE_MCP_MODE=management` or `ops`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::access::Access;
use super::dirs::{Places, StateDir};
use super::problem::Problem;
use super::proxy::Route;
use super::reader::Reader;
use super::settings::Log;
use super::shown::{Mode, Shown};
use super::{McpProtocol, Timing, check};

/// A whole, checked configuration for managing a tenant. No workspace variable takes part.
#[derive(Clone, Debug)]
pub struct Management {
    /// The keys and where they are valid.
    pub access: Access,
    /// The tools to show.
    pub shown: Shown,
    /// `MOLECULE_ORG_ID`, alias `MOLECULE_ORGANIZATION_ID`, `MOLECULE_ORG`.
    pub org_id: Option<String>,
    /// The folder of the audit record and of minted tokens, made and writable.
    pub state_dir: PathBuf,
    /// `MOLECULE_MCP_PROTOCOL`.
    pub protocol: McpProtocol,
    /// How it is reached.
    pub route: Route,
    /// What is logged, and where.
    pub log: Log,
    /// Shortened by `MOLECULE_TEST_SPEED` in tests.
    pub timing: Timing,
    /// Things worth a warning in the log.
    pub warnings: Vec<String>,
}

impl Management {
    /// Reads and checks the configuration; makes the state folder. Sends nothing.
    ///
    /// # Errors
    /// Every problem found.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Vec<Problem>> {
        Self::read_in(&var, &Places::usual())
    }

    /// As [`Management::read`], on a computer with these places.
    ///
    /// # Errors
    /// As for [`Management::read`].
    pub fn read_in(var: &dyn Fn(&str) -> Option<OsString>, places: &Places) -> Result<Self, Vec<Problem>> {
        let (mut config, folder) = Self::check_in(var, places)?;
        config.warnings.extend(folder.make().map_err(|problem| vec![problem])?);
        Ok(config)
    }

    /// As [`Management::read_in`], with the state folder that was not made yet.
    pub(super) fn check_in(
        var: &dyn Fn(&str) -> Option<OsString>,
        places: &Places,
    ) -> Result<(Self, StateDir), Vec<Problem>> {
        let (mut reader, folder) = Reader::open(var, places, false);
        let reader = &mut reader;
        let plain = check::plain_http(reader);
        let access = Access::read_alone(reader, plain);
        let org_id = check::org_id(reader);
        let route = Route::read(reader);
        let shown = Shown::read(reader);
        if shown.mode == Mode::Operating {
            reader.warn(
                "No workspace is configured: this server operates workspaces with MOLECULE_API_KEY and receives no messages. \
                 To be a workspace, set WORKSPACE_ID and its token.",
            );
        }
        let log = check::log(reader);
        let protocol = check::protocol(reader);
        let speed = reader.whole("MOLECULE_TEST_SPEED");
        let (problems, warnings) = reader.finish();
        let (Some(folder), Some(access), []) = (folder, access, &problems[..]) else {
            return Err(problems);
        };
        let state_dir = folder.path().to_owned();
        let config = Self {
            access,
            shown,
            org_id,
            state_dir,
            protocol,
            route,
            log,
            timing: Timing { speed },
            warnings,
        };
        Ok((config, folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_workspace_variable_is_needed_and_everything_wrong_is_named() {
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            home: Some(home.path().to_owned()),
            managed: home.path().join("configs"),
            workspace: home.path().join("workspace"),
            current: None,
        };
        let read = |pairs: &[(&str, &str)]| {
            let var = |name: &str| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            Management::read_in(&var, &places)
        };
        let mode = ("MOLECULE_MCP_MODE", "management");
        let config = read(&[mode, ("PLATFORM_URL", "https://t.example"), ("MOLECULE_ORG", "org-1")]).unwrap();
        assert_eq!(config.shown.mode, Mode::Management);
        assert_eq!(config.access.tenant.to_string(), "https://t.example");
        assert_eq!(config.org_id.as_deref(), Some("org-1"));
        assert!(config.state_dir.is_dir() && config.access.org_key.is_none());
        let problems = read(&[mode, ("MOLECULE_ORG_API_KEY", "a b"), ("MOLECULE_MCP_READ_ONLY", "yes")]).unwrap_err();
        let names: Vec<_> = problems.iter().map(|problem| problem.setting.as_str()).collect();
        assert_eq!(names, ["MOLECULE_ORG_API_KEY", "MOLECULE_MCP_READ_ONLY"]);
    }
}
