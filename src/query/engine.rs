//! The SQL engine: Polars behind a trait, so that nothing else in keytrail knows its name.
//!
//! In: tables (Parquet files, or a few rows), and statements that the guard has passed and rewritten. Out: rows, or a
//! Parquet file. The streaming engine hands over batches, so that a large result is never in memory at once. Types are
//! made those of keytrail's tables: every integer is 64 bit and signed, every time is microseconds without a zone.
//! Deliberately absent: any statement that did not come from [`super::guard`], and any file a statement might name.
//! `POLARS_MAX_THREADS`, read by Polars at its first use, bounds its threads.

use super::stage;
use super::table::{CellType, ResultColumn, Table};
use crate::error::{Error, Result};
use crate::output::Cell;
use crate::schema::{Column as SchemaColumn, Kind};
use polars::io::parquet::write::BatchedWriter;
use polars::prelude::*;
use polars::sql::SQLContext;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Rows in a batch of a result, and so in a row group of a written table.
const BATCH: usize = 16 << 10;

/// Which rows of a table make one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Rows with `from <= column < to`, seconds.
    Epochs {
        /// The column.
        column: String,
        /// First second.
        from: i64,
        /// The second after the last.
        to: i64,
    },
    /// Rows with `from <= column < to`, for a text column; an absent bound is none.
    Texts {
        /// The column.
        column: String,
        /// The first value.
        from: Option<String>,
        /// The first value of the next piece.
        to: Option<String>,
        /// The rows where it is NULL belong to this piece.
        has_nulls: bool,
    },
    /// No row.
    Never,
}

/// Some rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The table.
    pub table: String,
    /// The files that can hold its rows; empty means all of the table.
    pub files: Vec<PathBuf>,
    /// Its rows; `None` when the files hold just these.
    pub condition: Option<Condition>,
}

/// What a query is run on instead of whole tables: a part of each table that is cut.
pub type Piece = Vec<Part>;

/// What runs statements. Its tables stay registered until they are replaced.
pub trait SqlEngine {
    /// Registers Parquet files as a table. No file at all is a table of `columns` without rows.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn register_files(&mut self, table: &str, files: &[PathBuf], columns: &[SchemaColumn]) -> Result<()>;

    /// Registers rows as a table.
    ///
    /// # Errors
    /// When a cell is not of its column's type.
    fn register_rows(&mut self, table: &str, rows: &Table) -> Result<()>;

    /// Lets the following statements see only one piece.
    ///
    /// # Errors
    /// When there is no such table.
    fn narrow(&mut self, piece: &Piece) -> Result<()>;

    /// Lets the following statements see whole tables again.
    fn widen(&mut self);

    /// Takes a table away.
    fn forget(&mut self, table: &str);

    /// The names and types of a registered table's columns.
    ///
    /// # Errors
    /// When there is no such table.
    fn columns(&mut self, table: &str) -> Result<Vec<ResultColumn>>;

    /// Runs a statement and hands its rows over one by one.
    ///
    /// # Errors
    /// When the statement fails, with the engine's message, or when `each` fails.
    fn for_each_row(&mut self, statement: &Statement<'_>, each: RowSink<'_>) -> Result<Vec<ResultColumn>>;

