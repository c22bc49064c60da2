//! What a grant gives to whom.
//!
//! In: CreateGrant, RetireGrant, RevokeGrant and the calls that list grants. Out: the grant columns. A grantee is free
//! text: an ARN, a service, `AWS Internal`, the old form `ACCOUNT:aws:ec2-infrastructure:INSTANCE`, or a bare id.
//! RetireGrant carries nothing but the id, in `additionalEventData`. Whether a grant is a service's own is told by the
//! grantee: `invokedBy` is missing from real service grants and proves nothing.

use super::fields::{Fields, first_text, part_of};
use super::identity::{account_of_arn, is_account_id, is_service_principal};
use crate::json::{self, Value};
use crate::schema::{Event, Text};
use std::borrow::Cow;

/// Sets the grant columns for the operations that have them.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>) {
    let (request, response) = (fields.request, fields.response);
    match event.event_name.as_deref() {
        Some("CreateGrant") => {
            event.grant_id = response.get("grantId").text();
            event.grantee_principal = first_text(request, &["granteePrincipal", "granteeServicePrincipal"]);
            event.retiring_principal = first_text(request, &["retiringPrincipal", "retiringServicePrincipal"]);
            event.grant_operations = operations(request.get("operations"));
            event.grant_constraint = constraint(request.get("constraints"));
            event.is_service_grant = event.grantee_principal.as_deref().map(is_service_grantee);
        }
        Some("RetireGrant" | "RevokeGrant") => {
            event.grant_id = request.get("grantId").text().or_else(|| fields.additional.get("grantId").text());
        }
        Some("ListGrants" | "ListRetirableGrants") => {
            event.grant_id = request.get("grantId").text();
            event.grantee_principal = first_text(request, &["granteePrincipal", "granteeServicePrincipal"]);
            event.retiring_principal = first_text(request, &["retiringPrincipal", "retiringServicePrincipal"]);
        }
        _ => return,
    }
    event.grantee_account_id = event.grantee_principal.as_ref().and_then(account_of_grantee);
}

/// The operations, sorted and without repetition. Records of 2014 have none.
fn operations<'a>(list: &Value<'a>) -> Text<'a> {
    let mut names: Vec<&str> = list.items().iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| Cow::Owned(names.join(",")))
}

/// The constraints that constrain: an empty `encryptionContextSubset` allows every context.
fn constraint<'a>(constraints: &Value<'_>) -> Text<'a> {
    let is_empty = |value: &Value<'_>| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => object.members.is_empty(),
        Value::Array(array) => array.items.is_empty(),
        Value::Boolean(_) | Value::Number(_) => false,
    };
    let kept: std::collections::BTreeMap<&str, &Value<'_>> =
        constraints.members().iter().map(|(name, value)| (name.as_ref(), value)).collect();
    let mut out = String::new();
    for (name, value) in kept.into_iter().filter(|(_, value)| !is_empty(value)) {
        out.push(if out.is_empty() { '{' } else { ',' });
        json::write_string(name, &mut out);
        out.push(':');
        out.push_str(&value.canonical());
    }
    if out.is_empty() {
        return None;
    }
    out.push('}');
    Some(Cow::Owned(out))
}

/// True when the grantee is an AWS service or the service's infrastructure in the account.
fn is_service_grantee(grantee: &str) -> bool {
    let infrastructure = grantee.split_once(":aws:").is_some_and(|(account, _)| is_account_id(account));
    infrastructure || is_service_principal(grantee)
}

/// The account that a grantee names: in an ARN, in front of the old infrastructure form, or alone.
fn account_of_grantee<'a>(grantee: &Cow<'a, str>) -> Text<'a> {
    if grantee.starts_with("arn:") {
        return account_of_arn(grantee);
    }
    let account = part_of(grantee, |grantee| grantee.split(':').next().unwrap_or(""));
    is_account_id(&account).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_grant_is_known_by_its_grantee() {
        for grantee in [
            "dynamodb.us-west-2.amazonaws.com",
            "rds.amazonaws.com",
            "AWS Internal",
            "111122223333:aws:ec2-infrastructure:i-81e2f56c",
            "s3.amazonaws.com.cn",
        ] {
            assert!(is_service_grantee(grantee), "{grantee}");
        }
        for grantee in [
            "arn:aws:iam::111122223333:role/App",
            // A user may be called so; a service never has an ARN.
            "arn:aws:iam::111122223333:user/x.amazonaws.com",
            "arn:aws:iam::111122223333:user/aws:y",
            "11112222333:aws:ec2-infrastructure:i-81e2f56c",
            "evil.amazonaws.com.example",
            "AROAEXAMPLE",
            "*",
        ] {
            assert!(!is_service_grantee(grantee), "{grantee}");
        }
    }

    #[test]
    fn an_empty_constraint_is_no_constraint() {
        for (text, expected) in [
            (r#"{"encryptionContextSubset":{}}"#, None),
            ("{}", None),
            ("null", None),
            (r#"{"encryptionContextSubset":null,"encryptionContextEquals":{}}"#, None),
            (
                r#"{"sourceArn":"a", "encryptionContextSubset":{"b":"2","a":"1"},"encryptionContextEquals":{}}"#,
                Some(r#"{"encryptionContextSubset":{"a":"1","b":"2"},"sourceArn":"a"}"#),
            ),
        ] {
            assert_eq!(constraint(&json::parse(text).unwrap()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn operations_are_sorted_and_the_grantee_s_account_is_found() {
        let list = json::parse(r#"["Encrypt","Decrypt","Encrypt",7,""]"#).unwrap();
        assert_eq!(operations(&list).as_deref(), Some("Decrypt,Encrypt"));
        assert_eq!(operations(&Value::Null), None);
        for (grantee, account) in [
            ("arn:aws:iam::444455556666:root", Some("444455556666")),
            ("444455556666:aws:ec2-infrastructure:i-1", Some("444455556666")),
            ("444455556666", Some("444455556666")),
            ("rds.amazonaws.com", None),
            ("AIDAEXAMPLE", None),
            ("arn:aws:iam::aws:role/x", None),
        ] {
            assert_eq!(account_of_grantee(&Cow::Borrowed(grantee)).as_deref(), account, "{grantee}");
        }
    }
}
