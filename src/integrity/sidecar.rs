//! Signatures of digests that were fetched beside them: S3 object metadata, which plain copies lose.
//!
//! In: JSON. Either a map `"<bucket>/<key>" -> {"signature": hex, ...}` (or the hex alone, or a whole `head-object` output),
//! or outputs of `aws s3api head-object` behind each other, with `Key` and perhaps `Bucket` beside `Metadata`, or in files
//! named after their digests, or with no name at all. Out: [`Signatures`], found by a digest's bucket and key, by its file
//! name, or by trying: a signature needs no name, because it fits one digest only. Names of metadata may differ in case and
//! carry `x-amz-meta-`.

use serde_json::{Map, Value};
use std::collections::HashMap;

use super::keys::{field, instant};
use super::location::stem;
use super::text::{hash_text, unhex};

/// A signature from metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The signature.
    pub bytes: Vec<u8>,
    /// When a backfill digest was made, microseconds since 1970-01-01 UTC: its key was valid then.
    pub made: Option<i64>,
}

/// All signatures at hand.
#[derive(Clone, Debug, Default)]
pub struct Signatures {
    /// By the hash of the digest's file name without extensions, with the name as given.
    named: HashMap<u64, Vec<(String, Signature)>>,
    nameless: Vec<Signature>,
}

/// Nesting of lists and maps of signatures.
const MAX_DEPTH: usize = 4;

