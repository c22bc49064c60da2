//! Statements of a command's own.
//!
//! In: a session and a statement. Out: a table, to be read by the names of its columns. A table that an older case does not
//! have is no error here: what it would tell is left out.

use super::library::faults;
use anyhow::Result;
use keytrail::query::header::parse_optional;
use keytrail::query::run::Session;
use keytrail::query::table::Table;

/// Runs a statement of the command's own; a header may name its parameters.
///
/// # Errors
/// When the guard refuses it or it cannot be run.
pub(crate) fn ask(session: &mut Session, name: &str, sql: &str) -> Result<Table> {
    let header = parse_optional(name, sql).map_err(faults)?;
    let query = session.prepare(name, sql, &header).map_err(faults)?;
    Ok(session.table(&query)?)
}

/// The same when the case has all of `tables`, else no rows.
///
/// # Errors
/// When the guard refuses the statement or it cannot be run.
pub(crate) fn ask_if(session: &mut Session, tables: &[&str], sql: &str) -> Result<Table> {
    if !tables.iter().all(|table| session.has_table(table)) {
        return Ok(Table::default());
    }
    ask(session, tables.first().copied().unwrap_or("case"), sql)
}
