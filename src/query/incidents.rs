//! Findings that tell of one act become one incident.
//!
//! In: the findings of all rules. Out: their incident numbers, and the [`Incident`]s, worst first. Two findings belong
//! together when they name a common event, or the same principal and the same key within a day; and so, step by step, does
//! what belongs to either. Ten rules about one act then read as one story. It is Rust and no SQL, because following such
//! steps to their end takes a recursion, which the portable subset has not. Deliberately absent: any judgement of its own;
//! an incident is as severe as its worst finding.

use super::findings::{Finding, json_list};
use crate::output::Cell;
use crate::schema::{Column, Kind};
use crate::severity::Severity;
use crate::time::{DAY, MICROS, format_timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// 24 hours, in microseconds: findings on one principal and key with less between them are one act.
const NEAR: i64 = DAY * MICROS;

const fn column(name: &'static str, kind: Kind, doc: &'static str) -> Column {
    Column { group: "incidents", name, kind, doc }
}

/// The columns of the incidents table, in order.
pub const INCIDENT_COLUMNS: [Column; 13] = [
    column(
        "incident",
        Kind::Integer,
        "Number of the incident in this case, the worst first; findings have it in `details`.",
    ),
    column("severity", Kind::Text, "The severity of its worst finding."),
    column("first_time", Kind::Timestamp, "The first event, UTC."),
    column("last_time", Kind::Timestamp, "The last event, UTC."),
    column("finding_count", Kind::Integer, "Findings that belong to it."),
    column("event_count", Kind::Integer, "Distinct events that its findings list."),
    column("rules", Kind::Text, "The rules, sorted, comma-separated."),
    column("account_ids", Kind::Text, "JSON array of the accounts."),
    column("principals", Kind::Text, "JSON array of the principals."),
    column("key_arns", Kind::Text, "JSON array of the keys."),
    column("source_ips", Kind::Text, "JSON array of the source addresses."),
    column("summary", Kind::Text, "The summary of its worst finding."),
    column(
        "storyline",
        Kind::Text,
        "JSON array: its findings in the order of time, each with time, severity, rule and summary.",
    ),
];

/// Findings that tell of one act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// From 1, the worst first.
    pub number: u64,
    /// The severity of its worst finding.
    pub severity: Severity,
    /// The first event, microseconds since 1970-01-01 UTC.
    pub first_time: Option<i64>,
    /// The last event, microseconds since 1970-01-01 UTC.
    pub last_time: Option<i64>,
    /// Distinct events that the findings list.
    pub event_count: u64,
    /// The summary of its worst finding.
    pub summary: String,
    /// The findings in the order of time.
    pub story: Vec<Step>,
    /// The accounts.
    pub account_ids: BTreeSet<String>,
    /// The principals.
    pub principals: BTreeSet<String>,
    /// The keys.
    pub key_arns: BTreeSet<String>,
    /// The source addresses.
    pub source_ips: BTreeSet<String>,
}

/// One finding in a storyline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its first event, microseconds since 1970-01-01 UTC.
    pub time: Option<i64>,
    /// How bad.
    pub severity: Severity,
    /// The rule.
    pub rule: String,
    /// What happened.
    pub summary: String,
}

impl Step {
    /// One line: time, severity, rule, summary.
    pub fn line(&self) -> String {
        let time = self.time.map(format_timestamp).unwrap_or_default();
        format!("{time} {} {}: {}", self.severity, self.rule, self.summary)
    }
}

impl Incident {
    /// The incident as a row of [`INCIDENT_COLUMNS`].
    pub fn cells(&self) -> Vec<Cell<'static>> {
        let number = |value: u64| Cell::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        let instant = |value: Option<i64>| value.map_or(Cell::Null, Cell::Timestamp);
        let text = |value: String| Cell::Text(value.into());
        let list = |values: &BTreeSet<String>| text(json_list(&values.iter().cloned().collect::<Vec<_>>()));
        let rules: BTreeSet<&str> = self.story.iter().map(|step| step.rule.as_str()).collect();
        let story: Vec<String> = self.story.iter().map(Step::line).collect();
        vec![
            number(self.number),
            text(self.severity.to_string()),
            instant(self.first_time),
            instant(self.last_time),
            number(self.story.len() as u64),
            number(self.event_count),
            text(rules.into_iter().collect::<Vec<_>>().join(",")),
            list(&self.account_ids),
            list(&self.principals),
            list(&self.key_arns),
            list(&self.source_ips),
            text(self.summary.clone()),
            text(json_list(&story)),
        ]
    }
}