impl Signatures {
    /// Adds the signatures in `text`; `name` is what its file is called: outputs without a name of their own belong to the
    /// digest of that name, if there is one.
    ///
    /// # Errors
    /// A message that says what is wrong and what is expected.
    pub fn add(&mut self, text: &[u8], name: &str) -> Result<(), String> {
        let mut found = 0;
        for document in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
            let document = document.map_err(|error| format!("not JSON: {error}"))?;
            found += self.add_value(&document, file_key(name), 0);
        }
        if found == 0 {
            return Err("no signature: expected {\"BUCKET/KEY\": {\"signature\": \"HEX\"}} or outputs of \
                        `aws s3api head-object`"
                .to_owned());
        }
        Ok(())
    }

    fn add_value(&mut self, value: &Value, key: Option<&str>, depth: usize) -> usize {
        match value {
            Value::Array(items) if depth < MAX_DEPTH => {
                items.iter().map(|item| self.add_value(item, key, depth + 1)).sum()
            }
            Value::Object(members) if depth < MAX_DEPTH => {
                if let Some(signature) = signature(members) {
                    let own = field(members, "key").and_then(Value::as_str);
                    let bucket = field(members, "bucket").and_then(Value::as_str);
                    let name = own.map(|own| bucket.map_or(own.to_owned(), |bucket| format!("{bucket}/{own}")));
                    self.put(name.as_deref().or(key), signature);
                    return 1;
                }
                members.iter().map(|(key, value)| self.add_value(value, Some(key), depth + 1)).sum()
            }
            Value::String(text) if depth > 0 => match unhex(text).filter(|bytes| bytes.len() >= 128) {
                Some(bytes) => {
                    self.put(key, Signature { bytes, made: None });
                    1
                }
                None => 0,
            },
            _ => 0,
        }
    }

    fn put(&mut self, name: Option<&str>, signature: Signature) {
        match name.filter(|name| name.contains("_CloudTrail-Digest_")) {
            Some(name) => {
                self.named.entry(hash_text(stem(name))).or_default().push((name.to_owned(), signature));
            }
            None => self.nameless.push(signature),
        }
    }

    /// The signatures that are named after the digest `bucket`/`key`. A name may have its bucket or not; when none has this
    /// bucket, those of another one with the same key count, for a digest may lie about its bucket.
    pub fn of(&self, bucket: &str, key: &str) -> Vec<&Signature> {
        let named = || self.named.get(&hash_text(stem(key))).into_iter().flatten();
        let exact: Vec<_> = named().filter(|(name, _)| is_name_of(name, bucket, key)).collect();
        let tail = format!("/{key}");
        let found = if exact.is_empty() { named().filter(|(name, _)| name.ends_with(&tail)).collect() } else { exact };
        found.into_iter().map(|(_, signature)| signature).collect()
    }

    /// Signatures without a name.
    pub fn nameless(&self) -> &[Signature] {
        &self.nameless
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.named.values().map(Vec::len).sum::<usize>() + self.nameless.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The digest's name in the name of a file, such as `..._20240305T110131Z.json.gz.head.json`.
fn file_key(name: &str) -> Option<&str> {
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    let end = name.find(".json").unwrap_or(name.len());
    name.get(..end).filter(|name| name.contains("_CloudTrail-Digest_"))
}

/// A bucket's name before the key is optional, and so are the folders.
fn is_name_of(name: &str, bucket: &str, key: &str) -> bool {
    let name = name.strip_prefix("s3://").unwrap_or(name);
    if !name.contains('/') {
        return stem(name) == stem(key);
    }
    name == key || name.strip_prefix(bucket).and_then(|rest| rest.strip_prefix('/')) == Some(key)
}

/// The signature in metadata, or in an object that contains the metadata.
fn signature(members: &Map<String, Value>) -> Option<Signature> {
    if let Some(Value::Object(metadata)) = field(members, "metadata") {
        return signature(metadata);
    }
    let member = |name: &str| field(members, name).or_else(|| field(members, &format!("x-amz-meta-{name}")));
    let bytes = unhex(member("signature")?.as_str()?.trim())?;
    Some(Signature { bytes, made: member("backfill-generation-timestamp").and_then(instant) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "p/AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2024/03/05/111122223333_CloudTrail-Digest_us-east-2_t_us-east-2_20240305T110131Z.json.gz";

    fn found(text: &str, name: &str) -> (usize, usize) {
        let mut signatures = Signatures::default();
        signatures.add(text.as_bytes(), name).unwrap();
        (signatures.of("trails", KEY).len(), signatures.nameless().len())
    }

    #[test]
    fn signatures_come_in_every_shape() {
        let hex = "ab".repeat(256);
        let file = KEY.rsplit_once('/').unwrap().1;
        let head = format!(
            r#"{{"ContentLength":7,"Metadata":{{"signature":"{hex}","signature-algorithm":"SHA256withRSA"}}}}"#
        );
        for text in [
            format!(r#"{{"trails/{KEY}":{{"signature":"{hex}"}}}}"#),
            format!(r#"{{"s3://trails/{KEY}":{{"Signature":"{hex}"}}}}"#),
            format!(r#"{{"{KEY}":"{hex}"}}"#),
            format!(r#"{{"{file}":{{"x-amz-meta-signature":"{hex}"}}}}"#),
            format!(r#"{{"trails/{KEY}":{head}}}"#),
            format!(r#"[{{"Bucket":"trails","Key":"{KEY}","Metadata":{{"SIGNATURE":"{hex}"}}}}]"#),
            format!("{{\"x\":1}}\n{{\"trails/{KEY}\":{head}}}"),
        ] {
            assert_eq!(found(&text, "signatures.json"), (1, 0), "{text}");
        }
        assert_eq!(found(&head, &format!("heads/{file}.head.json")), (1, 0));
        assert_eq!(found(&format!("{head}\n{head}"), "heads.json"), (0, 2));
        assert_eq!(found(&format!(r#"{{"other/{KEY}":"{hex}"}}"#), "s.json").0, 1, "a digest may lie about its bucket");
    }

    #[test]
    fn a_file_without_signatures_is_an_error() {
        for text in ["", "{}", "[1, 2]", "{\"a\": \"zz\"}", "{", "{\"Metadata\":{}}"] {
            assert!(Signatures::default().add(text.as_bytes(), "x").is_err(), "{text}");
        }
    }
}
