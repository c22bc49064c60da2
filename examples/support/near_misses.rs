//! What looks like an attack and is none: ten days of ordinary administration, each piece planted beside a rule that must
//! keep quiet about it. STORY.md lists them with the rule each one is meant for.
//!
//! In: the tape. Out: calls of the key custodian, of pipelines, of an engineer who learns, and of AWS itself.

use crate::background::{open_ledger, read_secret, s3_decrypt};
use crate::call::{Call, Tape, list, object, october, text};
use crate::cast::{
    Actor, CLERK, CONFIG, CUSTOMS, DATA, DISKS, FAX, JUNO, KMS_ITSELF, Key, LEDGER, LOCAL_TRAIL, MANIFESTS, MIGRATOR,
    MIGRATOR_ABROAD, ODETTE, ORG_TRAIL, PIP, PROD, ROTATOR, SHARE, TABLES, TELEMETRY, TERRAFORM_LEGACY, TUGBOAT, US,
    VAULT, VENDOR,
};

/// A key policy with the owner's own statement and others.
pub(crate) fn policy(statements: &[String]) -> String {
    let mut all = vec![statement("Owner", "Allow", &format!("arn:aws:iam::{PROD}:root"), &["kms:*"], "")];
    all.extend_from_slice(statements);
    format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{}]}}", all.join(","))
}

/// One statement of a key policy; `condition` is JSON or empty.
pub(crate) fn statement(sid: &str, effect: &str, principal: &str, actions: &[&str], condition: &str) -> String {
    let mut members = vec![
        ("Sid", text(sid)),
        ("Effect", text(effect)),
        ("Principal", object(&[("AWS", text(principal))])),
        ("Action", list(actions)),
        ("Resource", text("*")),
    ];
    if !condition.is_empty() {
        members.push(("Condition", condition.into()));
    }
    object(&members)
}

/// PutKeyPolicy with all its parameters.
pub(crate) fn put_policy(actor: &Actor, key: &Key, policy: &str, bypass: bool, time: i64) -> Call {
    Call::kms("PutKeyPolicy", actor, key, time).asks(&[
        ("keyId", text(key.id)),
        ("policyName", text("default")),
        ("policy", text(policy)),
        ("bypassPolicyLockoutSafetyCheck", bypass.to_string()),
    ])
}

/// The policy under which the lakehouse key is shared: everybody, but only of this organization.
pub(crate) fn share_policy() -> String {
    let fence = "{\"StringEquals\":{\"aws:PrincipalOrgID\":\"o-exampleorgid\"}}";
    policy(&[statement("Lakehouse", "Allow", "*", &["kms:Decrypt", "kms:DescribeKey"], fence)])
}

/// CreateAlias, DeleteAlias or UpdateAlias: `resources` names key and alias, in an order that differs by operation.
pub(crate) fn alias_call(name: &'static str, actor: &Actor, alias_of: &Key, target: &Key, time: i64) -> Call {
    let entry = |arn: &str| format!("{{\"accountId\":\"{PROD}\",\"type\":\"AWS::KMS::Key\",\"ARN\":\"{arn}\"}}");
    let (key, alias) = (entry(&target.arn()), entry(&alias_of.alias_arn()));
    let resources = if name == "CreateAlias" { format!("[{key},{alias}]") } else { format!("[{alias},{key}]") };
    let mut asks = vec![("aliasName", text(alias_of.alias))];
    if name != "DeleteAlias" {
        asks.push(("targetKeyId", text(target.id)));
    }
    let answer = [("keyId", text(&target.arn()))];
    Call::kms(name, actor, target, time).resources(resources).asks(&asks).answers(&answer)
}

