//! What else the stranger did in the night of 16 October, between the scenes of `attack.rs`, and its repair: sealed
//! variables opened past their service, a policy bent for one reader, a disk that left, a look-alike name, a replica over
//! the ocean, a bucket under the stranger's own key, material taken out of a key.
//!
//! In: the tape. Out: calls, most of them by the forgotten user, some by the stranger's account, the last by the custodian.

use crate::background::{CUSTOMS_WITHOUT_MATERIAL, PADLOCK_ON_ARCHIVE, open_ledger};
use crate::call::{Call, Tape, object, october, text};
use crate::cast::{
    CUCKOO, CUSTOMS, DISKS, DISPATCH_STOLEN, LEDGER, MAGPIE, MANIFESTS, NEST, NEST_DISKS, ODETTE, PADLOCK, PROD, SHARE,
    TELEMETRY, TELEMETRY_LOOK_ALIKE, TERRAFORM_STOLEN, US, VAULT, VAULT_EU, VAULT_WEST,
};
use crate::near_misses::{alias_call, policy, put_policy, statement};
use crate::staff::{
    KMS_ALARM, PROD_SNAPSHOT, bucket_encryption, import_material, ledger_policy, prod_trail, snapshot_shared,
};

/// The further scenes of the night and what became of them in the morning.
pub(crate) fn happen(tape: &mut Tape) {
    past_the_service(tape);
    unwatch(tape);
    bend_the_policy(tape);
    let_a_disk_leave(tape);
    copy_over_the_ocean(tape);
    hang_a_padlock(tape);
    empty_a_key(tape);
    repair(tape);
}

/// 01:36 a function's variables are sealed with the vault's key; until now that key was used through services only.
fn past_the_service(tape: &mut Tape) {
    let who = &DISPATCH_STOLEN;
    let function = [("functionName", text("manifest-archiver"))];
    let look = Call::new("lambda", "GetFunctionConfiguration20150331v2", who, US, october("16 01:36:11"));
    tape.add(look.asks(&function));
    let sealed_for = object(&[("LambdaFunctionName", text("manifest-archiver"))]);
    for time in ["16 01:36:40", "16 01:36:47", "16 01:36:55"] {
        let asks = [("encryptionContext", sealed_for.clone()), ("encryptionAlgorithm", text("SYMMETRIC_DEFAULT"))];
        tape.add(Call::crypto("Decrypt", who, &VAULT, october(time)).asks(&asks));
    }
}

/// 02:04 the local trail signs its files no more; 02:10 the alarm on keys goes.
fn unwatch(tape: &mut Tape) {
    tape.add(prod_trail(&TERRAFORM_STOLEN, false, october("16 02:04:22")));
    let alarms = Call::new("monitoring", "DeleteAlarms", &TERRAFORM_STOLEN, US, october("16 02:10:41"));
    tape.add(alarms.asks(&[("alarmNames", format!("[{}]", text(KMS_ALARM)))]));
}

/// 02:11 the forgotten user may administer keys and use none: refused, it names itself in the ledger's policy and reads.
fn bend_the_policy(tape: &mut Tape) {
    let who = &TERRAFORM_STOLEN;
    let because = "no identity-based policy allows the kms:Decrypt action";
    tape.add(open_ledger(who, "2025-09", 0, october("16 02:11:25")).denied(&LEDGER.arn(), because));
    let user = format!("arn:aws:iam::{PROD}:user/{}", who.name);
    let bent = statement("Terraform", "Allow", &user, &["kms:Decrypt", "kms:DescribeKey"], "");
    tape.add(put_policy(who, &LEDGER, &ledger_policy(&[bent]), false, october("16 02:12:02")));
    for (page, time) in [(0, "16 02:12:31"), (1, "16 02:12:58")] {
        tape.add(open_ledger(who, "2025-09", page, october(time)));
    }
}