    /// Runs a statement on each piece, or once when there are none, and writes all rows one after the other to one Parquet
    /// file; gives their number.
    ///
    /// # Errors
    /// When a statement fails, or the file cannot be written.
    fn write_parquet(&mut self, statement: &Statement<'_>, pieces: &[Piece], path: &Path) -> Result<u64>;

    /// Runs a statement whose result is small.
    ///
    /// # Errors
    /// When the statement fails.
    fn execute(&mut self, statement: &Statement<'_>) -> Result<Table> {
        let mut rows = Vec::new();
        let columns = self.for_each_row(statement, &mut |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(Table { columns, rows })
    }
}

/// Takes the rows of a result.
pub type RowSink<'s> = &'s mut dyn FnMut(Vec<Cell<'static>>) -> Result<()>;

/// A statement as the guard rewrote it.
#[derive(Clone, Debug)]
pub struct Statement<'q> {
    /// The query's id, for messages.
    pub query: &'q str,
    /// The rewritten statement.
    pub sql: &'q str,
    /// Result columns made by `STRING_AGG`: their items are put in order.
    pub lists: &'q BTreeSet<String>,
}

/// Polars.
#[derive(Default)]
pub struct Polars {
    tables: BTreeMap<String, LazyFrame>,
    narrowed: BTreeMap<String, LazyFrame>,
    scratch: Option<PathBuf>,
}

impl Polars {
    /// An engine without tables, with intermediate results in `scratch`, or in the system's folder for temporary files.
    pub fn new(scratch: Option<PathBuf>) -> Polars {
        Polars { scratch, ..Polars::default() }
    }

    pub(super) fn table(&self, name: &str) -> Result<LazyFrame> {
        let frame = self.narrowed.get(name).or_else(|| self.tables.get(name)).cloned();
        frame.ok_or_else(|| Error::Usage(format!("there is no table `{name}`")))
    }

    /// The statement's plan with keytrail's types. The context is new each time: Polars leaves aliases of derived tables
    /// behind in it.
    fn plan(&self, statement: &Statement<'_>) -> Result<Plan> {
        guarded(statement.query, || {
            let mut context = SQLContext::new();
            for name in self.tables.keys() {
                if let Some(frame) = self.narrowed.get(name).or_else(|| self.tables.get(name)) {
                    context.register(name, frame.clone());
                }
            }
            let mut found = context.execute(statement.sql)?;
            let given = found.collect_schema()?;
            let columns: Vec<Expr> = given.iter().map(|(name, kind)| normal(name, kind, statement.lists)).collect();
            let mut frame = found.select(columns);
            let schema = frame.collect_schema()?;
            Ok(Plan { frame, given, schema })
        })
    }
}

/// A statement ready to run.
struct Plan {
    frame: LazyFrame,
    /// The columns as the statement gives them: only here a bare NULL has no type.
    given: SchemaRef,
    /// The columns as they come out.
    schema: SchemaRef,
}

/// One result column in keytrail's types.
fn normal(name: &PlSmallStr, kind: &DataType, lists: &BTreeSet<String>) -> Expr {
    let column = col(name.clone());
    match kind {
        DataType::String if lists.contains(name.as_str()) => column
            .str()
            .split(lit(","))
            .list()
            .sort(SortOptions::default())
            .list()
            .join(lit(","), true)
            .alias(name.clone()),
        DataType::Int64 | DataType::Float64 | DataType::String | DataType::Boolean | DataType::Date => column,
        kind if kind.is_integer() => column.cast(DataType::Int64),
        kind if kind.is_float() => column.cast(DataType::Float64),
        DataType::Datetime(_, _) => column.cast(DataType::Datetime(TimeUnit::Microseconds, None)),
        _ => column.cast(DataType::String),
    }
}

/// The stack that Polars gets. It walks plans recursively, and a chain of thirty CTEs is deep: an unoptimised build needs
/// more than the 8 MiB of a main thread for some views. It is reserved, not used.
const STACK: usize = 256 << 20;

/// Runs `work` on a thread of its own, because of the stack, and because a panic inside Polars then becomes an error of the
/// query: it must not end a whole report for one rule.
pub(super) fn guarded<T: Send>(query: &str, work: impl FnOnce() -> PolarsResult<T> + Send) -> Result<T> {
    let failed = |message: String| Error::Query { query: query.to_owned(), line: 0, message };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sql".to_owned()).stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| failed(format!("no thread for the SQL engine: {error}")))?;
        match thread.join() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failed(format!("the SQL engine: {error}"))),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                Err(failed(format!("the SQL engine stopped: {}", text.unwrap_or("no reason given"))))
            }
        }
    })
}

