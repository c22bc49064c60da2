//! A real export, read by keytrail and, next to it, by nothing but a JSON parser.
//!
//! In: the public data set of Invictus Incident Response, companion data beside the repository. Out: equal event ids and
//! equal keys. Where the data is missing these tests say so and pass, unless `KEYTRAIL_REQUIRE_SHARED=1` asks for it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use support::{analyze, case_events, cell, extract, parquet_rows, query, text, total};
use tempfile::TempDir;

/// The export's folder; `None`, with a note, when it is not there and need not be.
#[expect(clippy::print_stderr, reason = "a test that proves nothing must say so")]
fn export() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/invictus"));
    if folder.exists() {
        return Some(folder.to_owned());
    }
    let is_required = std::env::var_os("KEYTRAIL_REQUIRE_SHARED").is_some_and(|value| value == "1");
    assert!(!is_required, "no companion data at {}", folder.display());
    eprintln!("skipped: no companion data at {}", folder.display());
    None
}

/// The KMS records as a JSON parser sees them: event id to the key in `resources`.
fn parsed(folder: &Path) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for entry in fs::read_dir(folder.join("CloudTrail")).unwrap() {
        let file: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
        for record in file["Records"].as_array().unwrap() {
            if record["eventSource"] == "kms.amazonaws.com" {
                let arns =
                    record["resources"].as_array().unwrap().iter().filter_map(|resource| resource["ARN"].as_str());
                let found: Vec<&str> = arns.filter(|arn| arn.contains(":key/")).collect();
                assert_eq!(found.len(), 1);
                keys.insert(record["eventID"].as_str().unwrap().to_owned(), found.concat());
            }
        }
    }
    keys
}

#[test]
fn extract_finds_every_kms_event_with_its_key() {
    let Some(folder) = export() else { return };
    let expected = parsed(&folder);
    assert_eq!(expected.len(), 240);
    let run = extract(&folder.join("CloudTrail"), &[]).code(0);
    let kms = run.rows().into_iter().filter(|row| text(row, "event_source") == "kms.amazonaws.com");
    let found: Vec<(String, String)> = kms.map(|row| (text(&row, "event_id"), text(&row, "key_arn"))).collect();
    assert_eq!(found.len(), 240);
    assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
}

#[test]
fn a_case_counts_every_file_and_record_and_skips_nothing() {
    let Some(folder) = export() else { return };
    let place = TempDir::new().unwrap();
    let case = place.path().join("case");
    let before = support::names(&folder.join("CloudTrail"));
    // The whole folder: what lies beside the archives, such as a license, must not pass for a damaged archive unnoticed.
    let run = analyze(&folder.join("CloudTrail"), &case, &[]).code(0);
    let shown = format!("{}{}", run.text(), run.stderr);
    for number in ["55", "2,900", "240"] {
        assert!(shown.contains(number), "the summary does not show {number}\n{}", run.report());
    }
    let inputs = parquet_rows(&case.join("inputs.parquet"));
    assert_eq!(inputs.len(), 55);
    assert_eq!(total(&inputs, "records"), 2_900);
    assert!(inputs.iter().all(|row| cell(row, "problem").is_empty()), "{:?}", inputs.first());
    for row in &inputs {
        let name = cell(row, "path").rsplit('/').next().unwrap();
        let bytes = fs::read(folder.join("CloudTrail").join(name)).unwrap();
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(cell(row, "sha256"), hash, "{name}");
        assert_eq!(cell(row, "size"), bytes.len().to_string(), "{name}");
    }
    let events = case_events(&case);
    let keys: BTreeMap<String, String> = events
        .iter()
        .filter(|row| cell(row, "event_source") == "kms.amazonaws.com")
        .map(|row| (cell(row, "event_id").to_owned(), cell(row, "key_arn").to_owned()))
        .collect();
    assert_eq!(keys, parsed(&folder));
    assert_eq!(support::names(&folder.join("CloudTrail")), before, "something was written beside the evidence");
    let sql = "SELECT e.event_name, CAST(COUNT(*) AS BIGINT) AS n FROM events AS e \
               WHERE e.event_source = 'kms.amazonaws.com' GROUP BY e.event_name ORDER BY e.event_name";
    let counts: Vec<String> =
        query(&case, sql).iter().map(|row| text(row, "event_name") + "=" + &text(row, "n")).collect();
    assert_eq!(counts, ["Decrypt=178", "Encrypt=42", "GenerateDataKey=20"]);
}

/// The export's file names carry another account than its records. Names prune before a byte is read, so the filter finds
/// nothing here; that must not happen in silence.
#[test]
fn a_filter_that_leaves_out_files_by_their_names_says_so() {
    let Some(folder) = export() else { return };
    let run = extract(&folder.join("CloudTrail"), &["--account", "123837392027"]);
    let kms = run.rows().iter().filter(|row| text(row, "event_source") == "kms.amazonaws.com").count();
    assert!(kms == 240 || run.stderr.contains("55"), "{}", run.report());
}
