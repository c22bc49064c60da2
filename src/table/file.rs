//! Parquet files whose row groups can be encoded on any thread.
//!
//! In: record batches. Out: Parquet files. Encoding a row group ([`Encoder`]) is most of the work and needs no file, so
//! threads do it in parallel; appending the encoded bytes ([`TableFile`]) is cheap and keeps the order. No clock and no
//! thread number reaches the bytes.

use crate::error::{Error, Result};
use crate::schema::{Column, EVENT_COLUMNS};
use crate::table::chunk::{ChunkBuilder, Style};
use crate::table::columns::{EVENTS_SCHEMA, arrow_schema};
use crate::table::row::Row;
use crate::time::MICROS;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow_schema::Schema;
use bytes::Bytes;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding};
use parquet::column::writer::ColumnCloseResult;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, SchemaDescriptor};
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows in a row group. Small enough that a few of them in memory do not matter, large enough to compress well.
pub const ROW_GROUP: usize = 16 << 10;

/// Columns of random digits: neither a dictionary nor compression gains anything.
const RANDOM_COLUMNS: [&str; 5] = ["event_id", "request_id", "shared_event_id", "content_hash", "sha256"];

/// Columns whose values hardly repeat: a dictionary would be built only to be thrown away.
const UNIQUE_COLUMNS: [&str; 3] = ["record_no", "request_parameters", "encryption_context"];

/// Numbers that grow by little from row to row.
const GROWING_COLUMNS: [&str; 2] = ["event_time", "event_epoch"];

/// Columns that readers prune by. Statistics of the others cost time and are never asked for.
const PRUNED_COLUMNS: [&str; 9] = [
    "event_time",
    "event_epoch",
    "event_date",
    "event_source",
    "event_name",
    "action_class",
    "key_arn",
    "principal",
    "outcome",
];

fn properties() -> WriterPropertiesPtr {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("keytrail ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_dictionary_page_size_limit(256 << 10)
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::None);
    for column in RANDOM_COLUMNS {
        builder = builder.set_column_compression(ColumnPath::from(column), Compression::UNCOMPRESSED);
    }
    for column in RANDOM_COLUMNS.iter().chain(&UNIQUE_COLUMNS).chain(&GROWING_COLUMNS) {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    for column in GROWING_COLUMNS {
        builder = builder.set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED);
    }
    for column in PRUNED_COLUMNS {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::Chunk);
    }
    Arc::new(builder.build())
}

/// A row group ready to be appended to a file.
pub struct Encoded {
    columns: Vec<Chunk>,
    /// Rows in it.
    pub rows: usize,
}

/// A column chunk ready to be appended.
enum Chunk {
    /// Made from an Arrow array.
    Array(ArrowColumnChunk),
    /// Made from rows: the bytes of all such chunks of the row group, and what is known of this one.
    Rows(Bytes, ColumnCloseResult),
}

/// Encodes row groups of one schema. Each thread has its own.
pub struct Encoder {
    schema: Arc<Schema>,
    factory: ArrowRowGroupWriterFactory,
}

fn described(schema: &Schema, path: &Path) -> Result<SchemaDescriptor> {
    ArrowSchemaConverter::new().convert(schema).map_err(|error| Error::table(path, "convert the schema", error))
}

fn writer<W: std::io::Write + Send>(out: W, schema: &Schema, path: &Path) -> Result<SerializedFileWriter<W>> {
    SerializedFileWriter::new(out, described(schema, path)?.root_schema_ptr(), properties())
        .map_err(|error| Error::table(path, "create the table", error))
}

impl Encoder {
    /// An encoder for tables of `schema`.
    ///
    /// # Errors
    /// When the schema has a type that Parquet has not; those of keytrail's tables have none.
    pub fn new(schema: Arc<Schema>) -> Result<Encoder> {
        let file = writer(Vec::new(), &schema, Path::new("row group"))?;
        let factory = ArrowRowGroupWriterFactory::new(&file, schema.clone());
        Ok(Encoder { schema, factory })
    }

    /// Encodes one batch as one row group.
    ///
    /// # Errors
    /// When the batch is of another schema.
    pub fn encode(&self, batch: &RecordBatch) -> Result<Encoded> {
        let fail = |error: parquet::errors::ParquetError| Error::table(Path::new("row group"), "encode", error);
        let mut writers = self.factory.create_column_writers(0).map_err(fail)?.into_iter();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in self.schema.fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, array).map_err(fail)? {
                if let Some(mut column) = writers.next() {
                    column.write(&leaf).map_err(fail)?;
                    columns.push(Chunk::Array(column.close().map_err(fail)?));
                }
            }
        }
        Ok(Encoded { columns, rows: batch.num_rows() })
    }
}

