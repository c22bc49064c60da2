//! Which policies let strangers in.

use super::*;

#[track_caller]
fn check_public(statements: &[&str], expected: bool) {
    let policy = document(&[&[ROOT], statements].concat());
    assert_eq!(put(&policy, |event| event.policy_is_public), Some(expected), "{policy}");
}

#[test]
fn an_allow_for_everybody_is_public_in_every_spelling() {
    for statement in [
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["kms:Decrypt"],"Resource":["*"]}"#,
        // Not the first of its list, and beside harmless ones.
        r#"{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com","AWS":["arn:aws:iam::111122223333:root","*"]},"Action":["s3:GetObject","kms:Encrypt"],"Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":["*"],"Action":"*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"KMS:decr?pt","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:GenerateDataKey*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"k*:ReEncrypt*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:NewNextYear","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","NotAction":"kms:Decrypt","Resource":"*"}"#,
        r#"{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:Decrypt","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"arn:aws:kms:us-east-1:111122223333:key/*"}"#,
        r#"{"effect":"allow","principal":"*","action":"kms:Decrypt","resource":"*"}"#,
    ] {
        check_public(&[statement], true);
    }
}

#[test]
fn near_misses_are_not_public() {
    for statement in [
        r#"{"Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":"kms:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"Service":"*"},"Action":"kms:Decrypt","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"Federated":"*"},"Action":"kms:Decrypt","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"kmsx:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","NotAction":"kms:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","NotPrincipal":"*","Action":"kms:*","Resource":"*"}"#,
        // Neither has an effect: KMS takes them all the same.
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"arn:aws:kms:us-east-1:111122223333:key/other"}"#,
        r#"{"Effect":"Maybe","Principal":"*","Action":"kms:*","Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"AWS":{"*":"*"}},"Action":"kms:*","Resource":"*"}"#,
        "7",
    ] {
        check_public(&[statement], false);
    }
}

#[test]
fn conditions_on_the_caller_fence_a_wildcard() {
    for condition in [
        r#"{"StringEquals":{"kms:CallerAccount":"111122223333"}}"#,
        r#"{"StringEquals":{"KMS:calleraccount":111122223333,"kms:ViaService":"s3.us-east-1.amazonaws.com"}}"#,
        r#"{"StringEqualsIfExists":{"kms:CallerAccount":["111122223333","444455556666"]}}"#,
        r#"{"StringEquals":{"aws:PrincipalOrgID":"o-exampleorgid"}}"#,
        r#"{"StringEquals":{"aws:PrincipalOrgID":"${aws:ResourceOrgID}"}}"#,
        r#"{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-exampleorgid/r-ab12/*"}}"#,
        r#"{"ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-exampleorgid/*"},"Null":{"aws:PrincipalOrgPaths":"false"}}"#,
        r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-a"},"Null":{"AWS:PrincipalOrgID":false}}"#,
        r#"{"StringLike":{"aws:PrincipalAccount":"111122223333"}}"#,
        r#"{"ArnLike":{"aws:PrincipalArn":"arn:*:iam::111122223333:role/*"}}"#,
        r#"{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}}"#,
        r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::${aws:ResourceAccount}:role/App"}}"#,
        r#"{"ArnLike":{"aws:SourceArn":"arn:aws:cloudtrail:*:111122223333:trail/*"}}"#,
        r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::example-bucket"}}"#,
        r#"{"StringEquals":{"aws:SourceAccount":"111122223333"}}"#,
        r#"{"StringEquals":{"aws:SourceOrgID":"o-a"}}"#,
        r#"{"ForAnyValue:StringLike":{"aws:SourceOrgPaths":["o-a/*"]}}"#,
        r#"{"StringLike":{"aws:userid":"AROAEXAMPLEID:*"}}"#,
        r#"{"StringEquals":{"aws:SourceVpce":["vpce-1","vpce-2"]}}"#,
        r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","2001:db8::/32","203.0.113.7"]}}"#,
    ] {
        check_public(&[&allow_everybody(condition)], false);
    }
}

