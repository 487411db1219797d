//! When a message may arrive at the person twice: it has no key, so that one that the platform takes up too late is sent again.

use std::time::Duration;

use super::figures;
use super::ledger::Life;
use super::polls::Told;

/// For so long the daemons look for a message to the person that got no answer, before they send it again; less by the speed.
pub const LOOKED_FOR: Duration = Duration::from_secs(30);

/// Whether the platform had the text for the first time (`stored`) only when the process that asked for it had been dead for
/// longer than it is looked for (`limit`). Times are milliseconds.
pub fn was_taken_up_late(lives: &[Life], asked: &Told, stored: i64, limit: i64) -> bool {
    let life = figures::life_at(lives, asked.slot, asked.turn, asked.at);
    let ended = life.and_then(|life| lives[life].ended);
    ended.is_some_and(|(_, ended)| stored > ended + limit)
}
