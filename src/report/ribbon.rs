//! The life of a key as a ribbon: its states over the time of the evidence, with marks for what was done to it.
//!
//! In: acts of administration on one key, in the order of time. Out: stretches and marks in drawing units, and the same in
//! words. A state is known only from the first change that the evidence shows; before that the ribbon says so.

use super::ask::Row;
use super::chart::Scale;
use super::format::{many, when};
use serde::Serialize;

/// Width of a ribbon in drawing units.
pub(super) const WIDTH: i64 = 760;

/// A ribbon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Ribbon {
    /// States, one after the other.
    pub(super) stretches: Vec<Stretch>,
    /// What was done.
    pub(super) marks: Vec<Mark>,
    /// The ribbon in words.
    pub(super) label: String,
    /// First and last day.
    pub(super) from: String,
    /// The day after the last.
    pub(super) to: String,
}

/// A stretch of time in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Stretch {
    /// Left edge.
    pub(super) x: i64,
    /// Width.
    pub(super) width: i64,
    /// The state, as a class name.
    pub(super) class: &'static str,
    /// The state and since when.
    pub(super) label: String,
}

/// Something done at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Mark {
    /// Where.
    pub(super) x: i64,
    /// `policy`, `grant` or `other`.
    pub(super) class: &'static str,
    /// What and when.
    pub(super) label: String,
}

/// The state after an act; `None` when it changes none. `is_import` is true for CreateKey with origin EXTERNAL.
fn state_after(action: &str, is_import: bool) -> Option<&'static str> {
    Some(match action {
        "CreateKey" if is_import => "pending-import",
        "CreateKey" | "EnableKey" | "ImportKeyMaterial" => "enabled",
        "DisableKey" | "CancelKeyDeletion" => "disabled",
        "ScheduleKeyDeletion" => "pending-deletion",
        "DeleteKey" => "deleted",
        "DeleteImportedKeyMaterial" | "DeleteExpiredKeyMaterial" => "pending-import",
        _ => return None,
    })
}

fn mark_class(action_class: &str) -> &'static str {
    match action_class {
        "policy" => "policy",
        "grant" => "grant",
        _ => "other",
    }
}

fn words(class: &str) -> String {
    class.replace('-', " ")
}

/// The ribbon of one key. `acts` are successful acts, in the order of time.
pub(super) fn ribbon(scale: Scale, acts: &[Row<'_>]) -> Option<Ribbon> {
    if acts.is_empty() {
        return None;
    }
    let length = (scale.to - scale.from).max(1);
    let place = |epoch: i64| ((epoch - scale.from).clamp(0, length) * WIDTH) / length;
    let mut states: Vec<(i64, &'static str, String)> = Vec::new();
    let mut marks: Vec<Mark> = Vec::new();
    for act in acts {
        let (epoch, action) = (act.number("event_epoch"), act.text("event_name"));
        let time = act.instant("event_time").map(when).unwrap_or_default();
        if let Some(state) = state_after(act.raw("event_name"), act.raw("key_origin") == "EXTERNAL") {
            if states.is_empty() {
                let before = if act.raw("event_name") == "CreateKey" { "absent" } else { "unknown" };
                states.push((
                    scale.from,
                    before,
                    if before == "absent" { "not made yet" } else { "state not known" }.to_owned(),
                ));
            }
            states.push((epoch, state, format!("{} from {time}, by {action}", words(state))));
        }
        let mark =
            Mark { x: place(epoch), class: mark_class(act.raw("action_class")), label: format!("{time} {action}") };
        // Marks of one kind on one spot cannot be told apart.
        if !marks.iter().rev().take(8).any(|other| other.x == mark.x && other.class == mark.class) {
            marks.push(mark);
        }
    }
    if states.is_empty() {
        states.push((scale.from, "unknown", "state not known".to_owned()));
    }
    let ends = states.iter().skip(1).map(|(epoch, _, _)| *epoch).chain([scale.to]);
    let stretches: Vec<Stretch> = states
        .iter()
        .zip(ends)
        .map(|((from, class, label), to)| {
            let x = place(*from);
            Stretch { x, width: place(to) - x, class, label: label.clone() }
        })
        .collect();
    let told: Vec<&str> = stretches.iter().map(|stretch| stretch.label.as_str()).collect();
    let label = format!(
        "{}; {}.",
        told.join("; "),
        many(acts.len() as i64, "act of administration").replace("administrations", "administration")
    );
    Some(Ribbon { label, stretches, marks, from: super::format::day(scale.from), to: super::format::day(scale.to) })
}
