//! `inputs.parquet`: one row per input file.
//!
//! In: [`InputRow`]s in source order, while the extraction runs. Out: the table, written when the merge has told how many
//! records of each file were repeated deliveries. Until then rows wait in a file, so that a million inputs cost no memory.

use crate::case::events::hash_file;
use crate::discover::{S3Key, parse_key};
use crate::error::{Error, Result};
use crate::integrity::{StoredObservation, hex};
use crate::pipeline::InputRow;
use crate::schema::{Column, Kind};
use crate::table::columns::arrow_schema;
use crate::table::file::{Encoder, ROW_GROUP, TableFile};
use crate::time::MICROS;
use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

macro_rules! input_columns {
    ($(($name:ident, $kind:ident, $doc:literal),)*) => {
        /// The columns of `inputs`.
        pub const INPUT_COLUMNS: &[Column] =
            &[$(Column { group: "inputs", name: stringify!($name), kind: Kind::$kind, doc: $doc },)*];
    };
}
input_columns!(
    (path, Text, "Path relative to the input root."),
    (sha256, Text, "SHA-256 of the file as stored, hex; NULL when it could not be read."),
    (size, Integer, "Bytes as stored."),
    (inflated_size, Integer, "Bytes after inflation."),
    (records, Integer, "Records found."),
    (kept, Integer, "Records that became rows of `events`, without repeated deliveries."),
    (duplicates, Integer, "Relevant records that another file, or this one, had delivered before."),
    (filtered, Integer, "Relevant records that the filters left out."),
    (bytes_skipped, Integer, "Bytes in stretches that are no records."),
    (account, Text, "Account in the file's name, a hint."),
    (region, Text, "Region in the file's name, a hint."),
    (delivery_epoch, Integer, "Delivery time in the file's name, seconds since 1970-01-01 UTC, a hint."),
    (status, Text, "ok, partial, unreadable, unrecognized or set_apart (digests, Insights, aggregated events)."),
    (problem, Text, "What was not understood, with its place; NULL when all was."),
    (
        content_sha256,
        Text,
        "SHA-256 of the inflated text, which CloudTrail's digests state, hex; NULL when there were no digests to compare it with."
    ),
    (
        content_notes,
        Text,
        "JSON: how the text was packed (form) and its first and last eventTime; NULL like `content_sha256`."
    ),
);

/// One waiting row, and one row read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredInput {
    /// See [`INPUT_COLUMNS`]; `kept` still contains repeated deliveries.
    pub path: String,
    /// SHA-256, hex.
    pub sha256: Option<String>,
    /// Bytes as stored.
    pub size: u64,
    /// Bytes after inflation.
    pub inflated_size: u64,
    /// Records found.
    pub records: u64,
    /// Rows, before deduplication.
    pub kept: u64,
    /// Repeated deliveries known already (from the case being extended).
    pub duplicates: u64,
    /// Left out by filters.
    pub filtered: u64,
    /// Bytes in skipped stretches.
    pub bytes_skipped: u64,
    /// How it fared.
    pub status: String,
    /// What was not understood.
    pub problem: Option<String>,
    /// What digests are compared with; the texts of digests stand in `integrity_digests`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub observation: Option<StoredObservation>,
}

impl From<InputRow> for StoredInput {
    fn from(input: InputRow) -> StoredInput {
        StoredInput {
            path: input.path,
            sha256: input.sha256.map(|hash| hex(&hash)),
            size: input.size,
            inflated_size: input.inflated,
            records: input.records,
            kept: input.kms + input.adjacent,
            duplicates: 0,
            filtered: input.filtered,
            bytes_skipped: input.bytes_skipped,
            status: input.status.as_str().to_owned(),
            problem: input.problem,
            observation: input.observation.as_ref().and_then(|observation| StoredObservation::new(observation)),
        }
    }
}

/// The rows that wait for the merge.
#[derive(Debug)]
pub struct WaitingInputs {
    path: PathBuf,
    file: BufWriter<File>,
}

