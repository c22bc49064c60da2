//! Running queries over a case: its tables, its views, its findings.
//!
//! In: a case folder (`events/date=*/*.parquet`, `tables/*.parquet`), the library, parameters. Out: views as Parquet,
//! findings, results. Memory is bounded by cutting: a query whose header allows it runs on one stretch of hours or one
//! group of principals after the other, and the outcome does not depend on where the cuts fall. Deliberately absent: any
//! knowledge of what a query means.

use super::engine::{Part, Polars, RowSink, ScratchFolder, SqlEngine, Statement};
use super::findings::{self, Finding};
use super::guard::{self, Guarded, OrderKey, TableSource, Tables};
use super::header::{Header, Partition, QueryKind};
use super::library::{Library, LibraryQuery};
use super::params::{Overrides, Param, ParamValue};
use super::pieces::{TIME_KEYS, cut_texts};
use super::table::{ResultColumn, Table};
use crate::case::FACT_TABLES;
use crate::case::inputs::INPUT_COLUMNS;
use crate::error::{Error, Result};
use crate::integrity::table::TABLES;
use crate::output::Cell;
use crate::schema::{Column, EVENT_COLUMNS, Kind};
use crate::table::columns::CHILD_TABLES;
use crate::table::split::split;
use crate::time::days_from_civil;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Events that one piece of a cut query has, about. Counting distinct resources takes up to 1.7 kB per row
/// (measured), so this is some 200 MB.
pub const PIECE_ROWS: u64 = 100_000;

/// Bytes of a file of a view that is read as a whole.
const PART_BYTES: u64 = 32 << 20;

/// Pieces that a query is cut into at most, about, to see that its rows do not depend on it: each takes a statement.
const MOST_CUTS: u64 = 200;

/// What a run may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The accounts that are our own; empty means those seen as recipients.
    pub home_accounts: Vec<String>,
    /// `--set`.
    pub overrides: Overrides,
    /// Rows of a piece, about; see [`PIECE_ROWS`].
    pub piece_rows: u64,
    /// Where intermediate results lie; `None` for the system's folder for temporary files. They can be as large as the
    /// case.
    pub scratch: Option<PathBuf>,
    /// Bytes of a view's file, about: larger ones are copied in parts to `scratch`, for the statements that read them.
    pub part_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            home_accounts: Vec::new(),
            overrides: Overrides::default(),
            piece_rows: PIECE_ROWS,
            scratch: None,
            part_bytes: PART_BYTES,
        }
    }
}

/// A file of the events table and its day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventFile {
    /// Days since 1970-01-01 UTC; `None` when the folder's name is no `date=YYYY-MM-DD`.
    pub(super) day: Option<i64>,
    pub(super) path: PathBuf,
}

/// A statement that passed the guard, with all it needs to run.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The query's id, for messages; the rule of its findings.
    pub id: String,
    /// The statement.
    pub guarded: Guarded,
    /// Its front matter.
    pub header: Header,
    /// Its parameters, overrides applied.
    pub params: Vec<Param>,
}

/// A view that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltView {
    /// The table's name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
}

/// A case open for queries.
pub struct Session {
    pub(super) engine: Polars,
    pub(super) settings: Settings,
    pub(super) events: Vec<EventFile>,
    tables: Tables,
    /// Where the tables came from, for explanations.
    sources: BTreeMap<String, TableSource>,
    pub(super) event_count: u64,
    /// Rows of the other tables, as far as somebody asked.
    pub(super) row_counts: BTreeMap<String, u64>,
    /// Copies of large views.
    copies: Vec<ScratchFolder>,
}

