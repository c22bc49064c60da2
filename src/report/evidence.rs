//! The records behind the findings: what CloudTrail delivered, for the events that findings cite.
//!
//! In: event ids. Out: for each its time, operation, file and number in that file, and the fields as received. The worst
//! findings come first, a few events of each, until the budget is used: the ids of all are in the case.

use super::ask::visible;
use super::diff::pretty;
use super::findings::Found;
use super::format::when;
use super::model::{Cited, Raw};
use crate::case::lookup::events_by_id;
use crate::error::Result;
use crate::schema::Event;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// Events whose records are shown.
const CITED: usize = 1_500;

/// Events of one finding whose records are shown, by rank of its severity.
const OF_ONE: [usize; 5] = [20, 10, 4, 1, 1];

/// Characters of one field that are shown.
const FIELD_CHARS: usize = 6_000;

/// A field as received, JSON set in lines: hidden characters are visible, line breaks stay.
fn field(text: &str) -> String {
    let pretty = pretty(text);
    let length = pretty.chars().count();
    let head: String = pretty.chars().take(FIELD_CHARS).collect();
    let lines: Vec<String> = head.lines().map(|line| visible(line, FIELD_CHARS)).collect();
    let cut = if length > FIELD_CHARS { format!("\n[cut: {length} characters]") } else { String::new() };
    lines.join("\n") + &cut
}

/// Which events are shown, in the order of the report.
fn chosen(findings: &[Found]) -> (Vec<String>, BTreeSet<i32>) {
    let mut seen = HashSet::new();
    let (mut ids, mut days) = (Vec::new(), BTreeSet::new());
    for found in findings {
        let limit = OF_ONE.get(found.rank).copied().unwrap_or(1);
        for id in found.ids.iter().take(limit) {
            if ids.len() < CITED && seen.insert(id.clone()) {
                ids.push(id.clone());
                days.extend(found.days());
            }
        }
    }
    (ids, days)
}

/// The fields of a record that have something in them, as they are shown.
pub(super) fn fields<const N: usize>(
    fields: [(&'static str, &Option<Cow<'_, str>>); N],
) -> Vec<(&'static str, String)> {
    let named = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    named.filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, field(value))).collect()
}

fn cited(event: &Event<'_>) -> Cited {
    let mut raw = Raw { id: visible(event.event_id.as_deref().unwrap_or_default(), 200), ..Raw::default() };
    raw.fields = fields([
        ("account", &event.account_id),
        ("region", &event.region),
        ("key", &event.key_arn),
        ("identity", &event.principal_arn),
        ("session", &event.session_name),
        ("access key", &event.access_key_id),
        ("via", &event.via),
        ("source address", if event.source_ip.is_some() { &event.source_ip } else { &event.source_service }),
        ("user agent", &event.user_agent),
        ("VPC endpoint", &event.vpc_endpoint_id),
        ("outcome", &event.outcome),
        ("error code", &event.error_code),
        ("error message", &event.error_message),
        ("request id", &event.request_id),
        ("requestParameters", &event.request_parameters),
        ("responseElements", &event.response_elements),
        ("additionalEventData", &event.additional_event_data),
    ]);
    let file = visible(event.source_file.as_deref().unwrap_or_default(), 500);
    Cited {
        anchor: String::new(),
        time: event.event_time.map(when).unwrap_or_default(),
        action: visible(event.event_name.as_deref().unwrap_or_default(), 200),
        principal: super::subjects::shown(event.principal.as_deref().unwrap_or_default()),
        place: format!("{file}, record {}", event.record_no.map(|number| number.to_string()).unwrap_or_default()),
        raw,
    }
}

/// The cited events, and the anchor of each id.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The events, in the order of time.
    pub(super) events: Vec<Cited>,
    /// Anchor by event id.
    pub(super) anchors: HashMap<String, String>,
}

/// Looks up the events that the findings cite.
///
/// # Errors
/// When the events table cannot be read.
pub(super) fn read(case: &Path, findings: &[Found]) -> Result<Evidence> {
    let (ids, days) = chosen(findings);
    let wanted: HashSet<String> = ids.iter().cloned().collect();
    let mut found: BTreeMap<(i64, String, usize), Cited> = BTreeMap::new();
    events_by_id(case, &wanted, &days, |event| {
        let id = event.event_id.as_deref().unwrap_or_default().to_owned();
        let place = found.len();
        found.insert((event.event_time.unwrap_or_default(), id, place), cited(event));
    })?;
    let mut evidence = Evidence::default();
    for (number, ((_, id, _), mut event)) in (1..).zip(found) {
        event.anchor = format!("event-{number}");
        evidence.anchors.entry(id).or_insert_with(|| event.anchor.clone());
        evidence.events.push(event);
    }
    Ok(evidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_findings_are_cited_first_and_no_event_twice() {
        let found = |rank, ids: &[&str]| Found {
            rank,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            first: Some(0),
            ..Found::default()
        };
        let (ids, days) = chosen(&[found(0, &["a", "b"]), found(4, &["b", "c"]), found(2, &["c", "d"])]);
        assert_eq!(ids, ["a", "b", "c", "d"]);
        assert_eq!(days, BTreeSet::from([0]));
    }

    #[test]
    fn a_field_keeps_its_lines_and_loses_what_hides() {
        assert_eq!(field(r#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(field("x\u{202e}y\nz"), "x\\u{202e}y\nz");
        assert!(field(&"é".repeat(7_000)).ends_with("[cut: 7000 characters]"));
    }
}
