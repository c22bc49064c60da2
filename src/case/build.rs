//! From sources to the tables of a case.
//!
//! In: sources, a configuration, a new folder and, when a case is extended, the old one. Out: `events/`, child tables and
//! `inputs.parquet` in the folder, and the counts. Views and findings come later: they are SQL over these tables.

use crate::case::custody::hash_file;
use crate::case::events::{ChildTables, Merged, day_of, write_hive};
use crate::case::existing;
use crate::case::folder::{NewFolder, SPILL};
use crate::case::inputs::{StoredInput, WaitingInputs};
use crate::case::log_files::LogFiles;
use crate::case::scope::{self, Scope};
use crate::case::validate::{Collector, Validated, Validation, write_nothing};
use crate::discover::{Filters, Source, discover};
use crate::error::{Error, Result};
use crate::integrity::{StoredObservation, hex};
use crate::pipeline::checkpoint::{Resumed, resume};
use crate::pipeline::filter::RecordFilter;
use crate::pipeline::{Config, Extraction, InputRow, Job, RowBuffer, Totals, extract, ordered};
use crate::read::Limits;
use crate::scan::MAX_RECORD;
use crate::table::sort::Spill;
use arrow_array::RecordBatch;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// What building left behind.
#[derive(Debug, Default)]
pub struct Built {
    /// Counts of this run's files.
    pub totals: Totals,
    /// What the merge saw; for an extended case, of the days that were touched.
    pub merged: Merged,
    /// Accounts that received records, in this run.
    pub recipients: BTreeSet<String>,
    /// Files with a problem, path and description, at most [`crate::case::manifest::LISTED`].
    pub problems: Vec<(String, String)>,
    /// Files that the case being extended has already.
    pub already_known: u64,
    /// Files that an interrupted run of the same job had read.
    pub resumed: u64,
    /// Rows of all days, also untouched ones.
    pub rows_per_day: BTreeMap<i32, u64>,
    /// What the digests say about the files; `None` when nothing was validated.
    pub validated: Option<Validated>,
    /// Event ids that stand for more than one record, sorted, at most [`crate::case::manifest::LISTED`].
    pub conflicts: Vec<String>,
}

/// Splits off the sources that the old case has read already: same path, same SHA-256.
fn split_known(sources: Vec<Source>, old: &[StoredInput], jobs: usize) -> Result<(Vec<Source>, u64)> {
    let known: HashMap<&str, HashSet<&str>> = old.iter().fold(HashMap::new(), |mut known, input| {
        if let Some(hash) = &input.sha256 {
            known.entry(input.path.as_str()).or_insert_with(HashSet::new).insert(hash);
        }
        known
    });
    let mut fresh = Vec::new();
    let mut skipped = 0;
    let work = |(): &mut (), source: Source| {
        let same = known.get(source.name().as_str()).is_some_and(|hashes| {
            // A file that cannot be read here is handed on: reading it then reports why.
            hash_file(&source.path()).is_ok_and(|(hash, _)| hashes.contains(hash.as_str()))
        });
        Ok((source, same))
    };
    let consume = |(source, same)| {
        if same {
            skipped += 1;
        } else {
            fresh.push(source);
        }
        Ok(())
    };
    ordered(jobs, || (), work, consume, |submit| sources.into_iter().try_for_each(submit))?;
    Ok((fresh, skipped))
}

/// Days on which the extraction has rows.
fn days_of(extraction: &Extraction) -> Result<HashSet<i32>> {
    let mut days: HashSet<i32> =
        extraction.rows.iter().flat_map(|rows| rows.iter().map(|row| day_of(row.event_time()))).collect();
    for run in &extraction.runs {
        run.for_each_time(|time| {
            days.insert(day_of(time));
        })?;
    }
    Ok(days)
}

/// Copies a part file; a hard link when the file system can, because a finished table never changes.
fn keep_part(from: &Path, to: &Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to).map_err(|error| Error::file(from, "copy a table of the case being extended", error))?;
    }
    Ok(())
}

/// Child rows come by day, from the merge and from the untouched days of an old case.
struct ChildrenByDay {
    tables: ChildTables,
    untouched: BTreeMap<i32, [Vec<RecordBatch>; 4]>,
}

