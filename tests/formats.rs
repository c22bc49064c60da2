//! One corpus, packed and wrapped in every way in which CloudTrail records arrive, gives one events table.
//!
//! In: the corpus of `support::corpus`. Out: the rows of `extract`, compared with those of the plain trail files column by
//! column; only the columns that say where a row was found may differ. The reference itself is checked against the
//! documentation's facts first, because two empty tables are equal too.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use support::corpus::{self, ALICE, KEY_A, KEY_B, KEY_MRK, ROLE, id};
use support::pack::{self, gzip, trail};
use support::{PROVENANCE, extract, keytrail, keytrail_with, put, same_rows, text, without};
use tempfile::TempDir;

/// Writes the corpus as trail files in the S3 layout.
fn bucket(folder: &Path, ending: &str, pack: impl Fn(&[u8]) -> Vec<u8>) {
    for (at, records) in corpus::files().iter().enumerate() {
        put(&folder.join(corpus::key_of(at) + ending), pack(&trail(records)));
    }
}

/// The rows of the corpus as plain trail files, checked to be those that it must give.
fn reference() -> Vec<Map<String, Value>> {
    let folder = TempDir::new().unwrap();
    bucket(folder.path(), "", <[u8]>::to_vec);
    let run = extract(folder.path(), &["--jobs", "1"]).code(0);
    let mut ids = run.ids();
    ids.sort();
    assert_eq!(ids, corpus::ids(), "{}", run.report());
    run.rows()
}

