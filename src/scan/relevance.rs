//! Which records the case keeps: every KMS record, and the adjacent ones that the detections need.
//!
//! In: the parsed `eventSource`, `eventName`, `readOnly` and `requestParameters` of one record. Out: a [`Relevance`].
//! The tables stand here once; the prefilter reads the same ones from raw bytes, so that it cannot drop what this test
//! would keep. Deliberately absent: outcomes and accounts. A denied call and a foreign account are as relevant as any.

use crate::json::Value;

/// Why a record is kept, or that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relevance {
    /// A record of KMS itself, whatever its event name.
    Kms,
    /// A record of another service that the detections need.
    Adjacent(Adjacent),
    /// Anything else.
    No,
}

/// The kinds of adjacent records, named as in the column `action_class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjacent {
    /// Changes to trails, event selectors and event data stores.
    Trail,
    /// Changes to alarms, metric filters, log groups, EventBridge rules and AWS Config.
    Monitoring,
    /// Changes to IAM policies and credentials.
    Identity,
    /// Calls whose parameters name a KMS key, and snapshots or images that are shared.
    ServiceConfig,
}

/// The first label of KMS's `eventSource`. One AWS page prints `kms.amazonAWS.com`, hence the label, in any case.
const KMS: &str = "kms";

/// A service some of whose records are kept by name.
struct Service {
    /// First label of the `eventSource`.
    label: &'static str,
    class: Adjacent,
    names: Names,
}

enum Names {
    /// Every call that is not a read by its name.
    Writes,
    /// Writes to policies, credentials and principals.
    Identity,
    Listed(&'static [&'static str]),
}

static SERVICES: [Service; 8] = [
    Service { label: "cloudtrail", class: Adjacent::Trail, names: Names::Writes },
    Service { label: "iam", class: Adjacent::Identity, names: Names::Identity },
    Service {
        label: "monitoring",
        class: Adjacent::Monitoring,
        names: Names::Listed(&[
            "PutMetricAlarm",
            "PutCompositeAlarm",
            "DeleteAlarms",
            "DisableAlarmActions",
            "EnableAlarmActions",
            "SetAlarmState",
        ]),
    },
    Service {
        label: "logs",
        class: Adjacent::Monitoring,
        names: Names::Listed(&[
            "PutMetricFilter",
            "DeleteMetricFilter",
            "DeleteLogGroup",
            "DeleteLogStream",
            "AssociateKmsKey",
            "DisassociateKmsKey",
            "PutSubscriptionFilter",
            "DeleteSubscriptionFilter",
            "PutRetentionPolicy",
        ]),
    },
    Service {
        label: "events",
        class: Adjacent::Monitoring,
        names: Names::Listed(&["PutRule", "DeleteRule", "DisableRule", "EnableRule", "PutTargets", "RemoveTargets"]),
    },
    Service {
        label: "config",
        class: Adjacent::Monitoring,
        names: Names::Listed(&[
            "PutConfigRule",
            "DeleteConfigRule",
            "StopConfigurationRecorder",
            "DeleteConfigurationRecorder",
            "DeleteDeliveryChannel",
        ]),
    },
    Service {
        label: "ec2",
        class: Adjacent::ServiceConfig,
        names: Names::Listed(&["ModifySnapshotAttribute", "ModifyImageAttribute"]),
    },
    Service {
        label: "rds",
        class: Adjacent::ServiceConfig,
        names: Names::Listed(&["ModifyDBSnapshotAttribute", "ModifyDBClusterSnapshotAttribute"]),
    },
];

/// Beginnings of event names that only read. `Simulate` and `Generate` are IAM's reports.
const READS: [&str; 6] = ["Get", "List", "Describe", "Lookup", "Simulate", "Generate"];

/// Words in the names of IAM calls that change policies, credentials or principals. `Policy` covers attaching,
/// detaching, versions and `UpdateAssumeRolePolicy`; `Permissions` is `Put...PermissionsBoundary`.
const IDENTITY_WORDS: [&str; 8] =
    ["Policy", "Permissions", "AccessKey", "LoginProfile", "MFADevice", "Password", "Credential", "SigningCertificate"];

/// IAM calls that make, remove or group principals.
const IDENTITY_NAMES: [&str; 8] = [
    "CreateUser",
    "DeleteUser",
    "CreateRole",
    "DeleteRole",
    "AddUserToGroup",
    "RemoveUserFromGroup",
    "AddRoleToInstanceProfile",
    "RemoveRoleFromInstanceProfile",
];

