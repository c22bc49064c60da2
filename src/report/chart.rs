//! Use over time, stacked by class of operation, as SVG.
//!
//! In: counts per stretch of time and class. Out: a drawing by `plotters`, whose only texts are dates and numbers of ours.
//! Each class is one filled outline, not a bar per hour: a year of hours costs a few kilobytes. The colors are those of
//! the light style; the style sheet gives others in the dark, by the value of the attribute.

use super::ask::Row;
use super::format::{count, day};
use super::model::{Usage, UsageClass};
use crate::time::DAY;
use plotters::prelude::*;

/// The classes, from the bottom of the stack to its top.
pub(super) const CLASSES: [&str; 5] =
    ["opened or gave plaintext", "other cryptographic use", "administration", "looked", "refused or failed"];

/// Their colors; the style sheet knows the same values.
const COLORS: [RGBColor; 5] = [
    RGBColor(0x0b, 0x5f, 0xa5),
    RGBColor(0x7f, 0xb0, 0xd6),
    RGBColor(0x8a, 0x5a, 0x00),
    RGBColor(0x8c, 0x8c, 0x8c),
    RGBColor(0xb3, 0x26, 0x1e),
];

/// Width and height of a drawing.
const SIZE: (u32, u32) = (760, 150);

/// The evidence's time, cut into equal stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// Begin of the first stretch, seconds since 1970-01-01 UTC.
    pub(super) from: i64,
    /// End of the last one.
    pub(super) to: i64,
    /// Seconds of a stretch.
    pub(super) bucket: i64,
}

impl Scale {
    /// Hours for two weeks, days for two years, else weeks.
    pub(super) fn of(first: i64, last: i64) -> Scale {
        let length = last - first;
        let bucket = match length {
            _ if length <= 14 * DAY => 3_600,
            _ if length <= 730 * DAY => DAY,
            _ => 7 * DAY,
        };
        // Whole days also where hours are drawn, so that dates stand at midnight.
        let step = bucket.max(DAY);
        Scale { from: first - first.rem_euclid(step), to: last - last.rem_euclid(step) + step, bucket }
    }

    /// Number of stretches.
    pub(super) fn len(self) -> usize {
        usize::try_from((self.to - self.from) / self.bucket).unwrap_or_default()
    }

    /// The stretch that holds a second; `None` outside.
    pub(super) fn place(self, epoch: i64) -> Option<usize> {
        let place = usize::try_from((epoch - self.from).div_euclid(self.bucket)).ok()?;
        (place < self.len()).then_some(place)
    }

    /// What a stretch is called.
    pub(super) fn unit(self) -> &'static str {
        match self.bucket {
            3_600 => "hour",
            DAY => "day",
            _ => "week",
        }
    }
}

/// The class of a row of a timeline view.
fn class(row: &Row<'_>) -> usize {
    match (row.raw("action_class"), row.raw("outcome")) {
        (_, outcome) if outcome != "ok" => 4,
        ("crypto", _) if row.is("reveals_plaintext") => 0,
        ("crypto", _) => 1,
        ("read", _) => 3,
        _ => 2,
    }
}

/// The outline of heights, one per stretch: points only where the height changes.
fn outline(heights: &[i64], unit: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 0.0)];
    let mut before = 0;
    for (i, height) in heights.iter().copied().enumerate() {
        if height != before {
            let x = i as f64 * unit;
            points.push((x, before as f64));
            points.push((x, height as f64));
            before = height;
        }
    }
    let end = heights.len() as f64 * unit;
    points.push((end, before as f64));
    points.push((end, 0.0));
    points
}

/// `1200` as `1.2k`; nothing between whole numbers.
fn axis_count(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{}M", (value / 1e5).round() / 10.0),
        _ if value >= 1e3 => format!("{}k", (value / 1e2).round() / 10.0),
        _ if value.fract() == 0.0 => format!("{value}"),
        _ => String::new(),
    }
}

