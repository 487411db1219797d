//! Rows of all workspaces, as someone sees them who watches everybody.

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension as _, Result, Row as SqlRow, params};

use super::ActivityRow;
use super::read::{COLUMNS, from_sql};
use crate::local_platform::clock::Micros;
use crate::local_platform::store::Store;
use crate::local_platform::store::delegations::{REQUEST, RESULT};

/// Which rows to look at, newest first by when they were written. All conditions hold together.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Rows that were written for, by or to this workspace.
    pub(crate) about: Option<String>,
    pub(crate) sort: Option<Sort>,
    /// Rows that hold this somewhere, whatever the case of its ASCII letters.
    pub(crate) holding: Option<String>,
    pub(crate) before: Option<i64>,
    pub(crate) limit: u32,
}

/// What a row is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Between the person and a workspace.
    Chat,
    /// From one workspace to another.
    Message,
    /// Work given away, and its outcome.
    Delegation,
    /// What a workspace wrote into its own log.
    Log,
}

impl Sort {
    /// The sort of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "chat" => Some(Self::Chat),
            "message" => Some(Self::Message),
            "delegation" => Some(Self::Delegation),
            "log" => Some(Self::Log),
            _ => None,
        }
    }

    fn condition(self) -> &'static str {
        match self {
            Self::Chat => {
                "activity_type = 'a2a_receive' AND source_id IS NULL AND coalesce(method, '') <> 'chat_upload_receive'"
            }
            Self::Message => "activity_type = 'a2a_receive' AND source_id IS NOT NULL AND source_id <> workspace_id",
            Self::Delegation => "activity_type = 'delegation'",
            Self::Log => "activity_type NOT IN ('a2a_receive', 'delegation')",
        }
    }
}

/// A row, and what its neighbours tell of it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) row: ActivityRow,
    /// When its workspace was first handed it.
    pub(crate) fetched_at: Option<Micros>,
    pub(crate) message_id: Option<String>,
    pub(crate) delegation_id: Option<String>,
}

/// What came of a delegation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// When the target was first handed the task.
    pub(crate) fetched_at: Option<Micros>,
    /// The text of the result the platform recorded.
    pub(crate) result: Option<String>,
    /// Number of the message in which the target answered.
    pub(crate) answer: Option<i64>,
}

const FROM: &str = "FROM activity LEFT JOIN fetches ON fetches.seq = activity.seq";

impl Store {
    /// One view. Rows whose status is null count towards the limit and are left out.
    pub(crate) fn look(&self, view: &View) -> Result<Vec<Seen>> {
        let mut conditions = vec!["1"];
        let mut values: Vec<Sql> = Vec::new();
        if let Some(id) = &view.about {
            conditions.push("? IN (workspace_id, source_id, target_id)");
            values.push(id.clone().into());
        }
        if let Some(sort) = view.sort {
            conditions.push(sort.condition());
        }
        if let Some(text) = &view.holding {
            conditions.push(
                "(coalesce(summary, '') || coalesce(request_body, '') || coalesce(response_body, '') || coalesce(error_detail, ''))
                 LIKE ? ESCAPE '\\'",
            );
            values.push(pattern(text).into());
        }
        if let Some(before) = view.before {
            conditions.push("activity.seq < ?");
            values.push(before.into());
        }
        values.push(view.limit.into());
        let sql = format!(
            "SELECT {COLUMNS}, fetched_at, message_id, delegation_id {FROM} WHERE {} ORDER BY activity.seq DESC LIMIT ?",
            conditions.join(" AND ")
        );
        let db = self.lock();
        let mut query = db.prepare_cached(&sql)?;
        let rows = query.query_map(rusqlite::params_from_iter(values), seen)?;
        rows.filter_map(Result::transpose).collect()
    }

    /// One row by its number.
    pub(crate) fn look_at(&self, seq: i64) -> Result<Option<Seen>> {
        let sql = format!("SELECT {COLUMNS}, fetched_at, message_id, delegation_id {FROM} WHERE activity.seq = ?");
        let found = self.lock().prepare_cached(&sql)?.query_row([seq], seen).optional()?;
        Ok(found.flatten())
    }

    /// The request row of a delegation.
    pub(crate) fn delegation_row(&self, id: &str) -> Result<Option<i64>> {
        self.lock()
            .prepare_cached("SELECT seq FROM activity WHERE delegation_id = ? AND method = ? LIMIT 1")?
            .query_row([id, REQUEST], |row| row.get(0))
            .optional()
    }

