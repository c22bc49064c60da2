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

/// The rules that STORY.md says are told by the sample logs.
const STORY: [&str; 16] = [
    "kms-decrypt-burst",
    "kms-decrypt-context-fanout",
    "kms-access-denied-spree",
    "kms-grant-to-external-account",
    "kms-grant-external-use-never-retired",
    "kms-grant-stale-open",
    "kms-key-deletion-scheduled",
    "kms-key-deletion-short-window",
    "kms-active-key-destroyed",
    "kms-unusable-key-still-used",
    "kms-policy-public",
    "kms-policy-lockout-bypass",
    "kms-key-disabled",
    "kms-alias-repointed",
    "ct-kms-events-excluded",
    "ct-trail-disabled",
];

#[test]
fn the_sample_logs_tell_their_story() {
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("case");
    let (code, _, stderr) = keytrail(&["analyze", "sample-logs", "--out", case.to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    let findings = std::fs::read_to_string(case.join("findings.ndjson")).unwrap();
    let story = std::fs::read_to_string(root().join("sample-logs/STORY.md")).unwrap();
    let mut fired = BTreeSet::new();
    for line in findings.lines() {
        let finding: serde_json::Value = serde_json::from_str(line).unwrap();
        fired.insert(finding["rule"].as_str().unwrap().to_owned());
    }
    for rule in STORY {
        assert!(story.contains(rule), "STORY.md does not mention {rule}");
        assert!(fired.contains(rule), "{rule} does not fire on the sample logs");
    }
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
