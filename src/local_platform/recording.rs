//! Writing activity rows: at once, or late while their time stays, as the real platform does under load.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::clock;
use super::server::Level;
use super::site::Site;
use super::store::activity::{ActivityRow, MessageIds, NewActivity, Written};

/// The late mode: each message becomes visible only after a random while.
pub(crate) struct Late {
    max: Duration,
    state: u64,
}

impl Late {
    pub(crate) fn new(max: Duration, seed: u64) -> Self {
        Self { max, state: seed }
    }

    /// The next delay, 0 to the maximum; the same seed gives the same delays (SplitMix64).
    fn next(&mut self) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let span = u64::try_from(self.max.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        Duration::from_micros(mixed % span)
    }
}

/// Whether writing a row is told on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announce {
    Yes,
    No,
}

/// Records a message that reached its workspace. In the late mode it shows up later, under the time of now.
pub(crate) fn message(site: &Arc<Site>, mut new: NewActivity) {
    let delay = site.testing.as_ref().and_then(|testing| {
        testing
            .late
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .map(Late::next)
    });
    match delay {
        None => drop(row(site, new, Announce::Yes)),
        Some(delay) => {
            new.created_at.get_or_insert_with(clock::now);
            later(site, new, Announce::Yes, delay);
        }
    }
}

/// Records a row after `delay`.
pub(crate) fn later(site: &Arc<Site>, new: NewActivity, announce: Announce, delay: Duration) {
    let background = site.clone();
    site.spawn(async move {
        tokio::time::sleep(delay).await;
        row(&background, new, announce);
    });
}

/// Writes a row now and tells the stream. Level C tells twice, with the message id, even of a message it did not
/// store because its id was known.
pub(crate) fn row(site: &Site, new: NewActivity, announce: Announce) -> Option<ActivityRow> {
    let ids = if site.level == Level::C {
        MessageIds::Unique
    } else {
        MessageIds::MayRepeat
    };
    let workspace = new.workspace_id.clone();
    let (row, kept) = match site.store.insert_activity(new, ids) {
        Ok(Written::Stored(row)) => (row, true),
        Ok(Written::Collapsed(row)) => (row, false),
        Ok(Written::Refused) => return None,
        Err(error) => {
            tracing::error!(%error, "the embedded platform could not write a row");
            return None;
        }
    };
    if announce == Announce::Yes {
        let event = ActivityRow {
            id: None,
            seq: None,
            ..row.clone()
        };
        let twice = site.level == Level::C && event.message_id.is_some();
        for _ in 0..=usize::from(twice) {
            site.hub.send(&workspace, "ACTIVITY_LOGGED", &event);
        }
    }
    kept.then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_repeat_with_the_seed_and_stay_within_the_maximum() {
        let delays = |seed| {
            let mut late = Late::new(Duration::from_millis(90), seed);
            (0..200).map(|_| late.next()).collect::<Vec<_>>()
        };
        assert_eq!(delays(7), delays(7));
        assert_ne!(delays(7), delays(8));
        assert!(delays(7).iter().all(|delay| *delay <= Duration::from_millis(90)));
        assert!(delays(7).iter().max() > Some(&Duration::from_millis(60)));
    }
}