/// Encodes rows of the events table as row groups. Each thread has its own.
pub struct EventsEncoder {
    chunks: ChunkBuilder,
    schema: SchemaDescriptor,
    growing: Encoder,
}

/// How a column of the events table is made from rows; the growing ones go through Arrow.
fn style(column: &str) -> Option<Style> {
    let is_random = RANDOM_COLUMNS.contains(&column);
    (!GROWING_COLUMNS.contains(&column)).then_some(Style {
        has_dictionary: !is_random && !UNIQUE_COLUMNS.contains(&column),
        is_compressed: !is_random,
        has_bounds: PRUNED_COLUMNS.contains(&column),
    })
}

impl EventsEncoder {
    /// An encoder.
    ///
    /// # Errors
    /// None in practice: the columns are those of the schema.
    pub fn new() -> Result<EventsEncoder> {
        let growing: Vec<Column> =
            EVENT_COLUMNS.iter().filter(|column| GROWING_COLUMNS.contains(&column.name)).copied().collect();
        let schema = described(&EVENTS_SCHEMA, Path::new("row group"))?;
        let growing = Encoder::new(arrow_schema(&growing))?;
        Ok(EventsEncoder { chunks: ChunkBuilder::new(style), schema, growing })
    }

    /// Encodes `rows` as one row group.
    ///
    /// # Errors
    /// When a row has text that is not UTF-8, which only a damaged run on disk can have.
    pub fn encode<'r>(&mut self, rows: impl Iterator<Item = Row<'r>>) -> Result<Encoded> {
        let fail = |error: parquet::errors::ParquetError| Error::table(Path::new("row group"), "encode", error);
        let mut times = Vec::new();
        let chunks = self
            .chunks
            .encode(rows.inspect(|row| times.push(row.event_time())), |column| self.schema.column(column))
            .map_err(fail)?;
        let rows = times.len();
        let epochs: Int64Array = times.iter().map(|time| time.div_euclid(MICROS)).collect();
        let times = TimestampMicrosecondArray::from(times);
        let arrays: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(epochs)];
        let batch = RecordBatch::try_new(self.growing.schema.clone(), arrays)
            .map_err(|error| Error::table(Path::new("row group"), "build columns", error))?;
        let mut growing = self.growing.encode(&batch)?.columns.into_iter();
        let columns = chunks.columns.into_iter().filter_map(|chunk| match chunk {
            Some(facts) => Some(Chunk::Rows(chunks.bytes.clone(), facts)),
            None => growing.next(),
        });
        Ok(Encoded { columns: columns.collect(), rows })
    }
}

/// A Parquet file being written.
pub struct TableFile {
    path: PathBuf,
    writer: SerializedFileWriter<BufWriter<File>>,
    /// Rows so far.
    pub rows: u64,
}

impl TableFile {
    /// Creates the file; its folder must exist.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path, schema: &Schema) -> Result<TableFile> {
        let file = File::create(path).map_err(|error| Error::file(path, "create the table", error))?;
        let writer = writer(BufWriter::with_capacity(1 << 18, file), schema, path)?;
        Ok(TableFile { path: path.to_path_buf(), writer, rows: 0 })
    }

    /// Appends a row group; one without rows is left out.
    ///
    /// # Errors
    /// When the file cannot be written, for example on a full disk.
    pub fn append(&mut self, encoded: Encoded) -> Result<()> {
        if encoded.rows == 0 {
            return Ok(());
        }
        let fail = |error: parquet::errors::ParquetError| Error::table(&self.path, "write the table", error);
        let mut group = self.writer.next_row_group().map_err(fail)?;
        for column in encoded.columns {
            match column {
                Chunk::Array(chunk) => chunk.append_to_row_group(&mut group).map_err(fail)?,
                Chunk::Rows(bytes, facts) => group.append_column(&bytes, facts).map_err(fail)?,
            }
        }
        group.close().map_err(fail)?;
        self.rows += encoded.rows as u64;
        Ok(())
    }

    /// Writes the footer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(self) -> Result<()> {
        let fail = |error: parquet::errors::ParquetError| Error::table(&self.path, "finish the table", error);
        let mut out = self.writer.into_inner().map_err(fail)?;
        std::io::Write::flush(&mut out).map_err(|error| Error::file(&self.path, "finish the table", error))
    }
}
