//! The findings contract: what detect and review queries return, and what becomes of it.
//!
//! In: the rows of one query. Out: [`Finding`]s in a total order. The contract's columns come first and by name, so that a
//! query with swapped columns cannot put a key where a principal belongs. What a query adds of its own goes to `details`.
//! Lists (`STRING_AGG`) are sorted here, because no two engines agree on their order.

use super::header::{Header, QueryKind};
use super::table::{CellType, Table};
use crate::error::{Error, Result};
use crate::integrity::Verdict;
use crate::output::Cell;
use crate::schema::{Column, Kind};
use crate::severity::Severity;
use crate::time;
use std::collections::BTreeSet;

/// Event ids that a finding lists at most; `event_count` has the full number.
pub const MAX_EVENT_IDS: usize = 1_000;

/// The columns that every detect and review query returns, in this order, and what they may hold.
pub const CONTRACT: [(&str, &[CellType]); 11] = [
    ("first_time", &[CellType::Timestamp]),
    ("last_time", &[CellType::Timestamp]),
    ("account_id", &[CellType::Text]),
    ("region", &[CellType::Text]),
    ("key_arn", &[CellType::Text]),
    ("principal", &[CellType::Text]),
    ("source_ip", &[CellType::Text]),
    ("event_count", &[CellType::Integer]),
    ("severity", &[CellType::Text]),
    ("summary", &[CellType::Text]),
    ("event_ids", &[CellType::Text]),
];

const fn column(name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { group: "findings", name, kind, doc }
}

/// The columns of the findings table, in order.
pub const FINDING_COLUMNS: [Column; 16] = [
    column("rule", Kind::Text, "The rule: the query's file name."),
    column("title", Kind::Text, "The rule's title."),
    column("severity", Kind::Text, "info, low, medium, high or critical."),
    column("attack", Kind::Text, "MITRE ATT&CK techniques; NULL for reviews without one."),
    column("first_time", Kind::Timestamp, "The first event, UTC."),
    column("last_time", Kind::Timestamp, "The last event, UTC."),
    column("account_id", Kind::Text, "The account whose trail shows it."),
    column("region", Kind::Text, "The Region."),
    column("key_arn", Kind::Text, "The key concerned; NULL when there are several or none."),
    column("principal", Kind::Text, "Who did it; NULL when there are several or none."),
    column("source_ip", Kind::Text, "From where; NULL when there are several or none."),
    column("event_count", Kind::Integer, "How many events."),
    column("summary", Kind::Text, "What happened, one sentence."),
    column("details", Kind::Text, "JSON object: `incident`, and the rule's own columns."),
    column("event_ids", Kind::Text, "JSON array of event ids, sorted, at most 1,000."),
    column(
        "integrity",
        Kind::Text,
        "The worst verdict of the files that these events came from, see `integrity`; NULL when none was judged.",
    ),
];

/// One finding. Absent values are `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule: the query's file name.
    pub rule: String,
    /// The rule's title.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// ATT&CK techniques; empty for reviews without one.
    pub attack: String,
    /// The first event, microseconds since 1970-01-01 UTC.
    pub first_time: Option<i64>,
    /// The last event, microseconds since 1970-01-01 UTC.
    pub last_time: Option<i64>,
    /// The account whose trail shows it.
    pub account_id: Option<String>,
    /// The Region.
    pub region: Option<String>,
    /// The key concerned.
    pub key_arn: Option<String>,
    /// Who did it.
    pub principal: Option<String>,
    /// From where.
    pub source_ip: Option<String>,
    /// How many events.
    pub event_count: Option<i64>,
    /// What happened, one sentence.
    pub summary: String,
    /// The query's own columns, in their order: names, values, and for lists the sorted items.
    pub own: Vec<(String, OwnValue)>,
    /// Event ids, sorted, at most [`MAX_EVENT_IDS`].
    pub event_ids: Vec<String>,
    /// The incident it belongs to, from 1; 0 before incidents are made.
    pub incident: u64,
    /// The worst verdict of the files its events came from; `None` when none was judged.
    pub integrity: Option<Verdict>,
}

/// The value of a column that a query adds.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnValue {
    /// Anything but a list.
    One(Cell<'static>),
    /// The items of a `STRING_AGG`, sorted.
    List(Vec<String>),
}

impl Finding {
    /// A finding that says nothing but what happened and how bad it is.
    pub fn new(rule: &str, severity: Severity, summary: String) -> Finding {
        Finding {
            rule: rule.to_owned(),
            title: String::new(),
            severity,
            attack: String::new(),
            first_time: None,
            last_time: None,
            account_id: None,
            region: None,
            key_arn: None,
            principal: None,
            source_ip: None,
            event_count: None,
            summary,
            own: Vec::new(),
            event_ids: Vec::new(),
            incident: 0,
            integrity: None,
        }
    }

