//! Every view, rule and review gives the same rows on DuckDB as on the engine inside keytrail.
//!
//! In: the sample case, and the records of each query's own test. Out: the differences. Needs Python's `duckdb` package: without it the test says that it was skipped,
//! and fails when `KEYTRAIL_REQUIRE_DUCKDB=1`.

#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::process::Command;

#[test]
fn all_queries_give_the_same_rows_on_duckdb() {
    if !Command::new("python3").args(["-c", "import duckdb"]).output().is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("KEYTRAIL_REQUIRE_DUCKDB").is_some_and(|value| value == "1");
        assert!(!required, "python3 with the package duckdb is required here");
        eprintln!("skipped: python3 has no package duckdb");
        return;
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let binary = env!("CARGO_BIN_EXE_keytrail");
    let folder = tempfile::tempdir().unwrap();
    let case = folder.path().join("case");
    let made =
        Command::new(binary).args(["analyze", "sample-logs", "-q", "--out"]).arg(&case).current_dir(&root).status();
    assert!(made.unwrap().success());
    let mut compare = Command::new("python3");
    compare.arg(root.join("tests/duckdb_compare.py")).arg(binary).arg(&case).arg(folder.path().join("tests"));
    let compared = compare.output().unwrap();
    let text = String::from_utf8_lossy(&compared.stdout).into_owned() + &String::from_utf8_lossy(&compared.stderr);
    assert!(compared.status.success(), "{text}");
}
