//! `keytrail findings`: what the rules found, numbered.
//!
//! In: a case. Out: a list, or with `show` one finding explained. A finding's number is its place in `findings.parquet`,
//! whatever the filters, so that a number in a report or a ticket stays right as long as the case is the same.

use super::args::{FindingsArgs, FindingsCommand, Format};
use super::config::Display;
use super::library::severity;
use super::paint::{Ink, painted};
use super::query::{open, write_rows};
use super::subject::{LISTED, WHO, any, concerned, findings, keys_named};
use super::summary::{count, plural};
use super::{Exit, note, print};
use anyhow::{Context, Result};
use keytrail::case::cells::write_parquet;
use keytrail::discover::Filters;
use keytrail::output::Cell;
use keytrail::output::terminal::table;
use keytrail::pipeline::filter::globs;
use keytrail::query::findings::FINDING_COLUMNS;
use keytrail::query::params::Overrides;
use keytrail::query::run::Session;
use keytrail::query::table::{Row, Table};
use keytrail::schema::{Column, Kind};
use keytrail::severity::Severity;
use std::collections::BTreeSet;
use std::path::Path;

/// The column before those of the findings.
const NUMBER: Column =
    Column { group: "findings", name: "number", kind: Kind::Integer, doc: "Place in findings.parquet, from 1." };

/// The severity of a finding's row.
pub(crate) fn severity_of(row: &Row<'_>) -> Severity {
    Severity::parse(row.text("severity")).unwrap_or(Severity::Info)
}

/// The places of the findings that the arguments ask for.
fn chosen(session: &mut Session, args: &FindingsArgs, found: &Table) -> Result<Vec<usize>> {
    let window = Filters::new(args.since.as_deref(), args.until.as_deref(), &[], &[])?;
    let rules = globs("--rule", &args.rules)?;
    let least = args.severity.map(severity);
    let mut of_keys: Option<BTreeSet<usize>> = None;
    if let Some(names) = globs("--key", &args.keys)? {
        let arns = keys_named(session, &names, &args.keys)?;
        let is_key = |row: &Row<'_>| arns.contains(row.text("key_arn")) || arns.contains(row.text("target_key_arn"));
        of_keys = Some(concerned(session, found, &is_key)?);
    }
    let mut of_principals: Option<BTreeSet<usize>> = None;
    if let Some(names) = globs("--principal", &args.principals)? {
        of_principals = Some(concerned(session, found, &|row| any(row, &WHO, &names))?);
    }
    let is_chosen = |place: &usize, row: &Row<'_>| {
        let (first, last) = (row.micros("first_time"), row.micros("last_time").or(row.micros("first_time")));
        least.is_none_or(|least| severity_of(row) >= least)
            && rules.as_ref().is_none_or(|rules| rules.is_match(row.text("rule")))
            && window.since.is_none_or(|since| last.is_some_and(|last| last >= since))
            && window.until.is_none_or(|until| first.is_some_and(|first| first <= until))
            && of_keys.as_ref().is_none_or(|places| places.contains(place))
            && of_principals.as_ref().is_none_or(|places| places.contains(place))
    };
    Ok(found.iter().enumerate().filter(|(place, row)| is_chosen(place, row)).map(|(place, _)| place).collect())
}

/// From this width on a list says who did it, on which key, from where.
const WITH_WHO: usize = 110;

