//! The slow twin of the scanner: the same records by plain `serde_json`.
//!
//! In: a whole well-formed text. Out: its records as text, in order. It reads as the rules are written, one after the
//! other, so that a test can hold the fast path against it. Deliberately absent: speed, offsets, and any recovery: it
//! stops at the first thing that is not JSON.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The records of `text`, in order; of embedded ones the unescaped text.
pub fn records_slow(text: &[u8]) -> Vec<String> {
    let mut records = Vec::new();
    let mut rest = std::str::from_utf8(text).unwrap_or_default();
    loop {
        rest = without_prefix(rest);
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(Ok(value)) = stream.next() else { return records };
        walk(value.get(), &mut records);
        rest = rest.get(stream.byte_offset()..).unwrap_or_default();
    }
}

/// Without what may stand before a value at the top level.
fn without_prefix(text: &str) -> &str {
    let text = text.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t', ',']);
    match text.split_once(' ') {
        Some((stamp, rest)) if crate::time::parse_timestamp(stamp).is_some() => rest.trim_start(),
        _ => text,
    }
}

/// An object's members in their order, equal names included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

fn is_record_name(name: &str) -> bool {
    ["eventVersion", "eventSource", "eventName"].contains(&name)
}

fn walk(value: &str, records: &mut Vec<String>) {
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value) {
        for item in items {
            walk(item.get(), records);
        }
    }
    let Ok(Members(members)) = serde_json::from_str(value) else { return };
    let mut is_envelope = false;
    for (name, member) in members {
        let member = member.get();
        match name.as_str() {
            name if is_record_name(name) && !is_envelope => {
                records.push(value.to_owned());
                return;
            }
            "Records" | "Events" | "events" | "logEvents" | "results" if member.starts_with('[') => {
                is_envelope = true;
                walk(member, records);
            }
            "detail" if member.starts_with('{') => {
                is_envelope = true;
                walk(member, records);
            }
            "CloudTrailEvent" | "message" | "@message" | "value" => {
                let Ok(text) = serde_json::from_str::<String>(member) else { continue };
                let Ok(Members(inner)) = serde_json::from_str(&text) else { continue };
                if inner.iter().any(|(name, _)| is_record_name(name)) {
                    is_envelope = true;
                    records.push(text.trim_ascii().to_owned());
                }
            }
            "messageType" | "detail-type" | "digestStartTime" | "digestEndTime" | "digestS3Bucket"
            | "digestS3Object" => is_envelope = true,
            _ => {}
        }
    }
}
