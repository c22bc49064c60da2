//! How a call ended.
//!
//! In: `errorCode`, `errorMessage`. Out: ok, denied, throttled or failed, why a key was unusable, and what a denial says
//! about itself. A denied KMS record usually has neither parameters nor resources, so its message is the only evidence of
//! what was attempted, on which key, by whom. Success is an absent or empty `errorCode`; a message without a code is not a
//! failure. Messages are AWS's prose and may change: whatever does not parse leaves its column NULL.

use super::fields::{Fields, part_of, scalar};
use crate::json::Value;
use crate::schema::{Event, Text};
use std::borrow::Cow;

/// Sets the outcome columns and `is_dry_run`.
pub(super) fn apply<'a>(event: &mut Event<'a>, fields: &Fields<'_, 'a>, is_kms: bool) {
    event.error_code = scalar(fields.error_code);
    event.error_message = fields.error_message.text();
    let asked_dry_run = fields.request.get("dryRun").as_bool() == Some(true);
    let Some(code) = event.error_code.as_deref() else {
        event.outcome = Some(Cow::Borrowed("ok"));
        event.is_dry_run = is_kms.then_some(asked_dry_run);
        return;
    };
    let name = exception_name(code);
    let outcome = outcome_of(name);
    event.outcome = Some(Cow::Borrowed(outcome));
    if is_kms {
        event.is_dry_run = Some(asked_dry_run || name.eq_ignore_ascii_case("DryRunOperation"));
        event.key_state_error = key_state(name, event.error_message.as_deref()).map(Cow::Borrowed);
    }
    if outcome == "denied" {
        event.denied_action = event.error_message.as_ref().and_then(denied_action);
    }
}

/// The exception's bare name: without a service prefix (`KMS.`, `kms:`, `Client.`) and without the suffix `Exception`.
fn exception_name(code: &str) -> &str {
    let name = code.trim().rsplit(['.', ':', '#']).next().unwrap_or(code);
    name.strip_suffix("Exception").unwrap_or(name)
}

/// Codes by which services refuse a caller. KMS writes `AccessDenied`, its SDK exception is `AccessDeniedException`, and
/// a VPC endpoint policy gives `VpceAccessDenied`; the others are those of the adjacent services.
const DENIED: &[&str] = &[
    "AccessDenied",
    "VpceAccessDenied",
    "UnauthorizedOperation",
    "Unauthorized",
    "UnauthorizedAccess",
    "NotAuthorized",
    "AuthorizationError",
    "Forbidden",
];

/// Codes by which services ask a caller to slow down. `LimitExceeded` is not one: it is a quota of resources.
const THROTTLED: &[&str] = &[
    "Throttling",
    "Throttled",
    "RequestThrottled",
    "RequestLimitExceeded",
    "TooManyRequests",
    "RateExceeded",
    "SlowDown",
    "ProvisionedThroughputExceeded",
];

fn outcome_of(name: &str) -> &'static str {
    let is_one_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_one_of(DENIED) {
        "denied"
    } else if is_one_of(THROTTLED) {
        "throttled"
    } else {
        "failed"
    }
}

/// Why the key was unusable. Code and message must agree ("Key states of AWS KMS keys"): pending deletion comes under
/// either of two codes, and a denial may quote any text.
fn key_state(name: &str, message: Option<&str>) -> Option<&'static str> {
    let by_code = match name {
        name if name.eq_ignore_ascii_case("Disabled") => Some("disabled"),
        name if name.eq_ignore_ascii_case("KeyUnavailable") => Some("unavailable"),
        name if name.eq_ignore_ascii_case("KMSInvalidState") => None,
        _ => return None,
    };
    let message = message.unwrap_or_default().to_ascii_lowercase();
    // CancelKeyDeletion on a live key says "is not pending deletion", which is no reason why the key is unusable.
    const STATES: &[(&str, &str)] = &[
        ("is pending deletion", "pending_deletion"),
        ("is pending replica deletion", "pending_deletion"),
        ("is pending import", "pending_import"),
        ("is disabled", "disabled"),
        ("is unavailable", "unavailable"),
        ("is creating", "creating"),
        ("is updating", "updating"),
    ];
    STATES.iter().find(|(phrase, _)| message.contains(phrase)).map(|(_, state)| *state).or(by_code)
}

/// The IAM action in `User: ARN is not authorized to perform: kms:Decrypt on resource: ...`.
fn denied_action<'a>(message: &Cow<'a, str>) -> Text<'a> {
    let action = part_of(message, |message| {
        let rest = message.split_once("not authorized to perform: ").map_or("", |(_, rest)| rest);
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '*'))).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    });
    action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty()).then_some(action)
}