/// CreateGrant with its answer.
pub(crate) fn grant(
    actor: &Actor,
    key: &Key,
    grantee: &str,
    operations: &[&str],
    constraint: &str,
    id: &str,
    time: i64,
) -> Call {
    let mut asks =
        vec![("keyId", text(&key.arn())), ("granteePrincipal", text(grantee)), ("operations", list(operations))];
    if !constraint.is_empty() {
        asks.push(("constraints", constraint.into()));
    }
    Call::kms("CreateGrant", actor, key, time)
        .asks(&asks)
        .answers(&[("grantId", text(id)), ("keyId", text(&key.arn()))])
}

/// A grant id that can be recognized: a word of hex digits, then the rest from the word.
pub(crate) fn grant_id(word: &str) -> String {
    let mut random = crate::random::Random::named(word);
    let mut out = String::from(word);
    random.push(b"0123456789abcdef", 64_usize.saturating_sub(word.len()), &mut out);
    out
}

/// CreateKey with its answer.
pub(crate) fn create_key(actor: &Actor, key: &Key, origin: &str, description: &str, time: i64) -> Call {
    let state = if origin == "EXTERNAL" { "PendingImport" } else { "Enabled" };
    let metadata = object(&[
        ("aWSAccountId", text(key.account)),
        ("keyId", text(key.id)),
        ("arn", text(&key.arn())),
        ("enabled", (state == "Enabled").to_string()),
        ("description", text(description)),
        ("keyUsage", text("ENCRYPT_DECRYPT")),
        ("keyState", text(state)),
        ("origin", text(origin)),
        ("keyManager", text("CUSTOMER")),
        ("keySpec", text("SYMMETRIC_DEFAULT")),
        ("multiRegion", "false".into()),
    ]);
    Call::kms("CreateKey", actor, key, time)
        .asks(&[
            ("description", text(description)),
            ("keyUsage", text("ENCRYPT_DECRYPT")),
            ("keySpec", text("SYMMETRIC_DEFAULT")),
            ("origin", text(origin)),
            ("multiRegion", "false".into()),
            ("policy", text(&policy(&[]))),
            ("bypassPolicyLockoutSafetyCheck", "false".into()),
        ])
        .answers(&[("keyMetadata", metadata)])
}

/// Everything of this file, day by day.
pub(crate) fn plant(tape: &mut Tape) {
    rotation_mondays(tape);
    new_key_awaiting_import(tape);
    grants_that_end(tape);
    grants_of_services(tape);
    fenced_policies(tape);
    aliases_that_stay(tape);
    failed_attempts(tape);
    retired_key(tape);
    recorder_denied(tape);
    selectors_of_the_data_account(tape);
    marks_of_kms_itself(tape);
}

/// Twelve secrets in six minutes: under the fifteen in ten minutes of kms-decrypt-context-fanout.
fn rotation_mondays(tape: &mut Tape) {
    for day in ["06", "13"] {
        for number in 0..12 {
            let time = october(&format!("{day} 11:02:10")) + 22 * number;
            read_secret(tape, &ROTATOR, &VAULT, &format!("prod/rotated/service-{number:02}"), time);
        }
    }
}

/// An alias that is made, not moved; a key whose uses fail because its material is still to come.
fn new_key_awaiting_import(tape: &mut Tape) {
    tape.add(create_key(
        &ODETTE,
        &CUSTOMS,
        "EXTERNAL",
        "Customs data exchange, material comes by courier",
        october("06 11:04:02"),
    ));
    tape.add(alias_call("CreateAlias", &ODETTE, &CUSTOMS, &CUSTOMS, october("06 11:04:40")));
    let early = Call::crypto("GenerateDataKey", &CLERK, &CUSTOMS, october("06 11:06:15"));
    let early = early.asks(&[("keyId", text(CUSTOMS.alias)), ("keySpec", text("AES_256"))]);
    tape.add(early.fails("KMSInvalidStateException", &format!("{} is pending import.", CUSTOMS.arn())));
}