/// Sets of findings that are being joined: each finding points to another of its set, and one to itself.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut item: usize) -> usize {
        while let Some(parent) = self.0.get(item).copied().filter(|parent| *parent != item) {
            // Halving the path keeps later walks short.
            let above = self.0.get(parent).copied().unwrap_or(parent);
            if let Some(place) = self.0.get_mut(item) {
                *place = above;
            }
            item = parent;
        }
        item
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(place) = self.0.get_mut(a.max(b)) {
            *place = a.min(b);
        }
    }
}

/// Numbers the incidents of `findings`, which are in their final order, and gives them.
pub fn group(findings: &mut [Finding]) -> Vec<Incident> {
    let mut sets = Sets((0..findings.len()).collect());
    join_common_events(findings, &mut sets);
    join_neighbors(findings, &mut sets);
    // Findings come worst first, so the first member of a set decides its place.
    let mut numbers: BTreeMap<usize, u64> = BTreeMap::new();
    for (i, finding) in findings.iter_mut().enumerate() {
        let next = numbers.len() as u64 + 1;
        finding.incident = *numbers.entry(sets.root(i)).or_insert(next);
    }
    let mut members: BTreeMap<u64, Vec<&Finding>> = BTreeMap::new();
    for finding in findings.iter() {
        members.entry(finding.incident).or_default().push(finding);
    }
    members.into_iter().filter_map(|(number, members)| incident(number, &members)).collect()
}

fn join_common_events(findings: &[Finding], sets: &mut Sets) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (i, finding) in findings.iter().enumerate() {
        for id in &finding.event_ids {
            let first = *seen.entry(id).or_insert(i);
            sets.join(first, i);
        }
    }
}

/// Begin, end and place of a finding.
type Act = (i64, i64, usize);

/// One principal on one key: sorted by begin, a finding joins the ones before it when it begins within a day of the latest
/// end among them.
fn join_neighbors(findings: &[Finding], sets: &mut Sets) {
    let mut by_pair: BTreeMap<(&str, &str), Vec<Act>> = BTreeMap::new();
    for (i, finding) in findings.iter().enumerate() {
        if let (Some(principal), Some(key), Some(first)) = (&finding.principal, &finding.key_arn, finding.first_time) {
            let last = finding.last_time.unwrap_or(first);
            by_pair.entry((principal, key)).or_default().push((first, last, i));
        }
    }
    for mut acts in by_pair.into_values() {
        acts.sort_unstable();
        let mut before: Option<(i64, usize)> = None;
        for (first, last, i) in acts {
            before = Some(match before {
                Some((end, other)) if first.saturating_sub(end) <= NEAR => {
                    sets.join(other, i);
                    (end.max(last), i)
                }
                _ => (last, i),
            });
        }
    }
}

