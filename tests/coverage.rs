//! Coverage and the chain of custody: what a case says it cannot show, and whether it still is what it was.
//!
//! In: the sample logs, whole, with files taken away, and packed; the real export; a small case that is tampered with. Out:
//! the text and the tables of `coverage`, and the lines of `manifest check`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use support::corpus;
use support::pack::{gzip, trail, zip};
use support::sample::root;
use support::{Row, Run, analyze, cell, csv, keytrail, parquet_rows, put, text, tree};
use tempfile::TempDir;

#[track_caller]
fn coverage(case: &Path, options: &[&str]) -> Run {
    keytrail(&[&["coverage", "--case", case.to_str().unwrap()], options].concat()).code(0)
}

fn table(case: &Path, name: &str) -> Vec<Row> {
    parquet_rows(&case.join("tables").join(format!("{name}.parquet")))
}

/// Limits by kind.
fn limits(case: &Path) -> BTreeMap<String, String> {
    table(case, "evidence_limits")
        .iter()
        .map(|row| (cell(row, "kind").to_owned(), cell(row, "summary").to_owned()))
        .collect()
}

/// Copies the sample logs without the files of which `is_lost` says so; how many those were.
fn sample_without(target: &Path, is_lost: impl Fn(&str) -> bool) -> usize {
    let mut lost = 0;
    for (path, bytes) in tree(&root().join("sample-logs")) {
        match is_lost(&path.to_string_lossy()) {
            true => lost += 1,
            false => put(&target.join(path), bytes),
        }
    }
    lost
}

/// `coverage` over archives.
#[track_caller]
fn over(paths: &Path, options: &[&str]) -> Run {
    keytrail(&[&["coverage", paths.to_str().unwrap()], options].concat()).code(0)
}

#[test]
fn the_sample_has_no_gap_and_every_log_object_that_is_named() {
    let logs = root().join("sample-logs");
    let named = over(&logs, &["--rows", "logs", "--format", "ndjson"]).rows();
    assert!(named.iter().filter(|row| row["status"] == "found").count() > 200);
    assert!(named.iter().all(|row| row["status"] != "absent"));
    let places = over(&logs, &["--format", "ndjson"]).rows();
    assert_eq!(places.len(), 5);
    let regular: Vec<_> = places.iter().filter(|row| row["region"] != "us-west-2").collect();
    assert!(regular.iter().all(|row| row["key_use_recorded"] == "yes" && row["usual_hours"] == 5), "{places:?}");
    assert!(places.iter().all(|row| row["gap_count"] == 0), "{places:?}");
}

#[test]
fn taken_away_files_are_a_gap_and_are_missed_by_name() {
    let folder = TempDir::new().unwrap();
    let is_lost = |path: &str| {
        path.contains("o-exampleorgid/111122223333/CloudTrail/us-east-1/2025/10/1")
            && ["/10/10/", "/10/11/"].iter().any(|day| path.contains(day))
    };
    let lost = sample_without(&folder.path().join("logs"), is_lost);
    assert!(lost >= 10, "{lost}");
    let logs = folder.path().join("logs");
    let gaps = over(&logs, &["--rows", "gaps", "--format", "ndjson"]).rows();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((text(&gaps[0], "account_id"), text(&gaps[0], "region")), ("111122223333".into(), "us-east-1".into()));
    assert_eq!(text(&gaps[0], "gap_kind"), "hole");
    let hours = gaps[0]["gap_hours"].as_u64().unwrap();
    assert!((44..60).contains(&hours), "{hours}");
    let told = over(&logs, &[]).text();
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.starts_with("What this evidence cannot show high"), "{told}");
    assert!(flat.contains(&format!("us-east-1, {lost} are not among the files")), "{told}");
    assert!(flat.contains(&format!("has a gap of {hours} hours")), "{told}");
}

#[test]
fn archives_are_covered_like_the_files_in_them() {
    let folder = TempDir::new().unwrap();
    let files = tree(&root().join("sample-logs"));
    let members: Vec<(String, Vec<u8>)> =
        files.into_iter().map(|(path, bytes)| (path.to_string_lossy().into_owned(), bytes)).collect();
    put(&folder.path().join("logs.zip"), zip(&members));
    let from_archive = csv(&over(&folder.path().join("logs.zip"), &["--format", "csv"]).text());
    let from_files = csv(&over(&root().join("sample-logs"), &["--format", "csv"]).text());
    assert_eq!(from_files.len(), 6);
    assert_eq!(from_archive, from_files);
}

