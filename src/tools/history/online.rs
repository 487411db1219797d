//! A conversation as the platform keeps it, completed by what only this computer knows.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::excerpt::Excerpt;
use super::line::{Line, is_on_the_platform};
use crate::mcp::answer::ToolError;
use crate::platform::error::CallError;
use crate::state::history::{Ask, Said};
use crate::state::message::Kind;
use crate::state::outbox::Item;
use crate::tools::context::Context;
use crate::types::{Partner, Timestamp, WorkspaceId};

/// Most rows that the platform gives at once.
const PAGE: u32 = 500;

/// Reads one page of the activity log and puts in what was sent to peers, of which the log has no trace.
pub(super) async fn read(context: &Context, ask: &Ask) -> Result<Excerpt, ToolError> {
    let wanted = ask.limit.saturating_add(1).min(PAGE);
    let page = context.api.conversation(ask.with.as_ref(), ask.before, wanted).await;
    let page = page.map_err(unread)?;
    let sent = page.rows();
    let is_full = sent.len() >= wanted as usize;
    let rows: Vec<Reading> = sent.iter().map(|raw| reading(raw, context)).collect();
    let oldest = rows.iter().filter_map(|row| row.at).min();
    let is_asked_for = |row: &Reading| {
        ask.before.is_none_or(|before| row.at.is_some_and(|at| at < before))
            && ask.with.as_ref().is_none_or(|with| row.is_with(with))
    };
    let mut lines: Vec<Line> = rows
        .into_iter()
        .filter(is_asked_for)
        .filter_map(|row| row.line)
        .collect();
    let since = oldest.filter(|_| is_full);
    let sent = context
        .journal
        .history(Ask {
            limit: PAGE,
            ..ask.clone()
        })
        .await?;
    for item in sent.iter().filter_map(sent_item) {
        if is_on_the_platform(item) {
            put_in_place(&mut lines, item);
        } else if since.is_none_or(|since| item.created > since) {
            lines.push(Line::sent(item));
        }
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.at));
    let excerpt = Excerpt::of(lines, ask.limit as usize);
    Ok(match since {
        // What is shown of the page's last instant may not be all of it.
        Some(since) if excerpt.older.is_none() => {
            let all = excerpt.lines.len();
            excerpt.ending_at(since, all)
        }
        _ => excerpt,
    })
}

fn sent_item(said: &Said) -> Option<&Item> {
    match said {
        Said::Sent(item) => Some(item),
        Said::Received(_) => None,
    }
}

/// Of a delegation the outbox knows more than the log: its handle, and an answer that the platform never sees.
fn put_in_place(lines: &mut [Line], item: &Item) {
    let same = |line: &&mut Line| line.is_order() && line.delegation() == item.delegation_id.as_deref();
    if item.delegation_id.is_some()
        && let Some(line) = lines.iter_mut().find(same)
    {
        *line = Line::sent(item).placed_at(line.at);
    }
}

/// A row as far as it is understood.
struct Reading {
    at: Option<Timestamp>,
    source: Option<String>,
    target: Option<String>,
    line: Option<Line>,
}

impl Reading {
    /// A platform that does not know the question answers another one.
    fn is_with(&self, partner: &Partner) -> bool {
        match partner {
            Partner::Person => self.source.is_none(),
            Partner::Peer(peer) => [&self.source, &self.target]
                .into_iter()
                .flatten()
                .any(|id| id.eq_ignore_ascii_case(peer.as_str())),
        }
    }
}

/// What is needed of a row; anything of another type counts as missing.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Row {
    activity_type: Value,
    method: Value,
    source_id: Value,
    target_id: Value,
    status: Value,
    summary: Value,
    error_detail: Value,
    request_body: Value,
    response_body: Value,
    created_at: Value,
}

fn reading(raw: &RawValue, context: &Context) -> Reading {
    let row: Row = serde_json::from_str(raw.get()).unwrap_or_default();
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let at = row.created_at.as_str().and_then(Timestamp::parse);
    Reading {
        at,
        source: text(&row.source_id),
        target: text(&row.target_id),
        line: at.and_then(|at| line(raw, &row, at, context)),
    }
}

/// The line that a row is; `None`: it is none (a note of the log, an order of somebody else).
fn line(raw: &RawValue, row: &Row, at: Timestamp, context: &Context) -> Option<Line> {
    let is_own = |id: &Value, own: &WorkspaceId| id.as_str().is_some_and(|id| id.eq_ignore_ascii_case(own.as_str()));
    let by_us = is_own(&row.source_id, &context.own);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match (row.activity_type.as_str()?, row.method.as_str().unwrap_or_default()) {
        ("delegation", "delegate") if by_us => Some(Line::delegated(
            at,
            &text(&row.target_id),
            &text(&row.request_body["task"]),
            &text(&row.request_body["delegation_id"]),
            &text(&row.status),
        )),
        ("delegation", "delegate_result") if by_us => {
            let said = [&row.response_body["text"], &row.error_detail, &row.summary];
            let said = said
                .into_iter()
                .find_map(|text| text.as_str().filter(|text| !text.is_empty()))?;
            let id = text(&row.response_body["delegation_id"]);
            Some(Line::result(at, &text(&row.target_id), said, &id, &text(&row.status)))
        }
        ("a2a_receive", "notify") if row.source_id.is_null() => {
            Some(Line::told(at, row.response_body["result"].as_str()?))
        }
        ("broadcast_receive", _) => {
            (context.read_row)(raw, &context.own).map(|message| Line::received(&message).of_kind(Kind::Broadcast))
        }
        ("a2a_receive", _) => (context.read_row)(raw, &context.own).map(|message| Line::received(&message)),
        _ => None,
    }
}

/// A history that cannot be read there can be read here.
fn unread(error: CallError) -> ToolError {
    let passing = error.is_transient();
    let error = ToolError::from(error);
    if !passing {
        return error;
    }
    let hint = format!("{}; offline: true reads this computer's own record", error.hint());
    ToolError::failed(error.code().to_owned(), error.to_string(), hint)
}
