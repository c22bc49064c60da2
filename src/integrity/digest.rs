//! One digest file: what it states.
//!
//! In: its inflated bytes. Out: a [`Digest`], or why the file is none. The text is hostile: it is read strictly (types,
//! lengths, names of algorithms, no member twice), and nothing in it is ever used as a path to open. The texts that were
//! signed are kept exactly as they stand. Field names and meanings are those of "CloudTrail digest file structure" in the
//! CloudTrail user guide; a file without one of the fields that the AWS CLI requires is refused here, too.

use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

use super::keys::Fingerprint;
use super::text::unhex_exactly;
use crate::time::parse_timestamp;

/// Bytes of text that are taken for a digest: 64 MiB. An hour with a log every second lists about 1.5 MB.
pub const MAX_TEXT: usize = 64 << 20;

/// Bytes of an S3 key ("Creating object key names" in the S3 user guide).
const MAX_KEY: usize = 1024;

/// The digest before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// Its bucket.
    pub bucket: Box<str>,
    /// Its key.
    pub key: Box<str>,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// Its signature, as written: the successor's string to sign contains this text.
    pub signature: Box<str>,
}

/// A log that a digest lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLog {
    /// Its key.
    pub key: String,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// eventTime of its first and last event, microseconds since 1970-01-01 UTC, if stated.
    pub oldest: Option<i64>,
    /// See `oldest`.
    pub newest: Option<i64>,
}

/// A digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The account it was delivered for; empty when it does not say.
    pub account: Box<str>,
    /// The bucket it was delivered to.
    pub bucket: Box<str>,
    /// The key it was delivered to.
    pub key: Box<str>,
    /// The bucket of its logs, when it is another one.
    pub log_bucket: Option<Box<str>>,
    /// The public key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The interval of delivery, microseconds since 1970-01-01 UTC.
    pub start: i64,
    /// See `start`.
    pub end: i64,
    /// The end, as written: it is signed.
    pub end_text: Box<str>,
    /// The digest before; `None` in a starting digest.
    pub previous: Option<Previous>,
    /// Its logs.
    pub logs: Vec<ListedLog>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawDigest<'a> {
    #[serde(borrow, default)]
    aws_account_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    digest_start_time: Cow<'a, str>,
    #[serde(borrow)]
    digest_end_time: Cow<'a, str>,
    #[serde(borrow, rename = "digestS3Bucket")]
    bucket: Cow<'a, str>,
    #[serde(borrow, rename = "digestS3Object")]
    key: Cow<'a, str>,
    #[serde(borrow)]
    digest_public_key_fingerprint: Cow<'a, str>,
    #[serde(borrow, default)]
    digest_signature_algorithm: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "previousDigestS3Bucket")]
    previous_bucket: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "previousDigestS3Object")]
    previous_key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    previous_digest_hash_value: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    previous_digest_hash_algorithm: Option<Cow<'a, str>>,
    /// Must be there, and may be null.
    #[serde(borrow, default, deserialize_with = "present")]
    previous_digest_signature: Option<Option<Cow<'a, str>>>,
    #[serde(borrow)]
    log_files: Vec<RawLog<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawLog<'a> {
    #[serde(borrow, rename = "s3Bucket")]
    bucket: Cow<'a, str>,
    #[serde(borrow, rename = "s3Object")]
    key: Cow<'a, str>,
    #[serde(borrow)]
    hash_value: Cow<'a, str>,
    #[serde(borrow)]
    hash_algorithm: Cow<'a, str>,
    #[serde(borrow, default)]
    oldest_event_time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    newest_event_time: Option<Cow<'a, str>>,
}

fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Option<Cow<'de, str>>>, D::Error> {
    Option::<Cow<'de, str>>::deserialize(input).map(Some)
}

