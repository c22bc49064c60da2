//! Coverage as a heat map: how much was recorded, day by day, and place by place.
//!
//! In: sums per stretch of time. Out: cells in drawing units, each with its sentence. The darkness of a cell is the order
//! of magnitude of its events, because coverage is about something or nothing and not about peaks. A stretch without any
//! record is white with a border; one that is known to be a gap is crossed out, so that it can be told without colors.

use super::format::{count, day};
use crate::time::DAY;
use serde::Serialize;
use std::collections::BTreeMap;

/// Distance of two cells.
pub(super) const STEP: i64 = 13;

/// Stretches that one row can have.
const ROW: i64 = 56;

/// A heat map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Calendar {
    /// What it shows.
    pub(super) title: String,
    /// Its width.
    pub(super) width: i64,
    /// Its height.
    pub(super) height: i64,
    /// Its cells.
    pub(super) cells: Vec<Square>,
    /// Names of rows and columns.
    pub(super) labels: Vec<Label>,
    /// What was left out.
    pub(super) note: String,
}

/// A cell of a heat map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Square {
    /// Left edge.
    pub(super) x: i64,
    /// Upper edge.
    pub(super) y: i64,
    /// 0 for nothing, to 5.
    pub(super) level: u32,
    /// Known to be a gap.
    pub(super) is_gap: bool,
    /// The stretch and what is in it.
    pub(super) label: String,
}

/// A text in a heat map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Label {
    /// Left edge.
    pub(super) x: i64,
    /// Base line.
    pub(super) y: i64,
    /// The text.
    pub(super) text: String,
}

/// What one stretch holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    /// Events kept.
    pub(super) events: i64,
    /// Hours with any record.
    pub(super) hours: i64,
    /// Hours known to be gaps.
    pub(super) gaps: i64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Amount) {
        self.events += other.events;
        self.hours += other.hours;
        self.gaps += other.gaps;
    }

    fn level(self) -> u32 {
        match u64::try_from(self.events).unwrap_or_default() {
            0 => u32::from(self.hours > 0),
            events => (events.ilog10() + 1).min(5),
        }
    }

    fn words(self) -> String {
        let gaps = if self.gaps > 0 { format!(", {} hours are a gap", self.gaps) } else { String::new() };
        format!("{} events in {} hours{gaps}", count(self.events), self.hours)
    }
}

fn square(x: i64, y: i64, name: &str, amount: Amount) -> Square {
    let (level, is_gap) = (amount.level(), amount.gaps > 0);
    Square { x, y, level, is_gap, label: format!("{name}: {}", amount.words()) }
}

/// Weeks as columns and days as rows, Monday on top, year by year.
pub(super) fn calendar(days: &BTreeMap<i64, Amount>) -> Option<Calendar> {
    let (first, last) = (*days.keys().next()?, *days.keys().next_back()?);
    // 1970-01-01 was a Thursday, three days after a Monday.
    let monday = |day: i64| day - (day + 3).rem_euclid(7);
    let (from, weeks) = (monday(first), (monday(last) - monday(first)) / 7 + 1);
    let band = 7 * STEP + 2 * STEP;
    let mut map = Calendar { title: "Events by day, all accounts and Regions".to_owned(), ..Calendar::default() };
    let left = 34;
    // Cells are bounded: about five years of days.
    let bounded = weeks.min(5 * ROW);
    for week in 0..bounded {
        let (x, top) = (left + week % ROW * STEP, week / ROW * band + STEP);
        let start = from + week * 7;
        let day_of_month = |offset: i64| day((start + offset) * DAY).get(8..).and_then(|day| day.parse::<u32>().ok());
        if week % ROW == 0 || (0..7).any(|offset| day_of_month(offset) == Some(1)) {
            let name = day((start + 6) * DAY).get(..7).unwrap_or_default().to_owned();
            if map.labels.last().is_none_or(|label| label.y != top - 3 || x - label.x >= 4 * STEP) {
                map.labels.push(Label { x, y: top - 3, text: name });
            }
        }
        for offset in 0..7 {
            let date = start + offset;
            if (first..=last).contains(&date) {
                let amount = days.get(&date).copied().unwrap_or_default();
                map.cells.push(square(x, top + offset * STEP, &day(date * DAY), amount));
            }
        }
        if week % ROW == 0 {
            for (name, offset) in [("Mon", 0), ("Wed", 2), ("Fri", 4), ("Sun", 6)] {
                map.labels.push(Label { x: 0, y: top + offset * STEP + 10, text: name.to_owned() });
            }
        }
    }
    map.labels.sort_by_key(|label| (label.y, label.x));
    map.width = left + bounded.min(ROW) * STEP;
    map.height = (bounded + ROW - 1) / ROW * band;
    if weeks > bounded {
        map.note =
            format!("The first {bounded} of {weeks} weeks are drawn; all hours are in the case's coverage tables.");
    }
    Some(map)
}

