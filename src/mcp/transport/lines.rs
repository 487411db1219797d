//! Lines of bounded length from a byte stream.

use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::usable_id;

/// What was read.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// A line without its newline. The last one may have had none.
    Whole(Vec<u8>),
    /// A line over the limit. It is gone, but for the id of the request in it, if that could be made out.
    TooLong {
        /// A string or an integer.
        id: Option<Value>,
    },
    /// Nothing more will come. A failing input is an ended one.
    End,
}

/// How much is read at once.
const PART: usize = 8 * 1024;
/// How much is read before anybody wants it, to see whether the input has ended behind it.
const AHEAD_LIMIT: usize = 1024 * 1024;

/// Reads lines. Holds at most `limit` bytes of a line, and [`AHEAD_LIMIT`] beyond.
pub(super) struct Lines<R> {
    input: R,
    /// Read and not looked at yet, but for the first `taken` bytes.
    ahead: Vec<u8>,
    taken: usize,
    ended: bool,
    pub(super) limit: usize,
    held: Vec<u8>,
    /// Set while the rest of an overlong line is skipped.
    skipping: Option<IdFinder>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self {
            input,
            ahead: Vec::new(),
            taken: 0,
            ended: false,
            limit,
            held: Vec::new(),
            skipping: None,
        }
    }

    /// The next line. Cancel-safe: what was read of an unfinished line is kept here and not in the future.
    pub(super) async fn next(&mut self) -> Line {
        loop {
            if self.taken == self.ahead.len() {
                self.ahead.clear();
                self.ahead.shrink_to(PART);
                self.taken = 0;
                self.fill().await;
            }
            let available = &self.ahead[self.taken..];
            let at_end = available.is_empty();
            let newline = available.iter().position(|byte| *byte == b'\n');
            let part = &available[..newline.unwrap_or(available.len())];
            if let Some(finder) = &mut self.skipping {
                finder.feed(part);
            } else if self.held.len() + part.len() > self.limit {
                let mut finder = IdFinder::default();
                finder.feed(&std::mem::take(&mut self.held));
                finder.feed(part);
                self.skipping = Some(finder);
            } else {
                self.held.extend_from_slice(part);
            }
            self.taken += newline.map_or(part.len(), |at| at + 1);
            if newline.is_some() || at_end {
                match self.skipping.take() {
                    Some(finder) => return Line::TooLong { id: finder.found },
                    None if at_end && self.held.is_empty() => return Line::End,
                    None => return Line::Whole(std::mem::take(&mut self.held)),
                }
            }
        }
    }

    /// Reads ahead until the input has ended; never comes back when too much stands before its end. Cancel-safe.
    pub(super) async fn end(&mut self) {
        while !self.ended {
            if self.ahead.len() - self.taken >= AHEAD_LIMIT {
                return std::future::pending().await;
            }
            self.fill().await;
        }
    }

    /// Reads a part more, or learns that there is none. Cancel-safe.
    async fn fill(&mut self) {
        if self.ended {
            return;
        }
        self.ahead.reserve(PART);
        match self.input.read_buf(&mut self.ahead).await {
            Ok(read) => self.ended = read == 0,
            Err(error) => {
                tracing::warn!(%error, "the input could not be read");
                self.ended = true;
            }
        }
    }

    /// How many bytes are set aside.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.capacity() + self.ahead.capacity()
    }
}

/// Finds the top-level `id` of a JSON object that streams by, keeping only short members of that level.
#[derive(Debug, Default)]
struct IdFinder {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The member being read, as far as it lies on the top level.
    member: Vec<u8>,
    found: Option<Value>,
}

impl IdFinder {
    /// A member longer than this is not an id that anyone waits for.
    const MEMBER_LIMIT: usize = 512;

    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                self.keep(byte);
                continue;
            }
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    if self.depth == 1 {
                        self.end_member();
                    }
                    self.depth = self.depth.saturating_sub(1);
                }
                b',' if self.depth == 1 => self.end_member(),
                _ => {
                    self.in_string = byte == b'"';
                    self.keep(byte);
                }
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.member.len() <= Self::MEMBER_LIMIT {
            self.member.push(byte);
        }
    }

    fn end_member(&mut self) {
        let member = [b"{", self.member.as_slice(), b"}"].concat();
        self.member.clear();
        if let Ok(fields) = serde_json::from_slice::<Map<String, Value>>(&member) {
            self.found = usable_id(fields.get("id")).or(self.found.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_however_they_are_cut() {
        let input: &[u8] = b"one\n\ntwo\nlast";
        let mut lines = Lines::new(input, 8);
        for expected in ["one", "", "two", "last"] {
            assert_eq!(lines.next().await, Line::Whole(expected.into()));
        }
        assert_eq!(lines.next().await, Line::End);
    }

    #[tokio::test]
    async fn a_line_at_the_limit_passes_and_one_above_does_not() {
        let input: &[u8] = b"12345678\n123456789\nnext\n";
        let mut lines = Lines::new(input, 8);
        assert_eq!(lines.next().await, Line::Whole("12345678".into()));
        assert_eq!(lines.next().await, Line::TooLong { id: None });
        assert_eq!(lines.next().await, Line::Whole("next".into()));
    }

    #[test]
    fn the_id_is_found_wherever_it_stands_and_only_on_the_top_level() {
        let cases = [
            (r#"{"id":7,"method":"x","params":{"id":8}}"#, Some(Value::from(7))),
            (
                r#"{"params":{"id":8,"t":"}\",\"id\":9"},"id" : "é-1"}"#,
                Some(Value::from("é-1")),
            ),
            (r#"{"a":[{"id":1}],"b":",\"id\":3,"}"#, None),
            (r#"{"id":1.5}"#, None),
            (r#"{"id":null}"#, None),
            ("not json at all, \"id\":3", None),
        ];
        for (text, expected) in cases {
            for size in [1, 3, 1000] {
                let mut finder = IdFinder::default();
                text.as_bytes().chunks(size).for_each(|part| finder.feed(part));
                assert_eq!(finder.found, expected, "{text} in parts of {size}");
            }
        }
    }
}
