//! What the sections of keys and of principals have in common: use, networks, findings, acts of administration.
//!
//! In: the case, and the subjects with a section, as the tables `report_keys` and `report_principals`. Out: rows by
//! subject, and grids made from them. Each question is asked once for all subjects, with a bound per subject, so that the
//! cost grows neither with the number of subjects nor with how busy one of them is.

use super::ask::{Asked, Row, Rows};
use super::chart::Scale;
use super::evidence::field;
use super::findings::Findings;
use super::format::when;
use super::model::{Act, Grid, Item, Raw};
use super::subjects::Subjects;
use std::collections::HashMap;

/// Rows of a grid in a section.
pub(super) const ROWS: usize = 20;

/// Acts of administration with their records in a section.
pub(super) const ACTS: usize = 25;

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

const RAW_COLUMNS: &str = "x.event_time, x.event_epoch, x.event_id, x.event_name, x.action_class, x.outcome, x.key_arn, \
                           x.principal, x.principal_arn, x.session_name, x.access_key_id, x.via, x.source_ip, x.user_agent, \
                           x.error_code, x.error_message, x.request_parameters, x.response_elements, x.additional_event_data";

/// Acts of administration of each subject: grants last, because services make them by the thousand.
pub(super) fn acts(asked: &mut Asked<'_>, kind: Kind) -> Rows {
    let column = kind.column();
    let chosen = kind.chosen();
    let names: Vec<String> = RAW_COLUMNS
        .split(", ")
        .filter_map(|item| item.trim().strip_prefix("x."))
        .map(|name| format!("r.{name}"))
        .collect();
    let sql = format!(
        "WITH told AS (SELECT {RAW_COLUMNS}, x.{column} AS subject, CASE WHEN x.action_class = 'grant' AND \
         COALESCE(x.is_service_grant, FALSE) THEN 3 WHEN x.action_class = 'grant' THEN 2 WHEN x.outcome = 'ok' THEN 0 ELSE \
         1 END AS place FROM admin_events AS x JOIN {chosen} AS c ON c.{column} = x.{column}), \
         ranked AS (SELECT {}, r.subject, CAST(ROW_NUMBER() OVER (PARTITION BY r.subject ORDER BY r.place, r.event_epoch, \
         r.event_id) AS BIGINT) AS row_no FROM told AS r) \
         SELECT {}, r.subject, r.row_no FROM ranked AS r WHERE r.row_no <= {} ORDER BY subject, event_epoch, event_id",
        names.join(", "),
        names.join(", "),
        ACTS + 1
    );
    asked.rows("admin_events", &sql)
}

/// The acts of one subject with their records; and a word when there are more.
pub(super) fn act_list(
    rows: &[Row<'_>],
    kind: Kind,
    subjects: &Subjects,
    anchors: &HashMap<String, String>,
) -> (Vec<Act>, String) {
    let shown = rows.iter().filter(|row| row.number("row_no") <= ACTS as i64);
    let acts = shown.map(|row| Act {
        time: row.instant("event_time").map(when).unwrap_or_default(),
        action: row.text("event_name"),
        outcome: row.text("outcome"),
        other: match kind {
            Kind::Key => subjects.principal(row.raw("principal")),
            Kind::Principal => subjects.key(row.raw("key_arn")),
        },
        source: row.text("source_ip"),
        raw: raw(row, anchors),
    });
    let note = match rows.len() > ACTS {
        true => format!("{ACTS} acts are shown, grants last. All are in the table admin_events."),
        false => String::new(),
    };
    (acts.collect(), note)
}

/// The record behind a row of admin_events. A record that stands among the cited events is not repeated.
fn raw(row: &Row<'_>, anchors: &HashMap<String, String>) -> Raw {
    let mut raw = Raw { id: row.text("event_id"), anchor: String::new(), fields: Vec::new() };
    if let Some(anchor) = anchors.get(row.raw("event_id")) {
        raw.anchor.clone_from(anchor);
        return raw;
    }
    const FIELDS: [(&str, &str); 11] = [
        ("identity", "principal_arn"),
        ("session", "session_name"),
        ("access key", "access_key_id"),
        ("via", "via"),
        ("source address", "source_ip"),
        ("user agent", "user_agent"),
        ("error code", "error_code"),
        ("error message", "error_message"),
        ("requestParameters", "request_parameters"),
        ("responseElements", "response_elements"),
        ("additionalEventData", "additional_event_data"),
    ];
    for (name, column) in FIELDS {
        let text = row.raw(column);
        if !text.is_empty() {
            raw.fields.push((name, field(text)));
        }
    }
    raw
}
