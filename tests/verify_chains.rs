//! `keytrail verify` on chains of digests: what is missing, forged, moved or only not protected.
//!
//! In: objects as CloudTrail delivers them (`support/trail.rs`), then tampered with. Out: what `support/scene.rs` reads from
//! the program.

mod support;

use serde_json::json;
use support::scene::{HOUR, Scene, check, codes, judged, plant};
use support::text;
use support::trail::{
    Key, Objects, START, TRAIL, Trail, edit, gunzip, iso, key_entry, key_list, rename, sha256, signatures,
};

#[test]
fn a_deleted_digest_is_named_and_its_logs_are_no_plants() {
    let tamper = |scene: &mut Scene| {
        scene.objects.remove(&scene.digests[5].key);
    };
    check(
        tamper,
        "DIGEST_MISSING, LOG_UNLISTED (3), SIGNATURE_UNAVAILABLE x2 => 3",
        "DIGEST_MISSING, LOG_UNLISTED (3) => 3",
    );
    let mut scene = Scene::new();
    tamper(&mut scene);
    let rows = scene.run(true, &[]).rows();
    let missing = rows.iter().find(|row| text(row, "code") == "DIGEST_MISSING").unwrap();
    assert_eq!(text(missing, "s3_key"), scene.digests[5].key);
    assert_eq!(text(missing, "first_time"), iso(START + 5 * HOUR));
    assert_eq!(text(missing, "last_time"), iso(START + 6 * HOUR));
    assert_eq!(scene.verdicts(true, &scene.digests[5].key), ["FAILED DIGEST_MISSING"]);
    assert_eq!(scene.verdicts(true, &scene.digests[5].logs[0]), ["UNVERIFIABLE LOG_UNLISTED"]);
    let chains = scene.run(true, &["--show", "chains"]).rows();
    assert_eq!(text(&chains[0], "gaps"), "1");
}

#[test]
fn two_deleted_digests_are_one_named_and_one_inferred() {
    check(
        |scene| {
            scene.objects.remove(&scene.digests[4].key);
            scene.objects.remove(&scene.digests[5].key);
        },
        "DIGEST_MISSING (2), LOG_UNLISTED (6), SIGNATURE_UNAVAILABLE x2 => 3",
        "DIGEST_MISSING (2), LOG_UNLISTED (6) => 3",
    );
}

#[test]
fn a_deleted_newest_digest_leaves_its_logs_uncovered() {
    let newest = |scene: &mut Scene| {
        scene.objects.remove(&scene.digests[11].key);
    };
    check(newest, "LOG_NOT_COVERED (3), SIGNATURE_UNAVAILABLE => 2", "LOG_NOT_COVERED (3) => 2");
    // With its logs gone as well nothing shows: the covered time says where knowledge ends.
    let with_logs = |scene: &mut Scene| {
        newest(scene);
        scene.digests[11].logs.iter().for_each(|log| drop(scene.objects.remove(log)));
    };
    check(with_logs, "SIGNATURE_UNAVAILABLE => 2", " => 0");
    let mut scene = Scene::new();
    with_logs(&mut scene);
    assert!(scene.run(true, &[]).stderr.contains("until 2024-03-05T11:01:31Z"));
    // Where logs go on for more than an hour, a chain should have gone on, too.
    check(
        |scene| (9..12).for_each(|digest| drop(scene.objects.remove(&scene.digests[digest].key))),
        "CHAIN_ENDS_EARLY, LOG_NOT_COVERED (9), SIGNATURE_UNAVAILABLE => 2",
        "CHAIN_ENDS_EARLY, LOG_NOT_COVERED (9) => 2",
    );
}

#[test]
fn deleted_oldest_digests_are_tampering_when_their_logs_are_here() {
    check(
        |scene| (0..2).for_each(|digest| drop(scene.objects.remove(&scene.digests[digest].key))),
        "DIGEST_MISSING, LOG_NOT_COVERED (6), SIGNATURE_UNAVAILABLE => 3",
        "DIGEST_MISSING, LOG_NOT_COVERED (6) => 3",
    );
    // A collection that begins in the middle looks the same without the logs, and is no proof of anything.
    check(
        |scene| {
            for digest in &scene.digests[..2] {
                scene.objects.remove(&digest.key);
                digest.logs.iter().for_each(|log| drop(scene.objects.remove(log)));
            }
        },
        "DIGEST_MISSING, SIGNATURE_UNAVAILABLE => 2",
        "DIGEST_MISSING => 2",
    );
}

