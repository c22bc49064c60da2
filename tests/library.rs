//! The query library as it ships: every file checked and tested, the documents made from it up to date, and the sample
//! logs' story told by the rules.
//!
//! In: `queries/`, `docs/`, `sample-logs/`. Out: all faults at once. `UPDATE_EXPECT=1` rewrites the documents.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use keytrail::query::docs::markdown;
use keytrail::query::library::Library;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn keytrail(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_keytrail")).args(arguments).current_dir(root()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Holds a document to what it is made from.
#[track_caller]
fn up_to_date(name: &str, made: &str) {
    let path = root().join("docs").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some_and(|value| value == "1") {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/{name} is out of date: UPDATE_EXPECT=1 cargo test --test library");
}

#[test]
fn every_query_file_is_valid_and_its_test_passes() {
    let (code, stdout, stderr) = keytrail(&["queries", "check"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.ends_with(" 0 faults\n"), "{stdout}");
}

#[test]
fn a_users_own_folder_is_checked_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let group = folder.path().join("detect/own");
    std::fs::create_dir_all(&group).unwrap();
    std::fs::write(group.join("bad.sql"), "-- title: x\n-- colour: red\nSELECT COUNT(*) FROM events").unwrap();
    let (code, _, stderr) = keytrail(&["queries", "check", folder.path().to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(stderr.contains("bad.sql") && stderr.contains("colour"), "{stderr}");
}

#[test]
fn the_documents_are_those_the_library_makes() {
    up_to_date("QUERIES.md", &markdown(&Library::built_in().unwrap()));
    up_to_date("SCHEMA.md", &keytrail(&["schema"]).1);
}

/// The rules that fire on the sample logs, in the order in which STORY.md's table first names them. No other rule may.
const STORY: [&str; 55] = [
    "kms-unusual-key-creation",
    "kms-destructive-attempt-denied",
    "kms-imported-material-used",
    "kms-imported-material-expiry",
    "kms-predeletion-usage-check",
    "kms-key-deletion-scheduled",
    "kms-rotation-disabled",
    "kms-key-deleted",
    "kms-grant-stale-open",
    "ct-readwrite-type-blinds-kms-use",
    "kms-access-denied-spree",
    "kms-enumeration-sweep",
    "kms-decrypt-burst",
    "kms-decrypt-context-fanout",
    "kms-use-from-new-network",
    "kms-direct-use-of-service-key",
    "kms-encryption-context-drift",
    "ct-trail-weakened",
    "kms-tampering-sequence",
    "ct-kms-events-excluded",
    "ct-trail-disabled",
    "kms-monitoring-removed",
    "kms-denied-then-allowed",
    "kms-policy-flip-flop",
    "kms-policy-self-escalation",
    "kms-first-seen-principal-key",
    "kms-grant-after-containment",
    "kms-grant-delegates-creategrant",
    "kms-grant-external-use-never-retired",
    "kms-grant-overbroad",
    "kms-grant-to-external-account",
    "kms-external-principal-used-our-key",
    "kms-policy-external-principal-added",
    "kms-snapshot-rekey-exfil",
    "kms-policy-public",
    "kms-grant-created-by-external-caller",
    "kms-reencrypt-to-foreign-or-new-key",
    "kms-ransom-chain",
    "kms-alias-repointed",
    "kms-alias-deleted-or-squatted",
    "kms-policy-lockout-bypass",
    "kms-policy-owner-lockout",
    "kms-key-replicated",
    "kms-replica-policy-divergence",
    "foreign-key-in-service-config",
    "kms-active-key-destroyed",
    "kms-deletion-cancelled",
    "kms-key-deletion-short-window",
    "kms-mass-key-destruction",
    "kms-imported-material-deleted",
    "kms-key-disabled",
    "kms-unusable-key-still-used",
    "kms-unusable-key-errors",
    "kms-our-principal-used-foreign-key",
    "kms-log-archive-decrypt",
];

/// Rule and time of each row of the table "Which rule sees what".
fn told_findings(story: &str) -> BTreeSet<(String, String)> {
    let (_, from_table) = story.split_once("## Which rule sees what").unwrap();
    let (table, _) = from_table.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|row| (row.get(1).unwrap().to_string(), row.get(3).unwrap().to_string())).collect()
}

#[test]
fn the_sample_logs_tell_their_story() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("case");
    let (code, _, stderr) = keytrail(&["analyze", "sample-logs", "--out", case.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    let findings = std::fs::read_to_string(case.join("findings.ndjson")).unwrap();
    let story = std::fs::read_to_string(root().join("sample-logs/STORY.md")).unwrap();
    let (mut fired, mut found) = (BTreeSet::new(), BTreeSet::new());
    for line in findings.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        let rule = finding["rule"].as_str().unwrap().to_owned();
        let time = finding["first_time"].as_str().unwrap().replace('T', " ").replace('Z', "");
        fired.insert(rule.clone());
        found.insert((rule, time));
    }
    // Both directions: a rule that grew deaf, and one that began to see things in quiet traffic.
    assert_eq!(fired, STORY.iter().map(|rule| (*rule).to_owned()).collect(), "left fired, right is expected");
    assert_eq!(fired.len(), STORY.len());
    assert!(fired.len() >= 40, "only {} rules fired", fired.len());
    let told = told_findings(&story);
    let untold: Vec<_> = found.difference(&told).collect();
    let unfounded: Vec<_> = told.difference(&found).collect();
    assert!(untold.is_empty() && unfounded.is_empty(), "STORY.md lacks {untold:?} and has {unfounded:?} too many");
}

#[test]
fn the_sample_logs_are_those_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let generator = Path::new(env!("CARGO_BIN_EXE_keytrail")).with_file_name("examples").join("make_sample_logs");
    let status = Command::new(&generator).arg(folder.path()).output().unwrap().status;
    assert!(status.success());
    let mut compared = 0;
    let mut folders = vec![folder.path().to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let kept = root().join("sample-logs").join(path.strip_prefix(folder.path()).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&kept).unwrap(), "{}", kept.display());
            compared += 1;
        }
    }
    assert!(compared > 300, "only {compared} files were compared");
}
