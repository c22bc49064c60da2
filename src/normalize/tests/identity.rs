//! Who called, type by type.

use super::{read, text};
use crate::schema::Event;

#[track_caller]
fn check_principal(identity: &str, expected: &str) {
    let patch = format!(r#""userIdentity":{identity}"#);
    let found = read(&patch, |event| {
        vec![
            text(&event.principal),
            text(&event.principal_account_id),
            text(&event.session_name),
            text(&event.via),
            event.is_direct.map(|direct| direct.to_string()),
        ]
    });
    assert_eq!(found, expected, "{identity}");
}

#[test]
fn a_session_is_its_role() {
    let session = r#""type":"AssumedRole","arn":"arn:aws:sts::111122223333:assumed-role/App/me@example.com","accountId":"111122223333""#;
    check_principal(
        &format!(
            r#"{{{session},"sessionContext":{{"sessionIssuer":{{"arn":"arn:aws:iam::111122223333:role/team/App"}}}}}}"#
        ),
        "arn:aws:iam::111122223333:role/team/App 111122223333 me@example.com - true",
    );
    // The path is unknown, and an ARN without one would be another role's.
    for context in ["{}", r#"{"sessionIssuer":{}}"#, "null"] {
        let identity = format!(r#"{{{session},"sessionContext":{context}}}"#);
        check_principal(&identity, "arn:aws:iam::111122223333:role/*/App 111122223333 me@example.com - true");
    }
    check_principal(
        r#"{"type":"AssumedRole","arn":"arn:aws-cn:sts::111122223333:assumed-role/aws:ec2-infrastructure/i-81e2f56c"}"#,
        "arn:aws-cn:iam::111122223333:role/*/aws:ec2-infrastructure 111122223333 i-81e2f56c - true",
    );
    check_principal(
        r#"{"type":"AssumedRole","principalId":"AROAEXAMPLE:s","sessionContext":{"sessionIssuer":{"accountId":"111122223333","userName":"App"}}}"#,
        "arn:aws:iam::111122223333:role/*/App 111122223333 s - true",
    );
}

#[test]
fn each_type_of_identity_has_one_name() {
    check_principal(
        r#"{"type":"Root","arn":"arn:aws:iam::111122223333:root"}"#,
        "arn:aws:iam::111122223333:root 111122223333 - - true",
    );
    check_principal(
        r#"{"type":"IAMUser","accountId":"111122223333","userName":"Bob"}"#,
        "account:111122223333/Bob 111122223333 - - true",
    );
    check_principal(
        r#"{"type":"FederatedUser","arn":"arn:aws:sts::111122223333:federated-user/Bob"}"#,
        "arn:aws:sts::111122223333:federated-user/Bob 111122223333 - - true",
    );
    check_principal(
        r#"{"type":"AWSAccount","accountId":"444455556666","principalId":"AIDAEXAMPLE"}"#,
        "account:444455556666/AIDAEXAMPLE 444455556666 - - true",
    );
    check_principal(
        r#"{"type":"AWSAccount","accountId":"444455556666","principalId":"AROAEXAMPLE:s"}"#,
        "account:444455556666/AROAEXAMPLE 444455556666 s - true",
    );
    check_principal(
        r#"{"type":"AWSAccount","accountId":"444455556666","principalId":"444455556666:Bob"}"#,
        "account:444455556666/444455556666:Bob 444455556666 - - true",
    );
    check_principal(
        r#"{"type":"AssumedRole","accountId":"111122223333","principalId":"AROAEXAMPLE:s"}"#,
        "account:111122223333/AROAEXAMPLE 111122223333 s - true",
    );
    check_principal(r#"{"type":"AWSAccount","accountId":444455556666}"#, "account:444455556666 444455556666 - - true");
    check_principal(
        r#"{"type":"IdentityCenterUser","accountId":"111122223333","onBehalfOf":{"userId":"u-1","identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/d-1"}}"#,
        "arn:aws:identitystore::111122223333:identitystore/d-1/u-1 111122223333 - - true",
    );
    check_principal(
        r#"{"type":"SAMLUser","identityProvider":"idp","userName":"bob","principalId":"x"}"#,
        "idp/bob - - - true",
    );
    check_principal(r#"{"type":"WebIdentityUser","principalId":"x"}"#, "x - - - true");
    check_principal(r#"{"type":"Unknown"}"#, "- - - - true");
}

#[test]
fn a_service_has_no_region_and_is_never_direct() {
    check_principal(
        r#"{"type":"AWSService","invokedBy":"workmail.eu-west-1.amazonaws.com"}"#,
        "service:workmail.amazonaws.com - - workmail.amazonaws.com false",
    );
    check_principal(
        r#"{"accountId":"111122223333","invokedBy":"AWS Internal"}"#,
        "service:AWS Internal 111122223333 - AWS Internal false",
    );
    check_principal(
        r#"{"accountId":"111122223333","invokedBy":"Amazon Internal"}"#,
        "service:AWS Internal 111122223333 - AWS Internal false",
    );
    check_principal(
        r#"{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user/Alice","invokedBy":"dynamodb.us-gov-west-1.amazonaws.com"}"#,
        "arn:aws:iam::111122223333:user/Alice 111122223333 - dynamodb.amazonaws.com false",
    );
    check_principal(
        r#"{"type":"AWSService","invokedBy":"delivery-logs.amazonaws.com"}"#,
        "service:delivery-logs.amazonaws.com - - delivery-logs.amazonaws.com false",
    );
    check_principal("{}", "- - - - true");
    check_principal(r#""Alice""#, "- - - - true");
}

#[test]
fn a_service_as_source_stands_between_when_invoked_by_is_missing() {
    let columns = |event: &Event<'_>| {
        vec![text(&event.via), text(&event.source_service), event.is_direct.map(|direct| direct.to_string())]
    };
    assert_eq!(read(r#""sourceIPAddress":"AWS Internal/3""#, columns), "AWS Internal AWS Internal/3 false");
    assert_eq!(
        read(r#""sourceIPAddress":"s3.eu-west-1.amazonaws.com""#, columns),
        "s3.amazonaws.com s3.eu-west-1.amazonaws.com false"
    );
    assert_eq!(read(r#""sourceIPAddress":"2001:db8::1""#, columns), "- - true");
}

#[test]
fn a_denial_without_identity_names_its_principal() {
    let patch = r#""userIdentity":{},"errorCode":"AccessDenied","errorMessage":"User: arn:aws:sts::111122223333:assumed-role/App/s is not authorized to perform: kms:Decrypt""#;
    let columns = |event: &Event<'_>| vec![text(&event.principal), text(&event.denied_action), text(&event.outcome)];
    assert_eq!(read(patch, columns), "arn:aws:iam::111122223333:role/*/App kms:Decrypt denied");
}
