//! Rows that share the instant of one that cannot be fetched: those above it are met on the way down; those below it from the
//! row before that instant, upwards.
//!
//! The platform sorts rows of one instant the other way round when it is asked the other way round. Level C promises that; at
//! level B it follows from reading one index in both directions.

use std::collections::HashSet;

use super::hole::Gap;
use super::paging::Sheet;
use super::reach::Reach;
use crate::agent::envelope::Head;
use crate::types::ActivityId;

/// Goes up from below a gap.
#[derive(Clone, Debug)]
pub(super) struct Rise {
    pub(super) gap: Gap,
    /// Whether a row of the instant is known to fail. Else it may also be one right below.
    pub(super) proved: bool,
    /// The row to go up from, once it is known.
    pub(super) from: Option<ActivityId>,
    pub(super) reach: Reach,
    /// What was read of the instant from above.
    above: HashSet<ActivityId>,
    /// What was read of the instant from above is to be read again: only now is it known whether it is wanted.
    pub(super) again: bool,
    /// How often the row to go up from was not known any more.
    lost: u32,
}

/// How often another row to go up from is looked for.
const TRIES: u32 = 3;

impl Rise {
    /// At a row of the gap's instant that is known to fail; `below`: the row before that instant.
    pub(super) fn proved(gap: Gap, below: Option<ActivityId>) -> Self {
        Self {
            gap,
            proved: true,
            from: below,
            reach: Reach::default(),
            above: HashSet::new(),
            again: false,
            lost: 0,
        }
    }

    /// At an instant of which `above` was read, and no more could be.
    pub(super) fn supposed(gap: Gap, above: HashSet<ActivityId>) -> Self {
        Self {
            proved: false,
            above,
            ..Self::proved(gap, None)
        }
    }

    /// The row to go up from is not known any more. `false`: that has been so too often.
    pub(super) fn start_over(&mut self) -> bool {
        self.lost += 1;
        self.from = None;
        self.reach = Reach::default();
        self.lost < TRIES
    }

    /// Whether a page shows that nothing is missing: it leads beyond the instant, or meets what was read from above. The latter
    /// counts only where the platform promises the order of such rows.
    pub(super) fn is_whole(&self, sheet: &Sheet) -> bool {
        let meets = |head: &Head| head.seq.is_some() && self.above.contains(&head.id);
        !sheet.full || sheet.newest() > Some(self.gap.at) || sheet.heads.iter().any(meets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Timestamp;

    fn id(n: u32) -> ActivityId {
        ActivityId::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn head(n: u32, at: i64, seq: Option<i64>) -> Head {
        Head {
            id: id(n),
            at: Timestamp(at),
            seq,
            timed: true,
        }
    }

    #[test]
    fn a_row_to_go_up_from_is_looked_for_three_times_from_the_beginning() {
        let gap = Gap {
            at: Timestamp(10),
            before: None,
            until: None,
            certain: true,
        };
        let mut rise = Rise::proved(gap, Some(id(1)));
        for goes_on in [true, true, false] {
            rise.from = Some(id(1));
            rise.reach.worked(4);
            assert_eq!(rise.start_over(), goes_on);
            assert!(rise.from.is_none() && rise.reach.is_certain() && !rise.reach.is_exhausted());
        }
    }

    #[test]
    fn an_instant_is_whole_when_both_ways_meet_or_the_page_leads_beyond_it() {
        let gap = Gap {
            at: Timestamp(10),
            before: Some(Timestamp(11)),
            until: Some(Timestamp(11)),
            certain: true,
        };
        let rise = Rise::supposed(gap, HashSet::from([id(7)]));
        for (rows, limit, whole) in [
            (vec![head(1, 10, None)], 1, false),
            (vec![head(1, 10, None)], 3, true),
            (vec![head(1, 10, None), head(2, 11, None)], 2, true),
            (vec![head(1, 10, Some(1)), head(7, 10, Some(2))], 2, true),
            (vec![head(1, 10, None), head(7, 10, None)], 2, false),
        ] {
            let sheet = Sheet::new(rows, 2, limit);
            assert_eq!(rise.is_whole(&sheet), whole, "{sheet:?}");
        }
    }
}
