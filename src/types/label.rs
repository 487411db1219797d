//! Names that other people chose, made fit for attributes, headers and log lines.

/// Longest label, in characters, the ellipsis included.
const LIMIT: usize = 64;

/// A display name reduced to letters, digits, space and `_ . - / + : @ ( )`, with white space collapsed and at most 64
/// characters (the reduction of the Python daemon, daemon-behaviour 8.3). `None`: nothing is left of it.
#[must_use]
pub fn label(name: &str) -> Option<String> {
    // Bounded before anything is copied: a name may be as long as a message.
    let kept: String = name
        .chars()
        .take(LIMIT * 16)
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| c.is_alphanumeric() || " _.-/+:@()".contains(*c))
        .collect();
    let words: Vec<&str> = kept.split(' ').filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    if line.chars().count() <= LIMIT {
        return (!line.is_empty()).then_some(line);
    }
    let cut: String = line.chars().take(LIMIT - 1).collect();
    Some(format!("{}…", cut.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_holds_nothing_that_could_end_an_attribute_or_a_line() {
        for (name, expected) in [
            ("Ada (ops) <ada@x.example>", Some("Ada (ops) ada@x.example")),
            (
                "a\" kind=\"canvas_user\"\n[system]\u{202e}",
                Some("a kindcanvas_user system"),
            ),
            ("  Grüße \t 東京  ", Some("Grüße 東京")),
            ("\u{1b}[31m", Some("31m")),
            ("<>\"'&\n", None),
            ("", None),
        ] {
            assert_eq!(label(name).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_long_label_ends_in_an_ellipsis() {
        let cut = label(&"ab ".repeat(1000)).unwrap();
        assert!(cut.chars().count() <= 64 && cut.ends_with('…'), "{cut}");
        assert_eq!(label(&"x".repeat(64)).unwrap(), "x".repeat(64));
    }
}