/// A condition as Polars takes it.
fn expression(condition: &Condition) -> Expr {
    match condition {
        Condition::Epochs { column, from, to } => {
            col(column.as_str()).gt_eq(lit(*from)).and(col(column.as_str()).lt(lit(*to)))
        }
        Condition::Texts { column, from, to, has_nulls } => {
            let column = col(column.as_str());
            let from = from.clone().map(|from| column.clone().gt_eq(lit(from)));
            let to = to.clone().map(|to| column.clone().lt(lit(to)));
            let inside = match (from, to) {
                (Some(from), Some(to)) => from.and(to),
                (Some(bound), None) | (None, Some(bound)) => bound,
                (None, None) => column.clone().is_not_null(),
            };
            if *has_nulls { inside.or(column.is_null()) } else { inside }
        }
        Condition::Never => lit(false),
    }
}

impl SqlEngine for Polars {
    fn register_files(&mut self, table: &str, files: &[PathBuf], columns: &[SchemaColumn]) -> Result<()> {
        let frame = match files {
            [] => DataFrame::empty_with_schema(&schema_of(columns)).lazy(),
            files => scan(table, files)?,
        };
        self.narrowed.remove(table);
        self.tables.insert(table.to_owned(), frame);
        Ok(())
    }

    fn register_rows(&mut self, table: &str, rows: &Table) -> Result<()> {
        let frame = guarded(table, || frame_of(rows))?;
        self.narrowed.remove(table);
        self.tables.insert(table.to_owned(), frame.lazy());
        Ok(())
    }

    fn narrow(&mut self, piece: &Piece) -> Result<()> {
        for part in piece {
            self.narrowed.remove(&part.table);
            let whole = if part.files.is_empty() { self.table(&part.table)? } else { scan(&part.table, &part.files)? };
            let rows = match &part.condition {
                Some(condition) => whole.filter(expression(condition)),
                None => whole,
            };
            self.narrowed.insert(part.table.clone(), rows);
        }
        Ok(())
    }

    fn widen(&mut self) {
        self.narrowed.clear();
    }

    fn forget(&mut self, table: &str) {
        self.tables.remove(table);
        self.narrowed.remove(table);
    }

    fn columns(&mut self, table: &str) -> Result<Vec<ResultColumn>> {
        let mut frame = self.table(table)?;
        let schema = guarded(table, || frame.collect_schema())?;
        Ok(result_columns(&schema))
    }

    fn for_each_row(&mut self, statement: &Statement<'_>, each: RowSink<'_>) -> Result<Vec<ResultColumn>> {
        let (plan, staged) = self.staged_plan(statement)?;
        let columns = result_columns(&plan.given);
        let result =
            guarded(statement.query, || Ok(plan.frame.collect_with_engine(Engine::Streaming)?.unwrap_single()));
        self.forget_stages(staged);
        let result = result?;
        let mut start = 0;
        while start < result.height() {
            for row in rows_of(statement.query, &result.slice(start as i64, BATCH))? {
                each(row)?;
            }
            start += BATCH;
        }
        Ok(columns)
    }

    fn write_parquet(&mut self, statement: &Statement<'_>, pieces: &[Piece], path: &Path) -> Result<u64> {
        let mut writer: Option<Arc<Mutex<Writer>>> = None;
        let whole = [None];
        let cut: Vec<_> = pieces.iter().map(Some).collect();
        for piece in if pieces.is_empty() { &whole[..] } else { &cut[..] } {
            if let Some(piece) = piece {
                self.narrow(piece)?;
            }
            let written = self.staged_plan(statement).and_then(|(plan, staged)| {
                let written = self.sink(statement.query, plan, path, &mut writer);
                self.forget_stages(staged);
                written
            });
            if piece.is_some() {
                self.widen();
            }
            written?;
        }
        let Some(writer) = writer else { return Ok(0) };
        let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        guarded(statement.query, || writer.finish())?;
        Ok(writer.rows)
    }
}

