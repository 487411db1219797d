use std::collections::HashSet;
use std::time::Duration;

use crate::state::journal::fixture::{Folder, batch, end, id, lease_name, message};
use crate::state::journal::{Journal, Popped};

const PERIOD: Option<Duration> = Some(Duration::from_secs(60));

async fn reserve(journal: &Journal, period: Option<Duration>, but_not: &[&str]) -> Option<String> {
    let but_not = but_not.iter().map(|name| id(name)).collect();
    let entry = journal.reserve_next(period, but_not, |_| true).await.unwrap()?;
    Some(entry.message.activity_id.as_str().to_owned())
}

#[tokio::test]
async fn a_reserved_message_goes_to_its_session_alone_until_its_time_is_over() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
    assert_eq!(reserve(&one, PERIOD, &[]).await.as_deref(), Some("a"));
    assert_eq!(reserve(&two, PERIOD, &[]).await.as_deref(), Some("b"));
    assert_eq!(lease_name(&one).await.as_deref(), Some("a"), "its own wait returns it");
    assert_eq!(lease_name(&one).await, None, "the other one is reserved elsewhere");
    folder.time.advance(Duration::from_secs(60));
    assert_eq!(lease_name(&one).await.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_reservation_is_no_delivery_and_does_not_stand_in_the_way_of_an_acknowledgement() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    assert_eq!(reserve(&one, PERIOD, &[]).await.as_deref(), Some("a"));
    assert_eq!(one.find(&id("a")).await.unwrap().unwrap().delivery_count, 0);
    assert_eq!(one.counts().await.unwrap().new, 1);
    assert_eq!(two.pop(&id("a")).await.unwrap(), Popped::Removed);
    assert_eq!(reserve(&one, PERIOD, &[]).await, None);
}

#[tokio::test]
async fn a_reservation_ends_with_its_session() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0)])).await.unwrap();
    assert_eq!(reserve(&one, PERIOD, &[]).await.as_deref(), Some("a"));
    assert_eq!(reserve(&two, PERIOD, &[]).await, None);
    end(one).await;
    assert_eq!(lease_name(&two).await.as_deref(), Some("a"));
}

#[tokio::test]
async fn without_a_period_nothing_is_reserved_and_what_was_hinted_is_passed_over() {
    let folder = Folder::new();
    let (one, two) = (folder.open().await, folder.open().await);
    one.commit(batch([message("a", 0), message("b", 1)])).await.unwrap();
    assert_eq!(reserve(&one, None, &["a"]).await.as_deref(), Some("b"));
    assert_eq!(reserve(&one, None, &["a", "b"]).await, None);
    assert_eq!(lease_name(&two).await.as_deref(), Some("a"));
    assert_eq!(lease_name(&two).await.as_deref(), Some("b"));
    two.pop(&id("a")).await.unwrap();
    let open = one.still_open(vec![id("a"), id("b"), id("c")]).await.unwrap();
    assert_eq!(open, [(id("b"), false)]);
}

#[tokio::test]
async fn the_mark_of_the_inbox_changes_with_everything_that_can_be_seen_in_it() {
    let folder = Folder::new();
    let journal = folder.open().await;
    let mut marks = HashSet::from([journal.inbox_mark().await.unwrap()]);
    journal.commit(batch([message("a", 0)])).await.unwrap();
    assert!(marks.insert(journal.inbox_mark().await.unwrap()), "arrived");
    lease_name(&journal).await.unwrap();
    assert!(marks.insert(journal.inbox_mark().await.unwrap()), "shown");
    assert!(!marks.insert(journal.inbox_mark().await.unwrap()), "nothing happened");
    journal.commit(batch([message("b", 1)])).await.unwrap();
    journal.pop(&id("a")).await.unwrap();
    assert!(marks.insert(journal.inbox_mark().await.unwrap()), "one came, one went");
}
