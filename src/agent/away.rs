//! Notices that the computer slept, or that this process stood still. No timer counts the time of a sleep, and after
//! either the connections from before may lead nowhere.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Timing;
use crate::platform::client::Client;
use crate::state::clock::BootInstant;

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How late a look must be. Not shortened by the test speed: a busy computer makes every look late by a while.
const AWAY: Duration = Duration::from_secs(8);

/// Looks until `stop`; after each absence the client starts over, and with it everything that rests.
pub async fn watch(client: Client, timing: Timing, stop: CancellationToken) {
    let absences = async {
        loop {
            let away = absence(timing.of(LOOK_EVERY), || BootInstant::now().since).await;
            info!("was away for {} s; starting over with new connections", away.as_secs());
            client.start_over();
        }
    };
    stop.run_until_cancelled(absences).await;
}

/// Waits for the end of an absence and says how long it was, by a clock that counts sleep.
async fn absence(look_every: Duration, clock: impl Fn() -> Duration) -> Duration {
    loop {
        let before = clock();
        sleep(look_every).await;
        let late = clock().saturating_sub(before + look_every);
        if late >= AWAY {
            return late;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_sleep_is_noticed_within_two_seconds_and_a_late_look_is_none() {
        let start = Instant::now();
        let asleep = Cell::new(Duration::ZERO);
        let mut watching = std::pin::pin!(absence(LOOK_EVERY, || start.elapsed() + asleep.get()));
        let mut noticed = async |within| tokio::time::timeout(Duration::from_secs(within), &mut watching).await;
        assert!(noticed(3600).await.is_err());
        asleep.set(Duration::from_secs(7));
        assert!(noticed(3600).await.is_err());
        asleep.set(Duration::from_secs(7 + 8 * 3600));
        assert_eq!(noticed(2).await.unwrap(), Duration::from_secs(8 * 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_back_is_no_absence() {
        let start = Instant::now();
        let watching = absence(LOOK_EVERY, || Duration::from_secs(9999).saturating_sub(start.elapsed()));
        assert!(tokio::time::timeout(Duration::from_secs(3600), watching).await.is_err());
    }
}
