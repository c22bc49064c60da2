//! What a key policy says: who may do what, whether that is everybody, and whether the owner can still change it.
//!
//! In: CreateKey, PutKeyPolicy and ReplicateKey, and the IAM calls that carry a policy ([`iam`]), successful or not. Out:
//! the policy columns and the rows of `policy_entries`. The policy is JSON inside a string, written by whoever made the call: what cannot be read leaves the
//! columns NULL, which is "unknown" and never "harmless". Only the key policy itself is judged: grants, IAM policies and
//! the service control policies of the organization are other records or no records at all.
//!
//! Deliberately absent: full IAM evaluation. Conditions are judged only by what they say about the caller's account,
//! organization, identity or network; a condition on time, MFA or encryption context neither fences a wildcard nor locks
//! an owner out.

mod statement;
mod condition;
mod evaluate;
mod iam;

#[cfg(test)]
mod tests;

pub(super) use statement::texts;

use super::identity::is_omitted;
use crate::json::{self, Value};
use crate::schema::{Event, PolicyEntry, Text};
use statement::{Effect, Statement, read_statements};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// 4 MiB of rows from one policy. A policy of 32 KiB, the most that KMS takes (PutKeyPolicy API reference), stays far
/// below; lists made to multiply do not. The column `policy` has the whole text in any case.
const MAX_ENTRY_BYTES: usize = 4 << 20;

/// Sets the policy columns and the rows of `policy_entries`. The event's name and source, its key and its caller must be
/// set.
pub(super) fn apply<'a>(event: &mut Event<'a>, record: &Value<'a>) {
    if event.event_source.as_deref() == Some("iam.amazonaws.com") {
        iam::apply(event, record);
        return;
    }
    let name = event.event_name.as_deref().unwrap_or_default();
    if !matches!(name, "CreateKey" | "PutKeyPolicy" | "ReplicateKey")
        || event.event_source.as_deref() != Some("kms.amazonaws.com")
    {
        return;
    }
    let (has_default, is_replica) = (name != "PutKeyPolicy", name == "ReplicateKey");
    let request = record.get("requestParameters");
    // A refused call is logged without parameters: what it asked for is unknown.
    let is_request_known = matches!(request, Value::Object(_)) && !is_omitted(request);
    let bypass = request.get("bypassPolicyLockoutSafetyCheck").as_bool();
    event.policy_bypasses_lockout = bypass.or(is_request_known.then_some(false));
    let mut policy = request.get("policy");
    if policy.is_null() && is_replica {
        policy = record.get("responseElements").get("replicaPolicy");
    }
    match policy {
        Value::String(text) => {
            if let Ok(document) = json::parse(text) {
                read_policy(event, &document, is_replica);
            }
        }
        // Exports that unwrap JSON in strings.
        Value::Object(_) => read_policy(event, policy, is_replica),
        // Without a policy KMS attaches the default one, which names the owner alone (CreateKey API reference).
        Value::Null if has_default && is_request_known => {
            event.policy_is_public = Some(false);
            event.policy_locks_out_owner = Some(false);
        }
        _ => {}
    }
}

fn read_policy(event: &mut Event<'_>, document: &Value<'_>, is_replica: bool) {
    if !matches!(document, Value::Object(_)) {
        return;
    }
    event.policy = Some(Cow::Owned(document.canonical()));
    let key_arn = if is_replica { &event.target_key_arn } else { &event.key_arn };
    let Some(statements) = read_statements(document, key_arn.as_deref()) else { return };
    let owner = event.key_account_id.as_deref().or(event.account_id.as_deref());
    let caller = event.principal_arn.as_deref();
    let is_public = evaluate::is_public(&statements);
    let external = owner.map(|owner| evaluate::external_accounts(&statements, owner));
    let locks_out = owner.map(|owner| evaluate::locks_out_owner(&statements, owner, caller));
    event.policy_is_public = Some(is_public);
    event.policy_external_accounts = external.and_then(comma_separated);
    event.policy_locks_out_owner = locks_out;
    event.policy_entries = entries(&statements);
}

/// The texts, sorted and comma-separated; `None` when there are none.
fn comma_separated<'a>(texts: BTreeSet<&str>) -> Text<'a> {
    (!texts.is_empty()).then(|| Cow::Owned(texts.into_iter().collect::<Vec<_>>().join(",")))
}

/// One row per principal and action, sorted and without repetition.
fn entries<'a>(statements: &[Statement<'_>]) -> Vec<PolicyEntry<'a>> {
    let mut rows = BTreeSet::new();
    let mut bytes = 0;
    for statement in statements {
        let condition_keys = comma_separated(statement.conditions.iter().map(|condition| condition.key).collect());
        let keys_length = condition_keys.as_deref().map_or(0, str::len);
        let principal_mark = if statement.principals.is_negated { "!" } else { "" };
        let action_mark = if statement.actions.is_negated { "!" } else { "" };
        for name in &statement.principals.names {
            let principal = format!("{principal_mark}{}", name.written());
            for action in &statement.actions.patterns {
                bytes += size_of::<PolicyEntry<'_>>() + principal.len() + action.len() + keys_length;
                if bytes > MAX_ENTRY_BYTES {
                    return rows.into_iter().collect();
                }
                rows.insert(PolicyEntry {
                    effect: Cow::Borrowed(if statement.effect == Effect::Allow { "Allow" } else { "Deny" }),
                    principal: Cow::Owned(principal.clone()),
                    principal_account_id: name.account().map(|account| Cow::Owned(account.to_owned())),
                    action: Cow::Owned(format!("{action_mark}{action}")),
                    resource: None,
                    is_conditioned: !statement.conditions.is_empty(),
                    condition_keys: condition_keys.clone(),
                });
            }
        }
    }
    rows.into_iter().collect()
}