/// The list as text; `width` 0 shows everything, as for a pipe.
fn listed(found: &Table, places: &[usize], width: usize, color: bool) -> String {
    let mut names = vec!["severity", "first_time", "rule"];
    if width == 0 || width >= WITH_WHO {
        names.extend(["principal", "key_arn", "source_ip"]);
    }
    names.extend((width == 0).then_some("summary"));
    let all: Vec<Row<'_>> = found.iter().collect();
    let rows: Vec<Vec<Cell<'static>>> = places
        .iter()
        .filter_map(|place| all.get(*place).map(|row| (place, row)))
        .map(|(place, row)| {
            let number = Cell::Integer(i64::try_from(place + 1).unwrap_or(i64::MAX));
            std::iter::once(number).chain(names.iter().map(|name| row.cell(name).clone())).collect()
        })
        .collect();
    names.insert(0, "#");
    let plain = table(&names, &rows, width);
    if !color {
        return plain;
    }
    let mut out = String::new();
    for (i, line) in plain.lines().enumerate() {
        let severity = i.checked_sub(1).and_then(|i| places.get(i)).and_then(|place| all.get(*place)).map(severity_of);
        let parts = severity.and_then(|severity| Some((severity, line.split_once(severity.as_str())?)));
        match parts {
            Some((severity, (before, after))) => {
                out.push_str(before);
                out.push_str(&painted(Ink::Severity(severity), severity.as_str(), true));
                out.push_str(after);
            }
            None => out.push_str(&painted(Ink::Faint, line, true)),
        }
        out.push('\n');
    }
    out
}

/// Columns and rows for programs: the number, and everything that the case has.
fn records(found: &Table, places: &[usize]) -> (Vec<Column>, Vec<Vec<Cell<'static>>>) {
    let columns: Vec<Column> =
        FINDING_COLUMNS.into_iter().filter(|column| found.index(column.name).is_some()).collect();
    let all: Vec<Row<'_>> = found.iter().collect();
    let rows = places.iter().filter_map(|place| all.get(*place).map(|row| (place, row))).map(|(place, row)| {
        let number = Cell::Integer(i64::try_from(place + 1).unwrap_or(i64::MAX));
        std::iter::once(number).chain(columns.iter().map(|column| row.cell(column.name).clone())).collect()
    });
    let rows = rows.collect();
    (std::iter::once(NUMBER).chain(columns).collect(), rows)
}

fn write(args: &FindingsArgs, found: &Table, places: &[usize], display: Display) -> Result<()> {
    if args.output.format == Format::Table && args.output.file.is_none() {
        print(listed(found, places, display.width, display.color))?;
        if !display.quiet {
            let hidden = found.iter().len() - places.len();
            let hidden = if hidden > 0 { format!(", {} not shown", count(hidden as u64)) } else { String::new() };
            note(format!("{}{hidden}; keytrail findings show N explains one", plural(places.len() as u64, "finding")));
        }
        return Ok(());
    }
    let (columns, rows) = records(found, places);
    let names: Vec<String> = columns.iter().map(|column| column.name.to_owned()).collect();
    match &args.output.file {
        Some(path) if args.output.format == Format::Parquet => Ok(write_parquet(path, &columns, rows)?),
        _ => write_rows(&names, &rows, args.output.format, 0, &mut args.output.create()?),
    }
}

/// The case of a command that may stand before or behind its subcommand.
pub(crate) fn case(given: Option<&Path>) -> Result<&Path> {
    given.context("--case CASE is missing: name a folder written by `keytrail analyze`")
}

/// Runs the command.
///
/// # Errors
/// When the case or an argument is not usable.
pub(crate) fn run(args: &FindingsArgs) -> Result<Exit> {
    if let Some(FindingsCommand::Show(show)) = &args.command {
        return super::finding::run(show, case(show.case.as_deref().or(args.case.as_deref()))?);
    }
    let display = Display::new(&args.display);
    args.output.check()?;
    let mut session = open(case(args.case.as_deref())?, &[], Overrides::default())?;
    let is_short = args.output.format == Format::Table && args.output.file.is_none();
    let needs_ids = !args.keys.is_empty() || !args.principals.is_empty();
    let columns: Vec<&str> = LISTED.into_iter().chain(needs_ids.then_some("event_ids")).collect();
    let found = findings(&mut session, if is_short { &columns } else { &[] })?;
    let places = chosen(&mut session, args, &found)?;
    write(args, &found, &places, display)?;
    Ok(Exit::Done)
}
