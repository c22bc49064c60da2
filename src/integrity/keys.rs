//! Public keys of CloudTrail, from the output of `aws cloudtrail list-public-keys`.
//!
//! In: JSON of any of the shapes that AWS documents: `PublicKeyList` or `publicKeyList`, a bare list, several outputs behind
//! each other; times as seconds, RFC 3339, or both as text; keys as PKCS#1 or SubjectPublicKeyInfo. Out: [`PublicKeys`],
//! found by fingerprint. The fingerprint is the MD5 of the key's DER bytes as they are given; it is computed here, and what
//! the list states is only compared, so that a key with another's label is never used for it. Whoever can replace the list
//! can sign anything: the fingerprints that were used are reported, to be compared with a list fetched afresh.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use super::text::hex;
use crate::time::{MICROS, parse_timestamp};

/// MD5 of a key's DER bytes.
pub type Fingerprint = [u8; 16];

/// One public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// PKCS#1 DER, whatever the list had.
    pkcs1: Vec<u8>,
    /// From when on the key is used, microseconds since 1970-01-01 UTC, if the list says so.
    pub valid_from: Option<i64>,
    /// Until when.
    pub valid_until: Option<i64>,
    /// The fingerprint the list states, when it is not the key's.
    pub wrong_label: Option<String>,
}

impl PublicKey {
    /// True when `signature` is the RSA signature (PKCS#1 v1.5, SHA-256) of `message` under this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.pkcs1).verify(message, signature).is_ok()
    }
}

/// The keys at hand.
#[derive(Clone, Debug, Default)]
pub struct PublicKeys {
    keys: BTreeMap<Fingerprint, PublicKey>,
}

/// Bytes of a list of keys: 64 MiB, far beyond what AWS returns for all Regions and years.
pub const MAX_LIST: u64 = 64 << 20;

impl PublicKeys {
    /// Adds the keys in `text`, which may be several JSON documents behind each other.
    ///
    /// # Errors
    /// A message that says what is wrong and what is expected.
    pub fn add(&mut self, text: &[u8]) -> Result<(), String> {
        let mut found = 0;
        for document in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
            let document = document.map_err(|error| format!("not JSON: {error}"))?;
            found += self.add_document(&document)?;
        }
        if found == 0 {
            return Err("no public key: expected the output of `aws cloudtrail list-public-keys`, \
                        {\"PublicKeyList\": [...]}"
                .to_owned());
        }
        Ok(())
    }

    fn add_document(&mut self, document: &Value) -> Result<usize, String> {
        match document {
            Value::Array(items) => items.iter().map(|item| self.add_document(item)).sum(),
            Value::Object(members) => match field(members, "publickeylist") {
                Some(list @ Value::Array(_)) => self.add_document(list),
                Some(_) => Err("PublicKeyList is not a list".to_owned()),
                None => self.add_key(members).map(|()| 1),
            },
            _ => Err("expected {\"PublicKeyList\": [...]} or a list of keys".to_owned()),
        }
    }

    fn add_key(&mut self, members: &Map<String, Value>) -> Result<(), String> {
        let label = field(members, "fingerprint").and_then(Value::as_str);
        let named = || label.map_or_else(|| "a key without Fingerprint".to_owned(), |label| format!("key {label}"));
        let value = field(members, "value").and_then(Value::as_str);
        let value = value.ok_or_else(|| format!("{}: expected Value, base64 of the key's DER bytes", named()))?;
        let compact: String = value.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        let der = STANDARD.decode(compact).map_err(|error| format!("{}: Value is not base64: {error}", named()))?;
        let pkcs1 = pkcs1(&der).ok_or_else(|| format!("{}: Value is no RSA public key in DER", named()))?.to_vec();
        let fingerprint: Fingerprint = Md5::digest(&der).into();
        let wrong_label = label.filter(|label| !label.eq_ignore_ascii_case(&hex(&fingerprint))).map(str::to_owned);
        let time = |name| field(members, name).and_then(instant);
        let key = PublicKey {
            pkcs1,
            valid_from: time("validitystarttime"),
            valid_until: time("validityendtime"),
            wrong_label,
        };
        // The same key may be listed for several Regions and with overlapping times.
        let known = self.keys.entry(fingerprint).or_insert_with(|| key.clone());
        known.valid_from = known.valid_from.min(key.valid_from);
        known.valid_until = known.valid_until.zip(key.valid_until).map(|(one, other)| one.max(other));
        known.wrong_label = known.wrong_label.take().or(key.wrong_label);
        Ok(())
    }

    /// The key of this fingerprint.
    pub fn get(&self, fingerprint: &Fingerprint) -> Option<&PublicKey> {
        self.keys.get(fingerprint)
    }

    /// All keys, by fingerprint.
    pub fn iter(&self) -> impl Iterator<Item = (&Fingerprint, &PublicKey)> {
        self.keys.iter()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// A member whose name differs at most in case.
pub(super) fn field<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// Seconds since 1970 as a number or as text, or RFC 3339.
pub(super) fn instant(value: &Value) -> Option<i64> {
    let seconds = |seconds: f64| {
        let micros = seconds * MICROS as f64;
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the test before it")]
        (micros.abs() < 1e17).then_some(micros as i64)
    };
    match value {
        Value::Number(number) => number.as_f64().and_then(seconds),
        Value::String(text) => text.trim().parse::<f64>().map_or_else(|_| parse_timestamp(text), seconds),
        _ => None,
    }
}

/// The body of a DER element with `tag` at the start of `bytes`, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match length {
        0x00..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The PKCS#1 key in `der`, which is one, or a SubjectPublicKeyInfo around one.
fn pkcs1(der: &[u8]) -> Option<&[u8]> {
    const INTEGER: u8 = 0x02;
    const BIT_STRING: u8 = 0x03;
    const SEQUENCE: u8 = 0x30;
    /// rsaEncryption, 1.2.840.113549.1.1.1, as a whole element.
    const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    let (body, rest) = element(der, SEQUENCE)?;
    if !rest.is_empty() {
        return None;
    }
    if element(body, INTEGER).is_some() {
        return Some(der);
    }
    let (algorithm, bits) = element(body, SEQUENCE)?;
    let (bits, rest) = element(bits, BIT_STRING)?;
    let (unused, key) = bits.split_first()?;
    let is_rsa = algorithm.starts_with(RSA) && rest.is_empty() && *unused == 0;
    let inner = element(key, SEQUENCE).filter(|(body, rest)| rest.is_empty() && element(body, INTEGER).is_some());
    (is_rsa && inner.is_some()).then_some(key)
}
