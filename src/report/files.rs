//! The CSV files that the report links to.
//!
//! In: a case folder. Out: CSV beside the tables that the report shows in part, and the links to what is there. Links are
//! relative, so a case folder can be moved or packed as a whole.

use crate::case::cells::{TextForm, export};
use crate::case::existing::row_count;
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// Tables that the report shows and links to.
pub const LINKED: [&str; 15] = [
    "keys",
    "principals",
    "exposure",
    "grants",
    "deletions",
    "policies",
    "trails",
    "aliases",
    "pairs",
    "origin_days",
    "evidence_limits",
    "integrity",
    "integrity_findings",
    "integrity_chains",
    "coverage",
];

/// Rows of a table that is written as CSV without being asked for; what is larger takes `--format csv`.
const MAX_ROWS: u64 = 200_000;

/// Links by table.
pub(super) type Links = BTreeMap<String, String>;

/// Writes the linked tables that are there, and not too long, as CSV beside them. Files that exist are left alone. Gives the
/// paths of those that were written, inside the case.
///
/// # Errors
/// When a table cannot be read or a file cannot be written.
pub fn write_csv(case: &Path) -> Result<Vec<String>> {
    let mut written = Vec::new();
    for name in LINKED {
        let table = case.join("tables").join(format!("{name}.parquet"));
        let target = table.with_extension("csv");
        if table.is_file() && !target.exists() && row_count(&table)? <= MAX_ROWS {
            export(std::slice::from_ref(&table), TextForm::Csv, &target)?;
            written.push(format!("tables/{name}.csv"));
        }
    }
    Ok(written)
}

/// The CSV files of a case.
pub(super) fn links(case: &Path) -> Links {
    let results = ["findings", "incidents", "reviews"].map(|name| (name, format!("{name}.csv")));
    let tables = LINKED.map(|name| (name, format!("tables/{name}.csv")));
    results
        .into_iter()
        .chain(tables)
        .filter(|(_, path)| case.join(path).is_file())
        .map(|(name, path)| (name.to_owned(), path))
        .collect()
}