    /// A text column of the query's own; empty when there is none.
    pub fn own_text(&self, column: &str) -> &str {
        match self.own.iter().find(|(name, _)| name == column) {
            Some((_, OwnValue::One(Cell::Text(text)))) => text,
            _ => "",
        }
    }

    /// What a review says, one of [`RESULTS`]; empty for a rule's finding.
    pub fn result(&self) -> &str {
        self.own_text("result")
    }

    /// True for what a test of the query counts as found: each row of a rule, the failed ones of a review.
    pub fn is_hit(&self, kind: QueryKind) -> bool {
        kind != QueryKind::Review || self.result() == "fail"
    }

    /// The `details` column: a JSON object of the incident, if it belongs to one, and the query's own columns, in their
    /// order.
    pub fn details(&self) -> String {
        let incident = (self.incident > 0).then(|| format!("\"incident\":{}", self.incident));
        let members = self.own.iter().map(|(name, value)| format!("{}:{}", json_text(name), value.to_json()));
        format!("{{{}}}", incident.into_iter().chain(members).collect::<Vec<_>>().join(","))
    }

    /// The `event_ids` column: a JSON array.
    pub fn event_ids_json(&self) -> String {
        json_list(&self.event_ids)
    }

    /// The finding as a row of [`FINDING_COLUMNS`].
    pub fn cells(&self) -> Vec<Cell<'_>> {
        let text = |value: &'_ Option<String>| value.clone().map_or(Cell::Null, |text| Cell::Text(text.into()));
        let some = |value: &str| if value.is_empty() { Cell::Null } else { Cell::Text(value.to_owned().into()) };
        let instant = |value: Option<i64>| value.map_or(Cell::Null, Cell::Timestamp);
        vec![
            some(&self.rule),
            some(&self.title),
            some(self.severity.as_str()),
            some(&self.attack),
            instant(self.first_time),
            instant(self.last_time),
            text(&self.account_id),
            text(&self.region),
            text(&self.key_arn),
            text(&self.principal),
            text(&self.source_ip),
            self.event_count.map_or(Cell::Null, Cell::Integer),
            some(&self.summary),
            some(&self.details()),
            some(&self.event_ids_json()),
            self.integrity.map_or(Cell::Null, |verdict| Cell::Text(verdict.as_str().into())),
        ]
    }

    /// Worst first, then by time; the rest makes the order total, so that two runs list the same.
    fn order(&self, other: &Finding) -> std::cmp::Ordering {
        let late = |time: Option<i64>| time.unwrap_or(i64::MAX);
        other
            .severity
            .cmp(&self.severity)
            .then_with(|| late(self.first_time).cmp(&late(other.first_time)))
            .then_with(|| self.rule.cmp(&other.rule))
            .then_with(|| late(self.last_time).cmp(&late(other.last_time)))
            .then_with(|| self.account_id.cmp(&other.account_id))
            .then_with(|| self.region.cmp(&other.region))
            .then_with(|| self.key_arn.cmp(&other.key_arn))
            .then_with(|| self.principal.cmp(&other.principal))
            .then_with(|| self.source_ip.cmp(&other.source_ip))
            .then_with(|| self.event_count.cmp(&other.event_count))
            .then_with(|| self.summary.cmp(&other.summary))
            .then_with(|| self.event_ids.cmp(&other.event_ids))
            .then_with(|| self.details().cmp(&other.details()))
    }
}

/// Sorts findings of any number of rules: worst first, then by time, in a total order.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by(Finding::order);
}

impl OwnValue {
    fn to_json(&self) -> String {
        match self {
            OwnValue::List(items) => json_list(items),
            OwnValue::One(cell) => match cell {
                Cell::Null => "null".to_owned(),
                Cell::Boolean(_) | Cell::Integer(_) => cell.to_text().into_owned(),
                Cell::Float(number) if number.is_finite() => cell.to_text().into_owned(),
                Cell::Float(_) => "null".to_owned(),
                Cell::Text(_) | Cell::Timestamp(_) | Cell::Date(_) => json_text(&cell.to_text()),
            },
        }
    }

    /// The value as text: lists as JSON arrays, NULL as nothing.
    pub fn to_text(&self) -> String {
        match self {
            OwnValue::List(_) => self.to_json(),
            OwnValue::One(cell) => cell.to_text().into_owned(),
        }
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON array of texts.
pub(super) fn json_list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| json_text(item)).collect();
    format!("[{}]", items.join(","))
}

/// The items of a `STRING_AGG` result, sorted.
pub fn sorted_items(text: &str) -> Vec<String> {
    let mut items: Vec<_> = text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
    items.sort();
    items
}