/// The stretch that fits a range of days into one row: days, weeks, or months of 30 days and more.
pub(super) fn stretch(days: i64) -> i64 {
    [1, 7, 30, 91, 365].into_iter().find(|stretch| days <= stretch * ROW).unwrap_or(3_650)
}

/// A row per place, a column per stretch of `step` days.
pub(super) fn places(rows: &[(String, BTreeMap<i64, Amount>)], range: (i64, i64), step: i64) -> Calendar {
    let left = 170;
    let columns = ((range.1 - range.0) / step + 1).min(ROW * 2);
    let unit = match step {
        1 => "day".to_owned(),
        7 => "week".to_owned(),
        days => format!("{days} days"),
    };
    let mut map = Calendar { title: format!("Events by account, Region and {unit}"), ..Calendar::default() };
    for column in (0..columns).step_by(7) {
        map.labels.push(Label { x: left + column * STEP, y: STEP - 3, text: day((range.0 + column * step) * DAY) });
    }
    for (y, (name, amounts)) in (0..).map(|row| STEP + row * STEP).zip(rows) {
        map.labels.push(Label { x: 0, y: y + 10, text: name.clone() });
        let mut sums: BTreeMap<i64, Amount> = BTreeMap::new();
        for (date, amount) in amounts {
            sums.entry((date - range.0).div_euclid(step)).or_default().add(*amount);
        }
        for column in 0..columns {
            let from = range.0 + column * step;
            let amount = sums.get(&column).copied().unwrap_or_default();
            let stretch =
                if step == 1 { day(from * DAY) } else { format!("{} and {} days", day(from * DAY), step - 1) };
            map.cells.push(square(left + column * STEP, y, &format!("{name}, {stretch}"), amount));
        }
    }
    map.width = left + columns * STEP + 30;
    map.height = STEP + rows.len() as i64 * STEP;
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_stand_under_their_weekday() {
        // 2023-11-13 was a Monday: day 19,674.
        let days = BTreeMap::from([
            (19_674, Amount { events: 5, hours: 1, gaps: 0 }),
            (19_682, Amount { events: 1_000, hours: 3, gaps: 2 }),
        ]);
        let map = calendar(&days).unwrap();
        assert_eq!(map.cells.len(), 9);
        assert_eq!((map.cells[0].y, map.cells[0].level, map.cells[1].level), (STEP, 1, 0));
        let last = map.cells.last().unwrap();
        assert_eq!((last.y, last.level, last.is_gap), (2 * STEP, 4, true));
        assert_eq!(last.label, "2023-11-21: 1,000 events in 3 hours, 2 hours are a gap");
        assert!(calendar(&BTreeMap::new()).is_none());
    }

    #[test]
    fn centuries_do_not_make_endless_drawings() {
        let days = BTreeMap::from([(0, Amount::default()), (100_000, Amount::default())]);
        let map = calendar(&days).unwrap();
        assert!(map.cells.len() <= 5 * 56 * 7 && !map.note.is_empty());
        let step = stretch(100_000);
        assert!(places(&[("a".to_owned(), days)], (0, 100_000), step).cells.len() <= 112);
    }
}
