//! What the platform's lists of requests mean for the inbox. Pure.
//!
//! A request counts as closed only when the platform says so: one that a list does not show may have been pushed out of it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::platform::requests::{RequestMessage, RequestRow, RequestThread};
use crate::state::journal::News;
use crate::state::message::{Kind, Message};
use crate::state::request::{ANSWER_NOTE, About, Part, REMARK_NOTE, Side};
use crate::types::{ActivityId, RequestId, Timestamp, WorkspaceId};

/// What is older was told, or is not news any more; the journal still knows what it was told that long ago.
const NEWS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is needed to judge.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    /// The workspace.
    pub(super) own: &'a WorkspaceId,
    /// The requests that are open, as far as the journal knows.
    pub(super) open: &'a HashMap<RequestId, Side>,
    /// The platform's time.
    pub(super) now: Timestamp,
}

/// What a list says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Judged {
    /// To be committed. Messages that the journal holds already are among it.
    pub(super) news: News,
    /// Requests that are open in the journal and not in the list: each is to be looked into.
    pub(super) missing: Vec<RequestId>,
    /// Open requests of which more was asked back, so that more may be written below them.
    pub(super) talking: Vec<RequestId>,
}

impl Judge<'_> {
    /// Judges the list of one side, newest first as the platform gives it.
    pub(super) fn list(&self, side: Side, rows: &[RequestRow]) -> Judged {
        let mut judged = Judged::default();
        let mut seen = HashSet::new();
        for row in rows.iter().rev() {
            // One that cannot be named cannot be answered either.
            let Ok(id) = RequestId::parse(&row.id) else { continue };
            if row.status == "info_requested" {
                judged.talking.push(id.clone());
            }
            self.row(side, &id, row, &mut judged.news);
            seen.insert(id);
        }
        let open = self.open.iter().filter(|(_, of)| **of == side);
        judged.missing = open.map(|(id, _)| id.clone()).filter(|id| !seen.contains(id)).collect();
        judged.missing.sort();
        judged
    }

    /// Judges one request with what was written below it.
    pub(super) fn thread(&self, thread: &RequestThread) -> News {
        let mut news = News::default();
        let row = &thread.request;
        let (Ok(id), Some(side)) = (RequestId::parse(&row.id), self.side(row)) else {
            return news;
        };
        self.row(side, &id, row, &mut news);
        if side == Side::Ours && !row.is_open() && !self.open.contains_key(&id) && self.is_news(answered(row)) {
            // An event told of it before it was known that it is ours.
            news.messages.extend(self.answer(&id, row));
        }
        if side == Side::Ours || row.is_open() {
            let remarks = thread.messages.iter().filter(|remark| !self.is_by_us(remark));
            let remarks = remarks.filter(|remark| self.is_news(Some(&remark.created_at)));
            news.messages
                .extend(remarks.filter_map(|remark| self.remark(side, &id, row, remark)));
        }
        news
    }

    fn row(&self, side: Side, id: &RequestId, row: &RequestRow, news: &mut News) {
        let known = self.open.get(id) == Some(&side);
        match (row.is_open(), side) {
            (true, _) => {
                if !known {
                    news.opened.push((id.clone(), side));
                }
                if side == Side::Theirs {
                    news.messages.push(self.question(id, row));
                }
            }
            (false, _) if !known => {}
            (false, Side::Theirs) => news.closed.push(id.clone()),
            (false, Side::Ours) => {
                news.closed.push(id.clone());
                news.messages.extend(self.answer(id, row));
            }
        }
    }

    fn side(&self, row: &RequestRow) -> Option<Side> {
        let is_own = |party: &str, id: &str| party == "agent" && id.eq_ignore_ascii_case(self.own.as_str());
        if is_own(&row.requester_type, &row.requester_id) {
            Some(Side::Ours)
        } else {
            is_own(&row.recipient_type, &row.recipient_id).then_some(Side::Theirs)
        }
    }

    fn is_by_us(&self, remark: &RequestMessage) -> bool {
        remark.author_type == "agent" && remark.author_id.eq_ignore_ascii_case(self.own.as_str())
    }

    fn is_news(&self, at: Option<&str>) -> bool {
        let at = at.and_then(Timestamp::parse);
        at.is_some_and(|at| at.until(self.now) < NEWS)
    }

    /// A request to this workspace.
    fn question(&self, id: &RequestId, row: &RequestRow) -> Message {
        let text = match row.detail.as_deref().filter(|detail| !detail.is_empty()) {
            Some(detail) => format!("{}\n\n{detail}", row.title),
            None => row.title.clone(),
        };
        Message {
            activity_id: ActivityId::parse(id.as_str()).expect("a UUID is an activity id"),
            kind: Kind::Request,
            peer_id: agent(&row.requester_type, &row.requester_id),
            request: Some(about(Part::Question, id, row)),
            ..self.message(text, &row.created_at)
        }
    }

    /// What the other side wrote below a request; `None` when it has no name of its own.
    fn remark(&self, side: Side, id: &RequestId, row: &RequestRow, remark: &RequestMessage) -> Option<Message> {
        let name = RequestId::parse(&remark.id).ok()?;
        let message = Message {
            peer_id: agent(&remark.author_type, &remark.author_id),
            request: Some(about(Part::Remark, id, row)),
            ..self.message(remark.body.clone(), &remark.created_at)
        };
        Some(match side {
            Side::Theirs => Message {
                activity_id: ActivityId::parse(name.as_str()).ok()?,
                kind: Kind::Request,
                ..message
            },
            Side::Ours => noted(REMARK_NOTE, &name, message)?,
        })
    }

    /// How a request of ours was answered; `None` when it was taken back.
    fn answer(&self, id: &RequestId, row: &RequestRow) -> Option<Message> {
        if row.status == "cancelled" {
            return None;
        }
        let by = match (row.responder_type.as_deref(), &row.responder_id) {
            (Some("agent"), Some(id)) => format!("the workspace {id}"),
            _ => "the person".to_owned(),
        };
        let text = format!(
            "Your {} request {:?} (id {id}) was answered by {by}: {}. get_request shows what was written below it.",
            row.kind, row.title, row.status
        );
        let message = Message {
            request: Some(about(Part::Answer, id, row)),
            ..self.message(text, answered(row).unwrap_or_default())
        };
        noted(ANSWER_NOTE, id, message)
    }

    /// A message with nothing but a text and a time.
    fn message(&self, text: String, created_at: &str) -> Message {
        let at = Timestamp::parse(created_at);
        let id = ActivityId::parse("unnamed").expect("a word is an activity id");
        Message {
            text,
            created_at: at.map_or_else(|| self.now.to_rfc3339(), |_| created_at.to_owned()),
            ..Message::bare(id, Kind::System, at.unwrap_or(self.now))
        }
    }
}

