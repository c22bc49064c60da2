//! Tables as rows of cells: findings into Parquet, and any table of a case into CSV or NDJSON.
//!
//! In: cells with their columns, or a Parquet file. Out: Parquet, or text. Batch by batch, so that a large table costs no
//! memory.

use crate::case::existing::read_table;
use crate::error::{Error, Result};
use crate::output::{Cell, csv, ndjson};
use crate::schema::{Column, Kind};
use crate::table::columns::arrow_schema;
use crate::table::file::{Encoder, ROW_GROUP, TableFile};
use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Date32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder, make_builder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The text forms a table can be exported in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// CSV with a header line, formulas defused.
    Csv,
    /// One JSON object a line.
    NdJson,
}

impl TextForm {
    /// The ending of its files.
    pub fn ending(self) -> &'static str {
        match self {
            TextForm::Csv => "csv",
            TextForm::NdJson => "ndjson",
        }
    }

    /// Appends what stands before the rows: the header line of CSV, nothing for NDJSON.
    pub fn write_header(self, names: &[&str], out: &mut Vec<u8>) {
        if self == TextForm::Csv {
            csv::write_header(names.iter().copied(), out);
        }
    }

    /// Appends one row as one line.
    pub fn write_row<'c>(self, names: &[&str], cells: impl IntoIterator<Item = Cell<'c>>, out: &mut Vec<u8>) {
        match self {
            TextForm::Csv => csv::write_row(cells, out),
            TextForm::NdJson => {
                let mut line = String::new();
                ndjson::write_object(names, cells, &mut line);
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
        }
    }
}

fn append(builder: &mut dyn ArrayBuilder, kind: Kind, cell: Option<&Cell<'_>>) {
    let any = builder.as_any_mut();
    match kind {
        Kind::Text => any.downcast_mut::<StringBuilder>().map(|builder| {
            builder.append_option(cell.filter(|cell| **cell != Cell::Null).map(|cell| cell.to_text()));
        }),
        Kind::Boolean => any.downcast_mut::<BooleanBuilder>().map(|builder| {
            builder.append_option(if let Some(Cell::Boolean(value)) = cell { Some(*value) } else { None });
        }),
        Kind::Integer => any.downcast_mut::<Int64Builder>().map(|builder| {
            builder.append_option(if let Some(Cell::Integer(value)) = cell { Some(*value) } else { None });
        }),
        Kind::Timestamp => any.downcast_mut::<TimestampMicrosecondBuilder>().map(|builder| {
            builder.append_option(if let Some(Cell::Timestamp(value)) = cell { Some(*value) } else { None });
        }),
        Kind::Date => any.downcast_mut::<Date32Builder>().map(|builder| {
            builder.append_option(if let Some(Cell::Date(value)) = cell { Some(*value) } else { None });
        }),
    };
}

/// A Parquet file that rows of cells are written to, one by one.
pub struct CellTable {
    path: PathBuf,
    columns: Vec<Column>,
    schema: Arc<arrow_schema::Schema>,
    encoder: Encoder,
    file: TableFile,
    builders: Vec<Box<dyn ArrayBuilder>>,
    waiting: usize,
}

impl CellTable {
    /// Creates the file with exactly `columns`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path, columns: &[Column]) -> Result<CellTable> {
        let schema = arrow_schema(columns);
        let encoder = Encoder::new(schema.clone())?;
        let file = TableFile::create(path, &schema)?;
        let builders = new_builders(&schema);
        Ok(CellTable { path: path.to_owned(), columns: columns.to_vec(), schema, encoder, file, builders, waiting: 0 })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, row: &[Cell<'_>]) -> Result<()> {
        for (i, (builder, column)) in self.builders.iter_mut().zip(&self.columns).enumerate() {
            append(builder.as_mut(), column.kind, row.get(i));
        }
        self.waiting += 1;
        if self.waiting == ROW_GROUP { self.flush() } else { Ok(()) }
    }

    /// Appends rows that another table with the same columns has. Row groups are filled as if the rows had come one by one,
    /// so that the file does not depend on how the other one was written.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        let arrays: Vec<_> = self.columns.iter().map(|column| batch.column_by_name(column.name)).collect();
        for row in 0..batch.num_rows() {
            let cells = arrays.iter().map(|array| array.map_or(Cell::Null, |array| cell(array.as_ref(), row)));
            self.push(&cells.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let builders = std::mem::replace(&mut self.builders, new_builders(&self.schema));
        let arrays = builders.into_iter().map(|mut builder| builder.finish()).collect();
        self.waiting = 0;
        let batch = RecordBatch::try_new(self.schema.clone(), arrays)
            .map_err(|error| Error::table(&self.path, "build columns", error))?;
        self.file.append(self.encoder.encode(&batch)?)
    }

    /// Writes what waits, and the footer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.file.finish()
    }
}

