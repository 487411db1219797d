//! A part of a conversation that ends between two instants, so that asking for what is older skips nothing.

use super::line::Line;
use crate::types::Timestamp;

/// Lines, newest first, and where the older ones begin.
#[derive(Debug, PartialEq)]
pub(super) struct Excerpt {
    pub(super) lines: Vec<Line>,
    /// Everything not among the lines is older than this; `None`: there is nothing else.
    pub(super) older: Option<Timestamp>,
}

impl Excerpt {
    /// The first `keep` of these lines, newest first.
    pub(super) fn of(lines: Vec<Line>, keep: usize) -> Self {
        let whole = Self { lines, older: None };
        if whole.lines.len() > keep {
            whole.cut(keep)
        } else {
            whole
        }
    }

    /// The same without the lines from `keep` on.
    pub(super) fn cut(self, keep: usize) -> Self {
        match self.lines.get(keep).map(|first_out| first_out.at) {
            Some(edge) => self.ending_at(edge, keep),
            None => self,
        }
    }

    /// The lines newer than `edge`, so that all of one instant stay together; if those are none, the first `keep`.
    pub(super) fn ending_at(mut self, edge: Timestamp, keep: usize) -> Self {
        let newer = self.lines.iter().take_while(|line| line.at > edge).count();
        if newer > 0 {
            self.lines.truncate(newer);
            // The comparison is strict.
            self.older = Some(edge.plus_micros(1));
        } else {
            self.lines.truncate(keep);
            self.older = Some(edge);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(times: &[i64], keep: usize) -> (Vec<i64>, Option<i64>) {
        let lines = times.iter().map(|at| Line::sample(Timestamp(*at))).collect();
        let excerpt = Excerpt::of(lines, keep);
        (
            excerpt.lines.iter().map(|line| line.at.0).collect(),
            excerpt.older.map(|older| older.0),
        )
    }

    #[test]
    fn a_cut_never_parts_lines_of_one_instant_if_it_can_be_helped() {
        for (times, keep, kept, older) in [
            (&[9, 8, 7][..], 3, &[9, 8, 7][..], None),
            (&[9, 8, 7], 2, &[9, 8], Some(8)),
            (&[9, 8, 8, 7], 2, &[9], Some(9)),
            (&[9, 8, 8, 7], 3, &[9, 8, 8], Some(8)),
            (&[8, 8, 8], 2, &[8, 8], Some(8)),
            (&[], 2, &[], None),
        ] {
            assert_eq!(excerpt(times, keep), (kept.to_vec(), older), "{times:?} {keep}");
        }
    }
}
