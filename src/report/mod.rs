//! The report: one HTML file that convinces somebody who was not there.
//!
//! In: a case. Out: a page that opens without a network, a server or a script: what happened, what the evidence cannot show,
//! what data was exposed, what is still open; then keys and principals one by one, and the records behind the findings.
//! `ask` puts small SELECTs to the case, the modules between collect plain data (`model`), `html` makes the page.
//! Everything is bounded: a case of any size gives at most 15 MB, and each place where something was left out says so and
//! names the table that has it. The same case gives the same bytes: times come from the manifest, never from a clock.

mod ask;
mod format;
mod diff;
mod chart;
mod ribbon;
mod calendar;
mod exposure;
mod model;
mod paged;
mod findings;
mod subjects;
mod evidence;
mod shared;
mod acts;
mod keys;
mod principals;
mod open;
mod limits;
mod story;
mod opening;
mod html;
mod files;

use crate::case::manifest::Manifest;
use crate::error::Result;
use crate::query::run::Session;
use ask::{Asked, SHOWN_CHARS, visible};
use chart::Scale;
use evidence::Evidence;
use format::{many, size};
use html::Pages;
use model::{EachSubject, Report};
use std::path::Path;
use subjects::Subjects;

pub use files::{LINKED, write_csv};

/// Bytes that a report has at most.
pub const MAX_BYTES: usize = 15_000_000;

/// Bytes of the parts that are rendered one by one: sections of keys and of principals, cited events, findings as rows.
const KEY_SECTIONS: usize = 2_200_000;
const PRINCIPAL_SECTIONS: usize = 1_600_000;
const CITED: usize = 1_300_000;
const FINDING_ROWS: usize = 900_000;

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Source<'p> {
    /// The case folder.
    pub case: &'p Path,
    /// What the case is called.
    pub name: &'p str,
    /// True when the report lies in the case folder, so that it can link to the tables there.
    pub is_inside: bool,
}

/// Makes the report of an open case.
///
/// # Errors
/// When the manifest or the events cannot be read. Tables that an older case lacks are no error: the report names them.
pub fn render(session: &mut Session, source: Source<'_>) -> Result<String> {
    let pages = Pages::new()?;
    let mut report = collect(session, source, &pages)?;
    bounded(&pages, &mut report)
}

/// The page, at most [`MAX_BYTES`] of it. The budgets of the parts keep it below the bound; texts that grow when they are
/// escaped could still push it over.
fn bounded(pages: &Pages, report: &mut Report) -> Result<String> {
    loop {
        let html = pages.report(report)?;
        if html.len() <= MAX_BYTES || !shrink(report) {
            return Ok(html);
        }
    }
}

/// Halves what can be left out. False when there is nothing left to halve.
fn shrink(report: &mut Report) -> bool {
    const WORD: &str = "More was left out to bound the size of this file: it is in the tables of the case.";
    let mut has_shrunk = false;
    let mut halve = |list: &mut Vec<String>, note: &mut String| {
        if !list.is_empty() {
            list.truncate(list.len() / 2);
            *note = WORD.to_owned();
            has_shrunk = true;
        }
    };
    halve(&mut report.cited, &mut report.cited_note);
    halve(&mut report.principal_sections, &mut report.principal_sections_note);
    halve(&mut report.key_sections, &mut report.key_sections_note);
    halve(&mut report.findings, &mut report.findings_note);
    let suspects =
        report.exposure.suspects.iter_mut().flat_map(|suspect| [&mut suspect.classes, &mut suspect.resources]);
    let grids = report.open.iter_mut().chain(report.limits.grids.iter_mut()).chain(suspects);
    let more = [&mut report.keys, &mut report.principals, &mut report.more_stories, &mut report.exposure.total];
    for grid in grids.chain(more) {
        if grid.rows.len() > 1 {
            grid.rows.truncate(grid.rows.len() / 2);
            grid.note = WORD.to_owned();
            has_shrunk = true;
        }
    }
    if report.stories.len() > 1 {
        report.stories.truncate(report.stories.len() / 2);
        has_shrunk = true;
    }
    has_shrunk
}

