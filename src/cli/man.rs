//! `molecule-mcp man`: the manual pages, for those who make packages.

use std::path::PathBuf;

use clap::CommandFactory as _;

use super::options::{Options, Outcome, exit};

/// Arguments of `man`.
#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// Folder to write the pages to; it has to exist
    pub folder: PathBuf,
}

/// Writes one page for the program and one for each command.
#[must_use]
pub fn perform(args: &ManArgs) -> Outcome {
    match clap_mangen::generate_to(Options::command(), &args.folder) {
        Ok(()) => Outcome::fine(""),
        Err(error) => Outcome::failed(
            exit::CONFIGURATION,
            format!(
                "molecule-mcp man: {} cannot be written to ({})\n",
                args.folder.display(),
                error.kind()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command() {
        let folder = tempfile::tempdir().unwrap();
        let args = ManArgs {
            folder: folder.path().to_owned(),
        };
        assert_eq!(perform(&args).code, exit::FINE);
        let commands = Options::command();
        for command in commands.get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = folder.path().join(format!("molecule-mcp-{}.1", command.get_name()));
            assert!(
                std::fs::read_to_string(&page).unwrap().contains(".SH SYNOPSIS"),
                "{}",
                page.display()
            );
        }
        let nowhere = ManArgs {
            folder: folder.path().join("none"),
        };
        assert_eq!(perform(&nowhere).code, exit::CONFIGURATION);
    }
}
