//! The text of one CloudTrail record, in the member order CloudTrail itself uses.
//!
//! In: the parts of a record, those with inner structure already as JSON text. Out: the record appended to a buffer.
//! Written by hand instead of through `serde_json`, because the corpus generator makes millions of them, and because the
//! order of a `serde_json` object depends on a feature that any other crate in the build may switch on. The fields are
//! those of the AWS CloudTrail User Guide, "CloudTrail record contents".

use crate::clock::push_time;

/// One record. Fields whose text may be empty are left out of the record then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record<'a> {
    /// `userIdentity`, JSON.
    pub(crate) identity: &'a str,
    /// Seconds since 1970.
    pub(crate) time: i64,
    /// Service name without `.amazonaws.com`.
    pub(crate) service: &'a str,
    /// `eventName`.
    pub(crate) name: &'a str,
    /// `awsRegion`.
    pub(crate) region: &'a str,
    /// `sourceIPAddress`: an address, a service or `AWS Internal`.
    pub(crate) address: &'a str,
    /// `userAgent`.
    pub(crate) agent: &'a str,
    /// `errorCode`; may be empty.
    pub(crate) error_code: &'a str,
    /// `errorMessage`, JSON string; may be empty.
    pub(crate) error_message: &'a str,
    /// `requestParameters`, JSON or `null`.
    pub(crate) request: &'a str,
    /// `responseElements`, JSON or `null`.
    pub(crate) response: &'a str,
    /// `additionalEventData`, JSON; may be empty.
    pub(crate) additional: &'a str,
    /// `requestID`; may be empty, as in records of KMS's own doings.
    pub(crate) request_id: &'a str,
    /// `eventID`.
    pub(crate) event_id: &'a str,
    /// `readOnly`.
    pub(crate) read_only: bool,
    /// `resources`, JSON; may be empty.
    pub(crate) resources: &'a str,
    /// `eventType`.
    pub(crate) event_type: &'a str,
    /// A data event (S3 objects), not a management event.
    pub(crate) is_data: bool,
    /// `recipientAccountId`: whose copy this is.
    pub(crate) account: &'a str,
    /// `sharedEventID`; may be empty.
    pub(crate) shared_event_id: &'a str,
    /// `serviceEventDetails`, JSON; may be empty.
    pub(crate) service_details: &'a str,
    /// `vpcEndpointId`; may be empty.
    pub(crate) vpc_endpoint: &'a str,
    /// `addendum`, JSON; may be empty.
    pub(crate) addendum: &'a str,
    /// The host header of a caller that spoke TLS to AWS itself; empty when a service called for it.
    pub(crate) tls_host: &'a str,
}

impl Record<'_> {
    /// Appends the record's JSON.
    pub(crate) fn write(&self, out: &mut String) {
        let text = |out: &mut String, name: &str, value: &str| {
            for part in ["\"", name, "\":\"", value, "\","] {
                out.push_str(part);
            }
        };
        let json = |out: &mut String, name: &str, value: &str| {
            for part in ["\"", name, "\":", value, ","] {
                out.push_str(part);
            }
        };
        let optional = |out: &mut String, write: &dyn Fn(&mut String, &str, &str), name: &str, value: &str| {
            if !value.is_empty() {
                write(out, name, value);
            }
        };
        out.push_str("{\"eventVersion\":\"1.11\",");
        json(out, "userIdentity", self.identity);
        out.push_str("\"eventTime\":\"");
        push_time(self.time, out);
        out.push_str("\",\"eventSource\":\"");
        out.push_str(self.service);
        out.push_str(".amazonaws.com\",");
        text(out, "eventName", self.name);
        text(out, "awsRegion", self.region);
        text(out, "sourceIPAddress", self.address);
        text(out, "userAgent", self.agent);
        optional(out, &text, "errorCode", self.error_code);
        optional(out, &json, "errorMessage", self.error_message);
        json(out, "requestParameters", self.request);
        json(out, "responseElements", self.response);
        optional(out, &json, "additionalEventData", self.additional);
        optional(out, &text, "requestID", self.request_id);
        text(out, "eventID", self.event_id);
        json(out, "readOnly", if self.read_only { "true" } else { "false" });
        optional(out, &json, "resources", self.resources);
        text(out, "eventType", self.event_type);
        json(out, "managementEvent", if self.is_data { "false" } else { "true" });
        text(out, "recipientAccountId", self.account);
        optional(out, &text, "sharedEventID", self.shared_event_id);
        optional(out, &json, "serviceEventDetails", self.service_details);
        optional(out, &text, "vpcEndpointId", self.vpc_endpoint);
        optional(out, &json, "addendum", self.addendum);
        out.push_str(if self.is_data { "\"eventCategory\":\"Data\"" } else { "\"eventCategory\":\"Management\"" });
        if !self.tls_host.is_empty() {
            out.push_str(",\"tlsDetails\":{\"tlsVersion\":\"TLSv1.3\",\"cipherSuite\":\"TLS_AES_128_GCM_SHA256\",");
            out.push_str("\"clientProvidedHostHeader\":\"");
            out.push_str(self.tls_host);
            out.push_str("\"}");
        }
        out.push('}');
    }
}

/// A role session, as it stands in `userIdentity`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<'a> {
    /// Account of the role.
    pub(crate) account: &'a str,
    /// Path of the role with slashes at both ends, `/` for none.
    pub(crate) path: &'a str,
    /// Role name.
    pub(crate) role: &'a str,
    /// The role's unique id, `AROA...`.
    pub(crate) role_id: &'a str,
    /// Session name.
    pub(crate) session: &'a str,
    /// Access key id, `ASIA...`; may be empty.
    pub(crate) access_key: &'a str,
    /// When the session began, seconds since 1970.
    pub(crate) since: i64,
    /// `invokedBy`; may be empty.
    pub(crate) via: &'a str,
}

impl Session<'_> {
    /// Appends the `userIdentity` JSON.
    pub(crate) fn write(&self, out: &mut String) {
        let Session { account, path, role, role_id, session, access_key, since, via } = *self;
        for part in [
            "{\"type\":\"AssumedRole\",\"principalId\":\"",
            role_id,
            ":",
            session,
            "\",\"arn\":\"arn:aws:sts::",
            account,
            ":assumed-role/",
            role,
            "/",
            session,
            "\",\"accountId\":\"",
            account,
        ] {
            out.push_str(part);
        }
        if !access_key.is_empty() {
            out.push_str("\",\"accessKeyId\":\"");
            out.push_str(access_key);
        }
        for part in [
            "\",\"sessionContext\":{\"sessionIssuer\":{\"type\":\"Role\",\"principalId\":\"",
            role_id,
            "\",\"arn\":\"arn:aws:iam::",
            account,
            ":role",
            path,
            role,
            "\",\"accountId\":\"",
            account,
            "\",\"userName\":\"",
            role,
            "\"},\"attributes\":{\"creationDate\":\"",
        ] {
            out.push_str(part);
        }
        push_time(since, out);
        out.push_str("\",\"mfaAuthenticated\":\"false\"}}");
        if !via.is_empty() {
            out.push_str(",\"invokedBy\":\"");
            out.push_str(via);
            out.push('"');
        }
        out.push('}');
    }
}

/// `resources` with one KMS key.
pub(crate) fn key_resource(account: &str, arn: &str) -> String {
    format!("[{{\"accountId\":\"{account}\",\"type\":\"AWS::KMS::Key\",\"ARN\":\"{arn}\"}}]")
}
