//! The agent card that was last set, and what becomes of it when the settings change afterwards.

use serde_json::{Map, Value};

use crate::config::Card;

/// The fields of a card that settings can name.
const CONFIGURED: [&str; 3] = ["name", "description", "skills"];

/// A card that an agent set.
#[derive(Clone, Debug, PartialEq)]
pub struct LastCard {
    /// The card.
    pub card: Map<String, Value>,
    /// The card that the settings gave at that time.
    pub configured: Value,
}

impl LastCard {
    /// The card to register with under the settings of now: as it was set, but for the fields whose settings have changed
    /// since. A setting that was taken away takes its field away.
    #[must_use]
    pub fn under(&self, now: &Card) -> Value {
        let now = now.to_json();
        let mut card = self.card.clone();
        for field in CONFIGURED {
            let (then, now) = (self.configured.get(field), now.get(field));
            match now {
                _ if then == now => {}
                Some(value) => {
                    card.insert(field.to_owned(), value.clone());
                }
                None => {
                    card.remove(field);
                }
            }
        }
        Value::Object(card)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(name: &str, description: Option<&str>, skills: &[&str]) -> Card {
        Card {
            name: name.to_owned(),
            description: description.map(str::to_owned),
            skills: skills.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_card_stays_as_it_was_set_but_for_settings_that_changed() {
        let before = settings("me", Some("about"), &["rust"]);
        let set = json!({ "name": "Ada", "description": "mathematician", "skills": [], "version": "2" });
        let last = LastCard {
            card: set.as_object().unwrap().clone(),
            configured: before.to_json(),
        };
        let with = |change: Value| {
            let mut expected = set.clone();
            for (key, value) in change.as_object().unwrap() {
                expected[key] = value.clone();
            }
            expected
        };
        assert_eq!(last.under(&before), set);
        for (now, expected) in [
            (
                settings("you", Some("about"), &["rust"]),
                with(json!({ "name": "you" })),
            ),
            (
                settings("me", Some("else"), &["rust", "go"]),
                with(json!({ "description": "else", "skills": [{ "name": "rust" }, { "name": "go" }] })),
            ),
            (settings("me", Some("about"), &[]), with(json!({ "skills": [] }))),
        ] {
            assert_eq!(last.under(&now), expected);
        }
        let silent = last.under(&settings("me", None, &["rust"]));
        assert!(silent.get("description").is_none() && silent["name"] == "Ada");
    }
}
