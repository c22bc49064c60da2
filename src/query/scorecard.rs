//! The compliance reviews' results: as a table, and as a scorecard.
//!
//! In: the findings of the review queries. Out: rows of `reviews`, and one [`Line`] per review with how many subjects passed,
//! failed or cannot be judged. A review sees logs and no configuration: what it calls a failure is shown by events, and what
//! no event shows is unknown, never passed.

use super::findings::Finding;
use super::header::QueryKind;
use super::library::Library;
use crate::output::Cell;
use crate::schema::{Column, Kind};
use crate::severity::Severity;

/// What stands over every scorecard.
pub const CAVEAT: &str = "Evidence in logs only: absence is not proof.";

const fn column(name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { group: "reviews", name, kind, doc }
}

/// The columns of the reviews table, in order.
pub const REVIEW_COLUMNS: [Column; 16] = [
    column("review", Kind::Text, "The review: the query's file name."),
    column("title", Kind::Text, "The review's title."),
    column("controls", Kind::Text, "The controls it gives evidence for."),
    column("subject", Kind::Text, "What was judged: a key, principal, alias, trail or account."),
    column("result", Kind::Text, "pass, fail or unknown, from the evidence in the logs alone."),
    column("severity", Kind::Text, "info, low, medium, high or critical."),
    column("first_time", Kind::Timestamp, "The first event, UTC."),
    column("last_time", Kind::Timestamp, "The last event, UTC."),
    column("account_id", Kind::Text, "The account."),
    column("region", Kind::Text, "The Region."),
    column("key_arn", Kind::Text, "The key, when one is judged."),
    column("principal", Kind::Text, "The principal, when one is judged."),
    column("event_count", Kind::Integer, "How many events."),
    column("summary", Kind::Text, "The evidence, one sentence."),
    column("details", Kind::Text, "JSON object of the review's own columns."),
    column("event_ids", Kind::Text, "JSON array of event ids, sorted, at most 1,000."),
];

/// One row of the reviews table.
pub fn cells<'f>(library: &Library, finding: &'f Finding) -> Vec<Cell<'f>> {
    let text = |value: &str| if value.is_empty() { Cell::Null } else { Cell::Text(value.to_owned().into()) };
    let optional = |value: &Option<String>| text(value.as_deref().unwrap_or_default());
    let instant = |value: Option<i64>| value.map_or(Cell::Null, Cell::Timestamp);
    let controls = library.get(&finding.rule).map_or("", |review| review.header.controls.as_str());
    vec![
        text(&finding.rule),
        text(&finding.title),
        text(controls),
        text(finding.own_text("subject")),
        text(finding.result()),
        text(finding.severity.as_str()),
        instant(finding.first_time),
        instant(finding.last_time),
        optional(&finding.account_id),
        optional(&finding.region),
        optional(&finding.key_arn),
        optional(&finding.principal),
        finding.event_count.map_or(Cell::Null, Cell::Integer),
        text(&finding.summary),
        text(&finding.details()),
        text(&finding.event_ids_json()),
    ]
}

/// One review in the scorecard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The review: the query's file name.
    pub review: String,
    /// Its title.
    pub title: String,
    /// The controls it gives evidence for.
    pub controls: String,
    /// Subjects that passed.
    pub passed: u64,
    /// Subjects that failed.
    pub failed: u64,
    /// Subjects that the evidence does not tell about.
    pub unknown: u64,
    /// The worst severity among the failures.
    pub worst: Option<Severity>,
}

impl Line {
    /// The review's result: `fail` when any subject failed, `pass` when some passed and none failed, else `unknown`.
    pub fn result(&self) -> &'static str {
        match (self.failed, self.passed) {
            (0, 0) => "unknown",
            (0, _) => "pass",
            _ => "fail",
        }
    }
}

/// The scorecard: a line per review of the library, in its order, also for those that judged nothing.
pub fn lines(library: &Library, findings: &[Finding]) -> Vec<Line> {
    let reviews = library.of_kind(QueryKind::Review);
    let lines = reviews.map(|review| {
        let rows = || findings.iter().filter(|finding| finding.rule == review.id);
        let count = |result: &str| rows().filter(|finding| finding.result() == result).count() as u64;
        Line {
            review: review.id.clone(),
            title: review.header.title.clone(),
            controls: review.header.controls.clone(),
            passed: count("pass"),
            failed: count("fail"),
            unknown: count("unknown"),
            worst: rows().filter(|finding| finding.result() == "fail").map(|finding| finding.severity).max(),
        }
    });
    lines.collect()
}
