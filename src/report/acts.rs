//! Acts of administration: what a key went through, and what a principal did, with the records.
//!
//! In: the table `admin_events`, and the subjects with a section. Out: for each of them the first acts in the order of time.
//! Which these are is decided by a few short columns; the records are looked up afterwards, so that those of all other acts
//! are never in memory.

use super::ask::{Asked, Row, SHOWN_CHARS, visible};
use super::evidence::{Evidence, fields};
use super::format::when;
use super::model::{Act, Raw};
use super::shared::Kind;
use super::subjects::Subjects;
use crate::schema::Event;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Acts of a section.
const ACTS: usize = 25;

/// Acts of one subject.
#[derive(Debug, Default)]
pub(super) struct Acts {
    /// In the order of time.
    pub(super) acts: Vec<Act>,
    /// What was left out.
    pub(super) note: String,
}

/// What tells a record from others with its id: time in seconds since 1970-01-01 UTC; subject, id, operation and outcome.
type Name = (i64, [String; 4]);

/// Which acts are shown, by subject: service grants last, because services make them by the thousand. One more of each is
/// named when there are more.
fn chosen(kind: Kind) -> String {
    let (column, chosen) = (kind.column(), kind.chosen());
    format!(
        "WITH told AS (SELECT x.{column} AS subject, x.event_id, x.event_epoch, x.event_name, x.outcome, CASE WHEN x.action_class = 'grant' AND \
         COALESCE(x.is_service_grant, FALSE) THEN 3 WHEN x.action_class = 'grant' THEN 2 WHEN x.outcome = 'ok' THEN 0 ELSE \
         1 END AS place FROM admin_events AS x JOIN {chosen} AS c ON c.{column} = x.{column}), \
         ranked AS (SELECT t.subject, t.event_id, t.event_epoch, t.event_name, t.outcome, CAST(ROW_NUMBER() OVER (PARTITION BY t.subject ORDER BY \
         t.place, t.event_epoch, t.event_id) AS BIGINT) AS row_no FROM told AS t) \
         SELECT r.subject, r.event_id, r.event_epoch, r.event_name, r.outcome, r.row_no FROM ranked AS r WHERE r.row_no <= {} \
         ORDER BY subject, event_epoch, event_id",
        ACTS + 1
    )
}

/// The acts of all subjects with a section.
pub(super) fn read(
    asked: &mut Asked<'_>,
    kind: Kind,
    subjects: &Subjects,
    evidence: &Evidence,
) -> BTreeMap<String, Acts> {
    let rows = asked.rows_in_pieces("admin_events", kind.partition(), &chosen(kind));
    let by_subject = rows.by("subject");
    let is_shown = |row: &&Row<'_>| row.number("row_no") <= ACTS as i64;
    let ids: HashSet<String> =
        by_subject.values().flatten().filter(is_shown).map(|row| row.raw("event_id").to_owned()).collect();
    // An id can stand for several records: they are told apart by what is known of each, and else taken one after the other.
    let mut records: HashMap<Name, VecDeque<Act>> = HashMap::new();
    asked.rows_of_events("admin_events", &ids, |event| {
        let subject = match kind {
            Kind::Key => &event.key_arn,
            Kind::Principal => &event.principal,
        };
        let texts = [subject, &event.event_id, &event.event_name, &event.outcome];
        let name =
            (event.event_epoch.unwrap_or_default(), texts.map(|text| text.as_deref().unwrap_or_default().to_owned()));
        records.entry(name).or_default().push_back(act(event, kind, subjects, evidence));
    });
    let mut out = BTreeMap::new();
    for (subject, rows) in &by_subject {
        let mut found = Acts::default();
        for row in rows.iter().filter(is_shown) {
            let texts = ["subject", "event_id", "event_name", "outcome"].map(|name| row.raw(name).to_owned());
            let records = records.get_mut(&(row.number("event_epoch"), texts));
            found.acts.extend(records.and_then(VecDeque::pop_front));
        }
        if rows.len() > ACTS {
            found.note = format!("{ACTS} acts are shown, grants last. All are in the table admin_events.");
        }
        out.insert(subject.clone(), found);
    }
    out
}

fn act(event: &Event<'_>, kind: Kind, subjects: &Subjects, evidence: &Evidence) -> Act {
    Act {
        time: event.event_time.map(when).unwrap_or_default(),
        action: shown(event.event_name.as_deref()),
        outcome: shown(event.outcome.as_deref()),
        other: match kind {
            Kind::Key => subjects.principal(event.principal.as_deref().unwrap_or_default()),
            Kind::Principal => subjects.key(event.key_arn.as_deref().unwrap_or_default()),
        },
        source: shown(event.source_ip.as_deref()),
        raw: raw(event, evidence),
    }
}

fn shown(text: Option<&str>) -> String {
    visible(text.unwrap_or_default(), SHOWN_CHARS)
}

/// The record behind an act. One that stands among the cited events is not repeated.
fn raw(event: &Event<'_>, evidence: &Evidence) -> Raw {
    let id = event.event_id.as_deref();
    let mut raw = Raw { id: shown(id), ..Raw::default() };
    match id.and_then(|id| evidence.anchors.get(id)) {
        Some(anchor) => raw.anchor.clone_from(anchor),
        None => {
            raw.fields = fields([
                ("identity", &event.principal_arn),
                ("session", &event.session_name),
                ("access key", &event.access_key_id),
                ("via", &event.via),
                ("source address", &event.source_ip),
                ("user agent", &event.user_agent),
                ("error code", &event.error_code),
                ("error message", &event.error_message),
                ("requestParameters", &event.request_parameters),
                ("responseElements", &event.response_elements),
                ("additionalEventData", &event.additional_event_data),
            ]);
        }
    }
    raw
}