/// The columns that a review returns after those of the contract: what was judged, and how (see [`RESULTS`]).
pub const REVIEW_CONTRACT: [&str; 2] = ["subject", "result"];

/// What a review can say: the evidence shows the practice kept, broken, or does not tell.
pub const RESULTS: [&str; 3] = ["pass", "fail", "unknown"];

/// Every way in which the columns of a query of `kind` break the contract.
pub fn contract_faults(kind: QueryKind, table: &Table) -> Vec<String> {
    let mut faults = Vec::new();
    if kind == QueryKind::Review {
        for (i, name) in (CONTRACT.len()..).zip(REVIEW_CONTRACT) {
            if table.columns.get(i).is_none_or(|column| column.name != name) {
                faults.push(format!("column {} of a review must be `{name}`", i + 1));
            }
        }
    }
    for (i, (name, types)) in CONTRACT.iter().enumerate() {
        match table.columns.get(i) {
            Some(column) if column.name != *name => {
                faults.push(format!("column {} is `{}` and must be `{name}`", i + 1, column.name));
            }
            None => faults.push(format!("column {} is missing and must be `{name}`", i + 1)),
            Some(column) if column.cell_type != CellType::Null && !types.contains(&column.cell_type) => {
                faults.push(format!("column `{name}` is {:?} and must be {:?}", column.cell_type, types));
            }
            Some(_) => {}
        }
    }
    let taken: BTreeSet<_> = ["rule", "title", "attack", "details", "incident", "integrity"].into_iter().collect();
    for column in table.columns.iter().skip(CONTRACT.len()) {
        if taken.contains(column.name.as_str()) {
            faults.push(format!("column `{}` is one that keytrail adds: choose another name", column.name));
        }
    }
    faults
}

/// Turns the rows of the query `rule` into findings, in their final order. `lists` names the columns made by `STRING_AGG`.
///
/// # Errors
/// When the columns, a severity or a review's result break the contract.
pub fn from_table(
    rule: &str,
    kind: QueryKind,
    header: &Header,
    table: &Table,
    lists: &BTreeSet<String>,
) -> Result<Vec<Finding>> {
    let broken = |message: String| Error::Query { query: rule.to_owned(), line: 0, message };
    let faults = contract_faults(kind, table);
    if !faults.is_empty() {
        return Err(broken(format!("the findings contract is broken: {}", faults.join("; "))));
    }
    let mut findings = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let text = |i: usize| match row.get(i) {
            Some(Cell::Text(text)) => Some(text.clone().into_owned()),
            _ => None,
        };
        let instant = |i: usize| match row.get(i) {
            Some(Cell::Timestamp(micros)) => Some(*micros),
            _ => None,
        };
        let severity = match text(8) {
            Some(name) => Severity::parse(&name)
                .ok_or_else(|| broken(format!("severity `{name}` is none of info, low, medium, high, critical")))?,
            None => header.severity.unwrap_or(Severity::Info),
        };
        let mut event_ids = text(10).map(|text| sorted_items(&text)).unwrap_or_default();
        event_ids.dedup();
        event_ids.truncate(MAX_EVENT_IDS);
        findings.push(Finding {
            rule: rule.to_owned(),
            title: header.title.clone(),
            severity,
            attack: header.attack.clone(),
            first_time: instant(0),
            last_time: instant(1),
            account_id: text(2),
            region: text(3),
            key_arn: text(4),
            principal: text(5),
            source_ip: text(6),
            event_count: match row.get(7) {
                Some(Cell::Integer(count)) => Some(*count),
                _ => None,
            },
            summary: text(9).unwrap_or_default(),
            own: own_values(table, row, lists),
            event_ids,
            incident: 0,
            integrity: None,
        });
    }
    if kind == QueryKind::Review
        && let Some(other) = findings.iter().find(|finding| !RESULTS.contains(&finding.result()))
    {
        return Err(broken(format!("the result `{}` is none of pass, fail, unknown", other.result())));
    }
    sort(&mut findings);
    Ok(findings)
}

