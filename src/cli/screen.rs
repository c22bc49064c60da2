//! The screen that `analyze` ends with.
//!
//! In: what a run read and found. Out: one page that fits the terminal and leaves a row for the prompt, whatever the case
//! holds: counts, time range, coverage, integrity, the worst findings, where the files are, what to run next. A larger
//! terminal gets more of the same. Findings of one rule and severity take one line with their number, because forty lines of
//! one rule would hide the other thirty-nine.

use super::config::Screen;
use super::evidence;
use super::paint::{Ink, Line, Page, shell_path, shell_word};
use super::subject::key_word;
use super::summary::{count, plural};
use keytrail::case::manifest::Manifest;
use keytrail::output::terminal::{brief, cut, shorten, width};
use keytrail::query::findings::Finding;
use keytrail::query::incidents::Incident;
use keytrail::severity::Severity;
use keytrail::time::{format_timestamp, parse_timestamp};
use std::collections::BTreeMap;
use std::path::Path;

/// What the screen tells of.
pub(crate) struct Told<'a> {
    /// The case folder.
    pub(crate) out: &'a Path,
    /// Counts and warnings.
    pub(crate) manifest: &'a Manifest,
    /// The findings, worst first.
    pub(crate) findings: &'a [Finding],
    /// The incidents, worst first.
    pub(crate) incidents: &'a [Incident],
    /// The coverage line.
    pub(crate) coverage: &'a str,
    /// What shows that something is not as it was delivered, the worst first.
    pub(crate) tampering: &'a [String],
    /// The case has its report.
    pub(crate) has_report: bool,
}

/// Findings of one rule and severity.
struct Kind<'f> {
    /// The number of the first.
    number: usize,
    /// The first in time.
    first: &'f Finding,
    /// How many.
    count: u64,
}

/// The kinds of findings: worst first, then by the time of their first finding, as the findings themselves.
fn kinds(findings: &[Finding]) -> Vec<Kind<'_>> {
    let mut places: BTreeMap<(&str, Severity), usize> = BTreeMap::new();
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for (number, finding) in (1..).zip(findings) {
        let place = *places.entry((&finding.rule, finding.severity)).or_insert(kinds.len());
        match kinds.get_mut(place) {
            Some(kind) => kind.count += 1,
            None => kinds.push(Kind { number, first: finding, count: 1 }),
        }
    }
    kinds
}

/// How long a stretch is, in its two largest units.
pub(crate) fn duration(seconds: i64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(units.len() - 1);
    let mut left = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units.iter().skip(first).take(2) {
        if left / length > 0 || parts.is_empty() {
            parts.push(format!("{} {unit}", left / length));
        }
        left %= length;
    }
    parts.join(" ")
}

fn range(manifest: &Manifest) -> String {
    let (Some(first), Some(last)) = (&manifest.events.first_kms_event, &manifest.events.last_kms_event) else {
        return "no KMS event".to_owned();
    };
    let seconds = |text: &str| parse_timestamp(text).map_or(0, |micros| micros / 1_000_000);
    format!("{first} to {last} ({})", duration(seconds(last) - seconds(first)))
}

fn read(manifest: &Manifest) -> String {
    let (inputs, events) = (&manifest.inputs, &manifest.events);
    let mut text = format!(
        "{}, {} inflated, {}",
        plural(inputs.files, "file"),
        indicatif::BinaryBytes(inputs.inflated_bytes),
        plural(events.records, "record"),
    );
    if inputs.already_known > 0 {
        text.push_str(&format!(", {} already in the case", plural(inputs.already_known, "file")));
    }
    if !inputs.left_out.is_empty() {
        let apart: Vec<String> = inputs
            .left_out
            .iter()
            .map(|(reason, files)| format!("{} {}", count(*files), reason.replace('_', " ")))
            .collect();
        text.push_str(&format!("; apart: {}", apart.join(", ")));
    }
    text
}

