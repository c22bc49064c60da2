//! The report: one HTML file that convinces somebody who was not there.
//!
//! In: a case. Out: a page that opens without a network, a server or a script: what happened, what the evidence cannot show,
//! what data was exposed, what is still open; then keys and principals one by one, and the records behind the findings.
//! [`ask`] puts small SELECTs to the case, the modules between collect plain data ([`model`]), [`html`] makes the page.
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
mod keys;
mod principals;
mod open;
mod limits;
mod story;
mod html;
mod files;

use crate::case::manifest::Manifest;
use crate::error::{Error, Result};
use crate::query::run::Session;
use ask::{Asked, SHOWN_CHARS, visible};
use chart::Scale;
use evidence::Evidence;
use findings::{Findings, SEVERITIES};
use format::{count, many, size};
use html::Pages;
use model::{Fact, Glance, Grid, Item, Report, Subject, fact};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
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
    // The budgets keep it below the bound; texts that grow when they are escaped could still push it over.
    loop {
        let html = pages.report(&report)?;
        if html.len() <= MAX_BYTES || !shrink(&mut report) {
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

/// Renders items until the budget is used; what did not fit is handed to `rest`.
fn fill<T>(
    items: &[T],
    budget: usize,
    render: impl Fn(&T) -> Result<String>,
    mut rest: impl FnMut(&T) -> Result<Option<String>>,
) -> Result<(Vec<String>, usize)> {
    let (mut out, mut used, mut shown) = (Vec::new(), 0, 0);
    let mut is_full = false;
    for item in items {
        let html = if is_full { None } else { Some(render(item)?) };
        match html {
            Some(html) if used + html.len() <= budget => {
                used += html.len();
                shown += 1;
                out.push(html);
            }
            _ => {
                is_full = true;
                out.extend(rest(item)?);
            }
        }
    }
    Ok((out, shown))
}

fn sections(pages: &Pages, subjects: &[Subject], budget: usize, table: &str) -> Result<(Vec<String>, String)> {
    let (html, shown) =
        fill(subjects, budget, |subject| pages.subject(subject), |subject| pages.left_out(subject).map(Some))?;
    let note = match shown == subjects.len() {
        true => format!(
            "Those that findings of at least medium severity name, and the busiest. All are in the table {table}."
        ),
        false => format!(
            "The first {} of {} are shown in full, the worst first; the size of this file is bounded. All are in the table {table}.",
            size(shown),
            size(subjects.len())
        ),
    };
    Ok((html, note))
}

fn collect(session: &mut Session, source: Source<'_>, pages: &Pages) -> Result<Report> {
    let manifest = Manifest::read(source.case)?;
    let mut asked = Asked::new(session);
    let findings = findings::read(&mut asked);
    let subjects = Subjects::new(&findings, keys::busy(&mut asked), principals::busy(&mut asked));
    asked.register("report_keys", "key_arn", &subjects.keys)?;
    asked.register("report_principals", "principal", &subjects.principals)?;
    let scale = scale(&mut asked);
    let mut evidence = evidence::read(source.case, &findings.rows)?;
    let (cited, cited_note) = cited(pages, &mut evidence)?;
    let exposure = exposure::collect(&mut asked, &findings, &subjects)?;
    let open = open::collect(&mut asked, &subjects);
    let mut limits = limits::collect(&mut asked, &manifest)?;
    let (stories, more_stories) = story::stories(&mut asked, &findings, &subjects);
    let (keys, paged_keys) = keys::list(&mut asked, &findings, &subjects);
    let (principals, paged_principals) = principals::list(&mut asked, &findings, &subjects);
    let key_details = keys::sections(&mut asked, &findings, &subjects, &evidence, scale);
    let (key_sections, key_sections_note) = sections(pages, &key_details, KEY_SECTIONS, "keys")?;
    let principal_details = principals::sections(&mut asked, &findings, &subjects, &evidence, scale);
    let (principal_sections, principal_sections_note) =
        sections(pages, &principal_details, PRINCIPAL_SECTIONS, "principals")?;
    let rows = story::rows(&findings, &subjects, &evidence);
    let (finding_rows, shown) = fill(&rows, FINDING_ROWS, |row| pages.finding(row), |_| Ok(None))?;
    let reviews = reviews(&mut asked);
    for (table, reason) in &asked.unanswered {
        limits
            .missing
            .push(format!("Not in this report, because it could not be read from the case: {table} ({reason})."));
    }
    let csv = if source.is_inside { files::links(source.case) } else { files::Links::new() };
    let mut report = Report {
        case: visible(source.name, SHOWN_CHARS),
        facts: facts(source, &manifest)?,
        glance: Vec::new(),
        severities: severities(&findings),
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
    report.glance = glance(&report, &findings);
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
    let (html, shown) = fill(&evidence.events, CITED, |event| pages.cited(event), |_| Ok(None))?;
    let kept: std::collections::BTreeSet<&str> =
        evidence.events.iter().take(shown).map(|event| event.anchor.as_str()).collect();
    evidence.anchors.retain(|_, anchor| kept.contains(anchor.as_str()));
    let note = match shown == evidence.events.len() {
        true => "Of each finding some events are cited: of the worst up to 20. All ids are in findings.csv, all records in the table events.".to_owned(),
        false => format!("The first {} in the order of time are here; the size of this file is bounded. All ids are in findings.csv, all records in the table events.", size(shown)),
    };
    Ok((html, note))
}

fn facts(source: Source<'_>, manifest: &Manifest) -> Result<Vec<Fact>> {
    let path = source.case.join("manifest.json");
    let bytes = std::fs::read(&path).map_err(|error| Error::file(&path, "read the manifest", error))?;
    let hash = Sha256::digest(&bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    let number = |value: u64| count(i64::try_from(value).unwrap_or(i64::MAX));
    let mut facts = Vec::new();
    let range = match (&manifest.events.first_kms_event, &manifest.events.last_kms_event) {
        (Some(first), Some(last)) => format!("{first} to {last} (UTC, as all times here)"),
        _ => "no KMS event".to_owned(),
    };
    fact(&mut facts, "KMS events", Item::text(format!("{}, {range}", number(manifest.events.kms))));
    fact(&mut facts, "Related events", Item::text(number(manifest.events.adjacent)));
    let read = format!(
        "{} with {} records, {} repeated deliveries left out",
        many(i64::try_from(manifest.inputs.files).unwrap_or(i64::MAX), "file"),
        number(manifest.events.records),
        number(manifest.events.duplicates)
    );
    fact(&mut facts, "Read", Item::text(read));
    let homes: Vec<String> = manifest.home_accounts.iter().take(50).map(|account| visible(account, 40)).collect();
    let more = manifest.home_accounts.len().saturating_sub(homes.len());
    let more = if more > 0 { format!(" and {} more", size(more)) } else { String::new() };
    fact(&mut facts, "Home accounts", Item::text(homes.join(", ") + &more));
    let tool =
        format!("{} {}, run from {} to {}", manifest.tool, manifest.version, manifest.started, manifest.finished);
    fact(&mut facts, "Made by", Item::text(visible(&tool, SHOWN_CHARS)));
    fact(
        &mut facts,
        "Command",
        Item::name(visible(&format!("keytrail {}", manifest.arguments.join(" ")), SHOWN_CHARS)),
    );
    fact(&mut facts, "SHA-256 of manifest.json", Item::name(hash));
    Ok(facts)
}

fn severities(findings: &Findings) -> Vec<(Item, String)> {
    SEVERITIES.iter().zip(findings.totals).map(|(name, total)| (Item::severity(name), count(total))).collect()
}

/// The four questions at the top.
fn glance(report: &Report, findings: &Findings) -> Vec<Glance> {
    let rows = |grid: &Grid| grid.rows.len();
    let bad = findings.totals.iter().take(2).sum::<i64>();
    let incidents = report.stories.len() + rows(&report.more_stories);
    let happened = match findings.total() {
        0 => vec!["No rule found anything.".to_owned()],
        total => vec![
            format!(
                "{} in {} incident{}",
                many(total, "finding"),
                size(incidents),
                if incidents == 1 { "" } else { "s" }
            ),
            format!("{} of them critical or high", count(bad)),
        ],
    };
    let limits: usize = report
        .limits
        .grids
        .iter()
        .filter(|grid| !grid.caption.starts_with("What was") && !grid.caption.contains("chains"))
        .map(rows)
        .sum();
    let mut unseen = vec![format!("{} listed", many(limits as i64, "limit"))];
    if !report.limits.warnings.is_empty() {
        unseen.push(many(report.limits.warnings.len() as i64, "warning"));
    }
    if !report.limits.missing.is_empty() {
        unseen.push(format!("{} not known", many(report.limits.missing.len() as i64, "thing")));
    }
    let names = ["Deletions pending", "Grants open", "Key policies open", "Keys unusable", "Trails stopped or blind"];
    // A table that was cut has more rows than are shown.
    let known = |grid: &Grid| {
        format!("{}{}", size(rows(grid)), if grid.note.starts_with("The first") { " and more" } else { "" })
    };
    let open = report
        .open
        .iter()
        .zip(names)
        .filter(|(grid, _)| rows(grid) > 0)
        .map(|(grid, name)| format!("{name}: {}", known(grid)));
    let mut open: Vec<String> = open.collect();
    if open.is_empty() {
        open.push("Nothing in the evidence".to_owned());
    }
    vec![
        Glance { title: "What happened", link: "#happened", lines: happened },
        Glance { title: "What the evidence cannot show", link: "#limits", lines: unseen },
        Glance { title: "What data was exposed", link: "#exposed", lines: exposed(&report.exposure.total) },
        Glance { title: "What is still open", link: "#open", lines: open },
    ]
}

/// Kinds of data at the top.
const EXPOSED: usize = 6;

/// What the suspects opened, the most first.
fn exposed(total: &Grid) -> Vec<String> {
    let number = |item: &Item| item.text.replace(',', "").parse::<i64>().unwrap_or(0);
    let mut opened: Vec<(i64, &Item, &Item)> = total
        .rows
        .iter()
        .filter_map(|row| Some((number(row.get(2)?), row.first()?, row.get(1)?)))
        .filter(|(calls, _, _)| *calls > 0)
        .collect();
    opened.sort_by_key(|(calls, _, named)| (-number(named), -calls));
    let kinds = opened.len();
    let line = |(calls, class, named): (i64, &Item, &Item)| match named.text.as_str() {
        "0" => format!("{}: {} calls", class.text, count(calls)),
        named => format!("{}: {named} opened", class.text),
    };
    let mut lines: Vec<String> = opened.into_iter().take(EXPOSED).map(line).collect();
    if kinds > EXPOSED {
        lines.push(format!("and {} more kinds of data", kinds - EXPOSED));
    }
    if lines.is_empty() {
        lines.push("Nothing that a suspect opened".to_owned());
    }
    lines
}

/// The scorecard of the reviews.
fn reviews(asked: &mut Asked<'_>) -> Grid {
    let sql = "SELECT w.review, w.title, CAST(COUNT(CASE WHEN w.result = 'fail' THEN 1 END) AS BIGINT) AS failed, \
               CAST(COUNT(CASE WHEN w.result = 'pass' THEN 1 END) AS BIGINT) AS passed, \
               CAST(COUNT(CASE WHEN w.result = 'unknown' THEN 1 END) AS BIGINT) AS unknown_count \
               FROM reviews AS w GROUP BY w.review, w.title ORDER BY review, title";
    let mut grid = Grid::new(crate::query::scorecard::CAVEAT, &["Review", "#Fail", "#Pass", "#Unknown"]);
    grid.rows = asked
        .rows("reviews", sql)
        .iter()
        .map(|row| {
            let mut cells = vec![Item::text(row.text("title"))];
            cells.extend(["failed", "passed", "unknown_count"].map(|name| Item::number(row.number(name))));
            cells
        })
        .collect();
    grid
}
