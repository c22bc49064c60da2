//! Checking query files: everything about all of them, in one report.
//!
//! In: a library and something that loads records as a case. Out: a [`CheckReport`] with every fault of every file: the
//! guard, the tables a query says it reads and those it names, its columns, its order, its test. A query must give nothing
//! and no error on empty tables, because most cases have no event of most kinds. The tests' cases can be kept, with what
//! another engine needs to compute the same rows. Queries are checked side by side, and reported in the order of the library.

use super::findings::{self, FINDING_COLUMNS, Finding, OwnValue};
use super::guard::{self, Guarded, OrderKey, Tables};
use super::header::QueryKind;
use super::incidents::INCIDENT_COLUMNS;
use super::library::{IMPLIED_TABLES, Library, LibraryQuery};
use super::params::Overrides;
use super::run::{Session, Settings};
use super::scorecard::REVIEW_COLUMNS;
use super::stack::with_large_stack;
use super::table::Table;
use super::testfile::{self, Expected, TestFile};
use crate::case::FACT_TABLES;
use crate::case::cells::write_parquet;
use crate::error::{Error, Result};
use crate::integrity::table::TABLES;
use crate::output::{Cell, ndjson};
use crate::pipeline::ordered;
use crate::schema::Column;
use crate::table::columns::CHILD_TABLES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Differing rows that are shown per test file.
const MAX_ROWS_SHOWN: usize = 10;

/// Writes records as a case (`events/date=*/*.parquet`, `tables/*.parquet`) into an existing, empty folder, through the
/// same scanning and normalizing as `analyze`.
pub type LoadRecords<'l> = &'l (dyn Fn(&[Value], &Path) -> Result<()> + Sync);

/// What to do when a test's rows are not those expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Report the difference.
    Compare,
    /// Write the rows into the test file.
    Rewrite,
}

impl Expect {
    /// `UPDATE_EXPECT=1` rewrites.
    pub fn from_environment() -> Expect {
        match std::env::var_os("UPDATE_EXPECT") {
            Some(value) if value == "1" => Expect::Rewrite,
            _ => Expect::Compare,
        }
    }
}

/// What a check does beside checking.
#[derive(Clone, Copy, Debug)]
pub struct Options<'o> {
    /// What to do when a test's rows are not those expected.
    pub expect: Expect,
    /// Where each test leaves its case, in a folder named like the query: the events, the tables and views that the query
    /// reads, `explain.txt` with the statement as other engines run it, and `rows.ndjson` with its rows. Nowhere when `None`.
    pub keep: Option<&'o Path>,
    /// Queries that are checked at the same time.
    pub jobs: usize,
}

/// The outcome of a check.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Queries that were checked.
    pub queries: usize,
    /// Test files that were run.
    pub tests: usize,
    /// Every fault.
    pub faults: Vec<Error>,
    /// Test files that were rewritten.
    pub rewritten: Vec<PathBuf>,
}

impl CheckReport {
    /// Adds what was found in other queries.
    fn add(&mut self, other: CheckReport) {
        let CheckReport { queries, tests, faults, rewritten } = other;
        self.queries += queries;
        self.tests += tests;
        self.faults.extend(faults);
        self.rewritten.extend(rewritten);
    }
}

/// Checks a folder of query files, or of them those in `only` unless that is empty. They may read the views of the built-in
/// library.
pub fn check_folder(folder: &Path, only: &[String], load: LoadRecords<'_>, options: Options<'_>) -> CheckReport {
    let own = match Library::from_folder(folder) {
        Ok(own) => own,
        Err(faults) => return CheckReport { faults, ..CheckReport::default() },
    };
    let ids: BTreeSet<String> = own.queries().into_iter().map(|query| query.id.clone()).collect();
    let mut library = Library::built_in().unwrap_or_default();
    library.extend(own);
    check_library(&library, &selected(ids, only), load, options)
}

/// The ids in `only`, or all when that is empty. An id that there is not stays, so that a mistyped one checks nothing.
pub fn selected(ids: BTreeSet<String>, only: &[String]) -> BTreeSet<String> {
    if only.is_empty() { ids } else { only.iter().cloned().collect() }
}

