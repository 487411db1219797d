//! Channels: chats of other services (Telegram, Slack, Lark, Discord) that a workspace listens and writes to.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Groups;
use super::workspaces::given;
use crate::mcp::answer::ToolError;
use crate::mcp::call::Call;
use crate::mcp::toolset::{Effect, Tool};
use crate::platform::order::Order;
use crate::platform::order::Verb::{Delete, Get, Patch, Post};
use crate::tools::desk::plain::{Answer, Plain, Plan, RegisterPlain};
use crate::tools::desk::{NO_PLATFORM, Ops, Told};
use crate::types::{ResourceId, WorkspaceId};

mod config;

use config::Config;

/// Adds the tools of this file.
pub(super) fn register(tools: &mut Groups) {
    tools
        .ops
        .plain::<ListChannelAdapters>()
        .plain::<ListChannels>()
        .plain::<AddChannel>()
        .plain::<UpdateChannel>()
        .plain::<RemoveChannel>()
        .plain::<SendChannelMessage>()
        .plain::<TestChannel>()
        .add::<DiscoverChannelChats>();
}

/// List the services that channels can be made of, and what each wants to be configured with.
#[derive(Deserialize, JsonSchema)]
struct ListChannelAdapters {}

impl Plain<Ops> for ListChannelAdapters {
    const NAME: &'static str = "list_channel_adapters";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("adapters");
    fn plan(self) -> Result<Plan, ToolError> {
        Ok(Order::open(Get, ["channels".into(), "adapters".into()]).into())
    }
}

/// List the channels of a workspace. Credentials in their configuration are not shown.
#[derive(Deserialize, JsonSchema)]
struct ListChannels {
    workspace_id: WorkspaceId,
}

impl Plain<Ops> for ListChannels {
    const NAME: &'static str = "list_channels";
    const EFFECT: Effect = Effect::READ;
    const ANSWER: Answer = Answer::List("channels");
    fn plan(self) -> Result<Plan, ToolError> {
        let order = Order::workspace(Get, &self.workspace_id, ["channels".into()]);
        Ok(Plan::from(order).viewing(config::without_credentials))
    }
}

/// Connect a workspace to a chat of another service.
#[derive(Deserialize, JsonSchema)]
struct AddChannel {
    workspace_id: WorkspaceId,
    /// Which service, as list_channel_adapters names it.
    channel_type: String,
    config: Config,
    /// Who may write to it: ids of users of that service, separated by commas. Left out: everyone in the chat.
    allowed_users: Option<String>,
}

impl Plain<Ops> for AddChannel {
    const NAME: &'static str = "add_channel";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        if self.channel_type.trim().is_empty() {
            return Err(ToolError::argument("channel_type", "must not be empty"));
        }
        let users = self.allowed_users.as_deref().unwrap_or_default();
        let order = Order::workspace(Post, &self.workspace_id, ["channels".into()]).body(json!({
            "channel_type": self.channel_type, "config": self.config.object(), "allowed_users": list(users) }));
        Ok(hiding(order.into(), &self.config))
    }
}

/// Change a channel's configuration, who may write to it, or whether it is on. What is left out stays.
#[derive(Deserialize, JsonSchema)]
struct UpdateChannel {
    workspace_id: WorkspaceId,
    /// Id of the channel.
    channel_id: ResourceId,
    /// The whole new configuration. It replaces the old one, credentials included.
    config: Option<Config>,
    /// Whether it is on.
    enabled: Option<bool>,
    /// Ids of users, separated by commas; empty: everyone in the chat.
    allowed_users: Option<String>,
}

impl Plain<Ops> for UpdateChannel {
    const NAME: &'static str = "update_channel";
    const EFFECT: Effect = Effect::WRITE.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let body = given([
            ("config", self.config.as_ref().map(|config| json!(config.object()))),
            ("enabled", self.enabled.map(Value::from)),
            (
                "allowed_users",
                self.allowed_users.as_deref().map(|users| json!(list(users))),
            ),
        ]);
        if body.is_empty() {
            return Err(ToolError::argument("config", "or another change is required"));
        }
        let path = ["channels".into(), (&self.channel_id).into()];
        let order = Order::workspace(Patch, &self.workspace_id, path).body(Value::Object(body));
        Ok(match &self.config {
            Some(config) => hiding(order.into(), config),
            None => order.into(),
        })
    }
}

/// Disconnect a channel from a workspace. Its configuration is lost.
#[derive(Deserialize, JsonSchema)]
struct RemoveChannel {
    workspace_id: WorkspaceId,
    /// Id of the channel.
    channel_id: ResourceId,
}

