//! Messages as a person at a terminal, or a script, is shown them. Their text is other people's: nothing in it reaches the
//! terminal but letters.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::printable::{first_line, printable};
use crate::state::history::Said;
use crate::state::journal::Counts;
use crate::state::message::{Entry, Kind};
use crate::state::outbox::Work;
use crate::tools::message::MessageView;
use crate::types::PeerId;

/// As the tools show it, with the whole text.
pub(super) fn json(entry: &Entry) -> Value {
    json!(MessageView::new(entry, 0, usize::MAX))
}

pub(super) fn json_list(entries: &[Entry], counts: &Counts) -> Value {
    let messages: Vec<_> = entries.iter().map(json).collect();
    json!({
        "messages": messages,
        "counts": {
            "new": counts.new, "leased": counts.leased, "aside": counts.aside, "recovered": counts.recovered,
            "damaged": counts.damaged,
        },
    })
}

/// One message in one line: id, state, time, sender, how it begins.
pub(super) fn line(entry: &Entry) -> String {
    let message = &entry.message;
    let text = match message.text.trim() {
        "" if message.attachments.len() == 1 => "(a file)".to_owned(),
        "" => format!("({} files)", message.attachments.len()),
        text => first_line(text, 80),
    };
    format!(
        "{}  {:9}  {}  {}: {text}\n",
        message.activity_id,
        entry.state.as_str(),
        time(&message.created_at),
        sender(entry)
    )
}

pub(super) fn list(entries: &[Entry], counts: &Counts) -> String {
    let mut text: String = entries.iter().map(line).collect();
    let _ = writeln!(
        text,
        "{} new, {} leased, {} set aside",
        counts.new, counts.leased, counts.aside
    );
    if counts.recovered + counts.damaged > 0 {
        let _ = writeln!(text, "{} recovered, {} damaged", counts.recovered, counts.damaged);
    }
    text
}

/// One message with all that is known of it.
pub(super) fn whole(entry: &Entry) -> String {
    let message = &entry.message;
    let mut text = format!(
        "id       {}\nstate    {}, shown {} times\nfrom     {}\narrived  {}\n",
        message.activity_id,
        entry.state.as_str(),
        entry.delivery_count,
        sender(entry),
        printable(&message.created_at, " ")
    );
    for (name, value) in [
        ("task", &message.delegation_id),
        ("answers", &message.in_reply_to),
        ("status", &message.status),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:9}{}", first_line(value, 200));
        }
    }
    for file in &message.attachments {
        let part = |name: &str| first_line(file[name].as_str().unwrap_or_default(), 200);
        let _ = writeln!(text, "file     {} {}", part("name"), part("uri"));
    }
    let _ = writeln!(text, "\n{}", printable(&message.text, "\n"));
    text
}

/// What was received and sent, one line each.
pub(super) fn found(found: &[Said]) -> String {
    if found.is_empty() {
        return "nothing found\n".to_owned();
    }
    let one = |said: &Said| match said {
        Said::Received(entry) => line(entry),
        Said::Sent(item) => format!(
            "{}  {:9}  {}  to {}: {}\n",
            printable(&item.id, " "),
            "sent",
            time(&item.created.to_rfc3339()),
            first_line(&recipient(&item.work), 40),
            first_line(words(&item.work).1, 80)
        ),
    };
    found.iter().map(one).collect()
}

pub(super) fn json_said(said: &Said) -> Value {
    match said {
        Said::Received(entry) => json!({ "direction": "received", "message": json(entry) }),
        Said::Sent(item) => json!({
            "direction": "sent", "id": item.id, "to": recipient(&item.work), "created_at": item.created.to_rfc3339(),
            "text": words(&item.work).1,
        }),
    }
}

fn recipient(work: &Work) -> String {
    words(work)
        .0
        .map_or_else(|| "the person".to_owned(), ToString::to_string)
}

/// To whom, if not the person, and what.
fn words(work: &Work) -> (Option<&PeerId>, &str) {
    match work {
        Work::Delegate { target, task } => (Some(target), task),
        Work::ReplyToPeer { target, text, .. } => (Some(target), text),
        Work::NotifyUser { text, .. } => (None, text),
    }
}

/// To the second; a time that is none stays as it is.
fn time(text: &str) -> String {
    first_line(text.get(..19).unwrap_or(text), 19)
}

fn sender(entry: &Entry) -> String {
    let message = &entry.message;
    match message.kind {
        Kind::CanvasUser => "the person".to_owned(),
        kind if message.peer_id.is_empty() => kind.as_str().to_owned(),
        _ => match &message.peer_name {
            Some(name) => format!("{} ({})", first_line(name, 40), first_line(&message.peer_id, 36)),
            None => first_line(&message.peer_id, 36),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::message::{Message, State};
    use crate::types::{ActivityId, Timestamp};

    fn entry(kind: Kind, text: &str) -> Entry {
        let mut message = Message::bare(ActivityId::parse("a1").unwrap(), kind, Timestamp(0));
        message.text = text.to_owned();
        Entry {
            message,
            state: State::New,
            delivery_count: 2,
            mine: false,
            maybe_reply_to: None,
            arrival: None,
            answers: None,
        }
    }

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        let mut peer = entry(Kind::PeerAgent, "\u{1b}[31mone\ntwo");
        peer.message.peer_id = "p".to_owned();
        peer.message.peer_name = Some("Ann\u{202e}\nx".to_owned());
        assert_eq!(
            line(&peer),
            "a1  new        1970-01-01T00:00:00  Ann\\u{202e}… (p): \\u{1b}[31mone…\n"
        );
        assert!(line(&entry(Kind::CanvasUser, "hi")).contains("the person: hi\n"));
        assert!(line(&entry(Kind::System, "note")).contains("system: note\n"));
        let mut upload = entry(Kind::Upload, "");
        upload.message.attachments.push(json!({ "name": "a.txt" }));
        assert!(line(&upload).ends_with("upload: (a file)\n"));
        assert!(whole(&upload).contains("file     a.txt"));
    }

    #[test]
    fn a_script_gets_the_exact_and_whole_text() {
        let long = format!("\u{1b}[31m{}", "x".repeat(200_000));
        assert_eq!(json(&entry(Kind::CanvasUser, &long))["text"], long);
        assert!(!whole(&entry(Kind::CanvasUser, &long)).contains('\u{1b}'));
    }
}
