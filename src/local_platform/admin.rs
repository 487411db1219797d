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

/// Makes an external poll-mode workspace called `name` on the platform at `url`, below `parent` if given.
///
/// # Errors
/// A sentence for the operator: the platform cannot be reached, or what it answered.
pub async fn create_workspace(
    url: &str,
    admin_token: &str,
    name: &str,
    parent: Option<&str>,
) -> Result<Created, String> {
    let url = url.trim_end_matches('/');
    let client = http_client().map_err(|error| error.to_string())?;
    let body =
        json!({ "name": name, "runtime": "external", "external": true, "delivery_mode": "poll", "parent_id": parent });
    let request = client
        .post(format!("{url}/workspaces"))
        .bearer_auth(admin_token)
        .timeout(ANSWER_WITHIN)
        .json(&body);
    let response = request.send().await.map_err(|error| {
        let why = if error.is_timeout() {
            "it did not answer in time"
        } else {
            "is it running?"
        };
        format!("could not reach the platform at {url}: {why}")
    })?;
    let status = response.status();
    let answer: Value = response.json().await.unwrap_or_default();
    if !status.is_success() {
        let error = answer["error"].as_str().unwrap_or("no reason given");
        return Err(format!("the platform at {url} answered {}: {error}", status.as_u16()));
    }
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let connection = &answer["connection"];
    match (
        text(&answer["id"]),
        text(&connection["auth_token"]),
        text(&connection["platform_url"]),
    ) {
        (Some(id), Some(token), Some(platform_url)) => {
            let token = Secret::parse(&token).map_err(|refused| format!("the platform's token {refused}"))?;
            Ok(Created {
                id,
                token,
                platform_url,
            })
        }
        _ => Err(format!("the platform at {url} gave no token for the new workspace")),
    }
}
