//! Principals: the table of all, and a section for those that matter.
//!
//! In: the views about principals. Out: rows for the table, and [`Subject`]s with use, keys, networks, exposed data,
//! grants and acts of administration.

use super::acts::{self, Acts};
use super::ask::{Asked, Row};
use super::chart::{self, Scale};
use super::evidence::Evidence;
use super::exposure::{self, Kinds};
use super::findings::Findings;
use super::format::{count, many, span};
use super::keys::{GRANT_COLUMNS, List, grant_grid, worst};
use super::model::{EachSubject, Fact, Grid, Item, Paged, Subject, fact};
use super::shared::{self, Kind, Question, ROWS, finding_grid, network_grid, ranked};
use super::subjects::Subjects;
use crate::error::Result;
use std::collections::BTreeMap;

/// Principals in the table for scripts.
const LISTED: usize = 20_000;

/// Bytes of the data block.
const BUDGET: usize = 2_000_000;

const COLUMNS: &str = "p.principal, p.principal_type, p.principal_account_id, p.is_home, p.use_count, p.reveal_count, \
                       p.admin_count, p.denied_count, p.used_key_count, p.source_ip_count, p.first_time, p.last_time, \
                       p.event_count";

const FACTS: &str = "x.principal, x.principal_type, x.principal_account_id, x.is_home, x.is_service, x.first_time, \
                     x.last_time, x.event_count, x.use_count, x.reveal_count, x.direct_use_count, x.admin_count, \
                     x.read_count, x.denied_count, x.dry_run_count, x.key_count, x.used_key_count, x.resource_count, \
                     x.source_ip_count, x.network_count, x.access_key_count, x.first_source_ip";

/// The busiest principals.
pub(super) fn busy(asked: &mut Asked<'_>) -> Vec<String> {
    let sql = "SELECT p.principal, p.event_count FROM principals AS p ORDER BY event_count DESC, principal LIMIT 60";
    asked.rows("principals", sql).iter().map(|row| row.raw("principal").to_owned()).collect()
}

fn list_row(row: &Row<'_>, findings: &Findings, subjects: &Subjects) -> Vec<Item> {
    let principal = row.raw("principal");
    let [worst, number] = worst(findings.by_principal.get(principal));
    let account = row.text("principal_account_id");
    let account = match (account.is_empty(), row.flag("is_home")) {
        (false, Some(false)) => format!("{account} (other)"),
        _ => account,
    };
    vec![
        subjects.principal(principal),
        Item::text(row.text("principal_type")),
        Item::text(account),
        worst,
        number,
        Item::number(row.number("use_count")),
        Item::number(row.number("reveal_count")),
        Item::number(row.number("admin_count")),
        Item::number(row.number("denied_count")),
        Item::number(row.number("used_key_count")),
        Item::number(row.number("source_ip_count")),
        Item::time(row.instant("first_time")),
        Item::time(row.instant("last_time")),
    ]
}

/// The table of all principals: for paper, and for scripts.
pub(super) fn list(asked: &mut Asked<'_>, findings: &Findings, subjects: &Subjects) -> (Grid, Paged) {
    let sql = format!("SELECT {COLUMNS} FROM principals AS p ORDER BY event_count DESC, principal LIMIT {LISTED}");
    let rows = asked.rows("principals", &sql);
    let list = List {
        title: "Principals",
        subject: "principal",
        heads: &[
            "Principal",
            "Type",
            "Account",
            "Worst",
            "#Findings",
            "#Uses",
            "#Gave plaintext",
            "#Administration",
            "#Refused",
            "#Keys used",
            "#Addresses",
            "First",
            "Last",
        ],
        kinds: &[
            "link", "text", "text", "severity", "number", "number", "number", "number", "number", "number", "number",
            "time", "time",
        ],
        id: "principals-data",
        budget: BUDGET,
        rest: "The others are in the table principals.",
        all: "All are in the table principals.",
    };
    list.of(&rows, &findings.by_principal, |row| list_row(row, findings, subjects))
}

fn facts(row: &Row<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    fact(&mut facts, "Type", Item::text(row.text("principal_type")));
    fact(&mut facts, "Account", Item::text(row.text("principal_account_id")));
    let whose = match row.flag("is_home") {
        Some(true) => "a home account",
        Some(false) if row.is("is_service") => "an AWS service",
        Some(false) => "no home account",
        None => "",
    };
    fact(&mut facts, "Whose", Item::text(whose));
    fact(&mut facts, "Seen", Item::text(span(row.instant("first_time"), row.instant("last_time"))));
    let used = format!(
        "{}, {} gave plaintext, {} direct; {} used, {} named",
        many(row.number("use_count"), "use"),
        count(row.number("reveal_count")),
        count(row.number("direct_use_count")),
        many(row.number("used_key_count"), "key"),
        many(row.number("resource_count"), "resource"),
    );
    fact(&mut facts, "Use", Item::text(used));
    let rest = format!(
        "{} administration, {} looked, {} refused, {} dry runs",
        count(row.number("admin_count")),
        count(row.number("read_count")),
        count(row.number("denied_count")),
        count(row.number("dry_run_count")),
    );
    fact(&mut facts, "Other actions", Item::text(rest));
    let origins = format!(
        "addresses: {}, networks: {}, access keys: {}",
        count(row.number("source_ip_count")),
        count(row.number("network_count")),
        count(row.number("access_key_count")),
    );
    fact(&mut facts, "From", Item::text(origins));
    facts
}

