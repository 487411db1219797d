//! What a key of the file means, or was meant to mean.

use super::super::settings::{self, Kind, Setting};
use super::Refused;

/// The folder of the file cannot depend on what is in it.
const FOLDER: &str = "configs_dir";

/// The setting of a key.
pub(super) fn setting(key: &str, is_named: bool) -> Result<&'static Setting, Refused> {
    match settings::keyed(key) {
        Some(_) if key == FOLDER && !is_named => Err(Refused::new(
            "cannot be set here: this file was found in the state folder",
            "set CONFIGS_DIR, or name the file with --config",
        )),
        Some(setting) => Ok(setting),
        None => Err(unknown(key)),
    }
}

/// A key as people are told it. What does not look like a key may be a credential in the wrong place.
pub(super) fn shown(key: &str) -> &str {
    let is_plain = key.len() <= 40
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || b"_-.".contains(&byte));
    if is_plain { key } else { "a key" }
}

fn unknown(key: &str) -> Refused {
    let plain = key.to_ascii_lowercase().replace(['-', '.'], "_");
    if let Some(instead) = credential(&plain) {
        return Refused::new(
            "is a credential, and none is kept in this file",
            format!(
                "put it into a file of its own with mode 0600, remove it here, and write {instead} = \"<path of that file>\""
            ),
        );
    }
    let of_variable =
        settings::all().find(|setting| setting.names.iter().any(|name| name.to_ascii_lowercase() == plain));
    if let Some(setting) = of_variable {
        return match setting.key {
            Some(meant) => Refused::new("is the name of a variable", format!("its key here is {meant}")),
            None => Refused::new("cannot be set in a file", "set it in the environment"),
        };
    }
    let keys = settings::all().filter_map(|setting| setting.key);
    let remedy = match settings::nearest(&plain, keys) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "`molecule-mcp config --example` shows all keys".to_owned(),
    };
    Refused::new("is not a known key", remedy)
}

/// The key that takes the file of the credential which this one seems to be.
fn credential(key: &str) -> Option<&'static str> {
    for setting in settings::all() {
        let Kind::Secret(instead) = setting.kind else { continue };
        let is_it = |name: &&str| {
            let name = name.to_ascii_lowercase();
            name == key || name.strip_prefix("molecule_") == Some(key)
        };
        if setting.names.iter().any(is_it) {
            return Some(instead);
        }
    }
    let parts = ["token", "secret", "password", "passwd", "api_key", "apikey"];
    let looks_like_one = parts.iter().any(|part| key.ends_with(part));
    looks_like_one.then_some("token_file")
}