fn events(manifest: &Manifest) -> String {
    let events = &manifest.events;
    let mut text = format!(
        "{} KMS and {} adjacent, {} repeated deliveries",
        count(events.kms),
        count(events.adjacent),
        count(events.duplicates)
    );
    if events.filtered > 0 {
        text.push_str(&format!(", {} filtered out", count(events.filtered)));
    }
    text
}

/// As many of the accounts as fit, and how many more there are.
fn accounts(homes: &[String], room: usize) -> String {
    let all = format!("home: {}", homes.join(", "));
    if homes.is_empty() || width(&all) <= room {
        return if homes.is_empty() { "home: none known".to_owned() } else { all };
    }
    // An account takes 14 columns, the ending at most 25.
    let shown = (room.saturating_sub(31) / 14).max(1);
    let some: Vec<&str> = homes.iter().take(shown).map(String::as_str).collect();
    format!("home: {} and {} more", some.join(", "), count(homes.len().saturating_sub(shown) as u64))
}

/// The heading over the findings.
fn heading(told: &Told<'_>) -> Line {
    let total = told.findings.len() as u64;
    if total == 0 {
        return Line::default().with(Ink::Strong, "no findings");
    }
    let incidents = plural(told.incidents.len() as u64, "incident");
    let mut line = Line::default().with(Ink::Strong, &format!("{} in {incidents}", plural(total, "finding")));
    let mut mark = ": ";
    for severity in [Severity::Critical, Severity::High, Severity::Medium, Severity::Low, Severity::Info] {
        let number = told.findings.iter().filter(|finding| finding.severity == severity).count();
        if number > 0 {
            let text = format!("{} {severity}", count(number as u64));
            line = line.with(Ink::Plain, mark).with(Ink::Severity(severity), &text);
            mark = ", ";
        }
    }
    line
}

/// From this width on a finding's line has its summary too.
const WIDE: usize = 120;

/// One kind of findings in one line.
fn kind_line(kind: &Kind<'_>, digits: usize, screen: Screen) -> Line {
    let finding = kind.first;
    let time = finding.first_time.map(format_timestamp).unwrap_or_else(|| "no time".to_owned());
    let is_wide = screen.width >= WIDE;
    // Minutes are enough to choose by; the finding itself has the second.
    let time = if is_wide { time } else { time.get(..16).unwrap_or(&time).replace('T', " ") };
    let number = format!("{:>digits$}", kind.number);
    let times = if kind.count > 1 { format!("{}x ", count(kind.count)) } else { String::new() };
    let line = Line::default()
        .with(Ink::Plain, &format!("{number}  "))
        .column(Ink::Severity(finding.severity), finding.severity.as_str(), 10)
        .column(Ink::Plain, &time, if is_wide { 22 } else { 18 })
        .with(Ink::Strong, &times);
    if !is_wide {
        return line.with(Ink::Plain, &finding.title);
    }
    let title = cut(&finding.title, 58usize.saturating_sub(width(&times)));
    line.column(Ink::Plain, &title, 60usize.saturating_sub(width(&times))).with(Ink::Faint, &brief(&finding.summary))
}

/// The worst incident in one line.
fn worst_incident(incident: &Incident) -> String {
    let time = incident.first_time.map(format_timestamp).unwrap_or_else(|| "no time".to_owned());
    format!(
        "#{} {}, {}, {}, {}, {}",
        incident.number,
        time.get(..16).unwrap_or(&time).replace('T', " "),
        plural(incident.story.len() as u64, "finding"),
        plural(incident.event_count, "event"),
        plural(incident.key_arns.len() as u64, "key"),
        plural(incident.principals.len() as u64, "principal"),
    )
}

/// Columns of the case's path in a command, at most; longer ones are written as CASE.
const PATH: usize = 36;

