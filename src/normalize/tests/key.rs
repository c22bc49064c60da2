//! Which key a record is about, rule by rule. `KEY`, `OTHER` and `MRK` stand for the ARNs in the module above.

use super::{read, text};
use crate::schema::Event;

#[track_caller]
fn check_key(patch: &str, expected: &str) {
    let found = read(patch, |event| vec![text(&event.key_arn), text(&event.key_source), text(&event.target_key_arn)]);
    assert_eq!(found, expected, "{patch}");
}

#[test]
fn resources_name_the_key_of_a_decrypt_without_parameters() {
    check_key(r#""resources":[{"ARN":"KEY","accountId":"111122223333","type":"AWS::KMS::Key"}]"#, "KEY resources -");
    // Records of eventVersion 1.02 have no type.
    check_key(r#""resources":[{"ARN":"KEY"}]"#, "KEY resources -");
    check_key(r#""resources":[{"accountId":"x"},7,{"ARN":"arn:aws:s3:::b"},{"ARN":"KEY"}]"#, "KEY resources -");
    for nothing in [
        "",
        r#""resources":null"#,
        r#""resources":[]"#,
        r#""resources":"KEY""#,
        r#""resources":[{"ARN":"arn:aws:kms:us-east-1:111122223333:key/"}]"#,
    ] {
        check_key(nothing, "- - -");
    }
}

#[test]
fn resources_win_over_response_and_request() {
    check_key(
        r#""requestParameters":{"keyId":"OTHER"},"responseElements":{"keyId":"OTHER"},"resources":[{"ARN":"KEY"}]"#,
        "KEY resources -",
    );
    check_key(r#""eventName":"CreateKey","responseElements":{"keyMetadata":{"arn":"KEY"}}"#, "KEY response -");
    check_key(
        r#""requestParameters":{"keyId":"1234abcd-12ab-34cd-56ef-1234567890ab"},"responseElements":{"keyId":"KEY"}"#,
        "KEY response -",
    );
    // A response that echoes a bare id is no evidence of its own.
    check_key(
        r#""requestParameters":{"keyId":"1234abcd-12ab-34cd-56ef-1234567890ab"},"responseElements":{"keyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        "KEY request_id -",
    );
}

#[test]
fn the_callers_arn_wins_over_a_response_that_contradicts_it() {
    check_key(
        r#""eventName":"UpdatePrimaryRegion","requestParameters":{"keyId":"MRK"},"responseElements":{"keyId":"KEY"}"#,
        "MRK request_arn -",
    );
    check_key(
        r#""eventName":"EnableKey","requestParameters":{"keyId":"KEY"},"responseElements":{"keyId":"KEY"}"#,
        "KEY response -",
    );
}

#[test]
fn a_bare_id_gets_the_callers_account_and_region() {
    let id = r#""requestParameters":{"keyId":"1234ABCD-12ab-34cd-56ef-1234567890ab"}"#;
    check_key(id, "KEY request_id -");
    check_key(&format!(r#"{id},"recipientAccountId":null"#), "KEY request_id -");
    check_key(&format!(r#"{id},"awsRegion":null"#), "- - -");
    check_key(
        &format!(r#"{id},"awsRegion":"us-gov-west-1","resources":[{{"accountId":"444455556666"}}]"#),
        "arn:aws-us-gov:kms:us-gov-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab request_id -",
    );
    // A guess that failed is no key.
    check_key(r#""requestParameters":{"keyId":"nonsense"},"errorCode":"NotFoundException""#, "- - -");
    check_key(
        r#""requestParameters":{"keyId":"1234abcd-12ab-34cd-56ef-1234567890ab"},"errorCode":"NotFoundException""#,
        "KEY request_id -",
    );
    check_key(r#""requestParameters":{"keyId":["KEY"]}"#, "- - -");
}

#[test]
fn partitions_follow_the_region() {
    let id = r#""requestParameters":{"keyId":"mrk-1234abcd12ab34cd56ef1234567890ab"}"#;
    for (region, partition) in [
        ("cn-north-1", "aws-cn"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eusc-de-east-1", "aws-eusc"),
        ("eu-west-1", "aws"),
    ] {
        let expected =
            format!("arn:{partition}:kms:{region}:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab request_id -");
        check_key(&format!(r#"{id},"awsRegion":"{region}""#), &expected);
    }
}

#[test]
fn service_events_and_error_messages_are_the_last_resort() {
    check_key(
        r#""eventName":"RotateKey","serviceEventDetails":{"keyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#,
        "KEY service_event -",
    );
    check_key(
        r#""errorCode":"AccessDenied","errorMessage":"User: arn:aws:iam::111122223333:user/Alice is not authorized to perform: kms:Decrypt on resource: KEY because no identity-based policy allows the kms:Decrypt action""#,
        "KEY error_message -",
    );
    check_key(r#""errorCode":"DisabledException","errorMessage":"KEY is disabled.""#, "KEY error_message -");
    check_key(r#""errorCode":"NotFoundException","errorMessage":"Key 'KEY' does not exist""#, "KEY error_message -");
    check_key(
        r#""errorCode":"AccessDenied","errorMessage":"not on the resource associated with this ciphertext""#,
        "- - -",
    );
    check_key(r#""errorCode":"AccessDenied","errorMessage":"arn:arn:aws:kms:us-east-1::key/x arn:""#, "- - -");
}

#[test]
fn an_alias_alone_leaves_the_key_to_a_join() {
    let columns = |event: &Event<'_>| {
        vec![
            text(&event.key_arn),
            text(&event.key_ref),
            text(&event.alias_name),
            text(&event.key_account_id),
            text(&event.key_region),
        ]
    };
    for (patch, expected) in [
        (r#""requestParameters":{"keyId":"alias/app"}"#, "- alias/app alias/app - -"),
        (
            r#""requestParameters":{"keyId":"arn:aws:kms:eu-west-1:444455556666:alias/a/b"}"#,
            "- arn:aws:kms:eu-west-1:444455556666:alias/a/b alias/a/b 444455556666 eu-west-1",
        ),
        (
            r#""requestParameters":{"keyId":"alias/app"},"resources":[{"ARN":"KEY"}]"#,
            "KEY alias/app alias/app 111122223333 us-east-1",
        ),
        (r#""eventName":"DeleteAlias","requestParameters":{"aliasName":"alias/app"}"#, "- alias/app alias/app - -"),
        (
            r#""errorCode":"NotFoundException","errorMessage":"Alias arn:aws:kms:us-east-1:111122223333:alias/x is not found.""#,
            "- arn:aws:kms:us-east-1:111122223333:alias/x alias/x 111122223333 us-east-1",
        ),
    ] {
        assert_eq!(read(patch, columns), expected, "{patch}");
    }
}

#[test]
fn alias_operations_find_the_key_in_either_order() {
    let alias = r#"{"ARN":"arn:aws:kms:us-east-1:111122223333:alias/app"}"#;
    let parameters =
        r#""requestParameters":{"aliasName":"alias/app","targetKeyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}"#;
    for name in ["CreateAlias", "UpdateAlias"] {
        check_key(
            &format!(r#""eventName":"{name}",{parameters},"resources":[{{"ARN":"KEY"}},{alias}]"#),
            "KEY resources KEY",
        );
        check_key(
            &format!(r#""eventName":"{name}",{parameters},"resources":[{alias},{{"ARN":"KEY"}}]"#),
            "KEY resources KEY",
        );
        check_key(&format!(r#""eventName":"{name}",{parameters}"#), "KEY request_id KEY");
        // Should both the old and the new key be listed, the one asked for is meant.
        check_key(
            &format!(r#""eventName":"{name}",{parameters},"resources":[{{"ARN":"OTHER"}},{{"ARN":"KEY"}}]"#),
            "KEY resources KEY",
        );
    }
    check_key(
        &format!(
            r#""eventName":"DeleteAlias","requestParameters":{{"aliasName":"alias/app"}},"resources":[{alias},{{"ARN":"KEY"}}]"#
        ),
        "KEY resources -",
    );
}

#[test]
fn re_encrypt_tells_source_from_destination() {
    let name = r#""eventName":"ReEncrypt""#;
    check_key(&format!(r#"{name},"resources":[{{"ARN":"KEY"}},{{"ARN":"OTHER"}}]"#), "KEY resources OTHER");
    check_key(&format!(r#"{name},"resources":[{{"ARN":"KEY"}},{{"ARN":"KEY"}}]"#), "KEY resources KEY");
    let to = |id: &str| format!(r#"{name},"requestParameters":{{"destinationKeyId":"{id}"}}"#);
    // One key in an owner's copy: the destination if the caller named it so, else the source.
    check_key(&format!(r#"{},"resources":[{{"ARN":"OTHER"}}]"#, to("OTHER")), "- - OTHER");
    check_key(&format!(r#"{},"resources":[{{"ARN":"KEY"}}]"#, to("OTHER")), "KEY resources OTHER");
    check_key(&format!(r#"{},"resources":[{{"ARN":"KEY"}}]"#, to("alias/x")), "KEY resources -");
    check_key(&to("1234abcd-12ab-34cd-56ef-1234567890ab"), "- - KEY");
    // The bare id is in the caller's account, not in that of the source's owner.
    check_key(
        &format!(
            r#"{},"resources":[{{"ARN":"OTHER","accountId":"444455556666"}}]"#,
            to("1234abcd-12ab-34cd-56ef-1234567890ab")
        ),
        "OTHER resources KEY",
    );
    check_key(
        &format!(r#"{name},"requestParameters":{{"sourceKeyId":"KEY","destinationKeyId":"OTHER"}}"#),
        "KEY request_arn OTHER",
    );
    check_key(
        &format!(
            r#"{name},"requestParameters":{{"sourceKeyId":"KEY","destinationKeyId":"KEY"}},"resources":[{{"ARN":"KEY"}}]"#
        ),
        "KEY resources KEY",
    );
}

#[test]
fn a_refused_re_encrypt_names_the_key_that_refused() {
    let denied = |action: &str| {
        format!(
            r#""eventName":"ReEncrypt","errorCode":"AccessDenied","errorMessage":"User: u is not authorized to perform: kms:{action} on resource: KEY because""#
        )
    };
    check_key(&denied("ReEncryptFrom"), "KEY error_message -");
    check_key(&denied("ReEncryptTo"), "- - KEY");
    check_key(
        r#""eventName":"ReEncrypt","requestParameters":{"destinationKeyId":"KEY"},"errorCode":"DisabledException","errorMessage":"KEY is disabled.""#,
        "- - KEY",
    );
}

#[test]
fn a_replica_is_a_second_key() {
    let replica = "arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    let name = r#""eventName":"ReplicateKey","requestParameters":{"keyId":"MRK","replicaRegion":"eu-west-1"}"#;
    let expected = format!("MRK resources {replica}");
    check_key(
        &format!(
            r#"{name},"resources":[{{"ARN":"MRK"}}],"responseElements":{{"replicaKeyMetadata":{{"arn":"{replica}"}}}}"#
        ),
        &expected,
    );
    check_key(&format!(r#"{name},"resources":[{{"ARN":"MRK"}}]"#), &expected);
    check_key(&format!(r#"{name},"resources":[{{"ARN":"{replica}"}},{{"ARN":"MRK"}}]"#), &expected);
    check_key(&format!(r#"{name},"errorCode":"AccessDenied""#), "MRK request_arn -");
}

#[test]
fn an_unknown_operation_still_has_a_key() {
    let columns = |event: &Event<'_>| {
        vec![text(&event.action_class), text(&event.key_arn), text(&event.mrk_id), text(&event.context_class)]
    };
    let patch = r#""eventName":"TransmogrifyKey","requestParameters":{"keyId":"MRK"}"#;
    assert_eq!(read(patch, columns), "unknown MRK mrk-1234abcd12ab34cd56ef1234567890ab -");
}