/// Grants inside the organization: used across accounts and taken back, or retired by the grantee; and the auditor's,
/// which nobody took back.
fn grants_that_end(tape: &mut Tape) {
    let migration = grant_id("a11d0e0007");
    let only_the_lake =
        "{\"encryptionContextSubset\":{\"aws:s3:arn\":\"arn:aws:s3:::larkspur-archive/lake/q3.parquet\"}}";
    let migrator = format!("arn:aws:iam::{DATA}:role/lakehouse-migrator");
    let operations = ["Decrypt", "DescribeKey"];
    tape.add(grant(&ODETTE, &SHARE, &migrator, &operations, only_the_lake, &migration, october("07 10:17:30")));
    for time in ["07 10:19:05", "07 10:19:48", "07 10:20:31"] {
        let file = "arn:aws:s3:::larkspur-archive/lake/q3.parquet";
        let caller = s3_decrypt(&MIGRATOR, &SHARE, file, october(time));
        let owner = s3_decrypt(&MIGRATOR_ABROAD, &SHARE, file, october(time));
        tape.add_twins(caller, owner);
    }
    let asks = [("keyId", text(&SHARE.arn())), ("grantId", text(&migration))];
    tape.add(Call::kms("RevokeGrant", &ODETTE, &SHARE, october("13 11:04:20")).asks(&asks));

    let month_end = grant_id("c1e2c00008");
    let clerk = format!("arn:aws:iam::{PROD}:role/invoice-clerk");
    let september = "{\"encryptionContextSubset\":{\"ledger\":\"receivables\"}}";
    let operations = ["Decrypt", "RetireGrant"];
    tape.add(grant(&ODETTE, &LEDGER, &clerk, &operations, september, &month_end, october("07 10:18:10")));
    tape.add(open_ledger(&CLERK, "2025-09", 1, october("07 10:20:02")));
    let retire = Call::kms("RetireGrant", &CLERK, &LEDGER, october("08 10:18:55"));
    tape.add(retire.adds(&[("grantId", text(&month_end))]));

    let auditor = format!("arn:aws:iam::{PROD}:role/tarpon-auditor");
    let one_month = "{\"encryptionContextEquals\":{\"ledger\":\"receivables\",\"month\":\"2025-06\"}}";
    let id = grant_id("a0d17e0014");
    tape.add(grant(&ODETTE, &LEDGER, &auditor, &["Decrypt"], one_month, &id, october("14 15:31:07")));

    // The vendor's role does not exist yet: parameters name a foreign account, but there is no grant.
    let vendor = format!("arn:aws:iam::{VENDOR}:role/quartz-backup");
    let failed = grant(&ODETTE, &DISKS, &vendor, &["Decrypt", "CreateGrant"], "", "", october("08 10:19:20"));
    tape.add(failed.fails("InvalidArnException", &format!("ARN does not refer to a valid principal: {vendor}")));
}

/// A table's grant stays open as long as the table lives. The grantee is a service, and so is the retiring principal.
fn grants_of_services(tape: &mut Tape) {
    let service = "dynamodb.us-east-1.amazonaws.com";
    let table =
        object(&[("aws:dynamodb:tableName", text("dispatch-customs")), ("aws:dynamodb:subscriberId", text(PROD))]);
    let answer = [("grantId", text(&grant_id("d1a30db09"))), ("keyId", text(&TABLES.arn()))];
    let asks = [
        ("keyId", text(&TABLES.arn())),
        ("granteePrincipal", text(service)),
        ("retiringPrincipal", text(service)),
        ("operations", list(&["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey"])),
        ("constraints", object(&[("encryptionContextSubset", table)])),
    ];
    let create = Call::kms("CreateGrant", &TUGBOAT, &TABLES, october("09 15:32:12"));
    tape.add(create.via("dynamodb.amazonaws.com").asks(&asks).answers(&answer));
}

