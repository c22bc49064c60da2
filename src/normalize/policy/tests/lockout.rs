//! Which policies their owner can still change.

use super::*;

#[track_caller]
fn check_locked(statements: &[&str], expected: bool) {
    let policy = document(statements);
    assert_eq!(put(&policy, |event| event.policy_locks_out_owner), Some(expected), "{policy}");
}

#[test]
fn whoever_may_still_put_a_policy_keeps_the_owner_in() {
    let allow = |principal: &str, action: &str, more: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":{action},"Resource":"*"{more}}}"#)
    };
    let root = r#"{"AWS":"arn:aws:iam::111122223333:root"}"#;
    for statement in [
        allow(root, r#""*""#, ""),
        allow(root, r#""kms:Put*""#, ""),
        allow(root, r#"["kms:Decrypt","KMS:PUTKEYPOLICY"]"#, ""),
        allow(r#"{"AWS":"111122223333"}"#, r#""kms:*""#, ""),
        allow(r#"{"AWS":["444455556666","arn:aws:iam::111122223333:role/Admin"]}"#, r#""kms:PutKeyPolicy""#, ""),
        allow(r#""*""#, r#""kms:*""#, ""),
        allow(r#""*""#, r#""kms:*""#, r#","Condition":{"StringEquals":{"kms:CallerAccount":"111122223333"}}"#),
        allow(root, r#""kms:*""#, r#","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#),
        allow(
            root,
            r#""kms:*""#,
            r#","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/A*"}}"#,
        ),
        // Another session of the role can be had again; so can a user.
        allow(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/App/session-2"}"#, r#""kms:*""#, ""),
        allow(r#"{"AWS":"arn:aws:iam::111122223333:user/Alice"}"#, r#""kms:*""#, ""),
        allow(root, r#""kms:*""#, "").replace(r#""Action""#, r#""NotAction""#).replace("kms:*", "kms:Decrypt"),
        allow(root, r#""kms:*""#, "")
            .replace(r#""Principal""#, r#""NotPrincipal""#)
            .replace("111122223333", "444455556666"),
    ] {
        check_locked(&[&statement], false);
    }
}

#[test]
fn a_policy_that_nobody_of_the_owner_may_change_locks_out() {
    let allow = |principal: &str, action: &str, more: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":{action},"Resource":"*"{more}}}"#)
    };
    let root = r#"{"AWS":"arn:aws:iam::111122223333:root"}"#;
    check_locked(&[], true);
    for statement in [
        allow(root, r#"["kms:Decrypt","kms:Encrypt","kms:Get*"]"#, ""),
        allow(r#"{"AWS":"arn:aws:iam::444455556666:root"}"#, r#""kms:*""#, ""),
        allow(r#"{"Service":"rds.amazonaws.com"}"#, r#""kms:*""#, ""),
        // What AWS leaves behind for a deleted role.
        allow(r#"{"AWS":"AROAEXAMPLEID"}"#, r#""kms:*""#, ""),
        // The caller's own session, which ends.
        allow(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/App/session-1"}"#, r#""kms:*""#, ""),
        allow(r#""*""#, r#""kms:*""#, r#","Condition":{"StringEquals":{"kms:CallerAccount":"444455556666"}}"#),
        allow(root, r#""kms:*""#, r#","Condition":{"StringNotEquals":{"kms:CallerAccount":"111122223333"}}"#),
        allow(
            root,
            r#""kms:*""#,
            r#","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/*"}}"#,
        ),
        allow(root, r#""kms:*""#, r#","Condition":{"Null":{"kms:CallerAccount":"true"}}"#),
        allow(root, r#""kms:*""#, "").replace(r#""Action""#, r#""NotAction""#),
        allow(root, r#""kms:*""#, "").replace(r#""Principal""#, r#""NotPrincipal""#),
        allow(root, r#""kms:*""#, "").replace(r#","Resource":"*""#, ""),
    ] {
        check_locked(&[&statement], true);
    }
}

#[test]
fn a_deny_of_put_key_policy_locks_out_when_it_covers_the_owner() {
    let deny = |principal: &str, action: &str, more: &str| {
        format!(r#"{{"Effect":"Deny",{principal},"Action":"{action}","Resource":"*"{more}}}"#)
    };
    let session = r#""NotPrincipal":{"AWS":"arn:aws:sts::111122223333:assumed-role/App/session-1"}"#;
    for statement in [
        deny(r#""Principal":"*""#, "kms:*", ""),
        deny(r#""Principal":{"AWS":["*","arn:aws:iam::111122223333:role/A"]}"#, "kms:PutKeyPolicy", ""),
        deny(r#""NotPrincipal":{"AWS":"arn:aws:iam::444455556666:role/Magpie"}"#, "kms:*", ""),
        deny(session, "kms:*", ""),
        deny(r#""Principal":{"AWS":"111122223333"}"#, "kms:Put*", ""),
        deny(r#""Principal":"*""#, "kms:*", r#","Condition":{"StringNotEquals":{"kms:CallerAccount":"444455556666"}}"#),
        deny(r#""Principal":"*""#, "kms:*", r#","Condition":{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}"#),
        deny(
            r#""Principal":"*""#,
            "kms:*",
            r#","Condition":{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/Magpie"}}"#,
        ),
        deny(r#""Principal":"*""#, "kms:*", "")
            .replace(r#""Action""#, r#""NotAction""#)
            .replace("kms:*", "kms:Decrypt"),
    ] {
        check_locked(&[ROOT, &statement], true);
    }
    for statement in [
        deny(r#""Principal":"*""#, "kms:Decrypt", ""),
        deny(r#""Principal":"*""#, "kms:*", r#","Condition":{"Bool":{"aws:SecureTransport":"false"}}"#),
        deny(r#""Principal":"*""#, "kms:*", r#","Condition":{"StringNotEquals":{"kms:CallerAccount":"111122223333"}}"#),
        deny(
            r#""Principal":"*""#,
            "kms:*",
            r#","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/Admin"}}"#,
        ),
        deny(r#""Principal":"*""#, "kms:*", r#","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-a"}}"#),
        deny(
            r#""NotPrincipal":{"AWS":["arn:aws:iam::111122223333:root","arn:aws:iam::111122223333:role/Admin"]}"#,
            "kms:*",
            "",
        ),
        deny(r#""NotPrincipal":"*""#, "kms:*", ""),
        deny(r#""Principal":{"AWS":"444455556666"}"#, "kms:*", ""),
        deny(r#""Principal":{"AWS":"arn:aws:iam::111122223333:role/Other"}"#, "kms:*", ""),
        deny(r#""Principal":"*""#, "kms:*", "").replace(r#","Resource":"*""#, ""),
    ] {
        check_locked(&[ROOT, &statement], false);
    }
    // The only one allowed is denied by name.
    let admin = ROOT.replace(":root", ":role/Admin");
    check_locked(&[&admin, &admin.replace("Allow", "Deny")], true);
    check_locked(&[ROOT, &admin, &admin.replace("Allow", "Deny")], false);
}