/// Names a message about a request of ours as the platform's own note about the same begins, so that only one is offered.
fn noted(prefix: &str, event: &RequestId, message: Message) -> Option<Message> {
    let name = format!("{prefix}{event}");
    Some(Message {
        activity_id: ActivityId::parse(&name).ok()?,
        message_id: Some(name),
        ..message
    })
}

fn about(part: Part, id: &RequestId, row: &RequestRow) -> About {
    let filled = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    About {
        part,
        id: Some(id.clone()),
        wish: filled(&row.kind),
        title: filled(&row.title),
        status: filled(&row.status),
        priority: row.priority,
    }
}

/// The id of a workspace; empty for the person.
fn agent(party: &str, id: &str) -> String {
    if party == "agent" { id.to_owned() } else { String::new() }
}

fn answered(row: &RequestRow) -> Option<&str> {
    row.responded_at.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OWN: &str = "00000000-0000-4000-8000-00000000000a";
    const PEER: &str = "00000000-0000-4000-8000-00000000000b";
    const AT: &str = "2026-05-01T10:00:00.5Z";

    fn id(n: u32) -> RequestId {
        RequestId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn row(n: u32, from: &str, to: &str, status: &str) -> RequestRow {
        serde_json::from_value(
            json!({ "id": id(n), "kind": "task", "requester_type": "agent", "requester_id": from,
            "recipient_type": "agent", "recipient_id": to, "title": format!("title {n}"), "detail": null,
            "status": status, "created_at": AT, "responder_type": "agent", "responder_id": to, "responded_at": AT,
            "priority": 3 }),
        )
        .unwrap()
    }

    fn thread(request: RequestRow, messages: &Value) -> RequestThread {
        RequestThread {
            request,
            messages: serde_json::from_value(messages.clone()).unwrap(),
        }
    }

    fn judge<T>(open: &[(u32, Side)], judge: impl FnOnce(&Judge<'_>) -> T) -> T {
        let own = WorkspaceId::parse(OWN).unwrap();
        let open = open.iter().map(|(n, side)| (id(*n), *side)).collect();
        let now = Timestamp::parse(AT).unwrap().plus_micros(60_000_000);
        judge(&Judge {
            own: &own,
            open: &open,
            now,
        })
    }

    fn names(news: &News) -> Vec<String> {
        news.messages
            .iter()
            .map(|message| message.activity_id.to_string())
            .collect()
    }

    #[test]
    fn an_open_request_is_offered_with_who_asks_what() {
        let mut asked = row(1, &PEER.to_uppercase(), OWN, "pending");
        asked.detail = Some("the detail".to_owned());
        let of_person = RequestRow {
            requester_type: "user".to_owned(),
            ..row(2, "u", OWN, "info_requested")
        };
        let nameless = RequestRow {
            id: "7".to_owned(),
            ..row(3, PEER, OWN, "pending")
        };
        let judged = judge(&[(2, Side::Theirs)], |judge| {
            judge.list(Side::Theirs, &[nameless, of_person, asked])
        });
        assert_eq!(names(&judged.news), [id(1).as_str(), id(2).as_str()], "oldest first");
        assert_eq!(judged.news.opened, [(id(1), Side::Theirs)]);
        assert_eq!((&judged.talking, &judged.missing), (&vec![id(2)], &Vec::new()));
        let first = &judged.news.messages[0];
        assert_eq!(
            (
                first.kind,
                first.text.as_str(),
                first.peer_id.as_str(),
                first.created_at.as_str()
            ),
            (Kind::Request, "title 1\n\nthe detail", PEER.to_uppercase().as_str(), AT)
        );
        let about = first.request.as_ref().unwrap();
        assert_eq!(
            (about.part, &about.id, about.wish.as_deref(), about.priority),
            (Part::Question, &Some(id(1)), Some("task"), Some(3))
        );
        let second = &judged.news.messages[1];
        assert_eq!((second.text.as_str(), second.peer_id.as_str()), ("title 2", ""));
    }

    #[test]
    fn a_request_is_closed_only_by_what_the_platform_says_of_it() {
        let open = [(1, Side::Theirs), (2, Side::Theirs), (3, Side::Ours), (4, Side::Ours)];
        let judged = judge(&open, |judge| {
            judge.list(
                Side::Theirs,
                &[row(1, PEER, OWN, "rejected"), row(9, PEER, OWN, "done")],
            )
        });
        let expected = News {
            closed: vec![id(1)],
            ..News::default()
        };
        assert_eq!((judged.news, judged.missing), (expected, vec![id(2)]));
        let rows = [
            row(3, OWN, PEER, "cancelled"),
            row(5, OWN, PEER, "pending"),
            row(6, OWN, PEER, "done"),
        ];
        let judged = judge(&open, |judge| judge.list(Side::Ours, &rows));
        let expected = News {
            opened: vec![(id(5), Side::Ours)],
            closed: vec![id(3)],
            ..News::default()
        };
        assert_eq!((judged.news, judged.missing), (expected, vec![id(4)]));
    }

    #[test]
    fn an_answer_to_ours_says_who_answered_what_and_how() {
        for (responder, by) in [
            ("agent", format!("by the workspace {PEER}: done.")),
            ("user", "by the person: done.".to_owned()),
        ] {
            let answered = RequestRow {
                responder_type: Some(responder.to_owned()),
                title: "a \"b\"".to_owned(),
                ..row(1, OWN, PEER, "done")
            };
            let judged = judge(&[(1, Side::Ours)], |judge| judge.list(Side::Ours, &[answered]));
            assert_eq!(judged.news.closed, [id(1)]);
            let [message] = &judged.news.messages[..] else {
                panic!("{judged:?}")
            };
            assert!(
                message.text.contains(&by) && message.text.contains(r#""a \"b\"" (id "#),
                "{}",
                message.text
            );
            let name = format!("{ANSWER_NOTE}{}", id(1));
            assert_eq!(
                (message.kind, message.activity_id.as_str(), message.message_id.as_ref()),
                (Kind::System, name.as_str(), Some(&name))
            );
            assert_eq!(message.request.as_ref().unwrap().status.as_deref(), Some("done"));
        }
    }

    #[test]
    fn what_the_other_side_writes_below_an_open_request_is_offered() {
        let remarks = json!([
            { "id": id(21), "author_type": "agent", "author_id": PEER, "body": "theirs", "created_at": AT },
            { "id": id(22), "author_type": "agent", "author_id": OWN.to_uppercase(), "body": "ours", "created_at": AT },
            { "id": id(23), "author_type": "user", "author_id": "admin", "body": "the person's", "created_at": AT },
            { "id": id(24), "author_type": "agent", "author_id": PEER, "body": "old", "created_at": "2026-04-01T10:00:00Z" },
            { "id": "", "author_type": "agent", "author_id": PEER, "body": "nameless", "created_at": AT },
        ]);
        let news = |open: &[(u32, Side)], row: RequestRow| judge(open, |judge| judge.thread(&thread(row, &remarks)));
        let theirs = news(&[(1, Side::Theirs)], row(1, PEER, OWN, "info_requested"));
        assert_eq!(names(&theirs), [id(1), id(21), id(23)].map(|id| id.to_string()));
        assert_eq!(
            (
                theirs.messages[1].peer_id.as_str(),
                theirs.messages[1].kind,
                theirs.messages[2].peer_id.as_str()
            ),
            (PEER, Kind::Request, "")
        );
        assert_eq!(theirs.messages[1].request.as_ref().unwrap().id, Some(id(1)));
        let closed = news(&[(1, Side::Theirs)], row(1, PEER, OWN, "done"));
        assert_eq!((names(&closed), closed.closed), (Vec::new(), vec![id(1)]));

        let remarks_on_ours = [21, 23].map(|n| format!("{REMARK_NOTE}{}", id(n)));
        let ours = news(&[(1, Side::Ours)], row(1, OWN, PEER, "info_requested"));
        assert_eq!(
            (names(&ours), ours.messages[0].kind),
            (remarks_on_ours.to_vec(), Kind::System)
        );
        let answer = format!("{ANSWER_NOTE}{}", id(1));
        let with_answer = [vec![answer.clone()], remarks_on_ours.to_vec()].concat();
        for open in [&[(1, Side::Ours)][..], &[]] {
            assert_eq!(names(&news(open, row(1, OWN, PEER, "done"))), with_answer);
        }
        let mut long_ago = row(1, OWN, PEER, "done");
        long_ago.responded_at = Some("2026-04-01T10:00:00Z".to_owned());
        assert_eq!(names(&news(&[], long_ago)), remarks_on_ours);
        assert_eq!(
            news(&[], row(1, PEER, PEER, "pending")),
            News::default(),
            "nobody's here"
        );
    }
}
