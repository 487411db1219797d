//! Files of a message to the person: all at the platform before the message goes, each brought there once if possible.

use super::body;
use super::decide::Unready;
use super::ports::{Book, Platform};
use crate::platform::error::CallError;
use crate::platform::files::FilePart;
use crate::platform::wire::Attached;
use crate::state::crash_point;
use crate::state::outbox::{Item, Parcel};
use crate::state::spool::Spool;

/// Brings the files of a message to the platform, as far as they are not there, and answers what the message says of them.
pub(super) async fn bring<P: Platform, B: Book>(
    platform: &P,
    book: &B,
    spool: &Spool,
    item: &Item,
) -> Result<Vec<Attached>, Unready> {
    let Some(parcel) = item.work.parcel() else {
        return Ok(Vec::new());
    };
    let mut attached = Vec::with_capacity(parcel.files.len());
    for (place, file) in parcel.files.iter().enumerate() {
        let uri = match book.upload_of(&item.id, place).await? {
            Some(uri) => uri,
            None => bring_one(platform, book, spool, &item.id, parcel, place).await?,
        };
        attached.push(Attached {
            uri,
            name: body::safe(&file.name).into_owned(),
            mime_type: file.mime_type.clone(),
            size: file.size,
        });
    }
    Ok(attached)
}

async fn bring_one<P: Platform, B: Book>(
    platform: &P,
    book: &B,
    spool: &Spool,
    item: &str,
    parcel: &Parcel,
    place: usize,
) -> Result<String, Unready> {
    let file = &parcel.files[place];
    let name = book.begin_upload(item, place, &file.name).await?;
    crash_point::pass("upload", "begun");
    let part = FilePart {
        path: &spool.path(parcel, place),
        name: &name,
        mime_type: &file.mime_type,
        size: file.size,
    };
    let uri = platform.upload(part).await.map_err(|error| judged(&file.name, error))?;
    crash_point::pass("upload", "sent");
    let named = book.uploaded(&name, &uri).await?;
    crash_point::pass("upload", "recorded");
    Ok(named)
}

/// A file that arrived although no answer says so does no harm: nothing refers to it, and the platform drops it after a day.
fn judged(file: &str, error: CallError) -> Unready {
    if error.is_transient() || error.outcome_is_unknown() {
        return Unready::from(error);
    }
    Unready::Final(format!(
        "the file {file} could not be uploaded ({error}), so nothing was sent"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::stand_in::{Desk, Post, interrupted, refused, rejected, with_files};
    use super::*;

    #[tokio::test]
    async fn every_file_is_brought_and_none_twice() {
        let (_home, spool, item) = with_files(2);
        let (post, desk) = (Post::default(), Desk::holding([item.clone()]));
        let attached = bring(&post, &desk, &spool, &item).await.unwrap();
        let names: Vec<_> = attached.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["0.txt", "1.txt"]);
        assert_ne!(attached[0].uri, attached[1].uri);
        assert_eq!(post.calls().len(), 2);
        assert_eq!(bring(&post, &desk, &spool, &item).await.unwrap(), attached);
        assert_eq!(post.calls().len(), 2);
    }

    #[tokio::test]
    async fn a_failure_says_whether_to_try_again_and_what_is_there_stays() {
        for (error, passing) in [
            (interrupted(), true),
            (rejected(500), true),
            (rejected(413), false),
            (rejected(422), false),
            (refused(), false),
        ] {
            let (_home, spool, item) = with_files(2);
            let (post, desk) = (Post::default(), Desk::holding([item.clone()]));
            post.next([Ok(()), Err(error.clone())]);
            let failure = bring(&post, &desk, &spool, &item).await.unwrap_err();
            assert_eq!(matches!(failure, Unready::Passing { .. }), passing, "{error}");
            post.next([Ok(())]);
            bring(&post, &desk, &spool, &item).await.unwrap();
            assert_eq!(post.calls().len(), 3, "{error}");
        }
    }

    #[tokio::test]
    async fn a_message_names_the_address_that_the_journal_settles_on() {
        let (_home, spool, item) = with_files(1);
        let (post, desk) = (Post::default(), Desk::holding([item.clone()]));
        desk.know_it_at("at:earlier");
        for _ in 0..2 {
            let attached = bring(&post, &desk, &spool, &item).await.unwrap();
            assert_eq!(attached[0].uri, "at:earlier");
        }
        assert_eq!(post.calls().len(), 1);
    }

    #[tokio::test]
    async fn nothing_goes_that_could_not_be_written_down_first() {
        let (_home, spool, item) = with_files(1);
        let (post, desk) = (Post::default(), Desk::holding([item.clone()]));
        desk.refuse_attempts(1);
        assert!(matches!(
            bring(&post, &desk, &spool, &item).await,
            Err(Unready::Passing { .. })
        ));
        assert!(post.calls().is_empty());
    }
}
