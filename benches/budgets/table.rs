//! The one table: what was measured, its floor, its budget, and whether it is kept.

use std::fmt;
use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Milliseconds,
    MiB,
    Percent,
    Requests,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::MiB => "MiB",
            Self::Percent => "% of a core",
            Self::Requests => "requests a minute",
        }
    }
}

/// What was promised: the median, or the only figure, and the 99th percentile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    p50: Option<f64>,
    p99: Option<f64>,
}

impl Budget {
    pub const NONE: Self = Self { p50: None, p99: None };

    pub const fn at_most(p50: f64) -> Self {
        Self {
            p50: Some(p50),
            p99: None,
        }
    }

    pub const fn of(p50: f64, p99: f64) -> Self {
        Self {
            p50: Some(p50),
            p99: Some(p99),
        }
    }
}

/// Many times of one thing.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    pub fn add(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1000.0);
    }

    /// The value below which this share lies (nearest rank), in milliseconds.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

struct Row {
    what: String,
    unit: Unit,
    p50: f64,
    p99: Option<f64>,
    floor: Option<f64>,
    budget: Budget,
}

/// Rows in the order in which they were measured.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// A figure that is measured once.
    pub fn one(&mut self, what: &str, unit: Unit, value: f64, floor: Option<f64>, budget: Budget) {
        self.add(Row {
            what: what.to_owned(),
            unit,
            p50: value,
            p99: None,
            floor,
            budget,
        });
    }

    /// Times; the ratio is that of the medians.
    pub fn times(&mut self, what: &str, ours: &Sample, floor: Option<&Sample>, budget: Budget) {
        self.add(Row {
            what: what.to_owned(),
            unit: Unit::Milliseconds,
            p50: ours.quantile(0.5),
            p99: Some(ours.quantile(0.99)),
            floor: floor.map(|floor| floor.quantile(0.5)),
            budget,
        });
    }

    fn add(&mut self, row: Row) {
        println!("{row}");
        self.0.push(row);
    }
}

fn digits(value: f64) -> String {
    match value.abs() {
        above if above >= 100.0 => format!("{value:.0}"),
        above if above >= 10.0 => format!("{value:.1}"),
        above if above >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Row {
    fn verdict(&self) -> String {
        let held = [(Some(self.p50), self.budget.p50), (self.p99, self.budget.p99)];
        let over: Vec<String> = held
            .iter()
            .filter_map(|(value, budget)| Some(((*value)?, (*budget)?)))
            .filter(|(value, budget)| value > budget)
            .map(|(value, budget)| format!("over by {}", digits(value - budget)))
            .collect();
        match (self.budget.p50.is_some(), over.is_empty()) {
            (false, _) => String::new(),
            (true, true) => "PASS".to_owned(),
            (true, false) => over.join(", "),
        }
    }
}

/// One line of a Markdown table.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: Option<f64>| value.map(digits).unwrap_or_default();
        let ratio = self
            .floor
            .map(|floor| format!("{:.1}", self.p50 / floor))
            .unwrap_or_default();
        let budget = match (self.budget.p50, self.budget.p99) {
            (Some(p50), Some(p99)) => format!("{} / {}", digits(p50), digits(p99)),
            (p50, _) => shown(p50),
        };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            self.what,
            self.unit.name(),
            digits(self.p50),
            shown(self.p99),
            shown(self.floor),
            ratio,
            budget,
            self.verdict()
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | unit | p50 | p99 | floor | ratio | budget | |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for row in &self.0 {
            writeln!(f, "{row}")?;
        }
        Ok(())
    }
}
