//! What a statement's conditions say about the caller.
//!
//! In: the `Condition` element. Out: three answers: do the conditions keep strangers out of an Allow, does a Deny with
//! these conditions hit every stranger, and do they hold for all callers of one account. Only conditions on who or where
//! the caller is can answer; which they are, and which operators count, is decided here and nowhere else.
//!
//! A condition restricts when its key identifies the caller ([`KeyKind`]), its operator is a positive one, every one of
//! its values pins the key down, and it cannot pass because the key is absent (`...IfExists`, `ForAllValues:`).
//! `kms:ViaService` is no such key: strangers reach the key through the same services.

use super::super::identity::is_account_id;
use super::statement::{arn_account, has_wildcard, is_like, texts};
use crate::json::Value;
use std::borrow::Cow;
use std::net::IpAddr;

/// One operator, key and its values.
#[derive(Debug)]
pub(super) struct Condition<'p> {
    /// The condition key as written.
    pub(super) key: &'p str,
    operator: Operator,
    values: Vec<&'p str>,
}

#[derive(Clone, Copy, Debug)]
struct Operator {
    test: Test,
    is_negated: bool,
    set: Set,
    is_if_exists: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    /// StringEquals and StringEqualsIgnoreCase.
    Equals,
    /// StringLike.
    Like,
    /// ArnEquals and ArnLike, which are the same.
    Arn,
    IpAddress,
    Bool,
    Null,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    One,
    AnyValue,
    AllValues,
}

/// What a condition key says about the caller. Names: IAM User Guide, "AWS global condition context keys", and KMS
/// Developer Guide, "AWS KMS condition keys".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    /// The caller's account, or the account of the resource a service calls for.
    Account,
    /// The caller's ARN, or that of the resource a service calls for.
    Arn,
    Organization,
    OrganizationPath,
    /// A unique id, with a session name behind a colon.
    UserId,
    /// A VPC or VPC endpoint.
    Endpoint,
    Network,
}

impl KeyKind {
    fn of(key: &str) -> Option<Self> {
        Some(match key.to_ascii_lowercase().as_str() {
            "kms:calleraccount" | "aws:principalaccount" | "aws:sourceaccount" | "aws:vpceaccount" => KeyKind::Account,
            "aws:principalarn" | "aws:sourcearn" | "aws:sourcevpcarn" => KeyKind::Arn,
            "aws:principalorgid" | "aws:sourceorgid" | "aws:vpceorgid" => KeyKind::Organization,
            "aws:principalorgpaths" | "aws:sourceorgpaths" | "aws:vpceorgpaths" => KeyKind::OrganizationPath,
            "aws:userid" => KeyKind::UserId,
            "aws:sourcevpc" | "aws:sourcevpce" => KeyKind::Endpoint,
            "aws:sourceip" => KeyKind::Network,
            _ => return None,
        })
    }
}

impl Operator {
    fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let (set, name) = match (name.strip_prefix("foranyvalue:"), name.strip_prefix("forallvalues:")) {
            (Some(name), _) => (Set::AnyValue, name),
            (None, Some(name)) => (Set::AllValues, name),
            (None, None) => (Set::One, name.as_str()),
        };
        let (is_if_exists, name) = name.strip_suffix("ifexists").map_or((false, name), |name| (true, name));
        let (test, is_negated) = match name {
            "stringequals" | "stringequalsignorecase" => (Test::Equals, false),
            "stringnotequals" | "stringnotequalsignorecase" => (Test::Equals, true),
            "stringlike" => (Test::Like, false),
            "stringnotlike" => (Test::Like, true),
            "arnequals" | "arnlike" => (Test::Arn, false),
            "arnnotequals" | "arnnotlike" => (Test::Arn, true),
            "ipaddress" => (Test::IpAddress, false),
            "notipaddress" => (Test::IpAddress, true),
            "bool" => (Test::Bool, false),
            "null" => (Test::Null, false),
            _ => (Test::Other, false),
        };
        Operator { test, is_negated, set, is_if_exists }
    }
}

