//! Which data a cryptographic call was about.
//!
//! In: the encryption context of a request. Out: the context as JSON with sorted keys, what kind of data it names, and the
//! resource. The context is bound to the ciphertext, so a successful Decrypt with a context means that data was or could
//! be opened. Context keys are those of each service's documentation on encryption at rest; they are matched whatever
//! their case, and a pair named more precisely wins over one that only says where the bytes lie (CloudTrail over S3, RDS
//! over EBS). `none` says the caller gave no context; where the record does not show what was given, the columns are NULL.

use super::class::Operation;
use super::fields::Fields;
use super::identity::is_omitted;
use crate::json::{Object, Value};
use crate::schema::{Event, Text};
use std::borrow::Cow;

/// Sets the columns about the data touched.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, operation: Operation) {
    let name =
        if event.event_name.as_deref() == Some("ReEncrypt") { "sourceEncryptionContext" } else { "encryptionContext" };
    if let Value::Object(context) = fields.request.get(name)
        && !context.members.is_empty()
    {
        let (class, resource) = classify(context);
        event.encryption_context = Some(sorted_json(context));
        event.context_class = Some(Cow::Borrowed(class));
        event.context_resource = resource;
        event.context_keys = Some(names(context));
        return;
    }
    // A denied call is logged without its parameters: that says nothing about its context.
    let is_known = match fields.request {
        Value::Object(_) => !is_omitted(fields.request),
        _ => event.outcome.as_deref() == Some("ok"),
    };
    if operation.takes_context && is_known {
        event.context_class = Some(Cow::Borrowed("none"));
    }
}

/// What a context key says. The place in [`KNOWN`] is its rank.
struct Known {
    /// The key, in any case.
    key: &'static str,
    /// The class of the context, before the value has its say.
    class: &'static str,
    /// The value names the resource.
    names_resource: bool,
}

const fn known(key: &'static str, class: &'static str) -> Known {
    Known { key, class, names_resource: true }
}

const fn hint(key: &'static str, class: &'static str) -> Known {
    Known { key, class, names_resource: false }
}

/// Context keys, the more telling ones first: the first that a context holds decides.
const KNOWN: &[Known] = &[
    known("aws:cloudtrail:arn", "cloudtrail"),
    known("aws:ecr:arn", "ecr"),
    known("aws:m2:app", "m2"),
    known("aws:rds:db-id", "rds"),
    known("aws:rds:dbc-id", "rds"),
    known("aws:workspaces:sid-directoryid", "workspaces"),
    known("aws:redshift:arn", "redshift"),
    known("SecretARN", "secret"),
    hint("SecretVersionId", "secret"),
    known("PARAMETER_ARN", "parameter"),
    known("aws:ssm:SessionId", "ssm_session"),
    hint("aws:ssm:TargetId", "ssm_session"),
    known("aws:lambda:FunctionArn", "lambda"),
    hint("aws:lambda:EventSourceArn", "lambda"),
    known("aws:dynamodb:tableName", "dynamodb"),
    hint("aws:dynamodb:subscriberId", "dynamodb"),
    known("aws:logs:arn", "logs"),
    known("aws:sns:topicArn", "sns"),
    known("aws:sqs:arn", "sqs"),
    known("aws:kinesis:arn", "kinesis"),
    known("aws:elasticfilesystem:filesystem:id", "efs"),
    known("aws:ses:message-id", "ses"),
    known("aws:workmail:arn", "workmail"),
    known("aws:backup:backup-vault", "backup"),
    known("aws:aoss:arn", "aoss"),
    known("aws:bedrock:arn", "bedrock"),
    known("aws:s3express:arn", "s3express"),
    known("aws:s3:arn", "s3"),
    known("aws:ebs:id", "ebs"),
    known("glue_catalog_id", "glue"),
    hint("aws:x-amz-cek-alg", "s3_client_side"),
    hint("aws-crypto-public-key", "encryption_sdk"),
];

