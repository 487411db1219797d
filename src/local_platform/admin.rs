//! Administration of a running embedded platform from outside, as an operator would do it over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::http_client;
use crate::types::Secret;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A workspace that was just made and waits for its agent.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// Its token, shown this once.
    pub token: Secret,
    /// The platform's address as the platform itself tells it.
    pub platform_url: String,
}

/// Why no workspace was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCreated {
    /// Nothing listens there, or it does not answer in time.
    #[error("the platform at {url} cannot be reached: {why}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What happened.
        why: &'static str,
    },
    /// 401 or 403.
    #[error("the platform at {url} refused the admin token with {status}: {reason}")]
    Refused {
        /// The platform.
        url: String,
        /// The status.
        status: u16,
        /// The platform's own words.
        reason: String,
    },
    /// Anything else that it answered.
    #[error("the platform at {url} {what}")]
    Answered {
        /// The platform.
        url: String,
        /// What it answered, as the rest of a sentence.
        what: String,
    },
}

/// Makes an external poll-mode workspace called `name` on the platform at `url`, below `parent` if given.
///
/// # Errors
/// See [`NotCreated`].
pub async fn create_workspace(
    url: &str,
    admin_token: &str,
    name: &str,
    parent: Option<&str>,
) -> Result<Created, NotCreated> {
    let url = url.trim_end_matches('/');
    let answered = |what: String| NotCreated::Answered {
        url: url.to_owned(),
        what,
    };
    let client = http_client().map_err(|error| answered(format!("cannot be asked: {error}")))?;
    let body =
        json!({ "name": name, "runtime": "external", "external": true, "delivery_mode": "poll", "parent_id": parent });
    let request = client
        .post(format!("{url}/workspaces"))
        .bearer_auth(admin_token)
        .timeout(ANSWER_WITHIN)
        .json(&body);
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Err(answered("is no address: check --url".to_owned())),
        Err(error) => {
            return Err(NotCreated::Unreachable {
                url: url.to_owned(),
                why: if error.is_timeout() {
                    "it does not answer in time"
                } else {
                    "is it running, and is --url right?"
                },
            });
        }
    };
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap_or_default();
    if !(200..300).contains(&status) {
        let reason = answer["error"].as_str().unwrap_or("no reason given").to_owned();
        return Err(match status {
            401 | 403 => NotCreated::Refused {
                url: url.to_owned(),
                status,
                reason,
            },
            _ => answered(format!("answered {status}: {reason}")),
        });
    }
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let connection = &answer["connection"];
    match (
        text(&answer["id"]),
        text(&connection["auth_token"]),
        text(&connection["platform_url"]),
    ) {
        (Some(id), Some(token), Some(platform_url)) => {
            let token = Secret::parse(&token).map_err(|refused| answered(format!("gave a token that {refused}")))?;
            Ok(Created {
                id,
                token,
                platform_url,
            })
        }
        _ => Err(answered("gave no token for the new workspace".to_owned())),
    }
}
