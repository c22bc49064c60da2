//! Decides from a record's bytes whether it can matter, so that the mass of records is never parsed.
//!
//! In: the bytes of one record. Out: `false` only when the exact test in `relevance` would say no. One vectorised pass
//! finds the byte pairs that every relevant record must contain; each is then looked at. The answer may be a wrong
//! `true`, because nested keys and strings are not told from the record's own; it is never a wrong `false`: a letter,
//! digit, colon, dot or hyphen written as an escape could spell any of the words, and counts as a match by itself.

use super::relevance::{KEY_PARAMETERS, Source, is_kept_by_name, source};
use super::structural::{self, Engine};

/// Event names or sources kept until both are known. Real records have one of each; more means "may matter".
const KEPT: usize = 4;

/// The test, made once: what the processor can do is not asked again for each record.
#[derive(Clone, Copy, Debug)]
pub struct Prefilter {
    engine: Engine,
}

impl Default for Prefilter {
    /// The fastest that this processor can run.
    fn default() -> Prefilter {
        Prefilter { engine: Engine::best() }
    }
}

impl Prefilter {
    /// True unless the record is certainly irrelevant.
    pub fn may_matter(self, record: &[u8]) -> bool {
        let mut seen = Seen::default();
        let mut from = 0;
        while let Some((block, mut starts)) = structural::next_pairs(self.engine, record, from) {
            while starts != 0 {
                let at = block + starts.trailing_zeros() as usize;
                starts &= starts - 1;
                if seen.pair_matters(record, at) {
                    return true;
                }
            }
            from = block + 64;
        }
        seen.matters()
    }
}

/// What was found of the two fields that decide together.
#[derive(Default)]
struct Seen<'a> {
    services: [Option<usize>; KEPT],
    names: [Option<&'a [u8]>; KEPT],
}

impl<'a> Seen<'a> {
    /// Looks at one of the pairs; true when it decides by itself.
    fn pair_matters(&mut self, record: &'a [u8], at: usize) -> bool {
        let rest = record.get(at..).unwrap_or_default();
        match rest {
            [b'\\', ..] => escape_matters(rest),
            [b't', second, ..] => {
                // `tN` and `tS` stand five bytes into `"eventName"` and `"eventSource"`.
                let start = at.checked_sub(5).and_then(|start| record.get(start..)).unwrap_or_default();
                if *second == b'N' { self.name_matters(start) } else { self.source_matters(start) }
            }
            [b'k' | b'K', ..] => arn_matters(record, at) || key_parameter_matters(rest),
            // `mk` is the middle of `cmk`.
            _ => at.checked_sub(1).and_then(|start| record.get(start..)).is_some_and(key_parameter_matters),
        }
    }

    fn source_matters(&mut self, text: &'a [u8]) -> bool {
        let Some(value) = text.strip_prefix(b"\"eventSource\"").and_then(member_value) else { return false };
        let Some(value) = string(value) else { return true };
        match source(value) {
            Source::Kms => true,
            Source::Other => false,
            Source::Service(index) => !keep(&mut self.services, index),
        }
    }

    fn name_matters(&mut self, text: &'a [u8]) -> bool {
        let Some(value) = text.strip_prefix(b"\"eventName\"").and_then(member_value) else { return false };
        let Some(value) = string(value) else { return true };
        !keep(&mut self.names, value)
    }

    fn matters(&self) -> bool {
        self.services
            .iter()
            .flatten()
            .any(|service| self.names.iter().flatten().any(|name| is_kept_by_name(*service, name)))
    }
}

/// Puts `value` into the first free place; false when there is none.
fn keep<T>(places: &mut [Option<T>; KEPT], value: T) -> bool {
    match places.iter_mut().find(|place| place.is_none()) {
        Some(place) => {
            *place = Some(value);
            true
        }
        None => false,
    }
}

/// The text from the value on, after a member's name; `None` when no colon follows.
fn member_value(text: &[u8]) -> Option<&[u8]> {
    let value = text.trim_ascii_start().strip_prefix(b":")?;
    Some(value.trim_ascii_start())
}