/// Services whose other context keys still say which service it is.
const SERVICES: &[(&str, &str)] = &[
    ("rds", "rds"),
    ("redshift", "redshift"),
    ("lambda", "lambda"),
    ("ssm", "ssm_session"),
    ("logs", "logs"),
    ("elasticfilesystem", "efs"),
    ("ses", "ses"),
    ("backup", "backup"),
    ("bedrock", "bedrock"),
    ("workspaces", "workspaces"),
    ("kinesis", "kinesis"),
    ("m2", "m2"),
];

/// The names in a context, sorted, comma-separated.
fn names<'a>(context: &Object<'a>) -> Cow<'a, str> {
    if let [(Cow::Borrowed(name), _)] = context.members.as_slice() {
        return Cow::Borrowed(name);
    }
    let mut names: Vec<&str> = context.members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.dedup();
    Cow::Owned(names.join(","))
}

/// The class of a context and the resource it names.
fn classify<'a>(context: &Object<'a>) -> (&'static str, Text<'a>) {
    let ranked = context.members.iter().filter_map(|(key, value)| {
        let rank = KNOWN.iter().position(|known| known.key.eq_ignore_ascii_case(key))?;
        Some((rank, value))
    });
    if let Some((rank, value)) = ranked.min_by_key(|(rank, _)| *rank)
        && let Some(known) = KNOWN.get(rank)
    {
        let resource = if known.names_resource { value.text() } else { None };
        let class = match (known.class, resource.as_deref()) {
            ("s3", Some(arn)) if names_object(arn) => "s3_object",
            ("s3", _) => "s3_bucket",
            ("ebs", Some(id)) if id.starts_with("snap-") => "ebs_snapshot",
            ("ebs", _) => "ebs_volume",
            (class, _) => class,
        };
        return (class, resource);
    }
    let unranked = context.members.iter().filter_map(|(key, value)| by_shape(key, value));
    unranked.min_by_key(|(rank, ..)| *rank).map_or(("custom", None), |(_, class, resource)| (class, resource))
}

/// Classes that need more than the key's name, with their rank.
fn by_shape<'a>(key: &str, value: &Value<'a>) -> Option<(u8, &'static str, Text<'a>)> {
    let text = value.as_str().unwrap_or_default();
    if key.eq_ignore_ascii_case("service") && text.eq_ignore_ascii_case("elastictranscoder.amazonaws.com") {
        return Some((0, "elastic_transcoder", None));
    }
    // EMRFS with client-side encryption writes the key's own ARN.
    if text.starts_with("arn:") && text.contains(":kms:") && text.contains(":key/") {
        return Some((1, "emr", value.text()));
    }
    let prefix = key.get(..4)?;
    let service = key.get(4..)?.split(':').next()?;
    if !prefix.eq_ignore_ascii_case("aws:") || service.is_empty() {
        return None;
    }
    let class = SERVICES.iter().find(|(name, _)| name.eq_ignore_ascii_case(service)).map(|(_, class)| *class);
    Some(class.map_or((3, "other_service", value.text()), |class| (2, class, value.text())))
}

/// True when an S3 ARN names an object and not a whole bucket. With S3 Bucket Keys the context holds the bucket's ARN.
fn names_object(arn: &str) -> bool {
    let resource = arn.splitn(6, ':').nth(5).unwrap_or_default();
    let path = match resource.strip_prefix("accesspoint/") {
        Some(point) => point.split_once("/object/").map_or("", |(_, path)| path),
        None => resource.split_once('/').map_or("", |(_, path)| path),
    };
    !path.is_empty()
}

