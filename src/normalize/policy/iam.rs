//! What an IAM policy that was written says about KMS.
//!
//! In: the IAM calls that carry a policy document. Out: rows of `policy_entries` without a key: one per action and resource
//! of each statement that reaches KMS, with what the policy was put on as the principal. Only rows that concern KMS are
//! made, because a policy of fifty services would drown them. Deliberately absent: the documents of managed policies that
//! are attached by name (they stand in no record), trust policies, and any evaluation: the review queries judge.

use super::condition::read_conditions;
use super::statement::{KMS_ACTIONS, element, is_like, texts};
use super::{MAX_ENTRY_BYTES, comma_separated};
use crate::json::{self, Value};
use crate::schema::{Event, PolicyEntry};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Sets the rows of `policy_entries` of an IAM call. The event's name and source must be set.
pub(super) fn apply<'a>(event: &mut Event<'a>, record: &Value<'a>) {
    let request = record.get("requestParameters");
    let name = event.event_name.as_deref().unwrap_or_default();
    let Some(subject) = subject(name, request) else { return };
    let rows = match request.get("policyDocument") {
        Value::String(text) => json::parse(text).map(|document| rows(&document, &subject)).unwrap_or_default(),
        // Exports that unwrap JSON in strings.
        document => rows(document, &subject),
    };
    event.policy_entries = rows.into_iter().collect();
}

/// What the call puts the policy on.
fn subject(event_name: &str, request: &Value<'_>) -> Option<String> {
    let named = |kind: &str, member: &str| request.get(member).text().map(|name| format!("{kind}/{name}"));
    match event_name {
        "PutUserPolicy" => named("user", "userName"),
        "PutRolePolicy" => named("role", "roleName"),
        "PutGroupPolicy" => named("group", "groupName"),
        "CreatePolicy" => named("policy", "policyName"),
        "CreatePolicyVersion" => {
            let arn = request.get("policyArn").text()?;
            Some(format!("policy/{}", arn.rsplit('/').next().unwrap_or_default()))
        }
        _ => None,
    }
}

fn rows(document: &Value<'_>, subject: &str) -> BTreeSet<PolicyEntry<'static>> {
    let statements = element(document, "Statement");
    let list: Vec<&Value<'_>> = match statements {
        Value::Array(array) => array.items.iter().collect(),
        other => vec![other],
    };
    let mut rows = BTreeSet::new();
    let mut bytes = 0;
    for statement in list {
        let effect = match element(statement, "Effect").as_str() {
            Some(effect) if effect.eq_ignore_ascii_case("Allow") => "Allow",
            Some(effect) if effect.eq_ignore_ascii_case("Deny") => "Deny",
            _ => continue,
        };
        let conditions = read_conditions(element(statement, "Condition"));
        let condition_keys = comma_separated(conditions.iter().map(|condition| condition.key).collect());
        let actions = marked(statement, "Action");
        // A statement about everything but KMS has nothing to do with it, whatever else it leaves out.
        if actions.iter().any(|action| action == "!*" || action.eq_ignore_ascii_case("!kms:*")) {
            continue;
        }
        for action in actions.into_iter().filter(|action| reaches_kms(action)) {
            for resource in marked(statement, "Resource") {
                bytes += size_of::<PolicyEntry<'_>>() + action.len() + resource.len() + subject.len();
                if bytes > MAX_ENTRY_BYTES {
                    return rows;
                }
                rows.insert(PolicyEntry {
                    effect: Cow::Borrowed(effect),
                    principal: Cow::Owned(subject.to_owned()),
                    principal_account_id: None,
                    action: Cow::Owned(action.clone()),
                    resource: Some(Cow::Owned(resource)),
                    is_conditioned: !conditions.is_empty(),
                    condition_keys: condition_keys.as_deref().map(|keys| Cow::Owned(keys.to_owned())),
                });
            }
        }
    }
    rows
}

/// The texts of the element `name` (`Action`, `Resource`), or of its `Not` form with a mark before each.
fn marked(statement: &Value<'_>, name: &str) -> Vec<String> {
    match element(statement, name) {
        Value::Null => {
            let negated = texts(element(statement, &format!("Not{name}")));
            negated.into_iter().map(|text| format!("!{text}")).collect()
        }
        value => texts(value).into_iter().map(str::to_owned).collect(),
    }
}

/// True when an action as written takes in an action of KMS. `NotAction` takes in all that it does not name.
fn reaches_kms(action: &str) -> bool {
    action.starts_with('!')
        || action.get(..4).is_some_and(|service| service.eq_ignore_ascii_case("kms:"))
        || KMS_ACTIONS.iter().any(|known| is_like(action, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &'static str, request: &str, expected: &[&str]) {
        let record = format!("{{\"requestParameters\":{request}}}");
        let value = json::parse(&record).unwrap();
        let mut event = Event { event_name: Some(Cow::Borrowed(name)), ..Event::default() };
        apply(&mut event, &value);
        let found: Vec<String> = event
            .policy_entries
            .iter()
            .map(|row| {
                let resource = row.resource.as_deref().unwrap_or("-");
                let keys = row.condition_keys.as_deref().unwrap_or("-");
                format!("{} {} {} {resource} {keys}", row.effect, row.principal, row.action)
            })
            .collect();
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn statements_that_reach_kms_are_rows() {
        let document = r#"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"kms:Decrypt\",\"s3:GetObject\"],\"Resource\":\"*\"},{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":[\"arn:aws:kms:*:111122223333:key/*\"],\"Condition\":{\"Bool\":{\"aws:MultiFactorAuthPresent\":\"true\"}}}]}"#;
        check(
            "PutRolePolicy",
            &format!("{{\"roleName\":\"app\",\"policyDocument\":\"{document}\"}}"),
            &[
                "Allow role/app * arn:aws:kms:*:111122223333:key/* aws:MultiFactorAuthPresent",
                "Allow role/app kms:Decrypt * -",
            ],
        );
    }

    #[test]
    fn everything_but_is_something() {
        check(
            "CreatePolicyVersion",
            r#"{"policyArn":"arn:aws:iam::111122223333:policy/team/power","policyDocument":{"Statement":{"Effect":"Allow","NotAction":["iam:*","kms:Decrypt"],"Resource":"*"}}}"#,
            &["Allow policy/power !iam:* * -", "Allow policy/power !kms:Decrypt * -"],
        );
        check(
            "CreatePolicyVersion",
            r#"{"policyArn":"arn:aws:iam::111122223333:policy/power","policyDocument":{"Statement":{"Effect":"Allow","NotAction":["iam:*","kms:*"],"Resource":"*"}}}"#,
            &[],
        );
    }

    #[test]
    fn what_does_not_reach_kms_or_is_no_policy_gives_nothing() {
        for (name, request) in [
            (
                "PutUserPolicy",
                r#"{"userName":"u","policyDocument":{"Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}}"#,
            ),
            ("PutUserPolicy", r#"{"userName":"u","policyDocument":"not json"}"#),
            ("PutUserPolicy", r#"{"userName":"u"}"#),
            (
                "AttachUserPolicy",
                r#"{"userName":"u","policyDocument":{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}}"#,
            ),
        ] {
            check(name, request, &[]);
        }
    }
}
