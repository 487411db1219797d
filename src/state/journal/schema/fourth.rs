//! The fourth version: what is open is counted without passing by what was ever acknowledged.

/// Everything that [`super::super::reserve::MARK`] and [`super::super::inbox::COUNTS`] read, of the open messages alone.
pub(super) const STEP: &str = "
CREATE INDEX message_open ON message (scope, state, at, delivery_count) WHERE state <> 'done';
";
