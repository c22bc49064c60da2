//! Twelve quiet days: what the applications of Larkspur Freight do in every round, whether anybody attacks or not.
//!
//! In: the tape and the start of a round of five minutes. Out: KMS calls through services and direct, and the records of
//! other services around them. The state of a key matters here too: while the stranger's work stands, the same
//! applications fail, and that is part of the evidence.

use crate::call::{Call, Tape, list, object, october, text};
use crate::cast::{
    ARCHIVER, AUTOSCALING, Actor, BACKUP, BATCH, CLERK, CONFIG, CUCKOO, CUSTOMS, DATA, DEPOT_EU, DISKS, DISPATCH,
    DISPATCH_EU, EU, JUNO, Key, LAKE, LAKE_READER, LAKE_READER_ABROAD, LEDGER, MANIFESTS, MIRROR, MIRROR_EU, PADLOCK,
    PARAMETERS, PROD, SHARE, TABLES, TELEMETRY, TELEMETRY_INGEST, TUGBOAT, US, VAULT, VAULT_EU, instance,
};
use crate::random::{ALNUM, Random};

/// An encryption context in request parameters.
pub(crate) fn context(members: &[(&str, &str)]) -> (&'static str, String) {
    let members: Vec<(&str, String)> = members.iter().map(|(name, value)| (*name, text(value))).collect();
    ("encryptionContext", object(&members))
}

pub(crate) fn symmetric() -> (&'static str, String) {
    ("encryptionAlgorithm", text("SYMMETRIC_DEFAULT"))
}

/// A secret is read: the record of Secrets Manager, and the Decrypt it causes.
pub(crate) fn read_secret(tape: &mut Tape, actor: &Actor, key: &Key, name: &str, time: i64) {
    let (region, account) = (key.region, key.account);
    let mut suffix = String::new();
    let mut chance = Random::named(name);
    chance.push(ALNUM, 6, &mut suffix);
    let arn = format!("arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}");
    let version = chance.guid().to_uppercase();
    let read = Call::new("secretsmanager", "GetSecretValue", actor, region, time);
    tape.add(read.asks(&[("secretId", text(&arn))]));
    let parameters = [symmetric(), context(&[("SecretARN", &arn), ("SecretVersionId", &version)])];
    tape.add(Call::crypto("Decrypt", actor, key, time).via("secretsmanager.amazonaws.com").asks(&parameters));
}

/// A parameter is read: the record of Systems Manager, and the Decrypt it causes.
pub(crate) fn read_parameter(tape: &mut Tape, actor: &Actor, name: &str, time: i64) {
    let arn = format!("arn:aws:ssm:us-east-1:{PROD}:parameter{name}");
    let read = Call::new("ssm", "GetParameter", actor, US, time);
    let resources = format!("[{{\"accountId\":\"{PROD}\",\"ARN\":\"{arn}\"}}]");
    tape.add(read.asks(&[("name", text(name)), ("withDecryption", "true".into())]).resources(resources));
    let parameters = [symmetric(), context(&[("PARAMETER_ARN", &arn)])];
    tape.add(Call::crypto("Decrypt", actor, &PARAMETERS, time).via("AWS Internal").asks(&parameters));
}

/// The Decrypt that reading an S3 object causes.
pub(crate) fn s3_decrypt(actor: &Actor, key: &Key, object_arn: &str, time: i64) -> Call {
    let parameters = [context(&[("aws:s3:arn", object_arn)]), symmetric()];
    Call::crypto("Decrypt", actor, key, time).via("s3.amazonaws.com").asks(&parameters)
}

/// The data key that writing an S3 object takes.
fn s3_writes(actor: &Actor, key: &Key, object_arn: &str, time: i64) -> Call {
    let asks = [context(&[("aws:s3:arn", object_arn)]), ("keyId", text(&key.arn())), ("keySpec", text("AES_256"))];
    Call::crypto("GenerateDataKey", actor, key, time).via("s3.amazonaws.com").asks(&asks)
}

fn s3_write(tape: &mut Tape, actor: &Actor, key: &Key, object_arn: &str, time: i64) {
    tape.add(s3_writes(actor, key, object_arn, time));
}

