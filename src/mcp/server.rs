//! The session: which requests are answered how, and how it ends.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, ErrorData,
    ExperimentalCapabilities, Implementation, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities,
    ServerConfig, SubscribeRequestParams, SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, Peer, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::push::Push;
use super::resources::{self, Subscriptions};
use super::toolset::Toolset;
use super::transport::{self, Ends};
use crate::config::{Host, McpProtocol, Senders, Timing};
use crate::state::journal::Inboxes;

/// How long calls with a commit or an answer in flight may take to finish when the session ends. Clients kill a server
/// about 2 s after they closed its input.
const GRACE: Duration = Duration::from_millis(950);

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed its side.
    Closed,
    /// The program was asked to stop.
    Stopped,
    /// The client no longer reads: an answer could not be written.
    Broken,
}

/// What a client is served.
pub struct Offer {
    /// The tools.
    pub toolset: Toolset,
    /// What its model is told at the start.
    pub instructions: String,
    /// The revisions of MCP it may choose from.
    pub protocol: McpProtocol,
    /// Where messages arrive whose news it is told; `None`: there is no inbox.
    pub inbox: Option<InboxNews>,
}

/// An inbox whose changes a client is told of: pushed where the client takes that, and as resource updates.
pub struct InboxNews {
    /// The inboxes, once they are open. `None`: they never will be.
    pub inboxes: BoxFuture<'static, Option<Inboxes>>,
    /// What the environment says of the client.
    pub host: Option<Host>,
    /// Whose messages are pushed.
    pub senders: Senders,
    /// All intervals.
    pub timing: Timing,
}

/// Serves MCP until the client is gone or `stop` is cancelled, and at most one second longer. Needs no network.
///
/// When the end comes every wait ends at once, and what is being written or committed is finished.
pub async fn serve<R, W>(offer: Offer, input: R, output: W, stop: CancellationToken) -> End
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin,
{
    let ends = Ends::of(&stop);
    let (guard, writer) = transport::pair(input, output, revisions(offer.protocol), ends.clone());
    let (server, news) = Server::of(offer, ends.closing.clone());
    let session = async move {
        match server.serve(guard).await {
            Ok(running) => drop(running.waiting().await),
            // The reason may quote what the client sent.
            Err(_) => tracing::debug!("the session ended before it was open"),
        }
    };
    let talk = async { tokio::join!(session, writer.run()) };
    let mut both = pin!(async {
        tokio::select! {
            _ = talk => {}
            () = news.tell(&ends.closing) => {}
        }
    });
    tokio::select! {
        () = &mut both => {}
        () = ends.closing.cancelled() => {
            if tokio::time::timeout(GRACE, &mut both).await.is_err() {
                tracing::warn!("the session ended with calls unfinished");
            }
        }
    }
    if ends.broken.is_cancelled() {
        End::Broken
    } else if stop.is_cancelled() {
        End::Stopped
    } else {
        End::Closed
    }
}

/// What is new in the inbox, for the client of one session.
pub(super) struct News {
    inbox: Option<InboxNews>,
    subscriptions: Arc<Subscriptions>,
    ready: watch::Receiver<Option<Peer<RoleServer>>>,
}

impl News {
    /// Resolves when the session's server is gone.
    pub(super) fn unheard(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ready = self.ready.clone();
        async move { while ready.changed().await.is_ok() {} }
    }

    /// Tells it, until the session closes. Never ends by itself.
    pub(super) async fn tell(self, closing: &CancellationToken) {
        let Self {
            inbox,
            subscriptions,
            ready,
        } = self;
        let work = async {
            let Some(inbox) = inbox else { return };
            let Some(inboxes) = inbox.inboxes.await else { return };
            let push = Push {
                inboxes: &inboxes,
                host: inbox.host,
                senders: inbox.senders,
                timing: inbox.timing,
            };
            tokio::join!(
                push.run(ready.clone()),
                subscriptions.follow(&inboxes, inbox.timing),
                subscriptions.tell(ready),
            );
        };
        closing.run_until_cancelled(work).await;
        std::future::pending::<()>().await;
    }
}

fn revisions(protocol: McpProtocol) -> Cow<'static, [ProtocolVersion]> {
    Cow::Borrowed(match protocol {
        McpProtocol::Legacy => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
        McpProtocol::Modern => ProtocolVersion::KNOWN_VERSIONS,
    })
}