/// Reads `{OPERATOR: {KEY: VALUE or [VALUES]}}` into a flat list, all of which must hold.
pub(super) fn read_conditions<'p>(condition: &'p Value<'_>) -> Vec<Condition<'p>> {
    let blocks = condition.members().iter();
    let conditions = blocks.flat_map(|(operator, keys)| {
        let operator = Operator::of(operator);
        keys.members().iter().map(move |(key, values)| Condition { key, operator, values: texts(values) })
    });
    conditions.collect()
}

/// True when an Allow for everybody with these conditions is none for strangers.
pub(super) fn keep_strangers_out(conditions: &[Condition<'_>]) -> bool {
    conditions.iter().any(|condition| {
        let operator = condition.operator;
        // These two pass when the key is absent.
        let is_evaded = operator.is_if_exists || operator.set == Set::AllValues;
        !operator.is_negated && condition.is_pinned() && (!is_evaded || is_surely_present(condition.key, conditions))
    })
}

/// True when a Deny for everybody with these conditions hits every stranger. All of them must hold, so each must be about
/// strangers, or spare AWS services and nobody else.
pub(super) fn hit_every_stranger(conditions: &[Condition<'_>]) -> bool {
    let hits = |condition: &Condition<'_>| {
        let operator = condition.operator;
        // A negated test holds when the key is absent, except that ForAnyValue needs a value.
        let is_evaded = operator.set == Set::AnyValue && !is_surely_present(condition.key, conditions);
        operator.is_negated && condition.is_pinned() && !is_evaded
    };
    let spares_services = |condition: &Condition<'_>| {
        condition.key.eq_ignore_ascii_case("aws:PrincipalIsAWSService")
            && condition.operator.test == Test::Bool
            && condition.values.iter().all(|value| value.eq_ignore_ascii_case("false"))
    };
    conditions.iter().any(hits) && conditions.iter().all(|condition| hits(condition) || spares_services(condition))
}

/// True when the request has `key` in any case, or a `Null` condition demands it.
fn is_surely_present(key: &str, conditions: &[Condition<'_>]) -> bool {
    let is_demanded = |condition: &Condition<'_>| {
        condition.operator.test == Test::Null
            && condition.key.eq_ignore_ascii_case(key)
            && !condition.values.is_empty()
            && condition.values.iter().all(|value| value.eq_ignore_ascii_case("false"))
    };
    is_always_present(key) || conditions.iter().any(is_demanded)
}

/// The keys that every request of a user or role has (IAM User Guide and KMS Developer Guide, "Availability").
fn is_always_present(key: &str) -> bool {
    let keys = ["kms:CallerAccount", "aws:PrincipalAccount", "aws:PrincipalArn", "aws:userid"];
    keys.iter().any(|present| present.eq_ignore_ascii_case(key))
}

impl<'p> Condition<'p> {
    /// True when the key identifies callers and every value leaves only few of them.
    fn is_pinned(&self) -> bool {
        let Some(kind) = KeyKind::of(self.key) else { return false };
        !self.values.is_empty() && self.values.iter().all(|value| is_value_pinned(kind, self.operator.test, value))
    }

