//! The case folder: what stands in it, that it is all or nothing, and that every way to it gives the same bytes.
//!
//! In: the corpus of `support::corpus` as files in a bucket. Out: the folder that `analyze` wrote, read with the Parquet
//! reader or byte by byte.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use support::corpus::{self, KEY_A, KEY_B, KEY_MRK, decrypt, id};
use support::pack::{gzip, trail};
use support::{
    Row, analyze, case_events, case_ids, cell, csv, extract, keytrail, names, parquet_rows, put, query, same_tree,
    shared, text, total, tree,
};
use tempfile::TempDir;

/// What `findings.csv` promises to every reader.
const FINDINGS: &str = "rule,title,severity,attack,first_time,last_time,account_id,region,key_arn,principal,source_ip,\
                        event_count,summary,details,event_ids,integrity";

/// A folder for one test: the evidence in `in/`, cases beside it.
struct Place {
    root: PathBuf,
    /// Removes the folder at the end; the folder that all tests read stays under `target/tmp`.
    _guard: Option<TempDir>,
}

impl Place {
    fn empty() -> Self {
        let guard = TempDir::new().unwrap();
        let place = Self { root: guard.path().to_owned(), _guard: Some(guard) };
        fs::create_dir(place.input()).unwrap();
        place
    }

    /// With the corpus.
    fn new() -> Self {
        let place = Self::empty();
        (0..corpus::FILES).for_each(|at| place.deliver(at));
        place
    }

    /// With the corpus and its case.
    fn with_case() -> (Self, PathBuf) {
        let place = Self::new();
        for (path, bytes) in tree(case()) {
            put(&place.at("case").join(path), bytes);
        }
        let case = place.at("case");
        (place, case)
    }

    /// File `at` of the corpus arrives.
    fn deliver(&self, at: usize) {
        put(&self.input().join(corpus::key_of(at) + ".gz"), gzip(&trail(&corpus::files()[at])));
    }

    fn input(&self) -> PathBuf {
        self.at("in")
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    #[track_caller]
    fn analyze(&self, case: &str, options: &[&str]) -> PathBuf {
        analyze(&self.input(), &self.at(case), options).code(0);
        self.at(case)
    }

    /// Nothing is left beside the cases and the input.
    #[track_caller]
    fn has_only(&self, expected: &[&str]) {
        assert_eq!(names(&self.root), expected);
    }
}

/// The corpus analyzed once, for all tests that only read.
static ANALYZED: LazyLock<(Place, String)> = LazyLock::new(|| {
    let place_in = |root: &Path| Place { root: root.join("place"), _guard: None };
    let root = shared("case_folder", |root| {
        let place = place_in(root);
        (0..corpus::FILES).for_each(|at| place.deliver(at));
        let run = analyze(&place.input(), &place.at("case"), &["--jobs", "4"]).code(0);
        put(&root.join("told"), run.text() + &run.stderr);
    });
    (place_in(&root), fs::read_to_string(root.join("told")).unwrap())
});

/// The case of the corpus.
fn case() -> &'static Path {
    static CASE: LazyLock<PathBuf> = LazyLock::new(|| ANALYZED.0.at("case"));
    &CASE
}

/// All files but the manifest, whose run times differ, and the report, which quotes them and the case's name.
fn comparable(case: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(case);
    files.remove(Path::new("manifest.json")).unwrap();
    files.remove(Path::new("report.html")).unwrap();
    assert!(files.len() > 8, "the comparison proves nothing: {:?}", files.keys());
    files
}

/// The rows of every table of a case, sorted, by table.
fn tables(case: &Path) -> BTreeMap<String, Vec<Row>> {
    let mut tables = BTreeMap::new();
    for name in names(&case.join("tables")).into_iter().filter(|name| name.ends_with(".parquet")) {
        let mut rows = parquet_rows(&case.join("tables").join(&name));
        rows.sort();
        tables.insert(name, rows);
    }
    let mut rows = parquet_rows(&case.join("findings.parquet"));
    rows.sort();
    tables.insert("findings".to_owned(), rows);
    tables
}