/// Wildcards behind a fence, wildcards that forbid, and a public policy that KMS did not accept.
fn fenced_policies(tape: &mut Tape) {
    let caller = format!(
        "{{\"StringEquals\":{{\"kms:CallerAccount\":\"{PROD}\",\"kms:ViaService\":\"dynamodb.us-east-1.amazonaws.com\"}}}}"
    );
    let through_tables = statement("ThroughTables", "Allow", "*", &["kms:Decrypt", "kms:GenerateDataKey*"], &caller);
    let plain_text = "{\"Bool\":{\"aws:SecureTransport\":\"false\"}}";
    let never = statement("NeverInTheClear", "Deny", "*", &["kms:*"], plain_text);
    tape.add(put_policy(&ODETTE, &TABLES, &policy(&[through_tables, never]), false, october("08 10:17:44")));
    tape.add(put_policy(&ODETTE, &SHARE, &share_policy(), false, october("08 10:18:21")));
    // KMS's own lockout check refuses this one: nobody could have changed the policy afterwards.
    let open = statement("Everybody", "Allow", "*", &["kms:Encrypt", "kms:Decrypt"], "");
    let open = format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{open}]}}");
    let message = "The new key policy will not allow you to update the key policy in the future.";
    let failed = put_policy(&PIP, &CUSTOMS, &open, false, october("08 10:20:40"));
    tape.add(failed.fails("MalformedPolicyDocumentException", message));
}

/// Terraform writes what is there already, replaces an alias by itself, and once names one that does not exist.
fn aliases_that_stay(tape: &mut Tape) {
    tape.add(alias_call("UpdateAlias", &TERRAFORM_LEGACY, &TELEMETRY, &TELEMETRY, october("09 15:32:40")));
    tape.add(put_policy(&TERRAFORM_LEGACY, &TELEMETRY, &policy(&[]), false, october("09 15:32:43")));
    tape.add(alias_call("DeleteAlias", &TERRAFORM_LEGACY, &DISKS, &DISKS, october("09 15:33:10")));
    tape.add(alias_call("CreateAlias", &TERRAFORM_LEGACY, &DISKS, &DISKS, october("09 15:33:14")));
    let lost = Key { alias: "alias/harbour-disks", ..DISKS };
    let failed =
        alias_call("UpdateAlias", &TERRAFORM_LEGACY, &lost, &DISKS, october("09 15:33:31")).resources(String::new());
    tape.add(failed.fails("NotFoundException", &format!("Alias {} is not found.", lost.alias_arn())));
}

/// Refusals: an engineer's, and a pipeline's whose role misses four permissions. Nothing happened to any key.
fn failed_attempts(tape: &mut Tape) {
    let no_policy = |action: &str| format!("no identity-based policy allows the kms:{action} action");
    for (name, key, time) in
        [("ScheduleKeyDeletion", &MANIFESTS, "10 15:31:15"), ("DisableKey", &TELEMETRY, "10 15:31:52")]
    {
        tape.add(Call::kms(name, &PIP, key, october(time)).denied(&key.arn(), &no_policy(name)));
    }
    for (name, time) in [
        ("CreateKey", "09 15:34:01"),
        ("TagResource", "09 15:34:04"),
        ("EnableKeyRotation", "09 15:34:07"),
        ("ListResourceTags", "09 15:34:11"),
    ] {
        let resource = if name == "CreateKey" { "*".into() } else { DISKS.arn() };
        tape.add(Call::kms(name, &TUGBOAT, &DISKS, october(time)).denied(&resource, &no_policy(name)));
    }
    // The wrong key: the message speaks of pending deletion, and nothing is pending.
    let cancel =
        Call::kms("CancelKeyDeletion", &ODETTE, &DISKS, october("10 15:34:20")).asks(&[("keyId", text(DISKS.id))]);
    tape.add(cancel.fails("KMSInvalidStateException", &format!("{} is not pending deletion.", DISKS.arn())));
}

