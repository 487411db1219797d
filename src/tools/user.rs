//! Talking to the person first, without having been asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::context::Context;
use super::outgoing::{self, Sending};
use super::paging::check_text;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::state::outbox::Work;
use crate::types::WorkspaceId;

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Registry<Context>) {
    tools.add::<SendMessageToUser>();
}

/// Send a message to the person, who sees it on the canvas. To answer a message use reply_to_message, which also
/// acknowledges it.
#[derive(Deserialize, JsonSchema)]
struct SendMessageToUser {
    /// What to say.
    message: String,
    /// Files to attach. Not supported yet: leave it out or empty, and name the files in the message.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    attachments: Vec<Value>,
    /// Left out, or this daemon's own workspace.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Serialize, JsonSchema)]
struct Sent {
    #[serde(flatten)]
    sending: Sending,
}

impl Tool<Context> for SendMessageToUser {
    const NAME: &'static str = "send_message_to_user";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Sent;

    async fn call(self, context: &Context, call: &Call) -> Result<Sent, ToolError> {
        context.check_route("workspace_id", self.workspace_id.as_ref())?;
        let work = self.work()?;
        let sending = outgoing::send(context, call, work, None).await?;
        Ok(Sent { sending })
    }
}

impl SendMessageToUser {
    fn work(self) -> Result<Work, ToolError> {
        check_text("message", &self.message)?;
        if !self.attachments.is_empty() {
            return Err(ToolError::failed(
                "ATTACHMENTS_UNSUPPORTED",
                "this version cannot attach files; nothing was sent",
                "send the message without attachments and say in it where the files are",
            ));
        }
        Ok(Work::NotifyUser {
            text: self.message,
            parcel: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(message: &str, attachments: Vec<Value>) -> Result<Work, String> {
        let tool = SendMessageToUser {
            message: message.to_owned(),
            attachments,
            workspace_id: None,
        };
        tool.work().map_err(|error| error.code().to_owned())
    }

    #[test]
    fn the_message_goes_out_as_written_or_not_at_all() {
        assert_eq!(
            work(" hi\n", vec![]),
            Ok(Work::NotifyUser {
                text: " hi\n".to_owned(),
                parcel: None
            })
        );
        assert_eq!(work(" \n", vec![]), Err("INVALID_ARGUMENT".to_owned()));
        assert_eq!(
            work("hi", vec!["/tmp/x".into()]),
            Err("ATTACHMENTS_UNSUPPORTED".to_owned())
        );
    }
}
