//! The findings, worst first, as everything else in the report needs them.
//!
//! In: the case's table `findings`. Out: [`Found`] rows in their final order, totals by severity, and who and what they
//! name. The number of a finding is its place in `findings.csv`. Of a flood of findings the worst are read, and the report
//! says how many there are.

use super::ask::{Asked, Row, SHOWN_CHARS, visible};
use crate::time::{DAY, MICROS};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Findings that are read.
pub(super) const READ: usize = 20_000;

/// Severities, worst first.
pub(super) const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "info"];

/// A finding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// From 1, worst first.
    pub(super) number: usize,
    /// Place of its severity in [`SEVERITIES`].
    pub(super) rank: usize,
    /// Its incident; 0 when it has none.
    pub(super) incident: i64,
    /// First event.
    pub(super) first: Option<i64>,
    /// Last event.
    pub(super) last: Option<i64>,
    /// The rule.
    pub(super) rule: String,
    /// The rule's title.
    pub(super) title: String,
    /// ATT&CK.
    pub(super) attack: String,
    /// Account.
    pub(super) account: String,
    /// Region.
    pub(super) region: String,
    /// Key, as in the case.
    pub(super) key: String,
    /// Principal, as in the case.
    pub(super) principal: String,
    /// Source address.
    pub(super) source_ip: String,
    /// Events.
    pub(super) events: i64,
    /// What happened.
    pub(super) summary: String,
    /// The worst verdict on the files its events came from; empty when nothing was judged.
    pub(super) integrity: String,
    /// The rule's own columns.
    pub(super) details: Vec<(String, String)>,
    /// Event ids, as in the case.
    pub(super) ids: Vec<String>,
}

impl Found {
    /// Its severity.
    pub(super) fn severity(&self) -> &'static str {
        SEVERITIES.get(self.rank).copied().unwrap_or("info")
    }

    /// Account and Region.
    pub(super) fn place(&self) -> String {
        [self.account.as_str(), self.region.as_str()]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The days its events fall on, since 1970-01-01 UTC.
    pub(super) fn days(&self) -> std::ops::RangeInclusive<i32> {
        let day = |micros: i64| i32::try_from(micros.div_euclid(MICROS * DAY)).unwrap_or_default();
        let first = self.first.or(self.last).map_or(0, day);
        first..=self.last.map_or(first, day)
    }
}

fn details(text: &str) -> (i64, Vec<(String, String)>) {
    let Ok(serde_json::Value::Object(members)) = serde_json::from_str(text) else { return (0, Vec::new()) };
    let incident = members.get("incident").and_then(serde_json::Value::as_i64).unwrap_or(0);
    let shown =
        members.into_iter().filter(|(name, value)| name != "incident" && !value.is_null()).map(|(name, value)| {
            let text = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Array(items) => {
                    let items =
                        items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned));
                    items.collect::<Vec<_>>().join(", ")
                }
                other => other.to_string(),
            };
            (visible(&name, 100), visible(&text, SHOWN_CHARS))
        });
    (incident, shown.collect())
}

fn found(number: usize, row: Row<'_>) -> Found {
    let (incident, details) = details(row.raw("details"));
    Found {
        number,
        rank: SEVERITIES.iter().position(|name| *name == row.raw("severity")).unwrap_or(SEVERITIES.len() - 1),
        incident,
        first: row.instant("first_time"),
        last: row.instant("last_time"),
        rule: row.text("rule"),
        title: row.text("title"),
        attack: row.text("attack"),
        account: row.text("account_id"),
        region: row.text("region"),
        key: row.raw("key_arn").to_owned(),
        principal: row.raw("principal").to_owned(),
        source_ip: row.text("source_ip"),
        events: row.number("event_count"),
        summary: row.text("summary"),
        integrity: row.text("integrity"),
        details,
        ids: serde_json::from_str(row.raw("event_ids")).unwrap_or_default(),
    }
}

/// All findings that the report shows, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The findings, worst first.
    pub(super) rows: Vec<Found>,
    /// All findings of the case, by rank of severity.
    pub(super) totals: [i64; 5],
    /// Per key: the rank of the worst finding and their number.
    pub(super) by_key: HashMap<String, (usize, i64)>,
    /// Per principal.
    pub(super) by_principal: HashMap<String, (usize, i64)>,
}

impl Findings {
    /// All findings of the case.
    pub(super) fn total(&self) -> i64 {
        self.totals.iter().sum()
    }

