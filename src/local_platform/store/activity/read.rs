//! Pages of activity rows.

use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension as _, Result, Row as SqlRow};

use super::{ActivityRow, PeerInfo, raw};
use crate::local_platform::clock::{self, Micros};
use crate::local_platform::store::Store;

/// Which rows to read. All conditions hold together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) activity_type: Option<String>,
    /// `Some(true)`: rows without a source; `Some(false)`: rows with one.
    pub(crate) without_source: Option<bool>,
    pub(crate) not_before: Option<Micros>,
    pub(crate) before: Option<Micros>,
    pub(crate) peer: Option<String>,
    /// Oldest first and strictly after this place when given, else newest first.
    pub(crate) after: Option<Place>,
    pub(crate) limit: u32,
}

/// A place in the order of rows. Without `seq` only the time is compared (level B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) created_at: Micros,
    pub(crate) seq: Option<i64>,
}

/// What [`from_sql`] reads, in its order.
pub(super) const COLUMNS: &str = "id, workspace_id, activity_type, source_id, target_id, method, summary, request_body, \
     response_body, tool_trace, duration_ms, status, error_detail, created_at, activity.seq";

impl Store {
    /// Where the row `id` stands among the rows of `workspace`.
    pub(crate) fn place_of(&self, workspace: &str, id: &str) -> Result<Option<Place>> {
        self.lock()
            .prepare_cached("SELECT created_at, seq FROM activity WHERE id = ? AND workspace_id = ? LIMIT 1")?
            .query_row([id, workspace], |row| {
                Ok(Place {
                    created_at: row.get(0)?,
                    seq: Some(row.get(1)?),
                })
            })
            .optional()
    }

    /// One page of the rows of `workspace`. Rows whose status is null count towards the limit and are left out.
    pub(crate) fn read_activity(&self, workspace: &str, page: &Page) -> Result<Vec<ActivityRow>> {
        let mut sql = format!("SELECT {COLUMNS} FROM activity WHERE workspace_id = ?");
        let mut values = vec![Sql::from(workspace.to_owned())];
        let mut narrow = |condition: &str, bound: Vec<Sql>| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.extend(bound);
        };
        if let Some(kind) = &page.activity_type {
            narrow("activity_type = ?", vec![kind.clone().into()]);
        }
        match page.without_source {
            Some(true) => narrow("source_id IS NULL", vec![]),
            Some(false) => narrow("source_id IS NOT NULL", vec![]),
            None => {}
        }
        if let Some(oldest) = page.not_before {
            narrow("created_at >= ?", vec![oldest.into()]);
        }
        if let Some(before) = page.before {
            narrow("created_at < ?", vec![before.into()]);
        }
        if let Some(peer) = &page.peer {
            narrow(
                "(source_id = ? OR target_id = ?)",
                vec![peer.clone().into(), peer.clone().into()],
            );
        }
        match page.after {
            Some(Place { created_at, seq: None }) => narrow("created_at > ?", vec![created_at.into()]),
            Some(Place {
                created_at,
                seq: Some(seq),
            }) => {
                narrow("(created_at, seq) > (?, ?)", vec![created_at.into(), seq.into()]);
            }
            None => {}
        }
        let order = if page.after.is_some() { "ASC" } else { "DESC" };
        sql.push_str(&format!(" ORDER BY created_at {order}, seq {order} LIMIT ?"));
        values.push(page.limit.into());
        let db = self.lock();
        let mut query = db.prepare_cached(&sql)?;
        let rows = query.query_map(rusqlite::params_from_iter(values), from_sql)?;
        rows.filter_map(Result::transpose).collect()
    }

    /// Forgets rows older than `before`.
    pub(crate) fn prune_activity(&self, before: Micros) -> Result<()> {
        self.lock()
            .prepare_cached("DELETE FROM activity WHERE created_at < ?")?
            .execute([before])?;
        self.forget_fetches()
    }
}

pub(super) fn from_sql(row: &SqlRow<'_>) -> Result<Option<ActivityRow>> {
    let Some(status) = row.get(11)? else { return Ok(None) };
    let body = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(index)?.and_then(raw));
    Ok(Some(ActivityRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        activity_type: row.get(2)?,
        source_id: row.get(3)?,
        target_id: row.get(4)?,
        method: row.get(5)?,
        summary: row.get(6)?,
        request_body: body(7)?,
        response_body: body(8)?,
        tool_trace: body(9)?,
        duration_ms: row.get(10)?,
        status,
        error_detail: row.get(12)?,
        created_at: clock::text(row.get(13)?),
        seq: row.get(14)?,
        message_id: None,
        peer: PeerInfo::default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::MessageIds;
    use super::super::NewActivity;
    use super::super::testing::{row, store};
    use super::*;

    fn ids(store: &Store, page: &Page) -> Vec<String> {
        store
            .read_activity("w", page)
            .unwrap()
            .into_iter()
            .map(|row| row.id.unwrap())
            .collect()
    }

    #[test]
    fn pages_go_forward_after_a_place_and_backward_without_one() {
        let store = store(&[("a", 10), ("b", 20), ("c", 20), ("d", 30)]);
        let page = |after, limit| Page {
            after,
            limit,
            ..Page::default()
        };
        assert_eq!(ids(&store, &page(None, 3)), ["d", "c", "b"]);
        assert_eq!(
            ids(
                &store,
                &page(
                    Some(Place {
                        created_at: 10,
                        seq: None
                    }),
                    2
                )
            ),
            ["b", "c"]
        );
        let b = store.place_of("w", "b").unwrap().unwrap();
        assert_eq!(
            ids(&store, &page(Some(Place { seq: None, ..b }), 9)),
            ["d"],
            "equal times are skipped"
        );
        assert_eq!(
            ids(&store, &page(Some(b), 9)),
            ["c", "d"],
            "the sequence number tells them apart"
        );
        assert_eq!(
            ids(
                &store,
                &Page {
                    before: Some(20),
                    limit: 9,
                    ..Page::default()
                }
            ),
            ["a"]
        );
        assert_eq!(
            ids(
                &store,
                &Page {
                    not_before: Some(20),
                    limit: 1,
                    ..Page::default()
                }
            ),
            ["d"]
        );
        assert_eq!(store.place_of("other", "b").unwrap(), None);
    }

    #[test]
    fn a_row_with_a_null_status_is_left_out_but_uses_up_the_limit() {
        let store = store(&[("a", 1), ("b", 2)]);
        store
            .insert_activity(
                NewActivity {
                    status: None,
                    ..row("c", 3)
                },
                MessageIds::MayRepeat,
            )
            .unwrap();
        assert_eq!(
            ids(
                &store,
                &Page {
                    limit: 2,
                    ..Page::default()
                }
            ),
            ["b"]
        );
    }
}