    /// Whether the condition holds for every caller of `account` (`Some(true)`), for none (`Some(false)`), or that cannot
    /// be told.
    pub(super) fn holds_for(&self, account: &str) -> Option<bool> {
        if !is_always_present(self.key) || self.values.is_empty() {
            return None;
        }
        if self.operator.test == Test::Null {
            return Some(self.values.iter().any(|value| value.eq_ignore_ascii_case("false")));
        }
        let answers = self.values.iter().map(|value| self.value_matches(value, account));
        let is_matched = answers.reduce(|one, other| match (one, other) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        })?;
        is_matched.map(|is_matched| is_matched != self.operator.is_negated)
    }

    fn value_matches(&self, value: &str, account: &str) -> Option<bool> {
        let test = self.operator.test;
        if matches!(test, Test::Like | Test::Arn) && value == "*" {
            return Some(true);
        }
        let value = known_variables(value, account)?;
        match (KeyKind::of(self.key)?, test) {
            (KeyKind::Account, Test::Equals) => Some(value == account),
            (KeyKind::Account, Test::Like) => Some(is_like(&value, account)),
            // Another account's ARN is never one of this account; one of this account is one of many.
            (KeyKind::Arn, _) => pinned_account(test, &value).filter(|pinned| *pinned != account).map(|_| false),
            _ => None,
        }
    }

    /// The accounts whose callers a positive condition lets in.
    pub(super) fn accounts(&self) -> Vec<&'p str> {
        if self.operator.is_negated || !is_always_present(self.key) {
            return Vec::new();
        }
        let values = self.values.iter().copied();
        match KeyKind::of(self.key) {
            Some(KeyKind::Account) => values.filter(|value| is_account_id(value)).collect(),
            Some(KeyKind::Arn) => values.filter_map(|value| pinned_account(self.operator.test, value)).collect(),
            _ => Vec::new(),
        }
    }
}

/// `value` with the policy variables that are constant for one key replaced; `None` when it has others, whose value the
/// caller may choose.
fn known_variables<'v>(value: &'v str, account: &str) -> Option<Cow<'v, str>> {
    if !value.contains("${") {
        return Some(Cow::Borrowed(value));
    }
    let value = value.replace("${aws:ResourceAccount}", account).replace("${aws:ResourceOrgID}", "o-own");
    (!value.contains("${")).then_some(Cow::Owned(value))
}

fn is_value_pinned(kind: KeyKind, test: Test, value: &str) -> bool {
    let Some(value) = known_variables(value, "000000000000") else { return false };
    // A star means itself in StringEquals, and then matches nobody.
    let is_exact = |part: &str| !part.is_empty() && (test == Test::Equals || !has_wildcard(part));
    let is_text = matches!(test, Test::Equals | Test::Like);
    match kind {
        KeyKind::Account | KeyKind::Organization | KeyKind::Endpoint => is_text && is_exact(&value),
        KeyKind::OrganizationPath => is_text && is_exact(value.split('/').next().unwrap_or_default()),
        KeyKind::UserId => is_text && is_exact(value.split(':').next().unwrap_or_default()),
        KeyKind::Arn if test == Test::Equals => !value.is_empty(),
        KeyKind::Arn => pinned_account(test, &value).is_some() || is_bucket_arn(test, &value),
        KeyKind::Network => test == Test::IpAddress && is_narrow_network(&value),
    }
}

/// The account that every ARN matching `value` has.
fn pinned_account(test: Test, value: &str) -> Option<&str> {
    let account = match test {
        // ARN tests compare field by field.
        Test::Arn | Test::Equals => arn_account(value)?,
        // A star in text may run over colons, so what stands behind one says nothing.
        Test::Like => arn_account(value.split(['*', '?']).next()?)?.get(..12)?,
        _ => return None,
    };
    is_account_id(account).then_some(account)
}

/// True for the ARN of one S3 bucket, which has no account: bucket names belong to one account each.
fn is_bucket_arn(test: Test, value: &str) -> bool {
    let mut fields = value.splitn(6, ':');
    let (Some("arn"), Some(partition), Some("s3"), Some(""), Some(""), Some(resource)) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let bucket = resource.split('/').next().unwrap_or_default();
    let is_arn_test = matches!(test, Test::Arn | Test::Like);
    is_arn_test && !bucket.is_empty() && !has_wildcard(bucket) && !has_wildcard(partition)
}

/// True for networks no wider than an IPv4 /8 or an IPv6 /32: wider ones count as everybody, as they do for S3 (S3 User
/// Guide, "Blocking public access", the meaning of public).
fn is_narrow_network(text: &str) -> bool {
    let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let (narrow, whole) = if address.is_ipv4() { (8, 32) } else { (32, 128) };
    let length = length.map_or(Some(whole), |length| length.parse::<u8>().ok());
    length.is_some_and(|length| (narrow..=whole).contains(&length))
}
