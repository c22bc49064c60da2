//! Reading a case back, to extend it.
//!
//! In: a case folder and the days that new rows fall on. Out: the rows of those days again, so that they merge with the new
//! ones; all other days' files stay as they are. So adding a night's delivery costs the new files and the days they touch,
//! not the whole case.

use crate::case::events::day_of;
use crate::case::ids::hash_id;
use crate::case::inputs::StoredInput;
use crate::error::{Error, Result};
use crate::integrity::StoredObservation;
use crate::pipeline::RowBuffer;
use crate::schema::{ForeignKey, PolicyEntry, TagEntry, TrailSelector};
use crate::table::columns::event_at;
use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Reads a Parquet file batch by batch.
///
/// # Errors
/// When the file cannot be read or is damaged, and whatever `each` returns.
pub fn read_table(path: &Path, mut each: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
    let file = File::open(path).map_err(|error| Error::file(path, "open the table", error))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.with_batch_size(8192).build())
        .map_err(|error| Error::table(path, "read the table", error))?;
    for batch in reader {
        each(batch.map_err(|error| Error::table(path, "read the table", error))?)?;
    }
    Ok(())
}

/// Number of rows of a Parquet file, from its footer.
///
/// # Errors
/// When the file cannot be read.
pub fn row_count(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(|error| Error::file(path, "open the table", error))?;
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| Error::table(path, "read the table", error))?;
    Ok(u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0))
}

/// The text at `row` of the column `name`.
pub(super) fn text<'b>(batch: &'b RecordBatch, name: &str, row: usize) -> Option<&'b str> {
    let array = batch.column_by_name(name)?.as_any().downcast_ref::<StringArray>()?;
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

fn owned(batch: &RecordBatch, name: &str, row: usize) -> Cow<'static, str> {
    Cow::Owned(text(batch, name, row).unwrap_or_default().to_owned())
}

fn optional(batch: &RecordBatch, name: &str, row: usize) -> Option<Cow<'static, str>> {
    text(batch, name, row).map(|text| Cow::Owned(text.to_owned()))
}

/// The number there; 0 when there is none.
pub(super) fn number(batch: &RecordBatch, name: &str, row: usize) -> u64 {
    let array = batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref::<Int64Array>());
    array.filter(|array| row < array.len()).map_or(0, |array| u64::try_from(array.value(row)).unwrap_or(0))
}

/// The time there, microseconds since 1970-01-01 UTC.
pub(super) fn time(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let array = batch.column_by_name(name)?.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
    (row < array.len() && array.is_valid(row)).then(|| array.value(row))
}

/// True when the column says so there.
pub(super) fn flag(batch: &RecordBatch, name: &str, row: usize) -> bool {
    let array = batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref::<BooleanArray>());
    array.is_some_and(|array| row < array.len() && array.is_valid(row) && array.value(row))
}

fn day(batch: &RecordBatch, row: usize) -> Option<i32> {
    time(batch, "event_time", row).map(day_of)
}

/// What a row of `inputs` says about the file's text.
fn observation(batch: &RecordBatch, row: usize) -> Option<StoredObservation> {
    let mut observation: StoredObservation = serde_json::from_str(text(batch, "content_notes", row)?).ok()?;
    observation.sha256 = text(batch, "content_sha256", row).map(str::to_owned);
    Some(observation)
}

/// The texts of the digests of a case, by path. Cases of older versions have none.
///
/// # Errors
/// When the table is there and cannot be read.
pub fn digests(case: &Path) -> Result<HashMap<String, Box<str>>> {
    let path = case.join("tables/integrity_digests.parquet");
    let mut digests = HashMap::new();
    if path.is_file() {
        read_table(&path, |batch| {
            for row in 0..batch.num_rows() {
                if let Some(digest) = text(&batch, "digest", row) {
                    digests.insert(owned(&batch, "path", row).into_owned(), Box::from(digest));
                }
            }
            Ok(())
        })?;
    }
    Ok(digests)
}

/// The rows of `inputs.parquet` of a case.
///
/// # Errors
/// When the table cannot be read.
pub fn inputs(case: &Path) -> Result<Vec<StoredInput>> {
    let mut rows = Vec::new();
    read_table(&case.join("inputs.parquet"), |batch| {
        for row in 0..batch.num_rows() {
            let duplicates = number(&batch, "duplicates", row);
            rows.push(StoredInput {
                path: owned(&batch, "path", row).into_owned(),
                sha256: text(&batch, "sha256", row).map(str::to_owned),
                size: number(&batch, "size", row),
                inflated_size: number(&batch, "inflated_size", row),
                records: number(&batch, "records", row),
                kept: number(&batch, "kept", row),
                duplicates,
                filtered: number(&batch, "filtered", row),
                bytes_skipped: number(&batch, "bytes_skipped", row),
                status: owned(&batch, "status", row).into_owned(),
                problem: text(&batch, "problem", row).map(str::to_owned),
                observation: observation(&batch, row),
            });
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The part files of a case, by day (days since 1970-01-01).
///
/// # Errors
/// When the folder cannot be listed.
pub fn parts(case: &Path) -> Result<BTreeMap<i32, Vec<PathBuf>>> {
    parts_under(&case.join("events"))
}

fn parts_under(root: &Path) -> Result<BTreeMap<i32, Vec<PathBuf>>> {
    let mut parts: BTreeMap<i32, Vec<PathBuf>> = BTreeMap::new();
    if !root.is_dir() {
        return Ok(parts);
    }
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder).map_err(|error| Error::file(folder, "list the case", error))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|error| Error::file(folder, "list the case", error))?.path());
        }
        paths.sort();
        Ok(paths)
    };
    for folder in list(root)? {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(date) = name.strip_prefix("date=").and_then(crate::time::parse_timestamp) else { continue };
        parts.insert(day_of(date), list(&folder)?);
    }
    Ok(parts)
}

