//! `manifest.json`: what was run, on what, with what result.
//!
//! In: counts and settings. Out: one JSON file that a reader needs first and a court may ask for. It names no host and no
//! user; run times stand in it and nowhere else in a case.

use crate::case::build::Built;
use crate::case::custody::hash_file;
use crate::case::validate::Validated;
use crate::discover::Counts;
use crate::error::{Error, Result};
use crate::integrity::hex;
use crate::time::format_timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// Problems and warnings listed in the manifest at most; all of them stand in `inputs.parquet`.
pub const LISTED: usize = 100;

/// Its name in a case.
pub const MANIFEST: &str = "manifest.json";

/// One file of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Path inside the case, with `/` between folders.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// One command that wrote into the case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The version of the tool.
    pub version: String,
    /// The command line, without the program's path.
    pub arguments: Vec<String>,
    /// When it began, UTC.
    pub started: String,
    /// When it ended, UTC.
    pub finished: String,
}

/// The manifest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// `keytrail`.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The command line, without the program's path.
    pub arguments: Vec<String>,
    /// When the run began and ended, UTC.
    pub started: String,
    /// When the run ended, UTC.
    pub finished: String,
    /// What was read.
    pub inputs: InputCounts,
    /// What became of the records.
    pub events: EventCounts,
    /// What digests say about the files; absent when nothing was validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<IntegrityCounts>,
    /// The accounts taken for one's own, sorted.
    pub home_accounts: Vec<String>,
    /// Rows per table.
    pub tables: BTreeMap<String, u64>,
    /// Findings per severity.
    pub findings: BTreeMap<String, u64>,
    /// What a reader must know, one sentence each.
    pub warnings: Vec<String>,
    /// Inputs with a problem, the first hundred: path and problem.
    pub problems: Vec<String>,
    /// Every command that wrote into the case, in order: the analysis, its extensions, reports.
    #[serde(default)]
    pub runs: Vec<Run>,
    /// Every file of the case but this one, in the order of the paths. The hashes of the inputs are in `inputs.parquet`, whose
    /// own is here.
    #[serde(default)]
    pub outputs: Vec<Output>,
}

/// What was read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InputCounts {
    /// Files read.
    pub files: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Bytes after inflation.
    pub inflated_bytes: u64,
    /// Files left out, by reason: by their name, or because their content holds no records.
    pub left_out: BTreeMap<String, u64>,
    /// Files skipped because the case being extended has them.
    pub already_known: u64,
    /// Files with a problem.
    pub files_with_problems: u64,
    /// Problems.
    pub problems: u64,
    /// Bytes in skipped stretches.
    pub bytes_skipped: u64,
}

/// What CloudTrail's digests say about the files of the case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityCounts {
    /// Chains of digests.
    pub chains: u64,
    /// Logs that a signed digest vouches for.
    pub logs_verified: u64,
    /// Logs that fit digests whose signatures could not be checked.
    pub logs_consistent: u64,
    /// Logs that nothing vouches for and nothing contradicts.
    pub logs_unverifiable: u64,
    /// Logs that failed.
    pub logs_failed: u64,
    /// Logs that digests list and that are not here.
    pub logs_missing: u64,
    /// Logs that digests list and that filters left out.
    pub logs_left_out: u64,
    /// Digests whose signature holds.
    pub digests_verified: u64,
    /// Digests whose signature could not be checked.
    pub digests_consistent: u64,
    /// Digests that failed.
    pub digests_failed: u64,
    /// Something is not as CloudTrail delivered it.
    pub has_tampering: bool,
}

impl From<&Validated> for IntegrityCounts {
    fn from(validated: &Validated) -> IntegrityCounts {
        let (logs, digests) = (&validated.logs, &validated.digests);
        IntegrityCounts {
            chains: validated.chains,
            logs_verified: logs.verified,
            logs_consistent: logs.consistent,
            logs_unverifiable: logs.unverifiable,
            logs_failed: logs.failed,
            logs_missing: validated.missing_logs,
            logs_left_out: validated.left_out,
            digests_verified: digests.verified,
            digests_consistent: digests.consistent,
            digests_failed: digests.failed + digests.unverifiable,
            has_tampering: validated.has_tampering,
        }
    }
}