#[track_caller]
fn same_tables(left: &Path, right: &Path) {
    let (left, right) = (tables(left), tables(right));
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, rows) in &left {
        let other = &right[name];
        assert_eq!(rows.len(), other.len(), "{name}: number of rows");
        for (row, other) in rows.iter().zip(other) {
            assert_eq!(row, other, "{name}");
        }
    }
}

#[test]
fn a_case_has_the_documented_layout() {
    let (case, (place, told)) = (case(), &*ANALYZED);
    place.has_only(&["case", "in"]);
    same_tree(&tree(&Place::new().input()), &tree(&place.input()), "the evidence");
    for file in ["manifest.json", "inputs.parquet", "findings.parquet", "findings.csv", "findings.ndjson"] {
        assert!(case.join(file).is_file(), "no {file}: {:?}\n{told}", names(case));
    }
    for table in ["keys", "principals", "grants", "aliases", "key_timeline", "principal_timeline", "exposure"] {
        assert!(
            case.join("tables").join(format!("{table}.parquet")).is_file(),
            "no table {table}: {:?}",
            names(&case.join("tables"))
        );
    }
    assert_eq!(names(&case.join("events")), ["date=2024-05-01", "date=2024-05-02", "date=2024-05-03"]);
    let manifest: Value = serde_json::from_slice(&fs::read(case.join("manifest.json")).unwrap()).unwrap();
    let manifest_text = manifest.to_string();
    assert!(manifest_text.contains(env!("CARGO_PKG_VERSION")), "{manifest_text}");
    let inputs = parquet_rows(&case.join("inputs.parquet"));
    assert_eq!(inputs.len(), corpus::FILES);
    assert_eq!(total(&inputs, "records"), 61);
    assert_eq!(total(&inputs, "duplicates"), 1);
    let hashes: BTreeSet<&str> = inputs.iter().map(|row| cell(row, "sha256")).collect();
    assert!(hashes.len() == corpus::FILES && hashes.iter().all(|hash| hash.len() == 64));
    assert!(!told.contains('\u{1b}'), "colors although stdout is no terminal");
}

#[test]
fn events_are_partitioned_by_their_own_day_and_sorted() {
    let case = case();
    let mut all = Vec::new();
    for day in names(&case.join("events")) {
        for file in names(&case.join("events").join(&day)) {
            let rows = parquet_rows(&case.join("events").join(&day).join(&file));
            let order =
                |row: &Row| (cell(row, "event_epoch").parse::<i64>().unwrap(), cell(row, "event_id").to_owned());
            assert!(rows.windows(2).all(|pair| order(&pair[0]) < order(&pair[1])), "{day}/{file} is not sorted");
            let start = 1_714_521_600 + (day.trim_start_matches("date=2024-05-").parse::<i64>().unwrap() - 1) * 86_400;
            assert!(
                rows.iter().all(|row| (start..start + 86_400).contains(&order(row).0)),
                "{day}/{file}: another day"
            );
            all.extend(rows.iter().map(|row| cell(row, "event_id").to_owned()));
        }
    }
    all.sort();
    assert_eq!(all, corpus::ids());
}

#[test]
fn findings_have_the_documented_columns_and_name_their_events() {
    let case = case();
    let csv = fs::read_to_string(case.join("findings.csv")).unwrap();
    assert_eq!(csv.lines().next().unwrap().trim_start_matches('\u{feff}'), FINDINGS);
    let findings = parquet_rows(&case.join("findings.parquet"));
    assert!(!findings.is_empty(), "a deletion, a public policy and a blinded trail are in the corpus");
    let known: BTreeSet<String> = corpus::ids().into_iter().collect();
    for finding in &findings {
        let ids: Vec<String> = serde_json::from_str(cell(finding, "event_ids")).unwrap();
        assert!(ids.iter().all(|id| known.contains(id)), "{finding:?}");
        assert!(["info", "low", "medium", "high", "critical"].contains(&cell(finding, "severity")), "{finding:?}");
    }
    for n in [2, 3, 31] {
        assert!(
            findings.iter().any(|row| cell(row, "event_ids").contains(&id(n))),
            "no finding names record {n}: {findings:?}"
        );
    }
    let lines = fs::read_to_string(case.join("findings.ndjson")).unwrap();
    assert_eq!(lines.lines().count(), findings.len());
}

