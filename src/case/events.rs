//! Merging the extraction's rows and writing them, in parallel and in order.
//!
//! In: rows and runs. Out: the events table as a Hive-partitioned folder with its child tables, or as one Parquet, CSV or
//! NDJSON output. The calling thread merges (which only moves bytes) and appends finished pieces; the workers decode rows
//! and encode columns or text, which is nearly all of the work.

use crate::case::cells::TextForm;
use crate::case::ids::IdIndex;
use crate::error::{Error, Result};
use crate::output::event_cells;
use crate::pipeline::{Extraction, ordered};
use crate::schema::EVENT_COLUMNS;
use crate::table::columns::{CHILD_TABLES, ChildrenBuilder, EVENTS_SCHEMA, PIECE_BYTES, arrow_schema};
use crate::table::file::{Encoded, Encoder, EventsEncoder, ROW_GROUP, TableFile};
use crate::table::row::Row;
use crate::table::sort::{Fate, Rows, Run, Spill, merge, merge_in_memory};
use crate::time::{DAY, MICROS, format_date};
use arrow_array::RecordBatch;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Rows after which a day's next part file is begun.
const PART_ROWS: u64 = 4 << 20;

/// What the merge saw.
#[derive(Debug, Default)]
pub struct Merged {
    /// Rows of the events table.
    pub rows: u64,
    /// Of those, KMS events.
    pub kms: u64,
    /// Further deliveries of records that are rows.
    pub duplicates: u64,
    /// Further deliveries, by the hash of the name of the file they came from.
    pub duplicates_by_file: HashMap<u64, u64>,
    /// Time of the first and the last KMS event, microseconds since 1970-01-01 UTC.
    pub kms_range: Option<(i64, i64)>,
    /// Rows per day (days since 1970-01-01).
    pub days: BTreeMap<i32, u64>,
    /// Hashes of event ids that stand for more than one record.
    pub conflicting_ids: Vec<u64>,
}

/// Bytes of a block of copied rows, about. A piece in blocks needs no other memory than its rows; one growing text of bytes
/// would be there twice whenever it grows.
const BLOCK: usize = 1 << 20;

/// Rows of one day, ready to be encoded by any thread: borrowed when all rows are in memory, copied when they come from disk.
struct Piece<'r> {
    day: i32,
    borrowed: Vec<Row<'r>>,
    copied: Vec<Block>,
    rows: usize,
    size: usize,
}

/// Rows one after the other, and where each ends.
struct Block {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Block {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| Row::plain(self.bytes.get(start..*end).unwrap_or_default()))
    }
}

impl<'r> Piece<'r> {
    fn new(day: i32) -> Piece<'r> {
        Piece { day, borrowed: Vec::new(), copied: Vec::new(), rows: 0, size: 0 }
    }

    fn borrow(&mut self, row: Row<'r>) {
        self.borrowed.push(row);
        self.rows += 1;
        self.size += row.size();
    }

    fn copy(&mut self, row: Row<'_>) {
        let size = row.size();
        if self.copied.last().is_none_or(|block| block.bytes.len() + size > block.bytes.capacity()) {
            self.copied.push(Block { bytes: Vec::with_capacity(size.max(BLOCK)), ends: Vec::new() });
        }
        if let Some(block) = self.copied.last_mut() {
            row.write_plain(&mut block.bytes);
            block.ends.push(block.bytes.len());
        }
        self.rows += 1;
        self.size += size;
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.borrowed.iter().copied().chain(self.copied.iter().flat_map(Block::rows))
    }
}

/// The day of an instant, days since 1970-01-01 UTC.
pub fn day_of(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(MICROS * DAY)).unwrap_or_default()
}

/// Hash of the name of the file a row came from, without the archive member.
pub fn hash_file(source_file: &str) -> u64 {
    super::ids::hash_id(source_file.split('!').next().unwrap_or_default().as_bytes())
}

/// How rows are cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// A piece holds rows of one day, for partitions.
    ByDay,
    /// A piece may hold any rows.
    Anywhere,
}