impl Session {
    /// Opens the case in `case`: its events and every table in `tables/`. Child tables that are not there are empty.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn open(case: &Path, settings: Settings) -> Result<Session> {
        let events = event_files(&case.join("events"))?;
        let mut session = Session {
            engine: Polars::new(settings.scratch.clone()),
            settings,
            events,
            tables: Tables::new([]),
            sources: BTreeMap::new(),
            event_count: 0,
            row_counts: BTreeMap::new(),
            copies: Vec::new(),
        };
        let files: Vec<PathBuf> = session.events.iter().map(|file| file.path.clone()).collect();
        session.engine.register_files("events", &files, EVENT_COLUMNS)?;
        session.add_table("events", TableSource::Parquet(case.join("events/*/*.parquet").display().to_string()));
        let mut found = parquet_files(&case.join("tables"))?;
        for name in ["inputs", "findings", "incidents", "reviews"] {
            let path = case.join(format!("{name}.parquet"));
            if path.is_file() {
                found.push(path);
            }
        }
        for (name, columns) in CHILD_TABLES.into_iter().chain(TABLES).chain(FACT_TABLES) {
            if !found.iter().any(|path| stem(path) == name) {
                session.engine.register_files(name, &[], columns)?;
                session.add_table(name, no_rows(columns));
            }
        }
        if !found.iter().any(|path| stem(path) == "inputs") {
            session.engine.register_files("inputs", &[], INPUT_COLUMNS)?;
            session.add_table("inputs", no_rows(INPUT_COLUMNS));
        }
        for path in found {
            session.register(&stem(&path), &path)?;
        }
        session.implied_tables()?;
        Ok(session)
    }

    fn add_table(&mut self, name: &str, source: TableSource) {
        self.tables.add(name);
        self.sources.insert(name.to_owned(), source);
    }

    /// Registers a Parquet file as a table of the case.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn register(&mut self, name: &str, path: &Path) -> Result<()> {
        self.engine.register_files(name, &[path.to_path_buf()], &[])?;
        self.row_counts.remove(name);
        self.add_table(name, TableSource::Parquet(path.display().to_string()));
        Ok(())
    }

    /// True when the case has the table `name`.
    pub fn has_table(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    /// Rows of a table in the order of its file, with those of `columns` that it has, or with all when none are named.
    ///
    /// # Errors
    /// When there is no such table, or it cannot be read.
    pub fn rows_of(&mut self, table: &str, columns: &[&str]) -> Result<Table> {
        if !self.has_table(table) {
            return Err(Error::Usage(format!("{table}: the case has no such table; analyze the evidence again")));
        }
        let has = self.engine.columns(table)?;
        let names = has.into_iter().map(|column| column.name);
        let wanted: Vec<String> = names.filter(|name| columns.is_empty() || columns.contains(&name.as_str())).collect();
        self.own(&format!("SELECT {} FROM {table}", wanted.join(", ")))
    }

    /// The one-row table `evidence`, and `home_accounts`.
    fn implied_tables(&mut self) -> Result<()> {
        let evidence = "SELECT MIN(event_epoch) AS first_epoch, MAX(event_epoch) AS last_epoch, MIN(event_time) AS first_time, \
                        MAX(event_time) AS last_time FROM events WHERE event_source = 'kms.amazonaws.com'";
        let row = self.own(evidence)?;
        self.engine.register_rows("evidence", &row)?;
        self.sources.insert("evidence".to_owned(), TableSource::Select(evidence.to_owned()));
        if self.settings.home_accounts.is_empty() {
            // Not DISTINCT, which Polars runs after the sort.
            let seen =
                "SELECT account_id FROM events WHERE account_id IS NOT NULL GROUP BY account_id ORDER BY account_id";
            let rows = self.own(seen)?.rows;
            let texts = rows.iter().flatten().map(|cell| cell.to_text().into_owned());
            self.settings.home_accounts = texts.collect();
        }
        let accounts = self.settings.home_accounts.clone();
        self.register_texts("home_accounts", "account_id", &accounts)?;
        let count = self.own("SELECT CAST(COUNT(*) AS BIGINT) AS n FROM events")?;
        self.event_count = count.rows.first().and_then(|row| integer(row.first())).unwrap_or(0);
        Ok(())
    }

    /// A statement of keytrail's own.
    pub(super) fn own(&mut self, sql: &str) -> Result<Table> {
        self.engine.execute(&Statement { query: "keytrail", sql, lists: &BTreeSet::new() })
    }

    /// The accounts taken for our own.
    pub fn home_accounts(&self) -> &[String] {
        &self.settings.home_accounts
    }

    /// The columns of a table of the case.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn columns(&mut self, table: &str) -> Result<Vec<ResultColumn>> {
        self.engine.columns(table)
    }

    /// Makes `texts` a table of one column, so that statements can join a chosen few.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn register_texts(&mut self, table: &str, column: &str, texts: &[String]) -> Result<()> {
        self.engine.register_rows(table, &Table::of_texts(column, texts))?;
        let values: Vec<_> = texts.iter().map(|text| format!("({})", sql_text(text))).collect();
        let source = match values.is_empty() {
            true => format!("SELECT '' AS {column} WHERE FALSE"),
            false => format!("SELECT * FROM (VALUES {}) AS v({column})", values.join(", ")),
        };
        self.row_counts.remove(table);
        self.add_table(table, TableSource::Select(source));
        Ok(())
    }

    /// Events in the case.
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// Passes a statement through the guard.
    ///
    /// # Errors
    /// Every construct that is not run, and overrides of a wrong type.
    pub fn prepare(&self, id: &str, sql: &str, header: &Header) -> std::result::Result<Prepared, Vec<Error>> {
        let guarded = guard::guard(id, sql, &self.tables)?;
        let params = self.settings.overrides.apply(id, &header.params).map_err(|error| vec![error])?;
        Ok(Prepared { id: id.to_owned(), guarded, header: header.clone(), params })
    }

    /// Runs a statement and hands its rows over one by one, in its order.
    ///
    /// # Errors
    /// When the engine fails, or `each` does.
    pub fn for_each_row(&mut self, query: &Prepared, each: RowSink<'_>) -> Result<Vec<ResultColumn>> {
        self.engine.register_rows("params", &Table::of_params(&query.params))?;
        self.engine.for_each_row(&statement(query), each)
    }

    /// Runs a statement whose result is small.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn table(&mut self, query: &Prepared) -> Result<Table> {
        self.engine.register_rows("params", &Table::of_params(&query.params))?;
        self.engine.execute(&statement(query))
    }

    /// The same as its header says it may be cut: the rows of one piece after those of the other.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn table_in_pieces(&mut self, query: &Prepared) -> Result<Table> {
        // Before the cut, which looks at every table that the statement reads.
        self.engine.register_rows("params", &Table::of_params(&query.params))?;
        let cut = self.cut(query)?;
        if cut.pieces.is_empty() {
            return self.engine.execute(&statement(query));
        }
        let mut whole = Table::default();
        for piece in &cut.pieces {
            self.engine.narrow(piece)?;
            let part = self.engine.execute(&statement(query));
            self.engine.widen();
            let part = part?;
            whole.columns = part.columns;
            whole.rows.extend(part.rows);
        }
        Ok(whole)
    }

    /// Runs a statement and writes its rows to a Parquet file; gives their number.
    ///
    /// # Errors
    /// When the engine fails, or the file cannot be written.
    pub fn write_parquet(&mut self, query: &Prepared, path: &Path) -> Result<u64> {
        self.engine.register_rows("params", &Table::of_params(&query.params))?;
        self.engine.write_parquet(&statement(query), &[], path)
    }

    /// The statement as it is run, and the DuckDB command line that gives the same rows.
    pub fn explain(&self, query: &Prepared) -> String {
        let mut sources: Vec<_> = self.sources.iter().map(|(name, source)| (name.clone(), source.clone())).collect();
        let params: Vec<_> =
            query.params.iter().map(|param| format!("{} AS {}", sql_value(&param.value), param.name)).collect();
        let params = if params.is_empty() { "NULL AS nothing".to_owned() } else { params.join(", ") };
        sources.push(("params".to_owned(), TableSource::Select(format!("SELECT {params}"))));
        // Views over tables come after the tables.
        sources.sort_by_key(|(name, _)| (name != "events", name.clone()));
        guard::explain(&query.guarded, &sources)
    }

    /// Builds views, each into `folder/NAME.parquet`, and registers them. Gives those that were built, and the faults of the
    /// others: what reads a view that failed fails too, the rest goes on.
    pub fn build_views(
        &mut self,
        views: &[&LibraryQuery],
        folder: &Path,
        mut progress: impl FnMut(&str),
    ) -> (Vec<BuiltView>, Vec<Error>) {
        let mut built = Vec::new();
        let mut faults = Vec::new();
        for view in views {
            progress(&view.id);
            match self.build_view(view, folder) {
                Ok(view) => built.push(view),
                Err(more) => faults.extend(more),
            }
        }
        (built, faults)
    }

    fn build_view(&mut self, view: &LibraryQuery, folder: &Path) -> std::result::Result<BuiltView, Vec<Error>> {
        let prepared = self.prepare(&view.id, &view.sql, &view.header)?;
        let path = folder.join(format!("{}.parquet", view.id));
        let written = self.write_view(&prepared, &path).and_then(|rows| {
            self.register(&view.id, &path)?;
            let _ = self.read_in_parts(&view.id, &path); // Without room for a copy the file is read as it is.
            Ok(rows)
        });
        match written {
            Ok(rows) => Ok(BuiltView { name: view.id.clone(), path, rows }),
            Err(error) => {
                // Half a table is worse than none; when it cannot be removed, the fault still names the view.
                let _ = std::fs::remove_file(&path);
                Err(vec![error])
            }
        }
    }

    /// Has a large table read from smaller files: the engine maps a file while it reads it, which counts as memory.
    fn read_in_parts(&mut self, name: &str, path: &Path) -> Result<()> {
        let size = std::fs::metadata(path).map_err(|error| Error::file(path, "look at the table", error))?.len();
        let Some(scratch) = self.settings.scratch.as_deref().filter(|_| size > self.settings.part_bytes) else {
            return Ok(());
        };
        let folder = ScratchFolder::create(Some(scratch))?;
        let parts = split(path, self.settings.part_bytes, folder.path())?;
        self.copies.push(folder);
        self.engine.register_files(name, &parts, &[])
    }

    fn write_view(&mut self, view: &Prepared, path: &Path) -> Result<u64> {
        self.engine.register_rows("params", &Table::of_params(&view.params))?;
        let cut = self.cut(view)?;
        let pieces = cut.pieces;
        let order = &view.guarded.order_by;
        let is_as_cut = match view.header.partition {
            Some(Partition::Hour | Partition::Day) => {
                order.first().is_some_and(|key| !key.is_descending && TIME_KEYS.contains(&key.column.as_str()))
            }
            // Resources are dealt out in no order.
            Some(Partition::Resource) | None => false,
            Some(partition) => {
                let columns = partition.ranges();
                order.len() >= columns.len() && order.iter().zip(columns).all(|(key, column)| is_by_text(key, column))
            }
        };
        let is_in_order = pieces.is_empty() || is_as_cut;
        if is_in_order {
            return self.engine.write_parquet(&statement(view), &pieces, path);
        }
        let parts = path.with_extension("parts");
        let sorted = self
            .engine
            .write_parquet(&statement(view), &pieces, &parts)
            .and_then(|_| self.sort_parts(view, &parts, path));
        let removed =
            std::fs::remove_file(&parts).map_err(|error| Error::file(&parts, "remove the unsorted rows", error));
        sorted.and_then(|rows| removed.map(|()| rows))
    }

    /// Puts rows that were made piece by piece into the view's order, again piece by piece, by its first key.
    fn sort_parts(&mut self, view: &Prepared, parts: &Path, path: &Path) -> Result<u64> {
        let table = "unsorted_rows";
        self.engine.register_files(table, &[parts.to_path_buf()], &[])?;
        let keys = view.guarded.order_by.iter().map(|key| {
            let direction = if key.is_descending { "DESC" } else { "ASC" };
            let nulls = if key.is_nulls_first { "FIRST" } else { "LAST" };
            format!("{} {direction} NULLS {nulls}", key.column)
        });
        let sql = format!("SELECT * FROM {table} ORDER BY {}", keys.collect::<Vec<_>>().join(", "));
        let mut pieces = Vec::new();
        if let Some(key) = view.guarded.order_by.first() {
            let columns = self.engine.columns(table)?;
            let is_text = columns
                .iter()
                .any(|column| column.name == key.column && column.cell_type == super::table::CellType::Text);
            if is_text {
                let counts = self.text_counts(table, &key.column)?;
                // In descending order the pieces come from the end, so what stands first must be cut off last.
                let nulls_first = key.is_nulls_first != key.is_descending;
                let limit = self.settings.piece_rows.max(1);
                pieces = cut_texts(&key.column, counts, limit, nulls_first)
                    .into_iter()
                    .map(|condition| {
                        vec![Part { table: table.to_owned(), files: Vec::new(), condition: Some(condition) }]
                    })
                    .collect();
                if key.is_descending {
                    pieces.reverse();
                }
            }
        }
        let lists = BTreeSet::new();
        let rows = self.engine.write_parquet(&Statement { query: &view.id, sql: &sql, lists: &lists }, &pieces, path);
        self.engine.forget(table);
        rows
    }

    /// The findings of one rule or review.
    ///
    /// # Errors
    /// When the engine fails or the findings contract is broken.
    pub fn findings(&mut self, kind: QueryKind, rule: &Prepared) -> Result<Vec<Finding>> {
        let whole = self.table_in_pieces(rule)?;
        findings::from_table(&rule.id, kind, &rule.header, &whole, &rule.guarded.lists)
    }

    /// True when a query that may be cut gives the rows of `whole` also when it is cut, as finely as its rows allow or
    /// into some [`MOST_CUTS`] pieces.
    ///
    /// # Errors
    /// When the engine fails.
    pub(super) fn gives_the_same_when_cut(
        &mut self,
        query: &LibraryQuery,
        prepared: &Prepared,
        whole: &Table,
    ) -> std::result::Result<bool, Vec<Error>> {
        let one = |error: Error| vec![error];
        let smallest = (self.event_count / MOST_CUTS).max(1);
        let piece_rows = std::mem::replace(&mut self.settings.piece_rows, smallest);
        let same = if query.kind.gives_findings() {
            let uncut = findings::from_table(&query.id, query.kind, &query.header, whole, &prepared.guarded.lists);
            let cut = self.findings(query.kind, prepared);
            uncut.and_then(|uncut| cut.map(|cut| cut == uncut)).map_err(one)
        } else {
            let folder = ScratchFolder::create(self.settings.scratch.as_deref()).map_err(one)?;
            let path = folder.path().join("cut.parquet");
            let written = self.write_view(prepared, &path).and_then(|rows| {
                self.engine.register_files("cut_rows", std::slice::from_ref(&path), &[])?;
                let cut = if rows > 0 { self.own("SELECT * FROM cut_rows")?.rows } else { Vec::new() };
                self.engine.forget("cut_rows");
                Ok(cut == whole.rows)
            });
            written.map_err(one)
        };
        self.settings.piece_rows = piece_rows;
        same
    }

    /// The findings of all rules of the given kinds, in their final order, and the faults of the rules that could not be
    /// run: one rule must not take the others with it. The views must have been built.
    pub fn all_findings(
        &mut self,
        library: &Library,
        kinds: &[QueryKind],
        mut progress: impl FnMut(&str),
    ) -> (Vec<Finding>, Vec<Error>) {
        let mut all = Vec::new();
        let mut faults = Vec::new();
        for rule in library.queries().into_iter().filter(|query| kinds.contains(&query.kind)) {
            progress(&rule.id);
            let prepared = self.prepare(&rule.id, &rule.sql, &rule.header);
            match prepared.and_then(|prepared| self.findings(rule.kind, &prepared).map_err(|error| vec![error])) {
                Ok(found) => all.extend(found),
                Err(more) => faults.extend(more),
            }
        }
        findings::sort(&mut all);
        (all, faults)
    }
}