#[test]
fn conditions_that_strangers_can_meet_fence_nothing() {
    for condition in [
        "{}",
        "null",
        r#"{"StringEquals":{"kms:ViaService":"s3.us-east-1.amazonaws.com"}}"#,
        r#"{"StringEquals":{"kms:EncryptionContext:app":"x"}}"#,
        r#"{"Bool":{"aws:SecureTransport":"true"}}"#,
        r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#,
        r#"{"StringLike":{"kms:CallerAccount":"*"}}"#,
        r#"{"StringLike":{"kms:CallerAccount":"1*"}}"#,
        r#"{"StringEquals":{"kms:CallerAccount":"${aws:PrincipalAccount}"}}"#,
        r#"{"StringNotEquals":{"kms:CallerAccount":"444455556666"}}"#,
        r#"{"StringEquals":{"kms:CallerAccount":[]}}"#,
        r#"{"StringLike":{"aws:PrincipalOrgID":"o-*"}}"#,
        r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-a"}}"#,
        r#"{"StringEqualsIfExists":{"aws:SourceVpce":"vpce-1"}}"#,
        r#"{"ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-a/*"}}"#,
        r#"{"ForAllValues:StringLike":{"aws:PrincipalOrgPaths":"o-a/*"},"Null":{"aws:PrincipalOrgPaths":"true"}}"#,
        r#"{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"*"}}"#,
        r#"{"Null":{"aws:PrincipalOrgID":"false"}}"#,
        r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/App"}}"#,
        r#"{"ArnLike":{"aws:PrincipalArn":"*"}}"#,
        // A star in text runs over colons: anybody's path may end like this.
        r#"{"StringLike":{"aws:PrincipalArn":"arn:aws:iam:*:111122223333:role/App"}}"#,
        r#"{"ArnLike":{"aws:PrincipalArn":["arn:aws:iam::111122223333:role/App","arn:aws:iam::*:role/App"]}}"#,
        r#"{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}}"#,
        r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}"#,
        r#"{"StringLike":{"aws:userid":"*:session"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#,
        r#"{"IpAddress":{"aws:SourceIp":["0.0.0.0/1","128.0.0.0/1"]}}"#,
        r#"{"IpAddress":{"aws:SourceIp":["192.0.2.0/24","::/0"]}}"#,
        r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/99"}}"#,
        r#"{"IpAddressIfExists":{"aws:SourceIp":"192.0.2.0/24"}}"#,
        r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#,
        r#"{"StringEquals":{"aws:PrincipalTag/team":"a"}}"#,
        r#"{"StringEquals":"kms:CallerAccount"}"#,
    ] {
        check_public(&[&allow_everybody(condition)], true);
    }
}

#[test]
fn a_deny_for_strangers_fences_the_actions_it_names() {
    let open = r#"{"Effect":"Allow","Principal":"*","Action":["kms:Decrypt","kms:Encrypt"],"Resource":"*"}"#;
    let deny = |actions: &str, condition: &str| {
        format!(r#"{{"Effect":"Deny","Principal":"*","Action":{actions},"Resource":"*","Condition":{condition}}}"#)
    };
    for condition in [
        r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-a"}}"#,
        r#"{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-a"},"BoolIfExists":{"aws:PrincipalIsAWSService":"false"}}"#,
        r#"{"StringNotEquals":{"kms:CallerAccount":"111122223333"}}"#,
        r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-a","aws:PrincipalAccount":["444455556666"]}}"#,
        r#"{"ForAllValues:StringNotLike":{"aws:PrincipalOrgPaths":"o-a/*"}}"#,
        r#"{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:*"}}"#,
        r#"{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#,
    ] {
        check_public(&[open, &deny(r#""kms:*""#, condition)], false);
        check_public(&[open, &deny(r#"["kms:Decrypt","kms:Enc*"]"#, condition)], false);
        check_public(&[open, &deny(r#""kms:Decrypt""#, condition)], true);
    }
    for condition in [
        r#"{"StringNotLike":{"aws:PrincipalOrgID":"o-*"}}"#,
        // Accounts without an organization have no path to compare.
        r#"{"ForAnyValue:StringNotLike":{"aws:PrincipalOrgPaths":"o-a/*"}}"#,
        r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-a"},"Bool":{"aws:ViaAWSService":"false"}}"#,
        r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-a","kms:ViaService":"s3.us-east-1.amazonaws.com"}}"#,
        r#"{"StringEquals":{"kms:CallerAccount":"444455556666"}}"#,
        r#"{"Null":{"aws:PrincipalOrgID":"true"}}"#,
        r#"{"Bool":{"aws:SecureTransport":"false"}}"#,
        r#"{"NotIpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#,
    ] {
        check_public(&[open, &deny(r#""kms:*""#, condition)], true);
    }
    check_public(
        &[
            open,
            r#"{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}"#,
        ],
        false,
    );
    check_public(
        &[open, r#"{"Effect":"Deny","Principal":{"AWS":"444455556666"},"Action":"kms:*","Resource":"*"}"#],
        true,
    );
}
