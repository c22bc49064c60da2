//! The rules that need a whole record, and what must hold for any record.
//!
//! Each case is the record in [`BASE`] with some members replaced: of two members with one name the last counts.

mod identity;
mod key;

use super::*;
use crate::json;
use proptest::prelude::*;

const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER: &str = "arn:aws:kms:us-east-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321";
const MRK: &str = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

/// A Decrypt by a user, without resources.
const BASE: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE",
    "arn":"arn:aws:iam::111122223333:user/Alice","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE","userName":"Alice"},
    "eventTime":"2024-03-05T10:14:07Z","eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1",
    "sourceIPAddress":"192.0.2.10","userAgent":"aws-cli/2.15.0","requestParameters":null,"responseElements":null,
    "requestID":"r1","eventID":"e1","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,
    "recipientAccountId":"111122223333","eventCategory":"Management""#;

fn patched(patch: &str) -> String {
    let comma = if patch.is_empty() { "" } else { "," };
    let patch = patch.replace("OTHER", OTHER).replace("MRK", MRK).replace("KEY", KEY);
    format!("{BASE}{comma}{patch}}}")
}

/// Reads `columns` off the event of a patched record, `-` for NULL.
fn read(patch: &str, columns: impl Fn(&Event<'_>) -> Vec<Option<String>>) -> String {
    let text = patched(patch);
    let record = json::parse(&text).unwrap();
    let event = normalize(&record, None).unwrap();
    let values = columns(&event).into_iter().map(|value| value.unwrap_or_else(|| "-".into()));
    values.collect::<Vec<_>>().join(" ").replace(KEY, "KEY").replace(OTHER, "OTHER").replace(MRK, "MRK")
}

fn text(value: &crate::schema::Text<'_>) -> Option<String> {
    value.as_deref().map(str::to_owned)
}

#[test]
fn accounts_that_differ_make_a_call_cross_account() {
    let columns =
        |event: &Event<'_>| vec![text(&event.account_id), event.is_cross_account.map(|cross| cross.to_string())];
    for (patch, expected) in [
        (r#""resources":[{"ARN":"KEY"}]"#, "111122223333 false"),
        (r#""resources":[{"ARN":"OTHER"}]"#, "111122223333 true"),
        (r#""resources":[{"ARN":"KEY"}],"recipientAccountId":"444455556666""#, "444455556666 true"),
        (r#""resources":[{"ARN":"KEY"}],"recipientAccountId":null"#, "111122223333 false"),
        (
            r#""resources":[{"ARN":"KEY"}],"userIdentity":{"type":"AWSService","invokedBy":"s3.amazonaws.com"}"#,
            "111122223333 false",
        ),
        (r#""resources":[{"ARN":"OTHER"}],"userIdentity":{},"recipientAccountId":null"#, "444455556666 false"),
    ] {
        assert_eq!(read(patch, columns), expected, "{patch}");
    }
}

#[test]
fn a_context_that_the_record_does_not_show_is_not_none() {
    let columns = |event: &Event<'_>| vec![text(&event.context_class), text(&event.encryption_context)];
    for (patch, expected) in [
        ("", "none -"),
        (r#""requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}"#, "none -"),
        (r#""requestParameters":{"encryptionContext":{}}"#, "none -"),
        (r#""requestParameters":{"omitted":"true","reason":"requestParameters too large"}"#, "- -"),
        (r#""errorCode":"AccessDenied""#, "- -"),
        (r#""eventName":"Sign""#, "- -"),
        (r#""requestParameters":{"encryptionContext":{"b":"1", "a":"2"}}"#, r#"custom {"a":"2","b":"1"}"#),
        (
            r#""eventName":"ReEncrypt","requestParameters":{"sourceEncryptionContext":{"SecretARN":"s"},"destinationEncryptionContext":{"d":"1"}}"#,
            r#"secret {"SecretARN":"s"}"#,
        ),
    ] {
        assert_eq!(read(patch, columns), expected, "{patch}");
    }
}

#[test]
fn a_deletion_has_a_time_only_when_it_was_scheduled() {
    let columns = |event: &Event<'_>| {
        vec![
            event.pending_window_days.map(|days| days.to_string()),
            event.deletion_time.map(crate::time::format_timestamp),
        ]
    };
    for (rest, expected) in [
        (r#""requestParameters":{"keyId":"KEY","pendingWindowInDays":7}"#, "7 2024-03-12T10:14:07Z"),
        (r#""requestParameters":{"keyId":"KEY"}"#, "30 2024-04-04T10:14:07Z"),
        (
            r#""requestParameters":{"keyId":"KEY"},"responseElements":{"pendingWindowInDays":10}"#,
            "10 2024-03-15T10:14:07Z",
        ),
        (
            r#""requestParameters":{"keyId":"KEY","pendingWindowInDays":7},"errorCode":"KMSInvalidStateException""#,
            "7 -",
        ),
        (r#""errorCode":"AccessDenied""#, "- -"),
        (r#""requestParameters":{"pendingWindowInDays":9223372036854775807}"#, "9223372036854775807 -"),
    ] {
        assert_eq!(read(&format!(r#""eventName":"ScheduleKeyDeletion",{rest}"#), columns), expected, "{rest}");
    }
}

#[test]
fn keys_material_and_tags_are_described() {
    let columns = |event: &Event<'_>| {
        let entries = event
            .tag_entries
            .iter()
            .map(|entry| format!("{} {}={:?}", entry.change, entry.tag_key, entry.tag_value.as_deref()));
        vec![
            text(&event.key_origin),
            text(&event.key_spec),
            text(&event.key_usage),
            event.is_multi_region.map(|is| is.to_string()),
            event.rotation_period_days.map(|days| days.to_string()),
            text(&event.key_material_id),
            text(&event.custom_key_store_id),
            text(&event.xks_key_id),
            text(&event.tags),
            Some(entries.collect::<Vec<_>>().join(";")),
        ]
    };
    for (patch, expected) in [
        (
            r#""eventName":"CreateKey","requestParameters":{"customerMasterKeySpec":"SYMMETRIC_DEFAULT","tags":[{"tagKey":"b","tagValue":"2"},{"tagKey":"a","tagValue":""}]},
               "responseElements":{"keyMetadata":{"arn":"KEY","origin":"EXTERNAL_KEY_STORE","keyUsage":"ENCRYPT_DECRYPT","multiRegion":false,"customKeyStoreId":"cks-1","xksKeyConfiguration":{"id":"x1"}}}"#,
            r#"EXTERNAL_KEY_STORE SYMMETRIC_DEFAULT ENCRYPT_DECRYPT false - - cks-1 x1 {"a":"","b":"2"} set a=Some("");set b=Some("2")"#,
        ),
        (
            r#""eventName":"TagResource","requestParameters":{"tags":[{"tagKey":"a","tagValue":"1"}]},"errorCode":"TagException""#,
            r#"- - - - - - - - {"a":"1"} "#,
        ),
        (
            r#""eventName":"UntagResource","requestParameters":{"tagKeys":["b","a",3]}"#,
            r#"- - - - - - - - ["a","b"] removed a=None;removed b=None"#,
        ),
        (r#""eventName":"EnableKeyRotation","requestParameters":{"keyId":"KEY"}"#, "- - - - 365 - - - - "),
        (
            r#""eventName":"EnableKeyRotation","requestParameters":{"keyId":"KEY","rotationPeriodInDays":90}"#,
            "- - - - 90 - - - - ",
        ),
        (r#""eventName":"EnableKeyRotation","errorCode":"AccessDenied""#, "- - - - - - - - - "),
        (
            r#""eventName":"RotateKey","serviceEventDetails":{"keyOrigin":"EXTERNAL","previousKeyMaterialId":"p","currentKeyMaterialId":"c"}"#,
            "EXTERNAL - - - - c - - - ",
        ),
        (
            r#""eventName":"ReEncrypt","additionalEventData":{"sourceKeyMaterialId":"s","destinationKeyMaterialId":"d"}"#,
            "- - - - - s - - - ",
        ),
        (
            r#""eventName":"GenerateDataKey","requestParameters":{"keySpec":"AES_256","keyId":"MRK"},"additionalEventData":{"keyMaterialId":"m","customKeyStoreId":"cks-1","xksKeyId":"x"}"#,
            "- AES_256 - true - m cks-1 x - ",
        ),
        (
            r#""eventName":"DisconnectCustomKeyStore","requestParameters":{"customKeyStoreId":"cks-1"}"#,
            "- - - - - - cks-1 - - ",
        ),
        (
            r#""eventName":"CreateCustomKeyStore","responseElements":{"customKeyStoreId":"cks-1"}"#,
            "- - - - - - cks-1 - - ",
        ),
    ] {
        assert_eq!(read(patch, columns), expected, "{patch}");
    }
}

#[test]
fn a_grant_is_described_and_found_again_when_it_ends() {
    let columns = |event: &Event<'_>| {
        vec![
            text(&event.grant_id),
            text(&event.grantee_principal),
            text(&event.grantee_account_id),
            text(&event.retiring_principal),
            text(&event.grant_operations),
            text(&event.grant_constraint),
            event.is_service_grant.map(|is| is.to_string()),
        ]
    };
    for (patch, expected) in [
        (
            r#""eventName":"CreateGrant","requestParameters":{"keyId":"KEY","granteePrincipal":"arn:aws:iam::444455556666:root","retiringPrincipal":"r","operations":["Encrypt","Decrypt"],"constraints":{"encryptionContextSubset":{}}},"responseElements":{"grantId":"g1"}"#,
            "g1 arn:aws:iam::444455556666:root 444455556666 r Decrypt,Encrypt - false",
        ),
        (
            r#""eventName":"CreateGrant","requestParameters":{"granteeServicePrincipal":"rds.amazonaws.com","constraints":{"sourceArn":"s"}}"#,
            r#"- rds.amazonaws.com - - - {"sourceArn":"s"} true"#,
        ),
        (
            r#""eventName":"RetireGrant","requestParameters":null,"additionalEventData":{"grantId":"g1"}"#,
            "g1 - - - - - -",
        ),
        (r#""eventName":"RetireGrant","requestParameters":{"grantId":"g2","keyId":"KEY"}"#, "g2 - - - - - -"),
        (r#""eventName":"RevokeGrant","requestParameters":{"grantId":"g1","keyId":"KEY"}"#, "g1 - - - - - -"),
        (r#""eventName":"ListRetirableGrants","requestParameters":{"retiringPrincipal":"r"}"#, "- - - r - - -"),
        (r#""eventName":"CreateGrant","errorCode":"AccessDenied""#, "- - - - - - -"),
        (r#""eventName":"DisableKey","requestParameters":{"grantId":"g1"}"#, "- - - - - - -"),
    ] {
        assert_eq!(read(patch, columns), expected, "{patch}");
    }
}

#[test]
fn a_record_of_another_service_keeps_its_class_and_names_its_key() {
    let record = patched(
        r#""eventSource":"EC2.amazonaws.com","eventName":"CreateVolume","requestParameters":{"size":"10","kmsKeyId":"OTHER"}"#,
    );
    let value = json::parse(&record).unwrap();
    let event = normalize(&value, Some("service_config")).unwrap();
    assert_eq!(event.event_source.as_deref(), Some("ec2.amazonaws.com"));
    assert_eq!(event.action_class.as_deref(), Some("service_config"));
    assert_eq!((event.key_arn.as_deref(), event.key_source.as_deref()), (Some(OTHER), Some("request_arn")));
    assert_eq!((event.reveals_plaintext, event.context_class, event.is_cross_account), (None, None, Some(true)));
    // In another service `keyId` is an access key, and an ARN of something else is no KMS key.
    let record = patched(
        r#""eventName":"UpdateAccessKey","requestParameters":{"keyId":"1234abcd-12ab-34cd-56ef-1234567890ab","kmsKeyId":"arn:aws:s3:::b"}"#,
    );
    let value = json::parse(&record).unwrap();
    assert_eq!(normalize(&value, Some("identity")).unwrap().key_arn, None);
}

#[test]
fn time_is_the_only_thing_a_record_cannot_do_without() {
    for patch in [r#""eventTime":null"#, r#""eventTime":"soon""#, r#""eventTime":7"#] {
        let text = patched(patch);
        assert_eq!(normalize(&json::parse(&text).unwrap(), None), Err(NoEventTime), "{patch}");
    }
    assert_eq!(normalize(&json::parse("[]").unwrap(), None), Err(NoEventTime));
    let event = json::parse(r#"{"eventTime":"1969-12-31T23:59:59Z"}"#).unwrap();
    let event = normalize(&event, None).unwrap();
    assert_eq!((event.event_epoch, event.event_date, event.event_id), (Some(-1), Some(-1), None));
}

#[test]
fn raw_text_is_kept_as_received() {
    let columns = |event: &Event<'_>| {
        vec![text(&event.request_parameters), text(&event.response_elements), text(&event.additional_event_data)]
    };
    let patch = r#""requestParameters":{"b": 1, "a":"\u0041"},"serviceEventDetails":{"keyId":"k"}"#;
    assert_eq!(read(patch, columns), r#"{"b": 1, "a":"\u0041"} - {"keyId":"k"}"#);
    let patch = r#""additionalEventData":{"x":1},"serviceEventDetails":{"keyId":"k"}"#;
    assert_eq!(read(patch, columns), r#"- - {"x":1}"#);
}

#[test]
fn text_is_borrowed_from_the_record() {
    let record = patched(
        r#""requestParameters":{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::b/k"}},"resources":[{"ARN":"KEY"}]"#,
    );
    let value = json::parse(&record).unwrap();
    let event = normalize(&value, None).unwrap();
    let columns = [
        &event.key_arn,
        &event.key_id,
        &event.key_account_id,
        &event.key_region,
        &event.principal,
        &event.encryption_context,
        &event.context_resource,
        &event.event_source,
    ];
    for text in columns {
        assert!(matches!(text, Some(Cow::Borrowed(_))), "{text:?}");
    }
}

/// Any JSON in place of a member.
fn any_member() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just(r#""""#.to_owned()),
        Just(format!("\"{KEY}\"")),
        Just(r#""arn:aws:kms:us-east-1:111122223333:alias/é""#.to_owned()),
        Just(r#""User: arn:é:kms: is not authorized to perform: é:""#.to_owned()),
        Just(r#""arn:aws:kms::::key/""#.to_owned()),
        Just(r#""\u00e9/:-.""#.to_owned()),
        Just(r#""AWS Internal/""#.to_owned()),
        "[a-zA-Zé:/.,0-9 -]{0,24}".prop_map(|text| format!("\"{text}\"")),
    ];
    let names = "(keyId|targetKeyId|destinationKeyId|sourceKeyId|aliasName|ARN|arn|accountId|type|invokedBy|sessionContext|sessionIssuer|encryptionContext|aws:s3:arn|aws:|constraints|operations|tags|tagKeys|tagKey|recipient|keyMetadata|policy|validTo|pendingWindowInDays)";
    leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((names, inner), 0..4).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_record_can_make_it_panic(
        name in "(Decrypt|ReEncrypt|CreateGrant|RetireGrant|CreateKey|ReplicateKey|PutKeyPolicy|UpdateAlias|DeleteAlias|TagResource|UntagResource|ScheduleKeyDeletion|ImportKeyMaterial|RotateKey|PutEventSelectors|X)",
        class in prop::sample::select(vec![None, Some("trail"), Some("service_config")]),
        members in prop::collection::vec(("(userIdentity|sourceIPAddress|requestParameters|responseElements|additionalEventData|serviceEventDetails|resources|errorCode|errorMessage|recipientAccountId|awsRegion|tlsDetails)", any_member()), 0..5),
    ) {
        let mut text = patched(&format!("\"eventName\":\"{name}\""));
        text.pop();
        for (member, value) in &members {
            text.push_str(&format!(",\"{member}\":{value}"));
        }
        text.push('}');
        let record = json::parse(&text).unwrap();
        let event = normalize(&record, class).unwrap();
        prop_assert_eq!(event.key_arn.is_some(), event.key_source.is_some());
        prop_assert!(event.outcome.is_some() && event.action_class.is_some() && event.is_direct.is_some());
        prop_assert_eq!(event.event_time, Some(1_709_633_647_000_000));
    }
}
