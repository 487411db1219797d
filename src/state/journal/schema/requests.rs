//! Which requests are open, and up to when broadcasts were heard.

pub(super) const STEP: &str = "
-- As far as is known. One that somebody asks of this workspace stays acknowledged for as long as it stands here.
CREATE TABLE request (
    scope INTEGER NOT NULL,
    id TEXT NOT NULL,
    side TEXT NOT NULL CHECK (side IN ('theirs', 'ours')),
    PRIMARY KEY (scope, id)
) WITHOUT ROWID;

CREATE TABLE heard (
    scope INTEGER PRIMARY KEY,
    until INTEGER NOT NULL,
    crc INTEGER NOT NULL
);
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::request::Side;

    #[test]
    fn every_side_has_its_word() {
        for side in Side::ALL {
            assert!(STEP.contains(&format!("'{}'", side.as_str())));
        }
    }
}
