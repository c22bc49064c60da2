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
use keytrail::output::terminal::sanitize;
use keytrail::query::header::{Header, Severity};
use keytrail::query::params::Overrides;
use keytrail::query::table::Table;
use keytrail::time::format_timestamp;
use std::io::{BufWriter, stdout};

/// One incident as lines of text.
fn story(table: &Table, row: &[Cell<'static>], display: Display) -> String {
    let cell = |name: &str| table.index(name).and_then(|place| row.get(place)).cloned().unwrap_or(Cell::Null);
    let text = |name: &str| cell(name).to_text().into_owned();
    let list = |name: &str| serde_json::from_str::<Vec<String>>(&text(name)).unwrap_or_default();
    let time = |name: &str| match cell(name) {
        Cell::Timestamp(micros) => format_timestamp(micros),
        _ => "an unknown time".to_owned(),
    };
    let severity = Severity::parse(&text("severity")).unwrap_or(Severity::Info);
    let mut lines = vec![format!(
        "#{} {} {} to {}, findings: {}, events: {}",
        text("incident"),
        severity_text(severity, display.color).trim_end(),
        time("first_time"),
        time("last_time"),
        text("finding_count"),
        text("event_count")
    )];
    for (label, name) in
        [("who", "principals"), ("keys", "key_arns"), ("from", "source_ips"), ("accounts", "account_ids")]
    {
        let values = list(name);
        if !values.is_empty() {
            lines.push(format!("  {label}: {}", values.join(", ")));
        }
    }
    lines.extend(list("storyline").into_iter().map(|step| format!("  {step}")));
    let lines: Vec<String> =
        lines.iter().enumerate().map(|(i, line)| if i == 0 { line.clone() } else { sanitize(line) }).collect();
    lines.join("\n") + "\n"
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
        let stories: Vec<String> = table.rows.iter().map(|row| story(&table, row, display)).collect();
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
