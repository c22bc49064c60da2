//! `keytrail verify` on logs that were tampered with in every way known, in every form of output.
//!
//! In: objects as CloudTrail delivers them (`support/trail.rs`), then tampered with and written like `aws s3 sync` does. Out:
//! what `support/scene.rs` reads from the program. Chains have a file of their own, `verify_chains.rs`.

mod support;

use std::fs;
use std::path::Path;
use support::scene::{HOUR, Scene, check, judged, plant};
use support::trail::{Object, START, edit, gunzip, gzip, rename, sha256};
use support::{keytrail, text};

#[test]
fn untampered_logs_are_verified_and_the_newest_digest_needs_metadata() {
    check(|_| (), "SIGNATURE_UNAVAILABLE => 2", " => 0");
    let scene = Scene::new();
    assert_eq!(scene.verdicts(true, "0305T0320Z"), ["VERIFIED "]);
    assert_eq!(scene.verdicts(false, "0305T0320Z"), ["VERIFIED "]);
    assert_eq!(scene.verdicts(false, "0305T1120Z"), ["CONSISTENT "], "the newest digest lists it");
    let run = scene.run(true, &[]);
    assert!(run.stderr.contains("from 2024-03-05T00:01:31Z until 2024-03-05T12:01:31Z"), "{}", run.report());
    let chains = scene.run(false, &["--show", "chains"]).rows();
    assert_eq!(chains.len(), 1);
    for (column, expected) in [
        ("trail", "main"),
        ("digests", "12"),
        ("logs_listed", "33"),
        ("logs_present", "33"),
        ("covered_from", "2024-03-05T00:01:31Z"),
        ("covered_until", "2024-03-05T12:01:31Z"),
        ("signatures_verified", "11"),
        ("signatures_unavailable", "1"),
        ("gaps", "0"),
        ("is_backfill", "false"),
    ] {
        assert_eq!(text(&chains[0], column), expected, "{column}");
    }
}

#[test]
fn an_edited_log_is_named_with_both_hashes() {
    let tamper = |scene: &mut Scene| {
        let log = scene.digests[3].logs[1].clone();
        edit(&mut scene.objects, &log, |text| text.replace("Alice", "Mallory"));
    };
    check(tamper, "LOG_MODIFIED, SIGNATURE_UNAVAILABLE => 3", "LOG_MODIFIED => 3");
    let mut scene = Scene::new();
    let log = scene.digests[3].logs[1].clone();
    let expected = sha256(&gunzip(&scene.objects[&log].bytes));
    tamper(&mut scene);
    let found = sha256(&gunzip(&scene.objects[&log].bytes));
    let summary = text(&scene.run(true, &[]).rows()[0], "summary");
    for part in [&log, &expected, &found, &scene.digests[3].key] {
        assert!(summary.contains(part.as_str()), "{part} in {summary}");
    }
    assert_eq!(scene.verdicts(true, &log), ["FAILED LOG_MODIFIED"]);
}

#[test]
fn a_deleted_log_is_named() {
    let tamper = |scene: &mut Scene| {
        scene.objects.remove(&scene.digests[3].logs[1]);
    };
    check(tamper, "LOG_MISSING, SIGNATURE_UNAVAILABLE => 3", "LOG_MISSING => 3");
    let mut scene = Scene::new();
    tamper(&mut scene);
    assert_eq!(scene.verdicts(true, &scene.digests[3].logs[1]), ["FAILED LOG_MISSING"]);
}

#[test]
fn packing_again_and_unpacking_are_harmless() {
    use std::io::Write;
    let again = |text: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    };
    check(
        |scene| scene.objects.values_mut().for_each(|object| object.bytes = again(&gunzip(&object.bytes))),
        "SIGNATURE_UNAVAILABLE => 2",
        " => 0",
    );
    check(
        |scene| {
            for key in scene.objects.keys().cloned().collect::<Vec<_>>() {
                rename(&mut scene.objects, &key, key.strip_suffix(".gz").unwrap());
            }
            scene.objects.values_mut().for_each(|object| object.bytes = gunzip(&object.bytes));
        },
        "SIGNATURE_UNAVAILABLE => 2",
        " => 0",
    );
}

#[test]
fn a_newline_at_the_end_is_told_and_harmless_in_logs_and_digests() {
    check(
        |scene| {
            for key in [scene.digests[3].logs[1].clone(), scene.digests[5].key.clone()] {
                let plain = key.strip_suffix(".gz").unwrap();
                rename(&mut scene.objects, &key, plain);
                let object = scene.objects.get_mut(plain).unwrap();
                object.bytes = gunzip(&object.bytes);
                object.bytes.push(b'\n');
            }
        },
        "LOG_NEWLINE_ADDED, SIGNATURE_UNAVAILABLE => 2",
        "LOG_NEWLINE_ADDED => 0",
    );
}

#[test]
fn a_second_gzip_member_or_anything_else_behind_the_first_is_seen() {
    let member = gzip(b"{\"Records\":[]}");
    for tail in [&member[..], &[0; 512], b"rubbish"] {
        let tamper = |scene: &mut Scene| {
            let log = scene.digests[3].logs[1].clone();
            scene.objects.get_mut(&log).unwrap().bytes.extend_from_slice(tail);
        };
        check(tamper, "SIGNATURE_UNAVAILABLE, TRAILING_DATA => 3", "TRAILING_DATA => 3");
        let mut scene = Scene::new();
        tamper(&mut scene);
        let summary = text(&scene.run(true, &[]).rows()[0], "summary");
        assert!(summary.contains("what stands before them is the delivered log"), "{summary}");
    }
    check(
        |scene| {
            let log = scene.digests[3].logs[1].clone();
            edit(&mut scene.objects, &log, |text| text.replace("Alice", "Mallory"));
            scene.objects.get_mut(&log).unwrap().bytes.extend_from_slice(&member);
        },
        "SIGNATURE_UNAVAILABLE, TRAILING_DATA => 3",
        "TRAILING_DATA => 3",
    );
}

