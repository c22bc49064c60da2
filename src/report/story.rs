//! What happened: incidents as stories, and the findings as rows.
//!
//! In: findings and the table `incidents`. Out: the worst incidents told in full, each with its findings in the order of
//! time, the others in one line each; and the findings for the table that needs no script and for the one that does.

use super::ask::{Asked, Row};
use super::evidence::Evidence;
use super::findings::{Findings, Found, by_incident};
use super::format::{many, size, span, when};
use super::model::{Fact, FindingRow, Grid, Item, Names, Paged, Step, Story, fact};
use super::paged::{Texts, block};
use super::subjects::Subjects;
use serde_json::{Value, json};

/// Incidents that are told in full.
const TOLD: usize = 25;

/// Incidents in one line each.
const LISTED: usize = 200;

/// Findings of one story.
const STEPS: usize = 40;

/// Names of one kind in a story.
const NAMES: usize = 12;

/// Findings in the table that needs no script.
const STATIC: usize = 500;

/// Event ids of a finding that are listed in the table that needs no script.
const IDS: usize = 20;

/// Bytes of the data block of findings.
const BUDGET: usize = 5_500_000;

fn names(row: &Row<'_>, label: &'static str, column: &str, item: impl Fn(&str) -> Item) -> Option<Names> {
    let all: Vec<String> = serde_json::from_str(row.raw(column)).unwrap_or_default();
    let items: Vec<Item> = all.iter().take(NAMES).map(|name| item(name)).collect();
    let note = if all.len() > NAMES { format!("and {} more", size(all.len() - NAMES)) } else { String::new() };
    (!items.is_empty()).then_some(Names { label, items, note })
}

fn step(found: &Found) -> Step {
    Step {
        time: found.first.map(when).unwrap_or_default(),
        severity: Item::severity(found.severity()),
        summary: found.summary.clone(),
        rule: found.rule.clone(),
        link: format!("#finding-{}", found.number),
    }
}

/// The worst steps, in the order of time.
fn steps(findings: &[&Found]) -> (Vec<Step>, String) {
    let mut worst: Vec<(usize, &&Found)> = findings.iter().enumerate().collect();
    worst.sort_by_key(|(place, found)| (found.rank, *place));
    worst.truncate(STEPS);
    worst.sort_by_key(|(place, _)| *place);
    let note = match findings.len() > STEPS {
        true => format!("{} more findings of this incident are in the table below.", size(findings.len() - STEPS)),
        false => String::new(),
    };
    (worst.into_iter().map(|(_, found)| step(found)).collect(), note)
}

fn story(row: &Row<'_>, findings: &[&Found], subjects: &Subjects) -> Story {
    let plain = |name: &str| Item::name(super::ask::visible(name, 100));
    let (steps, note) = steps(findings);
    Story {
        number: row.number("incident"),
        severity: Item::severity(&row.text("severity")),
        span: span(row.instant("first_time"), row.instant("last_time")),
        summary: row.text("summary"),
        counts: format!(
            "{}, {}",
            many(row.number("finding_count"), "finding"),
            many(row.number("event_count"), "event")
        ),
        facts: [
            names(row, "Who", "principals", |name| subjects.principal(name)),
            names(row, "Keys", "key_arns", |name| subjects.key(name)),
            names(row, "From", "source_ips", plain),
            names(row, "Accounts", "account_ids", plain),
        ]
        .into_iter()
        .flatten()
        .collect(),
        steps,
        note,
    }
}

/// The incidents: told in full, and in one line each.
pub(super) fn stories(asked: &mut Asked<'_>, findings: &Findings, subjects: &Subjects) -> (Vec<Story>, Grid) {
    let sql = format!(
        "SELECT i.incident, i.severity, i.first_time, i.last_time, i.finding_count, i.event_count, i.principals, i.key_arns, \
         i.source_ips, i.account_ids, i.summary FROM incidents AS i ORDER BY incident LIMIT {}",
        TOLD + LISTED + 1
    );
    let rows = asked.rows("incidents", &sql);
    let groups = by_incident(&findings.rows);
    let none = Vec::new();
    let mut told = Vec::new();
    let mut grid =
        Grid::new("Further incidents", &["#No.", "Severity", "From to", "What happened", "#Findings", "#Events"]);
    for (i, row) in rows.iter().enumerate() {
        let is_bad = matches!(row.raw("severity"), "critical" | "high");
        if i < TOLD && (is_bad || i < 3) {
            told.push(story(&row, groups.get(&row.number("incident")).unwrap_or(&none), subjects));
            continue;
        }
        grid.rows.push(vec![
            Item::number(row.number("incident")),
            Item::severity(&row.text("severity")),
            Item::text(span(row.instant("first_time"), row.instant("last_time"))),
            Item::text(row.text("summary")),
            Item::number(row.number("finding_count")),
            Item::number(row.number("event_count")),
        ]);
    }
    (told, grid.cut(LISTED, "All are in incidents.csv."))
}

