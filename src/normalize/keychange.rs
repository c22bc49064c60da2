//! What a call did to a key: its making, material, rotation, deletion, replicas and tags.
//!
//! In: parameters, responses and service event details. Out: the key-change columns and the rows of `tag_entries`. AWS
//! writes the dates in here as locale text ("Apr 12, 2021 18:58:30 PM"), and a documented `deletionDate` contradicts its
//! own waiting period: so the time of deletion is computed from the event, and AWS's date is not read. A deletion that was
//! refused has a window, as asked for, but no time. A denied call is logged without parameters: what it asked for stays
//! NULL rather than a default.

use super::fields::{Fields, first_text};
use super::identity::is_omitted;
use crate::json::{self, Value};
use crate::schema::{Event, TagEntry};
use crate::time::{DAY, MICROS, days_from_civil, parse_timestamp};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Days before a key is deleted when ScheduleKeyDeletion names none (ScheduleKeyDeletion API reference).
const DEFAULT_PENDING_WINDOW: i64 = 30;
/// Days between automatic rotations when EnableKeyRotation names none (EnableKeyRotation API reference).
const DEFAULT_ROTATION_PERIOD: i64 = 365;
/// The longest waiting period the API model allows, days; the service enforces 30.
const MAX_PENDING_WINDOW: i64 = 365;

/// Sets the key-change columns. The key, the outcome and the time must be set.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, action_class: &str) {
    let (request, response) = (fields.request, fields.response);
    let store =
        [fields.additional, request, response].into_iter().find_map(|value| value.get("customKeyStoreId").text());
    event.custom_key_store_id = store;
    event.xks_key_id = fields.additional.get("xksKeyId").text();
    event.key_material_id = first_text(fields.additional, &["keyMaterialId", "sourceKeyMaterialId"]);
    event.is_multi_region = event.mrk_id.is_some().then_some(true);
    if action_class == "crypto" {
        event.key_spec = first_text(request, &["keySpec", "keyPairSpec"]);
        return;
    }
    if event.key_material_id.is_none() {
        let details = first_text(fields.service_details, &["keyMaterialId", "currentKeyMaterialId"]);
        let material = [response, request].into_iter().find_map(|value| value.get("keyMaterialId").text());
        event.key_material_id = material.or(details);
    }
    apply_named(event, fields);
}

/// The columns of single operations.
fn apply_named<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>) {
    let (request, response) = (fields.request, fields.response);
    // A default is a fact only where the record would show another value.
    let is_shown =
        matches!(request, Value::Object(_)) && !is_omitted(request) || event.outcome.as_deref() == Some("ok");
    match event.event_name.as_deref() {
        Some("CreateKey") => {
            key_made(event, request, response.get("keyMetadata"));
            tags_set(event, request.get("tags"));
        }
        Some("ReplicateKey") => {
            key_made(event, request, response.get("replicaKeyMetadata"));
            event.replica_region = request.get("replicaRegion").text();
            let asked = request.get("tags");
            tags_set(event, if asked.items().is_empty() { response.get("replicaTags") } else { asked });
        }
        Some("UpdatePrimaryRegion") => event.primary_region = request.get("primaryRegion").text(),
        Some("ScheduleKeyDeletion") => {
            let window = request.get("pendingWindowInDays").as_i64().or(response.get("pendingWindowInDays").as_i64());
            event.pending_window_days = window.or(is_shown.then_some(DEFAULT_PENDING_WINDOW));
            event.deletion_time = deletion_time(event);
            event.deletion_epoch = event.deletion_time.map(|time| time.div_euclid(MICROS));
        }
        Some("EnableKeyRotation") => {
            let period = request.get("rotationPeriodInDays").as_i64();
            event.rotation_period_days = period.or(is_shown.then_some(DEFAULT_ROTATION_PERIOD));
        }
        Some("RotateKey") => event.key_origin = fields.service_details.get("keyOrigin").text(),
        Some("ImportKeyMaterial") => {
            event.material_expires_at = date(request.get("validTo"));
            event.material_expires_epoch = event.material_expires_at.map(|time| time.div_euclid(MICROS));
        }
        Some("TagResource") => tags_set(event, request.get("tags")),
        Some("UntagResource") => tags_removed(event, request.get("tagKeys")),
        _ => {}
    }
}

/// The properties of a key that was made: from the response, which has the defaults filled in, else as asked for.
fn key_made<'a>(event: &mut Event<'a>, request: &Value<'a>, made: &Value<'a>) {
    let either = |names: &[&str]| first_text(made, names).or_else(|| first_text(request, names));
    event.key_origin = either(&["origin"]);
    event.key_spec = either(&["keySpec", "customerMasterKeySpec"]);
    event.key_usage = either(&["keyUsage"]);
    let is_multi_region = made.get("multiRegion").as_bool().or(request.get("multiRegion").as_bool());
    event.is_multi_region = is_multi_region.or(event.is_multi_region);
    event.custom_key_store_id = either(&["customKeyStoreId"]).or(event.custom_key_store_id.take());
    event.xks_key_id = made.get("xksKeyConfiguration").get("id").text().or_else(|| request.get("xksKeyId").text());
}

fn deletion_time(event: &Event<'_>) -> Option<i64> {
    let days = event.pending_window_days.filter(|days| (0..=MAX_PENDING_WINDOW).contains(days))?;
    event.event_time.filter(|_| event.outcome.as_deref() == Some("ok"))?.checked_add(days * DAY * MICROS)
}