impl Polars {
    /// Computes the CTEs that a statement reads more than once, and plans the rest over them.
    fn staged_plan(&mut self, statement: &Statement<'_>) -> Result<(Plan, Option<StageFolder>)> {
        let cut = stage::cut(statement.sql);
        if cut.stages.is_empty() {
            return Ok((self.plan(statement)?, None));
        }
        let mut staged = StageFolder { folder: ScratchFolder::create(self.scratch.as_deref())?, tables: Vec::new() };
        for stage in cut.stages {
            let path = staged.folder.path().join(format!("{}.parquet", stage.table));
            let part = Statement { query: statement.query, sql: &stage.sql, lists: &BTreeSet::new() };
            let computed = self.plan(&part).and_then(|plan| {
                let mut writer = None;
                self.sink(statement.query, plan, &path, &mut writer)?;
                let Some(writer) = writer else { return Ok(()) };
                let writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                guarded(statement.query, || writer.finish())
            });
            let registered =
                computed.and_then(|()| self.register_files(&stage.table, std::slice::from_ref(&path), &[]));
            staged.tables.push(stage.table);
            if let Err(error) = registered {
                self.forget_stages(Some(staged));
                return Err(error);
            }
        }
        match self.plan(&Statement { query: statement.query, sql: &cut.sql, lists: statement.lists }) {
            Ok(plan) => Ok((plan, Some(staged))),
            Err(error) => {
                self.forget_stages(Some(staged));
                Err(error)
            }
        }
    }

    fn forget_stages(&mut self, staged: Option<StageFolder>) {
        for table in staged.iter().flat_map(|staged| &staged.tables) {
            self.forget(table);
        }
    }

    /// Appends the rows of a plan to the file at `path`, which the first one creates.
    fn sink(&self, query: &str, plan: Plan, path: &Path, writer: &mut Option<Arc<Mutex<Writer>>>) -> Result<()> {
        let open = match writer {
            Some(writer) => writer.clone(),
            None => {
                let made = guarded(query, || Writer::create(path, &plan.schema))?;
                writer.insert(Arc::new(Mutex::new(made))).clone()
            }
        };
        guarded(query, || {
            let sink = PlanCallback::new(move |batch| append(&open, &batch));
            plan.frame.sink_batches(sink, true, NonZeroUsize::new(BATCH))?.collect_with_engine(Engine::Streaming)
        })?;
        Ok(())
    }
}

/// Where the results of stages lie while a statement runs.
struct StageFolder {
    folder: ScratchFolder,
    tables: Vec<String>,
}