/// One session's answers.
pub(super) struct Server {
    toolset: Arc<Toolset>,
    instructions: String,
    supported: Cow<'static, [ProtocolVersion]>,
    closing: CancellationToken,
    has_inbox: bool,
    subscriptions: Arc<Subscriptions>,
    /// The client, once it can be told something.
    ready: watch::Sender<Option<Peer<RoleServer>>>,
}

impl Server {
    /// The answers and the news of a session that ends with `closing`.
    pub(super) fn of(offer: Offer, closing: CancellationToken) -> (Self, News) {
        let (ready, is_ready) = watch::channel(None);
        let subscriptions = Arc::new(Subscriptions::default());
        let server = Self {
            toolset: Arc::new(offer.toolset),
            instructions: offer.instructions,
            supported: revisions(offer.protocol),
            closing,
            has_inbox: offer.inbox.is_some(),
            subscriptions: Arc::clone(&subscriptions),
            ready,
        };
        let news = News {
            inbox: offer.inbox,
            subscriptions,
            ready: is_ready,
        };
        (server, news)
    }

    fn note_ready(&self, peer: &Peer<RoleServer>) {
        self.ready.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| peer.clone());
            first
        });
    }

    fn call_for(&self, context: RequestContext<RoleServer>) -> Call {
        let progress = context.meta.get_progress_token();
        Call::new(context.ct, self.closing.clone()).of_client(context.peer, progress)
    }

    fn capabilities(&self) -> ServerCapabilities {
        let tools = ServerCapabilities::builder().enable_tools();
        if !self.has_inbox {
            return tools.build();
        }
        // Claude Code listens to a server's channel only when it is declared.
        let channel = ExperimentalCapabilities::from([("claude/channel".to_owned(), serde_json::Map::new())]);
        tools
            .enable_resources()
            .enable_resources_subscribe()
            .enable_experimental_with(channel)
            .build()
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(self.capabilities())
            .with_server_info(Implementation::new("molecule", env!("CARGO_PKG_VERSION")))
            .with_instructions(&self.instructions)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.supported.clone()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        // Not every client sends `notifications/initialized`.
        self.note_ready(&context.peer);
        if request.is_some_and(|request| request.cursor.is_some()) {
            return Err(ErrorData::invalid_params(
                "unknown cursor: there is only one page",
                None,
            ));
        }
        Ok(ListToolsResult::with_all_items(self.toolset.definitions().collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.note_ready(&context.peer);
        let call = self.call_for(context);
        match self
            .toolset
            .call(&request.name, request.arguments.unwrap_or_default(), call)
            .await
        {
            Some(result) => Ok(result.into()),
            None => Err(ErrorData::invalid_params(
                "unknown tool: tools/list names the tools there are",
                None,
            )),
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.note_ready(&context.peer);
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let all = if self.has_inbox { resources::list() } else { Vec::new() };
        Ok(ListResourcesResult::with_all_items(all))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let all = if self.has_inbox {
            resources::templates()
        } else {
            Vec::new()
        };
        Ok(ListResourceTemplatesResult::with_all_items(all))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let read = resources::read(&self.toolset, &request.uri, self.call_for(context));
        Ok(read.await?.into())
    }

    async fn subscribe(
        &self,
        request: SubscribeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.note_ready(&context.peer);
        self.subscriptions.add(&request.uri)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.subscriptions.remove(&request.uri);
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    /// Ends with the session, so that an open subscription does not hold up the exit.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        tokio::select! {
            () = self.subscriptions.serve(&context) => {}
            () = self.closing.cancelled() => {}
        }
        Ok(())
    }

    /// Also where the library brings known methods whose parameters it could not read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        const KNOWN: [&str; 12] = [
            "initialize",
            "ping",
            "resources/list",
            "resources/read",
            "resources/subscribe",
            "resources/templates/list",
            "resources/unsubscribe",
            "server/discover",
            "subscriptions/listen",
            "tools/call",
            "tools/list",
            "logging/setLevel",
        ];
        Err(match KNOWN.iter().find(|known| **known == request.method) {
            Some(known) => ErrorData::invalid_params(format!("malformed params for {known}"), None),
            None => ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "this server has no such method", None),
        })
    }
}

#[cfg(test)]
mod tests;
