//! KMS keys of other accounts in a call's parameters.
//!
//! In: `requestParameters` of any record. Out: `foreign_key_arns` and the rows of `foreign_keys`. Services name keys under
//! dozens of parameters at any depth, so every text is searched for key and alias ARNs of any partition, wherever it
//! stands. A bare key id or alias belongs to the caller's own account and is never foreign. Policies and tags are left
//! out: a policy's ARNs are conditions and resources, not keys put to use, and a tag is prose.

use super::identity::is_account_id;
use crate::json::{Value, write_string};
use crate::schema::{Event, ForeignKey};
use memchr::memmem::Finder;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Rows of one record. A call names a handful of keys; only a record made for the purpose has more.
const MAX_ROWS: usize = 1_000;

/// Bytes of one member's name in a path: names are hostile too, and each row repeats them.
const MAX_NAME: usize = 128;

/// Members that hold a policy document as an object: S3 and others log policies unwrapped.
const POLICIES: [&str; 6] =
    ["policy", "bucketPolicy", "policyDocument", "assumeRolePolicyDocument", "resourcePolicy", "keyPolicy"];

/// What a key ARN and an escape look like. Making a searcher takes longer than searching the few bytes of most parameters.
static FINDERS: LazyLock<(Finder<'static>, Finder<'static>)> =
    LazyLock::new(|| (Finder::new(b":kms:"), Finder::new(b"\\u")));

/// Sets `foreign_key_arns` and the rows of `foreign_keys`. The event's account and `request_parameters` must be set:
/// whose key is foreign depends on the first, and the second tells for nearly all records that there is nothing to find.
pub(super) fn apply<'a>(event: &mut Event<'a>, record: &Value<'a>) {
    let Some(raw) = event.request_parameters.as_deref() else { return };
    // An escape may hide a colon from the search, so it asks for the full one.
    let has = |finder: &Finder<'_>| finder.find(raw.as_bytes()).is_some();
    if !has(&FINDERS.0) && !has(&FINDERS.1) {
        return;
    }
    let Some(account) = event.account_id.as_deref() else { return };
    if !has(&FINDERS.1) && has_only_keys_of(raw, account) {
        return;
    }
    let mut search = Search { account, path: "requestParameters".to_owned(), rows: BTreeSet::new() };
    search.value(record.get("requestParameters"));
    let rows: Vec<ForeignKey<'a>> = search.rows.into_iter().collect();
    event.foreign_key_arns = json_array(&rows);
    event.foreign_keys = rows;
}

/// True when each `:kms:` in a text without escapes is followed by a Region and `account`: most calls name their own key.
fn has_only_keys_of(raw: &str, account: &str) -> bool {
    FINDERS.0.find_iter(raw.as_bytes()).all(|at| {
        let rest = raw.as_bytes().get(at + ":kms:".len()..).unwrap_or_default();
        let region = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'-').count();
        let field = rest.get(region..).and_then(|rest| rest.strip_prefix(b":"));
        field.and_then(|rest| rest.strip_prefix(account.as_bytes())).is_some_and(|rest| rest.starts_with(b":"))
    })
}

fn json_array<'a>(rows: &[ForeignKey<'a>]) -> Option<Cow<'a, str>> {
    let arns: BTreeSet<&str> = rows.iter().map(|row| row.key_arn.as_ref()).collect();
    let mut out = String::new();
    for arn in arns {
        out.push(if out.is_empty() { '[' } else { ',' });
        write_string(arn, &mut out);
    }
    if out.is_empty() {
        return None;
    }
    out.push(']');
    Some(Cow::Owned(out))
}

/// A walk over the parameters; `path` is where it stands.
struct Search<'e, 'a> {
    account: &'e str,
    path: String,
    rows: BTreeSet<ForeignKey<'a>>,
}

