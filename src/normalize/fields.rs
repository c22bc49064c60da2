//! A record's members, found in one pass.
//!
//! In: one record as a JSON tree. Out: references to the members that normalizing reads. Asking the tree for each name in
//! turn would walk the record forty times; these structs walk it once. Deliberately absent: any interpretation, and any
//! demand that a member exists or has a type: what is missing is `null`.

use crate::json::Value;
use crate::schema::Text;
use std::borrow::Cow;

static NULL: Value<'static> = Value::Null;

macro_rules! members {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $member:literal,)* }) => {
        $(#[$doc])*
        pub(super) struct $name<'r, 'a> {
            $(pub(super) $field: &'r Value<'a>,)*
        }

        impl<'r, 'a> $name<'r, 'a> {
            /// Finds the members of `value`; of two with one name the last counts, as everywhere.
            pub(super) fn of(value: &'r Value<'a>) -> Self {
                let mut found = $name { $($field: &NULL,)* };
                for (name, member) in value.members() {
                    match name.as_ref() {
                        $($member => found.$field = member,)*
                        _ => {}
                    }
                }
                found
            }
        }
    };
}

members! {
    /// The members of a record that normalizing reads.
    Fields {
        event_version: "eventVersion",
        user_identity: "userIdentity",
        event_time: "eventTime",
        event_source: "eventSource",
        event_name: "eventName",
        region: "awsRegion",
        source_address: "sourceIPAddress",
        user_agent: "userAgent",
        error_code: "errorCode",
        error_message: "errorMessage",
        request: "requestParameters",
        response: "responseElements",
        additional: "additionalEventData",
        service_details: "serviceEventDetails",
        request_id: "requestID",
        event_id: "eventID",
        read_only: "readOnly",
        resources: "resources",
        event_type: "eventType",
        recipient_account: "recipientAccountId",
        shared_event_id: "sharedEventID",
        vpc_endpoint_id: "vpcEndpointId",
        tls_details: "tlsDetails",
        event_category: "eventCategory",
    }
}

members! {
    /// The members of `userIdentity` that normalizing reads.
    IdentityFields {
        kind: "type",
        principal_id: "principalId",
        arn: "arn",
        account_id: "accountId",
        access_key_id: "accessKeyId",
        user_name: "userName",
        invoked_by: "invokedBy",
        session_context: "sessionContext",
        identity_provider: "identityProvider",
        on_behalf_of: "onBehalfOf",
    }
}

/// The text of a non-empty string, or of a number: re-saved exports turn account ids into numbers.
pub(super) fn scalar<'a>(value: &Value<'a>) -> Text<'a> {
    match value {
        Value::Number(text) => Some(Cow::Borrowed(text)),
        other => other.text(),
    }
}

/// The JSON text of an object or array as received, or the text of a scalar; `None` for `null`.
pub(super) fn raw_text<'a>(value: &Value<'a>) -> Text<'a> {
    value.raw().map(Cow::Borrowed).or_else(|| scalar(value))
}

/// What `part` cuts out of `text`: borrowed from the record when `text` is.
pub(super) fn part_of<'a>(text: &Cow<'a, str>, part: impl FnOnce(&str) -> &str) -> Cow<'a, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(part(text)),
        Cow::Owned(text) => Cow::Owned(part(text).to_owned()),
    }
}

/// The first member of `value` under one of `names` that is a non-empty string.
pub(super) fn first_text<'a>(value: &Value<'a>, names: &[&str]) -> Text<'a> {
    names.iter().find_map(|name| value.get(name).text())
}