fn own_values(table: &Table, row: &[Cell<'static>], lists: &BTreeSet<String>) -> Vec<(String, OwnValue)> {
    let own = table.columns.iter().zip(row).skip(CONTRACT.len());
    own.map(|(column, cell)| {
        let value = match cell {
            Cell::Text(text) if lists.contains(&column.name) => OwnValue::List(sorted_items(text)),
            _ => OwnValue::One(cell.clone()),
        };
        (column.name.clone(), value)
    })
    .collect()
}

/// The value of any column of a finding as text, for tests and CSV: times as RFC 3339, lists as JSON, NULL as nothing.
pub fn value_text(finding: &Finding, column: &str) -> Option<String> {
    let instant = |value: Option<i64>| value.map(time::format_timestamp).unwrap_or_default();
    if let Some((_, value)) = finding.own.iter().find(|(name, _)| name == column) {
        return Some(value.to_text());
    }
    Some(match column {
        "rule" => finding.rule.clone(),
        "title" => finding.title.clone(),
        "severity" => finding.severity.to_string(),
        "attack" => finding.attack.clone(),
        "first_time" => instant(finding.first_time),
        "last_time" => instant(finding.last_time),
        "account_id" => finding.account_id.clone().unwrap_or_default(),
        "region" => finding.region.clone().unwrap_or_default(),
        "key_arn" => finding.key_arn.clone().unwrap_or_default(),
        "principal" => finding.principal.clone().unwrap_or_default(),
        "source_ip" => finding.source_ip.clone().unwrap_or_default(),
        "event_count" => finding.event_count.map(|count| count.to_string()).unwrap_or_default(),
        "summary" => finding.summary.clone(),
        "details" => finding.details(),
        "event_ids" => finding.event_ids_json(),
        "integrity" => finding.integrity.map(|verdict| verdict.as_str().to_owned()).unwrap_or_default(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::ResultColumn;
    use super::*;

    fn row(severity: &str, time: i64, ids: &str) -> Vec<Cell<'static>> {
        let text = |text: &str| Cell::Text(text.to_owned().into());
        let mut cells = vec![Cell::Timestamp(time), Cell::Timestamp(time)];
        cells.extend(std::iter::repeat_n(Cell::Null, 5));
        cells.extend([Cell::Integer(2), text(severity), text("what happened"), text(ids)]);
        cells.extend([Cell::Float(0.5), text("b,a"), Cell::Null]);
        cells
    }

    fn table(rows: Vec<Vec<Cell<'static>>>) -> Table {
        let mut columns: Vec<_> = CONTRACT
            .iter()
            .map(|(name, types)| ResultColumn { name: (*name).to_owned(), cell_type: types[0] })
            .collect();
        for (name, cell_type) in [("ratio", CellType::Float), ("keys", CellType::Text), ("note", CellType::Null)] {
            columns.push(ResultColumn { name: name.to_owned(), cell_type });
        }
        Table { columns, rows }
    }

    fn findings(rows: Vec<Vec<Cell<'static>>>) -> Result<Vec<Finding>> {
        let lists = BTreeSet::from(["keys".to_owned(), "event_ids".to_owned()]);
        from_table("rule", QueryKind::Detect, &Header::default(), &table(rows), &lists)
    }

    #[test]
    fn own_columns_become_details_and_lists_are_sorted() {
        let found = findings(vec![row("high", 1_000_000, "e2,e10,e1,e2")]).unwrap();
        assert_eq!(found[0].details(), r#"{"ratio":0.5,"keys":["a","b"],"note":null}"#);
        assert_eq!(found[0].event_ids_json(), r#"["e1","e10","e2"]"#);
        assert_eq!(found[0].cells().len(), FINDING_COLUMNS.len());
        assert_eq!(value_text(&found[0], "first_time").unwrap(), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn the_worst_and_earliest_come_first() {
        let rows = vec![row("low", 1, "a"), row("high", 9, "b"), row("high", 2, "d"), row("high", 2, "c")];
        let ids: Vec<_> = findings(rows).unwrap().iter().map(Finding::event_ids_json).collect();
        assert_eq!(ids, [r#"["c"]"#, r#"["d"]"#, r#"["b"]"#, r#"["a"]"#]);
    }

    #[test]
    fn an_unknown_severity_is_refused() {
        assert!(findings(vec![row("urgent", 1, "a")]).unwrap_err().to_string().contains("severity `urgent`"));
    }

    #[test]
    fn more_event_ids_than_the_limit_are_cut() {
        let ids: Vec<_> = (0..1_200).map(|i| format!("e{i:04}")).collect();
        assert_eq!(findings(vec![row("low", 1, &ids.join(","))]).unwrap()[0].event_ids.len(), MAX_EVENT_IDS);
    }

    #[test]
    fn swapped_and_missing_columns_are_named() {
        let mut swapped = table(Vec::new());
        swapped.columns.swap(4, 5);
        assert_eq!(contract_faults(QueryKind::Detect, &swapped).len(), 2);
        swapped.columns.truncate(3);
        assert_eq!(contract_faults(QueryKind::Detect, &swapped).len(), 8);
        let mut wrong = table(Vec::new());
        wrong.columns[0].cell_type = CellType::Integer;
        wrong.columns[12].name = "details".to_owned();
        assert_eq!(contract_faults(QueryKind::Detect, &wrong).len(), 2);
    }
}
