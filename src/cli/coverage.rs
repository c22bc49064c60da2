//! `keytrail coverage`: what the evidence covers, and what it cannot show.
//!
//! In: a case, or archives that a case is made of for the moment. Out: the limits of the evidence, the worst first, then one
//! line for each account and Region; or one of the tables behind it. All of it is SQL in `queries/views`; here it is only laid
//! out.

use super::args::{CoverageArgs, CoverageRows, Format};
use super::config::Display;
use super::library::{faults, load};
use super::query::{open, write};
use super::summary::{count, severity_text};
use super::temporary::TemporaryCase;
use super::{Exit, note, print};
use anyhow::{Result, bail};
use keytrail::output::Cell;
use keytrail::output::terminal::{self, sanitize};
use keytrail::query::header::Header;
use keytrail::query::params::Overrides;
use keytrail::query::run::{Prepared, Session};
use keytrail::query::table::{self, Table};
use keytrail::severity::Severity;
use std::path::Path;

/// Limits that the summary tells; the table has all.
const TOLD: usize = 20;
/// Width of the text when stdout is no terminal.
const WIDTH: usize = 80;

impl CoverageRows {
    /// The view, and its order.
    fn view(self) -> (&'static str, &'static str) {
        match self {
            CoverageRows::Places => ("coverage_places", "account_id, region"),
            CoverageRows::Hours => ("coverage", "hour, account_id NULLS LAST, region NULLS LAST"),
            CoverageRows::Gaps => ("coverage_gaps", "account_id, region, from_epoch, gap_kind"),
            CoverageRows::Limits => (
                "evidence_limits",
                "rank, kind, account_id NULLS LAST, region NULLS LAST, first_time NULLS LAST, summary",
            ),
            CoverageRows::Trails => (
                "selectors_in_force",
                "account_id NULLS LAST, region NULLS LAST, trail_name NULLS LAST, last_change_time NULLS LAST",
            ),
            CoverageRows::Logs => {
                ("named_logs", "hour_epoch, status, object_id, trail_arn, object_arn NULLS LAST, path NULLS LAST")
            }
        }
    }

    const ALL: [CoverageRows; 6] = [
        CoverageRows::Places,
        CoverageRows::Hours,
        CoverageRows::Gaps,
        CoverageRows::Limits,
        CoverageRows::Trails,
        CoverageRows::Logs,
    ];
}

/// The whole table behind an answer.
fn rows_of(session: &Session, rows: CoverageRows) -> Result<Prepared> {
    let (view, order) = rows.view();
    let library = load(&[])?;
    let columns = library.get(view).map(|view| view.header.columns.iter().map(|column| format!("t.{}", column.name)));
    let columns: Vec<String> = columns.into_iter().flatten().collect();
    let sql = format!("SELECT {} FROM {view} AS t ORDER BY {order}", columns.join(", "));
    session.prepare(view, &sql, &Header::default()).map_err(faults)
}

/// A row as it is shown.
struct Row<'t>(table::Row<'t>);

impl Row<'_> {
    fn text(&self, name: &str) -> String {
        sanitize(&self.0.cell(name).to_text())
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.0.cell(name) {
            Cell::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    fn count(&self, name: &str) -> String {
        self.number(name).map(count).unwrap_or_default()
    }

    /// A time to the minute, `2024-05-01 10:00`.
    fn minute(&self, name: &str) -> String {
        self.0.time(name).chars().take(16).collect::<String>().replace('T', " ")
    }
}

fn rows(table: &Table) -> impl Iterator<Item = Row<'_>> {
    table.iter().map(Row)
}

/// `45s`, `8m`, `3h`, `12d`.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text in lines of at most `width` columns; at least one, because what stands before it must be shown.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let lines = terminal::wrap(text, width, usize::MAX);
    if lines.is_empty() { vec![String::new()] } else { lines }
}

/// What the evidence cannot show: what opens every report.
fn limits(table: &Table, width: usize, color: bool) -> String {
    let mut text = String::from("What this evidence cannot show\n");
    for row in rows(table).take(TOLD) {
        let severity = severity_text(Severity::parse(&row.text("severity")).unwrap_or(Severity::Info), color);
        let times = match (row.minute("first_time").as_str(), row.minute("last_time").as_str()) {
            ("", "") => String::new(),
            (first, "") => format!("From {first} UTC: "),
            ("", last) => format!("Until {last} UTC: "),
            (first, last) if first == last => format!("At {first} UTC: "),
            (first, last) => format!("{first} to {last} UTC: "),
        };
        for (i, line) in wrap(&format!("{times}{}", row.text("summary")), width.saturating_sub(11)).iter().enumerate() {
            text.push_str(&if i == 0 { format!("  {severity} {line}\n") } else { format!("           {line}\n") });
        }
    }
    if table.rows.is_empty() {
        text.push_str("  nothing that could be told from it\n");
    }
    if table.rows.len() > TOLD {
        text.push_str(&format!("  and {} more: --rows limits\n", count((table.rows.len() - TOLD) as u64)));
    }
    text
}

/// A column of the table of places: how early it is given up when there is no room, its name, its values, and whether they
/// stand on the right.
struct Column {
    rank: u8,
    name: &'static str,
    values: Vec<String>,
    is_right: bool,
}

impl Column {
    fn width(&self) -> usize {
        let values = self.values.iter().map(|value| value.chars().count());
        values.chain([self.name.len()]).max().unwrap_or(0)
    }
}