/// Checks the queries `ids` of a library.
pub fn check_library(
    library: &Library,
    ids: &BTreeSet<String>,
    load: LoadRecords<'_>,
    options: Options<'_>,
) -> CheckReport {
    let tables = tables_of(library);
    let new_check = || Check { library, load, options, tables: &tables, report: CheckReport::default() };
    let mut check = new_check();
    for id in ids.iter().filter(|id| library.get(id).is_none()) {
        check.complain(id, 0, "there is no such query".to_owned());
    }
    let empty = check.empty_case(ids);
    let mut report = check.report;
    let new_session = || empty.as_ref().map(|folder| Session::open(folder.path(), Settings::default()));
    let work = |empty: &mut Option<Result<Session>>, query: &LibraryQuery| {
        let mut check = new_check();
        if let Err(error) = with_large_stack(|| check.query(query, empty.as_mut())) {
            check.complain(&query.path, 0, format!("no thread for the SQL engine: {error}"));
        }
        Ok(check.report)
    };
    let consume = |one: CheckReport| {
        report.add(one);
        Ok(())
    };
    let mut wanted = library.queries().into_iter().filter(|query| ids.contains(&query.id));
    let checked = ordered(options.jobs, new_session, work, consume, |submit| wanted.try_for_each(submit));
    report.faults.extend(checked.err());
    report
}

/// What a finished case has besides: the results of rules and reviews, which these therefore cannot read.
const RESULTS: [(&str, &[Column]); 3] =
    [("findings", &FINDING_COLUMNS), ("incidents", &INCIDENT_COLUMNS), ("reviews", &REVIEW_COLUMNS)];

/// The tables that every finished case has.
fn own_tables() -> impl Iterator<Item = &'static str> {
    let children = CHILD_TABLES.iter().chain(&TABLES).chain(&FACT_TABLES).map(|(name, _)| *name);
    children.chain(["events", "inputs"]).chain(RESULTS.iter().map(|(name, _)| *name))
}

/// The tables a finished case has, with the library's views: those that `query` knows.
fn tables_of(library: &Library) -> Tables {
    let own: Vec<&str> = own_tables().collect();
    Tables::new(own.into_iter().chain(library.of_kind(QueryKind::View).map(|view| view.id.as_str())))
}

/// Puts the results of a case without findings into its folder.
fn add_results(case: &Path) -> Result<()> {
    RESULTS.iter().try_for_each(|(name, columns)| write_parquet(&case.join(format!("{name}.parquet")), columns, []))
}

struct Check<'c> {
    library: &'c Library,
    load: LoadRecords<'c>,
    options: Options<'c>,
    tables: &'c Tables,
    report: CheckReport,
}

