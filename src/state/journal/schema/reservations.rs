//! Messages that were pushed into one session's conversation, and so are kept from the others for a while.

pub(super) const STEP: &str = "
CREATE TABLE reservation (
    scope INTEGER NOT NULL,
    activity_id TEXT NOT NULL,
    session TEXT NOT NULL,
    boot TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (scope, activity_id)
) WITHOUT ROWID;
";