/// The columns in their order, each with the width from which on it is worth its room.
fn columns(table: &Table) -> Vec<Column> {
    let column = |rank, name, is_right, value: &dyn Fn(&Row<'_>) -> String| Column {
        rank,
        name,
        is_right,
        values: rows(table).map(|row| value(&row)).collect(),
    };
    let gap = |row: &Row<'_>| row.number("longest_gap_hours").map_or("-".to_owned(), |hours| duration(hours * 3_600));
    let lag = |row: &Row<'_>| row.number("typical_lag_s").map_or("-".to_owned(), duration);
    let hours = |row: &Row<'_>| {
        let (with, without) = (row.number("hours_with").unwrap_or(0), row.number("hours_without").unwrap_or(0));
        format!("{}/{}", count(with), count(with + without))
    };
    let rhythm = |row: &Row<'_>| row.number("usual_hours").map_or("?".to_owned(), |hours| format!("{hours}h"));
    vec![
        column(0, "account", false, &|row| row.text("account_id")),
        column(0, "region", false, &|row| row.text("region")),
        column(0, "first event", false, &|row| row.minute("first_event")),
        column(0, "last event", false, &|row| row.minute("last_event")),
        column(3, "files", true, &|row| row.count("files")),
        column(5, "records", true, &|row| row.count("records")),
        column(0, "KMS", true, &|row| row.count("kms_events")),
        column(4, "hours", true, &hours),
        column(6, "rhythm", true, &rhythm),
        column(5, "gaps", true, &|row| row.count("gap_count")),
        column(1, "gap", true, &gap),
        column(2, "lag", true, &lag),
        column(0, "use", false, &|row| row.text("key_use_recorded")),
    ]
}

/// One line for each account and Region, in as many columns as have room.
fn places(table: &Table, width: usize) -> String {
    let mut columns = columns(table);
    let total = |columns: &[Column]| columns.iter().map(|column| column.width() + 1).sum::<usize>().saturating_sub(1);
    if total(&columns) > width {
        // Days must do: the limits above have the minutes.
        for column in columns.iter_mut().filter(|column| matches!(column.name, "first event" | "last event")) {
            column.name = if column.name == "first event" { "first" } else { "last" };
            column.values.iter_mut().for_each(|value| *value = value.chars().take(10).collect());
        }
    }
    while total(&columns) > width {
        let Some(last) = columns.iter().map(|column| column.rank).max().filter(|rank| *rank > 0) else { break };
        columns.retain(|column| column.rank != last);
    }
    let between = if total(&columns) + columns.len() <= width + 1 { "  " } else { " " };
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&columns)
            .map(|(cell, column)| match (column.is_right, column.width()) {
                (true, width) => format!("{cell:>width$}"),
                (false, width) => format!("{cell:<width$}"),
            })
            .collect();
        cells.join(between).trim_end().to_owned() + "\n"
    };
    let mut text = line(&mut columns.iter().map(|column| column.name));
    for i in 0..table.rows.len() {
        text.push_str(&line(&mut columns.iter().map(|column| column.values.get(i).map_or("", String::as_str))));
    }
    text
}

fn show(args: &CoverageArgs, session: &mut Session, display: Display) -> Result<()> {
    if args.rows.is_some() || args.output.format != Format::Table {
        let query = rows_of(session, args.rows.unwrap_or(CoverageRows::Places))?;
        return write(session, &query, &args.output, display);
    }
    if args.output.file.is_some() {
        bail!("--output: the summary is for the terminal; choose --format csv, ndjson, json or parquet");
    }
    let width = if display.width == 0 { WIDTH } else { display.width };
    let query = rows_of(session, CoverageRows::Limits)?;
    let told = session.table(&query)?;
    let query = rows_of(session, CoverageRows::Places)?;
    let found = session.table(&query)?;
    let legend = "hours: with a file or record, of all from first to last. KMS: events of KMS. gap: the longest one against the place's own rhythm. lag: from record to delivery. use: whether the use of keys was recorded.";
    let legend = wrap(legend, width).join("\n");
    print(format!("{}\nCoverage\n{}{legend}\n", limits(&told, width, display.color), places(&found, width)))
}

/// Builds the views of the command in a case that has none.
fn build_views(session: &mut Session, case: &Path) -> Result<()> {
    let library = load(&[])?;
    let views = library.views_for(CoverageRows::ALL.map(|rows| rows.view().0))?;
    match session.build_views(&views, &case.join("tables"), |_| {}) {
        (_, errors) if errors.is_empty() => Ok(()),
        (_, errors) => Err(faults(errors)),
    }
}

/// Runs the command.
///
/// # Errors
/// When the case or the archives are not usable.
pub(crate) fn run(args: &CoverageArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    if let Some(case) = &args.case {
        let mut session = open(case, &[], Overrides::default())?;
        if !CoverageRows::ALL.iter().all(|rows| case.join(format!("tables/{}.parquet", rows.view().0)).is_file()) {
            bail!("{}: lacks tables about coverage: analyze the evidence again with this version", case.display());
        }
        show(args, &mut session, display)?;
        return Ok(Exit::Done);
    }
    let case = TemporaryCase::read(&args.paths, &args.resources)?;
    let mut session = open(case.path(), &[], Overrides::default())?;
    build_views(&mut session, case.path())?;
    show(args, &mut session, display)?;
    if case.problems > 0 && !display.quiet {
        note(format!("{} inputs were not understood completely", count(case.problems)));
    }
    Ok(if case.problems > 0 { Exit::InputProblems } else { Exit::Done })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = [0, 119, 120, 7_199, 7_200, 86_400, 172_800].map(duration);
        assert_eq!(shown, ["0s", "119s", "2m", "119m", "2h", "24h", "2d"]);
    }

    #[test]
    fn lines_break_at_spaces_and_inside_words_that_are_too_long() {
        assert_eq!(wrap("a bb ccc", 4), ["a bb", "ccc"]);
        assert_eq!(wrap("abcdef g", 3), ["abc", "def", "g"]);
        assert_eq!(wrap("", 3), [""]);
    }
}
