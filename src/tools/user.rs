//! Talking to the person first, without having been asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attachments::Attachment;
use super::outgoing::{self, Sending};
use super::paging::check_text;
use super::workspaces::Workspaces;
use crate::config::Permission;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Registry, Tool};
use crate::state::outbox::Work;
use crate::types::WorkspaceId;

/// Adds the tool of this file.
pub(super) fn register(tools: &mut Registry<Workspaces>) {
    tools.add::<SendMessageToUser>();
}

/// Send a message to the person, who sees it on the canvas. To answer a message use reply_to_message, which also
/// acknowledges it.
#[derive(Deserialize, JsonSchema)]
struct SendMessageToUser {
    /// What to say.
    message: String,
    /// Absolute paths of files to attach: 10 at most, 25 MB each, from the working directory or the folders that
    /// MOLECULE_ATTACH_ROOTS names. The message goes with all of them or not at all. The platform keeps them for a day.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    attachments: Vec<Attachment>,
    /// Which workspace of this daemon acts: needed only where it serves several.
    workspace_id: Option<WorkspaceId>,
}

#[derive(Serialize, JsonSchema)]
struct Sent {
    #[serde(flatten)]
    sending: Sending,
}

impl Tool<Workspaces> for SendMessageToUser {
    const NAME: &'static str = "send_message_to_user";
    const EFFECT: Effect = Effect::WRITE;
    type Output = Sent;

    async fn call(self, all: &Workspaces, call: &Call) -> Result<Sent, ToolError> {
        all.check_role(Self::NAME, Permission::Approve)?;
        let context = all.one("workspace_id", self.workspace_id.as_ref())?;
        let mut work = work(self.message)?;
        context.attaching.add_to(&mut work, self.attachments).await?;
        let sending = outgoing::send(context, call, work, None).await?;
        Ok(Sent { sending })
    }
}

fn work(message: String) -> Result<Work, ToolError> {
    check_text("message", &message)?;
    Ok(Work::NotifyUser {
        text: message,
        parcel: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_goes_out_as_written_or_not_at_all() {
        let written = Work::NotifyUser {
            text: " hi\n".to_owned(),
            parcel: None,
        };
        assert_eq!(work(" hi\n".to_owned()).unwrap(), written);
        assert_eq!(work(" \n".to_owned()).unwrap_err().code(), "INVALID_ARGUMENT");
    }
}