#[test]
fn every_table_comes_in_every_form() {
    let (folder, _, case) = small();
    for (rows, at_least) in [("places", 2), ("hours", 3), ("gaps", 0), ("limits", 3), ("trails", 1), ("logs", 0)] {
        let listed = coverage(&case, &["--rows", rows, "--format", "ndjson"]).text();
        assert!(listed.lines().count() >= at_least, "{rows}: {listed}");
        let out = folder.path().join(format!("{rows}.parquet"));
        coverage(&case, &["--rows", rows, "--format", "parquet", "-o", out.to_str().unwrap()]);
        assert_eq!(parquet_rows(&out).len(), listed.lines().count(), "{rows}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that proves nothing must say so")]
fn a_real_export_of_an_hour_has_no_gap() {
    let export = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/invictus"));
    if !export.exists() {
        assert!(std::env::var_os("KEYTRAIL_REQUIRE_SHARED").is_none_or(|value| value != "1"), "no companion data");
        eprintln!("skipped: no companion data at {}", export.display());
        return;
    }
    let run = keytrail(&["coverage", export.to_str().unwrap(), "--format", "ndjson"]).code(0);
    let places = run.rows();
    assert_eq!(places.len(), 1);
    // Names were made anonymous: the account is that of the records.
    assert_eq!(places[0]["account_id"], "123837392027");
    assert_eq!(
        (&places[0]["files"], &places[0]["records"], &places[0]["kms_events"]),
        (&55.into(), &2900.into(), &240.into())
    );
    assert_eq!(places[0]["gap_count"], 0);
    let lag = places[0]["typical_lag_s"].as_i64().unwrap();
    assert!((60..900).contains(&lag), "{lag}");
}

/// A small case, its evidence beside it.
fn small() -> (TempDir, PathBuf, PathBuf) {
    let folder = TempDir::new().unwrap();
    let (logs, case) = (folder.path().join("in"), folder.path().join("case"));
    for at in 0..corpus::FILES {
        put(&logs.join(corpus::key_of(at) + ".gz"), gzip(&trail(&corpus::files()[at])));
    }
    analyze(&logs, &case, &[]).code(0);
    (folder, logs, case)
}

fn check(case: &Path, options: &[&str]) -> Run {
    keytrail(&[&["manifest", "check", case.to_str().unwrap()], options].concat())
}

#[test]
fn an_untouched_case_is_found_untouched_and_tampering_is_told_line_by_line() {
    let (_guard, logs, case) = small();
    let inputs = ["--inputs", logs.to_str().unwrap()];
    let run = check(&case, &inputs).code(0);
    assert_eq!(run.text(), "");
    assert!(run.stderr.contains("5 inputs") && run.stderr.contains("no difference"), "{}", run.stderr);
    let hash = run.stderr.split("SHA-256 ").nth(1).unwrap().get(..64).unwrap().to_owned();
    check(&case, &["--sha256", &hash]).code(0);

    let key = corpus::key_of(0) + ".gz";
    put(&logs.join(&key), gzip(b"{\"Records\":[]}"));
    fs::remove_file(logs.join(corpus::key_of(1) + ".gz")).unwrap();
    put(&case.join("findings.csv"), "rule\n");
    put(&case.join("tables/extra.parquet"), "x");
    fs::remove_file(case.join("tables/keys.parquet")).unwrap();
    let run = check(&case, &[&inputs[..], &["--sha256", &"0".repeat(64)]].concat()).code(3);
    let told: Vec<String> =
        run.text().lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "changed case manifest.json".to_owned(),
        "changed case findings.csv".to_owned(),
        "additional case tables/extra.parquet".to_owned(),
        "missing case tables/keys.parquet".to_owned(),
        format!("changed input {key}"),
        format!("missing input {}.gz", corpus::key_of(1)),
    ];
    assert_eq!(
        {
            let mut told = told.clone();
            told.sort();
            told
        },
        {
            let mut all = expected.to_vec();
            all.sort();
            all
        }
    );
    assert!(
        run.text().lines().all(|line| line.contains("expected ") || line.starts_with("additional")),
        "{}",
        run.text()
    );
    check(&logs, &[]).code(1);
}

#[test]
fn an_extended_case_has_a_manifest_of_all_of_it() {
    let (_guard, logs, case) = small();
    let name = corpus::key_of(0).replace("20240501", "20240505") + ".gz";
    put(&logs.join(name), gzip(&trail(&[corpus::decrypt(900).at("2024-05-05T10:00:00Z").text()])));
    analyze(&logs, &case, &["--append"]).code(0);
    check(&case, &["--inputs", logs.to_str().unwrap()]).code(0);
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(case.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["runs"].as_array().unwrap().len(), 2);
    // A table that was changed behind its back must not become part of a larger case.
    let part = tree(&case).into_keys().find(|path| path.starts_with("events")).unwrap();
    put(&case.join(&part), "changed");
    let run = analyze(&logs, &case, &["--append"]).code(1);
    assert!(run.stderr.contains("changed since the case was written"), "{}", run.stderr);
}

#[test]
fn filters_and_damage_are_limits() {
    let folder = TempDir::new().unwrap();
    let logs = folder.path().join("in");
    for at in 0..corpus::FILES {
        put(&logs.join(corpus::key_of(at) + ".gz"), gzip(&trail(&corpus::files()[at])));
    }
    let torn = gzip(&trail(&corpus::files()[0]));
    put(&logs.join("torn.json.gz"), &torn[..torn.len() / 2]);
    let case = folder.path().join("case");
    analyze(&logs, &case, &["--since", "2024-05-01", "--key", "alias/payroll"]).code(2);
    let found = limits(&case);
    assert!(found["filtered"].contains("a range of time, only keys alias/payroll"), "{found:?}");
    assert!(found["unreadable_input"].contains("torn.json.gz"), "{found:?}");
    assert!(found.contains_key("no_digests"), "{found:?}");
}