/// Tags as KMS logs them (`tagKey`, `tagValue`).
fn tags_set<'a>(event: &mut Event<'a>, list: &Value<'a>) {
    let mut tags: BTreeMap<Cow<'a, str>, Cow<'a, str>> = BTreeMap::new();
    for tag in list.items() {
        if let Some(key) = first_text(tag, &["tagKey", "TagKey"]) {
            tags.insert(key, first_text(tag, &["tagValue", "TagValue"]).unwrap_or_default());
        }
    }
    if tags.is_empty() {
        return;
    }
    let mut out = String::new();
    for (key, value) in &tags {
        out.push(if out.is_empty() { '{' } else { ',' });
        json::write_string(key, &mut out);
        out.push(':');
        json::write_string(value, &mut out);
    }
    out.push('}');
    event.tags = Some(Cow::Owned(out));
    if event.outcome.as_deref() == Some("ok") {
        let entries =
            tags.into_iter().map(|(tag_key, value)| TagEntry { tag_key, tag_value: Some(value), change: "set".into() });
        event.tag_entries.extend(entries);
    }
}

fn tags_removed<'a>(event: &mut Event<'a>, list: &Value<'a>) {
    let keys: BTreeSet<Cow<'a, str>> = list.items().iter().filter_map(Value::text).collect();
    if keys.is_empty() {
        return;
    }
    let mut out = String::new();
    for key in &keys {
        out.push(if out.is_empty() { '[' } else { ',' });
        json::write_string(key, &mut out);
    }
    out.push(']');
    event.tags = Some(Cow::Owned(out));
    if event.outcome.as_deref() == Some("ok") {
        let entries = keys.into_iter().map(|tag_key| TagEntry { tag_key, tag_value: None, change: "removed".into() });
        event.tag_entries.extend(entries);
    }
}

fn date(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::String(text) => parse_aws_date(text),
        Value::Number(text) => parse_aws_date(text),
        _ => None,
    }
}

/// Parses a date as AWS writes it inside parameters and responses: `Nov 2, 2021, 11:25:25 PM` (also without the second
/// comma, with U+202F before PM, and with a 24-hour clock in spite of PM), RFC 3339, or a number of seconds or
/// milliseconds since 1970. Gives microseconds since 1970-01-01 UTC.
pub fn parse_aws_date(text: &str) -> Option<i64> {
    let text = text.trim();
    parse_timestamp(text).or_else(|| parse_epoch(text)).or_else(|| parse_locale_date(text))
}

/// Numbers from here on are milliseconds: as seconds this is the year 5138, as milliseconds 1973.
const FIRST_MILLISECONDS: f64 = 1e11;

fn parse_epoch(text: &str) -> Option<i64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let micros = if number >= FIRST_MILLISECONDS { number * 1e3 } else { number * 1e6 };
    // 9e15 is the year 2255, and inside what a float holds exactly.
    (micros < 9e15).then_some(micros as i64)
}

fn parse_locale_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let mut words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let name = words.next()?.get(..3)?.to_ascii_lowercase();
    let month = u32::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let day: u32 = words.next()?.parse().ok()?;
    let year: u16 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    let half = words.next().map(str::to_ascii_uppercase);
    // Any zone but UTC would make the result wrong by hours; AWS writes none.
    let is_utc = words.all(|zone| matches!(zone, "UTC" | "GMT" | "Z"));
    if !is_utc || clock.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let hour = match half.as_deref() {
        Some("AM") if hour == 12 => 0,
        Some("PM") if hour < 12 => hour + 12,
        Some("AM" | "PM" | "UTC" | "GMT" | "Z") | None => hour,
        Some(_) => return None,
    };
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((days_from_civil(i64::from(year), month, day)? * DAY + seconds) * MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format_timestamp;

    #[test]
    fn dates_are_read_in_every_shape_aws_writes() {
        for (text, expected) in [
            ("Apr 12, 2021 18:58:30 PM", "2021-04-12T18:58:30Z"),
            ("Nov 2, 2021, 11:25:25 PM", "2021-11-02T23:25:25Z"),
            ("Aug 10, 2022, 10:38:27\u{202f}PM", "2022-08-10T22:38:27Z"),
            ("Jan 1, 2021 8:00:00 PM", "2021-01-01T20:00:00Z"),
            ("Jan 1, 2021, 12:00:00 AM", "2021-01-01T00:00:00Z"),
            ("Jan 1, 2021, 12:00:00 PM", "2021-01-01T12:00:00Z"),
            ("April 12, 2021 06:58 AM UTC", "2021-04-12T06:58:00Z"),
            ("Apr 12, 2021 18:58:30", "2021-04-12T18:58:30Z"),
            ("2021-04-12T18:58:30Z", "2021-04-12T18:58:30Z"),
            ("1618253910", "2021-04-12T18:58:30Z"),
            ("1618253910.0", "2021-04-12T18:58:30Z"),
            ("1618253910000", "2021-04-12T18:58:30Z"),
        ] {
            assert_eq!(parse_aws_date(text).map(format_timestamp).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            "never",
            "Apr",
            "Apr 31, 2021 1:00:00 PM",
            "Foo 1, 2021 1:00:00 PM",
            "Apr 12, 2021",
            "Apr 12, 2021 25:00:00",
            "Apr 12, 2021 1:00:00 XM",
            "Apr 12, 2021 1:00:00 PM PST",
            "Apr 12, 2021 1:2:3:4 PM",
            "1e300",
            "12, Apr 2021",
            "é€, 1",
        ] {
            assert_eq!(parse_aws_date(text), None, "{text}");
        }
    }
}
