//! A query's result: named, typed columns and rows.
//!
//! Results that a person reads or that become findings are small; what is large (views) never takes this form but goes
//! from the engine to Parquet.

use super::params::{Param, ParamValue};
use crate::output::Cell;
use crate::time::format_timestamp;

/// The type of a result column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellType {
    /// Only NULLs: a bare `NULL` in the statement.
    Null,
    /// UTF-8 text.
    Text,
    /// True or false.
    Boolean,
    /// Signed 64-bit integer.
    Integer,
    /// Floating point.
    Float,
    /// Microseconds since 1970-01-01 UTC.
    Timestamp,
    /// Days since 1970-01-01 UTC.
    Date,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub cell_type: CellType,
}

/// The rows of a result, in the statement's order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<ResultColumn>,
    /// The rows; each has one cell per column.
    pub rows: Vec<Vec<Cell<'static>>>,
}

impl Table {
    /// The index of the column `name`.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The rows, to be read by the names of their columns.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.rows.iter().map(|cells| Row { table: self, cells })
    }

    /// The first row.
    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// The one-row table `params`. Without parameters it has one column, `nothing`, because engines need one.
    pub fn of_params(params: &[Param]) -> Table {
        let mut table = Table { columns: Vec::new(), rows: vec![Vec::new()] };
        let mut push = |name: &str, cell_type, cell| {
            table.columns.push(ResultColumn { name: name.to_owned(), cell_type });
            if let Some(row) = table.rows.first_mut() {
                row.push(cell);
            }
        };
        for Param { name, value } in params {
            match value {
                ParamValue::Integer(value) => push(name, CellType::Integer, Cell::Integer(*value)),
                ParamValue::Decimal(value) => push(name, CellType::Float, Cell::Float(*value)),
                ParamValue::Text(value) => push(name, CellType::Text, Cell::Text(value.clone().into())),
            }
        }
        if params.is_empty() {
            push("nothing", CellType::Null, Cell::Null);
        }
        table
    }

    /// A one-column table of texts, such as `home_accounts`.
    pub fn of_texts(column: &str, texts: &[String]) -> Table {
        Table {
            columns: vec![ResultColumn { name: column.to_owned(), cell_type: CellType::Text }],
            rows: texts.iter().map(|text| vec![Cell::Text(text.clone().into())]).collect(),
        }
    }
}

/// A row that is read by the names of its columns. What is absent, or of another type, reads as something harmless: tables of
/// older cases lack columns.
#[derive(Clone, Copy, Debug)]
pub struct Row<'t> {
    table: &'t Table,
    cells: &'t [Cell<'static>],
}

impl<'t> Row<'t> {
    /// The value of a column; NULL when there is no such column.
    pub fn cell(&self, column: &str) -> &'t Cell<'static> {
        self.table.index(column).and_then(|place| self.cells.get(place)).unwrap_or(&Cell::Null)
    }

    /// A text exactly as it stands in the case; empty for NULL.
    pub fn text(&self, column: &str) -> &'t str {
        if let Cell::Text(text) = self.cell(column) { text } else { "" }
    }

    /// A number; 0 for NULL.
    pub fn number(&self, column: &str) -> i64 {
        if let Cell::Integer(number) = self.cell(column) { *number } else { 0 }
    }

    /// A count; 0 for NULL.
    pub fn count(&self, column: &str) -> u64 {
        u64::try_from(self.number(column)).unwrap_or(0)
    }

    /// True or false; `None` for NULL.
    pub fn flag(&self, column: &str) -> Option<bool> {
        if let Cell::Boolean(flag) = self.cell(column) { Some(*flag) } else { None }
    }

    /// True when the column is, and not when it is NULL.
    pub fn is(&self, column: &str) -> bool {
        self.flag(column) == Some(true)
    }

    /// Microseconds since 1970-01-01 UTC.
    pub fn micros(&self, column: &str) -> Option<i64> {
        if let Cell::Timestamp(micros) = self.cell(column) { Some(*micros) } else { None }
    }

    /// A time as RFC 3339; empty for NULL.
    pub fn time(&self, column: &str) -> String {
        self.micros(column).map(format_timestamp).unwrap_or_default()
    }
}