fn key_grid(rows: &[Row<'_>], subjects: &Subjects) -> Grid {
    let mut grid = Grid::new(
        "Keys used",
        &["Key", "#Uses", "#Gave plaintext", "#Direct", "Through", "Kind of data", "First", "Last"],
    );
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                subjects.key(row.raw("key_arn")),
                Item::number(row.number("use_count")),
                Item::number(row.number("reveal_count")),
                Item::number(row.number("direct_count")),
                Item::text(row.text("via")),
                Item::text(row.text("data_class")),
                Item::time(row.instant("first_time")),
                Item::time(row.instant("last_time")),
            ]
        })
        .collect();
    grid.cut(ROWS, "The others are in the table pairs.")
}

const PAIRS: Question<'_> = Question {
    table: "pairs",
    subject: "principal",
    select: "x.key_arn, x.use_count, x.reveal_count, x.direct_count, x.via, x.data_class, x.first_time, x.last_time",
    order: "x.use_count DESC, x.key_arn DESC",
    limit: ROWS,
};

const GRANTS: Question<'_> = Question {
    table: "grants",
    subject: "grantee_principal",
    select: GRANT_COLUMNS,
    order: "x.is_service_grant, x.created_time, x.grant_id, x.key_arn",
    limit: ROWS,
};

/// What the sections of all chosen principals show, in their order, one after the other; `kinds` are the kinds of data that
/// each of them could open.
///
/// # Errors
/// Those of `each`.
pub(super) fn sections(
    asked: &mut Asked<'_>,
    findings: &Findings,
    subjects: &Subjects,
    evidence: &Evidence,
    kinds: &BTreeMap<String, Kinds>,
    scale: Scale,
    each: EachSubject<'_>,
) -> Result<()> {
    let mut acts = acts::read(asked, Kind::Principal, subjects, evidence);
    let facts_question =
        Question { table: "principals", subject: "principal", select: FACTS, order: "x.principal", limit: 1 };
    let answers = [
        ranked(asked, Kind::Principal, facts_question),
        shared::usage(asked, Kind::Principal, scale),
        ranked(asked, Kind::Principal, PAIRS),
        shared::networks(asked, Kind::Principal),
        ranked(asked, Kind::Principal, Question { subject: "creator", ..GRANTS }),
        ranked(asked, Kind::Principal, GRANTS),
    ];
    let [facts_by, usage, pairs, networks, made, received] = answers.each_ref().map(|rows| rows.by("subject"));
    let (none, no_kinds) = (Vec::new(), Kinds::new());
    for (i, principal) in subjects.principals.iter().enumerate() {
        let row = facts_by.get(principal).and_then(|rows| rows.first());
        let [worst, number] = worst(findings.by_principal.get(principal));
        let Acts { acts, note: acts_note } = acts.remove(principal).unwrap_or_default();
        let mut grids = vec![
            finding_grid(findings, Kind::Principal, principal),
            exposure::class_grid(exposure::BY_KIND, kinds.get(principal).unwrap_or(&no_kinds)),
            key_grid(pairs.get(principal).unwrap_or(&none), subjects),
            network_grid(networks.get(principal).unwrap_or(&none)),
            grant_grid("Grants it made", made.get(principal).unwrap_or(&none), subjects),
            grant_grid("Grants it received", received.get(principal).unwrap_or(&none), subjects),
        ];
        grids.retain(|grid| !grid.rows.is_empty());
        let events = row.map_or(0, |row| row.number("event_count"));
        each(Subject {
            anchor: format!("principal-{}", i + 1),
            name: super::ask::visible(principal, 300),
            also: row.map(|row| row.text("principal_type")).unwrap_or_default(),
            brief: format!("{}, findings: {}", many(events, "KMS event"), number.text),
            worst,
            facts: row.map(facts).unwrap_or_default(),
            ribbon: None,
            usage: chart::usage(scale, usage.get(principal).unwrap_or(&none)),
            grids,
            policies: Vec::new(),
            acts,
            acts_note,
        })?;
    }
    Ok(())
}
