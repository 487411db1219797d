//! `molecule.toml` in the state folder: what `init` writes and the environment overrides.
