//! Names and addresses that other people chose, made fit for attributes, headers and log lines.

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

/// Whether an address is one of the web and holds nothing that could end an attribute or a line; at most 512 bytes.
#[must_use]
pub fn is_plain_url(text: &str) -> bool {
    text.len() <= 512
        && url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"'<>`".contains(&byte))
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
    fn an_address_is_one_of_the_web_and_one_word() {
        for (text, plain) in [
            ("https://x.example/registry/discover/1?a=b#c", true),
            ("http://127.0.0.1:8080/", true),
            ("javascript:alert(1)", false),
            ("https://x.example/a b", false),
            ("https://x.example/\"onclick=", false),
            ("https://x.example/\n", false),
            ("/registry/discover/1", false),
            ("", false),
        ] {
            assert_eq!(is_plain_url(text), plain, "{text:?}");
        }
        assert!(!is_plain_url(&format!("https://x.example/{}", "a".repeat(512))));
    }

    #[test]
    fn a_long_label_ends_in_an_ellipsis() {
        let cut = label(&"ab ".repeat(1000)).unwrap();
        assert!(cut.chars().count() <= 64 && cut.ends_with('…'), "{cut}");
        assert_eq!(label(&"x".repeat(64)).unwrap(), "x".repeat(64));
    }
}
