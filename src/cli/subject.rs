//! Keys, principals and grants as commands name them, and the findings that concern them.
//!
//! In: a session, and what the user typed. Out: which findings belong to it, and a key's other names. A finding concerns a key
//! when it names it or when one of its events does: a finding on many keys names none, and one on re-encryption names only
//! the new key.

use super::ask::{ask, ask_if};
use anyhow::{Result, bail};
use keytrail::output::terminal::sanitize;
use keytrail::pipeline::filter::GlobSet;
use keytrail::query::run::Session;
use keytrail::query::table::{Row, Table};
use std::collections::BTreeSet;

/// Event ids that are looked up at a time, so that memory stays small whatever the number of findings.
const LOOKUP: usize = 100_000;

/// Columns of findings that a list needs.
pub(crate) const LISTED: [&str; 10] = [
    "rule",
    "title",
    "severity",
    "first_time",
    "last_time",
    "key_arn",
    "principal",
    "source_ip",
    "event_count",
    "summary",
];

/// The findings of a case in their order, with these columns, or all.
///
/// # Errors
/// When the case has none.
pub(crate) fn findings(session: &mut Session, columns: &[&str]) -> Result<Table> {
    Ok(session.rows_of("findings", columns)?)
}

/// The items of a JSON array of texts.
pub(crate) fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_default()
}

/// The places of the findings that `matches`, or one of whose events it does. `matches` sees rows with `key_arn`,
/// `target_key_arn`, `principal`, `principal_arn`, `principal_id`, `session_name`, `access_key_id` and `grant_id`, as far
/// as there are such columns. `found` has `event_ids`.
///
/// # Errors
/// When the events cannot be read.
pub(crate) fn concerned(
    session: &mut Session,
    found: &Table,
    matches: &dyn Fn(&Row<'_>) -> bool,
) -> Result<BTreeSet<usize>> {
    let mut places = BTreeSet::new();
    let mut waiting: Vec<(String, usize)> = Vec::new();
    for (place, row) in found.iter().enumerate() {
        if matches(&row) {
            places.insert(place);
        } else {
            waiting.extend(list(row.text("event_ids")).into_iter().map(|id| (id, place)));
        }
        if waiting.len() >= LOOKUP || place + 1 == found.iter().len() {
            look_up(session, &mut waiting, matches, &mut places)?;
        }
    }
    Ok(places)
}

fn look_up(
    session: &mut Session,
    waiting: &mut Vec<(String, usize)>,
    matches: &dyn Fn(&Row<'_>) -> bool,
    places: &mut BTreeSet<usize>,
) -> Result<()> {
    if waiting.is_empty() {
        return Ok(());
    }
    waiting.sort_unstable();
    let mut ids: Vec<String> = waiting.iter().map(|(id, _)| id.clone()).collect();
    ids.dedup();
    session.register_texts("finding_events", "wanted_id", &ids)?;
    let sql = "SELECT e.event_id, e.key_arn, e.target_key_arn, e.principal, e.principal_arn, e.principal_id, e.session_name,
      e.access_key_id, e.grant_id FROM events AS e INNER JOIN finding_events AS w ON w.wanted_id = e.event_id ORDER BY e.event_id";
    let events = ask(session, "finding_events", sql)?;
    for event in events.iter().filter(matches) {
        let id = event.text("event_id");
        let first = waiting.partition_point(|(other, _)| other.as_str() < id);
        let same = waiting.iter().skip(first).take_while(|(other, _)| other == id);
        places.extend(same.map(|(_, place)| *place));
    }
    waiting.clear();
    Ok(())
}

/// True when one of the columns of the row is not empty and matches.
pub(crate) fn any(row: &Row<'_>, columns: &[&str], names: &GlobSet) -> bool {
    columns.iter().any(|column| !row.text(column).is_empty() && names.is_match(row.text(column)))
}

/// The columns that name a principal.
pub(crate) const WHO: [&str; 5] = ["principal", "principal_arn", "principal_id", "session_name", "access_key_id"];

/// The ARNs of the keys that the case knows by one of these names: ARN, id, mrk- id or alias.
///
/// # Errors
/// When there is none, or the events cannot be read.
pub(crate) fn keys_named(session: &mut Session, names: &GlobSet, typed: &[String]) -> Result<BTreeSet<String>> {
    let sql =
        "SELECT DISTINCT e.key_arn, e.key_id, e.mrk_id, e.alias_name, e.key_ref, e.target_key_arn FROM events AS e
      WHERE e.event_source = 'kms.amazonaws.com'
      ORDER BY e.key_arn, e.key_id, e.mrk_id, e.alias_name, e.key_ref, e.target_key_arn";
    let mut arns = BTreeSet::new();
    for row in ask(session, "key_names", sql)?.iter() {
        if any(&row, &["key_arn", "key_id", "mrk_id", "alias_name", "key_ref"], names)
            && !row.text("key_arn").is_empty()
        {
            arns.insert(row.text("key_arn").to_owned());
        }
        if any(&row, &["target_key_arn"], names) {
            arns.insert(row.text("target_key_arn").to_owned());
        }
    }
    if arns.is_empty() {
        bail!(
            "--key {}: no event of the case names such a key: expected an ARN, an id or an alias",
            sanitize(&typed.join(" "))
        );
    }
    Ok(arns)
}

/// The aliases of a key, those it still has first; empty when none was seen.
///
/// # Errors
/// When the table of aliases cannot be read.
pub(crate) fn aliases_of(session: &mut Session, key: &str) -> Result<Vec<String>> {
    session.register_texts("shown_keys", "shown_arn", &[key.to_owned()])?;
    let sql = "SELECT a.alias_name, MAX(CASE WHEN a.is_current THEN 1 ELSE 0 END) AS is_current FROM aliases AS a
      INNER JOIN shown_keys AS k ON k.shown_arn = a.key_arn GROUP BY a.alias_name ORDER BY is_current DESC, alias_name";
    let mut names = Vec::new();
    for row in ask_if(session, &["aliases"], sql)?.iter() {
        let name = row.text("alias_name");
        names.push(if row.number("is_current") == 1 { name.to_owned() } else { format!("{name} (formerly)") });
    }
    Ok(names)
}

/// The shortest name by which `timeline --key` finds a key: its id.
pub(crate) fn key_word(arn: &str) -> &str {
    arn.rsplit_once(":key/").map_or(arn, |(_, id)| id)
}