/// The content of a string; empty for other values, which no table holds; `None` when it has escapes or no end.
fn string(value: &[u8]) -> Option<&[u8]> {
    let Some(content) = value.strip_prefix(b"\"") else { return Some(&[]) };
    let end = memchr::memchr2(b'"', b'\\', content)?;
    if content.get(end) == Some(&b'"') { content.get(..end) } else { None }
}

/// True for `\u` escapes of the characters that the words looked for are made of. `\u003d`, `\u0026` and the like, which
/// AWS writes often, are not among them.
fn escape_matters(text: &[u8]) -> bool {
    let Some(digits) = text.get(2..6) else { return true };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or(0xFF);
    let character = digits.iter().fold(0, |value: u32, byte| (value << 4).wrapping_add(digit(byte)));
    match u8::try_from(character) {
        Ok(byte) => byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'-'),
        Err(_) => false,
    }
}

/// True when `kms` at `at` stands between colons, as in an ARN.
fn arn_matters(record: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| record.get(before));
    before == Some(&b':') && record.get(at..at + 4).is_some_and(|text| text.eq_ignore_ascii_case(b"kms:"))
}

/// True when `text` begins with the end of a parameter name that holds a key, and a value follows.
fn key_parameter_matters(text: &[u8]) -> bool {
    KEY_PARAMETERS.iter().any(|name| {
        let Some((head, tail)) = text.split_at_checked(name.len()) else { return false };
        head.eq_ignore_ascii_case(name.as_bytes())
            && tail
                .strip_prefix(b"\"")
                .and_then(member_value)
                .is_some_and(|value| !value.starts_with(b"null") && !value.starts_with(b"\"\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::scan::relevance::{Relevance, relevance};
    use proptest::prelude::*;

    #[test]
    fn the_mass_of_records_is_rejected() {
        for record in [
            r#"{"eventVersion":"1.11","eventSource":"s3.amazonaws.com","eventName":"PutObject","requestParameters":{"bucketName":"b","x-amz-server-side-encryption":"aws:kms"},"additionalEventData":{"SSEApplied":"SSE_KMS"}}"#,
            r#"{"eventSource":"sts.amazonaws.com","eventName":"AssumeRole","requestParameters":{"roleArn":"arn:aws:iam::111122223333:role/kms"}}"#,
            r#"{"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","requestParameters":{"kmsKeyId":null,"q":"a\u003db"}}"#,
            r#"{"eventSource":"ec2.amazonaws.com","eventName":"CreateVolume","requestParameters":{"kmsKeyId" : ""}}"#,
            r#"{"eventSource":"iam.amazonaws.com","eventName":"ListAccessKeys"}"#,
            r#"{"eventSource":"cloudtrail.amazonaws.com","eventName":"LookupEvents","requestParameters":{"eventCategory":"insight"}}"#,
            r#"{"eventSource":"s3.amazonaws.com","eventName":"DeleteRule","sourceIPAddress":"kms.amazonaws.com"}"#,
            "{}",
            "",
        ] {
            assert!(!Prefilter::default().may_matter(record.as_bytes()), "{record}");
        }
    }

    #[test]
    fn every_spelling_of_a_relevant_record_passes() {
        for record in [
            r#"{"eventSource":"kms.amazonaws.com"}"#,
            r#"{"eventSource" :	"KMS.amazonAWS.com"}"#,
            r#"{"eventName":"StopLogging","eventSource":"cloudtrail.amazonaws.com"}"#,
            r#"{"event\u0053ource":"kms.amazonaws.com"}"#,
            r#"{"eventSource":"\u006bms.amazonaws.com"}"#,
            r#"{"eventSource":"kms\u002Eamazonaws.com"}"#,
            r#"{"requestParameters":{"kms\u002dkey-id":"x"}}"#,
            r#"{"requestParameters":{"a":"arn\u003aaws:kms:us-west-2:111122223333:key/x"}}"#,
            r#"{"requestParameters":{"a":"arn:aws:kms:us-west-2:111122223333:key/x"}}"#,
            r#"{"requestParameters":{"SSEKMSKeyId":"x"}}"#,
            r#"{"requestParameters":{"CMKARN"	: "x"}}"#,
            r#"{"eventSource":"s3.amazonaws.com","eventSource":"kms.amazonaws.com"}"#,
        ] {
            assert!(Prefilter::default().may_matter(record.as_bytes()), "{record}");
        }
    }

    /// A JSON string, some of whose characters are written as escapes.
    fn spelled(text: String) -> impl Strategy<Value = String> {
        proptest::collection::vec(0..40_u8, text.len()).prop_map(move |dice| {
            let spell = |(c, die): (char, u8)| match die {
                0 => format!("\\u{:04x}", c as u32),
                1 => format!("\\u{:04X}", c as u32),
                2 => c.to_ascii_uppercase().to_string(),
                _ => c.to_string(),
            };
            format!("\"{}\"", text.chars().zip(dice).map(spell).collect::<String>())
        })
    }

    fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::sample::select(words).prop_flat_map(|word| spelled(word.to_owned()))
    }

    const SOURCES: &[&str] =
        &["kms", "cloudtrail", "iam", "monitoring", "logs", "events", "config", "ec2", "rds", "s3"];
    const NAMES: &[&str] = &[
        "Decrypt",
        "StopLogging",
        "LookupEvents",
        "PutUserPolicy",
        "CreateRole",
        "DeleteAlarms",
        "AssociateKmsKey",
        "PutRule",
        "DeleteConfigRule",
        "ModifySnapshotAttribute",
        "ModifyDBSnapshotAttribute",
        "PutObject",
        "",
    ];
    const PARAMETERS: &[&str] =
        &["kmsKeyId", "sSEKMSMasterKeyID", "a-kms-key-id", "cmkArn", "x", "kmsKeyIds", "kkmskey"];
    const VALUES: &[&str] = &["", "x", "arn:aws:kms:us-west-2:111122223333:key/x", "arn:aws-cn:kms:", "aws:kms", "a=b"];

    fn record() -> impl Strategy<Value = String> {
        let source =
            any_of(SOURCES).prop_map(|text| text.replace("\"", "") + ".amazonaws.com").prop_map(|s| format!("\"{s}\""));
        let space = "[ \t\r\n]{0,2}";
        let parameters =
            (any_of(PARAMETERS), space, prop_oneof![any_of(VALUES), Just("null".to_owned()), Just("[1]".to_owned())])
                .prop_map(|(name, space, value)| format!("{{\"a\":[{{{name}{space}:{space}{value}}}]}}"));
        let member = (0..4_u8, source, any_of(NAMES), parameters, space, 0..90_usize).prop_flat_map(
            |(kind, source, name, parameters, space, pad)| {
                let (key, value) = match kind {
                    0 => ("eventSource", source),
                    1 => ("eventName", name),
                    2 => ("requestParameters", parameters),
                    _ => ("userAgent", format!("\"{}\"", "u".repeat(pad))),
                };
                // Keys are case-sensitive, so that escapes are the only other spelling.
                (any::<bool>(), 0..key.len()).prop_map(move |(escape, place)| {
                    let mut name = key.to_owned();
                    if escape && pad % 4 == 0 {
                        let c = key.as_bytes()[place];
                        name.replace_range(place..=place, &format!("\\u{c:04x}"));
                    }
                    format!("\"{name}\"{space}:{space}{value}")
                })
            },
        );
        proptest::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(",")))
    }

    #[test]
    fn what_is_relevant_may_matter() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut relevant, mut rejected) = (0, 0);
        for _ in 0..20_000 {
            let text = proptest::strategy::ValueTree::current(&record().new_tree(&mut runner).unwrap());
            let value = json::parse(&text).unwrap();
            let field = |name: &str| value.get(name).as_str().unwrap_or_default().to_owned();
            let exact = relevance(&field("eventSource"), &field("eventName"), None, value.get("requestParameters"));
            for engine in Engine::all() {
                let passed = Prefilter { engine }.may_matter(text.as_bytes());
                assert!(passed || exact == Relevance::No, "{exact:?} was rejected: {text}");
                rejected += usize::from(!passed);
            }
            relevant += usize::from(exact != Relevance::No);
        }
        assert!(relevant > 2_000, "only {relevant} records were relevant: the property proved little");
        assert!(rejected > 2_000, "only {rejected} records were rejected: the property proved little");
    }
}
