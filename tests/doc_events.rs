//! AWS's own example records and a real export, normalized.
//!
//! The records are companion data beside the repository and not part of it. Where they are missing these tests say so and
//! pass, unless `KEYTRAIL_REQUIRE_SHARED=1` asks for them.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use expect_test::{Expect, expect};
use keytrail::json::{self, Object, Value};
use keytrail::normalize::normalize;
use keytrail::schema::{Event, Text};
use std::path::{Path, PathBuf};

/// The companion data at `path`; `None`, with a note, when it is not there and need not be.
#[expect(clippy::print_stderr, reason = "a test that proves nothing must say so")]
fn companion(path: &str) -> Option<PathBuf> {
    let found = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data")).join(path);
    if found.exists() {
        return Some(found);
    }
    let is_required = std::env::var_os("KEYTRAIL_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!is_required, "no companion data at {}", found.display());
    eprintln!("skipped: no companion data at {}", found.display());
    None
}

/// The record without the members that only the collection of examples has.
fn without_notes<'a>(record: Value<'a>) -> Value<'a> {
    match record {
        Value::Object(Object { raw, members }) => Value::Object(Object {
            raw,
            members: members.into_iter().filter(|(name, _)| !name.starts_with('_')).collect(),
        }),
        other => other,
    }
}

/// The columns that differ between records, NULL ones left out, the example ids shortened.
fn projection(event: &Event<'_>) -> String {
    let mut out = event.event_name.as_deref().unwrap_or("-").to_owned();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push_str(&format!(" {name}={value}"));
        }
    };
    let text = |value: &Text<'_>| value.as_deref().map(str::to_owned);
    let marked = |value: Option<bool>| value.filter(|value| *value).map(|_| "yes".to_owned());
    put("class", text(&event.action_class));
    put("outcome", text(&event.outcome).filter(|outcome| outcome != "ok"));
    put("key", text(&event.key_arn));
    put("by", text(&event.key_source));
    put("ref", text(&event.key_ref));
    put("alias", text(&event.alias_name));
    put("mrk", text(&event.mrk_id));
    put("target", text(&event.target_key_arn));
    put("principal", text(&event.principal));
    put("session", text(&event.session_name));
    put("via", text(&event.via));
    put("cross", marked(event.is_cross_account));
    put("context", text(&event.context_class));
    put("names", text(&event.context_resource));
    put("grant", text(&event.grant_id));
    put("grantee", text(&event.grantee_principal));
    put("constraint", text(&event.grant_constraint));
    put("service_grant", marked(event.is_service_grant));
    put("origin", text(&event.key_origin));
    put("spec", text(&event.key_spec));
    put("usage", text(&event.key_usage));
    put("primary_region", text(&event.primary_region));
    put("window", event.pending_window_days.map(|days| days.to_string()));
    put("deleted", event.deletion_time.map(keytrail::time::format_timestamp));
    put("rotation", event.rotation_period_days.map(|days| days.to_string()));
    put("expires", event.material_expires_at.map(keytrail::time::format_timestamp));
    put("material", text(&event.key_material_id));
    put("store", text(&event.custom_key_store_id));
    put("xks", text(&event.xks_key_id));
    put("tags", text(&event.tags));
    put("attested", marked(event.attested));
    put("debug", event.attestation_is_debug.map(|debug| debug.to_string()));
    put("state", text(&event.key_state_error));
    out.replace("1234abcd-12ab-34cd-56ef-1234567890ab", "<1234>")
        .replace("0987dcba-09fe-87dc-65ba-ab0987654321", "<0987>")
        .replace("arn:aws:kms:us-west-2:111122223333:key/", "key:")
        .replace("arn:aws:iam::111122223333:user/", "user:")
}

#[track_caller]
fn check(name_starts_with: std::ops::RangeInclusive<char>, expected: Expect) {
    let Some(path) = companion("kms-doc-events.ndjson") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = String::new();
    for line in text.lines() {
        let record = without_notes(json::parse(line).unwrap());
        let is_kms =
            record.get("eventSource").as_str().is_some_and(|source| source.eq_ignore_ascii_case("kms.amazonaws.com"));
        let event = normalize(&record, (!is_kms).then_some("service_config")).unwrap();
        if event.event_name.as_deref().is_some_and(|name| name.starts_with(|c| name_starts_with.contains(&c))) {
            lines.push_str(&projection(&event));
            lines.push('\n');
        }
    }
    expected.assert_eq(&lines);
}

