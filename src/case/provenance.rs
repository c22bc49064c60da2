//! The verdicts of the files that events came from.
//!
//! In: event ids, and a case folder with events and `integrity`. Out: for each id the verdict of its file. Two columns of the
//! events are read once, and only when some file was judged; memory grows with the ids and not with the case.

use crate::case::existing::parts;
use crate::error::{Error, Result};
use crate::integrity::Verdict;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

/// Reads two text columns of a Parquet file.
fn read_pairs(path: &Path, columns: [&str; 2], mut each: impl FnMut(&str, &str)) -> Result<()> {
    let file = File::open(path).map_err(|error| Error::file(path, "open the table", error))?;
    let fail = |error: &dyn std::fmt::Display| Error::table(path, "read the table", error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| fail(&error))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let reader = builder.with_projection(mask).with_batch_size(8192).build().map_err(|error| fail(&error))?;
    for batch in reader {
        let batch: RecordBatch = batch.map_err(|error| fail(&error))?;
        let text = |name: &str| batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
        let [Some(left), Some(right)] = columns.map(text) else { continue };
        for row in (0..batch.num_rows()).filter(|row| left.is_valid(*row) && right.is_valid(*row)) {
            each(left.value(row), right.value(row));
        }
    }
    Ok(())
}

/// The verdicts of the files that the events `ids` came from. Events of files that were not judged are left out.
///
/// # Errors
/// When a table of the case cannot be read.
pub fn verdicts_of(case: &Path, ids: &HashSet<&str>) -> Result<HashMap<String, Verdict>> {
    let table = case.join("tables/integrity.parquet");
    let mut verdicts: HashMap<String, Verdict> = HashMap::new();
    if ids.is_empty() || !table.is_file() || crate::case::existing::row_count(&table)? == 0 {
        return Ok(verdicts);
    }
    // One text for each file, however many events it has.
    let mut files: HashMap<String, Vec<String>> = HashMap::new();
    for path in parts(case)?.into_values().flatten() {
        read_pairs(&path, ["event_id", "source_file"], |id, file| {
            if ids.contains(id) {
                // Members of archives stand behind a `!`, and are as good as their archive.
                files.entry(file.to_owned()).or_default().push(id.to_owned());
            }
        })?;
    }
    let mut by_path: HashMap<&str, Vec<&String>> = HashMap::new();
    let mut names: Vec<&String> = files.keys().collect();
    names.sort_unstable();
    for file in names {
        let ids = files.get(file).into_iter().flatten();
        let archive = file.split_once('!').map(|(archive, _)| archive);
        for path in [Some(file.as_str()), archive].into_iter().flatten() {
            by_path.entry(path).or_default().extend(ids.clone());
        }
    }
    read_pairs(&table, ["path", "verdict"], |path, verdict| {
        let (Some(ids), Some(verdict)) = (by_path.get(path), Verdict::parse(verdict)) else { return };
        for id in ids {
            let worst = verdicts.entry((*id).clone()).or_insert(verdict);
            *worst = (*worst).max(verdict);
        }
    })?;
    Ok(verdicts)
}
