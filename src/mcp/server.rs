//! The session: which requests are answered how, and how it ends.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CustomRequest, CustomResult, ErrorCode, ErrorData, Implementation,
    ListToolsResult, PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, SubscriptionFilter,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::call::Call;
use super::toolset::Toolset;
use super::transport::{self, Ends};
use crate::config::McpProtocol;

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

/// Serves MCP until the client is gone or `stop` is cancelled, and at most one second longer. Needs no network.
///
/// When the end comes every wait ends at once, and what is being written or committed is finished.
pub async fn serve<R, W>(
    toolset: Toolset,
    instructions: String,
    protocol: McpProtocol,
    input: R,
    output: W,
    stop: CancellationToken,
) -> End
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin,
{
    let ends = Ends::of(&stop);
    let supported = revisions(protocol);
    let (guard, writer) = transport::pair(input, output, supported.clone(), ends.clone());
    let server = Server {
        toolset: Arc::new(toolset),
        instructions,
        supported,
        closing: ends.closing.clone(),
    };
    let session = async move {
        match server.serve(guard).await {
            Ok(running) => drop(running.waiting().await),
            // The reason may quote what the client sent.
            Err(_) => tracing::debug!("the session ended before it was open"),
        }
    };
    let mut both = pin!(async { tokio::join!(session, writer.run()) });
    tokio::select! {
        _ = &mut both => {}
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

fn revisions(protocol: McpProtocol) -> Cow<'static, [ProtocolVersion]> {
    Cow::Borrowed(match protocol {
        McpProtocol::Legacy => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
        McpProtocol::Modern => ProtocolVersion::KNOWN_VERSIONS,
    })
}

struct Server {
    toolset: Arc<Toolset>,
    instructions: String,
    supported: Cow<'static, [ProtocolVersion]>,
    closing: CancellationToken,
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("molecule", env!("CARGO_PKG_VERSION")))
            .with_instructions(&self.instructions)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.supported.clone()
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
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
        let progress = context.meta.get_progress_token();
        let call = Call::new(context.ct, self.closing.clone()).of_client(context.peer, progress);
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

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    /// Ends with the session, so that an open subscription does not hold up the exit.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        tokio::select! {
            () = context.cancelled() => {}
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
        const KNOWN: [&str; 7] = [
            "initialize",
            "ping",
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
