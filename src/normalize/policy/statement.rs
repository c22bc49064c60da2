//! Reads a policy document into statements.
//!
//! In: the document's JSON tree. Out: the statements that have an effect on the key, with principals, actions and
//! conditions as flat lists. The policy language lets nearly every element be one text or a list, and writes "everybody"
//! in two ways; here each has one form. A statement without `Resource` or `Action` is accepted by KMS and has no effect
//! (PutKeyPolicy API reference), so it is left out: read naively, such a policy looks safe and locks its owner out.

use super::super::identity::is_account_id;
use super::condition::{Condition, read_conditions};
use crate::json::Value;
use std::borrow::Cow;

/// The actions on keys that IAM knows (Service Authorization Reference, "AWS Key Management Service").
pub(super) const KMS_ACTIONS: [&str; 58] = [
    "kms:CancelKeyDeletion",
    "kms:ConnectCustomKeyStore",
    "kms:CreateAlias",
    "kms:CreateCustomKeyStore",
    "kms:CreateGrant",
    "kms:CreateKey",
    "kms:Decapsulate",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DeleteCustomKeyStore",
    "kms:DeleteImportedKeyMaterial",
    "kms:DeriveSharedSecret",
    "kms:DescribeCustomKeyStores",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:DisconnectCustomKeyStore",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encapsulate",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateMac",
    "kms:GenerateRandom",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetParametersForImport",
    "kms:GetPublicKey",
    "kms:ImportKeyMaterial",
    "kms:ListAliases",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListKeys",
    "kms:ListResourceTags",
    "kms:ListRetirableGrants",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:ReplicateKey",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:Sign",
    "kms:SynchronizeMultiRegionKey",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateCustomKeyStore",
    "kms:UpdateKeyDescription",
    "kms:UpdatePrimaryRegion",
    "kms:Verify",
    "kms:VerifyMac",
];

/// What a statement does when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// A statement that applies to the key.
#[derive(Debug)]
pub(super) struct Statement<'p> {
    pub(super) effect: Effect,
    pub(super) principals: Principals<'p>,
    pub(super) actions: Actions<'p>,
    pub(super) conditions: Vec<Condition<'p>>,
}

/// The `Principal` or `NotPrincipal` of a statement.
#[derive(Debug)]
pub(super) struct Principals<'p> {
    pub(super) is_negated: bool,
    pub(super) names: Vec<Principal<'p>>,
}

/// One principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Principal<'p> {
    /// `"*"` and `{"AWS": "*"}`, which mean the same in a key policy.
    Everyone,
    /// An account id, an ARN, or the unique id that AWS leaves behind for a deleted user or role.
    Aws(&'p str),
    Service(&'p str),
    Federated(&'p str),
    /// Any other kind, which KMS does not know, such as `CanonicalUser`.
    Other(&'p str),
}

/// The `Action` or `NotAction` of a statement.
#[derive(Debug)]
pub(super) struct Actions<'p> {
    pub(super) is_negated: bool,
    pub(super) patterns: Vec<&'p str>,
    /// The actions covered, a bit for each of the policy's [`ActionNames`].
    pub(super) covered: u128,
}

impl Principals<'_> {
    /// True when the statement is about everybody, or about everybody with named exceptions.
    pub(super) fn is_everyone(&self) -> bool {
        self.names.contains(&Principal::Everyone) != self.is_negated
    }
}

impl<'p> Principal<'p> {
    /// The principal as the rows of `policy_entries` show it.
    pub(super) fn written(&self) -> Cow<'p, str> {
        match *self {
            Principal::Everyone => Cow::Borrowed("*"),
            Principal::Service(name) => Cow::Owned(format!("service:{name}")),
            // Not `*`, which is everybody.
            Principal::Federated("*") => Cow::Borrowed("federated:*"),
            Principal::Aws(name) | Principal::Federated(name) | Principal::Other(name) => Cow::Borrowed(name),
        }
    }

    /// The account that the principal belongs to, when its name tells.
    pub(super) fn account(&self) -> Option<&'p str> {
        match *self {
            Principal::Aws(name) if is_account_id(name) => Some(name),
            Principal::Aws(name) | Principal::Federated(name) => {
                arn_account(name).filter(|account| is_account_id(account))
            }
            _ => None,
        }
    }

    /// True for the account itself: its id alone, or the ARN of its root.
    pub(super) fn is_whole_account(&self) -> bool {
        matches!(*self, Principal::Aws(name) if is_account_id(name) || name.ends_with(":root"))
    }
}

/// The fifth field of an ARN.
pub(super) fn arn_account(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(3))
}

/// The action names a policy is tried on: those of KMS, and those the policy names and this list does not know yet.
struct ActionNames<'p>(Vec<&'p str>);

/// The bit of PutKeyPolicy among the covered actions.
pub(super) fn put_key_policy_bit() -> u128 {
    KMS_ACTIONS.iter().position(|name| *name == "kms:PutKeyPolicy").map_or(0, |place| 1 << place)
}

impl<'p> ActionNames<'p> {
    fn of(statements: &[&'p Value<'_>]) -> Self {
        let mut names: Vec<&'p str> = KMS_ACTIONS.to_vec();
        let written = statements.iter().flat_map(|statement| texts(element(statement, "Action")));
        for action in written.filter(|action| is_unknown_kms_action(action)) {
            if names.len() >= 128 {
                break;
            }
            if !names.iter().any(|name| name.eq_ignore_ascii_case(action)) {
                names.push(action);
            }
        }
        ActionNames(names)
    }

    fn all(&self) -> u128 {
        u128::MAX >> (128 - self.0.len().clamp(1, 128))
    }