/// The object as JSON with sorted keys and no spaces: the record's own text when it is that already.
fn sorted_json<'a>(object: &Object<'a>) -> Cow<'a, str> {
    // Text borrowed from the record holds nothing that JSON would escape.
    let mut length = 2 + object.members.len().saturating_sub(1);
    for (name, value) in &object.members {
        let (Cow::Borrowed(name), Value::String(Cow::Borrowed(value))) = (name, value) else {
            return canonical(object);
        };
        length += name.len() + value.len() + 5;
    }
    let is_sorted = object.members.is_sorted_by(|(a, _), (b, _)| a < b);
    if is_sorted && length == object.raw.len() { Cow::Borrowed(object.raw) } else { canonical(object) }
}

fn canonical<'a>(object: &Object<'a>) -> Cow<'a, str> {
    Cow::Owned(Value::Object(object.clone()).canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use proptest::prelude::*;

    #[track_caller]
    fn check(context: &str, class: &str, resource: Option<&str>) {
        let value = json::parse(context).unwrap();
        let Value::Object(object) = &value else { panic!("an object") };
        let (found, named) = classify(object);
        assert_eq!((found, named.as_deref()), (class, resource), "{context}");
    }

    #[test]
    fn each_service_is_known_by_its_context() {
        let object = "arn:aws:s3:::amzn-s3-demo-bucket/a/b.csv";
        check(&format!(r#"{{"aws:s3:arn":"{object}"}}"#), "s3_object", Some(object));
        check(
            r#"{"aws:s3:arn":"arn:aws-cn:s3:::amzn-s3-demo-bucket"}"#,
            "s3_bucket",
            Some("arn:aws-cn:s3:::amzn-s3-demo-bucket"),
        );
        check(
            r#"{"aws:s3:arn":"arn:aws:s3:::amzn-s3-demo-bucket/"}"#,
            "s3_bucket",
            Some("arn:aws:s3:::amzn-s3-demo-bucket/"),
        );
        let point = "arn:aws:s3:us-east-1:111122223333:accesspoint/p";
        check(&format!(r#"{{"aws:s3:arn":"{point}"}}"#), "s3_bucket", Some(point));
        check(&format!(r#"{{"aws:s3:arn":"{point}/object/k"}}"#), "s3_object", Some(&format!("{point}/object/k")));
        check(r#"{"aws:s3express:arn":"b"}"#, "s3express", Some("b"));
        check(r#"{"aws:ebs:id":"vol-13439757"}"#, "ebs_volume", Some("vol-13439757"));
        check(r#"{"aws:ebs:id":"snap-13439757"}"#, "ebs_snapshot", Some("snap-13439757"));
        check(
            r#"{"aws:dynamodb:tableName":"Books","aws:dynamodb:subscriberId":"111122223333"}"#,
            "dynamodb",
            Some("Books"),
        );
        check(r#"{"SecretARN":"arn:s","SecretVersionId":"v"}"#, "secret", Some("arn:s"));
        check(r#"{"PARAMETER_ARN":"arn:p"}"#, "parameter", Some("arn:p"));
        check(r#"{"aws:ssm:TargetId":"i-1","aws:ssm:SessionId":"s"}"#, "ssm_session", Some("s"));
        check(r#"{"aws:lambda:FunctionArn":"arn:f"}"#, "lambda", Some("arn:f"));
        check(r#"{"aws:logs:arn":"arn:l"}"#, "logs", Some("arn:l"));
        check(r#"{"aws:sns:topicArn":"arn:t"}"#, "sns", Some("arn:t"));
        check(r#"{"aws:sqs:arn":"arn:q"}"#, "sqs", Some("arn:q"));
        check(r#"{"aws:kinesis:arn":"arn:k"}"#, "kinesis", Some("arn:k"));
        check(r#"{"aws:elasticfilesystem:filesystem:id":"fs-1"}"#, "efs", Some("fs-1"));
        check(r#"{"aws:elasticfilesystem:account:id":"a"}"#, "efs", Some("a"));
        check(r#"{"aws:redshift:createtime":"20150206T1832Z","aws:redshift:arn":"arn:r"}"#, "redshift", Some("arn:r"));
        check(r#"{"aws:workmail:arn":"arn:w"}"#, "workmail", Some("arn:w"));
        check(r#"{"aws:ses:rule-name":"r","aws:ses:message-id":"m"}"#, "ses", Some("m"));
        check(r#"{"aws:backup:backup-vault":"v"}"#, "backup", Some("v"));
        check(r#"{"aws:aoss:arn":"arn:c"}"#, "aoss", Some("arn:c"));
        check(r#"{"aws:bedrock:data-automation-customer-account-id":"a"}"#, "bedrock", Some("a"));
        check(r#"{"glue_catalog_id":"111122223333"}"#, "glue", Some("111122223333"));
        check(r#"{"service":"elastictranscoder.amazonaws.com"}"#, "elastic_transcoder", None);
        let key = "arn:aws:kms:us-east-1:111122223333:key/k";
        check(&format!(r#"{{"kms_cmk_id":"{key}"}}"#), "emr", Some(key));
        check(r#"{"aws-crypto-public-key":"x","tenant":"a"}"#, "encryption_sdk", None);
        check(r#"{"aws:newservice:arn":"arn:n"}"#, "other_service", Some("arn:n"));
        check(r#"{"Department":"Finance"}"#, "custom", None);
    }

    #[test]
    fn the_more_telling_key_wins_in_any_order() {
        for (strong, weak, class) in [
            (r#""aws:cloudtrail:arn":"arn:x""#, r#""aws:s3:arn":"arn:aws:s3:::b/k""#, "cloudtrail"),
            (r#""aws:ecr:arn":"arn:x""#, r#""aws:s3:arn":"arn:aws:s3:::b/k""#, "ecr"),
            (r#""aws:m2:app":"arn:x""#, r#""aws:s3:arn":"arn:aws:s3:::b/k""#, "m2"),
            (r#""aws:rds:db-id":"arn:x""#, r#""aws:ebs:id":"vol-1""#, "rds"),
            (r#""aws:workspaces:sid-directoryid":"arn:x""#, r#""aws:ebs:id":"vol-1""#, "workspaces"),
            (r#""aws:lambda:FunctionArn":"arn:x""#, r#""aws-crypto-public-key":"p""#, "lambda"),
            (r#""SecretARN":"arn:x""#, r#""Department":"a""#, "secret"),
        ] {
            check(&format!("{{{strong},{weak}}}"), class, Some("arn:x"));
            check(&format!("{{{weak},{strong}}}"), class, Some("arn:x"));
        }
    }

    #[test]
    fn keys_match_in_any_case_and_near_misses_stay_custom() {
        check(r#"{"AWS:S3:ARN":"arn:aws:s3:::b/k"}"#, "s3_object", Some("arn:aws:s3:::b/k"));
        check(r#"{"secretarn":"arn:s"}"#, "secret", Some("arn:s"));
        for context in [
            r#"{"SecretARNs":"a"}"#,
            r#"{"service":"billing"}"#,
            r#"{"aws":"x"}"#,
            r#"{"aws:":"x"}"#,
            r#"{"é:s3:arn":"x"}"#,
            r#"{"aws:é":1}"#,
        ] {
            let class = if context.contains("aws:é") { "other_service" } else { "custom" };
            check(context, class, None);
        }
        // A value that is no text names nothing and breaks nothing.
        check(r#"{"aws:s3:arn":["x"]}"#, "s3_bucket", None);
    }

    proptest! {
        #[test]
        fn the_record_s_own_text_is_used_only_when_it_is_canonical(
            text in r#"\{ ?("[abc]{1,2}": ?("[xé]{0,2}"|"\\\\u0041"|1)(,"[abc]{1,2}":"x")?)? ?\}"#
        ) {
            let value = json::parse(&text).unwrap();
            let Value::Object(object) = &value else { panic!("an object") };
            prop_assert_eq!(sorted_json(object).into_owned(), value.canonical());
        }
    }
}
