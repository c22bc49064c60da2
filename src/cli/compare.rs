//! `keytrail compare`: what changed between two cases.
//!
//! In: an older and a newer case. Out: the differences as rows, and their number by kind on stderr.

use super::args::{CompareArgs, Format};
use super::config::Display;
use super::query::{open, write_rows};
use super::{Exit, note};
use anyhow::{Result, bail};
use keytrail::case::folder::is_case;
use keytrail::output::Cell;
use keytrail::query::compare::{CHANGE_COLUMNS, compare};
use keytrail::query::params::Overrides;
use std::collections::BTreeMap;
use std::io::{BufWriter, stdout};

/// Runs the command.
///
/// # Errors
/// When one of the folders is no case, or its tables cannot be read.
pub(crate) fn run(args: &CompareArgs) -> Result<Exit> {
    if args.format == Format::Parquet {
        bail!("--format parquet: a comparison is written as table, csv, ndjson or json");
    }
    let display = Display::new(&args.display);
    if !is_case(&args.old) {
        bail!("{}: not a case: expected a folder written by `keytrail analyze`", args.old.display());
    }
    let mut session = open(&args.new, &[], Overrides::default())?;
    let comparison = compare(&mut session, &args.old, &args.new)?;
    let names: Vec<String> = CHANGE_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    let rows: Vec<Vec<Cell<'static>>> = comparison.changes.iter().map(|change| change.cells()).collect();
    write_rows(&names, &rows, args.format, display.width, &mut BufWriter::new(stdout().lock()))?;
    if !display.quiet {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for change in &comparison.changes {
            *counts.entry((change.kind, change.change.as_str())).or_default() += 1;
        }
        let counts: Vec<String> =
            counts.into_iter().map(|((kind, change), count)| format!("{kind} {change}: {count}")).collect();
        note(if counts.is_empty() { "no differences".to_owned() } else { counts.join("; ") });
        note("gone means not in the newer evidence, which is no proof that it no longer exists");
        for table in &comparison.missing {
            note(format!("warning: not compared, because a case has no table {table}"));
        }
    }
    Ok(if comparison.missing.is_empty() { Exit::Done } else { Exit::InputProblems })
}