/// A manifest encrypted by the application itself: the call names the alias, and `key` is what it leads to.
pub(crate) fn seal_manifest(tape: &mut Tape, key: &Key, number: u64, time: i64) {
    let asks = [
        ("keyId", text(MANIFESTS.alias)),
        context(&[("manifest", &format!("MF-2025-{number:05}")), ("service", "dispatch-api")]),
        ("keySpec", text("AES_256")),
    ];
    tape.add(Call::crypto("GenerateDataKey", &DISPATCH, key, time).asks(&asks));
}

/// The parameters of opening such a manifest.
pub(crate) fn open_manifest(actor: &Actor, key: &Key, number: u64, time: i64) -> Call {
    let manifest = format!("MF-2025-{number:05}");
    Call::crypto("Decrypt", actor, key, time)
        .asks(&[symmetric(), context(&[("manifest", &manifest), ("service", "dispatch-api")])])
}

/// From ScheduleKeyDeletion to CancelKeyDeletion and EnableKey.
fn manifests_are_pending(time: i64) -> bool {
    (october("16 02:41:08")..october("16 09:03:12")).contains(&time)
}

/// From DisableKey to EnableKey.
fn telemetry_is_disabled(time: i64) -> bool {
    (october("16 02:43:30")..october("16 09:05:02")).contains(&time)
}

/// Where `alias/dispatch-manifests` leads.
fn alias_target(time: i64) -> &'static Key {
    if (october("16 02:28:44")..october("16 09:09:20")).contains(&time) { &CUCKOO } else { &MANIFESTS }
}

/// A Decrypt on the manifests' key, which fails while the key is pending deletion.
fn on_manifests(call: Call, time: i64) -> Call {
    if manifests_are_pending(time) {
        return call.fails("KMSInvalidStateException", &format!("{} is pending deletion.", MANIFESTS.arn()));
    }
    call
}

fn dispatch(tape: &mut Tape, start: i64) {
    for name in ["prod/dispatch/database", "prod/dispatch/carrier-api"] {
        let time = start + seconds(tape);
        read_secret(tape, &DISPATCH, &VAULT, name, time);
    }
    let time = start + seconds(tape);
    read_parameter(tape, &DISPATCH, "/dispatch/feature-flags", time);
    for _ in 0..2 + tape.random.below(2) {
        let (time, number) = (start + seconds(tape), 20_000 + tape.random.below(900));
        seal_manifest(tape, alias_target(time), number, time);
        // What was sealed last week is opened today.
        let (time, number) = (start + seconds(tape), 10_000 + tape.random.below(9_000));
        tape.add(on_manifests(open_manifest(&DISPATCH, &MANIFESTS, number, time), time));
    }
    let time = start + seconds(tape);
    let table = [("aws:dynamodb:tableName", "dispatch-bookings"), ("aws:dynamodb:subscriberId", PROD)];
    tape.add(
        Call::crypto("Decrypt", &DISPATCH, &TABLES, time)
            .via("dynamodb.amazonaws.com")
            .asks(&[context(&table), symmetric()]),
    );
}

/// When the archive's bucket wrote under the stranger's key, from PutBucketEncryption to the next one.
pub(crate) const PADLOCK_ON_ARCHIVE: (&str, &str) = ("16 02:35:50", "16 09:18:25");
/// When the customs key had no material, from its deletion to its second import.
pub(crate) const CUSTOMS_WITHOUT_MATERIAL: (&str, &str) = ("16 02:42:15", "16 09:07:32");

