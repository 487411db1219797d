//! Cutting what is too long for one result, so that nothing of it is out of reach.

use serde::Serialize;

use crate::mcp::answer::{ToolError, cut};
use crate::platform::workspace::MAX_BODY;

/// Most of one text that a result holds, in bytes of its JSON form.
pub(super) const TEXT_LIMIT: usize = 48_000;

/// Most that the items of a list take in one result, in bytes of their JSON.
pub(super) const LIST_LIMIT: usize = 56_000;

/// Room that a request body needs beside its text, in bytes.
const ENVELOPE: usize = 4_000;

/// A part of a text.
#[derive(Debug, PartialEq)]
pub(super) struct Page<'a> {
    pub(super) text: &'a str,
    /// Where the next part starts, in bytes; `None` at the end.
    pub(super) next: Option<usize>,
}

/// The part of `text` from byte `offset` whose JSON form takes at most `limit` bytes. An offset inside a character is
/// moved to its start; one past the end gives nothing.
pub(super) fn page(text: &str, offset: usize, limit: usize) -> Page<'_> {
    let start = cut(text, offset).len();
    let mut room = limit;
    for (at, letter) in text[start..].char_indices() {
        match room.checked_sub(json_len(letter)) {
            Some(left) => room = left,
            None => {
                return Page {
                    text: &text[start..start + at],
                    next: Some(start + at),
                };
            }
        }
    }
    Page {
        text: &text[start..],
        next: None,
    }
}

/// The start of a display string, cut without saying so: nobody needs the rest.
pub(super) fn clip(text: &str, bytes: usize) -> String {
    cut(text, bytes).to_owned()
}

/// As many of `items` as fit into one result, and where the rest starts. The first is always among them.
pub(super) fn fit<T: Serialize>(items: impl Iterator<Item = T>, limit: usize) -> (Vec<T>, Option<usize>) {
    let mut fitting = Vec::new();
    let mut room = limit;
    for item in items {
        match room.checked_sub(size(&item)) {
            None if !fitting.is_empty() => {
                let next = fitting.len();
                return (fitting, Some(next));
            }
            left => room = left.unwrap_or(0),
        }
        fitting.push(item);
    }
    (fitting, None)
}

/// The part of a list from `offset` on, of at most `limit` items and `bytes` of JSON, and where the next part starts.
pub(super) fn part<T: Serialize>(
    items: impl ExactSizeIterator<Item = T>,
    offset: Option<u32>,
    limit: Option<u32>,
    bytes: usize,
) -> (Vec<T>, Option<usize>) {
    let (count, offset) = (items.len(), offset.unwrap_or(0) as usize);
    let most = limit.map_or(usize::MAX, |limit| limit.max(1) as usize);
    let (shown, _) = fit(items.skip(offset).take(most), bytes);
    let next = offset + shown.len();
    let there_is_more = !shown.is_empty() && next < count;
    (shown, there_is_more.then_some(next))
}

/// Bytes of JSON that an item of a list takes.
pub(super) fn size(item: &impl Serialize) -> usize {
    serde_json::to_vec(item).map_or(0, |json| json.len() + 1)
}

/// Refuses a text that is empty, or that the platform would not take whole.
///
/// # Errors
/// Naming the argument, the limit and the remedy.
pub(super) fn check_text(argument: &str, text: &str) -> Result<(), ToolError> {
    if text.trim().is_empty() {
        return Err(ToolError::argument(argument, "must not be empty"));
    }
    let limit = MAX_BODY - ENVELOPE;
    if text.chars().map(json_len).sum::<usize>() > limit {
        let rule = format!("is too long: the platform takes {limit} bytes; send it in parts");
        return Err(ToolError::argument(argument, rule));
    }
    Ok(())
}

fn json_len(letter: char) -> usize {
    match letter {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..'\u{20}' => 6,
        _ => letter.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_text_are_the_text() {
        let text = "a\"é\n\u{1}€x".repeat(50);
        for limit in [6, 7, 50, 10_000] {
            let (mut whole, mut offset) = (String::new(), Some(0));
            while let Some(at) = offset {
                let page = page(&text, at, limit);
                assert!(serde_json::to_string(page.text).unwrap().len() <= limit + 2);
                whole.push_str(page.text);
                offset = page.next;
            }
            assert_eq!(whole, text, "{limit}");
        }
    }

    #[test]
    fn an_offset_from_nowhere_does_no_harm() {
        assert_eq!(page("aé", 2, 10).text, "é");
        assert_eq!(page("aé", 999, 10), Page { text: "", next: None });
        assert_eq!(page("", 0, 10), Page { text: "", next: None });
    }

    #[test]
    fn a_list_is_cut_where_it_no_longer_fits_but_never_to_nothing() {
        let items = || ["12345", "12345", "1"].into_iter();
        assert_eq!(fit(items(), 100), (vec!["12345", "12345", "1"], None));
        assert_eq!(fit(items(), 16), (vec!["12345", "12345"], Some(2)));
        assert_eq!(fit(items(), 3), (vec!["12345"], Some(1)));
    }

    #[test]
    fn the_parts_of_a_list_are_the_list() {
        let items: Vec<u32> = (0..100).collect();
        for (limit, bytes) in [(None, 10), (Some(0), 1_000), (Some(7), 1_000), (Some(1_000), 1_000)] {
            let (mut whole, mut offset) = (Vec::new(), Some(0));
            while let Some(at) = offset {
                let (shown, next) = part(items.iter().copied(), Some(at as u32), limit, bytes);
                assert!(limit.is_none_or(|limit| shown.len() <= limit.max(1) as usize));
                whole.extend(shown);
                offset = next;
            }
            assert_eq!(whole, items);
        }
        assert_eq!(part(items.iter(), Some(100), None, 1_000), (vec![], None));
    }

    #[test]
    fn texts_that_the_platform_would_lose_are_refused() {
        for bad in ["", " \n", &"x".repeat(MAX_BODY), &"\"".repeat(MAX_BODY / 2)] {
            assert!(check_text("text", bad).is_err());
        }
        assert!(check_text("text", &"é".repeat(400_000)).is_ok());
    }
}
