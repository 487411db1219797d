//! The file as `init` writes it: what is there stays, comments too.

use toml_edit::{DocumentMut, value};

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It says this text.
    Text(String),
    /// It says true.
    True,
    /// It is not there.
    Gone,
}

/// The text of a file with these changes; a new one where there is none that can be read.
#[must_use]
pub fn updated(earlier: Option<&str>, changes: &[(&'static str, Change)]) -> String {
    const HEAD: &str = "# Settings of molecule-mcp. A variable of the environment overrides its key.\n\
                        # molecule-mcp config: what is in force, and where from. molecule-mcp config --example: every key.\n";
    let earlier = earlier.and_then(|text| text.parse::<DocumentMut>().ok());
    let head = if earlier.is_some() { "" } else { HEAD };
    let mut document = earlier.unwrap_or_default();
    for (key, change) in changes {
        match change {
            Change::Text(text) => put(&mut document, key, value(text.as_str())),
            Change::True => put(&mut document, key, value(true)),
            Change::Gone => {
                document.remove(key);
            }
        }
    }
    format!("{head}{document}")
}

/// A comment behind the old value stays behind the new one.
fn put(document: &mut DocumentMut, key: &str, mut new: toml_edit::Item) {
    if let (Some(old), Some(new)) = (document.get(key).and_then(|item| item.as_value()), new.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    document[key] = new;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_what_changes_is_changed_in_place() {
        let earlier = "# mine\nplatform_url = \"https://old.example\" # the old one\nlease_secs = 60\norg_id = \"o\"\n";
        let changes = [
            ("platform_url", Change::Text("https://new.example".to_owned())),
            ("workspace_id", Change::Text("a \"b\"\\\n".to_owned())),
            ("allow_insecure", Change::True),
            ("org_id", Change::Gone),
        ];
        let text = updated(Some(earlier), &changes);
        assert!(
            text.starts_with("# mine\nplatform_url = \"https://new.example\" # the old one\nlease_secs = 60\n"),
            "{text}"
        );
        assert!(
            text.contains("allow_insecure = true") && !text.contains("org_id"),
            "{text}"
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["workspace_id"].as_str(), Some("a \"b\"\\\n"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_begun_anew() {
        for earlier in [None, Some("not toml")] {
            let text = updated(earlier, &[("workspace_id", Change::Text("a".to_owned()))]);
            assert!(
                text.starts_with("# Settings") && text.ends_with("workspace_id = \"a\"\n"),
                "{text}"
            );
        }
    }
}
