//! What an interrupted run leaves for the next one.
//!
//! In: while a run reads, each worker's finished files and the sorted runs that hold all of their rows. Out: a journal beside
//! the runs, one line per checkpoint; and, when the same job is started again, the inputs that need not be read again. A
//! checkpoint holds whole files only, so a file is either read again or not at all. A line counts only when every run it
//! names is complete and every file it names is unchanged (same path, same SHA-256): otherwise its files are read again.

use super::file::{InputRow, InputStatus};
use super::texts::TextFacts;
use crate::error::{Error, Result};
use crate::integrity::StoredObservation;
use crate::table::sort::{Run, Spill};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// The journal's name in the folder of the runs.
const JOURNAL: &str = "journal";

/// One line of the journal.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    runs: Vec<StoredRun>,
    inputs: Vec<StoredInput>,
    recipients: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredRun {
    file: String,
    rows: u64,
    bytes: u64,
}

/// An [`InputRow`] as a line of JSON holds it.
#[derive(Debug, Serialize, Deserialize)]
struct StoredInput {
    path: String,
    sha256: Option<[u8; 32]>,
    /// Size, inflated size, records, KMS rows, other rows, filtered records, skipped bytes, problems.
    counts: [u64; 8],
    status: String,
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    observation: Option<StoredObservation>,
    texts: Vec<TextFacts>,
}

impl From<&InputRow> for StoredInput {
    fn from(input: &InputRow) -> StoredInput {
        StoredInput {
            path: input.path.clone(),
            sha256: input.sha256,
            counts: [
                input.size,
                input.inflated,
                input.records,
                input.kms,
                input.adjacent,
                input.filtered,
                input.bytes_skipped,
                input.problem_count,
            ],
            status: input.status.as_str().to_owned(),
            problem: input.problem.clone(),
            observation: input.observation.as_ref().and_then(|observation| StoredObservation::new(observation)),
            texts: input.texts.clone(),
        }
    }
}

impl StoredInput {
    /// Rows in the runs.
    fn row_count(&self) -> u64 {
        let [_, _, _, kms, adjacent, ..] = self.counts;
        kms + adjacent
    }

    fn into_row(self) -> Option<InputRow> {
        let [size, inflated, records, kms, adjacent, filtered, bytes_skipped, problem_count] = self.counts;
        Some(InputRow {
            status: InputStatus::parse(&self.status)?,
            path: self.path,
            sha256: self.sha256,
            size,
            inflated,
            records,
            kms,
            adjacent,
            filtered,
            bytes_skipped,
            problem_count,
            problem: self.problem,
            observation: self.observation.map(|stored| Box::new(stored.observation())),
            texts: self.texts,
        })
    }
}

/// Where one worker writes its checkpoints.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens the journal in the folder of the runs. Lines of several workers stand in one file: each is appended at once.
    pub(super) fn open(spill: &Spill) -> Result<Journal> {
        let path = spill.folder().join(JOURNAL);
        let fail = |error| Error::file(&path, "open the journal of the run", error);
        std::fs::create_dir_all(spill.folder()).map_err(fail)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(fail)?;
        Ok(Journal { path, file })
    }

    /// Appends a checkpoint: `runs` hold all rows of `inputs` and no others.
    pub(super) fn append(&mut self, runs: &[Run], inputs: &[InputRow], recipients: &BTreeSet<String>) -> Result<()> {
        let runs = runs.iter().map(|run| {
            let (file, rows, bytes) = run.facts();
            StoredRun { file, rows, bytes }
        });
        let entry = Entry {
            runs: runs.collect(),
            inputs: inputs.iter().map(StoredInput::from).collect(),
            recipients: recipients.clone(),
        };
        let fail = |error: std::io::Error| Error::file(&self.path, "write the journal of the run", error);
        let mut line = serde_json::to_vec(&entry).map_err(|error| fail(error.into()))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(fail)
    }
}

/// What an earlier, interrupted run had done already.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Inputs by path: their rows are in `runs`.
    pub inputs: HashMap<String, InputRow>,
    /// The runs.
    pub runs: Vec<Run>,
    /// The accounts that received the records.
    pub recipients: BTreeSet<String>,
}

/// Reads the journal of an interrupted run in the folder of `spill`. `is_unchanged` is asked for each file with its hash;
/// checkpoints that cannot be used any more are left out, and their runs removed.
///
/// # Errors
/// When the folder cannot be read. A journal that was cut is no error: what is missing is read again.
pub fn resume(spill: &Spill, is_unchanged: impl Fn(&str, &[u8; 32]) -> bool) -> Result<Resumed> {
    let path = spill.folder().join(JOURNAL);
    let mut resumed = Resumed::default();
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(resumed),
        Err(error) => return Err(Error::file(&path, "read the journal of the interrupted run", error)),
    };
    let mut kept = BTreeSet::new();
    for line in BufReader::new(file).lines() {
        // A line that is cut or not readable is the end of what was kept.
        let Ok(entry) = line.map_err(serde_json::Error::io).and_then(|line| serde_json::from_str::<Entry>(&line))
        else {
            break;
        };
        if let Some((rows, runs)) = usable(spill.folder(), entry.runs, entry.inputs, &is_unchanged) {
            kept.extend(runs.iter().map(|run| run.facts().0));
            resumed.runs.extend(runs);
            resumed.inputs.extend(rows.into_iter().map(|row| (row.path.clone(), row)));
            resumed.recipients.extend(entry.recipients);
        }
    }
    spill.remove_all_but(&kept)?;
    Ok(resumed)
}

/// The inputs and runs of a checkpoint when all of them can still be used.
fn usable(
    folder: &Path,
    runs: Vec<StoredRun>,
    inputs: Vec<StoredInput>,
    is_unchanged: &impl Fn(&str, &[u8; 32]) -> bool,
) -> Option<(Vec<InputRow>, Vec<Run>)> {
    let mut found = Vec::with_capacity(runs.len());
    for run in runs {
        let is_name = run.file.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let path = folder.join(&run.file);
        if !is_name || !std::fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() == run.bytes) {
            return None;
        }
        found.push(Run::kept(path, run.rows, run.bytes));
    }
    let mut rows = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input.sha256 {
            Some(hash) if is_unchanged(&input.path, &hash) => rows.push(input.into_row()?),
            Some(_) => return None,
            // What could not be read to its end is tried again. Rows of its beginning must not count twice.
            None if input.row_count() > 0 => return None,
            None => {}
        }
    }
    Some((rows, found))
}