impl Check<'_> {
    fn complain(&mut self, file: &str, line: u64, message: String) {
        self.report.faults.push(Error::Query { query: file.to_owned(), line, message });
    }

    /// All about one query. `empty` is a case without events, if it could be made.
    fn query(&mut self, query: &LibraryQuery, empty: Option<&mut Result<Session>>) {
        self.report.queries += 1;
        let Some(guarded) = self.statement(query) else { return };
        match empty {
            Some(Ok(session)) => self.on_empty_tables(query, session),
            Some(Err(error)) => self.complain(&query.path, 0, format!("not run on empty tables: {error}")),
            None => {}
        }
        self.test(query, &guarded);
    }

    /// What can be said from the text alone.
    fn statement(&mut self, query: &LibraryQuery) -> Option<Guarded> {
        let guarded = match guard::guard(&query.path, &query.sql, self.tables) {
            Ok(guarded) => guarded,
            Err(faults) => {
                self.report.faults.extend(faults);
                return None;
            }
        };
        let named: BTreeSet<&str> = guarded.tables.iter().map(String::as_str).collect();
        let read: BTreeSet<&str> = query.header.reads.iter().map(String::as_str).collect();
        for table in named.difference(&read).filter(|table| !IMPLIED_TABLES.contains(table)) {
            self.complain(&query.path, 1, format!("it names the table `{table}`, which `reads:` does not list"));
        }
        for table in read.difference(&named) {
            self.complain(&query.path, 1, format!("`reads:` lists `{table}`, which it does not name"));
        }
        if named.contains("params") == query.header.params.is_empty() {
            self.complain(&query.path, 1, "`params:` and the use of the table params go together".to_owned());
        }
        if guarded.order_by.is_empty() {
            self.complain(&query.path, 1, "it has no final ORDER BY: end it in a unique column".to_owned());
        }
        let is_before_results = query.kind == QueryKind::View || query.kind.gives_findings();
        for (table, _) in RESULTS.iter().filter(|(table, _)| is_before_results && named.contains(table)) {
            let message = format!("it reads `{table}`, which is made from what views, rules and reviews give");
            self.complain(&query.path, 1, message);
        }
        if query.kind == QueryKind::View {
            if own_tables().any(|table| table == query.id) {
                self.complain(&query.path, 0, format!("a case has a table `{}`: choose another file name", query.id));
            }
            let documented: Vec<&str> = query.header.columns.iter().map(|column| column.name.as_str()).collect();
            if documented != guarded.columns {
                let message = format!(
                    "the `column:` lines are {} and the columns {}",
                    documented.join(", "),
                    guarded.columns.join(", ")
                );
                self.complain(&query.path, 1, message);
            }
        }
        Some(guarded)
    }

    /// A case without events, with the views that the queries are or need.
    fn empty_case(&mut self, ids: &BTreeSet<String>) -> Option<ScratchFolder> {
        let made = ScratchFolder::create().and_then(|folder| {
            add_results(folder.path())?;
            let place = folder.path().join("tables");
            std::fs::create_dir_all(&place)
                .map_err(|error| Error::file(&place, "create a folder for the test", error))?;
            let session = Session::open(folder.path(), Settings::default())?;
            Ok((session, folder, place))
        });
        // Views are put where sessions find them.
        let (mut session, folder, place) = match made {
            Ok(made) => made,
            Err(error) => {
                self.report.faults.push(error);
                return None;
            }
        };
        let checked = self.library.queries().into_iter().filter(|query| ids.contains(&query.id));
        let tables: Vec<&str> = checked
            .flat_map(|query| query.header.reads.iter().map(String::as_str).chain([query.id.as_str()]))
            .collect();
        let views = match self.library.views_for(tables) {
            Ok(views) => views,
            Err(error) => {
                self.report.faults.push(error);
                return None;
            }
        };
        for view in views {
            match session.build_views(&[view], &place, |_| {}) {
                (built, faults) if faults.is_empty() => {
                    if built.iter().any(|view| view.rows > 0) {
                        self.complain(&view.path, 0, "it gives rows on empty tables".to_owned());
                    }
                }
                (_, faults) => self.report.faults.extend(faults),
            }
        }
        Some(folder)
    }

    fn on_empty_tables(&mut self, query: &LibraryQuery, session: &mut Session) {
        let result = session.prepare(&query.path, &query.sql, &query.header).and_then(|prepared| {
            let table = session.table(&prepared).map_err(|error| vec![error])?;
            Ok((table, prepared))
        });
        match result {
            Ok((table, _)) => {
                if !table.rows.is_empty() {
                    self.complain(&query.path, 0, format!("it gives {} rows on empty tables", table.rows.len()));
                }
                if query.kind.gives_findings() {
                    for fault in findings::contract_faults(query.kind, &table) {
                        self.complain(&query.path, 0, fault);
                    }
                }
            }
            Err(faults) => self.report.faults.extend(faults),
        }
    }

    fn test(&mut self, query: &LibraryQuery, guarded: &Guarded) {
        let name = query.path.replace(".sql", ".test");
        let Some(text) = &query.test else {
            if query.kind.gives_findings() {
                self.complain(&query.path, 0, "it has no .test file beside it".to_owned());
            }
            return;
        };
        self.report.tests += 1;
        let file = match testfile::parse(&name, text) {
            Ok(file) => file,
            Err(faults) => {
                self.report.faults.extend(faults);
                return;
            }
        };
        if query.kind.gives_findings() {
            for (is_hit, kind) in [(true, "`+`: a record that must be found"), (false, "`-`: a near miss")] {
                if !file.blocks.iter().any(|block| block.is_hit == is_hit) {
                    self.complain(&name, 0, format!("there is no {kind}"));
                }
            }
        }
        if let Err(faults) = self.run(query, guarded, &name, text, &file) {
            self.report.faults.extend(faults);
        }
    }

    fn run(
        &mut self,
        query: &LibraryQuery,
        guarded: &Guarded,
        name: &str,
        text: &str,
        file: &TestFile,
    ) -> std::result::Result<(), Vec<Error>> {
        let one = |error: Error| vec![error];
        let case = match self.options.keep {
            Some(folder) => ScratchFolder::kept(folder, &query.id),
            None => ScratchFolder::create(),
        };
        let case = case.map_err(one)?;
        (self.load)(&file.records, case.path()).map_err(one)?;
        add_results(case.path()).map_err(one)?;
        let settings = Settings {
            home_accounts: file.home_accounts.clone(),
            overrides: Overrides::default().with(&file.params),
            ..Settings::default()
        };
        let mut session = Session::open(case.path(), settings).map_err(one)?;
        let views = self.library.views_for(guarded.tables.iter().map(String::as_str)).map_err(one)?;
        let (_, faults) = session.build_views(&views, case.path(), |_| {});
        if !faults.is_empty() {
            return Err(faults);
        }
        let prepared = session.prepare(&query.id, &query.sql, &query.header)?;
        let table = session.table(&prepared).map_err(one)?;
        if self.options.keep.is_some() {
            write_result(case.path(), &session.explain(&prepared), &table).map_err(one)?;
        }
        self.total_order(&query.path, &table, &guarded.order_by);
        if query.header.partition.is_some() && !session.gives_the_same_when_cut(query, &prepared, &table)? {
            let message = "its rows depend on where it is cut: `partition:` promises that they do not".to_owned();
            self.complain(&query.path, 0, message);
        }
        let given = if query.kind.gives_findings() {
            let found =
                findings::from_table(&query.id, query.kind, &query.header, &table, &guarded.lists).map_err(one)?;
            let hits: Vec<&Finding> = found.iter().filter(|finding| finding.is_hit(query.kind)).collect();
            self.blocks(name, file, &hits);
            Given::Findings(found)
        } else {
            Given::Rows(table)
        };
        self.expected(query, name, text, file, &given).map_err(one)
    }

    /// Each `+` block is found, and no record of a `-` block is. For a review to be found is to fail.
    fn blocks(&mut self, name: &str, file: &TestFile, found: &[&Finding]) {
        let ids: BTreeSet<&str> = found.iter().flat_map(|finding| &finding.event_ids).map(String::as_str).collect();
        for block in &file.blocks {
            let hits: Vec<&str> = block.event_ids.iter().map(String::as_str).filter(|id| ids.contains(id)).collect();
            if block.is_hit && hits.is_empty() {
                self.complain(name, block.line, format!("not found: {}", block.reason));
            }
            if !block.is_hit && !hits.is_empty() {
                let shown: Vec<_> = hits.iter().take(MAX_ROWS_SHOWN).copied().collect();
                self.complain(
                    name,
                    block.line,
                    format!("found although it must not be ({}): {}", shown.join(", "), block.reason),
                );
            }
        }
        if found.iter().any(|finding| finding.summary.is_empty()) {
            self.complain(name, 0, "a finding has no summary: COALESCE what may be NULL in it".to_owned());
        }
    }

    /// Two rows that the ORDER BY does not tell apart could change places from run to run.
    fn total_order(&mut self, path: &str, table: &Table, order_by: &[OrderKey]) {
        let keys: Option<Vec<usize>> = order_by.iter().map(|key| table.index(&key.column)).collect();
        let Some(keys) = keys else { return };
        let key = |row: &[Cell<'static>]| keys.iter().map(|i| row.get(*i).cloned()).collect::<Vec<_>>();
        let has_ties = table.rows.windows(2).any(|pair| match pair {
            [a, b] => key(a) == key(b) && a != b,
            _ => false,
        });
        if has_ties {
            self.complain(
                path,
                0,
                "rows of its test are equal in all columns of the final ORDER BY: add a unique one".to_owned(),
            );
        }
    }

    fn expected(&mut self, query: &LibraryQuery, name: &str, text: &str, file: &TestFile, given: &Given) -> Result<()> {
        let default = || {
            let columns = given.default_columns();
            Expected { columns, rows: Vec::new(), line: 0 }
        };
        let expected = file.expected.clone().unwrap_or_else(default);
        let mut rows = Vec::new();
        for column in &expected.columns {
            if !given.has(column) {
                self.complain(name, expected.line, format!("the query has no column `{column}`"));
                return Ok(());
            }
        }
        for i in 0..given.len() {
            rows.push(expected.columns.iter().map(|column| given.text(i, column)).collect::<Vec<_>>());
        }
        if self.options.expect == Expect::Rewrite {
            if let Some(file) = query.file.as_ref().map(|file| file.with_extension("test")) {
                let fresh = testfile::with_expected(text, &expected.columns, &rows);
                if fresh != *text {
                    std::fs::write(&file, fresh).map_err(|error| Error::file(&file, "rewrite the test", error))?;
                    self.report.rewritten.push(file);
                }
            }
            return Ok(());
        }
        if file.expected.is_none() {
            self.complain(name, 0, "there are no expected rows after `----`: UPDATE_EXPECT=1 writes them".to_owned());
        }
        let mut got: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|text| same_number(text)).collect()).collect();
        let mut want: Vec<Vec<String>> =
            expected.rows.iter().map(|row| row.iter().map(|text| same_number(text)).collect()).collect();
        if matches!(given, Given::Findings(_)) {
            // Findings have one order for all rules, so a test need not repeat it.
            got.sort();
            want.sort();
        }
        if got != want {
            let message = difference(&want, &got);
            self.complain(name, expected.line, message);
        }
        Ok(())
    }
}

