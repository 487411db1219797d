//! What a running tool knows about the call it serves: who waits for it, and whether anyone still does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    BooleanSchema, ElicitRequestParams, ElicitationAction, ElicitationCapability, ElicitationSchema,
    PrimitiveSchemaDefinition, ProgressNotificationParam, ProgressToken, ProtocolVersion,
};
use rmcp::{Peer, RoleServer};
use tokio_util::sync::CancellationToken;

/// How long a person may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(300);

/// One call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    cancelled: CancellationToken,
    closing: CancellationToken,
    client: Option<Peer<RoleServer>>,
    progress: Option<ProgressToken>,
    person: Option<Person>,
}

/// Somebody who can be asked without a client.
#[derive(Clone)]
struct Person(Arc<dyn Fn(&str) -> Consent + Send + Sync>);

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person")
    }
}

/// What a person answered to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Given,
    /// No, or not now.
    Withheld,
    /// The client has no way of asking.
    CannotAsk,
}

impl Call {
    /// A call. `cancelled`: it is no longer wanted; `closing`: the session ends.
    #[must_use]
    pub fn new(cancelled: CancellationToken, closing: CancellationToken) -> Self {
        Self {
            cancelled,
            closing,
            client: None,
            progress: None,
            person: None,
        }
    }

    /// The same call, made by a person whom this function asks; it may block.
    #[must_use]
    pub fn of_person(self, ask: impl Fn(&str) -> Consent + Send + Sync + 'static) -> Self {
        Self {
            person: Some(Person(Arc::new(ask))),
            ..self
        }
    }

    /// The same call, made by a client that can be asked, and told how far it is if it gave a token for that.
    #[must_use]
    pub fn of_client(self, client: Peer<RoleServer>, progress: Option<ProgressToken>) -> Self {
        Self {
            client: Some(client),
            progress,
            ..self
        }
    }

    /// A call that no client made; it ends early only when `stop` is cancelled.
    #[must_use]
    pub fn without_client(stop: CancellationToken) -> Self {
        Self::new(CancellationToken::new(), stop)
    }

    /// Resolves when waiting any longer is pointless: the client cancelled the call, or the session ends.
    pub async fn ended(&self) {
        tokio::select! {
            () = self.cancelled.cancelled() => {}
            () = self.closing.cancelled() => {}
        }
    }

    /// Whether [`Self::ended`] would resolve now: an answer may no longer reach anyone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.cancelled.is_cancelled() || self.closing.is_cancelled()
    }

    /// Whether the client itself cancelled the call, so that no answer will be sent.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Whether the client asked for progress, and so knows that this call lives.
    #[must_use]
    pub fn shows_progress(&self) -> bool {
        self.client.is_some() && self.progress.is_some()
    }

    /// Tells the client how far the call is, in seconds of `total`. Nothing happens when it did not ask.
    pub async fn progress(&self, seconds: f64, total: f64, message: &str) {
        let (Some(client), Some(token)) = (&self.client, &self.progress) else {
            return;
        };
        let note = ProgressNotificationParam::new(token.clone(), seconds)
            .with_total(total)
            .with_message(message);
        // The library leaves this hanging when the session ends just now.
        tokio::select! {
            _ = client.notify_progress(note) => {}
            () = self.ended() => {}
        }
    }

    /// Whether a person can be asked, through the client or without one.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.person.is_some() || self.client.as_ref().is_some_and(can_ask)
    }

    /// Asks the person, or the one at the client, a question that yes or no answers; the latter for at most five minutes.
    pub async fn ask(&self, question: &str) -> Consent {
        if let Some(Person(ask)) = self.person.clone() {
            let question = question.to_owned();
            return tokio::select! {
                answered = tokio::task::spawn_blocking(move || ask(&question)) => answered.unwrap_or(Consent::Withheld),
                () = self.ended() => Consent::Withheld,
            };
        }
        let Some(client) = self.client.as_ref().filter(|client| can_ask(client)) else {
            return Consent::CannotAsk;
        };
        let proceed = BooleanSchema::new()
            .title("Proceed")
            .description("Yes: do it. No: leave everything as it is.");
        let form = ElicitationSchema::builder()
            .required_property("proceed", PrimitiveSchemaDefinition::Boolean(proceed))
            .build();
        let Ok(requested_schema) = form else {
            return Consent::CannotAsk;
        };
        let params = ElicitRequestParams::FormElicitationParams {
            meta: None,
            message: question.to_owned(),
            requested_schema,
        };
        let answered = tokio::select! {
            answered = client.create_elicitation_with_timeout(params, Some(PATIENCE)) => answered,
            () = self.ended() => return Consent::Withheld,
        };
        match answered {
            Ok(answer) if answer.action == ElicitationAction::Accept => {
                // A client that shows no form accepts without content.
                let said = answer
                    .content
                    .as_ref()
                    .and_then(|content| content.get("proceed")?.as_bool());
                if said == Some(false) {
                    Consent::Withheld
                } else {
                    Consent::Given
                }
            }
            _ => Consent::Withheld,
        }
    }
}

/// Clients that name neither form nor address mean forms: the capability is older than the choice. The newest revision has no
/// requests of a server.
fn can_ask(client: &Peer<RoleServer>) -> bool {
    let Some(info) = client.peer_info() else { return false };
    let can = |elicitation: &ElicitationCapability| elicitation.form.is_some() || elicitation.url.is_none();
    info.protocol_version < ProtocolVersion::V_2026_07_28 && info.capabilities.elicitation.as_ref().is_some_and(can)
}
