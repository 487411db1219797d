//! The tables of files: those that the platform keeps for a workspace, and those that it sends.

pub(super) const STEP: &str = "
CREATE TABLE file (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    scope INTEGER NOT NULL,
    -- The platform's id.
    file TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('wanted', 'staged', 'kept', 'gone', 'oversize', 'dropped', 'outgoing')),
    seen INTEGER NOT NULL,
    -- The row of the log that announced it, if one did.
    activity_id TEXT,
    name TEXT NOT NULL,
    mime_type TEXT,
    size INTEGER,
    -- Sent by this workspace itself: the platform is not told that it is here, for the person still fetches it there.
    own INTEGER NOT NULL,
    -- Where it is on this computer.
    path TEXT,
    -- The message that tells of it, until that is told or another message has told of it.
    message TEXT,
    crc INTEGER NOT NULL,
    UNIQUE (scope, file)
);
CREATE INDEX file_by_state ON file (scope, state, seen);
CREATE INDEX file_by_activity ON file (scope, activity_id) WHERE activity_id IS NOT NULL;
CREATE INDEX file_untold ON file (scope) WHERE message IS NOT NULL;

-- Attempts to bring a file of an outgoing message to the platform, each under a name of its own.
CREATE TABLE upload (
    scope INTEGER NOT NULL,
    name TEXT NOT NULL,
    item TEXT NOT NULL,
    place INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- The platform's address of it, once known.
    uri TEXT,
    -- Whether it is the address that the message names: the first that was known, and for good.
    chosen INTEGER NOT NULL DEFAULT 0,
    crc INTEGER NOT NULL,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;
CREATE INDEX upload_by_item ON upload (scope, item, place);
CREATE INDEX upload_by_uri ON upload (scope, uri) WHERE uri IS NOT NULL;
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::file::FileState;

    #[test]
    fn no_flipped_bit_turns_one_state_into_another() {
        let words = FileState::ALL.map(FileState::as_str);
        for (i, a) in words.iter().enumerate() {
            assert!(STEP.contains(&format!("'{a}'")), "{a} is missing in the schema");
            for b in &words[i + 1..] {
                let bits: u32 = a.bytes().zip(b.bytes()).map(|(x, y)| (x ^ y).count_ones()).sum();
                assert!(a.len() != b.len() || bits > 1, "{a} {b}");
            }
        }
    }
}