/// Writes what another engine needs to compute the rows of a kept case, and the rows to compare them with.
fn write_result(folder: &Path, explained: &str, table: &Table) -> Result<()> {
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let mut rows = String::new();
    for row in &table.rows {
        ndjson::write_object(&names, row.iter().cloned(), &mut rows);
        rows.push('\n');
    }
    for (name, text) in [("explain.txt", explained), ("rows.ndjson", rows.as_str())] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| Error::file(&path, "write the result of the test", error))?;
    }
    Ok(())
}

fn difference(want: &[Vec<String>], got: &[Vec<String>]) -> String {
    let shown = |rows: &[Vec<String>], others: &[Vec<String>]| {
        let rows = rows.iter().filter(|row| !others.contains(row)).take(MAX_ROWS_SHOWN);
        rows.map(|row| format!("\n    {}", row.join(" | "))).collect::<String>()
    };
    let (missing, surplus) = (shown(want, got), shown(got, want));
    if missing.is_empty() && surplus.is_empty() {
        return "the rows are those expected in another order or number".to_owned();
    }
    format!("the rows differ\n  expected and missing:{missing}\n  given and not expected:{surplus}")
}

/// Decimals in one spelling: `3.0` and `3.00` are one number, `003` is a text.
fn same_number(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) if text.contains('.') => {
            let rounded = (number * 1e9).round() / 1e9;
            rounded.to_string()
        }
        _ => text.to_owned(),
    }
}

