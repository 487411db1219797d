//! Answering a message: one tool for every sender, which acknowledges only what was really answered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attachments::Attachment;
use super::message;
use super::outgoing::{self, SendStatus, Sending};
use super::paging::check_text;
use super::workspaces::Workspaces;
use crate::config::Permission;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::state::message::{Entry, Kind, Message, State};
use crate::state::outbox::Work;
use crate::types::{ActivityId, PeerId};

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<ReplyToMessage>();
}

/// Answer a message, whoever sent it: the person or a peer. The message is acknowledged once the reply was accepted;
/// when it was not, the message stays in the inbox.
#[derive(Deserialize, JsonSchema)]
struct ReplyToMessage {
    /// The message to answer.
    activity_id: ActivityId,
    /// The answer.
    text: String,
    /// Absolute paths of files to attach to an answer to the person; see send_message_to_user.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    attachments: Vec<Attachment>,
    /// False: the message stays in the inbox although it was answered, because more is to be done about it.
    also_pop: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
struct Replied {
    /// The message that was answered.
    activity_id: ActivityId,
    /// Whether it is acknowledged, so that it will not be shown again.
    acknowledged: bool,
    #[serde(flatten)]
    sending: Sending,
}

impl Tool<Workspaces> for ReplyToMessage {
    const NAME: &'static str = "reply_to_message";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Replied;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<Replied, ToolError> {
        check_text("text", &self.text)?;
        let entry = all.inboxes().find(&self.activity_id).await?;
        let mut work = route(entry.as_ref(), self.text)?;
        all.check_role(Self::NAME, needed(&work))?;
        let context = match &entry {
            Some(entry) => all.at_arrival(entry)?,
            None => all.first(),
        };
        context.attaching.add_to(&mut work, self.attachments).await?;
        // What a piece of work replies to is acknowledged by the commit that records its acceptance.
        let replies_to = self.also_pop.unwrap_or(true).then(|| self.activity_id.clone());
        let sending = outgoing::send(context, call, work, replies_to).await?;
        // Read back, because the acknowledgement is another part's work.
        let acknowledged = match sending.status {
            SendStatus::Pending => false,
            _ => {
                let entry = context.journal.find(&self.activity_id).await?;
                entry.is_none_or(|entry| entry.state == State::Done)
            }
        };
        Ok(Replied {
            activity_id: self.activity_id,
            acknowledged,
            sending,
        })
    }
}

/// What the tools need by which the Python daemon answers: the person through `send_message_to_user`, a peer through
/// `delegate_task`.
fn needed(work: &Work) -> Permission {
    match work {
        Work::NotifyUser { .. } => Permission::Approve,
        Work::ReplyToPeer { .. } | Work::Delegate { .. } => Permission::Delegate,
    }
}

/// The way back to the sender.
fn route(entry: Option<&Entry>, text: String) -> Result<Work, ToolError> {
    let Some(Entry {
        message, state, mine, ..
    }) = entry
    else {
        return Err(ToolError::failed(
            "NOT_FOUND",
            "there is no message with this activity_id",
            "inbox_peek lists the messages there are",
        ));
    };
    if *state == State::Leased && !mine {
        return Err(ToolError::failed(
            "LEASED_ELSEWHERE",
            "another session of this workspace is working on this message",
            "leave it to that session; should it go away, the message is offered again",
        ));
    }
    let not_replyable = |detail: &'static str| {
        let hint = "when it is handled, acknowledge it with inbox_pop(activity_id)";
        Err(ToolError::failed("NOT_REPLYABLE", detail, hint).with("reply", message::reply(message)))
    };
    match message.kind {
        Kind::CanvasUser => Ok(Work::NotifyUser { text, parcel: None }),
        Kind::PeerAgent => match PeerId::parse(&message.peer_id) {
            Ok(target) => Ok(Work::ReplyToPeer {
                target,
                text,
                in_reply_to: message
                    .message_id
                    .clone()
                    .unwrap_or_else(|| message.activity_id.to_string()),
                delegation_id: message.delegation_id.clone(),
                context_id: message.context_id.clone(),
            }),
            Err(_) => not_replyable("the message does not say which workspace sent it"),
        },
        Kind::DelegationResult => not_replyable("this is the record of a delegation of ours; nobody waits for a reply"),
        Kind::Upload => {
            not_replyable("this is a file; to say something about it to the person use send_message_to_user")
        }
        Kind::System if message::is_remark(message) => Err(ToolError::failed(
            "NOT_REPLYABLE",
            "this was written below a request of ours",
            format!(
                "add_request_message({}) replies; then acknowledge it with inbox_pop(activity_id)",
                request(message)
            ),
        )),
        Kind::System => not_replyable("this is a note of the platform; nobody waits for a reply"),
        Kind::Broadcast => not_replyable("this went to everyone; to talk to its sender use delegate_task"),
        // A text does not say which of the answers it is, and one that was guessed could allow what was not meant.
        Kind::Request => {
            let about = message.request.as_ref();
            let options = about.map_or_else(String::new, |about| message::options(about).join(" or "));
            Err(ToolError::failed(
                "NOT_REPLYABLE",
                "a request is answered by a decision, not by a text",
                format!(
                    "respond_request({request}, action={options}) answers it and acknowledges, message=... adds a word; \
                     add_request_message({request}) asks something back",
                    request = request(message)
                ),
            ))
        }
    }
}

