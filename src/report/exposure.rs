//! What data was exposed: what the suspects opened, by kind of data.
//!
//! In: the view `exposure`, and the principals of findings of at least medium severity. Out: for each of them a table by
//! kind, and the resources it opened, named. It is the whole evidence and not only the time of a finding: whoever is
//! suspect now may have read last week. A suspect is a principal that a finding names, not one that is guilty.

use super::ask::{Asked, Row, Rows};
use super::findings::Findings;
use super::format::{count, many};
use super::keys::worst;
use super::model::{Grid, Item};
use super::subjects::Subjects;
use crate::query::header::Partition;
use serde::Serialize;
use std::collections::BTreeMap;

/// Suspects that are shown.
const SUSPECTS: usize = 40;

/// Resources of one suspect that are named.
const RESOURCES: usize = 40;

/// What the suspects could open.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Exposure {
    /// By kind of data, over all suspects.
    pub(super) total: Grid,
    /// By suspect.
    pub(super) suspects: Vec<Exposed>,
    /// What was left out.
    pub(super) note: String,
    /// Suspects without any exposed data.
    pub(super) without: String,
}

/// What one suspect could open.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Exposed {
    /// Who.
    pub(super) principal: Item,
    /// The worst severity of its findings.
    pub(super) worst: Item,
    /// In a few words.
    pub(super) brief: String,
    /// By kind of data.
    pub(super) classes: Grid,
    /// By name.
    pub(super) resources: Grid,
}

/// Sums over rows of `exposure AS x`. They add up over rows that have no resource in common.
const SUMS: &str = "CAST(COUNT(DISTINCT CASE WHEN x.opened_count > 0 THEN x.context_resource END) AS BIGINT) AS opened_resources, \
    CAST(SUM(x.opened_count) AS BIGINT) AS opened_count, \
    CAST(COUNT(DISTINCT CASE WHEN x.written_count > 0 THEN x.context_resource END) AS BIGINT) AS written_resources, \
    CAST(SUM(x.written_count) AS BIGINT) AS written_count, CAST(SUM(x.direct_count) AS BIGINT) AS direct_count, \
    MIN(x.first_time) AS first_time, MAX(x.last_time) AS last_time";

/// Sums by subject and kind of data; `chosen` is the table of subjects.
pub(super) fn classes(asked: &mut Asked<'_>, chosen: &str) -> Rows {
    let sql = format!(
        "SELECT x.principal AS subject, x.context_class, {SUMS}, CAST(SUM(x.attested_count) AS BIGINT) AS attested_count, \
         CAST(COUNT(DISTINCT x.key_arn) AS BIGINT) AS key_count \
         FROM exposure AS x JOIN {chosen} AS c ON c.principal = x.principal \
         GROUP BY x.principal, x.context_class ORDER BY subject, opened_resources DESC, opened_count DESC, context_class"
    );
    asked.rows_in_pieces("exposure", Partition::Principal, &sql)
}

/// What a kind of data is called.
fn class_name(class: &str) -> String {
    match class {
        "s3_object" => "S3 objects",
        "s3_bucket" => "S3 buckets (bucket keys)",
        "secret" => "secrets (Secrets Manager)",
        "parameter" => "parameters (SSM)",
        "ebs_volume" => "EBS volumes",
        "ebs_snapshot" => "EBS snapshots",
        "rds" => "RDS",
        "dynamodb" => "DynamoDB tables",
        "lambda" => "Lambda functions",
        "cloudtrail" => "CloudTrail logs",
        "logs" => "CloudWatch log groups",
        "kinesis" => "Kinesis streams",
        "custom" => "named by another context",
        "none" => "not named (no context)",
        other => return super::ask::visible(other, 60),
    }
    .to_owned()
}

const HEADS: [&str; 9] = [
    "Kind of data",
    "#Resources opened",
    "#Calls that opened",
    "#Resources written",
    "#Calls that wrote",
    "#Direct calls",
    "#Keys",
    "First",
    "Last",
];

/// What a kind of data adds up to: [`SUMS`] of one row, or of several without a resource in common.
#[derive(Default)]
struct Total {
    counts: [i64; 5],
    first: Option<i64>,
    last: Option<i64>,
}

impl Total {
    fn add(&mut self, row: &Row<'_>) {
        let names = ["opened_resources", "opened_count", "written_resources", "written_count", "direct_count"];
        for (sum, name) in self.counts.iter_mut().zip(names) {
            *sum += row.number(name);
        }
        self.first = self.first.into_iter().chain(row.instant("first_time")).min();
        self.last = self.last.max(row.instant("last_time"));
    }

    /// The cells under [`HEADS`].
    fn cells(&self, class: &str, key_count: i64) -> Vec<Item> {
        let mut cells = vec![Item::text(class_name(class))];
        cells.extend(self.counts.into_iter().chain([key_count]).map(Item::number));
        cells.extend([self.first, self.last].map(Item::time));
        cells
    }
}

fn class_row(row: &Row<'_>) -> Vec<Item> {
    let mut total = Total::default();
    total.add(row);
    total.cells(row.raw("context_class"), row.number("key_count"))
}