#[test]
fn an_existing_case_is_refused_replaced_or_extended_as_asked() {
    let (place, case) = Place::with_case();
    let before = tree(&case);
    let run = analyze(&place.input(), &case, &[]).code(1);
    assert!(run.stderr.contains("case") && run.stderr.contains("--force"), "{}", run.report());
    same_tree(&before, &tree(&case), "a refused run");
    let run = analyze(&place.input(), &case, &["--force", "--append"]).code(1);
    assert!(!run.stderr.is_empty());
    let other = Place::empty();
    put(&other.input().join("a.json"), trail(&[decrypt(1).text()]));
    analyze(&other.input(), &case, &["--force"]).code(0);
    assert_eq!(case_ids(&case).into_iter().collect::<Vec<_>>(), [id(1)]);
    assert_eq!(names(&case.join("events")), ["date=2024-05-02"], "nothing of the old case is left");
    place.has_only(&["case", "in"]);
}

/// A folder that is no case may be somebody's home.
#[test]
fn force_does_not_replace_a_folder_that_is_no_case() {
    let place = Place::new();
    put(&place.at("thesis/chapter.txt"), "years of work");
    analyze(&place.input(), &place.at("thesis"), &["--force"]).code(1);
    assert_eq!(fs::read_to_string(place.at("thesis/chapter.txt")).unwrap(), "years of work");
    analyze(&place.input(), &place.at("thesis"), &["--append"]).code(1);
    assert_eq!(names(&place.at("thesis")), ["chapter.txt"]);
}

/// The replaced case must survive a run that cannot start.
#[test]
fn a_failed_run_leaves_the_old_case_and_no_half_case() {
    let (place, case) = Place::with_case();
    let before = tree(&case);
    analyze(&place.at("missing"), &case, &["--force"]).code(1);
    analyze(&place.input(), &case, &["--force", "--queries", place.at("missing").to_str().unwrap()]).code(1);
    analyze(&place.input(), &place.at("new"), &["--set", "no-equals-sign"]).code(1);
    same_tree(&before, &tree(&case), "failed runs");
    place.has_only(&["case", "in"]);
}

#[test]
fn append_adds_only_new_files_and_equals_one_run_over_everything() {
    let place = Place::empty();
    place.deliver(0);
    place.deliver(2);
    let case = place.analyze("case", &[]);
    for at in [1, 3, 4] {
        place.deliver(at);
    }
    let run = analyze(&place.input(), &case, &["--append"]).code(0);
    let whole = self::case().to_owned();
    same_tree(&tree(&whole.join("events")), &tree(&case.join("events")), "the events");
    same_tables(&whole, &case);
    let inputs = |case: &Path| {
        let mut rows = parquet_rows(&case.join("inputs.parquet"));
        rows.iter_mut()
            .for_each(|row| row.retain(|column, _| ["path", "sha256", "size", "records"].contains(&column.as_str())));
        rows.sort();
        rows
    };
    assert_eq!(inputs(&whole), inputs(&case), "{}", run.report());
    let before = comparable(&case);
    analyze(&place.input(), &case, &["--append"]).code(0);
    same_tree(&before, &comparable(&case), "nothing new");
    place.has_only(&["case", "in"]);
}

/// The machine loses power: there is no half case, and the next night's command just works.
#[test]
fn a_killed_run_leaves_no_half_case_and_does_not_block_the_next() {
    let place = Place::new();
    let (input, case) = (place.input(), place.at("case"));
    let arguments = ["analyze", input.to_str().unwrap(), "--out", case.to_str().unwrap(), "--quiet"];
    let mut child = support::command(&arguments).spawn().unwrap();
    // The work has begun when something stands beside the input.
    while names(&place.root).len() < 2 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!case.exists() || case.join("manifest.json").exists(), "half a case: {:?}", names(&case));
    // A nightly job is the same command every night, so `--append` makes the case that is not there yet.
    let run = keytrail(&[&arguments, ["--append"].as_slice()].concat()).code(0);
    assert!(run.stdout.is_empty() && run.stderr.is_empty(), "--quiet\n{}", run.report());
    assert_eq!(case_ids(&case), case_ids(self::case()));
    // What the killed run had written may still lie there, hidden, so that nobody takes it for a case.
    let visible: Vec<String> = names(&place.root).into_iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, ["case", "in"]);
}