/// The commands that come next.
fn commands(told: &Told<'_>, case: &str) -> Vec<String> {
    let mut commands = Vec::new();
    if !told.findings.is_empty() {
        commands.push(format!("keytrail findings show 1 --case {case}"));
        commands.push(format!("keytrail incidents --case {case}"));
    }
    // A real key's id has 36 characters, that of a multi-Region key as many; what is longer came from somewhere else.
    let ids = told.findings.iter().filter_map(|finding| finding.key_arn.as_deref()).map(key_word);
    match ids.map(shell_word).find(|id| width(id) <= 40) {
        Some(id) => commands.push(format!("keytrail timeline --key {id} --case {case}")),
        None => {
            commands.push(format!("keytrail query --case {case} exposure"));
            commands.push(format!("keytrail review --case {case}"));
        }
    }
    commands
}

/// Rows, or texts, that there is room for on a screen, of `plenty`: one where rows are scarce.
fn share(screen: Screen, plenty: usize) -> usize {
    match screen.height {
        ..36 => 1,
        36..50 => plenty.min(2),
        _ => plenty,
    }
}

/// What stands over the findings.
fn top(told: &Told<'_>, page: &mut Page) {
    let manifest = told.manifest;
    let screen = page.screen();
    let path = shorten(&told.out.to_string_lossy(), page.room());
    page.labelled("case", Ink::Strong, &path, 1);
    page.labelled("read", Ink::Plain, &read(manifest), 1);
    page.labelled("events", Ink::Plain, &events(manifest), 1);
    page.labelled("time", Ink::Plain, &range(manifest), 1);
    page.labelled("accounts", Ink::Plain, &accounts(&manifest.home_accounts, page.room()), 1);
    page.labelled("coverage", Ink::Plain, told.coverage, share(screen, 3));
    page.labelled("integrity", Ink::Plain, &evidence::integrity(manifest), share(screen, 3));
    for problem in told.tampering.iter().take(share(screen, 5)) {
        page.labelled("", Ink::Severity(Severity::Critical), problem, share(screen, 2));
    }
    let warnings = &manifest.warnings;
    let shown = share(screen, 5);
    for (i, warning) in warnings.iter().take(shown).enumerate() {
        let label = if i == 0 { "warnings" } else { "" };
        let text = match warnings.len() {
            1 => warning.clone(),
            number if i == 0 => format!("{number} (all in manifest.json): {warning}"),
            _ => warning.clone(),
        };
        page.labelled(label, Ink::Severity(Severity::Medium), &text, share(screen, 2));
    }
}

/// What stands under the findings.
fn bottom(told: &Told<'_>, page: &mut Page) {
    page.blank();
    if let Some(incident) = told.incidents.first() {
        page.labelled("incident", Ink::Plain, &worst_incident(incident), 1);
    }
    let report = if told.has_report { "report.html, " } else { "" };
    page.labelled("files", Ink::Plain, &format!("{report}findings.*, incidents.*, reviews.*, tables/, events/"), 1);
    let path = shell_path(told.out);
    let case = if width(&path) <= PATH { path.as_str() } else { "CASE" };
    for (i, command) in commands(told, case).iter().enumerate() {
        page.command(if i == 0 { "next" } else { "" }, command);
    }
}

/// The screen as text.
pub(crate) fn text(told: &Told<'_>, screen: Screen) -> String {
    let mut page = Page::new(screen);
    top(told, &mut page);
    let mut end = Page::new(screen);
    bottom(told, &mut end);
    page.blank();
    page.push(heading(told));
    let kinds = kinds(told.findings);
    // One row is the prompt's, and one may have to say that there is more.
    let room = screen.height.saturating_sub(1 + page.rows() + end.rows());
    let shown = if kinds.len() <= room { kinds.len() } else { room.saturating_sub(1) };
    let digits = kinds.iter().take(shown).map(|kind| kind.number.to_string().len()).max().unwrap_or(1).max(2);
    for kind in kinds.iter().take(shown) {
        page.push(kind_line(kind, digits, screen));
    }
    if shown < kinds.len() {
        let hidden: u64 = kinds.iter().skip(shown).map(|kind| kind.count).sum();
        let more = format!("{}  and {} more, listed by keytrail findings", " ".repeat(digits), count(hidden));
        page.push(Line::default().with(Ink::Faint, &more));
    }
    page.text() + &end.text()
}

#[cfg(test)]
mod tests;
