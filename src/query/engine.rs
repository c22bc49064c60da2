//! The SQL engine: Polars behind a trait, so that nothing else in keytrail knows its name.
//!
//! In: tables (Parquet files, or a few rows), and statements that the guard has passed and rewritten. Out: rows, or a
//! Parquet file. The streaming engine hands over batches, so that a large result is never in memory at once. Types are
//! made those of keytrail's tables: every integer is 64 bit and signed, every time is microseconds without a zone.
//! Deliberately absent: any statement that did not come from [`super::guard`], and any file a statement might name.
//! `POLARS_MAX_THREADS`, read by Polars at its first use, bounds its threads.

use super::frame::{frame_of, result_columns, rows_of, schema_of};
use super::stack::guarded;
use super::stage;
use super::table::{ResultColumn, Table};
use crate::error::{Error, Result};
use crate::output::Cell;
use crate::schema::Column as SchemaColumn;
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
    /// Some rows of a table's file, by their place in it, from 0.
    Rows {
        /// The first row.
        from: u64,
        /// How many.
        count: u64,
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

/// Bytes of files whose table is kept in memory, once a statement names it. Polars prepares every scan of a file anew for each
/// step of a plan, which for a small case takes far longer than to run it.
const SMALL_TABLE: u64 = 1 << 20;
/// Bytes of the files of all tables that are kept in memory; decoded they are some ten times as large.
const SMALL_TABLES: u64 = 2 << 20;

/// A table that statements can name.
struct Registered {
    frame: LazyFrame,
    /// Its files, until somebody has looked at how large they are.
    files: Vec<PathBuf>,
    /// Bytes of its files, when it is in memory.
    loaded: u64,
}

impl Registered {
    fn new(frame: LazyFrame) -> Registered {
        Registered { frame, files: Vec::new(), loaded: 0 }
    }
}

/// Polars.
#[derive(Default)]
pub struct Polars {
    tables: BTreeMap<String, Registered>,
    narrowed: BTreeMap<String, LazyFrame>,
    scratch: Option<PathBuf>,
}

impl Polars {
    /// An engine without tables, with intermediate results in `scratch`, or in the system's folder for temporary files.
    pub fn new(scratch: Option<PathBuf>) -> Polars {
        Polars { scratch, ..Polars::default() }
    }

    pub(super) fn table(&self, name: &str) -> Result<LazyFrame> {
        let frame = self.narrowed.get(name).or_else(|| self.tables.get(name).map(|table| &table.frame));
        frame.cloned().ok_or_else(|| Error::Usage(format!("there is no table `{name}`")))
    }

    /// Takes the small ones of the tables that a statement names into memory.
    fn load_small(&mut self, sql: &str) {
        let mut loaded: u64 = self.tables.values().map(|table| table.loaded).sum();
        for name in words(sql) {
            let Some(table) = self.tables.get_mut(name).filter(|_| !self.narrowed.contains_key(name)) else { continue };
            let sizes = std::mem::take(&mut table.files).into_iter().map(|file| std::fs::metadata(file).ok());
            let size = sizes.map(|size| size.map(|size| size.len())).sum::<Option<u64>>().unwrap_or(0);
            if size == 0 || size > SMALL_TABLE || loaded + size > SMALL_TABLES {
                continue;
            }
            let frame = table.frame.clone();
            // What cannot be read stays a file, and the statement tells.
            if let Ok(rows) = guarded(name, || Ok(frame.collect_with_engine(Engine::Streaming)?.unwrap_single())) {
                *table = Registered { loaded: size, ..Registered::new(rows.lazy()) };
                loaded += size;
            }
        }
    }

    /// The statement's plan with keytrail's types. The context is new each time: Polars leaves aliases of derived tables
    /// behind in it. It knows the tables that are named, because it is copied for each CTE.
    fn plan(&mut self, statement: &Statement<'_>) -> Result<Plan> {
        self.load_small(statement.sql);
        guarded(statement.query, || {
            let mut context = SQLContext::new();
            for name in words(statement.sql) {
                if let Ok(frame) = self.table(name) {
                    context.register(name, frame);
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

/// The words of a statement, among which are the names of its tables and columns.
pub(super) fn words(sql: &str) -> BTreeSet<&str> {
    sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
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

/// The rows of a table that fulfil a condition.
fn those(whole: LazyFrame, condition: &Condition) -> LazyFrame {
    let is_inside = match condition {
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
        Condition::Rows { from, count } => {
            let from = i64::try_from(*from).unwrap_or(i64::MAX);
            return whole.slice(from, IdxSize::try_from(*count).unwrap_or(IdxSize::MAX));
        }
        Condition::Never => lit(false),
    };
    whole.filter(is_inside)
}

impl SqlEngine for Polars {
    fn register_files(&mut self, table: &str, files: &[PathBuf], columns: &[SchemaColumn]) -> Result<()> {
        let frame = match files {
            [] => DataFrame::empty_with_schema(&schema_of(columns)).lazy(),
            files => scan(table, files)?,
        };
        self.narrowed.remove(table);
        self.tables.insert(table.to_owned(), Registered { files: files.to_vec(), ..Registered::new(frame) });
        Ok(())
    }

    fn register_rows(&mut self, table: &str, rows: &Table) -> Result<()> {
        let frame = guarded(table, || frame_of(rows))?;
        self.narrowed.remove(table);
        self.tables.insert(table.to_owned(), Registered::new(frame.lazy()));
        Ok(())
    }

    fn narrow(&mut self, piece: &Piece) -> Result<()> {
        for part in piece {
            self.narrowed.remove(&part.table);
            let whole = if part.files.is_empty() { self.table(&part.table)? } else { scan(&part.table, &part.files)? };
            let rows = match &part.condition {
                Some(condition) => those(whole, condition),
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

#[cfg(test)]
mod tests {
    use super::super::table::CellType;
    use super::*;

    /// Writes the numbers from 0 to `count` to a Parquet file.
    fn numbers(path: &Path, count: i64) {
        let column = ResultColumn { name: "number".to_owned(), cell_type: CellType::Integer };
        let rows = (0..count).map(|number| vec![Cell::Integer(number)]).collect();
        let mut engine = Polars::new(None);
        engine.register_rows("numbers", &Table { columns: vec![column], rows }).unwrap();
        let sql = "SELECT number FROM numbers ORDER BY number";
        engine.write_parquet(&Statement { query: "q", sql, lists: &BTreeSet::new() }, &[], path).unwrap();
    }

    fn read(engine: &mut Polars) -> Vec<Cell<'static>> {
        let sql = "SELECT number FROM t ORDER BY number";
        let rows = engine.execute(&Statement { query: "q", sql, lists: &BTreeSet::new() }).unwrap().rows;
        rows.into_iter().flatten().collect()
    }

    #[test]
    fn a_small_table_is_read_once_until_it_is_registered_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first.parquet"), folder.path().join("second.parquet"));
        numbers(&first, 3);
        numbers(&second, 2);
        let mut engine = Polars::new(None);
        engine.register_files("t", std::slice::from_ref(&first), &[]).unwrap();
        assert_eq!(read(&mut engine).len(), 3);
        std::fs::remove_file(&first).unwrap();
        assert_eq!(read(&mut engine).len(), 3);
        engine.register_files("t", std::slice::from_ref(&second), &[]).unwrap();
        assert_eq!(read(&mut engine).len(), 2);
        engine.forget("t");
        assert_eq!(engine.tables.values().map(|table| table.loaded).sum::<u64>(), 0);
    }

    #[test]
    fn rows_are_counted_in_the_order_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.parquet");
        let count = 2 * BATCH as i64 + 10;
        numbers(&path, count);
        let parts = crate::table::split::split(&path, 0, folder.path()).unwrap();
        assert_eq!(parts.len(), 3);
        for (in_memory, files) in [(false, &vec![path]), (true, &parts), (false, &parts)] {
            let mut engine = Polars::new(None);
            engine.register_files("t", files, &[]).unwrap();
            if in_memory {
                assert_eq!(read(&mut engine).len() as i64, count);
            }
            let mut all = Vec::new();
            for from in (0..count as u64).step_by(10_000) {
                let condition = Some(Condition::Rows { from, count: 10_000 });
                engine.narrow(&vec![Part { table: "t".to_owned(), files: Vec::new(), condition }]).unwrap();
                let rows = read(&mut engine);
                engine.widen();
                assert_eq!(rows.first(), Some(&Cell::Integer(from as i64)), "from the file: {}", !in_memory);
                all.extend(rows);
            }
            assert!(all.iter().zip(0..).all(|(cell, number)| *cell == Cell::Integer(number)));
            assert_eq!(all.len() as i64, count);
        }
    }
}
