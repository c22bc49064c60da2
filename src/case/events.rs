//! Merging the extraction's rows and writing them, in parallel and in order.
//!
//! In: rows and runs. Out: the events table as a Hive-partitioned folder with its child tables, or as one Parquet, CSV or
//! NDJSON output. The calling thread merges (which only moves bytes) and appends finished pieces; the workers decode rows
//! and encode columns or text, which is nearly all of the work.

use crate::error::{Error, Result};
use crate::output::{Cell, csv, event_cells, ndjson};
use crate::pipeline::{Extraction, ordered};
use crate::schema::EVENT_COLUMNS;
use crate::table::columns::{CHILD_TABLES, ChildrenBuilder, EVENTS_SCHEMA, EventsBuilder, arrow_schema};
use crate::table::file::{Encoded, Encoder, ROW_GROUP, TableFile};
use crate::table::row::Row;
use crate::table::sort::{Fate, Spill, merge};
use crate::case::ids::IdIndex;
use crate::time::{DAY, MICROS, format_date};
use arrow_array::RecordBatch;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of rows in one piece of work at most: bounds memory when records are huge.
const PIECE_BYTES: usize = 24 << 20;
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

/// Rows of one day, ready to be encoded by any thread.
struct Piece {
    day: i32,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Piece {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| Row(self.bytes.get(start..*end).unwrap_or_default()))
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

/// Merges all rows, hands full pieces to `submit`, and counts.
fn merge_pieces(
    mut extraction: Extraction,
    spill: &Spill,
    scratch: PathBuf,
    submit: &mut dyn FnMut(Piece) -> Result<()>,
) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut ids = IdIndex::new(scratch);
    let mut piece = Piece { day: i32::MIN, bytes: Vec::new(), ends: Vec::new() };
    merge(&mut extraction.rows, std::mem::take(&mut extraction.runs), spill, |row, fate| {
        if fate == Fate::Duplicate {
            merged.duplicates += 1;
            let file = row.decode().source_file.unwrap_or_default();
            *merged.duplicates_by_file.entry(hash_file(&file)).or_default() += 1;
            return Ok(());
        }
        ids.push(row.event_id())?;
        let time = row.event_time();
        let day = day_of(time);
        if day != piece.day || piece.ends.len() >= ROW_GROUP || piece.bytes.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut piece, Piece { day, bytes: Vec::new(), ends: Vec::new() });
            if !full.ends.is_empty() {
                submit(full)?;
            }
        }
        piece.bytes.extend_from_slice(row.0);
        piece.ends.push(piece.bytes.len());
        merged.rows += 1;
        *merged.days.entry(day).or_default() += 1;
        if row.is_kms() {
            merged.kms += 1;
            let (first, _) = merged.kms_range.unwrap_or((time, time));
            merged.kms_range = Some((first, time));
        }
        Ok(())
    })?;
    if !piece.ends.is_empty() {
        submit(piece)?;
    }
    merged.conflicting_ids = ids.repeated()?;
    Ok(merged)
}

/// A piece, encoded.
struct EncodedPiece {
    day: i32,
    events: Encoded,
    children: Option<[RecordBatch; 4]>,
}

/// One worker's builders.
struct PieceEncoder {
    encoder: Result<Encoder>,
    events: EventsBuilder,
    children: ChildrenBuilder,
}

impl PieceEncoder {
    fn new() -> PieceEncoder {
        PieceEncoder { encoder: Encoder::new(EVENTS_SCHEMA.clone()), events: EventsBuilder::default(), children: ChildrenBuilder::default() }
    }

    fn encode(&mut self, piece: &Piece) -> Result<EncodedPiece> {
        for row in piece.rows() {
            let event = row.decode();
            self.events.push(&event);
            self.children.push(&event);
        }
        let fail = |error| Error::table(Path::new("events"), "build columns", error);
        let batch = self.events.finish().map_err(fail)?;
        let children = if self.children.is_empty() { None } else { Some(self.children.finish().map_err(fail)?) };
        match &self.encoder {
            Ok(encoder) => Ok(EncodedPiece { day: piece.day, events: encoder.encode(&batch)?, children }),
            Err(error) => Err(Error::table(Path::new("events"), "prepare the table", error)),
        }
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
    let consume = |encoded: EncodedPiece| {
        hive.append(encoded.day, encoded.events)?;
        encoded.children.map_or(Ok(()), |batches| children(encoded.day, batches))
    };
    ordered(jobs, PieceEncoder::new, |encoder, piece: Piece| encoder.encode(&piece), consume, |submit| {
        merged = merge_pieces(extraction, spill, events.with_file_name("ids"), submit)?;
        Ok(())
    })?;
    hive.finish_part()?;
    Ok(merged)
}

/// Writes all rows into one Parquet file.
///
/// # Errors
/// When the file cannot be written or a run cannot be read.
pub fn write_parquet(extraction: Extraction, spill: &Spill, jobs: usize, path: &Path, scratch: PathBuf) -> Result<Merged> {
    let mut file = TableFile::create(path, &EVENTS_SCHEMA)?;
    let mut merged = Merged::default();
    let consume = |encoded: EncodedPiece| file.append(encoded.events);
    ordered(jobs, PieceEncoder::new, |encoder, piece: Piece| encoder.encode(&piece), consume, |submit| {
        merged = merge_pieces(extraction, spill, scratch, submit)?;
        Ok(())
    })?;
    file.finish()?;
    Ok(merged)
}

/// A text form of the events table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// CSV with a header line, formulas defused.
    Csv,
    /// One JSON object a line.
    NdJson,
}

/// Appends one event in a text form.
pub fn write_text_row(format: TextFormat, cells: Vec<Cell<'_>>, out: &mut Vec<u8>) {
    match format {
        TextFormat::Csv => csv::write_row(cells, out),
        TextFormat::NdJson => {
            let names: Vec<&str> = EVENT_COLUMNS.iter().map(|column| column.name).collect();
            let mut text = String::new();
            ndjson::write_object(&names, cells, &mut text);
            out.extend_from_slice(text.as_bytes());
            out.push(b'\n');
        }
    }
}

/// Writes all rows as text to `out`, which `path` names in errors.
///
/// # Errors
/// When `out` cannot be written or a run cannot be read.
pub fn write_text(
    extraction: Extraction,
    spill: &Spill,
    jobs: usize,
    format: TextFormat,
    scratch: PathBuf,
    out: &mut impl Write,
    path: &Path,
) -> Result<Merged> {
    let fail = |error| Error::file(path, "write the table", error);
    if format == TextFormat::Csv {
        let mut header = Vec::new();
        csv::write_header(EVENT_COLUMNS.iter().map(|column| column.name), &mut header);
        out.write_all(&header).map_err(fail)?;
    }
    let work = |(): &mut (), piece: Piece| {
        let mut text = Vec::new();
        for row in piece.rows() {
            write_text_row(format, event_cells(&row.decode()), &mut text);
        }
        Ok(text)
    };
    let mut merged = Merged::default();
    ordered(jobs, || (), work, |text: Vec<u8>| out.write_all(&text).map_err(fail), |submit| {
        merged = merge_pieces(extraction, spill, scratch, submit)?;
        Ok(())
    })?;
    out.flush().map_err(fail)?;
    Ok(merged)
}