/// What became of the records.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EventCounts {
    /// Records found.
    pub records: u64,
    /// Rows of `events`.
    pub rows: u64,
    /// Of those, KMS events.
    pub kms: u64,
    /// Of those, adjacent events of other services.
    pub adjacent: u64,
    /// Repeated deliveries that were dropped.
    pub duplicates: u64,
    /// Relevant records that the filters left out.
    pub filtered: u64,
    /// Event ids that stand for more than one record.
    pub conflicting_ids: u64,
    /// Time of the first KMS event, UTC.
    pub first_kms_event: Option<String>,
    /// Time of the last KMS event, UTC.
    pub last_kms_event: Option<String>,
}

/// What the events table of a case holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventsSeen {
    /// Rows.
    pub rows: u64,
    /// Of those, KMS events.
    pub kms: u64,
    /// Time of the first and the last KMS event, microseconds since 1970-01-01 UTC.
    pub range: Option<(i64, i64)>,
}

impl Manifest {
    /// Adds what a run counted; an extended case has the sums of its runs.
    pub fn add(&mut self, counts: &Counts, built: &Built) {
        let inputs = &mut self.inputs;
        inputs.files += built.totals.files;
        inputs.bytes += built.totals.bytes;
        inputs.inflated_bytes += built.totals.inflated;
        inputs.files_with_problems += built.totals.files_with_problems;
        inputs.problems += built.totals.problems;
        inputs.bytes_skipped += built.totals.bytes_skipped;
        inputs.left_out = left_out(counts);
        if built.totals.set_apart > 0 {
            inputs.left_out.insert("no_records".to_owned(), built.totals.set_apart);
        }
        inputs.already_known = built.already_known;
        self.integrity = built.validated.as_ref().map(IntegrityCounts::from);
        let events = &mut self.events;
        events.records += built.totals.records;
        events.duplicates += built.merged.duplicates;
        events.filtered += built.totals.filtered;
        events.conflicting_ids += built.merged.conflicting_ids.len() as u64;
    }

    /// Sets what describes the whole case.
    pub fn set_case(&mut self, seen: &EventsSeen, tables: BTreeMap<String, u64>, findings: BTreeMap<String, u64>) {
        self.events.rows = seen.rows;
        self.events.kms = seen.kms;
        self.events.adjacent = seen.rows.saturating_sub(seen.kms);
        self.events.first_kms_event = seen.range.map(|(first, _)| format_timestamp(first));
        self.events.last_kms_event = seen.range.map(|(_, last)| format_timestamp(last));
        self.tables = tables;
        self.findings = findings;
    }

    /// Lists a problem, unless enough are listed.
    pub fn problem(&mut self, path: &str, problem: &str) {
        if self.problems.len() < LISTED {
            self.problems.push(format!("{path}: {problem}"));
        }
    }

