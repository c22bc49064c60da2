//! Who called.
//!
//! In: `userIdentity`, and `sourceIPAddress` for calls that a service made. Out: the principal columns. One principal has
//! one name whatever session it used: sessions become their role's ARN, services lose their Region label. What a call was
//! made *through* (`via`) stays beside the name and is never merged into it. Nothing is made up: a role ARN without its
//! path is written with `*` for the path, because policies and grants name the full path.

use super::fields::{Fields, IdentityFields, part_of, scalar};
use super::outcome::denied_principal;
use crate::json::Value;
use crate::schema::{Event, Text};
use std::borrow::Cow;

/// Sets the principal columns. `source_service` must be set.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>) {
    let identity = IdentityFields::of(fields.user_identity);
    let issuer = IdentityFields::of(identity.session_context.get("sessionIssuer"));
    event.principal_type = identity.kind.text();
    event.principal_arn = identity.arn.text();
    event.principal_id = identity.principal_id.text();
    event.access_key_id = identity.access_key_id.text();
    event.principal_account_id = scalar(identity.account_id)
        .or_else(|| event.principal_arn.as_ref().and_then(account_of_arn))
        .or_else(|| scalar(issuer.account_id));
    event.source_identity = identity.session_context.get("sourceIdentity").text();
    event.mfa = identity.session_context.get("attributes").get("mfaAuthenticated").as_bool();
    event.session_name = session_name(event);
    event.via = identity.invoked_by.text().or_else(|| event.source_service.clone()).map(service_name);
    event.is_direct = Some(event.via.is_none());
    event.principal = canonical_principal(event, &identity, &issuer)
        .or_else(|| any_principal(event, &identity))
        .or_else(|| denied_principal(fields.error_message).map(|arn| role_of_session(&arn).unwrap_or(arn)));
}

/// The principal by the rule for its type; `None` when the fields that rule needs are missing.
fn canonical_principal<'a>(
    event: &Event<'a>,
    identity: &IdentityFields<'_, 'a>,
    issuer: &IdentityFields<'_, 'a>,
) -> Text<'a> {
    match event.principal_type.as_deref() {
        // Events that KMS itself writes (RotateKey, DeleteKey) have no type, and no ARN.
        None if identity.invoked_by.is_null() || event.principal_arn.is_some() => None,
        None | Some("AWSService") => event.via.as_deref().map(service_principal),
        Some("AssumedRole" | "Role") => {
            issuer.arn.text().or_else(|| role_of_session(event.principal_arn.as_ref()?)).or_else(|| {
                let (account, name) = (scalar(issuer.account_id)?, issuer.user_name.text()?);
                Some(role_without_path("aws", &account, &name))
            })
        }
        Some("AWSAccount") => {
            let account = event.principal_account_id.as_deref()?;
            Some(account_principal(account, event.principal_id.as_deref().map(id_without_session)))
        }
        Some("IdentityCenterUser") => {
            let (store, user) = (identity.on_behalf_of.get("identityStoreArn"), identity.on_behalf_of.get("userId"));
            Some(Cow::Owned([store.text()?.as_ref(), "/", user.text()?.as_ref()].concat()))
        }
        Some("SAMLUser" | "WebIdentityUser") => {
            let (provider, user) = (identity.identity_provider.text()?, identity.user_name.text()?);
            Some(Cow::Owned([provider.as_ref(), "/", user.as_ref()].concat()))
        }
        Some(_) => event.principal_arn.clone(),
    }
}

/// What else can name the caller, best first: the ARN, the account with a name or id in it, an id alone, the service.
fn any_principal<'a>(event: &Event<'a>, identity: &IdentityFields<'_, 'a>) -> Text<'a> {
    if event.principal_arn.is_some() {
        return event.principal_arn.clone();
    }
    let id = || event.principal_id.as_ref().map(|id| part_of(id, id_without_session));
    let name = identity.user_name.text().or_else(id);
    if let Some(account) = event.principal_account_id.as_deref() {
        return Some(account_principal(account, name.as_deref()));
    }
    name.or_else(|| event.via.as_deref().map(service_principal))
}