impl<'a> Search<'_, 'a> {
    /// Goes as deep as the tree, which the parser keeps to 128.
    fn value(&mut self, value: &Value<'a>) {
        let length = self.path.len();
        match value {
            Value::String(text) if !is_json(text) => self.text(text),
            Value::Array(array) => {
                for (place, item) in array.items.iter().enumerate() {
                    self.path.push_str(&format!("[{place}]"));
                    self.value(item);
                    self.path.truncate(length);
                }
            }
            Value::Object(object) => {
                for (name, member) in object.members.iter().filter(|(name, _)| !is_left_out(name)) {
                    self.path.push('.');
                    self.path.push_str(cut(name));
                    self.value(member);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        let mut from = 0;
        while let Some(found) = find_key_arn(text, from) {
            from = found.end;
            if found.account != self.account && self.rows.len() < MAX_ROWS {
                self.rows.insert(ForeignKey {
                    parameter_path: Cow::Owned(self.path.clone()),
                    key_arn: Cow::Owned(found.arn.to_owned()),
                    key_account_id: Some(Cow::Owned(found.account.to_owned())),
                });
            }
        }
    }
}

fn cut(name: &str) -> &str {
    name.char_indices().nth(MAX_NAME).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// True for policies and tags (`tags`, `tagSet`, `TagSpecificationSet`, `replicaTags`).
fn is_left_out(name: &str) -> bool {
    let ends_with = |end: &str| {
        let start = name.len().checked_sub(end.len());
        start.and_then(|start| name.get(start..)).is_some_and(|found| found.eq_ignore_ascii_case(end))
    };
    let is_tag = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("tag"));
    is_tag
        || ends_with("tags")
        || ends_with("tagset")
        || POLICIES.iter().any(|policy| name.eq_ignore_ascii_case(policy))
}

/// A key or alias ARN and where it ends in the text.
struct FoundArn<'t> {
    arn: &'t str,
    account: &'t str,
    end: usize,
}

/// The first `arn:aws...:kms:REGION:ACCOUNT:key/ID` or `alias/NAME` in `text` from byte `from` on.
fn find_key_arn(text: &str, mut from: usize) -> Option<FoundArn<'_>> {
    loop {
        let start = from + text.get(from..)?.find("arn:aws")?;
        let rest = text.get(start..)?;
        if let Some((length, account)) = key_arn_at_start(rest) {
            return Some(FoundArn { arn: rest.get(..length)?, account, end: start + length });
        }
        from = start + "arn:".len();
    }
}