/// An incident from its findings, worst first.
fn incident(number: u64, members: &[&Finding]) -> Option<Incident> {
    let worst = members.first()?;
    let names = |of: fn(&Finding) -> &Option<String>| -> BTreeSet<String> {
        members.iter().filter_map(|finding| of(finding).clone()).collect()
    };
    let mut story: Vec<Step> = members
        .iter()
        .map(|finding| Step {
            time: finding.first_time,
            severity: finding.severity,
            rule: finding.rule.clone(),
            summary: finding.summary.clone(),
        })
        .collect();
    story.sort_by(|a, b| {
        let late = |time: Option<i64>| time.unwrap_or(i64::MAX);
        let times = late(a.time).cmp(&late(b.time));
        times.then_with(|| b.severity.cmp(&a.severity)).then_with(|| (&a.rule, &a.summary).cmp(&(&b.rule, &b.summary)))
    });
    let events: BTreeSet<&str> = members.iter().flat_map(|finding| &finding.event_ids).map(String::as_str).collect();
    Some(Incident {
        number,
        severity: worst.severity,
        first_time: members.iter().filter_map(|finding| finding.first_time).min(),
        last_time: members.iter().filter_map(|finding| finding.last_time.or(finding.first_time)).max(),
        event_count: events.len() as u64,
        summary: worst.summary.clone(),
        story,
        account_ids: names(|finding| &finding.account_id),
        principals: names(|finding| &finding.principal),
        key_arns: names(|finding| &finding.key_arn),
        source_ips: names(|finding| &finding.source_ip),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * MICROS;

    fn finding(rule: &str, severity: Severity, hours: (i64, i64), who: (&str, &str), ids: &[&str]) -> Finding {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Finding {
            first_time: Some(hours.0 * HOUR),
            last_time: Some(hours.1 * HOUR),
            principal: some(who.0),
            key_arn: some(who.1),
            event_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Finding::new(rule, severity, format!("{rule} happened"))
        }
    }

    fn numbers(findings: &mut [Finding]) -> Vec<u64> {
        let incidents = group(findings);
        let numbers: Vec<u64> = findings.iter().map(|finding| finding.incident).collect();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(incidents.iter().map(|incident| incident.number).collect::<BTreeSet<_>>(), distinct);
        numbers
    }

    #[test]
    fn a_common_event_makes_one_incident_also_through_a_third() {
        let mut findings = [
            finding("a", Severity::High, (0, 0), ("p", ""), &["e1"]),
            finding("b", Severity::Medium, (900, 900), ("q", "k"), &["e9"]),
            finding("c", Severity::Low, (500, 500), ("", ""), &["e3"]),
            finding("d", Severity::Info, (0, 500), ("r", ""), &["e1", "e3"]),
        ];
        assert_eq!(numbers(&mut findings), [1, 2, 1, 1]);
    }

    #[test]
    fn one_principal_on_one_key_within_a_day_is_one_incident() {
        let near = || finding("a", Severity::High, (0, 10), ("p", "k"), &["e1"]);
        for (begin, who, expected) in [
            (34, ("p", "k"), [1, 1]),
            (35, ("p", "k"), [1, 2]),
            (5, ("p", "k2"), [1, 2]),
            (5, ("q", "k"), [1, 2]),
            (5, ("", "k"), [1, 2]),
        ] {
            let mut findings = [near(), finding("b", Severity::Low, (begin, begin), who, &["e2"])];
            assert_eq!(numbers(&mut findings), expected, "{begin} {who:?}");
        }
    }

    #[test]
    fn a_long_act_reaches_to_its_end_and_not_only_its_last_neighbor() {
        let mut findings = [
            finding("long", Severity::High, (0, 100), ("p", "k"), &["e1"]),
            finding("short", Severity::High, (1, 2), ("p", "k"), &["e2"]),
            finding("later", Severity::High, (110, 110), ("p", "k"), &["e3"]),
        ];
        assert_eq!(numbers(&mut findings), [1, 1, 1]);
    }

    #[test]
    fn an_incident_is_as_severe_as_its_worst_and_tells_in_the_order_of_time() {
        let mut findings = [
            finding("worst", Severity::Critical, (5, 6), ("p", "k"), &["e2", "e1"]),
            finding("first", Severity::Low, (1, 1), ("q", "k2"), &["e1"]),
        ];
        let incidents = group(&mut findings);
        assert_eq!(incidents.len(), 1);
        let rules: Vec<&str> = incidents[0].story.iter().map(|step| step.rule.as_str()).collect();
        assert_eq!(rules, ["first", "worst"]);
        assert_eq!((incidents[0].severity, incidents[0].event_count), (Severity::Critical, 2));
        assert_eq!((incidents[0].first_time, incidents[0].last_time), (Some(HOUR), Some(6 * HOUR)));
        assert_eq!(incidents[0].summary, "worst happened");
        assert_eq!(incidents[0].cells().len(), INCIDENT_COLUMNS.len());
        assert!(findings[0].details().starts_with(r#"{"incident":1"#), "{}", findings[0].details());
    }
}
