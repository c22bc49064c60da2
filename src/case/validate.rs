//! Digests judged while a case is built.
//!
//! In: what was observed of each file, from this run and from the case being extended. Out: the tables `integrity`,
//! `integrity_findings`, `integrity_chains`, and `integrity_digests` with the digests' texts, so that a later run can judge
//! all files of the case again. Without digests, or with `--no-verify`, the tables are there and have no rows.

use crate::case::cells::write_parquet;
use crate::case::existing;
use crate::case::inputs::StoredInput;
use crate::discover::{Filters, Source, parse_key};
use crate::error::{Error, Result};
use crate::integrity::judgement::Tally;
use crate::integrity::table::{
    CHAIN_COLUMNS, DIGEST_COLUMNS, FILE_COLUMNS, FINDING_COLUMNS, TABLES, chain_cells, file_rows, finding_cells,
};
use crate::integrity::{
    Evidence, Finding, Names, Observation, PublicKeys, Settings, Signatures, StoredObservation, Trial, judge,
};
use crate::output::Cell;
use crate::pipeline::verify::check_signatures;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What digests are checked with.
#[derive(Debug, Default)]
pub struct Validation {
    /// Public keys.
    pub keys: PublicKeys,
    /// Signatures from metadata.
    pub signatures: Signatures,
    /// The bucket, if the analyst says so.
    pub bucket: Option<String>,
    /// Logs that these leave out are not missing.
    pub filters: Filters,
}

/// What the judgement comes to.
#[derive(Debug, Default)]
pub struct Validated {
    /// Chains of digests.
    pub chains: u64,
    /// Logs by verdict.
    pub logs: Tally,
    /// Digests by verdict.
    pub digests: Tally,
    /// Listed logs that are not here.
    pub missing_logs: u64,
    /// Listed logs that the filters left out.
    pub left_out: u64,
    /// Something is not as CloudTrail delivered it.
    pub has_tampering: bool,
    /// The worst findings, at most ten.
    pub worst: Vec<Finding>,
    /// Rows of the tables.
    pub rows: [(&'static str, u64); 4],
}

/// Findings that are handed on for the summary.
const WORST: usize = 10;

/// Files of the case being extended, then the sources of this run.
struct CaseNames<'n> {
    old: &'n [String],
    sources: &'n [Source],
}

impl Names for CaseNames<'_> {
    fn path(&self, file: u32) -> String {
        let file = file as usize;
        match self.old.get(file) {
            Some(old) => old.clone(),
            None => self.source(file).map(|source| source.path().to_string_lossy().into_owned()).unwrap_or_default(),
        }
    }

    fn shown(&self, file: u32) -> String {
        let file = file as usize;
        match self.old.get(file) {
            Some(old) => old.clone(),
            None => self.source(file).map(Source::name).unwrap_or_default(),
        }
    }
}

impl CaseNames<'_> {
    fn source(&self, file: usize) -> Option<&Source> {
        self.sources.get(file.checked_sub(self.old.len())?)
    }
}

/// Collects observations while files are read.
pub(super) struct Collector {
    evidence: Evidence,
    /// Names of the files of the case being extended.
    old: Vec<String>,
    next: usize,
    /// Digests' texts wait in a file.
    waiting: PathBuf,
    file: BufWriter<File>,
}

impl Collector {
    /// Begins with the files of the case being extended, except those that are read again under the same name.
    pub(super) fn new(
        waiting: PathBuf,
        old: &[StoredInput],
        extended: Option<&Path>,
        sources: &[Source],
    ) -> Result<Collector> {
        let file =
            File::create(&waiting).map_err(|error| Error::file(&waiting, "create the list of digests", error))?;
        let file = BufWriter::new(file);
        let mut collector = Collector { evidence: Evidence::default(), old: Vec::new(), next: 0, waiting, file };
        let Some(case) = extended else { return Ok(collector) };
        let mut digests = existing::digests(case)?;
        let fresh: HashSet<String> = sources.iter().map(Source::name).collect();
        for input in old.iter().filter(|input| !fresh.contains(&input.path)) {
            let stored = input.observation.clone().map(|mut stored| {
                stored.digest = digests.remove(&input.path);
                stored
            });
            let observation = stored.map(StoredObservation::observation).unwrap_or_default();
            collector.add(&input.path, &input.path, observation)?;
            collector.old.push(input.path.clone());
        }
        Ok(collector)
    }