/// 02:18 the key of the disks lets the stranger's account in, a snapshot is shared with it, and there it is copied under
/// a key of its own.
fn let_a_disk_leave(tape: &mut Tape) {
    let actions = ["kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:DescribeKey"];
    let nest = statement("Copies", "Allow", &format!("arn:aws:iam::{NEST}:root"), &actions, "");
    tape.add(put_policy(&TERRAFORM_STOLEN, &DISKS, &policy(&[nest]), false, october("16 02:18:20")));
    tape.add(snapshot_shared(&TERRAFORM_STOLEN, "add", NEST, october("16 02:19:05")));

    let id = crate::near_misses::grant_id("d15cf1ed");
    let snapshot = object(&[("aws:ebs:id", text(PROD_SNAPSHOT))]);
    let grantee = format!("arn:aws:iam::{NEST}:role/magpie-nest");
    let operations = ["Decrypt", "ReEncryptFrom", "RetireGrant"];
    let constraint = object(&[("encryptionContextSubset", snapshot.clone())]);
    let grant =
        crate::near_misses::grant(&MAGPIE, &DISKS, &grantee, &operations, &constraint, &id, october("16 02:24:10"));
    tape.add_owner_copy(grant.via("ec2.amazonaws.com"));
    let entry = |account: &str, arn: &str| {
        format!("{{\"accountId\":\"{account}\",\"type\":\"AWS::KMS::Key\",\"ARN\":\"{arn}\"}}")
    };
    let both = format!("[{},{}]", entry(PROD, &DISKS.arn()), entry(NEST, &NEST_DISKS.arn()));
    let moved = Call::kms("ReEncrypt", &MAGPIE, &DISKS, october("16 02:24:13")).via("ec2.amazonaws.com");
    tape.add_owner_copy(
        moved
            .resources(both)
            .asks(&[
                ("sourceEncryptionContext", snapshot),
                ("sourceKeyId", text(&DISKS.arn())),
                ("sourceEncryptionAlgorithm", text("SYMMETRIC_DEFAULT")),
                ("destinationEncryptionContext", object(&[("aws:ebs:id", text("snap-0bad5ea50fb00b135"))])),
                ("destinationKeyId", text(&NEST_DISKS.arn())),
                ("destinationEncryptionAlgorithm", text("SYMMETRIC_DEFAULT")),
            ])
            .adds(&[
                ("sourceKeyMaterialId", text(&crate::call::material_of(&DISKS))),
                ("destinationKeyMaterialId", text(&crate::call::material_of(&NEST_DISKS))),
            ]),
    );
    let retire = Call::kms("RetireGrant", &MAGPIE, &DISKS, october("16 02:31:52")).via("ec2.amazonaws.com");
    tape.add_owner_copy(retire.adds(&[("grantId", text(&id))]));
}

/// 02:29 an alias one letter longer than the fleet's leads to the stranger's key; 02:33 the vault's key gets a replica in
/// a Region where nobody is, under a policy that names the stranger.
fn copy_over_the_ocean(tape: &mut Tape) {
    let who = &TERRAFORM_STOLEN;
    tape.add(alias_call("CreateAlias", who, &TELEMETRY_LOOK_ALIKE, &CUCKOO, october("16 02:29:20")));

    let nest = format!("arn:aws:iam::{NEST}:role/magpie-nest");
    let open = policy(&[statement("Nest", "Allow", &nest, &["kms:Decrypt", "kms:DescribeKey"], "")]);
    let place = |key: &crate::cast::Key| object(&[("arn", text(&key.arn())), ("region", text(key.region))]);
    let family = object(&[
        ("multiRegionKeyType", text("REPLICA")),
        ("primaryKey", place(&VAULT)),
        ("replicaKeys", format!("[{},{}]", place(&VAULT_EU), place(&VAULT_WEST))),
    ]);
    let metadata = object(&[
        ("aWSAccountId", text(PROD)),
        ("keyId", text(VAULT_WEST.id)),
        ("arn", text(&VAULT_WEST.arn())),
        ("enabled", "false".into()),
        ("description", text("")),
        ("keyUsage", text("ENCRYPT_DECRYPT")),
        ("keyState", text("Creating")),
        ("origin", text("AWS_KMS")),
        ("keyManager", text("CUSTOMER")),
        ("keySpec", text("SYMMETRIC_DEFAULT")),
        ("multiRegion", "true".into()),
        ("multiRegionConfiguration", family),
    ]);
    let replicate = Call::kms("ReplicateKey", who, &VAULT, october("16 02:33:40"));
    tape.add(
        replicate
            .asks(&[
                ("keyId", text(VAULT.id)),
                ("replicaRegion", text(VAULT_WEST.region)),
                ("policy", text(&open)),
                ("bypassPolicyLockoutSafetyCheck", "false".into()),
            ])
            .answers(&[("replicaKeyMetadata", metadata.clone()), ("replicaPolicy", text(&open))]),
    );
    // The replica's own Region logs its making, too.
    let made = Call::kms("CreateKey", who, &VAULT_WEST, october("16 02:33:41")).via("kms.amazonaws.com");
    tape.add(
        made.asks(&[
            ("policy", text(&open)),
            ("keyUsage", text("ENCRYPT_DECRYPT")),
            ("keySpec", text("SYMMETRIC_DEFAULT")),
            ("origin", text("AWS_KMS")),
            ("multiRegion", "true".into()),
            ("bypassPolicyLockoutSafetyCheck", "false".into()),
        ])
        .answers(&[("keyMetadata", metadata)]),
    );
}

