//! Digests judged by `keytrail analyze`: the same verdicts as `verify`, in the case, and behind each finding.
//!
//! In: a bucket as CloudTrail delivers it, tampered with, and written like `aws s3 sync` does. Out: tables of the case.

#![expect(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use support::scene::{Scene, plant};
use support::trail::{START, edit};
use support::{Row, cell, keytrail, parquet_rows, same_tree, total, tree};

/// One case at a time: the rules take all processors anyway.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Analyzes the folder `bucket` in `folder` into `case`, with the keys and signatures beside it.
#[track_caller]
fn analyze(folder: &Path, case: &Path, more: &[&str]) -> support::Run {
    let place = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (bucket, keys, sidecar, case) =
        (place("bucket"), place("keys.json"), place("signatures.json"), case.to_string_lossy().into_owned());
    let mut arguments = vec!["analyze", &bucket, "--out", &case];
    if !more.contains(&"--no-verify") {
        arguments.extend(["--public-keys", &keys, "--signatures", &sidecar]);
    }
    arguments.extend(more);
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    keytrail(&arguments)
}

fn table(case: &Path, name: &str) -> Vec<Row> {
    parquet_rows(&case.join(format!("tables/{name}.parquet")))
}

/// A scene in which a Decrypt became a ScheduleKeyDeletion, one log was deleted and one planted.
fn tampered() -> Scene {
    let mut scene = Scene::new();
    let log = scene.digests[3].logs[1].clone();
    edit(&mut scene.objects, &log, |text| {
        text.replacen("\"eventName\":\"Decrypt\"", "\"eventName\":\"ScheduleKeyDeletion\"", 1).replacen(
            "{\"encryptionAlgorithm\":\"SYMMETRIC_DEFAULT\"}",
            "{\"keyId\":\"1234abcd-12ab-34cd-56ef-1234567890ab\",\"pendingWindowInDays\":7}",
            1,
        )
    });
    scene.objects.remove(&scene.digests[4].logs[0]);
    plant(&mut scene.objects, START / 3600 * 3600 + 6 * 3600 + 35 * 60);
    scene
}