/// The length of the ARN at the start of `text`, and its account.
fn key_arn_at_start(text: &str) -> Option<(usize, &str)> {
    let mut fields = text.splitn(6, ':');
    let (_, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !is_label(partition) || service != "kms" || !is_label(region) || !is_account_id(account) {
        return None;
    }
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_of_alias = |byte: u8| is_of_id(byte) || byte == b'_' || byte == b'/';
    let length = match (resource.strip_prefix("key/"), resource.strip_prefix("alias/")) {
        (Some(id), _) => id.bytes().take_while(|byte| is_of_id(*byte)).count(),
        (None, Some(name)) => name.bytes().take_while(|byte| is_of_alias(*byte)).count(),
        (None, None) => 0,
    };
    let kind = resource.find('/')? + 1;
    (length > 0).then_some((text.len() - resource.len() + kind + length, account))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const FOREIGN: &str = "arn:aws:kms:us-east-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321";
    const OWN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn read<T>(parameters: &str, account: Option<&str>, read: impl FnOnce(&Event<'_>) -> T) -> T {
        let text = format!(r#"{{"requestParameters":{}}}"#, parameters.replace("FOREIGN", FOREIGN).replace("OWN", OWN));
        let record = json::parse(&text).unwrap();
        let raw = record.get("requestParameters").raw().map(|raw| Cow::Owned(raw.to_owned()));
        let mut event = Event {
            account_id: account.map(|account| Cow::Owned(account.to_owned())),
            request_parameters: raw,
            ..Event::default()
        };
        apply(&mut event, &record);
        read(&event)
    }

    fn rows(parameters: &str) -> Vec<String> {
        read(parameters, Some("111122223333"), |event| {
            let rows = event.foreign_keys.iter();
            rows.map(|row| {
                format!(
                    "{} {} {}",
                    row.parameter_path,
                    row.key_arn.replace(FOREIGN, "FOREIGN"),
                    row.key_account_id.as_deref().unwrap_or("-")
                )
            })
            .collect()
        })
    }

    #[test]
    fn a_foreign_key_is_found_wherever_a_service_puts_it() {
        for (parameters, path) in [
            (r#"{"kmsKeyId":"FOREIGN"}"#, "kmsKeyId"),
            (
                r#"{"ServerSideEncryptionConfiguration":{"Rule":[{"ApplyServerSideEncryptionByDefault":{"SSEAlgorithm":"aws:kms","KMSMasterKeyID":"FOREIGN"}}]}}"#,
                "ServerSideEncryptionConfiguration.Rule[0].ApplyServerSideEncryptionByDefault.KMSMasterKeyID",
            ),
            (
                r#"{"x-amz-server-side-encryption-aws-kms-key-id":"FOREIGN"}"#,
                "x-amz-server-side-encryption-aws-kms-key-id",
            ),
            (
                r#"{"ModifyEbsDefaultKmsKeyIdRequest":{"KmsKeyId":"FOREIGN"}}"#,
                "ModifyEbsDefaultKmsKeyIdRequest.KmsKeyId",
            ),
            (
                r#"{"policyDetails":{"schedules":[{},{"rules":[{"cmkArn":"FOREIGN"}]}]}}"#,
                "policyDetails.schedules[1].rules[0].cmkArn",
            ),
            (
                r#"{"replicaUpdates":[{"create":{"kMSMasterKeyId":"FOREIGN","regionName":"eu-west-1"}}]}"#,
                "replicaUpdates[0].create.kMSMasterKeyId",
            ),
            (r#"{"text":"keys OWN, FOREIGN."}"#, "text"),
            (r#"{"targetKeyId":"FOREIGN","stage":"OWN"}"#, "targetKeyId"),
        ] {
            assert_eq!(rows(parameters), [format!("requestParameters.{path} FOREIGN 444455556666")], "{parameters}");
        }
    }

    #[test]
    fn an_escaped_arn_is_found() {
        let parameters = format!(r#"{{"kmsKeyId":"{}"}}"#, FOREIGN.replace(':', "\\u003a"));
        assert_eq!(rows(&parameters), ["requestParameters.kmsKeyId FOREIGN 444455556666"]);
    }

    #[test]
    fn near_misses_are_not_foreign() {
        for parameters in [
            r#"{"kmsKeyId":"OWN"}"#,
            // Bare ids and aliases are the caller's own.
            r#"{"kmsKeyId":"0987dcba-09fe-87dc-65ba-ab0987654321"}"#,
            r#"{"kmsKeyId":"alias/aws/ebs","note":":kms:"}"#,
            r#"{"x":"arn:aws:kms:us-east-1:44445555666:key/1"}"#,
            r#"{"x":"arn:aws:kms:us-east-1:444455556666:key/"}"#,
            r#"{"x":"arn:aws:kms:us-east-1:444455556666:key/*"}"#,
            r#"{"x":"arn:aws:kms:us-east-1:444455556666:grant/1"}"#,
            r#"{"x":"arn:aws:kms::444455556666:key/1"}"#,
            r#"{"x":"arn:AWS:kms:us-east-1:444455556666:key/1"}"#,
            r#"{"x":"arn:aws:s3:::kms:us-east-1:444455556666:key/1"}"#,
            // Policies and tags.
            r#"{"policy":"{\"Resource\":\"FOREIGN\"}"}"#,
            r#"{"anything":" [\"FOREIGN\"]"}"#,
            r#"{"bucketPolicy":{"Statement":[{"Condition":{"StringEquals":{"k":"FOREIGN"}}}]}}"#,
            r#"{"tags":[{"tagKey":"k","tagValue":"FOREIGN"}]}"#,
            r#"{"TagSpecificationSet":{"items":[{"value":"FOREIGN"}]},"tableTags":["FOREIGN"]}"#,
            r#"{"FOREIGN":1}"#,
            "null",
            "[]",
        ] {
            assert_eq!(rows(parameters), [""; 0], "{parameters}");
            assert!(read(parameters, Some("111122223333"), |event| event.foreign_key_arns.is_none()), "{parameters}");
        }
    }

    #[test]
    fn every_partition_and_aliases_count() {
        for arn in [
            "arn:aws-us-gov:kms:us-gov-west-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab",
            "arn:aws-cn:kms:cn-north-1:444455556666:key/1",
            "arn:aws-iso-b:kms:us-isob-east-1:444455556666:alias/app/x_y",
        ] {
            assert_eq!(rows(&format!(r#"{{"k":"<{arn}>"}}"#)), [format!("requestParameters.k {arn} 444455556666")]);
        }
    }

    #[test]
    fn the_column_lists_each_arn_once_sorted() {
        let other = "arn:aws:kms:eu-west-1:777788889999:key/1";
        let parameters = format!(r#"{{"b":["FOREIGN","FOREIGN"],"a":"{other} arn:aws:arn:aws:kms:x OWN"}}"#);
        let column =
            read(&parameters, Some("111122223333"), |event| event.foreign_key_arns.as_deref().map(str::to_owned));
        assert_eq!(column, Some(format!(r#"["{other}","{FOREIGN}"]"#)));
        assert_eq!(rows(&parameters).len(), 3);
    }

    #[test]
    fn whose_is_unknown_is_not_foreign() {
        assert!(read(r#"{"k":"FOREIGN"}"#, None, |event| event.foreign_keys.is_empty()));
        // In the other account's trail it is its own.
        assert!(read(r#"{"k":"FOREIGN"}"#, Some("444455556666"), |event| event.foreign_keys.is_empty()));
    }

    #[test]
    fn hostile_parameters_stay_small() {
        let name = "é".repeat(100_000);
        let arns = (0..5_000).map(|id| format!("\"arn:aws:kms:us-east-1:444455556666:key/{id}\"")).collect::<Vec<_>>();
        let parameters =
            format!(r#"{{"{name}":[{}],"arn:aws{}":"{}"}}"#, arns.join(","), ":", "arn:aws:kms:".repeat(50_000));
        assert_eq!(rows(&parameters).len(), MAX_ROWS);
        let deep = format!("{}\"FOREIGN\"{}", r#"{"a":["#.repeat(60), "]}".repeat(60));
        assert_eq!(rows(&deep).len(), 1);
    }
}