#[test]
fn documented_records_from_c_to_d_say_what_the_documentation_says() {
    check(
        'A'..='D',
        expect![[r#"
        CancelKeyDeletion class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice
        CreateAlias class=alias key=key:<1234> by=resources ref=<1234> alias=alias/ExampleAlias target=key:<1234> principal=user:Alice
        CreateGrant class=grant key=key:<1234> by=resources ref=key:<1234> principal=user:Alice grant=abcde1237f76e4ba7987489ac329fbfba6ad343d6f7075dbd1ef191f0120514a grantee=111122223333:aws:ec2-infrastructure:i-81e2f56c constraint={"encryptionContextSubset":{"aws:ebs:id":"vol-f67bafb2"}} service_grant=yes
        CreateKey class=lifecycle key=arn:aws:kms:us-east-1:227179770375:key/39c5eb22-f37c-4956-92ca-89e8f8b57ab2 by=resources principal=user:Alice cross=yes origin=EXTERNAL_KEY_STORE spec=SYMMETRIC_DEFAULT usage=ENCRYPT_DECRYPT store=cks-1234567890abcdef0 xks=bb8562717f809024
        CreateVolume class=service_config principal=user:Alice cross=yes
        Decrypt class=crypto key=arn:aws:kms:eu-west-1:111122223333:key/1a2b3c4d-5e6f-1a2b-3c4d-5e6f1a2b3c4d by=resources principal=service:workmail.amazonaws.com via=workmail.amazonaws.com context=workmail names=arn:aws:workmail:eu-west-1:111122223333:organization/m-c6981ff7642446fa8772ba99c690e455
        Decrypt class=crypto outcome=failed key=key:<0987> by=resources ref=key:<0987> principal=user:Alice via=AWS Internal context=custom store=cks-9876543210fedcba9 xks=abc01234567890fe
        Decrypt class=crypto outcome=failed key=key:<1234> by=resources ref=key:<1234> principal=user:Alice context=custom
        Decrypt class=crypto key=key:<1234> by=resources principal=user:cloudtrail-admin via=signin.amazonaws.com context=cloudtrail names=arn:aws:cloudtrail:us-west-2:111122223333:trail/Default
        Decrypt class=crypto key=key:<1234> by=resources principal=arn:aws:iam::111122223333:role/Admins session=example-user via=internal.amazonaws.com context=s3_object names=arn:aws:s3:::example_bucket/example_object
        Decrypt class=crypto key=key:<0987> by=resources ref=key:<0987> principal=user:Alice via=AWS Internal context=custom store=cks-9876543210fedcba9 xks=abc01234567890fe
        Decrypt class=crypto key=key:<1234> by=resources ref=key:<1234> principal=user:Alice context=none attested=yes debug=false
        DeleteAlias class=alias key=key:<1234> by=resources ref=alias/my_alias alias=alias/my_alias principal=user:Alice
        DeleteCustomKeyStore class=key_store principal=user:Alice store=cks-1234567890abcdef0
        DeleteExpiredKeyMaterial class=lifecycle key=key:<1234> by=resources principal=service:AWS Internal via=AWS Internal material=123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0
        DeleteKey class=lifecycle key=key:<1234> by=resources principal=service:AWS Internal via=AWS Internal
        DeleteKey class=lifecycle key=arn:aws:kms:eu-west-1:111122223333:key/<1234> by=resources principal=service:AWS Internal via=AWS Internal store=cks-1234567890abcdef0
        DisableKey class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice
        DisableKeyRotation class=lifecycle key=key:<1234> by=resources ref=key:<1234> principal=user:Alice
    "#]],
    );
}

#[test]
fn documented_records_from_e_to_g_say_what_the_documentation_says() {
    check(
        'E'..='G',
        expect![[r#"
        EnableKey class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice
        EnableKeyRotation class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice rotation=180
        Encrypt class=crypto key=key:<1234> by=resources ref=key:<1234> principal=user:Alice context=custom
        GenerateDataKey class=crypto key=key:<1234> by=resources ref=arn:aws:kms:us-west-2:111122223333:alias/ExampleAliasForCloudTrailKMS key alias=alias/ExampleAliasForCloudTrailKMS key principal=arn:aws:iam::086441151436:user/AWSCloudTrail via=internal.amazonaws.com cross=yes context=cloudtrail names=arn:aws:cloudtrail:us-west-2:111122223333:trail/Default spec=AES_256
        GenerateDataKey class=crypto key=key:<1234> by=resources ref=<1234> principal=user:Alice context=custom spec=AES_256
        GenerateDataKey class=crypto key=key:<1234> by=resources ref=key:<1234> principal=arn:aws:iam::111122223333:role/Admins session=example-user via=internal.amazonaws.com context=s3_object names=arn:aws:s3:::example_bucket/example_object spec=AES_256
        GenerateDataKey class=crypto key=key:<1234> by=resources ref=<1234> principal=user:Alice context=custom spec=AES_256 material=123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0
        GenerateDataKey class=crypto key=key:<1234> by=resources ref=key:<1234> principal=arn:aws:iam::086441151436:role/AWSCloudTrail session=i-34755b85 via=internal.amazonaws.com cross=yes context=cloudtrail names=arn:aws:cloudtrail:us-west-2:111122223333:trail/Default spec=AES_256
        GenerateDataKeyPair class=crypto key=key:<1234> by=resources ref=<1234> principal=user:Alice context=custom spec=RSA_3072
        GenerateDataKeyPairWithoutPlaintext class=crypto key=key:<1234> by=resources ref=<1234> principal=user:Alice context=custom spec=RSA_4096
        GenerateDataKeyWithoutPlaintext class=crypto key=key:<1234> by=resources ref=alias/aws/ebs alias=alias/aws/ebs principal=user:Alice context=ebs_volume names=vol-13439757
        GenerateRandom class=crypto principal=user:Alice attested=yes
        GenerateRandom class=crypto principal=user:Alice attested=yes debug=false
        GetKeyPolicy class=read key=key:<1234> by=resources ref=<1234> principal=user:Alice
        GetKeyRotationStatus class=read key=key:<1234> by=resources ref=<1234> principal=user:Alice
        GetParametersForImport class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice
    "#]],
    );
}

#[test]
fn documented_records_from_i_to_z_say_what_the_documentation_says() {
    check(
        'H'..='Z',
        expect![[r#"
        ImportKeyMaterial class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice expires=2021-01-01T20:00:00Z
        ListGrants class=read key=key:<1234> by=resources ref=<1234> principal=user:Alice
        PutKeyPolicy class=policy key=key:<1234> by=resources ref=<1234> principal=user:Alice
        ReEncrypt class=crypto key=key:<1234> by=resources target=key:<0987> principal=user:Alice context=custom
        RetireGrant class=grant key=key:<1234> by=resources principal=user:Alice grant=abcde1237f76e4ba7987489ac329fbfba6ad343d6f7075dbd1ef191f0120514a
        RotateKey class=lifecycle key=key:<1234> by=resources principal=service:AWS Internal via=AWS Internal origin=EXTERNAL material=96083e4fb6dbc41d77578a213a6b6669c044dd4c143e96755396d2bf11fd6068
        RotateKey class=lifecycle key=arn:aws:kms:us-east-2:123456789012:key/7944f0ec-EXAMPLE by=resources principal=service:AWS Internal via=AWS Internal
        RotateKeyOnDemand class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice
        RunInstances class=service_config principal=user:Alice
        ScheduleKeyDeletion class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice window=20 deleted=2021-04-12T18:58:30Z
        SynchronizeMultiRegionKey class=multi_region key=key:<1234> by=resources principal=service:AWS Internal via=AWS Internal
        TagResource class=tag key=key:<1234> by=resources ref=key:<1234> principal=user:Alice tags={"Department":"IT"}
        UntagResource class=tag key=key:<1234> by=resources ref=key:<1234> principal=user:Alice tags=["Dept"]
        UpdateAlias class=alias key=key:<1234> by=resources ref=<1234> alias=alias/my_alias target=key:<1234> principal=user:Alice
        UpdateKeyDescription class=lifecycle key=key:<1234> by=resources ref=<1234> principal=user:Alice
        UpdatePrimaryRegion class=multi_region key=key:mrk-1234abcd12ab34cd56ef1234567890ab by=resources ref=mrk-1234abcd12ab34cd56ef1234567890ab mrk=mrk-1234abcd12ab34cd56ef1234567890ab principal=user:Alice primary_region=ap-northeast-1
        UpdatePrimaryRegion class=multi_region key=key:mrk-1234abcd12ab34cd56ef1234567890ab by=resources ref=mrk-1234abcd12ab34cd56ef1234567890ab mrk=mrk-1234abcd12ab34cd56ef1234567890ab principal=user:Alice primary_region=ap-northeast-1
        Verify class=crypto key=key:<0987> by=resources ref=<0987> principal=user:Alice
        VerifyMac class=crypto key=key:<1234> by=resources ref=key:<1234> principal=user:Alice
    "#]],
    );
}

#[test]
fn in_a_real_export_every_key_is_the_one_in_resources() {
    let Some(folder) = companion("invictus/CloudTrail") else { return };
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let file = json::parse(&text).unwrap();
        for record in file
            .get("Records")
            .items()
            .iter()
            .filter(|record| record.get("eventSource").as_str() == Some("kms.amazonaws.com"))
        {
            let event = normalize(record, None).unwrap();
            let resources = record.get("resources").items();
            let listed: Vec<&str> = resources.iter().filter_map(|resource| resource.get("ARN").as_str()).collect();
            assert_eq!(listed, [event.key_arn.as_deref().unwrap()], "{:?}", event.event_id);
            assert_eq!(event.key_source.as_deref(), Some("resources"));
            assert_eq!(event.principal.as_deref(), record.get("userIdentity").get("arn").as_str());
            assert!(matches!(event.context_class.as_deref(), Some("secret" | "parameter")), "{:?}", event.event_id);
            assert_eq!((event.is_direct, event.is_cross_account), (Some(false), Some(false)));
            checked += 1;
        }
    }
    assert_eq!(checked, 240);
}