/// The argument that names a message's request.
fn request(message: &Message) -> String {
    let id = message.request.as_ref().and_then(|about| about.id.as_ref());
    id.map_or_else(|| "request_id".to_owned(), |id| format!("request_id=\"{id}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::request::Part;

    #[test]
    fn the_person_and_peers_are_answered_by_their_own_route() {
        let person = message::sample(Kind::CanvasUser, "?");
        assert_eq!(
            route(Some(&person), "!".to_owned()).unwrap(),
            Work::NotifyUser {
                text: "!".to_owned(),
                parcel: None
            }
        );

        let mut peer = message::sample(Kind::PeerAgent, "?");
        let work = |in_reply_to: &str| Work::ReplyToPeer {
            target: PeerId::parse("5f0c1d2e-0000-4000-8000-000000000001").unwrap(),
            text: "!".to_owned(),
            in_reply_to: in_reply_to.to_owned(),
            delegation_id: Some("d-1".to_owned()),
            context_id: Some("c-1".to_owned()),
        };
        assert_eq!(route(Some(&peer), "!".to_owned()).unwrap(), work("m-1"));
        peer.message.message_id = None;
        assert_eq!(route(Some(&peer), "!".to_owned()).unwrap(), work("a-1"));
    }

    #[test]
    fn what_cannot_be_answered_says_what_to_do_instead() {
        let code = |entry: Option<&Entry>| route(entry, "!".to_owned()).unwrap_err().code().to_owned();
        for kind in [
            Kind::DelegationResult,
            Kind::Upload,
            Kind::System,
            Kind::Broadcast,
            Kind::Request,
        ] {
            assert_eq!(code(Some(&message::sample(kind, "?"))), "NOT_REPLYABLE", "{kind:?}");
        }
        let hint = |message: Message| {
            let mut entry = message::sample(message.kind, "?");
            entry.message = message;
            let error = route(Some(&entry), "!".to_owned()).unwrap_err();
            format!("{error:?}")
        };
        let id = "5f0c1d2e-0000-4000-8000-00000000000a";
        let mut request = message::sample_request(id);
        let told = hint(request.clone());
        assert!(
            told.contains("respond_request(request_id=") && told.contains(id),
            "{told}"
        );
        assert!(told.contains("action=done or rejected"), "{told}");
        request.kind = Kind::System;
        request.request.as_mut().unwrap().part = Part::Remark;
        assert!(hint(request).contains("add_request_message(request_id="));
        let mut anonymous = message::sample(Kind::PeerAgent, "?");
        anonymous.message.peer_id.clear();
        assert_eq!(code(Some(&anonymous)), "NOT_REPLYABLE");
        assert_eq!(code(None), "NOT_FOUND");
        let mut elsewhere = message::sample(Kind::CanvasUser, "?");
        elsewhere.mine = false;
        assert_eq!(code(Some(&elsewhere)), "LEASED_ELSEWHERE");
        elsewhere.state = State::New;
        assert!(route(Some(&elsewhere), "!".to_owned()).is_ok());
    }
}
