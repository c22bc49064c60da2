//! Rows of a case as a command reads them: by the names of their columns.
//!
//! In: a session and a statement. Out: a table whose rows give text, numbers, times and flags, with something harmless for
//! what is absent. A table that an older case does not have is no error here: what it would tell is left out.

use super::library::faults;
use anyhow::Result;
use keytrail::output::Cell;
use keytrail::query::header::parse_optional;
use keytrail::query::run::Session;
use keytrail::query::table::Table;
use keytrail::time::format_timestamp;

/// Runs a statement of the command's own; a header may name its parameters.
///
/// # Errors
/// When the guard refuses it or it cannot be run.
pub(crate) fn ask(session: &mut Session, name: &str, sql: &str) -> Result<Rows> {
    let header = parse_optional(name, sql).map_err(faults)?;
    let query = session.prepare(name, sql, &header).map_err(faults)?;
    Ok(Rows(session.table(&query)?))
}

/// The same when the case has all of `tables`, else no rows.
///
/// # Errors
/// When the guard refuses the statement or it cannot be run.
pub(crate) fn ask_if(session: &mut Session, tables: &[&str], sql: &str) -> Result<Rows> {
    if !tables.iter().all(|table| session.has_table(table)) {
        return Ok(Rows(Table::default()));
    }
    ask(session, tables.first().copied().unwrap_or("case"), sql)
}

/// A result, row by row.
#[derive(Debug, Default)]
pub(crate) struct Rows(pub(crate) Table);

impl Rows {
    /// The rows, in their order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.0.rows.iter().map(|cells| Row { table: &self.0, cells })
    }

    /// The first row.
    pub(crate) fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'t> {
    table: &'t Table,
    cells: &'t [Cell<'static>],
}

impl<'t> Row<'t> {
    /// The value of a column; NULL when there is no such column.
    pub(crate) fn cell(&self, column: &str) -> &'t Cell<'static> {
        self.table.index(column).and_then(|place| self.cells.get(place)).unwrap_or(&Cell::Null)
    }

    /// A text; empty for NULL.
    pub(crate) fn text(&self, column: &str) -> &'t str {
        if let Cell::Text(text) = self.cell(column) { text } else { "" }
    }

    /// A number; 0 for NULL.
    pub(crate) fn number(&self, column: &str) -> i64 {
        if let Cell::Integer(number) = self.cell(column) { *number } else { 0 }
    }

    /// A count; 0 for NULL.
    pub(crate) fn count(&self, column: &str) -> u64 {
        u64::try_from(self.number(column)).unwrap_or(0)
    }

    /// True when the column is.
    pub(crate) fn is(&self, column: &str) -> bool {
        *self.cell(column) == Cell::Boolean(true)
    }

    /// Microseconds since 1970-01-01 UTC.
    pub(crate) fn micros(&self, column: &str) -> Option<i64> {
        if let Cell::Timestamp(micros) = self.cell(column) { Some(*micros) } else { None }
    }

    /// A time as RFC 3339; empty for NULL.
    pub(crate) fn time(&self, column: &str) -> String {
        self.micros(column).map(format_timestamp).unwrap_or_default()
    }
}