/// The fax gateway's key has not been used in living memory; its owner looks first, and leaves the full window.
fn retired_key(tape: &mut Tape) {
    tape.add(Call::kms("DescribeKey", &ODETTE, &FAX, october("10 15:32:30")).asks(&[("keyId", text(FAX.alias))]));
    let schedule = Call::kms("ScheduleKeyDeletion", &ODETTE, &FAX, october("10 15:33:05"));
    tape.add(schedule.asks(&[("keyId", text(FAX.id)), ("pendingWindowInDays", "30".into())]).answers(&[
        ("keyId", text(&FAX.arn())),
        ("deletionDate", text("Nov 9, 2025, 3:33:05 PM")),
        ("keyState", text("PendingDeletion")),
        ("pendingWindowInDays", "30".into()),
    ]));
}

/// AWS Config tries to read the environment of functions and may not: one action, twenty-four times, no key named.
fn recorder_denied(tape: &mut Tape) {
    let because = "no identity-based policy allows the kms:Decrypt action";
    for number in 0..24 {
        let time = october("11 10:18:05") + 11 * number;
        let arn = format!("arn:aws:sts::{PROD}:assumed-role/{}/{}", CONFIG.name, CONFIG.session);
        let message = format!(
            "User: {arn} is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because {because}"
        );
        let call = Call::new("kms", "Decrypt", &CONFIG, US, time).via("config.amazonaws.com");
        tape.add(call.fails("AccessDenied", &message));
    }
}

/// The data account's own trail: other sources are excluded, data events added, and a trail that is long gone stopped.
fn selectors_of_the_data_account(tape: &mut Tape) {
    let trail = "larkspur-data-local";
    let call = |name, time| Call::new("cloudtrail", name, &JUNO, US, october(time));
    let selectors = "[{\"readWriteType\":\"All\",\"includeManagementEvents\":true,\"dataResources\":[],\
                     \"excludeManagementEventSources\":[\"rdsdata.amazonaws.com\"]}]";
    let asks = [("trailName", text(trail)), ("eventSelectors", selectors.into())];
    tape.add(call("PutEventSelectors", "13 11:02:50").asks(&asks).answers(&asks));
    let advanced = "[{\"name\":\"Management\",\"fieldSelectors\":[{\"field\":\"eventCategory\",\"equals\":[\"Management\"]}]},\
                    {\"name\":\"Lake\",\"fieldSelectors\":[{\"field\":\"eventCategory\",\"equals\":[\"Data\"]},\
                    {\"field\":\"resources.type\",\"equals\":[\"AWS::S3::Object\"]}]}]";
    let asks = [("trailName", text(trail)), ("advancedEventSelectors", advanced.into())];
    tape.add(call("PutEventSelectors", "13 11:04:31").asks(&asks).answers(&asks));
    let gone = format!("arn:aws:cloudtrail:us-east-1:{DATA}:trail/larkspur-data-2019");
    let stop = call("StopLogging", "13 11:05:02").asks(&[("name", text(&gone))]);
    tape.add(stop.fails("TrailNotFoundException", &format!("Unknown trail: {gone} for the user: {DATA}")));
    // Looking at trails is no tampering.
    for (name, trail) in [("GetTrailStatus", ORG_TRAIL), ("GetEventSelectors", LOCAL_TRAIL)] {
        let look = Call::new("cloudtrail", name, &ODETTE, US, october("13 11:05:40"));
        tape.add(look.asks(&[(if name == "GetTrailStatus" { "name" } else { "trailName" }, text(trail))]));
    }
}

/// Automatic rotation, and a record that came three hours late and says so.
fn marks_of_kms_itself(tape: &mut Tape) {
    tape.add(Call::kms("RotateKey", &KMS_ITSELF, &LEDGER, october("15 15:31:00")).details(&[
        ("keyId", text(LEDGER.id)),
        ("rotationType", text("AUTOMATIC")),
        ("keyOrigin", text("AWS_KMS")),
    ]));
    tape.add(open_ledger(&CLERK, "2025-08", 77, october("15 11:31:40")).delayed());
}