/// Reads a digest.
///
/// # Errors
/// What is wrong, for a finding. The text quotes nothing that is longer than a line.
pub fn parse(text: &[u8]) -> Result<Digest, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("{} bytes, more than a digest can have", text.len()));
    }
    let raw: RawDigest<'_> = serde_json::from_slice(text).map_err(|error| format!("not a digest: {error}"))?;
    let instant = |name: &str, text: &str| {
        parse_timestamp(text).ok_or_else(|| format!("{name} is not a time: {}", shorten(text)))
    };
    let start = instant("digestStartTime", &raw.digest_start_time)?;
    let end = instant("digestEndTime", &raw.digest_end_time)?;
    let fingerprint = unhex_exactly(&raw.digest_public_key_fingerprint).ok_or_else(|| {
        format!("digestPublicKeyFingerprint is not 32 hex digits: {}", shorten(&raw.digest_public_key_fingerprint))
    })?;
    if let Some(algorithm) = &raw.digest_signature_algorithm
        && algorithm != "SHA256withRSA"
    {
        return Err(format!("digestSignatureAlgorithm is not SHA256withRSA: {}", shorten(algorithm)));
    }
    check_bucket("digestS3Bucket", &raw.bucket)?;
    check_key("digestS3Object", &raw.key)?;
    let previous = previous(&raw)?;
    let mut log_bucket = None;
    let mut logs = Vec::with_capacity(raw.log_files.len());
    for log in raw.log_files {
        let (bucket, log) = listed(log)?;
        if bucket != raw.bucket && log_bucket.is_none() {
            log_bucket = Some(Box::from(&*bucket));
        }
        logs.push(log);
    }
    Ok(Digest {
        account: raw.aws_account_id.unwrap_or_default().into(),
        bucket: raw.bucket.into(),
        key: raw.key.into(),
        log_bucket,
        fingerprint,
        start,
        end,
        end_text: raw.digest_end_time.into(),
        previous,
        logs,
    })
}

fn previous(raw: &RawDigest<'_>) -> Result<Option<Previous>, String> {
    let signature = raw.previous_digest_signature.as_ref().ok_or("previousDigestSignature is missing")?;
    let members = (&raw.previous_bucket, &raw.previous_key, &raw.previous_digest_hash_value, signature);
    let (bucket, key, hash, signature) = match members {
        (None, None, None, None) => return Ok(None),
        (Some(bucket), Some(key), Some(hash), Some(signature)) => (bucket, key, hash, signature),
        _ => return Err("of the previousDigest members some are null and some are not".to_owned()),
    };
    check_bucket("previousDigestS3Bucket", bucket)?;
    check_key("previousDigestS3Object", key)?;
    if let Some(algorithm) = &raw.previous_digest_hash_algorithm {
        check_hash_algorithm(algorithm)?;
    }
    let sha256 = unhex_exactly(hash)
        .ok_or_else(|| format!("previousDigestHashValue is not 64 hex digits: {}", shorten(hash)))?;
    if signature.len() > 4096 {
        return Err("previousDigestSignature is longer than any RSA signature".to_owned());
    }
    Ok(Some(Previous { bucket: (&**bucket).into(), key: (&**key).into(), sha256, signature: (&**signature).into() }))
}

fn listed(log: RawLog<'_>) -> Result<(Cow<'_, str>, ListedLog), String> {
    check_bucket("logFiles.s3Bucket", &log.bucket)?;
    check_key("logFiles.s3Object", &log.key)?;
    check_hash_algorithm(&log.hash_algorithm)?;
    let sha256 = unhex_exactly(&log.hash_value)
        .ok_or_else(|| format!("logFiles.hashValue is not 64 hex digits: {}", shorten(&log.hash_value)))?;
    let time = |text: &Option<Cow<'_, str>>| text.as_deref().and_then(parse_timestamp);
    let (oldest, newest) = (time(&log.oldest_event_time), time(&log.newest_event_time));
    Ok((log.bucket, ListedLog { key: log.key.into_owned(), sha256, oldest, newest }))
}

fn check_hash_algorithm(name: &str) -> Result<(), String> {
    if name == "SHA-256" { Ok(()) } else { Err(format!("hash algorithm is not SHA-256: {}", shorten(name))) }
}

fn check_bucket(name: &str, bucket: &str) -> Result<(), String> {
    let is_one = (3..=255).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_one { Ok(()) } else { Err(format!("{name} is no bucket name: {}", shorten(bucket))) }
}

/// A key of an object that CloudTrail writes: no step upwards, nothing that hides in a line.
fn check_key(name: &str, key: &str) -> Result<(), String> {
    let is_one = !key.is_empty()
        && key.len() <= MAX_KEY
        && !key.starts_with('/')
        && !key.contains(['\\', '\u{fffd}'])
        && !key.chars().any(char::is_control)
        && !key.split('/').any(|part| matches!(part, "." | ".."));
    if is_one { Ok(()) } else { Err(format!("{name} is no key that CloudTrail writes: {}", shorten(key))) }
}

