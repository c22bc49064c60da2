//! `keytrail incidents`: what the findings tell, as stories.
//!
//! In: a case with `incidents.parquet`. Out: each incident with who, what and when, and its findings in the order of time; or
//! the table in another form.

use super::args::{Format, IncidentsArgs};
use super::config::Display;
use super::query::{names, open, write_rows};
use super::summary::severity_text;
use super::{Exit, print};
use anyhow::{Result, bail};
use keytrail::output::Cell;
use keytrail::output::terminal::{sanitize, wrap};
use keytrail::query::header::Header;
use keytrail::query::params::Overrides;
use keytrail::query::table::Row;
use keytrail::severity::Severity;
use keytrail::time::format_timestamp;
use std::io::{BufWriter, stdout};

/// One incident as lines of text.
fn story(row: &Row<'_>, display: Display) -> String {
    let list = |name: &str| serde_json::from_str::<Vec<String>>(row.text(name)).unwrap_or_default();
    let time = |name: &str| row.micros(name).map_or_else(|| "an unknown time".to_owned(), format_timestamp);
    let severity = Severity::parse(row.text("severity")).unwrap_or(Severity::Info);
    let head = format!(
        "#{} {} {} to {}, findings: {}, events: {}",
        row.number("incident"),
        severity_text(severity, display.color).trim_end(),
        time("first_time"),
        time("last_time"),
        row.number("finding_count"),
        row.number("event_count")
    );
    let mut lines = Vec::new();
    for (label, name) in
        [("who", "principals"), ("keys", "key_arns"), ("from", "source_ips"), ("accounts", "account_ids")]
    {
        let values = list(name);
        if !values.is_empty() {
            lines.push(format!("  {label}: {}", values.join(", ")));
        }
    }
    lines.extend(list("storyline").into_iter().map(|step| format!("  {step}")));
    let lines = lines.iter().map(|line| indented(&sanitize(line), display.width));
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n") + "\n"
}

/// A line two columns in, in as many lines of the terminal as it needs; in a pipe it is one.
fn indented(line: &str, width: usize) -> String {
    const MORE: &str = "\n    ";
    if width <= 2 * MORE.len() {
        return line.to_owned();
    }
    format!("  {}", wrap(line, width - 4, usize::MAX).join(MORE))
}

/// Runs the command.
///
/// # Errors
/// When the case has no incidents table, or there is no such incident.
pub(crate) fn run(args: &IncidentsArgs) -> Result<Exit> {
    if args.format == Format::Parquet {
        bail!("--format parquet: the case has incidents.parquet; here table, csv, ndjson or json");
    }
    let display = Display::new(&args.display);
    let mut session = open(&args.case, &[], Overrides::default())?;
    if !args.case.join("incidents.parquet").is_file() {
        bail!("{}: has no incidents: analyze the evidence again with this version", args.case.display());
    }
    let columns: Vec<String> =
        keytrail::query::incidents::INCIDENT_COLUMNS.iter().map(|column| format!("i.{}", column.name)).collect();
    let sql = format!("SELECT {} FROM incidents AS i ORDER BY incident", columns.join(", "));
    let query = session.prepare("incidents", &sql, &Header::default()).map_err(super::library::faults)?;
    let mut table = session.table(&query)?;
    if let Some(number) = args.number {
        table.rows.retain(|row| matches!(row.first(), Some(Cell::Integer(other)) if *other == number));
        if table.rows.is_empty() {
            bail!("there is no incident {number}");
        }
    }
    if args.format == Format::Table {
        let stories: Vec<String> = table.iter().map(|row| story(&row, display)).collect();
        print(if stories.is_empty() { "no incidents\n".to_owned() } else { stories.join("\n") })?;
    } else {
        write_rows(
            &names(&table.columns),
            &table.rows,
            args.format,
            display.width,
            &mut BufWriter::new(stdout().lock()),
        )?;
    }
    Ok(Exit::Done)
}