impl ChildrenByDay {
    fn append(&mut self, day: i32, batches: [RecordBatch; 4]) -> Result<()> {
        self.flush_before(day)?;
        self.tables.append(batches)
    }

    fn flush_before(&mut self, day: i32) -> Result<()> {
        let later = self.untouched.split_off(&day);
        for lists in std::mem::replace(&mut self.untouched, later).into_values() {
            self.tables.append_lists(lists)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.flush_before(i32::MAX)?;
        self.tables.finish()
    }
}

/// Builds the tables of a case in `folder`. `config` must have texts surveyed; digests are judged when there is a `validation`,
/// and then it must have texts hashed.
///
/// `each` is told of every input on the calling thread, for progress.
///
/// # Errors
/// When something cannot be written, or the case being extended cannot be read. Trouble with inputs is in the result.
pub fn build(
    sources: Vec<Source>,
    config: &Config,
    folder: &NewFolder,
    extended: Option<&Path>,
    validation: Option<&Validation>,
    mut each: impl FnMut(&InputRow),
) -> Result<Built> {
    let scratch = folder.create_dir(SPILL)?;
    let spill = Spill::keeping(scratch.join("runs"));
    let mut built = Built::default();
    let old_inputs = extended.map(existing::inputs).transpose()?.unwrap_or_default();
    let (sources, already_known) =
        if extended.is_some() { split_known(sources, &old_inputs, config.jobs)? } else { (sources, 0) };
    built.already_known = already_known;
    let mut waiting = WaitingInputs::create(scratch.join("inputs"))?;
    for input in &old_inputs {
        waiting.push(input)?;
    }
    let tables = folder.create_dir("tables")?;
    let mut log_files = LogFiles::create(&folder.path(""), extended)?;
    let resumed = resumed(&sources, &spill)?;
    built.resumed = resumed.inputs.len() as u64;
    let mut collector = match validation {
        Some(_) => Some(Collector::new(scratch.join("digests"), &old_inputs, extended, &sources)?),
        None => None,
    };
    drop(old_inputs);
    let mut extraction = extract(&sources, config, &spill, Job { has_checkpoints: true, resumed }, |mut input| {
        each(&input);
        built.totals.add(&input);
        if let Some(problem) = &input.problem
            && built.problems.len() < crate::case::manifest::LISTED
        {
            built.problems.push((input.path.clone(), problem.clone()));
        }
        log_files.push(&input)?;
        let observation = input.observation.take();
        let mut stored = StoredInput::from(input);
        // The texts of digests have a table of their own.
        stored.observation = observation.as_deref().and_then(StoredObservation::without_digest);
        if let Some(collector) = &mut collector {
            collector.next(&sources, observation)?;
        }
        waiting.push(&stored)
    })?;
    log_files.finish()?;
    built.recipients = std::mem::take(&mut extraction.recipients);
    let events = folder.create_dir("events")?;
    match (collector, validation) {
        (Some(collector), Some(validation)) => {
            built.validated = Some(collector.finish(&sources, validation, config.jobs, &tables)?);
        }
        _ => write_nothing(&tables, extended)?,
    }
    drop(sources);
    let mut children = ChildrenByDay { tables: ChildTables::create(&tables)?, untouched: BTreeMap::new() };
    if let Some(old) = extended {
        let days = days_of(&extraction)?;
        let mut buffer = RowBuffer::bounded(config.memory / config.jobs.max(1), &spill);
        existing::rows(old, &days, &mut buffer)?;
        extraction.add(buffer);
        children.untouched = existing::untouched_children(old, &days)?;
        built.rows_per_day = keep_untouched(old, &days, &events)?;
    }
    built.merged = write_hive(extraction, &spill, config.jobs, &events, |day, batches| children.append(day, batches))?;
    children.finish()?;
    built.rows_per_day.extend(&built.merged.days);
    built.conflicts = existing::ids_of(&events, &built.merged.conflicting_ids)?;
    waiting.finish(&folder.path("inputs.parquet"), &built.merged.duplicates_by_file)?;
    Ok(built)
}

/// What an interrupted run of the same job had read, as far as the files are still the same.
fn resumed(sources: &[Source], spill: &Spill) -> Result<Resumed> {
    if !spill.folder().exists() {
        return Ok(Resumed::default());
    }
    // Files given one by one can share a name: the journal cannot tell which of them it means, so all of them are read.
    let mut places: HashMap<String, Option<&Source>> = HashMap::new();
    for source in sources {
        places.entry(source.name()).and_modify(|place| *place = None).or_insert(Some(source));
    }
    resume(spill, |path, hash| {
        let place = places.get(path).copied().flatten();
        let found = place.and_then(|source| hash_file(&source.path()).ok());
        found.is_some_and(|(found, _)| found == hex(hash))
    })
}

fn keep_untouched(old: &Path, days: &HashSet<i32>, events: &Path) -> Result<BTreeMap<i32, u64>> {
    let mut rows_per_day = BTreeMap::new();
    for (day, files) in existing::parts(old)?.into_iter().filter(|(day, _)| !days.contains(day)) {
        let target = events.join(format!("date={}", crate::time::format_date(day)));
        std::fs::create_dir_all(&target).map_err(|error| Error::file(&target, "create a partition", error))?;
        for file in files {
            if let Some(name) = file.file_name() {
                keep_part(&file, &target.join(name))?;
            }
            *rows_per_day.entry(day).or_default() += existing::row_count(&file)?;
        }
    }
    Ok(rows_per_day)
}

/// The member of a test's record that names the file it is delivered in.
const FILE: &str = "_file";

/// Makes the tables of a case in the existing folder `folder` from records: what tests of query files need. A record with a
/// member `_file` comes from a file of that name, the others from `records.json`.
///
/// # Errors
/// When something cannot be written, or part of the text was not understood.
pub fn build_from_records(records: &[Value], folder: &Path) -> Result<Merged> {
    let place = folder.join("in");
    write_files(records, &place)?;
    let spill = Spill::new(folder.join(".spill"));
    let config = Config {
        jobs: 1,
        limits: Limits::default(),
        filter: RecordFilter::default(),
        max_record: MAX_RECORD,
        memory: usize::MAX,
        validates: false,
        surveys: true,
    };
    let (events, tables) = (folder.join("events"), folder.join("tables"));
    for path in [&events, &tables] {
        std::fs::create_dir_all(path).map_err(|error| Error::file(path, "create a folder", error))?;
    }
    let sources = discover(std::slice::from_ref(&place), None, &Filters::default())?.sources;
    let mut waiting = WaitingInputs::create(folder.join("waiting"))?;
    let mut log_files = LogFiles::create(folder, None)?;
    let mut problem = None;
    let extraction = extract(&sources, &config, &spill, Job::default(), |input| {
        problem = problem.take().or_else(|| input.problem.clone());
        log_files.push(&input)?;
        waiting.push(&input.into())
    })?;
    if let Some(problem) = problem {
        return Err(Error::Usage(problem));
    }
    log_files.finish()?;
    scope::write(folder, None, &Scope::default())?;
    let mut children = ChildTables::create(&tables)?;
    let merged = write_hive(extraction, &spill, 1, &events, |_, batches| children.append(batches))?;
    children.finish()?;
    waiting.finish(&folder.join("inputs.parquet"), &merged.duplicates_by_file)?;
    std::fs::remove_dir_all(&place).map_err(|error| Error::file(&place, "remove the records", error))?;
    Ok(merged)
}

/// Writes the records into the files they come from.
fn write_files(records: &[Value], folder: &Path) -> Result<()> {
    let mut files: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in records {
        let mut record = record.clone();
        let name = record.as_object_mut().and_then(|members| members.remove(FILE));
        let name = name.as_ref().and_then(Value::as_str).unwrap_or("records.json").to_owned();
        files.entry(name).or_default().push(record);
    }
    for (name, records) in files {
        let path = folder.join(&name);
        let text = serde_json::json!({ "Records": records }).to_string();
        path.parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&path, text))
            .map_err(|error| Error::file(&path, "write the records", error))?;
    }
    Ok(())
}
