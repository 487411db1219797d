//! `molecule-mcp completions`: what a shell completes after `molecule-mcp`.

use clap::CommandFactory as _;

use super::options::Options;

/// Arguments of `completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The script, to be put where the shell looks for such scripts.
#[must_use]
pub fn perform(args: &CompletionsArgs) -> String {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Options::command(), "molecule-mcp", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in clap_complete::Shell::value_variants() {
            let script = perform(&CompletionsArgs { shell: *shell });
            let commands = Options::command();
            let mut shown = commands.get_subcommands().filter(|command| !command.is_hide_set());
            assert!(shown.all(|command| script.contains(command.get_name())), "{shell}");
        }
    }
}