/// What a query gave, in the form that is compared.
enum Given {
    Findings(Vec<Finding>),
    Rows(Table),
}

impl Given {
    fn len(&self) -> usize {
        match self {
            Given::Findings(findings) => findings.len(),
            Given::Rows(table) => table.rows.len(),
        }
    }

    fn has(&self, column: &str) -> bool {
        match self {
            Given::Findings(findings) => {
                findings::FINDING_COLUMNS.iter().any(|known| known.name == column)
                    || findings.first().is_none_or(|finding| finding.own.iter().any(|(name, _)| name == column))
            }
            Given::Rows(table) => table.index(column).is_some(),
        }
    }

    fn default_columns(&self) -> Vec<String> {
        match self {
            Given::Findings(_) => {
                ["first_time", "last_time", "severity", "key_arn", "principal", "event_count", "event_ids"]
                    .map(str::to_owned)
                    .into()
            }
            Given::Rows(table) => table.columns.iter().map(|column| column.name.clone()).collect(),
        }
    }

    /// A value as text; lists are comma lists.
    fn text(&self, row: usize, column: &str) -> String {
        match self {
            Given::Findings(findings) => {
                let Some(finding) = findings.get(row) else { return String::new() };
                if column == "event_ids" {
                    return finding.event_ids.join(",");
                }
                match finding.own.iter().find(|(name, _)| name == column) {
                    Some((_, OwnValue::List(items))) => items.join(","),
                    _ => findings::value_text(finding, column).unwrap_or_default(),
                }
            }
            Given::Rows(table) => {
                let cell = table.index(column).and_then(|i| table.rows.get(row)?.get(i));
                cell.map(|cell| cell.to_text().into_owned()).unwrap_or_default()
            }
        }
    }
}

/// A folder for one test, removed at the end unless it is kept.
struct ScratchFolder {
    path: PathBuf,
    is_kept: bool,
}

impl ScratchFolder {
    fn create() -> Result<ScratchFolder> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("keytrail-check-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).map_err(|error| Error::file(&path, "create a folder for the test", error))?;
        Ok(ScratchFolder { path, is_kept: false })
    }

    /// The folder `id` in `folder`, which must be new: nothing of the user's is replaced.
    fn kept(folder: &Path, id: &str) -> Result<ScratchFolder> {
        let path = folder.join(id);
        let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::create_dir(&path));
        made.map_err(|error| Error::file(&path, "create a folder for the test", error))?;
        Ok(ScratchFolder { path, is_kept: true })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that cannot be removed; its name says what it is.
        if !self.is_kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
