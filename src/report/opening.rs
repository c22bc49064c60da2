//! The top of the report: what the case is, and four questions with their answers in numbers.
//!
//! In: the manifest, the findings, and the parts of the report. Out: facts and boxes. One hash of all tables ties
//! the page to the case: whoever doubts a page computes it again.

use super::ask::{Asked, SHOWN_CHARS, visible};
use super::findings::{Findings, SEVERITIES};
use super::format::{count, many, size};
use super::model::{Fact, Glance, Grid, Item, Report, fact};
use crate::case::manifest::Manifest;

/// What is known about the case as a whole.
pub(super) fn facts(manifest: &Manifest) -> Vec<Fact> {
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
    let hash = manifest.tables_hash().unwrap_or_else(|| "not listed by this version of the case".to_owned());
    fact(&mut facts, "SHA-256 of all tables", Item::name(hash));
    facts
}

/// Findings per severity, worst first.
pub(super) fn severities(findings: &Findings) -> Vec<(Item, String)> {
    SEVERITIES.iter().zip(findings.totals).map(|(name, total)| (Item::severity(name), count(total))).collect()
}

/// The four questions at the top.
pub(super) fn glance(report: &Report, findings: &Findings, incidents: i64) -> Vec<Glance> {
    let rows = |grid: &Grid| grid.rows.len();
    let bad = findings.totals.iter().take(2).sum::<i64>();
    let happened = match findings.total() {
        0 => vec!["No rule found anything.".to_owned()],
        total => vec![
            format!("{} in {}", many(total, "finding"), many(incidents, "incident")),
            format!("{} of them critical or high", count(bad)),
        ],
    };
    let (listed, weighty) = report.limits.listed;
    let mut unseen =
        vec![format!("{} listed, {} of them critical or high", many(listed as i64, "limit"), size(weighty))];
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
pub(super) fn reviews(asked: &mut Asked<'_>) -> Grid {
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