fn archiver(tape: &mut Tape, start: i64) {
    let function = format!("arn:aws:lambda:us-east-1:{PROD}:function:manifest-archiver");
    let time = start + seconds(tape);
    let asks = [context(&[("aws:lambda:FunctionArn", &function)]), symmetric()];
    tape.add(Call::crypto("Decrypt", &ARCHIVER, &VAULT, time).via("lambda.amazonaws.com").asks(&asks));
    for _ in 0..2 {
        let (time, number) = (start + seconds(tape), 10_000 + tape.random.below(9_000));
        let scan = format!("arn:aws:s3:::larkspur-manifests/2025/10/MF-2025-{number:05}.pdf");
        tape.add(on_manifests(s3_decrypt(&ARCHIVER, &MANIFESTS, &scan, time), time));
    }
    let (time, number) = (start + seconds(tape), 20_000 + tape.random.below(900));
    let scan = format!("arn:aws:s3:::larkspur-archive/2025/MF-2025-{number:05}.tar");
    if (october(PADLOCK_ON_ARCHIVE.0)..october(PADLOCK_ON_ARCHIVE.1)).contains(&time) {
        tape.add(s3_writes(&ARCHIVER, &PADLOCK, &scan, time).shared_abroad());
    } else {
        s3_write(tape, &ARCHIVER, &SHARE, &scan, time);
    }
}

/// The parameters of opening a page of the ledger: the application gives the context itself.
pub(crate) fn open_ledger(actor: &Actor, month: &str, page: i64, time: i64) -> Call {
    let pages = [("ledger", "receivables"), ("month", month), ("page", &format!("{page:03}"))];
    Call::crypto("Decrypt", actor, &LEDGER, time).asks(&[context(&pages), symmetric()])
}

fn clerk(tape: &mut Tape, start: i64) {
    for _ in 0..2 {
        let (time, page) = (start + seconds(tape), i64::try_from(tape.random.below(200)).unwrap_or(0));
        tape.add(open_ledger(&CLERK, "2025-09", page, time));
    }
}

/// A declaration is sealed for the customs office, once a round from the day its key has material. Told apart from the
/// rounds, because it came into the story later.
pub(crate) fn customs(tape: &mut Tape, start: i64) {
    let time = start + 140;
    if time < october("08 10:30:00") {
        return;
    }
    let declaration = format!("CD-2025-{:05}", time.rem_euclid(100_000));
    let asks = [
        ("keyId", text(CUSTOMS.alias)),
        context(&[("declaration", &declaration), ("office", "customs")]),
        ("keySpec", text("AES_256")),
    ];
    let call = Call::crypto("GenerateDataKey", &CLERK, &CUSTOMS, time).asks(&asks);
    let message = format!("{} is pending import.", CUSTOMS.arn());
    let is_empty = (october(CUSTOMS_WITHOUT_MATERIAL.0)..october(CUSTOMS_WITHOUT_MATERIAL.1)).contains(&time);
    tape.add(if is_empty { call.fails("KMSInvalidStateException", &message) } else { call });
}

fn telemetry(tape: &mut Tape, start: i64) {
    for stream in ["ais-positions", "truck-positions"] {
        let arn = format!("arn:aws:kinesis:us-east-1:{PROD}:stream/{stream}");
        for name in ["Decrypt", "GenerateDataKey"] {
            let time = start + seconds(tape);
            let of_stream = context(&[("aws:kinesis:arn", &arn)]);
            let asks = match name {
                "Decrypt" => vec![of_stream, symmetric()],
                _ => vec![("keyId", text(TELEMETRY.alias)), ("keySpec", text("AES_256")), of_stream],
            };
            let call = Call::crypto(name, &TELEMETRY_INGEST, &TELEMETRY, time).via("kinesis.amazonaws.com").asks(&asks);
            let message = format!("{} is disabled.", TELEMETRY.arn());
            tape.add(if telemetry_is_disabled(time) { call.fails("DisabledException", &message) } else { call });
        }
    }
}

/// The ids of instances that come and go, one a round.
const INSTANCES: [&str; 6] = [
    "i-0b0a7cafe00000001",
    "i-0b0a7cafe00000002",
    "i-0b0a7cafe00000003",
    "i-0b0a7cafe00000004",
    "i-0b0a7cafe00000005",
    "i-0b0a7cafe00000006",
];