/// The kinds of data of one principal.
pub(super) fn class_grid(rows: &[Row<'_>]) -> Grid {
    let mut grid = Grid::new("Data it could open, by kind", &HEADS);
    grid.rows = rows.iter().map(class_row).collect();
    grid
}

fn resource_grid(rows: &[Row<'_>], subjects: &Subjects) -> Grid {
    let heads = ["Kind of data", "Resource", "Key", "#Opened", "#Written", "Through", "First", "Last"];
    let mut grid = Grid::new("Resources, opened ones first", &heads);
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                Item::text(class_name(row.raw("context_class"))),
                Item::name(row.text("context_resource")),
                subjects.key(row.raw("key_arn")),
                Item::number(row.number("opened_count")),
                Item::number(row.number("written_count")),
                Item::text(row.text("via")),
                Item::time(row.instant("first_time")),
                Item::time(row.instant("last_time")),
            ]
        })
        .collect();
    grid.cut(RESOURCES, "All are in the table exposure.")
}

fn resources(asked: &mut Asked<'_>) -> Rows {
    let sql = format!(
        "WITH named AS (SELECT x.principal AS subject, x.context_class, x.context_resource, x.key_arn, x.opened_count, \
         x.written_count, x.via, x.first_time, x.last_time, CASE WHEN x.opened_count > 0 THEN 0 ELSE 1 END AS place \
         FROM exposure AS x JOIN report_suspects AS c ON c.principal = x.principal), \
         ranked AS (SELECT n.subject, n.context_class, n.context_resource, n.key_arn, n.opened_count, n.written_count, n.via, \
         n.first_time, n.last_time, CAST(ROW_NUMBER() OVER (PARTITION BY n.subject ORDER BY n.place, n.context_class, \
         n.context_resource, n.key_arn) AS BIGINT) AS row_no FROM named AS n) \
         SELECT r.subject, r.row_no, r.context_class, r.context_resource, r.key_arn, r.opened_count, r.written_count, r.via, \
         r.first_time, r.last_time FROM ranked AS r WHERE r.row_no <= {} ORDER BY subject, row_no",
        RESOURCES + 1
    );
    asked.rows_in_pieces("exposure", Partition::Principal, &sql)
}

fn total(asked: &mut Asked<'_>) -> Grid {
    let sql = format!(
        "SELECT x.context_class, {SUMS} FROM exposure AS x JOIN report_suspects AS c ON c.principal = x.principal \
         GROUP BY x.context_class ORDER BY context_class"
    );
    let mut totals: BTreeMap<String, Total> = BTreeMap::new();
    for row in asked.rows_in_pieces("exposure", Partition::Resource, &sql).iter() {
        totals.entry(row.raw("context_class").to_owned()).or_default().add(&row);
    }
    let keys = "WITH used AS (SELECT x.context_class, x.key_arn FROM exposure AS x JOIN report_suspects AS c \
         ON c.principal = x.principal WHERE x.key_arn IS NOT NULL GROUP BY x.context_class, x.key_arn) \
         SELECT u.context_class, CAST(COUNT(*) AS BIGINT) AS key_count FROM used AS u GROUP BY u.context_class \
         ORDER BY context_class";
    let keys: BTreeMap<String, i64> = asked
        .rows("exposure", keys)
        .iter()
        .map(|row| (row.raw("context_class").to_owned(), row.number("key_count")))
        .collect();
    let mut totals: Vec<_> = totals.into_iter().collect();
    // Stable: among equals the class decides.
    totals.sort_by_key(|(_, total)| {
        let [opened_resources, opened_count, ..] = total.counts;
        std::cmp::Reverse((opened_resources, opened_count))
    });
    let mut grid = Grid::new("All suspects together, by kind of data", &HEADS);
    let cells = |(class, total): &(String, Total)| total.cells(class, keys.get(class).copied().unwrap_or_default());
    grid.rows = totals.iter().map(cells).collect();
    grid
}

/// What the suspects could open.
///
/// # Errors
/// When the engine refuses the list of suspects.
pub(super) fn collect(
    asked: &mut Asked<'_>,
    findings: &Findings,
    subjects: &Subjects,
) -> crate::error::Result<Exposure> {
    let suspects = findings.suspects();
    asked.register("report_suspects", "principal", &suspects)?;
    let total = total(asked);
    let (classes, resources) = (classes(asked, "report_suspects"), resources(asked));
    let (classes, resources) = (classes.by("subject"), resources.by("subject"));
    let exposed: Vec<&String> = suspects.iter().filter(|name| classes.contains_key(*name)).collect();
    let without = suspects.len() - exposed.len();
    let mut out = Exposure { total, ..Exposure::default() };
    if without > 0 {
        out.without =
            format!("{} that findings name opened no data that the evidence shows.", many(without as i64, "principal"));
    }
    if exposed.len() > SUSPECTS {
        out.note = format!(
            "The first {SUSPECTS} of {} suspects are shown, the worst first. All are in the table exposure.",
            exposed.len()
        );
    }
    let none = Vec::new();
    for principal in exposed.into_iter().take(SUSPECTS) {
        let rows = classes.get(principal).unwrap_or(&none);
        let sum = |name: &str| rows.iter().map(|row| row.number(name)).sum::<i64>();
        let [worst, _] = worst(findings.by_principal.get(principal));
        out.suspects.push(Exposed {
            principal: subjects.principal(principal),
            worst,
            brief: format!(
                "{} opened in {} calls, {} written",
                many(sum("opened_resources"), "named resource"),
                count(sum("opened_count")),
                count(sum("written_resources")),
            ),
            classes: class_grid(rows),
            resources: resource_grid(resources.get(principal).unwrap_or(&none), subjects),
        });
    }
    Ok(out)
}
