//! What is said at the end of a run, on stderr.
//!
//! In: counts. Out: a few lines. Text from logs and file names is made safe before it is shown.

use super::config::Display;
use keytrail::case::events::Merged;
use keytrail::case::manifest::{IntegrityCounts, Manifest};
use keytrail::case::validate::Validated;
use keytrail::discover::Discovery;
use keytrail::output::terminal::sanitize;
use keytrail::pipeline::{InputRow, Totals};
use keytrail::query::header::Severity;
use keytrail::query::incidents::Incident;
use keytrail::time::format_timestamp;
use std::path::Path;

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

/// `1` file, `2` files.
fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
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
    let text = format!("{:8}", severity.as_str());
    let code = match severity {
        Severity::Critical => "1;31",
        Severity::High => "31",
        Severity::Medium => "33",
        Severity::Low => "36",
        Severity::Info => "2",
    };
    if color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text }
}

/// Incidents that the summary tells, and findings of each.
const TOLD: (usize, usize) = (3, 5);

/// The worst incidents, each with the worst of its findings in the order of time.
fn stories(incidents: &[Incident], color: bool) -> Vec<String> {
    let mut lines = Vec::new();
    for incident in incidents.iter().take(TOLD.0) {
        let time = incident.first_time.map(format_timestamp).unwrap_or_default();
        lines.push(format!(
            "  #{} {} {time}  findings: {}, events: {}, keys: {}, principals: {}",
            incident.number,
            severity_text(incident.severity, color).trim_end(),
            incident.story.len(),
            incident.event_count,
            incident.key_arns.len(),
            incident.principals.len()
        ));
        let mut worst: Vec<usize> = (0..incident.story.len()).collect();
        // The sort is stable: among equals the earlier one is told.
        worst.sort_by_key(|place| std::cmp::Reverse(incident.story.get(*place).map(|step| step.severity)));
        worst.truncate(TOLD.1);
        worst.sort_unstable();
        for step in worst.into_iter().filter_map(|place| incident.story.get(place)) {
            let time = step.time.map(format_timestamp).unwrap_or_default();
            lines.push(format!("      {} {time}  {}", severity_text(step.severity, color), sanitize(&step.summary)));
        }
        if incident.story.len() > TOLD.1 {
            lines.push(format!("      and {} more", count((incident.story.len() - TOLD.1) as u64)));
        }
    }
    lines
}

/// What digests say, in one line.
pub(crate) fn integrity(counts: &IntegrityCounts) -> String {
    let mut text = format!(
        "integrity: {}; logs: {} verified, {} consistent, {} unverifiable, {} failed, {} missing; digests: {} verified, {} \
         consistent, {} failed",
        plural(counts.chains, "chain"),
        count(counts.logs_verified),
        count(counts.logs_consistent),
        count(counts.logs_unverifiable),
        count(counts.logs_failed),
        count(counts.logs_missing),
        count(counts.digests_verified),
        count(counts.digests_consistent),
        count(counts.digests_failed),
    );
    if counts.logs_left_out > 0 {
        text.push_str(&format!("; {} listed logs left out by filters", count(counts.logs_left_out)));
    }
    text
}

/// The end of `analyze`: what was read, what was found, where it is, what to do next.
pub(crate) fn case(
    out: &Path,
    manifest: &Manifest,
    validated: Option<&Validated>,
    incidents: &[Incident],
    display: Display,
) -> String {
    let (inputs, events) = (&manifest.inputs, &manifest.events);
    let mut lines = vec![format!(
        "{} ({} inflated), {}: {} KMS events and {} adjacent, {} repeated deliveries",
        plural(inputs.files, "file"),
        indicatif::BinaryBytes(inputs.inflated_bytes),
        plural(events.records, "record"),
        count(events.kms),
        count(events.adjacent),
        count(events.duplicates),
    )];
    if inputs.already_known > 0 {
        lines.push(format!("{} already in the case", plural(inputs.already_known, "file")));
    }
    if !inputs.left_out.is_empty() {
        let apart: Vec<String> =
            inputs.left_out.iter().map(|(reason, files)| format!("{} {reason}", count(*files))).collect();
        lines.push(format!("files set apart: {}", apart.join(", ")));
    }
    if let (Some(first), Some(last)) = (&events.first_kms_event, &events.last_kms_event) {
        lines.push(format!("KMS events from {first} to {last}; home accounts: {}", manifest.home_accounts.join(", ")));
    }
    if let Some(counts) = &manifest.integrity {
        lines.push(integrity(counts));
        let shown =
            validated.map_or(&[][..], |validated| &validated.worst).iter().filter(|finding| finding.is_tampering);
        lines.extend(shown.map(|finding| {
            let summary = sanitize(&finding.summary);
            format!("  {:8} {} {summary}", finding.severity.as_str(), finding.code)
        }));
    }
    for warning in &manifest.warnings {
        lines.push(format!("warning: {}", sanitize(warning)));
    }
    let total: u64 = manifest.findings.values().sum();
    if total == 0 {
        lines.push("no findings".to_owned());
    } else {
        let number = incidents.len() as u64;
        lines.push(format!("\n{} in {}:", plural(total, "finding"), plural(number, "incident")));
        lines.extend(stories(incidents, display.color));
        if incidents.len() > TOLD.0 {
            let more = count((incidents.len() - TOLD.0) as u64);
            lines.push(format!("  and {more} more: keytrail incidents --case {}", out.display()));
        }
    }
    let shown = out.display();
    lines.push(format!("\ncase: {shown}\nnext: keytrail incidents --case {shown}; keytrail query --case {shown} exposure; keytrail review --case {shown}"));
    lines.join("\n")
}
