//! A large Parquet file as several smaller ones, for readers that map whole files into memory.
//!
//! In: a Parquet file. Out: files with its row groups, in its order; their bytes are copied and not decoded. Whoever maps
//! one after the other has little of the table in memory at a time; what the kernel has read of a mapped file counts as
//! the process's memory until it lets go of the file.

use crate::error::{Error, Result};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cuts the table at `path` into files of about `most` bytes in `folder`, which must be there and empty; gives their paths.
/// A row group stays whole, so a file may be larger than that.
///
/// # Errors
/// When the table cannot be read or a file cannot be written.
pub fn split(path: &Path, most: u64, folder: &Path) -> Result<Vec<PathBuf>> {
    let source = File::open(path).map_err(|error| Error::file(path, "open the table", error))?;
    let read = ParquetMetaDataReader::new().parse_and_finish(&source);
    let metadata = read.map_err(|error| Error::table(path, "read the table", error))?;
    let mut parts = Vec::new();
    for groups in cuts(&metadata, most) {
        let part = folder.join(format!("{}.parquet", parts.len()));
        copy(&source, &metadata, groups, &part)
            .map_err(|error| Error::table(&part, "copy a part of the table", error))?;
        parts.push(part);
    }
    Ok(parts)
}

/// The row groups of each part.
fn cuts(metadata: &ParquetMetaData, most: u64) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let size = u64::try_from(group.compressed_size()).unwrap_or(0);
        if number > start && bytes + size > most {
            cuts.push(start..number);
            (start, bytes) = (number, 0);
        }
        bytes += size;
    }
    cuts.push(start..metadata.num_row_groups());
    cuts
}

fn copy(source: &File, metadata: &ParquetMetaData, groups: Range<usize>, part: &Path) -> Result<(), ParquetError> {
    let file = metadata.file_metadata();
    let properties = WriterProperties::builder().set_key_value_metadata(file.key_value_metadata().cloned()).build();
    let out = BufWriter::with_capacity(1 << 17, File::create(part)?);
    let mut writer = SerializedFileWriter::new(out, file.schema_descr().root_schema_ptr(), Arc::new(properties))?;
    for group in metadata.row_groups().get(groups).unwrap_or_default() {
        let mut written = writer.next_row_group()?;
        for facts in columns(group) {
            written.append_column(source, facts)?;
        }
        written.close()?;
    }
    writer.close()?;
    Ok(())
}

/// What a writer must know of each column chunk to take over its bytes.
fn columns(group: &RowGroupMetaData) -> impl Iterator<Item = ColumnCloseResult> {
    group.columns().iter().map(|column| ColumnCloseResult {
        bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
        rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
        metadata: column.clone(),
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, Kind};
    use crate::table::columns::arrow_schema;
    use crate::table::file::{Encoder, TableFile};
    use arrow_array::{Int64Array, RecordBatch, StringArray};
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    const COLUMNS: [Column; 2] = [
        Column { group: "", name: "number", kind: Kind::Integer, doc: "" },
        Column { group: "", name: "text", kind: Kind::Text, doc: "" },
    ];

    /// A table of three row groups of two rows, one value of which is NULL.
    fn table(path: &Path) {
        let schema = arrow_schema(&COLUMNS);
        let mut file = TableFile::create(path, &schema).unwrap();
        let encoder = Encoder::new(schema.clone()).unwrap();
        for first in [0, 2, 4] {
            let texts = StringArray::from(vec![Some(format!("text {first}")), None]);
            let numbers = Int64Array::from(vec![first, first + 1]);
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(numbers), Arc::new(texts)]).unwrap();
            file.append(encoder.encode(&batch).unwrap()).unwrap();
        }
        file.finish().unwrap();
    }

    fn rows(path: &Path) -> Vec<(i64, Option<String>)> {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let row = |row: parquet::record::Row| (row.get_long(0).unwrap(), row.get_string(1).ok().cloned());
        reader.get_row_iter(None).unwrap().map(|found| row(found.unwrap())).collect()
    }

    #[test]
    fn the_parts_have_all_rows_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        table(&path);
        let whole = rows(&path);
        assert_eq!(whole.len(), 6);
        for (most, files) in [(0, 3), (1, 3), (1 << 20, 1)] {
            let place = tempfile::tempdir().unwrap();
            let parts = split(&path, most, place.path()).unwrap();
            assert_eq!(parts.len(), files, "{most}");
            let all: Vec<_> = parts.iter().flat_map(|part| rows(part)).collect();
            assert_eq!(all, whole, "{most}");
        }
    }

    #[test]
    fn a_table_without_rows_is_one_part_and_what_is_no_table_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        TableFile::create(&path, &arrow_schema(&COLUMNS)).unwrap().finish().unwrap();
        let parts = split(&path, 1, folder.path()).unwrap();
        assert_eq!(parts.iter().map(|part| rows(part).len()).collect::<Vec<_>>(), [0]);
        std::fs::write(&path, "no table").unwrap();
        let error = split(&path, 1, folder.path()).unwrap_err().to_string();
        assert!(error.contains("table.parquet") && error.contains("read the table"), "{error}");
    }
}
