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
use crate::error::Result;
use crate::query::header::Partition;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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

/// The number of keys in rows of `exposure AS x`. It adds up over rows that have no key in common.
const KEYS: &str = "CAST(COUNT(DISTINCT x.key_arn) AS BIGINT) AS key_count";

/// Kinds of data with what they add up to, most opened first.
pub(super) type Kinds = Vec<(String, Total)>;

/// The kinds of data of each suspect, and of each principal with a section.
///
/// # Errors
/// When the engine refuses their list.
pub(super) fn by_principal(
    asked: &mut Asked<'_>,
    findings: &Findings,
    subjects: &Subjects,
) -> Result<BTreeMap<String, Kinds>> {
    let names: BTreeSet<String> = findings.suspects().into_iter().chain(subjects.principals.iter().cloned()).collect();
    asked.register("report_exposed", "principal", &names.into_iter().collect::<Vec<_>>())?;
    let cuts = [Partition::PrincipalResource, Partition::PrincipalKey];
    Ok(kinds(asked, "report_exposed", "x.principal, x.context_class", cuts))
}

/// The kinds of data of all principals in the table `chosen` together.
fn of_all(asked: &mut Asked<'_>, chosen: &str) -> Kinds {
    let cuts = [Partition::Resource, Partition::Key];
    kinds(asked, chosen, "x.context_class", cuts).remove("").unwrap_or_default()
}

/// Adds up pieces of `exposure` by the columns `group`, by principal or under an empty name: first such that have no resource in common, then such that have no key in common.
/// A single piece with all of what one principal could open would have to hold the names of it all at once.
fn kinds(asked: &mut Asked<'_>, chosen: &str, group: &str, cuts: [Partition; 2]) -> BTreeMap<String, Kinds> {
    let mut totals: BTreeMap<(String, String), Total> = BTreeMap::new();
    for (sums, partition) in [SUMS, KEYS].into_iter().zip(cuts) {
        let sql = format!(
            "SELECT {group}, {sums} FROM exposure AS x JOIN {chosen} AS c ON c.principal = x.principal GROUP BY {group} \
             ORDER BY context_class"
        );
        for row in asked.rows_in_pieces("exposure", partition, &sql).iter() {
            let name = [row.raw("principal"), row.raw("context_class")].map(str::to_owned);
            totals.entry(name.into()).or_default().add(&row);
        }
    }
    let mut kinds: BTreeMap<String, Kinds> = BTreeMap::new();
    for ((principal, class), total) in totals {
        kinds.entry(principal).or_default().push((class, total));
    }
    for kinds in kinds.values_mut() {
        // Stable: among equals the class decides.
        kinds.sort_by_key(|(_, total)| std::cmp::Reverse((total.opened_resources(), total.opened_count())));
    }
    kinds
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

/// The title of the kinds of data of one principal.
pub(super) const BY_KIND: &str = "Data it could open, by kind";

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

/// What rows with one kind of data add up to.
#[derive(Debug, Default)]
pub(super) struct Total {
    /// Under the heads that begin with `#`, in their order.
    counts: [i64; 6],
    first: Option<i64>,
    last: Option<i64>,
}

impl Total {
    /// Adds [`SUMS`] or [`KEYS`] of a piece; what the row lacks is nothing.
    fn add(&mut self, row: &Row<'_>) {
        let names =
            ["opened_resources", "opened_count", "written_resources", "written_count", "direct_count", "key_count"];
        for (sum, name) in self.counts.iter_mut().zip(names) {
            *sum += row.number(name);
        }
        self.first = self.first.into_iter().chain(row.instant("first_time")).min();
        self.last = self.last.max(row.instant("last_time"));
    }

    fn opened_resources(&self) -> i64 {
        self.counts[0]
    }

    fn opened_count(&self) -> i64 {
        self.counts[1]
    }

    fn written_resources(&self) -> i64 {
        self.counts[2]
    }
}

/// A table of kinds of data.
pub(super) fn class_grid(title: &str, kinds: &Kinds) -> Grid {
    let mut grid = Grid::new(title, &HEADS);
    for (class, total) in kinds {
        let mut cells = vec![Item::text(class_name(class))];
        cells.extend(total.counts.map(Item::number));
        cells.extend([total.first, total.last].map(Item::time));
        grid.rows.push(cells);
    }
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

/// What the suspects could open; `kinds` are those of [`by_principal`].
///
/// # Errors
/// When the engine refuses the list of suspects.
pub(super) fn collect(
    asked: &mut Asked<'_>,
    findings: &Findings,
    subjects: &Subjects,
    kinds: &BTreeMap<String, Kinds>,
) -> Result<Exposure> {
    let suspects = findings.suspects();
    asked.register("report_suspects", "principal", &suspects)?;
    let total = class_grid("All suspects together, by kind of data", &of_all(asked, "report_suspects"));
    let resources = resources(asked);
    let resources = resources.by("subject");
    let exposed: Vec<&String> = suspects.iter().filter(|name| kinds.contains_key(*name)).collect();
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
    let (no_kinds, no_rows) = (Kinds::new(), Vec::new());
    for principal in exposed.into_iter().take(SUSPECTS) {
        let kinds = kinds.get(principal).unwrap_or(&no_kinds);
        let sum = |count: fn(&Total) -> i64| kinds.iter().map(|(_, total)| count(total)).sum::<i64>();
        let [worst, _] = worst(findings.by_principal.get(principal));
        out.suspects.push(Exposed {
            principal: subjects.principal(principal),
            worst,
            brief: format!(
                "{} opened in {} calls, {} written",
                many(sum(Total::opened_resources), "named resource"),
                count(sum(Total::opened_count)),
                count(sum(Total::written_resources)),
            ),
            classes: class_grid(BY_KIND, kinds),
            resources: resource_grid(resources.get(principal).unwrap_or(&no_rows), subjects),
        });
    }
    Ok(out)
}