/// The ends of parameter names that hold a KMS key, in lower case, as in `kmsKeyId`, `sSEKMSMasterKeyID`, `KMSKeyArn`
/// or the header `x-amz-server-side-encryption-aws-kms-key-id`. All begin with `kms` or `cmk`: the prefilter looks for
/// these two.
pub(super) const KEY_PARAMETERS: [&str; 7] =
    ["kmskeyid", "kmskey", "kmskeyarn", "kmsmasterkeyid", "kms-key-id", "kmsencryptionkey", "cmkarn"];

/// What an `eventSource` says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Kms,
    /// Index of the service whose names decide.
    Service(usize),
    Other,
}

/// Reads an `eventSource`, given as bytes because the prefilter has no text.
pub(super) fn source(event_source: &[u8]) -> Source {
    let label = event_source.split(|byte| *byte == b'.').next().unwrap_or_default();
    if label.eq_ignore_ascii_case(KMS.as_bytes()) {
        return Source::Kms;
    }
    SERVICES
        .iter()
        .position(|service| label.eq_ignore_ascii_case(service.label.as_bytes()))
        .map_or(Source::Other, Source::Service)
}

fn is_read(event_name: &[u8]) -> bool {
    event_name.is_empty() || READS.iter().any(|verb| event_name.starts_with(verb.as_bytes()))
}

/// True when records of this service and name are kept.
pub(super) fn is_kept_by_name(service: usize, event_name: &[u8]) -> bool {
    match SERVICES.get(service).map(|service| &service.names) {
        Some(Names::Writes) => !is_read(event_name),
        Some(Names::Identity) => {
            let has = |word: &str| memchr::memmem::find(event_name, word.as_bytes()).is_some();
            !is_read(event_name)
                && (IDENTITY_WORDS.iter().any(|word| has(word))
                    || IDENTITY_NAMES.iter().any(|name| name.as_bytes() == event_name))
        }
        Some(Names::Listed(names)) => names.iter().any(|name| name.as_bytes() == event_name),
        None => false,
    }
}

/// The exact test. CloudTrail's own reads go by name and by `readOnly`; parameters are searched for KMS keys in the
/// records of every service, reads included, because a denied or a repeated read can be all that is left.
pub fn relevance(
    event_source: &str,
    event_name: &str,
    read_only: Option<bool>,
    request_parameters: &Value<'_>,
) -> Relevance {
    match source(event_source.as_bytes()) {
        Source::Kms => return Relevance::Kms,
        Source::Service(index) if is_kept_by_name(index, event_name.as_bytes()) => {
            if let Some(Service { class, names, .. }) = SERVICES.get(index)
                && !(matches!(names, Names::Writes) && read_only == Some(true))
            {
                return Relevance::Adjacent(*class);
            }
        }
        Source::Service(_) | Source::Other => {}
    }
    if names_kms_key(request_parameters) { Relevance::Adjacent(Adjacent::ServiceConfig) } else { Relevance::No }
}

/// True when a string inside `value` holds the ARN of a KMS key, or a parameter whose name says so has a value.
fn names_kms_key(value: &Value<'_>) -> bool {
    match value {
        Value::String(text) => has_kms_arn(text),
        Value::Array(array) => array.items.iter().any(names_kms_key),
        Value::Object(object) => object.members.iter().any(|(name, value)| {
            (is_key_parameter(name.as_bytes()) && !is_empty(value)) || has_kms_arn(name) || names_kms_key(value)
        }),
        Value::Null | Value::Boolean(_) | Value::Number(_) => false,
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(array) => array.items.is_empty(),
        Value::Object(object) => object.members.is_empty(),
        Value::Boolean(_) | Value::Number(_) => false,
    }
}

fn is_key_parameter(name: &[u8]) -> bool {
    KEY_PARAMETERS.iter().any(|end| {
        name.len()
            .checked_sub(end.len())
            .and_then(|start| name.get(start..))
            .is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
    })
}