fn facts(found: &Found) -> Vec<Fact> {
    let mut facts = Vec::new();
    fact(&mut facts, "Rule", Item::text(format!("{}: {}", found.rule, found.title)));
    fact(&mut facts, "From to", Item::text(span(found.first, found.last)));
    fact(&mut facts, "Source address", Item::name(found.source_ip.clone()));
    fact(&mut facts, "Integrity of its files", Item::text(found.integrity.clone()));
    if found.incident > 0 {
        fact(&mut facts, "Incident", Item::text(found.incident.to_string()));
    }
    let details: Vec<String> = found.details.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    fact(&mut facts, "Details", Item::text(details.join("; ")));
    facts
}

fn ids(found: &Found, evidence: &Evidence, limit: usize) -> Vec<Item> {
    let shown = found.ids.iter().take(limit).map(|id| {
        let link = evidence.anchors.get(id).map(|anchor| format!("#{anchor}")).unwrap_or_default();
        Item::name(super::ask::visible(id, 100)).to(link)
    });
    let mut items: Vec<Item> = shown.collect();
    if found.ids.len() > limit {
        items.push(Item::text(format!("and {} more in findings.csv", size(found.ids.len() - limit))));
    }
    items
}

/// The findings in the table that needs no script.
pub(super) fn rows(findings: &Findings, subjects: &Subjects, evidence: &Evidence) -> Vec<FindingRow> {
    let shown = findings.rows.iter().take(STATIC);
    shown
        .map(|found| FindingRow {
            number: found.number,
            severity: Item::severity(found.severity()),
            time: found.first.map(when).unwrap_or_default(),
            summary: found.summary.clone(),
            rule: found.rule.clone(),
            attack: found.attack.clone(),
            place: found.place(),
            key: subjects.key(&found.key),
            principal: subjects.principal(&found.principal),
            events: super::format::count(found.events),
            facts: facts(found),
            ids: ids(found, evidence, IDS),
        })
        .collect()
}

/// How much of each finding the data block holds: all, or less when there are many.
#[derive(Debug, Clone, Copy)]
struct Detail {
    ids: usize,
    has_details: bool,
}

fn data_row(found: &Found, texts: &mut Texts, subjects: &Subjects, evidence: &Evidence, detail: Detail) -> Value {
    let micro = 1_000_000;
    let seconds = |micros: Option<i64>| micros.map(|micros| micros.div_euclid(micro));
    let (key, principal) = (subjects.key(&found.key), subjects.principal(&found.principal));
    let ids: Vec<Value> = found
        .ids
        .iter()
        .take(detail.ids)
        .map(|id| match evidence.anchors.get(id) {
            Some(anchor) => json!([super::ask::visible(id, 100), format!("#{anchor}")]),
            None => json!([super::ask::visible(id, 100)]),
        })
        .collect();
    let details: Vec<Value> = match detail.has_details {
        true => found.details.iter().map(|(name, value)| json!([texts.number(name), value])).collect(),
        false => Vec::new(),
    };
    json!([
        found.rank,
        seconds(found.first),
        found.summary,
        [texts.number(&found.rule), texts.number(&found.title), texts.number(&found.attack)],
        texts.linked(&key.text, &key.link),
        texts.linked(&principal.text, &principal.link),
        texts.number(&found.place()),
        found.events,
        [
            json!(found.number),
            json!(seconds(found.last)),
            json!(found.source_ip),
            json!(found.integrity),
            json!(found.incident),
            json!(details),
            json!(ids),
            json!(found.ids.len())
        ],
    ])
}

/// The findings for scripts: when they do not fit, first the lists of events get shorter, then the details go, then rows.
pub(super) fn data(findings: &Findings, subjects: &Subjects, evidence: &Evidence) -> Paged {
    let columns = [
        ["Severity", "severity"],
        ["First event (UTC)", "epoch"],
        ["What happened", "summary"],
        ["Rule", "rule"],
        ["Key", "link"],
        ["Principal", "link"],
        ["Account, Region", "place"],
        ["Events", "number"],
        ["", "more"],
    ];
    let rest = "All findings are in findings.csv.";
    let levels = [
        Detail { ids: 50, has_details: true },
        Detail { ids: 10, has_details: true },
        Detail { ids: 2, has_details: true },
        Detail { ids: 1, has_details: false },
    ];
    let mut paged = Paged::default();
    for detail in levels {
        let mut texts = Texts::default();
        let rows: Vec<Value> =
            findings.rows.iter().map(|found| data_row(found, &mut texts, subjects, evidence, detail)).collect();
        paged = block("findings-data", &columns, &texts, &rows, BUDGET, rest);
        if paged.rows == rows.len() {
            break;
        }
    }
    let all = usize::try_from(findings.total()).unwrap_or_default();
    if paged.rows < all && paged.note.is_empty() {
        paged.note = format!("The worst {} of {} findings are here. {rest}", size(paged.rows), size(all));
    }
    paged
}