    /// How far a delegation has come, as told by the rows it left at its sender and at its target.
    pub(crate) fn course(&self, sender: &str, target: &str, id: &str) -> Result<Course> {
        let db = self.lock();
        let fetched_at = db
            .prepare_cached(
                "SELECT fetched_at FROM activity JOIN fetches ON fetches.seq = activity.seq
                 WHERE workspace_id = ? AND message_id = ? LIMIT 1",
            )?
            .query_row([target, id], |row| row.get(0))
            .optional()?;
        let result = db
            .prepare_cached(
                "SELECT coalesce(response_body ->> '$.text', '') FROM activity
                 WHERE workspace_id = ? AND delegation_id = ? AND method = ? ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([sender, id, RESULT], |row| row.get(0))
            .optional()?;
        let answer = db
            .prepare_cached(
                "SELECT seq FROM activity WHERE workspace_id = ? AND source_id = ?
                 AND request_body ->> '$.params.message.metadata.delegation_id' = ? ORDER BY seq LIMIT 1",
            )?
            .query_row(params![sender, target, id], |row| row.get(0))
            .optional()?;
        Ok(Course {
            fetched_at,
            result,
            answer,
        })
    }
}

fn seen(row: &SqlRow<'_>) -> Result<Option<Seen>> {
    let Some(found) = from_sql(row)? else { return Ok(None) };
    Ok(Some(Seen {
        row: found,
        fetched_at: row.get(15)?,
        message_id: row.get(16)?,
        delegation_id: row.get(17)?,
    }))
}

/// `text` as a pattern that is found anywhere and stands for itself.
fn pattern(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{row, store};
    use super::super::{MessageIds, NewActivity};
    use super::*;

    fn written(rows: impl IntoIterator<Item = NewActivity>) -> Store {
        let store = store(&[]);
        for row in rows {
            store.insert_activity(row, MessageIds::MayRepeat).unwrap();
        }
        store
    }

    fn ids(store: &Store, view: &View) -> Vec<String> {
        let seen = store.look(view).unwrap();
        seen.into_iter().map(|seen| seen.row.id.unwrap()).collect()
    }

    #[test]
    fn views_narrow_by_workspace_sort_and_text_and_page_by_number() {
        let from = |id: &str, source: &str| NewActivity {
            source_id: Some(source.to_owned()),
            ..row(id, 1)
        };
        let delegation = NewActivity {
            activity_type: "delegation".to_owned(),
            workspace_id: "v".to_owned(),
            summary: Some("50% of IT_".to_owned()),
            ..row("d", 9)
        };
        let upload = NewActivity {
            method: Some("chat_upload_receive".to_owned()),
            ..row("u", 1)
        };
        let store = written([row("p", 5), from("m", "x"), delegation, upload, from("own", "w")]);
        let all = View {
            limit: 9,
            ..View::default()
        };
        assert_eq!(ids(&store, &all), ["own", "u", "d", "m", "p"]);
        for (view, expected) in [
            (
                View {
                    about: Some("x".to_owned()),
                    ..all.clone()
                },
                vec!["m"],
            ),
            (
                View {
                    sort: Sort::named("chat"),
                    ..all.clone()
                },
                vec!["p"],
            ),
            (
                View {
                    sort: Sort::named("message"),
                    ..all.clone()
                },
                vec!["m"],
            ),
            (
                View {
                    sort: Sort::named("delegation"),
                    ..all.clone()
                },
                vec!["d"],
            ),
            (
                View {
                    holding: Some("50% of it_".to_owned()),
                    ..all.clone()
                },
                vec!["d"],
            ),
            (
                View {
                    holding: Some("5_%".to_owned()),
                    ..all.clone()
                },
                vec![],
            ),
            (
                View {
                    before: Some(3),
                    limit: 1,
                    ..all.clone()
                },
                vec!["m"],
            ),
        ] {
            assert_eq!(ids(&store, &view), expected, "{view:?}");
        }
    }

    #[test]
    fn the_course_of_a_delegation_is_read_off_both_sides() {
        let task = NewActivity {
            workspace_id: "target".to_owned(),
            message_id: Some("id".to_owned()),
            ..row("task", 1)
        };
        let store = written([task]);
        assert_eq!(store.course("w", "target", "id").unwrap(), Course::default());
        let rows = store.look(&View {
            limit: 1,
            ..View::default()
        });
        store.note_fetched(&[rows.unwrap().remove(0).row]).unwrap();
        let answer = NewActivity {
            source_id: Some("target".to_owned()),
            request_body: Some(json!({ "params": { "message": { "metadata": { "delegation_id": "id" } } } })),
            ..row("answer", 2)
        };
        let result = NewActivity {
            method: Some(RESULT.to_owned()),
            delegation_id: Some("id".to_owned()),
            response_body: Some(json!({ "text": "queued" })),
            ..row("result", 3)
        };
        for row in [answer, result] {
            store.insert_activity(row, MessageIds::MayRepeat).unwrap();
        }
        let course = store.course("w", "target", "id").unwrap();
        assert!(course.fetched_at.is_some());
        assert_eq!((course.answer, course.result.as_deref()), (Some(2), Some("queued")));
    }
}