/// A folder for intermediate results, removed when it is dropped.
pub(super) struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// Creates one in `place`, else in the system's folder for temporary files.
    pub(super) fn create(place: Option<&Path>) -> Result<ScratchFolder> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = place.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let folder = place.join(format!("keytrail-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)
            .map_err(|error| Error::file(&folder, "create a folder for intermediate results", error))?;
        Ok(ScratchFolder(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // It lies among temporary files, which are cleaned in any case.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The rows of Parquet files.
fn scan(table: &str, files: &[PathBuf]) -> Result<LazyFrame> {
    let paths = files.iter().map(|path| PlRefPath::new(path.to_string_lossy()));
    let arguments = ScanArgsParquet {
        glob: false,
        hive_options: HiveOptions { enabled: Some(false), ..HiveOptions::default() },
        low_memory: true,
        ..ScanArgsParquet::default()
    };
    guarded(table, || LazyFrame::scan_parquet_files(paths.collect(), arguments))
}

/// A table being written, batch after batch.
pub(super) struct Writer {
    file: BatchedWriter<BufWriter<File>>,
    rows: u64,
}

impl Writer {
    /// Creates the file.
    pub(super) fn create(path: &Path, schema: &Schema) -> PolarsResult<Writer> {
        let failed = |error: std::io::Error| {
            let text = format!("{}: create the table: {error}", path.display());
            PolarsError::from(std::io::Error::new(error.kind(), text))
        };
        let out = BufWriter::with_capacity(1 << 17, File::create(path).map_err(failed)?);
        let file = ParquetWriter::new(out)
            .with_compression(ParquetCompression::Snappy)
            .with_statistics(StatisticsOptions::empty())
            .set_parallel(false)
            .batched(schema)?;
        Ok(Writer { file, rows: 0 })
    }

    /// Appends a batch in one chunk as a row group.
    pub(super) fn append(&mut self, batch: &DataFrame) -> PolarsResult<()> {
        self.file.write_batch(batch)?;
        self.rows += batch.height() as u64;
        Ok(())
    }

    /// Writes the footer.
    pub(super) fn finish(&self) -> PolarsResult<()> {
        self.file.finish().map(|_| ())
    }
}

/// Appends a batch as a row group. Answers whether to stop.
fn append(writer: &Mutex<Writer>, batch: &DataFrame) -> PolarsResult<bool> {
    if batch.height() > 0 {
        // Columns of a batch may come in unequal chunks, which the writer takes for a broken table.
        let mut batch = batch.clone();
        batch.rechunk_mut();
        writer.lock().unwrap_or_else(PoisonError::into_inner).append(&batch)?;
    }
    Ok(false)
}

fn schema_of(columns: &[SchemaColumn]) -> Schema {
    let fields = columns.iter().map(|column| {
        let kind = match column.kind {
            Kind::Text => DataType::String,
            Kind::Boolean => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Timestamp => DataType::Datetime(TimeUnit::Microseconds, None),
            Kind::Date => DataType::Date,
        };
        Field::new(column.name.into(), kind)
    });
    fields.collect()
}

fn result_columns(schema: &Schema) -> Vec<ResultColumn> {
    let columns = schema.iter().map(|(name, kind)| ResultColumn {
        name: name.to_string(),
        cell_type: match kind {
            DataType::Boolean => CellType::Boolean,
            DataType::Date => CellType::Date,
            DataType::Datetime(_, _) => CellType::Timestamp,
            DataType::Null => CellType::Null,
            kind if kind.is_integer() => CellType::Integer,
            kind if kind.is_float() => CellType::Float,
            _ => CellType::Text,
        },
    });
    columns.collect()
}

fn frame_of(table: &Table) -> PolarsResult<DataFrame> {
    let mut columns = Vec::with_capacity(table.columns.len());
    for (i, column) in table.columns.iter().enumerate() {
        let kind = match column.cell_type {
            CellType::Null | CellType::Text => DataType::String,
            CellType::Boolean => DataType::Boolean,
            CellType::Integer => DataType::Int64,
            CellType::Float => DataType::Float64,
            CellType::Timestamp => DataType::Datetime(TimeUnit::Microseconds, None),
            CellType::Date => DataType::Date,
        };
        let cells = table.rows.iter().map(|row| match row.get(i) {
            None | Some(Cell::Null) => AnyValue::Null,
            Some(Cell::Text(text)) => AnyValue::String(text),
            Some(Cell::Boolean(value)) => AnyValue::Boolean(*value),
            Some(Cell::Integer(value)) => AnyValue::Int64(*value),
            Some(Cell::Float(value)) => AnyValue::Float64(*value),
            Some(Cell::Timestamp(micros)) => AnyValue::Datetime(*micros, TimeUnit::Microseconds, None),
            Some(Cell::Date(days)) => AnyValue::Date(*days),
        });
        let cells: Vec<AnyValue<'_>> = cells.collect();
        let name = PlSmallStr::from_str(&column.name);
        columns.push(Series::from_any_values_and_dtype(name, &cells, &kind, true)?.into_column());
    }
    DataFrame::new(table.rows.len(), columns)
}

fn rows_of(query: &str, batch: &DataFrame) -> Result<Vec<Vec<Cell<'static>>>> {
    let mut rows: Vec<Vec<Cell<'static>>> = (0..batch.height()).map(|_| Vec::with_capacity(batch.width())).collect();
    for column in batch.columns() {
        let series = column.as_materialized_series().rechunk();
        for (value, row) in series.iter().zip(&mut rows) {
            row.push(match value {
                AnyValue::Null => Cell::Null,
                AnyValue::Boolean(value) => Cell::Boolean(value),
                AnyValue::String(text) => Cell::Text(text.to_owned().into()),
                AnyValue::StringOwned(text) => Cell::Text(text.to_string().into()),
                AnyValue::Int64(value) => Cell::Integer(value),
                AnyValue::Float64(value) => Cell::Float(value),
                AnyValue::Date(days) => Cell::Date(days),
                AnyValue::Datetime(micros, TimeUnit::Microseconds, _) => Cell::Timestamp(micros),
                other => {
                    let message = format!("column `{}` has a value of type {}", column.name(), other.dtype());
                    return Err(Error::Query { query: query.to_owned(), line: 0, message });
                }
            });
        }
    }
    Ok(rows)
}