/// An instance starts: its disk's data key, the service grant, the attachment, and the grant's end. All of it is AWS at
/// work for Auto Scaling; nothing of it may look like somebody giving access away.
fn disks(tape: &mut Tape, start: i64) {
    let id = tape.random.pick(&INSTANCES);
    let volume = format!("vol-0{:016x}", tape.random.draw());
    let mut grant = String::new();
    tape.random.push(b"0123456789abcdef", 64, &mut grant);
    let ebs = context(&[("aws:ebs:id", &volume)]);
    let key_id = ("keyId", text(&DISKS.arn()));
    let asks = [key_id.clone(), ("numberOfBytes", "64".into()), ebs.clone()];
    tape.add(
        Call::crypto("GenerateDataKeyWithoutPlaintext", &AUTOSCALING, &DISKS, start + 20)
            .via("AWS Internal")
            .asks(&asks),
    );
    let constraint = object(&[("encryptionContextSubset", object(&[("aws:ebs:id", text(&volume))]))]);
    let call = Call::kms("CreateGrant", &AUTOSCALING, &DISKS, start + 21).via("AWS Internal").asks(&[
        key_id.clone(),
        ("granteePrincipal", text(&format!("{PROD}:aws:ec2-infrastructure:{id}"))),
        ("operations", list(&["Decrypt"])),
        ("constraints", constraint),
    ]);
    tape.add(call.answers(&[("grantId", text(&grant)), key_id]));
    let attachment = instance(id);
    tape.add(Call::crypto("Decrypt", &attachment, &DISKS, start + 24).via("AWS Internal").asks(&[ebs, symmetric()]));
    let end = Call::kms("RetireGrant", &attachment, &DISKS, start + 270).via("AWS Internal");
    tape.add(end.adds(&[("grantId", text(&grant))]));
}

/// Four disks are read each night: fewer than a thief would take, and always the same four.
fn backup(tape: &mut Tape, start: i64) {
    for (place, volume) in
        ["vol-0acc0047500000001", "vol-0acc0047500000002", "vol-0acc0047500000003", "vol-0acc0047500000004"]
            .iter()
            .enumerate()
    {
        let time = start + 30 + 40 * i64::try_from(place).unwrap_or(0);
        let asks = [context(&[("aws:ebs:id", volume)]), symmetric()];
        tape.add(Call::crypto("Decrypt", &BACKUP, &DISKS, time).via("ec2.amazonaws.com").asks(&asks));
    }
}

fn config(tape: &mut Tape, start: i64) {
    for key in [&MANIFESTS, &SHARE] {
        for name in ["DescribeKey", "GetKeyPolicy", "GetKeyRotationStatus"] {
            let time = start + seconds(tape);
            let mut asks = vec![("keyId", text(key.id))];
            if name == "GetKeyPolicy" {
                asks.push(("policyName", text("default")));
            }
            tape.add(Call::kms(name, &CONFIG, key, time).via("config.amazonaws.com").asks(&asks));
        }
    }
}

/// What the data account reads of production: each read leaves one record in either account.
fn lakehouse(tape: &mut Tape, start: i64) {
    for _ in 0..2 {
        let (time, part) = (start - 300 + seconds(tape), tape.random.below(400));
        let file = format!("arn:aws:s3:::larkspur-archive/lake/part-{part:04}.parquet");
        let caller = s3_decrypt(&LAKE_READER, &SHARE, &file, time);
        let owner = s3_decrypt(&LAKE_READER_ABROAD, &SHARE, &file, time);
        tape.add_twins(caller, owner);
    }
    let (time, part) = (start + seconds(tape), tape.random.below(400));
    s3_write(tape, &LAKE_READER, &LAKE, &format!("arn:aws:s3:::larkspur-lakehouse/raw/part-{part:04}.parquet"), time);
}

/// The batch that is always busy: 50 to 58 objects within five minutes, twice a day, every day. Its own past says that
/// this is normal.
fn batch(tape: &mut Tape, start: i64) {
    for number in 0..50 + tape.random.below(9) {
        let time = start + seconds(tape);
        let page = format!("arn:aws:s3:::larkspur-lakehouse/ledger/page-{number:03}.parquet");
        tape.add(s3_decrypt(&BATCH, &LAKE, &page, time));
    }
}

/// A moment within a round.
fn seconds(tape: &mut Tape) -> i64 {
    i64::try_from(tape.random.below(295)).unwrap_or(0)
}

