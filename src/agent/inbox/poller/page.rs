//! From the reader's plans to requests, and from answers to pages.

use std::collections::HashSet;

use tokio::task::spawn_blocking;

use crate::agent::envelope::{Row, read_row};
use crate::agent::inbox::reader::{Failure, Page, Plan};
use crate::platform::error::CallError;
use crate::platform::wire::{ActivityPage, ActivityQuery};
use crate::platform::workspace::WorkspaceApi;
use crate::types::{Timestamp, WorkspaceId};

/// The request for a plan.
pub(super) fn query(plan: &Plan) -> ActivityQuery {
    ActivityQuery {
        kind: Some("a2a_receive"),
        since_id: plan.since.clone(),
        since_secs: plan.since_secs,
        before_ts: plan.before,
        limit: plan.limit,
        peer_info: true,
    }
}

/// Reads every row of an answer on a thread for blocking work: a page can be 16 MiB.
///
/// # Errors
/// When reading it panicked: rows that do so are treated like rows that cannot be fetched, not met again for ever.
pub(super) async fn read(page: ActivityPage, plan: &Plan, now: Timestamp, own: WorkspaceId) -> Result<Page, CallError> {
    let oldest_first = plan.since.is_some();
    let read = spawn_blocking(move || page_of(&page, oldest_first, now, &own)).await;
    read.map_err(|_| CallError::Malformed {
        detail: "a row could not be taken apart".to_owned(),
    })
}

/// Says where the cards of peers are, as a newer platform does itself.
pub(super) fn with_addresses(mut page: Page, api: &WorkspaceApi) -> Page {
    for row in &mut page.rows {
        if let Row::Message { message, .. } = row
            && message.agent_card_url.is_none()
        {
            message.agent_card_url = message.peer().and_then(|peer| api.card_address(&peer));
        }
    }
    page
}

/// A row without a readable time is given that of the row before it. The first row of a page is given the answer's time, unless
/// it is followed by newer ones: then that of the first row that has one.
fn page_of(page: &ActivityPage, oldest_first: bool, now: Timestamp, own: &WorkspaceId) -> Page {
    let mut instant = page.date.unwrap_or(now);
    let raws = page.rows();
    let mut rows: Vec<Row> = Vec::with_capacity(raws.len());
    let mut begun = false;
    for raw in &raws {
        let row = read_row(raw, own, instant);
        if let Some(head) = row.head().filter(|head| head.timed) {
            instant = head.at;
            if oldest_first && !begun {
                begun = true;
                let untimed = raws.iter().take(rows.len());
                rows = untimed.map(|raw| read_row(raw, own, instant)).collect();
            }
        }
        rows.push(row);
    }
    Page {
        rows,
        date: page.date,
        known: HashSet::new(),
    }
}

/// What a failed request means for reading on.
pub(super) fn failure_of(error: &CallError, plan: &Plan) -> Failure {
    match error {
        CallError::Rejected { status: 410, .. } if plan.since.is_some() => Failure::Gone,
        CallError::TooLarge { .. } => Failure::TooLarge,
        // A platform may fail over one row (500) or over the size of a page (504).
        CallError::Interrupted { .. } | CallError::Malformed { .. } | CallError::Rejected { status: 500 | 504, .. } => {
            Failure::Unreadable
        }
        _ => Failure::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ActivityId;

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn plan(since: Option<ActivityId>, limit: u32) -> Plan {
        Plan {
            since,
            since_secs: None,
            before: None,
            limit,
            compare: false,
            probe: false,
        }
    }

    #[test]
    fn each_failure_asks_for_another_way_of_reading_on() {
        let rejected = |status| CallError::Rejected {
            status,
            detail: String::new(),
            body: None,
        };
        let large = CallError::TooLarge { limit: 1 };
        let cut = CallError::Interrupted { detail: String::new() };
        let garbled = CallError::Malformed { detail: String::new() };
        let refused = CallError::Refused {
            status: 401,
            detail: String::new(),
        };
        for (error, since, expected) in [
            (&rejected(410), Some(id(1)), Failure::Gone),
            (&rejected(410), None, Failure::Other),
            (&rejected(500), None, Failure::Unreadable),
            (&rejected(504), None, Failure::Unreadable),
            (&rejected(502), None, Failure::Other),
            (&large, None, Failure::TooLarge),
            (&cut, None, Failure::Unreadable),
            (&garbled, None, Failure::Unreadable),
            (&refused, Some(id(1)), Failure::Other),
        ] {
            assert_eq!(failure_of(error, &plan(since, 500)), expected, "{error}");
        }
    }

    #[test]
    fn a_plan_becomes_a_query_for_inbound_rows() {
        let asked = query(&Plan {
            since: Some(id(1)),
            since_secs: Some(600),
            before: Some(Timestamp(5)),
            limit: 50,
            compare: false,
            probe: false,
        });
        let expected = ActivityQuery {
            kind: Some("a2a_receive"),
            since_id: Some(id(1)),
            since_secs: Some(600),
            before_ts: Some(Timestamp(5)),
            limit: 50,
            peer_info: true,
        };
        assert_eq!(asked, expected);
    }

    fn times(rows: &[&str], oldest_first: bool) -> Vec<Option<Timestamp>> {
        let own = WorkspaceId::parse("w").unwrap();
        let page = ActivityPage::of(format!("[{}]", rows.join(",")).into(), Some(Timestamp(9))).unwrap();
        let read = page_of(&page, oldest_first, Timestamp(0), &own);
        assert_eq!(read.rows.len(), rows.len());
        read.rows.iter().map(|row| row.head().map(|head| head.at)).collect()
    }

    #[test]
    fn a_row_without_a_time_takes_that_of_a_row_beside_it() {
        let ten = Timestamp::parse("2026-05-01T10:00:00Z");
        let rows = [
            r#"{"id":"a"}"#,
            "8",
            r#"{"id":"b","created_at":"2026-05-01T10:00:00Z"}"#,
            "7",
            r#"{"id":"c","created_at":"soon"}"#,
        ];
        let now = Some(Timestamp(9));
        assert_eq!(times(&rows, true), [ten, None, ten, None, ten]);
        assert_eq!(times(&rows, false), [now, None, ten, None, ten]);
        assert_eq!(times(&rows[..2], true), [now, None], "the answer's own, without any");
    }
}