#[test]
fn a_case_has_the_verdicts_of_verify_and_findings_carry_them() {
    let scene = tampered();
    let folder = tempfile::tempdir().unwrap();
    scene.write(folder.path());
    let case = folder.path().join("case");
    let run = analyze(folder.path(), &case, &[]).code(0);
    assert!(run.stderr.contains("integrity  1 chain; logs: 31 verified"), "{}", run.report());
    assert!(run.stderr.contains("2 failed, 1 missing"), "{}", run.report());
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for (show, name) in [("files", "integrity"), ("problems", "integrity_findings"), ("chains", "integrity_chains")] {
        let (bucket, keys, sidecar, out) = (place("bucket"), place("keys.json"), place("signatures.json"), place(show));
        keytrail(&[
            "verify",
            &bucket,
            "--public-keys",
            &keys,
            "--signatures",
            &sidecar,
            "--show",
            show,
            "--format",
            "parquet",
            "-o",
            &out,
        ])
        .code(3);
        let rows = table(&case, name);
        assert!(!rows.is_empty(), "{name}");
        assert_eq!(rows, parquet_rows(Path::new(&out)), "{name}");
    }
    assert_eq!(table(&case, "integrity_digests").len(), 12);
    let findings = parquet_rows(&case.join("findings.parquet"));
    let deletion = findings.iter().find(|row| cell(row, "rule") == "kms-key-deletion-scheduled");
    assert_eq!(cell(deletion.unwrap(), "integrity"), "FAILED");
    let judged: BTreeSet<&str> = findings.iter().map(|row| cell(row, "integrity")).collect();
    assert!(!judged.contains(""), "every event came from a judged file: {judged:?}");
    let manifest: Value = serde_json::from_slice(&fs::read(case.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["integrity"]["logs_failed"], 2);
    assert_eq!(manifest["integrity"]["has_tampering"], true);
    assert_eq!(manifest["tables"]["integrity_chains"], 1);
    // What the digests prove opens the list of limits.
    let limits = table(&case, "evidence_limits");
    assert_eq!((cell(&limits[0], "kind"), cell(&limits[0], "severity")), ("integrity", "critical"));
    let summaries: Vec<&str> = limits.iter().map(|row| cell(row, "summary")).collect();
    for code in ["LOG_MODIFIED: ", "LOG_MISSING: ", "LOG_UNLISTED: "] {
        assert_eq!(summaries.iter().filter(|summary| summary.starts_with(code)).count(), 1, "{code} {summaries:?}");
    }
    // Every path of the table is one of the inputs.
    let inputs: BTreeSet<String> =
        parquet_rows(&case.join("inputs.parquet")).iter().map(|row| cell(row, "path").to_owned()).collect();
    let rows = table(&case, "integrity");
    let paths = rows.iter().filter_map(|row| row["path"].clone());
    assert_eq!(paths.filter(|path| !inputs.contains(path)).count(), 0);
}

#[test]
fn without_digests_or_with_no_verify_the_tables_are_there_and_empty() {
    let mut scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    scene.write(folder.path());
    let case = folder.path().join("case");
    let run = analyze(folder.path(), &case, &["--no-verify"]).code(0);
    assert!(run.stderr.contains("integrity  not checked"), "{}", run.report());
    assert!(run.stderr.contains("12 digests"), "{}", run.report());
    let other = tempfile::tempdir().unwrap();
    scene.objects.retain(|key, _| !key.contains("Digest"));
    scene.write(other.path());
    analyze(other.path(), &other.path().join("case"), &[]).code(0);
    for (case, expected) in [(&case, "digests_not_judged"), (&other.path().join("case"), "no_digests")] {
        let limits = table(case, "evidence_limits");
        assert!(limits.iter().any(|row| cell(row, "kind") == expected), "{expected}: {limits:?}");
    }
    for case in [case, other.path().join("case")] {
        for name in ["integrity", "integrity_findings", "integrity_chains", "integrity_digests"] {
            assert_eq!(table(&case, name).len(), 0, "{name}");
        }
        let inputs = parquet_rows(&case.join("inputs.parquet"));
        assert!(inputs.iter().all(|row| row["content_sha256"].is_none()), "nothing was hashed in vain");
        assert_eq!(inputs.len(), 33);
    }
}

/// The verdict of every file and of everything that is missing.
fn verdicts(case: &Path) -> Vec<String> {
    let rows = table(case, "integrity");
    let row = |row: &Row| {
        format!("{} {} {} {}", cell(row, "kind"), cell(row, "path"), cell(row, "verdict"), cell(row, "codes"))
    };
    let mut verdicts: Vec<String> = rows.iter().map(row).collect();
    verdicts.sort();
    verdicts
}

#[test]
fn a_case_that_grows_judges_all_of_its_files_again() {
    let scene = tampered();
    let whole = tempfile::tempdir().unwrap();
    scene.write(whole.path());
    let at_once = whole.path().join("case");
    analyze(whole.path(), &at_once, &[]).code(0);
    // The night before: everything up to the sixth digest. Then the rest is synced, and the old files are gone.
    let (mut first, mut second) = (Scene::new(), Scene::new());
    let slot = |key: &str| key.rsplit_once("20240305T").unwrap().1[..4].to_owned();
    (first.objects, second.objects) =
        scene.objects.clone().into_iter().partition(|(key, _)| slot(key).as_str() < "0602");
    let folder = tempfile::tempdir().unwrap();
    let (bucket, case) = (folder.path().join("bucket"), folder.path().join("case"));
    first.write(folder.path());
    analyze(folder.path(), &case, &[]).code(0);
    let half = verdicts(&case);
    fs::remove_dir_all(&bucket).unwrap();
    second.write(folder.path());
    analyze(folder.path(), &case, &["--append"]).code(0);
    assert_eq!(verdicts(&case), verdicts(&at_once));
    assert_ne!(verdicts(&case), half);
    assert_eq!(table(&case, "integrity_chains"), table(&at_once, "integrity_chains"));
    assert_eq!(table(&case, "integrity_digests").len(), 12);
    // A run without validation says nothing about files, and forgets nothing.
    analyze(folder.path(), &case, &["--append", "--no-verify"]).code(0);
    assert_eq!((table(&case, "integrity").len(), table(&case, "integrity_digests").len()), (0, 12));
    analyze(folder.path(), &case, &["--append"]).code(0);
    assert_eq!(verdicts(&case), verdicts(&at_once));
}

#[test]
fn logs_that_filters_left_out_are_not_missing() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    scene.write(folder.path());
    let case = folder.path().join("case");
    let run = analyze(folder.path(), &case, &["--since", "2024-03-05T06:00:00Z"]).code(0);
    assert!(run.stderr.contains("left out by filters"), "{}", run.report());
    assert_eq!(table(&case, "integrity_findings").len(), 0, "{}", run.report());
    let chains = table(&case, "integrity_chains");
    assert_eq!(total(&chains, "signatures_verified"), 12, "no digest is left out because of its time");
}

#[test]
fn a_case_is_the_same_for_any_number_of_threads() {
    let scene = tampered();
    let folder = tempfile::tempdir().unwrap();
    scene.write(folder.path());
    let made = |name: &str, jobs: &str| {
        let case = folder.path().join(name);
        analyze(folder.path(), &case, &["-j", jobs]).code(0);
        // The report quotes the manifest's run times.
        for file in ["manifest.json", "report.html"] {
            fs::remove_file(case.join(file)).unwrap();
        }
        tree(&case)
    };
    same_tree(&made("one", "1"), &made("many", "5"), "threads");
}

#[test]
fn keys_and_no_verify_do_not_go_together() {
    let run = keytrail(&["analyze", ".", "--out", "x", "--no-verify", "--public-keys", "keys.json"]).code(1);
    assert!(run.stderr.contains("--no-verify"), "{}", run.report());
}
