//! Texts for a terminal or a log: other people's words may be in them.

/// A text in which nothing moves a cursor, changes the direction of writing, or begins a line that it should not; `line_end`
/// stands where its lines end.
pub(super) fn printable(text: &str, line_end: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        match letter {
            '\n' => clean.push_str(line_end),
            '\t' => clean.push(' '),
            letter if letter.is_control() || turns(letter) => clean.extend(letter.escape_unicode()),
            letter => clean.push(letter),
        }
    }
    clean
}

/// The first line of a text, as much of it as fits.
pub(super) fn first_line(text: &str, letters: usize) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let line = printable(line, " ");
    let has_more = text.trim().lines().nth(1).is_some() || line.chars().count() > letters;
    let mut short: String = line.chars().take(letters).collect();
    if has_more {
        short.push('…');
    }
    short
}

/// Marks of bidirectional text, by which a line can be made to read otherwise than it is.
fn turns(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_text() {
        assert_eq!(
            printable("a\tb\u{1b}[2J\nc\u{202e}d\r\n", "\n  "),
            "a b\\u{1b}[2J\n  c\\u{202e}d"
        );
        assert_eq!(printable("Grüße, 世界", ""), "Grüße, 世界");
    }

    #[test]
    fn a_first_line_says_when_there_is_more() {
        assert_eq!(first_line("  one\ntwo", 80), "one…");
        assert_eq!(first_line("one", 80), "one");
        assert_eq!(first_line("Grüße", 3), "Grü…");
        assert_eq!(first_line(" \n", 3), "");
    }
}
