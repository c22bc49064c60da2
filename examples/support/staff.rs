//! Planned work of the people of Larkspur Freight that concerns keys, and two of their slips: rules report some of it, as
//! they must, and keep quiet about the rest.
//!
//! In: the tape. Out: the yearly look at policies, a courier's material, a pipeline that forgot a line, an economy on a
//! trail, a key at its planned end, an investigator; and the shapes of calls that the night needs too.

use crate::background::{context, s3_decrypt, symmetric};
use crate::call::{Call, Tape, material_of, object, october, text};
use crate::cast::{
    AUTOSCALING, Actor, BACKUP, CLERK, CUSTOMS, DATA, DEPOT_EU, DISKS, FAX, JUNO, KMS_ITSELF, LEDGER, LOCAL_TRAIL,
    ODETTE, ORG_TRAIL, PAGER, PIP, PROD, SHARE, TRAIL_LOGS, TUGBOAT, US, VAULT, VAULT_EU, VENDOR_REPORTS,
};
use crate::near_misses::{policy, put_policy, statement};

/// The alarm that tells of keys that are disabled or scheduled for deletion.
pub(crate) const KMS_ALARM: &str = "kms-key-disabled-or-scheduled-for-deletion";
/// The newest snapshot of the nightly backup's first volume.
pub(crate) const PROD_SNAPSHOT: &str = "snap-0acc0047500000001";

/// All of it.
pub(crate) fn plan(tape: &mut Tape) {
    look_at_policies(tape);
    courier_comes(tape);
    pipeline_forgets_a_line(tape);
    keys_at_their_end(tape);
    trails_of_the_month(tape);
    shares_at_home(tape);
    alarms(tape);
}

/// The ledger's policy: its owner and the clerk, and whoever else is given.
pub(crate) fn ledger_policy(others: &[String]) -> String {
    let clerk = format!("arn:aws:iam::{PROD}:role/invoice-clerk");
    let mut all = vec![statement("Clerk", "Allow", &clerk, &["kms:Decrypt", "kms:GenerateDataKey"], "")];
    all.extend_from_slice(others);
    policy(&all)
}

/// UpdateTrail of the production account's own trail: validation of its files on or off, nothing else.
pub(crate) fn prod_trail(actor: &Actor, validation: bool, time: i64) -> Call {
    trail(actor, ("larkspur-prod-local", LOCAL_TRAIL), validation, time)
}

fn trail(actor: &Actor, (name, arn): (&str, &str), validation: bool, time: i64) -> Call {
    let asks = [("name", text(name)), ("enableLogFileValidation", validation.to_string())];
    Call::new("cloudtrail", "UpdateTrail", actor, US, time).asks(&asks).answers(&[
        ("name", text(name)),
        ("s3BucketName", text(&format!("{name}-logs"))),
        ("includeGlobalServiceEvents", "true".into()),
        ("isMultiRegionTrail", "false".into()),
        ("trailARN", text(arn)),
        ("logFileValidationEnabled", validation.to_string()),
        ("isOrganizationTrail", "false".into()),
    ])
}

/// PutBucketEncryption: a bucket's default key.
pub(crate) fn bucket_encryption(actor: &Actor, bucket: &str, key_arn: &str, time: i64) -> Call {
    let by_default = object(&[("SSEAlgorithm", text("aws:kms")), ("KMSMasterKeyID", text(key_arn))]);
    let rule = object(&[("ApplyServerSideEncryptionByDefault", by_default), ("BucketKeyEnabled", "false".into())]);
    let configuration = object(&[("xmlns", text("http://s3.amazonaws.com/doc/2006-03-01/")), ("Rule", rule)]);
    let resources = format!(
        "[{{\"accountId\":\"{}\",\"type\":\"AWS::S3::Bucket\",\"ARN\":\"arn:aws:s3:::{bucket}\"}}]",
        actor.account
    );
    Call::new("s3", "PutBucketEncryption", actor, US, time)
        .asks(&[
            ("bucketName", text(bucket)),
            ("Host", text(&format!("{bucket}.s3.us-east-1.amazonaws.com"))),
            ("encryption", text("")),
            ("ServerSideEncryptionConfiguration", configuration),
        ])
        .adds(&[
            ("SignatureVersion", text("SigV4")),
            ("CipherSuite", text("TLS_AES_128_GCM_SHA256")),
            ("bytesTransferredIn", "343".into()),
            ("AuthenticationMethod", text("AuthHeader")),
            ("bytesTransferredOut", "0".into()),
        ])
        .resources(resources)
}