/// The file `name` gives the reference's rows, with one thread and with four, and loses nothing.
#[track_caller]
fn check(forms: &[(&str, Vec<u8>)]) {
    let expected = without(reference(), &PROVENANCE);
    let mut faults = Vec::new();
    for (name, bytes) in forms {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        put(&path, bytes);
        for jobs in ["1", "4"] {
            let run = extract(&path, &["--jobs", jobs]);
            if run.code != 0 {
                faults.push(format!("{name}, {jobs} threads: {}", run.report()));
                continue;
            }
            let rows = without(run.rows(), &PROVENANCE);
            if rows != expected {
                faults.push(format!("{name}, {jobs} threads: {}", first_difference(&expected, &rows)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn first_difference(expected: &[Map<String, Value>], rows: &[Map<String, Value>]) -> String {
    for (left, right) in expected.iter().zip(rows) {
        for (column, value) in left {
            if right.get(column) != Some(value) {
                let got = right.get(column);
                return format!("event {}: column {column} is {got:?}, not {value:?}", text(left, "event_id"));
            }
        }
    }
    format!("{} rows, not {}", rows.len(), expected.len())
}

/// All trail files of the corpus, each packed, as members of an archive.
fn members(ending: &str, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let files = corpus::files();
    files.iter().enumerate().map(|(at, records)| (corpus::key_of(at) + ending, pack(&trail(records)))).collect()
}

#[test]
fn the_corpus_gives_the_rows_that_the_documentation_says() {
    let rows = reference();
    let by_id: BTreeMap<String, &Map<String, Value>> = rows.iter().map(|row| (text(row, "event_id"), row)).collect();
    let mut faults = Vec::new();
    let mut is = |n: u32, column: &str, value: &str| {
        let got = text(by_id[&id(n)], column);
        if got != value {
            faults.push(format!("record {n}: {column} is {got:?}, not {value:?}"));
        }
    };
    is(101, "key_arn", KEY_A);
    is(101, "principal", ALICE);
    is(101, "source_ip", "192.0.2.10");
    is(104, "principal", ROLE);
    is(104, "session_name", "worker");
    is(1, "grantee_principal", corpus::BOB);
    is(1, "grantee_account_id", "444455556666");
    is(1, "grant_operations", "Decrypt,Encrypt");
    is(1, "grant_id", "grant0001");
    is(2, "policy_is_public", "true");
    is(2, "policy_external_accounts", "444455556666");
    is(2, "policy_bypasses_lockout", "true");
    is(3, "pending_window_days", "7");
    is(4, "grant_id", "grant0001");
    is(5, "key_arn", KEY_A);
    is(5, "alias_name", "alias/app");
    is(6, "tags", "{\"team\":\"x==\"}");
    is(7, "key_arn", KEY_B);
    is(9, "action_class", "unknown");
    is(9, "key_arn", KEY_A);
    is(10, "principal", "service:AWS Internal");
    is(10, "principal_type", "");
    is(10, "key_arn", KEY_A);
    is(11, "mrk_id", "mrk-1234abcd12ab34cd56ef1234567890ab");
    is(11, "primary_region", "us-west-2");
    is(21, "key_arn", KEY_A);
    is(21, "target_key_arn", KEY_B);
    is(21, "encryption_context", "{\"a\":\"1\",\"b\":\"2\"}");
    is(22, "via", "secretsmanager.amazonaws.com");
    is(22, "source_ip", "");
    is(22, "source_service", "secretsmanager.amazonaws.com");
    is(22, "is_direct", "false");
    is(23, "outcome", "denied");
    is(23, "key_arn", KEY_B);
    is(23, "key_source", "error_message");
    is(24, "key_arn", "");
    is(25, "encryption_context", "{\"a\":\"1\",\"z\":\"=/\u{1f600} \u{e9}\"}");
    is(26, "event_source", "kms.amazonaws.com");
    is(28, "event_epoch", "1714694399");
    is(29, "event_epoch", "1714694400");
    is(31, "excludes_kms", "true");
    is(32, "foreign_key_arns", &format!("[\"{KEY_MRK}\"]"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn rows_come_in_order_of_time_and_id() {
    let rows = reference();
    let place = |row: &Map<String, Value>| (row["event_epoch"].as_i64().unwrap(), text(row, "event_id"));
    assert!(rows.windows(2).all(|pair| place(&pair[0]) < place(&pair[1])));
}

#[test]
fn raw_columns_hold_the_text_as_received() {
    let rows = reference();
    let row = rows.iter().find(|row| text(row, "event_id") == id(25)).unwrap();
    let raw = "{\"keyId\":\"alias/app\",\"encryptionContext\":{\"z\":\"\\u003d\\/\\ud83d\\ude00 \u{e9}\",\"a\":\"1\"},\"x\":1.0,\"y\":1e3}";
    assert_eq!(text(row, "request_parameters"), raw);
}

#[test]
fn compressed_files_in_the_bucket_layout_give_the_same_rows() {
    let expected = without(reference(), &PROVENANCE);
    let folder = TempDir::new().unwrap();
    bucket(folder.path(), ".gz", gzip);
    for jobs in ["1", "4"] {
        same_rows(&expected, &without(extract(folder.path(), &["--jobs", jobs]).code(0).rows(), &PROVENANCE), jobs);
    }
}

#[test]
fn archives_give_the_same_rows() {
    let plain = |bytes: &[u8]| bytes.to_vec();
    let all: Vec<u8> = members("", gzip).into_iter().flat_map(|(_, bytes)| bytes).collect();
    let whole = trail(&corpus::deliveries());
    check(&[
        ("plain.zip", pack::zip(&members("", plain))),
        ("compressed.zip", pack::zip(&members(".gz", gzip))),
        ("plain.tar", pack::tar(&members("", plain))),
        ("compressed.tar", pack::tar(&members(".gz", gzip))),
        ("plain.tar.gz", gzip(&pack::tar(&members("", plain)))),
        ("compressed.tgz", gzip(&pack::tar(&members(".gz", gzip)))),
        ("one.json.zst", pack::zstd(&whole)),
        ("members.json.gz", all),
        ("one.json.gz", gzip(&whole)),
    ]);
}

#[test]
fn the_bytes_say_what_a_file_is_and_not_its_name() {
    let whole = trail(&corpus::deliveries());
    check(&[
        ("plain.json.gz", whole.clone()),
        ("compressed", gzip(&whole)),
        ("zip.json", pack::zip(&members(".gz", gzip))),
        ("tar.json.gz", pack::tar(&members("", <[u8]>::to_vec))),
        ("zstd.log", pack::zstd(&whole)),
    ]);
}

#[test]
fn trail_files_in_every_shape_give_the_same_rows() {
    let records = corpus::deliveries();
    let list = records.join(",");
    let concatenated: Vec<u8> = corpus::files().iter().flat_map(|records| trail(records)).collect();
    let wrapped: Vec<u8> =
        corpus::files().iter().flat_map(|records| [trail(records), b"\n".to_vec()].concat()).collect();
    let no_separator = records.concat().into_bytes();
    let late =
        format!("{{\"version\":\"1\",\"notes\":{{\"Records\":[{{\"a\":\"]\"}}]}},\"Records\":[{list}],\"end\":[1,2]}}");
    check(&[
        ("bare_array.json", format!("[{list}]").into_bytes()),
        ("spaced_array.json", format!(" [ {} ]\n", records.join(" ,\n ")).into_bytes()),
        ("records_not_first.json", late.into_bytes()),
        ("concatenated.json", concatenated),
        ("objects_without_separator.json", no_separator),
        ("lines.ndjson", pack::lines(&records, "\n")),
        ("lines_crlf.ndjson", pack::lines(&records, "\r\n")),
        ("lines_of_trails.ndjson", wrapped),
        ("blank_lines.ndjson", pack::lines(&records, "\n\n\r\n")),
        ("lines.ndjson.gz", gzip(&pack::lines(&records, "\n"))),
        ("mark.json", [b"\xef\xbb\xbf".to_vec(), trail(&records)].concat()),
        ("mark_lines.ndjson", [b"\xef\xbb\xbf".to_vec(), pack::lines(&records, "\r\n")].concat()),
        ("crlf.json", format!("{{\r\n\"Records\":[\r\n{}\r\n]\r\n}}\r\n", records.join(",\r\n")).into_bytes()),
    ]);
}

#[test]
fn envelopes_of_other_tools_give_the_same_rows() {
    let records = corpus::deliveries();
    let detail = records.iter().map(|record| format!("{{\"detail\":{record}}}")).collect::<Vec<_>>();
    check(&[
        ("lookup_events.json", pack::lookup_events(&records)),
        ("event_bridge.ndjson", pack::event_bridge(&records)),
        ("event_bridge.json", format!("[{}]", detail.join(",")).into_bytes()),
        ("subscription.ndjson", pack::subscription(&records, "\n")),
        ("firehose.gz", gzip(&pack::subscription(&records, ""))),
        ("filter_log_events.json", pack::filter_log_events(&records)),
        ("000000.gz", gzip(&pack::export_task(&records))),
    ]);
}

/// White space is text as received, so the raw columns are compared as values here.
#[test]
fn pretty_printed_files_give_the_same_values() {
    let raw = ["request_parameters", "response_elements", "additional_event_data"];
    let values = |rows: Vec<Map<String, Value>>| {
        let mut rows = without(rows, &[PROVENANCE.as_slice(), &["content_hash"]].concat());
        for row in &mut rows {
            for column in raw {
                if let Some(Value::String(text)) = row.get(column) {
                    let value = serde_json::from_str(text).unwrap();
                    row.insert(column.to_owned(), value);
                }
            }
        }
        rows
    };
    let expected = values(reference());
    for newline in ["\n", "\r\n"] {
        let folder = TempDir::new().unwrap();
        for (at, records) in corpus::files().iter().enumerate() {
            let text = String::from_utf8(trail(records)).unwrap();
            put(&folder.path().join(corpus::key_of(at)), pack::pretty(&text, newline));
        }
        same_rows(&expected, &values(extract(folder.path(), &[]).code(0).rows()), "pretty");
    }
}

/// An analyst often has the archive and somebody's pretty-printed copy of it.
#[test]
fn a_pretty_printed_copy_is_a_repeated_delivery_and_not_a_conflict() {
    let folder = TempDir::new().unwrap();
    let text = String::from_utf8(trail(&corpus::deliveries())).unwrap();
    put(&folder.path().join("a.json"), &text);
    put(&folder.path().join("b.json"), pack::pretty(&text, "\n"));
    let run = extract(folder.path(), &[]).code(0);
    assert_eq!(run.ids().len(), corpus::ids().len(), "{}", run.report());
}

#[test]
fn stdin_is_read_like_a_file() {
    let expected = without(reference(), &PROVENANCE);
    let whole = trail(&corpus::deliveries());
    for bytes in [gzip(&whole), whole, pack::lookup_events(&corpus::deliveries()), pack::tar(&members(".gz", gzip))] {
        let run = keytrail_with(&["extract", "-", "-o", "-", "--format", "ndjson"], Some(&bytes)).code(0);
        same_rows(&expected, &without(run.rows(), &PROVENANCE), "stdin");
    }
}

#[test]
fn parquet_has_the_same_bytes_for_any_number_of_threads_and_any_run() {
    let folder = TempDir::new().unwrap();
    bucket(&folder.path().join("in"), ".gz", gzip);
    let mut outputs = Vec::new();
    for (at, jobs) in ["1", "4", "4", "2"].iter().enumerate() {
        let out = folder.path().join(format!("{at}.parquet"));
        let (input, output) = (folder.path().join("in"), out.to_str().unwrap());
        keytrail(&["extract", input.to_str().unwrap(), "-o", output, "--jobs", jobs]).code(0);
        outputs.push(fs::read(out).unwrap());
    }
    assert!(outputs[0].len() > 1_000);
    assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "the runs differ");
}

#[test]
fn parquet_and_ndjson_and_csv_have_the_same_rows() {
    let folder = TempDir::new().unwrap();
    bucket(&folder.path().join("in"), ".gz", gzip);
    let input = folder.path().join("in");
    for ending in ["parquet", "csv", "ndjson"] {
        let out = folder.path().join(format!("events.{ending}"));
        keytrail(&["extract", input.to_str().unwrap(), "-o", out.to_str().unwrap()]).code(0);
    }
    let rows = support::parquet_rows(&folder.path().join("events.parquet"));
    let ids: Vec<&str> = rows.iter().map(|row| support::cell(row, "event_id")).collect();
    let expected: Vec<String> = reference().iter().map(|row| text(row, "event_id")).collect();
    assert_eq!(ids, expected);
    let lines = fs::read_to_string(folder.path().join("events.ndjson")).unwrap();
    assert_eq!(lines.lines().count(), expected.len());
    let table = fs::read_to_string(folder.path().join("events.csv")).unwrap();
    let header = table.lines().next().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>();
    assert!(header.starts_with(&["event_id".to_owned(), "event_time".to_owned()]), "{header:?}");
    assert!(expected.iter().all(|id| table.contains(id)));
    assert_eq!(header.len(), rows[0].len());
}

#[test]
fn the_arrow_stream_has_every_delivery() {
    let folder = TempDir::new().unwrap();
    bucket(folder.path(), ".gz", gzip);
    let run = keytrail(&["extract", folder.path().to_str().unwrap(), "--arrow-stream"]).code(0);
    let reader = arrow_ipc::reader::StreamReader::try_new(run.stdout.as_slice(), None).unwrap();
    assert!(reader.schema().column_with_name("event_id").is_some());
    let rows: usize = reader.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, corpus::ids().len() + 1, "one record was delivered twice");
}

#[test]
fn files_listed_by_name_give_the_same_rows_as_their_folder() {
    let folder = TempDir::new().unwrap();
    bucket(&folder.path().join("in"), ".gz", gzip);
    let list: String = (0..corpus::FILES)
        .map(|at| format!("{}\n", folder.path().join("in").join(corpus::key_of(at) + ".gz").display()))
        .collect();
    put(&folder.path().join("list.txt"), &list);
    let expected = without(reference(), &PROVENANCE);
    let listed = folder.path().join("list.txt");
    for (source, stdin) in [(listed.to_str().unwrap(), ""), ("-", list.as_str())] {
        let arguments = ["extract", "--files-from", source, "-o", "-", "--format", "ndjson"];
        let run = keytrail_with(&arguments, Some(stdin.as_bytes())).code(0);
        same_rows(&expected, &without(run.rows(), &PROVENANCE), source);
    }
}
