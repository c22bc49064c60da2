//! What is said at the end of a run, on stderr.
//!
//! In: counts. Out: a few lines. Text from logs and file names is made safe before it is shown.

use super::paint::{Ink, painted};
use keytrail::case::events::Merged;
use keytrail::case::manifest::IntegrityCounts;
use keytrail::discover::Discovery;
use keytrail::output::terminal::sanitize;
use keytrail::pipeline::{InputRow, Totals};
use keytrail::severity::Severity;
use keytrail::time::format_timestamp;

/// Problems shown at most; the manifest and `inputs.parquet` have more.
const SHOWN: usize = 10;

/// Inputs that were not understood.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    count: u64,
    lines: Vec<String>,
}

impl Problems {
    /// Starts with what discovery could not look at.
    pub(crate) fn new(found: &Discovery) -> Problems {
        let mut problems = Problems::default();
        for (path, problem) in &found.problems {
            problems.push(path, &problem.to_string());
        }
        problems
    }

    /// Adds an input's problem, if it has one.
    pub(crate) fn add(&mut self, input: &InputRow) {
        if let Some(problem) = &input.problem {
            self.push(&input.path, problem);
        }
    }

    /// Adds a problem of a file.
    pub(crate) fn told(&mut self, path: &str, problem: &str) {
        self.push(path, problem);
    }

    fn push(&mut self, path: &str, problem: &str) {
        self.count += 1;
        if self.lines.len() < SHOWN {
            self.lines.push(sanitize(&format!("{path}: {problem}")));
        }
    }

    /// True when some input was not understood.
    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    /// The lines to show; empty when there are none.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            text.push_str(&format!("warning: {line}\n"));
        }
        let more = self.count - self.lines.len() as u64;
        if more > 0 {
            text.push_str(&format!("warning: {more} more inputs with problems\n"));
        }
        text.trim_end().to_owned()
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// `1 file`, `2 files`, `2 addresses`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", count(number))
}

/// What was read and what became of it.
pub(crate) fn extraction(found: &Discovery, totals: &Totals, merged: &Merged) -> String {
    let mut text = format!(
        "{} ({}), {}: {} ({} KMS, {} adjacent), {} repeated deliveries",
        plural(totals.files, "file"),
        indicatif::BinaryBytes(totals.inflated),
        plural(totals.records, "record"),
        plural(merged.rows, "event"),
        count(merged.kms),
        count(merged.rows - merged.kms),
        count(merged.duplicates),
    );
    if totals.filtered > 0 {
        text.push_str(&format!(", {} filtered out", count(totals.filtered)));
    }
    let mut apart: Vec<String> = found
        .counts
        .rows()
        .into_iter()
        .filter(|(_, files)| *files > 0)
        .map(|(reason, files)| match reason.strip_prefix("pruned_") {
            Some(option) => format!("{} left out by --{option}", count(files)),
            None => format!("{} {reason}", count(files)),
        })
        .collect();
    if totals.set_apart > 0 {
        apart.push(format!("{} without records", count(totals.set_apart)));
    }
    if !apart.is_empty() {
        text.push_str(&format!("\nfiles set apart: {}", apart.join(", ")));
    }
    if let Some((first, last)) = merged.kms_range {
        text.push_str(&format!("\nKMS events from {} to {}", format_timestamp(first), format_timestamp(last)));
    }
    if !merged.conflicting_ids.is_empty() {
        let ids = plural(merged.conflicting_ids.len() as u64, "event id");
        text.push_str(&format!("\nwarning: {ids} with more than one content: all versions were kept"));
    }
    text
}

/// The one line that a program reading `--arrow-stream` can parse: JSON.
pub(crate) fn stream_line(totals: &Totals, rows: u64, problems: &Problems) -> String {
    serde_json::json!({
        "files": totals.files, "bytes": totals.bytes, "records": totals.records, "rows": rows,
        "filtered": totals.filtered, "inputs_with_problems": problems.count, "problems": problems.lines,
    })
    .to_string()
}

/// A severity, in its color when colors are wanted.
pub(crate) fn severity_text(severity: Severity, color: bool) -> String {
    painted(Ink::Severity(severity), &format!("{:8}", severity.as_str()), color)
}

/// What digests say, in one line; numbers of what did not happen are left out.
pub(crate) fn integrity(counts: &IntegrityCounts) -> String {
    let some = |numbers: &[(u64, &str)]| {
        let told = numbers.iter().filter(|(number, what)| *number > 0 || *what == "verified");
        told.map(|(number, what)| format!("{} {what}", count(*number))).collect::<Vec<_>>().join(", ")
    };
    let logs = some(&[
        (counts.logs_verified, "verified"),
        (counts.logs_consistent, "consistent"),
        (counts.logs_unverifiable, "unverifiable"),
        (counts.logs_failed, "failed"),
        (counts.logs_missing, "missing"),
        (counts.logs_left_out, "left out by filters"),
    ]);
    let digests = some(&[
        (counts.digests_verified, "verified"),
        (counts.digests_consistent, "consistent"),
        (counts.digests_failed, "failed"),
    ]);
    format!("{}; logs: {logs}; digests: {digests}", plural(counts.chains, "chain"))
}