    /// Adds the next source of this run.
    pub(super) fn next(&mut self, sources: &[Source], observation: Option<Box<Observation>>) -> Result<()> {
        let Some(source) = sources.get(self.next) else { return Ok(()) };
        self.next += 1;
        let observation = observation.map(|observation| *observation).unwrap_or_default();
        self.add(&source.path().to_string_lossy(), &source.name(), observation)
    }

    fn add(&mut self, path: &str, shown: &str, observation: Observation) -> Result<()> {
        if let Some(text) = &observation.text {
            let fail = |error: std::io::Error| Error::file(&self.waiting, "write the list of digests", error);
            serde_json::to_writer(&mut self.file, &(shown, text)).map_err(|error| fail(error.into()))?;
            self.file.write_all(b"\n").map_err(fail)?;
        }
        self.evidence.add(path, observation);
        Ok(())
    }

    /// Judges everything and writes the tables into `folder`.
    pub(super) fn finish(
        mut self,
        sources: &[Source],
        validation: &Validation,
        jobs: usize,
        folder: &Path,
    ) -> Result<Validated> {
        let digest_rows = self.write_digests(folder)?;
        let names = CaseNames { old: &self.old, sources };
        let filters = &validation.filters;
        let is_left_out = |key: &str| parse_key(key).is_some_and(|key| filters.prune(&key).is_some());
        let settings = Settings { bucket: validation.bucket.as_deref(), is_left_out: Some(&is_left_out) };
        let trial = Trial::new(&self.evidence, &validation.keys, &validation.signatures, &names, &settings);
        let judgement = judge(&trial, &check_signatures(&trial, jobs)?);
        let mut files = 0;
        let rows = file_rows(&trial, &judgement).inspect(|_| files += 1);
        write_parquet(&folder.join("integrity.parquet"), &FILE_COLUMNS, rows)?;
        let findings = judgement.findings.iter().map(finding_cells);
        write_parquet(&folder.join("integrity_findings.parquet"), &FINDING_COLUMNS, findings)?;
        let chains = judgement.chains.iter().map(chain_cells);
        write_parquet(&folder.join("integrity_chains.parquet"), &CHAIN_COLUMNS, chains)?;
        Ok(Validated {
            chains: judgement.chains.len() as u64,
            logs: judgement.logs,
            digests: judgement.digests,
            missing_logs: judgement.missing_logs,
            left_out: judgement.left_out,
            has_tampering: judgement.has_tampering(),
            worst: judgement.findings.iter().take(WORST).cloned().collect(),
            rows: [
                ("integrity", files),
                ("integrity_findings", judgement.findings.len() as u64),
                ("integrity_chains", judgement.chains.len() as u64),
                ("integrity_digests", digest_rows),
            ],
        })
    }

    /// The texts of the digests, as a table.
    fn write_digests(&mut self, folder: &Path) -> Result<u64> {
        let fail = |error| Error::file(&self.waiting, "read the list of digests", error);
        self.file.flush().map_err(fail)?;
        let lines = BufReader::new(File::open(&self.waiting).map_err(fail)?).lines();
        let (mut count, mut failed) = (0, None);
        let rows = lines.map_while(|line| {
            let pair = line.and_then(|line| Ok(serde_json::from_str::<(String, String)>(&line)?));
            match pair {
                Ok((path, text)) => {
                    count += 1;
                    Some(vec![Cell::Text(path.into()), Cell::Text(text.into())])
                }
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        write_parquet(&folder.join("integrity_digests.parquet"), &DIGEST_COLUMNS, rows)?;
        failed.map_or(Ok(count), |error| Err(fail(error)))
    }
}

/// The tables without rows; the digests of the case being extended are kept for a later run.
pub(super) fn write_nothing(folder: &Path, extended: Option<&Path>) -> Result<()> {
    for (name, columns) in TABLES {
        let path = folder.join(format!("{name}.parquet"));
        let old = extended.map(|case| case.join("tables/integrity_digests.parquet"));
        match old.filter(|old| name == "integrity_digests" && old.is_file()) {
            Some(old) => {
                std::fs::copy(&old, &path)
                    .map_err(|error| Error::file(&old, "copy a table of the case being extended", error))?;
            }
            None => write_parquet(&path, columns, [])?,
        }
    }
    Ok(())
}