#[test]
fn an_edited_digest_fails_twice_and_vouches_for_nothing() {
    let tamper = |scene: &mut Scene| {
        let key = scene.digests[5].key.clone();
        edit(&mut scene.objects, &key, |text| text.replacen("newestEventTime\":\"2024", "newestEventTime\":\"2023", 1));
    };
    check(
        tamper,
        "DIGEST_MODIFIED, SIGNATURE_INVALID, SIGNATURE_UNAVAILABLE => 3",
        "DIGEST_MODIFIED, SIGNATURE_INVALID => 3",
    );
    let mut scene = Scene::new();
    tamper(&mut scene);
    assert_eq!(scene.verdicts(true, &scene.digests[5].key), ["FAILED DIGEST_MODIFIED,SIGNATURE_INVALID"]);
    assert_eq!(scene.verdicts(true, &scene.digests[5].logs[0]), ["UNVERIFIABLE "]);
}

#[test]
fn an_edited_newest_digest_needs_its_signature_or_a_lie_about_its_predecessor() {
    let logs = |scene: &mut Scene| {
        let key = scene.digests[11].key.clone();
        edit(&mut scene.objects, &key, |text| text.replacen("newestEventTime\":\"2024", "newestEventTime\":\"2023", 1));
    };
    check(logs, "SIGNATURE_UNAVAILABLE => 2", "SIGNATURE_INVALID => 3");
    let lie = |scene: &mut Scene| {
        let key = scene.digests[11].key.clone();
        let hash = sha256(&gunzip(&scene.objects[&scene.digests[10].key].bytes));
        edit(&mut scene.objects, &key, |text| text.replace(&hash, &sha256(b"")));
    };
    check(lie, "DIGEST_MODIFIED, SIGNATURE_UNAVAILABLE => 3", "DIGEST_MODIFIED, SIGNATURE_INVALID => 3");
}

#[test]
fn a_renamed_digest_is_moved_and_missing() {
    check(
        |scene| {
            let key = scene.digests[5].key.clone();
            let other = key.replace("060131Z", "060132Z");
            assert_ne!(key, other);
            rename(&mut scene.objects, &key, &other);
        },
        "DIGEST_MISSING, DIGEST_MOVED, SIGNATURE_UNAVAILABLE => 3",
        "DIGEST_MISSING, DIGEST_MOVED => 3",
    );
}

#[test]
fn swapped_digests_are_moved_twice_and_their_signatures_hold() {
    let tamper = |scene: &mut Scene| {
        let (one, other) = (scene.digests[4].key.clone(), scene.digests[8].key.clone());
        let held = scene.objects[&one].bytes.clone();
        scene.objects.get_mut(&one).unwrap().bytes = scene.objects[&other].bytes.clone();
        scene.objects.get_mut(&other).unwrap().bytes = held;
    };
    check(tamper, "DIGEST_MOVED x2, SIGNATURE_UNAVAILABLE => 3", "DIGEST_MOVED x2 => 3");
    let mut scene = Scene::new();
    tamper(&mut scene);
    assert_eq!(scene.verdicts(true, &scene.digests[4].logs[0]), ["VERIFIED "]);
}