/// A run is killed while it waits for more input, after files that a checkpoint holds. The same job goes on behind them, and
/// reads again what has changed since.
#[test]
fn an_interrupted_run_goes_on_where_it_was_and_gives_the_same_bytes() {
    for is_changed in [false, true] {
        let place = Place::empty();
        let files: Vec<String> = (0..4_u32)
            .map(|file| {
                let path = place.input().join(format!("{file}.json"));
                put(&path, trail(&(0..20).map(|n| decrypt(file * 100 + n).text()).collect::<Vec<_>>()));
                path.to_str().unwrap().to_owned()
            })
            .collect();
        let run = |case: &str, more: &[&str]| {
            let target = place.at(case);
            let options = ["--out", target.to_str().unwrap(), "--memory", "1K", "--jobs", "1"];
            let paths = files.iter().map(String::as_str).chain(more.iter().copied());
            std::iter::once("analyze").chain(paths).chain(options).map(str::to_owned).collect::<Vec<_>>()
        };
        // A pipe that nobody writes to, last in the order of names.
        let pipe = place.at("zzz");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut child = support::command(&run("case", &[pipe.to_str().unwrap()])).spawn().unwrap();
        let journal = place.at(&format!(".case.unfinished-{}", child.id())).join(".spill/runs/journal");
        let lines = || fs::read_to_string(&journal).map_or(0, |text| text.lines().count());
        let begun = std::time::Instant::now();
        while lines() < 4 && begun.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let written = lines();
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(&pipe).unwrap();
        assert_eq!(written, 4, "a checkpoint for each file");
        if is_changed {
            put(&place.input().join("1.json"), trail(&[decrypt(4_321).text()]));
        }
        let resumed = keytrail(&run("case", &[])).code(0);
        let told = format!("went on with an interrupted run: {} files", if is_changed { 3 } else { 4 });
        assert!(resumed.stderr.contains(&told), "{}", resumed.report());
        keytrail(&run("again", &[])).code(0);
        place.has_only(&["again", "case", "in"]);
        same_tree(&comparable(&place.at("again")), &comparable(&place.at("case")), "interrupted");
        assert_eq!(case_ids(&place.at("case")).contains(&id(4_321)), is_changed);
    }
}

/// A second look finds a grown file, a forged copy of a known event, and that event once more.
#[test]
fn append_sees_what_changed_and_keeps_both_contents_of_one_event() {
    let place = Place::empty();
    put(&place.input().join("a.json"), trail(&[decrypt(1).text()]));
    let case = place.analyze("case", &[]);
    let mut altered = decrypt(1);
    altered.ip = "203.0.113.7";
    put(&place.input().join("a.json"), trail(&[decrypt(1).text(), decrypt(2).text()]));
    put(&place.input().join("b.json"), trail(&[altered.text(), decrypt(1).text()]));
    let run = analyze(&place.input(), &case, &["--append"]);
    assert!(run.code == 0 || run.code == 2, "{}", run.report());
    let rows = case_events(&case);
    let contents: BTreeSet<_> = rows.iter().map(|row| (cell(row, "event_id"), cell(row, "source_ip"))).collect();
    let (one, two) = (id(1), id(2));
    let expected = [(one.as_str(), "192.0.2.10"), (one.as_str(), "203.0.113.7"), (two.as_str(), "192.0.2.10")];
    assert_eq!(contents, BTreeSet::from(expected), "{}", run.report());
    assert_eq!(rows.len(), 3);
    assert!(run.stderr.contains("content"), "{}", run.report());
}