/// ModifySnapshotAttribute of the nightly backup's snapshot; `change` is `add` or `remove`.
pub(crate) fn snapshot_shared(actor: &Actor, change: &str, account: &str, time: i64) -> Call {
    let items = object(&[("items", format!("[{}]", object(&[("userId", text(account))])))]);
    Call::new("ec2", "ModifySnapshotAttribute", actor, US, time)
        .asks(&[
            ("snapshotId", text(PROD_SNAPSHOT)),
            ("createVolumePermission", object(&[(change, items)])),
            ("attributeType", text("CREATE_VOLUME_PERMISSION")),
        ])
        .answers(&[("_return", "true".into())])
}

/// The parameters are fetched and the customs key's material is imported, until a date or for good.
pub(crate) fn import_material(tape: &mut Tape, actor: &Actor, until: Option<&str>, times: (i64, i64)) {
    let fetch = Call::kms("GetParametersForImport", actor, &CUSTOMS, times.0);
    tape.add(fetch.asks(&[
        ("keyId", text(CUSTOMS.id)),
        ("wrappingAlgorithm", text("RSAES_OAEP_SHA_256")),
        ("wrappingKeySpec", text("RSA_4096")),
    ]));
    let mut asks = vec![("keyId", text(CUSTOMS.id))];
    match until {
        Some(date) => {
            asks.extend([("validTo", text(date)), ("expirationModel", text("KEY_MATERIAL_EXPIRES"))]);
            asks.push(("importType", text("NEW_KEY_MATERIAL")));
        }
        None => {
            asks.push(("expirationModel", text("KEY_MATERIAL_DOES_NOT_EXPIRE")));
            asks.push(("importType", text("EXISTING_KEY_MATERIAL")));
        }
    }
    let answer = [("keyId", text(&CUSTOMS.arn())), ("keyMaterialId", text(&material_of(&CUSTOMS)))];
    tape.add(Call::kms("ImportKeyMaterial", actor, &CUSTOMS, times.1).asks(&asks).answers(&answer));
}

/// 7 October: the custodian writes down who may use what. The vault's two keys get the same policy within a minute.
fn look_at_policies(tape: &mut Tape) {
    tape.add(put_policy(&ODETTE, &LEDGER, &ledger_policy(&[]), false, october("07 10:16:02")));
    let only_here = format!("{{\"StringEquals\":{{\"kms:CallerAccount\":\"{PROD}\"}}}}");
    let services = ["kms:Decrypt", "kms:GenerateDataKey"];
    let vault = policy(&[statement("Services", "Allow", &format!("arn:aws:iam::{PROD}:root"), &services, &only_here)]);
    tape.add(put_policy(&ODETTE, &VAULT, &vault, false, october("07 10:16:35")));
    tape.add(put_policy(&ODETTE, &VAULT_EU, &vault, false, october("07 10:17:10")));
    // A replica where there is one already.
    let again = Call::kms("ReplicateKey", &ODETTE, &VAULT, october("08 10:19:05"));
    let again = again.asks(&[("keyId", text(VAULT.id)), ("replicaRegion", text(VAULT_EU.region))]);
    tape.add(again.fails("AlreadyExistsException", &format!("{} already exists.", VAULT_EU.arn())));
}

/// 8 October: the customs office's material comes by courier, and is valid until the end of the month.
fn courier_comes(tape: &mut Tape) {
    let until = Some("Nov 1, 2025, 12:00:00 AM");
    import_material(tape, &ODETTE, until, (october("08 10:21:30"), october("08 10:22:14")));
}

/// The pipeline set rotation on for the depot's key; a week later its module lost the line, and rotation with it.
fn pipeline_forgets_a_line(tape: &mut Tape) {
    let key_id = ("keyId", text(DEPOT_EU.id));
    let on = Call::kms("EnableKeyRotation", &TUGBOAT, &DEPOT_EU, october("07 15:32:20"));
    tape.add(on.asks(&[key_id.clone(), ("rotationPeriodInDays", "365".into())]));
    tape.add(Call::kms("DisableKeyRotation", &TUGBOAT, &DEPOT_EU, october("13 15:31:44")).asks(&[key_id]));
}