#[test]
fn forks_and_conflicts_are_told_apart_from_the_genuine_branch() {
    // A second digest that follows number 4, forged with a key of its own.
    let fork = |scene: &mut Scene| {
        let mut other = Objects::new();
        let before = scene.digests[4].clone();
        let interval = (START + 5 * HOUR + 7, START + 6 * HOUR + 7);
        TRAIL.digest(&mut other, &Key::new(1), interval, &[], Some(&before), "");
        scene.objects.append(&mut other);
    };
    check(fork, "CHAIN_FORK x2, SIGNATURE_UNAVAILABLE x2 => 3", "CHAIN_FORK x2, SIGNATURE_UNAVAILABLE => 3");
    let mut scene = Scene::new();
    fork(&mut scene);
    assert_eq!(scene.verdicts(true, &scene.digests[5].key), ["VERIFIED CHAIN_FORK"]);
    assert_eq!(scene.verdicts(true, "060138Z"), ["FAILED CHAIN_FORK,SIGNATURE_UNAVAILABLE"]);
    // Another digest that claims to be number 5, in a second copy of the bucket.
    check(
        |scene| {
            let key = scene.digests[5].key.clone();
            let genuine = scene.objects[&key].clone();
            scene.objects.insert(format!("copy/{key}"), genuine);
            edit(&mut scene.objects, &format!("copy/{key}"), |text| text.replacen("Time\":\"2024", "Time\":\"2023", 1));
        },
        "DIGEST_DUPLICATE_CONFLICT x2, DIGEST_MODIFIED, SIGNATURE_INVALID, SIGNATURE_UNAVAILABLE => 3",
        "DIGEST_DUPLICATE_CONFLICT x2, DIGEST_MODIFIED, SIGNATURE_INVALID => 3",
    );
}

#[test]
fn a_restart_leaves_a_gap_that_is_no_loss() {
    let key = Key::new(0);
    let mut scene = Scene::new();
    TRAIL.deliver(&mut scene.objects, &key, 15..20, None);
    let stray = plant(&mut scene.objects, START / HOUR * HOUR + 13 * HOUR + 300);
    scene.sidecar = signatures(TRAIL.bucket, &scene.objects);
    judged(
        &scene,
        "LOGGING_OR_VALIDATION_OFF, LOG_NOT_COVERED, SIGNATURE_UNAVAILABLE x2 => 2",
        "LOGGING_OR_VALIDATION_OFF, LOG_NOT_COVERED => 2",
    );
    assert_eq!(scene.verdicts(true, &stray), ["UNVERIFIABLE LOG_NOT_COVERED"]);
}

#[test]
fn a_backfill_digest_lists_what_was_missed() {
    let key = Key::new(0);
    let mut scene = Scene::new();
    let late = TRAIL.log(&mut scene.objects, START / HOUR * HOUR + 4 * HOUR + 35 * 60);
    judged(&scene, "LOG_UNLISTED, SIGNATURE_UNAVAILABLE => 3", "LOG_UNLISTED => 3");
    let interval = (START + 4 * HOUR, START + 5 * HOUR);
    let digest = TRAIL.digest(&mut scene.objects, &key, interval, &[late], None, "_backfill");
    let metadata = &mut scene.objects.get_mut(&digest.key).unwrap().metadata;
    metadata.insert("backfill-generation-timestamp".to_owned(), iso(START + 20 * HOUR));
    scene.sidecar = signatures(TRAIL.bucket, &scene.objects);
    judged(&scene, "SIGNATURE_UNAVAILABLE x2 => 2", " => 0");
    let chains = scene.run(true, &["--show", "chains"]).rows();
    assert_eq!(chains.iter().map(|chain| text(chain, "is_backfill")).collect::<Vec<_>>(), ["false", "true"]);
}

#[test]
fn two_trails_in_one_bucket_are_two_chains() {
    let key = Key::new(0);
    let mut scene = Scene::new();
    let second = Trail { name: "second_trail.v1", minutes: &[10, 40], ..TRAIL };
    let digests = second.deliver(&mut scene.objects, &key, 0..12, None);
    scene.sidecar = signatures(TRAIL.bucket, &scene.objects);
    judged(&scene, "SIGNATURE_UNAVAILABLE x2 => 2", " => 0");
    // A digest of one is gone: its logs are not planted, although the other chain covers the time.
    scene.objects.remove(&digests[5].key);
    judged(
        &scene,
        "DIGEST_MISSING, LOG_UNLISTED (2), SIGNATURE_UNAVAILABLE x3 => 3",
        "DIGEST_MISSING, LOG_UNLISTED (2) => 3",
    );
}

