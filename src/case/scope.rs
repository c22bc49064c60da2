//! `tables/scope.parquet`: under which filters the evidence was read.
//!
//! In: the filters of a run, and of an extended case those of the runs before. Out: one row per distinct set of filters, so
//! that SQL can tell what a case cannot show because nobody asked for it. No run times and no numbers of runs: a case that
//! was extended night by night is the same as one that was made at once.

use crate::case::cells::write_parquet;
use crate::case::existing::{self, read_table};
use crate::error::Result;
use crate::output::Cell;
use crate::schema::{Column, Kind};
use crate::time::MICROS;
use std::collections::BTreeMap;
use std::path::Path;

macro_rules! columns {
    ($(($name:ident, $kind:ident, $doc:literal),)*) => {
        /// The columns of `scope`.
        pub const SCOPE_COLUMNS: &[Column] =
            &[$(Column { group: "coverage", name: stringify!($name), kind: Kind::$kind, doc: $doc },)*];
    };
}
columns!(
    (since_time, Timestamp, "`--since`; NULL without."),
    (until_time, Timestamp, "`--until`; NULL without."),
    (since_epoch, Integer, "`since_time` in seconds."),
    (until_epoch, Integer, "`until_time` in seconds."),
    (accounts, Text, "`--account`, sorted, separated by spaces; NULL without."),
    (regions, Text, "`--region`, as above."),
    (keys, Text, "`--key`, as above."),
    (principals, Text, "`--principal`, as above."),
    (has_digests, Boolean, "Digest files of CloudTrail's log file validation were among the paths."),
    (unlisted, Integer, "Paths that could not be looked at."),
);

/// The table's place in a case.
pub const SCOPE: &str = "tables/scope.parquet";

/// What one run was told to read, and what it could not look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// `--since`, microseconds since 1970-01-01 UTC.
    pub since: Option<i64>,
    /// `--until`, as above.
    pub until: Option<i64>,
    /// `--account`, `--region`, `--key`, `--principal`: the patterns as given.
    pub patterns: [Vec<String>; 4],
    /// Digest files were among the paths.
    pub has_digests: bool,
    /// Paths that could not be looked at.
    pub unlisted: u64,
}

/// The filters of a row, by which rows are told apart.
type Filters = (Option<i64>, Option<i64>, [Option<String>; 4]);

/// Writes the table into `folder`, with the rows of the case being extended.
///
/// # Errors
/// When it cannot be written, or the old case cannot be read.
pub fn write(folder: &Path, extended: Option<&Path>, scope: &Scope) -> Result<()> {
    let mut rows: BTreeMap<Filters, (bool, u64)> = BTreeMap::new();
    let mut add = |filters: Filters, has_digests: bool, unlisted: u64| {
        let (digests, most) = rows.entry(filters).or_default();
        *digests |= has_digests;
        *most = unlisted.max(*most);
    };
    if let Some(path) = extended.map(|old| old.join(SCOPE)).filter(|path| path.is_file()) {
        read_table(&path, |batch| {
            for row in 0..batch.num_rows() {
                let text = |name| existing::text(&batch, name, row).map(str::to_owned);
                let patterns = ["accounts", "regions", "keys", "principals"].map(text);
                let time = |name| existing::time(&batch, name, row);
                let filters = (time("since_time"), time("until_time"), patterns);
                let has_digests = existing::flag(&batch, "has_digests", row);
                add(filters, has_digests, existing::number(&batch, "unlisted", row));
            }
            Ok(())
        })?;
    }
    let patterns = scope.patterns.clone().map(|mut patterns| {
        patterns.sort();
        (!patterns.is_empty()).then(|| patterns.join(" "))
    });
    add((scope.since, scope.until, patterns), scope.has_digests, scope.unlisted);
    let rows = rows.into_iter().map(|((since, until, patterns), (has_digests, unlisted))| {
        let time = |time: Option<i64>| time.map_or(Cell::Null, Cell::Timestamp);
        let seconds = |time: Option<i64>| time.map_or(Cell::Null, |time| Cell::Integer(time.div_euclid(MICROS)));
        let mut cells = vec![time(since), time(until), seconds(since), seconds(until)];
        cells.extend(patterns.into_iter().map(|text| text.map_or(Cell::Null, |text| Cell::Text(text.into()))));
        cells.push(Cell::Boolean(has_digests));
        cells.push(Cell::Integer(i64::try_from(unlisted).unwrap_or(i64::MAX)));
        cells
    });
    write_parquet(&folder.join(SCOPE), SCOPE_COLUMNS, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::cells::{TextForm, export};

    #[test]
    fn runs_with_equal_filters_are_one_row() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for case in [&old, &new] {
            std::fs::create_dir_all(case.join("tables")).unwrap();
        }
        write(&old, None, &Scope { unlisted: 2, ..Scope::default() }).unwrap();
        let all = Scope { has_digests: true, ..Scope::default() };
        write(&new, Some(&old), &all).unwrap();
        let narrow = Scope {
            until: Some(5 * MICROS),
            patterns: [vec!["b".to_owned(), "a".to_owned()], Vec::new(), Vec::new(), Vec::new()],
            ..Scope::default()
        };
        write(&old, Some(&new), &narrow).unwrap();
        let out = folder.path().join("t.csv");
        export(&[old.join(SCOPE)], TextForm::Csv, &out).unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows, [",,,,,,,,true,2", ",1970-01-01T00:00:05Z,,5,a b,,,,false,0"]);
    }
}