/// Draws stacked heights. `None` when the library refuses, which leaves the numbers.
fn draw(scale: Scale, stacks: &[Vec<i64>]) -> Option<String> {
    let unit = scale.bucket as f64 / DAY as f64;
    let width = scale.len() as f64 * unit;
    let top = stacks.iter().flatten().copied().max().unwrap_or(1).max(1) as f64 * 1.05;
    let date = |days: f64| {
        let epoch = scale.from + (days * DAY as f64).round() as i64;
        match epoch.rem_euclid(DAY) {
            0 => day(epoch),
            second => format!("{} {:02}:{:02}", day(epoch), second / 3_600, second % 3_600 / 60),
        }
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(4)
            .margin_right(38)
            .x_label_area_size(22)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..width, 0.0..top)
            .ok()?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .max_light_lines(0)
            .x_labels(7)
            .y_labels(4)
            .x_label_formatter(&|value| date(*value))
            .y_label_formatter(&|value| axis_count(*value))
            .draw()
            .ok()?;
        // The whole stack first, then what stands below, over it.
        for (stack, color) in stacks.iter().zip(COLORS).rev() {
            let points = outline(stack, unit);
            if points.len() > 3 {
                chart.draw_series(std::iter::once(Polygon::new(points, color.filled()))).ok()?;
            }
        }
        area.present().ok()?;
    }
    // What the page does not need only costs bytes; inside HTML, SVG takes no namespace.
    let svg = svg.replace('\n', "").replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    Some(svg.replace(" opacity=\"1\"", "").replace(" font-family=\"sans-serif\"", ""))
}

/// The chart of one subject from its rows of a timeline view; `None` when there is nothing to show.
pub(super) fn usage(scale: Scale, rows: &[Row<'_>]) -> Option<Usage> {
    let mut counts = vec![vec![0_i64; scale.len()]; CLASSES.len()];
    let mut totals = [0_i64; CLASSES.len()];
    for row in rows {
        let class = class(row);
        if let Some(total) = totals.get_mut(class) {
            *total += row.number("event_count");
        }
        let place = scale.place(row.number("bucket"));
        if let Some(cell) = place.and_then(|place| counts.get_mut(class).and_then(|counts| counts.get_mut(place))) {
            *cell += row.number("event_count");
        }
    }
    if totals.iter().sum::<i64>() == 0 {
        return None;
    }
    let mut stacks = Vec::with_capacity(CLASSES.len());
    let mut below = vec![0_i64; scale.len()];
    for series in counts {
        for (sum, value) in below.iter_mut().zip(series) {
            *sum += value;
        }
        stacks.push(below.clone());
    }
    let classes = CLASSES.iter().zip(totals).enumerate();
    let classes: Vec<UsageClass> = classes
        .filter(|(_, (_, total))| *total > 0)
        .map(|(color, (name, total))| UsageClass { color, name, total: count(total) })
        .collect();
    let told: Vec<String> = classes.iter().map(|class| format!("{} {}", class.total, class.name)).collect();
    let label = format!("Actions per {}: {}", scale.unit(), told.join(", "));
    Some(Usage { svg: draw(scale, &stacks)?, label, classes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretch_grows_with_the_evidence() {
        for (days, unit) in [(1, "hour"), (14, "hour"), (15, "day"), (730, "day"), (731, "week")] {
            assert_eq!(Scale::of(0, days * DAY).unit(), unit);
            assert!(Scale::of(7, days * DAY).len() <= 731);
        }
        let scale = Scale::of(1_700_000_000, 1_700_000_000 + 100 * DAY);
        assert_eq!(scale.place(scale.from), Some(0));
        assert_eq!(scale.place(scale.to - 1), Some(scale.len() - 1));
        assert_eq!((scale.place(scale.to), scale.place(scale.from - 1)), (None, None));
    }

    #[test]
    fn an_outline_has_points_only_where_the_height_changes() {
        assert_eq!(
            outline(&[0, 3, 3, 0], 1.0),
            [(0.0, 0.0), (1.0, 0.0), (1.0, 3.0), (3.0, 3.0), (3.0, 0.0), (4.0, 0.0), (4.0, 0.0)]
        );
    }

    #[test]
    fn a_drawing_is_small_and_holds_no_style_and_no_script() {
        let scale = Scale::of(0, 14 * DAY);
        let stacks: Vec<Vec<i64>> =
            (1..=5).map(|class| (0..scale.len() as i64).map(|hour| hour % 7 * class).collect()).collect();
        let svg = draw(scale, &stacks).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains(">1970-01-06<"), "a date stands at its midnight");
        assert!(!svg.contains("style") && !svg.contains("script") && !svg.contains("http"));
        assert!(svg.len() < 30_000, "{}", svg.len());
        assert_eq!(svg.matches("<polygon").count(), 5);
    }
}