#[test]
fn a_torn_log_is_corrupt() {
    let tamper = |scene: &mut Scene| {
        let log = scene.digests[3].logs[1].clone();
        let bytes = &mut scene.objects.get_mut(&log).unwrap().bytes;
        bytes.truncate(bytes.len() / 2);
    };
    check(tamper, "CORRUPT, SIGNATURE_UNAVAILABLE => 3", "CORRUPT => 3");
}

#[test]
fn a_planted_log_is_unlisted() {
    let mut scene = Scene::new();
    let planted = plant(&mut scene.objects, START / HOUR * HOUR + 3 * HOUR + 35 * 60);
    judged(&scene, "LOG_UNLISTED, SIGNATURE_UNAVAILABLE => 3", "LOG_UNLISTED => 3");
    assert_eq!(scene.verdicts(true, &planted), ["FAILED LOG_UNLISTED"]);
}

#[test]
fn moved_and_renamed_logs_are_recognized() {
    check(
        |scene| {
            let log = scene.digests[3].logs[1].clone();
            rename(&mut scene.objects, &log, &log.replace("/05/", "/06/"));
        },
        "LOG_MOVED, SIGNATURE_UNAVAILABLE => 3",
        "LOG_MOVED => 3",
    );
    let renamed = |scene: &mut Scene| {
        let log = scene.digests[3].logs[1].clone();
        rename(&mut scene.objects, &log, "evidence/17.json.gz");
    };
    check(renamed, "LOG_MOVED, SIGNATURE_UNAVAILABLE => 3", "LOG_MOVED => 3");
    let mut scene = Scene::new();
    renamed(&mut scene);
    assert_eq!(scene.verdicts(true, "evidence/17"), ["VERIFIED LOG_MOVED"]);
}

#[test]
fn without_digests_nothing_can_be_verified() {
    let mut scene = Scene::new();
    scene.objects.retain(|key, _| !key.contains("Digest"));
    judged(&scene, "LOG_NOT_COVERED (33) => 2", "LOG_NOT_COVERED (33) => 2");
    assert!(scene.run(true, &[]).stderr.contains("there are no digests among the inputs"));
}

#[test]
fn folders_below_the_bucket_and_flat_copies_are_judged_alike() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    scene.write(folder.path());
    let flat = folder.path().join("flat");
    fs::create_dir(&flat).unwrap();
    for (key, object) in &scene.objects {
        fs::write(flat.join(key.rsplit_once('/').unwrap().1), &object.bytes).unwrap();
    }
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (keys, sidecar, account) = (place("keys.json"), place("signatures.json"), place("bucket/AWSLogs/111122223333"));
    let moved = place("elsewhere");
    fs::rename(&account, &moved).unwrap();
    for inputs in [
        vec![moved.clone()],
        vec![format!("{moved}/CloudTrail/us-east-2/2024"), format!("{moved}/CloudTrail-Digest/us-east-2/2024/03")],
        vec![flat.to_string_lossy().into_owned()],
    ] {
        let mut arguments = vec!["verify", "--public-keys", &keys, "--signatures", &sidecar];
        arguments.extend(inputs.iter().map(String::as_str));
        let run = keytrail(&arguments).code(0);
        assert_eq!(run.text(), "", "{}", run.report());
    }
}

#[test]
fn every_form_of_output_has_the_same_rows() {
    let mut scene = Scene::new();
    scene.objects.remove(&scene.digests[3].logs[1]);
    let table = scene.run(true, &["--format", "table"]).code(3).text();
    assert!(table.contains("LOG_MISSING") && table.contains("does not prove:"), "{table}");
    let csv = scene.run(true, &["--format", "csv", "--show", "files"]).text();
    assert_eq!(csv.lines().count(), 1 + 33 + 12, "{csv}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("files.parquet").to_string_lossy().into_owned();
    assert_eq!(scene.run(true, &["--format", "parquet", "--show", "files"]).code, 1);
    scene.run(true, &["--format", "parquet", "--show", "files", "-o", &path]).code(3);
    assert_eq!(support::parquet_rows(Path::new(&path)).len(), 45);
    let one = scene.run(true, &["--show", "files", "-j", "1"]).text();
    assert_eq!(one, scene.run(true, &["--show", "files", "-j", "7"]).text());
}

#[test]
fn archives_are_not_judged() {
    let mut scene = Scene::new();
    let log = scene.digests[3].logs[1].clone();
    let object = scene.objects.remove(&log).unwrap();
    let packed = support::pack::tar(&[(log, object.bytes)]);
    scene.objects.insert("old.tar".to_owned(), Object { bytes: packed, metadata: std::collections::BTreeMap::new() });
    judged(&scene, "LOG_MISSING, NOT_JUDGED, SIGNATURE_UNAVAILABLE => 3", "LOG_MISSING, NOT_JUDGED => 3");
}