/// True when a key of an order is a text column, ascending, NULL last: the order of pieces that are cut by it.
fn is_by_text(key: &OrderKey, column: &str) -> bool {
    key.column == column && !key.is_descending && !key.is_nulls_first
}

fn statement(query: &Prepared) -> Statement<'_> {
    Statement { query: &query.id, sql: &query.guarded.sql, lists: &query.guarded.lists }
}

pub(super) fn integer(cell: Option<&Cell<'_>>) -> Option<u64> {
    match cell {
        Some(Cell::Integer(value)) => u64::try_from(*value).ok(),
        _ => None,
    }
}

fn event_files(folder: &Path) -> Result<Vec<EventFile>> {
    let mut files = Vec::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in folders(folder)? {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let day = name.strip_prefix("date=").and_then(day_of);
        files.extend(parquet_files(&entry)?.into_iter().map(|path| EventFile { day, path }));
    }
    files.sort();
    Ok(files)
}

fn day_of(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    days_from_civil(year, month, day)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::file(folder, "list the case's tables", error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let is_table = |path: &PathBuf| path.is_file() && path.extension().is_some_and(|extension| extension == "parquet");
    Ok(entries(folder)?.into_iter().filter(is_table).collect())
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A table that is not there, as a table without rows.
fn no_rows(columns: &[Column]) -> TableSource {
    let columns = columns.iter().map(|column| {
        let kind = match column.kind {
            Kind::Text => "STRING",
            Kind::Boolean => "BOOLEAN",
            Kind::Integer => "BIGINT",
            Kind::Timestamp => "TIMESTAMP",
            Kind::Date => "DATE",
        };
        format!("CAST(NULL AS {kind}) AS {}", column.name)
    });
    TableSource::Select(format!("SELECT {} WHERE FALSE", columns.collect::<Vec<_>>().join(", ")))
}

fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn sql_value(value: &ParamValue) -> String {
    match value {
        ParamValue::Integer(value) => format!("CAST({value} AS BIGINT)"),
        ParamValue::Decimal(value) => format!("CAST({value} AS DOUBLE)"),
        ParamValue::Text(value) => sql_text(value),
    }
}

#[cfg(test)]
mod tests;