    /// Reads `manifest.json` of a case.
    ///
    /// # Errors
    /// When `case` is no case.
    pub fn read(case: &Path) -> Result<Manifest> {
        let path = case.join(MANIFEST);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Error::file(&path, "open the case (is this a case folder?)", error))?;
        serde_json::from_str(&text).map_err(|error| Error::table(&path, "read the manifest", error))
    }

    /// Enters files that were written into a case after its manifest, such as a report, and the command that wrote them;
    /// no command when it is the one that made the case. The manifest is replaced in one step; when it has all of this
    /// already, it stays as it is, and so does its SHA-256. Gives true when it was replaced.
    ///
    /// # Errors
    /// When a file cannot be read, or the manifest not written.
    pub fn add_outputs(case: &Path, names: &[&str], run: Option<Run>) -> Result<bool> {
        let mut manifest = Manifest::read(case)?;
        let before = manifest.outputs.clone();
        for name in names {
            let file = case.join(name);
            let (sha256, size) = hash_file(&file).map_err(|error| Error::file(&file, "hash the output", error))?;
            manifest.outputs.retain(|output| output.path != *name);
            manifest.outputs.push(Output { path: (*name).to_owned(), size, sha256 });
        }
        manifest.outputs.sort_by(|one, other| one.path.cmp(&other.path));
        if manifest.outputs == before {
            return Ok(false);
        }
        manifest.runs.extend(run);
        let fresh = case.join(".manifest");
        std::fs::create_dir_all(&fresh).map_err(|error| Error::file(&fresh, "write the manifest", error))?;
        manifest.write(&fresh)?;
        let path = case.join(MANIFEST);
        std::fs::rename(fresh.join(MANIFEST), &path)
            .and_then(|()| std::fs::remove_dir(&fresh))
            .map_err(|error| Error::file(&path, "replace the manifest", error))?;
        Ok(true)
    }

    /// One SHA-256, hex, for all tables of the case: of the lines `SHA-256, two blanks, path` of its Parquet files, in the order
    /// of the paths, as `sha256sum` writes them. A report names it: unlike the manifest's own it does not change when the
    /// report is entered. `None` when the manifest lists no files.
    pub fn tables_hash(&self) -> Option<String> {
        let tables = self.outputs.iter().filter(|output| output.path.ends_with(".parquet"));
        let lines: String = tables.map(|output| format!("{}  {}\n", output.sha256, output.path)).collect();
        (!lines.is_empty()).then(|| hex(&Sha256::digest(lines.as_bytes())))
    }

    /// Writes `manifest.json` into `folder`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MANIFEST);
        let mut text =
            serde_json::to_string_pretty(self).map_err(|error| Error::table(&path, "write the manifest", error))?;
        text.push('\n');
        std::fs::write(&path, text).map_err(|error| Error::file(&path, "write the manifest", error))
    }
}

/// The files that were not read, by reason; reasons without files are left out.
fn left_out(counts: &Counts) -> BTreeMap<String, u64> {
    counts
        .rows()
        .into_iter()
        .filter(|(_, files)| *files > 0)
        .map(|(reason, files)| (reason.to_owned(), files))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::custody::{check_outputs, outputs};

    #[test]
    fn the_hash_of_the_tables_is_what_sha256sum_gives() {
        let output = |path: &str, sha256: &str| Output { path: path.to_owned(), size: 1, sha256: sha256.to_owned() };
        let outputs = vec![output("a.parquet", "00"), output("b.csv", "11"), output("tables/c.parquet", "22")];
        let manifest = Manifest { outputs, ..Manifest::default() };
        // printf '00  a.parquet\n22  tables/c.parquet\n' | sha256sum
        assert_eq!(manifest.tables_hash().unwrap(), "7751319177a4273c7deb09183000bcf1fdb5a764cbf9ab286a0dfaaf3e6cfcfd");
        assert_eq!(Manifest::default().tables_hash(), None);
    }

    #[test]
    fn a_report_enters_the_manifest_of_its_case() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("inputs.parquet"), "i").unwrap();
        let manifest = Manifest { outputs: outputs(folder.path(), 1).unwrap(), ..Manifest::default() };
        manifest.write(folder.path()).unwrap();
        for text in ["one", "another"] {
            std::fs::write(folder.path().join("report.html"), text).unwrap();
            let run = Run { started: text.to_owned(), ..Run::default() };
            let tables = Manifest::read(folder.path()).unwrap().tables_hash();
            assert!(Manifest::add_outputs(folder.path(), &["report.html"], Some(run.clone())).unwrap());
            assert!(!Manifest::add_outputs(folder.path(), &["report.html"], Some(run)).unwrap(), "it was there");
            assert_eq!(Manifest::read(folder.path()).unwrap().tables_hash(), tables);
            let manifest = Manifest::read(folder.path()).unwrap();
            let paths: Vec<&str> = manifest.outputs.iter().map(|output| output.path.as_str()).collect();
            assert_eq!(paths, ["inputs.parquet", "report.html"]);
            let checked = check_outputs(folder.path(), &manifest, 1, |_| Ok(())).unwrap();
            assert_eq!((checked.files, checked.differences), (2, 0));
        }
        let started: Vec<String> =
            Manifest::read(folder.path()).unwrap().runs.into_iter().map(|run| run.started).collect();
        assert_eq!(started, ["one", "another"]);
    }
}