/// True when `text` contains `arn:aws...:kms:`, in any partition.
fn has_kms_arn(text: &str) -> bool {
    memchr::memmem::find_iter(text.as_bytes(), b":kms:").any(|at| {
        let before = text.get(..at).unwrap_or_default();
        let partition = before.rsplit(':').next().unwrap_or_default();
        let arn = before.strip_suffix(partition).unwrap_or_default();
        partition.starts_with("aws") && partition.len() < 32 && arn.ends_with("arn:")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[track_caller]
    fn check(source: &str, name: &str, parameters: &str, expected: Relevance) {
        assert_eq!(
            relevance(source, name, None, &parse(parameters).unwrap()),
            expected,
            "{source} {name} {parameters}"
        );
    }

    const ARN: &str = "arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn kms_is_known_by_its_source_alone() {
        check("kms.amazonaws.com", "SomethingNew", "null", Relevance::Kms);
        check("kms.amazonAWS.com", "Decrypt", "null", Relevance::Kms);
        check("KMS.amazonaws.com.cn", "Decrypt", "null", Relevance::Kms);
        check("kmsx.amazonaws.com", "Decrypt", "null", Relevance::No);
        check("payment-kms.amazonaws.com", "Decrypt", "null", Relevance::No);
        check("", "Decrypt", "null", Relevance::No);
    }

    #[test]
    fn configuration_changes_are_kept_and_reads_are_not() {
        use Adjacent::{Identity, Monitoring, ServiceConfig, Trail};
        for (source, name, class) in [
            ("cloudtrail", "StopLogging", Trail),
            ("cloudtrail", "PutEventSelectors", Trail),
            ("cloudtrail", "SomeFutureWrite", Trail),
            ("monitoring", "DeleteAlarms", Monitoring),
            ("logs", "DeleteMetricFilter", Monitoring),
            ("events", "PutRule", Monitoring),
            ("config", "StopConfigurationRecorder", Monitoring),
            ("iam", "PutUserPolicy", Identity),
            ("iam", "SetDefaultPolicyVersion", Identity),
            ("iam", "UpdateAssumeRolePolicy", Identity),
            ("iam", "DeleteRolePermissionsBoundary", Identity),
            ("iam", "DeactivateMFADevice", Identity),
            ("iam", "UpdateAccessKey", Identity),
            ("iam", "AddUserToGroup", Identity),
            ("ec2", "ModifySnapshotAttribute", ServiceConfig),
            ("rds", "ModifyDBClusterSnapshotAttribute", ServiceConfig),
        ] {
            check(&format!("{source}.amazonaws.com"), name, "null", Relevance::Adjacent(class));
            check("s3.amazonaws.com", name, "null", Relevance::No);
        }
        for (source, name) in [
            ("cloudtrail", "LookupEvents"),
            ("cloudtrail", "GetTrailStatus"),
            ("cloudtrail", ""),
            ("iam", "GetPolicy"),
            ("iam", "ListAccessKeys"),
            ("iam", "SimulatePrincipalPolicy"),
            ("iam", "TagUser"),
            ("events", "PutEvents"),
            ("logs", "CreateLogStream"),
            ("ec2", "DescribeSnapshotAttribute"),
        ] {
            check(&format!("{source}.amazonaws.com"), name, "null", Relevance::No);
        }
        let null = Value::Null;
        assert_eq!(relevance("cloudtrail.amazonaws.com", "StartQuery", Some(true), &null), Relevance::No);
        assert_eq!(relevance("cloudtrail.amazonaws.com", "StartQuery", Some(false), &null), Relevance::Adjacent(Trail));
    }

    #[test]
    fn parameters_that_name_a_key_make_a_record_relevant() {
        let kept = Relevance::Adjacent(Adjacent::ServiceConfig);
        for parameters in [
            r#"{"kmsKeyId":"alias/app"}"#.to_owned(),
            r#"{"a":[{"SSEKMSMasterKeyID":"x"}]}"#.to_owned(),
            r#"{"x-amz-server-side-encryption-aws-kms-key-id":"x"}"#.to_owned(),
            r#"{"catalogEncryption":{"KMSKeyArn":["x"]}}"#.to_owned(),
            r#"{"cMKArn":"x"}"#.to_owned(),
            format!(r#"{{"policy":"{{\"Resource\":\"{ARN}\"}}"}}"#),
            format!(r#"["{ARN}"]"#),
            r#"{"kmskey":0}"#.to_owned(),
        ] {
            check("s3.amazonaws.com", "PutObject", &parameters, kept);
        }
        for parameters in [
            r#"{"kmsKeyId":null,"b":{"kmsKeyId":"","c":{"kmsKeyArn":[]}}}"#,
            r#"{"kmsKeyIds":"x"}"#,
            r#"{"x-amz-server-side-encryption":"aws:kms"}"#,
            r#"{"a":"arn:aws:s3:::kms:","b":"see arn:aws:iam::111122223333:kms:x","c":":kms:"}"#,
            r#""kmsKeyId""#,
        ] {
            check("s3.amazonaws.com", "PutObject", parameters, Relevance::No);
        }
    }
}
