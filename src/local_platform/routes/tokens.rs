//! The Tokens tab.

use serde_json::json;

use crate::local_platform::call::{Answer, Call, Outcome};
use crate::local_platform::store::tokens::TokenKind;

const MOST_TOKENS: u32 = 50;

/// The live tokens, without the tokens.
pub(crate) fn list(call: &Call) -> Outcome {
    let number = |name| call.query(name).and_then(|text| text.parse::<u32>().ok());
    let limit = number("limit").filter(|limit| (1..=200).contains(limit)).unwrap_or(50);
    let tokens = call
        .site
        .store
        .list_tokens(&call.id, limit, number("offset").unwrap_or(0))?;
    Ok(Answer::ok(&json!({ "count": tokens.len(), "tokens": tokens })))
}

/// Mints one more.
pub(crate) fn mint(call: &Call) -> Outcome {
    if call.site.store.live_tokens(&call.id, None)? >= MOST_TOKENS {
        return Err(Answer::error(429, "maximum 50 active tokens per workspace"));
    }
    if call.site.store.workspace(&call.id)?.is_none() {
        return Err(Answer::error(500, "failed to create token"));
    }
    let token = call.site.store.mint_token(&call.id, TokenKind::Api)?;
    let message = "keep this token now; it is not shown again";
    Ok(Answer::json(
        201,
        &json!({ "auth_token": token, "workspace_id": call.id, "message": message }),
    ))
}

/// Revokes one.
pub(crate) fn revoke(call: &Call) -> Outcome {
    if call.site.store.revoke_token(&call.id, &call.second)? {
        Ok(Answer::ok(&json!({ "status": "revoked" })))
    } else {
        Err(Answer::error(404, "token not found or already revoked"))
    }
}