/// Records of other services: a KMS tool must read past them, and count them.
fn noise(tape: &mut Tape, account: &'static str, region: &'static str, start: i64, count: u64) {
    let actors: &[Actor] = if account == PROD { &[ARCHIVER, TUGBOAT, DISPATCH] } else { &[LAKE_READER, MIRROR, JUNO] };
    for _ in 0..count {
        let time = start + seconds(tape);
        let place = usize::try_from(tape.random.below(3)).unwrap_or(0);
        let Some(actor) = actors.get(place) else { continue };
        let call = |service, name| Call::new(service, name, actor, region, time);
        let role = tape.random.pick(&["manifest-archiver", "tugboat-deployer", "dispatch-api", "lakehouse-reader"]);
        let bucket = tape.random.pick(&["larkspur-manifests", "larkspur-archive", "larkspur-lakehouse"]);
        let role_arn = format!("arn:aws:iam::{account}:role/{role}");
        let call = match tape.random.below(8) {
            0 => call("ec2", "DescribeInstances").asks(&[("instancesSet", "{}".into()), ("filterSet", "{}".into())]),
            1 => call("ec2", "DescribeVolumes").asks(&[("volumeSet", "{}".into()), ("maxResults", "500".into())]),
            2 => call("s3", "ListBuckets").asks(&[("Host", text("s3.amazonaws.com"))]),
            3 => call("s3", "GetBucketAcl").asks(&[("bucketName", text(bucket)), ("acl", text(""))]),
            4 => call("iam", "GetRole").asks(&[("roleName", text(role))]),
            5 => call("iam", "ListRoles"),
            6 => call("sts", "GetCallerIdentity"),
            _ => call("sts", "AssumeRole").asks(&[
                ("roleArn", text(&role_arn)),
                ("roleSessionName", text(role)),
                ("durationSeconds", "3600".into()),
            ]),
        };
        tape.add(call);
    }
}

fn second_region(tape: &mut Tape, start: i64) {
    let time = start + seconds(tape);
    read_secret(tape, &DISPATCH_EU, &VAULT_EU, "prod/dispatch/database", time);
    for _ in 0..2 {
        let (time, number) = (start + seconds(tape), tape.random.below(9_000));
        let depot = format!("arn:aws:s3:::larkspur-depot-eu/slips/{number:05}.json");
        tape.add(s3_decrypt(&DISPATCH_EU, &DEPOT_EU, &depot, time));
        let time = start + seconds(tape);
        s3_write(tape, &DISPATCH_EU, &DEPOT_EU, &depot, time);
    }
    noise(tape, PROD, EU, start, 9);
}

fn mirror(tape: &mut Tape, start: i64) {
    for _ in 0..2 {
        let (time, part) = (start + seconds(tape), tape.random.below(400));
        s3_write(tape, &MIRROR, &MIRROR_EU, &format!("arn:aws:s3:::larkspur-mirror/part-{part:04}.parquet"), time);
    }
    noise(tape, DATA, EU, start, 7);
}

/// One round of all accounts and regions. `start` is where the production account's five minutes begin; the data
/// account's begin five minutes later, so that its log can name the files the others just got.
pub(crate) fn round(tape: &mut Tape, start: i64, hour: i64) {
    dispatch(tape, start);
    archiver(tape, start);
    clerk(tape, start);
    telemetry(tape, start);
    disks(tape, start);
    config(tape, start);
    noise(tape, PROD, US, start, 34);
    second_region(tape, start);
    mirror(tape, start);
    lakehouse(tape, start + 300);
    noise(tape, DATA, US, start + 300, 16);
    if hour == 1 {
        backup(tape, start);
    }
    if matches!(hour, 1 | 15) {
        batch(tape, start + 300);
    }
}

/// The hour after the stranger's work, when the applications first run into it.
pub(crate) fn failing_hour(tape: &mut Tape, start: i64) {
    dispatch(tape, start);
    archiver(tape, start);
    telemetry(tape, start);
    noise(tape, PROD, US, start, 4);
}