/// The principal that a denial names: `User: ARN is not authorized ...`.
pub(super) fn denied_principal<'a>(message: &Value<'a>) -> Text<'a> {
    let principal = part_of(&message.text()?, |message| {
        let rest = message.split_once("User: ").map_or("", |(_, rest)| rest);
        rest.split_once(" is not authorized").map_or("", |(principal, _)| principal)
    });
    (principal.starts_with("arn:") && !principal.contains(char::is_whitespace)).then_some(principal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    fn outcome(record: &str) -> Event<'_> {
        let value = json::parse(record).unwrap();
        let mut event = Event::default();
        apply(&mut event, &Fields::of(&value), true);
        event
    }

    #[test]
    fn every_spelling_of_a_denial_is_denied() {
        for code in [
            "AccessDenied",
            "AccessDeniedException",
            "KMS.AccessDeniedException",
            "kms:AccessDenied",
            "VpceAccessDenied",
            "Client.UnauthorizedOperation",
            "UnauthorizedOperation",
        ] {
            assert_eq!(outcome_of(exception_name(code)), "denied", "{code}");
        }
        for code in [
            "ThrottlingException",
            "Throttling",
            "KMS.ThrottlingException",
            "Client.RequestLimitExceeded",
            "TooManyRequestsException",
        ] {
            assert_eq!(outcome_of(exception_name(code)), "throttled", "{code}");
        }
        // A failed verification is an error record, a quota is no throttle, a disabled key is no denial.
        for code in [
            "KMSInvalidSignatureException",
            "LimitExceededException",
            "DisabledException",
            "NotFoundException",
            "DryRunOperationException",
            "AccessDeniedByNobody",
            "Exception",
            ".",
            "kms:",
        ] {
            assert_eq!(outcome_of(exception_name(code)), "failed", "{code}");
        }
    }

    #[test]
    fn success_is_an_absent_or_empty_code() {
        for record in ["{}", r#"{"errorCode":null}"#, r#"{"errorCode":""}"#, r#"{"errorMessage":"odd"}"#] {
            assert_eq!(outcome(record).outcome.as_deref(), Some("ok"), "{record}");
        }
        let odd = outcome(r#"{"errorCode":403}"#);
        assert_eq!((odd.outcome.as_deref(), odd.error_code.as_deref()), (Some("failed"), Some("403")));
    }

    #[test]
    fn a_dry_run_is_marked_by_its_code_or_its_parameter() {
        for (record, expected) in [
            (r#"{"errorCode":"DryRunOperationException"}"#, true),
            (r#"{"errorCode":"KMS.DryRunOperation"}"#, true),
            (r#"{"errorCode":"AccessDenied","requestParameters":{"dryRun":true}}"#, true),
            (r#"{"errorCode":"AccessDenied","requestParameters":{"dryRun":false}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(outcome(record).is_dry_run, Some(expected), "{record}");
        }
    }

    #[test]
    fn an_unusable_key_needs_code_and_message() {
        for (code, message, expected) in [
            ("DisabledException", "arn:aws:kms:us-east-1:111122223333:key/k is disabled.", Some("disabled")),
            (
                "DisabledException",
                "arn:aws:kms:us-east-1:111122223333:key/k is pending deletion.",
                Some("pending_deletion"),
            ),
            ("KMSInvalidStateException", "arn:k is pending deletion.", Some("pending_deletion")),
            ("KMSInvalidState", "arn:k is pending import.", Some("pending_import")),
            ("KMSInvalidStateException", "arn:k is unavailable.", Some("unavailable")),
            ("KMSInvalidStateException", "arn:k is creating.", Some("creating")),
            ("KMSInvalidStateException", "arn:k is updating.", Some("updating")),
            ("KMSInvalidStateException", "arn:k is not pending deletion.", None),
            ("KMSInvalidStateException", "The external key store proxy rejected the request", None),
            ("KMSInvalidStateException", "", None),
            ("DisabledException", "", Some("disabled")),
            ("KeyUnavailableException", "", Some("unavailable")),
            ("AccessDenied", "arn:k is disabled.", None),
        ] {
            assert_eq!(key_state(exception_name(code), Some(message)), expected, "{code} {message}");
        }
    }

    #[test]
    fn a_denial_names_action_and_principal() {
        let user = "arn:aws:sts::111122223333:assumed-role/App/s";
        for (message, action, principal) in [
            (
                format!("User: {user} is not authorized to perform: kms:Decrypt on resource: arn:k because no"),
                Some("kms:Decrypt"),
                Some(user),
            ),
            (format!("User: {user} is not authorized to perform: kms:Decrypt"), Some("kms:Decrypt"), Some(user)),
            ("You are not authorized to perform: this".into(), None, None),
            ("The ciphertext refers to a customer master key that does not exist".into(), None, None),
            ("User: anonymous is not authorized to perform: kms:Sign on x".into(), Some("kms:Sign"), None),
        ] {
            let message = Cow::Borrowed(message.as_str());
            assert_eq!(denied_action(&message).as_deref(), action, "{message}");
            assert_eq!(denied_principal(&Value::String(message.clone())).as_deref(), principal, "{message}");
        }
    }
}
