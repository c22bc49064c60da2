//! What the sections of keys and of principals have in common: use, networks, findings.
//!
//! In: the case, and the subjects with a section, as the tables `report_keys` and `report_principals`. Out: rows by
//! subject, and grids made from them. Each question is asked once for all subjects, with a bound per subject, so that the
//! cost grows neither with the number of subjects nor with how busy one of them is.

use super::ask::{Asked, Row, Rows};
use super::chart::Scale;
use super::findings::Findings;
use super::model::{Grid, Item};
use crate::query::header::Partition;

/// Rows of a grid in a section.
pub(super) const ROWS: usize = 20;

/// Whose section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys.
    Key,
    /// Principals.
    Principal,
}

impl Kind {
    /// The column that names it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Kind::Key => "key_arn",
            Kind::Principal => "principal",
        }
    }

    /// The table of those with a section.
    pub(super) fn chosen(self) -> &'static str {
        match self {
            Kind::Key => "report_keys",
            Kind::Principal => "report_principals",
        }
    }

    /// How tables are cut so that all rows of one are together.
    pub(super) fn partition(self) -> Partition {
        match self {
            Kind::Key => Partition::Key,
            Kind::Principal => Partition::Principal,
        }
    }

    fn timeline(self) -> &'static str {
        match self {
            Kind::Key => "key_timeline",
            Kind::Principal => "principal_timeline",
        }
    }
}

/// What is asked of a table for each chosen subject.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'q> {
    /// The table.
    pub(super) table: &'q str,
    /// The column that names the subject.
    pub(super) subject: &'q str,
    /// The columns wanted, each as `x.column`.
    pub(super) select: &'q str,
    /// A total order of the rows of one subject.
    pub(super) order: &'q str,
    /// Rows of each subject; one more is given when there are more.
    pub(super) limit: usize,
}

/// The rows of a table for each chosen subject, bounded for each.
pub(super) fn ranked(asked: &mut Asked<'_>, kind: Kind, question: Question<'_>) -> Rows {
    let Question { table, subject, select, order, limit } = question;
    let (column, chosen) = (kind.column(), kind.chosen());
    let names: Vec<&str> = select.split(", ").filter_map(|item| item.split(['.', ' ']).next_back()).collect();
    let shown: Vec<String> = names.iter().map(|name| format!("r.{name}")).collect();
    let sql = format!(
        "WITH ranked AS (SELECT x.{subject} AS subject, {select}, CAST(ROW_NUMBER() OVER (PARTITION BY x.{subject} ORDER BY \
         {order}) AS BIGINT) AS row_no FROM {table} AS x JOIN {chosen} AS c ON c.{column} = x.{subject}) \
         SELECT r.subject, r.row_no, {} FROM ranked AS r WHERE r.row_no <= {} ORDER BY subject, row_no",
        shown.join(", "),
        limit + 1
    );
    asked.rows(table, &sql)
}

/// Actions per subject, stretch of time and class.
pub(super) fn usage(asked: &mut Asked<'_>, kind: Kind, scale: Scale) -> Rows {
    let (column, chosen, table) = (kind.column(), kind.chosen(), kind.timeline());
    // The scale begins at a multiple of its stretch, so both cut the time at the same places.
    let bucket = scale.bucket;
    let sql = format!(
        "WITH buckets AS (SELECT t.{column} AS subject, t.hour_epoch - (t.hour_epoch % {bucket}) AS bucket, \
         t.action_class, t.reveals_plaintext, t.outcome, t.event_count FROM {table} AS t \
         JOIN {chosen} AS c ON c.{column} = t.{column}) \
         SELECT b.subject, b.bucket, b.action_class, b.reveals_plaintext, b.outcome, \
         CAST(SUM(b.event_count) AS BIGINT) AS event_count FROM buckets AS b \
         GROUP BY b.subject, b.bucket, b.action_class, b.reveals_plaintext, b.outcome \
         ORDER BY subject, bucket, action_class, reveals_plaintext, outcome"
    );
    asked.rows(table, &sql)
}

/// Networks and clients of direct use.
pub(super) fn networks(asked: &mut Asked<'_>, kind: Kind) -> Rows {
    let (column, chosen) = (kind.column(), kind.chosen());
    let sql = format!(
        "WITH origins AS (SELECT o.{column} AS subject, o.network, o.agent, o.vpc_endpoint_id, \
         CAST(SUM(o.call_count) AS BIGINT) AS call_count, MIN(o.first_time) AS first_time, MAX(o.last_time) AS last_time, \
         MIN(o.source_ip) AS source_ip FROM origin_days AS o JOIN {chosen} AS c ON c.{column} = o.{column} \
         GROUP BY o.{column}, o.network, o.agent, o.vpc_endpoint_id), \
         counted AS (SELECT n.subject, n.network, n.agent, n.vpc_endpoint_id, n.call_count, n.first_time, n.last_time, \
         n.source_ip, -n.call_count AS negative_count FROM origins AS n), \
         ranked AS (SELECT k.subject, k.network, k.agent, k.vpc_endpoint_id, k.call_count, k.first_time, k.last_time, \
         k.source_ip, CAST(ROW_NUMBER() OVER (PARTITION BY k.subject ORDER BY k.negative_count, k.network, k.agent, \
         k.vpc_endpoint_id) AS BIGINT) AS row_no FROM counted AS k) \
         SELECT r.subject, r.row_no, r.network, r.agent, r.vpc_endpoint_id, r.call_count, r.first_time, r.last_time, \
         r.source_ip FROM ranked AS r WHERE r.row_no <= {} ORDER BY subject, row_no",
        ROWS + 1
    );
    asked.rows("origin_days", &sql)
}

/// Where direct use came from.
pub(super) fn network_grid(rows: &[Row<'_>]) -> Grid {
    let mut grid = Grid::new(
        "Networks and clients of direct calls",
        &["Network", "An address", "Client", "VPC endpoint", "#Calls", "First", "Last"],
    );
    grid.rows = rows
        .iter()
        .map(|row| {
            vec![
                Item::name(row.text("network")),
                Item::name(row.text("source_ip")),
                Item::text(row.text("agent")),
                Item::name(row.text("vpc_endpoint_id")),
                Item::number(row.number("call_count")),
                Item::time(row.instant("first_time")),
                Item::time(row.instant("last_time")),
            ]
        })
        .collect();
    grid.cut(ROWS, "The others are in the table origin_days.")
}

/// The findings of one subject.
pub(super) fn finding_grid(findings: &Findings, kind: Kind, name: &str) -> Grid {
    let mut grid = Grid::new("Findings", &["Severity", "First event", "What happened", "Rule"]);
    let of = |found: &&super::findings::Found| match kind {
        Kind::Key => found.key == name,
        Kind::Principal => found.principal == name,
    };
    grid.rows = findings
        .rows
        .iter()
        .filter(of)
        .map(|found| {
            vec![
                Item::severity(found.severity()),
                Item::time(found.first),
                Item::text(found.summary.clone()),
                Item::text(found.rule.clone()).to(format!("#finding-{}", found.number)),
            ]
        })
        .collect();
    grid.cut(ROWS, "The others are in the table of all findings.")
}
