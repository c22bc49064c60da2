//! The night of 16 October: a stranger with an instance's credentials, then with a forgotten user's key; the morning after,
//! in which the key custodian repairs what she finds; and the next night. `night.rs` has the scenes between these.
//!
//! In: the tape. Out: the calls that the detections must find. STORY.md tells them in prose, with the same times.

use crate::background::{open_ledger, open_manifest, read_parameter, read_secret, s3_decrypt};
use crate::call::{Call, Tape, access_key_of, object, october, text};
use crate::cast::{
    CUCKOO, DISKS, DISPATCH, DISPATCH_STOLEN, FAX, LEDGER, LOCAL_TRAIL, MAGPIE, MANIFESTS, NEST, ODETTE, ORG_TRAIL,
    PROD, SHARE, TABLES, TELEMETRY, TERRAFORM_LEGACY, TERRAFORM_STOLEN, US, VAULT,
};
use crate::near_misses::{alias_call, create_key, grant, grant_id, policy, put_policy, share_policy, statement};

/// When the production account's own trail stopped seeing KMS, when it stopped, and when each ended.
pub(crate) const LOCAL_TRAIL_EXCLUDES_KMS: (&str, &str) = ("16 02:05:17", "16 09:21:09");
/// See [`LOCAL_TRAIL_EXCLUDES_KMS`].
pub(crate) const LOCAL_TRAIL_STOPPED: (&str, &str) = ("16 02:09:26", "16 09:22:03");

/// The whole attack and what followed.
pub(crate) fn happen(tape: &mut Tape) {
    rattle_the_doors(tape);
    empty_the_drawers(tape);
    try_the_key_ring(tape);
    put_out_the_lights(tape);
    leave_a_door_open(tape);
    invite_everyone(tape);
    lay_the_cuckoo_egg(tape);
    burn_the_manifests(tape);
    morning_after(tape);
    second_night(tape);
}

/// 01:12 the instance's credentials are tried: seven KMS actions on six keys are refused in five minutes.
fn rattle_the_doors(tape: &mut Tape) {
    let who = &DISPATCH_STOLEN;
    tape.add(Call::new("sts", "GetCallerIdentity", who, US, october("16 01:12:04")));
    let no_policy = |action: &str| format!("no identity-based policy allows the kms:{action} action");
    for (name, time) in [("ListKeys", "16 01:12:31"), ("ListAliases", "16 01:12:40")] {
        tape.add(Call::new("kms", name, who, US, october(time)).denied("*", &no_policy(name)));
    }
    for (place, key) in [&MANIFESTS, &LEDGER, &TELEMETRY, &SHARE, &DISKS, &TABLES].into_iter().enumerate() {
        let time = october("16 01:13:05") + 9 * i64::try_from(place).unwrap_or(0);
        tape.add(Call::kms("DescribeKey", who, key, time).denied(&key.arn(), &no_policy("DescribeKey")));
    }
    for (name, time) in [
        ("GetKeyPolicy", "16 01:15:12"),
        ("ListGrants", "16 01:15:40"),
        ("CreateGrant", "16 01:16:02"),
        ("PutKeyPolicy", "16 01:16:30"),
    ] {
        tape.add(Call::kms(name, who, &LEDGER, october(time)).denied(&LEDGER.arn(), &no_policy(name)));
    }
    tape.add(Call::new("secretsmanager", "ListSecrets", who, US, october("16 01:17:20")));
}

/// 01:26 what the role may open is opened, all of it, in eight and a half minutes: 26 secrets, 40 parameters, 60 scans in
/// S3 and 44 manifests. The role's usual hour has about ten.
fn empty_the_drawers(tape: &mut Tape) {
    let who = &DISPATCH_STOLEN;
    let names = ["database", "carrier-api", "harbor-master", "toll-gates", "payroll", "smtp", "webhooks"];
    let start = october("16 01:26:00");
    let mut step = 0;
    let mut next = || {
        step += 1;
        start + 3 * step
    };
    for number in 0..25 {
        let name = names.get(number % names.len()).copied().unwrap_or_default();
        let name = if number < names.len() {
            format!("prod/dispatch/{name}")
        } else {
            format!("prod/site-{number:02}/{name}")
        };
        read_secret(tape, who, &VAULT, &name, next());
    }
    read_secret(tape, who, &VAULT, "prod/terraform/legacy-user-access-key", next());
    for number in 0..40 {
        read_parameter(tape, who, &format!("/dispatch/depot-{number:02}/gate-code"), next());
    }
    for number in 0..60 {
        let scan = format!("arn:aws:s3:::larkspur-manifests/2025/10/MF-2025-{:05}.pdf", 12_000 + number);
        tape.add(s3_decrypt(who, &MANIFESTS, &scan, next()));
    }
    for number in 0..44 {
        tape.add(open_manifest(who, &MANIFESTS, 12_000 + number, next()));
    }
}