/// Parts of the page, as far as they fit into a budget of bytes: from the first that does not, none is taken any more.
struct Parts {
    html: Vec<String>,
    budget: usize,
    used: usize,
    shown: usize,
    is_full: bool,
}

impl Parts {
    fn new(budget: usize) -> Parts {
        Parts { html: Vec::new(), budget, used: 0, shown: 0, is_full: false }
    }

    /// Renders an item; what does not fit is handed to `rest`.
    fn add<T>(
        &mut self,
        item: &T,
        render: impl Fn(&T) -> Result<String>,
        mut rest: impl FnMut(&T) -> Result<Option<String>>,
    ) -> Result<()> {
        let html = if self.is_full { None } else { Some(render(item)?) };
        match html {
            Some(html) if self.used + html.len() <= self.budget => {
                self.used += html.len();
                self.shown += 1;
                self.html.push(html);
            }
            _ => {
                self.is_full = true;
                self.html.extend(rest(item)?);
            }
        }
        Ok(())
    }
}

/// Renders items until the budget is used.
fn fill<T>(items: &[T], budget: usize, render: impl Fn(&T) -> Result<String>) -> Result<(Vec<String>, usize)> {
    let mut parts = Parts::new(budget);
    items.iter().try_for_each(|item| parts.add(item, &render, |_| Ok(None)))?;
    Ok((parts.html, parts.shown))
}