impl Plain<Ops> for RemoveChannel {
    const NAME: &'static str = "remove_channel";
    const EFFECT: Effect = Effect::DESTROY.idempotent();
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["channels".into(), (&self.channel_id).into()];
        Ok(Order::workspace(Delete, &self.workspace_id, path).into())
    }
}

const REFUSED: &str =
    "there is no such channel, or the service refused the message: check id and configuration with list_channels";

/// Write into a channel, for everyone there to read. Newer platforms say sent even when the service refused it.
#[derive(Deserialize, JsonSchema)]
struct SendChannelMessage {
    workspace_id: WorkspaceId,
    /// Id of the channel.
    channel_id: ResourceId,
    /// What to write.
    text: String,
}

impl Plain<Ops> for SendChannelMessage {
    const NAME: &'static str = "send_channel_message";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        if self.text.trim().is_empty() {
            return Err(ToolError::argument("text", "must not be empty"));
        }
        let path = ["channels".into(), (&self.channel_id).into(), "send".into()];
        let order = Order::workspace(Post, &self.workspace_id, path).body(json!({ "text": self.text }));
        Ok(Plan::from(order).advising(500, REFUSED).advising(
            429,
            "either too many requests, which passes in a minute, or this channel's message budget is used up, which stays",
        ))
    }
}

/// Write a fixed test message into a channel, for everyone there to read, to see that it works. Newer platforms say ok even
/// when the service refused it: look there.
#[derive(Deserialize, JsonSchema)]
struct TestChannel {
    workspace_id: WorkspaceId,
    /// Id of the channel.
    channel_id: ResourceId,
}

impl Plain<Ops> for TestChannel {
    const NAME: &'static str = "test_channel";
    const EFFECT: Effect = Effect::WRITE;
    fn plan(self) -> Result<Plan, ToolError> {
        let path = ["channels".into(), (&self.channel_id).into(), "test".into()];
        let order = Order::workspace(Post, &self.workspace_id, path).body(json!({}));
        Ok(Plan::from(order).advising(500, REFUSED))
    }
}

/// List the chats that a bot is in, to find the chat_id for add_channel. Only Telegram tells. Its listening stops for a
/// moment meanwhile.
#[derive(Deserialize, JsonSchema)]
struct DiscoverChannelChats {
    /// Which service: telegram.
    channel_type: Option<String>,
    /// The bot's token.
    bot_token: Option<String>,
    /// The workspace that the channel is for; left out: your own.
    workspace_id: Option<WorkspaceId>,
    /// Older name of channel_type.
    r#type: Option<String>,
    /// Older place of bot_token.
    config: Option<Map<String, Value>>,
}

impl Tool<Ops> for DiscoverChannelChats {
    const NAME: &'static str = "discover_channel_chats";
    const EFFECT: Effect = Effect::READ;
    type Output = Told;

    async fn call(self, desk: &Ops, call: &Call) -> Result<Told, ToolError> {
        let within = |name: &str| {
            let found = self.config.as_ref().and_then(|config| config.get(name));
            found.and_then(Value::as_str).map(str::to_owned)
        };
        let required = |name: &'static str| move || ToolError::argument(name, "is required");
        let service = self.channel_type.or(self.r#type).ok_or_else(required("channel_type"))?;
        let token = self.bot_token.clone().or_else(|| within("bot_token"));
        let token = token
            .filter(|token| !token.is_empty())
            .ok_or_else(required("bot_token"))?;
        let named = match within("workspace_id").filter(|_| self.workspace_id.is_none()) {
            None => self.workspace_id.clone(),
            Some(id) => Some(
                WorkspaceId::parse(&id).map_err(|refused| ToolError::argument("workspace_id", refused.to_string()))?,
            ),
        };
        let workspace = named
            .or_else(|| desk.home().cloned())
            .ok_or_else(required("workspace_id"))?;
        let order = Order::admin(Post, ["channels".into(), "discover".into()])
            .asking()
            .body(json!({ "channel_type": service, "bot_token": token, "workspace_id": workspace }));
        let sent = desk.errand(Self::NAME, call).send(&order).await;
        let reply = sent.map_err(|error| error.without(&[token]))?;
        reply.object(NO_PLATFORM).map(Told)
    }
}

/// The parts of a list that is separated by commas.
fn list(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// No error may repeat a credential of the configuration.
fn hiding(plan: Plan, config: &Config) -> Plan {
    config.credentials().fold(plan, Plan::hiding)
}

#[cfg(test)]
mod tests;