/// One analysis for three claims, because each costs seconds: `--fail-on` changes the exit code and nothing else.
#[test]
fn threads_and_memory_and_fail_on_do_not_change_a_byte() {
    let place = Place::new();
    let run =
        analyze(&place.input(), &place.at("tiny"), &["--memory", "1K", "--jobs", "1", "--fail-on", "low"]).code(3);
    assert!(run.stdout.len() + run.stderr.len() > 100, "the summary is shown all the same");
    same_tree(&comparable(case()), &comparable(&place.at("tiny")), "1 KiB, 1 thread");
    place.has_only(&["in", "tiny"]);
}

/// Thousands of rows over two days, so that every spill holds parts of both.
#[test]
fn spilling_does_not_change_a_byte() {
    let place = Place::empty();
    for file in 0..4_u32 {
        let record = |n: u32| {
            let n = file * 600 + n * 7 % 1_000;
            decrypt(n).at(&format!("2024-05-0{}T{:02}:{:02}:00Z", 1 + n % 2, n % 24, n % 60)).text()
        };
        put(&place.input().join(format!("{file}.json")), trail(&(0..1_000).map(record).collect::<Vec<_>>()));
    }
    let input = place.input();
    let write = |name: &str, options: &[&str]| {
        let output = place.at(name);
        let fixed = ["extract", input.to_str().unwrap(), "-o", output.to_str().unwrap()];
        keytrail(&[fixed.as_slice(), options].concat()).code(0);
        fs::read(output).unwrap()
    };
    let whole = write("whole.parquet", &[]);
    assert_eq!(parquet_rows(&place.at("whole.parquet")).len(), 2_800);
    assert!(write("tiny.parquet", &["--memory", "1K"]) == whole, "1 KiB");
    assert!(write("small.parquet", &["--memory", "100K", "--jobs", "4"]) == whole, "100 KiB");
    place.has_only(&["in", "small.parquet", "tiny.parquet", "whole.parquet"]);
}

#[test]
fn files_from_a_list_make_the_same_case_as_their_folder() {
    let place = Place::new();
    let list: String = (0..corpus::FILES)
        .map(|at| format!("{}\n", place.input().join(corpus::key_of(at) + ".gz").display()))
        .collect();
    put(&place.at("list.txt"), list);
    let (listed, list) = (place.at("listed"), place.at("list.txt"));
    keytrail(&["analyze", "--files-from", list.to_str().unwrap(), "--out", listed.to_str().unwrap()]).code(0);
    let rows = |case: &Path| {
        let mut rows = case_events(case);
        rows.iter_mut().for_each(|row| row.retain(|column, _| !support::PROVENANCE.contains(&column.as_str())));
        rows
    };
    assert_eq!(rows(case()), rows(&listed));
}

#[test]
fn quiet_prints_nothing_and_stdout_has_no_noise() {
    let place = Place::new();
    let run = extract(&place.input(), &["--quiet"]).code(0);
    assert!(run.stderr.is_empty() && run.rows().len() == corpus::ids().len(), "{}", run.report());
    let output = place.at("events.parquet");
    let run = keytrail(&["extract", place.input().to_str().unwrap(), "-o", output.to_str().unwrap()]).code(0);
    assert!(run.stdout.is_empty(), "{}", run.report());
}