fn service_principal<'a>(service: &str) -> Cow<'a, str> {
    Cow::Owned(["service:", service].concat())
}

fn account_principal<'a>(account: &str, name: Option<&str>) -> Cow<'a, str> {
    Cow::Owned(match name {
        Some(name) => ["account:", account, "/", name].concat(),
        None => ["account:", account].concat(),
    })
}

/// The role behind `arn:aws:sts::A:assumed-role/Name/Session`, whose path that ARN does not tell.
fn role_of_session<'a>(arn: &str) -> Text<'a> {
    let mut parts = arn.splitn(6, ':');
    let (Some("arn"), Some(partition), Some("sts"), Some(_), Some(account)) =
        (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let session = parts.next()?.strip_prefix("assumed-role/")?;
    let role = session.rsplit_once('/').map_or(session, |(role, _)| role);
    (!role.is_empty()).then(|| role_without_path(partition, account, role))
}

fn role_without_path<'a>(partition: &str, account: &str, name: &str) -> Cow<'a, str> {
    Cow::Owned(["arn:", partition, ":iam::", account, ":role/*/", name].concat())
}

/// A role's id and its session's name, from a principal id `AROA...:Session`. Other ids may have colons of their own: a
/// federated user is `ACCOUNT:Name`.
fn role_session(id: &str) -> Option<(&str, &str)> {
    id.split_once(':').filter(|_| id.starts_with("AROA"))
}

fn id_without_session(id: &str) -> &str {
    role_session(id).map_or(id, |(role, _)| role)
}

/// The role session name: the end of an assumed-role ARN, else of a principal id `AROA...:Session`.
fn session_name<'a>(event: &Event<'a>) -> Text<'a> {
    if let Some(arn) = event.principal_arn.as_ref().filter(|arn| arn.contains(":assumed-role/")) {
        return Some(part_of(arn, |arn| arn.rsplit_once('/').map_or("", |(_, name)| name)));
    }
    let id = event.principal_id.as_ref().filter(|id| role_session(id).is_some())?;
    Some(part_of(id, |id| role_session(id).map_or("", |(_, name)| name)))
}

/// The account field of an ARN, when it is an account.
pub(super) fn account_of_arn<'a>(arn: &Cow<'a, str>) -> Text<'a> {
    let account = part_of(arn, |arn| arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(3)).unwrap_or(""));
    is_account_id(&account).then_some(account)
}

/// True for twelve digits.
pub(super) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A service's one name: `workmail.eu-west-1.amazonaws.com` is `workmail.amazonaws.com`, `AWS Internal/3` (and the China
/// Regions' `Amazon Internal`) is `AWS Internal`.
pub(super) fn service_name(service: Cow<'_, str>) -> Cow<'_, str> {
    let name = service.split('/').next().unwrap_or_default();
    if name == "AWS Internal" || name == "Amazon Internal" {
        return Cow::Borrowed("AWS Internal");
    }
    if service.contains('-') && service.split('.').any(is_region) {
        let labels: Vec<&str> = service.split('.').filter(|label| !is_region(label)).collect();
        return Cow::Owned(labels.join("."));
    }
    service
}

/// True for names like `us-east-1`, `us-gov-west-1`, `eu-isoe-west-1`: two or three words and a number.
pub(super) fn is_region(label: &str) -> bool {
    let Some((words, number)) = label.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (2..=3).contains(&words.split('-').count())
        && words.split('-').all(is_word)
}

/// True when a text names an AWS service and can name nothing else: IAM names may end in `.amazonaws.com` too, but an ARN
/// has a colon.
pub(super) fn is_service_principal(name: &str) -> bool {
    let is_domain = name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn");
    (is_domain && !name.contains([':', '/'])) || name == "AWS Internal" || name == "Amazon Internal"
}

/// True when the call's parameters were left out of the record because they were too large.
pub(super) fn is_omitted(parameters: &Value<'_>) -> bool {
    parameters.get("omitted").as_bool() == Some(true)
}
