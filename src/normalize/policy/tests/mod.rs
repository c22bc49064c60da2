//! Policies as data: each case is a policy, or one statement of it, and what must be said about it.

mod public;
mod lockout;

use super::*;
use crate::schema::Event;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const OWNER: &str = "111122223333";
const ROOT: &str =
    r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}"#;
const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// The record of a call, whose `members` follow the event's name.
fn record_of(name: &str, members: &str) -> String {
    format!(r#"{{"eventName":"{name}",{members}}}"#)
}

/// What the event looks like when the policy's turn comes.
fn event_of(name: &'static str) -> Event<'static> {
    Event {
        event_name: Some(name.into()),
        event_source: Some("kms.amazonaws.com".into()),
        account_id: Some(OWNER.into()),
        key_account_id: Some(OWNER.into()),
        key_arn: Some(KEY.into()),
        principal_arn: Some("arn:aws:sts::111122223333:assumed-role/App/session-1".into()),
        ..Event::default()
    }
}

/// Hands the event of a PutKeyPolicy with `policy` to `read`.
fn put<T>(policy: &str, read: impl FnOnce(&Event<'_>) -> T) -> T {
    let mut text = String::new();
    json::write_string(policy, &mut text);
    let record = record_of("PutKeyPolicy", &format!(r#""requestParameters":{{"keyId":"k","policy":{text}}}"#));
    let record = json::parse(&record).unwrap();
    let mut event = event_of("PutKeyPolicy");
    apply(&mut event, &record);
    read(&event)
}

fn document(statements: &[&str]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

/// An Allow of kms:Decrypt for everybody under `condition`.
fn allow_everybody(condition: &str) -> String {
    format!(r#"{{"Effect":"Allow","Principal":"*","Action":"kms:Decrypt","Resource":"*","Condition":{condition}}}"#)
}

fn rows(policy: &str) -> Vec<String> {
    put(policy, |event| {
        let row = |entry: &PolicyEntry<'_>| {
            format!(
                "{} {} {} {} {} {}",
                entry.effect,
                entry.principal,
                entry.principal_account_id.as_deref().unwrap_or("-"),
                entry.action,
                entry.is_conditioned,
                entry.condition_keys.as_deref().unwrap_or("-"),
            )
        };
        event.policy_entries.iter().map(row).collect()
    })
}

#[test]
fn the_owners_own_statement_is_normal() {
    let policy = document(&[ROOT]);
    put(&policy, |event| {
        assert_eq!(event.policy_is_public, Some(false));
        assert_eq!(event.policy_locks_out_owner, Some(false));
        assert_eq!(event.policy_external_accounts, None);
        assert_eq!(event.policy_bypasses_lockout, Some(false));
    });
    assert_eq!(rows(&policy), ["Allow arn:aws:iam::111122223333:root 111122223333 kms:* false -"]);
}

#[test]
fn a_key_policy_made_for_cloudtrail_is_not_public() {
    let statement = |sid: &str, action: &str, more: &str| {
        format!(
            r#"{{"Sid":"{sid}","Effect":"Allow","Principal":{{"AWS":"*"}},"Action":{action},"Resource":"*","Condition":{{"StringEquals":{{"kms:CallerAccount":"111122223333"{more}}},"StringLike":{{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:111122223333:trail/*"}}}}}}"#
        )
    };
    let service = r#"{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"},"Action":"kms:GenerateDataKey*","Resource":"*","Condition":{"StringLike":{"kms:EncryptionContext:aws:cloudtrail:arn":"arn:aws:cloudtrail:*:111122223333:trail/*"}}}"#;
    let decrypt = statement("Enable log decrypt", r#"["kms:Decrypt","kms:ReEncryptFrom"]"#, "");
    let alias =
        statement("Allow alias creation", r#""kms:CreateAlias""#, r#","kms:ViaService":"ec2.us-east-1.amazonaws.com""#);
    let cross = statement("Cross account", r#"["kms:Decrypt"]"#, "");
    let policy = document(&[ROOT, service, &decrypt, &alias, &cross]);
    put(&policy, |event| {
        assert_eq!((event.policy_is_public, event.policy_locks_out_owner), (Some(false), Some(false)));
        assert_eq!(event.policy_external_accounts, None);
    });
}

#[test]
fn accounts_from_outside_are_named() {
    let external = |statements: &[&str]| {
        put(&document(statements), |event| event.policy_external_accounts.as_deref().map(str::to_owned))
    };
    for (principal, expected) in [
        (r#"{"AWS":"444455556666"}"#, Some("444455556666")),
        (
            r#"{"AWS":["arn:aws:iam::777788889999:root","arn:aws-us-gov:sts::444455556666:assumed-role/A/b","444455556666"]}"#,
            Some("444455556666,777788889999"),
        ),
        (r#"{"AWS":["arn:aws:iam::111122223333:user/x","AIDAEXAMPLEID","4444555566667"]}"#, None),
        (r#"{"Federated":"arn:aws:iam::444455556666:saml-provider/idp"}"#, Some("444455556666")),
        (r#"{"Service":"444455556666"}"#, None),
    ] {
        let statement =
            format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"kms:Decrypt","Resource":"*"}}"#);
        assert_eq!(external(&[ROOT, &statement]).as_deref(), expected, "{principal}");
        assert_eq!(external(&[ROOT, &statement.replace("Allow", "Deny")]), None, "{principal}");
        assert_eq!(external(&[ROOT, &statement.replace("Principal", "NotPrincipal")]), None, "{principal}");
        assert_eq!(external(&[ROOT, &statement.replace("kms:", "s3:")]), None, "{principal}");
    }
    // A wildcard fenced by a foreign account is a foreign account.
    let fenced = allow_everybody(r#"{"StringEquals":{"kms:CallerAccount":["111122223333","444455556666"]}}"#);
    assert_eq!(external(&[&fenced]).as_deref(), Some("444455556666"));
    let fenced = allow_everybody(
        r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/*"},"StringNotEquals":{"kms:CallerAccount":"777788889999"}}"#,
    );
    assert_eq!(external(&[&fenced]).as_deref(), Some("444455556666"));
}

#[test]
fn rows_are_principal_by_action_sorted_and_unique() {
    let policy = document(&[
        r#"{"Effect":"Deny","NotPrincipal":{"AWS":["444455556666","arn:aws:sts::111122223333:assumed-role/A/b"]},"NotAction":["kms:Sign","kms:*"],"Resource":"*"}"#,
        r#"{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com","Federated":["cognito-identity.amazonaws.com","*"],"AWS":["*","*"],"CanonicalUser":"79a5"},"Action":["kms:Decrypt","kms:Decrypt"],"Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"a","kms:CallerAccount":"111122223333"},"Bool":{"aws:SecureTransport":"true"}}}"#,
        r#"{"Effect":"Allow","Principal":"*","Action":"kms:Encrypt","Resource":"*","Condition":{}}"#,
    ]);
    let keys = "aws:SecureTransport,kms:CallerAccount,kms:ViaService";
    assert_eq!(
        rows(&policy),
        [
            format!("Allow * - kms:Decrypt true {keys}"),
            "Allow * - kms:Encrypt false -".to_owned(),
            format!("Allow 79a5 - kms:Decrypt true {keys}"),
            format!("Allow cognito-identity.amazonaws.com - kms:Decrypt true {keys}"),
            format!("Allow federated:* - kms:Decrypt true {keys}"),
            format!("Allow service:rds.amazonaws.com - kms:Decrypt true {keys}"),
            "Deny !444455556666 444455556666 !kms:* false -".to_owned(),
            "Deny !444455556666 444455556666 !kms:Sign false -".to_owned(),
            "Deny !arn:aws:sts::111122223333:assumed-role/A/b 111122223333 !kms:* false -".to_owned(),
            "Deny !arn:aws:sts::111122223333:assumed-role/A/b 111122223333 !kms:Sign false -".to_owned(),
        ]
    );
}

#[test]
fn the_policy_is_canonical_json() {
    let policy = "{ \"Statement\" : [ ],\n \"Id\" : \"k\\u0041\" }";
    assert_eq!(
        put(policy, |event| event.policy.as_deref().map(str::to_owned)).as_deref(),
        Some(r#"{"Id":"kA","Statement":[]}"#)
    );
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let deep = format!(r#"{{"Statement":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    for policy in ["", "not json", r#"{"Statement":[{"Effect":"Allow","#, "[]", "\"x\"", "7", &deep] {
        put(policy, |event| {
            assert_eq!(event.policy, None, "{policy}");
            assert_eq!((event.policy_is_public, event.policy_locks_out_owner), (None, None), "{policy}");
            assert_eq!(event.policy_bypasses_lockout, Some(false), "{policy}");
        });
    }
    put(r#"{"Version":"2012-10-17"}"#, |event| {
        assert_eq!((event.policy_is_public, event.policy_locks_out_owner), (None, None))
    });
}

#[test]
fn each_call_has_its_own_place_for_the_policy() {
    let open = r#"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"kms:*\",\"Resource\":\"*\"}}"#;
    let read = |name: &'static str, members: &str| {
        let record = record_of(name, &members.replace("OPEN", open));
        let record = json::parse(&record).unwrap();
        let mut event = event_of(name);
        apply(&mut event, &record);
        (event.policy_is_public, event.policy_locks_out_owner, event.policy_bypasses_lockout)
    };
    let open_answer = (Some(true), Some(false), Some(false));
    assert_eq!(read("CreateKey", r#""requestParameters":{"policy":"OPEN"}"#), open_answer);
    assert_eq!(read("ReplicateKey", r#""requestParameters":{"policy":"OPEN"}"#), open_answer);
    assert_eq!(
        read("ReplicateKey", r#""requestParameters":{},"responseElements":{"replicaPolicy":"OPEN"}"#),
        open_answer
    );
    let unwrapped = r#""requestParameters":{"policy":{"Statement":{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}}}"#;
    assert_eq!(read("PutKeyPolicy", unwrapped), open_answer);
    // No policy: the default one, except for PutKeyPolicy, which must have one.
    let harmless = (Some(false), Some(false), Some(false));
    assert_eq!(read("CreateKey", r#""requestParameters":{"origin":"AWS_KMS"}"#), harmless);
    assert_eq!(read("ReplicateKey", r#""requestParameters":{"replicaRegion":"eu-west-1"}"#), harmless);
    assert_eq!(read("PutKeyPolicy", r#""requestParameters":{"keyId":"k"}"#), (None, None, Some(false)));
    // Not logged: unknown.
    for members in
        [r#""requestParameters":null"#, r#""requestParameters":{"omitted":true}"#, r#""requestParameters":[7]"#]
    {
        assert_eq!(read("CreateKey", members), (None, None, None), "{members}");
        assert_eq!(read("PutKeyPolicy", members), (None, None, None), "{members}");
    }
    for (bypass, expected) in
        [("true", Some(true)), ("\"true\"", Some(true)), ("false", Some(false)), ("7", Some(false))]
    {
        let members =
            format!(r#""errorCode":"AccessDenied","requestParameters":{{"bypassPolicyLockoutSafetyCheck":{bypass}}}"#);
        assert_eq!(read("PutKeyPolicy", &members).2, expected, "{bypass}");
    }
    for other in ["GetKeyPolicy", "Decrypt"] {
        assert_eq!(read(other, r#""requestParameters":{"policy":"OPEN"}"#), (None, None, None), "{other}");
    }
}

#[test]
fn another_services_put_key_policy_is_not_read() {
    let record = record_of("CreateKey", r#""requestParameters":{"bypassPolicyLockoutSafetyCheck":true}"#);
    let record = json::parse(&record).unwrap();
    let mut event = Event { event_source: Some("payment-cryptography.amazonaws.com".into()), ..event_of("CreateKey") };
    apply(&mut event, &record);
    assert_eq!(event.policy_bypasses_lockout, None);
}

#[test]
fn without_an_owner_only_the_public_question_has_an_answer() {
    let record = record_of("PutKeyPolicy", r#""requestParameters":{"policy":"{\"Statement\":[]}"}"#);
    let record = json::parse(&record).unwrap();
    let mut event = Event { account_id: None, key_account_id: None, ..event_of("PutKeyPolicy") };
    apply(&mut event, &record);
    assert_eq!((event.policy_is_public, event.policy_locks_out_owner), (Some(false), None));
    assert_eq!(event.policy_external_accounts, None);
}

#[test]
fn the_keys_owner_counts_before_the_recipient() {
    let text = r#"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":[\"111122223333\",\"444455556666\"]},\"Action\":\"kms:*\",\"Resource\":\"*\"}}"#;
    let record = record_of("PutKeyPolicy", &format!(r#""requestParameters":{{"policy":"{text}"}}"#));
    let record = json::parse(&record).unwrap();
    let mut event = Event { key_account_id: Some("444455556666".into()), ..event_of("PutKeyPolicy") };
    apply(&mut event, &record);
    assert_eq!(event.policy_external_accounts.as_deref(), Some("111122223333"));
}

#[test]
fn lists_made_to_multiply_stay_small_and_quick() {
    let list = |prefix: &str| (0..6_000).map(|number| format!(r#""{prefix}{number}""#)).collect::<Vec<_>>().join(",");
    let stars = "k*".repeat(20_000);
    let statement = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":[{}]}},"Action":[{},"{stars}x"],"Resource":"*"}}"#,
        list("p"),
        list("kms:a")
    );
    let start = Instant::now();
    put(&document(&[ROOT, &statement]), |event| {
        let bytes = |entry: &PolicyEntry<'_>| size_of::<PolicyEntry<'_>>() + entry.principal.len() + entry.action.len();
        assert!(event.policy_entries.iter().map(bytes).sum::<usize>() <= MAX_ENTRY_BYTES + 1024);
        assert!(event.policy_entries.len() > 10_000);
        assert_eq!(event.policy_locks_out_owner, Some(false));
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn wildcards_match_like_the_policy_language() {
    use super::statement::is_like;
    for (pattern, text) in [
        ("*", ""),
        ("", ""),
        ("a*", "a"),
        ("*a", "bA"),
        ("a?c", "abc"),
        ("*a*b*", "xaybz"),
        ("a**", "a"),
        ("a*a", "aa"),
    ] {
        assert!(is_like(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in
        [("", "a"), ("?", ""), ("a", "ab"), ("a*a", "a"), ("a?", "a"), ("*a*b", "ba"), ("kms:Decrypt*", "kms:Encrypt")]
    {
        assert!(!is_like(pattern, text), "{pattern} {text}");
    }
}

/// The plain definition, exponential at worst: kept as the fast one's twin.
fn is_like_twin(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, rest) => rest.is_none(),
        (Some((b'*', more)), None) => is_like_twin(more, text),
        (Some((b'*', more)), Some((_, later))) => is_like_twin(more, text) || is_like_twin(pattern, later),
        (Some((b'?', more)), Some((_, later))) => is_like_twin(more, later),
        (Some((one, more)), Some((other, later))) => one == other && is_like_twin(more, later),
        (Some(_), None) => false,
    }
}

const SAMPLE: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"AWS":["*","arn:aws:iam::111122223333:root"],"Service":"s3.amazonaws.com"},"Action":["kms:*","kms:De?rypt*"],"Resource":"*","Condition":{"StringEquals":{"kms:CallerAccount":["111122223333"]},"ForAllValues:ArnNotLikeIfExists":{"aws:PrincipalArn":"arn:aws:iam::1*:${aws:x}"},"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"Null":{"aws:userid":true}}},{"Effect":"Deny","NotPrincipal":{"AWS":"444455556666"},"NotAction":"kms:Put*","NotResource":["arn:aws:kms:*"]}]}"#;

proptest! {
    #[test]
    fn the_wildcard_test_agrees_with_its_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        prop_assert_eq!(super::statement::is_like(&pattern, &text), is_like_twin(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn no_damaged_policy_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[\\[\\]{}:,\"*?/é$0-9a-z ]{0,6}"), 0..6)
    ) {
        let mut policy = SAMPLE.to_owned();
        for (from, length, text) in cuts {
            let bounds: Vec<usize> = policy.char_indices().map(|(place, _)| place).collect();
            if bounds.is_empty() { break }
            let from = from.index(bounds.len());
            let to = (from + length.index(12)).min(bounds.len() - 1);
            policy.replace_range(bounds[from]..bounds[to], &text);
        }
        prop_assert!(put(&policy, |event| event.policy_entries.is_sorted()));
    }

    #[test]
    fn no_shuffled_policy_panics(picks in prop::collection::vec((0..12_usize, 0..16_usize), 0..12)) {
        const KEYS: [&str; 12] = ["Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition", "Statement", "AWS", "Sid", "x"];
        const VALUES: [&str; 16] = ["\"Allow\"", "\"Deny\"", "\"*\"", "{\"AWS\":\"*\"}", "[]", "{}", "null", "7", "\"kms:*\"", "[\"kms:PutKeyPolicy\",null]", "[[\"*\"]]", "{\"AWS\":[null,{}]}", "\"\"", "{\"StringEquals\":{\"kms:CallerAccount\":null}}", "{\"IpAddress\":{\"aws:SourceIp\":[\"/\",\"1/\",\"::/129\"]}}", "{\"ArnLike\":{\"aws:PrincipalArn\":[\"arn:\",\"arn:::::\",\"\"]}}"];
        let members: Vec<String> = picks.into_iter().map(|(key, value)| format!("\"{}\":{}", KEYS[key], VALUES[value])).collect();
        let policy = document(&[&format!("{{{}}}", members.join(","))]);
        prop_assert!(put(&policy, |event| event.policy.is_some()));
    }
}