#[test]
fn filters_are_exact_on_records() {
    let place = Place::empty();
    for (at, records) in corpus::files().iter().enumerate() {
        put(&place.input().join(format!("{at}.json")), trail(records));
    }
    let all = extract(&place.input(), &[]).code(0).rows();
    let check = |options: &[&str], keep: &dyn Fn(&Map<String, Value>) -> bool| {
        let run = extract(&place.input(), options).code(0);
        let expected: Vec<String> = all.iter().filter(|row| keep(row)).map(|row| text(row, "event_id")).collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{options:?} proves nothing");
        assert_eq!(run.ids(), expected, "{options:?}\n{}", run.stderr);
    };
    let epoch = |row: &Map<String, Value>| row["event_epoch"].as_i64().unwrap();
    // Record 28 is the last second of the second day, record 29 the first of the third.
    let third_day = 1_714_694_400;
    check(&["--since", "2024-05-03"], &|row| epoch(row) >= third_day);
    check(&["--until", "2024-05-02"], &|row| epoch(row) < third_day);
    check(&["--until", "2024-05-03T00:00:00Z"], &|row| epoch(row) <= third_day);
    check(&["--since", "2024-05-02T23:59:59Z", "--until", "2024-05-02T23:59:59Z"], &|row| epoch(row) == third_day - 1);
    check(&["--since", "2024-05-03T02:00:00+02:00"], &|row| epoch(row) >= third_day);
    check(&["--account", "444455556666"], &|row| text(row, "account_id") == "444455556666");
    check(&["--account", "4444*", "--account", "5*"], &|row| text(row, "account_id") == "444455556666");
    check(&["--region", "eu-*"], &|row| text(row, "region") == "eu-west-1");
    let kms = |row: &Map<String, Value>| text(row, "event_source") == "kms.amazonaws.com";
    check(&["--key", KEY_A], &|row| !kms(row) || text(row, "key_arn") == KEY_A || text(row, "target_key_arn") == KEY_A);
    let touches_b =
        |row: &Map<String, Value>| !kms(row) || text(row, "key_arn") == KEY_B || text(row, "target_key_arn") == KEY_B;
    check(&["--key", KEY_B], &touches_b);
    check(&["--key", "0987dcba-09fe-87dc-65ba-ab0987654321"], &touches_b);
    check(&["--key", "mrk-1234abcd12ab34cd56ef1234567890ab"], &|row| !kms(row) || text(row, "key_arn") == KEY_MRK);
    check(&["--key", "mrk-*", "--key", KEY_B], &|row| touches_b(row) || text(row, "key_arn") == KEY_MRK);
    check(&["--principal", corpus::BOB], &|row| text(row, "principal") == corpus::BOB);
    check(&["--principal", "*:role/service/*"], &|row| text(row, "principal") == corpus::ROLE);
    check(&["--principal", corpus::ROLE, "--region", "us-*", "--since", "2024-05-02"], &|row| {
        text(row, "principal") == corpus::ROLE && text(row, "region") == "us-east-1" && epoch(row) >= third_day - 86_400
    });
    check(&["--principal", "night shift"], &|row| text(row, "session_name") == "night shift");
    check(&["--principal", "AKIABobEXAMPLE"], &|row| text(row, "access_key_id") == "AKIABobEXAMPLE");
}

/// The time in a file's name is that of the delivery, and its account and Region are those of the delivery too.
#[test]
fn filters_on_file_names_leave_room_for_late_deliveries() {
    let place = Place::empty();
    let name = |account: &str, region: &str, day: &str, time: &str| {
        let folder = format!("AWSLogs/{account}/CloudTrail/{region}/{}", day.replace('-', "/"));
        format!("{folder}/{account}_CloudTrail_{region}_{}T{time}Z_AbCdEfGh12345678.json", day.replace('-', ""))
    };
    let late = |n: u32| trail(&[decrypt(n).at("2024-05-02T23:59:59Z").text()]);
    put(&place.input().join(name("111122223333", "us-east-1", "2024-05-03", "0005")), late(1));
    put(&place.input().join(name("111122223333", "us-east-1", "2024-05-03", "0555")), late(2));
    let other = trail(&[decrypt(3).elsewhere().at("2024-05-03T01:00:00Z").text()]);
    put(&place.input().join(name("444455556666", "eu-west-1", "2024-05-03", "0105")), other);
    let ids = |options: &[&str]| extract(&place.input(), options).code(0).ids();
    assert_eq!(ids(&["--until", "2024-05-02"]), [id(1), id(2)]);
    assert_eq!(ids(&["--since", "2024-05-02T23:59:59Z"]), [id(1), id(2), id(3)]);
    assert_eq!(ids(&["--since", "2024-05-03"]), [id(3)]);
    assert_eq!(ids(&["--account", "1111*"]), [id(1), id(2)]);
    assert_eq!(ids(&["--region", "eu-west-1"]), [id(3)]);
}

