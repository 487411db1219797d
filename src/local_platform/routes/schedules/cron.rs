//! Times as cron writes them: minute, hour, day of month, month, day of week, each a list of numbers, ranges and steps.

use chrono::{DateTime, Datelike, Duration, NaiveTime, Timelike, Utc};

use crate::local_platform::clock::Micros;

/// When it is time. Each field has a bit for every number that it allows.
#[derive(Debug, PartialEq)]
pub(super) struct Times {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of days are limited, so that either is enough.
    either_day: bool,
}

impl Times {
    /// Reads the five fields; `None` when they are none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return None;
        };
        Some(Self {
            minutes: field(minutes, 0, 59)?,
            hours: field(hours, 0, 23)?,
            days: field(days, 1, 31)?,
            months: field(months, 1, 12)?,
            weekdays: field(weekdays, 0, 6)?,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    /// The first time after `now`, within five years.
    pub(super) fn after(&self, now: Micros) -> Option<Micros> {
        let mut at = DateTime::<Utc>::from_timestamp_micros(now)?
            .with_second(0)?
            .with_nanosecond(0)?
            + Duration::minutes(1);
        let end = at + Duration::days(5 * 366);
        while at < end {
            let has = |set: u64, number: u32| set & (1 << number) != 0;
            if !self.has_day(at) {
                at = (at.date_naive() + Duration::days(1)).and_time(NaiveTime::MIN).and_utc();
            } else if !has(self.hours, at.hour()) {
                at = at.with_minute(0)? + Duration::hours(1);
            } else if !has(self.minutes, at.minute()) {
                at += Duration::minutes(1);
            } else {
                return Some(at.timestamp_micros());
            }
        }
        None
    }

    fn has_day(&self, at: DateTime<Utc>) -> bool {
        let has = |set: u64, number: u32| set & (1 << number) != 0;
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().num_days_from_sunday());
        has(self.months, at.month())
            && if self.either_day {
                day || weekday
            } else {
                day && weekday
            }
    }
}

fn field(text: &str, least: u32, most: u32) -> Option<u64> {
    text.split(',').try_fold(0, |set, part| {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
            None if range == "*" => (least, most),
            None => {
                let only = range.parse().ok()?;
                (only, if part.contains('/') { most } else { only })
            }
        };
        let fits = least <= from && from <= to && to <= most;
        fits.then(|| (from..=to).step_by(step).fold(set, |set, number| set | 1 << number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_platform::clock;

    #[test]
    fn the_next_time_is_the_first_that_every_field_allows() {
        for (cron, now, next) in [
            ("* * * * *", "2026-11-27T07:31:08.5Z", "2026-11-27T07:32:00Z"),
            ("*/5 * * * *", "2026-11-27T07:35:00Z", "2026-11-27T07:40:00Z"),
            ("30 9-17/4 * * *", "2026-11-27T13:30:00Z", "2026-11-27T17:30:00Z"),
            ("0 0 1,15 * *", "2026-11-27T07:00:00Z", "2026-12-01T00:00:00Z"),
            ("0 0 29 2 *", "2026-11-27T07:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 9 * * 1-5", "2026-11-27T10:00:00Z", "2026-11-30T09:00:00Z"),
            ("0 0 13 * 5", "2026-11-27T07:00:00Z", "2026-12-04T00:00:00Z"),
            ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"),
        ] {
            let found = Times::parse(cron).unwrap().after(clock::parse(now).unwrap());
            assert_eq!(found, clock::parse(next), "{cron}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for cron in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "a * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "1- * * * *",
            ", * * * *",
        ] {
            assert_eq!(Times::parse(cron), None, "{cron:?}");
        }
        assert_eq!(Times::parse("0 0 31 2 *").unwrap().after(0), None);
    }
}