impl WaitingInputs {
    /// Rows wait in the file `path`.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: PathBuf) -> Result<WaitingInputs> {
        let file = File::create(&path).map_err(|error| Error::file(&path, "create the list of inputs", error))?;
        Ok(WaitingInputs { path, file: BufWriter::new(file) })
    }

    /// Adds one row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, input: &StoredInput) -> Result<()> {
        let fail = |error: std::io::Error| Error::file(&self.path, "write the list of inputs", error);
        serde_json::to_writer(&mut self.file, input).map_err(|error| fail(error.into()))?;
        self.file.write_all(b"\n").map_err(fail)
    }

    /// Writes the table and removes the waiting rows.
    ///
    /// # Errors
    /// When the table cannot be written.
    pub fn finish(mut self, table: &Path, duplicates_by_file: &HashMap<u64, u64>) -> Result<()> {
        let fail = |error: std::io::Error| Error::file(&self.path, "read the list of inputs", error);
        self.file.flush().map_err(fail)?;
        let schema = arrow_schema(INPUT_COLUMNS);
        let encoder = Encoder::new(schema.clone())?;
        let mut file = TableFile::create(table, &schema)?;
        let mut builder = InputsBuilder::default();
        for line in BufReader::new(File::open(&self.path).map_err(fail)?).lines() {
            let input: StoredInput = serde_json::from_str(&line.map_err(fail)?).map_err(|error| fail(error.into()))?;
            let repeated = duplicates_by_file.get(&hash_file(&input.path)).copied().unwrap_or(0);
            builder.push(&input, repeated);
            if builder.rows == ROW_GROUP {
                file.append(encoder.encode(&builder.finish(&schema)?)?)?;
            }
        }
        file.append(encoder.encode(&builder.finish(&schema)?)?)?;
        file.finish()?;
        std::fs::remove_file(&self.path).map_err(fail)
    }
}

#[derive(Default)]
struct InputsBuilder {
    rows: usize,
    texts: [StringBuilder; 8],
    numbers: [Int64Builder; 7],
    delivery: Int64Builder,
}

impl InputsBuilder {
    fn push(&mut self, input: &StoredInput, repeated: u64) {
        self.rows += 1;
        let key: Option<S3Key<'_>> = parse_key(&input.path);
        let notes = input.observation.clone().map(|mut observation| {
            (observation.sha256, observation.digest) = (None, None);
            serde_json::to_string(&observation).unwrap_or_default()
        });
        let texts = [
            Some(input.path.as_str()),
            input.sha256.as_deref(),
            key.as_ref().and_then(|key| key.account),
            key.as_ref().and_then(|key| key.region),
            Some(&input.status),
            input.problem.as_deref(),
            input.observation.as_ref().and_then(|observation| observation.sha256.as_deref()),
            notes.as_deref(),
        ];
        let numbers = [
            input.size,
            input.inflated_size,
            input.records,
            input.kept.saturating_sub(repeated),
            input.duplicates + repeated,
            input.filtered,
            input.bytes_skipped,
        ];
        let file = key.as_ref().and_then(|key| key.file);
        self.delivery.append_option(file.map(|file| file.delivery.div_euclid(MICROS)));
        for (builder, text) in self.texts.iter_mut().zip(texts) {
            builder.append_option(text);
        }
        for (builder, number) in self.numbers.iter_mut().zip(numbers) {
            builder.append_value(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }

    fn finish(&mut self, schema: &Arc<arrow_schema::Schema>) -> Result<RecordBatch> {
        self.rows = 0;
        let [path, sha256, account, region, status, problem, content_sha256, content_notes] =
            self.texts.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let [size, inflated, records, kept, duplicates, filtered, skipped] =
            self.numbers.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let columns = vec![
            path,
            sha256,
            size,
            inflated,
            records,
            kept,
            duplicates,
            filtered,
            skipped,
            account,
            region,
            Arc::new(self.delivery.finish()),
            status,
            problem,
            content_sha256,
            content_notes,
        ];
        RecordBatch::try_new(schema.clone(), columns)
            .map_err(|error| Error::table(Path::new("inputs"), "build columns", error))
    }
}
