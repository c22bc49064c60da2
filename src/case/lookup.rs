//! Single events of a case, by their ids.
//!
//! In: a case, event ids, and the days they can fall on. Out: those events, in the order of the case. A report cites a few
//! hundred events out of millions, so the id column is read first and the other columns only of the rows that are wanted:
//! an SQL join would decode every parameter text of every event.

use crate::case::existing::parts;
use crate::error::{Error, Result};
use crate::schema::Event;
use crate::table::columns::event_at;
use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::Path;

/// Which rows of a batch of ids are wanted.
fn wanted_rows(batch: &RecordBatch, ids: &HashSet<String>) -> std::result::Result<BooleanArray, ArrowError> {
    let column = batch.columns().first().and_then(|column| column.as_string_opt::<i32>());
    let texts = column.ok_or_else(|| ArrowError::SchemaError("event_id is no text".to_owned()))?;
    Ok(texts.iter().map(|text| Some(text.is_some_and(|text| ids.contains(text)))).collect())
}

/// Hands over the rows of one file of events, or of a view of events, with one of `ids` in its column `event_id`.
///
/// # Errors
/// When the file cannot be read.
pub fn rows_by_id(path: &Path, ids: &HashSet<String>, mut each: impl FnMut(&Event<'_>)) -> Result<()> {
    let failed = |error: parquet::errors::ParquetError| Error::table(path, "look up events", error);
    let file = File::open(path).map_err(|error| Error::file(path, "open the table", error))?;
    // The types of Parquet itself: views were written with other Arrow types than events.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(failed)?;
    let id_column = ProjectionMask::columns(builder.parquet_schema(), ["event_id"]);
    let wanted = ids.clone();
    let predicate = ArrowPredicateFn::new(id_column, move |batch| wanted_rows(&batch, &wanted));
    let reader = builder
        .with_batch_size(8192)
        .with_row_filter(RowFilter::new(vec![Box::new(predicate)]))
        .build()
        .map_err(failed)?;
    for batch in reader {
        let batch = batch.map_err(|error| Error::table(path, "look up events", error))?;
        for row in 0..batch.num_rows() {
            each(&event_at(&batch, row));
        }
    }
    Ok(())
}

/// Hands over the events with one of `ids` on one of `days` (days since 1970-01-01 UTC). Ids that stand for several records
/// give all of them.
///
/// # Errors
/// When a file of the events table cannot be read.
pub fn events_by_id(
    case: &Path,
    ids: &HashSet<String>,
    days: &BTreeSet<i32>,
    mut each: impl FnMut(&Event<'_>),
) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    for (_, files) in parts(case)?.into_iter().filter(|(day, _)| days.contains(day)) {
        for file in files {
            rows_by_id(&file, ids, &mut each)?;
        }
    }
    Ok(())
}