fn new_builders(schema: &arrow_schema::Schema) -> Vec<Box<dyn ArrayBuilder>> {
    schema.fields().iter().map(|field| make_builder(field.data_type(), 0)).collect()
}

/// Writes rows of cells as a Parquet file with exactly `columns`.
///
/// # Errors
/// When the file cannot be written.
pub fn write_parquet<'c>(path: &Path, columns: &[Column], rows: impl IntoIterator<Item = Vec<Cell<'c>>>) -> Result<()> {
    let mut table = CellTable::create(path, columns)?;
    rows.into_iter().try_for_each(|row| table.push(&row))?;
    table.finish()
}

/// The value at `row` of any column that a table of a case can have.
fn cell(array: &dyn Array, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Null;
    }
    match array.data_type() {
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row).into()),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row).into()),
        DataType::Boolean => Cell::Boolean(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Integer(array.as_primitive::<Int8Type>().value(row).into()),
        DataType::Int16 => Cell::Integer(array.as_primitive::<Int16Type>().value(row).into()),
        DataType::Int32 => Cell::Integer(array.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Integer(array.as_primitive::<Int64Type>().value(row)),
        DataType::UInt32 => Cell::Integer(array.as_primitive::<UInt32Type>().value(row).into()),
        DataType::UInt64 => {
            Cell::Integer(i64::try_from(array.as_primitive::<UInt64Type>().value(row)).unwrap_or(i64::MAX))
        }
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Date32 => Cell::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Cell::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        other => Cell::Text(format!("({other})").into()),
    }
}

/// Appends Parquet files of one table, in order, to `out` as text.
///
/// # Errors
/// When a file cannot be read, or the text cannot be written.
fn export_into(tables: &[std::path::PathBuf], form: TextForm, out: &mut impl Write, path: &Path) -> Result<()> {
    let fail = |error| Error::file(path, "write the table", error);
    let mut has_header = false;
    for table in tables {
        read_table(table, |batch| {
            let schema = batch.schema();
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            let mut text = Vec::new();
            if !std::mem::replace(&mut has_header, true) {
                form.write_header(&names, &mut text);
            }
            for row in 0..batch.num_rows() {
                form.write_row(&names, batch.columns().iter().map(|array| cell(array.as_ref(), row)), &mut text);
            }
            out.write_all(&text).map_err(fail)
        })?;
    }
    out.flush().map_err(fail)
}

/// Writes Parquet files of one table, in order, as one text file.
///
/// # Errors
/// When a file cannot be read, or the text cannot be written.
pub fn export(tables: &[std::path::PathBuf], form: TextForm, path: &Path) -> Result<()> {
    let file = File::create(path).map_err(|error| Error::file(path, "create the table", error))?;
    export_into(tables, form, &mut BufWriter::with_capacity(1 << 18, file), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_survive_parquet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        const fn column(name: &'static str, kind: Kind) -> Column {
            Column { group: "t", name, kind, doc: "" }
        }
        static COLUMNS: [Column; 4] = [
            column("a", Kind::Text),
            column("b", Kind::Timestamp),
            column("c", Kind::Integer),
            column("d", Kind::Boolean),
        ];
        let rows = vec![
            vec![Cell::Text("=1".into()), Cell::Timestamp(0), Cell::Integer(-1), Cell::Boolean(true)],
            vec![Cell::Null, Cell::Null, Cell::Null, Cell::Null],
        ];
        write_parquet(&path, &COLUMNS, rows).unwrap();
        let out = folder.path().join("t.csv");
        export(&[path], TextForm::Csv, &out).unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "a,b,c,d\n\"'=1\",1970-01-01T00:00:00Z,-1,true\n,,,\n");
    }

    #[test]
    fn a_table_without_rows_is_a_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.parquet");
        write_parquet(&path, &[Column { group: "t", name: "a", kind: Kind::Text, doc: "" }], Vec::new()).unwrap();
        assert_eq!(crate::case::existing::row_count(&path).unwrap(), 0);
    }
}