#[test]
fn csv_and_terminal_output_defuse_hostile_text() {
    let place = Place::empty();
    let hostile = [
        "=cmd|' /C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\\t=1",
        "\\r=1",
        "\\u001b[31mred\\u001b]0;x\\u0007",
        "a\\n=b\\\",=c",
    ];
    let calls = hostile.iter().zip(1..).map(|(agent, n)| decrypt(n).agent(agent).text());
    put(&place.input().join("a.json"), trail(&calls.collect::<Vec<_>>()));
    // A few decrypts are no critical finding, so that the exit code stays 0.
    let case = place.analyze("case", &["--format", "csv", "--fail-on", "critical"]);
    let output = place.at("events.csv");
    keytrail(&["extract", place.input().to_str().unwrap(), "-o", output.to_str().unwrap()]).code(0);
    for path in [case.join("tables/events.csv"), output] {
        let cells = csv(&fs::read_to_string(&path).unwrap());
        assert!(cells.len() > hostile.len());
        let dangerous =
            |cell: &&String| cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
        assert_eq!(cells.iter().flatten().find(dangerous), None, "{}", path.display());
        assert!(cells.iter().flatten().any(|cell| cell.contains("cmd|' /C calc'!A0")), "the text was lost");
    }
    let sql = "SELECT e.event_id, e.user_agent FROM events AS e ORDER BY e.event_id";
    let arguments = ["query", "--case", case.to_str().unwrap(), "--format", "table", "-"];
    let run = support::keytrail_with(&arguments, Some(sql.as_bytes())).code(0);
    let is_dangerous = |c: char| c.is_control() && c != '\n';
    assert!(!run.text().contains(is_dangerous), "{:?}", run.text());
    assert_eq!(query(&case, sql).len(), hostile.len());
    assert_eq!(
        text(&query(&case, sql)[0], "user_agent"),
        "=cmd|' /C calc'!A0",
        "only the output is defused, not the table"
    );
}

#[test]
fn child_tables_hold_what_queries_must_take_apart() {
    let case = case();
    let sql = |table: &str| format!("SELECT t.event_id FROM {table} AS t ORDER BY t.event_id");
    let ids = |table: &str| query(case, &sql(table)).iter().map(|row| text(row, "event_id")).collect::<BTreeSet<_>>();
    assert_eq!(ids("policy_entries"), BTreeSet::from([id(2)]));
    assert_eq!(ids("tag_entries"), BTreeSet::from([id(6)]));
    assert_eq!(ids("foreign_keys"), BTreeSet::from([id(32)]));
    assert_eq!(ids("trail_selectors"), BTreeSet::from([id(31)]));
}

#[test]
fn timelines_know_a_key_by_each_of_its_names() {
    let case = case().to_str().unwrap();
    let uses = |subject: &[&str]| {
        let fixed = ["timeline", "--case", case, "--format", "ndjson"];
        keytrail(&[fixed.as_slice(), subject].concat()).code(0).text()
    };
    for name in [KEY_A, "1234abcd-12ab-34cd-56ef-1234567890ab", "alias/app"] {
        let shown = uses(&["--key", name]);
        let has = |n: u32| shown.contains(&id(n));
        assert!(has(5) && has(9) && has(10) && has(21) && !has(28) && !has(3), "{name}: {shown:.900}");
    }
    let shown = uses(&["--principal", corpus::BOB]);
    assert!(shown.contains(&id(28)) && !shown.contains(&id(101)), "{shown:.500}");
    let shown = uses(&["--grant", "grant0001"]);
    assert!(shown.contains(&id(1)) && shown.contains(&id(4)), "{shown:.500}");
}

/// ReEncrypt is an encryption under its second key, so that key's chronology has it too.
#[test]
fn the_timeline_of_a_destination_key_has_the_re_encryption() {
    let case = case().to_str().unwrap();
    let shown = keytrail(&["timeline", "--case", case, "--format", "ndjson", "--key", KEY_B]).code(0).text();
    assert!(shown.contains(&id(3)) && shown.contains(&id(21)), "{shown:.3000}");
}