/// The event ids behind `hashes`, from the part files under `events`: read only when there are any, which is rare.
///
/// # Errors
/// When a table cannot be read.
pub fn ids_of(events: &Path, hashes: &[u64]) -> Result<Vec<String>> {
    let mut ids = BTreeSet::new();
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    for file in parts_under(events)?.into_values().flatten() {
        read_table(&file, |batch| {
            for row in 0..batch.num_rows() {
                if let Some(id) = text(&batch, "event_id", row)
                    && hashes.binary_search(&hash_id(id.as_bytes())).is_ok()
                {
                    ids.insert(id.to_owned());
                }
            }
            Ok(())
        })?;
    }
    Ok(ids.into_iter().take(crate::case::manifest::LISTED).collect())
}

/// The child rows of one event.
#[derive(Default, Clone)]
struct Children {
    policy_entries: Vec<PolicyEntry<'static>>,
    tag_entries: Vec<TagEntry<'static>>,
    foreign_keys: Vec<ForeignKey<'static>>,
    trail_selectors: Vec<TrailSelector<'static>>,
}

/// The child rows of the events of some days, by event id.
fn children(case: &Path, days: &HashSet<i32>) -> Result<HashMap<String, Children>> {
    let mut found: HashMap<String, Children> = HashMap::new();
    let mut each = |table: &str, add: &dyn Fn(&mut Children, &RecordBatch, usize)| {
        read_table(&case.join("tables").join(format!("{table}.parquet")), |batch| {
            for row in (0..batch.num_rows()).filter(|row| day(&batch, *row).is_some_and(|day| days.contains(&day))) {
                add(found.entry(owned(&batch, "event_id", row).into_owned()).or_default(), &batch, row);
            }
            Ok(())
        })
    };
    each("policy_entries", &|children, batch, row| {
        let conditioned =
            batch.column_by_name("is_conditioned").and_then(|array| array.as_any().downcast_ref::<BooleanArray>());
        children.policy_entries.push(PolicyEntry {
            effect: owned(batch, "effect", row),
            principal: owned(batch, "principal", row),
            principal_account_id: optional(batch, "principal_account_id", row),
            action: owned(batch, "action", row),
            resource: optional(batch, "resource", row),
            is_conditioned: conditioned.is_some_and(|array| row < array.len() && array.value(row)),
            condition_keys: optional(batch, "condition_keys", row),
        });
    })?;
    each("tag_entries", &|children, batch, row| {
        children.tag_entries.push(TagEntry {
            tag_key: owned(batch, "tag_key", row),
            tag_value: optional(batch, "tag_value", row),
            change: owned(batch, "change", row),
        });
    })?;
    each("foreign_keys", &|children, batch, row| {
        children.foreign_keys.push(ForeignKey {
            parameter_path: owned(batch, "parameter_path", row),
            key_arn: owned(batch, "key_arn", row),
            key_account_id: optional(batch, "key_account_id", row),
        });
    })?;
    each("trail_selectors", &|children, batch, row| {
        children.trail_selectors.push(TrailSelector {
            trail: optional(batch, "trail", row),
            field: owned(batch, "field", row),
            operator: owned(batch, "operator", row),
            value: owned(batch, "value", row),
        });
    })?;
    Ok(found)
}

/// Appends the rows of `days` of a case, with their child rows, to `rows`, which bounds their memory.
///
/// # Errors
/// When a table cannot be read, or the rows cannot be written to disk.
pub fn rows(case: &Path, days: &HashSet<i32>, rows: &mut RowBuffer<'_>) -> Result<()> {
    let children = children(case, days)?;
    for (_, files) in parts(case)?.into_iter().filter(|(day, _)| days.contains(day)) {
        for file in files {
            read_table(&file, |batch| {
                for row in 0..batch.num_rows() {
                    let mut event = event_at(&batch, row);
                    if let Some(found) = event.event_id.as_deref().and_then(|id| children.get(id)) {
                        event.policy_entries.clone_from(&found.policy_entries);
                        event.tag_entries.clone_from(&found.tag_entries);
                        event.foreign_keys.clone_from(&found.foreign_keys);
                        event.trail_selectors.clone_from(&found.trail_selectors);
                    }
                    rows.push(&event);
                }
                rows.check()
            })?;
        }
    }
    Ok(())
}

/// The child rows of the days that are not in `days`, per table and day, in order.
///
/// # Errors
/// When a table cannot be read.
pub fn untouched_children(case: &Path, days: &HashSet<i32>) -> Result<BTreeMap<i32, [Vec<RecordBatch>; 4]>> {
    let mut out: BTreeMap<i32, [Vec<RecordBatch>; 4]> = BTreeMap::new();
    for (number, (table, _)) in crate::table::columns::CHILD_TABLES.iter().enumerate() {
        read_table(&case.join("tables").join(format!("{table}.parquet")), |batch| {
            let mut start = 0;
            while start < batch.num_rows() {
                let today = day(&batch, start).unwrap_or_default();
                let mut end = start + 1;
                while end < batch.num_rows() && day(&batch, end).unwrap_or_default() == today {
                    end += 1;
                }
                if !days.contains(&today)
                    && let Some(list) = out.entry(today).or_default().get_mut(number)
                {
                    list.push(batch.slice(start, end - start));
                }
                start = end;
            }
            Ok(())
        })?;
    }
    Ok(out)
}