/// Text for a message: at most 80 characters, control characters escaped.
pub(super) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn text(edit: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut digest = serde_json::json!({
            "awsAccountId": "111122223333",
            "digestStartTime": "2024-03-05T10:01:31Z", "digestEndTime": "2024-03-05T11:01:31Z",
            "digestS3Bucket": "trail-bucket", "digestS3Object": "AWSLogs/111122223333/CloudTrail-Digest/x.json.gz",
            "digestPublicKeyFingerprint": "00112233445566778899aabbccddeeff",
            "digestSignatureAlgorithm": "SHA256withRSA", "newestEventTime": null, "oldestEventTime": null,
            "previousDigestS3Bucket": "trail-bucket", "previousDigestS3Object": "AWSLogs/111122223333/CloudTrail-Digest/w.json.gz",
            "previousDigestHashValue": HASH, "previousDigestHashAlgorithm": "SHA-256", "previousDigestSignature": "ab",
            "logFiles": [{"s3Bucket": "trail-bucket", "s3Object": "AWSLogs/1.json.gz", "hashValue": HASH,
                "hashAlgorithm": "SHA-256", "newestEventTime": "2024-03-05T10:10:00Z", "oldestEventTime": "2024-03-05T10:05:00Z"}],
        });
        edit(&mut digest);
        digest.to_string()
    }

    #[test]
    fn a_digest_is_read_with_the_texts_that_were_signed() {
        let digest = parse(text(|_| ()).as_bytes()).unwrap();
        assert_eq!(&*digest.end_text, "2024-03-05T11:01:31Z");
        assert_eq!(&*digest.previous.unwrap().signature, "ab");
        assert_eq!(digest.logs.len(), 1);
        let starting = parse(
            text(|digest| {
                for member in ["S3Bucket", "S3Object", "HashValue", "HashAlgorithm", "Signature"] {
                    digest[format!("previousDigest{member}")] = serde_json::Value::Null;
                }
                digest["logFiles"] = serde_json::json!([]);
            })
            .as_bytes(),
        )
        .unwrap();
        assert_eq!((starting.previous, starting.logs.len()), (None, 0));
    }

    #[test]
    fn what_cloudtrail_does_not_write_is_refused_with_its_reason() {
        let cases: [(&str, serde_json::Value, &str); 14] = [
            ("/digestStartTime", 7.into(), "expected a string"),
            ("/digestEndTime", "soon".into(), "digestEndTime is not a time"),
            ("/digestEndTime", "99999999999999999999-01-01T00:00:00Z".into(), "is not a time"),
            ("/digestS3Bucket", "a/../b".into(), "no bucket name"),
            ("/digestS3Object", "../../etc/passwd".into(), "no key"),
            ("/digestPublicKeyFingerprint", "abc".into(), "32 hex digits"),
            ("/digestSignatureAlgorithm", "none".into(), "SHA256withRSA"),
            ("/previousDigestSignature", serde_json::Value::Null, "some are null"),
            ("/previousDigestHashAlgorithm", "MD5".into(), "not SHA-256"),
            ("/logFiles", serde_json::json!({}), "not a digest"),
            ("/logFiles/0/s3Object", "AWSLogs/../../x".into(), "no key"),
            ("/logFiles/0/s3Object", "a".repeat(2000).into(), "no key"),
            ("/logFiles/0/hashValue", "00".into(), "64 hex digits"),
            ("/logFiles/0/hashAlgorithm", 1e300.into(), "not a digest"),
        ];
        for (place, value, expected) in cases {
            let text = text(|digest| *digest.pointer_mut(place).unwrap() = value);
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected) && error.len() < 300, "{place}: {error}");
        }
        let absent = text(|digest| {
            digest.as_object_mut().unwrap().remove("previousDigestSignature");
        });
        assert!(parse(absent.as_bytes()).unwrap_err().contains("is missing"));
        let twice = text(|_| ()).replacen('{', "{\"digestS3Bucket\":\"other\",", 1);
        assert!(parse(twice.as_bytes()).unwrap_err().contains("duplicate field"));
        assert!(parse(&[b'['; 100_000]).is_err());
        assert!(parse(b"").is_err());
        assert!(parse(b"{\"Records\":[]}").is_err());
    }
}
