//! The third version: who the peers are that write, and up to where a command was told of arrivals.

pub(super) const STEP: &str = "
CREATE TABLE peer (
    scope INTEGER NOT NULL,
    -- A UUID in lower case.
    id TEXT NOT NULL,
    name TEXT,
    role TEXT,
    -- The time of the message for which it was last asked who this is, or by which the platform told.
    asked INTEGER NOT NULL,
    -- It is to be asked.
    due INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    PRIMARY KEY (scope, id)
) WITHOUT ROWID;
CREATE INDEX peer_due ON peer (scope, asked) WHERE due = 1;

CREATE TABLE told (
    scope INTEGER PRIMARY KEY,
    -- The newest row of the message table that the command was run for, or that was passed over.
    n INTEGER NOT NULL
);
";