    /// The principals of findings of at least medium severity, the worst first.
    pub(super) fn suspects(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let named = self.rows.iter().filter(|found| found.rank <= 2 && !found.principal.is_empty());
        named.filter(|found| seen.insert(found.principal.clone())).map(|found| found.principal.clone()).collect()
    }
}

fn count_names(rows: &[Found], name: fn(&Found) -> &String) -> HashMap<String, (usize, i64)> {
    let mut counts: HashMap<String, (usize, i64)> = HashMap::new();
    for found in rows.iter().filter(|found| !name(found).is_empty()) {
        let count = counts.entry(name(found).clone()).or_insert((found.rank, 0));
        count.0 = count.0.min(found.rank);
        count.1 += 1;
    }
    counts
}

/// Reads the findings of a case.
pub(super) fn read(asked: &mut Asked<'_>) -> Findings {
    let integrity = if asked.has_column("findings", "integrity") { "f.integrity" } else { "NULL AS integrity" };
    let sql = format!(
        "SELECT f.rule, f.title, f.severity, f.attack, f.first_time, f.last_time, f.account_id, f.region, f.key_arn, \
         f.principal, f.source_ip, f.event_count, f.summary, f.details, f.event_ids, {integrity}, \
         CASE WHEN f.severity = 'critical' THEN 0 WHEN f.severity = 'high' THEN 1 WHEN f.severity = 'medium' THEN 2 \
         WHEN f.severity = 'low' THEN 3 ELSE 4 END AS severity_rank \
         FROM findings AS f ORDER BY severity_rank, first_time NULLS LAST, rule, last_time NULLS LAST, account_id NULLS \
         FIRST, region NULLS FIRST, key_arn NULLS FIRST, principal NULLS FIRST, source_ip NULLS FIRST, event_count NULLS \
         FIRST, summary, event_ids, details LIMIT {READ}"
    );
    let rows = asked.rows("findings", &sql);
    let rows: Vec<Found> = rows.iter().enumerate().map(|(i, row)| found(i + 1, row)).collect();
    let mut totals = [0; 5];
    let counts = asked.rows(
        "findings",
        "SELECT f.severity, CAST(COUNT(*) AS BIGINT) AS n FROM findings AS f GROUP BY f.severity ORDER BY severity",
    );
    for row in counts.iter() {
        let rank = SEVERITIES.iter().position(|name| *name == row.raw("severity")).unwrap_or(4);
        if let Some(total) = totals.get_mut(rank) {
            *total += row.number("n");
        }
    }
    let by_key = count_names(&rows, |found| &found.key);
    let by_principal = count_names(&rows, |found| &found.principal);
    Findings { rows, totals, by_key, by_principal }
}

/// The findings of each incident, in the order of time.
pub(super) fn by_incident(rows: &[Found]) -> BTreeMap<i64, Vec<&Found>> {
    let mut groups: BTreeMap<i64, Vec<&Found>> = BTreeMap::new();
    for found in rows.iter().filter(|found| found.incident > 0) {
        groups.entry(found.incident).or_default().push(found);
    }
    for group in groups.values_mut() {
        group.sort_by_key(|found| (found.first.unwrap_or(i64::MAX), found.rank, found.number));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_lose_the_incident_and_lists_are_read() {
        let (incident, shown) = details(r#"{"incident":7,"actions":["a","b"],"n":3,"none":null,"x":"<b>\u202e"}"#);
        assert_eq!(incident, 7);
        let shown: Vec<String> = shown.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["actions=a, b", "n=3", "x=<b>\\u{202e}"]);
        assert_eq!(details("no JSON"), (0, Vec::new()));
    }

    #[test]
    fn suspects_are_those_of_medium_and_worse_each_once() {
        let row = |rank, principal: &str| Found { rank, principal: principal.to_owned(), ..Found::default() };
        let rows = vec![row(0, "b"), row(1, "a"), row(2, "b"), row(2, ""), row(3, "c")];
        let by_principal = count_names(&rows, |found| &found.principal);
        assert_eq!(by_principal.get("b"), Some(&(0, 2)));
        assert_eq!(Findings { rows, ..Findings::default() }.suspects(), ["b", "a"]);
    }

    #[test]
    fn the_days_of_a_finding_are_those_between_its_events() {
        let day = DAY * MICROS;
        let found = Found { first: Some(day), last: Some(3 * day + 5), ..Found::default() };
        assert_eq!(found.days(), 1..=3);
        assert_eq!(Found { first: Some(day), ..Found::default() }.days(), 1..=1);
    }
}
