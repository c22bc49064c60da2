//! Rows of keytrail's tables as frames of Polars, and back.
//!
//! In: a schema, rows, or a batch of a result. Out: the same in the other's types. Times are microseconds without a zone, and every
//! integer is 64 bit and signed, on both sides.

use super::table::{CellType, ResultColumn, Table};
use crate::error::{Error, Result};
use crate::output::Cell;
use crate::schema::{Column as SchemaColumn, Kind};
use polars::prelude::*;

/// The columns of a table of the case as Polars has them.
pub(super) fn schema_of(columns: &[SchemaColumn]) -> Schema {
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

/// The columns of a result in keytrail's types.
pub(super) fn result_columns(schema: &Schema) -> Vec<ResultColumn> {
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

/// Rows as Polars has them.
///
/// # Errors
/// When a cell is not of its column's type.
pub(super) fn frame_of(table: &Table) -> PolarsResult<DataFrame> {
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

/// Rows of a result, as cells. `query` is its id, for messages.
///
/// # Errors
/// When a column has a type that no column of keytrail's has.
pub(super) fn rows_of(query: &str, batch: &DataFrame) -> Result<Vec<Vec<Cell<'static>>>> {
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