#[test]
fn an_organization_trail_with_a_prefix_has_a_chain_for_each_account() {
    let key = Key::new(0);
    let mut objects = Objects::new();
    let organization = Trail { prefix: "corp/audit/", organization: "o-exampleorgid/", ..TRAIL };
    for account in ["111122223333", "444455556666"] {
        for region in ["us-east-2", "eu-west-1"] {
            Trail { account, region, ..organization.clone() }.deliver(&mut objects, &key, 0..4, None);
        }
    }
    let sidecar = signatures(TRAIL.bucket, &objects);
    let mut scene = Scene { objects, digests: Vec::new(), keys: key_list(&[&key]), sidecar };
    judged(&scene, "SIGNATURE_UNAVAILABLE x4 => 2", " => 0");
    assert_eq!(scene.run(true, &["--show", "chains"]).rows().len(), 4);
    // What one chain loses at its end, logs and all, the others show when they go on.
    let lost: Vec<String> = scene
        .objects
        .keys()
        .filter(|key| key.contains("eu-west-1/") && key.contains("/444455556666/"))
        .cloned()
        .collect();
    let lost = lost.into_iter().filter(|key| {
        ["T0205", "T0220", "T0250", "T0301", "T0305", "T0320", "T0350", "T0401"].iter().any(|slot| key.contains(slot))
    });
    lost.for_each(|key| drop(scene.objects.remove(&key)));
    judged(&scene, "SIGNATURE_UNAVAILABLE x4 => 2", " => 0");
    let lost: Vec<String> = scene
        .objects
        .keys()
        .filter(|key| key.contains("eu-west-1/") && key.contains("/444455556666/"))
        .filter(|key| ["T0105", "T0120", "T0150", "T0201"].iter().any(|slot| key.contains(slot)))
        .cloned()
        .collect();
    lost.iter().for_each(|key| drop(scene.objects.remove(key)));
    judged(&scene, "CHAIN_ENDS_EARLY, SIGNATURE_UNAVAILABLE x4 => 2", "CHAIN_ENDS_EARLY => 2");
}

#[test]
fn keys_may_be_missing_wrong_mislabelled_or_out_of_their_time() {
    let (first, second) = (Key::new(0), Key::new(1));
    let mut scene = Scene::new();
    scene.keys = key_list(&[&second]);
    judged(&scene, "PUBLIC_KEY_MISSING (11), SIGNATURE_UNAVAILABLE => 2", "PUBLIC_KEY_MISSING (12) => 2");
    assert_eq!(scene.verdicts(true, "0305T0320Z"), ["CONSISTENT "]);
    // Another key under the right label is not used for it.
    let mut entry = key_entry(&second, START - 86_400, START + 86_400);
    entry["Fingerprint"] = json!(first.fingerprint);
    scene.keys = json!({ "publicKeyList": [entry] });
    judged(
        &scene,
        "PUBLIC_KEY_MISLABELLED, PUBLIC_KEY_MISSING (11), SIGNATURE_UNAVAILABLE => 2",
        "PUBLIC_KEY_MISLABELLED, PUBLIC_KEY_MISSING (12) => 2",
    );
    // Valid until three hours before the last digest: two hours are granted.
    scene.keys = json!({ "PublicKeyList": [key_entry(&first, START - 86_400, START + 9 * HOUR)] });
    judged(&scene, "SIGNATURE_UNAVAILABLE => 2", "PUBLIC_KEY_VALIDITY => 0");
    let run = scene.run(true, &["--bucket", "another-bucket"]);
    assert_eq!(codes(&run), "DIGEST_MOVED x12, PUBLIC_KEY_VALIDITY");
}

#[test]
fn a_digest_of_another_account_is_out_of_place() {
    let other = Trail { account: "444455556666", ..TRAIL };
    let mut foreign = Objects::new();
    let digest = other.deliver(&mut foreign, &Key::new(0), 3..4, None).remove(0);
    let mut scene = Scene::new();
    let object = foreign.remove(&digest.key).unwrap();
    let place = digest.key.replace("444455556666", "111122223333").replace("T040131", "T040132");
    scene.objects.insert(place, object);
    let run = scene.run(true, &[]);
    assert_eq!(codes(&run), "CHAIN_ENDS_EARLY, DIGEST_MOVED, LOG_MISSING (3), SIGNATURE_UNAVAILABLE");
    assert_eq!(run.code, 3);
    // The chain into which it was copied is whole.
    let chains = scene.run(true, &["--show", "chains"]).rows();
    assert_eq!(chains.iter().map(|chain| text(chain, "signatures_verified")).collect::<Vec<_>>(), ["12", "0"]);
}