    /// The bits of the names that `pattern` matches, whatever its case.
    fn matched(&self, pattern: &str) -> u128 {
        if pattern == "*" || pattern.eq_ignore_ascii_case("kms:*") {
            return self.all();
        }
        let matches = |name: &str| match has_wildcard(pattern) {
            true => is_like(pattern, name),
            false => pattern.eq_ignore_ascii_case(name),
        };
        let found = self.0.iter().enumerate().filter(|(_, name)| matches(name));
        found.fold(0, |bits, (place, _)| bits | 1 << place)
    }
}

fn is_unknown_kms_action(action: &str) -> bool {
    action.get(..4).is_some_and(|service| service.eq_ignore_ascii_case("kms:"))
        && !has_wildcard(action)
        && !KMS_ACTIONS.iter().any(|known| known.eq_ignore_ascii_case(action))
}

/// The statements of a policy that apply to the key `key_arn`; any `Resource` may be the key when its ARN is unknown.
/// `None` when the document has no statements to read: it is no policy.
pub(super) fn read_statements<'p>(document: &'p Value<'_>, key_arn: Option<&str>) -> Option<Vec<Statement<'p>>> {
    let statements = element(document, "Statement");
    let list: Vec<&'p Value<'_>> = match statements {
        Value::Array(array) => array.items.iter().collect(),
        Value::Object(_) => vec![statements],
        _ => return None,
    };
    let names = ActionNames::of(&list);
    let applying = list.into_iter().filter(|statement| is_about_key(statement, key_arn));
    Some(applying.filter_map(|statement| read_statement(statement, &names)).collect())
}

fn read_statement<'p>(statement: &'p Value<'_>, names: &ActionNames<'_>) -> Option<Statement<'p>> {
    let effect = match element(statement, "Effect").as_str()? {
        effect if effect.eq_ignore_ascii_case("Allow") => Effect::Allow,
        effect if effect.eq_ignore_ascii_case("Deny") => Effect::Deny,
        _ => return None,
    };
    let principals = read_principals(statement)?;
    let actions = read_actions(statement, names)?;
    Some(Statement { effect, principals, actions, conditions: read_conditions(element(statement, "Condition")) })
}

fn is_about_key(statement: &Value<'_>, key_arn: Option<&str>) -> bool {
    let is_key = |pattern: &str| pattern == "*" || key_arn.is_none_or(|arn| is_like(pattern, arn));
    let (resource, not_resource) = (element(statement, "Resource"), element(statement, "NotResource"));
    if resource.is_null() {
        !not_resource.is_null() && !texts(not_resource).into_iter().any(is_key)
    } else {
        texts(resource).into_iter().any(is_key)
    }
}

fn read_principals<'p>(statement: &'p Value<'_>) -> Option<Principals<'p>> {
    let (value, is_negated) = match element(statement, "Principal") {
        Value::Null => (element(statement, "NotPrincipal"), true),
        value => (value, false),
    };
    let mut names: Vec<Principal<'p>> = match value {
        Value::Object(object) => {
            let kinds = object.members.iter();
            kinds.flat_map(|(kind, names)| texts(names).into_iter().map(move |name| principal(kind, name))).collect()
        }
        other => texts(other).into_iter().map(|name| principal("AWS", name)).collect(),
    };
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then_some(Principals { is_negated, names })
}

fn principal<'p>(kind: &str, name: &'p str) -> Principal<'p> {
    match kind {
        kind if kind.eq_ignore_ascii_case("AWS") => match name {
            "*" => Principal::Everyone,
            name => Principal::Aws(name),
        },
        kind if kind.eq_ignore_ascii_case("Service") => Principal::Service(name),
        kind if kind.eq_ignore_ascii_case("Federated") => Principal::Federated(name),
        _ => Principal::Other(name),
    }
}

fn read_actions<'p>(statement: &'p Value<'_>, names: &ActionNames<'_>) -> Option<Actions<'p>> {
    let (value, is_negated) = match element(statement, "Action") {
        Value::Null => (element(statement, "NotAction"), true),
        value => (value, false),
    };
    let mut patterns = texts(value);
    patterns.sort_unstable();
    patterns.dedup();
    let matched = patterns.iter().fold(0, |bits, pattern| bits | names.matched(pattern));
    let covered = if is_negated { names.all() & !matched } else { matched };
    (!patterns.is_empty()).then_some(Actions { is_negated, patterns, covered })
}

static NULL: Value<'static> = Value::Null;

/// The element `name` of a statement. KMS itself wants the exact case; an attempt that it refused is still readable.
pub(super) fn element<'p>(value: &'p Value<'p>, name: &str) -> &'p Value<'p> {
    let members = value.members().iter().rev();
    members.into_iter().find(|(member, _)| member.eq_ignore_ascii_case(name)).map_or(&NULL, |(_, value)| value)
}

/// The texts of one text or a list of them, with numbers and truth values as texts; other kinds are left out.
pub(in crate::normalize) fn texts<'p>(value: &'p Value<'_>) -> Vec<&'p str> {
    let one = |value: &'p Value<'_>| match value {
        Value::String(text) => Some(text.as_ref()),
        Value::Number(text) => Some(*text),
        Value::Boolean(true) => Some("true"),
        Value::Boolean(false) => Some("false"),
        _ => None,
    };
    match value {
        Value::Array(array) => array.items.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    }
}

/// True when `text` holds a wildcard of the policy language.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// True when `pattern`, with `*` for any run of characters and `?` for one, matches `text` whole. Case does not count: it
/// does not in actions, and ARNs that differ in case alone name nothing else. Takes at most the product of the lengths.
pub(super) fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut retry = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
            }
            Some(other) if *other == b'?' || other.eq_ignore_ascii_case(byte) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                p = after_star;
                t = from + 1;
                retry = Some((p, t));
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
