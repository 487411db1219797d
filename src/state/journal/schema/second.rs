//! The second version: conversations can be read back and searched, and the agent card that was last set is kept.

/// The script.
///
/// The two word indexes hold no text, only which row has which word, and are filled when somebody searches: nothing that
/// receives or sends depends on them, and they can be made anew at any time.
pub(super) const SCRIPT: &str = "
-- Not by time alone: such an index draws SQLite's planner away from the better one of almost every other query.
CREATE INDEX message_by_peer ON message (scope, lower(peer_id), at, n);

CREATE VIRTUAL TABLE message_words USING fts5 (
    who, words, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE outbox_words USING fts5 (
    who, words, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

CREATE TABLE card (
    scope INTEGER PRIMARY KEY,
    card TEXT NOT NULL,
    -- What the settings said when it was set, so that a later change of theirs is noticed.
    configured TEXT NOT NULL,
    crc INTEGER NOT NULL
);
";

/// Whether a table or index is an inner part of the word indexes, whose shape is SQLite's own affair.
pub(super) fn is_inner_part(name: &str) -> bool {
    name.starts_with("message_words_") || name.starts_with("outbox_words_")
}
