//! What the agent is told about reading, in its inbox.

use std::time::Duration;

use crate::agent::inbox::reader::{Reason, Recovered};
use crate::state::journal::{Batch, Journal, JournalError};
use crate::types::Timestamp;

/// A pause between reads that is worth telling of when messages had to be recovered after it.
const LONG_GAP: Duration = Duration::from_secs(600);

/// Tells of a recovery whose last page is about to be committed. Told before that: a death in between repeats the recovery, and
/// its name keeps it from being told twice.
///
/// # Errors
/// When the journal cannot be read or written; then the page cannot be committed either.
pub(super) async fn recovery(
    journal: &Journal,
    recovered: Recovered,
    last: Option<&Batch>,
) -> Result<(), JournalError> {
    let now = Timestamp::now();
    if reason(recovered, now).is_none() {
        return Ok(());
    }
    let ids: Vec<_> = last
        .map_or(&[][..], |batch| &batch.messages[..])
        .iter()
        .map(|message| message.activity_id.clone())
        .collect();
    let coming = ids.len() - journal.known(ids).await?.len();
    // Earlier pages, of this process or of one that died meanwhile, are held.
    let held = usize::try_from(journal.counts().await?.held).unwrap_or(usize::MAX);
    if let Some((text, name)) = text(held.saturating_add(coming), recovered, now) {
        journal.announce(&text, &name).await?;
    }
    Ok(())
}

/// Tells how many messages from before a replaced journal are listed.
///
/// # Errors
/// As [`Journal::announce`].
pub(super) async fn listing(journal: &Journal) -> Result<(), JournalError> {
    let listed = journal.counts().await?.recovered;
    if listed > 0 {
        let text = format!(
            "After the damaged journal was replaced, {listed} earlier messages of the last seven days were fetched again. They \
             are kept but not handed out, because they may have been answered already; those that were not must be asked for \
             again by their senders or read in the canvas."
        );
        journal
            .announce(&text, &format!("listed:{}", journal.session()))
            .await?;
    }
    Ok(())
}

/// What is said about rows that this platform can no longer show.
pub(super) fn gap() -> (String, String) {
    let text = "More messages arrived between two reads than this platform shows at once (500). Some of them may be missing \
                here; the canvas has them all.";
    (text.to_owned(), format!("gap:{}", Timestamp::now().to_rfc3339()))
}

/// What is said about a row that cannot be fetched, when all are read again from `until` on.
pub(super) fn unfetchable(at: Timestamp, until: Timestamp) -> (String, String) {
    let hides = if until > at.plus_micros(1) {
        let until = until.to_rfc3339();
        format!(" If it is not the only one before {until}, those between the two are missing, too.")
    } else {
        String::new()
    };
    let at = at.to_rfc3339();
    let text = format!(
        "A message of {at} could not be fetched: it is too large, or the platform fails over it. All others were.{hides} The \
         canvas has it; ask its sender to send it in smaller pieces."
    );
    (text, format!("unfetchable:{at}"))
}

fn reason(recovered: Recovered, now: Timestamp) -> Option<&'static str> {
    match recovered.reason {
        Reason::Gone => Some("The platform no longer knew up to where this inbox had been read"),
        Reason::Restart if recovered.since.is_some_and(|since| since.until(now) > LONG_GAP) => {
            Some("This inbox had not been read for a while")
        }
        _ => None,
    }
}

/// What the agent is told after a recovery, and the name that keeps it from being told twice. A restart soon after the last
/// read, before there was a row to read on from, is nothing to tell of.
fn text(messages: usize, recovered: Recovered, now: Timestamp) -> Option<(String, String)> {
    let why = reason(recovered, now)?;
    let count = match messages {
        0 => return None,
        1 => "1 message was".to_owned(),
        more => format!("{more} messages were"),
    };
    let (after, name) = match recovered.since {
        Some(since) => {
            let since = since.to_rfc3339();
            (
                format!("after the last good read at {since}"),
                format!("recovered:{since}"),
            )
        }
        None => (
            "from the last ten minutes; earlier ones, if there are any, are in the canvas".to_owned(),
            "recovered:unknown".to_owned(),
        ),
    };
    Some((
        format!("{why}, so {count} recovered {after}. Some may have been seen before."),
        name,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_announced_with_its_count_and_never_for_nothing() {
        let now = Timestamp(2_000_000_000);
        let of = |messages, reason, since| text(messages, Recovered { reason, since }, now);
        let since = Some(Timestamp(0));
        let (said, name) = of(3, Reason::Gone, since).unwrap();
        assert!(
            said.contains("3 messages were recovered after the last good read at 1970-01-01"),
            "{said}"
        );
        assert_eq!(name, "recovered:1970-01-01T00:00:00.000000Z");
        assert!(
            of(1, Reason::Restart, since)
                .unwrap()
                .0
                .contains("1 message was recovered")
        );
        assert!(
            of(5, Reason::Gone, None)
                .unwrap()
                .0
                .contains("5 messages were recovered from the last ten minutes")
        );
        for (messages, reason, since) in [
            (0, Reason::Gone, since),
            (5, Reason::FirstStart, None),
            (5, Reason::Still, since),
            (5, Reason::Detour, since),
            (5, Reason::Restart, None),
            (5, Reason::Restart, Some(Timestamp(1_500_000_000))),
        ] {
            assert_eq!(of(messages, reason, since), None);
        }
    }
}
