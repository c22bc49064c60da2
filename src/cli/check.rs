//! `keytrail queries check`: validates and tests query files.
//!
//! In: a folder, or the built-in library. Out: every fault with its file and line on stderr, and a count on stdout. Test
//! records pass through the same reading, scanning and normalizing as evidence.

use super::{Exit, config, note, print};
use anyhow::Result;
use keytrail::case::build::build_from_records;
use keytrail::query::check::{CheckReport, Expect, Options, check_folder, check_library, selected};
use keytrail::query::library::Library;
use std::collections::BTreeSet;
use std::path::Path;

fn check(folder: Option<&Path>, only: &[String], keep: Option<&Path>) -> Result<CheckReport> {
    let load = |records: &[serde_json::Value], case: &Path| build_from_records(records, case).map(|_| ());
    let options = Options { expect: Expect::from_environment(), keep, jobs: config::jobs(None) };
    Ok(match folder {
        Some(folder) => check_folder(folder, only, &load, options),
        None => {
            let library = Library::built_in().map_err(super::library::faults)?;
            let ids: BTreeSet<String> = library.queries().into_iter().map(|query| query.id.clone()).collect();
            check_library(&library, &selected(ids, only), &load, options)
        }
    })
}

/// Runs the command.
///
/// # Errors
/// When stdout cannot be written. Faults are reported and give exit code 1.
pub(super) fn run(folder: Option<&Path>, only: &[String], keep: Option<&Path>) -> Result<Exit> {
    let report = check(folder, only, keep)?;
    for fault in &report.faults {
        note(fault.to_string());
    }
    for path in &report.rewritten {
        note(format!("rewritten: {}", path.display()));
    }
    print(format!("{} queries and {} tests checked, {} faults\n", report.queries, report.tests, report.faults.len()))?;
    Ok(if report.faults.is_empty() { Exit::Done } else { Exit::CouldNotRun })
}