impl Cut {
    /// Rows of a piece, and so of a row group. A case is read a hundred times, and each time the description of every group is
    /// parsed; a single file is written once, and smaller groups stay in the processor's cache.
    fn rows(self) -> usize {
        match self {
            Cut::ByDay => ROW_GROUP,
            Cut::Anywhere => ROW_GROUP / 4,
        }
    }
}

/// Counts merged rows and gathers them into pieces.
struct Gatherer<'r, 's> {
    merged: Merged,
    ids: IdIndex,
    piece: Piece<'r>,
    cut: Cut,
    submit: &'s mut dyn FnMut(Piece<'r>) -> Result<()>,
}

impl<'r> Gatherer<'r, '_> {
    /// Takes a row's fate; true when the row belongs into the piece at hand.
    fn admit(&mut self, row: Row<'_>, fate: Fate) -> Result<bool> {
        let merged = &mut self.merged;
        if fate == Fate::Duplicate {
            merged.duplicates += 1;
            let file = row.decode().source_file.unwrap_or_default();
            *merged.duplicates_by_file.entry(hash_file(&file)).or_default() += 1;
            return Ok(false);
        }
        self.ids.push(row.event_id())?;
        let time = row.event_time();
        let day = day_of(time);
        merged.rows += 1;
        *merged.days.entry(day).or_default() += 1;
        if row.is_kms() {
            merged.kms += 1;
            let (first, _) = merged.kms_range.unwrap_or((time, time));
            merged.kms_range = Some((first, time));
        }
        let other_day = day != self.piece.day && self.cut == Cut::ByDay;
        if other_day || self.piece.rows >= self.cut.rows() || self.piece.size >= PIECE_BYTES {
            self.flush(day)?;
        }
        self.piece.day = day;
        Ok(true)
    }

    fn flush(&mut self, next_day: i32) -> Result<()> {
        let full = std::mem::replace(&mut self.piece, Piece::new(next_day));
        if full.rows > 0 { (self.submit)(full) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Merged> {
        self.flush(0)?;
        self.merged.conflicting_ids = self.ids.repeated()?;
        Ok(self.merged)
    }
}

/// Merges all rows, hands full pieces to `submit`, and counts. Rows in memory must be sorted.
fn merge_pieces<'r>(
    rows: &'r [Rows],
    runs: Vec<Run>,
    spill: &Spill,
    cut: Cut,
    submit: &mut dyn FnMut(Piece<'r>) -> Result<()>,
) -> Result<Merged> {
    let ids = IdIndex::new(spill.folder().join("ids"));
    let mut gatherer = Gatherer { merged: Merged::default(), ids, piece: Piece::new(0), cut, submit };
    if runs.is_empty() {
        merge_in_memory(rows, |row, fate| {
            if gatherer.admit(row, fate)? {
                gatherer.piece.borrow(row);
            }
            Ok(())
        })?;
    } else {
        merge(rows, runs, spill, |row, fate| {
            if gatherer.admit(row, fate)? {
                gatherer.piece.copy(row);
            }
            Ok(())
        })?;
    }
    gatherer.finish()
}

/// Sorts what is in memory, one buffer per task.
fn sorted(rows: Vec<Rows>, jobs: usize) -> Result<Vec<Rows>> {
    let mut out = Vec::new();
    let work = |(): &mut (), mut rows: Rows| {
        rows.sort();
        Ok(rows)
    };
    let consume = |rows| {
        out.push(rows);
        Ok(())
    };
    ordered(jobs, || (), work, consume, |submit| rows.into_iter().try_for_each(submit))?;
    Ok(out)
}

/// A piece, encoded.
struct EncodedPiece {
    day: i32,
    events: Encoded,
    children: Option<[RecordBatch; 4]>,
}

/// One worker's builders.
struct PieceEncoder {
    events: Result<EventsEncoder>,
    children: ChildrenBuilder,
}

impl PieceEncoder {
    fn new() -> PieceEncoder {
        PieceEncoder { events: EventsEncoder::new(), children: ChildrenBuilder::default() }
    }

    fn encode(&mut self, piece: &Piece<'_>) -> Result<EncodedPiece> {
        let events = match &mut self.events {
            Ok(events) => events,
            Err(error) => return Err(Error::table(Path::new("events"), "prepare the table", error)),
        };
        let rows = piece.rows().inspect(|row| {
            if row.has_children() {
                self.children.push(&row.decode());
            }
        });
        let events = events.encode(rows)?;
        let fail = |error| Error::table(Path::new("events"), "build columns", error);
        let children = if self.children.is_empty() { None } else { Some(self.children.finish().map_err(fail)?) };
        Ok(EncodedPiece { day: piece.day, events, children })
    }
}

/// The Hive-partitioned folder being written.
struct HiveFolder {
    root: PathBuf,
    part: Option<(i32, u32, TableFile)>,
}

impl HiveFolder {
    fn append(&mut self, day: i32, encoded: Encoded) -> Result<()> {
        let next_part = match &self.part {
            Some((current, part, file)) if *current == day && file.rows < PART_ROWS => None,
            Some((current, part, _)) if *current == day => Some(part + 1),
            _ => Some(0),
        };
        if let Some(number) = next_part {
            self.finish_part()?;
            let folder = self.root.join(format!("date={}", format_date(day)));
            std::fs::create_dir_all(&folder).map_err(|error| Error::file(&folder, "create a partition", error))?;
            let file = TableFile::create(&folder.join(format!("part-{number}.parquet")), &EVENTS_SCHEMA)?;
            self.part = Some((day, number, file));
        }
        match &mut self.part {
            Some((_, _, file)) => file.append(encoded),
            None => Ok(()),
        }
    }

    fn finish_part(&mut self) -> Result<()> {
        match self.part.take() {
            Some((_, _, file)) => file.finish(),
            None => Ok(()),
        }
    }
}

/// The child tables being written; small batches are gathered into full row groups.
pub(super) struct ChildTables {
    tables: Vec<ChildTable>,
}

struct ChildTable {
    file: TableFile,
    encoder: Encoder,
    waiting: Vec<RecordBatch>,
    rows: usize,
}

impl ChildTables {
    pub(super) fn create(folder: &Path) -> Result<ChildTables> {
        let mut tables = Vec::new();
        for (name, columns) in CHILD_TABLES {
            let schema = arrow_schema(columns);
            let file = TableFile::create(&folder.join(format!("{name}.parquet")), &schema)?;
            tables.push(ChildTable { file, encoder: Encoder::new(schema)?, waiting: Vec::new(), rows: 0 });
        }
        Ok(ChildTables { tables })
    }

    pub(super) fn append(&mut self, batches: [RecordBatch; 4]) -> Result<()> {
        for (table, batch) in self.tables.iter_mut().zip(batches) {
            table.push(batch)?;
        }
        Ok(())
    }

    /// Appends batches that were read from another case's tables.
    pub(super) fn append_lists(&mut self, lists: [Vec<RecordBatch>; 4]) -> Result<()> {
        for (table, batches) in self.tables.iter_mut().zip(lists) {
            for batch in batches {
                table.push(batch)?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        for mut table in self.tables {
            table.write()?;
            table.file.finish()?;
        }
        Ok(())
    }
}

impl ChildTable {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        self.waiting.push(batch);
        if self.rows >= ROW_GROUP { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let Some(first) = self.waiting.first() else { return Ok(()) };
        let batch = arrow_select::concat::concat_batches(&first.schema(), &self.waiting)
            .map_err(|error| Error::table(Path::new("child table"), "gather rows", error))?;
        self.waiting.clear();
        self.rows = 0;
        self.file.append(self.encoder.encode(&batch)?)
    }
}

/// Writes `events/date=.../part-N.parquet` under `events` and hands the child rows, in order, to `children`.
///
/// # Errors
/// When something cannot be written or a run cannot be read.
pub fn write_hive(
    extraction: Extraction,
    spill: &Spill,
    jobs: usize,
    events: &Path,
    mut children: impl FnMut(i32, [RecordBatch; 4]) -> Result<()>,
) -> Result<Merged> {
    let mut hive = HiveFolder { root: events.to_path_buf(), part: None };
    let mut merged = Merged::default();
    let rows = sorted(extraction.rows, jobs)?;
    let consume = |encoded: EncodedPiece| {
        hive.append(encoded.day, encoded.events)?;
        encoded.children.map_or(Ok(()), |batches| children(encoded.day, batches))
    };
    ordered(
        jobs,
        PieceEncoder::new,
        |encoder, piece: Piece<'_>| encoder.encode(&piece),
        consume,
        |submit| {
            merged = merge_pieces(&rows, extraction.runs, spill, Cut::ByDay, submit)?;
            Ok(())
        },
    )?;
    hive.finish_part()?;
    Ok(merged)
}

/// Writes all rows into one Parquet file.
///
/// # Errors
/// When the file cannot be written or a run cannot be read.
pub fn write_parquet(extraction: Extraction, spill: &Spill, jobs: usize, path: &Path) -> Result<Merged> {
    let mut file = TableFile::create(path, &EVENTS_SCHEMA)?;
    let mut merged = Merged::default();
    let rows = sorted(extraction.rows, jobs)?;
    let consume = |encoded: EncodedPiece| file.append(encoded.events);
    ordered(
        jobs,
        PieceEncoder::new,
        |encoder, piece: Piece<'_>| encoder.encode(&piece),
        consume,
        |submit| {
            merged = merge_pieces(&rows, extraction.runs, spill, Cut::Anywhere, submit)?;
            Ok(())
        },
    )?;
    file.finish()?;
    Ok(merged)
}

/// Writes all rows as text to `out`, which `path` names in errors.
///
/// # Errors
/// When `out` cannot be written or a run cannot be read.
pub fn write_text(
    extraction: Extraction,
    spill: &Spill,
    jobs: usize,
    form: TextForm,
    out: &mut impl Write,
    path: &Path,
) -> Result<Merged> {
    let fail = |error| Error::file(path, "write the table", error);
    let names: Vec<&str> = EVENT_COLUMNS.iter().map(|column| column.name).collect();
    let mut header = Vec::new();
    form.write_header(&names, &mut header);
    out.write_all(&header).map_err(fail)?;
    let work = |(): &mut (), piece: Piece<'_>| {
        let mut text = Vec::new();
        for row in piece.rows() {
            form.write_row(&names, event_cells(&row.decode()), &mut text);
        }
        Ok(text)
    };
    let mut merged = Merged::default();
    let rows = sorted(extraction.rows, jobs)?;
    ordered(
        jobs,
        || (),
        work,
        |text: Vec<u8>| out.write_all(&text).map_err(fail),
        |submit| {
            merged = merge_pieces(&rows, extraction.runs, spill, Cut::Anywhere, submit)?;
            Ok(())
        },
    )?;
    out.flush().map_err(fail)?;
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Event;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    /// The file made of `count` events that share one long text, dealt out to `buffers` buffers of rows.
    fn written(count: i64, buffers: usize, is_spilled: bool, folder: &Path) -> Vec<u8> {
        let text = "x".repeat(100_000);
        let mut rows: Vec<Rows> = (0..buffers).map(|_| Rows::default()).collect();
        for number in 0..count {
            rows[number as usize % buffers].push(&Event {
                event_id: Some(number.to_string().into()),
                event_time: Some(number),
                response_elements: Some(text.as_str().into()),
                ..Event::default()
            });
        }
        let spill = Spill::new(folder.join("runs"));
        let mut extraction = Extraction::default();
        for mut rows in rows {
            match is_spilled {
                true => extraction.runs.push(spill.write(&mut rows).unwrap()),
                false => extraction.rows.push(rows),
            }
        }
        let path = folder.join("events.parquet");
        assert_eq!(write_parquet(extraction, &spill, 2, &path).unwrap().rows, count as u64);
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn large_rows_are_cut_by_their_bytes_and_wherever_their_texts_stand() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = written(600, 1, false, folder.path());
        let groups = SerializedFileReader::new(bytes::Bytes::from(bytes.clone())).unwrap().num_row_groups();
        assert_eq!(groups, (600 * 100_000_usize).div_ceil(PIECE_BYTES));
        assert!(bytes == written(600, 2, false, folder.path()), "two buffers");
        assert!(bytes == written(600, 2, true, folder.path()), "runs on disk");
    }
}