/// Sections as `list` names their subjects, and a word on those that are left out.
fn sections(
    pages: &Pages,
    budget: usize,
    table: &str,
    list: impl FnOnce(EachSubject<'_>) -> Result<()>,
) -> Result<(Vec<String>, String)> {
    let mut parts = Parts::new(budget);
    let mut count = 0;
    list(&mut |subject| {
        count += 1;
        parts.add(&subject, |subject| pages.subject(subject), |subject| pages.left_out(subject).map(Some))
    })?;
    let Parts { html, shown, .. } = parts;
    let note = match shown == count {
        true => format!(
            "Those that findings of at least medium severity name, and the busiest. All are in the table {table}."
        ),
        false => format!(
            "The first {} of {} are shown in full, the worst first; the size of this file is bounded. All are in the table {table}.",
            size(shown),
            size(count)
        ),
    };
    Ok((html, note))
}

fn collect(session: &mut Session, source: Source<'_>, pages: &Pages) -> Result<Report> {
    let manifest = Manifest::read(source.case)?;
    let mut asked = Asked::new(session, source.case);
    let findings = findings::read(&mut asked);
    let subjects = Subjects::new(&findings, keys::busy(&mut asked), principals::busy(&mut asked));
    asked.register("report_keys", "key_arn", &subjects.keys)?;
    asked.register("report_principals", "principal", &subjects.principals)?;
    let scale = scale(&mut asked);
    let mut evidence = evidence::read(source.case, &findings.rows)?;
    let (cited, cited_note) = cited(pages, &mut evidence)?;
    let kinds = exposure::by_principal(&mut asked, &findings, &subjects)?;
    let exposure = exposure::collect(&mut asked, &findings, &subjects, &kinds)?;
    let open = open::collect(&mut asked, &subjects);
    let mut limits = limits::collect(&mut asked, &manifest)?;
    let (stories, more_stories) = story::stories(&mut asked, &findings, &subjects);
    let (keys, paged_keys) = keys::list(&mut asked, &findings, &subjects);
    let (principals, paged_principals) = principals::list(&mut asked, &findings, &subjects);
    let (key_sections, key_sections_note) = sections(pages, KEY_SECTIONS, "keys", |each| {
        keys::sections(&mut asked, &findings, &subjects, &evidence, scale, each)
    })?;
    let (principal_sections, principal_sections_note) = sections(pages, PRINCIPAL_SECTIONS, "principals", |each| {
        principals::sections(&mut asked, &findings, &subjects, &evidence, &kinds, scale, each)
    })?;
    let rows = story::rows(&findings, &subjects, &evidence);
    let (finding_rows, shown) = fill(&rows, FINDING_ROWS, |row| pages.finding(row))?;
    let reviews = opening::reviews(&mut asked);
    for (table, reason) in &asked.unanswered {
        limits
            .missing
            .push(format!("Not in this report, because it could not be read from the case: {table} ({reason})."));
    }
    let csv = if source.is_inside { files::links(source.case) } else { files::Links::new() };
    let mut report = Report {
        case: visible(source.name, SHOWN_CHARS),
        facts: opening::facts(&manifest),
        glance: Vec::new(),
        severities: opening::severities(&findings),
        stories,
        more_stories,
        limits,
        exposure,
        open,
        findings: finding_rows,
        findings_note: static_note(shown, findings.total()),
        paged_findings: story::data(&findings, &subjects, &evidence),
        keys,
        paged_keys,
        key_sections,
        key_sections_note,
        principals,
        paged_principals,
        principal_sections,
        principal_sections_note,
        cited,
        cited_note,
        reviews,
        csv,
    };
    let incidents = manifest.tables.get("incidents").copied().unwrap_or_default();
    report.glance = opening::glance(&report, &findings, i64::try_from(incidents).unwrap_or(i64::MAX));
    Ok(report)
}

fn static_note(shown: usize, total: i64) -> String {
    match i64::try_from(shown).is_ok_and(|shown| shown >= total) {
        true => String::new(),
        false => format!(
            "Without scripts this table has the worst {} of {}. All are in findings.csv.",
            size(shown),
            many(total, "finding")
        ),
    }
}

/// The time that charts and ribbons span: that of all events about keys.
fn scale(asked: &mut Asked<'_>) -> Scale {
    let sql = "SELECT MIN(h.first_epoch) AS first_epoch, MAX(h.last_epoch) AS last_epoch FROM place_hours AS h";
    let rows = asked.rows("place_hours", sql);
    let (first, last) = rows.iter().next().map_or((0, 0), |row| (row.number("first_epoch"), row.number("last_epoch")));
    Scale::of(first, last)
}

/// The cited events as HTML. Events that did not fit lose their anchor, so that no link leads nowhere.
fn cited(pages: &Pages, evidence: &mut Evidence) -> Result<(Vec<String>, String)> {
    let (html, shown) = fill(&evidence.events, CITED, |event| pages.cited(event))?;
    let kept: std::collections::BTreeSet<&str> =
        evidence.events.iter().take(shown).map(|event| event.anchor.as_str()).collect();
    evidence.anchors.retain(|_, anchor| kept.contains(anchor.as_str()));
    let note = match shown == evidence.events.len() {
        true => "Of each finding some events are cited: of the worst up to 20. All ids are in findings.csv, all records in the table events.".to_owned(),
        false => format!("The first {} in the order of time are here; the size of this file is bounded. All ids are in findings.csv, all records in the table events.", size(shown)),
    };
    Ok((html, note))
}

#[cfg(test)]
mod tests {
    use super::model::{Grid, Item};
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_from_the_first_on() {
        let fill = |budget: usize| {
            let mut parts = Parts::new(budget);
            for item in ["aa", "bbb", "c", "d"] {
                parts.add(&item, |item| Ok((*item).to_owned()), |item| Ok(Some(format!("({item})")))).unwrap();
            }
            (parts.html.concat(), parts.shown)
        };
        assert_eq!(fill(4), ("aa(bbb)(c)(d)".to_owned(), 1));
        assert_eq!(fill(7), ("aabbbcd".to_owned(), 4));
    }

    #[test]
    fn no_report_is_longer_than_the_bound_and_what_is_left_out_is_said() {
        let mut grid = Grid::new("much", &["Head"]);
        grid.rows = vec![vec![Item::name("<&\"'>".repeat(5_000))]; 400];
        let mut report = Report { open: vec![grid; 5], cited: vec!["x".repeat(50_000); 100], ..Report::default() };
        let pages = Pages::new().unwrap();
        assert!(pages.report(&report).unwrap().len() > 2 * MAX_BYTES);
        let html = bounded(&pages, &mut report).unwrap();
        assert!(html.len() <= MAX_BYTES && html.len() > MAX_BYTES / 8, "{}", html.len());
        assert!(html.contains("More was left out to bound the size of this file"));
        assert!(html.trim_end().ends_with("</html>"));
    }
}