/// The fax gateway's key is looked at and its rotation stopped before its deletion is scheduled; another key, retired in
/// September, reaches its end.
fn keys_at_their_end(tape: &mut Tape) {
    let look = |key: &crate::cast::Key, time| {
        Call::kms("GetKeyLastUsage", &ODETTE, key, october(time)).asks(&[("keyId", text(key.id))])
    };
    tape.add(look(&DISKS, "09 15:30:50"));
    tape.add(look(&FAX, "10 15:32:32"));
    let off = Call::kms("DisableKeyRotation", &ODETTE, &FAX, october("10 15:32:51"));
    tape.add(off.asks(&[("keyId", text(FAX.id))]));
    let gone = Call::kms("DeleteKey", &KMS_ITSELF, &PAGER, october("14 04:10:07"));
    tape.add(gone.answers(&[("keyId", text(&PAGER.arn()))]));
}

/// Validation of log files is switched on for both accounts' own trails; and one of them is to cost less.
fn trails_of_the_month(tape: &mut Tape) {
    let name = "larkspur-data-local";
    let arn = format!("arn:aws:cloudtrail:us-east-1:{DATA}:trail/{name}");
    tape.add(prod_trail(&ODETTE, true, october("13 11:06:31")));
    tape.add(trail(&JUNO, (name, &arn), true, october("13 11:07:12")));
    let selectors = "[{\"readWriteType\":\"WriteOnly\",\"includeManagementEvents\":true,\"dataResources\":[],\
                     \"excludeManagementEventSources\":[]}]";
    let asks = [("trailName", text(name)), ("eventSelectors", selectors.into())];
    let save = Call::new("cloudtrail", "PutEventSelectors", &JUNO, US, october("14 15:32:18"));
    tape.add(save.asks(&asks).answers(&asks));
}

/// Inside the organization: another account's key for a bucket, a snapshot for the data account. And a vendor's reports,
/// which the vendor sealed and we only open.
fn shares_at_home(tape: &mut Tape) {
    tape.add(bucket_encryption(&JUNO, "larkspur-lakehouse-exchange", &SHARE.arn(), october("08 10:24:40")));
    tape.add(snapshot_shared(&BACKUP, "add", DATA, october("09 15:35:10")));
    for (month, time) in [("2025-08", "08 10:25:12"), ("2025-09", "14 15:33:40")] {
        let report = format!("arn:aws:s3:::quartz-reports/larkspur/{month}.pdf");
        tape.add(s3_decrypt(&CLERK, &VENDOR_REPORTS, &report, october(time)).shared_abroad());
    }
}

/// Auto Scaling clears its own alarms away; the engineer in the first month tries to silence the one that wakes him.
fn alarms(tape: &mut Tape) {
    let scaling = Call::new("monitoring", "DeleteAlarms", &AUTOSCALING, US, october("09 15:36:02"));
    let names = "[\"TargetTracking-dispatch-api-AlarmHigh\",\"TargetTracking-dispatch-api-AlarmLow\"]";
    tape.add(scaling.via("autoscaling.amazonaws.com").asks(&[("alarmNames", names.into())]));
    let message = format!(
        "User: arn:aws:iam::{PROD}:user/{} is not authorized to perform: cloudwatch:DeleteAlarms on resource: \
         arn:aws:cloudwatch:us-east-1:{PROD}:alarm:{KMS_ALARM} because no identity-based policy allows the \
         cloudwatch:DeleteAlarms action",
        PIP.name
    );
    tape.add(Call::new("monitoring", "DeleteAlarms", &PIP, US, october("10 15:33:25")).fails("AccessDenied", &message));
}

/// 16 October, 10:05: the data account's administrator reads the night's log files of the production account.
pub(crate) fn investigate(tape: &mut Tape, files: &[String]) {
    for (file, time) in files.iter().zip((october("16 10:05:20")..).step_by(9)) {
        let file = format!("arn:aws:s3:::larkspur-org-trail-logs/{file}");
        let asks = [context(&[("aws:cloudtrail:arn", ORG_TRAIL), ("aws:s3:arn", &file)]), symmetric()];
        tape.add(Call::crypto("Decrypt", &JUNO, &TRAIL_LOGS, time).via("s3.amazonaws.com").asks(&asks));
    }
}
