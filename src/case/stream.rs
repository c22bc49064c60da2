//! The events table as an Arrow IPC stream.
//!
//! In: sources. Out: record batches in the order of the inputs, as soon as they are made. Not sorted and not deduplicated:
//! the reader sees one part of many and does both over all of them. The schema comes first, also for no rows; the end of the
//! stream is written only on success, so that a cut stream is noticed.

use crate::discover::Source;
use crate::error::{Error, Result};
use crate::pipeline::file::FileWorker;
use crate::pipeline::{Config, InputRow, RowBuffer, chunks, ordered};
use crate::read::Reader;
use crate::table::columns::{EVENTS_SCHEMA, EventsBuilder, PIECE_BYTES};
use arrow_array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use std::io::Write;
use std::path::Path;

/// Rows in one batch at most.
const BATCH: usize = 8 << 10;

struct Worker {
    reader: Reader,
    files: FileWorker,
    buffer: RowBuffer<'static>,
    builder: EventsBuilder,
}

impl Worker {
    fn batches(&mut self) -> Result<Vec<RecordBatch>> {
        let fail = |error| Error::table(Path::new("Arrow stream"), "build columns", error);
        let mut batches = Vec::new();
        let mut bytes = 0;
        for row in self.buffer.rows.iter() {
            self.builder.push(&row);
            bytes += row.size();
            if self.builder.len() == BATCH || bytes >= PIECE_BYTES {
                batches.push(self.builder.finish().map_err(fail)?);
                bytes = 0;
            }
        }
        if !self.builder.is_empty() {
            batches.push(self.builder.finish().map_err(fail)?);
        }
        self.buffer.rows.clear();
        Ok(batches)
    }
}

/// Writes the stream to `out` and returns the number of rows. `each` is told of every input, in order.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_arrow_stream(
    sources: &[Source],
    config: &Config,
    out: impl Write,
    mut each: impl FnMut(&InputRow),
) -> Result<u64> {
    let place = Path::new("Arrow stream");
    // A reader that went away is recognised by its kind, so the error must stay an I/O error.
    let fail = |error: arrow_schema::ArrowError| match error {
        arrow_schema::ArrowError::IoError(_, error) => Error::file(place, "write", error),
        error => Error::table(place, "write", error),
    };
    let mut writer = StreamWriter::try_new(out, &EVENTS_SCHEMA).map_err(fail)?;
    let mut rows = 0;
    let new_worker = || Worker {
        reader: Reader::new(config.limits),
        files: FileWorker::new(config.max_record, &config.filter),
        buffer: RowBuffer::default(),
        builder: EventsBuilder::default(),
    };
    let work = |worker: &mut Worker, chunk: &[Source]| {
        let Worker { reader, files, buffer, .. } = worker;
        let inputs: Vec<InputRow> = chunk.iter().map(|source| files.read(reader, source, buffer)).collect();
        Ok((inputs, worker.batches()?))
    };
    let consume = |(inputs, batches): (Vec<InputRow>, Vec<RecordBatch>)| {
        inputs.iter().for_each(&mut each);
        for batch in batches {
            rows += batch.num_rows() as u64;
            writer.write(&batch).map_err(fail)?;
        }
        Ok(())
    };
    ordered(config.jobs, new_worker, work, consume, |submit| chunks(sources).try_for_each(submit))?;
    writer.finish().map_err(fail)?;
    Ok(rows)
}
