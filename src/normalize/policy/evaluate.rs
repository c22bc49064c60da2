//! Judges a policy: is it public, whom does it let in from outside, and can its owner still change it.
//!
//! In: the statements that apply to the key. Out: the answers. An action counts as open when some Allow opens it to
//! strangers and no Deny closes it again, action by action: a Deny for `kms:Decrypt` does not excuse an Allow for
//! `kms:CreateGrant`. PutKeyPolicy cannot be called from another account (KMS Developer
//! Guide, "Allowing users in other accounts to use a KMS key"), so a policy that allows it to nobody of the owner's account
//! is final.

use super::condition::{hit_every_stranger, keep_strangers_out};
use super::statement::{Effect, Principal, Statement, put_key_policy_bit};
use std::collections::BTreeSet;

/// True when strangers are allowed some KMS action.
pub(super) fn is_public(statements: &[Statement<'_>]) -> bool {
    let (mut open, mut closed) = (0, 0);
    for statement in statements.iter().filter(|statement| statement.principals.is_everyone()) {
        let conditions = &statement.conditions;
        match statement.effect {
            Effect::Allow if !keep_strangers_out(conditions) => open |= statement.actions.covered,
            Effect::Deny if conditions.is_empty() || hit_every_stranger(conditions) => {
                closed |= statement.actions.covered;
            }
            _ => {}
        }
    }
    open & !closed != 0
}

/// The accounts other than `owner` that an Allow of some KMS action names, as principals or, for everybody, in a
/// condition on the caller's account or ARN.
pub(super) fn external_accounts<'p>(statements: &[Statement<'p>], owner: &str) -> BTreeSet<&'p str> {
    let mut accounts = BTreeSet::new();
    for statement in statements {
        if statement.effect != Effect::Allow || statement.actions.covered == 0 {
            continue;
        }
        if statement.principals.is_everyone() {
            accounts.extend(statement.conditions.iter().flat_map(|condition| condition.accounts()));
        }
        if !statement.principals.is_negated {
            accounts.extend(statement.principals.names.iter().filter_map(Principal::account));
        }
    }
    accounts.remove(owner);
    accounts
}

/// True when nobody of the account `owner` is allowed PutKeyPolicy any more, or only the caller's own session, which
/// ends. Conditions count only when they hold for no caller of that account (an Allow) or for all of them (a Deny).
pub(super) fn locks_out_owner(statements: &[Statement<'_>], owner: &str, caller_arn: Option<&str>) -> bool {
    let about = statements.iter().filter(|statement| statement.actions.covered & put_key_policy_bit() != 0);
    let is_of_owner = |name: &&Principal<'_>| name.account() == Some(owner);
    let is_callers_session =
        |name: &Principal<'_>| matches!(*name, Principal::Aws(arn) if Some(arn) == caller_arn && is_session(arn));
    let mut is_anybody_allowed = false;
    let (mut allowed, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for statement in about {
        let names = &statement.principals.names;
        let is_everyone = statement.principals.is_everyone();
        let mut answers = statement.conditions.iter().map(|condition| condition.holds_for(owner));
        match statement.effect {
            Effect::Allow if answers.any(|answer| answer == Some(false)) => {}
            Effect::Allow if is_everyone => {
                let excepted = names.iter().filter(is_of_owner).any(Principal::is_whole_account);
                is_anybody_allowed |= !(statement.principals.is_negated && excepted);
            }
            Effect::Allow if statement.principals.is_negated => {}
            Effect::Allow => allowed.extend(names.iter().filter(is_of_owner)),
            Effect::Deny if answers.any(|answer| answer != Some(true)) => {}
            // For everybody, or for everybody but strangers.
            Effect::Deny if is_everyone => {
                let mut spared = names.iter().filter(|name| statement.principals.is_negated && is_of_owner(name));
                if spared.all(is_callers_session) {
                    return true;
                }
            }
            Effect::Deny if statement.principals.is_negated => {}
            Effect::Deny => denied.extend(names.iter().filter(is_of_owner)),
        }
    }
    // To deny an account is to deny all of its users and roles.
    if denied.iter().any(|name: &&Principal<'_>| name.is_whole_account()) {
        return true;
    }
    let mut left = allowed.difference(&denied);
    !is_anybody_allowed && left.all(|name| is_callers_session(name))
}

fn is_session(arn: &str) -> bool {
    arn.contains(":assumed-role/") || arn.contains(":federated-user/")
}