/// 01:52 one secret held the access key of a forgotten user, and that user may administer all keys.
fn try_the_key_ring(tape: &mut Tape) {
    let who = &TERRAFORM_STOLEN;
    tape.add(Call::new("sts", "GetCallerIdentity", who, US, october("16 01:52:10")));
    let asks = [("userName", text(who.name))];
    tape.add(Call::new("iam", "ListAttachedUserPolicies", who, US, october("16 01:52:41")).asks(&asks));
    tape.add(Call::new("kms", "ListAliases", who, US, october("16 01:53:20")));
    tape.add(Call::new("kms", "ListKeys", who, US, october("16 01:53:44")));
    for (place, key) in [&MANIFESTS, &LEDGER, &TELEMETRY, &SHARE, &FAX].into_iter().enumerate() {
        let time = october("16 01:54:02") + 7 * i64::try_from(place).unwrap_or(0);
        tape.add(Call::kms("DescribeKey", who, key, time).asks(&[("keyId", text(key.id))]));
    }
}

/// The selectors of the production account's own trail, with or without KMS.
fn selectors(excluded: &str) -> [(&'static str, String); 2] {
    let selectors = format!(
        "[{{\"readWriteType\":\"All\",\"includeManagementEvents\":true,\"dataResources\":[],\
         \"excludeManagementEventSources\":[{excluded}]}}]"
    );
    [("trailName", text("larkspur-prod-local")), ("eventSelectors", selectors)]
}

/// 02:03 the account's own trail is made blind to KMS and then stopped. The organization's trail is out of reach.
fn put_out_the_lights(tape: &mut Tape) {
    let call = |name, time| Call::new("cloudtrail", name, &TERRAFORM_STOLEN, US, october(time));
    tape.add(call("DescribeTrails", "16 02:03:05"));
    tape.add(call("GetEventSelectors", "16 02:03:40").asks(&[("trailName", text(LOCAL_TRAIL))]));
    let asks = selectors("\"kms.amazonaws.com\"");
    tape.add(call("PutEventSelectors", LOCAL_TRAIL_EXCLUDES_KMS.0).asks(&asks).answers(&asks));
    let because = "no identity-based policy allows the cloudtrail:StopLogging action";
    tape.add(call("StopLogging", "16 02:07:02").denied(ORG_TRAIL, because));
    tape.add(call("StopLogging", LOCAL_TRAIL_STOPPED.0).asks(&[("name", text(LOCAL_TRAIL))]));
}

/// A page of the ledger, opened from outside with the grant.
fn magpie_reads(tape: &mut Tape, month: &str, page: i64, time: i64) {
    tape.add_owner_copy(open_ledger(&MAGPIE, month, page, time));
}

/// 02:14 a grant for a role in the stranger's account, with nothing to bound it; 89 seconds later it is used.
fn leave_a_door_open(tape: &mut Tape) {
    let nest = format!("arn:aws:iam::{NEST}:role/magpie-nest");
    let operations = ["Decrypt", "GenerateDataKey", "DescribeKey", "CreateGrant"];
    let id = grant_id("0ddba11feed");
    tape.add(grant(&TERRAFORM_STOLEN, &LEDGER, &nest, &operations, "", &id, october("16 02:14:51")));
    for page in 0..12 {
        magpie_reads(tape, "2025-09", page, october("16 02:16:20") + 97 * page);
    }
}

/// 02:22 the key shared with the data account is shared with the world: the fence goes, the wildcard stays.
fn invite_everyone(tape: &mut Tape) {
    let open = policy(&[statement("Lakehouse", "Allow", "*", &["kms:Decrypt", "kms:DescribeKey"], "")]);
    tape.add(put_policy(&TERRAFORM_STOLEN, &SHARE, &open, false, october("16 02:22:33")));
}

/// 02:27 a new key, the manifests' alias on it, and a policy in which the owner stands for its name only: what the application
/// writes from here on, only the stranger can open.
fn lay_the_cuckoo_egg(tape: &mut Tape) {
    let who = &TERRAFORM_STOLEN;
    tape.add(create_key(who, &CUCKOO, "AWS_KMS", "dispatch manifests v2", october("16 02:27:58")));
    tape.add(alias_call("UpdateAlias", who, &MANIFESTS, &CUCKOO, october("16 02:28:44")));
    let dispatch = format!("arn:aws:iam::{PROD}:role/dispatch-api");
    // Deployments set the alias again and again; that they still can is what keeps them quiet.
    let owner = format!("arn:aws:iam::{PROD}:root");
    let statements = [
        statement("Names", "Allow", &owner, &["kms:UpdateAlias", "kms:DescribeKey"], ""),
        statement("App", "Allow", &dispatch, &["kms:GenerateDataKey"], ""),
        statement(
            "Nest",
            "Allow",
            &format!("arn:aws:iam::{NEST}:role/magpie-nest"),
            &["kms:Decrypt", "kms:DescribeKey"],
            "",
        ),
    ];
    let locked = format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", statements.join(","));
    tape.add(put_policy(who, &CUCKOO, &locked, true, october("16 02:31:10")));
}

/// 02:41 the old key gets the shortest window there is, and the fleet's key is switched off.
fn burn_the_manifests(tape: &mut Tape) {
    let who = &TERRAFORM_STOLEN;
    let schedule = Call::kms("ScheduleKeyDeletion", who, &MANIFESTS, october("16 02:41:08"));
    tape.add(schedule.asks(&[("keyId", text(MANIFESTS.id)), ("pendingWindowInDays", "7".into())]).answers(&[
        ("keyId", text(&MANIFESTS.arn())),
        ("deletionDate", text("Oct 23, 2025, 2:41:08 AM")),
        ("keyState", text("PendingDeletion")),
        ("pendingWindowInDays", "7".into()),
    ]));
    let disable = Call::kms("DisableKey", who, &TELEMETRY, october("16 02:43:30"));
    tape.add(disable.asks(&[("keyId", text(TELEMETRY.id))]).answers(&[("keyId", text(&TELEMETRY.arn()))]));
    tape.add(Call::new("sts", "GetCallerIdentity", who, US, october("16 02:47:19")));
}

/// 08:41 to 09:33: the custodian repairs what she finds. She does not look at grants.
fn morning_after(tape: &mut Tape) {
    let who = &ODETTE;
    let on = |name, key: &crate::cast::Key, time| {
        let call = Call::kms(name, who, key, october(time)).asks(&[("keyId", text(key.id))]);
        if name == "DescribeKey" { call } else { call.answers(&[("keyId", text(&key.arn()))]) }
    };
    tape.add(on("DescribeKey", &MANIFESTS, "16 08:41:25"));
    let attributes = "[{\"attributeKey\":\"EventSource\",\"attributeValue\":\"kms.amazonaws.com\"}]";
    let look = Call::new("cloudtrail", "LookupEvents", who, US, october("16 08:43:50"));
    tape.add(look.asks(&[("lookupAttributes", attributes.into()), ("maxResults", "50".into())]));
    tape.add(on("CancelKeyDeletion", &MANIFESTS, "16 09:02:11"));
    tape.add(on("EnableKey", &MANIFESTS, "16 09:03:12"));
    tape.add(on("EnableKey", &TELEMETRY, "16 09:05:02"));
    tape.add(alias_call("UpdateAlias", who, &MANIFESTS, &MANIFESTS, october("16 09:09:20")));
    let because = "no resource-based policy allows the kms:PutKeyPolicy action";
    tape.add(Call::kms("PutKeyPolicy", who, &CUCKOO, october("16 09:12:40")).denied(&CUCKOO.arn(), because));
    tape.add(put_policy(who, &SHARE, &share_policy(), false, october("16 09:15:33")));
    let call = |name, time| Call::new("cloudtrail", name, who, US, october(time));
    let asks = selectors("");
    tape.add(call("PutEventSelectors", LOCAL_TRAIL_EXCLUDES_KMS.1).asks(&asks).answers(&asks));
    tape.add(call("StartLogging", LOCAL_TRAIL_STOPPED.1).asks(&[("name", text(LOCAL_TRAIL))]));
    let off = Call::new("iam", "UpdateAccessKey", who, US, october("16 09:30:15"));
    let asks = [("userName", text(TERRAFORM_LEGACY.name)), ("status", text("Inactive"))];
    tape.add(off.asks(&[&asks[..], &[("accessKeyId", text(&access_key_of(&TERRAFORM_LEGACY)))]].concat()));
    let older = object(&[("DateLessThan", object(&[("aws:TokenIssueTime", text("2025-10-16T09:32:00Z"))]))]);
    let deny =
        object(&[("Effect", text("Deny")), ("Action", text("*")), ("Resource", text("*")), ("Condition", older)]);
    let document = format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{deny}]}}");
    let revoke = Call::new("iam", "PutRolePolicy", who, US, october("16 09:32:48"));
    tape.add(revoke.asks(&[
        ("roleName", text(DISPATCH.name)),
        ("policyName", text("AWSRevokeOlderSessions")),
        ("policyDocument", text(&document)),
    ]));
    // What was sealed under the stranger's key between 02:28 and 09:09 stays shut.
    for (number, time) in [(20_114, "16 09:40:12"), (20_377, "16 09:41:55")] {
        let because = "no resource-based policy allows the kms:Decrypt action";
        tape.add(open_manifest(&DISPATCH, &CUCKOO, number, october(time)).denied(&CUCKOO.arn(), because));
    }
}

/// 17 October 04:33: user and role are shut out, and the grant still opens the ledger.
fn second_night(tape: &mut Tape) {
    for page in 0..3 {
        magpie_reads(tape, "2025-10", page, october("17 04:33:08") + 41 * page);
    }
}
