//! `keytrail review`: the compliance reviews over a case.
//!
//! In: a case and, if wanted, one review. Out: a scorecard, or with `--rows` or a review's name every subject with its result
//! and its evidence. The reviews run anew, so that parameters and own review files count. What they cannot tell stands over
//! every answer: on stdout over a table, on stderr beside the forms that programs read.

use super::args::{Format, ReviewArgs};
use super::config::Display;
use super::library::{faults, load, severity};
use super::query::{open, write_rows};
use super::{Exit, note, print};
use anyhow::{Result, bail};
use keytrail::error::Error;
use keytrail::output::Cell;
use keytrail::query::findings::Finding;
use keytrail::query::header::QueryKind;
use keytrail::query::library::Library;
use keytrail::query::params::Overrides;
use keytrail::query::run::Session;
use keytrail::query::scorecard::{CAVEAT, Line, REVIEW_COLUMNS, cells, lines};
use std::io::{BufWriter, stdout};

/// The columns of the scorecard.
const SCORECARD: [&str; 8] = ["review", "result", "failed", "passed", "unknown", "severity", "controls", "title"];

/// The columns of rows that a table shows; the other forms have all.
const SHOWN: [&str; 5] = ["review", "result", "severity", "subject", "summary"];

fn text(text: &str) -> Cell<'static> {
    if text.is_empty() { Cell::Null } else { Cell::Text(text.to_owned().into()) }
}

fn score(line: &Line) -> Vec<Cell<'static>> {
    let count = |count: u64| Cell::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    vec![
        text(&line.review),
        text(line.result()),
        count(line.failed),
        count(line.passed),
        count(line.unknown),
        text(line.worst.map_or("", |severity| severity.as_str())),
        text(&line.controls),
        text(&line.title),
    ]
}

fn write_results(args: &ReviewArgs, library: &Library, found: &[Finding], display: Display) -> Result<()> {
    let rows: Vec<Vec<Cell<'static>>> =
        found.iter().map(|finding| cells(library, finding).into_iter().map(Cell::into_owned).collect()).collect();
    let all: Vec<String> = REVIEW_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    let (names, rows) = if args.format == Format::Table {
        let places: Vec<usize> = SHOWN.iter().filter_map(|name| all.iter().position(|other| other == name)).collect();
        let short = rows.iter().map(|row| places.iter().filter_map(|place| row.get(*place).cloned()).collect());
        (SHOWN.map(str::to_owned).to_vec(), short.collect())
    } else {
        (all, rows)
    };
    write_rows(&names, &rows, args.format, display.width, &mut BufWriter::new(stdout().lock()))
}

/// The results of the review `id`, or of all reviews with the faults of those that could not be run.
fn results(session: &mut Session, library: &Library, id: Option<&str>) -> Result<(Vec<Finding>, Vec<Error>)> {
    let Some(id) = id else {
        return Ok(session.all_findings(library, &[QueryKind::Review], |_| {}));
    };
    let Some(review) = library.get(id).filter(|review| review.kind == QueryKind::Review) else {
        bail!("{id}: no such review; `keytrail review --case CASE` lists them");
    };
    let prepared = session.prepare(id, &review.sql, &review.header).map_err(faults)?;
    Ok((session.findings(QueryKind::Review, &prepared)?, Vec::new()))
}

/// Runs the command.
///
/// # Errors
/// When the case, a review or an argument is not usable.
pub(crate) fn run(args: &ReviewArgs) -> Result<Exit> {
    if args.format == Format::Parquet {
        bail!("--format parquet: the case has reviews.parquet; here table, csv, ndjson or json");
    }
    let display = Display::new(&args.display);
    let library = load(&args.library.folders)?;
    let overrides = Overrides::parse(&args.library.set)?;
    overrides
        .check_known(library.queries().into_iter().map(|query| (query.id.as_str(), query.header.params.as_slice())))?;
    let mut session = open(&args.case, &args.library.home_accounts, overrides)?;
    let (found, faults) = results(&mut session, &library, args.review.as_deref())?;
    if !display.quiet {
        for fault in &faults {
            note(format!("warning: {fault}"));
        }
    }
    if args.format == Format::Table {
        print(format!("{CAVEAT}\n"))?;
    } else if !display.quiet {
        note(CAVEAT);
    }
    if args.rows || args.review.is_some() {
        write_results(args, &library, &found, display)?;
    } else {
        let rows: Vec<_> = lines(&library, &found).iter().map(score).collect();
        let names = SCORECARD.map(str::to_owned);
        write_rows(&names, &rows, args.format, display.width, &mut BufWriter::new(stdout().lock()))?;
    }
    let failed = found.iter().filter(|finding| finding.is_hit(QueryKind::Review)).map(|finding| finding.severity).max();
    let is_met = args.fail_on.is_some_and(|wanted| failed.is_some_and(|worst| worst >= severity(wanted)));
    Ok(match (is_met, faults.is_empty()) {
        (true, _) => Exit::FindingsMet,
        (false, false) => Exit::InputProblems,
        (false, true) => Exit::Done,
    })
}