/// 02:35 what is written into the archive from here on is sealed with the stranger's key.
fn hang_a_padlock(tape: &mut Tape) {
    let time = october(PADLOCK_ON_ARCHIVE.0);
    tape.add(bucket_encryption(&TERRAFORM_STOLEN, "larkspur-archive", &PADLOCK.arn(), time));
}

/// 02:39 two keys' last use is looked up, and 02:42 the material of a third is deleted, which needs no waiting.
fn empty_a_key(tape: &mut Tape) {
    let who = &TERRAFORM_STOLEN;
    for (key, time) in [(&MANIFESTS, "16 02:39:12"), (&TELEMETRY, "16 02:39:31")] {
        tape.add(Call::kms("GetKeyLastUsage", who, key, october(time)).asks(&[("keyId", text(key.id))]));
    }
    let delete = Call::kms("DeleteImportedKeyMaterial", who, &CUSTOMS, october(CUSTOMS_WITHOUT_MATERIAL.0));
    tape.add(delete.asks(&[("keyId", text(CUSTOMS.id))]).answers(&[("keyId", text(&CUSTOMS.arn()))]));
}

/// 09:06 to 09:24, among the custodian's other repairs. The replica is not among them.
fn repair(tape: &mut Tape) {
    let who = &ODETTE;
    import_material(tape, who, None, (october("16 09:06:41"), october(CUSTOMS_WITHOUT_MATERIAL.1)));
    let because = "no resource-based policy allows the kms:DeleteAlias action";
    let unname = Call::kms("DeleteAlias", who, &CUCKOO, october("16 09:13:05"));
    tape.add(unname.denied(&CUCKOO.arn(), because));
    tape.add(put_policy(who, &LEDGER, &ledger_policy(&[]), false, october("16 09:16:20")));
    tape.add(put_policy(who, &DISKS, &policy(&[]), false, october("16 09:16:58")));
    tape.add(snapshot_shared(who, "remove", NEST, october("16 09:17:40")));
    tape.add(bucket_encryption(who, "larkspur-archive", &SHARE.arn(), october(PADLOCK_ON_ARCHIVE.1)));
    tape.add(prod_trail(who, true, october("16 09:20:30")));
    let alarm = Call::new("monitoring", "PutMetricAlarm", who, US, october("16 09:24:10"));
    tape.add(alarm.asks(&[
        ("alarmName", text(KMS_ALARM)),
        ("metricName", text("KeyDisabledOrScheduledForDeletion")),
        ("namespace", text("Larkspur/CloudTrail")),
        ("statistic", text("Sum")),
        ("period", "300".into()),
        ("evaluationPeriods", "1".into()),
        ("threshold", "1.0".into()),
        ("comparisonOperator", text("GreaterThanOrEqualToThreshold")),
        ("actionsEnabled", "true".into()),
    ]));
}
