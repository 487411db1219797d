//! What a command needs that only looks: it works where the daemon's own configuration is not at hand, as in a terminal beside a
//! client that passes the daemon its variables.

use std::ffi::OsString;
use std::path::PathBuf;

use super::check::{Existing, check};
use super::dirs::{self, Places, StateDir};
use super::file::Filed;
use super::problem::Problem;
use super::reader::Reader;
use super::{Config, Timing};
use crate::types::WorkspaceId;

/// The folder to look at, and who would run here.
#[derive(Clone, Debug)]
pub struct Looking {
    /// The state folder that a daemon with this environment would use. It may not exist.
    pub state_dir: PathBuf,
    /// The intervals of such a daemon.
    pub timing: Timing,
    /// What the configuration file says.
    pub filed: Filed,
    /// Its configuration, or why there is none.
    pub config: Result<Box<Config>, Vec<Problem>>,
}

impl Looking {
    /// The platform's origin and the id of each workspace that the configuration names; empty: all that ever ran here.
    #[must_use]
    pub fn wanted(&self) -> Vec<(String, WorkspaceId)> {
        self.config.as_ref().map(|config| config.names()).unwrap_or_default()
    }

    /// Reads what there is. Makes nothing.
    ///
    /// # Errors
    /// When not even the state folder can be told.
    pub fn read(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Vec<Problem>> {
        Self::read_in(&var, &Places::usual())
    }

    fn read_in(var: &dyn Fn(&str) -> Option<OsString>, places: &Places) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::glance(var, places);
        let named = reader.value(dirs::CONFIGS_DIR);
        let timing = Timing {
            speed: reader.whole("MOLECULE_TEST_SPEED"),
        };
        let (state_dir, config) = match check(var, places, Existing::Used) {
            Ok(checked) => (
                checked.config().state_dir.clone(),
                Ok(Box::new(checked.config().clone())),
            ),
            Err(problems) => match StateDir::locate(named.as_deref(), places) {
                Some(state_dir) => (state_dir, Err(problems)),
                None => return Err(problems),
            },
        };
        Ok(Self {
            state_dir,
            timing,
            filed: reader.filed,
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(root: &std::path::Path) -> Places {
        Places {
            home: Some(root.join("home")),
            managed: root.join("configs"),
            workspace: root.join("workspace"),
            current: None,
        }
    }

    #[test]
    fn the_folder_is_found_without_any_configuration_and_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("home")).unwrap();
        let places = places(root.path());
        let looking = Looking::read_in(&|_| None, &places).unwrap();
        assert_eq!(looking.state_dir, root.path().join("home/.molecule-workspace"));
        assert!(!looking.config.unwrap_err().is_empty());
        let named = root.path().join("mine");
        let var = |name: &str| (name == dirs::CONFIGS_DIR).then(|| named.clone().into_os_string());
        assert_eq!(Looking::read_in(&var, &places).unwrap().state_dir, named);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_dir(root.path().join("home")).unwrap().count(), 0);
        let homeless = Places { home: None, ..places };
        assert!(Looking::read_in(&|_| None, &homeless).is_err());
    }

    #[test]
    fn a_whole_configuration_is_told_and_its_folder_not_made() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state");
        let var = |name: &str| match name {
            "CONFIGS_DIR" => Some(folder.clone().into_os_string()),
            "PLATFORM_URL" => Some("https://x.example".into()),
            "WORKSPACE_ID" | "MOLECULE_WORKSPACE_TOKEN" => Some("a".into()),
            _ => None,
        };
        let looking = Looking::read_in(&var, &places(root.path())).unwrap();
        assert_eq!(looking.config.unwrap().first().workspace.as_str(), "a");
        assert!(!folder.exists());
    }
}
