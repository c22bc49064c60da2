//! `keytrail timeline`: one subject's chronology and usage.
//!
//! In: a case, or archives that a case is made of for the moment, and a key, principal or grant. Out: its events in time
//! order, and its use by hour. The texts of both are library queries, so they can be read and changed.

use super::args::{Format, TimelineArgs};
use super::config::Display;
use super::library::{faults, load};
use super::query::{names, open, write_rows};
use super::temporary::TemporaryCase;
use super::{Exit, note, print};
use anyhow::{Context, Result};
use keytrail::query::params::Overrides;
use keytrail::query::run::Session;
use keytrail::query::table::Table;
use std::path::Path;

fn table(session: &mut Session, id: &str) -> Result<Table> {
    let library = load(&[])?;
    let query = library.get(id).with_context(|| format!("{id} is not in the library"))?;
    let prepared = session.prepare(id, &query.sql, &query.header).map_err(faults)?;
    Ok(session.table(&prepared)?)
}

fn show(args: &TimelineArgs, case: &Path, display: Display) -> Result<()> {
    let (kind, subject) = match (&args.subject.key, &args.subject.principal, &args.subject.grant) {
        (Some(key), _, _) => ("key", key),
        (_, Some(principal), _) => ("principal", principal),
        (_, _, Some(grant)) => ("grant", grant),
        _ => return Ok(()),
    };
    let overrides = Overrides::parse(&[format!("subject={subject}")])?;
    let mut session = open(case, &[], overrides)?;
    let mut events = table(&mut session, &format!("{kind}-events"))?;
    let mut out = Vec::new();
    if events.rows.is_empty() && args.format == Format::Table {
        note(format!("no event of {kind} {subject}: expected an ARN, an id or a name as the logs have it"));
    }
    let hidden =
        if args.format == Format::Table && args.limit > 0 { events.rows.len().saturating_sub(args.limit) } else { 0 };
    events.rows.truncate(events.rows.len() - hidden);
    write_rows(&names(&events.columns), &events.rows, args.format, display.width, &mut out)?;
    if hidden > 0 {
        note(format!("{hidden} more events: --limit 0 shows all"));
    }
    if args.format == Format::Table && kind != "grant" {
        let usage = table(&mut session, &format!("{kind}-usage"))?;
        out.extend_from_slice(b"\nuse by hour\n");
        write_rows(&names(&usage.columns), &usage.rows, args.format, display.width, &mut out)?;
    }
    print(out)
}

/// Runs the command.
///
/// # Errors
/// When the case or the archives are not usable.
pub(crate) fn run(args: &TimelineArgs) -> Result<Exit> {
    let display = Display::new(&args.display);
    match &args.case {
        Some(case) => show(args, case, display)?,
        None => show(args, TemporaryCase::read(&args.paths, &args.resources)?.path(), display)?,
    }
    Ok(Exit::Done)
}
